"""What terms, ends, signals and sources come to in numbers."""

import gymnasium as gym
import mujoco
import numpy as np
import pytest

import envs  # noqa: F401 - registers the worlds
from envs import lidar
from envs.quadruped_model import HOME
from envs.sources import Robots
from envs.terms import Control, Ends, Observer, Signals, end, gauge, term
from envs.tracks import HALF_WIDTH, WALL_CORNERS, make_track


def robots_of(n, **fields):
    """N robots whose state is given: name → (n, K)."""
    model = mujoco.MjModel.from_xml_string("<mujoco/>")
    kept = {name: np.array(values, float) for name, values in fields.items()}
    return Robots(model, 0.1, np.zeros(n, int), {}.__getitem__, kept)


def read(robots, *terms, size, rows=None):
    space = gym.spaces.Box(-np.inf, np.inf, (size,), np.float64)
    return Observer(robots, terms, space)(robots.all_rows if rows is None else rows).copy()


def test_a_term_shifts_scales_divides_and_clips_in_that_order():
    robots = robots_of(2, qpos=[[1, 2, 3], [4, 5, 6]])
    said = term("qpos", at=[2, 0], minus=[1, 2], scale=3, over=2, clip=(-1, 4))
    assert read(robots, said, term("qpos", at=range(1, 2)), size=3).tolist() == [
        [3, -1, 2], [4, 3, 5],
    ]  # fmt: skip
    assert read(robots, said, size=2, rows=np.array([1])).tolist() == [[4, 3]]
    with pytest.raises(ValueError, match="the terms give 2 numbers, the space has 3"):
        read(robots, said, size=3)
    with pytest.raises(ValueError, match=r"unknown source 'nose'; .* one of .*gravity.*, qpos"):
        read(robots, term("nose"), size=3)
    with pytest.raises(TypeError, match="scael"):
        read(robots, term("gravity", scael=2), size=3)


def test_a_space_clips_what_is_observed():
    robots = robots_of(1, qpos=[[-9, 0.3, 9]])
    space = gym.spaces.Box(-2, 2, (3,), np.float32)
    seen = Observer(robots, [term("qpos")], space)(robots.all_rows)
    assert seen.dtype == np.float32
    assert seen.tolist() == [[-2, np.float32(0.3), 2]]
    uneven = gym.spaces.Box(np.array([0, -1], np.float32), np.ones(2, np.float32))
    with pytest.raises(ValueError, match="the same limits in all its entries"):
        Observer(robots, [term("qpos")], uneven)


def test_a_history_is_oldest_first_and_starts_full():
    robots = robots_of(2, qpos=[[1, 2], [3, 4]])
    space = gym.spaces.Box(-np.inf, np.inf, (7,), np.float64)
    observe = Observer(robots, [term("qpos", scale=10, history=3), term("qpos", at=[0])], space)
    both, first = robots.all_rows, np.array([0])
    assert observe(both)[:, :6].tolist() == [[10, 20] * 3, [30, 40] * 3]
    robots.steps += 1
    robots.field("qpos")[:] = [[5, 6], [7, 8]]
    assert observe(both).tolist() == [[10, 20, 10, 20, 50, 60, 5], [30, 40, 30, 40, 70, 80, 7]]
    robots.steps[0] = 0  # starts again, alone
    robots.field("qpos")[0] = 0
    assert observe(first).tolist() == [[0] * 7]
    robots.steps += 1
    robots.field("qpos")[1] = 9
    assert observe(both)[1].tolist() == [30, 40, 70, 80, 90, 90, 9]


def test_ends_hit_at_their_limits():
    robots = robots_of(5, qpos=[[1.0], [2.0], [3.0], [np.nan], [np.inf]])

    def hits(**test):
        return Ends(robots, [end("e", term("qpos"), **test)])(robots.all_rows)["e"].tolist()

    assert hits(at_most=2) == [True, True, False, False, False]
    assert hits(below=2) == [True, False, False, False, False]
    assert hits(outside=(1, 3)) == [True, False, True, True, True]
    assert hits(beyond=(1, 3)) == [False, False, False, True, True]
    assert hits(outside=(-np.inf, np.inf)) == [False, False, False, True, True]
    assert hits(outside=(None, 3)) == [False, False, True, True, True]
    two = [end("low", term("qpos"), below=2), end("odd", term("qpos"), outside=(1, 3))]
    told = Ends(robots, two)(robots.all_rows)
    assert told["low"].tolist() == [True, False, False, False, False]
    assert told["odd"].tolist() == [False, False, True, True, True], "the first hit counts"


def test_an_end_of_too_little_gain_starts_anew_with_each_episode():
    robots = robots_of(1, qpos=[[0.0]])
    ends = Ends(robots, [end("stuck", term("qpos"), gains_less=1.0, within=0.3)])
    hits = []
    for place in (0.0, 0.5, 1.0, 1.5, 1.6, 1.7):
        robots.steps += 1
        robots.field("qpos")[:] = place
        hits.append(bool(ends(robots.all_rows)["stuck"][0]))
    assert hits == [False, False, False, False, False, True]  # 1.7 − 1.0 < 1, 1.6 − 0.5 is not
    robots.steps[:] = 0
    for _ in range(3):
        robots.steps += 1
        assert not ends(robots.all_rows)["stuck"][0]


