"""What a tree finds of planted groups is judged right, and its null trees are of nothing."""

import numpy as np
import pandas as pd
import pytest

import rl_ablation as rl
from experiments.validation.families import FAMILIES, TWO
from experiments.validation.trees import (
    flat,
    jaccard,
    judged,
    mattering,
    null_trees,
    role_cuts,
    score_trees,
)
from rl_ablation.lesions.lesion import Lesion, Plan

MEASURES = ("progress", "survival")


@pytest.fixture(scope="module")
def planted():
    return FAMILIES[TWO](5)


@pytest.fixture(scope="module")
def how(planted):
    activity = rl.record_activity(planted.policy, seed=5, horizon=80, threads=1)
    return {"measures": MEASURES, "seed": 5, "horizon": 80, "threads": 1, "activity": activity,
            "progress": False}  # fmt: skip


def test_groups_are_held_against_the_units_of_the_roles(planted):
    roles = [x for x in role_cuts(planted) if x.name == "h0/steering"]
    units = planted.units("h0", "steering")
    near = Lesion(name="near", cut={"h0": units[1:]})
    half = Lesion(name="half", cut={"h0": units[: len(units) // 2 - 1]})
    idle = Lesion(name="idle", cut={"h0": planted.units("h0", "decoy", "dead")})
    assert jaccard(near, roles[0]) == pytest.approx(1 - 1 / len(units))
    assert jaccard(roles[0], Lesion(name="x", cut={"h1": units})) == 0
    assert judged(planted, Plan([near, half]), roles) == {
        "groups": 2,
        "found": 1,
        "right": 1,
        "false": 0,
    }
    assert judged(planted, Plan([half, idle]), roles) == {
        "groups": 2,
        "found": 0,
        "right": 0,
        "false": 1,
    }
    assert judged(planted, Plan(), roles) == {"groups": 0, "found": 0, "right": 0, "false": 0}


def test_a_role_matters_if_it_does_under_every_kind():
    rows = [("a", 1.5), ("a", 2.0), ("b", 1.5), ("b", 0.2), ("c", -1.5), ("c", 1.5)]
    rows += [("d", -2.0), ("d", -1.0)]
    table = pd.DataFrame(rows, columns=["lesion", "true_effect"]).assign(measure="x")
    assert mattering(table) == {"a", "d"}


def test_the_planted_groups_are_found(planted, how, tmp_path):
    told = score_trees(planted, how, tmp_path, episodes=16, truth=8)
    assert told["roles"] >= 3
    assert told["tree"]["found"] >= told["roles"] - 1
    assert told["tree"]["false"] == 0
    assert told["equal"]["steps"] == pytest.approx(told["tree"]["steps"], rel=0.1)


def test_flat_clusters_that_change_nothing_are_not_groups(planted, how, tmp_path):
    rest = {k: v for k, v in how.items() if k not in ("seed", "horizon")}
    plan, steps, count = flat(planted.policy, 6, rl.Episodes(6, 3, horizon=10), tmp_path, rest)
    assert len(plan) == 1, "six episodes cannot show it"
    assert steps > 0
    assert 2 < count <= 12


def test_null_trees_can_reject(planted, how):
    rng = np.random.default_rng(0)
    pool = pd.DataFrame(rng.normal(size=(96, 2)), columns=list(MEASURES))
    pool["condition"] = np.resize(["a", "b", "c"], 96)
    told = null_trees(planted, pool, how, episodes=18, trees=60)
    assert told["trees"] == 60
    assert told["false"] <= 8
