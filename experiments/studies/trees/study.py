"""Does a tree cut by effect find the planted groups with fewer steps than flat clusters?

Flat clusters need a number beforehand. A tree of the same units, cut from the layer downwards
where it matters (`rl_ablation.tree_search`), needs none.

Protocol. Planted lap robots, whose wiring is known (`experiments.validation.families`): of two
functions, with two ways of steering, modular, and the distributed twins of those of two functions,
3 of each. A group to be found is a role in a layer whose loss truly matters: cutting all its units
has an effect of 1 s.d. or more in one of 7 behaviours on 64 episodes of its own, under `resample`
and `mean` alike and in one direction. In a distributed twin the layer is the only such group. The
tree and 2, 4, 6 and 10 flat clusters a layer get the same 24 fresh episodes of 5 s and the same
test: the exact sign-flip p, the larger of the two kinds', below 5 % for all that a method looks at
together. A group is found if what a method names has a Jaccard index of 0.5 or more with its units.
Told are the share of the groups found, how many of those named are one, and the control steps.

The zoo's lap robot and quadruped, and the published Go1 of `real-robots` where its file is in
``runs/robots``, whose groups nobody knows, are searched by the tree and with 6 clusters a layer.
What the tree names is cut again on as many fresh episodes, and counts as seen again with p < 5 %
after Holm's correction under both kinds, in the same direction.

Expected picture: the tree left and above. About 8 minutes on 2 quiet cores, and longer with the
Go1; ``rl-ablation study trees``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import rl_ablation as rl
from agents.zoo import find_agent
from experiments.studies.real_robots.study import PUBLISHED
from experiments.studies.registry import Answer
from experiments.studies.trees.figures import answer, icicles
from experiments.studies.trees.words import tell_planted, tell_zoo
from experiments.validation.families import FAMILIES, MODULAR, REDUNDANT, TWO
from experiments.validation.maps import BEHAVIOURS
from experiments.validation.trees import flat, judged, roles_that_matter
from rl_ablation.analysis.trees import WITHIN, Tree, compare, outcomes
from rl_ablation.lesions.variants import variants
from rl_ablation.rollouts.world import conditions_of, settled
from rl_ablation.stats import LEVEL

PLANTED = (TWO, REDUNDANT, MODULAR, "two functions, distributed")
LEGS = ("vx_error", "vy_error", "yaw_error", "fall")
UNKNOWN = {
    "lap": ("forward_speed.alive", "off_centre.alive", "jerkiness", "progress", "survival"),
    "quadruped": LEGS,
    "Go1": LEGS,
}
"""Networks whose groups nobody knows, and what is asked of them."""
TREE = "tree"
_SEARCH, _AGAIN = 1, 2  # stages of the seed: fresh episodes


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    robots: int = 3
    families: Sequence[str] = PLANTED
    agents: Sequence[str] = tuple(UNKNOWN)
    flats: Sequence[int] = (2, 4, 6, 10)
    episodes: int = 24
    truth: int = 64
    horizon: int = 100  # control steps of planted robots
    longer: int = 200  # and of the zoo's


QUICK = Size(1, (TWO,), ("lap",), (2, 6), 18, 6, 50, 50)


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Run it; see the module."""
    size = QUICK if quick else Size()
    rows = [
        row
        for family in size.families
        for robot in range(size.robots)
        for row in planted_rows(family, robot, seed, folder / "planted", size)
    ]
    planted = pd.DataFrame(rows)
    there = [n for n in size.agents if n not in PUBLISHED or PUBLISHED[n].there]
    done = {name: searched(name, seed, folder / name, size) for name in there}
    zoo = pd.DataFrame([row for rows, _, _ in done.values() for row in rows])
    trees = {name: tree for name, (_, tree, _) in done.items()}
    groups = pd.concat([found for *_, found in done.values()])
    tables = {"planted": planted, "zoo": zoo, "groups": groups}
    tables["nodes"] = pd.concat([x.nodes.assign(agent=name) for name, x in trees.items()])
    text = f"{tell_planted(planted)}\n\n{tell_zoo(zoo, groups)}"
    figures = {"answer": answer(planted), "zoo": icicles(trees)}
    return Answer(text, figures, tables)


