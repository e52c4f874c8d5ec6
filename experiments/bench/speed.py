"""How fast the sweep is against the physics alone and against the usual loops, in one run.

Every figure is control steps per second on this machine, and every ratio is of two figures measured
in turn, several times; ratios are what to quote.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv

import rl_ablation as rl
from rl_ablation.measures.registry import choose, evaluate
from rl_ablation.policies.policy import Card
from rl_ablation.policies.storage import make_mlp
from rl_ablation.progress import console
from rl_ablation.rollouts.activity import Activity
from rl_ablation.rollouts.episodes import Episode
from rl_ablation.rollouts.rollout import Rollout, Trace, rollout, world_signals
from rl_ablation.rollouts.world import World, quiet

ROWS = 1024
ROUNDS = 3


def random_policy(env_id: str, hidden: int) -> rl.Policy:
    """An untrained tanh policy with two hidden layers that fits an environment.

    Its actions are kept small, so that robots stay up and the benchmark measures running robots.
    """
    with quiet():
        space = gym.make(env_id)
    rng = np.random.default_rng(0)
    sizes = [int(np.prod(space.observation_space.shape or ())), hidden, hidden]
    actions = space.action_space
    assert isinstance(actions, gym.spaces.Box)
    sizes.append(int(np.prod(actions.shape)))
    weights = []
    for k, (into, out) in enumerate(pairwise(sizes)):
        gain = 0.1 if k == 2 else 1.0
        weight = rng.normal(0, gain / np.sqrt(into), (out, into)).astype(np.float32)
        weights.append((weight, np.zeros(out, np.float32)))
    if env_id.endswith("Lap-v0"):
        weights[-1] = (weights[-1][0] * 0.1, np.full(2, 0.3, np.float32))
    card = Card(name=f"{hidden}x{hidden}", env_id=env_id, activation="tanh", squash="clip")
    return make_mlp(weights, card, low=actions.low, high=actions.high)


Speeds = dict[str, Callable[[], float]]
Replay = list[tuple[np.ndarray, np.ndarray]]
"""Controls (N, U) of each step, and the rows that were stepped."""


def sweep_speed(policy: rl.Policy, horizon: int, replay: Replay) -> Callable[[], float]:
    """The sweep: 1024 robots with single-unit lesions, all measures taken.

    The first call fills ``replay`` with what the robots did.
    """
    assert policy.card.env_id is not None
    activity = rl.record_activity(policy, episodes=2, horizon=horizon)
    plan = rl.singles(policy).lesions
    jobs = [Episode(plan[i % len(plan)], seed=i) for i in range(ROWS)]
    world = World(policy.card.env_id, ROWS)
    measures = choose(None, world_signals(world))
    signals = list(dict.fromkeys(s for m in measures for s in m.signals))

    def outcome(trace: Trace) -> int:
        evaluate(measures, trace)
        return int(trace.alive.sum())

    def run() -> float:
        if not replay:
            replay.extend(_what_is_done(policy, jobs, activity, horizon))
        began = time.perf_counter()
        rolls = Rollout(policy, world, signals, activity, horizon)
        return sum(rolls.of(jobs, outcome)) / (time.perf_counter() - began)

    return run


def _what_is_done(
    policy: rl.Policy, jobs: list[Episode], activity: Activity, horizon: int
) -> Replay:
    """The controls of each step, and the rows that make it."""
    world = World(policy.card.env_id or "", len(jobs), threads=1)
    batch = world.parts[0].env.batch  # type: ignore[attr-defined]
    controls: list[np.ndarray] = []
    trace = rollout(
        policy, world, jobs, activity=activity, horizon=horizon,
        on_step=lambda step, running: controls.append(batch.ctrl.copy()),
    )  # fmt: skip
    world.close()
    return list(zip(controls, map(np.flatnonzero, trace.alive), strict=False))


def physics_speed(policy: rl.Policy, replay: Replay) -> Callable[[], float]:
    """The physics alone: the sweep's controls again, from its starts, through ``Batch.step``."""
    assert policy.card.env_id is not None
    env: Any = gym.make_vec(policy.card.env_id, num_envs=ROWS, autoreset_mode="Disabled")

    def run() -> float:
        env.reset(seed=list(range(ROWS)))
        began, steps = time.perf_counter(), 0
        for ctrl, rows in replay:
            env.batch.ctrl[:] = ctrl
            env.batch.step(rows, nstep=env.frame_skip)
            steps += rows.size
        return steps / (time.perf_counter() - began)

    return run


