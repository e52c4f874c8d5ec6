"""The lap world: its tracks, its robot, its lidar, what ends an episode, and what infos tell."""

import gymnasium as gym
import mujoco
import numpy as np
import pytest

import envs  # noqa: F401 - registers the worlds
from envs import lidar
from envs.lap import BUMPER, CONDITIONS, CONTROL_DT, CRASH_PENALTY, LOOKAHEAD, STUCK_SECONDS
from envs.lap_model import (
    CHASSIS_RADIUS,
    MAX_WHEEL_SPEED,
    START_HEIGHT,
    WHEEL_RADIUS,
    WHEEL_TRACK,
    lap_model,
)
from envs.tracks import HALF_WIDTH, MIN_BEND_RADIUS, SAMPLES, WALL_CORNERS, make_track

ID = "envs:rl_ablation/Lap-v0"
RING_RADIUS = 2.2  # m
RIM_SPEED = MAX_WHEEL_SPEED * WHEEL_RADIUS  # m/s
LIDAR_Z = 0.13  # m


def make(n, **kwargs):
    return gym.make_vec(ID, num_envs=n, **{"autoreset_mode": "Disabled", **kwargs})


def start(world, condition, seed=0):
    return world.reset(seed=seed, options={"condition": condition})


def constant(world, left, right):
    return np.tile(np.array([left, right], np.float32), (world.num_envs, 1))


def find_way(obs, speed=0.5):
    """A driver written by hand: turn towards where there is room."""
    room = np.clip(lidar.RANGE * obs[:, : len(lidar.ANGLES)], 0, 3) ** 2
    turn = np.clip(0.3 * room @ lidar.ANGLES / room.sum(1), -0.5, 0.5)
    return np.column_stack([speed - turn, speed + turn]).astype(np.float32)


def drive(world, condition, steps, seed=0):
    """Drive by `find_way`; returns starting infos, then observations, rewards, ends and infos."""
    obs, first = start(world, condition, seed)
    record = []
    for _ in range(steps):
        obs, reward, ended, _, infos = world.step(find_way(obs))
        record.append((obs, reward, ended, infos))
    return first, record


def walled(track):
    """The model of a track with its walls, and the robot out of the way."""
    model = lap_model(track)
    data = mujoco.MjData(model)
    data.qpos[:2] = 5.9
    mujoco.mj_forward(model, data)
    return model, data


def cast(model, data, x, y, angle):
    """Metres from (x, y) to the nearest wall in a direction, by MuJoCo's own ray."""
    point = np.array([x, y, LIDAR_Z])
    way = np.array([np.cos(angle), np.sin(angle), 0.0])
    robot = model.body("chassis").id
    return mujoco.mj_ray(model, data, point, way, None, 1, robot, np.zeros(1, np.int32))


# Tracks.


@pytest.mark.parametrize(("direction", "sign"), [("ccw", 1), ("cw", -1)])
def test_ring_is_a_circle(direction, sign):
    track = make_track("ring", direction)
    assert track.curvature == pytest.approx(np.full(SAMPLES, sign / RING_RADIUS), rel=1e-3)
    assert track.length == pytest.approx(2 * np.pi * RING_RADIUS, rel=1e-4)
    assert np.linalg.norm(track.points, axis=1) == pytest.approx(np.full(SAMPLES, RING_RADIUS))


@pytest.mark.parametrize("direction", ["ccw", "cw"])
def test_bends_bend_three_times_each_way(direction):
    bent = np.sign(make_track("bends", direction).curvature)
    assert (bent != np.roll(bent, 1)).sum() == 6


@pytest.mark.parametrize(("name", "seed"), [("ring", None), ("bends", None), ("random", 0)])
def test_the_other_direction_is_the_same_way_back(name, seed):
    one, other = (make_track(name, d, seed) for d in ("ccw", "cw"))
    gap = np.linalg.norm(one.points[:, None] - other.points[None], axis=-1).min(1)
    assert gap.max() < one.length / SAMPLES
    assert one.length == pytest.approx(other.length)
    for track, turns in ((one, 1), (other, -1)):
        around = track.curvature.sum() * track.length / SAMPLES
        assert around == pytest.approx(2 * np.pi * turns, rel=1e-6)
        step = np.roll(track.points, -1, axis=0) - track.points
        along = np.column_stack([np.cos(track.heading), np.sin(track.heading)])
        assert ((step * along).sum(1) > 0.99 * track.length / SAMPLES).all()


