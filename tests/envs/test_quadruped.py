"""The quadruped world: contract, conditions, commands, pushes, falls."""

import warnings

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs  # noqa: F401 - registers the worlds
from envs.commanded import PUSH_CHANCE, SEGMENT_STEPS, SEGMENTS
from envs.quadruped import CONDITIONS, QuadrupedBatch
from envs.quadruped_model import (
    ACTION_SCALE,
    FOOT_NAMES,
    HOME,
    HOME_HEIGHT,
    JOINT_NAMES,
    TORQUE_LIMIT,
    quadruped_model,
)
from envs.quadruped_rewards import REWARDS, STANCE_HEIGHT, Motion

ID = "envs:rl_ablation/Quadruped-v0"


def make(n, **kwargs):
    return gym.make_vec(ID, num_envs=n, **{"autoreset_mode": "Disabled", **kwargs})


def play(world, steps, seed=0, condition=None, scale=0.0):
    """Run with random actions; returns observations, rewards, ends and infos, time first."""
    options = None if condition is None else {"condition": condition}
    obs, _ = world.reset(seed=seed, options=options)
    rng = np.random.default_rng(5)
    record = []
    for _ in range(steps):
        actions = scale * rng.uniform(-1, 1, world.action_space.shape).astype(np.float32)
        obs, reward, ended, cut, infos = world.step(actions)
        record.append((obs, reward, ended | cut, infos))
    return record


def test_gymnasium_contract():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(gym.make(ID).unwrapped, skip_render_check=True)


def test_sb3_contract():
    from stable_baselines3.common.env_checker import check_env as check_sb3

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_sb3(gym.make(ID).unwrapped)


def test_robot_is_plausible():
    model = quadruped_model()
    assert (model.nq, model.nv, model.nu) == (19, 18, 12)
    assert not mujoco.mj_isSparse(model)
    assert 10 < model.body_mass.sum() < 15
    assert np.array_equal(model.actuator_forcerange[:, 1], TORQUE_LIMIT)
    names = [model.joint(i).name for i in range(1, model.njnt)]
    assert tuple(names) == JOINT_NAMES
    assert [model.actuator(i).name for i in range(model.nu)] == names
    # Every target that an action can ask for is within the joint's range.
    low, high = model.jnt_range[1:].T
    assert (low <= HOME - ACTION_SCALE).all()
    assert (high >= HOME + ACTION_SCALE).all()


def test_feet_are_under_the_hips_at_home():
    model = quadruped_model()
    data = mujoco.MjData(model)
    data.qpos[2], data.qpos[3], data.qpos[7:] = HOME_HEIGHT, 1.0, HOME
    mujoco.mj_forward(model, data)
    for name in FOOT_NAMES:
        foot, thigh = data.geom(name).xpos, data.body(name.replace("foot", "thigh")).xpos
        assert np.allclose(foot[:2], thigh[:2])
        assert foot[2] == pytest.approx(model.geom(name).size[0])


@pytest.mark.parametrize("kwargs", [{}, {"nthread": 1}])
def test_a_row_depends_on_its_own_seed_only(kwargs):
    world, alone = make(5, **kwargs), make(1)
    together = play(world, 40, seed=[7, 8, 9, 10, 11], scale=0.5)
    again = play(make(5), 40, seed=[7, 8, 9, 10, 11], scale=0.5)
    for (a, r, _, _), (b, s, _, _) in zip(together, again, strict=True):
        assert np.array_equal(a, b)
        assert np.array_equal(r, s)
    obs, _ = alone.reset(seed=[9])
    rng = np.random.default_rng(5)
    for step in range(40):
        actions = 0.5 * rng.uniform(-1, 1, (5, 12)).astype(np.float32)
        obs, *_ = alone.step(actions[2:3])
        assert np.array_equal(obs[0], together[step][0][2])


