"""The robots of published policies: their figures, how they stand, and that the policies walk."""

from pathlib import Path

import gymnasium as gym
import mujoco
import numpy as np
import pytest
import torch

import envs  # noqa: F401 - registers the worlds
import rl_ablation as rl
from envs import g1, g1_model, go1, go1_model
from envs.commanded import battery
from envs.scene import portable
from rl_ablation.rollouts.episodes import Episode
from rl_ablation.rollouts.rollout import rollout
from rl_ablation.rollouts.world import World

SHARED = Path(__file__).resolve().parents[3] / "shared" / "third_party" / "robots"
GO1, G1 = "envs:rl_ablation/Go1-v0", "envs:rl_ablation/G1-v0"
BODIES = {
    GO1: (go1.GO1, go1_model, 12.743448),
    G1: (g1.G1_LEGS, g1_model, 32.1069),
}
SPEEDS = ("forward_speed", "lateral_speed", "yaw_rate", "fall", "x", "foot_contact")

every_robot = pytest.mark.parametrize("env_id", BODIES)


def make(env_id, n=1, **kwargs):
    return gym.make_vec(env_id, num_envs=n, autoreset_mode="Disabled", **kwargs)


def published(name, env_id):
    path = SHARED / name
    if not path.exists():
        pytest.skip("the published policies are not here")
    return rl.load(path, env=env_id)


# Bodies.


@every_robot
def test_figures_are_the_published_ones(env_id):
    robot, _, mass = BODIES[env_id]
    model = robot.spec().compile()
    assert model.body_mass.sum() == pytest.approx(mass, rel=1e-9)
    assert [model.joint(i).name for i in range(1, model.njnt)] == list(robot.joints)
    assert [model.actuator(i).name for i in range(model.nu)] == list(robot.joints)
    assert not mujoco.mj_isSparse(model)
    low, high = model.jnt_range[1:].T
    assert ((low < robot.home) & (robot.home < high)).all()
    # A rigid body's principal moments: none is more than the two others together.
    moments = np.sort(model.body_inertia[1:])
    assert (moments[:, 2] <= moments[:, 0] + moments[:, 1]).all()


@every_robot
def test_left_and_right_mirror_each_other(env_id):
    robot, module, _ = BODIES[env_id]
    model = robot.spec().compile()
    data = mujoco.MjData(model)
    data.qpos[2], data.qpos[7:] = module.HOME_HEIGHT, robot.home
    mujoco.mj_forward(model, data)
    for body in range(2, model.nbody):
        name = model.body(body).name
        twin = name.replace("left", "right") if env_id == G1 else f"{name[0]}R{name[2:]}"
        other = model.body(twin).id
        left, right = data.xipos[[body, other]]
        # The calves of a Go1 are not mirrored: their centre of mass is 1 mm beside the middle.
        assert np.allclose(left * [1, -1 if other != body else 1, 1], right, atol=2.1e-3), name
        assert np.allclose(model.body_inertia[body], model.body_inertia[other])


@every_robot
def test_feet_are_on_the_floor_at_the_start(env_id):
    robot = BODIES[env_id][0]
    model = robot.spec().compile()
    data = mujoco.MjData(model)
    data.qpos[2], data.qpos[7:] = robot.start_height, robot.home
    mujoco.mj_forward(model, data)
    touching = [
        data.geom_xpos[i, 2] - model.geom_size[i, 0]
        for i in range(model.ngeom)
        if model.geom_contype[i]
    ]
    assert len(touching) == (4 if env_id == GO1 else 8)
    assert np.ptp(touching) < 2e-3
    assert abs(min(touching)) < 0.02
    solid = model.geom_type != mujoco.mjtGeom.mjGEOM_PLANE
    assert (data.geom_xpos[solid, 2] > 0).all()


