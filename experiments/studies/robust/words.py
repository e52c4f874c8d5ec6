"""The findings about memorisers and generalists in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from experiments.studies.robust import comparison
from experiments.studies.robust.comparison import INTEREST, KINDS
from rl_ablation.formats import Estimate, number
from rl_ablation.stats import LEVEL


def tell(
    curves: pd.DataFrame, areas: pd.DataFrame, units: pd.DataFrame, own: Mapping[str, str]
) -> str:
    """The findings in words."""
    rows = {r["comparison"]: r for r in comparison.compared(areas, own).to_dict("records")}
    table = "| comparison | memorisers | generalists | difference (95 %) | p | q | could find |"
    table += "\n|" + 7 * "---|"
    for r in rows.values():
        table += (
            f"\n| {r['comparison']} | {number(r['memoriser'])} | {number(r['generalist'])} | "
            f"{Estimate.of(r, 'difference')} | {r['p']:.2g} | {r['q']:.2g} | "
            f"{number(r['smallest'])} |"
        )
    agents = areas["agent"].nunique()
    over = (
        "Areas under the curve of laps kept against the share cut (1: nothing is ever lost); p "
        "from relabelling agents, q after Benjamini & Hochberg. With as many agents, a difference "
        "as large as in the last column is found with 80 % power, two-sided at 5 %:"
    )
    parts = [_headline(rows, agents), over, table, _memorised(curves, own)]
    return "\n\n".join([*parts, _ranked(areas, own), _units(units, curves)])


def sign(row: Mapping[Any, Any]) -> int:
    """+1 where memorisers clearly lose their laps faster, −1 where generalists do, else 0."""
    return Estimate.of(row, "difference").sign if row["q"] < LEVEL else 0


def verdict(row: Mapping[Any, Any]) -> str:
    """Which kind loses its laps faster, or what could have been found."""
    found = Estimate.of(row, "difference")
    other = found.unclear(row["smallest"], INTEREST)
    fast = "{} lose their laps faster".format
    return {1: fast("memorisers"), 0: other, -1: fast("generalists")}[sign(row)]


def _headline(table: Mapping[str, Mapping[Any, Any]], agents: int) -> str:
    ways = {
        "Each in its own training condition, as Morcos et al. compare, units held at their means":
            "own condition",
        "On one and the same track": "memorisers' track",
        "On one and the same battery": "generalists' battery",
        "Each in its own condition, units set to zero as they did": "own, set to zero (published)",
    }  # fmt: skip
    signs = [sign(table[name]) for name in ways.values()]
    if abs(sum(signs)) == len(signs):
        together = "All four say the same."
    elif {1, -1} <= set(signs):
        together = "They contradict each other: the answer hangs on how the question is put."
    else:
        together = (
            f"{len(signs) - signs.count(0)} of the four are clear; one that is clear and one that "
            "is not need not differ."
        )
    lines = [
        f"- {way}: {verdict(row)} (area {number(row['memoriser'])} against "
        f"{number(row['generalist'])}, difference {Estimate.of(row, 'difference')}, "
        f"q = {row['q']:.2g})."
        for way, row in ((way, table[name]) for way, name in ways.items())
    ]
    track, battery = (table[n]["generalist"] for n in list(ways.values())[1:3])
    return (
        f"{agents} memorisers and {agents} generalists:\n\n" + "\n".join(lines) + f"\n\n{together} "
        f"Own conditions compare conditions as much as agents: the same generalists have area "
        f"{number(track)} on the track and {number(battery)} on the battery."
    )


def _memorised(curves: pd.DataFrame, own: Mapping[str, str]) -> str:
    intact = curves.query("cut == 'mean' and dose == 0")
    laps = intact.groupby(["kind", "world"])["lesioned"].mean().map(number)
    floors = []
    for name in ("own, set to zero (published)", "own condition"):
        for kind in KINDS:
            part = comparison.chosen(curves, name, kind, own)
            floors.append(part[part["dose"] == part["dose"].max()]["kept"].mean())
    return (
        f"Intact, memorisers drive {laps['memoriser', 'track']} laps on their track and "
        f"{laps['memoriser', 'battery']} on the battery, generalists {laps['generalist', 'track']} "
        f"and {laps['generalist', 'battery']}. With all hidden units at zero, {floors[0]:.0%} and "
        f"{floors[1]:.0%} of the own laps are left; with all at their means, {floors[2]:.0%} and "
        f"{floors[3]:.0%}. So much is driven by one action held for ever, and no cut can take it."
    )


def _ranked(areas: pd.DataFrame, own: Mapping[str, str]) -> str:
    parts = []
    for kind in KINDS:
        gap, smallest = comparison.by_importance(areas, kind, own)
        way = {1: "faster", -1: "more slowly", 0: gap.unclear(smallest, INTEREST)}[gap.sign]
        parts.append(f"{kind}s {way} (area lost by it {gap})")
    spread = areas.groupby("kind")["spread"].mean().map(number)
    return (
        "When the most important units go first instead of the least important ones, by "
        f"importance measured one unit at a time, laps are lost: by {'; by '.join(parts)}. Noise "
        "and means are those of an agent's own condition, so they compare the kinds only as far as "
        f"units vary alike there: their s.d. is {spread['memoriser']} in memorisers and "
        f"{spread['generalist']} in generalists."
    )


def _units(units: pd.DataFrame, curves: pd.DataFrame) -> str:
    names = {"eta": "η²", "information": "mutual information"}
    parts = []
    for r in comparison.correlations(units).to_dict("records"):
        rho = Estimate.of(r, "rho")
        note = "" if rho.sign else f" ({rho.unclear(r['smallest'])})"
        parts.append(f"{names[r['index']]} in {r['site']} {rho}{note}")
    read = comparison.readers(units)
    started = curves.query("dose == 0 and kind == 'generalist' and world == 'battery'")
    intact = started["lesioned"].mean()
    worst = units["progress"].max()
    lines = []
    for side in ("left", "right"):
        for column, what in (("progress", "laps"), (f"{side}_turning", f"rad/s of turning {side}")):
            if (found := comparison.difference(read, f"{side} bend", column)) is not None:
                gap, smallest = found
                note = "" if gap.sign else f"; {gap.unclear(smallest, spec='.3f')}"
                lines.append(
                    f"Cutting a {side}-bend unit costs {number(gap.value, '.3f')} "
                    f"({gap.ends('.3f')}) {what} more than cutting an unreadable one{note}."
                )
    return (
        "How much a generalist's unit says about the bend against the laps lost without it "
        f"(Spearman, within layers, mean of {units['agent'].nunique()} agents): "
        f"{'; '.join(parts)}. {' '.join(lines)} The most that any one unit costs, on the "
        f"episodes that it was picked on, is {worst:.3f} of {number(intact)} laps "
        f"({worst / intact:.1%})."
    )
