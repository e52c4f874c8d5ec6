"""Does it help or harm a robot's network if its units each prefer one context?

Question: Leavitt & Morcos 2020 ("Selectivity considered harmful", 2003.01262; Facebook AI) put the
class selectivity of units into the loss of image classifiers: more of it always hurt, less cost
little or helped. In 2010.07693, less selective networks withstood natural corruptions better and
targeted attacks worse. Is it so for robots?

Protocol: same class as theirs, not a replication. Lap robots are trained alike but for α in
``L_PPO − α·SI`` (`agents.selective_ppo`; contexts: left bend, straight, right bend), twelve
training seeds for each α. Then every network is measured on the same six episodes of 15 s, all
tracks both ways; networks of one α differ more than their episodes do:

1. SI and η² of its hidden units over the states that it visits by itself; laps driven.
2. Lesions: units cut in random order, held at their mean, and set to zero beside it (as published,
   Morcos et al. 2018): area under the share of the laps kept, over the share of units cut.
3. Outside disturbance: the same area over the strength of normal noise on all sensors and over the
   share of dead sensors; and the share of the laps kept under the worst small change (0.3 s.d.) of
   the observation.
4. Rotation: units can lose selectivity because the layer's activity was merely turned away from
   their axes. What no turn changes (`rotation`): the layer's whole η², that of its best
   direction (found on other episodes), and PWCCA similarity to the networks trained with α = 0.
5. Chance: SI and η² of untrained networks that are shown what the networks of α = 0 saw, through
   their observation normalisers.

Values have intervals that resample seeds first, then episodes or orders. Changes from α = 0 pair
networks of the same training seed and have Student's intervals over seeds, p from sign flips, q
after Benjamini & Hochberg over all outcomes and α, and the smallest change that could have been
found. Changes of less than 0.1 laps, or 0.05 of an area, would not matter. The trend is the mean
over seeds of Spearman's ρ against α, its p from exchanging α within seeds, its q after Benjamini &
Hochberg.

Expected picture, if selectivity harms: panels that fall to the right, robustness to the worst small
change perhaps excepted. About 9 minutes on 2 quiet cores, most of them spent
on finding the worst small changes, after 60 trainings, once; ``rl-ablation study selectivity``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import rl_ablation as rl
from agents.recipes import RECIPES, Recipe
from agents.selective_ppo import rate
from agents.train import untrained
from envs.lap import CONDITIONS
from experiments.studies.registry import Answer, all_trained
from experiments.studies.selectivity.comparison import Values, compare, trend
from experiments.studies.selectivity.figures import draw
from experiments.studies.selectivity.words import tell, tell_untrained
from rl_ablation.analysis import rotation
from rl_ablation.analysis.attack import perturbed
from rl_ablation.analysis.curves import areas, curves
from rl_ablation.analysis.selectivity import bend_contexts, class_selectivity, eta_squared
from rl_ablation.groupings.orders import noise_ladder, random_orders
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.rollouts.activity import activity_at
from rl_ablation.rollouts.recording import record

STEPS = 393_216
ALPHAS = (-2.0, -0.5, 0.0, 0.5, 2.0)
SEEDS = tuple(range(12))
FRACTIONS = (0.1, 0.2, 0.4, 0.7, 1.0)
EPSILON = 0.3
MOMENTS = 3000
NAIVE = 4  # untrained networks for each network of α = 0


def recipe(alpha: float, quick: bool = False) -> Recipe:
    """The lap robot's recipe with α in its loss."""
    own = {"name": "lap-selective", "steps": 8_192 if quick else STEPS, "selectivity": alpha}
    return RECIPES["lap"].model_copy(update=own)


def length(quick: bool) -> dict[str, Any]:
    """Of a measurement: how many episodes, and steps at most."""
    return {"episodes": 6, "horizon": 100} if quick else {"episodes": 6, "horizon": 300}


