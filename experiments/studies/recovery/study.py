"""When a robot loses the region it needs most and learns on, where does the function go?

Protocol: recovery training as in Meyes et al. 2019 ("Ablation Studies in Artificial Neural
Networks"); same class of protocol, not a replication (theirs were image classifiers). Eight lap
robots, each without the one of its 4 functional clusters (2 a layer) whose cut costs most progress
in 6 episodes. The cut holds units at their means, which training takes over as a bias of the next
layer; so what is learned again is what the units told, and not a bias that zero took away (the
score under zero, as published, is shown beside). With 4 clusters a layer most robots lose next to
nothing under the mean, and there is nothing to recover. Each learns on with PPO for 131,072 steps,
about a fifth of its training: cut units *frozen*; free to *regrow* outgoing weights from zero;
nothing cut (*trained on*: what more training does anyway); and a new network *from scratch* for as
many steps.
The old critic was not kept, so each first learns a new one for 16,384 steps while the actor rests.
Scores are laps gained by the deterministic policy, without noise, in 12 paired episodes that
nothing was chosen on. Then every old region is cut again in the recovered networks, at its mean
there: 6 episodes, paired. Networks are the units of inference: Student's intervals over them, p
from sign flips, q over all comparisons of scores, and the smallest difference that could have been
found. Less than 0.1 laps would not matter.

Expected picture, if networks recover: the first two curves rise to the upper line faster than the
one from scratch; in the map, a frozen robot's other regions darken, and a regrown one needs its old
region again, or does not.

About 10 minutes on 2 quiet cores, after 8 trainings, once: each network is trained on four times
here, which takes more than a minute, so eight and not twelve; ``rl-ablation study recovery``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import rl_ablation as rl
from agents.recipes import RECIPES
from agents.recovery import hold, recover
from agents.zoo import find_agent
from experiments.studies.recovery import words
from experiments.studies.recovery.figures import draw
from experiments.studies.recovery.words import INTACT, MAPPED, SCORE, SCRATCH
from experiments.studies.registry import DRIVING, Answer, all_trained
from rl_ablation.lesions.variants import variants
from rl_ablation.mapping.evidence import differences
from rl_ablation.rollouts.episodes import fresh_seed
from rl_ablation.rollouts.world import conditions_of
from rl_ablation.stats import (
    benjamini_hochberg,
    sign_flip_p,
    smallest_effect,
    student_interval,
)

CHOICE, FINAL, MAPS = range(3)  # stages: each has episodes of its own
MEASURES = (SCORE, *DRIVING[:3], "crash")
KIND, PUBLISHED = "mean", "zero"


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    networks: tuple[int, ...] = tuple(range(8))
    k: int = 2
    steps: int = 131_072
    every: int = 32_768
    warm_up: int = 16_384
    first: int = 6
    episodes: int = 12
    horizon: int | None = None


FULL = Size()
QUICK = Size((1,), 2, 24_576, 8_192, 8_192, 6, 6, 120)


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Cut, train on, score and map again; and see what became of the function."""
    size = QUICK if quick else FULL
    found = []
    agents = [find_agent("lap")]
    if not quick:
        agents = all_trained([(RECIPES["lap"], k) for k in size.networks])
    for k, agent in zip(size.networks, agents, strict=True):
        found.append(follow(agent, f"training {k}", folder / f"lap-{k}", size, seed, k))
    columns = zip(*found, strict=True)
    curve, final, regions = (pd.concat(parts, ignore_index=True) for parts in columns)
    summary = summarise(final, seed)
    similar = pd.DataFrame({arm: similarity(regions, arm) for arm in MAPPED[1:]})
    text = [words.tell_scores(summary, len(found)), words.tell_speed(curve)]
    text.append(words.tell_regions(regions, similar))
    tables = {"curves": curve, "scores": final, "summary": summary, "regions": regions}
    tables["similarity"] = similar.reset_index()
    return Answer("\n\n".join(text), {"recovery": draw(curve, final, summary, regions)}, tables)