@pytest.mark.parametrize("seed", range(12))
def test_random_tracks_can_be_driven(seed):
    track = make_track("random", "ccw", seed)
    assert 1 / np.abs(track.curvature).max() >= MIN_BEND_RADIUS
    assert track.curvature.min() < -0.25 < 0.25 < track.curvature.max()
    # Walls nowhere cut into the corridor: from every point there is room to both sides.
    model, data = walled(track)
    for k in range(0, SAMPLES, 8):
        for side in (1, -1):
            room = cast(model, data, *track.points[k], track.heading[k] + side * np.pi / 2)
            assert room == pytest.approx(HALF_WIDTH, abs=0.012)


def test_random_tracks_come_from_their_seed():
    one, again = (make_track.__wrapped__("random", "ccw", 0) for _ in range(2))
    other = make_track("random", "ccw", 1)
    assert np.array_equal(one.points, again.points)
    assert one.length == again.length
    assert np.abs(one.points - other.points).max() > 0.1


def test_tracks_refuse_what_they_do_not_know():
    with pytest.raises(ValueError, match="unknown direction 'up'"):
        make_track("ring", "up")
    with pytest.raises(ValueError, match="unknown track 'oval'"):
        make_track("oval", "cw")
    for name, seed in (("ring", 0), ("random", None)):
        with pytest.raises(ValueError, match="a seed belongs to the track 'random'"):
            make_track(name, "cw", seed)
    with pytest.raises(ValueError, match="unknown tracks"):
        make(1, tracks=("oval",))


def test_episode_seed_decides_the_random_track():
    world = make(3)
    start(world, "random/ccw", seed=[5, 6, 5])
    first, second, third = (world.scene_model(i).geom_pos for i in range(3))
    assert np.array_equal(first, third)
    assert not np.array_equal(first, second)


def test_tracks_drawn_are_those_asked_for():
    world = make(24, tracks=("ring",))
    _, infos = world.reset(seed=0)
    assert np.hypot(infos["x"], infos["y"]) == pytest.approx(np.full(24, RING_RADIUS), abs=0.13)
    assert set(np.sign(infos["bend"])) == {-1, 1}
    tracks = {world.scene_model(i).geom_pos.tobytes() for i in range(24)}
    assert len(tracks) == 2  # there and back
    world = make(48)
    world.reset(seed=0)
    assert len({world.scene_model(i).geom_pos.tobytes() for i in range(48)}) > 5


@pytest.mark.parametrize("condition", [None, "random/cw"])
def test_a_fixed_start_draws_nothing(condition):
    options = {"condition": condition} if condition else None
    world = make(3, tracks=("bends", "ring"), fixed_start=True)
    first, infos = world.reset(seed=[0, 1, 2], options=options)
    again, _ = world.reset(seed=[3, 4, 5], options=options)
    assert (first == first[0]).all()
    assert np.array_equal(again, first)
    assert infos["lateral_error"] == pytest.approx(np.zeros(3), abs=1e-6)
    track = make_track("random", "cw", 0) if condition else make_track("bends", "ccw")
    walls = lap_model(track).geom_pos
    assert all(np.array_equal(world.scene_model(i).geom_pos, walls) for i in range(3))
    free, _ = make(3, tracks=("bends", "ring")).reset(seed=[0, 1, 2], options=options)
    assert not np.array_equal(free[0], free[1])


def test_a_robot_may_have_fewer_beams():
    all_of_them, ahead = make(3), make(3, beams=5)
    whole, _ = all_of_them.reset(seed=0)
    part, _ = ahead.reset(seed=0)
    np.testing.assert_array_equal(part, whole[:, [5, 6, 7, 8, 9, 15, 16, 17]])
    names = ahead.metadata["observation_names"]
    assert names[:5] == all_of_them.metadata["observation_names"][5:10]
    assert names[2] == "lidar +0°"
    assert make(1, beams=1).reset(seed=0)[0].shape == (1, 4)
    with pytest.raises(ValueError, match="no lidar of 4 beams; choose from 1, 3, 5"):
        make(1, beams=4)


# The robot.


def test_robot_is_plausible():
    model = lap_model()
    assert (model.nq, model.nv, model.nu) == (9, 8, 2)
    assert not mujoco.mj_isSparse(model)
    assert 1.5 < model.body_mass.sum() < 4
    assert model.actuator_forcelimited.all()


