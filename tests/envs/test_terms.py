"""Worlds as data: what a scene says is enough to play the world, to the last bit.

`Player` is one robot made of nothing but a scene that has gone through JSON: plain MuJoCo and the
order of a control step. Whatever else plays scenes is to be tested against it.
"""

import json
import warnings

import gymnasium as gym
import mujoco
import numpy as np
import pytest

import envs  # noqa: F401 - registers the worlds
import rl_ablation as rl
from agents.zoo import find_agent
from envs import lidar
from envs.guide import Guide
from envs.lap import LapBatch
from envs.locomotion import HalfCheetahBatch
from envs.quadruped_model import HOME
from envs.scene import differences
from envs.sources import Robots
from envs.terms import Control, Ends, Observer, Signals, end, gauge, term
from envs.tracks import HALF_WIDTH, WALL_CORNERS, Track, make_track
from rl_ablation.lesions.triggers import OPERATORS, parse
from rl_ablation.rollouts.rollout import Trace

LAP, QUADRUPED = "rl_ablation/Lap-v0", "rl_ablation/Quadruped-v0"
TASKS = ("HalfCheetah", "Hopper", "Walker2d", "Swimmer", "Ant", "Humanoid")
LOCOMOTION = [f"{task}-v5" for task in TASKS]
WORLDS = [LAP, QUADRUPED, *LOCOMOTION]

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
        shape = (len(said["names"]),)
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


# Terms.


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
    uneven = gym.spaces.Box(np.array([0.0, -1.0]), np.array([1.0, 1.0]))
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
    world = make(QUADRUPED, 2).unwrapped
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