def follow(
    agent: rl.Policy, name: str, folder: Path, size: Size, seed: int, k: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """One network's learning curves, final scores by episode, and maps."""
    conditions = conditions_of(agent)
    activity = rl.record_activity(agent, conditions=conditions, seed=seed, horizon=size.horizon)
    found = rl.clusters(agent, size.k, activity).with_kind(KIND)
    regions = rl.Plan(x for x in found if not x.name.endswith("/dead"))

    def run(policy: rl.Policy, plan: rl.Plan, where: str, stage: int) -> pd.DataFrame:
        where = where.replace(" ", "-")
        return rl.sweep(
            policy.with_card(policy.card.model_copy(update={"name": where})), plan,
            episodes=size.episodes if stage == FINAL else size.first, seed=fresh_seed(seed, stage),
            measures=MEASURES, horizon=size.horizon, folder=folder / "sweeps" / where,
            activity=activity if policy is agent else None,  # else its own means
        ).table()  # fmt: skip

    first = run(agent, regions, "choice", CHOICE)
    worst = regions[str(differences(first, [SCORE])[SCORE].mean().idxmin())]
    means = {site: activity[site].mean for site in worst.cut}
    policies = retrain(agent, worst, means, folder, size, k)
    both = variants(rl.Plan([worst]), [KIND, PUBLISHED])
    before = run(agent, both, "before", FINAL)
    cuts = dict(zip((INTACT, words.CUT, words.ZERO), both.names, strict=True))
    kept = {arm: before[before["lesion"] == lesion] for arm, lesion in cuts.items()}
    scores = []
    for arm, trainings in policies.items():
        for steps, policy in trainings.items():
            kept[arm] = run(policy, rl.Plan(), f"{arm}-{steps}", FINAL)
            scores.append((name, arm, steps, float(kept[arm][SCORE].mean())))
    final = [t[["episode", SCORE]].assign(network=name, arm=arm) for arm, t in kept.items()]
    maps = []
    for arm in MAPPED:
        policy = agent if arm == INTACT else policies[arm][size.steps]
        table = run(policy, regions, f"map-{arm}", MAPS)
        for measure, change in differences(table, MEASURES).items():
            for region, delta in change.mean().items():  # of the episodes that have a number
                maps.append((name, arm, region, region == worst.name, measure, delta))
    curve = pd.DataFrame(scores, columns=["network", "arm", "steps", "score"])
    heads = ["network", "arm", "region", "old", "measure", "delta"]
    return curve, pd.concat(final, ignore_index=True), pd.DataFrame(maps, columns=heads)


def retrain(
    agent: rl.Policy,
    worst: rl.Lesion,
    means: dict[str, np.ndarray],
    folder: Path,
    size: Size,
    seed: int,
) -> dict[str, dict[int, rl.Policy]]:
    """Arm → steps → policy; the cut region is held at its means."""
    recipe = RECIPES["lap"].model_copy(update={"steps": size.steps, "stage_steps": size.every})
    more: dict[str, Any] = {"warm_up": size.warm_up}
    cut = {**more, "start": hold(agent, worst.cut, means), "cut": worst.cut}
    arms = {
        words.FROZEN: cut,
        words.REGROW: {**cut, "frozen": False},
        words.ON: {**more, "start": agent},
        SCRATCH: {"start": None},
    }
    found: dict[str, dict[int, rl.Policy]] = {}
    marks = [*range(0, size.steps, size.every), size.steps]
    for arm, how in arms.items():
        place = folder / "trainings" / arm.replace(" ", "-")
        if not (place / f"at-{size.steps}" / "card.json").exists():
            recover(recipe=recipe, folder=place, seed=seed, every=size.every, **how)
        found[arm] = {steps: rl.load(place / f"at-{steps}") for steps in marks}
    return found


def summarise(final: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Each arm's score, and its difference from the robot before the cut and from scratch.

    Means of the networks with Student's intervals; ``_smallest`` could have been found, ``_q`` is
    over all differences.
    """
    means = final.groupby(["arm", "network"], sort=False)[SCORE].mean().unstack()
    table = pd.DataFrame({"arm": means.index})
    bases = {"score": 0.0, "to_before": means.loc[INTACT], "to_scratch": means.loc[SCRATCH]}
    for key, base in bases.items():
        gaps = (means - base).to_numpy()
        table[key] = gaps.mean(1)
        table[[f"{key}_low", f"{key}_high"]] = [student_interval(gap) for gap in gaps]
        table[f"{key}_smallest"] = [smallest_effect(gap) for gap in gaps]
        table[f"{key}_p"] = sign_flip_p(gaps.T, np.random.default_rng(seed))
    keys, same = ["to_before", "to_scratch"], [INTACT, SCRATCH]
    p = table[[f"{key}_p" for key in keys]].to_numpy()
    itself = table["arm"].to_numpy()[:, None] == np.array(same)
    table[[f"{key}_q" for key in keys]] = benjamini_hochberg(np.where(itself, np.nan, p))
    return table


def similarity(regions: pd.DataFrame, arm: str) -> pd.Series:
    """Correlation of the effect vectors before and after, of each network.

    Of the regions that were not cut; each behaviour in units of its spread over them before.
    """
    found = {}
    for name, part in regions[~regions["old"]].groupby("network"):
        wide = part.pivot(index=["measure", "region"], columns="arm", values="delta")
        spread = wide[INTACT].groupby("measure").std()
        scaled = wide.div(spread[spread > 0], axis=0, level="measure").dropna()
        if len(scaled) > 2 and scaled[arm].std() > 0:
            found[name] = np.corrcoef(scaled[INTACT], scaled[arm])[0, 1]
    return pd.Series(found, dtype=float, name=arm).rename_axis("network")
