"""A robot made of data: the Go1's own figures as an mjlab export give the Go1's own motion."""

import sys
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import onnx
import pytest

import envs  # noqa: F401 - registers the worlds
import rl_ablation as rl
from envs.exported import OBSERVED, exported, read_export
from envs.go1_model import FOOT_NAMES, HOME, JOINT_NAMES, go1_spec
from envs.scene import portable

ID = "envs:rl_ablation/Robot-v0"
TERMS = list(OBSERVED)


def csv(values, decimals=3):
    return ",".join(v if isinstance(v, str) else f"{v:.{decimals}f}" for v in values)


METADATA = {
    "run_path": "somewhere",
    "joint_names": csv(JOINT_NAMES),
    "default_joint_pos": csv(HOME),
    "joint_stiffness": csv([35.0] * 12),
    "joint_damping": csv([0.5] * 12),
    "action_scale": csv([0.5] * 12),
    "observation_names": csv(TERMS),
    "command_names": "twist",
}


@pytest.fixture(scope="module")
def xml(tmp_path_factory):
    path = tmp_path_factory.mktemp("robot") / "go1.xml"
    path.write_text(portable(go1_spec()))
    return str(path)


def make(xml, n=2, changes=None, **kwargs):
    about = {"autoreset_mode": "Disabled", "xml": xml, "metadata": METADATA | (changes or {})}
    return gym.make_vec(ID, num_envs=n, **{**about, **kwargs})


def test_it_stands_and_senses_as_mjlab_says(xml):
    world = make(xml)
    obs, _ = world.reset(seed=0, options={"condition": "left"})
    for _ in range(50):
        obs, _, ended, _, infos = world.step(np.full((2, 12), 0.1, np.float32))
        assert not ended.any()
    assert infos["foot_contact"].all()
    assert world.metadata["foot_names"] == FOOT_NAMES
    assert len(world.metadata["observation_names"]) == obs.shape[1] == 48
    batch = world.unwrapped.batch
    assert np.allclose(obs[:, 3:6], batch.qvel[:, 3:6], atol=1e-6)
    assert np.allclose(obs[:, 6:9], [0, 0, -1], atol=0.1)
    assert np.allclose(obs[:, 9:21], batch.qpos[:, 7:] - HOME, atol=1e-6)
    assert np.allclose(obs[:, 33:45], 0.1)
    assert np.allclose(obs[:, 45:], [0, 0.4, 0])
    assert np.allclose(batch.model.actuator_forcerange[2], [-35.55, 35.55]), "as in the file"


def test_joints_may_come_in_another_order(xml):
    order = np.r_[0:12:3, 1:12:3, 2:12:3]  # hips, thighs, calves
    names = [JOINT_NAMES[k] for k in order]
    world, plain = make(xml, changes={
        "joint_names": names, "default_joint_pos": HOME[order].tolist(),
    }), make(xml)  # fmt: skip
    action = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 12)).astype(np.float32)
    for each in (world, plain):
        each.reset(seed=3, options={"condition": "forward"})
    for _ in range(10):
        mixed, *_ = world.step(action[:, order])
        obs, *_ = plain.step(action)
    for start in (9, 21, 33):
        assert np.allclose(mixed[:, start : start + 12], obs[:, start : start + 12][:, order])
    assert np.allclose(mixed[:, :9], obs[:, :9])


def test_scales_and_histories(xml):
    changes = {
        "observation_names": ["base_ang_vel", "joint_vel"],
        "observation_scales": [0.25, 0.05],
        "observation_history": 3,
    }
    world = make(xml, changes=changes)
    assert world.single_observation_space.shape == (45,)
    names = world.metadata["observation_names"]
    assert names[0] == "gyro x 2 steps ago"
    assert names[-1] == f"{JOINT_NAMES[-1]} velocity"
    obs, _ = world.reset(seed=0)
    now = 0.05 * world.unwrapped.batch.qvel[:, 6:]
    assert np.allclose(obs[:, -12:], now)
    assert np.allclose(obs[:, 9:21], now)


