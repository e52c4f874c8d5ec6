"""The findings about memorisers and generalists in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from experiments.studies.robust.comparison import (
    KINDS,
    chosen,
    compared,
    correlations,
    difference,
    readers,
)
from rl_ablation.formats import Estimate, number
from rl_ablation.stats import LEVEL


def tell(
    curves: pd.DataFrame, areas: pd.DataFrame, units: pd.DataFrame, own: Mapping[str, str]
) -> str:
    """The findings in words."""
    rows = {r["comparison"]: r for r in compared(areas, own).to_dict("records")}
    agents = areas["agent"].nunique()
    lines = [
        f"| {r['comparison']} | {number(r['memoriser'])} | {number(r['generalist'])} | "
        f"{Estimate.of(r, 'difference')} | {r['p']:.2g} |"
        for r in rows.values()
    ]
    return "\n\n".join(
        [
            _headline(rows, agents),
            "Areas under the curve of laps kept against the share cut (1: nothing is ever lost):",
            "| comparison | memorisers | generalists | difference (95 %) | p |\n"
            "|---|---|---|---|---|\n" + "\n".join(lines),
            _memorised(curves, own),
            _ranked(rows, areas),
            _units(units, curves),
        ]
    )


def verdict(row: Mapping[Any, Any]) -> str:
    """Which kind loses its laps faster, if that is clear."""
    # With a handful of agents the interval alone is too sure of itself.
    if row["p"] >= LEVEL or Estimate.of(row, "difference").sign == 0:
        return "no clear difference"
    return f"{'memorisers' if row['difference'] > 0 else 'generalists'} lose their laps faster"


def _headline(table: Mapping[str, Mapping[Any, Any]], agents: int) -> str:
    fair, track, mean = (
        table[name] for name in ("own condition", "memorisers' track", "own, cut to the mean")
    )
    text = (
        f"Each in its own training condition, as Morcos et al. compare: {verdict(fair)} (area "
        f"{number(fair['memoriser'])} against {number(fair['generalist'])}, difference "
        f"{Estimate.of(fair, 'difference')}, p = {fair['p']:.2g}, {agents} agents of each kind). "
        f"On one and the same track: {verdict(track)} (difference "
        f"{Estimate.of(track, 'difference')}). With units cut to their means instead of zero: "
        f"{verdict(mean)}."
    )
    verdicts = {verdict(row) for row in (fair, track, mean)}
    if len(verdicts) == 1:
        return text + " All three say the same."
    return text + " The three do not say the same, so the answer hangs on how the question is put."


def _memorised(curves: pd.DataFrame, own: Mapping[str, str]) -> str:
    zero = curves[(curves["cut"] == "zero")]
    laps = zero[zero["dose"] == 0].groupby(["kind", "world"])["lesioned"].mean()
    floors = []
    for comparison in ("own condition", "own, cut to the mean"):
        for kind in KINDS:
            part = chosen(curves, comparison, kind, own)
            floors.append(part[part["dose"] == part["dose"].max()]["kept"].mean())
    return (
        f"Intact, memorisers drive {number(laps['memoriser', 'track'])} laps on their track and "
        f"{number(laps['memoriser', 'battery'])} on the battery, generalists "
        f"{number(laps['generalist', 'track'])} and {number(laps['generalist', 'battery'])}. With "
        f"all hidden units at zero, {floors[0]:.0%} and {floors[1]:.0%} of the own laps are left; "
        f"with all at their means, {floors[2]:.0%} and {floors[3]:.0%}. So much is driven by one "
        "action held for ever, and no cut can take it."
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
    spread = areas.groupby("kind")["spread"].mean()
    return (
        f"By importance measured one unit at a time: {'; '.join(parts)}. Noise and means are "
        "those of an agent's own condition, so they compare the kinds only as far as units vary "
        f"alike there: their s.d. is {number(spread['memoriser'])} in memorisers and "
        f"{number(spread['generalist'])} in generalists."
    )


def _units(units: pd.DataFrame, curves: pd.DataFrame) -> str:
    names = {"eta": "η²", "information": "mutual information"}
    parts = [
        f"{names[r['index']]} in {r['site']} {Estimate.of(r, 'rho')}"
        for r in correlations(units).to_dict("records")
    ]
    sorted_units = readers(units)
    started = curves[(curves["dose"] == 0) & (curves["kind"] == "generalist")]
    intact = started[started["world"] == "battery"]["lesioned"].mean()
    worst = units["progress"].max()
    lines = []
    for side in ("left", "right"):
        laps = difference(sorted_units, f"{side} bend", "progress")
        turn = difference(sorted_units, f"{side} bend", f"{side}_turning")
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
