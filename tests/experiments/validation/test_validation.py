"""Planted robots are what they claim to be, scores can fail, a small validation works."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rl_ablation as rl
from experiments.validation import maps as planted_maps
from experiments.validation import truth as planted_truth
from experiments.validation.maps import BEHAVIOURS, Size
from experiments.validation.policies import TWINS, ZERO, Planted, plant, true_effects
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import INTACT, Plan
from rl_ablation.mapping.map import Map

SMALL = Size(horizon=60, truth=12, episodes=12, null_lesions=3, null_maps=2, every=2, controls=0)
SPEED = "forward_speed.alive"


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant(4)


def test_a_seed_plants_one_policy_and_another_seed_another():
    assert plant(0).policy.sha256 == plant(0).policy.sha256
    assert plant(0).policy.sha256 != plant(1).policy.sha256
    orders = {tuple(plant(seed).roles.values())[:8] for seed in range(6)}
    assert len(orders) > 3, "units are shuffled"


@pytest.mark.parametrize("seed", range(8))
def test_roles_are_what_the_weights_say(seed):
    planted = plant(seed)
    assert list(planted.roles) == [
        f"{site}/{unit}"
        for site, size in planted.policy.network.sizes.items()
        for unit in range(size)
    ]
    (_, _), (second, _), (wheels, _) = [
        (weight.numpy(), bias.numpy()) for weight, bias in planted.policy.network.layers
    ]
    assert not wheels[:, list(planted.units("h1", "decoy"))].any()
    heard = [u for u in range(second.shape[0]) if u not in planted.units("h1", "decoy")]
    assert not second[np.ix_(heard, planted.units("h0", "decoy", "dead"))].any()
    for role in ("left", "right", "forward"):
        assert 2 <= len(planted.units("h0", role)) <= 5
        listens = second[list(planted.units("h1", role))]
        assert set(np.flatnonzero(listens.any(0))) == set(planted.units("h0", role))
    assert (second[planted.units("h1", "brake")[0], list(planted.units("h0", *TWINS))] < 0).all()


def test_it_laps_without_a_crash(planted, tmp_path):
    run = rl.sweep(
        planted.policy, Plan(), episodes=6, measures=("progress", "crash"), folder=tmp_path,
        progress=False,
    )  # fmt: skip
    table = run.table()
    assert (table["progress"] > 1).all()
    assert not table["crash"].any()


def test_cuts_do_what_the_wiring_says(planted, tmp_path):
    roles = (("left",), ("right",), ("forward",), *((t,) for t in TWINS), TWINS)
    idle = [planted.cut(site, role) for site in ("h0", "h1") for role in ("decoy", "dead")]
    plan = Plan([planted.cut("h0", *r) for r in roles] + [planted.cut("h1", "brake"), *idle])
    truth = true_effects(
        planted, plan, episodes=12, seed=3, folder=tmp_path, measures=BEHAVIOURS, horizon=80,
        progress=False,
    )  # fmt: skip
    delta = truth.pivot(index="lesion", columns="measure", values="true_delta")
    assert (delta.loc[["h1/brake", *(x.name for x in idle)]] == 0).all(axis=None)
    assert delta.loc["h0/forward", SPEED] < -0.5
    for twin in TWINS:
        assert abs(delta.loc[f"h0/{twin}", SPEED]) < 0.05
    assert delta.loc["h0/twin-a+twin-b", SPEED] < -0.25
    left, right = "left_turning.alive", "right_turning.alive"
    assert delta.loc["h0/left", left] < -0.2 < delta.loc["h0/left", right]
    assert delta.loc["h0/right", right] < -0.2 < delta.loc["h0/right", left]


def test_truth_is_plain_means(planted, tmp_path):
    how = {"measures": (SPEED,), "horizon": 40, "progress": False}
    plan = Plan([planted.cut("h0", "forward"), planted.cut("h0", "left")])
    truth = true_effects(planted, plan, episodes=6, seed=0, folder=tmp_path, **how)
    found = rl.sweep(planted.policy, plan, episodes=6, seed=0, folder=tmp_path, **how).own_effects()
    found = found[found["condition"] == "all"].set_index("lesion")
    truth = truth.set_index("lesion").loc[found.index]
    np.testing.assert_allclose(truth["true_delta"], found["delta"])
    np.testing.assert_allclose(truth["true_effect"], found["effect"])
    assert list(truth["true_n"]) == list(found["n"])


ROLES = {"h0/0": "left", "h0/1": "decoy", "h0/2": "forward", "h0/3": "twin-a"}


def scored(**changes):
    """Four cells: a true and claimed, a decoy's, a missed and a silent one; then changes."""
    found = pd.DataFrame(
        {
            "condition": "all",
            "lesion": list(ROLES),
            "measure": "progress",
            "delta": [-1.0, 0.0, -0.5, 0.0],
            "ci_low": [-1.2, np.nan, -0.7, np.nan],
            "ci_high": [-0.8, np.nan, -0.3, np.nan],
            "effect": 0.0,
            "q": [0.01, 1.0, 0.2, 1.0],
            "stage": "confirmed",
            "n": 24,
        }
    )
    for column, (row, value) in changes.items():
        found.loc[row, column] = value
    truth = pd.DataFrame(
        {
            "lesion": ["h0/0", "h0/2", "h0/3"],
            "measure": "progress",
            "true_delta": [-1.1, -0.75, 0.0],
            "true_sd": [0.5, 0.5, 0.0],
            "true_effect": [-2.0, -1.5, 0.0],
            "true_n": 96,
        }
    )
    return planted_maps.score_cells(found, truth, ROLES).set_index("lesion")


