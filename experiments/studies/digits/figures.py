"""The figure of the digits: a panel for each published finding."""

from __future__ import annotations

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
def four_panels(
    losses: pd.DataFrame,
    gains: pd.DataFrame,
    falls: pd.DataFrame,
    steered: pd.DataFrame,
    checks: pd.DataFrame,
) -> Figure:
    """One panel for each published finding; its title says whether it came out so."""
    title = "Published findings on classifiers, tried with this instrument on handwritten digits"
    figure = style.page(11.5, 8.5, title, size=13)
    panels = figure.subplots(2, 2)
    agrees = checks["agrees"].tolist()
    _particular(panels[0, 0], losses)
    _gained(panels[0, 1], gains)
    _fallen(panels[1, 0], falls)
    _steered(panels[1, 1], steered)
    heads = (
        f"Units hurt particular digits: {agrees[0]}",
        f"Cutting some unit helps some digit: {agrees[1]}",
        f"Memorised labels fall faster: {agrees[2]}",
        f"More selective is worse: {agrees[3]}; less costs little: {agrees[4]}",
    )
    for axes, head in zip(panels.flat, heads, strict=True):
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
    axes.set(
        xlabel="accuracy lost over all digits",
        ylabel="accuracy lost on its worst digit\n(chosen on other images)",
    )
    axes.legend(loc="upper left")


def _gained(axes: Axes, gains: pd.DataFrame) -> None:
    for chosen, confirmed in zip(gains["chosen"], gains["confirmed"], strict=True):
        axes.plot([0, 1], [chosen, confirmed], color=GREY, lw=1, marker="o", ms=4)
    rng = np.random.default_rng(0)
    for x, column in enumerate(("chosen", "confirmed")):
        networks = [np.array([g]) for g in gains[column]]
        low, high = interval(nested_bootstrap(networks, rng))
        mean = gains[column].mean()
        error = [[mean - low], [high - mean]]
        axes.errorbar(x, mean, error, color=PURPLE, marker="D", capsize=5, lw=2, zorder=5)
        axes.annotate(
            number(mean, "+.1%"), (x, mean), (10, 6), textcoords="offset points", color=PURPLE
        )
    axes.axhline(0, color="black", lw=0.8, ls=":")
    axes.set_xlim(-0.4, 1.5)
    axes.set_xticks([0, 1], ["on the images\nthat chose it", "on fresh images"])
    axes.set_ylabel("gain of the best unit × digit cell\n(one line a network)")


def _fallen(axes: Axes, falls: pd.DataFrame) -> None:
    for kind, colour in (("true", PURPLE), ("shuffled", ORANGE)):
        part = falls[falls["labels"] == kind]
        per_network = part.groupby(["network", "dose"])["lesioned"].mean().unstack()
        area = np.mean([a.mean() for a in areas_of(falls, kind).values()])
        name = {"true": "true labels", "shuffled": "shuffled labels"}[kind]
        for values in per_network.to_numpy():
            axes.plot(per_network.columns, values, color=colour, lw=0.6, alpha=0.35)
        label = f"{name}, area {number(area)}"
        axes.plot(per_network.columns, per_network.mean(), color=colour, lw=2.5, label=label)
    axes.axhline(0.1, color="black", lw=0.8, ls=":")
    axes.text(0.02, 0.11, "guessing", fontsize=8)
    axes.set_xlabel("share of hidden units cut, in random order")
    axes.set_ylabel("accuracy on own training images")
    axes.legend()


def _steered(axes: Axes, steered: pd.DataFrame) -> None:
    wide = steered.pivot(index="network", columns="alpha", values="accuracy")
    reached = steered.groupby("alpha")["selectivity"].mean()
    alphas = reached.index.tolist()
    places = np.arange(len(alphas))
    for values in wide.to_numpy():
        axes.plot(places, values, color=GREY, lw=0.6, alpha=0.6)
    axes.plot(places, wide.mean(), color=PURPLE, lw=2.5, marker="o")
    axes.axvline(alphas.index(0.0), color="black", lw=0.8, ls=":")
    signed = [number(a, "+g") if a else "0" for a in alphas]
    ticks = [f"{a}\n{number(si)}" for a, si in zip(signed, reached, strict=True)]
    axes.set_xticks(places, ticks)
    axes.set_xlabel("α: weight of selectivity in training; below it the selectivity reached")
    axes.set_ylabel("accuracy on held-out images")
