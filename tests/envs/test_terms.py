"""Worlds as data: what a scene says is enough to play the world, to the last bit.

`Player` is one robot made of nothing but a scene that has gone through JSON: plain MuJoCo and the
order of a control step. Whatever else plays scenes is to be tested against it.
"""

import json
import re
import warnings
from pathlib import Path

import gymnasium as gym
import mujoco
import numpy as np
import pytest

import envs  # noqa: F401 - registers the worlds
import rl_ablation as rl
from agents.zoo import find_agent
from envs.guide import Guide
from envs.lap import LapBatch
from envs.locomotion import HalfCheetahBatch
from envs.scene import differences, portable
from envs.sources import Robots
from envs.terms import Control, Ends, Observer, Signals
from envs.tracks import Track
from rl_ablation.lesions.triggers import OPERATORS, parse
from rl_ablation.rollouts.rollout import Trace

LAP, QUADRUPED = "rl_ablation/Lap-v0", "rl_ablation/Quadruped-v0"
ROBOTS = ["rl_ablation/Go1-v0", "rl_ablation/G1-v0"]
TASKS = ("HalfCheetah", "Hopper", "Walker2d", "Swimmer", "Ant", "Humanoid")
LOCOMOTION = [f"{task}-v5" for task in TASKS]
WORLDS = [LAP, QUADRUPED, *ROBOTS, *LOCOMOTION]

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "extend.md"

every_world = pytest.mark.parametrize("env_id", WORLDS)


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def make(env_id, n=1, **kwargs):
    return gym.make_vec(env_id, num_envs=n, autoreset_mode="Disabled", **kwargs)


def scene_of(env_id, seeds=(7,), conditions=None, **kwargs):
    """A scene as another program reads it."""
    world = make(env_id, **kwargs)
    told = world.scene(seeds, conditions or list(world.metadata["conditions"])[:1] or [""])
    return json.loads(json.dumps(told, allow_nan=False))


class Player:
    """One robot of a scene."""

    def __init__(self, scene):
        self.scene = scene
        self.model = mujoco.MjSpec.from_string(scene["model"]).compile()
        self.data = mujoco.MjData(self.model)
        self.steps = np.zeros(1, int)
        self.rows = np.zeros(1, int)
        self.fields = {"action": np.zeros((1, self.model.nu)), "command": np.zeros((1, 3)),
                       "pushed": np.zeros((1, 1))}  # fmt: skip
        self.guide = Guide(1) if scene["tracks"] else None
        self.robots = Robots(
            self.model, scene["dt"], self.steps, self.bind, self.fields, self.guide
        )
        said = scene["observation"]
        low, high = said["clip"] or (-np.inf, np.inf)
        shape = (said["size"],)
        space = gym.spaces.Box(low, high, shape, np.dtype(said["dtype"]).type)
        self.observe = Observer(self.robots, said["terms"], space)
        self.signals = Signals(self.robots, scene["signals"])
        self.ends = Ends(
            self.robots, [{**x, "term": scene["signals"][x["signal"]]} for x in scene["ends"]]
        )
        self.feels = "cfrc_ext" in json.dumps([said, scene["signals"]])

    def bind(self, name):
        return getattr(self.data, name)[None]

    def told(self):
        return {name: values[0] for name, values in self.signals(self.rows).items()}

    def reset(self, start):
        self.start = start
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:], self.data.qvel[:] = start["qpos"], start["qvel"]
        mujoco.mj_forward(self.model, self.data)
        self.steps[:] = 0
        self.fields["action"][:] = self.fields["pushed"][:] = 0
        self.command()
        if self.guide is not None:
            about = self.scene["tracks"][start["track"]]
            self.guide.put(0, Track(**{k: np.array(v) for k, v in about.items()}))
            self.guide.start(self.rows, start["nearest"], start["lateral"])
        self.robots.remember(self.rows)
        told = self.told()
        return self.observe(self.rows)[0].copy(), {k: told[k] for k in self.scene["at_start"]}

    def command(self):
        for step, command in self.start.get("commands", ()):
            if step <= self.steps[0]:
                self.fields["command"][0] = command

    def push(self):
        if (push := self.scene["push"]) is None:
            return
        force = np.zeros(2)
        for step, steps, way in self.start.get("pushes", ()):
            if step <= self.steps[0] < step + steps:
                force += way
        cos, sin = self.robots.source("heading", of=push["heading"])(self.rows)[0]
        applied = self.data.body(push["body"]).xfrc_applied
        applied[:2] = cos * force[0] - sin * force[1], sin * force[0] + cos * force[1]
        self.fields["pushed"][0] = force.any()

    def step(self, said):
        """Observation, signals, and how it ended or None."""
        about = self.scene["control"]
        control = Control(about["clip"], np.array(about["scale"]), np.array(about["offset"]))
        self.robots.remember(self.rows)
        self.fields["action"][0] = action = control.action(np.asarray(said, float))
        self.data.ctrl[:] = control.ctrl(action)
        self.push()
        for _ in range(self.scene["substeps"]):
            mujoco.mj_step(self.model, self.data)
        if self.feels:
            mujoco.mj_rnePostConstraint(self.model, self.data)
        self.steps += 1
        if self.guide is not None:
            self.guide.follow(self.rows, self.data.qpos[None, :2])
        told, ended = self.told(), self.ends(self.rows)
        self.command()
        hit = [name for name, rows in ended.items() if rows[0]]
        return self.observe(self.rows)[0].copy(), told, hit[0] if hit else None


