"""A Gymnasium `VectorEnv` as stable-baselines3 wants it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.vec_env import VecEnv


class BatchVecEnv(VecEnv):
    """Steps a same-step autoresetting `VectorEnv` for stable-baselines3.

    On the step that ends an episode ``infos[i]`` holds the episode's last infos,
    ``terminal_observation`` and ``TimeLimit.truncated``; without these two SB3 would silently
    treat a time limit as a death. Other steps have empty infos. The environment's own infos, arrays
    over the robots, are there as ``answered``: those that came with the observations which the
    latest actions answered.

    Args:
        env: The environment; its autoreset mode must be SameStep.
        stagger: Let robots start at ages spread evenly over the time limit when all are reset, so
            that their first episodes end one after the other, and every rollout holds some starts.
    """

    def __init__(self, env: VectorEnv, stagger: bool = False) -> None:
        mode = env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise ValueError(f"training needs autoreset_mode='SameStep', got {mode}")
        self.env = env
        self._ages = np.zeros(env.num_envs, np.int64)
        if stagger:
            limit = getattr(env.unwrapped, "max_episode_steps", None)
            if limit is None or not hasattr(env.unwrapped, "steps"):
                raise ValueError("only a native batch with a time limit can be staggered")
            self._ages = np.arange(env.num_envs) * limit // env.num_envs
        self._actions: np.ndarray | None = None
        self._latest: dict[str, Any] = {}
        self.answered: dict[str, Any] = {}
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> np.ndarray:
        """Reset all robots, from the seeds given to `seed` if there are any."""
        seeds = None if self._seeds[0] is None else list(self._seeds)
        obs, self._latest = self.env.reset(seed=seeds)  # type: ignore[arg-type]
        self._reset_seeds()
        if self._ages.any():
            cast(Any, self.env.unwrapped).steps[:] = self._ages
        return obs

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:  # type: ignore[override]
        """Step all robots."""
        self.answered = self._latest
        obs, rewards, terminated, truncated, batch_infos = self.env.step(self._actions)
        self._latest = batch_infos
        dones = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if dones.any():
            final = batch_infos["final_info"]
            for i in np.flatnonzero(dones):
                infos[i] = {k: v[i] for k, v in final.items() if not k.startswith("_")}
                infos[i]["terminal_observation"] = batch_infos["final_obs"][i]
                infos[i]["TimeLimit.truncated"] = bool(truncated[i] and not terminated[i])
        return obs, rewards.astype(np.float32), dones, infos

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of the environment, once per robot."""
        return [getattr(self.env, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: the robots share one environment."""
        raise NotImplementedError("the robots share one environment; set it on .env")

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any
    ) -> list[Any]:
        """Refuse: the robots share one environment."""
        raise NotImplementedError("the robots share one environment; call it on .env")

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: Any = None) -> list[bool]:
        """No robot is wrapped."""
        return [False] * len(list(self._get_indices(indices)))


def make_training_env(
    env_id: str, num_envs: int, env_kwargs: dict[str, Any], stagger: bool = False
) -> BatchVecEnv:
    """Make a batch of robots ready for stable-baselines3; see `BatchVecEnv` for ``stagger``."""
    env = gym.make_vec(env_id, num_envs=num_envs, autoreset_mode="SameStep", **env_kwargs)
    return BatchVecEnv(env, stagger)


def stage_seed(seed: int, stage: int) -> int:
    """The seed of a training stage: distinct stages of distinct trainings share no stream."""
    return int(np.random.SeedSequence([seed, stage]).generate_state(1)[0])


def quiet_sequence(values: Sequence[float]) -> float:
    """Mean of a possibly empty sequence; NaN without a warning when it is empty."""
    return float(np.mean(values)) if len(values) else float("nan")
