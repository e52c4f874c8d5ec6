"""Cumulative ablation: cut one unit after another and see how fast a behaviour is lost.

After Morcos et al. 2018 ("On the importance of single directions for generalization"): units are
cut in random order, performance is drawn against the share cut, and the area under that curve
tells how much the network leans on single units; noise on all units does the same for random
directions. Orders by measured importance, lowest or highest first, show redundancy (Geiger et al.
2018). Each point of a curve is an ordinary lesion, so a sweep runs and resumes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb
from typing import Literal

import numpy as np
import pandas as pd

from rl_ablation.errors import LabError
from rl_ablation.lesion import INTACT, Lesion, Plan
from rl_ablation.policy import Policy
from rl_ablation.sweep import Run

FRACTIONS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
STRENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)

_RESAMPLES = 10_000
_ALL_SPLITS = 20_000  # more ways to divide the networks than this are drawn, not enumerated


def random_orders(
    agent: Policy,
    *,
    sites: Sequence[str] | None = None,
    orders: int = 10,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    kind: str = "zero",
) -> Plan:
    """Cut growing shares of all units of some layers together, in several random orders.

    A lesion is named ``order-3/0.4``: the first 40 % of the third order, which is its group.

    Args:
        agent: The policy.
        sites: Layers; None takes all hidden ones.
        orders: How many.
        fractions: Shares in (0, 1] of all the layers' units.
        seed: Draws the orders.
        kind: Of the cut.
    """
    where = list(agent.network.sizes) if sites is None else list(sites)
    units = [(site, unit) for site in where for unit in range(agent.sites[site])]
    rng = np.random.default_rng(seed)
    lesions = []
    for order in range(orders):
        shuffled = [units[k] for k in rng.permutation(len(units))]
        for fraction in _checked(fractions):
            first = shuffled[: _count(fraction, len(units))]
            cut = {s: tuple(sorted(u for site, u in first if site == s)) for s in where}
            lesions.append(_point(f"order-{order}", fraction, cut, kind))
    return Plan(lesions)


def ranked_order(
    importance: Mapping[str, np.ndarray],
    direction: Literal["ascending", "descending"],
    *,
    fractions: Sequence[float] = FRACTIONS,
    kind: str = "zero",
) -> Plan:
    """Cut the least (``"ascending"``) or most important units first, alike in every layer.

    Each layer loses the same share, since importance is ranked within a layer and means nothing
    across layers (Geiger et al. 2018). Units of equal importance go in order of their index.

    Args:
        importance: Site → (H,); more is more important.
        direction: Which end comes first; also the lesions' group.
        fractions: Shares in (0, 1] of each layer.
        kind: Of the cut.
    """
    if direction not in ("ascending", "descending"):
        raise LabError(f"unknown direction {direction!r}; choose ascending or descending")
    sign = 1.0 if direction == "ascending" else -1.0
    rank = {s: np.argsort(sign * v, kind="stable").tolist() for s, v in importance.items()}
    return Plan(
        _point(
            direction,
            fraction,
            {s: tuple(sorted(units[: _count(fraction, len(units))])) for s, units in rank.items()},
            kind,
        )
        for fraction in _checked(fractions)
    )


def noise_ladder(
    agent: Policy, *, sites: Sequence[str] | None = None, strengths: Sequence[float] = STRENGTHS
) -> Plan:
    """Normal noise on all units of some layers, in multiples of each unit's own s.d.

    Noise moves the network's state along random directions, where a cut moves it along one unit.
    """
    where = list(agent.network.sizes) if sites is None else list(sites)
    cut = {site: tuple(range(agent.sites[site])) for site in where}
    return Plan(
        Lesion(name=f"noise/{s:g}", cut=cut, kind="noise", strength=s, group="noise")
        for s in strengths
    )


def curves(run: Run, measure: str) -> pd.DataFrame:
    """Performance against dose for every order of a run made of the plans above.

    Args:
        run: The run.
        measure: The performance; more is better.

    Returns:
        A row for each order × dose, 0 first: ``order``, ``dose`` (share cut, or strength of the
        noise), ``lesioned`` (mean over episodes), ``kept`` (the same as a share of what the intact
        policy does on the same episodes).

    Raises:
        LabError: The intact policy's mean performance is not positive, so no share can be taken.
    """
    wide = run.table().pivot(index="episode", columns="lesion", values=measure)
    intact = wide[INTACT]
    if not intact.mean() > 0:
        raise LabError(
            f"{run.folder}: intact {measure} is {intact.mean():.3g}; a share kept needs a "
            "performance above 0"
        )
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for lesion in run.plan:
        if not lesion.size:
            continue
        both = wide[lesion.name].notna() & intact.notna()
        before, after = intact[both].mean(), wide[lesion.name][both].mean()
        start = rows.setdefault(lesion.group, [(0.0, float(intact.mean()), 1.0)])
        start.append((float(lesion.name.rpartition("/")[2]), after, after / before))
    return pd.DataFrame(
        [(order, *row) for order, points in rows.items() for row in sorted(points)],
        columns=["order", "dose", "lesioned", "kept"],
    )


def areas(curve: pd.DataFrame) -> pd.Series:
    """Area under ``kept`` against dose, the largest dose set to 1: index order.

    1 means that nothing was ever lost. Straight lines join the points.
    """
    return pd.Series(
        {
            str(order): float(np.trapezoid(part["kept"], part["dose"]) / part["dose"].max())
            for order, part in curve.groupby("order", sort=False)
        }
    )


# Networks against networks. What is repeated inside a network (orders, units, episodes) says
# nothing about the next network, so networks are resampled first.


def nested_bootstrap(networks: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Bootstrap distribution of the mean over networks: networks drawn first, then what is inside.

    Args:
        networks: The values of each network, (K,) each.
        rng: Draws.

    Returns:
        (10000,) means.
    """
    inside = np.stack(
        [rng.choice(v, (_RESAMPLES, len(v), len(networks))).mean(1) for v in networks]
    )  # (network, resample, copy): a network drawn twice has its inside drawn twice
    drawn = rng.integers(len(networks), size=(_RESAMPLES, len(networks)))
    copy = np.arange(len(networks))
    return inside[drawn, np.arange(_RESAMPLES)[:, None], copy].mean(1)