def test_cells_are_judged_by_the_truth():
    cells = scored()
    assert list(cells["claimed"]) == [True, False, False, False]
    assert list(cells["right"]) == [True, False, False, False]
    assert list(cells["real"]) == [True, False, True, False]
    assert list(cells["judged"]) == [True, False, True, False]
    # −0.75 lies outside −0.7…−0.3, and just outside that stretched by √(1 + 24/96) too.
    assert list(cells["held"][cells["judged"]]) == [True, False]


@pytest.mark.parametrize(
    ("changes", "lesion"),
    [
        ({"q": (1, 0.01)}, "h0/1"),  # a decoy
        ({"q": (3, 0.01), "delta": (3, 0.1)}, "h0/3"),  # a twin that changes nothing
        ({"q": (2, 0.01), "delta": (2, 0.5)}, "h0/2"),  # the wrong direction
    ],
)
def test_wrong_claims_count_as_wrong(changes, lesion):
    cells = scored(**changes)
    assert cells.loc[lesion, "claimed"]
    assert not cells.loc[lesion, "right"]


def test_a_cell_that_was_not_confirmed_is_no_claim():
    assert not scored(stage=(0, "discovery")).loc["h0/0", "claimed"]


def test_intervals_are_stretched_for_the_error_of_the_truth():
    cells = pd.DataFrame(
        {"delta": 0.0, "ci_low": -1.0, "ci_high": 1.0, "true_delta": [1.3, 1.3], "n": 24,
         "true_n": [24, 10**6]}
    )  # fmt: skip
    assert list(planted_maps.holds(cells)) == [True, False]


def test_a_null_table_deals_every_intact_episode_once():
    pool = pd.DataFrame(
        {"condition": ["a", "b"] * 12, "progress": np.arange(24.0), "lesion": INTACT,
         "kind": "zero", "units": 0, "unstable": False}
    )  # fmt: skip
    table = planted_maps.null_table(pool, 3, np.random.default_rng(0))
    assert sorted(table["progress"]) == list(range(24))
    wide = table.pivot(index="episode", columns="lesion", values="progress")
    assert wide.shape == (6, 4)
    assert ((wide % 2).nunique(axis=1) == 1).all(), "pairs share their condition"


def adaptive(alike=9, steps=90):
    return {
        "cells": 20,
        "alike": alike + 3,
        "clear": 9,
        "clear_alike": alike,
        "fixed_steps": 300,
        "adaptive_steps": steps,
    }


