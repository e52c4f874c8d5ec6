"""Episodes: which ones to run, and their seeds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rl_ablation import limits
from rl_ablation.lesions.lesion import Lesion

MEASURED, REFERENCE = 0, 1  # streams of seeds that never meet


@dataclass(frozen=True)
class Episode:
    """One episode to run: a lesion, an episode seed, and a condition ("" if the world has none)."""

    lesion: Lesion
    seed: int
    condition: str = ""


@dataclass(frozen=True)
class Episodes:
    """Which episodes to run: number k starts from seed k, under condition k modulo their number.

    Attributes:
        count: Episodes of each lesion, spread over the conditions; in a map, of each confirmed one;
            `plan` says how many are needed.
        seed: Seed of every episode's seed.
        conditions: Named conditions of the environment, in turn; by default all that it names.
        horizon: Control steps of an episode at most; by default the environment's time limit.
        stream: ``MEASURED`` or ``REFERENCE``: streams of one seed share no episode.
    """

    count: int = 24
    seed: int = 0
    conditions: tuple[str, ...] | None = None
    horizon: int | None = None
    stream: int = MEASURED

    def __post_init__(self) -> None:
        if self.conditions is not None:
            object.__setattr__(self, "conditions", tuple(self.conditions))
        limits.check_range("episodes", self.count, 1, limits.EPISODES)
        limits.check_range("seed", self.seed, 0, limits.SEED)
        if self.horizon is not None:
            limits.check_range("the horizon in steps", self.horizon, 1, limits.STEPS)

    def jobs(self, lesion: Lesion) -> list[Episode]:
        """The episodes of one lesion; without conditions the world runs as it is."""
        return [self.job(lesion, k) for k in range(self.count)]

    def job(self, lesion: Lesion, k: int) -> Episode:
        """Episode ``k`` of a lesion."""
        conditions = self.conditions or ("",)
        seed = episode_seed(self.seed, k, stream=self.stream)
        return Episode(lesion, seed, conditions[k % len(conditions)])

    def stage(self, stage: int, look: int = 0, count: int | None = None) -> Episodes:
        """Fresh episodes for a later stage: they are those of no other stage or seed."""
        seed = fresh_seed(self.seed, stage, look)
        return replace(self, seed=seed, count=self.count if count is None else count)


def episode_seed(seed: int, episode: int, *, stream: int = MEASURED) -> int:
    """The environment seed of an episode: a hash, so that neighbouring run seeds share nothing."""
    limits.check_range("seed", seed, 0, limits.SEED)
    return int(np.random.SeedSequence([seed, stream, episode]).generate_state(1)[0])


def fresh_seed(seed: int, stage: int, look: int = 0) -> int:
    """The seed of a later stage: its episodes are those of no other stage or seed."""
    return int(np.random.SeedSequence([seed, stage, look]).generate_state(1)[0])
