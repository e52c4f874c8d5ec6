"""Do networks trained alike from different seeds divide their labour alike?

Protocol: the recurrence of a map over training seeds, with seeds resampled before episodes after
Agarwal et al. (2021); same class of protocol, not a replication. Five lap robots, one recipe, seeds
0–4. Each network's functional clusters are cut one at a time (set to zero), and their harm to each
behaviour is taken as a share of the largest change that any cut of that network, whole layers
included, makes; while driving, so that a crash is not mistaken for lost speed. Clusters of two
networks are matched one to one by what their loss does. Two questions:

1. Do clusters with the same profile recur in every network? The similarity of matched profiles is
   compared with shuffles of each behaviour's harm over the clusters; as it is, and with each
   cluster's mean harm taken off, as two clusters without which nothing works are alike anyway.
2. Is a behaviour kept in one place in every network? The share of all harm that the worst cluster
   does, beside random divisions of the same sizes in the same layers.

Expected picture, if localisation recurs: the same colours in the same rows of every panel, a
similarity right of the shuffled ones, and purple points right of the grey ones in every network.

About 3 minutes on 2 cores, and 2 for each agent not trained yet; ``rl-ablation study seeds``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import rl_ablation as rl
from agents.recipes import RECIPES, Recipe
from experiments.studies.registry import DRIVING, Answer, all_trained
from experiments.studies.seeds.figures import recurrence_figure
from experiments.studies.seeds.words import PROFILE, SPECIFIC, tell
from rl_ablation.analysis.consistency import consistency, paired_harm
from rl_ablation.analysis.localisation import gini, worst_share
from rl_ablation.groupings.controls import random_divisions
from rl_ablation.rollouts.world import conditions_of
from rl_ablation.stats import finite_mean, hierarchical_bootstrap

BEHAVIOURS = (*DRIVING, "crash")
TINY = Recipe(
    name="lap-tiny", env_id="envs:rl_ablation/Lap-v0", steps=16_384, num_envs=32, net_arch=(16, 16),
    ppo={"n_steps": 64, "batch_size": 512, "n_epochs": 4, "gamma": 0.98},
)  # fmt: skip
"""For the quick version: trained for seconds, it hardly drives."""


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Map each network, match their clusters, and measure how local each behaviour is."""
    recipe, seeds = (TINY, range(2)) if quick else (RECIPES["lap"], range(5))
    k, episodes, draws, horizon = (2, 6, 2, 150) if quick else (4, 24, 4, None)
    how: dict[str, Any] = {"seed": seed, "horizon": horizon}
    names, harms = [], []
    agents = all_trained([(recipe, training) for training in seeds])
    for training, agent in zip(seeds, agents, strict=True):
        activity = rl.record_activity(agent, conditions=conditions_of(agent) or ("",), **how)
        plan = rl.clusters(agent, k, activity)
        divisions = random_divisions(plan, draws, seed)
        run = rl.sweep(
            agent, rl.layers(agent) + sum(divisions, plan), episodes=episodes,
            measures=BEHAVIOURS, folder=folder / f"{recipe.name}-{training}", **how,
        )  # fmt: skip
        regions = [[x.name for x in part if x.size] for part in (plan, *divisions)]
        flat = paired_harm(run, [name for part in regions for name in part], BEHAVIOURS)
        # (episodes, divisions, regions, behaviours), the clusters first
        harms.append(flat.reshape(len(flat), len(regions), -1, len(BEHAVIOURS)))
        names.append(regions[0])
    maps = [finite_mean(harm[:, 0], empty=0.0) for harm in harms]
    found = {PROFILE: consistency(maps, seed=seed)}
    found[SPECIFIC] = consistency(maps, specific=True, seed=seed)
    local = localisation(harms, seed)
    title = f"{recipe.name}: what each cluster is for, in {len(maps)} networks"
    frames = {
        s: pd.DataFrame(harm, regions, list(BEHAVIOURS)).rename_axis("region")
        for s, harm, regions in zip(seeds, maps, names, strict=True)
    }
    figure = recurrence_figure(title, {f"seed {s}": f for s, f in frames.items()}, found, local)
    table = pd.concat(frames, names=["seed"]).reset_index()
    first, second = np.triu_indices(len(seeds), 1)
    pairs = pd.DataFrame({"a": np.array(seeds)[first], "b": np.array(seeds)[second]})
    similarity = pairs.assign(**{how: r.scores[first, second] for how, r in found.items()})
    tables = {"localisation": local, "regions": table, "similarity": similarity}
    return Answer(tell(found, local, maps, names), {"recurrence": figure}, tables)


def localisation(harms: list[np.ndarray], seed: int, resamples: int = 2000) -> pd.DataFrame:
    """A row for each index × behaviour × division: over all networks with interval, and of each.

    ``difference`` is the clusters' index minus the mean of the random divisions'.
    """
    ends = hierarchical_bootstrap(harms, _against_random, resamples=resamples, seed=seed)
    values = np.stack([*ends, *map(_against_random, harms)])
    keys = pd.MultiIndex.from_product(
        [["worst share", "gini"], ["clusters", "random", "difference"], BEHAVIOURS],
        names=["index", "division", "behaviour"],
    )
    columns = ["iqm", "ci_low", "ci_high", *(f"network {k}" for k in range(len(harms)))]
    table = pd.DataFrame(values.reshape(len(values), -1).T, keys, columns).reset_index()
    return table[["index", "behaviour", "division", *columns]]


def _against_random(harm: np.ndarray) -> np.ndarray:
    """(2 indices, 3, behaviours): of clusters, of random divisions that harm, their difference."""
    both = []
    for index in (worst_share, gini):
        own, *others = index(finite_mean(harm, empty=0.0))
        random = finite_mean(np.stack(others))
        both.append([own, random, own - random])
    return np.array(both)
