"""Worlds that fail: they raise, give no numbers, change their spaces, or never repeat themselves.

A world has *held* if a sweep in it was refused with one line, or ran to its end, with what failed
flagged and every other number the very one of the same world without the fault.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd

from experiments.faults.forks import in_fork
from experiments.faults.tally import Tally
from rl_ablation.errors import LabError
from rl_ablation.groupings.units import layers, singles
from rl_ablation.mapping.lesion_map import lesion_map
from rl_ablation.mapping.map import Map
from rl_ablation.mapping.sweep import sweep
from rl_ablation.policies.policy import Card, Policy
from rl_ablation.policies.storage import make_mlp
from rl_ablation.rollouts.activity import Activity, record_activity

HORIZON, EPISODES = 12, 8
SOUND = "Gap-v0"

RAISED: tuple[type[BaseException], ...] = (
    ValueError, KeyError, AssertionError, RuntimeError, MemoryError, OSError, RecursionError,
    ZeroDivisionError, SystemExit, NotImplementedError,
)  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """What goes wrong: in which method, what, from which step on, in what share of episodes."""

    where: str = ""
    what: str = ""
    step: int = 0
    share: float = 1.0
    error: type[BaseException] = ValueError

    def __str__(self) -> str:
        error = f" {self.error.__name__}" if self.what == "raises" else ""
        return f"{self.where} {self.what}{error} from step {self.step} in {self.share:.0%}"


class Gap(gym.Env):
    """A point has to close a gap in the plane, and a fault may come between."""

    metadata = {"render_modes": [], "render_fps": 20}  # noqa: RUF012  # as Gymnasium has it

    def __init__(self, fault: Fault = Fault()) -> None:  # frozen
        self.fault = fault
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.metadata = {**self.metadata, **METADATA.get(fault.what, {})}
        if fault.where == "spaces":
            self.observation_space, self.action_space = _spaces(fault.what)
        if fault.where == "init":
            raise fault.error("no such motor")

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Start anew."""
        super().reset(seed=seed)
        self.gap, self.steps = self.np_random.uniform(-1.0, 1.0, 2), 0
        draw = np.random.default_rng([0 if seed is None else seed, 1])
        self.failing = bool(draw.random() < self.fault.share)
        answer = self._seen(), self._told()
        return self._spoilt("reset", answer, RESETS)

    def step(self, action: np.ndarray) -> Any:
        """Move by the action."""
        self.gap, self.steps = self.gap - 0.1 * np.clip(action, -1.0, 1.0), self.steps + 1
        if self._now("step") and self.fault.what == "turns the action round":
            action *= -1
        if self._now("step") and self.fault.what == "draws anew":
            self.gap += np.frombuffer(os.urandom(2), np.uint8) / 1000
        ended = bool(np.abs(self.gap).max() < 0.05)
        answer = self._seen(), -float(np.abs(self.gap).sum()), ended, False, self._told()
        return self._spoilt("step", answer, STEPS)

    def close(self) -> None:
        """End it all."""
        if self.fault.where == "close":
            raise self.fault.error("the door is stuck")

    def _seen(self) -> np.ndarray:
        return np.array([*self.gap, self.steps / HORIZON], np.float32)

    def _told(self) -> dict[str, Any]:
        return {"distance": float(np.hypot(*self.gap)), "forward_speed": float(self.gap[0])}

    def _now(self, where: str) -> bool:
        return self.failing and self.fault.where == where and self.steps >= self.fault.step

    def _spoilt(self, where: str, answer: Any, ways: dict[str, Callable[[Any], Any]]) -> Any:
        if not self._now(where):
            return answer
        if self.fault.what == "raises":
            raise self.fault.error("a wheel came off")
        return ways.get(self.fault.what, lambda same: same)(answer)


def _with(**changes: Any) -> Callable[[Any], Any]:
    """Change some of ``obs, reward, ended, cut, info`` of a step."""
    names = ("obs", "reward", "ended", "cut", "info")
    return lambda answer: tuple(
        changes.get(name, value) for name, value in zip(names, answer, strict=True)
    )


def _info(**changes: Any) -> Callable[[Any], Any]:
    return lambda answer: (*answer[:-1], {**answer[-1], **changes})


RESETS: dict[str, Callable[[Any], Any]] = {
    "gives no pair": lambda answer: answer[0],
    "gives nothing": lambda answer: None,
    "gives NaN": lambda answer: (np.full(3, np.nan, np.float32), answer[1]),
    "gives another shape": lambda answer: (np.zeros(5, np.float32), answer[1]),
    "gives words": lambda answer: (np.array(["a", "b", "c"]), answer[1]),
    "gives no infos": lambda answer: (answer[0], None),
}
STEPS: dict[str, Callable[[Any], Any]] = {
    "gives four": lambda answer: answer[:4],
    "gives nothing": lambda answer: None,
    "gives NaN": _with(obs=np.full(3, np.nan, np.float32)),
    "gives infinity": _with(obs=np.full(3, np.inf, np.float32)),
    "gives another shape": _with(obs=np.zeros((3, 1), np.float32)),
    "gives a number": _with(obs=1.0),
    "gives objects": _with(obs=np.array([None, {}, "x"], dtype=object)),
    "rewards NaN": _with(reward=np.nan),
    "rewards nothing": _with(reward=None),
    "rewards a list": _with(reward=[1.0, 2.0]),
    "ends with words": _with(ended=np.array(["no", "no"])),
    "gives no infos": _with(info=None),
    "tells NaN": _info(distance=np.nan, forward_speed=np.nan),
    "tells another shape": _info(distance=np.zeros(3), forward_speed=np.zeros(2)),
    "tells words": _info(distance="far", forward_speed="fast"),
    "tells less": lambda answer: (*answer[:-1], {}),
    "turns the action round": lambda answer: answer,
    "draws anew": lambda answer: answer,
}
METADATA: dict[str, dict[str, Any]] = {
    "0 steps a second": {"render_fps": -1},
    "words for a rate": {"render_fps": "fast"},
    "a number of conditions": {"conditions": 5},
    "numbers for conditions": {"conditions": [1, 2]},
    "one name of sensors": {"observation_names": 7, "action_names": {"x"}},
}
SPACES = ("differ", "are a dictionary", "are pictures", "begin at 5", "have no shape")