def planted_rows(
    family: str, robot: int, seed: int, folder: Path, size: Size
) -> list[dict[str, Any]]:
    """What each method finds in a planted robot: a row each."""
    drawn, measured = map(int, np.random.SeedSequence([seed, robot]).generate_state(2))
    planted = FAMILIES[family](drawn)
    folder = folder / f"{family.replace(' ', '-').replace(',', '')}-{robot}"
    plain = settled(planted.policy, rl.Episodes(size.episodes, measured, horizon=size.horizon))
    activity = rl.record_activity(
        planted.policy, conditions=plain.conditions or ("",), seed=measured, horizon=size.horizon
    )
    how = {"measures": BEHAVIOURS, "activity": activity}
    true = rl.Episodes(size.truth, measured, horizon=size.horizon)
    roles = roles_that_matter(planted, true, folder / "roles", how)
    asked = plain.stage(_SEARCH)
    tree = rl.tree_search(planted.policy, asked, folder=folder / TREE, **how)
    made = {TREE: (tree.plan(), tree.steps, len(tree.tried) - 1)}
    for k in size.flats:
        most = min(planted.policy.network.sizes.values())
        made[f"{k} clusters"] = flat(planted.policy, min(k, most), asked, folder / f"flat-{k}", how)
    about = {"family": family, "robot": robot, "roles": len(roles)}
    return [
        {**about, "method": name, "steps": steps, "cuts": cuts, **judged(planted, plan, roles)}
        for name, (plan, steps, cuts) in made.items()
    ]


def searched(
    name: str, seed: int, folder: Path, size: Size
) -> tuple[list[dict[str, Any]], Tree, pd.DataFrame]:
    """The tree and flat clusters of a network: what each names and takes; the tree; its groups
    with what they do on fresh episodes."""
    agent = PUBLISHED[name].find() if name in PUBLISHED else find_agent(name)
    conditions = tuple(conditions_of(agent))
    plain = rl.Episodes(size.episodes, seed, conditions, size.longer)
    activity = rl.record_activity(agent, conditions=conditions, seed=seed, horizon=plain.horizon)
    how: dict[str, Any] = {"measures": UNKNOWN[name], "activity": activity}
    asked = plain.stage(_SEARCH)
    tree = rl.tree_search(agent, asked, folder=folder / TREE, **how)
    plan, steps, cuts = flat(agent, 6, asked, folder / "flat", how)
    rows = [
        {"agent": name, "method": TREE, "groups": len(tree.plan()) - 1, "steps": tree.steps,
         "cuts": len(tree.tried) - 1},
        {"agent": name, "method": "6 clusters", "groups": len(plan) - 1, "steps": steps,
         "cuts": cuts},
    ]  # fmt: skip
    seen = again(agent, tree, plain.stage(_AGAIN), folder / "again", how)
    return rows, tree, seen.assign(agent=name)


def again(
    agent: rl.Policy, tree: Tree, episodes: rl.Episodes, folder: Path, how: dict[str, Any]
) -> pd.DataFrame:
    """The rows found, with ``again_delta`` and ``seen``: whether fresh episodes show it too."""
    found, plan = tree.found, tree.plan()
    if found.empty:
        return found.assign(again_delta=np.nan, seen=False)
    run = rl.sweep(agent, variants(plan, WITHIN), episodes, folder=folder, **how)
    names = plan.names[1:]
    told = compare(*outcomes(run.behaviour(), names, run.spec.measures, WITHIN))
    rows, measures = found[["name", "measure"]].to_numpy().T, list(run.spec.measures)
    at = [names.index(x) for x in rows[0]], [measures.index(x) for x in rows[1]]
    delta, p = told["delta"][at], told["p"][at]
    order = np.argsort(p, kind="stable")
    holm = np.empty(len(p))
    holm[order] = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    seen = (holm < LEVEL) & (np.sign(delta) == np.sign(found["delta"].to_numpy()))
    return found.assign(again_delta=delta, seen=seen)
