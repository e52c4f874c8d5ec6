"""The findings of the study connections in sentences, from its tables alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from rl_ablation.formats import Estimate, listed, number
from rl_ablation.stats import LEVEL, POWER


def tell(cuts: pd.DataFrame, found: pd.DataFrame, apart: pd.DataFrame) -> str:
    """All of it: how many connections matter, what foretells them, which rule is better."""
    lines = []
    for name, part in cuts.groupby("network", sort=False):
        counted = [
            f"{int(some['clear'].sum())} ({int(some['clear in one'].sum())}) of {len(some)} from "
            f"{site} to {to}"
            for (site, to), some in part.groupby(["site", "to"], sort=False)
        ]
        lines.append(f"- {name}: {listed(counted)}.")
    text = (
        f"Connections whose cut changes a behaviour clearly (q < {LEVEL:.0%}) under every kind "
        "tried, and in brackets held at the mean, the only kind in which the controls were cut:"
        "\n\n" + "\n".join(lines)
    )
    text += (
        "\n\nHow well each rule ranks the connections of two layers (Spearman). Connections that "
        "share a sender or a receiver are not independent: the 95 % interval draws whole senders "
        "and whole receivers, and chance lets them change places. Bold: the interval is clear of "
        f"0, and fewer than {LEVEL:.0%} of such changes do as well. *Chance* is what 95 % of them "
        f"stay below, *least to be found* what this comparison alone finds with {POWER:.0%} power, "
        "both for the rule that needs most; the interval, wide where few parts tell or hear, asks "
        f"for more. What is not bold is inconclusive:\n\n{_ranks(found)}"
    )
    text += (
        "\n\nWhich is the better guide, over the pairs of layers, with intervals over parts "
        f"({len(apart)} comparisons, not corrected for their number):\n\n"
    )
    return text + "\n".join(
        _apart(str(n), part) for n, part in apart.groupby("network", sort=False)
    )


def _ranks(found: pd.DataFrame) -> str:
    """A table: a row for each network and rule, a column for each pair of layers in any."""
    places = list(dict.fromkeys(zip(found["site"], found["to"], strict=True)))
    lines = [
        "| network | foretold by | " + " | ".join(f"{a} → {b}" for a, b in places) + " |",
        "| --- | --- |" + " --- |" * len(places),
    ]
    cells = found.set_index(["network", "rule", "site", "to"]).to_dict("index")
    for network in found["network"].unique():
        for rule in found["rule"].unique():
            told = [cells.get((network, rule, *place)) for place in places]
            lines.append(f"| {network} | {rule} | " + " | ".join(map(_cell, told)) + " |")
        most = found[found["network"] == network].groupby(["site", "to"]).max(numeric_only=True)
        for head, key in (
            ("*a rule without error*", "ceiling"),
            ("*chance*", "shuffled"),
            ("*least to be found*", "smallest"),
        ):
            values = [number(most[key].get(place, float("nan"))) for place in places]
            lines.append(f"| {network} | {head} | " + " | ".join(values) + " |")
    return "\n".join(lines)


def _cell(row: Mapping[Any, Any] | None) -> str:
    if row is None:
        return "–"
    value = Estimate.of(row, "rho", "ci_low", "ci_high")
    clear = row["p"] < LEVEL and value.sign != 0
    return f"**{number(value.value)}** ({value.ends()})" if clear else f"{value}"


def _apart(network: str, rows: pd.DataFrame) -> str:
    told = []
    for row in rows.to_dict("records"):
        gap = Estimate.of(row, "difference", "ci_low", "ci_high")
        how = {1: "better than", -1: "worse than", 0: "not shown to differ from"}[gap.sign]
        told.append(f"{row['rule']} {how} {row['than']} (difference {gap})")
    return f"- {network}: {listed(told)}."
