"""The figure of recurrence: networks' maps with matched rows, their similarity, localisation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from rl_ablation.analysis.consistency import Consistency, match
from rl_ablation.formats import Estimate, number
from rl_ablation.reports import style

COLUMNS = 6
"""Maps side by side at most."""


@style.styled
def recurrence_figure(
    title: str, maps: Mapping[str, pd.DataFrame], found: Mapping[str, Consistency],
    local: pd.DataFrame,
) -> Figure:  # fmt: skip
    """Maps side by side, the same row being matched regions; below, the evidence.

    ``maps``: network → harm, regions × behaviours, below 0 is worse. The typical network of the
    first in ``found``, name → recurrence, gives the order of the rows.
    """
    regions, behaviours = max(map(len, maps.values())), local["behaviour"].nunique()
    top = (1.5 + 0.33 * regions) * -(-len(maps) // COLUMNS)
    bottom = 1.6 + 0.4 * behaviours
    figure = style.page(11.5, top + bottom, title + "\n", size=12)
    grid = figure.add_gridspec(2, 1, height_ratios=[top, bottom], hspace=0.05)
    upper, lower = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    _maps(upper, maps, next(iter(found.values())).typical)
    panels = lower.subplots(1, len(found) + 1, width_ratios=[*(1.0 for _ in found), 1.9])
    for axes, (name, recurrence) in zip(panels, found.items(), strict=False):
        _similarity(axes, recurrence, name)
    panels[0].legend(loc="upper left")
    _local(panels[-1], local[local["index"] == "worst share"], regions)
    return figure


def _maps(figure: SubFigure, maps: Mapping[str, pd.DataFrame], reference: int) -> None:
    rows = -(-len(maps) // COLUMNS)
    panels = list(figure.subplots(rows, -(-len(maps) // rows), squeeze=False).flat)
    typical = list(maps.values())[reference].to_numpy()
    order = typical.sum(1).argsort(kind="stable")  # the regions with most harm come first
    for k, (axes, (network, harm)) in enumerate(zip(panels, maps.items(), strict=False)):
        matched = match(typical[order], harm.to_numpy()).order
        rest = [r for r in range(len(harm)) if r not in matched]
        ordered = harm.iloc[[r for r in matched if r >= 0] + rest]
        names = [name.replace("cluster-", "") for name in ordered.index]
        heads = [style.short_label(name) for name in ordered.columns]
        mesh = style.heatmap(axes, ordered, names, heads, above=True, turn=60)
        mark = " (sets the order)" if k == reference else ""
        axes.set_xlabel(network + mark, fontweight="bold")
    for axes in panels[len(maps) :]:
        axes.set_axis_off()
    style.colour_bar(mesh, panels, ("worse", "0", "better"), shrink=0.9, aspect=16)


def _similarity(axes: Axes, recurrence: Consistency, name: str) -> None:
    axes.hist(recurrence.null, bins=30, color=style.GREY, label="shuffled")
    axes.axvline(recurrence.score, color=style.PURPLE, lw=2.5, label="these networks")
    score, p = number(recurrence.score), recurrence.p
    axes.set_title(f"similarity, {name}:\n{score}, p = {p:.3f} uncorrected")
    axes.set_xlabel("mean similarity over pairs of networks")
    axes.set(xlim=(min(0.0, recurrence.null.min(), recurrence.score), 1.0), yticks=[])
    axes.spines["left"].set_visible(False)


def _local(axes: Axes, local: pd.DataFrame, regions: int) -> None:
    behaviours = list(dict.fromkeys(local["behaviour"]))
    singles = [c for c in local.columns if c.startswith("network ")]
    for division, colour, shift, label in (
        ("clusters", style.PURPLE, -0.16, "functional clusters"),
        ("random", style.GREY, 0.16, "random regions of their sizes"),
    ):
        part = local[local["division"] == division]
        heights = np.arange(len(part)) + shift
        axes.plot(part[singles], heights, "o", ms=4, mfc="none", mec=colour)
        for y, row in enumerate(part.to_dict("records")):
            found = Estimate.of(row, "iqm", "ci_low", "ci_high")
            name = label if y == 0 else None
            style.estimate(axes, y + shift, found, colour, "D", label=name)
    style.name_rows(axes, [style.short_label(name) for name in behaviours], zero=None)
    axes.grid(visible=False)
    axes.axvline(1 / regions, color="#444444", lw=0.8, ls=":")
    axes.text(1 / regions, -0.55, " even", va="center")
    axes.set(xlim=(0, 1.02), ylim=(len(behaviours) - 0.5, -0.75))
    axes.set_xlabel(
        "share of all harm that the worst region does\n"
        "diamond: interquartile mean, bar: 95 %; ring: each network"
    )
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncol=2)