def interval(bootstrap: np.ndarray) -> tuple[float, float]:
    """Its middle 95 %."""
    low, high = np.quantile(bootstrap, [0.025, 0.975])
    return float(low), float(high)


def permutation_p(one: np.ndarray, other: np.ndarray, seed: int = 0) -> float:
    """Two-sided p of a difference of means between two sets of networks, by relabelling networks.

    Args:
        one: A number for each network, (M,).
        other: (N,).
        seed: Of the relabellings, where there are too many to try all.

    Returns:
        The share of relabellings with at least that difference; with 5 and 5 never below 1/126.
    """
    values, size = np.concatenate([one, other]), len(one)
    if comb(len(values), size) <= _ALL_SPLITS:
        chosen = np.array(list(combinations(range(len(values)), size)))
        extra = 0
    else:
        rng = np.random.default_rng(seed)
        chosen = rng.permuted(np.tile(np.arange(len(values)), (_RESAMPLES, 1)), axis=1)[:, :size]
        extra = 1
    first = values[chosen].sum(1)
    gap = np.abs(first / size - (values.sum() - first) / len(other))
    hits = (gap >= abs(one.mean() - other.mean()) - 1e-12).sum()
    return float((hits + extra) / (len(chosen) + extra))


def _checked(fractions: Sequence[float]) -> list[float]:
    if not all(0 < f <= 1 for f in fractions):
        raise LabError(
            f"fractions must lie in (0, 1], got {', '.join(f'{f:g}' for f in fractions)}"
        )
    return sorted(fractions)


def _count(fraction: float, units: int) -> int:
    return max(1, round(fraction * units))


def _point(order: str, fraction: float, cut: dict[str, tuple[int, ...]], kind: str) -> Lesion:
    cut = {site: units for site, units in cut.items() if units}
    return Lesion(name=f"{order}/{fraction:g}", cut=cut, kind=kind, group=order)
