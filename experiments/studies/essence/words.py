"""The findings of the study of essence networks in sentences, from its tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from rl_ablation.analysis.localisation import HARMED, INDICES
from rl_ablation.formats import Estimate, number
from rl_ablation.stats import LEVEL, smallest_effect, student_interval

SHARE, GINI, PER_PART, HARMING = INDICES
INTEREST = {SHARE: 0.1, GINI: 0.1, PER_PART: 0.5, HARMING: 0.1}
"""Smallest difference of each index that would matter, fixed before the data."""
TOGETHER, ZERO, RANDOM = "active together", "active together, at zero", "random"
DIFFERENCE = "essence − twin"
NETWORKS = ("essence", "twin", "teacher")


def rows_of(local: pd.DataFrame, **where: str) -> pd.DataFrame:
    """The rows of a table that have these values in these columns."""
    return local[(local[list(where)] == list(where.values())).all(axis=1)]


def row_of(local: pd.DataFrame, network: str, index: str, cut: str = TOGETHER) -> pd.Series:
    """The row of an index over all layers and measures."""
    where = {"network": network, "index": index, "cut": cut, "layer": "all", "measure": "all"}
    return rows_of(local, **where).iloc[0]


def with_interval(row: Any) -> str:
    """Value and interval of an index."""
    if not np.isfinite(row["value"]):
        return "not measurable (nothing is harmed)"
    return f"{number(row['value'])} (95 % CI {Estimate.of(row).ends()})"


def tell(
    scores: pd.DataFrame, local: pd.DataFrame, made: pd.DataFrame, outside: pd.DataFrame,
    plane_share: float,
) -> str:  # fmt: skip
    """The findings in sentences."""
    parts = [_scores(scores), _locality(local), _selectivity(local)]
    return "\n\n".join([*parts, _made(made, plane_share), _outside(outside)])


def _scores(scores: pd.DataFrame) -> str:
    mean = scores.groupby("network", sort=False).mean(numeric_only=True)
    parts = [
        f"{sort} {number(row['progress'])} laps (crash {row['crash']:.0%}, "
        f"stuck {row['stuck']:.0%}, {number(row['forward_speed.alive'])} m/s)"
        for sort, row in mean.iterrows()
    ]
    pairs = int((scores["network"] == "essence").sum())
    return (
        f"*Driving.* In 24 episodes of 30 s over all six conditions, mean of {pairs} "
        f"distillation{'s' * (pairs != 1)}: {'; '.join(parts)}."
    )


def _verdict(row: Any, more: str, less: str) -> str:
    """How the essence network's side of a sentence ends, as its interval allows."""
    if not np.isfinite(row["value"]):
        return "cannot be compared with the twin's"
    found = Estimate.of(row)
    # A bootstrap over few pairs is too sure of itself.
    if found.sign and row["p"] < LEVEL:
        return f"{more if found.sign > 0 else less} the twin's"
    against = found.unclear(row["smallest"], INTEREST[row["index"]])
    return f"are not shown to be other than the twin's ({against})"


def _three(local: pd.DataFrame, index: str) -> str:
    return ", ".join(f"{with_interval(row_of(local, s, index))} in the {s}" for s in NETWORKS)


def _checks(local: pd.DataFrame, index: str) -> str:
    """Whether the difference keeps its sign under another kind of cut, and with random parts."""
    gap = row_of(local, DIFFERENCE, index)
    phrases = []
    for cut, name in ((ZERO, "held at zero instead of the mean"), (RANDOM, "parts drawn by lot")):
        row = row_of(local, DIFFERENCE, index, cut)
        same = "the same sign" if row["value"] * gap["value"] > 0 else "not the same sign"
        phrases.append(f"{name}, {with_interval(row)}, {same}")
    return "; ".join(phrases)


