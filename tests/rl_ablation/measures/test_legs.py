"""Measures of legs on synthetic traces whose answers are known."""

import numpy as np
import pytest

import rl_ablation  # noqa: F401 - registers all measures
from rl_ablation.errors import LabError
from rl_ablation.measures.legs import gait_phase
from rl_ablation.measures.registry import MEASURES
from rl_ablation.rollouts.rollout import Trace

DT = 0.02
STEPS = 500
TURN = 2 * np.pi


def trace(signals, alive=None, dt=DT):
    """A trace of (T, N) signals; ``alive``: steps made by each robot."""
    shape = next(iter(signals.values())).shape[:2]
    made = np.full(shape[1], shape[0]) if alive is None else np.asarray(alive)
    mask = np.arange(shape[0])[:, None] < made
    kept = {
        name: np.where(mask.reshape(*shape, *[1] * (value.ndim - 2)), value, 0).astype(np.float32)
        for name, value in signals.items()
    }
    zeros = np.zeros(shape[1], bool)
    return Trace(kept, mask, made < shape[0], zeros, dt)


def take(name, data):
    return np.asarray(MEASURES[name].function(data), np.float64)


def gait(frequency, duty, phases, steps=STEPS, dt=DT, robots=1):
    """Contacts (T, robots, feet): foot k comes down at phase ``phases[k]`` of each stride."""
    at = np.arange(steps) * dt * frequency
    contact = (at[:, None] - np.asarray(phases)) % 1.0 < duty
    return np.repeat(contact[:, None], robots, axis=1)


TROT, PACE, BOUND = (0, 0.5, 0, 0.5), (0, 0.5, 0.5, 0), (0, 0, 0.5, 0.5)
WALK, PRONK = (0, 0.5, 0.25, 0.75), (0, 0, 0, 0)


def constant(value, steps=STEPS, robots=2):
    return np.full((steps, robots), float(value))


@pytest.mark.parametrize("frequency", [0.5, 1.25, 2.0, 3.1])
def test_gait_frequency_of_a_trot(frequency):
    data = trace({"foot_contact": gait(frequency, 0.55, TROT)})
    assert take("gait_frequency", data) == pytest.approx(frequency, rel=0.02)


@pytest.mark.parametrize("dt", [0.008, 0.05])
def test_gait_frequency_at_other_control_rates(dt):
    data = trace({"foot_contact": gait(2.0, 0.5, (0, 0.5), steps=1000, dt=dt)}, dt=dt)
    assert take("gait_frequency", data) == pytest.approx(2.0, rel=0.02)


def test_a_bounce_is_not_a_step():
    contact = gait(2.0, 0.6, TROT)
    bounced = contact.copy()
    down = np.flatnonzero(contact[1:, 0, 0] & ~contact[:-1, 0, 0]) + 1
    bounced[down + 2, 0, 0] = False  # off the ground for one step of 0.02 s
    assert take("gait_frequency", trace({"foot_contact": bounced})) == pytest.approx(2.0, rel=0.02)


def test_a_foot_that_does_not_step_counts_zero():
    contact = gait(2.0, 0.5, TROT)
    contact[..., 3] = True
    frequency = take("gait_frequency", trace({"foot_contact": contact}))
    assert frequency == pytest.approx(1.5, rel=0.02)
    assert take("gait_frequency", trace({"foot_contact": np.ones((100, 1, 4), bool)})) == 0.0


def test_steps_after_the_end_do_not_count():
    contact = gait(2.0, 0.5, TROT, robots=3)
    data = trace({"foot_contact": contact}, alive=[500, 250, 5])
    whole, half, brief = take("gait_frequency", data)
    assert half == pytest.approx(whole, rel=0.02)
    assert np.isnan(brief)


@pytest.mark.parametrize("duty", [0.3, 0.5, 0.75])
def test_duty_factor(duty):
    data = trace({"foot_contact": gait(1.0, duty, TROT, robots=2)}, alive=[500, 100])
    assert take("duty_factor", data) == pytest.approx(np.full(2, duty), abs=0.02)
    assert take("duty_imbalance", data) == pytest.approx(np.zeros(2), abs=0.03)


def test_duty_imbalance_of_a_limp():
    contact = np.concatenate([gait(1.0, 0.7, TROT)[..., :3], gait(1.0, 0.3, TROT)[..., 3:]], -1)
    assert take("duty_imbalance", trace({"foot_contact": contact})) == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize(
    ("phases", "diagonal", "symmetry"),
    [(TROT, 1, 1), (PACE, -1, 1), (BOUND, -1, -1), (WALK, 0, 1), (PRONK, 1, -1)],
    ids=["trot", "pace", "bound", "walk", "pronk"],
)
def test_phases_tell_gaits_apart(phases, diagonal, symmetry):
    data = trace({"foot_contact": gait(1.25, 0.5, phases)})
    assert take("diagonal_synchrony", data) == pytest.approx(diagonal, abs=0.05)
    assert take("phase_symmetry", data) == pytest.approx(symmetry, abs=0.05)


