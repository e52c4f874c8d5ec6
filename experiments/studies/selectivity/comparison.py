"""The study of selectivity in tables: networks in, means, changes and trends over α out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rl_ablation import stats

SHUFFLES = 9999

Values = dict[str, np.ndarray]
"""Of a network: metric → what it was measured on (episodes, orders, or one number)."""


@dataclass(frozen=True)
class Metric:
    """A number of a network."""

    key: str  # column of the tables
    label: str
    better: int = 0  # +1 if more is better, −1 if less is, 0 if it is no outcome but a description
    interest: float = 0.0  # smallest change that would matter, fixed before the data


METRICS = (
    Metric("si", "SI of the units"),
    Metric("eta", "η² of the units"),
    Metric("spread", "s.d. of the units"),
    Metric("progress", "laps driven undamaged", 1, 0.1),
    Metric("crash", "share of undamaged runs that crash", -1, 0.1),
    Metric("cut_mean", "area kept, units cut to their mean", 1, 0.05),
    Metric("cut_zero", "area kept, units cut to zero", 1, 0.05),
    Metric("noise", "area kept, sensor noise", 1, 0.05),
    Metric("dropout", "area kept, dead sensors", 1, 0.05),
    Metric("worst", "share kept, worst small change of the observation", 1, 0.05),
    Metric("layer", "η² of the whole layer"),
    Metric("best", "η² of the layer's best direction"),
    Metric("similarity", "PWCCA similarity to the networks of α = 0"),
)
OUTCOMES = tuple(m for m in METRICS if m.better)


def compare(
    values: Mapping[tuple[float, int], Values], alphas: Sequence[float], seeds: Sequence[int],
    seed: int,
) -> pd.DataFrame:  # fmt: skip
    """Every metric at every α, resampled seeds first, and its paired change from α = 0.

    ``p`` of a change is from flipping its sign in each seed, ``q`` over all changes of the outcomes
    or of the descriptions, and ``smallest`` the change that could have been found.
    """
    rows = []
    for metric in METRICS:
        plain = np.array([values[0.0, s][metric.key].mean() for s in seeds])
        for alpha in alphas:
            nets = [values[alpha, s][metric.key] for s in seeds]
            means = np.array([n.mean() for n in nets])
            low, high = stats.interval(stats.nested_bootstrap(nets, np.random.default_rng(seed)))
            moved = means - plain
            change = moved.mean(), *stats.student_interval(moved), stats.smallest_effect(moved)
            p = float(stats.sign_flip_p(moved[:, None], np.random.default_rng(seed))[0])
            p = np.nan if alpha == 0 else p
            rows.append((metric.key, alpha, len(seeds), means.mean(), low, high, *change, p))
    names = ["metric", "alpha", "n", "value", "low", "high"]
    names += ["change", "change_low", "change_high", "smallest", "p"]
    table = pd.DataFrame(rows, columns=names)
    family = table.groupby(table["metric"].isin([m.key for m in OUTCOMES]))["p"]
    return table.assign(q=family.transform(lambda p: stats.benjamini_hochberg(p.to_numpy())))


def trend(networks: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Spearman's ρ of every metric against α within each seed, averaged; interval, p and q.

    ``smallest`` is the mean ρ that could have been found.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for metric in METRICS:
        wide = networks.pivot(index="seed", columns="alpha", values=metric.key).to_numpy()
        order = np.arange(wide.shape[1])
        rhos = np.nan_to_num(stats.spearman(wide, order))  # all equal: no trend
        shuffled = rng.permuted(np.tile(wide, (SHUFFLES, 1, 1)), axis=2)
        drawn = np.nan_to_num(stats.spearman(shuffled, order)).mean(-1)
        hits = (np.abs(drawn) >= abs(rhos.mean()) - 1e-9).sum()
        ends = stats.interval(stats.nested_bootstrap(list(rhos[:, None]), rng))
        p, smallest = (1 + hits) / (1 + SHUFFLES), stats.smallest_effect(rhos)
        rows.append((metric.key, rhos.mean(), *ends, p, smallest))
    table = pd.DataFrame(rows, columns=["metric", "rho", "low", "high", "p", "smallest"])
    return table.assign(q=stats.benjamini_hochberg(table["p"].to_numpy()))