@every_robot
def test_a_servo_is_the_torque_of_the_deployment(env_id):
    robot = BODIES[env_id][0]
    model = robot.spec().compile()
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    data.qpos[2], data.qpos[7:] = 2.0, robot.home + rng.uniform(-0.2, 0.2, model.nu)
    data.qvel[6:] = rng.uniform(-1, 1, model.nu)
    data.ctrl[:] = robot.home
    off, speed = robot.home - data.qpos[7:], data.qvel[6:].copy()
    mujoco.mj_step(model, data)
    kp = np.array([100, 100, 100, 150, 40, 40] * 2 if env_id == G1 else [35.0] * 12)
    kd = np.array([2, 2, 2, 4, 2, 2] * 2 if env_id == G1 else [0.0] * 12)
    assert np.allclose(data.actuator_force, kp * off - kd * speed)


def test_a_scene_carries_inertias_exactly():
    assert "diaginertia" in portable(g1_model.g1_spec())


# Worlds.


@every_robot
def test_observations_are_said_by_name(env_id):
    world = make(env_id, 2)
    assert len(world.metadata["observation_names"]) == world.single_observation_space.shape[0]
    assert world.metadata["action_names"] == tuple(world.unwrapped.robot.joints)
    assert set(world.metadata["conditions"]) == set(
        battery(forward=1, backward=1, sideways=1, turn=1, push=(1, 1))
    )
    assert all(about["measure"] in rl.MEASURES for about in world.metadata["conditions"].values())


def test_a_go1_senses_what_its_policy_was_trained_on():
    world = make(GO1)
    obs, _ = world.reset(seed=1, options={"condition": "left"})
    model, batch = world.unwrapped.batch.model, world.unwrapped.batch
    for _ in range(4):
        action = np.full((1, 12), 0.3, np.float32)
        obs, *_ = world.step(action)
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = batch.qpos[0], batch.qvel[0]
    mujoco.mj_forward(model, data)
    turn = data.xmat[1].reshape(3, 3)
    at_imu = turn.T @ data.qvel[:3] + np.cross(data.qvel[3:6], go1_model._IMU)
    # Sensors are those of the last physics step's beginning.
    assert np.allclose(obs[0, :3], at_imu, atol=0.15)
    assert np.allclose(data.sensordata, np.r_[at_imu, data.qvel[3:6]])
    assert np.allclose(obs[0, 6:9], -turn[2], atol=1e-6)
    assert np.allclose(obs[0, 9:21], data.qpos[7:] - go1_model.HOME, atol=1e-6)
    assert np.allclose(obs[0, 21:33], data.qvel[6:], rtol=1e-6)
    assert np.allclose(obs[0, 33:45], action)
    assert np.allclose(obs[0, 45:], [0.0, 0.5, 0.0])


def test_a_g1_senses_what_its_policy_was_trained_on():
    world = make(G1)
    world.reset(seed=1, options={"condition": "forward"})
    for _ in range(3):
        obs, *_ = world.step(np.full((1, 12), 0.3, np.float32))
    batch = world.unwrapped.batch
    w, x, y, z = batch.qpos[0, 3:7]
    assert np.allclose(obs[0, :3], 0.25 * batch.qvel[0, 3:6], rtol=1e-6)
    assert np.allclose(obs[0, 3:5], [2 * (w * y - x * z), -2 * (y * z + w * x)], atol=1e-6)
    assert np.allclose(obs[0, 6:9], [1.0, 0.0, 0.0])
    assert np.allclose(obs[0, 9:21], batch.qpos[0, 7:] - g1_model.HOME, atol=1e-6)
    assert np.allclose(obs[0, 21:33], 0.05 * batch.qvel[0, 6:], rtol=1e-6)
    assert np.allclose(obs[0, 33:45], 0.3)
    clock = 2 * np.pi * 0.06 / 0.8
    assert np.allclose(obs[0, 45:], [np.sin(clock), np.cos(clock)])


def test_without_a_policy_a_go1_stands_and_a_g1_falls():
    go1_world, g1_world = make(GO1, 4), make(G1, 4)
    for world in (go1_world, g1_world):
        world.reset(seed=0, options={"condition": "stand"})
    fell = np.zeros(4, bool)
    for _ in range(150):
        *_, go1_infos = go1_world.step(np.zeros((4, 12), np.float32))
        _, _, ended, _, _ = g1_world.step(np.zeros((4, 12), np.float32))
        fell |= ended
    assert not go1_infos["fall"].any()
    assert go1_infos["foot_contact"].all()
    assert (go1_infos["uprightness"] > 0.99).all()
    assert fell.all(), "two legs need a policy"


