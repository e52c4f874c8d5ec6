"""Measures of laps. Turning is counted toward the bend, so that more is better on either side."""

from __future__ import annotations

from functools import partial

import numpy as np

from rl_ablation.measures.registry import ALIVE, MIN_STEPS, Words, averaged, measure, over
from rl_ablation.rollouts.rollout import Trace

BEND = 0.15  # 1/m: less curvature than this counts as straight


@measure(
    signals=("progress",), unit="laps", better=1, task=True, first=True,
    words=Words("gets {as} far", "hardly gets anywhere", "drives the wrong way round"),
)  # fmt: skip
def progress(trace: Trace) -> np.ndarray:
    """Laps gained by the end."""
    return trace.held("progress")[-1]


@measure(
    signals=("progress",), unit="laps/min", better=1, name="progress.alive", task=True,
    words=Words("makes {of} its laps a minute", "hardly gets on", "drives the wrong way round"),
)  # fmt: skip
def progress_alive(trace: Trace) -> np.ndarray:
    """Laps gained per minute of driving."""
    steps = trace.steps
    pace = trace.held("progress")[-1] / np.maximum(steps * trace.dt / 60.0, 1e-9)
    return np.where(steps >= MIN_STEPS, pace, np.nan)


def _register_turning(side: str, sign: int) -> None:
    def bending(trace: Trace) -> np.ndarray:
        return trace.alive & (sign * trace["bend"] > BEND)

    def turned(trace: Trace) -> np.ndarray:
        return np.where(bending(trace), sign * trace["yaw_rate"], 0.0).mean(0, dtype=np.float64)

    def turning(trace: Trace) -> np.ndarray:
        return over(sign * trace["yaw_rate"], bending(trace))

    name, what = f"{side}_turning", f"Mean {side}ward yaw rate in {side} bends"
    turn = partial(measure, signals=("yaw_rate", "bend"), unit="rad/s", better=1)
    turn(name=name, doc=f"{what}, times their share of the horizon")(turned)
    bends = f"in {side} bends"
    words = Words(
        f"turns at {{of}} its rate {bends}", f"hardly turns {bends}", f"turns away {bends}"
    )
    doc = f"{what} while driving in them"
    turn(name=name + ALIVE, doc=doc, first=True, words=words)(turning)


_register_turning("left", 1)
_register_turning("right", -1)

averaged(
    "off_centre",
    lambda t: np.abs(t["lateral_error"]),
    signals=("lateral_error",),
    unit="m",
    better=-1,
    after="hold",
    doc="Mean distance from the centreline",
    first=True,
    words=Words("drives {as} far from the centreline"),
)
averaged(
    "clearance",
    unit="m",
    better=1,
    after="hold",
    doc="Mean distance from the chassis to the nearer wall",
    words=Words("stays {as} far from the walls", "hardly stays off the walls"),
)


@measure(
    signals=("crash",), better=-1, ending="crashed", first=True,
    words=Words("crashes in {count} episodes", "without a crash"),
)  # fmt: skip
def crash(trace: Trace) -> np.ndarray:
    """Share of episodes that end in a wall."""
    return (trace["crash"].max(0) > 0).astype(np.float64)


@measure(signals=("crash",), unit="s", better=1, summary=True)
def time_to_crash(trace: Trace) -> np.ndarray:
    """Time until the first touch of a wall, or the horizon."""
    crashed = trace["crash"] > 0
    first = np.where(crashed.any(0), crashed.argmax(0) + 1, len(crashed))
    return np.asarray(first * trace.dt)


@measure(
    signals=("stuck",), better=-1, ending="stuck", words=Words("gets stuck in {count} episodes")
)
def stuck(trace: Trace) -> np.ndarray:
    """Share of episodes that end because the robot no longer gets on."""
    return (trace["stuck"].max(0) > 0).astype(np.float64)
