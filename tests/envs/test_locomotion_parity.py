"""The native batches of Gymnasium's locomotion tasks against `gymnasium.make`, bit for bit."""

import warnings
from pathlib import Path

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.envs.mujoco.mujoco_env import expand_model_path

import envs  # noqa: F401 - registers the batches
from envs.batch_env import BatchEnv

TASKS = ["HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Swimmer-v5", "Humanoid-v5"]
KWARGS = [
    ("HalfCheetah-v5", {"forward_reward_weight": 2.5, "ctrl_cost_weight": 0.3, "frame_skip": 2}),
    ("HalfCheetah-v5", {"reset_noise_scale": 0.0}),
    ("Hopper-v5", {"terminate_when_unhealthy": False, "healthy_reward": 0.5}),
    ("Hopper-v5", {"healthy_state_range": (-2.0, 2.0), "healthy_angle_range": (-0.5, 0.5)}),
    ("Walker2d-v5", {"healthy_z_range": (1.0, 1.3), "xml_file": "walker2d.xml"}),
    ("Walker2d-v5", {"width": 64, "default_camera_config": {"distance": 2.0}}),
    ("Ant-v5", {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.0}),
    ("Ant-v5", {"include_cfrc_ext_in_observation": False, "main_body": "aux_2"}),
    ("Ant-v5", {"contact_force_range": (-5.0, 2.0), "healthy_z_range": (0.4, 0.9)}),
    ("Swimmer-v5", {"ctrl_cost_weight": 0.1, "reset_noise_scale": 0.5}),
    ("Humanoid-v5", {"include_cinert_in_observation": False, "contact_cost_weight": 1e-3}),
    ("Humanoid-v5", {"include_cvel_in_observation": False, "contact_cost_range": (0.2, 0.3)}),
    (
        "Humanoid-v5",
        {
            "include_cfrc_ext_in_observation": False,
            "include_qfrc_actuator_in_observation": False,
            "contact_cost_weight": 0.0,
        },
    ),
]
ROBOTS = 3
EQUALITY = (
    '<equality><connect body1="aux_1" body2="aux_2" anchor="0 0 0" solref="0.5 1"/></equality>'
)


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def same(native, original, what):
    """Demand equal bits, but let 0.0 be -0.0 and NaN be NaN."""
    assert np.array_equal(native, original, equal_nan=True), (
        f"{what}: differs by {np.max(np.abs(np.asarray(native) - np.asarray(original)))}"
    )


def same_row(native_obs, native_info, row, obs, info, when):
    same(native_obs[row], obs, f"{when}: observation of row {row}")
    for key, value in info.items():
        assert native_info[f"_{key}"][row]
        same(native_info[key][row], value, f"{when}: info {key} of row {row}")


def drive(task, steps, kwargs, dtype=np.float32, limit=300):
    """Drive both through falls and time limits; returns how many episodes ended, and how."""
    singles = [gym.make(task, max_episode_steps=limit, **kwargs) for _ in range(ROBOTS)]
    batch = gym.make_vec(
        task, ROBOTS, max_episode_steps=limit, autoreset_mode="Disabled", nthread=2, **kwargs
    )
    assert isinstance(batch, BatchEnv)
    assert batch.single_observation_space == singles[0].observation_space
    assert batch.single_action_space == singles[0].action_space
    assert batch.metadata["render_fps"] == singles[0].metadata["render_fps"]
    assert len(batch.metadata["observation_names"]) == batch.single_observation_space.shape[0]
    assert len(batch.metadata["action_names"]) == batch.single_action_space.shape[0]
    rng = np.random.default_rng(5)
    seeds = list(range(ROBOTS))
    native_obs, native_info = batch.reset(seed=seeds)
    for row, single in enumerate(singles):
        same_row(native_obs, native_info, row, *single.reset(seed=row), "first reset")
    ended = {"terminated": 0, "truncated": 0}
    keys = None
    bounds = batch.single_action_space
    for step in range(steps):
        # A little beyond the bounds, where the motors clamp but the costs do not.
        actions = (1.2 * rng.uniform(bounds.low, bounds.high, batch.action_space.shape)).astype(
            dtype
        )
        native_obs, reward, terminated, truncated, native_info = batch.step(actions)
        keys = keys or set(native_info)
        assert set(native_info) == keys
        done = np.zeros(ROBOTS, dtype=bool)
        for row, single in enumerate(singles):
            obs, its_reward, its_terminated, its_truncated, info = single.step(actions[row])
            same_row(native_obs, native_info, row, obs, info, f"step {step}")
            same(reward[row], its_reward, f"step {step}: reward of row {row}")
            assert terminated[row] == its_terminated
            assert truncated[row] == its_truncated
            ended["terminated"] += its_terminated
            ended["truncated"] += its_truncated
            done[row] = its_terminated or its_truncated
        if done.any():
            # Every other time with new seeds, else each row's own stream goes on.
            seeds = [1000 + step + i if (step + i) % 2 else None for i in range(ROBOTS)]
            native_obs, native_info = batch.reset(seed=seeds, options={"reset_mask": done})
            for row in np.flatnonzero(done):
                start = singles[row].reset(seed=seeds[row])
                same_row(native_obs, native_info, row, *start, f"reset after step {step}")
    assert not native_info["unstable"].any()
    batch.close()
    return ended


@pytest.mark.parametrize("task", TASKS)
def test_a_thousand_steps_over_falls_and_resets(task):
    ended = drive(task, 1000, {})
    if task in ("HalfCheetah-v5", "Swimmer-v5"):
        assert ended == {"terminated": 0, "truncated": 3 * ROBOTS}
    else:
        assert ended["terminated"] >= 5


