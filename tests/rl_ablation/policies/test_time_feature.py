"""The time feature: which environments it fits, what it promises of its observations."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Discrete, Space

from rl_ablation.env_ids import TIME_FEATURE_ID
from rl_ablation.errors import LabError
from rl_ablation.policies.sb3.time_feature import TimeFeature

VECTOR = Box(np.float32([-2, -np.inf]), np.float32([3, np.inf]))


class Still(gymnasium.Env):
    """Never moves and never ends."""

    action_space = Discrete(2)

    def __init__(self, space: Space = VECTOR) -> None:
        self.observation_space = space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {"asked": options}

    def step(self, action):
        return np.zeros(2, np.float32), 1.0, False, False, {"action": action}


def test_the_share_that_is_left_is_one_more_observation_in_its_bounds():
    env = TimeFeature(Still(), max_steps=4)
    np.testing.assert_array_equal(env.observation_space.low, np.float32([-2, -np.inf, 0]))
    np.testing.assert_array_equal(env.observation_space.high, np.float32([3, np.inf, 1]))
    assert env.observation_space.dtype == np.float32
    for _ in range(2):
        obs, info = env.reset(options={"slow": True})
        assert (obs.tolist(), info) == ([0, 0, 1], {"asked": {"slow": True}})
        for left in (0.75, 0.5, 0.25, 0.0):
            obs, *rest = env.step(1)
            assert obs.tolist() == [0, 0, left]
            assert obs.dtype == np.float32
            assert env.observation_space.contains(obs)
            assert rest == [1.0, False, False, {"action": 1}]


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [(None, 1000), (EnvSpec("Still-v0"), 1000), (EnvSpec("Still-v0", max_episode_steps=50), 50)],
)
def test_an_episode_has_the_steps_of_the_registration_or_a_thousand(spec, wanted):
    """A thousand where it has no time limit, as in the SB3 Zoo."""
    inner = Still()
    inner.spec = spec
    env = TimeFeature(inner)
    env.reset()
    assert env.step(0)[0][-1] == np.float32(1 - 1 / wanted)


@pytest.mark.parametrize("space", [Discrete(3), Box(0, 1, (2, 2)), Box(0, 1, ())], ids=str)
def test_observations_that_are_no_vectors_are_refused(space):
    with pytest.raises(LabError, match="needs observations that are plain vectors"):
        TimeFeature(Still(space))


def test_what_is_inside_has_its_arguments():
    env = gymnasium.make(TIME_FEATURE_ID, inner_id="Pendulum-v1", inner_kwargs={"g": 3.0})
    assert env.unwrapped.g == 3.0
    assert env.observation_space.shape == (4,)
    env.reset(seed=0)
    assert env.step(env.action_space.sample())[0][-1] == np.float32(1 - 1 / 200)
    assert gymnasium.make(TIME_FEATURE_ID, inner_id="Pendulum-v1").unwrapped.g == 10.0
