"""The figure of the digits: a panel for each published finding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.studies.digits.words import areas_of
from rl_ablation.formats import number
from rl_ablation.reports import style
from rl_ablation.reports.style import GREY, ORANGE, PURPLE
from rl_ablation.stats import LEVEL, interval, nested_bootstrap


@style.styled
def four_panels(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """One panel for each published finding; its title says whether it came out so."""
    title = "Published findings on classifiers, tried with this instrument on handwritten digits"
    figure = style.page(11.5, 8.5, title, size=13)
    agrees = tables["checks"]["agrees"].tolist()
    panels = (
        (_particular, "losses", f"Units hurt particular digits: {agrees[0]}"),
        (_gained, "gains", f"Cutting some unit helps some digit: {agrees[1]}"),
        (_fallen, "falls", f"Memorised labels fall faster: {agrees[2]}"),
        (_steered, "selectivity",
         f"More selective is worse: {agrees[3]}; less costs little: {agrees[4]}"),
    )  # fmt: skip
    for axes, (draw, table, head) in zip(figure.subplots(2, 2).flat, panels, strict=True):
        draw(axes, tables[table])
        axes.set_title(head, fontsize=11, fontweight="bold")
    return figure


def _particular(axes: Axes, losses: pd.DataFrame) -> None:
    clear = losses["q"] < LEVEL
    for rows, colour, name in (
        (losses[~clear], GREY, "not clear"),
        (losses[clear], ORANGE, f"clear (false discovery rate {LEVEL:.0%})"),
    ):
        label = f"{name}: {len(rows)} units"
        axes.scatter(rows["mean_loss"], rows["worst_loss"], s=12, c=colour, alpha=0.6, label=label)
    axes.axline((0, 0), slope=1, color="black", lw=0.8, ls=":", label="all digits alike")
    axes.set_xlabel("accuracy lost over all digits")
    axes.set_ylabel("accuracy lost on its worst digit\n(chosen on other images)")
    axes.legend(loc="upper left")


def _gained(axes: Axes, gains: pd.DataFrame) -> None:
    both = gains[["chosen", "confirmed"]].to_numpy(float).T
    axes.plot([0, 1], both, color=GREY, lw=1, marker="o", ms=4)
    rng = np.random.default_rng(0)
    for x, values in enumerate(both):
        low, high = interval(nested_bootstrap(list(values[:, None]), rng))
        mean = values.mean()
        error, text = [[mean - low], [high - mean]], number(mean, "+.1%")
        axes.errorbar(x, mean, error, color=PURPLE, marker="D", capsize=5, lw=2, zorder=5)
        axes.annotate(text, (x, mean), (10, 6), textcoords="offset points", color=PURPLE)
    axes.axhline(0, color="black", lw=0.8, ls=":")
    axes.set_xlim(-0.4, 1.5)
    axes.set_xticks([0, 1], ["on the images\nthat chose it", "on fresh images"])
    axes.set_ylabel("gain of the best unit × digit cell\n(one line a network)")


def _fallen(axes: Axes, falls: pd.DataFrame) -> None:
    for kind, colour in (("true", PURPLE), ("shuffled", ORANGE)):
        part = falls[falls["labels"] == kind]
        per_network = part.groupby(["network", "dose"])["lesioned"].mean().unstack()
        axes.plot(per_network.columns, per_network.T, color=colour, lw=0.6, alpha=0.35)
        label = f"{kind} labels, area {number(np.mean(areas_of(falls, kind)))}"
        axes.plot(per_network.columns, per_network.mean(), color=colour, lw=2.5, label=label)
    axes.axhline(0.1, color="black", lw=0.8, ls=":")
    axes.text(0.02, 0.11, "guessing", fontsize=8)
    axes.set_xlabel("share of hidden units cut, in random order")
    axes.set_ylabel("accuracy on own training images")
    axes.legend()


def _steered(axes: Axes, steered: pd.DataFrame) -> None:
    wide = steered.pivot(index="network", columns="alpha", values="accuracy")
    reached = steered.groupby("alpha")["selectivity"].mean()
    alphas: list[Any] = wide.columns.tolist()
    places = range(len(alphas))
    axes.plot(places, wide.T, color=GREY, lw=0.6, alpha=0.6)
    axes.plot(places, wide.mean(), color=PURPLE, lw=2.5, marker="o")
    axes.axvline(alphas.index(0.0), color="black", lw=0.8, ls=":")
    ticks = [f"{number(a, '+g') if a else 0}\n{number(reached[a])}" for a in alphas]
    axes.set_xticks(places, ticks)
    axes.set_xlabel("α: weight of selectivity in training; below it the selectivity reached")
    axes.set_ylabel("accuracy on held-out images")
