"""Rows of the table of aims: what is asked besides of cells and of regions; see `planted_truth`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from experiments.validation.developing import DEVELOPING
from experiments.validation.directions import ALIGNED, ROOM
from experiments.validation.families import TWO, TWO_TWIN
from experiments.validation.moments import AIMS, FAMILY
from experiments.validation.stimulation import CODES, COUNTS
from experiments.validation.trees import SEARCHED

EVERY = "all"
"""All families together."""

Row = tuple[str, str, float, float, float, str, float, float]
"""Aim, family, measured, its interval's ends, of what and how many, least and most wanted."""


def wilson(hits: int, of: int) -> tuple[float, float, float]:
    """A share and its 95 % interval (Wilson 1927); NaN of nothing."""
    if not of:
        return np.nan, np.nan, np.nan
    interval = stats.binomtest(hits, of).proportion_ci(method="wilson")
    return hits / of, float(interval.low), float(interval.high)


def share_of(hits: int, of: int, what: str) -> tuple[float, float, float, str]:
    """`wilson`, and of what and how many."""
    return *wilson(hits, of), f"{of} {what}"


def further(facts: Sequence[dict[str, Any]]) -> list[Row]:
    """What is asked of directions, connections, trees, brief cuts and codes put in."""
    wires = [f["connections"] for f in facts if "connections" in f]
    brief = [f["when"] for f in facts if "when" in f]
    return [*_directions(facts), *_wiring(wires), *_trees(facts), *_when(brief), *_codes(facts)]


def _directions(facts: Sequence[dict[str, Any]]) -> list[Row]:
    turned = [f["directions"][ROOM] for f in facts if "directions" in f]
    found = sum(x["found"] and x["aligned"] >= ALIGNED for x in turned)
    other = sum(x["other"] for x in turned)
    return [
        ("direction of steering found", TWO_TWIN, *share_of(found, len(turned), "robots"), 0.9, 1),
        ("direction of steering told for speed", TWO_TWIN,
         *share_of(other, len(turned), "robots"), 0, 0.05),
    ]  # fmt: skip


def _wiring(facts: Sequence[dict[str, int]]) -> list[Row]:
    """Connections between planted parts."""
    n = {k: sum(f[k] for f in facts) for k in facts[0]} if facts else {}
    asked = [
        ("without a wire, changed", "changed", "wireless", 0, 0),
        ("precision of claims", "true", "claims", 0.95, 1),
        ("recall of effects ≥ 1 s.d.", "found", "real", 0.9, 1),
    ]
    return [
        (
            f"connections: {aim}",
            EVERY,
            *share_of(n.get(hits, 0), n.get(of, 0), "cells"),
            least,
            most,
        )
        for aim, hits, of, least, most in asked
    ]


def _trees(facts: Sequence[dict[str, Any]]) -> list[Row]:
    """What searches of trees are asked; see `experiments.validation.trees`."""
    null = [f["null trees"] for f in facts]
    rejected, trees = (sum(x[k] for x in null) for k in ("false", "trees"))
    rows: list[Row] = [
        ("false positives, trees", EVERY, *share_of(rejected, trees, "null trees"), 0, 0.05)
    ]
    for family in SEARCHED:
        told = [f["trees"] for f in facts if f["family"] == family]
        false = sum(x["tree"]["false"] > 0 for x in told)
        rows.append(("tree: false groups", family, *share_of(false, len(told), "robots"), 0, 0.05))
    for who, least in (("tree", 0.9), ("equal", 0.0)):
        told = [f["trees"] for f in facts if f["family"] == TWO]
        hits, roles = sum(x[who]["found"] for x in told), sum(x["roles"] for x in told)
        aim = "tree" if who == "tree" else "flat clusters, equal steps"
        rows.append((f"{aim}: groups found", TWO, *share_of(hits, roles, "groups"), least, 1))
    return rows


def _when(facts: Sequence[dict[str, Any]]) -> list[Row]:
    """What depends on when; see `experiments.validation.moments`."""
    rows: list[Row] = []
    for aim, (what, least, most) in AIMS.items():
        found = share_of(sum(x[what] for x in facts), len(facts), "robots")
        rows.append((aim, FAMILY, *found, least, most))
    of_null, false = (sum(x["null"][k] for x in facts) for k in (0, 1))
    found = share_of(false, of_null, "nulls")
    return [*rows, ("when: told of others' places", FAMILY, *found, 0, 0.05)]


def _codes(facts: Sequence[dict[str, Any]]) -> list[Row]:
    """What codes evoke; see `experiments.validation.stimulation`."""
    codes = [x for f in facts for x in f.get("stimulation", {}).values()]
    told = {aim: [y for x in codes if x["aim"] == aim for y in x["found"]] for aim in CODES}
    rows: list[Row] = []
    for aim, hits in told.items():
        rows.append((aim, TWO, *share_of(sum(hits), len(hits), "regions"), 0.9, 1))
    null, nulls, idle, idles = (sum(x[k] for x in codes) for k in COUNTS)
    of_target, of_idle = share_of(null, nulls, "patches"), share_of(idle, idles, "regions")
    return [
        *rows,
        ("codes of the target itself evoke", TWO, *of_target, 0, 0.05),
        ("codes that nobody hears evoke", TWO, *of_idle, 0, 0),
    ]


def developed(dates: Sequence[Sequence[bool]]) -> list[Row]:
    """What is asked of planted trainings, from the dates of `all_dated`."""
    wired, silent = (sum(hits) for hits in zip(*dates, strict=True)) if dates else (0, 0)
    return [
        ("development: pathways dated right", DEVELOPING,
         *share_of(wired, len(dates), "robots"), 0.9, 1),
        ("development: what is never wired, dated", DEVELOPING,
         *share_of(len(dates) - silent, len(dates), "robots"), 0, 0.05),
    ]  # fmt: skip