def _spaces(what: str) -> tuple[gym.Space, gym.Space]:
    box, action = gym.spaces.Box, gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
    seen: dict[str, gym.Space] = {
        "differ": box(-np.inf, np.inf, (3 + os.urandom(1)[0],), np.float32),
        "are a dictionary": gym.spaces.Dict({"gap": box(-1.0, 1.0, (3,), np.float32)}),
        "are pictures": box(0, 255, (8, 8, 3), np.uint8),
        "have no shape": box(-1.0, 1.0, (), np.float32),
    }
    same = box(-np.inf, np.inf, (3,), np.float32)
    return seen.get(what, same), gym.spaces.Discrete(2, start=5) if "5" in what else action


def drawn(draw: np.random.Generator) -> Fault:
    """A fault by chance."""
    places = ["init", "reset", "step", "step", "step", "close", "spaces", "metadata"]
    where = str(draw.choice(places))
    what = {
        "reset": [*RESETS, "raises", "raises"], "step": [*STEPS, "raises", "raises", "raises"],
        "spaces": list(SPACES), "metadata": list(METADATA),
    }.get(where, ["raises"])  # fmt: skip
    return Fault(
        where,
        str(draw.choice(what)),
        int(draw.integers(HORIZON)) if where == "step" else 0,
        float(draw.choice([0.2, 0.5, 1.0])),
        RAISED[int(draw.integers(len(RAISED)))],
    )


def driver() -> Policy:
    """A policy that closes gaps, more or less."""
    draw = np.random.default_rng(5)
    weights = [(draw.normal(size=(6, 3)), np.zeros(6)), (draw.normal(size=(2, 6)) / 2, np.zeros(2))]
    card = Card(name="driver", env_id=SOUND, activation="tanh", squash="clip")
    return make_mlp(weights, card, low=-np.ones(2), high=np.ones(2))


def register(env_id: str, fault: Fault) -> None:
    """Make Gymnasium know the world with a fault."""
    gym.register(env_id, entry_point=partial(Gap, fault), max_episode_steps=HORIZON)


def sound(folder: Path) -> tuple[pd.DataFrame, Activity]:
    """What the cuts do in the world without a fault, and the intact activity there."""
    register(SOUND, Fault())
    agent = driver()
    activity = record_activity(agent, episodes=4)
    return _swept(agent, activity, folder).table(), activity


def _swept(agent: Policy, activity: Activity, folder: Path) -> Map:
    plan = layers(agent) + singles(agent)
    return sweep(agent, plan, EPISODES, activity=activity, folder=folder, threads=1, progress=False)


def judge(fault: Fault, table: pd.DataFrame, activity: Activity, folder: Path) -> str:
    """What did not hold in a world with a fault; "" if all did."""
    env_id = "Failing-v0"
    register(env_id, fault)
    agent = driver().with_env(env_id)
    try:
        if fault.what == "draws anew":
            lesion_map(agent, layers(agent), 6, folder=folder, threads=1, progress=False)
            return "a map was made of a world that does not repeat itself"
        run = _swept(agent, activity, folder)
        run.effects()
        record_activity(agent, episodes=4)
    except LabError as refused:
        return "" if str(refused).isprintable() else f"refused in several lines: {refused}"
    return _compared(run.table(), table, run.spec.measures)


def _compared(found: pd.DataFrame, wanted: pd.DataFrame, measures: tuple[str, ...]) -> str:
    """What a table has that is neither a number of the sound world's nor none at all."""
    for measure in measures:
        if measure not in wanted:
            continue
        lacking = found[measure].isna() | wanted[measure].isna()
        other = ~lacking & (found[measure] != wanted[measure])
        if other.any():
            return f"{measure} is another number in {other.sum()} of {len(found)} episodes"
        if (found["unstable"] & found[measure].notna()).any():
            return f"{measure} has a number in an episode that failed"
    return ""


def failing_worlds(seed: int, count: int) -> Tally:
    """Sweep in so many worlds that fail; the same seed and count make the same worlds."""
    failures = []
    for k in range(count):
        fault = drawn(np.random.default_rng([seed, k]))
        done = in_fork(partial(_tried, fault))
        if done.code != 0:
            failures.append(f"{k}: {fault}: {done.ended or done.last}")
    return Tally("worlds that fail", count, tuple(failures))


def _tried(fault: Fault) -> int:
    """In a fork: 0 if a world with this fault holds; else it prints why not."""
    warnings.simplefilter("ignore")
    logging.disable()
    with TemporaryDirectory() as folder:
        table, activity = sound(Path(folder) / "sound")
        why = judge(fault, table, activity, Path(folder) / "failing")
    print(why)
    return int(bool(why))
