"""What a cut does at once, in the states that the intact robot visits, without any physics.

In a rollout a cut acts twice: it changes the action in the state at hand, and through it the states
that come later. Here recorded states are shown to the damaged network again, so that only the first
is left; and two things are asked that make a map of cuts worth believing: did the cut take, and
how far does it push the next layer off what that layer is used to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.covariance import LedoitWolf

from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.lesions.masks import Masks
from rl_ablation.lesions.methods import KINDS, SiteStats
from rl_ablation.policies.cuts import Cuts
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.activity import Activity
from rl_ablation.rollouts.rollout import KEPT

COLUMNS = {
    "lesion": "name of the cut",
    "took": "largest |value after the cut − its target| at the cut sites; 0 is a cut that took",
    "direct": "mean over states of the RMS over action dimensions of the change in units of the "
    "intact action's s.d. (discrete actions: share of states with another choice)",
    "off_manifold": "mean squared Mahalanobis distance of the next site's activity from the "
    "intact one's, per effective dimension; intact activity scores 1",
}
STILL = 1e-6  # an action dimension that varies less does not vary

_Replay = Callable[[Cuts], tuple[np.ndarray, dict[str, np.ndarray]]]
"""Cuts → actions and the activity of every site."""


def probe(
    policy: Policy, plan: Plan, activity: Activity, *, samples: int = 1024, seed: int = 0
) -> pd.DataFrame:
    """Show the states that the intact policy visited to every damaged one.

    ``took`` is the manipulation check. The target is ``scale·h + shift`` at the cut units, from the
    lesion's kind and not from the masks that carried it out, except for the numbers that a kind
    draws; at the site's other units it is the intact value. Along directions it is the same of the
    code's coordinates, V·(scale·Vᵀh + shift), beside the rest of h. Of a cut that only some units
    hear of, what is cut has to be as in the intact robot, and the receivers as where everybody
    hears of it. Kinds that hold a unit at a constant have that constant as target, so 0 also says
    that no variance is left. With cuts at several sites the largest error counts; NaN means that
    values overflowed.

    ``direct`` divides each action dimension by its standard deviation over the samples; one that
    never varies in the intact policy is left in its own units.

    ``off_manifold`` looks at the site after the deepest cut, the actions after a cut of the last
    hidden layer or of the actions themselves. The covariance is that of the intact activity, shrunk
    after Ledoit & Wolf 2004; the effective dimensions are the intact activity's own mean squared
    distance, so that 1 is what the layer is used to. NaN if the site is constant.

    A lesion's onset, offset and condition are ignored: this is what it does while it lasts. The
    samples are evenly spaced over what `record_activity` gave for this policy; the seed is for
    kinds that draw, each state has its own stream. There is a row for each lesion but the intact
    policy; see ``COLUMNS``.

    Raises:
        LabError: Too few samples, or activity that is not this policy's.
    """
    rows = _moments(policy, activity, samples)
    inputs = activity["obs"].samples[rows]
    memory = {name: activity[KEPT + name].samples[rows] for name in policy.memory}
    replay = _replayer(policy, inputs, memory)
    actions, intact = replay(Cuts())
    for site, values in intact.items():
        kept = activity[site].samples[rows]
        if not np.allclose(values, kept, rtol=1e-3, atol=1e-4, equal_nan=True):
            raise LabError(
                f"the recorded activity of {site!r} is not that of policy {policy.name!r}; "
                "record it anew with record_activity"
            )
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(len(rows), np.uint64)]
    usual: dict[str, Callable[[np.ndarray], float]] = {}
    table = []
    for lesion in plan.lesions[1:]:  # the first is the intact policy
        always = lesion.model_copy(update={"onset": 0, "offset": None, "when": None})
        masks = Masks([always] * len(rows), seeds, policy.sites, activity)
        drawn = masks.at(0, np.arange(len(rows)), seen=inputs)
        changed, after = replay(drawn)
        site = _next_site(policy, lesion)
        if site not in usual:
            usual[site] = _strangeness(activity[site].samples)
        took = _miss(always, drawn, after, replay, activity)
        table.append((lesion.name, took, _change(actions, changed), usual[site](after[site])))
    return pd.DataFrame(table, columns=list(COLUMNS))


def _moments(policy: Policy, activity: Activity, samples: int) -> np.ndarray:
    """Which of the recorded moments to show."""
    needed = [*policy.sites, *(KEPT + name for name in policy.memory)]
    if missing := [s for s in needed if s not in activity]:
        raise LabError(f"the activity lacks {', '.join(missing)}; record it with record_activity")
    have = len(activity["obs"].samples)
    for site, units in policy.sites.items():
        if (shape := activity[site].samples.shape) != (have, units):
            raise LabError(
                f"the activity of {site!r} has the shape {shape}; this policy needs "
                f"({have}, {units})"
            )
    if min(samples, have) < 2:
        raise LabError(f"a probe needs at least 2 samples, got {samples}")
    return np.linspace(0, have - 1, min(samples, have)).astype(int)


def _replayer(policy: Policy, inputs: np.ndarray, memory: dict[str, np.ndarray]) -> _Replay:
    """Run the network on its own inputs: the recorded ones are normalised already."""
    bare = replace(policy, obs_mean=None, obs_std=None)

    def replay(masks: Cuts) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        seen = {s: np.empty((len(inputs), n)) for s, n in policy.sites.items()}
        with np.errstate(over="ignore", invalid="ignore"):
            held = {name: values.copy() for name, values in memory.items()}
            return bare.act(inputs, masks, seen, held), seen

    return replay


def _next_site(policy: Policy, lesion: Lesion) -> str:
    sites = list(policy.sites)
    changed = [site for site, units in lesion.to.items() if units] or lesion.sites
    deepest = max(map(sites.index, changed), default=0)
    return sites[min(deepest + 1, len(sites) - 1)]


def _miss(
    lesion: Lesion,
    cuts: Cuts,
    after: Mapping[str, np.ndarray],
    replay: _Replay,
    activity: Activity,
) -> float:
    """Largest difference between the values at the cut sites and what the lesion says they are."""
    if cuts.heard is not None:
        return _miss_heard(lesion, cuts, after, replay)
    worst = 0.0
    earlier = Cuts()
    for site in after:  # in the order of the signal
        if site not in lesion.sites:
            continue
        target = replay(earlier)[1][site]
        with np.errstate(over="ignore", invalid="ignore"):
            target = _target(lesion, site, target, cuts, activity)
            worst = float(np.maximum(worst, _apart(after[site], target)))
        if site in cuts:
            earlier[site] = cuts[site]
        if site in cuts.along:
            earlier.along[site] = cuts.along[site]
    return worst


def _apart(values: np.ndarray, target: np.ndarray) -> np.floating[Any]:
    # Inputs are cut in single precision, hidden units in double: as recorded they are one.
    return np.abs(np.float32(values) - np.float32(target)).max(initial=0.0)


def _miss_heard(
    lesion: Lesion, cuts: Cuts, after: Mapping[str, np.ndarray], replay: _Replay
) -> float:
    assert cuts.heard is not None
    intact, told = replay(Cuts())[1], replay(cuts.heard)[1]
    worst = max((_apart(after[site], intact[site]) for site in lesion.sites), default=0.0)
    for site, units in lesion.to.items():
        hearing = list(units)
        worst = max(worst, _apart(after[site][:, hearing], told[site][:, hearing]))
    return float(worst)


def _target(
    lesion: Lesion, site: str, values: np.ndarray, cuts: Cuts, activity: Activity
) -> np.ndarray:
    """What the values at a site should become."""
    stats, kind = activity[site], KINDS[lesion.kind]
    stats = stats.at(lesion.moments) if lesion.moments else stats
    units = list(lesion.cut.get(site, ()))
    if units:
        scale, shift = _made(lesion, stats) if kind.draws is None else cuts[site]
        values[:, units] = (scale * values + shift)[:, units]
    if axes := lesion.directions.get(site):
        turn = np.array(axes)
        scale, shift = _made(lesion, stats.along(turn))
        if kind.draws is not None:
            scale, shift = cuts.along[site].scale, cuts.along[site].shift
        z = values @ turn.T
        values = values + (scale * z + shift - z) @ turn
    return values


def _made(lesion: Lesion, stats: SiteStats) -> tuple[np.ndarray, np.ndarray]:
    kind = KINDS[lesion.kind]
    strength = kind.default if lesion.strength is None else lesion.strength
    scale, shift = kind.make(0.0 if strength is None else strength, stats)
    return np.asarray(scale, np.float32), np.asarray(shift, np.float32)


def _change(intact: np.ndarray, lesioned: np.ndarray) -> float:
    if intact.ndim == 1:
        return float((intact != lesioned).mean())
    spread = intact.std(0, dtype=np.float64)
    change = (lesioned.astype(np.float64) - intact) / np.where(spread > STILL, spread, 1.0)
    return float(np.sqrt((change**2).mean(1)).mean())


def _strangeness(samples: np.ndarray) -> Callable[[np.ndarray], float]:
    """Values (S, H) → their mean squared distance from ``samples``, which score 1 themselves."""
    values = samples.astype(np.float64)
    if not np.ptp(values, axis=0).any():
        return lambda _: np.nan
    fit = LedoitWolf().fit(values)
    dimensions = fit.mahalanobis(values).mean()

    def distance(values: np.ndarray) -> float:
        if not np.isfinite(values).all():
            return np.nan
        return float(fit.mahalanobis(values.astype(np.float64)).mean() / dimensions)

    return distance
