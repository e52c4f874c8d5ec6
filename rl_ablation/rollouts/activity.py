"""What the intact network does: site activity recorded while the policy runs undamaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from rl_ablation.errors import LabError
from rl_ablation.files import array_digest, read_tensors, tensor_bytes
from rl_ablation.lesions.methods import SiteStats
from rl_ablation.lesions.triggers import Triggers, parse
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.episodes import REFERENCE, Episodes
from rl_ablation.rollouts.recording import Recording, record
from rl_ablation.rollouts.rollout import KEPT, SITE, world_signals
from rl_ablation.rollouts.world import settled, world_of

ACTIVITY = "activity.safetensors"
SAMPLES = 4096  # moments kept; 4096 × 130 units is 2 MB
EPISODES = 16

_CONDITIONS = f"{SITE}condition"

Activity = Mapping[str, SiteStats]
"""Site → intact statistics. All sites are sampled at the same moments. For a policy that remembers,
also ``~name`` → what it remembered when it came to each of those moments."""


def record_activity(
    policy: Policy,
    *,
    conditions: Sequence[str] = ("",),
    episodes: int = EPISODES,
    seed: int = 0,
    horizon: int | None = None,
    threads: int | None = None,
) -> dict[str, SiteStats]:
    """Run the intact policy and keep evenly spaced samples of every site's activity.

    They are in order of episode time, all robots' first steps first. The episodes are none of those
    that a sweep with the same seed is measured on; at least one per condition is run. See
    `Episodes`.
    """
    asked = _visits(conditions, episodes, seed, horizon)
    names = {**{s: SITE + s for s in policy.sites}, **{KEPT + m: KEPT + m for m in policy.memory}}
    found = record(policy, list(names.values()), asked, threads=threads)
    visited, alive = found.moments(), found.sound
    if not alive.any():
        raise LabError(
            f"all {asked.count} intact episodes in {policy.card.env_id} failed, or their physics "
            "diverged, so there is no activity to record"
        )
    kept = _sampled(found)
    known = list(conditions)
    numbers = np.array([known.index(job.condition) for job in found.jobs], np.int64)
    where = np.broadcast_to(numbers, alive.shape)[alive][kept]
    return {key: SiteStats(visited[name][kept], where) for key, name in names.items()}


def _visits(conditions: Sequence[str], episodes: int, seed: int, horizon: int | None) -> Episodes:
    count = max(episodes, len(conditions))
    return Episodes(count, seed, tuple(conditions), horizon, REFERENCE)


def _sampled(found: Recording) -> np.ndarray:
    """The sound steps that are kept, evenly spaced."""
    total = int(found.sound.sum())
    return np.linspace(0, total - 1, min(SAMPLES, total)).astype(int)


def moments(
    policy: Policy,
    activity: Activity,
    where: str,
    *,
    conditions: Sequence[str] = ("",),
    episodes: int = EPISODES,
    seed: int = 0,
    horizon: int | None = None,
    threads: int | None = None,
) -> tuple[int, ...]:
    """Which moments of recorded activity are of a kind, for the ``moments`` of a `Lesion`.

        left = rl.moments(agent, activity, "bend > 0.15", conditions=conditions, seed=7)

    The episodes of the activity are run again and the world's signals recorded beside it. As with
    a lesion's ``when``, a condition is read in what the world said before the step; the first steps
    of episodes, before which it said nothing, are none of them.

    Args:
        policy: Whose activity it is.
        activity: As `record_activity` gave it.
        where: A condition such as ``"bend > 0.15"``, see `triggers`, or the name of one of the
            ``conditions``.
        conditions: As the activity was recorded with; likewise the others.
        episodes: Likewise.
        seed: Likewise.
        horizon: Likewise.
        threads: For the physics; None takes every CPU.

    Raises:
        LabError: There are no such moments, or the activity is of other episodes.
    """
    if where in conditions and where:
        numbers = activity["obs"].conditions
        if numbers is None or numbers.max() >= len(conditions):
            raise LabError(_OTHER)
        holds = numbers == list(conditions).index(where)
    else:
        signals = list(dict.fromkeys(term.signal for term in parse(where)))
        asked = _visits(conditions, episodes, seed, horizon)
        found = record(policy, [SITE + "obs", *signals], asked, threads=threads)
        kept = _sampled(found)
        seen = found.moments()[SITE + "obs"][kept]
        if array_digest(seen) != array_digest(activity["obs"].samples):
            raise LabError(_OTHER)
        said = {name: _before(found, name)[kept] for name in signals}
        unmet = Triggers([where] * len(kept)).unmet(said, np.arange(len(kept)))
        assert unmet is not None
        holds = ~unmet
    if not holds.any():
        raise LabError(f"no recorded moment is {where!r}; choose another condition")
    return tuple(map(int, np.flatnonzero(holds)))


_OTHER = (
    "this activity is of other episodes: give the conditions, episodes, seed and horizon that it "
    "was recorded with"
)


def _before(found: Recording, name: str) -> np.ndarray:
    """What the world had said when the policy acted at each sound step; NaN where nothing."""
    values = found.trace[name]
    if name != "obs":  # what came of the step before
        first = np.full_like(values[:1], np.nan, dtype=np.float64)
        values = np.concatenate([first, values[:-1]])
    return values[found.sound]


def activations(
    policy: Policy,
    episodes: int = EPISODES,
    *,
    seed: int = 0,
    conditions: Sequence[str] | None = None,
    signals: Sequence[str] | None = None,
    horizon: int | None = None,
    threads: int | None = None,
) -> pd.DataFrame:
    """Everything that the intact policy's units do, with the world's signals beside it.

        table = rl.activations(rl.load("lap"), episodes=6)
        table.filter(like="h0[").corrwith(table.bend)

    There is a row for each step of each episode, in the order of episodes: ``episode``,
    ``condition``, ``step``, ``seconds``, the signals, and the values of each site's units, such as
    ``h0[3]``; a signal of several numbers is ``foot_contact[0]``, …. Steps of episodes whose
    physics diverged are left out.

    Args:
        policy: With an environment on its card.
        episodes: Episodes to run.
        seed: Of the episodes, which are none of those that a sweep with it is measured on.
        conditions: To visit in turn; None takes all of the environment.
        signals: Of the world; None takes all of them but ``obs``, which the site ``obs`` shows
            normalised.
        horizon: Steps at most; None takes the environment's time limit.
        threads: For the physics; None takes every CPU.
    """
    with world_of(policy) as world:
        told = [name for name in world_signals(world) if name != "obs"]
    chosen = None if conditions is None else tuple(conditions)
    asked = settled(policy, Episodes(episodes, seed, chosen, horizon, REFERENCE))
    names = told if signals is None else list(signals)
    found = record(policy, [*names, *(SITE + s for s in policy.sites)], asked, threads=threads)
    steps, rows = np.nonzero(found.sound)
    order = np.lexsort((steps, rows))
    steps, rows = steps[order], rows[order]
    columns: dict[str, np.ndarray] = {
        "episode": rows,
        "condition": np.array([job.condition for job in found.jobs])[rows],
        "step": steps,
        "seconds": steps * found.trace.dt,
    }
    for name in found.trace.signals:
        values = found.trace[name][steps, rows]
        shown = name.removeprefix(SITE)
        if values.ndim == 1:
            columns[shown] = values
        else:
            flat = values.reshape(len(values), -1).T
            columns |= {f"{shown}[{k}]": column for k, column in enumerate(flat)}
    return pd.DataFrame(columns)


def activity_at(policy: Policy, obs: np.ndarray) -> dict[str, np.ndarray]:
    """What the hidden layers do at some observations (S, D): site → (S, H); see `needs_no_memory`.

    Raises:
        LabError: The policy remembers.
    """
    policy.needs_no_memory("this")
    record = {s: np.empty((len(obs), n), np.float32) for s, n in policy.network.sizes.items()}
    policy.act(obs, record=record)
    return record


def activity_bytes(activity: Activity) -> bytes:
    """Recorded activity as a safetensors file."""
    arrays = {site: stats.samples for site, stats in activity.items()}
    for stats in activity.values():  # all sites are sampled at the same moments
        if stats.conditions is not None:
            arrays[_CONDITIONS] = stats.conditions
    return tensor_bytes(arrays)


def activity_of(content: bytes) -> dict[str, SiteStats]:
    """The activity in a file; a LabError if it is damaged."""
    arrays, _ = read_tensors(content)
    conditions = arrays.pop(_CONDITIONS, None)
    return {site: SiteStats(samples, conditions) for site, samples in arrays.items()}


def same_activity(one: Activity, other: Activity) -> bool:
    """Whether two recordings are one to the bit."""
    return one.keys() == other.keys() and all(
        array_digest(one[site].samples) == array_digest(other[site].samples)
        and array_digest(one[site].conditions) == array_digest(other[site].conditions)
        for site in one
    )
