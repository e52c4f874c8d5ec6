"""Direct change and drift: how a damaged robot's actions leave those of its intact twin.

Both robots run the same episode; at a chosen step one of them is cut. At that step both are in the
same state, so the difference of their actions is the cut's own doing. Afterwards the damaged robot
is elsewhere, and the intact policy would act differently there too: with the intact policy π, the
damaged one π′, and the states s and s′ of the two robots at the same step,

    π′(s′) − π(s)  =  [π′(s′) − π(s′)]  +  [π(s′) − π(s)]
       closed               here                 away

holds exactly. Beside it stands the open loop π′(s) − π(s), the intact robot's states shown to the
damaged network. (The question is that of replaying intact trajectories through a lesioned network;
this way of splitting the answer is ours.) Drift is no mistake by itself: it also
holds what the robot's feedback does to make up for the cut, and two robots that differ by one
small push move apart too. So compare with a lesion that lasts a single step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import INTACT, Lesion, Plan
from rl_ablation.lesions.masks import Masks
from rl_ablation.mapping.probe import STILL
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.activity import Activity
from rl_ablation.rollouts.episodes import Episode, Episodes
from rl_ablation.rollouts.recording import run_jobs
from rl_ablation.rollouts.rollout import Trace
from rl_ablation.stats import RESAMPLES, finite_mean, interval


@dataclass(frozen=True, eq=False)
class Drift:
    """Differences of actions in s.d. of the intact action, (T, L, E, A): steps since the cut,
    lesions, episodes, action dimensions. NaN once one of the two robots has finished.

    ``open`` is the damaged network in the intact robot's states, ``here`` the cut's own doing in
    the damaged robot's, ``away`` what the intact policy does differently because the state is
    another; ``dt`` the seconds in a step.
    """

    lesions: list[str]
    open: np.ndarray
    here: np.ndarray
    away: np.ndarray
    dt: float

    @property
    def closed(self) -> np.ndarray:
        """The whole difference between the damaged robot's actions and its twin's."""
        return self.here + self.away

    def table(self, seed: int = 0) -> pd.DataFrame:
        """A row for each lesion.

        ``open`` and ``closed`` are means over steps of the RMS over action dimensions.
        ``drift_share`` is Σ⟨away, closed⟩ / Σ⟨closed, closed⟩: with the share of ``here`` it adds
        up to 1. Below 0, drift works against the cut; above 1, the cut against the drift. Its
        interval is a percentile bootstrap over episodes. ``episodes`` counts those with a step
        to compare.
        """
        cross = np.nansum(self.away * self.closed, axis=(0, 3))  # (L, E)
        square = np.nansum(self.closed**2, axis=(0, 3))
        there = np.isfinite(self.closed).all(-1).any(0)
        rng = np.random.default_rng(seed)
        episodes = cross.shape[1]
        weights = rng.multinomial(episodes, np.full(episodes, 1 / episodes), RESAMPLES)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = cross.sum(1) / square.sum(1)
            drawn = (weights @ cross.T) / (weights @ square.T)
        low, high = np.stack([interval(column) for column in drawn.T], 1)
        opened, closed = (finite_mean(size(part), (0, 2)) for part in (self.open, self.closed))
        table = pd.DataFrame({"lesion": self.lesions, "open": opened, "closed": closed})
        return table.assign(drift_share=share, ci_low=low, ci_high=high, episodes=there.sum(1))


def size(part: np.ndarray) -> np.ndarray:
    """RMS over action dimensions of ``open``, ``closed``, …, (T, L, E)."""
    return np.sqrt((part**2).mean(-1))


def drift(
    policy: Policy,
    plan: Plan,
    activity: Activity,
    episodes: Episodes,
    *,
    onset: int = 60,
    threads: int | None = None,
) -> Drift:
    """Run each lesion beside its intact twin and split the difference of their actions.

    Every lesion begins at step ``onset``, whatever onset or condition of its own it has. One with
    an offset lasts as long as it would have, the others to the end.

    Raises:
        LabError: Discrete actions, nothing to cut, a policy that remembers, or no episode that
            lasts until the onset.
    """
    policy.needs_no_memory("drift")
    if policy.card.squash == "argmax":
        raise LabError(f"policy {policy.name!r} has discrete actions, which have no differences")
    lesions = [_begun(x, onset) for x in plan if x.name != INTACT]
    if not lesions or episodes.count < 1 or onset < 0:
        raise LabError("drift needs a lesion and an episode at least, and no onset below 0")
    jobs = [job for x in (Lesion(name=INTACT), *lesions) for job in episodes.jobs(x)]
    seen, horizon = ["obs", "action"], episodes.horizon
    trace = run_jobs(policy, seen, jobs, activity=activity, horizon=horizon, threads=threads)
    return _split(policy, trace, jobs, episodes.count, onset, activity)


def _begun(lesion: Lesion, onset: int) -> Lesion:
    offset = None if lesion.offset is None else onset + max(lesion.offset - lesion.onset, 0)
    return lesion.model_copy(update={"onset": onset, "offset": offset, "when": None})


def _split(
    policy: Policy,
    trace: Trace,
    jobs: Sequence[Episode],
    episodes: int,
    onset: int,
    activity: Activity,
) -> Drift:
    damaged = np.arange(episodes, len(jobs))
    twin = damaged % episodes
    alive = trace.alive[onset:]
    if not alive[:, :episodes].any():
        raise LabError(f"every intact episode ends before the onset at step {onset}; cut earlier")
    actions = trace["action"][onset:].reshape(*alive.shape, -1).astype(np.float64)
    spread = actions[:, :episodes][alive[:, :episodes]].std(0)
    spread = np.where(spread > STILL, spread, 1.0)  # as in a probe
    cut = jobs[episodes:]
    masks = Masks([x.lesion for x in cut], [x.seed for x in cut], policy.sites, activity)
    parts = np.full((3, len(alive), len(damaged), actions.shape[-1]), np.nan)
    for t in range(len(alive)):
        if not (rows := np.flatnonzero(alive[t, damaged] & alive[t, twin])).size:
            break
        obs, base = trace["obs"][onset + t], actions[t, twin[rows]]
        replayed = policy.act(obs[twin[rows]], masks.at(onset + t, rows))
        would = policy.act(obs[damaged[rows]])
        changed = replayed - base, actions[t, damaged[rows]] - would, would - base
        parts[:, t, rows] = np.stack(changed) / spread
    shown, here, away = parts.reshape(3, len(alive), -1, episodes, actions.shape[-1])
    return Drift([x.lesion.name for x in cut[::episodes]], shown, here, away, trace.dt)
