"""What is measured of one training: cuts of the last network's regions at every moment of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import rl_ablation as rl
from agents.recipes import Recipe
from agents.train import kept_at, marks, train_shown
from experiments.studies.registry import DRIVING
from rl_ablation.analysis.localisation import changes, full_size
from rl_ablation.analysis.selectivity import bend_contexts, eta_squared
from rl_ablation.groupings.controls import random_divisions
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.policies.network import MLP
from rl_ablation.rollouts.activity import EPISODES
from rl_ablation.rollouts.episodes import REFERENCE
from rl_ablation.rollouts.recording import record
from rl_ablation.rollouts.world import conditions_of
from rl_ablation.stats import finite_mean

BEHAVIOURS = ("progress", *DRIVING)
KINDS = ("resample", "mean")
SHARES = (0, 1 / 24, 1 / 12, 1 / 8, 1 / 6, 1 / 4, 1 / 2, 3 / 4, 1)
"""Moments of a training that are looked at; the untrained network is the first."""
SIGNS = ("s.d. of activity", "mean size of activity", "selectivity for bends", "outgoing weights")
"""What a unit was like at a moment, P."""


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


FULL, QUICK = Size(), Size((20, 21), (0, 1 / 4, 1 / 2, 1), 2, 2, 6, 6, 100)


@dataclass(frozen=True, eq=False)
class Training:
    """What was measured of one training; letters as in `rl_ablation.analysis.development`.

    Attributes:
        name: Of the training.
        steps: Of each moment, (C,).
        regions: The clusters of the last network, R.
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

    def harm(self) -> np.ndarray:
        """Mean change by each region's cut in full changes, under the weaker kind, (C, R, M).

        0 where the kinds have other signs: what only one kind shows is not told.
        """
        mean = finite_mean(self.change[:, :, 0], 2, empty=0.0) / self.size
        least = np.abs(mean).min(1)
        return np.where((mean < 0).all(1), -least, np.where((mean > 0).all(1), least, 0.0))


def follow(recipe: Recipe, training: int, folder: Path, size: Size, seed: int) -> Training:
    """Train once, and cut the regions of the last network at every moment."""
    name = f"{recipe.name}-{training}"
    home, steps = folder / "trainings" / name, marks(recipe, size.shares)
    train_shown(recipe, home, name, seed=training, keep=steps)
    policies = [rl.load(kept_at(home, mark)) for mark in steps]
    how: dict[str, Any] = {"seed": seed, "horizon": size.horizon}
    conditions = conditions_of(policies[-1])
    activities = [rl.record_activity(p, conditions=conditions, **how) for p in policies]
    clusters = rl.clusters(policies[-1], size.k, activities[-1])
    regions = rl.Plan(x for x in clusters if not x.name.endswith("/dead"))
    parts = [regions, *random_divisions(regions, size.draws, seed)]
    swept = partial(_swept, folder=folder / "sweeps", **how)
    change, intact = [], []
    for mark, policy, activity in zip(steps, policies, activities, strict=True):
        cuts = sum(parts, rl.Plan())
        found = [
            swept(policy, cuts.with_kind(kind), activity, f"{name}-{mark}-{kind}", size.episodes)
            for kind in KINDS
        ]
        change.append([_by_division(harm, len(parts)) for harm, _ in found])
        intact.append(found[0][1])
    every = np.array(change)
    full = full_size([c for kind in every[:, :, 0] for c in kind], finite_mean(intact[-1]))
    units, lost = rl.singles(policies[-1]), []
    for kind in KINDS:
        cuts, of = units.with_kind(kind), f"{name}-units-{kind}"
        harm, _ = swept(policies[-1], cuts, activities[-1], of, size.units)
        lost.append(-finite_mean(finite_mean(harm, empty=0.0) / full, -1))
    where = [next(iter(x.cut)) for x in units if x.size]
    hidden = policies[-1].network.sizes
    own = {s: np.array(lost)[:, [w == s for w in where]] for s in hidden}
    asked = rl.Episodes(EPISODES, seed, tuple(conditions), size.horizon, REFERENCE)
    seen = [signs(policy, asked) for policy in policies]
    told = {site: np.stack([s[site] for s in seen]) for site in hidden}
    at = np.array(steps)
    return Training(name, at, regions, every, np.array(intact), full, own, told)


def _swept(
    policy: rl.Policy, cuts: rl.Plan, activity: Any, name: str, episodes: int, *, folder: Path,
    **how: Any,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Paired changes (E, cuts, M), and what the intact robot does (E, M)."""
    run = rl.sweep(
        policy, cuts, episodes=episodes, activity=activity, folder=folder / name,
        measures=BEHAVIOURS, **how,
    )  # fmt: skip
    table = run.table()
    intact = table[table["lesion"] == INTACT].sort_values("episode")
    return changes(table, run.plan, BEHAVIOURS), intact[list(BEHAVIOURS)].to_numpy(np.float64)


def _by_division(change: np.ndarray, divisions: int) -> np.ndarray:
    """Changes (E, D·R, M) as (D, E, R, M)."""
    episodes, _, measures = change.shape
    return change.reshape(episodes, divisions, -1, measures).swapaxes(0, 1)


def signs(policy: rl.Policy, asked: rl.Episodes) -> dict[str, np.ndarray]:
    """What each unit is like, site → (P, H), where the policy itself goes; see `SIGNS`."""
    assert isinstance(policy.network, MLP)
    hidden = list(policy.network.sizes)
    seen = record(policy, ["bend", *(f"@{s}" for s in hidden)], asked).moments()
    classes = bend_contexts(seen["bend"])
    found = {}
    for site, (weights, _) in zip(hidden, policy.network.layers[1:], strict=True):
        values = seen[f"@{site}"].astype(np.float64)
        told = eta_squared(values, classes) if len(np.unique(classes)) > 1 else 0.0 * values[0]
        outgoing = np.linalg.norm(weights.numpy().astype(np.float64), axis=0)
        found[site] = np.stack([values.std(0), np.abs(values).mean(0), told, outgoing])
    return found
