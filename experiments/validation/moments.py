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

Beside them is cut what nothing listens to. And the effects of all cuts are held against the bends
of other episodes, dealt anew several times: whatever depends on those is a false claim. (Noise on
the wheels is no such null. In these robots it costs speed in left bends, where they are slow, and
was rightly told of in 4 of 33.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from experiments.validation.policies import MIDDLE, OBS, Extra, Planted, plant
from rl_ablation.analysis.dependence import dependence, weakest
from rl_ablation.analysis.moments import BEND, Brief, brief_cuts, spread
from rl_ablation.lesions.lesion import Plan
from rl_ablation.lesions.variants import variants
from rl_ablation.rollouts.activity import record_activity
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.stats import LEVEL

LEFT, ALWAYS, DECOY = "left bends", "always", "decoy"
FAMILY = "gated"
"""Beside each robot of this family one of these is run."""
AIMS: dict[str, tuple[str, float, float]] = {
    "when: told of what matters in left bends": (LEFT, 0.9, 1.0),
    "when: the same everywhere within a third": (ALWAYS, 0.9, 1.0),
    "when: told of what nothing listens to": (DECOY, 0.0, 0.0),
}
"""Aim → what of `judged` is counted, least and most share of robots."""
SIGNALS = ("forward_speed", "yaw_rate", "lateral_error")
CONDITIONS = ("bends/ccw", "bends/cw", "random/ccw", "random/cw")
DEALS, NULL_DRAWS = 10, 199
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


def told_when(seed: int) -> dict[str, Any]:
    """What is said of the robot of a seed: `judged`, and ``null``: families of nulls, and how many
    of them have a false claim."""
    table = cut_briefly(slowing(seed), seed)
    return {**judged(weakest(dependence(table, BEND, seed))), "null": list(nulls(table, seed))}


def cut_briefly(planted: Planted, seed: int) -> pd.DataFrame:
    """The table of brief cuts of a robot."""
    policy = planted.policy
    activity = record_activity(
        policy, conditions=CONDITIONS, seed=seed + 1, horizon=LAST + 30, threads=1
    )
    within = Plan(planted.cut("h0", role) for role in (LEFT, DECOY))
    constant = planted.cut("h0", ALWAYS).model_copy(update={"kind": "zero"})
    plan = variants(within, ("resample", "mean")) + Plan([constant])
    brief = Brief(spread(EPISODES, MOMENTS, FIRST, LAST, seed))
    asked = Episodes(EPISODES, seed, CONDITIONS)
    return brief_cuts(policy, plan, activity, asked, brief, SIGNALS, [BEND], 1)


def judged(found: pd.DataFrame) -> dict[str, bool]:
    """What is right in a table of `weakest`, and what is wrong.

    ``left bends``: its loss is said to change the speed by the bend. ``always``: the fitted change
    of the speed varies by less than a third of its mean over the bends. (It does vary: wheels that
    are at their limit in a bend lose less.) ``decoy``: any signal is said to change by the bend,
    which is wrong.
    """
    roles = found["region"].str.removeprefix("h0/")
    speed = found.set_index(roles)[(found["signal"] == SIGNALS[0]).to_numpy()]
    always = speed.loc[ALWAYS]
    return {
        LEFT: bool(speed.loc[LEFT, "holds"]),
        ALWAYS: bool(always["amplitude"] < abs(always["delta"]) / 3),
        DECOY: bool(found["holds"][roles == DECOY].any()),
    }


def nulls(table: pd.DataFrame, seed: int) -> tuple[int, int]:
    """Families, one for each kind of cut and deal of the episodes' bends among the episodes of a
    condition, and how many of them have a false claim (family-wise p < 5 %)."""
    places = table.drop_duplicates(["episode", "slot"]).set_index(["episode", "slot"])
    false, of = 0, 0
    for deal in range(DEALS):
        rng = np.random.default_rng([seed, deal])
        episodes = places.reset_index().drop_duplicates("episode")
        given = {
            int(one): int(other)
            for _, part in episodes.groupby("condition")
            for one, other in zip(part["episode"], rng.permutation(part["episode"]), strict=True)
        }
        keys = pd.MultiIndex.from_arrays([table["episode"].map(given), table["slot"]])
        dealt = table.assign(bend=places["bend"].reindex(keys).to_numpy())
        found = dependence(dealt, BEND, deal, draws=NULL_DRAWS).groupby("kind")["p_fwe"].min()
        false, of = false + int((found < LEVEL).sum()), of + len(found)
    return of, false