def visited(quick: bool, seed: int, count: int | None = None) -> rl.Episodes:
    """The episodes in which states and activity are recorded."""
    how = length(quick)
    return rl.Episodes(count or how["episodes"], seed, tuple(CONDITIONS), how["horizon"])


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Train, measure, compare."""
    alphas, seeds = ((-2.0, 0.0, 2.0), SEEDS[:2]) if quick else (ALPHAS, SEEDS)
    # Every α of a seed before the next seed: what is there after a break can be compared.
    keys = [(a, s) for s in seeds for a in alphas]
    agents = all_trained([(recipe(a, quick), s) for a, s in keys])
    policies = dict(zip(keys, agents, strict=True))
    states = common_states([policies[0.0, s] for s in seeds], quick, seed)
    activities = {key: activity_at(policy, states) for key, policy in policies.items()}
    values: dict[tuple[float, int], Values] = {}
    steps = 0
    for (alpha, s), policy in policies.items():
        runs = measure_runs(policy, folder / f"alpha{alpha:g}-seed{s}", quick=quick, seed=seed)
        steps += sum(int(run.table()["steps"].sum()) for run in runs.values())
        similarity = partial(rotation.network_similarity, activities[alpha, s])
        similar = np.array([similarity(activities[0.0, o]) for o in seeds if o != s])
        values[alpha, s] = (
            units(policy, ways(policy, quick, seed)) | behaviour(runs) | {"similarity": similar}
        )
    networks = pd.DataFrame(
        {"alpha": a, "seed": s, **{k: float(v.mean()) for k, v in values[a, s].items()}}
        for a, s in values
    )
    means = compare(values, alphas, seeds, seed)
    trends = trend(networks, seed)
    plain = {s: policies[0.0, s] for s in seeds}
    naive = untrained_units(plain, 1 if quick else NAIVE, quick, seed)
    text = tell(networks, means, trends) + f"\n\n{tell_untrained(naive, means)}"
    text += f"\n\nMeasured in {steps:,} control steps."
    tables = {"networks": networks, "means": means, "trends": trends, "untrained": naive}
    return Answer(text, {"answer": draw(networks, means, trends, naive)}, tables)


def measure_runs(policy: rl.Policy, folder: Path, *, quick: bool, seed: int) -> dict[str, rl.Map]:
    """Sweeps of one network: cuts by mean and by zero, disturbances, the worst small change."""
    orders, fractions, dead = (2, (0.2, 1.0), (0.2,)) if quick else (2, FRACTIONS, (0.1, 0.2, 0.4))
    cut = partial(random_orders, policy, seed=seed)
    noise = noise_ladder(policy, sites=["obs"], strengths=(0.25, 0.5, 1.0))
    subjects: dict[str, tuple[rl.Policy, rl.Plan]] = {
        "mean": (policy, cut(orders=orders, fractions=fractions, kind="mean")),
        "zero": (policy, cut(orders=orders, fractions=fractions, kind="zero")),
        "outside": (policy, noise + cut(sites=["obs"], orders=2, fractions=dead, name="dropout")),
    }
    subjects["worst"] = (perturbed(policy, EPSILON), rl.Plan())
    how: dict[str, Any] = {"measures": ("progress", "crash"), "seed": seed, **length(quick)}
    return {
        name: rl.sweep(*subject, folder=folder / name, progress=False, **how)
        for name, subject in subjects.items()
    }


def behaviour(runs: Mapping[str, rl.Map]) -> Values:
    """Laps, and the share of them that is kept under each kind of damage."""
    whole = runs["outside"].table()
    intact = whole[whole["lesion"] == INTACT].sort_values("episode")
    progress = intact["progress"].to_numpy()
    kept, mean, zero = (
        areas(curves(runs[name], "progress")) for name in ("outside", "mean", "zero")
    )
    attacked = runs["worst"].table()["progress"].mean()
    return {
        "progress": progress,
        "crash": intact["crash"].to_numpy(),
        "cut_mean": mean.to_numpy(),
        "cut_zero": zero.to_numpy(),
        "noise": kept[["noise"]].to_numpy(),
        "dropout": kept[kept.index.str.startswith("dropout-")].to_numpy(),
        "worst": np.array([attacked / progress.mean()]),
    }


def ways(policy: rl.Policy, quick: bool, seed: int) -> list[dict[str, np.ndarray]]:
    """Where the policy goes, twice, on other episodes: ``obs`` (S, D) and ``bend`` (S,)."""
    asked = ["obs", "bend"]
    return [record(policy, asked, visited(quick, seed + k)).moments() for k in (0, 1)]


def units(network: rl.Policy, runs: Sequence[Mapping[str, np.ndarray]]) -> Values:
    """How much a network's units say about the context on `ways`, mean of the layers."""
    classes, others = (bend_contexts(run["bend"]) for run in runs)
    here, elsewhere = (activity_at(network, run["obs"]) for run in runs)
    layers = []
    for site in here:
        activity = here[site]
        best = activity @ rotation.best_direction(elsewhere[site], others)
        layers.append({
            "si": class_selectivity(rate(activity), classes).mean(),
            "eta": eta_squared(activity, classes).mean(),
            "spread": float(activity.std(0).mean()),
            "layer": rotation.layer_eta_squared(activity, classes),
            "best": float(eta_squared(best[:, None], classes)[0]),
        })  # fmt: skip
    return {name: np.array([np.mean([layer[name] for layer in layers])]) for name in layers[0]}


def untrained_units(
    plain: Mapping[int, rl.Policy], count: int, quick: bool, seed: int
) -> pd.DataFrame:
    """`units` of so many untrained networks for each network of α = 0, whose way they watch.

    A row for each: the ``seed`` of the network that drives, the ``draw`` of the one that watches,
    and the metrics.
    """
    rows: list[dict[str, float]] = []
    for s, policy in plain.items():
        runs = ways(policy, quick, seed)
        for _ in range(count):
            watcher = untrained(recipe(0.0), len(rows), policy)
            found = units(watcher, runs)
            means = {name: float(values.mean()) for name, values in found.items()}
            rows.append({"seed": s, "draw": len(rows), **means})
    return pd.DataFrame(rows)


def common_states(policies: Sequence[rl.Policy], quick: bool, seed: int) -> np.ndarray:
    """Observations that the networks trained with α = 0 meet, evenly spaced, (S, D)."""
    asked = visited(quick, seed, 6)
    obs = np.concatenate([record(p, ["obs"], asked).moments()["obs"] for p in policies])
    return obs[np.linspace(0, len(obs) - 1, min(MOMENTS, len(obs))).astype(int)]
