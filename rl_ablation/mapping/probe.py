"""What a cut does at once, in the states that the intact robot visits, without any physics.

In a rollout a cut acts twice: it changes the action in the state at hand, and through it the states
that come later. Here recorded states are shown to the damaged network again, so that only the first
is left; and two things are asked that make a map of cuts worth believing: did the cut take, and
how far does it push the next layer off what that layer is used to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.covariance import LedoitWolf

from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.lesions.masks import Masks
from rl_ablation.lesions.methods import KINDS
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

_Masks = Mapping[str, tuple[np.ndarray, np.ndarray]]
_Replay = Callable[[_Masks], tuple[np.ndarray, dict[str, np.ndarray]]]
"""Masks → actions and the activity of every site."""


def probe(
    policy: Policy, plan: Plan, activity: Activity, *, samples: int = 1024, seed: int = 0
) -> pd.DataFrame:
    """Show the states that the intact policy visited to every damaged one.

    ``took`` is the manipulation check. The target is ``scale·h + shift`` at the cut units, from the
    lesion's kind and not from the masks that carried it out, except for the numbers that a kind
    draws; at the site's other units it is the intact value. Kinds that hold a unit at a constant
    have that constant as target, so 0 also says that no variance is left. With cuts at several
    sites the largest error counts; NaN means that values overflowed.

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
    actions, intact = replay({})
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

    def replay(masks: _Masks) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        seen = {s: np.empty((len(inputs), n)) for s, n in policy.sites.items()}
        with np.errstate(over="ignore", invalid="ignore"):
            held = {name: values.copy() for name, values in memory.items()}
            return bare.act(inputs, masks, seen, held), seen

    return replay


def _next_site(policy: Policy, lesion: Lesion) -> str:
    sites = list(policy.sites)
    deepest = max((k for k, site in enumerate(sites) if lesion.cut.get(site)), default=0)
    return sites[min(deepest + 1, len(sites) - 1)]


def _miss(
    lesion: Lesion,
    masks: _Masks,
    after: Mapping[str, np.ndarray],
    replay: _Replay,
    activity: Activity,
) -> float:
    """Largest difference between the values at the cut sites and what the lesion says they are."""
    worst = 0.0
    earlier: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for site in after:  # in the order of the signal
        units = list(lesion.cut.get(site, ()))
        if not units:
            continue
        target = replay(earlier)[1][site]
        scale, shift = _prescribed(lesion, site, masks, activity)
        with np.errstate(over="ignore", invalid="ignore"):
            target[:, units] = (scale * target + shift)[:, units]
            # Inputs are cut in single precision, hidden units in double: as recorded they are one.
            miss = np.abs(np.float32(after[site]) - np.float32(target))
            worst = float(np.maximum(worst, miss.max()))
        earlier[site] = masks[site]
    return worst


def _prescribed(
    lesion: Lesion, site: str, masks: _Masks, activity: Activity
) -> tuple[np.ndarray, np.ndarray]:
    kind = KINDS[lesion.kind]
    if kind.draws is not None:
        return masks[site]
    strength = kind.default if lesion.strength is None else lesion.strength
    scale, shift = kind.make(0.0 if strength is None else strength, activity[site])
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
