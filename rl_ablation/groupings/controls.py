"""Random controls: cuts and divisions of the same sizes, drawn at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rl_ablation import limits
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import ARROW, VARIANT, Lesion, Plan

if TYPE_CHECKING:  # help lists the groupings, and should not wait for torch
    from rl_ablation.policies.policy import Policy
    from rl_ablation.rollouts.activity import Activity

RANDOM = "random"
"""The group of all cuts drawn at random, and the word for them in ``--groups``."""


def random_groups(
    agent: Policy, like: Plan, n: int = 100, seed: int = 0, *, first: int = 0
) -> Plan:
    """Random cuts in the same layers, of the same sizes, kinds and times as those of a plan.

    They are the null for "it is this group that matters, not how many units were cut".
    Those of connections are between random units of the layers that tell and hear. Cuts of one
    unit, of whole sites and of several sites have no such control and are passed over.
    Each layer, size, kind and time has ``n`` of them, numbered from ``first``; draw k of a seed is
    the same whatever else is drawn. LabError for more than `limits.DRAWS`.
    """
    limits.check_range("random cuts", n, 0, limits.DRAWS)
    wanted: dict[tuple[object, ...], Lesion] = {}
    for lesion in like:
        one = len(lesion.cut) == 1 and not lesion.directions
        ends = [*lesion.cut.items(), *lesion.to.items()]
        if one and any(1 < len(units) < agent.sites[site] for site, units in ends):
            wanted.setdefault(lesion.stratum, lesion)
    places, lesions = list(agent.sites), []
    for model in wanted.values():
        (site,), size = model.cut, model.size
        how = "" if model.manner == Lesion(name="").manner else VARIANT + model.manner
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
