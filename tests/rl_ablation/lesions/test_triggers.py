"""Triggers: a cut lasts exactly while its condition holds, and so for its own robot only."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from conftest import CONDITIONS, HORIZON, LAP, random_mlp
from pydantic import ValidationError

import rl_ablation as rl
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.lesions.triggers import Triggers, parse
from rl_ablation.mapping.spec import Spec
from rl_ablation.rollouts.episodes import Episode
from rl_ablation.rollouts.rollout import rollout
from rl_ablation.rollouts.world import World

INTACT = Lesion(name="intact")
SIGNALS = ("action", "obs", "reward", "forward_speed", "clearance", "@h0", "@h1")
UNITS = (0, 2, 5)


def play(policy, lesions, *, env_id=LAP, seed=0, activity=None, signals=SIGNALS, horizon=HORIZON):
    """One robot for each lesion, all in the same episode."""
    world = World(env_id, len(lesions), threads=1)
    condition = CONDITIONS[0] if env_id == LAP else ""
    jobs = [Episode(lesion, seed, condition) for lesion in lesions]
    try:
        return rollout(policy, world, jobs, signals=signals, activity=activity, horizon=horizon)
    finally:
        world.close()


def gated(when, **changes):
    return Lesion(name="x", **{"cut": {"h0": UNITS}, "when": when, **changes})


def surgeon(policy, cut_now, horizon=HORIZON):
    """The actions of one running robot whose weights are edited while ``cut_now(step, info)``."""
    edited, env, actions, cuts = policy.edited("h0", UNITS), gym.make(LAP), [], []
    obs, info = env.reset(seed=0, options={"condition": CONDITIONS[0]})
    for step in range(horizon):
        cuts.append(bool(cut_now(step, info)))
        actions.append((edited if cuts[-1] else policy).act(obs[None])[0])
        obs, _, terminated, truncated, info = env.step(actions[-1])
        if terminated or truncated:
            break
    env.close()
    return np.array(actions), cuts


# A gate against a plain loop that knows neither triggers nor masks.


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("forward_speed > 0.3", lambda i: i["forward_speed"] > 0.3),
        ("clearance <= 0.15", lambda i: i["clearance"] <= 0.15),
        (
            "yaw_rate >= -0.5 and forward_speed < 0.4",
            lambda i: i["yaw_rate"] >= -0.5 and i["forward_speed"] < 0.4,
        ),
    ],
)
def test_a_gated_cut_equals_a_surgeon_who_watches_the_infos(policy, when, holds):
    wanted, cuts = surgeon(policy, lambda step, info: holds(info))
    assert 0 < sum(cuts) < len(cuts), "the condition must change its mind"
    trace = play(policy, [INTACT, gated(when)])
    steps = trace.steps[1]
    assert steps == len(wanted)
    assert np.array_equal(trace["action"][:steps, 1], wanted)
    cut = (trace["@h0"][:steps, 1][:, list(UNITS)] == 0).all(1)
    assert cut.tolist() == cuts
    assert not np.array_equal(trace["action"][:, 0], trace["action"][:, 1])


def test_an_onset_is_a_cut_in_a_running_robot(policy):
    """Surgery in mid-episode: the same to the bit before, and the surgeon's robot after."""
    onset = 6
    trace = play(policy, [INTACT, gated(None, onset=onset)])
    for name in SIGNALS:
        intact, late = trace[name][:, 0], trace[name][:, 1]
        assert intact[:onset].tobytes() == late[:onset].tobytes(), name
    assert trace["obs"][onset, 0].tobytes() == trace["obs"][onset, 1].tobytes()
    assert not np.array_equal(trace["action"][onset, 0], trace["action"][onset, 1])
    wanted, _ = surgeon(policy, lambda step, info: step >= onset)
    assert trace.steps[1] == len(wanted) > onset + 5
    assert np.array_equal(trace["action"][: len(wanted), 1], wanted)


def test_what_the_policy_sees_can_be_asked_for(policy):
    trace = play(policy, [gated("obs[3] > 0.3")])
    steps = trace.steps[0]
    cut = (trace["@h0"][:steps, 0][:, list(UNITS)] == 0).all(1)
    assert np.array_equal(cut, trace["obs"][:steps, 0, 3] > 0.3)
    assert 0 < cut.sum() < steps


@pytest.mark.parametrize(
    ("when", "like"),
    [("forward_speed > -9", gated(None)), ("forward_speed > 9", INTACT)],
    ids=["always", "never"],
)
def test_a_gate_that_never_moves_is_no_gate(policy, when, like):
    trace = play(policy, [like, gated(when)])
    for name in SIGNALS:
        assert trace[name][:, 0].tobytes() == trace[name][:, 1].tobytes(), name


def test_gates_and_onsets_must_both_be_open(policy):
    trace = play(policy, [gated("forward_speed > 0.3", onset=9, offset=13)])
    cut = (trace["@h0"][:, 0][:, list(UNITS)] == 0).all(1) & trace.alive[:, 0]
    before = np.append(0.0, trace["forward_speed"][:-1, 0])
    steps = np.arange(HORIZON)
    assert np.array_equal(cut, (before > 0.3) & (steps >= 9) & (steps < 13))
    assert cut.any()


@pytest.mark.parametrize("kind", ["zero", "resample", "noise"])
def test_a_gated_row_alone_is_the_row_in_the_crowd(policy, activity, kind):
    lesions = [
        gated("forward_speed > 0.3", kind=kind),
        gated("clearance < 0.15", kind=kind),
        gated(None, kind=kind),
        INTACT,
        gated("obs[3] > 0.3 and bend < 1", kind=kind, cut={"h1": (0, 1), "obs": (3,)}),
    ]
    crowd = play(policy, lesions, activity=activity)
    assert len({crowd["action"][:, row].tobytes() for row in range(5)}) == 5
    for row in (0, 1, 4):
        alone = play(policy, [lesions[row]], activity=activity)
        for name in SIGNALS:
            assert alone[name][:, 0].tobytes() == crowd[name][:, row].tobytes(), name


def test_a_third_party_world_is_gated_too():
    agent = random_mlp((4, 12, 10, 2), "CartPole-v1", squash="argmax", seed=3)
    lesion = Lesion(name="x", cut={"action": (0,)}, when="obs[1] > 0")  # it rolls right
    trace = play(agent, [lesion, INTACT], env_id="CartPole-v1", signals=("obs", "@action"))
    rolls = trace["obs"][:, 0, 1] > 0
    alive = trace.alive[:, 0]
    assert np.array_equal((trace["@action"][:, 0, 0] == 0)[alive], rolls[alive])
    assert rolls[alive].any()
    assert not rolls[alive].all()


def test_a_signal_that_comes_with_the_first_step_is_waited_for():
    """Half-cheetahs of Gymnasium tell their speed only once they have moved."""
    triggers = Triggers(["speed > 1", None])
    rows = np.arange(2)
    assert triggers.unmet({}, rows, started=False).tolist() == [True, False]
    said = {"speed": np.array([2.0, 0.0]), "_speed": np.array([True, True])}
    assert triggers.unmet(said, rows).tolist() == [False, False]
    assert triggers.unmet({**said, "_speed": np.array([False, True])}, rows).tolist() == [
        True,
        False,
    ]
    assert triggers.unmet({"speed": np.array([np.nan, 0])}, rows).tolist() == [True, False]
    with pytest.raises(LabError, match="no signal 'speed'"):
        triggers.unmet({}, rows)
    assert Triggers([None, None]).unmet({}, rows) is None


# Conditions as text.


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("bend > 0.15", "bend > 0.15"),
        ("  bend>.15 ", "bend > 0.15"),
        ("foot_contact[2]<=-1e-3", "foot_contact[2] <= -0.001"),
        ("bend>=-0.15  and bend <= 0.15", "bend >= -0.15 and bend <= 0.15"),
        ("a > 2.0 and b < +1", "a > 2 and b < 1"),
    ],
)
def test_conditions_have_one_spelling(text, canonical):
    lesion = gated(text)
    assert lesion.when == canonical
    assert gated(canonical) == lesion
    assert Lesion.model_validate_json(lesion.model_dump_json()) == lesion
    assert " and ".join(map(str, parse(canonical))) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "", "bend", "bend == 1", "0.1 < bend", "bend > x", "bend > nan", "abs(bend) > 1",
        "bend > 1 or bend < 2", "a > 1 and b > 1 and c > 1", "bend > 1 and", "foot[-1] > 0",
        "foot[1][2] > 0", "_bend > 1", "bend > 1; import os", "__import__('os').x > 1",
        "bénd > 1", "bend > ١",
    ],
)  # fmt: skip
def test_other_texts_are_refused_with_what_is_allowed(text):
    with pytest.raises(ValidationError, match="write SIGNAL OPERATOR NUMBER, as in"):
        gated(text)


@pytest.mark.parametrize(
    ("when", "line"),
    [
        ("altitude > 1", "no signal 'altitude'; this world gives .*forward_speed.*bend.*obs"),
        ("bend[0] > 1", "write 'bend' without an index"),
        ("obs > 1", "write 'obs' with an index from 0 to 17"),
        ("obs[18] > 1", "write 'obs' with an index from 0 to 17"),
    ],
)
def test_conditions_that_the_world_does_not_know_are_told_in_one_line(policy, when, line):
    with pytest.raises(LabError, match=line) as caught:
        play(policy, [INTACT, gated(when)])
    assert "\n" not in str(caught.value)


# What was there before there were conditions.


def test_a_lesion_without_a_condition_is_what_it_was():
    """Its key and its JSON are those of the first release: old runs keep digests and draws."""
    lesion = Lesion(name="x", cut={"h0": (0,)})
    assert lesion.key == 9204791301436363980
    assert lesion.model_dump_json() == (
        '{"name":"x","cut":{"h0":[0]},"kind":"zero","strength":null,"onset":0,"offset":null,'
        '"group":""}'
    )
    assert lesion.key != gated("bend > 1", cut={"h0": (0,)}).key
    assert gated("bend > 1").key != gated("bend > 2").key
    assert "when" not in Spec.model_fields["lesions"].annotation.__args__[0](name="y").model_dump()


def test_kinds_and_names_keep_the_condition():
    plan = Plan([gated("bend > 1")])
    assert plan.with_kind("clamp", 0.5)["x"].when == "bend > 1"
    with pytest.raises(LabError, match="two different lesions are named 'x'"):
        plan + Plan([gated("bend > 2")])


# Sweeps and films.


def test_gated_lesions_sweep_resume_and_film(policy, small_sweep, tmp_path, monkeypatch):
    plan = rl.layers(policy) + Plan([gated("forward_speed > 0.3")])
    run = small_sweep(plan, tmp_path / "run", measures=["forward_speed", "survival"])
    assert rl.Map(run.folder).plan["x"].when == "forward_speed > 0.3"
    alone = small_sweep(Plan([gated("forward_speed > 0.3")]), tmp_path / "alone",
                        measures=["forward_speed", "survival"])  # fmt: skip
    tables = [r.table().query("lesion == 'x'").reset_index(drop=True) for r in (run, alone)]
    assert tables[0].equals(tables[1])
    crossed = []
    draw = rl.film.__globals__["_draw_activity"]

    def watch(canvas, side, *where):
        crossed.append(side.off)
        draw(canvas, side, *where)

    monkeypatch.setitem(rl.film.__globals__, "_draw_activity", watch)
    path = rl.film(run, "x", seconds=1.0, fps=10, progress=False)
    assert path.stat().st_size > 1000
    assert set(crossed[1::2]) == {True, False}
    assert set(crossed[::2]) == {False}
