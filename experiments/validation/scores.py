"""Cells of planted policies judged against the truth, and two maps of one policy compared."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

import rl_ablation as rl
from experiments.validation.policies import ZERO
from rl_ablation.mapping.claims import overall
from rl_ablation.stats import LEVEL


def score_cells(found: pd.DataFrame, truth: pd.DataFrame, roles: Mapping[str, str]) -> pd.DataFrame:
    """Put the truth beside the claims about single units and judge each.

    Found is what `overall` tells; the truth is from `true_effects`, in each kind, for the units
    that are wired to matter; roles are name of the single cut → role.

    Returns:
        The cells with ``role``, the truth in the kind that the cell is told with (none, where that
        is no kind of the truth), ``least``, the smallest true |effect| of the kinds (0 where their
        signs differ) with its ``sign``, and booleans ``claimed``, ``right`` (a claim of that sign),
        ``real`` (least ≥ 1), ``judged`` (counts for coverage), ``held``.
    """
    rows = found[(found["condition"] == "all") & found["lesion"].isin(roles.keys())]
    kept = ["lesion", "measure", "kind", "delta", "ci_low", "ci_high", "effect", "q", "stage", "n"]
    cells = rows[kept].merge(truth, on=["lesion", "measure", "kind"], how="left")
    cells = cells.merge(_least(truth), on=["lesion", "measure"], how="left")
    cells.insert(1, "role", cells["lesion"].map(roles))
    nothing = cells["role"].isin(ZERO)
    cells.loc[nothing, ["true_delta", "true_sd", "true_effect", "least", "sign"]] = 0.0
    confirmed = cells["stage"] == "confirmed"
    alike = np.sign(cells["delta"]) == cells["sign"]
    cells["claimed"] = confirmed & (cells["q"] < LEVEL)
    cells["right"] = cells["claimed"] & alike & (cells["least"] > 0)
    cells["real"] = cells["least"] >= 1
    cells["judged"] = confirmed & ~nothing & cells["ci_low"].notna()
    cells["held"] = holds(cells)
    return cells


def _least(truth: pd.DataFrame) -> pd.DataFrame:
    """Smallest true |effect| over kinds, 0 where they differ in sign, and their sign; columns
    lesion, measure, least, sign."""
    of = truth["true_effect"].groupby([truth["lesion"], truth["measure"]])
    low, high = of.min(), of.max()
    least = low.clip(lower=0.0).where(low > 0, -high.clip(upper=0.0))
    return pd.DataFrame({"least": least, "sign": np.sign(low).where(least > 0, 0.0)}).reset_index()


def holds(cells: pd.DataFrame) -> pd.Series:
    """Whether each interval, stretched for the truth's own error, holds the true change."""
    stretch, true = np.sqrt(1 + cells["n"] / cells["true_n"]), cells["true_delta"]
    ends = cells[["ci_low", "ci_high"]].sub(cells["delta"], axis=0).mul(stretch, axis=0)
    low, high = (cells["delta"] + ends[side] for side in ends)
    return true.between(low - 1e-9 * true.abs(), high + 1e-9 * true.abs())


def recalled(cells: pd.DataFrame) -> dict[str, int]:
    """Of the cells with a true effect of 1 s.d. in every kind, how many are claimed rightly; and
    all claims, and those that are true."""
    return {
        "real": int(cells["real"].sum()),
        "found": int((cells["real"] & cells["right"]).sum()),
        "claims": int(cells["claimed"].sum()),
        "true": int(cells["right"].sum()),
    }


def compare(fixed: rl.Map, adaptive: rl.Map, cells: pd.DataFrame) -> dict[str, float]:
    """How many cells two maps of one policy decide alike, and the steps that each took.

    Of the cells of `score_cells` those are ``clear`` that have a true effect of 0, or of 1 s.d. and
    more: for what lies between, two maps of other seeds do not decide alike either.
    """
    cells = cells.set_index(["lesion", "measure"])
    clear = cells["real"] | (cells["true_effect"] == 0)
    claimed = []
    for run in (fixed, adaptive):
        rows = overall(run.effects())
        rows = rows[rows["q"].notna()]
        sure = rows.set_index(["lesion", "measure"])["q"] < LEVEL
        claimed.append(sure[sure.index.isin(cells.index)])
    one, other = claimed[0].align(claimed[1], join="inner")
    alike = (one == other)[clear.reindex(one.index).fillna(False).to_numpy(bool)]
    return {
        "cells": len(one),
        "alike": int((one == other).sum()),
        "clear": len(alike),
        "clear_alike": int(alike.sum()),
        "fixed_steps": stage_steps(fixed),
        "adaptive_steps": stage_steps(adaptive),
    }


def stage_steps(run: rl.Map) -> int:
    """Control steps of a map's discovery and confirmation."""
    stages = [stage for stage in (run, run.confirmation) if stage is not None]
    return sum(int(stage.whole_table()["steps"].to_numpy().sum()) for stage in stages)