def test_phase_symmetry_of_two_feet():
    for lag, value in ((0.5, 1.0), (0.25, 0.0), (0.0, -1.0)):
        data = trace({"foot_contact": gait(1.25, 0.5, (0, lag))})
        assert take("phase_symmetry", data) == pytest.approx(value, abs=0.05)
        assert np.isnan(take("diagonal_synchrony", data))


def test_phases_of_standing_robots_and_single_feet_do_not_exist():
    standing = trace({"foot_contact": np.ones((100, 2, 4), bool)})
    one = trace({"foot_contact": gait(2.0, 0.5, (0,))})
    for name in ("diagonal_synchrony", "phase_symmetry"):
        assert np.isnan(take(name, standing)).all()
        assert np.isnan(take(name, one)).all()
    assert take("gait_frequency", one) == pytest.approx(2.0, rel=0.02)


def test_tracking_errors():
    data = trace(
        {
            "forward_speed": constant(0.7),
            "command_vx": constant(1.0),
            "lateral_speed": constant(-0.1),
            "command_vy": constant(0.0),
            "yaw_rate": constant(0.5),
            "command_yaw": constant(-0.5),
        },
        alive=[500, 250],
    )
    # The second robot ends half way: from then on it misses its command by the whole of it.
    assert take("vx_error", data) == pytest.approx([0.3, 0.5 * 0.3 + 0.5 * 1.0])
    assert take("vy_error", data) == pytest.approx([0.1, 0.05])
    assert take("yaw_error", data) == pytest.approx([1.0, 0.75])
    for name, value in (("vx_error", 0.3), ("vy_error", 0.1), ("yaw_error", 1.0)):
        assert take(f"{name}.alive", data) == pytest.approx([value, value])


def test_motion_and_posture():
    signals = {
        name: constant(value)
        for name, value in (
            ("lateral_speed", 0.4),
            ("yaw_rate", 0.6),
            ("height", 0.3),
            ("uprightness", 0.9),
            ("power", 50.0),
        )
    }
    data = trace(signals, alive=[500, 250])
    assert take("lateral_speed", data) == pytest.approx([0.4, 0.2])
    assert take("yaw_rate", data) == pytest.approx([0.6, 0.3])
    assert take("height", data) == pytest.approx([0.3, 0.3])
    assert take("uprightness", data) == pytest.approx([0.9, 0.9])
    assert take("power", data) == pytest.approx([50.0, 25.0])
    assert take("power.alive", data) == pytest.approx([50.0, 50.0])
    assert take("energy", data) == pytest.approx([500.0, 250.0])  # 50 W for 10 s and for 5 s


def test_cost_of_transport():
    data = trace(
        {
            "power": constant(98.1, robots=4),
            "speed": np.tile([2.0, 2.0, 0.01, 2.0], (STEPS, 1)),
            "mass": constant(10.0, robots=4),
        },
        alive=[500, 250, 500, 5],
    )
    # 98.1 W / (10 kg × 9.81 m/s² × 2 m/s) = 0.5, however long it lasts.
    cost = take("cost_of_transport", data)
    assert cost[:2] == pytest.approx([0.5, 0.5])
    assert np.isnan(cost[2:]).all()


def test_falls():
    fall = np.zeros((STEPS, 3), bool)
    fall[0, 1] = fall[249, 2] = True
    data = trace({"fall": fall}, alive=[500, 1, 250])
    assert take("fall", data).tolist() == [0, 1, 1]
    assert take("time_to_fall", data) == pytest.approx([10.0, 0.02, 5.0])


def pushed_robots():
    """Five robots told 0.4 m/s, pushed at 2 s for 0.1 s.

    They are thrown sideways for 1 s; always; not at all; for 1 s, then fall over; and not pushed.
    """
    n = 5
    lateral, upright = constant(0, robots=n), constant(1, robots=n)
    pushed = np.zeros((STEPS, n), bool)
    pushed[100:105, :4] = True
    lateral[100:150, 0] = 1.0
    lateral[100:, 1] = 1.0
    lateral[100:, 3] = 1.0
    upright[110, 0] = np.cos(np.radians(12.0))
    upright[110, 1] = np.cos(np.radians(40.0))
    upright[149, 3] = 0.0
    signals = {
        "pushed": pushed,
        "uprightness": upright,
        "forward_speed": constant(0.4, robots=n),
        "lateral_speed": lateral,
        "command_vx": constant(0.4, robots=n),
        "command_vy": constant(0, robots=n),
    }
    return trace(signals, alive=[500, 500, 500, 150, 500])


