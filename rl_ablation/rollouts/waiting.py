"""Robots of any Gymnasium environment, one after the other; what fails costs its own row."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rl_ablation.files import one_line

log = logging.getLogger(__name__)


@lru_cache(maxsize=256)
def tell_once(text: str) -> None:
    """Warn of something that many worlds of one run would say."""
    log.warning("%s", text)


class WaitingSync(SyncVectorEnv):
    """A `SyncVectorEnv` in which a finished robot is left alone until it is reset.

    Its option ``condition`` is a list like that of our batches: each robot is handed its own.

    A robot whose environment raises, or gives what is no observation of its space, is finished and
    marked in the info ``unstable``; the others go on. ``failure`` says what the latest one was.
    """

    def __init__(self, spec: EnvSpec, rows: int, kwargs: Mapping[str, Any]) -> None:
        # What Gymnasium's checker looks at is looked at here, without a line for each remark.
        makers = [lambda: gym.make(spec, disable_env_checker=True, **kwargs)] * rows
        super().__init__(makers, autoreset_mode=AutoresetMode.DISABLED)
        self.failure = ""
        self._name = spec.id
        self._failed = np.zeros(rows, bool)
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._blank = np.zeros(self.single_observation_space.shape or ())
        self._seen = [self._blank] * rows

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        """Start every robot."""
        conditions = (options or {}).get("condition", [None] * self.num_envs)
        self._terminations[:] = self._truncations[:] = self._failed[:] = False
        self._seen = [self._blank] * self.num_envs
        told: dict[int, dict[str, Any]] = {}
        for i, (env, condition) in enumerate(zip(self.envs, conditions, strict=True)):
            own = None if condition is None else {"condition": condition}
            try:
                obs, info = env.reset(seed=seed[i], options=own)
                self._seen[i] = self._fitting(obs)
                told[i] = _wide(info)
            except (Exception, SystemExit) as error:
                self._fail(i, error, "reset")
        obs = np.array(self._seen, self.single_observation_space.dtype)
        return obs, self._joined(told)

    def step(self, actions: np.ndarray) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step the robots that are not finished."""
        told: dict[int, dict[str, Any]] = {}
        for i, env in enumerate(self.envs):
            if self._terminations[i] or self._truncations[i]:
                self._rewards[i] = 0.0
                continue
            try:
                obs, reward, ended, cut, info = env.step(actions[i].copy())
                self._seen[i] = self._fitting(obs)
                self._rewards[i], self._terminations[i], self._truncations[i] = reward, ended, cut
                told[i] = _wide(info)
            except (Exception, SystemExit) as error:
                self._fail(i, error, "step")
        obs, infos = np.array(self._seen), self._joined(told)
        return obs, self._rewards.copy(), self._terminations.copy(), self._truncations.copy(), infos

    def _fitting(self, obs: Any) -> np.ndarray:
        values, space = np.asarray(obs), self.single_observation_space
        if values.shape != space.shape or values.dtype.kind not in "fiub":
            found = f"{values.dtype} of shape {values.shape}"
            raise ValueError(f"an observation is {found}, not numbers of shape {space.shape}")
        return values

    def _fail(self, row: int, error: BaseException, where: str) -> None:
        self._terminations[row], self._rewards[row], self._failed[row] = True, 0.0, True
        self.failure = f"its {where} raised {type(error).__name__}: {one_line(error)}"
        tell_once(f"{self._name}: {self.failure}; such episodes are flagged and not counted")

    def _joined(self, told: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
        """The infos of all robots as one, and who failed.

        An info has the shape that it has in most robots when it is first told. What has another,
        or is no number where others are, is left out, as if the robot had not told it.
        """
        for key in {key for info in told.values() for key in info} - self._shapes.keys():
            shapes = [_shape(info[key]) for info in told.values() if key in info]
            numbers = sorted((x for x in shapes if x is not None), key=lambda x: (len(x), x))
            if numbers:
                self._shapes[key] = max(dict.fromkeys(numbers), key=numbers.count)
        infos: dict[str, Any] = {}
        for row, info in told.items():
            own = {key: value for key, value in info.items() if self._fits(key, value)}
            infos = self._add_info(infos, own, row)
        own = infos.get("unstable", False)
        marked = np.array([x is not None and bool(x) for x in np.broadcast_to(own, self.num_envs)])
        there = np.ones(self.num_envs, bool)
        return {**infos, "unstable": marked | self._failed, "_unstable": there}

    def _fits(self, key: str, value: Any) -> bool:
        if (wanted := self._shapes.get(key)) is None or (found := _shape(value)) == wanted:
            return True
        what = "is no number" if found is None else f"has the shape {found}, not {wanted}"
        tell_once(f"{self._name}: its info {key!r} {what}; such steps count as not measured")
        return False


def _shape(value: Any) -> tuple[int, ...] | None:
    """Of numbers; None of anything else."""
    if isinstance(value, np.ndarray | np.generic):
        return value.shape if value.dtype.kind in "fiub" else None
    return () if isinstance(value, bool | int | float) else None


def _wide(info: Mapping[str, Any]) -> dict[str, Any]:
    """Infos with their numbers in 64 bits: Gymnasium gives all robots the type of the first one's,
    so that beside a 0 a 0.7 would be a 0."""
    numbers = (int, np.integer, np.floating)
    return {
        key: float(value) if isinstance(value, numbers) and not isinstance(value, bool) else value
        for key, value in info.items()
    }
