"""Random controls: cuts and divisions of the same sizes, drawn at random."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from rl_ablation import limits
from rl_ablation.errors import LabError
from rl_ablation.files import digest
from rl_ablation.lesions.lesion import ARROW, VARIANT, Lesion, Plan, orthonormal
from rl_ablation.lesions.methods import SiteStats

if TYPE_CHECKING:  # help lists the groupings, and should not wait for torch
    from rl_ablation.policies.policy import Policy
    from rl_ablation.rollouts.activity import Activity

STRETCH = 3.0
"""Power of the covariance by which random directions are stretched at most."""
_TRIES = 12
AGAIN = 0.5
"""Share of the tested directions that their control may hold."""
RANDOM = "random"
"""The group of all cuts drawn at random, and the word for them in ``--groups``."""


def random_groups(
    agent: Policy,
    like: Plan,
    n: int = 100,
    seed: int = 0,
    *,
    first: int = 0,
    activity: Activity | None = None,
) -> Plan:
    """Random cuts in the same layers, of the same sizes, kinds and times as those of a plan.

    They are the null for "it is this group that matters, not how many units were cut". Those of
    connections are between random units of the layers that tell and hear. Cuts of one unit, of
    whole sites and of several sites have no such control and are passed over. Each layer, size,
    kind and time has ``n`` of them, numbered from ``first``; draw k of a seed is the same
    whatever else is drawn. LabError for more than `limits.DRAWS`.

    A cut along directions has controls of its own: as many random directions of the same layer,
    with as much variance along them, see `random_directions`. They need the intact ``activity``;
    without it, and where no other directions have as much variance, there are none.
    """
    limits.check_range("random cuts", n, 0, limits.DRAWS)
    wanted: dict[tuple[object, ...], Lesion] = {}
    for lesion in like:
        if lesion.directions or _divides(lesion, agent):
            wanted.setdefault(lesion.stratum, lesion)
    places, lesions = list(agent.sites), []
    for model in wanted.values():
        how = "" if model.manner == Lesion(name="").manner else VARIANT + model.manner
        how += f" {digest(model.moments)[:6]}" if model.moments else ""
        if model.directions:
            turned = _random_directions(model, n, first, seed, activity)
            lesions += [x.model_copy(update={"name": x.name + how}) for x in turned]
            continue
        (site,), size = model.cut, model.size
        for draw in range(first, first + n):
            rng = np.random.default_rng([seed, places.index(site), size, draw])
            units = tuple(sorted(map(int, rng.permutation(agent.sites[site])[:size])))
            name, to = f"{site}/random-{size}", {}
            for there, heard in model.to.items():
                drawn = rng.permutation(agent.sites[there])[: len(heard)]
                to[there] = tuple(sorted(map(int, drawn)))
                name += f"{ARROW}{there}/random-{len(heard)}"
            new = {"name": f"{name}-{draw}{how}", "cut": {site: units}, "to": to}
            lesions.append(model.model_copy(update={**new, "group": RANDOM}))
    return Plan(lesions)


def _divides(lesion: Lesion, agent: Policy) -> bool:
    ends = [*lesion.cut.items(), *lesion.to.items()]
    return len(lesion.cut) == 1 and any(1 < len(there) < agent.sites[site] for site, there in ends)


@threadpool_limits.wrap(limits=1)  # how sums are split over threads changes their last bits
def _random_directions(
    model: Lesion, n: int, first: int, seed: int, activity: Activity | None
) -> list[Lesion]:
    if activity is None or model.cut or len(model.directions) != 1:
        return []
    ((site, axes),) = model.directions.items()
    start, lesions = int(digest([site, axes])[:8], 16), []
    for draw in range(first, first + n):
        rng = np.random.default_rng([seed, start, draw])
        if (found := random_directions(activity[site], np.array(axes), rng)) is not None:
            name = f"{model.name.partition(VARIANT)[0]}{VARIANT}{RANDOM}-{draw}"
            new = {"name": name, "directions": {site: orthonormal(found)}, "group": RANDOM}
            lesions.append(model.model_copy(update=new))
    return lesions


def random_directions(
    stats: SiteStats, axes: np.ndarray, rng: np.random.Generator
) -> np.ndarray | None:
    """Random directions (K, H) with as much of a layer's variance along them as along ``axes``.

    Normal vectors are stretched by a power of the layer's covariance, which is chosen so that the
    variance along their span is that wanted, within 5 %. None where no power up to ``STRETCH`` does
    it, or where what comes out is mostly ``axes`` again: as much variance as along the direction
    along which a layer varies most lies along no other.
    """
    # Now and then a draw cannot be stretched so far; the next one mostly can.
    tried = (_stretched(stats, axes, rng) for _ in range(_TRIES))
    return next((x for x in tried if x is not None), None)


def _stretched(stats: SiteStats, axes: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    variance, basis = _spectrum(stats)
    drawn = rng.normal(size=axes.shape)
    wanted = float(((axes @ basis) ** 2 @ variance).sum())

    def stretched(power: float) -> tuple[np.ndarray, float]:
        q, _ = np.linalg.qr((drawn * (variance / variance[-1]) ** (power / 2)).T)
        return q.T, float((q.T**2 @ variance).sum())

    low, high = -STRETCH, STRETCH
    for _ in range(60):
        middle = (low + high) / 2
        turned, there = stretched(middle)
        if abs(there / wanted - 1) <= 0.01:
            break
        low, high = (middle, high) if there < wanted else (low, middle)
    found = turned @ basis.T
    again = float(((found @ axes.T) ** 2).sum()) / len(axes)
    return found if abs(there / wanted - 1) <= 0.05 and again <= AGAIN else None


@lru_cache(maxsize=8)
def _spectrum(stats: SiteStats) -> tuple[np.ndarray, np.ndarray]:
    """A layer's variances along its principal directions, (H,), and these, (H, H)."""
    values = stats.samples - stats.samples.mean(0, dtype=np.float64)
    variance, basis = np.linalg.eigh(values.T @ values / len(values))
    return np.maximum(variance, 1e-12 * max(float(variance[-1]), 1e-300)), basis


