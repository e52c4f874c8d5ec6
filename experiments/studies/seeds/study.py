"""Do networks trained alike from different seeds divide their labour alike?

Protocol: the recurrence of a map over training seeds, with seeds resampled before episodes after
Agarwal et al. (2021); same class of protocol, not a replication. Five lap robots, one recipe, seeds
0–4. Each network's functional clusters are cut one at a time (set to zero), and their harm to each
behaviour is taken as a share of the largest change that any cut of that network, whole layers
included, makes; while driving, so that a crash is not mistaken for lost speed. Clusters of two
networks are matched one to one by what their loss does. Two questions:

1. Do clusters with the same profile recur in every network? The likeness of matched profiles is
   compared with shuffles of each behaviour's harm over the clusters; as it is, and with each
   cluster's mean harm taken off, as two clusters without which nothing works are alike anyway.
2. Is a behaviour kept in one place in every network? The share of all harm that the worst cluster
   does, beside random divisions of the same sizes in the same layers.

Expected picture, if localisation recurs: the same colours in the same rows of every panel, a
likeness right of the shuffled ones, and purple points right of the grey ones in every network.

About 3 minutes on 2 cores, and 2 for each agent not trained yet; ``rl-ablation study seeds``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agents.recipes import RECIPES, Recipe
from experiments.studies.registry import Answer, trained
from experiments.studies.seeds.figures import recurrence_figure
from rl_ablation.analysis.consistency import Consistency, consistency, paired_harm
from rl_ablation.analysis.localisation import gini, worst_share
from rl_ablation.formats import number
from rl_ablation.groupings.clusters import clusters
from rl_ablation.groupings.controls import random_divisions
from rl_ablation.groupings.units import layers
from rl_ablation.lesions.lesion import Plan
from rl_ablation.mapping.sweep import sweep
from rl_ablation.measures.registry import MEASURES
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.activity import record_activity
from rl_ablation.rollouts.world import World
from rl_ablation.stats import finite_mean, hierarchical_bootstrap

BEHAVIOURS = (
    "forward_speed.alive",
    "left_turning.alive",
    "right_turning.alive",
    "off_centre.alive",
    "crash",
)
PROFILE, SPECIFIC = "profile", "beyond mean harm"
TINY = Recipe(
    name="lap-tiny",
    env_id="envs:rl_ablation/Lap-v0",
    steps=16_384,
    num_envs=32,
    net_arch=(16, 16),
    ppo={"n_steps": 64, "batch_size": 512, "n_epochs": 4, "gamma": 0.98},
)
"""For the quick version: trained for seconds, it hardly drives."""


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Map each network, match their clusters, and say how local each behaviour is."""
    recipe, seeds = (TINY, range(2)) if quick else (RECIPES["lap"], range(5))
    k, episodes, draws, horizon = (2, 6, 2, 150) if quick else (4, 24, 4, None)
    names, harms = [], []
    for training in seeds:
        agent = trained(recipe, training)
        plan, divisions = divide(agent, k, draws, seed, horizon)
        run = sweep(
            agent,
            layers(agent) + sum(divisions, plan),
            episodes=episodes,
            seed=seed,
            measures=BEHAVIOURS,
            folder=folder / f"{recipe.name}-{training}",
            horizon=horizon,
        )
        regions = [[x.name for x in part if x.size] for part in (plan, *divisions)]
        flat = paired_harm(run, [name for part in regions for name in part], BEHAVIOURS)
        # (episodes, divisions, regions, behaviours), the clusters first
        harms.append(flat.reshape(len(flat), len(regions), -1, len(BEHAVIOURS)))
        names.append(regions[0])
    maps = [finite_mean(harm[:, 0], empty=0.0) for harm in harms]
    found = {
        PROFILE: consistency(maps, seed=seed),
        SPECIFIC: consistency(maps, specific=True, seed=seed),
    }
    local = localisation(harms, seed)
    title = f"{recipe.name}: what each cluster is for, in {len(maps)} networks"
    networks = [f"seed {s}" for s in seeds]
    figure = recurrence_figure(title, maps, names, networks, BEHAVIOURS, found, local)
    return Answer(
        text=tell(found, local, maps, names),
        figures={"recurrence": figure},
        tables={
            "localisation": local,
            "regions": tabulate(maps, names, list(seeds)),
            "likeness": likeness(found, list(seeds)),
        },
    )


def divide(
    agent: Policy, k: int, draws: int, seed: int, horizon: int | None
) -> tuple[Plan, list[Plan]]:
    """A network's functional clusters, and random divisions of the same sizes."""
    world = World(str(agent.card.env_id), 1, agent.card.env_kwargs)
    conditions = world.conditions or ("",)
    world.close()
    activity = record_activity(agent, conditions=conditions, seed=seed, horizon=horizon)
    plan = clusters(agent, k, activity)
    return plan, random_divisions(plan, draws, seed)