def facts(**changes):
    told = {
        "null": {"maps": 100, "p_fwe": 4, "q": 5},
        "twins": True,
        "speed_without": {"twin-a": 0.0, "twin-b": 0.01, "twin-a+twin-b": -0.4},
        "dissociated": True,
        "adaptive": adaptive(),
    }
    return {**told, **changes}


def cells(right=True, held=19, delta=0.0):
    rows = [{"role": "decoy", "delta": delta}]
    rows += [{"role": "left", "delta": 1.0, "claimed": True, "right": right, "real": True}] * 10
    rows += [{"role": "left", "delta": 1.0, "judged": True, "held": k < held} for k in range(20)]
    frame = pd.DataFrame(rows).assign(policy=0)
    flags = ["claimed", "right", "real", "judged", "held"]
    return frame.fillna(dict.fromkeys(flags, False)).astype(dict.fromkeys(flags, bool))


def verdicts(told, cells):
    return planted_truth.judge(told, cells).set_index("aim")["passed"]


def test_everything_passes_when_all_is_well():
    assert verdicts([facts(), facts()], cells()).all()


@pytest.mark.parametrize(
    ("aim", "told", "scores"),
    [
        ("false positives, family-wise", {"null": {"maps": 100, "p_fwe": 20, "q": 0}}, {}),
        ("false positives, BH", {"null": {"maps": 100, "p_fwe": 0, "q": 20}}, {}),
        ("cuts that cannot matter, changed", {}, {"delta": 1e-9}),
        ("precision of claims", {}, {"right": False}),
        ("recall of effects ≥ 1 s.d.", {}, {"right": False}),
        ("coverage of 95 % intervals", {}, {"held": 17}),
        ("coverage of 95 % intervals", {}, {"held": 20}),
        ("twins found", {"twins": False}, {}),
        ("double dissociation found", {"dissociated": False}, {}),
        (
            "truth: either twin is dispensable",
            {"speed_without": {"twin-a": 0.0, "twin-b": -0.3, "twin-a+twin-b": -0.4}},
            {},
        ),
        (
            "adaptive: control steps",
            {"adaptive": adaptive(steps=150)},
            {},
        ),
        (
            "adaptive: clear cells decided alike",
            {"adaptive": adaptive(alike=7)},
            {},
        ),
    ],
)
def test_every_aim_can_fail(aim, told, scores):
    assert not verdicts([facts(**told), facts(**told)], cells(**scores))[aim]


def test_a_small_validation_finds_the_pattern(tmp_path: Path):
    table = planted_truth.validate(2, tmp_path, 1, SMALL, scheduler="local:1").set_index("aim")
    assert table.loc["cuts that cannot matter, changed", "measured"] == 0
    assert table.loc["truth: either twin is dispensable", "measured"] == 1
    assert table.loc["recall of effects ≥ 1 s.d.", "measured"] > 0.7
    assert table.loc["precision of claims", "measured"] > 0.7
    assert table.loc["twins found", "measured"] >= 0.5
    assert table.loc["double dissociation found", "measured"] >= 0.5
    assert (tmp_path / "validation.png").exists()
    both = pd.concat(pd.read_csv(tmp_path / f"policy-00{k}" / "cells.csv") for k in (0, 1))
    assert both[both["role"].isin(ZERO)]["delta"].fillna(0).eq(0).all()
    told = json.loads((tmp_path / "policy-000" / "facts.json").read_text())
    assert told["adaptive"]["cells"] > 100
    assert (
        planted_maps._score(0, tmp_path / "here", 1, SMALL)[planted_maps.CELLS]
        == (tmp_path / "policy-000" / "cells.csv").read_text()
    )
    run = Map(tmp_path / "here" / "map")
    fake = dict.fromkeys([x.name for x in rl.singles(run.policy)], "left")
    assert not planted_maps.dissociated(run, Planted(run.policy, fake)), "roles decide"
    again = planted_truth.validate(2, tmp_path, 1, SMALL, scheduler="local:1")
    pd.testing.assert_frame_equal(again.set_index("aim"), table)
    with pytest.raises(LabError, match="another validation"):
        planted_truth.validate(2, tmp_path, 2, SMALL, scheduler="local:1")
