"""The findings of the study of selectivity in sentences, from its tables and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from experiments.studies.selectivity.comparison import METRICS, OUTCOMES, Metric
from rl_ablation.formats import Estimate, number
from rl_ablation.stats import LEVEL

_LABELS = {m.key: m.label for m in METRICS}
Row = Mapping[Any, float]


def at_alphas(means: pd.DataFrame, key: str) -> dict[float, Row]:
    """A metric's rows of the table of means, by α in rising order."""
    rows = means[means["metric"] == key].drop(columns="metric").sort_values("alpha")
    return {float(row["alpha"]): row for row in rows.to_dict("records")}


def by_metric(trends: pd.DataFrame) -> dict[str, Row]:
    """The table of trends, by metric."""
    return {str(row.pop("metric")): row for row in trends.to_dict("records")}


def tell(networks: pd.DataFrame, means: pd.DataFrame, trends: pd.DataFrame) -> str:
    """The findings, from the tables and nothing else."""
    seeds, lines = networks["seed"].nunique(), by_metric(trends)
    parts = [
        tell_short(means, lines),
        tell_push(means),
        tell_side(means, 1),
        tell_side(means, -1),
        "\n".join(f"- {tell_outcome(means, lines[m.key], m)}" for m in OUTCOMES),
        tell_kinds(lines),
        tell_rotation(means),
        f"{seeds} training seeds for each α. An α differs clearly where Student's 95 % interval of "
        f"the change, over these {seeds} pairs of networks, leaves out 0; so few pairs show large "
        "changes only.",
    ]
    return "\n\n".join(parts)


def _alpha(value: float) -> str:
    return number(value, "g")


def _change(row: Row) -> Estimate:
    return Estimate.of(row, "change", "change_low", "change_high")


def _with_change(row: Row) -> str:
    # A digit more than usual: an interval may leave out 0 by little.
    return f"{number(row['change'], '.3f')}, {_change(row).ends('.3f')}"


def tell_short(means: pd.DataFrame, lines: Mapping[str, Row]) -> str:
    """How far the units were pushed, and how much that did to the robots at most."""
    si, laps = at_alphas(means, "si"), at_alphas(means, "progress")
    areas = [m for m in OUTCOMES if m.key not in ("progress", "crash")]
    share = max(abs(row["change"]) for row in laps.values()) / abs(laps[0.0]["value"])
    area = max(abs(r["change"]) for m in areas for r in at_alphas(means, m.key).values())
    clear = [m.label for m in OUTCOMES if lines[m.key]["q"] < LEVEL]
    return (
        f"**In short.** From α = {_alpha(min(si))} to {_alpha(max(si))} SI of the units goes from "
        f"{number(si[min(si)]['value'])} to {number(si[max(si)]['value'])}. Against α = 0 the laps "
        f"driven undamaged change by {share:.0%} at most, the areas kept under damage by "
        f"{number(area)} at most. Clear trends over α: {', '.join(clear) or 'none'}."
    )


def tell_push(means: pd.DataFrame) -> str:
    """What α did to the units."""
    si, eta, spread = (at_alphas(means, key) for key in ("si", "eta", "spread"))
    ends = [min(si), max(si)]
    values = ", ".join(f"{number(row['value'])} at α = {_alpha(a)}" for a, row in si.items())
    moved = " and ".join(
        f"to {number(eta[a]['value'])} at {_alpha(a)} (change {_with_change(eta[a])})" for a in ends
    )
    sizes = ", ".join(f"{number(spread[a]['value'])} at {_alpha(a)}" for a in [0.0, *ends])
    return (
        f"**What α did.** On the states that each robot visits, SI of its units is {values}. SI "
        "can also change because units are turned up or down. η², which that does not touch, goes "
        f"from {number(eta[0.0]['value'])} at α = 0 {moved}. The s.d. of a unit's activity is "
        f"{sizes}."
    )


