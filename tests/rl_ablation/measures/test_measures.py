"""Measures on synthetic traces whose answers are known."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

import rl_ablation
from rl_ablation.errors import LabError
from rl_ablation.measures.registry import (
    MEASURES,
    MIN_STEPS,
    Measure,
    applicable,
    choose,
    evaluate,
    in_condition,
    measure,
    over,
    parted,
)
from rl_ablation.rollouts.rollout import Trace

DT, STEPS = 0.05, 100


def trace(alive, *, terminated=None, **signals):
    """Signals (T, N) or (T,) of robots that made ``alive`` steps each; 0 past an end."""
    made = np.atleast_1d(alive)
    mask = np.arange(STEPS)[:, None] < made
    kept = {}
    for name, value in signals.items():
        value = np.asarray(value, np.float64)
        value = value[:, None] if value.ndim == 1 else value
        if value.ndim == 3:
            kept[name] = np.where(mask[..., None], value, 0.0)
        else:
            kept[name] = np.where(mask, np.broadcast_to(value, mask.shape), 0.0)
    ended = made < STEPS if terminated is None else np.atleast_1d(terminated)
    return Trace(kept, mask, ended, np.zeros(len(made), bool), DT)


def take(name, data):
    values = evaluate([MEASURES[name]], data)[name]
    assert values.shape == (data.alive.shape[1],)
    assert values.dtype == np.float64
    return values


def constant(value):
    return np.full(STEPS, float(value))


def at(step):
    return (np.arange(STEPS) == step).astype(float)


def test_a_crash_at_a_known_time():
    crash = np.stack([at(39), at(0), constant(0)], 1)
    data = trace([40, 1, STEPS], crash=crash, stuck=np.zeros((STEPS, 3)))
    assert take("crash", data).tolist() == [1, 1, 0]
    assert take("time_to_crash", data) == pytest.approx([2.0, 0.05, 5.0])
    assert take("survival", data) == pytest.approx([2.0, 0.05, 5.0])
    assert take("stuck", data).tolist() == [0, 0, 0]


def test_a_stuck_robot_did_not_crash():
    data = trace([60], crash=constant(0), stuck=at(59))
    assert take("stuck", data) == 1
    assert take("crash", data) == 0
    assert take("time_to_crash", data) == pytest.approx(5.0)
    assert take("survival", data) == pytest.approx(3.0)


def test_the_time_limit_is_no_end():
    """A shorter horizon than the world's cuts an episode; it did not end by itself."""
    data = trace([60], terminated=[False])
    assert take("survival", data) == pytest.approx(5.0)


def test_return_is_the_sum_of_rewards():
    data = trace([STEPS, 10], reward=constant(0.5))
    assert take("return", data).tolist() == [50, 5]


def test_speed_over_the_horizon_and_while_alive():
    data = trace([STEPS, 50, MIN_STEPS, MIN_STEPS - 1], forward_speed=constant(0.8))
    assert take("forward_speed", data) == pytest.approx([0.8, 0.4, 0.08, 0.072])
    alive = take("forward_speed.alive", data)
    assert alive[:3] == pytest.approx([0.8, 0.8, 0.8])
    assert np.isnan(alive[3])


def test_turning_left_in_left_bends_only():
    """First half a left bend (turning at 0.6), second half a right one (driving straight on)."""
    half = np.arange(STEPS) < 50
    data = trace([STEPS], bend=np.where(half, 1.0, -1.0), yaw_rate=np.where(half, 0.6, 0.0))
    assert take("left_turning", data) == pytest.approx([0.3])
    assert take("left_turning.alive", data) == pytest.approx([0.6])
    assert take("right_turning", data) == 0
    assert take("right_turning.alive", data) == 0


def test_turning_right_counts_as_more():
    data = trace([STEPS], bend=constant(-2), yaw_rate=constant(-0.5))
    assert take("right_turning.alive", data) == pytest.approx([0.5])
    assert take("right_turning", data) == pytest.approx([0.5])
    assert take("left_turning", data) == 0
    assert np.isnan(take("left_turning.alive", data)), "there was no left bend"


def test_turning_the_wrong_way_is_negative():
    data = trace([STEPS], bend=constant(2), yaw_rate=constant(-0.5))
    assert take("left_turning.alive", data) == pytest.approx([-0.5])


def test_straights_and_brief_bends_are_no_bends():
    brief = np.where(np.arange(STEPS) < MIN_STEPS - 1, 1.0, 0.1)
    data = trace([STEPS, 0 + STEPS], bend=np.stack([constant(0.1), brief], 1), yaw_rate=constant(1))
    assert np.isnan(take("left_turning.alive", data)).all()
    assert take("left_turning", data) == pytest.approx([0, 0.09])


def test_progress_keeps_what_was_gained():
    lap = np.linspace(0.01, 1.0, STEPS)
    data = trace([STEPS, 50, 3], progress=lap)
    assert take("progress", data) == pytest.approx([1.0, 0.5, 0.03])
    pace = take("progress.alive", data)  # a lap in 5 s are 12 a minute
    assert pace[:2] == pytest.approx([12, 12])
    assert np.isnan(pace[2])
    assert take("progress", trace([STEPS], progress=-lap)) == pytest.approx([-1])


def test_off_centre_and_clearance_hold_their_last_value():
    drift = np.where(np.arange(STEPS) < 49, -0.1, -0.3)
    data = trace([STEPS, 50], lateral_error=drift, clearance=0.4 + drift)
    assert take("off_centre", data) == pytest.approx([0.202, 0.202])
    assert take("off_centre.alive", data) == pytest.approx([0.202, 0.104])
    assert take("clearance", data) == pytest.approx([0.198, 0.198])
    assert take("clearance.alive", data) == pytest.approx([0.198, 0.296])


