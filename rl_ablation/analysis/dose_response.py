"""Dose and response: does more of a direction do more, and more than any other direction does?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from rl_ablation import stats
from rl_ablation.analysis.responses import Responses
from rl_ablation.analysis.sufficiency import Way
from rl_ablation.groupings.patches import DOSES
from rl_ablation.lesions.lesion import INTACT, VARIANT


def curve(
    found: Responses, here: Way, region: str, kind: str, doses: Sequence[float] = DOSES
) -> pd.DataFrame:
    """What each dose of `stimuli` does: columns ``region``, ``kind``, ``signal``, ``dose``,
    ``response`` in the signal's unit, ``share`` of the way with ``ci_low``, ``ci_high``,
    ``ended``. Nothing added, dose 0 of ``stimulate``, is the intact robot."""
    rows = []
    for dose, name in _doses(region, kind, doses):
        values = found.of(here.signal, name)
        share, low, high = here.share((values - here.target)[:, None])
        ended = found.ended[np.isfinite(values), found.plan.names.index(name)]
        rows.append(
            {"region": region, "kind": kind, "signal": here.signal, "dose": dose,
             "response": float(stats.finite_mean(values)), "share": share[0], "ci_low": low[0],
             "ci_high": high[0], "ended": ended.mean() if ended.size else np.nan}
        )  # fmt: skip
    return pd.DataFrame(rows)


def trend(
    found: Responses, here: Way, region: str, kind: str, doses: Sequence[float] = DOSES
) -> dict[str, float]:
    """Whether the response rises or falls with the dose, over paired episodes.

    ``rho`` is the mean over episodes of Spearman's ρ of dose and response, which orders doses as
    Page's L does (Page 1963, "Ordered hypotheses for multiple treatments"), with ``rho_low`` and
    ``rho_high`` over episodes and a two-sided ``p`` of sign flips. ``slope`` is the mean change of
    the signal for a standard deviation, by least squares, with ``slope_low`` and ``slope_high``.
    """
    known = _doses(region, kind, doses)
    dose = np.array([d for d, _ in known])
    values = np.stack([found.of(here.signal, name) for _, name in known], 1)
    values = values[np.isfinite(values).all(1)]
    ranks = np.nan_to_num(stats.spearman(np.broadcast_to(dose, values.shape), values))
    centred = dose - dose.mean()
    slopes = values @ centred / (centred**2).sum()
    both = np.stack([ranks, slopes], 1)
    low, high = stats.mean_intervals(both, np.random.default_rng(0))
    p = stats.sign_flip_p(both[:, :1], np.random.default_rng(0))
    rho, slope = both.mean(0)
    return {
        "rho": rho, "rho_low": low[0], "rho_high": high[0], "p": float(p[0]),
        "slope": slope, "slope_low": low[1], "slope_high": high[1], "n": len(values),
    }  # fmt: skip


def slope(found: Responses, signal: str, region: str, dose: float) -> float:
    """Mean change of a signal for a standard deviation, between a dose up and the same down."""
    names = [f"{region}{VARIANT}stimulate {d:g}" for d in (dose, -dose)]
    up, down = (found.of(signal, name) for name in names)
    return float(stats.finite_mean(up - down) / (2 * dose))


def against_random(value: float, null: Mapping[str, float]) -> float:
    """Two-sided p of a slope among those of random directions of its variance."""
    beyond = sum(abs(x) >= abs(value) - 1e-12 for x in null.values())
    return (1 + beyond) / (1 + len(null))


def _doses(region: str, kind: str, doses: Sequence[float]) -> list[tuple[float, str]]:
    known = [(float(d), f"{region}{VARIANT}{kind} {d:g}") for d in doses]
    return sorted([*known, (0.0, INTACT)]) if kind == "stimulate" else sorted(known)
