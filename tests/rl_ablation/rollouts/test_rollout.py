"""Rollouts: nothing cut changes nothing, a mask is a weight edit, and rows know only themselves."""

from __future__ import annotations

from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest
from conftest import CONDITIONS, DEAD, HORIZON, LAP, MUTE, random_mlp

from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion
from rl_ablation.rollouts import world as world_module
from rl_ablation.rollouts.activity import activity_bytes, activity_of, record_activity
from rl_ablation.rollouts.episodes import Episode, episode_seed
from rl_ablation.rollouts.rollout import rollout, world_signals
from rl_ablation.rollouts.world import World

INTACT = Lesion(name="intact")
SIGNALS = ("reward", "action", "obs", "forward_speed", "progress", "clearance", "crash")


def play(policy, jobs, *, env_id=LAP, threads=1, horizon=HORIZON, signals=SIGNALS, activity=None):
    world = World(env_id, len(jobs), threads=threads)
    try:
        return rollout(policy, world, jobs, signals=signals, activity=activity, horizon=horizon)
    finally:
        world.close()


def rows_of(trace, rows):
    """Everything that a trace says about some rows."""
    kept = {name: values[:, rows] for name, values in trace.signals.items()}
    about = {k: getattr(trace, k)[rows] for k in ("terminated", "unstable")}
    return {**kept, **about, "alive": trace.alive[:, rows]}


def same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].tobytes() == other[name].tobytes(), name


def loop(policy, env_id, seed, *, condition="", horizon=HORIZON):
    """A return in a plain single-environment Gymnasium loop, without this instrument."""
    env = gym.make(env_id)
    obs, _ = env.reset(seed=seed, options={"condition": condition} if condition else None)
    total, steps = 0.0, 0
    for _ in range(horizon):
        obs, reward, terminated, truncated, _ = env.step(policy.act(np.asarray(obs)[None])[0])
        total, steps = total + float(reward), steps + 1
        if terminated or truncated:
            break
    env.close()
    return total, steps


# Nothing cut changes nothing.


@pytest.mark.parametrize(
    "cut",
    [{}, {"h0": ()}, {"h0": (), "action": ()}, {"h0": (DEAD,)}, {"h0": (MUTE,)}],
    ids=["none", "no units", "no units of two sites", "dead unit", "unit nobody listens to"],
)
def test_cutting_nothing_changes_nothing_to_the_bit(policy, cut):
    seeds = range(4)
    trace = play(
        policy,
        [Episode(Lesion(name=n, cut=c), s, CONDITIONS[s % 2]) for n, c in (("a", {}), ("b", cut))
         for s in seeds],
    )  # fmt: skip
    same(rows_of(trace, slice(0, 4)), rows_of(trace, slice(4, 8)))


def test_a_live_unit_changes_something(policy):
    """The check above can fail."""
    lesion = Lesion(name="x", cut={"h0": (0,)})
    trace = play(policy, [Episode(x, 0, CONDITIONS[0]) for x in (INTACT, lesion)])
    assert not np.array_equal(trace["action"][:, 0], trace["action"][:, 1])


@pytest.mark.parametrize(("kind", "strength"), [("gain", 1.0), ("noise", 0.0)])
def test_kinds_of_no_strength_change_nothing(policy, activity, kind, strength):
    lesion = Lesion(name="x", cut={"h0": (0, 1, 2)}, kind=kind, strength=strength)
    trace = play(
        policy, [Episode(x, 0, CONDITIONS[0]) for x in (INTACT, lesion)], activity=activity
    )
    same(rows_of(trace, slice(0, 1)), rows_of(trace, slice(1, 2)))


# A mask is a weight edit.

EDITS = [("h0", (0,)), ("h0", (0, 5, 11)), ("h0", (9,)), ("h1", (0,)), ("h1", (0, 3, 9))]


