"""When is a region first needed, does a function get more local, does early activity foretell it?

Protocol: eight trainings of the lap robot's recipe (seeds 20–27), each kept at nine moments, denser
early: untrained, after 1/24, 1/12, 1/8, 1/6, 1/4, 1/2 and 3/4 of its steps, and at its end. The
regions are the functional clusters (6 a layer) of the last network. The same units are cut in all
nine, one region at a time, under resample and mean (of that moment's own activity), 12 paired
episodes of 10 s; beside them 3 random divisions of the layers into parts of the same sizes. Changes
are in units of a full change, the same one over the whole training: the largest that any region's
cut makes in it, at least a quarter of what the last network does. Networks are the units of
inference: the bootstrap draws networks first, and an interval's end is Student's where that is
further out; beside it the smallest effect that could have been found. What is told holds under both
kinds.

1. A region is *needed* at a moment if its cut costs a fifth of a full change or more of a behaviour,
   q < 5 % over regions × behaviours. It is first needed where it is, and at the next moment too.
   The same rule is put to the random parts. The untrained network is the first moment.
2. Locality is the share of its layer's loss that the worst region does, less that in the random
   divisions, where there is something to lose. Its rise is the least squares line over log₂ steps.
3. Every unit of the last network is cut by itself, in both kinds, 6 episodes. What is lost, the mean
   over behaviours, is correlated in ranks within a layer with what the unit was like at each moment:
   the s.d. and the mean size of its activity, how much of its variance the bends explain, its
   outgoing weights. Controls: the losses shuffled over the units; how well the two kinds agree.

Differences of less than 0.1 would not matter, nor correlations of less than 0.2.

Expected picture, if regions specialise as they are learned: the share of regions needed rises above
that of random parts and stays, the share of the worst region too, and correlations rise from the
untrained network's to the last one's long before the end.

About 25 minutes of one core, after 8 trainings of a minute and a half; ``rl-ablation study
development``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import rl_ablation as rl
from agents.recipes import RECIPES, Recipe
from agents.train import kept_at, marks, train_shown
from experiments.studies.development import figures, film, words
from experiments.studies.registry import DRIVING, Answer
from experiments.studies.seeds.study import TINY
from rl_ablation.analysis import development as dev
from rl_ablation.analysis.localisation import changes, full_size
from rl_ablation.analysis.selectivity import bend_contexts, eta_squared
from rl_ablation.groupings.controls import random_divisions
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.rollouts.episodes import REFERENCE, fresh_seed
from rl_ablation.rollouts.recording import record
from rl_ablation.rollouts.world import conditions_of
from rl_ablation.stats import finite_mean

BEHAVIOURS = ("progress", *DRIVING)
KINDS = ("resample", "mean")
SHARES = (0, 1 / 24, 1 / 12, 1 / 8, 1 / 6, 1 / 4, 1 / 2, 3 / 4, 1)
"""Moments of a training that are looked at; the untrained network is the first."""
SIGNS = ("s.d. of activity", "mean size of activity", "selectivity for bends", "outgoing weights")


@dataclass(frozen=True)
class Size:
    """How much is done."""

    seeds: tuple[int, ...] = tuple(range(20, 28))
    shares: tuple[float, ...] = SHARES
    k: int = 6
    draws: int = 3  # random divisions
    episodes: int = 12
    units: int = 6  # episodes of each single unit
    horizon: int = 200


FULL, QUICK = Size(), Size((20, 21), (0, 1 / 4, 1 / 2, 1), 2, 2, 6, 3, 100)


@dataclass(frozen=True, eq=False)
class Training:
    """What was measured of one training; letters as in `rl_ablation.analysis.development`.

    Attributes:
        name: Of the training.
        steps: Of each moment, (C,).
        regions: The clusters of the last network.
        cells: Site → units (H,) to places on its grid, those of the last network.
        change: Paired changes, (C, K, D, E, R, M).
        intact: What the intact robot does, (C, E, M).
        size: A full change of each behaviour, (M,).
        lost: What is lost without each unit of the last network: site → (K, H).
        signs: What each unit was like: site → (C, P, H).
    """

    name: str
    steps: np.ndarray
    regions: rl.Plan
    change: np.ndarray
    intact: np.ndarray
    size: np.ndarray
    lost: Mapping[str, np.ndarray]
    signs: Mapping[str, np.ndarray]

    @property
    def sites(self) -> list[str]:
        """The layer of each region, R."""
        return [next(iter(x.cut)) for x in self.regions if x.size]


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Train, cut at every moment, compare."""
    recipe, size = (TINY, QUICK) if quick else (RECIPES["lap"], FULL)
    found = [follow(recipe, s, folder, size, seed) for s in size.seeds]
    need, local, fore = needs(found, seed), locality(found, seed), foretelling(found, seed)
    text = words.tell(need, local, fore, len(found))
    tables = {"needs": need.table, "first": need.first, "locality": local, "foretold": fore}
    shown = film.pick(found)
    pictures = film.make(shown, folder / "films")
    drawn = {
        "development": figures.over_training(need.table, local, fore),
        "maps": figures.maps(shown, BEHAVIOURS),
    }
    return Answer(text, drawn, tables, pictures)


def follow(recipe: Recipe, training: int, folder: Path, size: Size, seed: int) -> Training:
    """Train once, and cut the regions of the last network at every moment."""
    name = f"{recipe.name}-{training}"
    home, steps = folder / "trainings" / name, marks(recipe, size.shares)
    train_shown(recipe, home, name, seed=training, keep=steps)
    policies = [rl.load(kept_at(home, mark)) for mark in steps]
    asked = rl.Episodes(rl.rollouts.activity.EPISODES, seed, conditions_of(policies[-1]),
                        size.horizon, REFERENCE)  # fmt: skip
    how: dict[str, Any] = {"conditions": asked.conditions, "seed": seed, "horizon": size.horizon}
    activities = [rl.record_activity(policy, **how) for policy in policies]
    clusters = rl.clusters(policies[-1], size.k, activities[-1])
    regions = rl.Plan(x for x in clusters if x.size and not x.name.endswith("/dead"))
    parts = [regions, *random_divisions(regions, size.draws, seed)]
    how = {"seed": seed, "horizon": size.horizon, "measures": BEHAVIOURS}
    change, intact = [], []
    for mark, policy, activity in zip(steps, policies, activities, strict=True):
        per_kind = []
        for kind in KINDS:
            run = rl.sweep(
                policy, sum(parts, rl.Plan()).with_kind(kind), episodes=size.episodes,
                activity=activity, folder=folder / "sweeps" / f"{name}-{mark}-{kind}", **how,
            )  # fmt: skip
            found = changes(run.table(), run.plan, BEHAVIOURS)
            per_kind.append(found.reshape(len(found), len(parts), -1, len(BEHAVIOURS)))
        change.append(np.stack(per_kind).swapaxes(1, 2))
        table = run.table()
        intact.append(table[table["lesion"] == INTACT][list(BEHAVIOURS)].to_numpy(np.float64))
    ...
