"""The findings about populations of units in sentences."""

from __future__ import annotations

import pandas as pd

from rl_ablation.analysis.weights import RULES
from rl_ablation.formats import Estimate, number
from rl_ablation.stats import LEVEL

RELIABLE = 0.2
"""Divisions that agree with themselves by less cannot show agreement with others."""


def tell_divisions(pairs: pd.DataFrame) -> str:
    """How far divisions by activity and by effect agree."""
    sure, k = pairs[pairs["q"] < LEVEL], pairs["k"].iloc[0]
    lines = [
        f"- {row['network']}, {row['site']}: {number(row['ari'])} (95 % CI "
        f"{Estimate.of(row, 'ari').ends()}, chance up to {number(row['chance'])}, "
        f"q = {row['q']:.3f}); with themselves: by activity {number(row['activity_self'])}, by "
        f"effect {number(row['effect_self'])}"
        for row in pairs.to_dict("records")
    ]
    own, verdict = pairs["effect_self"].median(), ", so no more than about that can be asked."
    if own < RELIABLE:
        verdict = (
            ": what single cuts change is too little, or too different from episode to episode, to "
            "divide units by, so here the question stays open."
        )
    head = (
        f"**Active together, alike in effect?** The two divisions into {k} groups agree beyond "
        f"chance in {len(sure)} of {len(pairs)} layers; the adjusted Rand index is "
        f"{number(pairs['ari'].median())} in the median, where 1 is the same division. "
        f"Divisions by effect from two halves of the episodes agree by {number(own)}{verdict}"
    )
    return "\n".join([head, "", *lines])


def tell_rules(rules: pd.DataFrame, best: str) -> str:
    """Whether weights show importance, on networks that the rule was not chosen on."""
    chooser = rules["network"].iloc[0]
    chosen_on, own = rules["network"] == chooser, rules["rule"] == best
    first = rules[own & chosen_on]["rho"].mean()
    head = (
        f"**Importance from weights alone?** On {chooser} the best rule is {best} ({RULES[best]}), "
        f"mean rank correlation with the measured effect {number(first)}."
    )
    held = rules[own & ~chosen_on]
    if held.empty:
        return f"{head} There is no other network to judge it on in this quick version."
    rows = held.to_dict("records")
    judged = [f"{row['network']} {row['site']} {Estimate.of(row, 'rho')}" for row in rows]
    up = ((held["rho"] > 0) & (held["q"] < LEVEL)).sum()
    rest = rules[~chosen_on & (rules["rule"] == "activity")]
    return (
        f"{head} On the networks it was not chosen on: {'; '.join(judged)}. It is clearly positive "
        f"in {up} of {len(held)} layers, {number(held['rho'].mean())} in the mean; activity "
        f"without any weights has {number(rest['rho'].mean())} there. Measured effects from two "
        f"halves of the episodes correlate by {number(held['effect_self'].mean())}."
    )
