"""Responses: what robots do at once, where a patch, a stimulus or a cut begins to act on them.

What is done to a robot begins at the step at which a condition first holds, and lasts; the robot is
watched from there on, for a short time. Until then it is the intact robot to the bit, so in each
episode the intact and the changed robot start from the same state, and what follows later, such as
a crash, is none of the response.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import INTACT, Lesion, Plan
from rl_ablation.lesions.triggers import Triggers, parse
from rl_ablation.measures.registry import over
from rl_ablation.policies.policy import Policy
from rl_ablation.progress import bar
from rl_ablation.rollouts.activity import Activity
from rl_ablation.rollouts.episodes import Episode, Episodes
from rl_ablation.rollouts.recording import run_jobs
from rl_ablation.rollouts.rollout import Trace
from rl_ablation.rollouts.world import settled

_ROWS = 2048  # robots at once
_PARTS = 4  # of the episodes, those that are over soon first


@dataclass(frozen=True, eq=False)
class Responses:
    """What robots did in the time after a condition first held.

    Attributes:
        plan: What was done to them; the first is the intact policy.
        values: Signal → its mean over that time, as far as the robot was there, (E, L); NaN in
            episodes that do not come to it.
        ended: Whether the episode ended within it, (E, L).
    """

    plan: Plan
    values: Mapping[str, np.ndarray]
    ended: np.ndarray

    def of(self, signal: str, lesion: str = INTACT) -> np.ndarray:
        """A signal with one lesion, episode by episode, (E,)."""
        return self.values[signal][:, self.plan.names.index(lesion)]


def responses(
    policy: Policy,
    plan: Plan,
    activity: Activity,
    episodes: Episodes,
    signals: Sequence[str],
    *,
    when: str | None = None,
    onset: int = 0,
    seconds: float = 0.5,
) -> Responses:
    """Run every lesion of a plan in the same episodes and watch what it does at once.

    Args:
        policy: Drives the robots.
        plan: What is done to them, all from that step on, whatever onset or condition they have.
        activity: For kinds of lesion that read it.
        episodes: The same for each lesion.
        signals: Numbers of the world, such as ``"yaw_rate"``.
        when: Condition as of a lesion; None always holds.
        onset: The first control step at which it may begin.
        seconds: How long is looked at.

    Raises:
        LabError: In no episode of the intact robot there is such a time.
    """
    asked = settled(policy, episodes)
    assert asked.horizon is not None
    told = [] if when is None else [term.signal for term in parse(when)]
    wanted = list(dict.fromkeys([*signals, *told]))
    trace = run_jobs(policy, wanted, asked.jobs(Lesion(name=INTACT)), horizon=asked.horizon)
    steps = max(1, round(seconds / trace.dt))
    begins = _begins(trace, when, onset, asked.horizon - steps)
    there = np.flatnonzero(begins >= 0)
    if not there.size:
        rule = f"'{when}'" if when else f"step {onset}"
        raise LabError(f"no intact episode comes to {rule} with {seconds:g} s left; run longer")
    there = there[np.argsort(begins[there], kind="stable")]
    values = {name: np.full((asked.count, len(plan)), np.nan) for name in signals}
    ended = np.zeros((asked.count, len(plan)), bool)
    with bar("responses", there.size * len(plan), "episodes") as advance:
        for some in filter(len, np.array_split(there, _PARTS)):
            each = max(1, _ROWS // len(some))
            for first in range(0, len(plan), each):
                lesions = plan.lesions[first : first + each]
                where = np.ix_(some, np.arange(first, first + len(lesions)))
                jobs = [job for x in lesions for job in _begun(asked, x, some, begins[some])]
                seen = _watch(policy, jobs, activity, signals, begins[some], steps)
                for name in signals:
                    values[name][where] = seen[name].reshape(-1, len(some)).T
                ended[where] = seen[""].reshape(-1, len(some)).T
                advance(len(jobs))
    return Responses(plan, values, ended)


def under(episodes: Episodes, where: str, conditions: Sequence[str]) -> tuple[Episodes, str | None]:
    """The episodes, and the lesions' condition, for what `moments` calls ``where``: the name of a
    condition of the world makes all episodes be of it, and anything else is a condition."""
    if where in conditions:
        return replace(episodes, conditions=(where,)), None
    return episodes, where


def _begun(asked: Episodes, lesion: Lesion, some: np.ndarray, begins: np.ndarray) -> list[Episode]:
    """Some episodes of a lesion, in each of which it begins at its own step."""
    made = {}
    if lesion.name != INTACT:
        for step in np.unique(begins).tolist():
            new = {"onset": step, "offset": None, "when": None}
            made[step] = lesion.model_copy(update=new)
    return [
        asked.job(made.get(step, lesion), k)
        for k, step in zip(some.tolist(), begins.tolist(), strict=True)
    ]


def _begins(trace: Trace, when: str | None, onset: int, last: int) -> np.ndarray:
    """The first step from ``onset`` to ``last`` at which the condition holds, (E,); −1 if none.

    As with a lesion's ``when``, it is read in what the world said before the step, and in ``obs``,
    what the policy sees at it.
    """
    rows = np.arange(trace.alive.shape[1])
    triggers, begins = Triggers([when] * len(rows)), np.full(len(rows), -1)
    for step in range(onset if when is None else max(onset, 1), last + 1):
        said = {n: v[step if n == "obs" else step - 1] for n, v in trace.signals.items()}
        unmet = triggers.unmet(said, rows)
        holds = trace.alive[step] if unmet is None else trace.alive[step] & ~unmet
        begins[(begins < 0) & holds] = step
    return np.where(trace.unstable, -1, begins)


def _watch(
    policy: Policy, jobs: Sequence[Episode], activity: Activity, signals: Sequence[str],
    begins: np.ndarray, steps: int,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Signal → mean over the steps, (N,), and "" → whether the episode ended within them."""
    trace = run_jobs(policy, signals, jobs, activity=activity, horizon=int(begins.max()) + steps)
    since = np.arange(len(trace.alive))[:, None] - np.resize(begins, len(jobs))
    inside = trace.alive & (since >= 0) & (since < steps)
    lost = trace.unstable
    found = {name: np.where(lost, np.nan, over(trace[name], inside, 1)) for name in signals}
    return {**found, "": inside.sum(0) < steps}
