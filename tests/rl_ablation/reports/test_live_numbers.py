"""The live page's JavaScript gives the lab's numbers: policy, cuts, streams, physics."""

import base64
import json
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from conftest import turned

import envs  # noqa: F401  # registers its worlds
from agents.zoo import find_agent
from rl_ablation.errors import LabError
from rl_ablation.files import digest
from rl_ablation.lesions.lesion import Lesion
from rl_ablation.lesions.masks import Masks
from rl_ablation.lesions.methods import DRAWS, KINDS, Kind
from rl_ablation.lesions.streams import mix, normals, uniforms, unit_keys
from rl_ablation.lesions.triggers import Triggers, canonical
from rl_ablation.reports import live_data
from rl_ablation.reports.live import FOLDER
from rl_ablation.rollouts.activity import record_activity
from rl_ablation.rollouts.episodes import Episode
from rl_ablation.rollouts.recording import run_jobs

AGENTS = ("lap", "quadruped", "cheetah", "walker")
NODE = shutil.which("node")
DRIVER = Path(__file__).parent / "live.mjs"
pytestmark = pytest.mark.skipif(
    NODE is None or not (FOLDER / "node_modules").exists(),
    reason="needs node and the packages that `make live` gets",
)


def ask(task, **given):
    """Have Node.js do a task with the page's own modules."""
    done = subprocess.run(
        [str(NODE), DRIVER, FOLDER], input=json.dumps({"task": task, **given}),
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def array(told):
    code = "f64" if "f64" in told else "f32"
    kind = np.float64 if code == "f64" else np.float32
    return np.frombuffer(base64.b64decode(told[code]), kind)


@pytest.fixture(scope="module")
def known():
    """Agent → policy, thinned activity, its page's data; made once."""
    made = {}

    def of(name):
        if name not in made:
            policy = find_agent(name)
            activity = live_data.thinned(
                record_activity(policy, conditions=_some(policy), episodes=4, horizon=80)
            )
            data = {
                "policy": live_data.policy_data(policy),
                "kinds": live_data.kinds_data(activity),
                "activity": live_data.activity_data(activity),
            }
            made[name] = policy, activity, data
        return made[name]

    return of


def _some(policy):
    return ("bends/cw", "ring/ccw") if "Lap" in policy.card.env_id else ("",)


# The policy under every kind of cut.


def some_cut(policy, rng):
    return {
        site: tuple(sorted(rng.choice(n, max(1, n // 3), replace=False).tolist()))
        for site, n in policy.sites.items()
    }


@pytest.mark.parametrize("name", AGENTS)
def test_policy_acts_like_the_labs_under_every_kind(known, name):
    policy, activity, data = known(name)
    rng, rows, step = np.random.default_rng(3), 1000, 17
    lesions = [
        Lesion(name=f"{kind}{strength}", cut=some_cut(policy, rng), kind=kind, strength=strength)
        for kind, about in KINDS.items()
        for strength in ((None,) if about.default is None else (None, 0.3))
    ]
    lesions.append(Lesion(name="none"))
    visited = activity["obs"].samples[rng.integers(len(activity["obs"].samples), size=rows)]
    seen = visited + rng.normal(0, 0.5, visited.shape)
    obs = policy.obs_mean + policy.obs_std * seen
    assert {k["name"] for k in data["kinds"]} == set(KINDS)
    check_acts_alike(policy, activity, data, lesions, obs, step)


def check_acts_alike(policy, activity, data, lesions, obs, step):
    """Whether the page has the lab's values at all sites, row k in the episode of seed k."""
    rows = len(obs)
    told = ask(
        "policy", page=data, lesions=[sent(x, activity) for x in lesions],
        obs=live_data.pack(obs, np.float64), rows=rows, step=step,
    )  # fmt: skip
    for lesion, page in zip(lesions, told, strict=True):
        masks = Masks([lesion] * rows, range(rows), policy.sites, activity)
        record = {s: np.empty((rows, n), np.float32) for s, n in policy.sites.items()}
        normal = policy.normalise(obs)
        actions = policy.act(obs, masks.at(step, np.arange(rows), seen=normal), record)
        assert np.abs(array(page["actions"]).reshape(rows, -1) - actions).max() <= 1e-5
        for site, values in record.items():
            gap = np.abs(array(page["sites"][site]).reshape(rows, -1) - values)
            assert gap.max() <= 1e-5, (lesion.name, site)


def sent(lesion, activity):
    """A lesion as a page has it."""
    return {**lesion.model_dump(), "more": live_data.more_data(lesion, activity)}


SENDS = (
    {"cut": {"h0": (0, 3, 8, 20)}, "to": {"h1": (1, 2, 40), "action": ()}},
    {"cut": {"obs": (0, 5)}, "to": {"h1": (7,), "action": (1,)}},
    {"cut": {"h0": (2,)}, "directions": {"h0": turned(64, 3, 1)}, "to": {"action": (0, 1)}},
)
"""What some units alone hear of."""


@pytest.mark.parametrize("kind", KINDS)
def test_directions_and_connections_are_cut_like_the_labs(known, kind):
    policy, activity, data = known("lap")
    rng, rows = np.random.default_rng(4), 60
    strengths = (None,) if KINDS[kind].default is None else (None, -0.7)
    axes = [{"h1": turned(64, 4)}, {s: turned(n, 2) for s, n in policy.sites.items()}]
    wheres = [*({"directions": x} for x in axes), {"cut": {"h1": (3, 9)}, "directions": axes[0]}]
    lesions = [
        Lesion(name=f"{k}", kind=kind, strength=strength, **where)
        for k, where in enumerate([*wheres, *SENDS])
        for strength in strengths
    ]
    data = {**data, "kinds": live_data.kinds_data(activity, lesions)}
    obs = policy.obs_mean + policy.obs_std * rng.normal(0, 1, (rows, len(policy.obs_mean)))
    check_acts_alike(policy, activity, data, lesions, obs, 9)
    intact = policy.act(obs)
    for lesion in lesions:
        masks = Masks([lesion] * rows, range(rows), policy.sites, activity)
        cut = policy.act(obs, masks.at(9, np.arange(rows), seen=policy.normalise(obs)))
        assert np.abs(cut - intact).max() > 1e-3, "there is something to compare"


def test_a_cut_changes_the_pages_actions(known):
    policy, _, data = known("lap")
    obs = np.tile(policy.obs_mean, (4, 1)) + np.arange(4)[:, None] / 10
    cuts = [Lesion(name="none"), Lesion(name="a", cut={"h1": tuple(range(20))}, kind="mean")]
    none, cut = ask(
        "policy", page=data, lesions=[x.model_dump() for x in cuts],
        obs=live_data.pack(obs, np.float64), rows=4, step=0,
    )  # fmt: skip
    assert np.abs(array(none["actions"]) - array(cut["actions"])).max() > 0.01


# Kinds as data.


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_affine_in_its_strength(known, name):
    _, activity, _ = known("lap")
    for stats in activity.values():
        said = live_data._affine(KINDS[name], stats)
        for strength in (-1.3, 0.0, 0.4, 3.0):
            made = KINDS[name].make(strength, stats)
            for key, wanted in zip(("scale", "shift"), made, strict=True):
                base, slope = (x if isinstance(x, float) else array(x) for x in said[key])
                assert np.allclose(base + strength * slope, wanted, atol=1e-6)


def test_a_kind_that_is_not_affine_is_not_offered(known, monkeypatch):
    _, activity, _ = known("lap")
    monkeypatch.setitem(KINDS, "square", Kind(lambda s, stats: (0.0, s * s), "the square", 1.0))
    monkeypatch.setitem(KINDS, "odd", Kind(lambda s, stats: (0.0, s), "drawn", 1.0, draws="odd"))
    names = [kind["name"] for kind in live_data.kinds_data(activity)]
    assert "square" not in names
    assert "odd" not in names
    assert set(DRAWS) >= {mode for mode in live_data.DRAWN if mode is not None}


# Streams and conditions.


def test_streams_give_the_labs_numbers(known):
    rng = np.random.default_rng(1)
    keys = rng.integers(0, 2**64, 400, np.uint64)
    keys[:3] = 0, 1, 2**64 - 1
    lesions = [
        Lesion(name="a", cut={"h1": (3, 0, 20), "obs": (1,)}, kind="resample"),
        Lesion(name="b", cut={"h0": (0,)}, kind="noise", strength=2.0, onset=7),
        Lesion(name="c", cut={"h0": (5,), "h1": ()}, kind="gain", strength=1e-5),
        Lesion(name="d", cut={"h0": (5,)}, kind="clamp", strength=-0.25, when="bend > 0.150"),
        Lesion(name="e", directions={"h1": turned(64, 2)}, kind="resample"),
        Lesion(name="f", cut={"h0": (5, 2)}, to={"h1": (9, 1)}, kind="mean"),
    ]
    activity = known("lap")[1]
    floats = [0.0, -0.0, 1.0, -3.0, 0.1, 1e-5, 1.5e-7, 123456.75, 1e16, 1.25e22, 1e15, 0.0001]
    told = ask(
        "streams", lesions=[sent(x, activity) for x in lesions], words=["h0", "obs"],
        keys=[f"{int(key):016x}" for key in keys], floats=floats,
    )  # fmt: skip
    assert told["lesions"] == [f"{x.key:016x}" for x in lesions]
    assert told["words"] == [digest(word)[:16] for word in ("h0", "obs")]
    assert told["mixed"] == [f"{int(x):016x}" for x in mix(keys)]
    units = np.diagonal(unit_keys(keys, "h1", len(keys)))
    assert told["units"] == [f"{int(x):016x}" for x in units]
    assert np.array_equal(array(told["uniforms"]), uniforms(keys))
    assert np.allclose(array(told["normals"]), normals(keys), rtol=0, atol=4e-15)
    assert told["floats"] == [json.dumps(x) for x in floats]


CONDITIONS = (
    "bend > 0.15", "bend<-.2", "bend >= 0.25 and foot_contact[2] > 0", "foot_contact[1] <= 0",
    "obs[3] < 1e-3", "bend > nan", "bend > 0.1 and bend > 0.2 and bend > 0.3", "bend == 1", "",
    "bend > 0.1 or bend < 1", "bend > 1e16", "bend > +5", "bend > 5.", "__import__('os') > 1",
)  # fmt: skip


def test_conditions_are_read_as_the_lab_reads_them():
    bends = [-0.5, -0.2, 0.0, 0.15, 0.25, 0.3, float("nan"), 6.0]
    feet = np.array([[1, k % 2, (k // 2) % 2] for k in range(len(bends))], float)
    obs = np.array([[0, 0, 0, k / 500] for k in range(len(bends))])
    said = [
        {"bend": ["NaN" if np.isnan(b) else b], "foot_contact": f.tolist(), "obs": o.tolist()}
        for b, f, o in zip(bends, feet, obs, strict=True)
    ]
    told = ask("triggers", texts=CONDITIONS, signals=said)
    signals = {"bend": np.array(bends), "foot_contact": feet, "obs": obs}
    for text, (spelling, holds) in zip(CONDITIONS, told, strict=True):
        try:
            wanted = canonical(text)
        except LabError:
            assert spelling == "", text
            continue
        assert spelling == wanted
        off = Triggers([text] * len(bends)).unmet(signals, np.arange(len(bends)))
        assert holds == (~off).tolist(), text


# Physics.

EXACT = 1e-6
WITHIN = {
    "rl_ablation/Lap-v0": (30.0, EXACT),
    "rl_ablation/Quadruped-v0": (30.0, EXACT),
    "rl_ablation/Go1-v0": (30.0, EXACT),
    "rl_ablation/G1-v0": (30.0, EXACT),
    "HalfCheetah-v5": (10.0, EXACT),
    "Swimmer-v5": (30.0, EXACT),
    # They fall and tumble, and that is chaos: rounding grows tenfold in about two thirds of a
    # second.
    "Hopper-v5": (3.0, EXACT),
    "Walker2d-v5": (3.0, EXACT),
    # Integrates a free joint by RK4, which MuJoCo 3.14 and 4.0 do differently: 5e-8 after one
    # physics step, 3e-14 after a second of Euler steps. Contacts make more of it.
    "Ant-v5": (1.0, 1e-3),
}
"""World → for how long the page's physics follows the lab's within what, m or rad."""

SECONDS = 30.0


def controls(model, steps, dt):
    """Sines of many speeds on every motor."""
    rng = np.random.default_rng(5)
    limits = model.actuator_ctrlrange if model.actuator_ctrllimited.all() else [(-0.5, 0.5)]
    low, high = np.transpose(limits)
    wave = np.sin(np.arange(steps)[:, None] * dt * rng.uniform(2, 6, model.nu))
    return (low + high) / 2 + 0.3 * (high - low) * wave


def labs_physics(model, start, ctrl, substeps):
    """The coordinates after each control step, (T, nq)."""
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = start["qpos"], start["qvel"]
    mujoco.mj_forward(model, data)
    found = np.empty((len(ctrl), model.nq))
    for k, row in enumerate(ctrl):
        data.ctrl[:] = row
        mujoco.mj_step(model, data, substeps)
        found[k] = data.qpos
    return found


@pytest.mark.parametrize("world", WITHIN)
def test_physics_open_loop(world, record_property):
    with closing(gym.make_vec(world, num_envs=1, autoreset_mode="Disabled")) as env:
        condition = next(iter(env.metadata["conditions"]), "")
        scene, model = env.scene([0], [condition]), env.batch.model
    start = scene["conditions"][condition]["starts"][0]
    steps = round(SECONDS / scene["dt"])
    ctrl = controls(model, steps, scene["dt"])
    wanted = labs_physics(model, start, ctrl, scene["substeps"])
    told = ask(
        "controls", scene={k: scene[k] for k in ("model", "substeps")}, qpos=start["qpos"],
        qvel=start["qvel"], steps=steps, ctrl=live_data.pack(ctrl, np.float64),
    )  # fmt: skip
    gap = np.abs(array(told).reshape(steps, -1) - wanted).max(1)
    record_property("largest gap over 30 s", float(gap.max()))
    seconds, most = WITHIN[world]
    assert gap[: round(seconds / scene["dt"])].max() <= most
    assert np.ptp(wanted, axis=0).max() > 0.3, "the robot moves, so there is something to compare"


# Whole episodes: senses, signals, ends.

TOLERANCE = 1e-4
SHORT = 50  # control steps
FIRST = 10  # steps in which senses and signals are compared; later on small gaps have grown


@pytest.mark.parametrize("name", AGENTS)
def test_episodes_go_as_in_the_lab(known, name):
    policy, activity, data = known(name)
    scene = live_data.scene_data(policy, seeds=4)
    conditions = list(scene["conditions"])
    cuts = [
        Lesion(name="none"),
        Lesion(name="mean", cut=some_cut(policy, np.random.default_rng(1)), kind="mean", onset=5),
        Lesion(name="draw", cut={"h1": tuple(range(9))}, kind="resample"),
        Lesion(name="turn", directions={"h1": turned(policy.sites["h1"], 2)}, kind="conditional"),
        Lesion(name="tell", cut={"h0": (0, 3, 4)}, to={"action": (0,)}, kind="noise", onset=5),
    ]
    jobs = [
        Episode(cut, seed, conditions[(k + seed) % len(conditions)])
        for k, cut in enumerate(cuts)
        for seed in range(4)
    ]
    signals = [s for s in scene["signals"] if s not in {e["signal"] for e in scene["ends"]}]
    kinds = live_data.kinds_data(activity, cuts)
    told = ask(
        "episodes", page={**data, "kinds": kinds, "scene": scene}, signals=signals,
        jobs=[{"condition": job.condition, "seed": job.seed, "steps": SHORT,
               "lesion": sent(job.lesion, activity)} for job in jobs],
    )  # fmt: skip
    trace = run_jobs(policy, ["obs", *signals], jobs, activity=activity, horizon=SHORT)
    for row, (job, page) in enumerate(zip(jobs, told, strict=True)):
        first = min(FIRST, trace.steps[row], page["steps"])
        where = (job.lesion.name, job.seed, job.condition)
        for signal, said in {"obs": page["obs"], **page["signals"]}.items():
            mine = array(said).reshape(page["steps"], -1)[:first]
            wanted = trace[signal][:first, row].reshape(first, -1)
            scale = 1 + np.abs(wanted)
            assert (np.abs(mine - wanted) / scale).max() <= TOLERANCE, (*where, signal)
        assert page["steps"] == trace.steps[row], where
        assert (page["ended"] != "") == trace.terminated[row], where