@pytest.mark.parametrize(("task", "kwargs"), KWARGS)
def test_other_keyword_arguments(task, kwargs):
    drive(task, 150, kwargs, limit=60)


def test_contact_forces_of_a_model_with_force_sensors_and_equalities(tmp_path):
    text = Path(expand_model_path("ant.xml")).read_text()
    text = text.replace("<actuator>", '<sensor><force site="imu"/></sensor><actuator>')
    text = text.replace("<actuator>", f"{EQUALITY}<actuator>")
    text = text.replace('<geom name="torso_geom"', '<site name="imu"/><geom name="torso_geom"')
    (tmp_path / "ant.xml").write_text(text)
    drive("Ant-v5", 150, {"xml_file": str(tmp_path / "ant.xml")}, limit=60)


@pytest.mark.parametrize("task", ["HalfCheetah-v5", "Humanoid-v5"])
def test_double_precision_actions(task):
    drive(task, 60, {}, dtype=np.float64)


@pytest.mark.parametrize("task", TASKS)
def test_autoreset_and_infos_as_gymnasiums_own_vector_env(task):
    limits = {"max_episode_steps": 25}
    native = gym.make_vec(task, ROBOTS, **limits)
    original = gym.make_vec(task, ROBOTS, vectorization_mode="sync", **limits)
    rng = np.random.default_rng(1)
    results = [env.reset(seed=3) for env in (native, original)]
    for step in range(120):
        (native_obs, *native_rest), (obs, *rest) = results
        same(native_obs, obs, f"step {step}: observations")
        *native_flags, native_info = native_rest
        *flags, info = rest
        for got, wanted in zip(native_flags, flags, strict=True):
            same(got, wanted, f"step {step}: reward or flags")
        for key, value in info.items():
            same(native_info[key], value, f"step {step}: info {key}")
            assert native_info[key].dtype == value.dtype
        actions = rng.uniform(-1, 1, native.action_space.shape).astype(np.float32)
        results = [env.step(actions) for env in (native, original)]


@pytest.mark.parametrize("task", ["Ant-v5", "Hopper-v5"])
def test_a_row_depends_on_nothing_beside_it(task):
    kwargs = {"autoreset_mode": "SameStep", "max_episode_steps": 30}
    alone = gym.make_vec(task, 1, nthread=1, **kwargs)
    among = gym.make_vec(task, 9, nthread=2, **kwargs)
    obs_alone, _ = alone.reset(seed=[4])
    obs_among, _ = among.reset(seed=list(range(9)))
    rng = np.random.default_rng(0)
    for _ in range(80):
        same(obs_among[4], obs_alone[0], "observation")
        actions = rng.uniform(-1, 1, among.action_space.shape).astype(np.float32)
        obs_alone, *_ = alone.step(actions[4:5])
        obs_among, *_ = among.step(actions)


@pytest.mark.parametrize("task", TASKS)
def test_added_signals_against_mujoco(task):
    single = gym.make(task).unwrapped
    batch = gym.make_vec(task, 1, autoreset_mode="Disabled", max_episode_steps=None)
    single.reset(seed=0)
    batch.reset(seed=0)
    rng = np.random.default_rng(2)
    ground = single.model.geom("floor").id
    touched = set()
    for _ in range(60):
        action = rng.uniform(-1, 1, single.action_space.shape).astype(np.float32)
        single.step(action)
        *_, terminated, _, infos = batch.step(action[None])
        info = {key: value[0] for key, value in infos.items() if not key.startswith("_")}
        pairs = {frozenset(pair) for pair in single.data.contact.geom.tolist()}
        for name, touches in zip(
            batch.metadata["foot_names"], info.get("foot_contact", ()), strict=True
        ):
            foot = single.model.geom(name).id
            assert touches == (frozenset((foot, ground)) in pairs), name
            touched.add(bool(touches))
        # The pose is that of the step's end, which MuJoCo's derived fields are not: forward.
        velocity = single.data.actuator_velocity
        mujoco.mj_forward(single.model, single.data)
        torso = single.data.body("torso")
        spin = np.zeros(6)
        kind = mujoco.mjtObj.mjOBJ_BODY
        mujoco.mj_objectVelocity(single.model, single.data, kind, torso.id, spin, 0)
        wanted = {
            "height": torso.xpos[2],
            "uprightness": torso.xmat[8],
            "yaw_rate": spin[2],
            "power": np.abs(single.data.actuator_force * velocity).sum(),
        }
        for key in wanted.keys() & info.keys():
            assert info[key] == pytest.approx(wanted[key], rel=1e-6, abs=1e-9), key
        if "lateral_speed" in info:
            heading = torso.xmat[[0, 3]] / np.hypot(*torso.xmat[[0, 3]])
            speed = np.array([info["x_velocity"], info["y_velocity"]])
            assert info["forward_speed"] == pytest.approx(heading @ speed)
            assert info["lateral_speed"] == pytest.approx(
                heading[0] * speed[1] - heading[1] * speed[0]
            )
        else:
            assert info["forward_speed"] == info["x_velocity"]
        if terminated[0]:
            break
    assert touched == (set() if task == "Swimmer-v5" else {True, False})


def test_a_user_sees_no_compiler_noise(capfd):
    from envs.locomotion_batch import _compile

    _compile.cache_clear()
    gym.make_vec("HalfCheetah-v5", 1)
    assert capfd.readouterr() == ("", "")


def test_unknown_arguments_and_pictures_are_refused():
    with pytest.raises(TypeError, match="healthy_reward"):
        gym.make_vec("HalfCheetah-v5", 1, healthy_reward=1.0)
    with pytest.raises(ValueError, match="cannot be rendered"):
        gym.make_vec("HalfCheetah-v5", 1, render_mode="rgb_array")