def _locality(local: pd.DataFrame) -> str:
    gap, gini = (row_of(local, DIFFERENCE, index) for index in (SHARE, GINI))
    rows = rows_of(local, network=DIFFERENCE, index=SHARE, cut=TOGETHER, measure="all")
    layers = rows[rows["layer"] != "all"].to_dict("records")
    phrases = [f"{row['layer']} {with_interval(row)}" for row in layers]
    return (
        "*Locality.* With equal parts of units that are active together, the share of a layer's "
        f"harm to a behaviour that its worst part does is {_three(local, SHARE)}, over the layers "
        "and behaviours that some part harms. They are not the same in all networks; where both "
        f"are harmed (pairs × layers × behaviours: {gap['cells']}), the essence network's "
        f"functions {_verdict(gap, 'are more local than', 'are less local than')} by this index: "
        f"difference {with_interval(gap)}; layer by layer {', '.join(phrases)}. The Gini "
        f"coefficient differs by {with_interval(gini)}. Checks: {_checks(local, SHARE)}. "
        "The indices tell how harm is divided, not how much there is; intervals are not corrected "
        "for there being several."
    )


def _selectivity(local: pd.DataFrame) -> str:
    gap, harms = (row_of(local, DIFFERENCE, index) for index in (PER_PART, HARMING))
    count = local["measure"].nunique() - 1
    return (
        f"*Selectivity.* A behaviour counts as harmed at {HARMED:.0%} of the reference effect. Of "
        f"the {count} behaviours, a part that harms any harms {_three(local, PER_PART)}. The "
        f"essence network's parts "
        f"{_verdict(gap, 'are less specific than', 'are more specific than')}: difference "
        f"{with_interval(gap)} behaviours. Checks: {_checks(local, PER_PART)}. The share of parts "
        f"that harm anything is {_three(local, HARMING)}: in the essence networks they "
        f"{_verdict(harms, 'are more than', 'are fewer than')} (difference {with_interval(harms)})."
    )


def _made(made: pd.DataFrame, plane_share: float) -> str:
    middle = made.groupby("network", sort=False)[["carriers", "faithful"]].median()
    one, other = middle.loc["essence"], middle.loc["twin"]
    return (
        f"*What made a unit.* 90 % of the influence on an h0 unit comes from {one['carriers']:.1%} "
        "of the samples in the essence network (support vectors; median over units) and from "
        f"{other['carriers']:.1%} in the twin (gradients at the end of training). The two "
        "influences are those of different losses: the unit's own, and the whole network's. The "
        f"plane of the picture holds {plane_share:.0%} of the visited states' variance; the side "
        f"of its boundary that it shows is the true one in {one['faithful']:.0%} of visited states "
        f"for the essence network's units, {other['faithful']:.0%} for the twin's."
    )


def _outside(outside: pd.DataFrame) -> str:
    mean: Any = outside.groupby(["network", "states"], sort=False)[["saturated", "gap"]].mean()
    saturated, gap = (mean[column].unstack("states", sort=False) for column in mean)
    near, far, mixed = gap.columns[[0, -2, -1]]
    phrases = [
        f"{s}: {saturated.loc[s, near]:.0%} of hidden units saturated in visited states, "
        f"{saturated.loc[s, far]:.0%} at {far}"
        for s in NETWORKS
    ]
    gap = gap.loc[["essence", "twin"], [near, far, mixed]]
    gaps = [f"{s} {' / '.join(map(number, gap.loc[s]))}" for s in NETWORKS[:2]]
    pairs = outside.groupby(["network", "states", "pair"])["gap"].mean().unstack("network")
    compared = []
    for where, states in (("where robots have been", near), (f"at {far}", far)):
        both = pairs.loc[states]
        further = (both["essence"] - both["twin"]).to_numpy()
        found = Estimate(float(further.mean()), *student_interval(further))
        verdict = {
            1: "the twin is nearer to the teacher", -1: "the essence network is nearer",
            0: found.unclear(smallest_effect(further)),
        }[found.sign]  # fmt: skip
        compared.append(f"{where}, {verdict} (essence − twin {found})")
    return (
        f"*Far outside.* {'; '.join(phrases)}. RMS distance of the action from the teacher's in "
        f"visited states / at {far} / with sensors shuffled: {'; '.join(gaps)}; "
        f"{'; '.join(compared)}."
    )