def play(env_id, condition, choose, seed=7, **kwargs):
    """Run a world and a player side by side, each on its own; returns the infos, and the end."""
    scene = scene_of(env_id, [3, seed], [condition], **kwargs)
    world, player = make(env_id, **kwargs), Player(scene)
    options = {"condition": [condition]} if condition else None
    obs, infos = world.reset(seed=[seed], options=options)
    own, told = player.reset(scene["conditions"][condition]["starts"][1])
    assert scene["at_start"] == [k for k in infos if k in scene["signals"]]
    record = []
    ended = False
    while not ended:
        same(own, obs[0], infos, told, len(record))
        theirs, ours = choose(obs, len(record)), choose(own[None], len(record))
        obs, _, terminated, truncated, infos = world.step(theirs)
        own, told, end = player.step(ours[0])
        record.append(infos)
        ended = terminated[0] or truncated[0]
        assert (end is not None) == terminated[0]
    same(own, obs[0], infos, told, len(record))
    assert scene["horizon"] == world.unwrapped.max_episode_steps
    assert {k for k, v in infos.items() if k[0] != "_" and v.dtype.kind in "fb"} - set(told) <= {
        "crash", "stuck", "fall", "unstable", "mass", "distance_from_origin",
        "z_distance_from_origin", "reward_forward", "reward_ctrl", "reward_contact",
        "reward_survive", "tendon_length", "tendon_velocity",
    }  # fmt: skip
    return record, end


def same(own, obs, infos, told, step):
    assert own.dtype == obs.dtype
    assert np.array_equal(own, obs), f"observation of step {step}"
    for name in told.keys() & infos.keys():
        # numpy's hypot, by which the quadruped tells its speed, rounds by itself.
        slack = 1e-12 if name == "speed" else 0
        assert np.allclose(told[name], infos[name][0], rtol=0, atol=slack), (name, step)


def by(name):
    agent = find_agent(name)
    return lambda obs, step: agent.act(obs)


