"""What is measured of one training: cuts of the last network's regions at every moment of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import rl_ablation as rl
from agents.recipes import Recipe
from agents.train import kept_at, marks, train_shown
from experiments.studies.registry import DRIVING
from rl_ablation.analysis.localisation import changes, full_size
from rl_ablation.analysis.selectivity import bend_contexts, eta_squared
from rl_ablation.groupings.controls import random_divisions
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.policies.network import MLP, Edit
from rl_ablation.rollouts.activity import EPISODES, Activity, activity_at
from rl_ablation.rollouts.episodes import REFERENCE
from rl_ablation.rollouts.recording import record
from rl_ablation.rollouts.world import conditions_of
from rl_ablation.stats import finite_mean

BEHAVIOURS = ("progress", *DRIVING)
KINDS = ("resample", "mean")
SHARES = (0, 1 / 24, 1 / 12, 1 / 8, 1 / 6, 1 / 4, 1 / 2, 3 / 4, 1)
"""Moments of a training that are looked at; the untrained network is the first."""
SIGNS = (
    "s.d. of activity", "mean size of activity", "selectivity for bends", "outgoing weights",
    "effect on the action",
)  # fmt: skip
"""What a unit was like at a moment, P."""
LOSS, ACTION = "behaviour", "action"
"""What is lost without a unit at last: behaviour, the mean over all in full changes; how far the
action moves on the last network's own way (open loop)."""


@dataclass(frozen=True)
class Size:
    """How much is done."""

    seeds: tuple[int, ...] = tuple(range(20, 25))
    shares: tuple[float, ...] = SHARES
    k: int = 6
    draws: int = 3  # random divisions
    episodes: int = 12
    units: int = 6  # episodes of each single unit
    horizon: int = 200


_MOMENTS = 512  # of a way, in which actions are compared
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
        lost: What is lost without each unit of the last network: `LOSS` and `ACTION` → site →
            (K, H).
        signs: What each unit was like: site → (C, P, H).
    """

    name: str
    steps: np.ndarray
    regions: tuple[rl.Lesion, ...]
    change: np.ndarray
    intact: np.ndarray
    size: np.ndarray
    lost: Mapping[str, Mapping[str, np.ndarray]]
    signs: Mapping[str, np.ndarray]

    @property
    def sites(self) -> list[str]:
        """The layer of each region, R."""
        return [next(iter(x.cut)) for x in self.regions]

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
    policies = {f"{name}-{mark}": rl.load(kept_at(home, mark)) for mark in steps}
    *_, last = policies.values()
    asked = rl.Episodes(EPISODES, seed, tuple(conditions_of(last)), size.horizon, REFERENCE)
    activities = [recorded(policy, asked) for policy in policies.values()]
    clusters = rl.clusters(last, size.k, activities[-1])
    regions = rl.Plan(x for x in clusters if not x.name.endswith("/dead"))
    parts = [regions, *random_divisions(regions, size.draws, seed)]
    how: dict[str, Any] = {"seed": seed, "horizon": size.horizon, "folder": folder / "sweeps"}
    change, intact = cut_over_time(policies, activities, parts, size.episodes, **how)
    full = full_size_of(change, intact)
    units = rl.singles(last)
    each = {f"{name}-units": last}
    single, _ = cut_over_time(each, activities[-1:], [units], size.units, **how)
    lost = -finite_mean(finite_mean(single[0, :, 0], 1, empty=0.0) / full, -1)  # (K, H of all)
    where = [next(iter(x.cut)) for x in units if x.size]
    hidden = last.network.sizes
    missed = {s: lost[:, [w == s for w in where]] for s in hidden}
    ways = [record(policy, ["obs", "bend"], asked).moments() for policy in policies.values()]
    seen = [signs(*pair) for pair in zip(policies.values(), ways, strict=True)]
    told = {site: np.stack([s[site] for s in seen]) for site in hidden}
    own = {LOSS: missed, ACTION: moved(last, ways[-1]["obs"])}
    cuts = tuple(x for x in regions if x.size)
    return Training(name, np.array(steps), cuts, change, intact, full, own, told)


def recorded(policy: rl.Policy, asked: rl.Episodes) -> Activity:
    """The activity of an intact policy that cuts are made with."""
    assert asked.conditions is not None
    return rl.record_activity(
        policy, conditions=asked.conditions, seed=asked.seed, horizon=asked.horizon
    )


def cut_over_time(
    policies: Mapping[str, rl.Policy], activities: Sequence[Activity], divisions: Sequence[rl.Plan],
    episodes: int, *, seed: int, horizon: int, **how: Any,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Cut every part of some divisions in every policy, in all `KINDS`.

    ``how`` is for the sweeps, a ``folder`` for all of them. Gives paired changes (C, K, D, E, R,
    M), and what the intact robots do, (C, E, M).
    """
    folder: Path = how.pop("folder")
    change, intact = [], []
    for (name, policy), activity in zip(policies.items(), activities, strict=True):
        kinds = []
        for kind in KINDS:
            run = rl.sweep(
                policy, sum(divisions, rl.Plan()).with_kind(kind), episodes=episodes, seed=seed,
                horizon=horizon, measures=BEHAVIOURS, activity=activity, threads=1,
                folder=folder / f"{name}-{kind}", **how,
            )  # fmt: skip
            table = run.table()
            kinds.append(_by_division(changes(table, run.plan, BEHAVIOURS), len(divisions)))
        rows = table[table["lesion"] == INTACT].sort_values("episode")
        change.append(kinds)
        intact.append(rows[list(BEHAVIOURS)].to_numpy(np.float64))
    return np.array(change), np.array(intact)


