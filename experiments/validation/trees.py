"""Planted robots cut from the root of their trees downwards, against flat clusters; see `truth`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import rl_ablation as rl
from envs.lap import CONDITIONS
from experiments.validation.families import MODULAR, TWO
from experiments.validation.policies import ZERO, Planted, true_effects
from rl_ablation.analysis.trees import WITHIN, Branch, compare, outcomes, root, search
from rl_ablation.lesions.variants import variants
from rl_ablation.stats import LEVEL

SEARCHED = (MODULAR, TWO, "correlated decoys")
"""Families whose trees are searched."""
ALIKE = 0.5
"""Jaccard index of a group's units and a role's from which the group is that role's."""
CLUSTERS = 6
_TRUTH, _SEARCH = 8, 9  # stages of the map's seed: fresh episodes


def tree_facts(
    planted: Planted, family: str, pool: pd.DataFrame, how: Mapping[str, Any], folder: Path,
    size: Mapping[str, int],
) -> dict[str, Any]:  # fmt: skip
    """`null_trees` of every robot, and `score_trees` of the families that are searched.

    The pool are intact episodes; ``how`` and ``size`` are the options and the size of its map.
    """
    null = null_trees(planted, pool, how, episodes=size["episodes"], trees=size["null_maps"])
    if family not in SEARCHED:
        return {"null trees": null}
    searched = score_trees(
        planted, how, folder / "trees", episodes=size["episodes"], truth=size["truth"]
    )
    return {"null trees": null, "trees": searched}


def score_trees(
    planted: Planted, how: Mapping[str, Any], folder: Path, *, episodes: int, truth: int
) -> dict[str, Any]:
    """What the tree and flat clusters find of the roles that matter.

    ``roles`` counts those with a true effect of 1 s.d. and more in a behaviour, under both kinds
    and with one sign, when all units of the role in a layer are cut. For the ``tree``, and for flat
    clusters on as many episodes (``same``) and with as many control steps (``equal``): groups,
    found roles, groups without any unit that is wired to matter (``false``), steps, cuts.
    ``how`` are options of `rl_ablation.sweep`; episodes are fresh ones of its seed.
    """
    plain = rl.Episodes(episodes, how["seed"], horizon=how["horizon"])
    rest = {k: v for k, v in how.items() if k not in ("seed", "horizon")}
    roles = roles_that_matter(planted, replace(plain, count=truth), folder / "roles", rest)
    asked = plain.stage(_SEARCH)
    tree = rl.tree_search(planted.policy, asked, folder=folder / "tree", **rest)
    found = {"tree": (tree.plan(), tree.steps, len(tree.tried) - 1)}
    for name in ("same", "equal"):
        share = found["tree"][1] / found["same"][1] if name == "equal" else 1
        fewer = replace(asked, count=max(len(CONDITIONS), round(episodes * share)))
        found[name] = flat(planted.policy, CLUSTERS, fewer, folder / name, rest)
    return {"roles": len(roles)} | {
        name: judged(planted, plan, roles) | {"steps": steps, "cuts": cuts}
        for name, (plan, steps, cuts) in found.items()
    }


def roles_that_matter(
    planted: Planted, episodes: rl.Episodes, folder: Path, how: Mapping[str, Any]
) -> list[rl.Lesion]:
    """The cuts of all units of a role in a layer that do, on other episodes."""
    seed, cuts = episodes.stage(_TRUTH).seed, role_cuts(planted)
    true = true_effects(
        planted, variants(cuts, WITHIN), episodes=episodes.count, horizon=episodes.horizon,
        seed=seed, folder=folder, **how,
    )  # fmt: skip
    return [x for x in cuts if x.name in mattering(true)]


def role_cuts(planted: Planted) -> rl.Plan:
    """All units of each role that is wired to matter, a cut a layer."""
    sites = planted.policy.network.sizes
    roles = [x for x in dict.fromkeys(planted.roles.values()) if x not in ZERO]
    return rl.Plan(planted.cut(s, x) for s in sites for x in roles if planted.units(s, x))


