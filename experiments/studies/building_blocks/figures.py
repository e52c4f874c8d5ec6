"""The figures of the building-blocks study; no numbers are made here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

import rl_ablation as rl
from envs import lidar
from experiments.studies.building_blocks.blocks import GUIDES, Block, steering_shares
from rl_ablation.analysis.maximisation import raw_observation
from rl_ablation.formats import Estimate, number
from rl_ablation.measures.laps import BEND
from rl_ablation.reports import style

RAYS = len(lidar.ANGLES)
OTHERS = ("left wheel", "right wheel", "yaw rate")  # sensors after the rays


@style.styled
def atlas(blocks: Sequence[Block], agent: rl.Policy, baseline: np.ndarray, episodes: int) -> Figure:
    """A row for each part: when it is active, what it contributes, what its loss does."""
    pictures = max(len(block.pictures) for block in blocks)
    title = (
        f"Layer, groups and unit of {agent.name} that matter most: what activates each, what it "
        "contributes, what its loss does"
    )
    figure = style.page(9.0 + 1.7 * pictures, 1.3 + 1.5 * len(blocks), title, size=12)
    grid = figure.add_gridspec(
        1 + len(blocks), pictures + 4, width_ratios=[2.0] * pictures + [1.9, 3, 1.5, 2.2],
        height_ratios=[0.3] + [1] * len(blocks),
    )  # fmt: skip
    heads = {0: "most active at\nthese moments",
             pictures: "most activating lidar\n(grey: mean reading)",
             pictures + 1: "contribution by sensor\n(purple on, orange back)",
             pictures + 2: "in sum, share\nof full speed",
             pictures + 3: f"what its loss does:\n{episodes} fresh episodes"}  # fmt: skip
    for column, head in heads.items():
        axes = figure.add_subplot(grid[0, column])
        axes.axis("off")
        # Heads are wider than their columns; they must not push these apart.
        axes.text(0, 0, head, fontsize=10, fontweight="bold", va="bottom", in_layout=False)
    raw = raw_observation(agent, np.array([baseline, *(b.maximised.inputs for b in blocks)]))
    reach = max(1.0, float(raw[:, :RAYS].max()) * lidar.RANGE)
    wheels = max(float(np.abs(np.quantile(b.by_wheel, [0.1, 0.9], 0)).max()) for b in blocks)
    sensors = max(float(np.abs(b.by_sensor).max()) for b in blocks)
    ends = pd.concat([b.loss[["low", "high"]] for b in blocks])
    harms = (min(-1.0, float(ends["low"].min())), max(0.3, float(ends["high"].max())))
    for row, block in enumerate(blocks, start=1):
        for column, picture in enumerate(block.pictures):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(picture)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if column == 0:
                axes.set_ylabel(f"{block.part.name}\n{block.units}", fontweight="bold")
                axes.set_xlabel(block.place, fontsize=8.5, loc="left")
        fan = figure.add_subplot(grid[row, pictures], projection="polar")
        assert isinstance(fan, PolarAxes)
        _fan(fan, raw[row], raw[0], reach, block)
        _strip(figure.add_subplot(grid[row, pictures + 1]), block, sensors, row == len(blocks))
        _wheels(figure.add_subplot(grid[row, pictures + 2]), block, wheels)
        _harms(figure.add_subplot(grid[row, pictures + 3]), block, harms, row == len(blocks))
    return figure


def _fan(axes: PolarAxes, obs: np.ndarray, usual: np.ndarray, reach: float, block: Block) -> None:
    """Lidar distances as seen from above, ahead up; grey: the mean visited reading."""
    axes.set_theta_zero_location("N")
    axes.set_thetalim(lidar.ANGLES[0], lidar.ANGLES[-1])
    axes.fill(np.r_[0, lidar.ANGLES, 0], np.r_[0, usual[:RAYS] * lidar.RANGE, 0], color="#d0d0d0")
    axes.plot(lidar.ANGLES, obs[:RAYS] * lidar.RANGE, "o-", color=style.PURPLE, ms=2.5, lw=1.5)
    axes.vlines(lidar.ANGLES, 0, obs[:RAYS] * lidar.RANGE, color=style.PURPLE, lw=0.6)
    axes.set_rlim(0, reach)
    axes.set_rticks(np.arange(1, reach), labels=[])
    axes.set_xticks(np.deg2rad([-90, -45, 0, 45, 90]), labels=[])
    axes.grid(visible=True)
    axes.text(
        0.5, 0.14,
        f"wheels {number(obs[RAYS])}, {number(obs[RAYS + 1])}\nyaw {number(5 * obs[-1])} rad/s\n"
        f"farther out than {block.maximised.percentile:.0f} %",
        transform=axes.transAxes, ha="center", va="top", fontsize=7.5, in_layout=False,
    )  # fmt: skip


def _strip(axes: Axes, block: Block, reach: float, last: bool) -> None:
    """Sensors × wheels: purple speeds the wheel up, orange slows it; the leftmost ray at left."""
    order = [*range(RAYS - 1, -1, -1), *range(RAYS, len(block.by_sensor))]
    shown = block.by_sensor[order].T
    axes.imshow(shown, cmap=style.DIVERGING, vmin=-reach, vmax=reach, aspect="auto")
    axes.set_yticks([0, 1], ["left\nwheel", "right\nwheel"])
    axes.axvline(RAYS - 0.5, color=style.INK, lw=0.8)
    axes.axhline(0.5, color="white", lw=1)
    names = ["ray left", "ahead", "right", *OTHERS] if last else [""] * (3 + len(OTHERS))
    axes.set_xticks([0, (RAYS - 1) / 2, RAYS - 1, *range(RAYS, len(order))], names)
    labels = axes.get_xticklabels()
    for label, side in zip(labels, ("left", "center", "right"), strict=False):
        label.set(horizontalalignment=side)
    for label in labels[3:]:
        label.set(rotation=90)
    axes.tick_params(length=2)


def _wheels(axes: Axes, block: Block, reach: float) -> None:
    mean = block.by_wheel.mean(0)
    low, high = np.quantile(block.by_wheel, [0.1, 0.9], axis=0)
    colours = [style.verdict_colour(m, clear=True) for m in mean]
    axes.barh([0, 1], mean, color=colours, height=0.6)
    axes.hlines([0, 1], low, high, color=style.INK, lw=1)
    axes.axvline(0, color=style.INK, lw=0.8)
    axes.set(xlim=(-1.1 * reach, 1.1 * reach), ylim=(1.5, -0.5), yticks=[])
    axes.set_xlabel(block.push, fontsize=8.5, fontweight="bold", in_layout=False)
    axes.spines["left"].set_visible(False)


def _harms(axes: Axes, block: Block, reach: tuple[float, float], last: bool) -> None:
    names = []
    for y, row in enumerate(block.loss.to_dict("records")):
        found, label = Estimate.of(row, "harm"), style.short_label(row["measure"])
        colour = style.verdict_colour(found.value, clear=found.sign != 0)
        axes.barh(y, found.value, color=colour, height=0.66)
        axes.plot([found.low, found.high], [y, y], color=style.INK, lw=1.2)
        names.append(f"{label}  {number(row['intact'])} → {number(row['lesioned'])}")
    style.name_rows(axes, names)
    axes.grid(visible=False)
    axes.yaxis.tick_right()
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(1.05 * reach[0], 1.05 * reach[1])
    if last:
        text = "(share of largest change;\nline: 95 % interval, grey: includes 0)"
        axes.set_xlabel(f"worse ←   → better\n{text}", fontsize=7.5)


@style.styled
def over_time_figure(through: pd.DataFrame, dt: float) -> Figure:
    """Steering through each group along an episode, the bends shaded."""
    shares = steering_shares(through)
    seconds = np.arange(len(through)) * dt
    values = {"all together": through[list(shares.index)].sum(axis=1)}
    values |= {f"{name}\n{share:.0%} of all": through[name] for name, share in shares.items()}
    title = "Who steers when: purple turns left, orange right; shaded: left and right bends"
    figure = style.page(11, 1.6 + 1.05 * len(values), title, size=12)
    panels = figure.subplots(len(values), 1, sharex=True, sharey=True)
    for axes, (name, steering) in zip(panels, values.items(), strict=True):
        for sign, colour in ((1, style.PURPLE), (-1, style.ORANGE)):
            bending = (sign * through["bend"] > BEND).to_numpy()
            axes.fill_between(seconds, 0, 1, where=bending, color=colour, alpha=0.12, lw=0,
                              transform=axes.get_xaxis_transform(), step="mid")  # fmt: skip
            push = np.where(sign * steering > 0, steering, 0.0)
            axes.fill_between(seconds, 0, push, color=colour, lw=0)
        axes.axhline(0, color=style.INK, lw=0.6)
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
    panels[-1].set_xlabel(
        "seconds into the episode; steering = right − left wheel, in shares of full speed before "
        "clipping, against the mean observation"
    )
    return figure


@style.styled
def guide_figure(points: pd.DataFrame, guide: pd.DataFrame) -> Figure:
    """What passes through each unit or group against what its loss does."""
    levels = list(dict.fromkeys(guide["level"]))
    title = (
        "Does what passes through a part predict what its loss does? "
        "Spearman's ρ of passing and loss, 95 % interval"
    )
    figure = style.page(1 + 3.6 * len(GUIDES), 0.8 + 2.5 * len(levels), title, size=12)
    panels = figure.subplots(len(levels), len(GUIDES), squeeze=False)
    for axes, row in zip(panels.flat, guide.to_dict("records"), strict=True):
        part, dots = points[points["level"] == row["level"]], {"s": 22, "alpha": 0.7, "lw": 0}
        axes.scatter(part[row["through"]], -part[row["loss"]], color=style.PURPLE, **dots)
        axes.axhline(0, color=style.INK, lw=0.6)
        rho = Estimate.of(row, "rho", "ci_low", "ci_high")
        axes.set_title(f"ρ = {rho}", loc="center")
        axes.set_xlabel(f"mean |{row['through']}| through it")
        first = f"{row['level']}\n" if axes in panels[:, 0] else ""
        axes.set_ylabel(f"{first}worse ← {row['loss']}")
    return figure
