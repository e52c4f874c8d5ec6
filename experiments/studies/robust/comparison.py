"""Memorisers against generalists in numbers, and readable units against unreadable ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from rl_ablation.formats import Estimate
from rl_ablation.stats import interval, mean_rank_correlation, nested_bootstrap, permutation_p

KINDS = ("memoriser", "generalist")

COMPARISONS = {
    "own condition": ("own", "zero", "order"),
    "memorisers' track": ("track", "zero", "order"),
    "generalists' battery": ("battery", "zero", "order"),
    "own, cut to the mean": ("own", "mean", "order"),
    "own, least important first": ("own", "ranked", "ascending"),
    "own, most important first": ("own", "ranked", "descending"),
    "own, noise on all units": ("own", "noise", "noise"),
}
"""Name → (world, cut, how its orders' names begin)."""


def chosen(rows: pd.DataFrame, comparison: str, kind: str, own: Mapping[str, str]) -> pd.DataFrame:
    """The rows of curves or areas that belong to a kind of agent in a comparison."""
    world, cut, order = COMPARISONS[comparison]
    where = own[kind] if world == "own" else world
    mine = (rows["kind"] == kind) & (rows["world"] == where) & (rows["cut"] == cut)
    return rows[mine & rows["order"].str.startswith(order)]


def _by_agent(rows: pd.DataFrame, column: str) -> list[np.ndarray]:
    return [part[column].to_numpy() for _, part in rows.groupby("agent")]


def compared(areas: pd.DataFrame, own: Mapping[str, str]) -> pd.DataFrame:
    """Areas of memorisers and generalists for each comparison.

    ``memoriser`` and ``generalist`` are mean areas, ``difference`` is generalist − memoriser with
    ``low`` and ``high`` (95 %, agents resampled first, then orders) and ``p`` (agents relabelled).
    """
    rng = np.random.default_rng(0)
    rows = []
    for name in COMPARISONS:
        inside = [_by_agent(chosen(areas, name, kind, own), "area") for kind in KINDS]
        one, other = (np.array([v.mean() for v in values]) for values in inside)
        boot, boot_other = (nested_bootstrap(values, rng) for values in inside)
        means = (one.mean(), other.mean(), other.mean() - one.mean())
        rows.append((name, *means, *interval(boot_other - boot), permutation_p(other, one)))
    return pd.DataFrame(rows, columns=["comparison", *KINDS, "difference", "low", "high", "p"])


def correlations(units: pd.DataFrame) -> pd.DataFrame:
    """Spearman correlation of units' indices with the laps lost without them, layer by layer."""
    rng = np.random.default_rng(0)
    rows = []
    for index in ("eta", "information"):
        for site, layer in units.groupby("site"):
            sides = _by_agent(layer, index), _by_agent(layer, "progress")
            pairs = list(zip(*sides, strict=True))
            rows.append((index, site, *mean_rank_correlation(pairs, rng)))
    return pd.DataFrame(rows, columns=["index", "site", "rho", "low", "high"])


def readers(units: pd.DataFrame) -> pd.DataFrame:
    """The units with a column ``reads``: the third of an agent's layer that tells most reads its
    best context, the third that tells least is "unreadable", the rest reads ""."""
    place = units.groupby(["agent", "site"])["eta"].rank(pct=True)
    reads = np.where(place > 2 / 3, units["context"], np.where(place <= 1 / 3, "unreadable", ""))
    return units.assign(reads=reads)


def difference(units: pd.DataFrame, reads: str, column: str) -> Estimate | None:
    """Mean of a column over units that read something, less the unreadable ones'; None if none."""
    rng = np.random.default_rng(0)
    inside = [_by_agent(units[units["reads"] == name], column) for name in (reads, "unreadable")]
    if not all(inside):
        return None
    one, other = (nested_bootstrap(values, rng) for values in inside)
    means = [np.mean([v.mean() for v in values]) for values in inside]
    return Estimate(float(means[0] - means[1]), *interval(one - other))
