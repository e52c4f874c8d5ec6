"""The findings of the study open-loop in sentences, from its tables alone."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from rl_ablation.formats import Estimate, number
from rl_ablation.measures.registry import MEASURES
from rl_ablation.stats import LEVEL, smallest_correlation


def tell_direct(cuts: pd.DataFrame, ranks: pd.DataFrame, at_zero: pd.Series) -> str:
    """What the open loop says of the closed one; ``at_zero`` has each region's loss under zero."""
    worst = cuts["took"].max()
    took = "Every cut took" if worst == 0 else f"NOT every cut took (largest error {worst:.2g})"
    text = f"{took}: the values at {len(cuts)} cut groups were compared with their targets. "
    for row in ranks[ranks["what"] == "direct"].to_dict("records"):
        rho = Estimate.of(row, "rho", "ci_low", "ci_high")
        way = {1: "rises", -1: "falls", 0: "does not clearly change"}[rho.sign]
        note = "" if rho.sign else f"; {rho.unclear(smallest_correlation(row['cuts']))}"
        text += (
            f"In {row['site']} the loss of progress {way} with the direct change of the action "
            f"(Spearman {number(rho.value)}, 95 % {rho.ends()}; {row['cuts']} cuts{note}). "
        )
    regions = cuts[cuts["group"] != "random"].sort_values("direct", kind="stable")
    least, most = regions.iloc[0], regions.iloc[-1]
    held = regions.set_index("lesion")["loss"]
    both = ", ".join(
        f"{name} {number(held[name], '%')} and {number(at_zero[name], '%')}" for name in held.index
    )
    return text + (
        f"The smallest direct change, {number(least['direct'])} s.d. in {least['lesion']}, costs "
        f"{number(least['loss'], '%')} of the progress; the largest, {number(most['direct'])} s.d. "
        f"in {most['lesion']}, {number(most['loss'], '%')}. Of the progress is lost, held at the "
        f"mean and set to zero: {both}."
    )


def tell_drift(table: pd.DataFrame) -> str:
    """What is added by being elsewhere."""
    nudge, rows = table.iloc[0], table.iloc[1:]

    def regions(chosen: pd.Series, column: str) -> str:
        part = rows[chosen].to_dict("records")
        return ", ".join(f"{r['lesion']} ({number(r[column])})" for r in part) or "no region"

    share = rows["drift_share"]
    return (
        "Shown the intact robot's own states, the damaged networks' actions differ by "
        f"{number(rows['open'].min())} to {number(rows['open'].max())} s.d.; in the loop, from "
        f"their intact twins', by {number(rows['closed'].min())} to "
        f"{number(rows['closed'].max())}. The loop adds to the difference in "
        f"{regions(rows['added_low'] > 0, 'added')}, and takes from it in "
        f"{regions(rows['added_high'] < 0, 'added')} (change in s.d., 95 % interval clear of 0). "
        f"{number(share.min(), '%')} to {number(share.max(), '%')} of the squared difference, by "
        "region, goes with being in another state. That need be no harm: a robot that was nudged "
        f"for one step comes to differ from its twin by {number(nudge['closed'])} s.d.; clearly "
        f"more than that do {regions(rows['excess_low'] > 0, 'excess')}, clearly less "
        f"{regions(rows['excess_high'] < 0, 'excess')}."
    )


def tell_triggers(rows: pd.DataFrame, sides: pd.DataFrame, time: Mapping[str, float]) -> str:
    """When each behaviour needs the regions."""
    open_ = ", ".join(f"{when} {number(time[when], '%')}" for when in time if time[when] < 1)
    lines = [
        f"Cut only at times (share of the intact robot's time: {open_}), of "
        f"{rows['region'].nunique()} regions make worse (q < {LEVEL:.0%}):"
    ]
    hurt = rows[(rows["q"] < LEVEL) & (rows["harm"] < 0)]
    for name in dict.fromkeys(rows["measure"]):
        counts = hurt[hurt["measure"] == name]["when"].value_counts()
        counted = ", ".join(f"{when} {counts.get(when, 0)}" for when in time)
        clear = sides[(sides["measure"] == name) & (sides["q"] < LEVEL)]
        contrast = "whether the side matters is not clear"
        if len(clear):
            most = clear.iloc[int(clear["difference"].abs().argmax())]
            gap = Estimate.of(most, "difference", "ci_low", "ci_high")
            contrast = (
                f"the side matters for {len(clear)}, most for {most['region']}: "
                f"{number(most['left'])} if cut in left bends, {number(most['right'])} in right "
                f"ones (difference {number(gap.value)}, 95 % {gap.ends()})"
            )
        unit = f", {MEASURES[name].unit}" if MEASURES[name].unit else ""
        lines.append(f"- {MEASURES[name].label}{unit}: {counted}; {contrast}.")
    return "\n".join(lines)
