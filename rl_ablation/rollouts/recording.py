"""The one recorder: runs episodes in the environment of a policy's card and keeps signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from rl_ablation.lesions.lesion import INTACT, Lesion
from rl_ablation.lesions.methods import SiteStats
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.episodes import Episode, Episodes
from rl_ablation.rollouts.rollout import Trace, rollout
from rl_ablation.rollouts.world import World, card_env


@dataclass(frozen=True, eq=False)
class Recording:
    """Episodes of an intact policy: what was run, and what was recorded."""

    jobs: tuple[Episode, ...]
    trace: Trace

    @property
    def sound(self) -> np.ndarray:
        """The steps that robots made in episodes that did not fail, (T, N)."""
        return self.trace.alive & ~self.trace.unstable

    def moments(self) -> dict[str, np.ndarray]:
        """Signal → its values at every sound step, (S, …); S is the same for all."""
        return {name: values[self.sound] for name, values in self.trace.signals.items()}


def record(
    policy: Policy, signals: Sequence[str], episodes: Episodes, *, threads: int | None = None
) -> Recording:
    """Run the intact policy and record signals, such as ``"@h0"`` and ``"bend"``; see `rollout`."""
    jobs = episodes.jobs(Lesion(name=INTACT))
    trace = run_jobs(policy, signals, jobs, horizon=episodes.horizon, threads=threads)
    return Recording(tuple(jobs), trace)


def run_jobs(
    policy: Policy,
    signals: Sequence[str],
    jobs: Sequence[Episode],
    *,
    activity: Mapping[str, SiteStats] | None = None,
    horizon: int | None = None,
    threads: int | None = None,
) -> Trace:
    """Roll out any jobs in the environment of the policy's card; see `rollout`."""
    with closing(World(card_env(policy), len(jobs), policy.card.env_kwargs, threads)) as world:
        return rollout(policy, world, jobs, signals=signals, activity=activity, horizon=horizon)
