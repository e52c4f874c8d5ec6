"""The figure of redundancy: single cuts beside Shapley values, pairs, lesions predicted unseen.

Purple pairs stand in for each other, orange ones need each other.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from rl_ablation.analysis.prediction import Prediction
from rl_ablation.formats import number
from rl_ablation.measures.registry import MEASURES

SINGLE, SHARED, GREY = "#b35806", "#542788", "#9a9a9a"


def redundancy_figure(
    title: str,
    groups: pd.DataFrame,
    pairs: pd.DataFrame,
    ranges: pd.DataFrame,
    prediction: Prediction,
) -> Figure:
    """A column for each behaviour: groups alone and shared, pairs of them, unseen lesions.

    Args:
        title: What was cut.
        groups: `single_cuts` merged with `shapley`; the former's columns end in ``_alone``.
        pairs: Of `interactions`.
        ranges: Indexed by measure; column ``range``, the range of its worths over coalitions.
        prediction: Of `rl_ablation.analysis.prediction.predict_lesions`.
    """
    measures, players = list(ranges.index), list(dict.fromkeys(groups["group"]))
    tall = [0.9 + 0.24 * len(players), 2.9, 2.6]
    wide = len(measures) == 1  # one column would be narrow: lay it on its side
    size = (12.0, 1.2 + tall[0]) if wide else (2.4 + 3.1 * len(measures), 1.2 + sum(tall))
    figure = Figure(figsize=size, layout="constrained", dpi=150)
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(h_pad=0.1)  # type: ignore[call-arg]
    if wide:
        panels = figure.subplots(1, 3, squeeze=False).T
    else:
        panels = figure.subplots(3, len(measures), squeeze=False, height_ratios=tall)
    short = [name.replace("cluster-", "") for name in players]
    for column, measure in enumerate(measures):
        part = groups[groups["measure"] == measure].set_index("group").loc[players]
        _bars(panels[0, column], part, measure, short if column == 0 else None)
        both = pairs[pairs["measure"] == measure]
        mesh = _matrix(panels[1, column], both, short, float(ranges["range"][measure]))
        lesions, scores = (
            table[table["measure"] == measure] for table in (prediction.lesions, prediction.scores)
        )
        _scatter(panels[2, column], lesions, scores.to_dict("records")[0])
    panels[0, 0].legend(fontsize=8, loc="lower right", frameon=False)
    panels[2, 0].set_ylabel("predicted worth", fontsize=9)
    bar = figure.colorbar(mesh, ax=list(panels[1]), shrink=0.9, aspect=14, pad=0.01)
    told = ["need each other:\n−100 % of range", "0", "back each other\nup: +100 %"]
    bar.set_ticks([-1, 0, 1], labels=told)
    bar.ax.tick_params(labelsize=8)
    figure.suptitle(
        f"{title}: what clusters are worth alone, together, and in pairs\n",
        x=0.01, ha="left", fontsize=12, fontweight="bold",
    )  # fmt: skip
    return figure


def _bars(axes: Axes, part: pd.DataFrame, measure: str, names: list[str] | None) -> None:
    y = np.arange(len(part))
    kinds = (("single cut", SINGLE, "value_alone", "ci_low_alone", "ci_high_alone", -0.19),
             ("Shapley value", SHARED, "value", "episodes_low", "episodes_high", 0.19))  # fmt: skip
    for label, colour, value, low, high, shift in kinds:
        axes.barh(y + shift, part[value], 0.36, color=colour, label=label)
        axes.hlines(y + shift, part[low], part[high], color="#222222", lw=1)
    axes.axvline(0, color="#444444", lw=0.8)
    axes.set_yticks(y, names if names is not None else [""] * len(y), fontsize=9)
    axes.invert_yaxis()
    less = MEASURES[measure].better < 0
    unit = MEASURES[measure].unit or "share"
    axes.set_title(MEASURES[measure].label + (" (avoided)" if less else ""), fontsize=10)
    axes.set_xlabel(f"lost when cut, or contributed [{unit}]", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    sns.despine(ax=axes, left=True)


def _matrix(axes: Axes, pairs: pd.DataFrame, names: list[str], full: float) -> QuadMesh:
    """Lower triangle of pair interactions, as a share of the behaviour's range."""
    count = len(names)
    grid = np.full((count, count), np.nan)
    second, first = np.tril_indices(count, -1)
    order = np.lexsort((second, first))  # pairs come as (0, 1), (0, 2), …
    second, first = second[order], first[order]
    grid[second, first] = pairs["value"] / full if full > 0 else 0.0
    mesh = axes.pcolormesh(
        grid[1:, :-1], cmap="PuOr", vmin=-1, vmax=1, edgecolors="#dddddd", lw=0.5
    )
    clear = (pairs["kind"] != "").to_numpy()
    dark = np.abs(grid[second, first]) > 0.5
    for where, colour in ((clear & dark, "white"), (clear & ~dark, "#222222")):
        axes.plot(first[where] + 0.5, second[where] - 0.5, ".", color=colour, ms=6)
    axes.set_xticks(np.arange(count - 1) + 0.5, names[:-1], rotation=90, fontsize=8)
    axes.set_yticks(np.arange(count - 1) + 0.5, names[1:], fontsize=8)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.set_title("pairs, • q < 5 %", fontsize=9)
    axes.tick_params(length=0)
    sns.despine(ax=axes, left=True, bottom=True)
    return mesh


def _scatter(axes: Axes, lesions: pd.DataFrame, score: dict[Hashable, Any]) -> None:
    axes.plot(lesions["measured"], lesions["additive"], "o", ms=4, mfc="none", mec=GREY,
              label=f"additive, R² = {number(score['additive_r2'])}")  # fmt: skip
    axes.plot(lesions["measured"], lesions["predicted"], "o", ms=4, color=SHARED,
              label=f"{score['model']}, R² = {number(score['r2'])}")  # fmt: skip
    ends = [lesions["measured"].min(), lesions["measured"].max()]
    axes.plot(ends, ends, color="#444444", lw=0.8)
    axes.set_xlabel("measured worth of held-out joint lesions", fontsize=8)
    axes.legend(fontsize=8, loc="upper left", frameon=False, handletextpad=0.1)
    axes.tick_params(labelsize=8)
    sns.despine(ax=axes)
