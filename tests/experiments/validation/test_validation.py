"""Planted robots are what they claim to be, scores can fail, a small validation works."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rl_ablation as rl
from experiments.validation import developing, scores
from experiments.validation import maps as planted_maps
from experiments.validation import truth as planted_truth
from experiments.validation.cloned import HALVES, halves
from experiments.validation.developing import DEVELOPING
from experiments.validation.families import FAMILIES, MIXED, REDUNDANT, TWINS_OF, TWO
from experiments.validation.maps import BEHAVIOURS, Size
from experiments.validation.policies import TWINS, WAYS, ZERO, Planted, plant, true_effects
from experiments.validation.steered import DAMPING, STEERED, STEERING_WAYS
from experiments.validation.stimulation import CODES
from experiments.validation.trees import SEARCHED
from rl_ablation.analysis.development import NEVER
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import INTACT, Plan
from rl_ablation.mapping.map import Map

SMALL = Size(
    horizon=60, truth=8, episodes=16, discovery=6, pairs=6, null_lesions=3, null_maps=2, controls=0
)
PLANTED = [name for name in FAMILIES if name not in (*TWINS_OF, "trained halves")]
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
        assert 1 <= len(planted.units("h0", role)) <= 3
        listens = second[list(planted.units("h1", role))]
        assert set(np.flatnonzero(listens.any(0))) == set(planted.units("h0", role))
    assert (second[planted.units("h1", "brake")[0], list(planted.units("h0", *TWINS))] < 0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_it_laps_without_a_crash(family, tmp_path):
    planted = FAMILIES[family](4)
    run = rl.sweep(
        planted.policy, Plan(), episodes=6, measures=("progress", "crash"), folder=tmp_path,
        horizon=300, progress=False,
    )  # fmt: skip
    table = run.table()
    assert (table["progress"] > 0.5).all()
    assert not table["crash"].any()


@pytest.mark.parametrize(("family", "of"), TWINS_OF.items())
def test_a_distributed_twin_has_the_same_function_and_no_unit_of_its_own(family, of):
    plain, twin = FAMILIES[of](4), FAMILIES[family](4)
    obs = np.random.default_rng(0).uniform(-0.5, 1.5, (300, 18))
    np.testing.assert_allclose(
        twin.policy.act(obs), plain.policy.act(obs), atol=1e-4
    )  # steep gains
    assert set(twin.roles.values()) == {MIXED}
    code = {s: np.empty((300, n), np.float32) for s, n in twin.policy.network.sizes.items()}
    own = {s: np.empty_like(values) for s, values in code.items()}
    twin.policy.act(obs, record=code)
    plain.policy.act(obs, record=own)
    for site in code:
        lengths = (np.linalg.norm(x[site], axis=1) for x in (code, own))
        np.testing.assert_allclose(*lengths, rtol=1e-4)
        assert not np.allclose(code[site], own[site], atol=0.1)


@pytest.mark.parametrize("family", PLANTED)
def test_what_is_wired_to_do_nothing_does_nothing_within_the_networks_range(family, tmp_path):
    planted = FAMILIES[family](5)
    idle = rl.Plan(x for x in rl.singles(planted.policy) if planted.roles.get(x.name) in ZERO)
    for kind in planted_maps.WITHIN:
        truth = true_effects(
            planted, idle.with_kind(kind), episodes=6, seed=3, folder=tmp_path / kind,
            measures=(SPEED, "off_centre.alive"), horizon=30, progress=False,
        )  # fmt: skip
        assert (truth["true_delta"] == 0).all()


def test_a_bias_is_missed_only_when_set_to_zero(tmp_path):
    planted = FAMILIES["bias role"](5)
    truth = true_effects(
        planted, Plan([planted.cut("h0", "bias")]), episodes=6, seed=3, folder=tmp_path,
        measures=(SPEED,), horizon=40, progress=False,
    )  # fmt: skip
    assert truth["true_delta"].item() < -0.1


def test_of_three_ways_one_is_enough(tmp_path):
    planted = FAMILIES["redundancy of three"](5)
    assert planted.ways == tuple(WAYS)
    truth = true_effects(
        planted, planted_maps.truth_plan(planted), episodes=6, seed=3, folder=tmp_path,
        measures=(SPEED,), horizon=40, progress=False,
    )  # fmt: skip
    without = planted_maps.speed_without(truth, planted)
    assert without.pop("none") < -0.2
    assert max(map(abs, without.values())) < 0.02


@pytest.mark.parametrize("kind", planted_maps.WITHIN)
def test_two_functions_are_lost_within_the_networks_range(kind, tmp_path):
    """Without steering the robot leaves the track; without damping it only weaves and is slow."""
    planted = FAMILIES[TWO](5)
    activity = rl.record_activity(planted.policy, seed=5, horizon=80)
    cuts = Plan([planted.cut(site, role) for site in ("h0", "h1") for role in (STEERED, DAMPING)])
    truth = true_effects(
        planted, cuts.with_kind(kind), episodes=12, seed=3, folder=tmp_path, activity=activity,
        measures=("survival", SPEED), horizon=80, progress=False,
    )  # fmt: skip
    delta = truth.pivot(index="lesion", columns="measure", values="true_delta")
    for site in ("h0", "h1"):
        steering, damping = (delta.loc[f"{site}/{role}"] for role in (STEERED, DAMPING))
        assert steering["survival"] < -1.0 < -0.3 < damping["survival"]
        assert damping[SPEED] < -0.08
        assert damping[SPEED] < steering[SPEED] - 0.04


def test_either_way_of_steering_suffices(tmp_path):
    planted = FAMILIES[REDUNDANT](5)
    activity = rl.record_activity(planted.policy, seed=5, horizon=80)
    a, b = STEERING_WAYS
    cuts = Plan([planted.cut("h0", *ways) for ways in ((a,), (b,), (a, b))])
    truth = true_effects(
        planted, cuts.with_kind("resample"), episodes=12, seed=3, folder=tmp_path,
        activity=activity, measures=("survival",), horizon=80, progress=False,
    )  # fmt: skip
    lost = truth.set_index("lesion")["true_delta"]
    assert lost[f"h0/{a}+{b}"] < -1.0
    assert lost[[f"h0/{a}", f"h0/{b}"]].min() > 0.5 * lost[f"h0/{a}+{b}"]


def test_each_half_of_a_clone_serves_one_behaviour():
    planted = halves(0)
    obs = np.random.default_rng(0).uniform(-0.5, 1.5, (200, 18))
    intact = planted.policy.act(obs)
    for half, other in (HALVES, HALVES[::-1]):
        for site in ("h0", "h1"):
            sizes = planted.policy.sites[site]
            scale = np.ones((200, sizes), np.float32)
            scale[:, list(planted.units(site, half))] = 0.0
            change = planted.policy.act(obs, {site: (scale, 0 * scale)}) - intact
            inside = (np.abs(intact) < 0.9).all(1) & (np.abs(intact + change) < 0.9).all(1)
            sides = {HALVES[0]: change.sum(1), HALVES[1]: change[:, 1] - change[:, 0]}
            assert inside.sum() > 5
            assert np.abs(sides[half][inside]).max() > 0.05
            np.testing.assert_allclose(sides[other][inside], 0, atol=1e-5)


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
    for side in ("left", "right"):
        assert delta.loc[f"h0/{side}", "survival"] < -0.2


def test_truth_is_plain_means(planted, tmp_path):
    how = {"measures": (SPEED,), "horizon": 40, "progress": False}
    plan = Plan([planted.cut("h0", "forward"), planted.cut("h0", "left")])
    truth = true_effects(planted, plan, episodes=6, seed=0, folder=tmp_path, **how)
    found = rl.sweep(planted.policy, plan, episodes=6, seed=0, folder=tmp_path, **how).own_effects()
    found = found[found["condition"] == "all"].set_index("lesion")
    assert set(truth["kind"]) == {"zero"}
    truth = truth.set_index("lesion").loc[found.index]
    np.testing.assert_allclose(truth["true_delta"], found["delta"])
    np.testing.assert_allclose(truth["true_effect"], found["effect"])
    assert list(truth["true_n"]) == list(found["n"])


ROLES = {"h0/0": "left", "h0/1": "decoy", "h0/2": "forward", "h0/3": "twin-a"}


def scored(other=-3.0, **changes):
    """Four cells: a true and claimed, a decoy's, a missed and a silent one; then changes. ``other``
    is what the first does in the kind with which it is not told."""
    found = pd.DataFrame(
        {
            "condition": "all",
            "lesion": list(ROLES),
            "measure": "progress",
            "kind": "mean",
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
            "lesion": ["h0/0", "h0/2", "h0/3"] * 2,
            "measure": "progress",
            "kind": np.repeat(["mean", "resample"], 3),
            "true_delta": [-1.1, -0.75, 0.0, -1.5, -0.9, 0.0],
            "true_sd": [0.5, 0.5, 0.0] * 2,
            "true_effect": [-2.0, -1.5, 0.0, other, -2.0, 0.0],
            "true_n": 96,
        }
    )
    return scores.score_cells(found, truth, ROLES).set_index("lesion")


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


def test_a_claim_has_to_be_true_in_every_kind():
    cells = scored(other=1.0)
    assert not cells.loc["h0/0", "right"]
    assert not cells.loc["h0/0", "real"]
    assert not scored(other=-0.5).loc["h0/0", "real"], "the weakest kind decides what is large"


def test_a_claim_told_in_a_kind_without_a_truth_is_judged_by_the_others():
    assert scored(kind=(0, "conditional")).loc["h0/0", "right"]
    assert not scored(kind=(0, "conditional"), delta=(0, 1.0)).loc["h0/0", "right"]


def test_a_cell_that_was_not_confirmed_is_no_claim():
    assert not scored(stage=(0, "discovery")).loc["h0/0", "claimed"]


def test_intervals_are_stretched_for_the_error_of_the_truth():
    cells = pd.DataFrame(
        {"delta": 0.0, "ci_low": -1.0, "ci_high": 1.0, "true_delta": [1.3, 1.3], "n": 24,
         "true_n": [24, 10**6]}
    )  # fmt: skip
    assert list(scores.holds(cells)) == [True, False]


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


def first(found):
    return {"real": 10, "found": found, "claims": 12, "true": 12}


def wiring(**changes):
    good = {"claims": 40, "true": 40, "real": 20, "found": 20, "wireless": 400, "changed": 0}
    return {**good, **changes}


def codes(found=True, **changes):
    counts = {"null": 0, "nulls": 40, "idle": 0, "idles": 4, **changes}
    return {aim: {"aim": aim, "found": [found] * 10, **counts} for aim in CODES}


def facts(family="modular", **changes):
    told = {
        "family": family,
        "null": {"maps": 300, "p_fwe": 12, "q": 15},
        "null trees": {"trees": 300, "false": 12},
        "speed_without": {"twin-a": 0.0, "twin-b": 0.01, "none": -0.4},
        "local": [["progress", "h0/cluster-0", True]],
        "dissociations": [],
    }
    more = {
        "modular": {
            "connections": wiring(),
            "adaptive": adaptive(),
            "first": {"mean": first(9), "resample": first(10)},
        },
        "distributed": {"local": []},
        TWO: {"dissociated": True, "steering local": True, "stimulation": codes()},
        "two functions, distributed": {"local": []},
        REDUNDANT: {"redundancy": True, "survival_without": {"a": -0.1, "b": -0.9, "a+b": -3.0}},
        "trained halves": {"halves": {SPEED: True, "survival": None}},
    }
    searched = {"trees": trees()} if family in SEARCHED else {}
    return {**told, **searched, **more.get(family, {}), **changes}


def trees(found=9, false=0):
    groups = {"groups": 10, "found": found, "false": false}
    return {"roles": 10, "tree": groups, "same": groups, "equal": {**groups, "found": 5}}


def cells(family, right=True, held=19, delta=0.0):
    rows = [{"role": "decoy", "delta": delta}]
    rows += [{"role": "left", "delta": 1.0, "claimed": True, "right": right, "real": True}] * 10
    rows += [{"role": "left", "delta": 1.0, "judged": True, "held": k < held} for k in range(20)]
    frame = pd.DataFrame(rows).assign(family=family)
    flags = ["claimed", "right", "real", "judged", "held"]
    return frame.fillna(dict.fromkeys(flags, False)).astype(dict.fromkeys(flags, bool))


ASKED = ("modular", TWO, REDUNDANT, *TWINS_OF, "trained halves")


def verdicts(family="modular", told=None, scores=None, dates=((True, True),) * 4):
    """Two robots of each family, with something changed in one family: aim, family → passed."""
    every = [facts(f, **(told or {} if f == family else {})) for f in ASKED for _ in range(2)]
    scored = [
        cells(f, **(scores or {} if f == family else {})).assign(policy=2 * k + n)
        for k, f in enumerate(ASKED)
        for n in range(2)
    ]
    table = planted_truth.judge(every, pd.concat(scored, ignore_index=True), dates)
    return table.set_index(["aim", "family"])["passed"]


def test_everything_passes_when_all_is_well():
    assert verdicts().all()


@pytest.mark.parametrize(
    ("aim", "family", "told", "scores"),
    [
        ("false positives, family-wise", "all", {"null": {"maps": 300, "p_fwe": 80, "q": 0}}, {}),
        ("false positives, BH", "all", {"null": {"maps": 300, "p_fwe": 0, "q": 80}}, {}),
        ("false positives, trees", "all", {"null trees": {"trees": 300, "false": 80}}, {}),
        ("cuts that cannot matter, changed", "modular", {}, {"delta": 1e-9}),
        ("precision of claims", "modular", {}, {"right": False}),
        ("recall of effects ≥ 1 s.d.", "modular", {}, {"right": False}),
        ("coverage of 95 % intervals", "modular", {}, {"held": 17}),
        ("coverage of 95 % intervals", "all", {}, {"held": 15}),
        ("coverage of 95 % intervals", "modular", {}, {"held": 20}),
        ("adaptive: control steps", "all", {"adaptive": adaptive(steps=150)}, {}),
        ("adaptive: clear cells decided alike", "all", {"adaptive": adaptive(alike=7)}, {}),
        ("connections: without a wire, changed", "all", {"connections": wiring(changed=1)}, {}),
        ("connections: precision of claims", "all", {"connections": wiring(true=37)}, {}),
        ("connections: recall of effects ≥ 1 s.d.", "all", {"connections": wiring(found=17)}, {}),
        (
            "truth: one redundant pathway suffices",
            "all",
            {"speed_without": {"twin-a": 0.0, "twin-b": -0.3, "none": -0.4}},
            {},
        ),
    ],
)
def test_every_aim_can_fail(aim, family, told, scores):
    assert not verdicts("modular", told, scores)[aim, family]


@pytest.mark.parametrize(
    ("aim", "family", "told"),
    [
        ("nothing local, nothing dissociated", "distributed", {"local": [["x", "r", False]]}),
        ("nothing local, nothing dissociated", "distributed", {"dissociations": [["a", "b"]]}),
        (
            "nothing local, nothing dissociated",
            "two functions, distributed",
            {"dissociations": [["a", "b"]]},
        ),
        ("tree: groups found", TWO, {"trees": trees(found=5)}),
        ("tree: false groups", "modular", {"trees": trees(false=1)}),
        ("redundancy found", REDUNDANT, {"redundancy": False}),
        (CODES[0], TWO, {"stimulation": codes(False)}),
        (CODES[1], TWO, {"stimulation": codes(False)}),
        ("codes of the target itself evoke", TWO, {"stimulation": codes(null=9)}),
        ("codes that nobody hears evoke", TWO, {"stimulation": codes(idle=2)}),
        (
            "truth: either way of steering suffices",
            REDUNDANT,
            {"survival_without": {"a": -0.1, "b": -2.0, "a+b": -3.0}},
        ),
        ("steering found local", TWO, {"steering local": False}),
        ("double dissociation found", TWO, {"dissociated": False}),
        ("false local", "distributed", {"local": [["x", "r", False]]}),
        ("largest claim is in the right half", "trained halves", {"halves": {SPEED: False}}),
    ],
)
def test_aims_of_a_family_can_fail(aim, family, told):
    assert not verdicts(family, told)[aim, family]


def test_wrong_dates_are_missed_aims() -> None:
    wired, silent = "development: pathways dated right", "development: what is never wired, dated"
    for dates, aim in (((False, True), wired), ((True, False), silent)):
        passed = verdicts(dates=[dates] * 4)
        assert not passed[aim, DEVELOPING]
        assert passed.drop((aim, DEVELOPING)).all()


def test_a_planted_training_is_dated(monkeypatch) -> None:
    monkeypatch.setattr(developing, "MOMENTS", 4)
    monkeypatch.setattr(developing, "WIRED", {STEERED: 1, DAMPING: 2})
    planted, policies = developing.developed(3)
    for moment, policy in enumerate(policies):
        wheels = policy.network.layers[-1][0]
        heard = {
            role: bool(wheels[:, planted.units("h1", role)].any()) for role in (STEERED, DAMPING)
        }
        assert heard == {STEERED: moment >= 1, DAMPING: moment >= 2}
    dates = developing.dated((0, 150), 0)
    assert dates == {STEERED: 1, DAMPING: 2, **dict.fromkeys(developing.DECOYS, NEVER)}
    assert developing.judged(dates) == [True, True]


def test_dates_are_kept_and_none_is_found_twice(tmp_path, monkeypatch):
    dates = {**developing.WIRED, **dict.fromkeys(developing.DECOYS, NEVER)}
    found = []

    def scattered(function, how, todo, scheduler):
        for index in todo:
            found.append(index)
            yield index, dates if index > 0 else {**dates, STEERED: 0}

    monkeypatch.setattr(developing, "scattered", scattered)
    folder = tmp_path / "new" / "folder"
    for robots in (1, 2, 2):
        told = developing.all_dated(robots, folder, (0, 150), "local:1")
    assert told == [[False, True], [True, True]]
    assert found == [0, 1]


def test_many_null_maps_hold_the_upper_end_too():
    told = {"null": {"maps": 300, "p_fwe": 20, "q": 0}}
    few = planted_truth.judge([facts(**told)], cells("modular").assign(policy=0))
    many = planted_truth.judge([facts(**told)] * 4, cells("modular").assign(policy=0))
    passed = [x.set_index("aim").loc["false positives, family-wise", "passed"] for x in (few, many)]
    assert passed == [True, False]


def test_a_small_validation_runs_and_scores_each_family(tmp_path: Path, monkeypatch):
    asked = {name: FAMILIES[name] for name in ("modular", "distributed")}
    for room in (planted_maps, planted_truth):
        monkeypatch.setattr(room, "FAMILIES", asked)
    monkeypatch.setattr(planted_maps, "FIRSTS", planted_maps.WITHIN)
    monkeypatch.setattr(planted_truth, "all_dated", lambda *_: [[True, True]])
    for index in range(2):
        inside = tmp_path / f"policy-00{index}"
        files = planted_maps._score(index, tmp_path / f"here-{index}", 1, SMALL)
        planted_maps.keep(files, inside)
    told = [json.loads((tmp_path / f"policy-00{k}" / "facts.json").read_text()) for k in (0, 1)]
    assert [x["family"] for x in told] == list(asked)
    table = planted_truth.validate(1, tmp_path, 1, SMALL).set_index(["aim", "family"])
    assert table.loc[("cuts that cannot matter, changed", "modular"), "measured"] == 0
    assert table.loc[("truth: one redundant pathway suffices", "all"), "measured"] == 1
    assert table.loc[("nothing local, nothing dissociated", "distributed"), "measured"] == 1
    assert table.loc[("coverage of 95 % intervals", "all"), "measured"] > 0.8
    assert told[0]["null trees"]["trees"] == SMALL.null_maps
    assert ("tree: false groups", "modular") in table.index
    assert table.loc[("connections: without a wire, changed", "all"), "measured"] == 0
    assert table.loc[("development: pathways dated right", DEVELOPING), "measured"] == 1
    assert (tmp_path / "validation.png").exists()
    mine = pd.read_csv(tmp_path / "policy-000" / "cells.csv")
    assert mine[mine["role"].isin(ZERO)]["delta"].fillna(0).eq(0).all()
    assert told[0]["adaptive"]["cells"] > 100
    kinds = pd.read_csv(tmp_path / "first-kinds.csv").set_index("kind")
    assert list(kinds.index) == list(planted_maps.FIRSTS)
    assert (kinds["robots"] == 2).all()
    run = Map(tmp_path / "here-0" / "regions")
    fake = dict.fromkeys([x.name for x in rl.singles(run.policy)], "forward")
    assert not planted_maps.two_dissociated(run, Planted(run.policy, fake)), "roles decide"
    with pytest.raises(LabError, match="another validation"):
        planted_truth.validate(1, tmp_path, 2, SMALL)
