"""How the building-blocks study is drawn and told; no numbers are made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from envs.lap_model import LIDAR_ANGLES, LIDAR_RANGE
from rl_ablation.analysis.maximisation import Maximum, raw_observation
from rl_ablation.formats import number
from rl_ablation.lesions.lesion import Lesion
from rl_ablation.measures.laps import BEND
from rl_ablation.measures.registry import MEASURES
from rl_ablation.policies.policy import Policy
from rl_ablation.reports.words import change

WORSE, BETTER, UNCLEAR, INK = "#b35806", "#542788", "#9a9a9a", "#333333"
LEFT, RIGHT = 0, 1
TRIFLE = 0.02  # of a full-size change; less is not told, however certain
RAYS = len(LIDAR_ANGLES)
OTHERS = ("left wheel", "right wheel", "yaw rate")  # sensors after the rays


@dataclass(frozen=True, eq=False)
class Block:
    """One part of the network, looked at from all sides.

    Attributes:
        part: Its units.
        pictures: Visited moments that drive it most.
        optimum: The best plausible input.
        by_sensor: Contribution of each sensor through it to each wheel when it is driven, (18, 2).
        by_wheel: What passes through it to each wheel at those moments, (N, 2).
        places: Share of those moments in left bends, right bends and on straights.
        usual: The same of all visited moments.
        loss: Its effects, with ``harm``, ``low`` and ``high``.
        controls: The same of random cuts of its size in its layer; empty if there are none.
    """

    part: Lesion
    pictures: Sequence[np.ndarray]
    optimum: Maximum
    by_sensor: np.ndarray
    by_wheel: np.ndarray
    places: Mapping[str, float]
    usual: Mapping[str, float]
    loss: pd.DataFrame
    controls: pd.DataFrame

    @property
    def units(self) -> str:
        """How many units it has."""
        return f"{self.part.size} unit{'s' * (self.part.size != 1)}"

    @property
    def push(self) -> str:
        """In words what it makes the robot do when it is driven; the lesser half goes unsaid."""
        left, right = self.by_wheel.mean(0)
        turn, speed = (right - left) / 2, (left + right) / 2
        told = []
        if abs(turn) > abs(speed) / 2:
            told.append("turns left" if turn > 0 else "turns right")
        if abs(speed) > abs(turn) / 2:
            told.append("speeds up" if speed > 0 else "slows down")
        return ", ".join(told)

    @property
    def place(self) -> str:
        """Where its moments lie more than others do."""
        where = max(self.places, key=lambda name: self.places[name] - self.usual[name])
        return f"{where}: {self.places[where]:.0%} (of all moments {self.usual[where]:.0%})"


# Pictures.
def atlas(blocks: Sequence[Block], agent: Policy, baseline: np.ndarray, episodes: int) -> Figure:
    """A row for each part: what drives it, what it drives, what its loss does."""
    pictures = max(len(block.pictures) for block in blocks)
    figure = Figure(figsize=(9.0 + 1.7 * pictures, 1.3 + 1.5 * len(blocks)), dpi=150,
                    layout="constrained")  # fmt: skip
    grid = figure.add_gridspec(
        1 + len(blocks), pictures + 4, width_ratios=[2.0] * pictures + [1.9, 3, 1.5, 2.2],
        height_ratios=[0.3] + [1] * len(blocks),
    )  # fmt: skip
    heads = {0: "what drives it:\nvisited moments",
             pictures: "best plausible lidar\n(grey: mean reading)",
             pictures + 1: "what it drives, by sensor\n(purple on, orange back)",
             pictures + 2: "in sum, share\nof full speed",
             pictures + 3: f"what its loss does:\n{episodes} fresh episodes"}  # fmt: skip
    for column, head in heads.items():
        axes = figure.add_subplot(grid[0, column])
        axes.axis("off")
        # Heads are wider than their columns; they must not push these apart.
        axes.text(0, 0, head, fontsize=10, fontweight="bold", va="bottom", in_layout=False)
    raw = raw_observation(agent, np.array([baseline, *(b.optimum.inputs for b in blocks)]))
    reach = max(1.0, float(raw[:, :RAYS].max()) * LIDAR_RANGE)
    wheels = max(float(np.abs(np.quantile(b.by_wheel, [0.1, 0.9], 0)).max()) for b in blocks)
    sensors = max(float(np.abs(b.by_sensor).max()) for b in blocks)
    ends = pd.concat([b.loss[["low", "high"]] for b in blocks])
    harms = (min(-1.0, float(ends["low"].min())), max(0.3, float(ends["high"].max())))
    for row, block in enumerate(blocks):
        last = row == len(blocks) - 1
        for column, picture in enumerate(block.pictures):
            axes = figure.add_subplot(grid[1 + row, column])
            axes.imshow(picture)
            axes.set(xticks=[], yticks=[])
            if column == 0:
                axes.set_ylabel(f"{block.part.name}\n{block.units}", fontsize=10,
                                fontweight="bold")  # fmt: skip
                axes.set_xlabel(block.place, fontsize=8.5, loc="left")
        fan = figure.add_subplot(grid[1 + row, pictures], projection="polar")
        assert isinstance(fan, PolarAxes)
        _fan(fan, raw[1 + row], raw[0], reach, block)
        _strip(figure.add_subplot(grid[1 + row, pictures + 1]), block, sensors, last)
        _wheels(figure.add_subplot(grid[1 + row, pictures + 2]), block, wheels)
        _harms(figure.add_subplot(grid[1 + row, pictures + 3]), block, harms, last)
    figure.suptitle(
        f"Layer, groups and unit of {agent.name} that matter most: what drives each, what it "
        "drives, what its loss does",
        x=0.01, ha="left", fontsize=12, fontweight="bold",
    )  # fmt: skip
    return figure


def _fan(axes: PolarAxes, obs: np.ndarray, usual: np.ndarray, reach: float, block: Block) -> None:
    """Lidar distances as seen from above, ahead up; grey: the mean visited reading."""
    axes.set_theta_zero_location("N")
    axes.set_thetalim(LIDAR_ANGLES[0], LIDAR_ANGLES[-1])
    axes.fill(np.r_[0, LIDAR_ANGLES, 0], np.r_[0, usual[:RAYS] * LIDAR_RANGE, 0], color="#d0d0d0")
    axes.plot(LIDAR_ANGLES, obs[:RAYS] * LIDAR_RANGE, "o-", color=BETTER, ms=2.5, lw=1.5)
    axes.vlines(LIDAR_ANGLES, 0, obs[:RAYS] * LIDAR_RANGE, color=BETTER, lw=0.6)
    axes.set_rlim(0, reach)
    axes.set_rticks(np.arange(1, reach), labels=[])
    axes.set_xticks(np.deg2rad([-90, -45, 0, 45, 90]), labels=[])
    axes.grid(color="#e4e4e4", lw=0.6)
    speed = obs[RAYS : RAYS + 2]
    axes.text(
        0.5, 0.14,
        f"wheels {number(speed[0])}, {number(speed[1])}\nyaw {number(5 * obs[-1])} rad/s\n"
        f"farther out than {block.optimum.percentile:.0f} %",
        transform=axes.transAxes, ha="center", va="top", fontsize=7.5, in_layout=False,
    )  # fmt: skip


def _strip(axes: Axes, block: Block, reach: float, last: bool) -> None:
    """Sensors × wheels: purple drives the wheel on, orange holds it back; leftmost ray at left."""
    order = [*range(RAYS - 1, -1, -1), *range(RAYS, len(block.by_sensor))]
    axes.imshow(block.by_sensor[order].T, cmap="PuOr", vmin=-reach, vmax=reach, aspect="auto")
    axes.set_yticks([0, 1], ["left\nwheel", "right\nwheel"], fontsize=8)
    axes.axvline(RAYS - 0.5, color=INK, lw=0.8)
    axes.axhline(0.5, color="white", lw=1)
    axes.set_xticks([0, (RAYS - 1) / 2, RAYS - 1, *range(RAYS, len(order))])
    names = ["ray left", "ahead", "right", *OTHERS]
    axes.set_xticklabels(names if last else [""] * len(names), fontsize=8)
    for label, side in zip(axes.get_xticklabels(), ("left", "center", "right"), strict=False):
        label.set(horizontalalignment=side)
    for label in axes.get_xticklabels()[3:]:
        label.set(rotation=90)
    axes.tick_params(length=2)


def _wheels(axes: Axes, block: Block, reach: float) -> None:
    mean = block.by_wheel.mean(0)
    low, high = np.quantile(block.by_wheel, [0.1, 0.9], axis=0)
    axes.barh([0, 1], mean, color=[BETTER if m > 0 else WORSE for m in mean], height=0.6)
    axes.hlines([0, 1], low, high, color=INK, lw=1)
    axes.axvline(0, color=INK, lw=0.8)
    axes.set(xlim=(-1.1 * reach, 1.1 * reach), ylim=(1.5, -0.5), yticks=[])
    axes.set_xlabel(block.push, fontsize=8.5, fontweight="bold", in_layout=False)
    axes.tick_params(labelsize=7.5, labelbottom=True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _harms(axes: Axes, block: Block, reach: tuple[float, float], last: bool) -> None:
    loss = block.loss.to_dict("records")
    for y, row in enumerate(loss):
        clear = row["low"] > 0 or row["high"] < 0
        colour = (BETTER if row["harm"] > 0 else WORSE) if clear else UNCLEAR
        axes.barh(y, row["harm"], color=colour, height=0.66)
        axes.plot([row["low"], row["high"]], [y, y], color=INK, lw=1.2)
    axes.axvline(0, color=INK, lw=0.8)
    texts = [
        f"{MEASURES[r['measure']].label.removesuffix(' (alive)')}  "
        f"{number(r['intact'])} → {number(r['lesioned'])}"
        for r in loss
    ]
    axes.set_yticks(range(len(loss)), texts, fontsize=8)
    axes.yaxis.tick_right()
    axes.set(xlim=(1.05 * reach[0], 1.05 * reach[1]), ylim=(len(loss) - 0.5, -0.5))
    axes.tick_params(axis="x", labelsize=7.5)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    if last:
        axes.set_xlabel("worse ←   → better\n(share of largest change;\nline: 95 % interval, grey: "
                        "includes 0)", fontsize=7.5)  # fmt: skip


def over_time_figure(through: pd.DataFrame, dt: float) -> Figure:
    """Steering through each group along an episode, the bends shaded."""
    parts = _by_share(through)
    seconds = np.arange(len(through)) * dt
    total = through[parts].sum(axis=1)
    figure = Figure(figsize=(11, 1.6 + 1.05 * (1 + len(parts))), dpi=150, layout="constrained")
    panels = figure.subplots(1 + len(parts), 1, sharex=True, sharey=True)
    share = through[parts].abs().mean() / through[parts].abs().mean().sum()
    names = ["all together", *(f"{name}\n{share[name]:.0%} of all" for name in parts)]
    for axes, name, values in zip(
        panels, names, [total, *(through[p] for p in parts)], strict=True
    ):
        for sign, colour in ((1, BETTER), (-1, WORSE)):
            bending = (sign * through["bend"] > BEND).to_numpy()
            axes.fill_between(seconds, 0, 1, where=bending, color=colour, alpha=0.12, lw=0,
                              transform=axes.get_xaxis_transform(), step="mid")  # fmt: skip
            push = np.where(sign * values > 0, values, 0.0)
            axes.fill_between(seconds, 0, push, color=colour, lw=0)
        axes.axhline(0, color=INK, lw=0.6)
        axes.set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center")
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel(
        "seconds into the episode; steering = right − left wheel, in shares of full speed before "
        "clipping, against the mean observation", fontsize=9,
    )  # fmt: skip
    figure.suptitle(
        "Who steers when: purple turns left, orange right; shaded: left and right bends",
        x=0.01, ha="left", fontsize=12, fontweight="bold",
    )  # fmt: skip
    return figure


def guide_figure(points: pd.DataFrame, guide: pd.DataFrame) -> Figure:
    """What passes through each unit or group against what its loss does."""
    pairs = list(dict.fromkeys(zip(guide["through"], guide["loss"], strict=True)))
    levels = list(dict.fromkeys(guide["level"]))
    figure = Figure(figsize=(1 + 3.6 * len(pairs), 0.8 + 2.5 * len(levels)), dpi=150,
                    layout="constrained")  # fmt: skip
    panels = figure.subplots(len(levels), len(pairs), squeeze=False)
    for row, level in enumerate(levels):
        for column, (through, loss) in enumerate(pairs):
            axes, part = panels[row, column], points[points["level"] == level]
            axes.scatter(part[through], -part[loss], s=22, color=BETTER, alpha=0.7, lw=0)
            axes.axhline(0, color=INK, lw=0.6)
            found = guide[(guide["level"] == level) & (guide["loss"] == loss)].iloc[0]
            axes.set_title(f"ρ = {number(found['rho'])} ({number(found['ci_low'])} to "
                           f"{number(found['ci_high'])})", fontsize=9)  # fmt: skip
            axes.set_xlabel(f"mean |{through}| through it", fontsize=8.5)
            axes.set_ylabel(f"{level}\nworse ← {loss}" if column == 0 else f"worse ← {loss}",
                            fontsize=8.5)  # fmt: skip
            axes.tick_params(labelsize=7.5)
            axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle("Does what passes through a part tell what its loss does? "
                    "Spearman's ρ of passing and loss, 95 % interval",
                    x=0.01, ha="left", fontsize=12, fontweight="bold")  # fmt: skip
    return figure


def _by_share(through: pd.DataFrame) -> list[str]:
    parts = through.drop(columns="bend").abs().mean()
    return list(parts.sort_values(ascending=False, kind="stable").index)


# Words.
def tell_block(block: Block) -> str:
    """What drives a part, what it drives, what its loss does, in sentences."""
    left, right = block.by_wheel.mean(0)
    text = (
        f"**{block.part.name}** ({block.units}) is driven most in {block.place}; there it "
        f"adds {number(left)} to the left wheel and {number(right)} to the right (of full speed, "
        f"before clipping): it {block.push.replace(', ', ' and ')}. "
    )
    clear = block.loss[(block.loss["low"] > 0) | (block.loss["high"] < 0)]
    clear = clear[clear["harm"].abs() > TRIFLE]
    clear = clear.sort_values("harm", key=np.abs, ascending=False)[:3]
    changes = [change(row) for row in clear.itertuples()]
    text += (
        f"Without it: {'; '.join(changes)}."
        if changes
        else "Its loss changes nothing clearly by more than a trifle."
    )
    if len(block.controls):
        null = block.controls.assign(harm=block.controls["harm"].clip(upper=0))
        totals = null.groupby("lesion")["harm"].sum()
        worse = int((totals > block.loss["harm"].clip(upper=0).sum()).sum())
        text += f" In sum that is more harm than {worse} of {len(totals)} random cuts of its size."
    return text


def tell_guide(guide: pd.DataFrame, points: pd.DataFrame) -> str:
    """Whether attribution is a guide to what a loss does, and how much a unit's loss does."""
    lines = []
    for row in guide.to_dict("records"):
        if row["ci_low"] > 0:
            verdict = f"the more {row['through']} passes through, the more the loss hurts"
        elif row["ci_high"] < 0:
            verdict = f"the more {row['through']} passes through, the *less* the loss hurts"
        else:
            verdict = f"no clear relation of {row['through']} passing through and loss of"
        lines.append(
            f"- {row['level']} ({row['n']}): {verdict} {row['loss']} (Spearman's ρ "
            f"{number(row['rho'])}, 95 % CI {number(row['ci_low'])} to {number(row['ci_high'])}; "
            f"from the spread of activity alone {number(row['rho_spread'])})"
        )
    hits = int((guide["ci_low"] > 0).sum())
    units = points[points["level"].str.startswith("units")]
    most = {name: float(units[name].abs().max()) for name in dict.fromkeys(guide["loss"])}
    small = ", ".join(f"{name} by {share:.1%}" for name, share in most.items())
    return (
        f"Is attribution a guide to what a loss does? In {hits} of {len(guide)} comparisons "
        "clearly so:\n\n" + "\n".join(lines) + "\n\n"
        f"The loss of a single unit changes {small} of a full-size change at most."
    )


def tell_over_time(through: pd.DataFrame) -> str:
    """Who steers along the episode."""
    parts = through.drop(columns="bend")
    share = parts.abs().mean() / parts.abs().mean().sum()
    told = []
    for name in _by_share(through)[:2]:
        r = float(np.corrcoef(parts[name], through["bend"])[0, 1])
        told.append(f"{name} {share[name]:.0%} (correlation with the bend ahead {number(r)})")
    return "Along one episode, most of the steering passes through " + " and ".join(told) + "."


def tell_optima(units: pd.DataFrame) -> str:
    """How far the optimised inputs are from what was visited."""
    beyond = int((units["optimised_value"] > units["top_value"]).sum())
    middle = units["optimised_percentile"].median()
    return (
        f"The optimised inputs of the {len(units)} units lie farther out than {middle:.0f} % of "
        f"the visited ones (median; at most {units['optimised_percentile'].max():.0f} %); {beyond} "
        "drive their unit higher than any visited moment does."
    )
