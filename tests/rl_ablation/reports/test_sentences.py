"""Findings in plain sentences: made-up effects with known answers, one for each way to word one."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.mapping.evidence import EVIDENCE_COLUMNS
from rl_ablation.mapping.run import Run
from rl_ablation.measures.registry import MEASURES
from rl_ablation.reports.sentences import cuts_of_claims, sentences, without

CUT = Lesion(name="h1/part", cut={"h1": tuple(range(26))}, group="clusters")
OWN = ["turn_left: yaw_error", "forward: vx_error"]


class MadeUp:
    """A map of made-up effects: as much of one as a sentence asks for."""

    confirmation = None
    condition_words = Run.condition_words
    spec = SimpleNamespace(sites={"obs": 18, "h0": 64, "h1": 64, "action": 2})
    names = {"obs": ["lidar"] * 18, "action": ["left wheel", "right wheel"]}  # noqa: RUF012

    def __init__(self, effects, plan, own=()):
        self._effects, self.plan, self.own = effects, plan, list(own)
        taken = tuple(dict.fromkeys(effects["measure"]))
        self.measures = [MEASURES[name] for name in taken]
        self.spec = SimpleNamespace(**{**vars(MadeUp.spec), "measures": taken})

    def effects(self):
        return self._effects

    def _beside(self, name, kind):
        return {"turn_left": "told to turn left", "forward": "told to go forward"}


def row(measure, intact, lesioned, *, lesion="h1/part", kind="zero", q=0.001, n=24, **more):
    delta = lesioned - intact
    low, high = more.pop("ends", (delta - 0.01, delta + 0.01))
    about = {
        "lesion": lesion, "group": "clusters", "kind": kind, "units": 26, "condition": "all",
        "measure": measure, "unit": MEASURES[measure].unit, "intact": intact,
        "lesioned": lesioned, "delta": delta, "ci_low": low, "ci_high": high, "effect": 1.0,
        "p": q / 2, "q": q, "p_fwe": q, "n": n, "unstable": 0.0, "stage": "confirmed",
        "delta_discovery": delta, "random": np.nan, "draws": np.nan, "p_random": np.nan,
        "took": 0.0, "direct": 1.0, "off_manifold": 1.0, "class": "specific",
    }  # fmt: skip
    return {**about, **more}


def told(*rows, plan=(CUT,), own=(), lesion="h1/part"):
    frame = pd.DataFrame(rows)[list(EVIDENCE_COLUMNS)]
    return sentences(MadeUp(frame, Plan(plan), own)).get(lesion)


HEAD = "With these 26 units of layer h1 set to zero, the robot "
SPEED, FAR = "forward_speed.alive", "off_centre.alive"


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([row(SPEED, 1.0, 0.4)], "moves at 40 % of its speed."),
        ([row(SPEED, 1.0, 0.6), row("crash", 0, 0, q=1.0)],
         "moves at 60 % of its speed, without a crash in 24 episodes."),
        ([row(SPEED, 1.0, 1.4)], "moves at 1.4 times its speed."),
        ([row(SPEED, 1.0, 1.06)], "moves at 1.06 times its speed."),
        ([row(SPEED, 1.0, 15.0)], "moves at 15 times its speed."),
        ([row(SPEED, 1.0, 0.03)], "hardly moves forward."),
        ([row(SPEED, 1.0, -0.3)], "moves backward."),
        ([row(SPEED, 1.0, -0.3, ends=(-1.7, -0.9))], "hardly moves forward."),
        ([row(SPEED, 1.0, -0.3, ends=(np.nan, np.nan))], "moves backward."),
        ([row(FAR, 0.1, 0.14)], "drives 1.4 times as far from the centreline."),
        ([row(FAR, 0.1, 0.07)], "drives 70 % as far from the centreline."),
        ([row("left_turning.alive", 0.3, 0.1)], "turns at 33 % of its rate in left bends."),
        ([row("left_turning.alive", 0.3, -0.1)], "turns away in left bends."),
        ([row("right_turning.alive", 0.3, 0.0)], "hardly turns in right bends."),
        ([row("return", -100.0, -900.0)], "scores −900 instead of −100."),
        ([row("duty_factor", 0.5, 0.7)], "comes to 0.70 in duty factor instead of 0.50."),
        ([row(SPEED, 0.001, 0.9)], "comes to 0.90 m/s in forward speed (alive) instead of "
         "0 m/s."),
        ([row("push_tilt", 4.0, 30.0)], "tilts by 30.00 ° after a push instead of 4.00 °."),
        # Two clauses, the larger first; economy behind what it is spent on.
        ([row(FAR, 0.1, 0.13), row(SPEED, 1.0, 0.4), row("crash", 0, 0.02, q=0.5)],
         "drives 1.3 times as far from the centreline and moves at 40 % of its speed."),
        ([row("jerkiness", 1.0, 3.0), row(SPEED, 1.0, 0.7)],
         "moves at 70 % of its speed and moves 3.0 times as jerkily."),
    ],
)  # fmt: skip
def test_what_the_robot_does(rows, text):
    assert told(*rows) == HEAD + text


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([row("crash", 0, 20 / 24)], "crashes in 20 of 24 episodes."),
        ([row("crash", 3 / 24, 1.0)], "crashes in 24 of 24 episodes instead of 3."),
        ([row("crash", 0, 1.0), row("forward_speed.alive", 1.0, 0.4)],
         "crashes in 24 of 24 episodes; until then it moves at 40 % of its speed."),
        ([row("crash", 0, 0.5), row("stuck", 0, 0.5)],
         "crashes in 12 of 24 episodes and gets stuck in 12 of 24 episodes."),
        ([row("survival", 30.0, 3.0), row("uprightness.alive", 1.0, 0.5)],
         "lasts 10 % as long; until then it comes to 0.50 in uprightness (alive) instead of 1.00."),
    ],
)  # fmt: skip
def test_how_its_episodes_end(rows, text):
    assert told(*rows) == HEAD + text


def test_what_a_robot_that_ended_early_did_is_told_of_the_time_before():
    whole, alive = row("forward_speed", 1.0, 0.3), row("forward_speed.alive", 1.0, 0.9, q=0.3)
    ends = row("crash", 0, 1.0)
    assert told(whole, alive, ends) == HEAD + "crashes in 24 of 24 episodes."
    slower = row("forward_speed.alive", 1.0, 0.6)
    assert "until then it moves at 60 % of its speed." in told(whole, slower, ends)
    # It crashed now and then, which is no claim, and this alone may be why it is slower.
    some = row("crash", 0, 0.1, q=0.4)
    plain = "comes to 0.30 m/s in forward speed instead of 1.00 m/s."
    assert told(whole, alive, some) == HEAD + plain
    # Nobody ended early: over the horizon and while alive are the same.
    none = row("crash", 0, 0, q=1.0)
    assert told(whole, alive, none).startswith(HEAD + "moves at 30 % of its speed, without")


def test_only_claims_of_some_size_are_told():
    assert told(row(SPEED, 1.0, 0.4, q=0.06)) is None
    other = row(SPEED, 1.0, 0.1, lesion="h1/other")
    two = [CUT, Lesion(name="h1/other", cut={"h1": (30,)}, group="clusters")]
    small = row(SPEED, 1.0, 0.9)
    assert told(small, other, plan=two) is None, "a ninth of the largest change"
    text = told(small, other, plan=two, lesion="h1/other")
    assert (
        text == "With this one unit of layer h1 set to zero, the robot moves at 10 % of its speed."
    )


def kinds(*names):
    return [CUT.model_copy(update={"kind": k, "name": CUT.name + f"~{k}" * (k != names[0])})
            for k in names]  # fmt: skip


def in_kinds(values, measure=SPEED, intact=1.0, **more):
    first = next(iter(values))
    return [row(measure, intact, v, kind=k, lesion=CUT.name + f"~{k}" * (k != first), **more)
            for k, v in values.items()]  # fmt: skip


def test_claims_are_told_with_the_weakest_kind_and_without_naming_it():
    plan = kinds("resample", "mean", "zero")
    rows = in_kinds({"resample": 0.4, "mean": 0.6, "zero": 0.9})
    text = told(*rows, plan=plan)
    assert text == "Without these 26 units of layer h1, the robot moves at 60 % of its speed."
    assert [x.kind for x in cuts_of_claims(MadeUp(pd.DataFrame(rows), Plan(plan)))[CUT.name]] == [
        "resample", "mean",
    ]  # fmt: skip
    split = in_kinds({"resample": 0.4, "mean": 1.3, "zero": 0.2})
    assert told(*split, plan=plan) is None, "they disagree"
    far = in_kinds({"resample": 1.0, "mean": 1.0}, q=1.0) + in_kinds(
        {"": 0, "zero": 0.1}
    )[1:]  # fmt: skip
    assert told(*far, plan=plan) is None, "what only zero shows is no finding"


def test_never_is_said_only_where_no_kind_that_counts_shows_it():
    plan = kinds("resample", "mean", "zero")
    speed = in_kinds({"resample": 0.4, "mean": 0.5, "zero": 0.5})
    none = in_kinds({"resample": 0, "mean": 0, "zero": 1.0}, "crash", 0.0, q=1.0)
    assert told(*speed, *none, plan=plan).endswith("without a crash in 24 episodes.")
    one = in_kinds({"resample": 0, "mean": 1 / 24, "zero": 0}, "crash", 0.0, q=1.0)
    assert told(*speed, *one, plan=plan).endswith("moves at 50 % of its speed.")


@pytest.mark.parametrize(
    ("lesion", "head"),
    [
        ({"kind": "mean"}, "With these 26 units of layer h1 held at their mean"),
        ({"kind": "gain", "strength": 0.25},
         "With these 26 units of layer h1 multiplied by 0.25"),
        ({"kind": "clamp"}, "With these 26 units of layer h1 held at 1"),
        ({"cut": {"h1": tuple(range(64))}}, "With all 64 units of layer h1 set to zero"),
        ({"cut": {"h0": (0, 1), "h1": (3,)}},
         "With these 3 units of layers h0 and h1 set to zero"),
        ({"cut": {"h0": (0,)}}, "With this one unit of layer h0 set to zero"),
        ({"cut": {"action": (1,)}}, "With its motor “right wheel” set to zero"),
        ({"cut": {"action": (0, 1)}}, "With these 2 motors set to zero"),
        ({"cut": {"obs": (3,)}}, "With its sensor “lidar” set to zero"),
        ({"cut": {"obs": (3, 4)}}, "With these 2 sensors set to zero"),
        ({"when": "bend > 0.15"}, "With these 26 units of layer h1 set to zero while bend > 0.15"),
        ({"onset": 20, "offset": 40},
         "With these 26 units of layer h1 set to zero from step 20 on until step 40"),
    ],
)  # fmt: skip
def test_how_the_cut_is_told(lesion, head):
    cut = Lesion(**{**CUT.model_dump(), **lesion})
    run = MadeUp(pd.DataFrame([row(SPEED, 1.0, 0.4)]), Plan([cut]))
    assert without(cut, [cut], run) == head


def test_kinds_that_leave_the_range_are_named_even_if_they_are_several():
    plan = kinds("zero", "clamp")
    text = told(*in_kinds({"zero": 0.4, "clamp": 0.5}), plan=plan)
    assert text.startswith("With these 26 units of layer h1 set to zero or held at 1, the robot ")


# By command.


def command(condition, error, *motion, q=0.001, **more):
    """Rows of a condition: its error, and others as (measure, intact, lesioned)."""
    rows = [row(*error, condition=condition, n=8, q=q, **more)]
    return rows + [row(*m, condition=condition, n=8, **more) for m in motion]


AVERAGES = [row("yaw_error", 0.05, 0.2), row("vx_error", 0.1, 0.3), row("yaw_rate", 0.0, 0.0),
            row("forward_speed", 0.1, 0.1), row("fall", 0, 0, q=1.0, n=16)]  # fmt: skip
COMMANDED = "With these 26 units of layer h1 set to zero: "


def by_command(*rows):
    return told(*AVERAGES, *rows, own=OWN)


def test_a_command_is_told_by_the_motion_that_explains_its_error():
    text = by_command(
        *command("turn_left", ("yaw_error", 0.05, 0.8), ("yaw_rate", 0.9, 0.1)),
        *command("forward", ("vx_error", 0.1, 0.2), ("forward_speed", 0.8, 0.6)),
    )
    assert text == (
        COMMANDED + "told to turn left, the robot turns at 11 % of its rate; told to go forward, "
        "it moves at 75 % of its speed, without a fall in 16 episodes."
    )
    backward = command("turn_left", ("yaw_error", 0.05, 1.8), ("yaw_rate", 0.9, -0.9))
    assert "told to turn left, the robot turns the other way" in by_command(
        *backward, *command("forward", ("vx_error", 0.1, 0.1), q=1.0)
    )


def test_else_by_the_error_itself():
    rest = command("forward", ("vx_error", 0.1, 0.1), q=1.0)
    error = ("yaw_error", 0.05, 0.8)
    text = "told to turn left, the robot misses the yaw rate asked for by 0.80 rad/s instead of "
    for motion in [[], [("yaw_rate", 0.9, 0.85)]]:  # not taken; does not explain it
        assert by_command(*command("turn_left", error, *motion), *rest).startswith(COMMANDED + text)
    unclear = [*command("turn_left", error), row("yaw_rate", 0.9, 0.1, q=0.2, n=8,
               condition="turn_left")]  # fmt: skip
    assert by_command(*unclear, *rest).startswith(COMMANDED + text)


def test_a_fall_comes_before_the_error_and_like_clauses_are_one():
    text = by_command(
        *command("turn_left", ("yaw_error", 0.05, 0.8), ("fall", 0, 1.0)),
        *command("forward", ("vx_error", 0.1, 0.7), ("fall", 0, 1.0)),
    )
    assert text.startswith(
        COMMANDED + "told to turn left or told to go forward, the robot falls in 8 of 8 episodes"
    )


def test_more_commands_than_two_are_counted():
    own = [*OWN, "stand: drift", "push: push_recovery"]
    rows = [
        *AVERAGES, row("drift", 0.01, 0.01, q=1.0), row("push_recovery", 0.5, 0.5, q=1.0),
        *command("turn_left", ("yaw_error", 0.05, 0.8)),
        *command("forward", ("vx_error", 0.1, 0.7)),
        *command("stand", ("drift", 0.01, 0.4)),
        *command("push", ("push_recovery", 0.5, 0.2)),
    ]  # fmt: skip
    assert "; it does worse under 1 more of 4 commands" in told(*rows, own=own)


def test_a_world_that_has_no_words_for_a_condition_has_its_name():
    run = MadeUp(pd.DataFrame(AVERAGES), Plan([CUT]))
    assert run.condition_words("bank_left") == "under bank left"