def at_random(env_id, scale=1.0, seed=3):
    space = make(env_id).single_action_space
    actions = np.random.default_rng(seed).uniform(-scale, scale, (1000, *space.shape))
    return lambda obs, step: (actions[step // 4] * space.high).astype(np.float32)[None]


# The proof that the data says everything.


@pytest.mark.parametrize(
    ("env_id", "condition", "agent"),
    [
        (LAP, "bends/cw", "lap"),
        (LAP, "random/ccw", "lap"),
        (QUADRUPED, "push", "quadruped"),
        (QUADRUPED, "turn_left", "quadruped"),
        (QUADRUPED, "", "quadruped"),  # commands and pushes drawn
        ("HalfCheetah-v5", "", "cheetah"),
        ("Walker2d-v5", "", "walker"),
    ],
)
def test_a_scene_alone_plays_an_agents_episode_bit_by_bit(env_id, condition, agent):
    record, _ = play(env_id, condition, by(agent))
    assert len(record) > 300
    if condition == "push":
        assert sum(i["pushed"][0] for i in record) == 5
    if env_id == QUADRUPED and not condition:
        assert len({tuple(i["command_vx"]) for i in record}) > 1


@pytest.mark.parametrize("env_id", LOCOMOTION)
def test_a_scene_alone_plays_what_random_actions_do(env_id):
    record, ended = play(env_id, "", at_random(env_id), max_episode_steps=200)
    assert (ended == "unhealthy") == (len(record) < 200)
    assert (ended is None) == (env_id in ("HalfCheetah-v5", "Swimmer-v5"))


@pytest.mark.parametrize("condition", ["push", ""])
@pytest.mark.parametrize("env_id", ROBOTS)
def test_a_scene_alone_plays_a_published_robot(env_id, condition):
    record, ended = play(env_id, condition, at_random(env_id, 0.05), max_episode_steps=230)
    assert ended in ("fall", None)
    assert len(record) > 30


def test_other_keyword_arguments_are_in_the_data():
    choose = at_random("Ant-v5")
    record, ended = play("Ant-v5", "", choose, healthy_z_range=(0.5, 0.9), frame_skip=2,
                         contact_force_range=(-0.5, 0.1), main_body=2)  # fmt: skip
    assert ended == "unhealthy"
    limits = {"max_episode_steps": 60, "terminate_when_unhealthy": False}
    record, ended = play("Hopper-v5", "", at_random("Hopper-v5"), **limits)
    assert len(record) == 60
    assert ended is None


@pytest.mark.parametrize(
    ("env_id", "action", "how"),
    [(LAP, 1.0, "crash"), (LAP, 0.0, "stuck"), (QUADRUPED, 1.0, "fall")],
)
def test_robots_end_as_the_data_says(env_id, action, how):
    shape = make(env_id).action_space.shape
    condition = "ring/ccw" if env_id == LAP else "forward"
    record, ended = play(env_id, condition, lambda obs, step: np.full(shape, action, np.float32))
    assert ended == how
    assert record[-1][how][0]
    if how == "stuck":  # 3 s after the first step
        assert len(record) == 61


def test_the_world_of_the_guide_runs_and_is_data():
    code = re.search(r"^```python\n(import gymnasium.+?)^```", GUIDE.read_text(), re.M | re.S)
    try:
        exec(compile(code[1], GUIDE, "exec"), {"__name__": "pole"})
        gains = np.array([[1.0, 20.0, 0.0, 0.0, 1.0, 4.0]])
        record, ended = play("Pole-v0", "", lambda obs, step: (gains * obs).sum(1, keepdims=True))
        assert ended is None
        assert len(record) == 400
        record, ended = play("Pole-v0", "", lambda obs, step: np.ones((1, 1)))
        assert ended == "fall"
    finally:
        gym.registry.pop("Pole-v0", None)


# Scenes.


@every_world
def test_the_model_is_the_same_in_a_dialect_that_mujoco_3_reads(env_id):
    scene, world = scene_of(env_id), make(env_id).unwrapped
    again = mujoco.MjSpec.from_string(scene["model"]).compile()
    assert differences(world.batch.model, again) == []
    assert "input=" not in scene["model"]
    assert "<!--" not in scene["model"]
    again.body_mass[-1] *= 1 + 1e-15
    again.opt.timestep *= 2
    assert differences(world.batch.model, again) == ["body_mass", "opt.timestep"]


def test_awkward_numbers_and_servos_come_through_or_are_refused():
    spec = mujoco.MjSpec()
    body = spec.worldbody.add_body(pos=[1 / 3, 2 / 3, 1])
    body.add_joint(name="j", axis=[1 / 3, 2 / 7, 1], range=[-1 / 7, 1 / 7], limited=True)
    body.add_geom(size=[1 / 3, 0, 0], mass=1)
    for name, kp, kv in (("one", 1.0, 0.0), ("thirds", 1 / 3, 2 / 3)):
        servo = spec.add_actuator(name=name, trntype=mujoco.mjtTrn.mjTRN_JOINT, target="j")
        servo.set_to_position(kp=kp, kv=kv)
        servo.ctrlrange = [-1 / 3, 1 / 3]
        servo.gear = [1 / 3, 0, 0, 0, 0, 0]
        velocity = spec.add_actuator(trntype=mujoco.mjtTrn.mjTRN_JOINT, target="j")
        velocity.set_to_velocity(kv=kp)
    text = portable(spec)
    assert "input=" not in text
    assert differences(spec.compile(), mujoco.MjModel.from_xml_string(text)) == []
    body.geoms[0].mass = 1 / 3  # of which MuJoCo writes six digits, and the model has no array
    with pytest.raises(ValueError, match=r"another model.*: .*body_mass.* differ$"):
        portable(spec)


@pytest.mark.parametrize("env_id", [LAP, QUADRUPED, "Ant-v5"])
def test_starts_are_those_of_a_reset(env_id):
    world = make(env_id, 3)
    conditions = list(world.metadata["conditions"]) or [""]
    seeds = [0, 5, 11]
    world.reset(seed=[9, 9, 9])
    before = world.unwrapped.robots.field("qpos").copy()
    scene = world.scene(seeds, conditions)
    assert np.array_equal(world.unwrapped.robots.field("qpos"), before), "the world goes on"
    for condition in conditions:
        world.reset(seed=seeds, options={"condition": [condition or None] * 3})
        for row, start in enumerate(scene["conditions"][condition]["starts"]):
            assert start["seed"] == seeds[row]
            assert start["qpos"] == world.unwrapped.robots.field("qpos")[row].tolist()
            assert start["qvel"] == world.unwrapped.robots.field("qvel")[row].tolist()
    if env_id == LAP:
        used = [s["track"] for c in scene["conditions"].values() for s in c["starts"]]
        assert set(used) == set(range(len(scene["tracks"])))
        assert len(scene["tracks"]) == 4 + 2 * 3, "each once"
        assert scene["conditions"]["bends/cw"]["label"] == "bends, clockwise"


def test_keyword_arguments_of_the_world_hold_for_its_scene():
    world = LapBatch(2, ("ring",), fixed_start=True, max_episode_steps=9)
    scene = world.scene([1, 2], ["bends/cw", ""])
    starts = scene["conditions"]["bends/cw"]["starts"]
    assert starts[0]["qpos"] == starts[1]["qpos"]
    assert scene["horizon"] == 9
    assert scene["world"] == "LapBatch"
    assert scene_of(LAP)["world"] == LAP


@every_world
def test_gauges_show_signals_and_name_measures(env_id):
    scene = scene_of(env_id)
    assert 3 <= len(scene["gauges"]) <= 6
    for shown in scene["gauges"]:
        assert shown["measure"] in rl.MEASURES
        assert rl.MEASURES[shown["measure"]].unit == shown["unit"]
        assert shown["low"] < shown["high"]
        assert {shown["signal"], shown.get("wanted", shown["signal"])} <= set(scene["signals"])
    assert mujoco.MjSpec.from_string(scene["model"]).body(scene["camera"]["body"]) is not None


def number(shown, record):
    """A gauge's number for an episode, as the data says it."""
    signals = {k: np.array([i[k][0] for i in record], float) for k in record[0] if k[0] != "_"}
    values = shown.get("sign", 1) * signals[shown["signal"]]
    if "wanted" in shown:
        values = values - signals[shown["wanted"]]
    if "while" in shown:
        (when,) = parse(shown["while"])
        values = values[OPERATORS[when.sign](signals[when.signal], when.bound)]
    take = {"mean": np.mean, "mean_abs": lambda v: np.abs(v).mean(), "last": lambda v: v[-1]}
    return take[shown["take"]](values)


@pytest.mark.parametrize(
    ("env_id", "condition", "agent"),
    [(LAP, "bends/ccw", "lap"), (QUADRUPED, "forward", "quadruped"), ("Walker2d-v5", "", "walker")],
)
def test_a_gauges_number_is_the_measure_that_it_names(env_id, condition, agent):
    record, ended = play(env_id, condition, by(agent))
    signals = {
        k: np.array([i[k] for i in record])
        for k, v in record[0].items()
        if k[0] != "_" and v.dtype.kind in "fb"
    }
    alive = np.ones((len(record), 1), bool)
    trace = Trace(signals, alive, np.array([ended is not None]), np.zeros(1, bool), 0.05)
    for shown in scene_of(env_id)["gauges"]:
        wanted = rl.MEASURES[shown["measure"]].function(trace)[0]
        assert number(shown, record) == pytest.approx(wanted, rel=1e-6), shown["label"]


class OwnEyes(LapBatch):
    def _observe(self, rows):
        return super()._observe(rows) / 2


def test_what_cannot_be_said_is_refused_in_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"^OwnEyes observes by code of its own.*`envs.terms`\)$"):
        OwnEyes(1).scene([0], ["ring/cw"])
    with pytest.raises(ValueError, match="unknown condition 'moon'"):
        LapBatch(1).scene([0], ["moon"])
    mesh = '<mesh name="m" file="m.obj"/>'
    (tmp_path / "m.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n"
                                    "f 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n")  # fmt: skip
    text = scene_of("HalfCheetah-v5")["model"]
    (tmp_path / "meshed.xml").write_text(text.replace("<asset>", f"<asset>{mesh}"))
    world = HalfCheetahBatch(1, xml_file=str(tmp_path / "meshed.xml"))
    with pytest.raises(ValueError, match=r"meshed.xml needs other files .*m\.obj"):
        world.scene([0], [""])
    (tmp_path / "alone.xml").write_text(text)
    assert HalfCheetahBatch(1, xml_file=str(tmp_path / "alone.xml")).scene([0], [""])
