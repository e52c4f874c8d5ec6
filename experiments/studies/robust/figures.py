"""The figure of memorisers and generalists: curves, their areas, and what single units matter."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.studies.robust.comparison import KINDS, chosen, compared, correlations
from experiments.studies.robust.words import verdict
from rl_ablation.formats import Estimate, number
from rl_ablation.reports import style

COLOURS = {"memoriser": style.ORANGE, "generalist": style.PURPLE}


@style.styled
def six_panels(
    curves: pd.DataFrame, areas: pd.DataFrame, units: pd.DataFrame, own: Mapping[str, str]
) -> Figure:
    """Curves, their areas, and whether units that tell more matter more."""
    table = compared(areas, own)
    fair = table.to_dict("records")[0]
    laps = " against ".join(number(fair[kind]) for kind in KINDS)
    title = f"Each in its own condition, units held at their means: {verdict(fair)} (area {laps})"
    figure = style.page(14, 8.5, title, size=13)
    panels = figure.subplots(2, 3)
    _curves(panels[0, 0], curves, {"own condition": "-"}, own)
    _curves(panels[0, 1], curves, {"memorisers' track": "-"}, own)
    _areas(panels[0, 2], areas, table, own)
    ranked = {"own, least important first": "-", "own, most important first": ":"}
    _curves(panels[1, 0], curves, ranked, own)
    _curves(panels[1, 1], curves, {"own, noise on all units": "-"}, own)
    _scatter(panels[1, 2], units)
    heads = (
        "Random cuts, each in its own training condition",
        "Random cuts, all on the memorisers' track",
        "Area under the curve: a dot an agent",
        "Least (solid) or most important (dotted) first",
        "Noise on all hidden units",
        "What a unit says about the bend, and how much it matters",
    )
    for axes, head in zip(panels.flat, heads, strict=True):
        axes.set_title(head, fontsize=10.5, fontweight="bold")
    panels[1, 0].set_xlabel("share of each layer cut")
    panels[1, 1].set_xlabel("noise, in multiples of each unit's own s.d.")
    return figure


def _curves(
    axes: Axes, curves: pd.DataFrame, styles: Mapping[str, str], own: Mapping[str, str]
) -> None:
    for comparison, line in styles.items():
        for kind in KINDS:
            rows = chosen(curves, comparison, kind, own)
            agents = rows.groupby(["agent", "dose"])["kept"].mean().unstack()
            axes.plot(agents.columns, agents.T, line, color=COLOURS[kind], lw=0.6, alpha=0.4)
            label = f"{kind}s" if line == "-" else None
            axes.plot(agents.columns, agents.mean(), line, color=COLOURS[kind], lw=2.5, label=label)
    axes.axhline(0, color="black", lw=0.6)
    axes.set(xlabel="share of all hidden units cut", ylabel="share of intact laps kept")
    axes.legend()


def _areas(axes: Axes, areas: pd.DataFrame, table: pd.DataFrame, own: Mapping[str, str]) -> None:
    places, heads = np.arange(len(table))[::-1], []
    for place, row in zip(places, table.to_dict("records"), strict=True):
        heads.append(f"{row['comparison']}\n{Estimate.of(row, 'difference')}")
        for kind, y in zip(KINDS, (place + 0.13, place - 0.13), strict=True):
            dots = chosen(areas, row["comparison"], kind, own).groupby("agent")["area"].mean()
            axes.scatter(dots, np.full(len(dots), y), s=16, color=COLOURS[kind], alpha=0.6)
            axes.scatter(dots.mean(), y, s=60, marker="|", color=COLOURS[kind], lw=2.5)
    axes.set_yticks(places, heads, fontsize=8)
    axes.set_xlabel("area (below each name: generalist − memoriser, 95 %)")


def _scatter(axes: Axes, units: pd.DataFrame) -> None:
    rho = correlations(units).set_index(["index", "site"])
    looks = ("o", style.GREY), ("^", COLOURS["generalist"])
    for (site, rows), (marker, colour) in zip(units.groupby("site"), looks, strict=False):
        label = f"{site}: ρ = {Estimate.of(rho.loc[('eta', str(site))], 'rho')}"
        x, y = rows["eta"], rows["progress"]
        axes.scatter(x, y, s=14, marker=marker, color=colour, alpha=0.6, label=label)
    axes.set_xlabel("η²: share of the unit's variance that the bend explains")
    axes.set_ylabel("laps lost without the unit")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.15 * (high - low))  # room for the legend
    axes.legend(loc="upper right")
