"""The figures of the study of essence networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from experiments.studies.essence import words
from experiments.studies.essence.units import View
from experiments.studies.essence.words import NETWORKS, rows_of
from rl_ablation.formats import Estimate
from rl_ablation.reports import style

COLOURS = dict(zip(NETWORKS, (style.PURPLE, style.ORANGE, "#777777"), strict=True))
MARKS = dict(zip(NETWORKS, "osD", strict=True))


@style.styled
def locality_figure(
    local: pd.DataFrame, maps: Mapping[str, pd.DataFrame], views: Sequence[View]
) -> Figure:
    """How local; which part harms what; what made a unit."""
    figure = style.page(13.5, 8)
    grid = figure.add_gridspec(1, 3, width_ratios=[1.0, 1.35, 0.95], wspace=0.03)
    left, middle, right = (figure.add_subfigure(grid[k]) for k in range(3))
    upper, lower = left.subplots(2, 1, height_ratios=[2.2, 1])
    _shares(upper, local)
    rows = rows_of(local, index=words.PER_PART, layer="all")
    kinds = {words.TOGETHER: "units active\ntogether", words.ZERO: "the same,\nheld at zero",
             words.RANDOM: "random\nunits"}  # fmt: skip
    _estimates(lower, rows, "cut", kinds)
    lower.set_xlabel("behaviours harmed by a part that harms any")
    for axes, sort in zip(middle.subplots(1, 2), ("essence", "twin"), strict=True):
        mesh = _map(axes, maps[sort])
        axes.set_title(f"{sort} (first pair)", color=COLOURS[sort])
    ends = ("full-size\nloss", "no\nchange", "full-size\ngain")
    style.colour_bar(mesh, axes, ends, shrink=0.5, aspect=18, pad=0.03)
    for axes, shown in zip(right.subplots(len(views), 1), views, strict=True):
        _boundary(axes, shown)
    style.heading(left, "How local is each function?", 13)
    style.heading(middle, "What the loss of each part changes", 13)
    style.heading(right, "What made a unit, where it switches", 13)
    return figure


def _estimates(axes: Axes, rows: pd.DataFrame, column: str, names: Mapping[str, str]) -> None:
    """A row for each name of that column, in it a mark for each network that has it."""
    style.name_rows(axes, list(names.values()), zero=None)
    for k, sort in enumerate(NETWORKS):
        table = rows_of(rows, network=sort).set_index(column)
        for y, name in enumerate(names):
            if name in table.index:
                found, label = Estimate.of(table.loc[name]), sort if y == 0 else None
                height = y + 0.22 * (k - 1)
                style.estimate(axes, height, found, COLOURS[sort], MARKS[sort], label=label)


def _shares(axes: Axes, local: pd.DataFrame) -> None:
    rows = rows_of(local, cut=words.TOGETHER, index=words.SHARE, layer="all")
    names = {n: style.short_label(n) for n in rows["measure"] if n != "all"}
    _estimates(axes, rows, "measure", {**names, "all": "all harmed"})
    axes.axhline(len(names) - 0.5, color="#bbbbbb", lw=0.8)
    gap = words.row_of(local, words.DIFFERENCE, words.SHARE)
    axes.set_xlabel(
        "share of a layer's harm done by its worst part\n"
        f"{words.DIFFERENCE} where both are harmed:\n{words.with_interval(gap)}"
    )
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, 1.1), ncols=3)


def _map(axes: Axes, frame: pd.DataFrame) -> QuadMesh:
    heads = [style.short_label(name) for name in frame.columns]
    mesh = style.heatmap(axes, frame, list(frame.index), heads)
    layers = [name.split("/")[0] for name in frame.index]
    for y in np.flatnonzero([a != b for a, b in pairwise(layers)]):
        axes.axhline(float(y) + 1, color="#333333", lw=1.2)
    return mesh


def _boundary(axes: Axes, shown: View) -> None:
    surface = shown.surface
    over = surface.x, surface.y, surface.values
    axes.pcolormesh(*over, cmap=style.DIVERGING, vmin=-1, vmax=1, alpha=0.55, rasterized=True)
    axes.plot(*shown.visited.T, ".", color="#666666", ms=2, alpha=0.5)
    axes.plot([], [], ".", color="#666666", ms=7, label="visited states")
    axes.contour(*over, levels=[0], colors="black", linewidths=2)
    axes.plot([], [], color="black", lw=2, label="boundary (activity 0)")
    what = f"{len(shown.carriers)} of {shown.samples} samples have 90 % of the influence"
    axes.plot(*shown.carriers.T, "o", ms=5, mfc="none", mec="#000000", mew=0.9, label=what,
              alpha=1.0 if len(shown.carriers) < 100 else 0.35)  # fmt: skip
    x, y = surface.plane.names
    axes.set(xlim=surface.x[[0, -1]], ylim=surface.y[[0, -1]], xlabel=x, ylabel=y)
    title = f"{shown.network}, h0 unit {shown.unit} (orange −1, purple +1)"
    axes.set_title(title, color=COLOURS[shown.network])
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), labelspacing=0.2)


@style.styled
def outside_figure(outside: pd.DataFrame) -> Figure:
    """Saturation, actions at their limits, and distance from the teacher, far from anything."""
    figure = style.page(13, 4.2)
    panels = {
        "saturated": "share of hidden units saturated",
        "at_limit": "share of actions at a limit",
        "moved": "distance of the action from\nthat in the visited state",
        "gap": "RMS distance from the\nteacher's action",
    }
    means = outside.groupby(["network", "states"], sort=False)[list(panels)].mean()
    for axes, (column, label) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for sort in NETWORKS[:2] if column == "gap" else NETWORKS:
            values = means.loc[sort][column]
            x = np.arange(len(values))
            axes.plot(x[:-1], values.iloc[:-1], MARKS[sort] + "-", color=COLOURS[sort], label=sort)
            axes.plot(x[-1:], values.iloc[-1:], MARKS[sort], color=COLOURS[sort])
        axes.set_xticks(x, values.index)
        axes.get_xticklabels()[-1].set(rotation=30, ha="right", rotation_mode="anchor")
        axes.set(title=label, ylim=(0, None))
        axes.grid()
    figure.axes[0].legend()
    figure.supxlabel("distance of a visited state from the mean state, stretched; sensors shuffled")
    return figure
