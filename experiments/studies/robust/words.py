"""The findings about memorisers and generalists in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from experiments.studies.robust import comparison
from experiments.studies.robust.comparison import KINDS
from rl_ablation.formats import Estimate, number
from rl_ablation.stats import LEVEL


def tell(
    curves: pd.DataFrame, areas: pd.DataFrame, units: pd.DataFrame, own: Mapping[str, str]
) -> str:
    """The findings in words."""
    rows = {r["comparison"]: r for r in comparison.compared(areas, own).to_dict("records")}
    table = "| comparison | memorisers | generalists | difference (95 %) | p |\n|" + 5 * "---|"
    for r in rows.values():
        table += (
            f"\n| {r['comparison']} | {number(r['memoriser'])} | {number(r['generalist'])} | "
            f"{Estimate.of(r, 'difference')} | {r['p']:.2g} |"
        )
    over = "Areas under the curve of laps kept against the share cut (1: nothing is ever lost):"
    parts = [_headline(rows, areas["agent"].nunique()), over, table, _memorised(curves, own)]
    return "\n\n".join([*parts, _ranked(rows, areas), _units(units, curves)])


def verdict(row: Mapping[Any, Any]) -> str:
    """Which kind loses its laps faster, if that is clear."""
    # With a handful of agents the interval alone is too sure of itself.
    if row["p"] >= LEVEL or Estimate.of(row, "difference").sign == 0:
        return "no clear difference"
    return f"{'memorisers' if row['difference'] > 0 else 'generalists'} lose their laps faster"


def _headline(table: Mapping[str, Mapping[Any, Any]], agents: int) -> str:
    names = ("own condition", "memorisers' track", "own, cut to the mean")
    fair, track, mean = (table[name] for name in names)
    alike = len({verdict(row) for row in (fair, track, mean)}) == 1
    hangs = "The three do not say the same, so the answer hangs on how the question is put."
    return (
        f"Each in its own training condition, as Morcos et al. compare: {verdict(fair)} (area "
        f"{number(fair['memoriser'])} against {number(fair['generalist'])}, difference "
        f"{Estimate.of(fair, 'difference')}, p = {fair['p']:.2g}, {agents} agents of each kind). "
        f"On one and the same track: {verdict(track)} (difference "
        f"{Estimate.of(track, 'difference')}). With units cut to their means instead of zero: "
        f"{verdict(mean)}. {'All three say the same.' if alike else hangs}"
    )


def _memorised(curves: pd.DataFrame, own: Mapping[str, str]) -> str:
    intact = curves.query("cut == 'zero' and dose == 0")
    laps = intact.groupby(["kind", "world"])["lesioned"].mean().map(number)
    floors = []
    for name in ("own condition", "own, cut to the mean"):
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


def _ranked(table: Mapping[str, Mapping[Any, Any]], areas: pd.DataFrame) -> str:
    parts = []
    for kind in KINDS:
        up, down = (table[f"own, {end} important first"][kind] for end in ("least", "most"))
        way = "faster" if down < up else "no faster"
        parts.append(
            f"{kind}s lose their laps {way} when the most important units go first (area "
            f"{number(down)}) than when the least important do ({number(up)})"
        )
    spread = areas.groupby("kind")["spread"].mean().map(number)
    return (
        f"By importance measured one unit at a time: {'; '.join(parts)}. Noise and means are "
        "those of an agent's own condition, so they compare the kinds only as far as units vary "
        f"alike there: their s.d. is {spread['memoriser']} in memorisers and "
        f"{spread['generalist']} in generalists."
    )


def _units(units: pd.DataFrame, curves: pd.DataFrame) -> str:
    names = {"eta": "η²", "information": "mutual information"}
    parts = [
        f"{names[r['index']]} in {r['site']} {Estimate.of(r, 'rho')}"
        for r in comparison.correlations(units).to_dict("records")
    ]
    read = comparison.readers(units)
    started = curves.query("dose == 0 and kind == 'generalist' and world == 'battery'")
    intact = started["lesioned"].mean()
    worst = units["progress"].max()
    lines = []
    for side in ("left", "right"):
        laps = comparison.difference(read, f"{side} bend", "progress")
        turn = comparison.difference(read, f"{side} bend", f"{side}_turning")
        if laps is not None:
            clear = "" if laps.sign else ", which is not clear"
            lines.append(
                f"Cutting a {side}-bend unit costs {laps:.3f} laps more than cutting an "
                f"unreadable one{clear}, and {turn:.3f} rad/s more of turning {side}."
            )
    return (
        "How much a generalist's unit says about the bend against the laps lost without it "
        f"(Spearman, within layers): {'; '.join(parts)}. {' '.join(lines)} The most that any one "
        f"unit costs is {worst:.3f} of {number(intact)} laps ({worst / intact:.1%})."
    )
