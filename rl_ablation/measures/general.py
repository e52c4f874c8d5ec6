"""Measures of any world, and of anything that moves."""

from __future__ import annotations

import numpy as np

from rl_ablation.measures.registry import Words, averaged, measure, over
from rl_ablation.rollouts.rollout import Trace


# Any environment.
@measure(
    signals=("reward",), better=1, name="return", summary=True,
    words=Words("scores {now} instead of {was}"),
)  # fmt: skip
def episode_return(trace: Trace) -> np.ndarray:
    """Sum of rewards."""
    return trace["reward"].sum(0)


@measure(unit="s", better=1, summary=True, lifetime=True, words=Words("lasts {as} long"))
def survival(trace: Trace) -> np.ndarray:
    """Time until the episode ended by itself, or the horizon."""
    ended = trace.steps * trace.dt
    return np.where(trace.terminated, ended, len(trace.alive) * trace.dt)


@measure(
    signals=("action",), unit="1/s", better=-1, economy=True, words=Words("moves {as} jerkily")
)
def jerkiness(trace: Trace) -> np.ndarray:
    """Mean absolute change of the actions per second, while alive; small is smooth."""
    action = trace["action"].reshape(*trace.alive.shape, -1)
    change = np.abs(np.diff(action, axis=0)).mean(-1) / trace.dt
    return over(change, trace.alive[1:])


# Anything that moves.
averaged(
    "forward_speed",
    unit="m/s",
    better=1,
    doc="Mean speed along the robot's own heading",
    first=True,
    words=Words("moves at {of} its speed", "hardly moves forward", "moves backward"),
)