def loop_speed(env_id: str, hidden: int, copies: int, steps: int) -> Callable[[], float]:
    """Stable-baselines3's ``evaluate_policy`` on one env, or on a `DummyVecEnv` of several."""
    with quiet():
        env = DummyVecEnv([lambda: gym.make(env_id)] * copies)
    model = PPO("MlpPolicy", env, policy_kwargs={"net_arch": [hidden, hidden]}, device="cpu")
    limit = gym.spec(env_id.rpartition(":")[2]).max_episode_steps or 1000

    def run() -> float:
        began = time.perf_counter()
        _, lengths = evaluate_policy(
            model, env, n_eval_episodes=max(copies, steps // limit), return_episode_rewards=True,
            warn=False,
        )  # fmt: skip
        return float(np.sum(lengths)) / (time.perf_counter() - began)

    return run


def envpool_speed(policy: rl.Policy, task: str, steps: int) -> Callable[[], float] | None:
    """EnvPool driving the same policy, or None where it is not installed."""
    try:
        import envpool
    except ImportError:
        return None
    pool = envpool.make(task, env_type="gymnasium", num_envs=256, num_threads=os.cpu_count() or 1)

    def run() -> float:
        obs, _ = pool.reset()
        began = time.perf_counter()
        for _ in range(steps):
            obs = pool.step(policy.act(obs).astype(np.float64))[0]
        return steps * 256 / (time.perf_counter() - began)

    return run


def compare(speeds: Speeds) -> dict[str, float]:
    """Median speed of each, measured in turn so that a slow moment of the machine hits all."""
    rounds = [{name: run() for name, run in speeds.items()} for _ in range(ROUNDS)]
    return {name: median(taken[name] for taken in rounds) for name in speeds}


def bench(quick: bool) -> dict[str, float]:
    """Run everything and return the figures by flat names."""
    figures: dict[str, float] = {}
    lap, cheetah = "envs:rl_ablation/Lap-v0", "envs:HalfCheetah-v5"
    horizon, steps = (10, 100) if quick else (200, 2000)
    replay: Replay = []
    policy = random_policy(lap, 64)
    console.print("lap: sweep, physics alone, evaluate_policy on one and on 32")
    speeds: Speeds = {
        "sweep": sweep_speed(policy, horizon, replay),
        "physics": physics_speed(policy, replay),
        "evaluate_policy": loop_speed(lap, 64, 1, steps),
    }
    if not quick:
        speeds["dummyvec32"] = loop_speed(lap, 64, 32, 2 * steps)
    figures |= _with_ratios(compare(speeds), "")
    for hidden in (64, 256):
        replay = []
        policy = random_policy(cheetah, hidden)
        console.print(f"HalfCheetah, {hidden}×{hidden}")
        speeds = {"sweep": sweep_speed(policy, horizon, replay)}
        speeds["physics"] = physics_speed(policy, replay)
        if (pool := envpool_speed(policy, "HalfCheetah-v5", horizon)) is not None:
            speeds["envpool"] = pool
        elif hidden == 64:
            console.print("EnvPool is not installed (the extra `bench`); its lines are skipped")
        if hidden == 64 and not quick:
            speeds["evaluate_policy"] = loop_speed(cheetah, hidden, 1, steps)
        figures |= _with_ratios(compare(speeds), f"cheetah{hidden}_")
    return figures


def _with_ratios(speeds: dict[str, float], prefix: str) -> dict[str, float]:
    figures = {f"{prefix}{name}_steps_per_s": round(value, 1) for name, value in speeds.items()}
    ratios = {name: speeds["sweep"] / value for name, value in speeds.items() if name != "sweep"}
    return figures | {f"{prefix}sweep_over_{name}": round(x, 3) for name, x in ratios.items()}