def test_walls_are_there_to_be_seen_only():
    bare, walled = lap_model(), lap_model(make_track("bends", "cw"))
    assert walled.ngeom == bare.ngeom + 2 * WALL_CORNERS
    ends = []
    for model in (bare, walled):
        data = mujoco.MjData(model)
        data.ctrl[:] = 5.0, 8.0
        for _ in range(300):  # on its way it goes through where walls are drawn
            mujoco.mj_step(model, data)
        ends.append(data.qpos.copy())
    assert np.array_equal(*ends)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_equal_wheel_speeds_drive_straight_ahead(share):
    world = make(6)
    _, before = start(world, "ring/ccw")
    yaw = 2 * np.arctan2(world.batch.qpos[:, 6], world.batch.qpos[:, 3])
    # Long enough to be at speed, short enough not to touch a wall.
    for _ in range(round(0.35 / share / RIM_SPEED / CONTROL_DT)):
        *_, after = world.step(constant(world, share, share))
    assert after["forward_speed"] == pytest.approx(np.full(6, share * RIM_SPEED), rel=0.08)
    assert np.abs(after["yaw_rate"]).max() < 0.02
    gone = np.column_stack([after[k] - before[k] for k in "xy"])
    ahead = gone[:, 0] * np.cos(yaw) + gone[:, 1] * np.sin(yaw)
    aside = gone[:, 1] * np.cos(yaw) - gone[:, 0] * np.sin(yaw)
    assert (ahead > 0.2).all()
    assert np.abs(aside).max() < 0.02
    assert world.batch.qpos[:, 2] == pytest.approx(np.full(6, START_HEIGHT), abs=0.005)


def test_faster_left_wheel_turns_right():
    world = make(4)
    for left, right in ((0.3, 0.1), (0.1, 0.3), (0.2, -0.2)):
        start(world, "ring/ccw")
        for _ in range(10):
            obs, *_, infos = world.step(constant(world, left, right))
        due = (right - left) * RIM_SPEED / WHEEL_TRACK  # the tyres' width takes some of it
        assert infos["yaw_rate"] == pytest.approx(np.full(4, due), rel=0.3)
        assert np.sign(obs[:, -1]).tolist() == [np.sign(due)] * 4  # the gyro agrees
        assert obs[:, -3] == pytest.approx(np.full(4, left), abs=0.05)
        assert obs[:, -2] == pytest.approx(np.full(4, right), abs=0.05)


def test_actions_beyond_the_limits_are_clipped():
    one, other = make(2), make(2)
    a, _ = start(one, "ring/cw")
    b, _ = start(other, "ring/cw")
    for _ in range(5):
        a, *_ = one.step(constant(one, 1.0, -1.0))
        b, *_ = other.step(constant(other, 7.0, -3.0))
    assert np.array_equal(a, b)


# Lidar.


@pytest.mark.parametrize("direction", ["ccw", "cw"])
@pytest.mark.parametrize(
    ("name", "seed"), [("ring", None), ("bends", None), *(("random", k) for k in range(8))]
)
def test_lidar_is_the_ray_cast_of_the_physics(name, seed, direction):
    track = make_track(name, direction, seed)
    model, data = walled(track)
    rng = np.random.default_rng(0)
    n = 60
    at = rng.integers(SAMPLES, size=n)
    aside = rng.uniform(CHASSIS_RADIUS - HALF_WIDTH, HALF_WIDTH - CHASSIS_RADIUS, n)
    yaw = rng.uniform(-np.pi, np.pi, n)
    normal = track.heading[at] + np.pi / 2
    place = track.points[at] + aside[:, None] * np.column_stack([np.cos(normal), np.sin(normal)])
    turn = np.column_stack([np.cos(yaw), np.sin(yaw)])
    corner = at * WALL_CORNERS // SAMPLES
    seen = lidar.cast(lidar.unroll(track)[None], np.zeros(n, int), corner, place, turn)
    off = []
    for row in range(n):
        for k, angle in enumerate(lidar.ANGLES):
            way = yaw[row] + angle
            # An edge that hides a farther wall may fall to either side of a ray.
            rays = [min(cast(model, data, *place[row], way + e), 4.0) for e in (0, -1e-4, 1e-4)]
            assert min(rays) - 0.005 < seen[row, k] < max(rays) + 0.005
            off.append(abs(seen[row, k] - rays[0]))
    assert np.median(off) < 1e-5