def localisation(harms: list[np.ndarray], seed: int, resamples: int = 2000) -> pd.DataFrame:
    """A row for each index × behaviour × division: over all networks with interval, and of each.

    ``difference`` is the clusters' index minus the mean of the random divisions'.
    """
    rows: list[dict[str, object]] = []
    for name, index in (("worst share", worst_share), ("gini", gini)):
        each = partial(_against_random, index)
        ends = hierarchical_bootstrap(harms, each, resamples=resamples, seed=seed)
        single = [each(harm) for harm in harms]
        for row, division in enumerate(("clusters", "random", "difference")):
            for column, behaviour in enumerate(BEHAVIOURS):
                iqm, low, high = (end[row, column] for end in ends)
                told = {"iqm": iqm, "ci_low": low, "ci_high": high}
                apart = {f"network {k}": s[row, column] for k, s in enumerate(single)}
                what = {"index": name, "behaviour": behaviour, "division": division}
                rows.append({**what, **told, **apart})
    return pd.DataFrame(rows)


def _against_random(index: Callable[[np.ndarray], np.ndarray], harm: np.ndarray) -> np.ndarray:
    """(3, behaviours): of the clusters, of random divisions that do any harm, their difference."""
    value = index(finite_mean(harm, empty=0.0))
    own, others = value[0], value[1:]
    there = np.isfinite(others)
    count = there.sum(0)
    random = np.where(there, others, 0.0).sum(0) / np.where(count > 0, count, np.nan)
    return np.stack([own, random, own - random])


def tabulate(maps: list[np.ndarray], names: list[list[str]], seeds: list[int]) -> pd.DataFrame:
    """Every network's harm: a row for each seed × region."""
    rows = [
        {"seed": s, "region": region, **dict(zip(BEHAVIOURS, effects, strict=True))}
        for s, harm, regions in zip(seeds, maps, names, strict=True)
        for region, effects in zip(regions, harm, strict=True)
    ]
    return pd.DataFrame(rows)


def likeness(found: dict[str, Consistency], seeds: list[int]) -> pd.DataFrame:
    """Every pair's likeness: a row for each pair of seeds."""
    first, second = np.triu_indices(len(seeds), 1)
    pairs = {"a": [seeds[i] for i in first], "b": [seeds[i] for i in second]}
    return pd.DataFrame({**pairs, **{how: r.scores[first, second] for how, r in found.items()}})


def tell(
    found: dict[str, Consistency],
    local: pd.DataFrame,
    maps: list[np.ndarray],
    names: list[list[str]],
) -> str:
    """The findings in sentences, from the numbers."""
    lines = []
    for how, what in (
        (PROFILE, "what their loss does"),
        (SPECIFIC, "what it does beyond each cluster's mean harm"),
    ):
        r, shuffled = found[how], float(np.median(found[how].null))
        p = min(1.0, len(found) * r.p)
        verdict = "recur" if p < 0.05 else "do not clearly recur"
        way = (r.score - shuffled) / (1 - shuffled) if shuffled < 1 else 0.0
        lines.append(
            f"- Matched by {what}, clusters {verdict}: mean likeness {number(r.score)} over "
            f"{len(maps) * (len(maps) - 1) // 2} pairs of networks, {_rounded(way)} % of the way "
            f"from shuffled maps ({number(shuffled)}) to the same map (1); p = {p:.3f} "
            f"(Bonferroni, {len(found)} tests)."
        )
    for column, behaviour in enumerate(BEHAVIOURS):
        lines.append(_tell_behaviour(column, behaviour, local, maps, names))
    lines.append(
        f"- {len(maps)} seeds of one recipe: an interval over so few covers less than its nominal "
        "95 %, one odd network can decide it, and nothing is said of other recipes or robots."
    )
    return "\n".join(lines)


def _tell_behaviour(
    column: int, behaviour: str, local: pd.DataFrame, maps: list[np.ndarray], names: list[list[str]]
) -> str:
    rows = {
        row["division"]: row
        for row in local.to_dict("records")
        if row["behaviour"] == behaviour and row["index"] == "worst share"
    }
    own, random, gap = rows["clusters"], rows["random"], rows["difference"]
    sites = [
        regions[int(harm[:, column].argmin())].partition("/")[0]
        for harm, regions in zip(maps, names, strict=True)
    ]
    site = max(sorted(set(sites)), key=sites.count)
    label = MEASURES[behaviour].label
    if not np.isfinite(own["iqm"]):
        return f"- {label[:1].upper() + label[1:]}: no cluster's loss harms it in any network."
    text = f"the worst cluster does {_percent(own)} of all harm"
    if not np.isfinite(gap["iqm"]):
        return f"- {label[:1].upper() + label[1:]}: {text}; random regions do none."
    if gap["ci_low"] > 0:
        verdict = "more local than random divisions of the same sizes"
    elif gap["ci_high"] < 0:
        verdict = "less local than random divisions of the same sizes"
    else:
        verdict = "not clearly more or less local than random divisions of the same sizes"
    return (
        f"- {label[:1].upper() + label[1:]} is {verdict}: {text}, the worst random region "
        f"{_percent(random)}; difference {_percent(gap)}. The worst cluster is in {site} in "
        f"{sites.count(site)} of {len(sites)} networks."
    )


def _percent(row: dict[Hashable, Any]) -> str:
    """``44 % (39 to 48)``, with the 95 % interval, of a row of the localisation table."""
    value, low, high = (_rounded(row[key]) for key in ("iqm", "ci_low", "ci_high"))
    return f"{value} % ({low} to {high})"


def _rounded(share: float) -> str:
    return f"{100 * share:.0f}".replace("-", "−")
