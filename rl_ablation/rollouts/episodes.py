"""Episodes: which to run, their seeds, and the conditions of a policy's world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.rollout import Job
from rl_ablation.rollouts.world import World

_EPISODE, REFERENCE = 0, 1  # streams of seeds that never meet


@dataclass(frozen=True)
class Episodes:
    """Which episodes to run. Episode k starts from seed k of the stream, under condition k modulo
    their number.

    Attributes:
        count: How many.
        seed: Sets every episode's seed.
        conditions: Of the environment, in turn; ("",) where it has none.
        horizon: Control steps at most; None takes the environment's time limit.
        stream: Streams of one seed share no episode: measured ones, and those of reference
            recordings.
    """

    count: int = 24
    seed: int = 0
    conditions: tuple[str, ...] = ("",)
    horizon: int | None = None
    stream: int = _EPISODE

    def jobs(self, lesion: Lesion) -> list[Job]:
        """A job for each episode, under this lesion."""
        return [
            Job(
                lesion,
                episode_seed(self.seed, k, stream=self.stream),
                self.conditions[k % len(self.conditions)],
            )
            for k in range(self.count)
        ]


def episode_seed(seed: int, episode: int, *, stream: int = _EPISODE) -> int:
    """The environment seed of an episode: a hash, so that neighbouring run seeds share nothing."""
    if seed < 0:
        raise LabError(f"the seed must be 0 or more, got {seed}")
    return int(np.random.SeedSequence([seed, stream, episode]).generate_state(1)[0])


def card_env(policy: Policy) -> str:
    """The environment on the policy's card.

    Raises:
        LabError: There is none.
    """
    if policy.card.env_id is None:
        raise LabError(f"policy {policy.name!r} names no environment; give one (env=…, or --env)")
    return policy.card.env_id


def conditions_of(agent: Policy, asked: Sequence[str] | None = None) -> list[str]:
    """The asked conditions of the policy's environment, or all that it names.

    Raises:
        LabError: There is no such condition, or the policy does not fit the environment.
    """
    world = World(card_env(agent), 1, agent.card.env_kwargs)
    try:
        world.fits(agent)
        taken = world.conditions if asked is None else list(asked)
        world.check_conditions(taken)
        return taken
    finally:
        world.close()


def fresh_seed(seed: int, stage: int, look: int = 0) -> int:
    """The seed of a later stage: its episodes are those of no other stage or seed."""
    return int(np.random.SeedSequence([seed, stage, look]).generate_state(1)[0])
