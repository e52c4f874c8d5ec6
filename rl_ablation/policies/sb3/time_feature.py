"""The SB3 Zoo's time feature as an environment that any rollout can make by its id.

``gymnasium.make("rl_ablation/TimeFeature-v0", inner_id="Hopper-v5")`` is Hopper with one more
observation: the share of the episode that is left (Pardo et al. 2018, arXiv:1712.00378). As an id
with keyword arguments it fits on a policy's card. Importing the package registers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from rl_ablation.env_ids import find_spec
from rl_ablation.errors import LabError


class TimeFeature(gymnasium.Wrapper):
    """Append 1 − t/T to each observation (D,), t the steps taken, T the most steps of an episode.

    ``max_steps`` is T if the environment's own registration does not say it. Observations that are
    no vectors are a LabError.
    """

    def __init__(self, env: gymnasium.Env, max_steps: int = 1000) -> None:
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, Box) or len(space.shape) != 1:
            raise LabError("the time feature needs observations that are plain vectors")
        low, high = np.append(space.low, 0.0), np.append(space.high, 1.0)
        kind = space.dtype
        self.observation_space = Box(low.astype(kind), high.astype(kind), dtype=kind.type)
        registered = env.spec.max_episode_steps if env.spec is not None else None
        self.max_steps = max_steps if registered is None else registered
        self.taken = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Reset the environment and its clock."""
        self.taken = 0
        obs, info = self.env.reset(seed=seed, options=options)
        return self._with_time(obs), info

    def step(self, action: Any) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        """Step the environment and its clock."""
        self.taken += 1
        obs, *rest = self.env.step(action)
        return (self._with_time(obs), *rest)  # type: ignore[return-value]

    def _with_time(self, obs: np.ndarray) -> np.ndarray:
        return np.append(obs, np.asarray(1.0 - self.taken / self.max_steps, obs.dtype))


def make(
    inner_id: str, inner_kwargs: Mapping[str, Any] | None = None, **kwargs: Any
) -> gymnasium.Env:
    """Make ``inner_id`` and put the time feature around it."""
    spec = find_spec(inner_id, inner_kwargs)
    return TimeFeature(gymnasium.make(spec, **{**(inner_kwargs or {}), **kwargs}))
