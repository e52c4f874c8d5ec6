"""Does a third-party policy fit the environment? Ask the environment's spaces, and say why not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from rl_ablation.env_ids import TIME_FEATURE_ID, find_spec
from rl_ablation.errors import LabError
from rl_ablation.policies.policy import Policy
from rl_ablation.policies.sb3.pickles import printable

TIME_FEATURE = "time-feature"
WRAPPED = f"rl_ablation.time_feature:{TIME_FEATURE_ID}"  # as all cards of such agents name it


@dataclass(frozen=True)
class EnvSizes:
    """Sizes of an environment's spaces: ``obs`` is the length of a flattened observation.

    ``actions`` is the length A of an action between ``low`` and ``high`` (A,), or the number of
    discrete actions, which have no bounds.
    """

    env_id: str
    obs: int
    actions: int
    low: np.ndarray | None
    high: np.ndarray | None

    def check(self, policy: Policy) -> None:
        """Raise a LabError if the policy cannot run here, with the likely cause."""
        needs, gives = policy.obs_size, self.obs
        if needs != gives:
            line = f"takes {needs} observations but {self.env_id} gives {gives}"
            if needs == gives + 1:
                line += (
                    ": one more, so it was trained behind the SB3 Zoo's TimeFeatureWrapper; add "
                )
                line += f"--env-wrapper {TIME_FEATURE}"
            elif needs % gives == 0:
                line += f": {needs // gives} times as many; frame stacks are not supported"
            else:
                line += "; give the environment and env_kwargs it was trained in"
            raise LabError(line)
        discrete = policy.card.squash == "argmax"
        if policy.action_size != self.actions or (self.low is None) != discrete:
            raise LabError(
                f"gives {policy.action_size} actions, which is not what {self.env_id} takes; "
                "give the environment it was trained in"
            )


def env_sizes(env_id: str, env_kwargs: Mapping[str, Any]) -> EnvSizes:
    """Make the environment once and read its spaces; a LabError if it cannot be made or used."""
    try:
        obs, action = _spaces(env_id, env_kwargs)
    except Exception as error:  # an environment may raise anything when it is made
        text = f"{type(error).__name__}: {error}"
        raise LabError(f"{printable(env_id)}: cannot make it ({printable(text, 160)})") from None
    if not isinstance(obs, Box):
        raise LabError(f"{env_id}: {type(obs).__name__} observations are not supported, only Box")
    size = math.prod(obs.shape)
    if isinstance(action, Discrete):
        return EnvSizes(env_id, size, int(action.n), None, None)
    if not isinstance(action, Box):
        raise LabError(f"{env_id}: {type(action).__name__} actions are not supported")
    low = action.low.reshape(-1)
    return EnvSizes(env_id, size, len(low), low, action.high.reshape(-1))


def _spaces(
    env_id: str, env_kwargs: Mapping[str, Any]
) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
    spec = find_spec(env_id, env_kwargs)
    if spec.entry_point is None:  # a world that exists only as a batch
        with closing(gymnasium.make_vec(spec, num_envs=1, **env_kwargs)) as batch:
            return batch.single_observation_space, batch.single_action_space
    with closing(gymnasium.make(spec, disable_env_checker=True, **env_kwargs)) as env:
        return env.observation_space, env.action_space


def wrapped(
    wrapper: str, env_id: str | None, env_kwargs: Mapping[str, Any] | None
) -> tuple[str, dict[str, Any]]:
    """Id and keyword arguments of an environment in a wrapper; a LabError if one is unknown."""
    if wrapper != TIME_FEATURE and not wrapper.endswith("TimeFeatureWrapper"):
        shown = printable(wrapper)
        raise LabError(f"unknown environment wrapper {shown!r}; supported is {TIME_FEATURE!r}")
    if env_id is None:
        raise LabError(f"the wrapper {wrapper!r} needs an environment; give --env")
    return WRAPPED, {"inner_id": env_id, "inner_kwargs": dict(env_kwargs or {})}
