"""Read-outs held against random directions of those to which the actions listen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import rl_ablation as rl
from experiments.studies.directions.words import harmful
from experiments.studies.regions import Size
from rl_ablation.groupings.controls import RANDOM, random_directions
from rl_ablation.lesions.lesion import VARIANT, Lesion, Plan, orthonormal
from rl_ablation.lesions.methods import SiteStats
from rl_ablation.mapping.evidence import size_matched, with_own

DRAWS = 40


def among_heard(
    run: rl.Map, agent: rl.Policy, heard: Mapping[str, np.ndarray], folder: Path, size: Size,
    seed: int,
) -> pd.DataFrame:  # fmt: skip
    """The claimed harms of read-outs in layers of which the actions hear but a part.

    ``heard`` has each layer's directions (K, H) of `listen`. Both are cut on fresh episodes, in the
    kind of the discovery.

    Returns:
        A row for each harm: ``lesion``, ``measure``; ``delta`` on these episodes, ``random``, the
        median of ``draws`` random directions, and ``p_random``; NaN and 0 draws where there are no
        others of as much variance.
    """
    asked = harmful(run)[["lesion", "measure"]]
    plan = Plan()
    for lesion in run.plan:
        site = next(iter(lesion.directions), "")
        few = site in heard and len(heard[site]) < agent.sites[site]
        if lesion.group == "readouts" and few and lesion.name in set(asked["lesion"]):
            plan += Plan([lesion, *_drawn(lesion, run.activity[site], heard[site], seed)])
    asked = asked[asked["lesion"].isin(plan.names)].reset_index(drop=True)
    if asked.empty:
        return asked.assign(delta=[], random=[], draws=[], p_random=[])
    how: dict[str, Any] = {"episodes": size.episodes, "seed": seed + 1, "horizon": size.horizon}
    found = rl.sweep(agent, plan, folder=folder, activity=run.activity, **how)
    rows = with_own(found.own_effects(), run.own)
    rows = asked.merge(rows[rows["condition"] == "all"][["lesion", "measure", "delta"]])
    both = found.plan, found.behaviour()
    null = size_matched(rows, both, [both], [*found.spec.measures, *run.own])
    told = rows.merge(null, on=["lesion", "measure"], how="left")
    return told.assign(draws=told["draws"].fillna(0).astype(int))


def _drawn(lesion: Lesion, stats: SiteStats, heard: np.ndarray, seed: int) -> list[Lesion]:
    """Random directions within what is heard, (K, H), along which as much of it varies."""
    ((site, own),) = lesion.directions.items()
    there, inside = SiteStats(stats.samples @ heard.T), np.array(own) @ heard.T
    drawn = []
    for k in range(DRAWS):
        one = random_directions(there, inside, np.random.default_rng([seed, k]))
        if one is not None:
            axes = {site: orthonormal(one @ heard)}
            name = f"{lesion.name}{VARIANT}{RANDOM}-{k}"
            new = {"name": name, "directions": axes, "group": RANDOM}
            drawn.append(lesion.model_copy(update=new))
    return drawn
