"""The figures of the study stimulation: tables in, pictures out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.studies.stimulation.subject import Found
from rl_ablation.analysis.sufficiency import SHARE, YES
from rl_ablation.formats import Estimate
from rl_ablation.reports import style
from rl_ablation.reports.style import GREY, INK, ORANGE, PURPLE

_SIDES = (("lost", "necessary", ORANGE), ("evoked", "sufficient", PURPLE))
_WIDEST = 1.6  # shares beyond it are drawn at the edge


@style.styled
def regions(found: Sequence[Found]) -> Figure:
    """What is lost without each region beside what it evokes, in the first signal of each robot."""
    tables = [_first(one) for one in found]
    rows = [len(table) for table in tables]
    page = style.page(11, 1.6 + 0.27 * sum(rows) + 0.7 * len(rows))
    panels = page.subplots(len(found), 2, squeeze=False, height_ratios=rows, sharex=True)
    for pair, one, table in zip(panels, found, tables, strict=True):
        source, target = one.subject.told
        titles = (
            f"{one.subject.name}: lost in {source}",
            f"evoked by the code of {source} in {target}",
        )
        for axes, side, title in zip(pair, _SIDES, titles, strict=True):
            _side(axes, table, *side)
            axes.set_title(title)
        pair[1].set_yticklabels([])
    handles, labels = panels[0, 1].get_legend_handles_labels()
    page.legend(handles, labels, loc="outside upper right", ncols=5, fontsize=7.5)
    page.supxlabel(
        f"share of the way: 0 as intact, 1 all of it; filled: a claim of {SHARE:.0%} and more; "
        "bars: 95 % intervals",
        fontsize=9,
    )
    return page


def _first(one: Found) -> pd.DataFrame:
    key = ["region", "signal"]
    more = one.evoked[[*key, "size", "own", "any", "random", "resample"]]
    rows = one.both.merge(more, on=key)
    alike = one.alike[[*key, "evoked"]].rename(columns={"evoked": "alike"})
    rows = rows.merge(alike, on=key)
    return rows[rows["signal"] == one.subject.signals[0]].reset_index(drop=True)


def _side(axes: Axes, table: pd.DataFrame, share: str, verdict: str, colour: str) -> None:
    for y, row in enumerate(table.to_dict("records")):
        ends = [row[k] for k in (share, f"{share}_low", f"{share}_high")]
        drawn = Estimate(*np.clip(ends, -_WIDEST, _WIDEST))
        style.estimate(axes, y, drawn, colour, filled=row[verdict] == YES)
        if share == "evoked":
            marks = (
                ("own", "|", "own moments"), ("any", "x", "any moments"),
                ("random", "d", "random units"), ("resample", ">", "resample alone"),
                ("alike", "*", "like moments"),
            )  # fmt: skip
            for name, marker, label in marks:
                axes.plot(
                    np.clip(row[name], -_WIDEST, _WIDEST), y, marker, color=INK, ms=5, mew=1.2,
                    mfc=GREY, label=label if y == 0 else None, zorder=1,
                )  # fmt: skip
    names = [f"{r} ({n})" for r, n in zip(table["region"], table["size"], strict=True)]
    style.name_rows(axes, names)
    axes.axvline(1, color="#444444", lw=0.8, ls=":")


@style.styled
def doses(found: Sequence[Found]) -> Figure:
    """Responses to doses along the contrast of each layer, beside random directions."""
    wide = max(len(one.levels) for one in found)
    page = style.page(1.2 + 3.6 * wide, 0.8 + 3.0 * len(found))
    panels = page.subplots(len(found), wide, squeeze=False)
    for row, one in zip(panels, found, strict=True):
        for axes, site in zip(row, one.levels, strict=False):
            _panel(axes, one, site)
        for axes in row[len(one.levels) :]:
            axes.set_visible(False)
        row[0].set_ylabel(one.subject.unit)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    page.legend(handles, labels, loc="outside upper right", ncols=3, fontsize=7.5)
    page.supxlabel(
        "dose, standard deviations of the coordinate (stimulate: added; clamp: held so far from "
        "its mean); triangles: its mean in target and source",
        fontsize=9,
    )
    return page


def _panel(axes: Axes, one: Found, site: str) -> None:
    rows = one.curves[one.curves["region"] == f"{site}/contrast"]
    gap = one.ends[1] - one.ends[0]
    random = rows[rows["kind"] == "random"]
    axes.plot(random["dose"], random["response"], ".", color=GREY, ms=4, alpha=0.7,
              label="random directions")  # fmt: skip
    for kind, colour, marker in (("stimulate", PURPLE, "o"), ("clamp", ORANGE, "s")):
        part = rows[rows["kind"] == kind].sort_values("dose")
        ends = [np.abs(part[k] - part["share"]) * abs(gap) for k in ("ci_low", "ci_high")]
        axes.errorbar(
            part["dose"], part["response"], ends if gap > 0 else ends[::-1], color=colour,
            marker=marker, ms=4, lw=1.6, elinewidth=1, capsize=2, label=kind,
        )  # fmt: skip
    for end, words in zip(one.ends, one.subject.told[::-1], strict=True):
        axes.axhline(end, color=INK, lw=0.9, ls=":")
        axes.annotate(f"intact, {words}", (0.01, end), xycoords=("axes fraction", "data"),
                      ha="left", va="bottom", fontsize=7.5)  # fmt: skip
    floor = axes.get_ylim()[0]
    axes.plot(one.levels[site], [floor, floor], "^", color=INK, ms=5, clip_on=False)
    axes.set_ylim(bottom=floor)
    axes.set_title(f"{one.subject.name}, {site}")
