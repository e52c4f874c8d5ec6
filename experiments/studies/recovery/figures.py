"""The figure of the recovery study: learning curves, final scores, maps before and after."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.studies.recovery.words import MAPPED
from rl_ablation.formats import number

COLOURS = {
    "before": "#222222", "cut": "#222222", "frozen": "#b35806", "regrow": "#542788",
    "trained on": "#888888", "from scratch": "#e08214",
}  # fmt: skip
STYLES = {"frozen": "-", "regrow": "-", "trained on": ":", "from scratch": "--"}


def draw(
    curve: pd.DataFrame, final: pd.DataFrame, summary: pd.DataFrame, regions: pd.DataFrame
) -> Figure:
    """Above: curves and final scores; below: what cutting each region costs, network by network.

    Args:
        curve: Columns network, arm, steps, score.
        final: Columns network, arm, episode, progress.
        summary: Columns arm, score, score_low, score_high.
        regions: Columns network, arm, region, old, measure, delta.
    """
    networks = list(dict.fromkeys(regions["network"]))
    height = 0.26 * regions.groupby("network")["region"].nunique().max()
    figure = Figure(figsize=(11.5, 5.6 + height), layout="constrained", dpi=150)
    halves = figure.subfigures(2, 1, height_ratios=[3.9, 1.7 + height], squeeze=False)
    above, below = halves[:, 0]
    left, right = above.subplots(1, 2, width_ratios=[1.35, 1])
    _curves(left, curve, summary)
    _finals(right, final, summary)
    panels = below.subplots(1, len(networks), squeeze=False)[0]
    progress = regions[regions["measure"] == "progress"]
    most = float(progress["delta"].abs().max()) or 1.0
    for axes, network in zip(panels, networks, strict=True):
        image = _map(axes, progress[progress["network"] == network], most)
        axes.set_title(network, fontsize=9.5, loc="left")
    bar = below.colorbar(image, ax=list(panels), shrink=0.85, aspect=16, pad=0.01)
    bar.set_label("change in laps when cut", fontsize=8.5)
    bar.ax.tick_params(labelsize=8)
    below.suptitle(
        "What cutting each region costs, before and after; ✕ the region that was cut",
        x=0.01, ha="left", fontsize=10, fontweight="bold",
    )  # fmt: skip
    return figure


def _curves(axes: Axes, curve: pd.DataFrame, summary: pd.DataFrame) -> None:
    for arm, style in STYLES.items():
        part = curve[curve["arm"] == arm]
        for _, one in part.groupby("network"):
            axes.plot(one["steps"], one["score"], style, color=COLOURS[arm], lw=0.7, alpha=0.45)
        mean = part.groupby("steps")["score"].mean()
        axes.plot(mean.index, mean, style, color=COLOURS[arm], lw=2.4, label=arm)
    score = summary.set_index("arm")["score"]
    for arm, label in (("before", "before the cut"), ("cut", "cut, not trained")):
        axes.axhline(score[arm], color="#222222", lw=0.9, ls="-")
        beside = axes.get_yaxis_transform()
        axes.text(1.01, score[arm], label, transform=beside, va="center", fontsize=8.5)
    axes.set_xlabel("steps of training after the cut", fontsize=9)
    axes.set_ylabel("laps gained, without noise", fontsize=9)
    axes.legend(fontsize=8.5, frameon=False, loc="lower right")
    axes.set_title("Learning on: means bold, single networks thin", fontsize=9.5, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8.5)


def _finals(axes: Axes, final: pd.DataFrame, summary: pd.DataFrame) -> None:
    for y, row in enumerate(summary.to_dict("records")):
        colour = COLOURS[row["arm"]]
        axes.plot([row["score_low"], row["score_high"]], [y, y], color=colour, lw=2.4)
        axes.plot(row["score"], y, "o", color=colour, ms=7)
        own = final[final["arm"] == row["arm"]].groupby("network")["progress"].mean()
        axes.plot(own, np.full(len(own), y + 0.22), "|", color=colour, ms=9)
    axes.set_yticks(range(len(summary)), summary["arm"], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel("laps gained; ticks: networks, line: 95 % interval", fontsize=9)
    axes.set_title("At the end", fontsize=9.5, loc="left")
    axes.grid(axis="x", color="#e4e4e4", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="x", labelsize=8.5)


def _map(axes: Axes, part: pd.DataFrame, most: float) -> object:
    wide = part.pivot(index="region", columns="arm", values="delta")[list(MAPPED)]
    old = set(part[part["old"]]["region"])
    wide = wide.sort_values("before", kind="stable")
    image = axes.imshow(wide.to_numpy(), cmap="PuOr", vmin=-most, vmax=most, aspect="auto")
    for i, values in enumerate(wide.to_numpy()):
        for j, value in enumerate(values):
            colour = "white" if abs(value) > 0.65 * most else "#222222"
            axes.text(j, i, number(value), ha="center", va="center", fontsize=8, color=colour)
    names = [f"✕ {name}" if name in old else str(name) for name in wide.index]
    axes.set_yticks(range(len(names)), names, fontsize=8.5)
    axes.set_xticks(range(len(MAPPED)), MAPPED, fontsize=8.5)
    axes.tick_params(length=0)
    return image