@pytest.mark.parametrize(("site", "units"), EDITS)
def test_a_mask_equals_edited_weights_in_a_plain_loop(policy, site, units):
    lesion, edited = Lesion(name="x", cut={site: units}), policy.edited(site, units)
    jobs = [Episode(x, seed, CONDITIONS[seed % 2]) for x in (lesion, INTACT) for seed in range(3)]
    trace = play(policy, jobs)
    totals, steps = trace["reward"].sum(0).tolist(), trace.steps.tolist()
    intact = []
    for k, job in enumerate(jobs[:3]):
        total, lasted = loop(edited, LAP, job.seed, condition=job.condition)
        assert steps[k] == lasted
        assert totals[k] == pytest.approx(total, rel=1e-13, abs=1e-13)  # sums in another order
        intact.append(loop(policy, LAP, job.seed, condition=job.condition)[0])
    assert totals[3:] == pytest.approx(intact, rel=1e-13, abs=1e-13)
    assert totals[:3] != totals[3:]


def test_a_mask_equals_edited_weights_step_for_step(policy):
    """To the bit: actions, observations and rewards of one episode."""
    units = (0, 2, 8)
    trace = play(policy, [Episode(Lesion(name="x", cut={"h1": units}), 0, CONDITIONS[0])])
    edited, env = policy.edited("h1", units), gym.make(LAP)
    obs, _ = env.reset(seed=0, options={"condition": CONDITIONS[0]})
    for t in range(trace.steps[0]):
        assert np.array_equal(trace["obs"][t, 0], obs)
        action = edited.act(obs[None])[0]
        assert np.array_equal(trace["action"][t, 0], action)
        obs, reward, terminated, truncated, info = env.step(action)
        assert trace["reward"][t, 0] == reward
        assert trace["progress"][t, 0] == np.float32(info["progress"])
    assert (terminated, truncated or t == HORIZON - 1) == (bool(trace.terminated[0]), True) or (
        terminated and trace.terminated[0]
    )
    env.close()


# Rows know only themselves.


@pytest.fixture(scope="module")
def crowd(policy, activity, mixed_plan):
    """Every lesion of the mixed plan on seeds 0 to 3, in one batch."""
    jobs = [Episode(x, seed, CONDITIONS[seed % 2]) for x in mixed_plan for seed in range(4)]
    return jobs, play(policy, jobs, activity=activity)


def test_the_crowd_differs(crowd):
    """Otherwise the next tests show nothing."""
    jobs, trace = crowd
    kinds = {trace["action"][:, row].tobytes() for row in range(len(jobs))}
    assert len(kinds) > 0.85 * len(jobs)
    assert 0 < trace.terminated.mean() < 1


@pytest.mark.parametrize("row", [0, 1, 20, 21, 27, 34, 45, 51])
def test_a_row_alone_is_the_row_in_the_crowd(policy, activity, crowd, row):
    jobs, trace = crowd
    alone = play(policy, [jobs[row]], activity=activity)
    same(rows_of(alone, slice(0, 1)), rows_of(trace, slice(row, row + 1)))


def test_order_does_not_matter(policy, activity, crowd):
    jobs, trace = crowd
    order = np.random.default_rng(0).permutation(len(jobs))
    mixed = play(policy, [jobs[i] for i in order], activity=activity)
    same(rows_of(mixed, slice(None)), rows_of(trace, order))


def test_threads_do_not_matter(policy, activity, crowd):
    jobs, trace = crowd
    same(
        rows_of(play(policy, jobs, activity=activity, threads=2), slice(None)),
        rows_of(trace, slice(None)),
    )


def test_a_plan_of_500_and_a_row_beyond_a_block(policy, activity, crowd):
    """2000 rows are eight blocks; the crowd's jobs stand at their end."""
    jobs, trace = crowd
    fill = [
        Episode(Lesion(name=f"u{k}", cut={"h0": (k % 12,)}, kind="clamp", strength=k / 500), k, "")
        for k in range(2000 - len(jobs))
    ]
    big = play(policy, [*fill, *jobs], activity=activity, horizon=HORIZON)
    same(rows_of(big, slice(len(fill), None)), rows_of(trace, slice(None)))