def tell_outcome(means: pd.DataFrame, line: Row, metric: Metric) -> str:
    """An outcome against α = 0, and its trend."""
    rows = at_alphas(means, metric.key)
    phrases = []
    for sign, word in ((-1, "lower"), (1, "higher")):
        hits = [
            f"{_alpha(a)} ({_with_change(row)})"
            for a, row in rows.items()
            if a != 0 and _change(row).sign == sign
        ]
        if hits:
            phrases.append(f"{word} at α = " + ", ".join(hits))
    way = "rises with α" if line["rho"] > 0 else "falls with α"
    return (
        f"{metric.label[0].upper()}{metric.label[1:]}: {number(rows[0.0]['value'])} at α = 0; "
        f"{'; '.join(phrases) or 'no other α differs clearly'}. Over all α it "
        f"{way if line['q'] < LEVEL else 'has no clear trend'} (ρ = {number(line['rho'])}, "
        f"q = {line['q']:.3f})."
    )


def tell_side(means: pd.DataFrame, side: int) -> str:
    """How often more (``side`` +1) or less (−1) pressure for selectivity harmed or helped."""
    signs = [
        metric.better * _change(row).sign
        for metric in OUTCOMES
        for a, row in at_alphas(means, metric.key).items()
        if np.sign(a) == side
    ]
    worse, better = signs.count(-1), signs.count(1)
    what = "rewarded (α > 0)" if side > 0 else "punished (α < 0)"
    theirs = "always hurt" if side > 0 else "cost little or helped"
    agrees = worse > better if side > 0 else better >= worse
    if worse == better:
        verdict = "harmed as often as it helped" if worse else "clearly neither harmed nor helped"
    else:
        word = ("harmed", "helped") if worse > better else ("helped", "harmed")
        verdict = f"{word[0]} more often than it {word[1]}"
    return (
        f"**Selectivity {what}** {verdict}: of {len(signs)} comparisons with α = 0, {worse} "
        f"clearly worse and {better} clearly better; by chance {number(0.05 * len(signs))} would "
        f"be one or the other. In Leavitt & Morcos's classifiers it "
        f"{theirs}; {'so it is' if agrees else 'no sign of that'} here."
    )


def tell_kinds(lines: Mapping[str, Row]) -> str:
    """Natural corruption against targeted attack, as 2010.07693 sets them against each other."""
    phrases, fits, signs = [], [], []
    for key, theirs in (("noise", -1), ("dropout", -1), ("worst", 1)):
        sign = np.sign(lines[key]["rho"]) if lines[key]["q"] < LEVEL else 0
        word = {-1: "falls", 0: "does not clearly change", 1: "rises"}[int(sign)]
        phrases.append(f"{_LABELS[key]} {word} with α")
        fits.append(sign == theirs)
        signs.append(sign)
    if any(fits):
        verdict = "their picture" if all(fits) else "their picture in part"
    else:
        verdict = "not so" if any(signs) else "nothing clear either way"
    return (
        "**Corruption and attack.** In 2010.07693 less selective networks withstood natural "
        f"corruption better and attacks worse. Here: {'; '.join(phrases)}: {verdict}."
    )


def tell_rotation(means: pd.DataFrame) -> str:
    """Whether what the units lost or won was only turned away from, or onto, their axes."""
    keys = ("eta", "layer", "best", "similarity")
    units, whole, best, similar = (at_alphas(means, key) for key in keys)
    phrases = []
    for alpha in units:
        if alpha == 0:
            continue
        turned, whole_turned = _change(units[alpha]).sign, _change(whole[alpha]).sign
        if turned == 0:
            word = "the units do not clearly change, so there is nothing to have been rotated"
        elif whole_turned == turned:
            word = "the whole layer goes with them, so it was not merely rotated"
        elif whole_turned == 0:
            word = "the whole layer does not clearly change, so it may have been merely rotated"
        else:
            word = "the whole layer goes the other way"
        unit_share, whole_share = (x[alpha]["change"] / x[0.0]["value"] for x in (units, whole))
        phrases.append(
            f"- α = {_alpha(alpha)}: units' η² {number(unit_share, '+.0%')}, whole layer's "
            f"{number(whole_share, '+.0%')}: {word}. Best direction's η² "
            f"{number(best[alpha]['value'])}; PWCCA similarity to networks of α = 0 "
            f"{number(similar[alpha]['value'])}."
        )
    return (
        "**Only rotated?** Changes from α = 0, where the best direction has η² "
        f"{number(best[0.0]['value'])} and networks of different seeds have similarity "
        f"{number(similar[0.0]['value'])}; no rotation changes the whole layer's η².\n\n"
        + "\n".join(phrases)
    )
