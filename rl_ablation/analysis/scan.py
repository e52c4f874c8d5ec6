"""Activity shown as a brain scan shows it: units laid out, maps of behaviours, their contrasts.

After the outlook of Lillian, Meyes, Meisen 2018: to look at a network's activity the way fMRI looks
at a brain's. Units have no place of their own, so each layer is laid out so that units which
are active together are neighbours: classical multidimensional scaling (Torgerson 1952) of
1 − |correlation|, snapped to a grid by the assignment that moves units least. The maps of a
behaviour are mean activities over the moments in which the intact robot shows it; a contrast is the
difference of two, tested across *subjects* like a second-level analysis. A subject is an
environment seed, run under every condition, so the moments of a run, which resemble each other,
never count as independent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import INTACT, Lesion
from rl_ablation.lesions.methods import DEAD_STD
from rl_ablation.measures.laps import BEND
from rl_ablation.measures.registry import MIN_STEPS
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.activity import SAMPLES
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

    def split(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Cut (…, units) up by site."""
        ends = np.cumsum(list(self.sites.values()))[:-1]
        return dict(zip(self.sites, np.split(values, ends, axis=-1), strict=True))


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
    subjects, sites = episodes.count, dict(policy.network.sizes)
    if subjects < 2:
        raise LabError(f"a scan needs at least 2 subjects to compare behaviours, got {subjects}")
    jobs = [
        Episode(Lesion(name=INTACT), episode_seed(episodes.seed, k, stream=REFERENCE), condition)
        for k in range(subjects)
        for condition in episodes.conditions or ("",)
    ]
    wanted = [*signals, *(SITE + site for site in sites)]
    trace = run_jobs(policy, wanted, jobs, horizon=episodes.horizon, threads=threads)
    units = np.concatenate([trace[SITE + site] for site in sites], axis=-1)
    means = {
        name: _subject_means(units, trace.alive & inside(trace), subjects)
        for name, inside in contexts.items()
    }
    visited = units[trace.alive]
    kept = visited[np.linspace(0, len(visited) - 1, min(SAMPLES, len(visited))).astype(int)]
    result = Scan(sites, means, visited.std(0, dtype=np.float64), {})
    result.samples.update(result.split(kept))
    return result


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
