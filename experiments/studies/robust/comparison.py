"""Memorisers against generalists in numbers, and readable units against unreadable ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from rl_ablation.formats import Estimate
from rl_ablation.stats import (
    benjamini_hochberg,
    interval,
    mean_rank_correlation,
    nested_bootstrap,
    permutation_p,
    smallest_effect,
    spearman,
    student_interval,
)

KINDS = ("memoriser", "generalist")

INTEREST = 0.1
"""Smallest difference of areas that would matter, fixed before the data."""

COMPARISONS = {
    "own condition": ("own", "mean", "order"),
    "memorisers' track": ("track", "mean", "order"),
    "generalists' battery": ("battery", "mean", "order"),
    "own, set to zero (published)": ("own", "zero", "order"),
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
    ``low`` and ``high`` (95 %, agents resampled first, then orders), ``p`` (agents relabelled),
    ``q`` over the comparisons, and ``smallest``, the difference that could have been found.
    """
    rng = np.random.default_rng(0)
    rows = []
    for name in COMPARISONS:
        inside = [_by_agent(chosen(areas, name, kind, own), "area") for kind in KINDS]
        one, other = (np.array([v.mean() for v in values]) for values in inside)
        boot, boot_other = (nested_bootstrap(values, rng) for values in inside)
        means = (one.mean(), other.mean(), other.mean() - one.mean())
        tested = permutation_p(other, one), smallest_effect(other, one)
        rows.append((name, *means, *interval(boot_other - boot), *tested))
    names = ["comparison", *KINDS, "difference", "low", "high", "p", "smallest"]
    table = pd.DataFrame(rows, columns=names)
    return table.assign(q=benjamini_hochberg(table["p"].to_numpy()))


def by_importance(areas: pd.DataFrame, kind: str, own: Mapping[str, str]) -> tuple[Estimate, float]:
    """How much more area is left if the least important units go first than if the most do.

    Paired within agents, with Student's interval over them, and the smallest effect that could have
    been found.
    """
    ends = ("own, least important first", "own, most important first")
    up, down = (chosen(areas, e, kind, own).groupby("agent")["area"].mean() for e in ends)
    gap = (up - down).to_numpy()
    return Estimate(float(gap.mean()), *student_interval(gap)), smallest_effect(gap)


def correlations(units: pd.DataFrame) -> pd.DataFrame:
    """Spearman correlation of units' indices with the laps lost without them, layer by layer."""
    rng = np.random.default_rng(0)
    rows = []
    for index in ("eta", "information"):
        for site, layer in units.groupby("site"):
            sides = _by_agent(layer, index), _by_agent(layer, "progress")
            pairs = list(zip(*sides, strict=True))
            smallest = smallest_effect(np.array([spearman(*pair) for pair in pairs]))
            rows.append((index, site, *mean_rank_correlation(pairs, rng), smallest))
    return pd.DataFrame(rows, columns=["index", "site", "rho", "low", "high", "smallest"])


def readers(units: pd.DataFrame) -> pd.DataFrame:
    """The units with a column ``reads``: the third of an agent's layer that tells most reads its
    best context, the third that tells least is "unreadable", the rest reads ""."""
    place = units.groupby(["agent", "site"])["eta"].rank(pct=True)
    reads = np.where(place > 2 / 3, units["context"], np.where(place <= 1 / 3, "unreadable", ""))
    return units.assign(reads=reads)


def difference(units: pd.DataFrame, reads: str, column: str) -> tuple[Estimate, float] | None:
    """Mean of a column over units that read something, less the unreadable ones' of the same agent.

    With Student's interval over agents, and the smallest effect that could have been found; None
    where no agent has both.
    """
    means = units.groupby(["agent", "reads"])[column].mean().unstack()
    if reads not in means:
        return None
    gap = (means[reads] - means["unreadable"]).dropna().to_numpy()
    return Estimate(float(gap.mean()), *student_interval(gap)), smallest_effect(gap)
