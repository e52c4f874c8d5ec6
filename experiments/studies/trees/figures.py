"""The figures of the study trees: tables in, pictures out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import PercentFormatter

from experiments.studies.trees.words import TREE, totals
from rl_ablation.analysis.trees import Tree
from rl_ablation.reports import style

_SHADES = {"found": style.PURPLE, "matters": "#b2abd2", "not shown": "#e4e4e4"}


@style.styled
def answer(planted: pd.DataFrame) -> Figure:
    """A column for each family: groups found, and right ones among those named, against steps."""
    rows = totals(planted)
    families = list(rows["family"].unique())
    page = style.page(1.2 + 2.7 * len(families), 5.2)
    panels = page.subplots(2, len(families), squeeze=False, sharex="col", sharey=True)
    for column, family in enumerate(families):
        part = rows[rows["family"] == family]
        roles, robots = part["roles"].iloc[0], planted[planted["family"] == family]["robot"]
        title = f"{family}\n{roles} groups in {robots.nunique()} robots"
        panels[0, column].set_title(title, loc="center")
        for axes, key in zip(panels[:, column], ("share", "precise"), strict=True):
            _points(axes, part, key)
    panels[0, 0].set_ylabel("planted groups found")
    panels[1, 0].set_ylabel("of those named, planted groups")
    for axes in panels[:, 0]:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_ylim(-0.08, 1.12)
    page.supxlabel(
        "control steps a robot, thousands\npurple star: tree; orange: so many flat clusters a layer"
    )
    return page


def _points(axes: Axes, part: pd.DataFrame, key: str) -> None:
    flat, tree = part[part["method"] != TREE], part[part["method"] == TREE]
    axes.plot(flat["steps"] / 1000, flat[key], "o-", color=style.ORANGE, lw=0.8, ms=5)
    for row in flat.to_dict("records"):
        if np.isfinite(row[key]):
            place, text = (row["steps"] / 1000, row[key]), row["method"].split()[0]
            axes.annotate(text, place, xytext=(0, 5), textcoords="offset points", ha="center")
    axes.plot(tree["steps"] / 1000, tree[key], "*", color=style.PURPLE, ms=13)
    axes.set_xlim(left=0)
    axes.grid(visible=True)


@style.styled
def icicles(trees: Mapping[str, Tree]) -> Figure:
    """A panel for each agent × layer: the nodes tried, from the layer down, as wide as they are."""
    panels_of = [(name, site) for name, x in trees.items() for site in x.nodes["site"].unique()]
    deep = max(x.nodes["round"].max() for x in trees.values())
    page = style.page(12, 1.0 + len(trees) * (0.9 + 0.13 * deep))
    wide = max(sum(name == agent for agent, _ in panels_of) for name in trees)
    panels = page.subplots(len(trees), wide, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for row, (name, tree) in enumerate(trees.items()):
        for axes, (site, nodes) in zip(panels[row], tree.nodes.groupby("site"), strict=False):
            _icicle(axes, nodes)
            axes.set_title(f"{name} {site}", loc="center")
    handles = [Patch(color=colour, label=label) for label, colour in _SHADES.items()]
    page.legend(handles=handles, loc="outside lower center", ncols=3)
    return page


def _icicle(axes: Axes, nodes: pd.DataFrame) -> None:
    """From the layer, on top, down; a part as wide as it has units."""
    axes.set_axis_on()
    axes.spines[["left", "bottom"]].set_visible(False)
    of = nodes.groupby("name", sort=False)
    about = of[["parent", "units", "round"]].first().join(of[["rejected", "found"]].any())
    left: dict[str, float] = {}
    for name, row in about.iterrows():
        start = left.setdefault(str(row["parent"]), 0.0)
        left[str(name)] = start
        left[str(row["parent"])] = start + row["units"]
        shade = "found" if row["found"] else "matters" if row["rejected"] else "not shown"
        box = Rectangle((start, -row["round"]), row["units"], 0.9, fc=_SHADES[shade], ec="white")
        box.set_linewidth(0.5)
        axes.add_patch(box)
    axes.set_xlim(0, about["units"].max())
    axes.set_ylim(-about["round"].max() - 0.1, 0)
    axes.set_yticks([])
    axes.set_xlabel("units")
