"""The figures of the study of essence networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.studies.essence.units import View
from experiments.studies.essence.words import (
    DIFFERENCE,
    NETWORKS,
    PER_PART,
    RANDOM,
    SHARE,
    TOGETHER,
    ZERO,
    row_of,
    rows_of,
    with_interval,
)
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
    _per_part(lower, local)
    for axes, (sort, frame) in zip(middle.subplots(1, 2), maps.items(), strict=False):
        _map(axes, frame, sort, first=sort == "essence")
    for axes, shown in zip(right.subplots(len(views), 1), views, strict=True):
        _boundary(axes, shown)
    style.heading(left, "How local is each function?", 13)
    style.heading(middle, "What the loss of each part changes", 13)
    style.heading(right, "What made a unit, where it switches", 13)
    return figure


def _estimates(axes: Axes, rows: Mapping[str, pd.DataFrame], names: Sequence[str]) -> None:
    """A row for each name, in it a mark for each network that has it."""
    for k, (sort, table) in enumerate(rows.items()):
        for y, name in enumerate(names):
            if name in table.index:
                found = Estimate.of(table.loc[name])
                label = sort if y == 0 else None
                height = y + 0.22 * (k - 1)
                style.estimate(axes, height, found, COLOURS[sort], MARKS[sort], label=label)


def _shares(axes: Axes, local: pd.DataFrame) -> None:
    rows = rows_of(local, cut=TOGETHER, index=SHARE, layer="all")
    names = [n for n in dict.fromkeys(rows["measure"]) if n != "all"] + ["all"]
    _estimates(axes, {s: rows_of(rows, network=s).set_index("measure") for s in NETWORKS}, names)
    style.name_rows(axes, [*(style.short_label(n) for n in names[:-1]), "all harmed"], zero=None)
    axes.axhline(len(names) - 1.5, color="#bbbbbb", lw=0.8)
    gap = row_of(local, DIFFERENCE, SHARE, TOGETHER)
    axes.set_xlabel(
        "share of a layer's harm done by its worst part\n"
        f"{DIFFERENCE} where both are harmed:\n{with_interval(gap)}"
    )
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, 1.1), ncols=3)


def _per_part(axes: Axes, local: pd.DataFrame) -> None:
    rows = rows_of(local, index=PER_PART, layer="all")
    tables = {sort: rows_of(rows, network=sort).set_index("cut") for sort in NETWORKS}
    _estimates(axes, tables, [TOGETHER, ZERO, RANDOM])
    names = ["units active\ntogether", "the same,\nheld at zero", "random\nunits"]
    style.name_rows(axes, names, zero=None)
    axes.set_xlabel("behaviours harmed by a part that harms any")


def _map(axes: Axes, frame: pd.DataFrame, sort: str, first: bool) -> None:
    heads = [style.short_label(name) for name in frame.columns]
    mesh = style.heatmap(axes, frame, list(frame.index), heads)
    if not first:
        labels = ("full-size\nloss", "no\nchange", "full-size\ngain")
        style.colour_bar(mesh, axes, labels, shrink=0.5, aspect=18, pad=0.03)
    layers = [name.split("/")[0] for name in frame.index]
    for y in np.flatnonzero([a != b for a, b in pairwise(layers)]):
        axes.axhline(float(y) + 1, color="#333333", lw=1.2)
    axes.set_title(f"{sort} (first pair)", color=COLOURS[sort])


def _boundary(axes: Axes, shown: View) -> None:
    surface = shown.surface
    axes.pcolormesh(
        surface.x, surface.y, surface.values, cmap=style.DIVERGING, vmin=-1, vmax=1, alpha=0.55,
        rasterized=True,
    )  # fmt: skip
    axes.plot(*shown.visited.T, ".", color="#666666", ms=2, alpha=0.5)
    axes.plot([], [], ".", color="#666666", ms=7, label="visited states")
    axes.contour(surface.x, surface.y, surface.values, levels=[0], colors="black", linewidths=2)
    axes.plot([], [], color="black", lw=2, label="boundary (activity 0)")
    what = f"{len(shown.carriers)} of {shown.samples} samples have 90 % of the influence"
    axes.plot(*shown.carriers.T, "o", ms=5, mfc="none", mec="#000000", mew=0.9, label=what,
              alpha=1.0 if len(shown.carriers) < 100 else 0.35)  # fmt: skip
    axes.set(xlim=surface.x[[0, -1]], ylim=surface.y[[0, -1]])
    axes.set(xlabel=surface.plane.names[0], ylabel=surface.plane.names[1])
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
        axes.set_title(label)
        axes.set_ylim(bottom=0)
        axes.grid()
    figure.axes[0].legend()
    figure.supxlabel("distance of a visited state from the mean state, stretched; sensors shuffled")
    return figure