def full_size_of(change: np.ndarray, intact: np.ndarray) -> np.ndarray:
    """What counts as a full change of each behaviour over a whole training, (M,)."""
    own = [one for kinds in change[:, :, 0] for one in kinds]
    return full_size(own, finite_mean(intact[-1]))


def _by_division(change: np.ndarray, divisions: int) -> np.ndarray:
    """Changes (E, D·R, M) as (D, E, R, M)."""
    episodes, _, measures = change.shape
    return change.reshape(episodes, divisions, -1, measures).swapaxes(0, 1)


def signs(policy: rl.Policy, way: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What each unit is like, site → (P, H), where the policy itself goes; see `SIGNS`.

    ``way`` has the observations, "obs" (S, D), and the bends there, "bend" (S,).
    """
    assert isinstance(policy.network, MLP)
    classes, found = bend_contexts(way["bend"]), {}
    activity, effect = activity_at(policy, way["obs"]), moved(policy, way["obs"])
    for (site, seen), (weights, _) in zip(activity.items(), policy.network.layers[1:], strict=True):
        values = seen.astype(np.float64)
        told = eta_squared(values, classes) if len(np.unique(classes)) > 1 else 0.0 * values[0]
        outgoing = np.linalg.norm(weights.numpy().astype(np.float64), axis=0)
        size = np.abs(values).mean(0)
        found[site] = np.stack([values.std(0), size, told, outgoing, effect[site].mean(0)])
    return found


def moved(policy: rl.Policy, obs: np.ndarray) -> dict[str, np.ndarray]:
    """How far the action moves when a unit is cut, with nothing else changed: site → (K, H).

    Root mean square over some of the moments (S, D) and all motors, in s.d. of the motor's action.
    """
    obs = obs[np.linspace(0, len(obs) - 1, min(_MOMENTS, len(obs))).astype(int)]
    inputs, other = torch.as_tensor(policy.normalise(obs)), np.random.default_rng(0)
    swap = torch.from_numpy(other.permutation(len(obs)))
    acted = _acted(policy, inputs)
    spread = np.maximum(acted.std(0), 1e-9)
    found: dict[str, list[list[float]]] = {}
    for site, units in policy.network.sizes.items():
        for kind in KINDS:
            found.setdefault(site, []).append([])
            for unit in range(units):

                def cut(
                    where: str, values: torch.Tensor, site: str = site, unit: int = unit,
                    kind: str = kind,
                ) -> torch.Tensor:  # fmt: skip
                    if where == site:
                        values = values.clone()
                        column = values[:, unit]
                        values[:, unit] = column.mean() if kind == "mean" else column[swap]
                    return values

                change = (_acted(policy, inputs, cut) - acted) / spread
                found[site][-1].append(float(np.sqrt((change**2).mean())))
    return {site: np.array(values) for site, values in found.items()}


def _acted(
    policy: rl.Policy, inputs: torch.Tensor, edit: Edit = lambda _, values: values
) -> np.ndarray:
    action = policy.network(inputs, edit).numpy().astype(np.float64)
    return np.clip(action, policy.low, policy.high)
