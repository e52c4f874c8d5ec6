"""The figures of the study open-loop: tables in, pictures out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_ablation.analysis.drift import Drift, size
from rl_ablation.formats import number
from rl_ablation.measures.registry import MEASURES
from rl_ablation.reports import style
from rl_ablation.reports.style import GREY, ORANGE, PURPLE
from rl_ablation.stats import LEVEL, finite_mean

LASTS = {"left": "left bends", "right": "right bends", "straight": "straight", "always": "always"}
LABELLED = 0.03  # regions that cost less of the progress crowd together
BIN = 5  # steps averaged in a curve


@style.styled
def answer(cuts: pd.DataFrame, rows: pd.DataFrame, time: Mapping[str, float]) -> Figure:
    """Direct change against loss; regions × when they are cut."""
    page = style.page(12.5, 5.2)
    left, right = page.subplots(1, 2, width_ratios=[1, 2.3])
    _scatter(left, cuts)
    _triggers(right, rows, time)
    return page


def _triggers(axes: Axes, rows: pd.DataFrame, time: Mapping[str, float]) -> None:
    names, times, behaviours = (list(rows[key].unique()) for key in ("region", "when", "measure"))
    columns = [(m, when) for m in behaviours for when in times]
    shown = rows.assign(shown=rows["harm"].where(rows["q"] < LEVEL, 0.0).fillna(0.0))
    colour, value = (
        shown.pivot(index="region", columns=["measure", "when"], values=key).loc[names, columns]
        for key in ("shown", "delta")
    )
    heads, cells = [LASTS[when] for _, when in columns], value.map(number).to_numpy()
    mesh = style.heatmap(axes, colour, names, heads, cells=cells, turn=60)
    style.colour_bar(mesh, axes, ("worse", "same", "better"), shrink=0.5, aspect=12)
    intact = rows.groupby("measure")["intact"].first()
    for k, name in enumerate(behaviours):
        title = f"{MEASURES[name].label}\nintact {number(intact[name])} {MEASURES[name].unit}"
        axes.text(len(times) * (k + 0.5), -0.12, title, ha="center", va="bottom")
        axes.axvline(len(times) * k, color="#444444", lw=1)
    axes.set_title("When the cut lasts: change of the behaviour\n\n\n")
    shares = ", ".join(f"{when} {time[when]:.0%}" for when in times if time[when] < 1)
    text = f"share of the intact robot's time: {shares}; white: not significant (q ≥ {LEVEL:.0%})"
    axes.set_xlabel(text, loc="left")


def _scatter(axes: Axes, cuts: pd.DataFrame) -> None:
    marks = {site: "os^Dv"[k % 5] for k, site in enumerate(dict.fromkeys(cuts["site"]))}
    for (site, control), part in cuts.groupby(["site", cuts["group"] == "random"]):
        axes.scatter(
            part["direct"], 100 * part["loss"], marker=marks[site], s=14 if control else 44,
            color=GREY if control else (ORANGE, PURPLE)[list(marks).index(site) % 2],
            alpha=0.6 if control else 1, label=f"{site} {'random' if control else 'cluster'}",
            zorder=1 if control else 2,
        )  # fmt: skip
    named = cuts[(cuts["group"] != "random") & (cuts["loss"].abs() > LABELLED)]
    for row in named.to_dict("records"):
        name, place = row["lesion"].replace("cluster-", ""), (row["direct"], 100 * row["loss"])
        axes.annotate(name, place, fontsize=8, xytext=(5, 4), textcoords="offset points")
    axes.set_xlabel("direct change of the action, s.d. (open loop)")
    axes.set_ylabel("progress lost, % (closed loop)")
    axes.set_title("What a cut does at once, and in the end")
    axes.legend()
    axes.axhline(0, color="#444444", lw=0.8)


@style.styled
def curves(apart: Drift) -> Figure:
    """How far actions come apart after the cut, a panel a region."""
    names = apart.lesions[1:]
    down = -(-len(names) // 4)
    page = style.page(12, 1.4 + 2.1 * down)
    panels = page.subplots(down, 4, sharex=True, squeeze=False)
    shown, closed = _binned(size(apart.open)), _binned(size(apart.closed))
    seconds = (np.arange(len(shown)) + 0.5) * BIN * apart.dt
    for axes in panels.flat[len(names) :]:
        axes.set_visible(False)
    for k, axes in enumerate(panels.flat[: len(names)]):
        axes.plot(seconds, closed[:, 0], color=GREY, lw=1, label="only nudged")
        axes.plot(seconds, shown[:, k + 1], color=PURPLE, lw=1.2, label="open loop")
        axes.plot(seconds, closed[:, k + 1], color=ORANGE, lw=1.4, label="closed loop")
        axes.set_title(names[k], loc="center")
        axes.set_ylim(bottom=0)
        panels[0, 0].legend()
    page.supxlabel("time since the cut, s")
    page.supylabel("difference of actions, s.d.")
    return page


def _binned(values: np.ndarray) -> np.ndarray:
    """Means over episodes and bins of steps, (bins, L); what is left of a bin is left out."""
    bins = len(values) // BIN
    return finite_mean(values[: bins * BIN].reshape(bins, BIN, *values.shape[1:]), (1, 3))
