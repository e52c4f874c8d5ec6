"""The findings of the study of selectivity in sentences, from its tables and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from experiments.studies.selectivity.comparison import METRICS, OUTCOMES, Metric
from rl_ablation.formats import Estimate, number, small
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
    parts = [tell_short(means, lines), tell_push(means), tell_side(means, 1), tell_side(means, -1)]
    parts.append("\n".join(f"- {tell_outcome(means, lines[m.key], m)}" for m in OUTCOMES))
    areas = [m.key for m in OUTCOMES if m.key not in ("progress", "crash")]
    could = means[means["alpha"] != 0].set_index("metric")["smallest"]
    note = (
        f"{seeds} training seeds for each α. A change from α = 0 counts as clear with q < 5 % over "
        f"all {len(could[[m.key for m in OUTCOMES]])} of them (sign flips over pairs of networks "
        "of the same training seed; intervals are Student's). With so many pairs a change of "
        f"{number(could['progress'].max())} laps is found with 80 % power at every α, two-sided at "
        f"5 % by itself, and one of {number(could[areas].max())} of any area kept."
    )
    return "\n\n".join([*parts, tell_kinds(lines), tell_rotation(means), note])


def tell_untrained(naive: pd.DataFrame, means: pd.DataFrame) -> str:
    """The same of networks before training, which is what training has to be held against."""
    phrases = []
    for metric in (m for m in METRICS if m.key in naive):
        values, plain = naive[metric.key], at_alphas(means, metric.key)[0.0]["value"]
        low, high = float(values.min()), float(values.max())
        where = "above" if plain > high else "below" if plain < low else "within"
        phrases.append(
            f"{metric.label} {number(float(values.median()))} ({number(low)} to {number(high)}; "
            f"at α = 0 {number(plain)}, {where} that range)"
        )
    return (
        f"**Chance.** {len(naive)} untrained networks that are shown what the networks of α = 0 "
        f"saw, through the same observation normaliser, median and range: {', '.join(phrases)}."
    )


def _change(row: Row) -> Estimate:
    return Estimate.of(row, "change", "change_low", "change_high")


def _sign(row: Row) -> int:
    """+1 or −1 where a change is clear."""
    return _change(row).sign if row["q"] < LEVEL else 0


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
        f"**In short.** From α = {number(min(si), 'g')} to {number(max(si), 'g')} SI of the units "
        f"goes from {number(si[min(si)]['value'])} to {number(si[max(si)]['value'])}. Against "
        f"α = 0 the laps driven undamaged change by {share:.0%} at most, the areas kept under "
        f"damage by {number(area)} at most. Clear trends over α: {', '.join(clear) or 'none'}."
    )


def tell_push(means: pd.DataFrame) -> str:
    """What α did to the units."""
    value = means.pivot(index="alpha", columns="metric", values="value").map(number)
    eta, low, high = at_alphas(means, "eta"), value.index.min(), value.index.max()
    values = ", ".join(f"{value['si'][a]} at α = {number(a, 'g')}" for a in value.index)
    moved = " and ".join(
        f"to {value['eta'][a]} at {number(a, 'g')} (change {_with_change(eta[a])})"
        for a in (low, high)
    )
    sizes = ", ".join(f"{value['spread'][a]} at {number(a, 'g')}" for a in (0.0, low, high))
    return (
        f"**What α did.** On the states that each robot visits, SI of its units is {values}. SI "
        "can also change because units are turned up or down. η², which that does not touch, goes "
        f"from {value['eta'][0.0]} at α = 0 {moved}. The s.d. of a unit's activity is {sizes}."
    )


def tell_outcome(means: pd.DataFrame, line: Row, metric: Metric) -> str:
    """An outcome against α = 0, and its trend."""
    rows = at_alphas(means, metric.key)
    phrases = []
    for sign, word in ((-1, "lower"), (1, "higher")):
        hits = [a for a in rows if _sign(rows[a]) == sign]
        places = ", ".join(f"{number(a, 'g')} ({_with_change(rows[a])})" for a in hits)
        if hits:
            phrases.append(f"{word} at α = {places}")
    if rest := [row for a, row in rows.items() if a != 0 and _sign(row) == 0]:
        ends = min(r["change_low"] for r in rest), max(r["change_high"] for r in rest)
        smallest = max(r["smallest"] for r in rest)
        where = "elsewhere " if phrases else ""
        phrases.append(where + Estimate(0.0, *ends).unclear(smallest, metric.interest, ".3f"))
    way = "rises with α" if line["rho"] > 0 else "falls with α"
    could = f", a mean ρ of {number(line['smallest'])} could have been found"
    could *= line["smallest"] > 0  # nothing varies, so nothing could have been found
    return (
        f"{metric.label[0].upper()}{metric.label[1:]}: {number(rows[0.0]['value'])} at α = 0; "
        f"{'; '.join(phrases)}. Over all α it "
        f"{way if line['q'] < LEVEL else 'has no clear trend'} (ρ = {number(line['rho'])}, "
        f"q = {small(line['q'])}{could if line['q'] >= LEVEL else ''})."
    )


def tell_side(means: pd.DataFrame, side: int) -> str:
    """How often more (``side`` +1) or less (−1) pressure for selectivity harmed or helped."""
    rows = means[np.sign(means["alpha"]) == side].to_dict("records")
    signs = [m.better * _sign(r) for m in OUTCOMES for r in rows if r["metric"] == m.key]
    worse, better = signs.count(-1), signs.count(1)
    what = "rewarded (α > 0)" if side > 0 else "punished (α < 0)"
    theirs = "always hurt" if side > 0 else "cost little or helped"
    return (
        f"**Selectivity {what}**: of {len(signs)} comparisons with α = 0, {worse} are clearly "
        f"worse, {better} clearly better and {signs.count(0)} not clear (q < 5 %; below, what each "
        f"could have found). In Leavitt & Morcos's classifiers it {theirs}."
    )


def tell_kinds(lines: Mapping[str, Row]) -> str:
    """Natural corruption against targeted attack, as 2010.07693 sets them against each other."""
    words = {-1: "falls", 0: "does not clearly change", 1: "rises"}
    theirs = {"noise": -1, "dropout": -1, "worst": 1}
    signs = {k: int(np.sign(lines[k]["rho"]) if lines[k]["q"] < LEVEL else 0) for k in theirs}
    phrases = [f"{_LABELS[key]} {words[sign]} with α" for key, sign in signs.items()]
    fits = [signs[key] == sign for key, sign in theirs.items()]
    if any(fits):
        verdict = "their picture" if all(fits) else "their picture in part"
    else:
        verdict = "nothing clear either way"
        if any(signs.values()):
            verdict = "what is clear goes the other way"
    return (
        "**Corruption and attack.** In 2010.07693 less selective networks withstood natural "
        f"corruption better and attacks worse. Here: {'; '.join(phrases)}: {verdict}."
    )


def tell_rotation(means: pd.DataFrame) -> str:
    """Whether what the units lost or won was only turned away from, or onto, their axes."""
    keys = ("eta", "layer", "best", "similarity")
    units, whole, best, similar = (at_alphas(means, key) for key in keys)
    phrases = []
    for alpha in [a for a in units if a != 0]:
        turned, whole_turned = _sign(units[alpha]), _sign(whole[alpha])
        if turned == 0:
            could = number(units[alpha]["smallest"])
            word = f"the units do not clearly change (of {could} it could be told), so this is open"
        elif whole_turned == turned:
            word = "the whole layer goes with them, so it was not merely rotated"
        elif whole_turned == 0:
            word = "the whole layer does not clearly change, so it may have been merely rotated"
        else:
            word = "the whole layer goes the other way"
        unit_share, whole_share = (x[alpha]["change"] / x[0.0]["value"] for x in (units, whole))
        phrases.append(
            f"- α = {number(alpha, 'g')}: units' η² {number(unit_share, '+.0%')}, whole layer's "
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
