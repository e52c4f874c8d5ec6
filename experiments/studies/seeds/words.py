"""The findings about networks trained from different seeds in sentences, from the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import norm

from rl_ablation.analysis.consistency import Consistency
from rl_ablation.formats import Estimate, number
from rl_ablation.measures.registry import MEASURES
from rl_ablation.stats import LEVEL

PROFILE, SPECIFIC = "profile", "beyond mean harm"


INTEREST = 0.1
"""Smallest difference of shares of harm that would matter, fixed before the data."""


def tell(
    found: Mapping[str, Mapping[str, Consistency]], local: pd.DataFrame,
    maps: Sequence[np.ndarray], names: Sequence[Sequence[str]],
) -> str:  # fmt: skip
    """The findings in sentences, from the numbers; ``found`` is kind, the main one first → how."""
    lines = []
    main, *others = found
    for how, what in (
        (PROFILE, "what their loss does"),
        (SPECIFIC, "what it does beyond each cluster's mean harm"),
    ):
        r, p = found[main][how], _corrected(found[main], how)
        shuffled = float(np.median(r.null))
        # The null's spread twice over: 2.5 % at its end (two tests), 80 % power beyond that.
        could = float(r.null.mean() + (norm.ppf(0.975) + norm.ppf(0.8)) * r.null.std())
        held = p < LEVEL and _corrected(found["mean"], how) < LEVEL
        verdict = "recur under every kind near the manifold" if held else (
            "recur when resampled, not clearly at their means" if p < LEVEL else
            "do not clearly recur: inconclusive, a similarity below "
            f"{number(min(could, 1.0))} could not have been found"
        )  # fmt: skip
        way = (r.score - shuffled) / (1 - shuffled) if shuffled < 1 else 0.0
        checks = ", ".join(
            f"{number(found[kind][how].score)} under {kind} "
            f"(p = {_corrected(found[kind], how):.3f})"
            for kind in others
        )
        lines.append(
            f"- Matched by {what}, clusters {verdict}. Mean similarity {number(r.score)} over "
            f"{len(maps) * (len(maps) - 1) // 2} pairs of networks, {number(way, '%')} of the way "
            f"from shuffled maps ({number(shuffled)}) to the same map (1); p = {p:.3f} "
            f"(Bonferroni, {len(found[main])} tests). Beside it: {checks}."
        )
    for column, behaviour in enumerate(local["behaviour"].unique()):
        lines.append(_tell_behaviour(column, behaviour, local, maps, names))
    lines.append(
        f"- {len(maps)} seeds of one recipe: nothing is said of other recipes or robots. q is over "
        f"the behaviours; a difference of less than {number(INTEREST, '%')} would not matter."
    )
    return "\n".join(lines)


def _corrected(tests: Mapping[str, Consistency], how: str) -> float:
    return min(1.0, len(tests) * tests[how].p)


def _tell_behaviour(
    column: int, behaviour: str, local: pd.DataFrame, maps: Sequence[np.ndarray],
    names: Sequence[Sequence[str]],
) -> str:  # fmt: skip
    here = local[(local["behaviour"] == behaviour) & (local["index"] == "worst share")]
    rows = here.set_index("division").loc[["clusters", "random", "difference"]]
    ends = ("iqm", "ci_low", "ci_high")
    own, random, gap = (Estimate.of(row, *ends) for row in rows.to_dict("records"))
    worst = [int(harm[:, column].argmin()) for harm in maps]
    sites = [regions[k].partition("/")[0] for regions, k in zip(names, worst, strict=True)]
    site = max(sorted(set(sites)), key=sites.count)
    label = MEASURES[behaviour].label
    label = label[:1].upper() + label[1:]
    if not np.isfinite(own.value):
        return f"- {label}: no cluster's loss harms it in any network."
    text = f"the worst cluster does {own:%} of all harm"
    if not np.isfinite(gap.value):
        return f"- {label}: {text}; random regions do none."
    row = rows.loc["difference"].to_dict()
    sign = gap.sign if row["q"] < LEVEL else 0
    than = "than random divisions of the same sizes"
    verdict = {
        1: f"is more local {than}", -1: f"is less local {than}",
        0: f"against random divisions: {gap.unclear(row['smallest'], INTEREST, '%')}",
    }[sign]  # fmt: skip
    return (
        f"- {label} {verdict}; {text}, the worst random region {random:%}; difference {gap:%}, "
        f"q = {row['q']:.3f}. The worst cluster is in {site} in "
        f"{sites.count(site)} of {len(sites)} networks."
    )
