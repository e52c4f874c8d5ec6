"""Figures of connections: what is lost where one part no longer tells another.

Each is a function ``Map -> Figure | None``; None where the run has cut no connection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_ablation.groupings.connections import CONNECTIONS, Block, blocks
from rl_ablation.mapping.claims import changes
from rl_ablation.mapping.evidence import SMALL, harm
from rl_ablation.mapping.map import Map
from rl_ablation.reports import style
from rl_ablation.reports.figures import alive, episodes_of, figure
from rl_ablation.reports.labels import part_name
from rl_ablation.stats import LEVEL

_MOST = 4  # behaviours
_CELL = 0.19  # inches
_THIN = 0.02  # of the largest change: thinner lines are not seen


def shown_connections(run: Map) -> tuple[list[Block], pd.DataFrame]:
    """The connections by layers, and their claims with ``harm`` as a share of the largest change by
    a connection, 0 where it is not clear."""
    rows = changes(run)
    rows = rows[rows["group"] == CONNECTIONS]
    there = set(rows["lesion"])
    rows = rows.assign(harm=harm(rows).where(rows["q"] < LEVEL, 0.0).fillna(0.0))
    order = list(run.spec.sites)
    found = blocks(x for x in run.plan if x.name in there)
    return sorted(found, key=lambda b: (order.index(b.site), order.index(b.to))), rows


def part_names(run: Map, found: Sequence[Block]) -> dict[str, str]:
    """What a figure calls the parts that tell and hear."""
    called = {}
    for block in found:
        for (sender, receiver), name in block.names.items():
            lesion = run.plan[name]
            called[sender] = part_name(sender, run.names, lesion.cut[block.site])
            called[receiver] = part_name(receiver, run.names, lesion.to[block.to])
    return called


@figure(
    "What each part tells each of the next layer: who no longer hears of it is named above, whose "
    "word it is on the left. All others hear everything.",
    in_page=True,
)
@style.styled
def connections(run: Map) -> Figure | None:
    """Senders × receivers of each pair of layers, for the behaviours that these cuts change."""
    found, rows = shown_connections(run)
    if not found:
        return None
    chosen = alive(run, rows, _MOST)
    called = part_names(run, found)
    names = {b.site: [called[x] for x in b.senders] for b in found}
    heads = {b.to: [called[x] for x in b.receivers] for b in found}
    wide = max(len(x) for x in heads.values())
    side = style.room([x for there in names.values() for x in there], 0.0)
    top = style.room([x for there in heads.values() for x in there], 0.0)
    high = [len(b.senders) for b in found]
    page = style.page(
        1.6 + side + len(chosen) * (0.35 + 1.35 * _CELL * wide),
        1.2 + _CELL * sum(high) + (0.35 + 0.75 * top) * len(high),
        f"Who tells whom in {run.spec.agent}: what is lost without it",
    )
    panels = page.subplots(len(found), len(chosen), squeeze=False, height_ratios=high)
    mesh = None
    for column, measure in enumerate(chosen):
        lost = rows[rows["measure"] == measure].set_index("lesion")["harm"]
        for row, block in enumerate(found):
            axes = panels[row, column]
            shown = names[block.site] if column == 0 else [""] * high[row]
            mesh = style.heatmap(
                axes, matrix(block, lost), shown, heads[block.to], above=True, turn=60
            )
            axes.spines[:].set(color="#bbbbbb", visible=True)
            if row == 0:
                title = style.short_label(measure).replace(" (", "\n(")
                axes.set_title(title, loc="center", fontweight="bold")
            if column == 0:
                axes.set_ylabel(f"{block.site} → {block.to}", fontweight="bold")
    assert mesh is not None
    ends = ("worse\n(or less)", "no change", "better\n(or more)")
    style.colour_bar(mesh, list(panels.flat), ends, shrink=0.5, aspect=18)
    style.note(page, _note(rows))
    return page


@figure("The same as ways through the network, from sensors to motors.")
@style.styled
def ways(run: Map) -> Figure | None:
    """Sensors, regions and motors as points, and a line for each connection that matters."""
    found, rows = shown_connections(run)
    if not found or not rows["harm"].any():
        return None
    chosen = [m for m in alive(run, rows, _MOST) if rows[rows["measure"] == m]["harm"].any()]
    parts: dict[str, list[str]] = {}
    for block in found:
        for site, there in ((block.site, block.senders), (block.to, block.receivers)):
            parts[site] = list(dict.fromkeys([*parts.get(site, []), *there]))
    most = max(map(len, parts.values()))
    across = min(2, len(chosen))
    down = -(-len(chosen) // across)
    size = 5.6 * across + 0.6, 0.8 + down * (0.75 + 0.17 * max(8, most))
    page = style.page(*size, f"Ways through {run.spec.agent}: connections that matter")
    panels = page.subplots(down, across, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, measure in zip(panels.flat, chosen, strict=False):
        lost = rows[rows["measure"] == measure].set_index("lesion")["harm"]
        _ways(axes, found, parts, lost, part_names(run, found))
        axes.set_title(style.short_label(measure), loc="center", fontweight="bold")
    style.note(page, _note(rows) + "; a line is as wide as the change is large")
    return page


def matrix(block: Block, lost: pd.Series) -> np.ndarray:
    """Harm of the connections of a block, senders × receivers; NaN where there is none."""
    return np.array(
        [[lost.get(block.names.get((a, b), ""), np.nan) for b in block.receivers]
         for a in block.senders]
    )  # fmt: skip


def _note(rows: pd.DataFrame) -> str:
    return (
        f"{episodes_of(rows)} paired episodes; colour: change relative to the behaviour's largest "
        f"by a connection, or to {SMALL:.0%} of its intact value if that is more; white or no "
        f"line: not significant (false discovery rate {LEVEL:.0%})"
    )


def _ways(
    axes: Axes,
    found: Sequence[Block],
    parts: Mapping[str, Sequence[str]],
    lost: pd.Series,
    called: Mapping[str, str],
) -> None:
    """Draw the parts as columns of points and the connections between them."""
    order, colours = list(parts), mpl.colormaps[style.DIVERGING]
    place = {
        part: (x, 1 - (k + 0.5) / len(parts[site]))
        for x, site in enumerate(order)
        for k, part in enumerate(parts[site])
    }
    drawn = [
        (abs(value), value, ends)
        for block in found
        for ends, name in block.names.items()
        if abs(value := float(lost.get(name, 0.0))) > _THIN
    ]
    for size, value, ends in sorted(drawn, key=lambda line: line[0]):
        (x, y), (u, v) = (place[end] for end in ends)
        t = np.linspace(0, 1, 30)
        bent = y + (v - y) * (3 * t**2 - 2 * t**3)
        colour = colours(0.5 + 0.5 * np.sign(value) * min(1.0, 0.35 + 0.65 * size))
        axes.plot(x + (u - x) * t, bent, color=colour, lw=0.6 + 4.4 * size, solid_capstyle="butt")
    used = {end for *_, ends in drawn for end in ends}
    for part, (x, y) in place.items():
        ink = style.INK if part in used else style.GREY
        axes.plot(x, y, "o", color=ink, ms=4, zorder=3)
        text, last = style.short(called[part], 26), x == len(order) - 1
        if x == 0 or last:
            axes.text(x + (0.06 if last else -0.06), y, text, ha="left" if last else "right",
                      va="center", fontsize=6.5, color=ink)  # fmt: skip
        else:
            axes.text(x, y + 0.018, text, ha="center", va="bottom", fontsize=6.5, color=ink)
    for x, site in enumerate(order):
        axes.text(x, 1.02, site, ha="center", va="bottom", color=style.INK, fontsize=8)
    axes.set_xlim(-1.1, len(order) - 1 + 0.9)
    axes.set_ylim(-0.02, 1.08)
