"""Activity shown as a brain scan shows it: units laid out, maps of behaviours, their contrasts.

After the outlook of Lillian, Meyes, Meisen 2018: to look at a network's activity the way fMRI looks
at a brain's. Units have no place of their own, so each layer is laid out so that units which
are active together are neighbours: classical multidimensional scaling (Torgerson 1952) of
1 − |correlation|, snapped to a grid by the assignment that moves units least. The maps of a
behaviour are mean activities over the moments in which the intact robot shows it; a contrast is the
difference of two, tested across *subjects* like a second-level analysis. A subject is an
environment seed, run under every condition, so the moments of a run, which resemble each other,
never count as independent.

Whether what is seen is more than chance takes two comparisons: with behaviours moved against the
activity (`Visits.shuffled`, `Visits.shifted`), and with another network, such as an untrained one,
that is shown what the policy saw (`scanned`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import INTACT, Lesion
from rl_ablation.lesions.methods import DEAD_STD
from rl_ablation.measures.laps import BEND
from rl_ablation.measures.registry import MIN_STEPS
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.activity import SAMPLES, activity_at
from rl_ablation.rollouts.episodes import REFERENCE, Episode, Episodes, episode_seed
from rl_ablation.rollouts.recording import run_jobs
from rl_ablation.rollouts.rollout import SITE, Trace
from rl_ablation.stats import benjamini_hochberg, finite_mean, max_t_p, sign_flip_p

Context = Callable[[Trace], np.ndarray]
"""``Trace -> (T, N)`` bool: the moments in which a robot shows a behaviour."""

BENDS: dict[str, Context] = {
    "left bend": lambda trace: trace["bend"] > BEND,
    "straight": lambda trace: np.abs(trace["bend"]) <= BEND,
    "right bend": lambda trace: trace["bend"] < -BEND,
}
"""Behaviours of a lap robot; their signal is ``bend``."""


@dataclass(frozen=True, eq=False)
class Scan:
    """What an intact network does in each behaviour; ``sites`` is site → units.

    ``means`` is behaviour → mean activity of each subject, (subjects, units of all sites in order);
    NaN where a subject shows it in fewer than ``MIN_STEPS`` moments. ``spread`` is the standard
    deviation of each unit over all moments, (units,), ``samples`` site → evenly spaced moments,
    (S, H).
    """

    sites: dict[str, int]
    means: dict[str, np.ndarray]
    spread: np.ndarray
    samples: dict[str, np.ndarray]

    @property
    def subjects(self) -> int:
        """How many were run."""
        return len(next(iter(self.means.values())))

    def split(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Cut (…, units) up by site."""
        ends = np.cumsum(list(self.sites.values()))[:-1]
        return dict(zip(self.sites, np.split(values, ends, axis=-1), strict=True))


