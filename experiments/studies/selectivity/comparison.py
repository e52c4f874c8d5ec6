"""The study of selectivity in tables: networks in, means, changes and trends over α out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from rl_ablation.stats import benjamini_hochberg, interval, nested_bootstrap

SHUFFLES = 9999

Values = dict[str, np.ndarray]
"""Of a network: metric → what it was measured on (episodes, orders, or one number)."""


@dataclass(frozen=True)
class Metric:
    """A number of a network.

    Attributes:
        key: Column of the tables.
        label: In words.
        better: +1 if more is better, −1 if less is, 0 if it is no outcome but a description.
    """

    key: str
    label: str
    better: int = 0


METRICS = (
    Metric("si", "SI of the units"),
    Metric("eta", "η² of the units"),
    Metric("spread", "s.d. of the units"),
    Metric("progress", "laps driven undamaged", 1),
    Metric("crash", "share of undamaged runs that crash", -1),
    Metric("cut_mean", "area kept, units cut to their mean", 1),
    Metric("cut_zero", "area kept, units cut to zero", 1),
    Metric("noise", "area kept, sensor noise", 1),
    Metric("dropout", "area kept, dead sensors", 1),
    Metric("worst", "area kept, worst small change of the observation", 1),
    Metric("layer", "η² of the whole layer"),
    Metric("best", "η² of the layer's best direction"),
    Metric("similarity", "PWCCA similarity to the networks of α = 0"),
)
OUTCOMES = tuple(m for m in METRICS if m.better)


def compare(
    values: Mapping[tuple[float, int], Values], alphas: Sequence[float], seeds: Sequence[int],
    seed: int,
) -> pd.DataFrame:  # fmt: skip
    """Every metric at every α, resampled seeds first, and its paired change from α = 0."""
    rows = []
    for metric in METRICS:
        for alpha in alphas:
            nets = [values[alpha, s][metric.key] for s in seeds]
            apart = [
                n.mean() - values[0.0, s][metric.key].mean()
                for n, s in zip(nets, seeds, strict=True)
            ]
            low, high = interval(nested_bootstrap(nets, np.random.default_rng(seed)))
            row = {"metric": metric.key, "alpha": alpha, "n": len(seeds)}
            row |= {"value": float(np.mean([n.mean() for n in nets])), "low": low, "high": high}
            low, high = student_interval(np.array(apart))
            row |= {"change": float(np.mean(apart)), "change_low": low, "change_high": high}
            rows.append(row)
    return pd.DataFrame(rows)


def student_interval(changes: np.ndarray) -> tuple[float, float]:
    """Student's 95 % interval of the mean of a few networks' changes, (N,); NaN for fewer than two.

    A bootstrap of three numbers leaves out 0 whenever they agree in sign, which three networks do
    one time in four by chance.
    """
    if len(changes) < 2:
        return np.nan, np.nan
    wide = stats.t.ppf(0.975, len(changes) - 1) * changes.std(ddof=1) / np.sqrt(len(changes))
    return float(changes.mean() - wide), float(changes.mean() + wide)


def trend(networks: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Spearman's ρ of every metric against α within each seed, averaged; interval, p and q."""
    rng = np.random.default_rng(seed)
    rows = []
    for metric in METRICS:
        wide = networks.pivot(index="seed", columns="alpha", values=metric.key)
        ranks = stats.rankdata(wide.to_numpy(), axis=1)
        rhos = _against_order(ranks)
        shuffled = rng.permuted(np.tile(ranks, (SHUFFLES, 1, 1)), axis=2)
        hits = (np.abs(_against_order(shuffled).mean(-1)) >= abs(rhos.mean()) - 1e-9).sum()
        low, high = interval(nested_bootstrap([rhos[[k]] for k in range(len(rhos))], rng))
        row = {"metric": metric.key, "rho": rhos.mean(), "low": low, "high": high}
        rows.append({**row, "p": (1 + hits) / (1 + SHUFFLES)})
    table = pd.DataFrame(rows)
    return table.assign(q=benjamini_hochberg(table["p"].to_numpy()))


def _against_order(ranks: np.ndarray) -> np.ndarray:
    """Correlation of ranks (…, A) with 1, 2, … A; 0 where all are equal."""
    order = np.arange(ranks.shape[-1]) - (ranks.shape[-1] - 1) / 2
    spread = np.sqrt(ranks.var(-1) * ranks.shape[-1] * (order @ order))
    product = ranks @ order
    return np.divide(product, spread, out=np.zeros_like(product), where=spread > 0)