def test_single_robot_is_a_row_of_the_batch():
    single, batch = gym.make(ID), make(1)
    options = {"condition": "push"}
    a, _ = single.reset(seed=3, options=options)
    b, _ = batch.reset(seed=[3], options=options)
    assert np.array_equal(a, b[0])
    for _ in range(20):
        action = single.action_space.sample()
        a, reward, *_, info = single.step(action)
        b, rewards, *_, infos = batch.step(action[None])
        assert np.array_equal(a, b[0])
        assert reward == rewards[0]
    assert set(info) == {k for k in infos if not k.startswith("_")}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_condition_sets_a_constant_command(condition):
    record = play(make(3), 30, condition=condition)
    wanted = np.float32(CONDITIONS[condition]["command"])
    for obs, _, _, infos in record:
        assert np.array_equal(obs[:, -3:], np.tile(wanted, (3, 1)))
        given = [infos[key] for key in ("command_vx", "command_vy", "command_yaw")]
        assert np.array_equal(np.float32(given).T, obs[:, -3:])


def test_commands_are_drawn_and_change_without_a_condition():
    world = make(64)
    first = world.reset(seed=0)[0][:, -3:]
    assert (first == 0).all(1).any()
    assert (np.count_nonzero(first, axis=1) == 1).any()
    assert (np.count_nonzero(first, axis=1) == 3).any()
    batch = world.unwrapped
    lengths = np.diff(batch._command_steps, axis=1)
    assert (lengths >= SEGMENT_STEPS[0]).all()
    assert (lengths < SEGMENT_STEPS[1]).all()
    # Past the last segment the last command stays.
    batch.steps[:] = 10**6
    world.step(np.zeros((64, 12), np.float32))
    assert np.array_equal(batch._command, batch._commands[:, SEGMENTS - 1])


def test_new_command_is_judged_only_after_it_was_seen():
    world = make(8)
    obs, _ = world.reset(seed=1)
    batch = world.unwrapped
    seen = obs[:, -3:]
    batch._command_steps[:, 1] = 5
    for _ in range(8):
        obs, *_, infos = world.step(np.zeros((8, 12), np.float32))
        assert np.array_equal(np.float32(infos["command_vx"]), seen[:, 0])
        seen = obs[:, -3:]
    assert np.array_equal(seen, np.float32(batch._commands[:, 1]))


def test_standing_holds_for_seconds_without_a_policy():
    record = play(make(8), 150, condition="stand")
    infos = record[-1][-1]
    assert not any(done.any() for _, _, done, _ in record)
    assert (infos["height"] > 0.22).all()
    assert (infos["uprightness"] > 0.98).all()
    assert infos["foot_contact"].all()
    assert (np.abs(infos["speed"]) < 0.1).all()


def test_push_pushes_sideways_at_its_time():
    pushed, left = play(make(16), 225, condition="push"), play(make(16), 225, condition="forward")
    when = np.array([infos["pushed"] for *_, infos in pushed])
    assert np.array_equal(np.flatnonzero(when.any(1)), np.arange(200, 205))
    assert when[200:205].all()
    assert not any(infos["pushed"].any() for *_, infos in left)
    sideways = np.array([infos["lateral_speed"] for *_, infos in pushed])
    assert (np.abs(sideways[204]) > 0.4).all()
    assert (np.abs(sideways[190:200]) < 0.3).all()
    assert {1.0, -1.0} == set(np.sign(sideways[204]))


def test_a_push_can_be_told_when_and_its_twin_is_not_pushed():
    early, never = (play(make(8, push_at=at), 60, condition="push") for at in (0.5, 1e6))
    for step in range(25):
        assert np.array_equal(early[step][0], never[step][0]), "the same robot until it is pushed"
    when = np.array([infos["pushed"] for *_, infos in early])
    assert np.array_equal(np.flatnonzero(when.any(1)), np.arange(25, 30))
    assert not np.array([infos["pushed"] for *_, infos in never]).any()
    as_ever, drawn = play(make(8), 60), play(make(8, push_at=0.5), 60)
    assert np.array_equal(as_ever[-1][0], drawn[-1][0]), "it is for the condition push alone"


def test_training_pushes_come_in_every_direction():
    batch = QuadrupedBatch(256)
    batch.reset(seed=0)
    force = batch._pushes[batch._pushes.any(-1)]
    share = len(force) / batch._pushes[..., 0].size
    assert share == pytest.approx(PUSH_CHANCE, abs=0.05)
    angle = np.arctan2(force[:, 1], force[:, 0])
    assert np.abs(np.exp(1j * angle).mean()) < 0.1