@dataclass(frozen=True, eq=False)
class Visits:
    """Runs of an intact policy: where it was, what it saw, and what its hidden layers did.

    ``inside`` is behaviour → the moments in which a robot shows it, (T, N) bool; the N robots are
    ``subjects`` with equally many runs, one after the other.
    """

    trace: Trace
    inside: dict[str, np.ndarray]
    subjects: int
    sites: dict[str, int]

    def shifted(self, rng: np.random.Generator) -> Visits:
        """The same, all behaviours of a run moved in time together against its activity.

        Behaviours keep their length and their order, and activity its course: what is left of a
        contrast is chance. A run goes round: what leaves its end comes in at its start. It is moved
        by a quarter to three quarters of its length.
        """
        return self._moved(np.arange(len(self.trace.steps)), rng)

    def shuffled(self, rng: np.random.Generator) -> Visits:
        """`shifted`, after a subject's runs have exchanged their behaviours among each other.

        Where the runs are of several conditions (tracks driven one way or the other, commands), a
        condition's own activity goes with the behaviours that are frequent in it, however they are
        moved in time; this takes that away too.
        """
        runs = np.arange(len(self.trace.steps)).reshape(self.subjects, -1)
        return self._moved(rng.permuted(runs, axis=1).ravel(), rng)

    def _moved(self, source: np.ndarray, rng: np.random.Generator) -> Visits:
        """Every run with the behaviours of run ``source`` (N,), moved in time."""
        steps = self.trace.steps
        moved = {name: np.zeros_like(inside) for name, inside in self.inside.items()}
        for robot, other in enumerate(source.tolist()):
            ran = int(steps[robot])
            shift = int(rng.integers(ran // 4, 3 * ran // 4 + 1))
            for name, inside in self.inside.items():
                # One that ran longer is cut, one that ran shorter is begun again.
                taken = np.resize(inside[: steps[other], other], ran)
                moved[name][:ran, robot] = np.roll(taken, shift)
        return replace(self, inside=moved)


def visits(
    policy: Policy,
    contexts: Mapping[str, Context],
    signals: Sequence[str],
    episodes: Episodes,
    *,
    threads: int | None = None,
) -> Visits:
    """Run the intact policy; see `scan`."""
    subjects, sites = episodes.count, dict(policy.network.sizes)
    if subjects < 2:
        raise LabError(f"a scan needs at least 2 subjects to compare behaviours, got {subjects}")
    jobs = [
        Episode(Lesion(name=INTACT), episode_seed(episodes.seed, k, stream=REFERENCE), condition)
        for k in range(subjects)
        for condition in episodes.conditions or ("",)
    ]
    wanted = dict.fromkeys(["obs", *signals, *(SITE + site for site in sites)])
    trace = run_jobs(policy, list(wanted), jobs, horizon=episodes.horizon, threads=threads)
    inside = {name: trace.alive & within(trace) for name, within in contexts.items()}
    return Visits(trace, inside, subjects, sites)


def scanned(found: Visits, watcher: Policy | None = None) -> Scan:
    """Average hidden layers' activity over each behaviour's moments.

    It is the activity of the policy that was run, or of a watcher: another network, shown what the
    policy saw at every step. That drives nothing.
    """
    trace = found.trace
    if watcher is None:
        sites = found.sites
        units = np.concatenate([trace[SITE + site] for site in sites], axis=-1)
    else:
        sites = dict(watcher.network.sizes)
        active = activity_at(watcher, trace["obs"][trace.alive])
        units = np.zeros((*trace.alive.shape, sum(sites.values())), np.float32)
        units[trace.alive] = np.concatenate(list(active.values()), axis=-1)
    means = {
        name: _subject_means(units, inside, found.subjects) for name, inside in found.inside.items()
    }
    visited = units[trace.alive]
    kept = visited[np.linspace(0, len(visited) - 1, min(SAMPLES, len(visited))).astype(int)]
    result = Scan(sites, means, visited.std(0, dtype=np.float64), {})
    result.samples.update(result.split(kept))
    return result


def scan(
    policy: Policy,
    contexts: Mapping[str, Context],
    signals: Sequence[str],
    episodes: Episodes,
    *,
    threads: int | None = None,
) -> Scan:
    """Run the intact policy and average its hidden layers' activity over each behaviour's moments.

    Contexts may overlap; ``signals`` is what they read. ``episodes.count`` subjects are each run
    under every condition; no episode is one of a sweep with that seed.

    Raises:
        LabError: Fewer than 2 subjects, or the world lacks a signal.
    """
    return scanned(visits(policy, contexts, signals, episodes, threads=threads))


def _subject_means(units: np.ndarray, inside: np.ndarray, subjects: int) -> np.ndarray:
    """Mean of units (T, N, H) over the moments ``inside`` (T, N) of each subject's N/subjects."""
    per_robot = np.einsum("tnh,tn->nh", units, inside, dtype=np.float64)
    total = per_robot.reshape(subjects, -1, units.shape[-1]).sum(1)
    count = inside.sum(0).reshape(subjects, -1).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count[:, None] >= MIN_STEPS, total / count[:, None], np.nan)


def contrasts(
    scanned: Scan, pairs: Mapping[str, tuple[Sequence[str], Sequence[str]]], seed: int = 0
) -> pd.DataFrame:
    """Differences of behaviours in every unit, tested over subjects.

    The family of the corrections is all units of all layers in all contrasts: sign flips of whole
    subjects, step-down max-T for ``p_fwe`` and Benjamini–Hochberg for ``q``. ``pairs`` is name →
    behaviours (a, b): the mean of the a's minus the mean of the b's. Subjects that lack any of them
    are left out.

    Columns contrast, site, unit, difference, strength (difference in the unit's own s.d.; 0 for a
    dead unit), p, q, p_fwe, n.
    """
    columns = {
        name: np.mean([scanned.means[x] for x in a], 0) - np.mean([scanned.means[x] for x in b], 0)
        for name, (a, b) in pairs.items()
    }
    differences = np.concatenate(list(columns.values()), axis=1)
    live = np.tile(scanned.spread > DEAD_STD, len(columns))
    differences = np.where(live, differences, 0.0)
    p = sign_flip_p(differences, np.random.default_rng([seed, 0]))
    p_fwe = max_t_p(differences, np.random.default_rng([seed, 1]))
    mean = finite_mean(differences)
    spread = np.tile(scanned.spread, len(columns))
    strength = np.divide(mean, spread, out=np.zeros(len(mean)), where=live)
    units = [(site, unit) for site, size in scanned.sites.items() for unit in range(size)]
    rows = [(contrast, *unit) for contrast in columns for unit in units]
    table = pd.DataFrame(rows, columns=["contrast", "site", "unit"])
    table = table.assign(difference=mean, strength=strength, p=p, q=benjamini_hochberg(p))
    return table.assign(p_fwe=p_fwe, n=np.isfinite(differences).sum(0))
