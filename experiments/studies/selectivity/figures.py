"""The figure of the study of selectivity: tables in, picture out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.studies.selectivity.words import at_alphas, by_metric
from rl_ablation.formats import number
from rl_ablation.reports import style
from rl_ablation.reports.style import GREY, ORANGE, PURPLE
from rl_ablation.stats import LEVEL

Line = tuple[str, str, str]
"""Metric, its name in the legend, its colour."""
PANELS: tuple[tuple[str, str, tuple[Line, ...]], ...] = (
    ("Units' preference for a context", "SI or η², 0 to 1",
     (("si", "SI", ORANGE), ("eta", "η²", PURPLE))),
    ("Driving, undamaged", "laps in 15 s", (("progress", "laps", ORANGE),)),
    ("Units cut in random order", "area of laps kept",
     (("cut_mean", "to their mean", ORANGE), ("cut_zero", "to zero", PURPLE))),
    ("Sensors disturbed", "area of laps kept",
     (("noise", "noise", ORANGE), ("dropout", "dead sensors", PURPLE))),
    ("Worst small change of the observation", "share of laps kept",
     (("worst", "attack", ORANGE),)),
    ("Lost, or only rotated?", "η² or PWCCA, 0 to 1",
     (("layer", "η², whole layer", ORANGE), ("best", "η², best direction", PURPLE),
      ("similarity", "PWCCA to α = 0", GREY))),
)  # fmt: skip


@style.styled
def draw(
    networks: pd.DataFrame, means: pd.DataFrame, trends: pd.DataFrame, naive: pd.DataFrame
) -> Figure:
    """α from left to right; a dot for each network, a line through the means with intervals.

    A broken line and its band are the median and the range of untrained networks.
    """
    page = style.page(12.5, 7.2)
    place = {a: k for k, a in enumerate(sorted(networks["alpha"].unique()))}
    trend = by_metric(trends)
    for axes, (title, unit, lines) in zip(page.subplots(2, 3).flat, PANELS, strict=True):
        for k, (key, name, colour) in enumerate(lines):
            shift = 0.12 * (k - (len(lines) - 1) / 2)
            dots = networks["alpha"].map(place) + shift, networks[key]
            axes.plot(*dots, "o", color=colour, alpha=0.35, ms=5, mew=0)
            rows = pd.DataFrame(list(at_alphas(means, key).values()))
            ends = np.abs(rows[["low", "high"]].sub(rows["value"], axis=0)).T
            clear = "*" if trend[key]["q"] < LEVEL else ""
            axes.errorbar(
                rows["alpha"].map(place) + shift, rows["value"], yerr=ends, color=colour, lw=1.8,
                capsize=3, elinewidth=1.2, label=f"{name} (ρ = {number(trend[key]['rho'])}{clear})",
            )  # fmt: skip
            if key in naive:
                axes.axhspan(naive[key].min(), naive[key].max(), color=colour, alpha=0.12, lw=0)
                axes.axhline(naive[key].median(), color=colour, ls="--", lw=1)
        axes.axvline(place[0.0], color="#dddddd", lw=6, zorder=0)
        axes.set_xticks(range(len(place)), [number(a, "g") for a in place])
        bottom, top = axes.get_ylim()
        if any(key in naive for key, *_ in lines):
            axes.plot([], [], color=GREY, ls="--", lw=1, label="untrained: median, range")
        entries = len(axes.get_legend_handles_labels()[1])
        axes.set_ylim(min(0.0, bottom), max(top, 0) * (1.1 + 0.1 * entries))
        axes.legend(loc="upper left")
        axes.set_title(title, fontsize=11)
        axes.set(ylabel=unit, xlabel="α: selectivity  punished ←  0  → rewarded")
    return page