def test_jerkiness_is_the_change_of_actions():
    still = np.ones((STEPS, 2, 2))
    shaking = still.copy()
    shaking[::2, 1] = -1.0
    data = trace([STEPS, STEPS], action=shaking)
    assert take("jerkiness", data) == pytest.approx([0, 2 / DT])
    # What comes after an end is no change.
    assert take("jerkiness", trace([50, 50], action=still)) == pytest.approx([0, 0])
    assert np.isnan(take("jerkiness", trace([MIN_STEPS], action=still[:, :1]))), "9 changes"


def test_jerkiness_of_discrete_actions():
    data = trace([STEPS], action=np.arange(STEPS) % 2)
    assert take("jerkiness", data) == pytest.approx([1 / DT])


def test_a_robot_does_not_change_anothers_numbers():
    rng = np.random.default_rng(0)
    names = ("reward", "forward_speed", "progress", "yaw_rate", "bend", "lateral_error",
             "clearance", "crash", "stuck")  # fmt: skip
    signals = {name: rng.normal(size=(STEPS, 4)) for name in names}
    signals["action"] = rng.normal(size=(STEPS, 4, 2))
    made = np.array([STEPS, 40, 12, 5])
    whole = trace(made, **signals)
    ours = applicable(signals)
    assert len(ours) >= 15
    together = evaluate(ours, whole)
    for rows in ([0], [1], [2], [3], [0, 1], [3, 2, 1]):
        some = trace(made[rows], **{k: np.take(v, rows, 1) for k, v in signals.items()})
        for name, values in evaluate(ours, some).items():
            assert values.tobytes() == together[name][rows].tobytes(), name


def test_over_needs_enough_steps():
    values = np.ones((20, 3))
    where = np.arange(20)[:, None] < np.array([20, 10, 9])
    assert np.array_equal(over(values, where), [1, 1, np.nan], equal_nan=True)
    assert np.array_equal(over(values, where, 5), [1, 1, 1])


# The registry.


def test_every_measure_is_described():
    for name, m in MEASURES.items():
        assert isinstance(m, Measure)
        assert m.name == name
        assert m.doc
        assert "\n" not in m.doc
        assert m.better in (-1, 0, 1)
        assert m.label


def test_choose():
    lap = ["reward", "action", "forward_speed", "crash"]
    names = [m.name for m in choose(None, lap)]
    assert {"return", "survival", "forward_speed.alive", "crash"} <= set(names)
    assert "progress" not in names
    assert [m.name for m in choose(["crash", "return"], lap)] == ["crash", "return"]
    with pytest.raises(LabError, match=r"unknown measure 'charm'; choose from .*return"):
        choose(["charm"], lap)
    with pytest.raises(LabError, match="'progress' needs signals this world lacks: progress"):
        choose(["progress"], lap)


def test_a_measure_of_ones_own(monkeypatch):
    monkeypatch.setattr("rl_ablation.measures.registry.MEASURES", dict(MEASURES))
    from rl_ablation.measures import registry as measures

    @measure(signals=("reward",), unit="J", better=-1)
    def greed(trace):
        """The largest reward.

        More text.
        """
        return trace["reward"].max(0)

    mine = measures.MEASURES["greed"]
    assert (mine.doc, mine.unit, mine.better) == ("The largest reward.", "J", -1)
    assert evaluate([mine], trace([STEPS], reward=at(3)))["greed"] == 1
    with pytest.raises(ValueError, match="exists already"):
        measure(name="greed")(greed)
    assert "greed" not in MEASURES


def test_a_measure_under_one_condition_is_a_behaviour_of_its_own():
    name = in_condition("turn_left", "vx_error.alive")
    assert parted(name) == ("turn_left", "vx_error.alive")
    assert parted("vx_error") == ("", "vx_error")
    made, base = MEASURES[name], MEASURES["vx_error.alive"]
    assert (made.label, made.task, base.task) == ("turn left: vx error (alive)", True, False)
    assert (made.unit, made.better, made.function) == (base.unit, base.better, base.function)
    assert name not in MEASURES, "it is looked up, not registered"
    for unknown in ("speeed", "turn_left: speeed"):
        with pytest.raises(KeyError, match="speeed"):
            MEASURES[unknown]


def test_what_measures_are_for_is_said_where_they_are_registered():
    def having(attribute):
        return {m.name: v for m in MEASURES.values() if (v := getattr(m, attribute))}

    assert list(having("summary")) == ["return", "survival", "time_to_crash"]
    tracking = ["vx_error", "vy_error", "yaw_error"]
    assert sorted(having("task")) == sorted(["progress", "progress.alive", *tracking])
    economy = ["cost_of_transport", "duty_imbalance", "energy", "jerkiness", "power", "power.alive"]
    assert sorted(having("economy")) == economy
    assert list(having("lifetime")) == ["survival"]
    assert having("ending") == {"crash": "crashed", "stuck": "stuck", "fall": "fell"}
    with pytest.raises(TypeError, match="colour"):
        measure(name="x", colour="red")(constant(1.0))
    assert "x" not in MEASURES


def test_statistics_and_reports_know_no_measure_of_a_world_by_name():
    room = Path(rl_ablation.__file__).parent
    names = set(MEASURES) - {"return", "power"}  # every world has the first; the other is a word
    for path in (*room.glob("mapping/*.py"), *room.glob("reports/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                continue
            spelt = {n.value for n in ast.iter_child_nodes(node) if isinstance(n, ast.Constant)}
            if not isinstance(node, ast.Dict):  # of keyword arguments: a progress bar
                assert not spelt & names, (path.name, node.lineno, spelt & names)
