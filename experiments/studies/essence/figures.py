"""Pictures and words of the study of essence networks, made from its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from rl_ablation.analysis.boundaries import Surface
from rl_ablation.analysis.localisation import HARMED, INDICES
from rl_ablation.formats import number
from rl_ablation.measures.registry import MEASURES

SHARE, GINI, PER_PART, HARMING = INDICES
TOGETHER, ZERO, RANDOM = "active together", "active together, at zero", "random"
DIFFERENCE = "essence − twin"
COLOURS = {"essence": "#542788", "twin": "#b35806", "teacher": "#777777"}
MARKS = {"essence": "o", "twin": "s", "teacher": "D"}


@dataclass(frozen=True, eq=False)
class View:
    """One unit over the plane.

    Attributes:
        network: Its network.
        unit: Its number in h0.
        surface: Its activity over the plane.
        visited: Features of visited states, (S, 2).
        carriers: Features of the training samples that carry 90 % of its pull, (C, 2).
        samples: How many training samples there were.
    """

    network: str
    unit: int
    surface: Surface
    visited: np.ndarray
    carriers: np.ndarray
    samples: int


def locality_figure(
    local: pd.DataFrame, maps: Mapping[str, pd.DataFrame], views: Sequence[View]
) -> Figure:
    """How local; which part harms what; what made a unit."""
    figure = Figure(figsize=(16, 9.4), layout="constrained", dpi=150)
    grid = figure.add_gridspec(1, 3, width_ratios=[1.0, 1.35, 0.95], wspace=0.03)
    left, middle, right = (figure.add_subfigure(grid[k]) for k in range(3))
    upper, lower = left.subplots(2, 1, height_ratios=[2.2, 1])
    _shares(upper, local)
    _per_part(lower, local)
    for axes, (sort, frame) in zip(middle.subplots(1, 2), maps.items(), strict=False):
        _map(axes, frame, sort, first=sort == "essence")
    for axes, shown in zip(right.subplots(len(views), 1), views, strict=True):
        _boundary(axes, shown)
    left.suptitle("How local is each function?", fontsize=13, fontweight="bold")
    middle.suptitle("What the loss of each part changes", fontsize=13, fontweight="bold")
    right.suptitle("What made a unit, where it switches", fontsize=13, fontweight="bold")
    return figure


def _pick(local: pd.DataFrame, **where: str) -> pd.DataFrame:
    for column, value in where.items():
        local = local[local[column] == value]
    return local


def _dot(axes: Any, row: Mapping[Any, Any], y: float, sort: str, label: str | None = None) -> None:
    axes.plot([row["low"], row["high"]], [y, y], color=COLOURS[sort], lw=2.2, alpha=0.75)
    axes.plot(row["value"], y, MARKS[sort], color=COLOURS[sort], ms=7, label=label)


def _shares(axes: Any, local: pd.DataFrame) -> None:
    rows = _pick(local, cut=TOGETHER, index=SHARE, layer="all")
    names = list(dict.fromkeys(rows["measure"]))
    names = [*(n for n in names if n != "all"), "all"]
    sorts = [s for s in COLOURS if s in set(rows["network"])]
    for k, sort in enumerate(sorts):
        table = rows[rows["network"] == sort].set_index("measure")
        for y, name in enumerate(names):
            label = sort if y == 0 else None
            _dot(axes, table.loc[name].to_dict(), y + 0.22 * (k - 1), sort, label)
    axes.axhline(len(names) - 1.5, color="#bbbbbb", lw=0.8)
    axes.set_yticks(
        range(len(names)),
        [MEASURES[n].label.replace(" (alive)", "") if n != "all" else "all harmed" for n in names],
        fontsize=11,
    )
    axes.invert_yaxis()
    gap = _row(local, DIFFERENCE, SHARE, TOGETHER)
    axes.set_xlabel(
        "share of a layer's harm done by its worst part\n"
        f"{DIFFERENCE} where both are harmed:\n{_interval(gap)}",
        fontsize=10.5,
    )
    axes.legend(fontsize=10, loc="upper center", bbox_to_anchor=(0.4, 1.1), ncols=3, frameon=False)
    _tidy(axes)


def _per_part(axes: Any, local: pd.DataFrame) -> None:
    cuts = [TOGETHER, ZERO, RANDOM]
    for k, sort in enumerate(COLOURS):
        rows = _pick(local, network=sort, index=PER_PART, layer="all").set_index("cut")
        for y, how in enumerate(cuts):
            if how in rows.index:
                _dot(axes, rows.loc[how].to_dict(), y + 0.22 * (k - 1), sort)
    labels = ["units active\ntogether", "the same,\nheld at zero", "random\nunits"]
    axes.set_yticks(range(len(cuts)), labels, fontsize=11)
    axes.invert_yaxis()
    axes.set_xlabel("behaviours harmed by a part that harms any", fontsize=11)
    _tidy(axes)


def _tidy(axes: Any) -> None:
    axes.tick_params(axis="x", labelsize=10)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#e4e4e4", lw=0.7)
    axes.set_axisbelow(True)
    sns.despine(ax=axes, left=True)


def _map(axes: Any, frame: pd.DataFrame, sort: str, first: bool) -> None:
    sns.heatmap(
        frame, ax=axes, cmap="PuOr", center=0, vmin=-1, vmax=1, linewidths=0.6, cbar=not first,
        cbar_kws={"shrink": 0.5, "aspect": 18, "pad": 0.03},
    )  # fmt: skip
    if not first:
        bar = axes.collections[0].colorbar
        bar.set_ticks([-1, 0, 1], labels=["full-size\nloss", "no\nchange", "full-size\ngain"])
        bar.ax.tick_params(labelsize=9)
    heads = [MEASURES[name].label.replace(" (alive)", "") for name in frame.columns]
    axes.set_xticks(np.arange(len(heads)) + 0.5, heads, rotation=60, ha="right", fontsize=10.5,
                    rotation_mode="anchor")  # fmt: skip
    axes.set_yticks(np.arange(len(frame)) + 0.5, list(frame.index), rotation=0, fontsize=9.5)
    layers = [name.split("/")[0] for name in frame.index]
    for y in np.flatnonzero([a != b for a, b in pairwise(layers)]):
        axes.axhline(y + 1, color="#333333", lw=1.2)
    axes.tick_params(length=0)
    axes.set_title(f"{sort} (first pair)", fontsize=11, color=COLOURS[sort])


def _boundary(axes: Any, shown: View) -> None:
    surface = shown.surface
    axes.pcolormesh(
        surface.x, surface.y, surface.values, cmap="PuOr", vmin=-1, vmax=1, alpha=0.55,
        rasterized=True,
    )  # fmt: skip
    axes.plot(*shown.visited.T, ".", color="#666666", ms=2, alpha=0.5)
    axes.plot([], [], ".", color="#666666", ms=7, label="visited states")
    axes.contour(surface.x, surface.y, surface.values, levels=[0], colors="black", linewidths=2)
    axes.plot([], [], color="black", lw=2, label="boundary (activity 0)")
    what = f"{len(shown.carriers)} of {shown.samples} samples carry 90 % of its pull"
    axes.plot(*shown.carriers.T, "o", ms=5, mfc="none", mec="#000000", mew=0.9, label=what,
              alpha=1.0 if len(shown.carriers) < 100 else 0.35)  # fmt: skip
    axes.set(xlim=surface.x[[0, -1]], ylim=surface.y[[0, -1]])
    axes.set_xlabel(surface.plane.names[0], fontsize=11)
    axes.set_ylabel(surface.plane.names[1], fontsize=11)
    title = f"{shown.network}, h0 unit {shown.unit} (orange −1, purple +1)"
    axes.set_title(title, fontsize=10.5, color=COLOURS[shown.network])
    axes.legend(fontsize=9.5, loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False,
                labelspacing=0.2)  # fmt: skip


def outside_figure(outside: pd.DataFrame) -> Figure:
    """Saturation, actions at their limits, and distance from the teacher, far from anything."""
    figure = Figure(figsize=(13, 4.2), layout="constrained", dpi=150)
    panels = {
        "saturated": "share of hidden units saturated",
        "at_limit": "share of actions at a limit",
        "moved": "distance of the action from\nthat in the visited state",
        "gap": "RMS distance from the\nteacher's action",
    }
    means = outside.groupby(["network", "states"], sort=False)[list(panels)].mean()
    for axes, (column, label) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for sort in COLOURS:
            if column == "gap" and sort == "teacher":
                continue
            values = means.loc[sort][column]
            x = np.arange(len(values))
            axes.plot(x[:-1], values.iloc[:-1], MARKS[sort] + "-", color=COLOURS[sort], label=sort)
            axes.plot(x[-1:], values.iloc[-1:], MARKS[sort], color=COLOURS[sort])
        axes.set_xticks(x, values.index, fontsize=9)
        axes.get_xticklabels()[-1].set(rotation=30, ha="right", rotation_mode="anchor")
        axes.set_title(label, fontsize=11)
        axes.set_ylim(bottom=0)
        axes.grid(color="#e4e4e4", lw=0.7)
        sns.despine(ax=axes)
    figure.axes[0].legend(fontsize=10, frameon=False)
    figure.supxlabel("distance of a visited state from the mean state, stretched; sensors shuffled",
                     fontsize=10)  # fmt: skip
    return figure


def tell(
    scores: pd.DataFrame,
    local: pd.DataFrame,
    made: pd.DataFrame,
    outside: pd.DataFrame,
    plane_share: float,
) -> str:
    """The findings in sentences."""
    return "\n\n".join(
        [_scores(scores), _locality(local), _selectivity(local), _made(made, plane_share),
         _outside(outside)]
    )  # fmt: skip


def _scores(scores: pd.DataFrame) -> str:
    mean = scores.groupby("network", sort=False).mean(numeric_only=True)
    parts = [
        f"{sort} {number(row['progress'])} laps (crash {row['crash']:.0%}, "
        f"stuck {row['stuck']:.0%}, {number(row['forward_speed.alive'])} m/s)"
        for sort, row in mean.iterrows()
    ]
    pairs = int((scores["network"] == "essence").sum())
    return (
        f"*Driving.* In 24 episodes of 30 s over all six conditions, mean of {pairs} "
        f"distillation{'s' * (pairs != 1)}: {'; '.join(parts)}."
    )


def _row(local: pd.DataFrame, network: str, index: str, cut: str, layer: str = "all") -> Any:
    rows = _pick(local, network=network, index=index, cut=cut, layer=layer, measure="all")
    return rows.iloc[0]


def _verdict(row: Any, more: str, less: str) -> str:
    if not np.isfinite(row["value"]):
        return "cannot be compared with"
    if row["low"] > 0:
        return more
    return less if row["high"] < 0 else "not clearly different from"


def _interval(row: Any) -> str:
    if not np.isfinite(row["value"]):
        return "not measurable (nothing is harmed)"
    return f"{number(row['value'])} (95 % CI {number(row['low'])} to {number(row['high'])})"


def _three(local: pd.DataFrame, index: str) -> str:
    told = [f"{_interval(_row(local, s, index, TOGETHER))} in the {s}" for s in COLOURS]
    return ", ".join(told)


def _checks(local: pd.DataFrame, index: str) -> str:
    """Whether the difference keeps its sign under another kind of cut, and with random parts."""
    gap = _row(local, DIFFERENCE, index, TOGETHER)
    told = []
    for cut, name in (
        (ZERO, "held at zero instead of the mean"),
        (RANDOM, "parts drawn by lot"),
    ):
        row = _row(local, DIFFERENCE, index, cut)
        same = "the same sign" if row["value"] * gap["value"] > 0 else "not the same sign"
        told.append(f"{name}, {_interval(row)}, {same}")
    return "; ".join(told)


def _locality(local: pd.DataFrame) -> str:
    gap = _row(local, DIFFERENCE, SHARE, TOGETHER)
    layers = [x for x in dict.fromkeys(_pick(local, network=DIFFERENCE)["layer"]) if x != "all"]
    told = [f"{x} {_interval(_row(local, DIFFERENCE, SHARE, TOGETHER, x))}" for x in layers]
    return (
        "*Locality.* With equal parts of units that are active together, the share of a layer's "
        f"harm to a behaviour that its worst part does is {_three(local, SHARE)}, over the layers "
        "and behaviours that some part harms. They are not the same in all networks; where both "
        f"are harmed (pairs × layers × behaviours: {gap['cells']}), the essence network's "
        f"functions are {_verdict(gap, 'more local than', 'less local than')} the twin's by this "
        f"index: difference {_interval(gap)}; layer by layer {', '.join(told)}. The Gini "
        f"coefficient differs by {_interval(_row(local, DIFFERENCE, GINI, TOGETHER))}. Checks: "
        f"{_checks(local, SHARE)}. The indices tell how harm is divided, not how much there is."
    )


def _selectivity(local: pd.DataFrame) -> str:
    gap, harms = (_row(local, DIFFERENCE, index, TOGETHER) for index in (PER_PART, HARMING))
    count = len(dict.fromkeys(local["measure"])) - 1
    return (
        f"*Selectivity.* A behaviour counts as harmed at {HARMED:.0%} of a full-size change. Of "
        f"the {count} behaviours, a part that harms any harms {_three(local, PER_PART)}. The "
        f"essence network's parts are {_verdict(gap, 'less specific than', 'more specific than')} "
        f"the twin's: difference {_interval(gap)} behaviours. Checks: {_checks(local, PER_PART)}. "
        f"The share of parts that harm anything is {_three(local, HARMING)}: the essence "
        f"network's is {_verdict(harms, 'larger than', 'smaller than')} the twin's."
    )


def _made(made: pd.DataFrame, plane_share: float) -> str:
    middle = made.groupby("network", sort=False)[["carriers", "faithful"]].median()
    one, other = middle.loc["essence"], middle.loc["twin"]
    return (
        f"*What made a unit.* 90 % of the pull at an h0 unit comes from {one['carriers']:.1%} of "
        "the samples in the essence network (support vectors; median over units) and from "
        f"{other['carriers']:.1%} in the twin (gradients at the end of training). The two pulls "
        "are those of different losses: the unit's own, and the whole network's. The plane of "
        f"the picture holds {plane_share:.0%} of the visited states' variance; the side of its "
        f"boundary that it shows is the true one in {one['faithful']:.0%} of visited states for "
        f"the essence network's units, {other['faithful']:.0%} for the twin's."
    )


def _outside(outside: pd.DataFrame) -> str:
    columns = ["saturated", "at_limit", "gap"]
    mean = outside.groupby(["network", "states"], sort=False)[columns].mean()
    states = list(dict.fromkeys(outside["states"]))
    near, far, mixed = states[0], states[-2], states[-1]
    told = [
        f"{s}: {mean.loc[(s, near), 'saturated']:.0%} of hidden units saturated in visited states, "
        f"{mean.loc[(s, far), 'saturated']:.0%} at {far}"
        for s in COLOURS
    ]
    gaps = [
        f"{s} {' / '.join(number(mean.loc[(s, x), 'gap']) for x in (near, far, mixed))}"
        for s in COLOURS
        if s != "teacher"
    ]
    closer = min(("essence", "twin"), key=lambda s: float(mean.loc[(s, far), "gap"]))
    nearer = min(("essence", "twin"), key=lambda s: float(mean.loc[(s, near), "gap"]))
    where = (
        f"the {nearer} is nearer to the teacher both where robots have been and at {far}"
        if nearer == closer
        else f"the {nearer} is nearer to the teacher where robots have been, the {closer} at {far}"
    )
    return (
        f"*Far outside.* {'; '.join(told)}. RMS distance of the action from the teacher's in "
        f"visited states / at {far} / with sensors shuffled: {'; '.join(gaps)}: {where}."
    )