def mattering(truth: pd.DataFrame) -> set[str]:
    """The cuts with a true effect of 1 s.d. and more in a behaviour under all kinds."""
    of = truth["true_effect"].groupby([truth["lesion"], truth["measure"]])
    clear = (of.min() >= 1) | (of.max() <= -1)
    return set(clear.index[clear].get_level_values(0))


def judged(planted: Planted, groups: rl.Plan, roles: Sequence[rl.Lesion]) -> dict[str, int]:
    """Groups, roles found, groups that are a role's (``right``), and that are ``false``."""
    named = [x for x in groups if x.size]
    alike = np.array([[jaccard(x, role) >= ALIKE for role in roles] for x in named], bool)
    alike = alike.reshape(len(named), len(roles))
    idle = [
        all(planted.roles[f"{site}/{unit}"] in ZERO for site, us in x.cut.items() for unit in us)
        for x in named
    ]
    found, right = (int(alike.any(axis).sum()) for axis in (0, 1))
    return {"groups": len(named), "found": found, "right": right, "false": sum(idle)}


def jaccard(one: rl.Lesion, other: rl.Lesion) -> float:
    """Units of both over units of either."""
    a, b = ({(s, u) for s, us in x.cut.items() for u in us} for x in (one, other))
    return len(a & b) / len(a | b)


def flat(
    agent: rl.Policy, k: int, episodes: rl.Episodes, folder: Path, how: Mapping[str, Any]
) -> tuple[rl.Plan, int, int]:
    """The clusters, ``k`` a layer, that change a behaviour, by the tree's own test with
    Bonferroni's correction over clusters and behaviours; control steps; how many there are."""
    clusters = rl.clusters(agent, k, how["activity"])
    clusters = rl.Plan(x for x in clusters if not x.name.endswith("/dead"))
    run = rl.sweep(agent, variants(clusters, WITHIN), episodes, folder=folder, **how)
    names = clusters.names[1:]
    p = compare(*outcomes(run.behaviour(), names, run.spec.measures, WITHIN))["p"]
    clear = np.atleast_1d((p * p.size < LEVEL).any(1))
    kept = rl.Plan(clusters[x] for x, matters in zip(names, clear, strict=True) if matters)
    return kept, int(run.table()["steps"].sum()), len(names)


def null_trees(
    planted: Planted, pool: pd.DataFrame, how: Mapping[str, Any], *, episodes: int, trees: int
) -> dict[str, int]:
    """Searches in which every cut robot is an intact one on other episodes: how many reject any.

    The pool are intact episodes. Both kinds of cut show the same, which is the worst case: where
    they differ, it is harder to reject.
    """
    rng = np.random.default_rng([how["seed"], _SEARCH])
    grown = [root(s, how["activity"][s].samples) for s in planted.policy.network.sizes]
    roots, measures = [x for x in grown if x is not None], list(how["measures"])
    values = pool[measures].to_numpy(np.float64).T
    rows = [np.flatnonzero(pool["condition"] == x) for x in pool["condition"].unique()]
    each = -(-episodes // len(rows))
    false = 0
    for _ in range(trees):
        mixed = [rng.permutation(x) for x in rows]
        ask = partial(_of_nothing, values, [np.split(x, [each]) for x in mixed], rng)
        nodes, _ = search(roots, ask, measures, WITHIN)
        false += int(nodes["rejected"].any())
    return {"trees": trees, "false": false}


def _of_nothing(
    values: np.ndarray, dealt: Sequence[Sequence[np.ndarray]], rng: np.random.Generator,
    nodes: Sequence[Branch], number: int,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """As `Ask`: of values (measures, episodes), of each condition the episodes dealt to the intact
    robot, and the rest, from which each node draws as many."""
    drawn = [
        np.concatenate([rng.choice(rest, len(own), replace=False) for own, rest in dealt])
        for _ in nodes
    ]
    cut = values[:, np.array(drawn)].transpose(1, 0, 2)[:, None]
    return np.repeat(cut, len(WITHIN), axis=1), values[:, np.concatenate([x for x, _ in dealt])]
