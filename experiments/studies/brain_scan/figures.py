"""Figures of a brain scan: sheets of units under several maps, and activity over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from rl_ablation.analysis.layout import as_image
from rl_ablation.analysis.scan import Scan
from rl_ablation.formats import number
from rl_ablation.stats import LEVEL

LEFT, RIGHT = "#542788", "#b35806"


@dataclass(frozen=True, eq=False)
class Block:
    """Neighbouring columns of a figure that share a colour scale.

    Attributes:
        title: What the colour is.
        cmap: Colour map.
        limits: Its ends.
        ticks: Value → label of the colour bar.
        maps: Title of each column → site → values of the units, (H,).
        outlined: The same → units to outline, (H,) bool.
    """

    title: str
    cmap: str
    limits: tuple[float, float]
    ticks: Mapping[float, str]
    maps: Mapping[str, Mapping[str, np.ndarray]]
    outlined: Mapping[str, Mapping[str, np.ndarray]]


def mean_block(scanned: Scan) -> Block:
    """Mean activity in every behaviour."""
    means = {name: scanned.split(np.nanmean(m, 0)) for name, m in scanned.means.items()}
    # A few loud units must not make all others look alike.
    most = float(np.nanquantile(np.abs(np.stack(list(scanned.means.values()))), 0.98))
    ticks = {-most: number(-most), 0.0: "0", most: number(most)}
    return Block("mean activity", "cividis", (-most, most), ticks, means, {})


def contrast_block(scanned: Scan, table: pd.DataFrame, level: float = LEVEL) -> Block:
    """Contrasts of `rl_ablation.analysis.scan.contrasts`, significant units outlined."""
    parts = {str(name): part for name, part in table.groupby("contrast", sort=False)}
    return Block(
        "contrast [the unit's s.d.]; outlined: p < 5 %",
        "PuOr",
        (-2.0, 2.0),
        {-2.0: "−2", 0.0: "0", 2.0: "+2"},
        {name: scanned.split(part["strength"].to_numpy()) for name, part in parts.items()},
        {name: scanned.split((part["p_fwe"] < level).to_numpy()) for name, part in parts.items()},
    )


def sheets(title: str, cells: Mapping[str, np.ndarray], blocks: Sequence[Block]) -> Figure:
    """Layers × maps, each layer on its sheet; a block of columns shares a colour bar below it.

    Args:
        title: What the figure shows.
        cells: Site → place of each unit, of `rl_ablation.analysis.layout.unit_layout`.
        blocks: The columns.
    """
    widths = [len(block.maps) for block in blocks]
    figure = Figure(
        figsize=(0.9 + 1.6 * sum(widths), 1.5 + 1.75 * len(cells)), layout="constrained", dpi=150
    )
    # One grid for all keeps the layers in line; narrow empty columns part the blocks.
    wide = [w for n in widths for w in (*[1.0] * n, 0.12)][:-1]
    grid = figure.add_gridspec(
        len(cells) + 1, len(wide), width_ratios=wide, height_ratios=[1.0] * len(cells) + [0.07]
    )
    first = 0
    for block in blocks:
        for column, (name, values) in enumerate(block.maps.items(), start=first):
            for row, site in enumerate(cells):
                axes = figure.add_subplot(grid[row, column])
                outlined = block.outlined.get(name, {}).get(site)
                image = _sheet(axes, values[site], cells[site], outlined, block)
                if column == 0:
                    axes.set_ylabel(f"{site}\n{values[site].size} units", fontsize=9)
                if row == 0:
                    axes.set_title(name, fontsize=9)
        place = figure.add_subplot(grid[len(cells), first : first + len(block.maps)])
        bar = figure.colorbar(image, cax=place, orientation="horizontal")
        bar.set_ticks(list(block.ticks), labels=list(block.ticks.values()))
        bar.ax.tick_params(labelsize=8)
        bar.set_label(block.title, fontsize=8.5)
        first += len(block.maps) + 1
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


def _sheet(
    axes: Axes,
    values: np.ndarray,
    cells: np.ndarray,
    outlined: np.ndarray | None,
    block: Block,
) -> AxesImage:
    low, high = block.limits
    image = axes.imshow(as_image(values, cells), cmap=block.cmap, vmin=low, vmax=high)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color("#bbbbbb")
    for row, column in cells[outlined] if outlined is not None else ():
        axes.add_patch(
            Rectangle((column - 0.44, row - 0.44), 0.88, 0.88, fill=False, ec="#111111", lw=0.7)
        )
    return image


def over_time(
    title: str,
    time: np.ndarray,
    bend: np.ndarray,
    limit: float,
    activity: Mapping[str, np.ndarray],
    cells: Mapping[str, np.ndarray],
) -> Figure:
    """Activity along one episode, units in the order of their sheet, below the bend of the track.

    Args:
        title: What the figure shows.
        time: Seconds, (T,).
        bend: Curvature of the track ahead, 1/m, (T,).
        limit: Less than this is straight.
        activity: Site → activity in s.d. from its mean, (T, H).
        cells: Site → place of each unit.
    """
    figure = Figure(figsize=(10.5, 2.0 + 2.1 * len(activity)), layout="constrained", dpi=150)
    panels = figure.subplots(
        1 + len(activity), 1, sharex=True, height_ratios=[1, *[2.2] * len(activity)]
    )
    top = panels[0]
    top.fill_between(time, bend, where=bend > limit, color=LEFT, step="mid", label="left bend")
    top.fill_between(time, bend, where=bend < -limit, color=RIGHT, step="mid", label="right bend")
    top.plot(time, bend, color="#333333", lw=0.8)
    top.set_ylabel("bend [1/m]", fontsize=9)
    top.legend(fontsize=8, ncols=2, loc="upper right", frameon=False)
    top.set_ylim(bend.min() - 0.1, bend.max() + 0.7)
    for axes, (site, values) in zip(panels[1:], activity.items(), strict=True):
        order = np.lexsort((cells[site][:, 1], cells[site][:, 0]))
        image = axes.imshow(
            values[:, order].T, aspect="auto", cmap="PuOr", vmin=-2, vmax=2,
            extent=(time[0], time[-1], values.shape[1], 0), interpolation="nearest",
        )  # fmt: skip
        axes.set_ylabel(f"{site}: units in\nthe sheet's order", fontsize=9)
        axes.set_yticks([])
    panels[-1].set_xlabel("time [s]", fontsize=9)
    bar = figure.colorbar(image, ax=panels[1:], aspect=24, pad=0.01)
    bar.set_ticks([-2, 0, 2], labels=["−2 s.d.", "mean", "+2 s.d."])
    bar.ax.tick_params(labelsize=8)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure
