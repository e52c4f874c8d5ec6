"""Reflexes: four robots side by side, one push, and what comes of it."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import random_mlp

from rl_ablation.analysis.reflex import (
    ASIDE,
    FALL,
    LATENCY,
    MEASURED,
    NEVER,
    REFLEX,
    REMAINING,
    Pushes,
    reflexes,
)
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import INTACT, Lesion, Plan
from rl_ablation.rollouts.activity import record_activity
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.rollouts.recording import run_jobs

QUADRUPED = "envs:rl_ablation/Quadruped-v0"
PUSHES = Pushes((6, 10))
RUN = Episodes(4, 0, ("push",))
PLAN = Plan(
    [
        Lesion(name="deaf", cut={"h0": tuple(range(12))}, kind="mean"),
        Lesion(name="drawn", cut={"h1": (0, 1, 2)}, kind="resample"),
        Lesion(name="none", cut={"h0": (3,)}, kind="mean"),  # a dead unit
    ]
)


@pytest.fixture(scope="module")
def quadruped():
    return random_mlp((45, 12, 10, 12), QUADRUPED, bound=0.3)  # it stays on its feet


@pytest.fixture(scope="module")
def seen(quadruped):
    return record_activity(quadruped, conditions=("push",), episodes=2, horizon=30, threads=1)


@pytest.fixture(scope="module")
def found(quadruped, seen):
    return reflexes(quadruped, PLAN, seen, RUN, PUSHES, window=0.5, threads=1)


def twins(policy, lesion, step, activity):
    jobs = RUN.jobs(lesion)
    signals = ["action", "lateral_speed", "pushed", "obs"]
    return [
        run_jobs(PUSHES.world(policy, s), signals, jobs, activity=activity, horizon=step + 25)
        for s in (step * 0.02, NEVER)
    ]


def test_an_unpushed_twin_is_the_same_robot_until_the_push(quadruped, seen):
    pushed, calm = twins(quadruped, Lesion(name=INTACT), 6, seen)
    for name in ("action", "obs", "lateral_speed"):
        assert np.array_equal(pushed[name][:6], calm[name][:6])
    assert np.array_equal(pushed["action"][6], calm["action"][6]), "it is not felt before it acts"
    assert (pushed["action"][7] != calm["action"][7]).any(1).all()
    assert pushed["pushed"][6:11].all()
    assert not pushed["pushed"][:6].any()
    assert not calm["pushed"].any()


def test_answers_are_those_of_four_rollouts(quadruped, seen, found):
    rows = found.table.set_index(["lesion", "episode", "slot", "signal"])
    step = 10
    (pushed, calm), (cut_pushed, cut_calm) = (
        twins(quadruped, x, step, seen)
        for x in (
            Lesion(name=INTACT),
            PLAN["drawn"].model_copy(update={"onset": step, "offset": step + 25}),
        )
    )
    spread = calm["action"][step:].reshape(-1, 12).astype(float).std(0)
    for episode in range(RUN.count):
        courses = [
            np.sqrt(
                (((a["action"] - b["action"].astype(float))[step:, episode] / spread) ** 2).mean(1)
            )
            for a, b in ((pushed, calm), (cut_pushed, cut_calm))
        ]
        answer, without = (x.mean() for x in courses)
        row = rows.sort_index().loc["drawn", episode, 1]
        assert row.loc[REFLEX, "intact"] == pytest.approx(answer)
        assert row.loc[REFLEX, "delta"] == pytest.approx(without - answer)
        assert row.loc[REMAINING, "delta"] == pytest.approx(without / answer - 1)
        assert row.loc[REMAINING, "intact"] == 1
        moved = [
            (a["lateral_speed"] - b["lateral_speed"].astype(float))[step:, episode].sum() * 0.02
            for a, b in ((pushed, calm), (cut_pushed, cut_calm))
        ]
        side = row.loc[ASIDE, "side"]
        assert row.loc[ASIDE, "intact"] == pytest.approx(side * moved[0])
        assert row.loc[ASIDE, "delta"] == pytest.approx(side * (moved[1] - moved[0]))
        late = [np.argmax(x >= 0.5) * 0.02 if (x >= 0.5).any() else 0.5 for x in courses]
        assert row.loc[LATENCY, "intact"] == pytest.approx(late[0])
        assert row.loc[LATENCY, "delta"] == pytest.approx(late[1] - late[0])


def test_a_cut_that_changes_nothing_leaves_every_answer(found):
    none = found.table.query("lesion == 'none'")
    assert (none["delta"] == 0).all()
    own = found.table[found.table["lesion"] == INTACT]
    assert (own["delta"] == own["intact"]).all()
    assert (own["kind"] == "").all()
    assert set(own["side"]) == {-1.0, 1.0}
    assert (own.query("signal == @ASIDE")["intact"] > 0).all(), "pushes move to their own side"
    assert set(own["signal"]) == set(MEASURED)


def test_the_deaf_robot_answers_less(found):
    deaf = found.table.query("lesion == 'deaf' and signal == @REFLEX")
    assert (deaf["delta"] < 0).all()
    course = found.course.set_index("lesion")
    assert len(course.loc["deaf"]) == 25
    assert (course.loc["deaf", "apart"].to_numpy()[2:] < course.loc[INTACT, "apart"][2:]).all()
    assert course.loc[INTACT, "apart"].iloc[0] == 0
    assert (course["pushes"] == 8).all()


def test_who_falls_counts_as_fallen_and_as_nothing_else(quadruped, seen):
    hard = Plan([Lesion(name="limp", cut={"action": (1, 2, 4, 5)}, kind="clamp", strength=1.0)])
    late = Pushes((20,))
    rows = reflexes(quadruped, hard, seen, RUN, late, window=2.0, threads=1).table
    wide = rows.query("lesion == 'limp'").pivot(index="episode", columns="signal", values="delta")
    lasted = wide[LATENCY].notna()
    assert not lasted.all(), "this cut makes some fall"
    assert wide.loc[~lasted, [REFLEX, REMAINING, ASIDE]].isna().all(axis=None)
    assert wide.loc[lasted, FALL].notna().all()


def test_what_cannot_push_is_refused(quadruped, policy, seen, activity):
    with pytest.raises(LabError, match="never cut"):
        reflexes(quadruped, PLAN, seen, RUN, Pushes((0,)), threads=1)
    with pytest.raises(LabError, match="do not fit"):
        reflexes(quadruped, PLAN, seen, RUN, Pushes((5000,)), threads=1)
    with pytest.raises(LabError, match="no robot was pushed"):
        reflexes(quadruped, PLAN, seen, RUN, Pushes((6,), "forward"), window=0.2, threads=1)
    with pytest.raises(LabError, match="push_at"):
        reflexes(policy, PLAN, activity, RUN, Pushes((6,), "ring/ccw"), threads=1)
