"""The figure of redundancy: single cuts beside Shapley values, pairs, lesions predicted unseen.

Purple pairs back each other up, orange ones need each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from experiments.studies.redundancy.game import Game
from rl_ablation.formats import number
from rl_ablation.measures.registry import MEASURES
from rl_ablation.reports import style


@style.styled
def redundancy_figure(game: Game) -> Figure:
    """A column for each behaviour: groups alone and shared, pairs of them, unseen lesions."""
    measures, players = list(game.ranges.index), game.players
    tall = [0.9 + 0.24 * len(players), 2.9, 2.6]
    wide = len(measures) == 1  # one column would be narrow: lay it on its side
    size = (12.0, 1.2 + tall[0]) if wide else (2.4 + 3.1 * len(measures), 1.2 + sum(tall))
    title = f"{game.subject.name}: what clusters contribute alone, together, and in pairs\n"
    figure = style.page(*size, title, size=12)
    figure.set_layout_engine("constrained", h_pad=0.1)
    if wide:
        panels = figure.subplots(1, 3, squeeze=False).T
    else:
        panels = figure.subplots(3, len(measures), squeeze=False, height_ratios=tall)
    short = [name.replace("cluster-", "") for name in players]
    for column, measure in enumerate(measures):
        groups, pairs, scores, lesions = (
            table[table["measure"] == measure] for table in game.tables.values()
        )
        names = short if column == 0 else [""] * len(short)
        _bars(panels[0, column], groups.set_index("group").loc[players], measure, names)
        mesh = _matrix(panels[1, column], pairs, short, float(game.ranges["range"][measure]))
        _scatter(panels[2, column], lesions, scores.iloc[0])
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    panels[2, 0].set_ylabel("predicted from the other lesions")
    ends = ("need each other:\n−100 % of range", "0", "back each other\nup: +100 %")
    style.colour_bar(mesh, list(panels[1]), ends, shrink=0.9)
    return figure


def _bars(axes: Axes, part: pd.DataFrame, measure: str, names: list[str]) -> None:
    style.name_rows(axes, names)
    axes.grid(visible=False)
    y = np.arange(len(part))
    for label, colour, value, low, high, shift in (
        ("single cut", style.ORANGE, "value_alone", "ci_low_alone", "ci_high_alone", -0.19),
        ("Shapley value", style.PURPLE, "value", "episodes_low", "episodes_high", 0.19),
    ):
        axes.barh(y + shift, part[value], 0.36, color=colour, label=label)
        axes.hlines(y + shift, part[low], part[high], color=style.INK, lw=1)
    about = MEASURES[measure]
    axes.set_title(about.label + (" (avoided)" if about.better < 0 else ""))
    axes.set_xlabel(f"lost when cut, or contributed [{about.unit or 'share'}]")


def _matrix(axes: Axes, pairs: pd.DataFrame, names: list[str], full: float) -> QuadMesh:
    """Lower triangle of pair interactions, as a share of the behaviour's range."""
    place = np.triu_indices(len(names), 1)[::-1]  # pairs come as (0, 1), (0, 2), …
    grid, marks = np.full((len(names),) * 2, np.nan), np.full((len(names),) * 2, "")
    grid[place] = pairs["value"] / full if full > 0 else 0.0
    marks[place] = np.where(pairs["kind"] != "", "●", "")
    mesh = style.heatmap(axes, grid[1:, :-1], names[1:], names[:-1], cells=marks[1:, :-1], turn=90)
    axes.set_xticklabels(names[:-1], ha="center", rotation_mode="default")
    axes.set_aspect("equal")
    axes.set_title("pairs, ● q < 5 %")
    return mesh


def _scatter(axes: Axes, lesions: pd.DataFrame, score: Mapping[Any, Any]) -> None:
    x = lesions["measured"]
    label = f"additive, R² = {number(score['additive_r2'])}"
    axes.plot(x, lesions["additive"], "o", ms=4, mfc="none", mec=style.GREY, label=label)
    label = f"{score['model']}, R² = {number(score['r2'])}"
    axes.plot(x, lesions["predicted"], "o", ms=4, color=style.PURPLE, label=label)
    axes.plot([x.min(), x.max()], [x.min(), x.max()], color="#444444", lw=0.8)
    axes.set_xlabel("measured under held-out joint lesions")
    axes.legend(loc="upper left", handletextpad=0.1)
