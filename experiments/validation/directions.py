"""Are planted directions found in distributed twins, where no group of units is?

In a twin every unit carries a bit of everything, and what steers is still one direction of the
code. The twin of a robot of two functions is mapped with the directions from which two concepts are
read: how much more room it sees on the left, on which it steers, and how fast it turns, against
which it damps. Neither concept is told to the robot or taken from its wiring.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import rl_ablation as rl
from experiments.validation.families import Mixed
from experiments.validation.policies import MIDDLE, YAW_RATE, Planted
from experiments.validation.steered import DAMPING, STEERED
from rl_ablation.groupings.directions import readouts
from rl_ablation.mapping.claims import changes
from rl_ablation.stats import LEVEL

ROOM, TURNING = "room-left", "turning"
ALIGNED = 0.5
"""Share of directions that lies in the span of a function's units, from which they are the planted
ones; of random directions it is about a fifth."""


def _room(moments: Mapping[str, np.ndarray]) -> np.ndarray:
    seen = moments["@obs"]
    left, right = (seen[:, [MIDDLE + s * k for k in range(2, 6)]].mean(1) for s in (1, -1))
    return np.asarray(left - right)


CONCEPTS = {ROOM: _room, TURNING: lambda moments: moments["@obs"][:, YAW_RATE]}
FUNCTIONS = {ROOM: (STEERED, "survival"), TURNING: (DAMPING, "forward_speed.alive")}
"""Concept → the role that carries it, and the behaviour that is lost without it."""


def concepts(policy: rl.Policy, seed: int, horizon: int) -> rl.Plan:
    """The directions of the first layer from which the concepts are read."""
    return readouts(policy, sites=["h0"], signals=CONCEPTS, seed=seed, horizon=horizon)


def found_directions(run: rl.Map, plain: Planted, twin: Planted) -> dict[str, Any]:
    """What a map of `concepts` says, for each concept: ``aligned``, the share of its direction in
    the span of the function's units; ``found``, whether it is claimed for the function's behaviour,
    for the worse, and beyond random directions of equal variance; and ``other``, whether it is
    claimed for the other function's behaviour as well."""
    network = twin.policy.network
    assert isinstance(network, Mixed)
    turn = network.turns[0].numpy().astype(np.float64)
    rows = {(r["lesion"], r["measure"]): r for r in changes(run).to_dict("records")}
    told = {}
    for concept, (role, behaviour) in FUNCTIONS.items():
        name = f"h0/readout-{concept}"
        axes = np.array(run.plan[name].directions["h0"])
        inside = float(((axes @ turn)[:, list(plain.units("h0", role))] ** 2).sum() / len(axes))

        def claimed(measure: str, name: str = name) -> bool:
            if (row := rows.get((name, measure))) is None:
                return False
            return bool(row["q"] < LEVEL and row["harm"] < 0 and row["p_random"] < LEVEL)

        (other,) = (x for c, (_, x) in FUNCTIONS.items() if c != concept)
        told[concept] = {"aligned": inside, "found": claimed(behaviour), "other": claimed(other)}
    return told