@pytest.mark.parametrize("condition", ["ring/ccw", "bends/cw", "random/ccw"])
def test_what_a_driving_robot_sees_is_where_it_is_now(condition):
    world = make(3)
    obs, _ = start(world, condition)
    scenes = [world.scene_model(row) for row in range(3)]
    for step in range(40):
        if step % 4 == 0:
            for row, model in enumerate(scenes):
                data = mujoco.MjData(model)
                data.qpos[:] = world.batch.qpos[row]
                mujoco.mj_forward(model, data)
                x, y, yaw = *data.qpos[:2], 2 * np.arctan2(data.qpos[6], data.qpos[3])
                rays = [min(cast(model, data, x, y, yaw + a), 4.0) for a in lidar.ANGLES]
                missed = np.abs(lidar.RANGE * obs[row, : len(rays)] - rays) > 0.005
                assert missed.sum() <= 1  # an edge may fall to either side of a ray
        obs, *_ = world.step(find_way(obs))


def test_lidar_sweeps_from_right_to_left():
    world = make(8)
    obs, infos = start(world, "ring/ccw", seed=1)
    yaw = 2 * np.arctan2(world.batch.qpos[:, 6], world.batch.qpos[:, 3])
    outward = np.arctan2(infos["y"], infos["x"]) - yaw  # the outer wall, seen by the robot
    outward = (outward + np.pi) % (2 * np.pi) - np.pi
    assert (outward < 0).all()  # driven ccw, it lies to the right
    ray = np.abs(lidar.ANGLES[None] - outward[:, None]).argmin(1)
    room = RING_RADIUS + HALF_WIDTH - np.hypot(infos["x"], infos["y"])
    assert lidar.RANGE * obs[np.arange(8), ray] == pytest.approx(room, abs=0.03)


# Laps.


@pytest.mark.parametrize(("direction", "sign"), [("ccw", 1), ("cw", -1)])
def test_progress_on_the_ring_is_the_angle_swept(direction, sign):
    world = make(4)
    first, record = drive(world, f"ring/{direction}", 450)
    assert not any(ended.any() for _, _, ended, _ in record)
    angle = np.array([np.arctan2(i["y"], i["x"]) for i in (first, *(r[-1] for r in record))])
    swept = sign * np.unwrap(angle, axis=0)
    progress = np.array([infos["progress"] for *_, infos in record])
    assert (progress[-1] > 1.05).all()  # more than a lap: it does not stop at one
    assert progress == pytest.approx((swept[1:] - swept[0]) / (2 * np.pi), abs=2e-3)
    reward = np.array([reward for _, reward, *_ in record])
    length = make_track("ring", direction).length
    assert reward.sum(0) == pytest.approx(progress[-1] * length, rel=1e-6)


@pytest.mark.parametrize("condition", ["bends/ccw", "bends/cw", "random/ccw", "random/cw"])
def test_a_simple_driver_does_a_lap_and_progress_is_the_distance(condition):
    world = make(4)
    first, record = drive(world, condition, 600)
    assert not any(ended.any() for _, _, ended, _ in record)
    ways = np.array([[i["x"], i["y"]] for i in (first, *(r[-1] for r in record))])
    driven = np.linalg.norm(np.diff(ways, axis=0), axis=1).sum(0)
    last = record[-1][-1]
    assert (last["progress"] > 1.0).all()
    lap = world.unwrapped.robots.guide.length
    # Corners are cut, so a lap along the centreline is a little longer than the way driven.
    assert driven / lap == pytest.approx(last["progress"], rel=0.08)
    speed = np.array([infos["forward_speed"] for *_, infos in record])
    assert speed.mean(0) * 600 * CONTROL_DT == pytest.approx(driven, rel=0.02)


def test_driving_back_loses_progress():
    world = make(4)
    start(world, "ring/ccw")
    total = 0.0
    for _ in range(12):
        _, reward, *_, infos = world.step(constant(world, -0.2, -0.2))
        total += reward
    assert (infos["progress"] < -0.005).all()
    assert (total < 0).all()
    assert (infos["forward_speed"] < 0).all()


# Ends.


