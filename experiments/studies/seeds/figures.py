"""The figure of recurrence: networks' maps with like rows aligned, likeness, and localisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure, SubFigure

from rl_ablation.analysis.consistency import Consistency, match
from rl_ablation.formats import number
from rl_ablation.measures.registry import MEASURES

OWN, OTHER = "#542788", "#9a9a9a"


def recurrence_figure(
    title: str,
    maps: Sequence[np.ndarray],
    regions: Sequence[Sequence[str]],
    networks: Sequence[str],
    behaviours: Sequence[str],
    found: Mapping[str, Consistency],
    local: pd.DataFrame,
) -> Figure:
    """Maps side by side, the same row being matched regions; below, the evidence.

    Args:
        title: Of the figure.
        maps: Of each network, (regions, behaviours), below 0 is worse.
        regions: Their names.
        networks: Names.
        behaviours: Measures.
        found: Name → recurrence; the first one's typical network gives the order of the rows.
        local: Columns index, behaviour, division, iqm, ci_low, ci_high, and ``network k``.
    """
    rows = max(map(len, maps))
    top, bottom = 1.5 + 0.33 * rows, 1.6 + 0.4 * len(behaviours)
    figure = Figure(figsize=(11.5, top + bottom), layout="constrained", dpi=150)
    grid = figure.add_gridspec(2, 1, height_ratios=[top, bottom], hspace=0.05)
    upper, lower = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    figure.suptitle(title + "\n", x=0.01, ha="left", fontsize=12, fontweight="bold")
    _maps(upper, maps, regions, networks, behaviours, next(iter(found.values())).typical)
    panels = lower.subplots(1, len(found) + 1, width_ratios=[*(1.0 for _ in found), 1.9])
    for axes, (name, recurrence) in zip(panels, found.items(), strict=False):
        _likeness(axes, recurrence, name)
    panels[0].legend(fontsize=8, frameon=False, loc="upper left")
    _local(panels[-1], local[local["index"] == "worst share"], behaviours, rows)
    return figure


def _maps(
    figure: SubFigure,
    maps: Sequence[np.ndarray],
    regions: Sequence[Sequence[str]],
    networks: Sequence[str],
    behaviours: Sequence[str],
    reference: int,
) -> None:
    panels = figure.subplots(1, len(maps), squeeze=False)[0]
    # The regions with most harm come first.
    order = maps[reference].sum(1).argsort(kind="stable")
    for k, axes in enumerate(panels):
        matched = match(maps[reference][order], maps[k]).order
        rest = [r for r in range(len(maps[k])) if r not in matched]
        rows = [r for r in matched if r >= 0] + rest
        mesh = _map(axes, maps[k][rows], [regions[k][r] for r in rows], behaviours)
        mark = " (sets the order)" if k == reference else ""
        axes.set_xlabel(networks[k] + mark, fontsize=9, fontweight="bold")
    bar = figure.colorbar(mesh, ax=list(panels), shrink=0.9, aspect=16, pad=0.01)
    bar.set_ticks([-1, 0, 1], labels=["worse", "0", "better"])
    bar.ax.tick_params(labelsize=8)


def _map(
    axes: Axes, values: np.ndarray, names: Sequence[str], behaviours: Sequence[str]
) -> QuadMesh:
    mesh = axes.pcolormesh(values, cmap="PuOr", vmin=-1, vmax=1, edgecolors="white", lw=0.6)
    labels = [MEASURES[name].label.replace(" (alive)", "") for name in behaviours]
    axes.set_xticks(np.arange(len(labels)) + 0.5, labels, rotation=60, ha="left", fontsize=8,
                    rotation_mode="anchor")  # fmt: skip
    axes.xaxis.tick_top()
    short = [name.replace("cluster-", "") for name in names]
    axes.set_yticks(np.arange(len(names)) + 0.5, short, fontsize=8)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    return mesh


def _likeness(axes: Axes, recurrence: Consistency, name: str) -> None:
    axes.hist(recurrence.null, bins=30, color=OTHER, label="shuffled")
    axes.axvline(recurrence.score, color=OWN, lw=2.5, label="these networks")
    score, p = number(recurrence.score), recurrence.p
    axes.set_title(f"likeness, {name}:\n{score}, p = {p:.3f} uncorrected", fontsize=9)
    axes.set_xlabel("mean likeness over pairs of networks", fontsize=8)
    axes.set_xlim(min(0.0, recurrence.null.min(), recurrence.score), 1.0)
    axes.set_yticks([])
    axes.tick_params(labelsize=8)
    sns.despine(ax=axes, left=True)


def _local(axes: Axes, local: pd.DataFrame, behaviours: Sequence[str], regions: int) -> None:
    singles = [c for c in local.columns if c.startswith("network ")]
    for division, colour, shift in (("clusters", OWN, -0.16), ("random", OTHER, 0.16)):
        part = local[local["division"] == division].set_index("behaviour").loc[list(behaviours)]
        y = np.arange(len(behaviours)) + shift
        axes.hlines(y, part["ci_low"], part["ci_high"], color=colour, lw=3, alpha=0.5)
        for column in singles:
            axes.plot(part[column], y, "o", ms=4, mfc="none", mec=colour)
        label = "functional clusters" if division == "clusters" else "random regions of their sizes"
        axes.plot(part["iqm"], y, "D", ms=6, color=colour, label=label)
    axes.axvline(1 / regions, color="#444444", lw=0.8, ls=":")
    axes.text(1 / regions, -0.55, " even", fontsize=8, va="center")
    axes.set_ylim(len(behaviours) - 0.5, -0.75)
    axes.set_xlim(0, 1.02)
    labels = [MEASURES[name].label.replace(" (alive)", "") for name in behaviours]
    axes.set_yticks(range(len(behaviours)), labels, fontsize=9)
    axes.set_xlabel(
        "share of all harm that the worst region does\n"
        "diamond: interquartile mean, bar: 95 %; ring: each network",
        fontsize=8,
    )
    axes.legend(fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.45, 1.0), ncol=2)
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    sns.despine(ax=axes, left=True)