def test_push_recovery():
    data = pushed_robots()
    recovered = take("push_recovered", data)
    assert recovered[:4].tolist() == [1, 0, 1, 0]
    time = take("push_recovery", data)
    # The mean over 0.3 s is back under 0.25 m/s when at most 3 of its 15 steps were thrown.
    assert time[0] == pytest.approx((50 + 15 - 3 - 1) * DT)
    assert time[1] == pytest.approx(8.0)
    assert time[2] == pytest.approx(0.3)
    assert time[3] == pytest.approx(8.0)
    assert np.isnan(time[4])
    assert np.isnan(recovered[4])


def test_push_tilt():
    tilt = take("push_tilt", pushed_robots())
    assert tilt[:4] == pytest.approx([12.0, 40.0, 0.0, 90.0], abs=0.1)
    assert np.isnan(tilt[4])


def test_a_recovered_robot_may_be_tilted_later_but_not_at_once():
    data = pushed_robots()
    data.signals["uprightness"][105:130, 2] = np.cos(np.radians(20.0))
    assert take("push_recovery", data)[2] == pytest.approx((130 + 15 - 1 - 100) * DT)


def told(speed, turning, alive=None):
    """Robots at a speed (T, N); the first half of the time they are told to turn, or not."""
    command = constant(0.0, robots=speed.shape[1])
    command[: STEPS // 2] = turning
    zeros = np.zeros_like(command)
    names = {"speed": speed, "command_vx": zeros, "command_vy": zeros, "command_yaw": command}
    return trace(names, alive)


def test_drift_is_judged_only_while_told_to_stand():
    speed = constant(0.0, robots=3)
    speed[: STEPS // 2, 1] = 9.0  # while turning
    speed[STEPS // 2 :, 2] = 0.4
    for name in ("drift", "drift.alive"):
        assert take(name, told(speed, 0.9)) == pytest.approx([0, 0, 0.4])
    never = constant(1.0)
    zeros = np.zeros_like(never)
    commands = {"command_vx": never, "command_vy": zeros, "command_yaw": zeros}
    assert np.isnan(take("drift", trace({"speed": never, **commands}))).all()


def test_falling_over_is_no_way_of_standing_still():
    speed = constant(0.0)
    speed[90:100, 1] = 1.5  # the fall
    data = told(speed, 0.0, alive=[STEPS, 100])
    assert take("drift", data) == pytest.approx([0, 1.5 * (STEPS - 90) / STEPS])
    assert take("drift.alive", data) == pytest.approx([0, 0.15])


@pytest.mark.parametrize(
    "name", [n for n, m in MEASURES.items() if "legs" in m.function.__module__]
)
def test_measures_are_documented(name):
    measure = MEASURES[name]
    assert measure.doc
    assert len(measure.doc.splitlines()) == 1
    assert measure.better in (-1, 0, 1)
    assert measure.signals


def contacts(steps: int, period: float, start: float, share: float = 0.4) -> np.ndarray:
    """A foot that touches down at ``start``, ``start + period``, …, and stays for a share of it."""
    turned = ((np.arange(steps) - start) / period) % 1
    return turned < share


def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.abs((one - other + np.pi) % TURN - np.pi)


@pytest.mark.parametrize("period", [10, 15, 14.3, 27.8])
def test_the_phase_of_contacts_is_the_one_they_were_made_with(period: float) -> None:
    starts = [0.0, 4.0, 7.5]
    ground = np.stack([contacts(200, period, start) for start in starts], 1)
    phase = gait_phase(ground)
    for robot, start in enumerate(starts):
        true = (np.arange(200) - start) / period % 1 * TURN
        known = np.isfinite(phase[:, robot])
        assert known.sum() > 200 - 3 * period
        # A touch-down is seen in the step after it: within one step of the truth.
        assert apart(phase[known, robot], true[known]).max() <= TURN / period + 1e-9
    assert (phase[np.isfinite(phase)] < TURN).all()
    assert (phase[np.isfinite(phase)] >= 0).all()


def test_single_steps_of_contact_or_air_are_no_touch_downs() -> None:
    clean = contacts(120, 20, 0.0)[:, None]
    flickering = clean.copy()
    flickering[[12, 33, 74]] = True  # in the air
    flickering[[43, 84]] = False  # on the ground
    np.testing.assert_array_equal(gait_phase(flickering), gait_phase(clean))


def test_a_halt_and_the_ends_of_a_walk_have_no_phase() -> None:
    walk = contacts(60, 12, 6.0)
    stand = np.ones(50, bool)
    phase = gait_phase(np.concatenate([walk, stand, walk])[:, None])[:, 0]
    assert np.isnan(phase[:6]).all()
    assert np.isnan(phase[60:110]).all()
    assert np.isfinite(phase[20:50]).all()
    assert np.isnan(phase[-1])
    assert np.isnan(gait_phase(np.ones((40, 2), bool))).all()
    alive = np.ones((60, 1), bool)
    alive[30:] = False
    ended = gait_phase(walk[:, None] & alive, alive)[:, 0]
    assert np.isnan(ended[30:]).all()
    with pytest.raises(LabError, match="one foot"):
        gait_phase(np.ones((4, 2, 4)))
