"""The figures of the study open-loop: tables in, pictures out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_ablation.analysis.drift import Drift, size
from rl_ablation.formats import number
from rl_ablation.measures.registry import MEASURES
from rl_ablation.stats import LEVEL, finite_mean

ORANGE, PURPLE, GREY = "#b35806", "#542788", "#9a9a9a"
LASTS = {"left": "left bends", "right": "right bends", "straight": "straight", "always": "always"}
LABELLED = 0.03  # regions that cost less of the progress crowd together
BIN = 5  # steps averaged in a curve


def answer(cuts: pd.DataFrame, rows: pd.DataFrame, time: Mapping[str, float]) -> Figure:
    """Direct change against loss; regions × when they are cut."""
    page = Figure(figsize=(12.5, 5.2), layout="constrained", dpi=150)
    left, right = page.subplots(1, 2, width_ratios=[1, 2.3])
    _scatter(left, cuts)
    names, gates = list(dict.fromkeys(rows["region"])), list(dict.fromkeys(rows["gate"]))
    wide = rows.assign(shown=rows["harm"].where(rows["q"] < LEVEL, 0.0)).set_index(
        ["region", "measure", "gate"]
    )
    behaviours = list(dict.fromkeys(rows["measure"]))
    keys = [(m, g) for m in behaviours for g in gates]
    colour = np.array([[wide.loc[(n, *k), "shown"] for k in keys] for n in names], float)
    value = [[number(wide.loc[(n, *k), "delta"]) for k in keys] for n in names]
    sns.heatmap(
        np.nan_to_num(colour), ax=right, cmap="PuOr", center=0, vmin=-1, vmax=1, annot=value,
        fmt="", annot_kws={"size": 7.5}, linewidths=0.5, linecolor="white",
        cbar_kws={"shrink": 0.5, "aspect": 12, "pad": 0.01},
    )  # fmt: skip
    bar = right.collections[0].colorbar
    assert bar is not None
    bar.set_ticks([-1, 0, 1], labels=["worse", "same", "better"])
    right.set_yticks(np.arange(len(names)) + 0.5, names, rotation=0, fontsize=8)
    right.set_xticks(
        np.arange(len(keys)) + 0.5, [LASTS[g] for _, g in keys], rotation=60, fontsize=8,
        ha="right", rotation_mode="anchor",
    )  # fmt: skip
    right.tick_params(length=0)
    intact = rows.groupby("measure")["intact"].first()
    for k, name in enumerate(behaviours):
        title = f"{MEASURES[name].label}\nintact {number(intact[name])} {MEASURES[name].unit}"
        right.text(len(gates) * (k + 0.5), -0.12, title, ha="center", va="bottom", fontsize=8.5)
        right.axvline(len(gates) * k, color="#444444", lw=1)
    right.set_title("When the cut lasts: change of the behaviour\n\n\n", fontsize=10, loc="left")
    open_ = ", ".join(f"{g} {time[g]:.0%}" for g in gates if time[g] < 1)
    right.set_xlabel(
        f"share of the intact robot's time: {open_}; white: not significant (q ≥ {LEVEL:.0%})",
        fontsize=8, loc="left",
    )  # fmt: skip
    return page


def _scatter(axes: Axes, cuts: pd.DataFrame) -> None:
    marks = {site: "os^Dv"[k % 5] for k, site in enumerate(dict.fromkeys(cuts["site"]))}
    for (site, control), part in cuts.groupby(["site", cuts["group"] == "random"]):
        axes.scatter(
            part["direct"], 100 * part["loss"], marker=marks[site], s=14 if control else 44,
            color=GREY if control else {0: ORANGE, 1: PURPLE}[list(marks).index(site) % 2],
            alpha=0.6 if control else 1, label=f"{site} {'random' if control else 'cluster'}",
            zorder=1 if control else 2,
        )  # fmt: skip
    named = cuts[(cuts["group"] != "random") & (cuts["loss"].abs() > LABELLED)]
    for row in named.to_dict("records"):
        axes.annotate(
            row["lesion"].replace("cluster-", ""), (row["direct"], 100 * row["loss"]), fontsize=8,
            xytext=(5, 4), textcoords="offset points",
        )  # fmt: skip
    axes.set_xlabel("direct change of the action, s.d. (open loop)", fontsize=9)
    axes.set_ylabel("progress lost, % (closed loop)", fontsize=9)
    axes.set_title("What a cut does at once, and in the end", fontsize=10, loc="left")
    axes.legend(fontsize=7.5, frameon=False)
    axes.axhline(0, color="#444444", lw=0.8)
    sns.despine(ax=axes)


def curves(apart: Drift) -> Figure:
    """How far actions come apart after the cut, a panel a region."""
    names = apart.lesions[1:]
    page = Figure(figsize=(12, 1.4 + 2.1 * -(-len(names) // 4)), layout="constrained", dpi=150)
    panels = page.subplots(-(-len(names) // 4), 4, sharex=True, squeeze=False)
    shown, closed = _binned(size(apart.open)), _binned(size(apart.closed))
    seconds = (np.arange(len(shown)) + 0.5) * BIN * apart.dt
    for k, axes in enumerate(panels.flat):
        if k >= len(names):
            axes.set_visible(False)
            continue
        axes.plot(seconds, closed[:, 0], color=GREY, lw=1, label="only nudged")
        axes.plot(seconds, shown[:, k + 1], color=PURPLE, lw=1.2, label="open loop")
        axes.plot(seconds, closed[:, k + 1], color=ORANGE, lw=1.4, label="closed loop")
        axes.set_title(names[k], fontsize=9)
        axes.set_ylim(bottom=0)
        axes.tick_params(labelsize=8)
        sns.despine(ax=axes)
    panels[0, 0].legend(fontsize=8, frameon=False)
    page.supxlabel("time since the cut, s", fontsize=9)
    page.supylabel("difference of actions, s.d.", fontsize=9)
    return page


def _binned(values: np.ndarray) -> np.ndarray:
    """Means over episodes and bins of steps, (bins, L); what is left of a bin is left out."""
    bins = len(values) // BIN
    return finite_mean(values[: bins * BIN].reshape(bins, BIN, *values.shape[1:]), (1, 3))
