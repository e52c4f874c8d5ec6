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
        self._blank = np.zeros(self.single_observation_space.shape or ())
        self._seen = [self._blank] * rows

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        """Start every robot."""
        conditions = (options or {}).get("condition", [None] * self.num_envs)
        self._terminations[:] = self._truncations[:] = self._failed[:] = False
        self._seen = [self._blank] * self.num_envs
        infos: dict[str, Any] = {}
        for i, (env, condition) in enumerate(zip(self.envs, conditions, strict=True)):
            own = None if condition is None else {"condition": condition}
            try:
                obs, info = env.reset(seed=seed[i], options=own)
                self._seen[i] = self._fitting(obs)
                infos = self._add_info(infos, _wide(info), i)
            except (Exception, SystemExit) as error:
                self._fail(i, error, "reset")
        obs = np.array(self._seen, self.single_observation_space.dtype)
        return obs, self._with_failures(infos)

    def step(self, actions: np.ndarray) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step the robots that are not finished."""
        infos: dict[str, Any] = {}
        for i, env in enumerate(self.envs):
            if self._terminations[i] or self._truncations[i]:
                self._rewards[i] = 0.0
                continue
            try:
                obs, reward, ended, cut, info = env.step(actions[i].copy())
                self._seen[i] = self._fitting(obs)
                self._rewards[i], self._terminations[i], self._truncations[i] = reward, ended, cut
                infos = self._add_info(infos, _wide(info), i)
            except (Exception, SystemExit) as error:
                self._fail(i, error, "step")
        obs, infos = np.array(self._seen), self._with_failures(infos)
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

    def _with_failures(self, infos: dict[str, Any]) -> dict[str, Any]:
        own = infos.get("unstable", False)
        told = np.array([x is not None and bool(x) for x in np.broadcast_to(own, self.num_envs)])
        there = np.ones(self.num_envs, bool)
        return {**infos, "unstable": told | self._failed, "_unstable": there}


def _wide(info: Mapping[str, Any]) -> dict[str, Any]:
    """Infos with their numbers in 64 bits: Gymnasium gives all robots the type of the first one's,
    so that beside a 0 a 0.7 would be a 0."""
    numbers = (int, np.integer, np.floating)
    return {
        key: float(value) if isinstance(value, numbers) and not isinstance(value, bool) else value
        for key, value in info.items()
    }
