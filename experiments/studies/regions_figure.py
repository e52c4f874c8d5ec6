"""The figure of the region studies: whose loss does how much of the harm to each behaviour."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_ablation.analysis.localisation import UNHARMED
from rl_ablation.measures.registry import MEASURES
from rl_ablation.reports import style
from rl_ablation.stats import LEVEL

_MANY = 3  # networks
PALE, REST = "#fdb863", "#d9d9d9"


@style.styled
def shares(maps: Mapping[str, pd.DataFrame]) -> Figure:
    """A panel a network, a bar a behaviour: the worst region's share of its layer's harm.

    ``maps``: title → table of `rl_ablation.analysis.localisation.region_locality`. Of many maps
    only the behaviours that are harmed are shown, and those without any are named.
    """
    if len(maps) > _MANY:
        harmed = {name: t[t["verdict"] != UNHARMED] for name, t in maps.items()}
        without = ", ".join(name for name, t in harmed.items() if t.empty)
        maps = {name: t for name, t in harmed.items() if len(t)} or dict(list(maps.items())[:1])
    else:
        without = ""
    rows = [len(table) for table in maps.values()]
    title = "Is a behaviour in one region? Dark: beyond random divisions (p < 5 %)"
    figure = style.page(9.5, 1.4 + 0.34 * sum(rows) + 0.3 * len(rows), title)
    panels = figure.subplots(len(maps), 1, squeeze=False, sharex=True, height_ratios=rows)[:, 0]
    for axes, (title, table) in zip(panels, maps.items(), strict=True):
        _panel(axes, table)
        axes.set_title(title)
    panels[-1].set_xlabel(
        "share of the harm that all regions of the layer do, each cut alone: the worst region's, "
        "with 95 % interval over episodes"
        + f"\nno region's loss does clear harm to any of these behaviours: {without}"
        * bool(without)
    )
    return figure


def _panel(axes: Axes, table: pd.DataFrame) -> None:
    for y, row in enumerate(table.to_dict("records")):
        if row["verdict"] == UNHARMED:
            axes.text(0.01, y, "no region's loss does clear harm", va="center")
            continue
        dark = row["p_local"] <= LEVEL
        inside = dark and row["share"] > 0.25
        axes.barh(y, 1.0, color=REST, height=0.8)
        axes.barh(y, row["share"], color=style.WORSE if dark else PALE, height=0.8)
        axes.plot([row["share_low"], row["share_high"]], [y + 0.28] * 2, color=style.INK, lw=1.8)
        start = 0.01 if inside or not dark else row["share"] + 0.01
        text = f"{row['lesion']} ({row['units']:.0f})"
        axes.text(start, y - 0.08, text, va="center", color="white" if inside else style.INK)
        random = f"random: p = {row['p_local']:.3f}" if row["divisions"] > 0 else "none drawn"
        note = f"{row['verdict']}: {row['hit']} of {row['regions']} regions harm it; {random}"
        axes.text(1.01, y, note, va="center")
    axes.axvline(0.5, color="#555555", lw=0.8, ls=":")
    axes.set_yticks(range(len(table)), [MEASURES[m].label for m in table["measure"]])
    axes.set(xlim=(0, 1.75), ylim=(len(table) - 0.4, -0.6))
    axes.set_xticks(np.arange(0, 1.01, 0.25), ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