def test_a_wall_ends_the_episode_and_costs():
    world = make(6)
    start(world, "ring/ccw")
    before = np.zeros(6)
    done = np.zeros(6, bool)
    length = make_track("ring", "ccw").length
    for _ in range(100):
        _, reward, ended, cut, infos = world.step(constant(world, 0.6, 0.6))
        here = ended & ~done
        gained = (infos["progress"] - before) * length
        assert reward[here] == pytest.approx(gained[here] - CRASH_PENALTY, abs=1e-9)
        running = ~ended & ~done
        assert reward[running] == pytest.approx(gained[running], abs=1e-9)
        assert (infos["clearance"][here] <= BUMPER).all()
        assert (infos["clearance"][running] > BUMPER).all()
        assert infos["crash"][here].all()
        assert not infos["crash"][running].any()
        assert not infos["stuck"].any()
        assert not cut.any()
        for row in np.flatnonzero(here):
            assert chassis_to_wall(world, row) < 0.03  # it really is at a wall
        before, done = infos["progress"], done | ended
        if done.all():
            return
    raise AssertionError("a robot that drives straight ahead met no wall")


def chassis_to_wall(world, row):
    model = world.scene_model(row)
    data = mujoco.MjData(model)
    data.qpos[:] = world.batch.qpos[row]
    mujoco.mj_forward(model, data)
    walls = np.flatnonzero(
        (model.geom_bodyid == 0) & (model.geom_type == mujoco.mjtGeom.mjGEOM_BOX)
    )
    chassis = model.geom("chassis").id
    return min(mujoco.mj_geomDistance(model, data, chassis, w, 1.0, None) for w in walls)


@pytest.mark.parametrize("wheels", [(0.0, 0.0), (0.3, -0.3)])
def test_a_robot_that_does_not_get_on_is_stuck_after_three_seconds(wheels):
    world = make(4)
    start(world, "bends/cw")
    steps = round(STUCK_SECONDS / CONTROL_DT)
    for _ in range(steps):
        _, _, ended, _, infos = world.step(constant(world, *wheels))
        assert not ended.any()
    _, reward, ended, cut, infos = world.step(constant(world, *wheels))
    assert ended.all()
    assert not cut.any()
    assert infos["stuck"].all()
    assert not infos["crash"].any()
    assert (reward > -1.0).all()  # no penalty


def test_a_robot_that_stops_later_is_stuck_then():
    world = make(2)
    obs, _ = start(world, "ring/ccw")
    for _ in range(80):
        obs, _, ended, _, _ = world.step(find_way(obs))
        assert not ended.any()
    stood = 0
    while not ended.all():
        _, _, ended, _, infos = world.step(constant(world, 0.0, 0.0))
        stood += 1
    assert infos["stuck"].any()
    assert 50 < stood < 70


# What infos tell.


@pytest.mark.parametrize("condition", CONDITIONS)
def test_bend_and_sides_have_the_right_sign(condition):
    track, direction = condition.split("/")
    sign = 1 if direction == "ccw" else -1
    world = make(6)
    first, record = drive(world, condition, 60)
    for infos in (first, *(r[-1] for r in record)):
        room = HALF_WIDTH - CHASSIS_RADIUS
        assert infos["clearance"] == pytest.approx(room - np.abs(infos["lateral_error"]))
        if track != "ring":
            continue
        assert infos["bend"] == pytest.approx(np.full(6, sign / RING_RADIUS), rel=1e-3)
        inside = RING_RADIUS - np.hypot(infos["x"], infos["y"])
        assert infos["lateral_error"] == pytest.approx(sign * inside, abs=2e-3)
    assert np.ptp([r[-1]["lateral_error"] for r in record]) > 0.05


@pytest.mark.parametrize("condition", ["bends/ccw", "bends/cw"])
def test_bend_is_the_curvature_ahead_of_the_robot(condition):
    track = make_track(*condition.split("/"))
    world = make(4)
    _, record = drive(world, condition, 400)
    seen = set()
    for *_, infos in record[::10]:
        place = np.column_stack([infos["x"], infos["y"]])
        nearest = np.linalg.norm(place[:, None] - track.points[None], axis=-1).argmin(1)
        ahead = nearest + round(LOOKAHEAD / (track.length / SAMPLES))
        assert infos["bend"] == pytest.approx(track.curvature[ahead % SAMPLES])
        seen |= set(np.sign(infos["bend"]))
    assert seen == {-1, 1}