def test_signals_are_copies():
    robots = robots_of(2, qpos=[[1, 2], [3, 4]])
    told = Signals(robots, {"x": term("qpos", at=[0]), "both": term("qpos"),
                            "one": term("qpos", at=[1], vector=True)})(robots.all_rows)  # fmt: skip
    robots.field("qpos")[:] = 0
    assert {k: v.tolist() for k, v in told.items()} == {
        "x": [1, 3], "both": [[1, 2], [3, 4]], "one": [[2], [4]],
    }  # fmt: skip


def test_control_clips_scales_and_shifts():
    control = Control(clip=(-1, 1), scale=np.array([2.0, 3.0]), offset=np.array([0.5, 0.0]))
    action = control.action(np.array([[-4.0, 0.5]]))
    assert action.tolist() == [[-1.0, 0.5]]
    assert control.ctrl(action).tolist() == [[-1.5, 1.5]]
    assert Control().action(action) is action


def test_terms_say_what_a_published_robots_policy_observes():
    """As trackers of velocity for real quadrupeds are published: scales, a clock, and a history."""
    joints = range(7, 19)
    said = [
        term("qvel", at=range(3, 6), scale=0.25, history=2),
        term("gravity", history=2),
        term("qpos", at=joints, minus=HOME, history=2),
        term("qvel", at=range(6, 18), scale=0.05, history=2),
        term("action", history=2),
        term("command", scale=[2.0, 2.0, 0.25]),
        term("phase", period=0.5, offset=np.pi),
    ]
    world = gym.make_vec("rl_ablation/Quadruped-v0", 2).unwrapped
    size = 2 * (3 + 3 + 12 + 12 + 12) + 3 + 2
    observe = Observer(world.robots, said, gym.spaces.Box(-np.inf, np.inf, (size,), np.float32))
    world.reset(seed=[0, 1], options={"condition": ["forward", "turn_left"]})
    rng, seen = np.random.default_rng(0), []
    for step in range(4):
        obs = observe(world.all_rows).copy()
        qpos, qvel = world.robots.field("qpos"), world.robots.field("qvel")
        turn = np.zeros((2, 9))
        for row in (0, 1):
            mujoco.mju_quat2Mat(turn[row], qpos[row, 3:7])
        seen.append([qvel[:, 3:6] / 4, -turn[:, 6:], qpos[:, 7:] - HOME, qvel[:, 6:] / 20,
                     world.action.copy()])  # fmt: skip
        before = seen[-2] if step else seen[-1]
        parts = [x for pair in zip(before, seen[-1], strict=True) for x in pair]
        angle = 2 * np.pi * step * 0.02 / 0.5 + np.pi
        clock = np.broadcast_to([np.cos(angle), np.sin(angle)], (2, 2))
        command = [[1.6, 0.0, 0.0], [0.0, 0.0, 0.225]]
        wanted = np.concatenate([*parts, command, clock], axis=1)
        assert obs == pytest.approx(wanted, abs=1e-6)
        world.step(rng.uniform(-1, 1, (2, 12)))


def test_gauges_are_plain_data():
    assert gauge("yaw_rate", "rad/s", 0, 1, sign=-1, while_="bend > 0", label="x") == {
        "signal": "yaw_rate", "label": "x", "unit": "rad/s", "low": 0, "high": 1,
        "measure": "yaw_rate.alive", "take": "mean", "sign": -1, "while": "bend > 0",
    }  # fmt: skip


# The lidar looks at some corners of the walls only; whoever plays a scene may look at all.


@pytest.mark.parametrize(("name", "seed"), [("ring", None), ("bends", None), ("random", 3)])
def test_all_corners_of_the_walls_give_the_distances_of_those_nearby(name, seed):
    track = make_track(name, "ccw", seed)
    rng, n = np.random.default_rng(0), 40
    nearest = rng.integers(0, len(track.points), n)
    normal = track.heading[nearest] + np.pi / 2
    off = rng.uniform(-0.9, 0.9, n) * (HALF_WIDTH - 0.02)
    place = track.points[nearest] + off[:, None] * np.column_stack([np.cos(normal), np.sin(normal)])
    yaw = rng.uniform(-np.pi, np.pi, n)
    corner = nearest * WALL_CORNERS // len(track.points)
    turn = np.column_stack([np.cos(yaw), np.sin(yaw)])
    seen = lidar.cast(lidar.unroll(track)[None], np.zeros(n, int), corner, place, turn)
    for k in range(n):
        for ray, angle in enumerate(lidar.ANGLES + yaw[k]):
            way, hits = np.array([np.cos(angle), np.sin(angle)]), [lidar.RANGE]
            for wall in track.walls:
                a = wall - place[k]
                along = np.roll(a, -1, axis=0) - a
                area = way[0] * along[:, 1] - way[1] * along[:, 0]
                t = (a[:, 0] * along[:, 1] - a[:, 1] * along[:, 0]) / area
                s = (a[:, 0] * way[1] - a[:, 1] * way[0]) / area
                hits += t[(t > 0) & (s >= -1e-9) & (s <= 1 + 1e-9)].tolist()
            assert seen[k, ray] == pytest.approx(min(hits), abs=1e-4)
