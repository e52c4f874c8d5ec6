"""Figures: each is one function ``Map -> matplotlib Figure``, without arithmetic of its own.

Colours: orange is worse, purple is better, white is no change; the pair is told apart by people
with any of the common kinds of colour blindness.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from rl_ablation.analysis.layout import as_grid
from rl_ablation.errors import LabError
from rl_ablation.formats import number
from rl_ablation.mapping.claims import behaviours, distinct
from rl_ablation.mapping.evidence import claims, harm
from rl_ablation.mapping.map import Map
from rl_ablation.measures.registry import ALIVE, MEASURES
from rl_ablation.reports.labels import labels
from rl_ablation.stats import LEVEL

COLOURS = "PuOr"
_WORSE, _BETTER, _UNCLEAR = "#b35806", "#542788", "#9a9a9a"
_MAX_ROWS = 40


@dataclass(frozen=True)
class Drawing:
    """A registered figure: the function that draws it, and the text below it in the report."""

    draw: Callable[[Map], Figure | None]
    caption: str


Function = TypeVar("Function", bound=Callable[..., Figure | None])
FIGURES: dict[str, Drawing] = {}


def figure(caption: str) -> Callable[[Function], Function]:
    """Register a function as the figure of its name: ``Run -> Figure``, or None where the run lacks
    what it would show. It stands in the report in the order of registration."""

    def register(draw: Function) -> Function:
        name = draw.__name__
        if name in FIGURES:
            raise LabError(f"a figure named {name!r} exists already")
        FIGURES[name] = Drawing(draw, caption)
        return draw

    return register


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained", dpi=150)


def _chosen(run: Map, measures: Sequence[str] | None) -> list[str]:
    """Measures to draw: those asked for, or the run's behaviours.

    Raises:
        LabError: One was not taken in this run.
    """
    taken = run.spec.measures
    for name in measures or ():
        if name not in taken:
            raise LabError(f"measure {name!r} was not taken in this run; it has {', '.join(taken)}")
    return behaviours(run) if measures is None else list(measures)


@figure(
    "Every cut region against every behaviour. Read along a row: what does the robot lose without "
    "this region? Read down a column: which regions does this behaviour need?"
)
def heatmap(run: Map, measures: Sequence[str] | None = None, condition: str = "all") -> Figure:
    """Regions × behaviours: what each cut changes, the lesioned value written in each cell.

    Cells whose change does not pass the false discovery rate are left white.
    """
    rows = run.effects()
    rows = claims(rows[rows["condition"] == condition]).copy()
    if rows.empty:
        raise LabError("this run has no lesions to draw; map with at least one group")
    rows["harm"] = harm(rows)
    chosen = _chosen(run, measures)
    if measures is None:  # where no cut ended an episode, the two kinds of a measure are one
        wide = rows.pivot(index="lesion", columns="measure", values="lesioned")
        twins = [m for m in chosen if m + ALIVE in chosen and wide[m].equals(wide[m + ALIVE])]
        chosen = [m for m in chosen if m.removesuffix(ALIVE) not in twins or m in twins]
    groups = rows[rows["group"] != "singles"]
    if groups.empty:  # many single units: the ones that matter most
        order = rows.groupby("lesion")["harm"].agg(lambda h: np.nanmax(np.abs(h), initial=0.0))
        names = list(order.sort_values(ascending=False).head(_MAX_ROWS).index)
    else:
        names = list(dict.fromkeys(groups["lesion"]))[: 2 * _MAX_ROWS]
    colour = rows.assign(shown=rows["harm"].where(rows["q"] < LEVEL, 0.0))
    grid = colour.pivot(index="lesion", columns="measure", values="shown").loc[names, chosen]
    values = rows.pivot(index="lesion", columns="measure", values="lesioned").loc[names, chosen]
    intact = rows.groupby("measure")["intact"].mean()
    units = rows.drop_duplicates("lesion").set_index("lesion")["units"]
    told = labels(run)
    figure = _figure(2.6 + 0.72 * len(chosen), 2.1 + 0.3 * len(names))
    axes = figure.subplots()
    sns.heatmap(
        grid.fillna(0.0), ax=axes, cmap=COLOURS, center=0, vmin=-1, vmax=1, linewidths=0.5,
        linecolor="white", annot=values.map(number).to_numpy(), fmt="", annot_kws={"size": 8},
        cbar_kws={"shrink": min(1.0, 8 / len(names)), "aspect": 12, "pad": 0.01},
    )  # fmt: skip
    bar = axes.collections[0].colorbar
    assert bar is not None
    bar.set_ticks([-1, 0, 1], labels=["worse\n(or less)", "no change", "better\n(or more)"])
    bar.ax.tick_params(labelsize=8)
    axes.set_yticklabels([f"{told[n]}  ({units[n]})" for n in names], rotation=0, fontsize=8)
    heads = [_column_head(name, intact[name]) for name in chosen]
    axes.set_xticklabels(heads, rotation=55, ha="left", rotation_mode="anchor", fontsize=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set(xlabel="", ylabel="")
    where = "" if condition == "all" else f", {condition}"
    figure.suptitle(
        f"What each cut changes in {run.spec.agent}{where}",
        x=0.01, ha="left", fontsize=11, fontweight="bold",
    )  # fmt: skip
    axes.set_xlabel(
        f"cells: value after the cut, {_episodes(rows)} paired episodes; "
        "rows: region (units cut); columns: behaviour, intact value\n"
        "colour: change relative to the column's largest; white: not significant "
        f"(false discovery rate {LEVEL:.0%})",
        fontsize=7.5, loc="left",
    )  # fmt: skip
    return figure


def _episodes(rows: pd.DataFrame) -> str:
    """How many the rows rest on, and whether they are fresh ones."""
    confirmed = rows[rows["stage"] == "confirmed"]
    n = int((rows if confirmed.empty else confirmed)["n"].max())
    return f"{n} fresh" if len(confirmed) else str(n)


def _column_head(name: str, intact: float) -> str:
    unit = MEASURES[name].unit
    return f"{MEASURES[name].label}: {number(intact)}{' ' + unit if unit else ''}"


@figure("The same in the network: each square is a unit.")
def network(
    run: Map, measures: Sequence[str] | None = None, condition: str = "all", most: int = 6
) -> Figure:
    """The network as grids of units, coloured by what cutting each does to each behaviour.

    Single cuts colour their own unit. Without them, a unit takes the colour of the smallest group
    it was cut with.
    """
    rows = run.effects()
    rows = claims(rows[rows["condition"] == condition]).copy()
    rows["harm"] = harm(rows).where(rows["q"] < LEVEL, 0.0)
    hidden = [s for s in run.spec.sites if s not in ("obs", "action")]
    chosen = _chosen(run, measures)
    if measures is None:  # while alive where there is such
        chosen = distinct(rows, [m for m in chosen if m + ALIVE not in chosen], most)
    cuts = sorted(run.plan, key=lambda lesion: -lesion.size)
    figure = _figure(1.2 + 1.75 * len(chosen), 1.1 + 1.75 * len(hidden))
    axes = figure.subplots(len(hidden), len(chosen), squeeze=False)
    image = None
    for column, name in enumerate(chosen):
        value = rows[rows["measure"] == name].set_index("lesion")["harm"]
        for row, site in enumerate(hidden):
            unit = np.zeros(run.spec.sites[site])
            for lesion in cuts:
                if lesion.name in value.index and list(lesion.cut) == [site]:
                    unit[list(lesion.cut[site])] = np.nan_to_num(value[lesion.name])
            ax = axes[row, column]
            image = ax.imshow(as_grid(unit), cmap=COLOURS, vmin=-1, vmax=1)
            ax.set(xticks=[], yticks=[])
            for spine in ax.spines.values():
                spine.set_color("#bbbbbb")
            if row == 0:
                ax.set_title(MEASURES[name].label.replace(" (", "\n("), fontsize=9)
            if column == 0:
                ax.set_ylabel(f"{site}\n{unit.size} units", fontsize=9)
    assert image is not None
    bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=14, pad=0.02)
    bar.set_ticks([-1, 0, 1], labels=["worse\n(or less)", "no change", "better\n(or more)"])
    bar.ax.tick_params(labelsize=8)
    smallest = min((lesion.size for lesion in cuts if lesion.size), default=0)
    what = "unit" if smallest == 1 else "unit's group"
    figure.suptitle(
        f"Where in {run.spec.agent}'s network: colour is the change when the {what} is cut",
        x=0.01, ha="left", fontsize=11, fontweight="bold",
    )  # fmt: skip
    return figure


@figure("The largest changes with their 95 % intervals; hollow grey: not significant.")
def intervals(
    run: Map, measures: Sequence[str] | None = None, condition: str = "all", most: int = 14
) -> Figure:
    """Effects with their 95 % intervals, the regions with the largest ones, a panel a behaviour."""
    rows = run.effects()
    rows = claims(rows[rows["condition"] == condition]).copy()
    rows["harm"] = harm(rows)
    chosen = _chosen(run, measures)
    if measures is None:
        chosen = distinct(rows, [m for m in chosen if m + ALIVE not in chosen], 4)
    size = rows[rows["measure"].isin(chosen)].groupby("lesion")["harm"]
    largest = size.agg(lambda h: np.nanmax(np.abs(h), initial=0.0)).sort_values(ascending=False)
    names = list(largest.head(most).index)
    figure = _figure(1.6 + 2.3 * len(chosen), 1.3 + 0.26 * len(names))
    panels = figure.subplots(1, len(chosen), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, chosen, strict=True):
        part = rows[rows["measure"] == name].set_index("lesion").loc[names]
        _forest(axes, part, name)
    told = labels(run)
    panels[0].set_yticks(range(len(names)), [told[n] for n in names], fontsize=8)
    panels[0].invert_yaxis()
    figure.suptitle(
        f"Changes with 95 % intervals: {run.spec.agent}, {_episodes(rows)} paired episodes",
        x=0.01, ha="left", fontsize=11, fontweight="bold",
    )  # fmt: skip
    return figure


def _forest(axes: mpl.axes.Axes, part: pd.DataFrame, name: str) -> None:
    measure = MEASURES[name]
    columns = part[["delta", "ci_low", "ci_high", "q"]].to_numpy(float)
    for y, (delta, low, high, q) in enumerate(columns):
        clear = q < LEVEL
        good = delta * (measure.better or 1) > 0
        colour = (_BETTER if good else _WORSE) if clear else _UNCLEAR
        axes.plot([low, high], [y, y], color=colour, lw=2)
        axes.plot(delta, y, "o", color=colour, ms=5, mfc=colour if clear else "w")
    axes.axvline(0, color="#444444", lw=0.8)
    axes.set_xlabel(f"change [{measure.unit}]" if measure.unit else "change", fontsize=8)
    axes.set_title(measure.label, fontsize=9)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", color="#e4e4e4", lw=0.6)
    axes.set_axisbelow(True)
    sns.despine(ax=axes, left=True)
    axes.tick_params(axis="y", length=0)


def draw_all(run: Map) -> dict[str, Path]:
    """Draw every figure that the run has the numbers for into its folder; name → PNG path."""
    folder = run.folder / "figures"
    folder.mkdir(exist_ok=True)
    paths = {}
    for name, known in FIGURES.items():
        if (figure := known.draw(run)) is not None:
            paths[name] = folder / f"{name}.png"
            figure.savefig(paths[name], bbox_inches="tight")
    return paths
