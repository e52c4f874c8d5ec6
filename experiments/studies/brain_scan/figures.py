"""Figures of a brain scan: units of a layer under several maps, and activity over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from experiments.studies.brain_scan.chance import TRAINED
from rl_ablation.analysis.layout import as_image
from rl_ablation.analysis.scan import Scan
from rl_ablation.formats import number
from rl_ablation.measures.laps import BEND
from rl_ablation.measures.registry import MEASURES
from rl_ablation.reports import style
from rl_ablation.stats import LEVEL


@dataclass(frozen=True, eq=False)
class Block:
    """Neighbouring columns of a figure that share a colour scale."""

    title: str  # what the colour is
    cmap: str
    ticks: Mapping[float, str]  # value → label of the colour bar, from its lower to its upper end
    maps: Mapping[str, Mapping[str, np.ndarray]]  # column's title → site → values of units, (H,)
    outlined: Mapping[str, Mapping[str, np.ndarray]]  # the same → units to outline, (H,) bool


def mean_block(scanned: Scan) -> Block:
    """Mean activity in every behaviour."""
    means = {name: scanned.split(np.nanmean(m, 0)) for name, m in scanned.means.items()}
    # A few loud units must not make all others look alike.
    most = float(np.nanquantile(np.abs(np.stack(list(scanned.means.values()))), 0.98))
    ticks = {-most: number(-most), 0.0: "0", most: number(most)}
    return Block("mean activity", "cividis", ticks, means, {})


def contrast_block(scanned: Scan, table: pd.DataFrame, level: float) -> Block:
    """Contrasts of `rl_ablation.analysis.scan.contrasts`, significant units outlined.

    ``level`` is the size that 19 of 20 units stay below by chance, in the unit's s.d.
    """
    parts = {str(name): part for name, part in table.groupby("contrast", sort=False)}
    strength = {n: scanned.split(part["strength"].to_numpy()) for n, part in parts.items()}
    sure = {n: scanned.split((part["p_fwe"] < LEVEL).to_numpy()) for n, part in parts.items()}
    ticks = {-2.0: "−2", 0.0: "0", 2.0: "+2"}
    name = (
        "contrast [the unit's s.d.]; outlined: p < 5 %\n"
        f"shuffled labels: 95 % of units within ±{number(level)}"
    )
    return Block(name, style.DIVERGING, ticks, strength, sure)


def lesion_block(scanned: Scan, rows: pd.DataFrame, measures: Sequence[str]) -> Block:
    """What cutting each unit changes, as a share of the intact value."""
    better = rows["measure"].map(lambda m: MEASURES[m].better)
    rows = rows.assign(share=better * rows["delta"] / rows["intact"])
    names = [f"{site}/{unit}" for site, size in scanned.sites.items() for unit in range(size)]
    wide = rows.pivot(index="lesion", columns="measure", values=["share", "q"]).reindex(names)
    share, q = wide["share"], wide["q"]
    most = max(0.01, float(np.nanmax(np.abs(share[list(measures)]))))
    titles = {m: f"cut:\n{style.short_label(m)}" for m in measures}
    maps = {titles[m]: scanned.split(share[m].to_numpy()) for m in measures}
    sure = {titles[m]: scanned.split((q[m] < LEVEL).to_numpy()) for m in measures}
    title = "change when the unit is cut, of the intact value; outlined: q < 5 %"
    ticks = {-most: f"{most:.0%} worse", 0.0: "0", most: f"{most:.0%} better"}
    return Block(title, style.DIVERGING, ticks, maps, sure)


@style.styled
def unit_layouts(title: str, cells: Mapping[str, np.ndarray], blocks: Sequence[Block]) -> Figure:
    """Layers × maps, units at their ``cells``; a block of columns shares a colour bar below it."""
    widths = [len(block.maps) for block in blocks]
    figure = style.page(0.9 + 1.6 * sum(widths), 1.5 + 1.75 * len(cells), title)
    # One grid for all keeps the layers in line; narrow empty columns part the blocks.
    wide, tall = [w for n in widths for w in (*[1.0] * n, 0.12)][:-1], [1.0] * len(cells) + [0.07]
    grid = figure.add_gridspec(len(tall), len(wide), width_ratios=wide, height_ratios=tall)
    first = 0
    for block in blocks:
        for column, name in enumerate(block.maps, start=first):
            for row, site in enumerate(cells):
                axes = figure.add_subplot(grid[row, column])
                image = _layer(axes, block, name, site, cells[site])
                if column == 0:
                    axes.set_ylabel(f"{site}\n{len(cells[site])} units")
                if row == 0:
                    axes.set_title(name, loc="center")
        place = figure.add_subplot(grid[len(cells), first : first + len(block.maps)])
        bar = figure.colorbar(image, cax=place, orientation="horizontal")
        bar.set_ticks(list(block.ticks), labels=list(block.ticks.values()))
        bar.set_label(block.title)
        first += len(block.maps) + 1
    return figure


def _layer(axes: Axes, block: Block, name: str, site: str, cells: np.ndarray) -> AxesImage:
    (low, *_, high), values = block.ticks, block.maps[name][site]
    image = axes.imshow(as_image(values, cells), cmap=block.cmap, vmin=low, vmax=high)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color="#bbbbbb", visible=True)
    for row, column in cells[block.outlined[name][site]] if block.outlined else ():
        corner = (column - 0.44, row - 0.44)
        axes.add_patch(Rectangle(corner, 0.88, 0.88, fill=False, ec="#111111", lw=0.7))
    return image


@style.styled
def chances(title: str, table: pd.DataFrame) -> Figure:
    """Contrasts of the trained network as lines, of chance as dots: `chance.chance`."""
    names = list(table["contrast"].unique())
    ways = [who for who in table["who"].unique() if who != TRAINED]
    figure = style.page(10.5, 1.1 + 1.5 * len(names), title)
    grid = figure.subplots(len(names), 2, sharey=True, squeeze=False)
    what = (("units", "units that pass, p < 5 %"), ("strength", "mean size of a unit's contrast"))
    for row, name in zip(grid, names, strict=True):
        part = table[table["contrast"] == name]
        for axes, (column, label) in zip(row, what, strict=True):
            own = part.loc[part["who"] == TRAINED, column].iloc[0]
            axes.axvline(own, color=style.PURPLE, lw=1.6, label="trained")
            for k, who in enumerate(ways):
                values = part.loc[part["who"] == who, column].to_numpy()
                height = k + np.linspace(-0.22, 0.22, len(values))
                axes.plot(values, height, "o", color=style.ORANGE, ms=3.5, mew=0, alpha=0.6)
            axes.set(title=f"{name.replace(chr(10), ' ')}: {label}", yticks=range(len(ways)))
            axes.set_yticklabels(ways)
            axes.set_xlim(0, 1.04 * (part["of"].max() if column == "units" else part[column].max()))
        row[0].set_ylim(len(ways) - 0.5, -0.5)
    grid[-1, 0].set_xlabel(f"units of {table['of'].max()}")
    grid[-1, 1].set_xlabel("s.d. of the unit")
    grid[0, 0].legend(loc="lower left")
    return figure


@style.styled
def over_time(bend: pd.Series, activity: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Activity along one episode, units in the order of their layout, below the track's bend.

    ``bend``: curvature of the track ahead, 1/m, by seconds; ``activity``: layer → places of
    its units, and their s.d. from the mean, (T, H).
    """
    title = "Activity along a lap, each unit signed so that it is purple in left bends on average"
    figure = style.page(10.5, 2.0 + 2.1 * len(activity), title)
    heights = [1, *[2.2] * len(activity)]
    top, *panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    time = bend.index.to_numpy()
    for sign, colour, label in ((1, style.PURPLE, "left bend"), (-1, style.ORANGE, "right bend")):
        where = (sign * bend > BEND).to_numpy()
        top.fill_between(time, bend, where=where, color=colour, step="mid", label=label)
    top.plot(time, bend, color="#333333", lw=0.8)
    top.set(ylabel="bend [1/m]", ylim=(bend.min() - 0.1, bend.max() + 0.7))
    top.legend(ncols=2, loc="upper right")
    for axes, (site, (cells, values)) in zip(panels, activity.items(), strict=True):
        order = np.lexsort((cells[:, 1], cells[:, 0]))
        image = axes.imshow(
            values[:, order].T, aspect="auto", cmap=style.DIVERGING, vmin=-2, vmax=2,
            extent=(time[0], time[-1], values.shape[1], 0), interpolation="nearest",
        )  # fmt: skip
        axes.set(ylabel=f"{site}: units\nin the layout's order", yticks=[])
    panels[-1].set_xlabel("time [s]")
    style.colour_bar(image, panels, ("−2 s.d.", "mean", "+2 s.d."), aspect=24)
    return figure
