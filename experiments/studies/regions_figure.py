"""The figure of the region studies: whose loss does how much of the harm to each behaviour."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.studies.regions import UNHARMED
from rl_ablation.measures.registry import MEASURES
from rl_ablation.stats import LEVEL

WORST, ORDINARY, REST = "#b35806", "#fdb863", "#d9d9d9"


def shares(maps: Mapping[str, pd.DataFrame]) -> Figure:
    """A panel a network, a bar a behaviour: the worst region's share of all harm to it.

    Args:
        maps: Title → table of `experiments.studies.regions.locality`.
    """
    rows = [len(table) for table in maps.values()]
    figure = Figure(
        figsize=(9.5, 1.4 + 0.34 * sum(rows) + 0.3 * len(rows)), layout="constrained", dpi=150
    )
    panels = figure.subplots(len(maps), 1, squeeze=False, sharex=True, height_ratios=rows)[:, 0]
    for axes, (title, table) in zip(panels, maps.items(), strict=True):
        _panel(axes, table)
        axes.set_title(title, fontsize=10, loc="left")
    panels[-1].set_xlabel(
        "share of the harm that all regions do, each cut alone: the worst region's, with 95 % "
        "interval over episodes",
        fontsize=9,
    )
    figure.suptitle(
        "Is a behaviour in one region? Dark: worse than random cuts of that size (p < 5 %)",
        x=0.01, ha="left", fontsize=11, fontweight="bold",
    )  # fmt: skip
    return figure


def _panel(axes: Axes, table: pd.DataFrame) -> None:
    for y, row in enumerate(table.to_dict("records")):
        if row["verdict"] == UNHARMED:
            axes.text(0.01, y, "no region's loss does clear harm", va="center", fontsize=8.5)
            continue
        axes.barh(y, 1.0, color=REST, height=0.8)
        dark = row["p_random"] <= LEVEL
        axes.barh(y, row["share"], color=WORST if dark else ORDINARY, height=0.8)
        interval = [row["share_low"], row["share_high"]]
        axes.plot(interval, [y + 0.28] * 2, color="#222222", lw=1.8)
        text = f"{row['lesion']} ({row['units']:.0f})"
        inside = dark and row["share"] > 0.25
        colour = "white" if inside else "#222222"
        axes.text(
            0.01 if inside or not dark else row["share"] + 0.01,
            y - 0.08,
            text,
            va="center",
            fontsize=8.5,
            color=colour,
        )
        random = f"random: p = {row['p_random']:.3f}" if row["draws"] > 0 else "no random cuts"
        note = f"{row['verdict']}: {row['hit']} of {row['regions']} regions harm it; {random}"
        axes.text(1.01, y, note, va="center", fontsize=8.5)
    axes.axvline(0.5, color="#555555", lw=0.8, ls=":")
    axes.set_yticks(range(len(table)), [MEASURES[m].label for m in table["measure"]], fontsize=9)
    axes.set(xlim=(0, 1.75), xticks=np.arange(0, 1.01, 0.25))
    axes.set_xticklabels(["0", "25 %", "50 %", "75 %", "100 %"], fontsize=8.5)
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.tick_params(length=0)
    sns.despine(ax=axes, left=True, bottom=True)