@every_robot
def test_the_reward_is_largest_on_command(env_id):
    world = make(env_id)
    world.reset(seed=0, options={"condition": "stand"})
    info = {name: np.zeros(1) for name in ("forward_speed", "lateral_speed", "yaw_rate",
                                           "command_vx", "command_vy", "command_yaw")}  # fmt: skip
    best = world.unwrapped._reward(np.zeros(1, int), info)
    assert best == pytest.approx(0.03)
    for name in info:
        assert world.unwrapped._reward(np.zeros(1, int), info | {name: np.full(1, 0.3)}) < best


# What their authors' policies do.


def walk(policy, env_id, conditions, each, horizon=500):
    """Play the policy; returns condition → signals, (T, each, …)."""
    jobs = [
        Episode(rl.Lesion(name="intact"), 100 + k, condition)
        for condition in conditions
        for k in range(each)
    ]
    world = World(env_id, len(jobs))
    try:
        trace = rollout(policy, world, jobs, signals=SPEEDS, horizon=horizon)
    finally:
        world.close()
    assert not trace.terminated.any()
    return {
        name: {s: trace[s][:, each * i : each * (i + 1)] for s in SPEEDS}
        for i, name in enumerate(conditions)
    }


def test_googles_policy_walks_in_the_go1():
    policy = published("go1-playground/go1_policy.onnx", GO1)
    done = walk(policy, GO1, ["forward", "left", "right", "push"], 2, horizon=300)
    late = slice(100, None)
    assert done["forward"]["forward_speed"][late].mean() == pytest.approx(1.0, abs=0.1)
    assert done["left"]["lateral_speed"][late].mean() == pytest.approx(0.5, abs=0.1)
    assert done["right"]["lateral_speed"][late].mean() == pytest.approx(-0.5, abs=0.1)
    # It trots: diagonal feet are down together.
    feet = done["forward"]["foot_contact"][late] > 0
    together = (feet[..., 0] == feet[..., 2]) & (feet[..., 1] == feet[..., 3])
    assert together.mean() > 0.6


def test_unitrees_policy_walks_in_the_g1():
    policy = published("g1-unitree-lstm/motion.pt", G1)
    done = walk(policy, G1, ["forward", "turn_left"], 2)
    assert (done["forward"]["x"][-1] > 4.0).all()
    assert done["turn_left"]["yaw_rate"][100:].mean() == pytest.approx(0.5, abs=0.1)
    feet = done["forward"]["foot_contact"][100:] > 0
    assert feet.any(-1).mean() > 0.95, "it walks: it hardly ever flies"
    assert 0.5 < feet.mean() < 0.75


def test_a_map_runs_the_published_program_itself(tmp_path):
    """The library that wrote the file, in a plain loop of its own, goes the same way for 2 s."""
    policy = published("g1-unitree-lstm/motion.pt", G1)
    run = rl.sweep(
        policy, rl.layers(policy), episodes=1, horizon=100, conditions=("forward",), folder=tmp_path
    )
    jobs = run.episodes.jobs(rl.Lesion(name="intact"))
    world = World(G1, 1)
    trace = rollout(policy, world, jobs, signals=("obs", "action", "reward"), horizon=100)
    world.close()
    table = run.table()
    total = table[table["lesion"] == "intact"]["return"].iloc[0]
    assert total == pytest.approx(trace["reward"].sum(), rel=1e-6)
    program = torch.jit.load(SHARED / "g1-unitree-lstm/motion.pt")
    env = gym.make(G1)
    obs, _ = env.reset(seed=jobs[0].seed, options={"condition": "forward"})
    for step in range(100):
        np.testing.assert_allclose(obs, trace["obs"][step, 0], atol=5e-3)
        action = program(torch.from_numpy(obs)[None]).detach().numpy()[0]
        np.testing.assert_allclose(action, trace["action"][step, 0], atol=5e-3)
        obs = env.step(action)[0]
    env.close()
