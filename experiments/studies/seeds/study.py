"""Do networks trained alike from different seeds divide their labour alike?

Protocol: the recurrence of a map over training seeds, with seeds resampled before episodes after
Agarwal et al. (2021); same class of protocol, not a replication. Twelve lap robots, one recipe,
seeds 0–11. Each network's functional clusters are cut one at a time (resampled: each step has the
units' values of another visited moment), and their harm to each behaviour is taken as a share of
the largest change that any such cut of that network, whole layers included, makes; while driving,
so that a crash is not mistaken for lost speed. 12 paired episodes of 15 s: networks differ more
than episodes do. Clusters of two networks are matched one to one by what their loss does. Two
questions:

1. Do clusters with the same profile recur in every network? The similarity of matched profiles is
   compared with shuffles of each behaviour's harm over the clusters; as it is, and with each
   cluster's mean harm taken off, as two clusters without which nothing works are alike anyway.
   Recurrence is a finding if the maps under the mean recur too; zero, the usual protocol, is shown.
2. Is a behaviour kept in one place in every network? The share of all harm that the worst cluster
   does, beside random divisions of the same sizes in the same layers. p from flipping the signs of
   the networks' differences, q over the behaviours; beside it the smallest difference that could
   have been found. Less than 0.1 of all harm would not matter.

Expected picture, if localisation recurs: the same colours in the same rows of every panel, a
similarity right of the shuffled ones, and purple points right of the grey ones in every network.

About 2 minutes on 2 quiet cores, after 12 trainings, once; ``rl-ablation study seeds``.
"""

from __future__ import annotations

from dataclasses import dataclass
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
from rl_ablation.stats import (
    benjamini_hochberg,
    finite_mean,
    hierarchical_bootstrap,
    sign_flip_p,
    smallest_effect,
)

BEHAVIOURS = (*DRIVING, "crash")
KIND, OTHERS = "resample", ("mean", "zero")
TINY = Recipe(
    name="lap-tiny", env_id="envs:rl_ablation/Lap-v0", steps=16_384, num_envs=32, net_arch=(16, 16),
    ppo={"n_steps": 64, "batch_size": 512, "n_epochs": 4, "gamma": 0.98},
)  # fmt: skip
"""For the quick version: trained for seconds, it hardly drives."""


@dataclass(frozen=True)
class Size:
    """How much is done."""

    networks: int = 12
    k: int = 4
    episodes: int = 12
    draws: int = 4  # random divisions
    horizon: int | None = 300


FULL, QUICK = Size(), Size(2, 2, 6, 2, 150)


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Map each network, match their clusters, and measure how local each behaviour is."""
    recipe, size = (TINY, QUICK) if quick else (RECIPES["lap"], FULL)
    seeds = range(size.networks)
    agents = all_trained([(recipe, training) for training in seeds])
    folders = [folder / f"{recipe.name}-{training}" for training in seeds]
    done = [map_network(*one, size, seed) for one in zip(agents, folders, strict=True)]
    names, harms = zip(*done, strict=True)
    maps = {
        kind: [finite_mean(harm[kind][:, 0], empty=0.0) for harm in harms]
        for kind in (KIND, *OTHERS)
    }
    found = {
        kind: {
            PROFILE: consistency(of, seed=seed),
            SPECIFIC: consistency(of, specific=True, seed=seed),
        }
        for kind, of in maps.items()
    }
    local = localisation([harm[KIND] for harm in harms], seed)
    title = f"{recipe.name}: what each cluster is for, in {len(names)} networks"
    frames = {
        s: pd.DataFrame(harm, regions, list(BEHAVIOURS)).rename_axis("region")
        for s, harm, regions in zip(seeds, maps[KIND], names, strict=True)
    }
    shown = {f"seed {s}": f for s, f in frames.items()}
    figure = recurrence_figure(title, shown, found[KIND], local)
    table = pd.concat(frames, names=["seed"]).reset_index()
    first, second = np.triu_indices(len(seeds), 1)
    pairs = pd.DataFrame({"a": np.array(seeds)[first], "b": np.array(seeds)[second]})
    scores = {f"{how}, {kind}": r.scores for kind, one in found.items() for how, r in one.items()}
    similarity = pairs.assign(**{name: s[first, second] for name, s in scores.items()})
    tables = {"localisation": local, "regions": table, "similarity": similarity}
    return Answer(tell(found, local, maps[KIND], names), {"recurrence": figure}, tables)


def map_network(
    agent: rl.Policy, folder: Path, size: Size, seed: int
) -> tuple[list[str], dict[str, np.ndarray]]:
    """The clusters' names, and kind → paired harm (episodes, divisions, regions, behaviours).

    The clusters are the first division; random divisions follow in the main kind only.
    """
    how: dict[str, Any] = {"seed": seed, "horizon": size.horizon}
    activity = rl.record_activity(agent, conditions=conditions_of(agent) or ("",), **how)
    plan = rl.clusters(agent, size.k, activity)
    how |= {"episodes": size.episodes, "measures": BEHAVIOURS, "activity": activity}
    harms = {}
    for kind in (KIND, *OTHERS):
        parts = [plan, *random_divisions(plan, size.draws if kind == KIND else 0, seed)]
        cuts = sum(parts, rl.layers(agent)).with_kind(kind)
        run = rl.sweep(agent, cuts, folder=folder / kind, **how)
        names = [x.name for part in parts for x in part if x.size]
        flat = paired_harm(run, names, BEHAVIOURS)
        harms[kind] = flat.reshape(len(flat), len(parts), -1, len(BEHAVIOURS))
    return [x.name for x in plan if x.size], harms


def localisation(harms: list[np.ndarray], seed: int, resamples: int = 2000) -> pd.DataFrame:
    """A row for each index × behaviour × division: over all networks with interval, and of each.

    ``difference`` is the clusters' index minus the mean of the random divisions'. ``p`` is from
    flipping the signs of the networks' differences, ``q`` over the behaviours, ``smallest`` the
    difference that could have been found.
    """
    ends = hierarchical_bootstrap(harms, _against_random, resamples=resamples, seed=seed)
    values = np.stack([*ends, *map(_against_random, harms)])
    keys = pd.MultiIndex.from_product(
        [["worst share", "gini"], ["clusters", "random", "difference"], BEHAVIOURS],
        names=["index", "division", "behaviour"],
    )
    columns = ["iqm", "ci_low", "ci_high", *(f"network {k}" for k in range(len(harms)))]
    table = pd.DataFrame(values.reshape(len(values), -1).T, keys, columns).reset_index()
    gaps = values[3:, :, 2].reshape(len(harms), -1)  # (networks, indices × behaviours)
    p = sign_flip_p(gaps, np.random.default_rng(seed)).reshape(2, -1)
    tested = {
        "p": p,
        "q": np.stack([benjamini_hochberg(row) for row in p]),
        "smallest": np.reshape([smallest_effect(gap) for gap in gaps.T], p.shape),
    }
    for name, numbers in tested.items():
        table.loc[table["division"] == "difference", name] = numbers.ravel()
    return table[["index", "behaviour", "division", *columns, *tested]]


def _against_random(harm: np.ndarray) -> np.ndarray:
    """(2 indices, 3, behaviours): of clusters, of random divisions that harm, their difference."""
    both = []
    for index in (worst_share, gini):
        own, *others = index(finite_mean(harm, empty=0.0))
        random = finite_mean(np.stack(others))
        both.append([own, random, own - random])
    return np.array(both)
