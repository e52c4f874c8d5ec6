"""The spec of a run: all that determines its numbers, and which shard holds what."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rl_ablation import limits
from rl_ablation.env_ids import EnvId, EnvKwargs
from rl_ablation.errors import LabError
from rl_ablation.files import digest, one_line
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.measures.registry import MEASURES, Measure
from rl_ablation.rollouts.activity import EPISODES
from rl_ablation.rollouts.episodes import Episodes

ROWS = 1024
"""Robots at once; enough to keep the C threads busy, few enough for the traces to fit in cache."""


class Spec(BaseModel):
    """Everything that determines a run's numbers; lesions in ``once`` get one episode only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = 4
    agent: str
    policy_sha256: str
    sites: dict[str, Annotated[int, Field(ge=1)]]
    env_id: EnvId
    env_kwargs: EnvKwargs
    conditions: tuple[str, ...] = Field(min_length=1, fail_fast=True)
    episodes: int = Field(ge=1, le=limits.EPISODES)
    seed: int = Field(ge=0, le=limits.SEED)
    horizon: int = Field(ge=1, le=limits.STEPS)
    measures: tuple[str, ...] = Field(min_length=1, fail_fast=True)
    lesions: tuple[Lesion, ...] = Field(
        min_length=1, max_length=limits.LESIONS, fail_fast=True
    )  # the first error is enough: a list of millions would take long
    once: tuple[str, ...] = Field(default=(), fail_fast=True)
    activity_episodes: int = Field(default=EPISODES, ge=1, le=limits.EPISODES)
    rows: int = Field(default=ROWS, ge=1, le=limits.ROWS)

    @model_validator(mode="after")
    def _check(self) -> Spec:
        if Plan(self.lesions).lesions != self.lesions:
            raise ValueError("its lesions are no plan: the first is intact, and no two are alike")
        for lesion in self.lesions:
            lesion.check(self.sites)
        return self

    @property
    def digest(self) -> str:
        """Identity of the run."""
        return digest(self.model_dump(mode="json"))

    @property
    def asked(self) -> Episodes:
        """Its episodes."""
        return Episodes(self.episodes, self.seed, self.conditions, self.horizon)

    @property
    def taken(self) -> list[Measure]:
        """Its measures; a LabError if one is not known in this process."""
        for name in self.measures:
            if name not in MEASURES:
                raise LabError(f"measure {name!r} is not known; import what defines it")
        return [MEASURES[name] for name in self.measures]

    @cached_property
    def ends(self) -> np.ndarray:
        """Number of lesion × episode pairs up to and with each lesion, (L,)."""
        once = set(self.once)
        return np.cumsum([1 if x.name in once else self.episodes for x in self.lesions])

    @property
    def shards(self) -> int:
        """How many shards the lesion × episode pairs fill."""
        return -(-int(self.ends[-1]) // self.rows)

    def pairs(self, shard: int) -> list[tuple[int, int]]:
        """The (lesion index, episode) pairs of a shard."""
        which = np.arange(shard * self.rows, min((shard + 1) * self.rows, self.ends[-1]))
        lesion = np.searchsorted(self.ends, which, side="right")
        episode = which - np.concatenate([[0], self.ends])[lesion]
        return list(zip(lesion.tolist(), episode.tolist(), strict=True))


def read_spec(content: bytes) -> Spec:
    """The spec in a file; a LabError if it is damaged."""
    try:
        return Spec.model_validate_json(content)
    except (ValidationError, UnicodeDecodeError) as error:
        raise LabError(f"damaged spec: {one_line(error)}") from None