def test_two_worlds_in_a_row_or_one_reset_twice_are_the_same(policy):
    world, jobs = World(LAP, 2, threads=1), [Episode(INTACT, s, CONDITIONS[0]) for s in (0, 1)]
    first = rollout(policy, world, jobs, signals=SIGNALS, horizon=HORIZON)
    rollout(policy, world, jobs[::-1], signals=SIGNALS, horizon=7)
    again = rollout(policy, world, jobs, signals=SIGNALS, horizon=HORIZON)
    world.close()
    same(rows_of(first, slice(None)), rows_of(again, slice(None)))


DEEP = (18, *[12] * 9, 2)
BURST = Lesion(
    name="burst",
    cut={f"h{k}": tuple(range(12)) for k in range(9)},
    kind="gain",
    strength=3e38,
)


def test_a_diverging_row_is_flagged_and_stays_alone():
    """A gain that overflows makes the network say NaN in its own row."""
    linear = random_mlp(DEEP, LAP, activation="identity")
    jobs = [Episode(x, s, CONDITIONS[0]) for x, s in ((INTACT, 0), (BURST, 0), (INTACT, 1))]
    mixed = play(linear, jobs)
    assert np.isnan(mixed["action"][0, 1]).any(), "the lesion must really diverge"
    assert mixed.unstable.tolist() == [False, True, False]
    same(rows_of(mixed, [0, 2]), rows_of(play(linear, [jobs[0], jobs[2]]), [0, 1]))


# The trace.


def test_nothing_is_written_past_an_end(policy):
    trace = play(policy, [Episode(INTACT, s, CONDITIONS[s % 2]) for s in range(6)])
    assert (trace.steps < HORIZON).any(), "somebody must end early"
    assert np.array_equal(trace.alive, np.arange(HORIZON)[:, None] < trace.steps)
    for name in SIGNALS:
        assert not trace[name][~trace.alive].any(), name
    assert np.array_equal(trace.terminated, trace["crash"].any(0))
    assert trace.dt == 0.05


def test_held_keeps_the_last_value(policy):
    trace = play(policy, [Episode(INTACT, s, CONDITIONS[s % 2]) for s in range(6)])
    held = trace.held("progress")
    for row, steps in enumerate(trace.steps):
        assert np.array_equal(held[:steps, row], trace["progress"][:steps, row])
        assert (held[steps:, row] == trace["progress"][steps - 1, row]).all()


@pytest.mark.parametrize("kind", ["zero", "resample"])
def test_parts_that_take_turns_change_no_bit(policy, activity, monkeypatch, kind):
    lesions = [INTACT, *(Lesion(name="x", cut={s: (0, 3)}, kind=kind) for s in ("h0", "h1"))]
    jobs = [Episode(lesions[k % 3], k, CONDITIONS[k % 2]) for k in range(11)]
    how = {"signals": SIGNALS, "activity": activity, "horizon": HORIZON}
    monkeypatch.setattr(world_module, "FEWEST", 4)
    steps, traces = [[], []], []
    for threads in (1, 2):
        world = World(LAP, len(jobs), threads=threads)
        assert len(world.parts) == threads
        told = steps[threads - 1]
        traces.append(rollout(policy, world, jobs, on_step=lambda *a, t=told: t.append(a), **how))
        world.close()
    same(*(rows_of(trace, slice(None)) for trace in traces))
    assert len(steps[1]) > len(steps[0])


def test_a_fault_in_one_part_ends_all(policy, monkeypatch):
    monkeypatch.setattr(world_module, "FEWEST", 1)
    world = World(LAP, 2, threads=2)
    jobs = [Episode(INTACT, s, CONDITIONS[0]) for s in range(2)]

    def fail(step, running):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rollout(policy, world, jobs, horizon=10**6, on_step=fail)
    assert len(rollout(policy, world, jobs, horizon=5).steps) == 2  # and can be run again
    world.close()


def test_finished_robots_are_not_run(policy):
    running = []
    world = World(LAP, 6, threads=1)
    trace = rollout(
        policy,
        world,
        [Episode(INTACT, s, CONDITIONS[s % 2]) for s in range(6)],
        horizon=HORIZON,
        on_step=lambda step, rows: running.append((step, rows)),
    )
    after = np.append(trace.alive.sum(1)[1:], 0)
    assert [rows for _, rows in running][:-1] == after[: len(running) - 1].tolist()
    assert np.array_equal(world.parts[0].env.steps, trace.steps), "the world made no step more"
    world.close()


# The door to environments: those of Gymnasium, without a native batch.


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "CartPole-v1"])
@pytest.mark.parametrize("units", [(0,), (1, 4)])
def test_third_party_environments_are_lesioned_the_same(env_id, units):
    discrete = env_id == "CartPole-v1"
    policy = random_mlp(
        (4, 12, 10, 2) if discrete else (3, 12, 10, 1),
        env_id,
        squash="argmax" if discrete else "tanh",
        bound=2.0,
        seed=3,  # an untrained one that balances the pole for a second
    )
    lesion = Lesion(name="x", cut={"h0": units})
    jobs = [Episode(x, seed) for x in (INTACT, lesion) for seed in (0, 5)]
    trace = play(policy, jobs, env_id=env_id, signals=("reward", "action"))
    for k, job in enumerate(jobs):
        agent = policy.edited("h0", units) if job.lesion.size else policy
        total, steps = loop(agent, env_id, job.seed)
        assert trace["reward"][:, k].sum() == pytest.approx(total, rel=1e-12)
        assert trace.steps[k] == steps
    assert trace.terminated.all() == discrete, "every pole falls in the end"
    assert len({trace["action"][:, k].tobytes() for k in range(4)}) > 2
    alone = play(policy, jobs[2:3], env_id=env_id, signals=("reward", "action"))
    same(rows_of(alone, slice(0, 1)), rows_of(trace, slice(2, 3)))


class Slope(gym.Env):
    """A plain single world with conditions: a cart that rolls down to one side."""

    metadata: ClassVar = {"conditions": {"left": -1.0, "right": 1.0}, "render_fps": 10}
    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        asked = (options or {}).get("condition")
        self.pull = 0.0 if asked is None else self.metadata["conditions"][asked]
        self.at = float(self.np_random.uniform(-0.1, 0.1))
        return np.array([self.at], np.float32), {}

    def step(self, action):
        self.at += 0.1 * self.pull
        return np.array([self.at], np.float32), self.at, False, False, {}


def test_every_robot_of_a_plain_world_starts_under_its_own_condition():
    gym.register("tests/Slope-v0", entry_point=Slope, max_episode_steps=5)
    try:
        policy = random_mlp((1, 12, 10, 1), "tests/Slope-v0")
        world = World("tests/Slope-v0", 3)
        assert world.conditions == ["left", "right"]
        jobs = [Episode(INTACT, 0, condition) for condition in ("left", "right", "")]
        trace = rollout(policy, world, jobs, signals=("reward", "obs"))
        moved = trace["reward"][-1] - trace["obs"][0, :, 0]
        np.testing.assert_allclose(moved, [-0.5, 0.5, 0.0], atol=1e-6)
    finally:
        del gym.registry["tests/Slope-v0"]


def test_nan_in_a_third_party_environment_stays_in_its_row():
    policy = random_mlp((3, *DEEP[1:-1], 1), "Pendulum-v1", activation="identity", bound=2.0)
    trace = play(
        policy,
        [Episode(INTACT, 0), Episode(BURST, 0), Episode(INTACT, 1)],
        env_id="Pendulum-v1",
        signals=("reward",),
    )
    assert trace.unstable.tolist() == [False, True, False]
    assert np.isfinite(trace["reward"][:, [0, 2]]).all()


def test_sensors_and_motors_of_a_third_party_environment():
    policy = random_mlp((3, 12, 10, 1), "Pendulum-v1", bound=2.0)
    cuts = [Lesion(name="s", cut={"obs": (0,)}), Lesion(name="m", cut={"action": (0,)})]
    trace = play(
        policy,
        [Episode(x, 0) for x in cuts],
        env_id="Pendulum-v1",
        signals=("@obs", "action", "obs"),
    )
    assert not trace["@obs"][:, 0, 0].any()
    assert trace["obs"][:, 0, 0].any(), "the signal obs is what the world said"
    assert trace["action"][:, 0].any()
    assert not trace["action"][:, 1].any()


def test_world_signals_names_what_can_be_recorded():
    world = World(LAP, 2, threads=1)
    names = world_signals(world)
    world.close()
    assert names["obs"] == (18,)
    assert names["action"] == (2,)
    assert {"reward", "forward_speed", "yaw_rate", "progress", "bend", "crash"} <= names.keys()
    assert not any(name.startswith("_") for name in names)


# What does not fit.


def test_unknown_environments_are_told_in_one_line():
    for env_id in ("Nowhere-v0", "no_such_module:X-v0", "envs:rl_ablation/None-v0"):
        with pytest.raises(LabError, match="unknown environment") as caught:
            World(env_id, 1)
        assert "\n" not in str(caught.value)
    with pytest.raises(LabError, match="cannot make"):
        World(LAP, 1, {"colour": "red"})
    with pytest.raises(LabError, match="only Box is supported"):
        World("FrozenLake-v1", 1)


@pytest.mark.parametrize(
    ("sizes", "squash", "line"),
    [
        ((17, 4, 4, 2), "clip", "takes 17 observations, but .* gives 18"),
        ((18, 8, 8, 3), "clip", "gives 3 actions, but .* takes 2"),
        ((18, 8, 8, 2), "argmax", "has continuous actions"),
    ],
)
def test_policies_that_do_not_fit_are_refused(sizes, squash, line):
    policy = random_mlp((sizes[0], 8, 8, sizes[-1]), LAP, squash=squash)
    with pytest.raises(LabError, match=line):
        play(policy, [Episode(INTACT, 0)])


def test_conditions_signals_and_horizons_that_are_not_there(policy):
    world = World(LAP, 1)
    with pytest.raises(LabError, match="unknown condition 'moon'; choose from ring/ccw"):
        world.check_conditions(["moon"])
    world.check_conditions(["", *CONDITIONS])
    with pytest.raises(LabError, match="gives no signal 'altitude'"):
        rollout(policy, world, [Episode(INTACT, 0)], signals=["altitude"], horizon=3)
    world.horizon = None
    with pytest.raises(LabError, match="no time limit; give a horizon"):
        rollout(policy, world, [Episode(INTACT, 0)])
    world.close()


# Seeds and recorded activity.


def test_episode_seeds_do_not_meet():
    seeds = {
        episode_seed(seed, k, stream=stream)
        for seed in (0, 1, 2, 12345)
        for stream in (0, 1)
        for k in range(50)
    }
    assert len(seeds) == 400
    assert episode_seed(0, 0) == episode_seed(0, 0)


def test_seed_0_is_ordinary(policy):
    trace = play(policy, [Episode(INTACT, s, CONDITIONS[0]) for s in (0, 0, 1)], signals=("obs",))
    again = play(policy, [Episode(INTACT, 0, CONDITIONS[0])], signals=("obs",))
    same(rows_of(trace, slice(0, 1)), rows_of(trace, slice(1, 2)))
    same(rows_of(trace, slice(0, 1)), rows_of(again, slice(0, 1)))
    assert not np.array_equal(trace["obs"][0, 0], trace["obs"][0, 2])


def test_activity_is_repeatable_and_intact(policy, activity):
    again = record_activity(policy, conditions=CONDITIONS, episodes=4, horizon=HORIZON, threads=2)
    assert list(activity) == list(policy.sites)
    sizes = {len(x.samples) for x in activity.values()}
    assert len(sizes) == 1, "all sites are sampled at the same moments"
    for site, stats in activity.items():
        assert stats.samples.tobytes() == again[site].samples.tobytes()
    assert activity["h0"].std[DEAD] == 0
    assert (np.delete(activity["h0"].std, DEAD) > 0).all()
    other = record_activity(policy, conditions=CONDITIONS, episodes=4, horizon=HORIZON, seed=1)
    assert other["h0"].samples.tobytes() != activity["h0"].samples.tobytes()
    content = activity_bytes(activity)
    back = activity_of(content)
    assert all(np.array_equal(back[s].samples, activity[s].samples) for s in activity)
    with pytest.raises(LabError):
        activity_of(content[:500])
    with pytest.raises(LabError, match="its numbers have changed"):
        activity_of(content[:-1] + bytes([content[-1] ^ 1]))
