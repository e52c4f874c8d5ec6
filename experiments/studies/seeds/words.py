"""The findings about networks trained from different seeds in sentences, from the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rl_ablation.analysis.consistency import Consistency
from rl_ablation.formats import Estimate, number
from rl_ablation.measures.registry import MEASURES

PROFILE, SPECIFIC = "profile", "beyond mean harm"


def tell(
    found: dict[str, Consistency], local: pd.DataFrame, maps: list[np.ndarray],
    names: list[list[str]],
) -> str:  # fmt: skip
    """The findings in sentences, from the numbers."""
    lines = []
    for how, what in (
        (PROFILE, "what their loss does"),
        (SPECIFIC, "what it does beyond each cluster's mean harm"),
    ):
        r, shuffled = found[how], float(np.median(found[how].null))
        p = min(1.0, len(found) * r.p)
        verdict = "recur" if p < 0.05 else "do not clearly recur"
        way = (r.score - shuffled) / (1 - shuffled) if shuffled < 1 else 0.0
        lines.append(
            f"- Matched by {what}, clusters {verdict}: mean similarity {number(r.score)} over "
            f"{len(maps) * (len(maps) - 1) // 2} pairs of networks, {number(way, '%')} of the way "
            f"from shuffled maps ({number(shuffled)}) to the same map (1); p = {p:.3f} "
            f"(Bonferroni, {len(found)} tests)."
        )
    for column, behaviour in enumerate(local["behaviour"].unique()):
        lines.append(_tell_behaviour(column, behaviour, local, maps, names))
    lines.append(
        f"- {len(maps)} seeds of one recipe: an interval over so few covers less than its nominal "
        "95 %, one odd network can decide it, and nothing is said of other recipes or robots."
    )
    return "\n".join(lines)


def _tell_behaviour(
    column: int, behaviour: str, local: pd.DataFrame, maps: list[np.ndarray], names: list[list[str]]
) -> str:
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
    verdict = {1: "more local", -1: "less local", 0: "not clearly more or less local"}[gap.sign]
    return (
        f"- {label} is {verdict} than random divisions of the same sizes: {text}, the worst random "
        f"region {random:%}; difference {gap:%}. The worst cluster is in {site} in "
        f"{sites.count(site)} of {len(sites)} networks."
    )
