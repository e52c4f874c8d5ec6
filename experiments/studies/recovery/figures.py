"""The figure of the recovery study: learning curves, final scores, maps before and after."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.studies.recovery.words import MAPPED
from rl_ablation.formats import Estimate, number
from rl_ablation.reports import style

COLOURS = {
    "before": style.INK, "cut": style.INK, "cut to zero": "#bbbbbb",
    "frozen": style.ORANGE, "regrow": style.PURPLE,
    "trained on": "#888888", "from scratch": "#e08214",
}  # fmt: skip
SHOWN = 4
"""Networks with a map in the figure, at most."""
STYLES = {"frozen": "-", "regrow": "-", "trained on": ":", "from scratch": "--"}


@style.styled
def draw(
    curve: pd.DataFrame, final: pd.DataFrame, summary: pd.DataFrame, regions: pd.DataFrame
) -> Figure:
    """Above: curves and final scores; below: what each cut costs. The tables are the answer's."""
    networks = list(regions["network"].unique())[:SHOWN]
    height = 0.26 * regions.groupby("network")["region"].nunique().max()
    figure = style.page(11.5, 5.6 + height)
    halves = figure.subfigures(2, 1, height_ratios=[3.9, 1.7 + height], squeeze=False)
    above, below = halves.flat
    left, right = above.subplots(1, 2, width_ratios=[1.35, 1])
    _curves(left, curve, summary)
    _finals(right, final, summary)
    panels = list(below.subplots(1, len(networks), squeeze=False)[0])
    progress = regions[regions["measure"] == "progress"]
    most = float(progress["delta"].abs().max()) or 1.0
    for axes, network in zip(panels, networks, strict=True):
        part = progress[progress["network"] == network]
        wide = part.pivot(index="region", columns="arm", values="delta")[list(MAPPED)]
        wide, old = wide.sort_values("before", kind="stable"), set(part[part["old"]]["region"])
        names = [f"✕ {name}" if name in old else str(name) for name in wide.index]
        cells = wide.map(number).to_numpy()
        mesh = style.heatmap(axes, wide, names, MAPPED, limit=most, cells=cells, turn=35)
        axes.set_title(network)
    ends = (number(-most), "0", number(most))
    style.colour_bar(mesh, panels, ends, aspect=16).set_label("change in laps when cut")
    title = f"What cutting each region costs, before and after, in {len(networks)} of the networks;"
    title += " ✕ the region that was cut"
    style.heading(below, title, size=10)
    return figure


def _curves(axes: Axes, curve: pd.DataFrame, summary: pd.DataFrame) -> None:
    for arm, line in STYLES.items():
        part = curve[curve["arm"] == arm]
        for _, one in part.groupby("network"):
            axes.plot(one["steps"], one["score"], line, color=COLOURS[arm], lw=0.7, alpha=0.45)
        mean = part.groupby("steps")["score"].mean()
        axes.plot(mean.index, mean, line, color=COLOURS[arm], lw=2.4, label=arm)
    score = summary.set_index("arm")["score"]
    for arm, label in (("before", "before the cut"), ("cut", "cut, not trained")):
        axes.axhline(score[arm], color=style.INK, lw=0.9, ls="-")
        axes.text(1.01, score[arm], label, transform=axes.get_yaxis_transform(), va="center")
    axes.set(xlabel="steps of training after the cut", ylabel="laps gained, without noise")
    axes.legend(loc="lower right")
    axes.set_title("Learning on: means bold, single networks thin")


def _finals(axes: Axes, final: pd.DataFrame, summary: pd.DataFrame) -> None:
    style.name_rows(axes, list(summary["arm"]), zero=None)
    for y, row in enumerate(summary.to_dict("records")):
        colour = COLOURS[row["arm"]]
        style.estimate(axes, y, Estimate.of(row, "score", "score_low", "score_high"), colour)
        own = final[final["arm"] == row["arm"]].groupby("network")["progress"].mean()
        axes.plot(own, np.full(len(own), y + 0.22), "|", color=colour, ms=9)
    axes.set_xlabel("laps gained; ticks: networks, line: 95 % interval")
    axes.set_title("At the end")
