"""Figures: each is one function ``Map -> matplotlib Figure``, without arithmetic of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rl_ablation.analysis.layout import as_grid
from rl_ablation.errors import LabError
from rl_ablation.formats import Estimate, listed, number
from rl_ablation.groupings.connections import CONNECTIONS
from rl_ablation.lesions.methods import KINDS
from rl_ablation.mapping.claims import behaviours, changes, distinct, own
from rl_ablation.mapping.evidence import TELLING
from rl_ablation.mapping.kinds import DISAGREE, ONLY_FAR
from rl_ablation.mapping.map import Map
from rl_ablation.measures.registry import ALIVE, MEASURES
from rl_ablation.reports import style
from rl_ablation.reports.labels import labels
from rl_ablation.stats import LEVEL

_MAX_ROWS = 40


@dataclass(frozen=True)
class Drawing:
    """A registered figure: the function that draws it, and the text below it in the report.

    One that is ``in_page`` is drawn by the page itself, from the same numbers; its picture is for
    papers and stands beside the report only.
    """

    draw: Callable[[Map], Figure | None]
    caption: str
    in_page: bool = False


Function = TypeVar("Function", bound=Callable[..., Figure | None])
FIGURES: dict[str, Drawing] = {}


def figure(caption: str, *, in_page: bool = False) -> Callable[[Function], Function]:
    """Register a function as the figure of its name: ``Map -> Figure``, or None where the run lacks
    what it would show. It stands in the report in the order of registration."""

    def register(draw: Function) -> Function:
        name = draw.__name__
        if name in FIGURES:
            raise LabError(f"a figure named {name!r} exists already")
        FIGURES[name] = Drawing(draw, caption, in_page)
        return draw

    return register


_ENDS = ("worse\n(or less)", "no change", "better\n(or more)")


def _chosen(run: Map, measures: Sequence[str] | None) -> list[str]:
    """Measures to draw: those asked for, or the run's behaviours.

    Raises:
        LabError: One was not taken in this run.
    """
    taken = [*run.spec.measures, *run.own]
    for name in measures or ():
        if name not in taken:
            raise LabError(f"measure {name!r} was not taken in this run; it has {', '.join(taken)}")
    return behaviours(run) if measures is None else list(measures)


def alive(run: Map, rows: pd.DataFrame, most: int) -> list[str]:
    """The behaviours that cuts change most, those while alive where there are such."""
    found = own(run) or behaviours(run)
    return distinct(rows, [m for m in found if m + ALIVE not in found], most)


@figure(
    "Every cut region against every condition in the measure by which the world judges it: which "
    "commands does the robot no longer obey without this region?",
    in_page=True,
)
@style.styled
def by_condition(run: Map) -> Figure | None:
    """Regions × the run's conditions, each in its own measure; None where it has no such."""
    rows = changes(run)
    if not run.own or rows.empty:
        return None
    episodes = episodes_of(rows[rows["measure"].isin(run.own)])
    few = "" if own(run) else f", too few to tell one: {TELLING} of each would do"
    return _regions(
        run, rows, run.own, f"What each cut changes in {run.spec.agent}, by condition",
        f"{episodes} paired episodes of each condition{few}",
    )  # fmt: skip


@figure(
    "Every cut region against every behaviour. Read along a row: what does the robot lose without "
    "this region? Read down a column: which regions does this behaviour need?",
    in_page=True,
)
@style.styled
def heatmap(run: Map, measures: Sequence[str] | None = None) -> Figure:
    """Regions × behaviours: what each cut changes, the lesioned value written in each cell.

    Cells whose change does not pass the false discovery rate are left white.
    """
    rows = changes(run)
    if rows.empty:
        raise LabError("this run has no lesions to draw; map with at least one group")
    chosen = _chosen(run, measures)
    if measures is None:  # where no cut ended an episode, the two kinds of a measure are one
        wide = rows.pivot(index="lesion", columns="measure", values="lesioned")
        twins = [m for m in chosen if m + ALIVE in chosen and wide[m].equals(wide[m + ALIVE])]
        chosen = [m for m in chosen if m.removesuffix(ALIVE) not in twins or m in twins]
    title = f"What each cut changes in {run.spec.agent}"
    return _regions(run, rows, chosen, title, f"{episodes_of(rows)} paired episodes")