def test_fall_terminates():
    world = make(4)
    world.reset(seed=0)
    batch = world.unwrapped
    batch.batch.qpos[1, 3:7] = (np.cos(0.7), np.sin(0.7), 0, 0)  # on its side
    batch.batch.qpos[2, 2] = 0.1
    _, _, terminated, truncated, infos = world.step(np.zeros((4, 12), np.float32))
    assert terminated.tolist() == [False, True, True, False]
    assert np.array_equal(infos["fall"], terminated)
    assert not truncated.any()


def test_truncates_at_the_time_limit():
    record = play(make(2, max_episode_steps=20), 20, condition="stand")
    assert [bool(done.any()) for *_, done, _ in record] == [False] * 19 + [True]


def test_speeds_are_those_of_the_trunk_in_its_own_heading():
    world = make(2)
    world.reset(seed=0, options={"condition": "stand"})
    batch = world.unwrapped.batch
    yaw = np.pi / 2
    batch.qpos[:, 3:7] = (np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))
    before = batch.qpos[:, :2].copy()
    batch.qvel[:] = 0.0
    batch.qvel[:, 1], batch.qvel[:, 5] = 0.5, 0.3
    *_, infos = world.step(np.zeros((2, 12), np.float32))
    step = (batch.qpos[:, :2] - before) / 0.02
    assert np.allclose(infos["forward_speed"], step[:, 1], atol=0.02)
    assert np.allclose(infos["lateral_speed"], -step[:, 0], atol=0.02)
    assert np.allclose(infos["speed"], np.hypot(*step.T))
    assert np.allclose(infos["yaw_rate"], batch.qvel[:, 5], atol=1e-3)


def still_motion(**changes):
    zeros = np.zeros
    motion = Motion(
        velocity=zeros((1, 3)),
        turning=zeros((1, 3)),
        yaw_rate=zeros(1),
        gravity=np.array([[0.0, 0.0, -1.0]]),
        height=np.full(1, STANCE_HEIGHT),
        command=zeros((1, 3)),
        still=np.ones(1, bool),
        posture=zeros((1, 12)),
        torque=zeros((1, 12)),
        power=zeros(1),
        action_change=zeros((1, 12)),
        contact=np.ones((1, 4), bool),
        landed=zeros((1, 4), bool),
        air_time=zeros((1, 4)),
        foot_speed=zeros((1, 4)),
    )
    for key, value in changes.items():
        setattr(motion, key, value)
    return motion


@pytest.mark.parametrize(
    ("term", "changes"),
    [
        ("tracking", {"velocity": np.array([[0.2, 0.0, 0.0]])}),
        ("tracking", {"yaw_rate": np.array([0.4])}),
        ("tilt", {"gravity": np.array([[0.1, 0.0, -0.99]])}),
        ("bounce", {"velocity": np.array([[0.0, 0.0, 0.3]])}),
        ("wobble", {"turning": np.array([[0.5, 0.0, 0.0]])}),
        ("sag", {"height": np.array([0.2])}),
        ("effort", {"torque": np.ones((1, 12))}),
        ("energy", {"power": np.array([20.0])}),
        ("action_rate", {"action_change": np.ones((1, 12))}),
        ("slip", {"foot_speed": np.ones((1, 4))}),
        ("splay", {"posture": np.ones((1, 12))}),
        ("crouch", {"posture": np.ones((1, 12))}),
        ("fidget", {"contact": np.array([[True, True, True, False]])}),
    ],
)
def test_each_fault_costs_in_its_own_term(term, changes):
    def pay(name, motion):
        function, weight = REWARDS[name]
        return weight * function(motion)[0]

    assert pay(term, still_motion(**changes)) < pay(term, still_motion())


def test_long_steps_pay_only_when_told_to_move():
    function, weight = REWARDS["air_time"]
    step = {"landed": np.array([[True, False, False, False]]), "air_time": np.full((1, 4), 0.25)}
    moving = np.zeros(1, bool)
    assert weight * function(still_motion(still=moving, **step))[0] > 0
    assert function(still_motion(**step))[0] == 0
    step["air_time"] = np.full((1, 4), 0.02)
    assert weight * function(still_motion(still=moving, **step))[0] < 0
