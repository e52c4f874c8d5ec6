"""The figure of the populations study: two kinds of divisions, and rules of importance."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rl_ablation.analysis.weights import RULES
from rl_ablation.formats import Estimate, number
from rl_ablation.reports import style
from rl_ablation.stats import LEVEL


@style.styled
def draw(pairs: pd.DataFrame, rules: pd.DataFrame, best: str) -> Figure:
    """Left: agreement of the divisions in each layer; right: every rule in each layer."""
    figure = style.page(14, 2.6 + 0.28 * len(pairs))
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.25])
    names = list(pairs["network"] + " " + pairs["site"])
    style.name_rows(left, names)
    for y, row in enumerate(pairs.to_dict("records")):
        left.plot(row["chance"], y, "|", color=style.ORANGE, ms=14, mew=2)
        left.plot(row["effect_self"], y, "D", color="#888888", ms=6)
        left.plot(row["activity_self"], y, "s", color="#bbbbbb", ms=6)
        style.estimate(left, y, Estimate.of(row, "ari"), style.PURPLE, filled=row["q"] < LEVEL)
    for marker, label, colour in (
        ("o", "the two kinds agree (filled: q < 5 %)", style.PURPLE),
        ("|", "95 % of shuffled labels", style.ORANGE),
        ("D", "by effect, two halves", "#888888"),
        ("s", "by activity, two halves", "#bbbbbb"),
    ):
        left.plot(np.nan, np.nan, marker, color=colour, label=label, mew=2 if marker == "|" else 1)
    left.set(ylim=(len(pairs) + 1.2, -0.6), xlim=(-0.15, 1.05))
    left.set_xlabel("adjusted Rand index (1: the same division)")
    left.legend(loc="lower right")
    left.set_title("Divisions by activity against divisions by effect")
    layered = rules.assign(layer=rules["network"] + " " + rules["site"])
    wide = layered.pivot(index="layer", columns="rule", values=["rho", "q"]).loc[names]
    grid, q = wide["rho"][list(RULES)], wide["q"][list(RULES)]
    cells = grid.map(number) + np.where(q < LEVEL, "*", "")
    labels = [f"→ {rule}" if rule == best else str(rule) for rule in grid.columns]
    mesh = style.heatmap(right, grid, names, labels, cells=cells.to_numpy(), turn=40)
    right.set_title(
        "Rank correlation of each rule with the measured effect\n"
        f"→ chosen on {pairs['network'].iloc[0]} among weights alone; * q < 5 %"
    )
    style.colour_bar(mesh, right, ("−1", "0", "1"), aspect=18)
    return figure