def equal_parts(
    agent: Policy, k: int = 6, activity: Activity | None = None, *, seed: int | None = None
) -> Plan:
    """Divide every hidden layer into ``k`` parts of equal size, give or take a unit.

    How large part n is depends on the layer's size alone, so the same part of two networks of
    the same shape is a cut of the same size. A layer of fewer units is divided into single ones.
    Without ``seed`` units stand side by side that are active together: in the order of the leaves
    of Ward's tree over the absolute correlations of their ``activity``; None records it in the
    card's environment. With one they are shuffled. LabError for fewer than 1 part.
    """
    if k < 1:
        raise LabError(f"a layer has at least 1 part, got {k}")
    if activity is None and seed is None:
        from rl_ablation.rollouts.activity import record_activity

        activity = record_activity(agent)
    label, kind = ("part", "parts") if seed is None else ("random-part", RANDOM)
    lesions = []
    for place, (site, size) in enumerate(agent.network.sizes.items()):
        if seed is not None:
            order = np.random.default_rng([seed, place]).permutation(size)
        else:
            assert activity is not None
            order = _together(activity[site].samples)
        for n, units in enumerate(np.array_split(order, min(k, size))):
            cut = {site: tuple(sorted(map(int, units)))}
            lesions.append(Lesion(name=f"{site}/{label}-{n}", cut=cut, group=kind))
    return Plan(lesions)


def _together(samples: np.ndarray) -> np.ndarray:
    """Order of units in which those that are active together stand together."""
    from scipy.cluster.hierarchy import leaves_list, ward

    values = samples.astype(np.float64) - samples.mean(0, dtype=np.float64)
    if values.shape[1] < 3:
        return np.arange(values.shape[1])
    length = np.linalg.norm(values, axis=0)
    values = values / np.where(length > 0, length, 1.0)  # a dead unit correlates with none
    return np.asarray(leaves_list(ward(np.abs(values.T @ values))))


def random_divisions(plan: Plan, n: int, seed: int = 0, *, first: int = 0) -> list[Plan]:
    """The plan's regions redrawn ``n`` times: same sizes, each site's units shuffled over them.

    They are the control for "functional regions are more local than any regions of their sizes".
    They are numbered from ``first``; number k of a seed is the same whatever else is drawn.
    """
    divisions = []
    for draw in range(first, first + n):
        rng = np.random.default_rng([seed, draw])
        left: dict[str, list[int]] = {}
        for lesion in plan:
            for site, units in lesion.cut.items():
                left.setdefault(site, []).extend(units)
        left = {s: [int(u) for u in rng.permutation(units)] for s, units in left.items()}
        lesions = []
        for lesion in (x for x in plan if x.size):
            cut = {s: tuple(sorted(left[s].pop() for _ in us)) for s, us in lesion.cut.items()}
            name = f"{lesion.name}{VARIANT}{RANDOM}-{draw}"
            lesions.append(lesion.model_copy(update={"name": name, "cut": cut, "group": RANDOM}))
        divisions.append(Plan(lesions))
    return divisions