def regions_shown(rows: pd.DataFrame) -> list[str]:
    """The regions of a heatmap; of connections, and of units alone, those that matter most."""
    groups = rows[~rows["group"].isin(["singles", CONNECTIONS])]
    told = rows[rows["group"] == CONNECTIONS]
    if groups.empty:
        return largest(rows if told.empty else told, _MAX_ROWS)
    most = largest(told, _MAX_ROWS // 2)
    return [*list(groups["lesion"].unique())[: 2 * _MAX_ROWS], *most]


def _regions(run: Map, rows: pd.DataFrame, chosen: list[str], title: str, episodes: str) -> Figure:
    """Regions × measures: the change in colour, the lesioned value in the cell, the intact value
    in the head."""
    names = regions_shown(rows)
    colour = rows.assign(shown=rows["harm"].where(rows["q"] < LEVEL, 0.0))
    values = ["shown", "lesioned", "holds"]
    wide = colour.pivot(index="lesion", columns="measure", values=values).loc[names]
    marks = wide["holds"][chosen].map(lambda x: MARKS.get(x, ""))
    cells = wide["lesioned"][chosen].map(number) + marks
    intact = rows.groupby("measure")["intact"].mean().map(number)
    units = rows.drop_duplicates("lesion").set_index("lesion")["units"]
    told = labels(run)
    rows_named = [f"{told[n]}  ({units[n]})" for n in names]
    heads = [f"{MEASURES[m].label}: {intact[m]} {MEASURES[m].unit}".rstrip() for m in chosen]
    wide_enough = 2.6 + 0.72 * len(chosen) + style.room(rows_named) + style.room(heads, 2.0)
    figure = style.page(wide_enough, 1.9 + 0.3 * max(4, len(names)), title)
    axes = figure.subplots()
    grid = wide["shown"][chosen].fillna(0.0)
    mesh = style.heatmap(axes, grid, rows_named, heads, cells=cells.to_numpy(), above=True)
    style.colour_bar(mesh, axes, _ENDS, shrink=min(1.0, 8 / len(names)), aspect=12)
    style.note(
        figure,
        f"cells: value after the cut, {episodes}; "
        "rows: region (units or directions cut); columns: behaviour, intact value\n"
        f"colour: change relative to the column's largest{_weakest(run)}; white: not significant "
        f"(false discovery rate {LEVEL:.0%}), or saved by a robot that no longer does its task"
        f"{_legend(marks)}",
    )
    return figure


MARKS = {DISAGREE: " ?", ONLY_FAR: " °"}


def _weakest(run: Map) -> str:
    """How the cuts were made, for the note below the heatmap."""
    kinds = dict.fromkeys(x.kind for x in (run.confirmation or run).plan if x.size)
    within = [k for k in kinds if KINDS[k].within]
    return f", by the weaker of {listed(within)}" if len(within) > 1 else ""


def _legend(marks: pd.DataFrame | pd.Series) -> str:
    there = set(marks.to_numpy().ravel())
    told = {DISAGREE: "only under some kinds of cut", ONLY_FAR: "only when set to zero"}
    lines = [f"{MARKS[k].strip()}: {text}" for k, text in told.items() if MARKS[k] in there]
    return "".join(f"; {line}" for line in lines)


def largest(rows: pd.DataFrame, most: int) -> list[str]:
    """The lesions with the largest changes, the largest first."""
    size = rows.groupby("lesion")["harm"].agg(lambda h: h.abs().fillna(0.0).max())
    return list(size.sort_values(ascending=False).head(most).index)


def episodes_of(rows: pd.DataFrame) -> str:
    """How many the rows rest on, and whether they are fresh ones."""
    confirmed = rows[rows["stage"] == "confirmed"]
    n = int((rows if confirmed.empty else confirmed)["n"].max())
    return f"{n} fresh" if len(confirmed) else str(n)


def cut_of_units(run: Map, rows: pd.DataFrame) -> dict[str, list[str | None]]:
    """Hidden site → the smallest of the rows' lesions that each unit was cut with; None if none."""
    there = set(rows["lesion"])
    found: dict[str, list[str | None]] = {
        site: [None] * size
        for site, size in run.spec.sites.items()
        if site not in ("obs", "action")
    }
    for lesion in sorted(run.plan, key=lambda x: -x.size):
        if (
            lesion.name in there
            and len(lesion.cut) == 1
            and not lesion.to
            and (site := next(iter(lesion.cut))) in found
        ):
            for unit in lesion.cut[site]:
                found[site][unit] = lesion.name
    return found


@figure("The same in the network: each square is a unit.", in_page=True)
@style.styled
def network(run: Map) -> Figure | None:
    """The network as grids of units, coloured by what cutting each does to each behaviour.

    Single cuts colour their own unit. Without them, a unit takes the colour of the smallest group
    it was cut with. None where no units are cut, but directions or connections only.
    """
    rows = changes(run)
    if not any(any(cuts) for cuts in cut_of_units(run, rows).values()):
        return None
    rows["harm"] = rows["harm"].where(rows["q"] < LEVEL, 0.0)
    hidden = list(cut_of_units(run, rows))
    chosen = alive(run, rows, 6)
    inside = (x for x in run.plan if x.cut and set(x.cut) <= set(hidden) and not x.to)
    smallest = min((x.size for x in inside if x.size), default=0)
    what = "unit" if smallest == 1 else "unit's group"
    title = f"Where in {run.spec.agent}'s network: colour is the change when the {what} is cut"
    figure = style.page(1.2 + 1.75 * len(chosen), 1.1 + 1.75 * len(hidden), title)
    axes = figure.subplots(len(hidden), len(chosen), squeeze=False)
    image = None
    for column, name in enumerate(chosen):
        value = rows[rows["measure"] == name].set_index("lesion")["harm"]
        for row, (site, cuts) in enumerate(cut_of_units(run, rows).items()):
            unit = np.nan_to_num(value.reindex(cuts).to_numpy(float))
            ax = axes[row, column]
            image = ax.imshow(as_grid(unit), cmap=style.DIVERGING, vmin=-1, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(color="#bbbbbb", visible=True)
            if row == 0:
                ax.set_title(MEASURES[name].label.replace(" (", "\n("), loc="center")
            if column == 0:
                ax.set_ylabel(f"{site}\n{unit.size} units")
    assert image is not None
    style.colour_bar(image, list(axes.flat), _ENDS, shrink=0.7, pad=0.02)
    return figure


@figure(
    "The largest changes with their 95 % intervals; hollow grey: not significant.", in_page=True
)
@style.styled
def intervals(run: Map, measures: Sequence[str] | None = None) -> Figure:
    """Effects with their 95 % intervals, the regions with the largest ones, a panel a behaviour."""
    rows = changes(run)
    chosen = alive(run, rows, 4) if measures is None else _chosen(run, measures)
    names = largest(rows[rows["measure"].isin(chosen)], 14)
    episodes = episodes_of(rows[rows["measure"].isin(chosen)])
    title = f"Changes with 95 % intervals: {run.spec.agent}, {episodes} paired episodes"
    told = labels(run)
    width = 1.6 + 2.3 * len(chosen) + style.room([told[name] for name in names], 1.2)
    figure = style.page(width, 1.3 + 0.26 * len(names), title)
    panels = figure.subplots(1, len(chosen), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, (MEASURES[name] for name in chosen), strict=True):
        part = rows[rows["measure"] == measure.name].set_index("lesion").loc[names]
        style.name_rows(axes, [told[name] for name in names])
        for y, row in enumerate(part.to_dict("records")):
            clear = row["q"] < LEVEL
            colour = style.verdict_colour(row["delta"] * (measure.better or 1), clear)
            found = Estimate.of(row, "delta", "ci_low", "ci_high")
            style.estimate(axes, y, found, colour, filled=clear)
        axes.set_xlabel(f"change [{measure.unit}]" if measure.unit else "change")
        axes.set_title(measure.label, loc="center")
    return figure


def draw_all(run: Map) -> dict[str, Path]:
    """Draw every figure that the run has the numbers for into its folder; name → PNG path."""
    folder = run.folder / "figures"
    folder.mkdir(exist_ok=True)
    paths = {}
    for name, known in FIGURES.items():
        if (figure := known.draw(run)) is not None:
            paths[name] = folder / f"{name}.png"
            style.save(figure, paths[name])
    return paths