def test_a_scene_of_it_is_data(xml):
    scene = make(xml).scene([1], ["push"])
    assert scene["push"]["body"] == "trunk"
    assert scene["observation"]["size"] == 48


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"observation_names": "base_lin_vel,height_scan,foot_air"},
         "unknown observation terms 'height_scan', 'foot_air'; known are base_lin_vel, base"),
        ({"joint_names": "a,b"}, "default_joint_pos has to be 2 finite numbers"),
        ({"joint_names": csv([*JOINT_NAMES[:-1], "tail"])}, "only one has RL calf, tail"),
        ({"joint_names": "a,a"}, "each once"),
        ({"joint_names": 3}, "a list of names"),
        ({"joint_stiffness": "1,x"}, "joint_stiffness has to be 12 finite numbers"),
        ({"action_scale": [[1.0]]}, "action_scale has to be 12 finite"),
        ({"observation_history": 0.5}, "whole, 1 to 100"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_in_a_line(xml, changes, told):
    with pytest.raises(ValueError, match=told) as caught:
        exported(xml, METADATA | changes)
    assert "\n" not in str(caught.value)


def test_what_is_no_robot_is_told_in_a_line(xml, tmp_path):
    with pytest.raises(ValueError, match="lacks joint_names, observation_names, default_joint_pos"):
        read_export({})
    with pytest.raises(ValueError, match=r"none\.xml: "):
        exported(str(tmp_path / "none.xml"), METADATA)
    (tmp_path / "box.xml").write_text(
        "<mujoco><worldbody><body><geom size='1'/></body></worldbody></mujoco>"
    )
    with pytest.raises(ValueError, match="one free joint, the first, and hinges"):
        exported(str(tmp_path / "box.xml"), METADATA)
    with pytest.raises(ValueError, match="no geoms nose for feet"):
        exported(xml, METADATA, feet=["nose"])
    with pytest.raises(ValueError, match="timestep"):
        exported(xml, METADATA, timestep=1.0)


def onnx_file(path, metadata):
    """A policy of 48 inputs and 12 actions, which all are 0, with what mjlab writes beside it."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    rng = np.random.default_rng(0)
    shapes = {"a": (48, 5), "b": (5,), "c": (5, 12), "d": (12,)}
    arrays = [
        numpy_helper.from_array((rng.normal(size=s) * (n in "ab")).astype(np.float32), n)
        for n, s in shapes.items()
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["obs", "a", "b"], ["x"]),
            helper.make_node("Elu", ["x"], ["y"]),
            helper.make_node("Gemm", ["y", "c", "d"], ["actions"]),
        ],
        "policy", [value("obs", 1, ["n", 48])], [value("actions", 1, ["n", 12])], arrays,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    helper.set_model_props(model, metadata)
    path.write_bytes(model.SerializeToString())
    return path


def test_a_policy_and_its_robot_are_a_world_without_a_line_of_python(xml, tmp_path):
    path = onnx_file(tmp_path / "stands.onnx", METADATA)
    policy = rl.load(path, robot=xml)
    assert policy.card.env_id == ID
    assert policy.sites == {"obs": 48, "h0": 5, "action": 12}
    run = rl.sweep(
        policy, rl.layers(policy), episodes=2, horizon=20, conditions=("stand", "forward"),
        folder=tmp_path / "run",
    )  # fmt: skip
    assert not run.table()["terminated"].any(), "with all actions 0 it stands in its pose"
    for changes, robot, line in (
        (
            {"observation_names": "base_lin_vel,heat"},
            xml,
            "unknown observation terms 'heat'; known",
        ),
        ({"joint_damping": "1,2"}, xml, "joint_damping has to be 12 finite numbers"),
        ({}, "no_such_robot", "no_such_robot: no such file"),
    ):
        other = onnx_file(tmp_path / "other.onnx", METADATA | changes)
        with pytest.raises(rl.LabError, match=line) as caught:
            rl.load(other, robot=robot)
        assert "\n" not in str(caught.value)
    with pytest.raises(rl.LabError, match="says run_path of itself and no joint_names"):
        rl.load(onnx_file(tmp_path / "none.onnx", {"run_path": "x"}), robot=xml)
    with pytest.raises(rl.LabError, match="give a robot or an environment, not both"):
        rl.load(path, robot=xml, env=ID)
    with pytest.raises(rl.LabError, match="a robot goes with an ONNX file"):
        rl.load("lap", robot=xml)


def test_a_robot_goes_by_its_name_where_the_menagerie_is_installed(xml, monkeypatch):
    class NoRobot(Exception):
        pass

    def get(name):
        if name != "a_robot":
            raise NoRobot(f"no robot {name}")
        return SimpleNamespace(default_model="alone", xml={"alone": xml}.get)

    fake = SimpleNamespace(get=get, MenagerieError=NoRobot)
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", fake)
    assert make("a_robot").num_envs == 2
    with pytest.raises(ValueError, match="no such file, and in MuJoCo Menagerie: no robot another"):
        make("another")
