"""Does what was found in the lap robot come again in other trainings?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

import rl_ablation as rl
from agents.recipes import RECIPES
from experiments.studies.registry import all_trained
from rl_ablation.lesions.lesion import VARIANT
from rl_ablation.mapping.claims import changes
from rl_ablation.rollouts.world import conditions_of

TRAININGS = (0, 1, 2, 3, 4, 5)
"""Training seeds of the lap robot's recipe; none is the zoo's."""
SIGNAL, MEASURE = "lateral_error", "progress"
"""What was found in the zoo's robot: without the direction from which it is read how far it is off
the centreline, it crashes."""


def trainings(folder: Path, seed: int) -> pd.DataFrame:
    """The loss of the direction of `SIGNAL` in each layer of each training, against 40 random
    directions of as much variance.

    Columns ``training``, ``layer``; of the claim about `MEASURE`: ``intact``, ``lesioned``,
    ``delta``, ``ci_low``, ``ci_high``, ``q``, ``p_random``, ``draws``, ``directions``.
    """
    rows = []
    agents = all_trained([(RECIPES["lap"], k) for k in TRAININGS])
    for k, agent in zip(TRAININGS, agents, strict=True):
        how: dict[str, Any] = {"seed": seed}
        activity = rl.record_activity(agent, conditions=conditions_of(agent) or ("",), **how)
        plan = rl.readouts(agent, signals=[SIGNAL], seed=seed)
        run = rl.lesion_map(
            agent, plan, 24, folder=folder / f"training-{k}", activity=activity, controls=40,
            measures=(MEASURE, "survival"), progress=False, **how,
        )  # fmt: skip
        told = changes(run)
        told = told[told["measure"] == MEASURE].set_index("lesion")
        for lesion in run.plan:
            if lesion.directions and VARIANT not in lesion.name:
                row = told.loc[lesion.name]
                kept = (
                    "intact",
                    "lesioned",
                    "delta",
                    "ci_low",
                    "ci_high",
                    "q",
                    "p_random",
                    "draws",
                )
                rows.append(
                    {
                        "training": k,
                        "layer": next(iter(lesion.directions)),
                        **{name: row[name] for name in kept},
                        "directions": lesion.size,
                    }
                )
    return pd.DataFrame(rows)
