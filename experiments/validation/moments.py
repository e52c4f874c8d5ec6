"""Robots with a unit that matters in left bends only: is it told when it matters, and nothing else?

Such a robot is a planted one (`experiments.validation.policies`) with two more functions in ``h0``:

* ``left bends``: slows down in left bends. It looks at the rays 75° to each side, whose difference
  is −0.13 m per 1/m of bend or so in any of these robots (correlation 0.8, measured on modular ones
  of seeds 0 to 3), and is silent on the straight and in right bends.
* ``always``: a constant that drives both wheels. Within its range its loss changes nothing, so it
  is cut to zero: then it costs the same speed everywhere.

The units of the family "gated" look at how far the robot is turned away from the track instead. As
these robots weave, they fire in every bend (in right bends a seventh to a half as much as in left
ones), and a quarter of a second of their loss is made up for within the second after it.

Beside them are cut what nothing listens to, one of two redundant pathways, and nothing: the wheels
are nudged by noise, which throws every robot off its way, wherever it is.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.validation.policies import MIDDLE, OBS, Extra, Planted, plant
from rl_ablation.analysis.dependence import dependence, weakest
from rl_ablation.analysis.moments import BEND, Brief, brief_cuts, spread
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.lesions.variants import variants
from rl_ablation.rollouts.activity import record_activity
from rl_ablation.rollouts.episodes import Episodes

LEFT, ALWAYS, DECOY, NUDGE = "left bends", "always", "decoy", "nudge"
FAMILY = "gated"
"""Beside each robot of this family one of these is run."""
AIMS: dict[str, tuple[str, float, float]] = {
    "when: told of what matters in left bends": (LEFT, 0.9, 1.0),
    "when: the same everywhere within a third": (ALWAYS, 0.9, 1.0),
    "when: told of what nothing listens to": (DECOY, 0.0, 0.0),
    "when: told of a nudge": (NUDGE, 0.0, 0.05),
}
"""Aim → what of `judged` is counted, least and most share of robots."""
SIGNALS = ("forward_speed", "yaw_rate", "lateral_error")
CONDITIONS = ("bends/ccw", "bends/cw", "random/ccw", "random/cw")
EPISODES, MOMENTS, FIRST, LAST = 48, 4, 20, 60  # steps of 50 ms
_SIDE = 5  # the ray 75° to a side
_LEVEL = 1.0  # activity of the constant; without it the wheels get a third less


def _in_left_bends(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    weights = np.zeros(OBS)
    gain = rng.uniform(7.0, 8.5)
    weights[MIDDLE - _SIDE], weights[MIDDLE + _SIDE] = gain, -gain
    return weights, -rng.uniform(0.25, 0.35)


def _always(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    return np.zeros(OBS), _LEVEL


def slowing(seed: int) -> Planted:
    """The robot of a seed."""
    more = [
        Extra(LEFT, _in_left_bends, {"forward": -1.0}),
        Extra(ALWAYS, _always, {"forward": 0.3}, _LEVEL),
    ]
    return plant(seed, more)


def told_when(seed: int) -> dict[str, bool]:
    """What is said of the robot of a seed; see `judged`."""
    return judged(found_when(seed))


def found_when(seed: int, planted: Planted | None = None) -> pd.DataFrame:
    """What `weakest` tells of the cuts of the robot of a seed, or of another one."""
    planted = slowing(seed) if planted is None else planted
    policy = planted.policy
    activity = record_activity(
        policy, conditions=CONDITIONS, seed=seed + 1, horizon=LAST + 30, threads=1
    )
    within = Plan(planted.cut("h0", role) for role in (LEFT, DECOY))
    plan = variants(within, ("resample", "mean")) + Plan(
        [
            planted.cut("h0", ALWAYS).model_copy(update={"kind": "zero"}),
            Lesion(name=NUDGE, cut={"action": (0, 1)}, kind="noise", strength=0.2),
        ]
    )
    table = brief_cuts(
        policy, plan, activity, Episodes(EPISODES, seed, CONDITIONS),
        Brief(spread(EPISODES, MOMENTS, FIRST, LAST, seed)), SIGNALS, [BEND], 1,
    )  # fmt: skip
    return weakest(dependence(table, BEND, seed))


def judged(found: pd.DataFrame) -> dict[str, bool]:
    """What is right in a table of `weakest`, and what is wrong.

    ``left bends``: its loss is said to change the speed by the bend. ``always``: the fitted change
    of the speed varies by less than a third of its mean over the bends. (It does vary: wheels that
    are at their limit in a bend lose less.) ``decoy`` and ``nudge``: any signal is said to change
    by the bend, which is wrong.
    """
    roles = found["region"].str.removeprefix("h0/")
    speed = found.set_index(roles)[(found["signal"] == SIGNALS[0]).to_numpy()]
    always = speed.loc[ALWAYS]
    told = {role: bool(found["holds"][roles == role].any()) for role in (DECOY, NUDGE)}
    return {
        LEFT: bool(speed.loc[LEFT, "holds"]),
        ALWAYS: bool(always["amplitude"] < abs(always["delta"]) / 3),
        **told,
    }
