"""Functional clusters: units of a layer that are active together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.groupings.registry import grouping
from rl_ablation.groupings.stability import correlations, divisions, number_of_groups
from rl_ablation.groupings.units import divided_sites, recorded
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.lesions.methods import DEAD_STD

if TYPE_CHECKING:  # help lists the groupings, and should not wait for torch
    from rl_ablation.policies.policy import Policy
    from rl_ablation.rollouts.activity import Activity


@grouping("units active together, so many in each layer; the most stable number without", number=6)
def clusters(
    agent: Policy,
    k: int | None = None,
    activity: Activity | None = None,
    sites: Sequence[str] | None = None,
) -> Plan:
    """Functional clusters: units of a layer that are active together, ``k`` in each layer.

    None chooses a number for each layer, from 3 to 10: the largest whose division comes out again
    in another half of the activity, beyond chance, as well as the best one's does but for a
    standard error; see `rl_ablation.groupings.stability`. It is chosen even where none is beyond
    chance, which the report tells.

    Units are described by the absolute correlations of their activity with every other unit of the
    layer and joined by Ward's criterion (after the co-activity populations of Meyes et al. 2020).
    The sign is dropped, since a unit and its negative carry the same signal. Dead units stand apart
    as ``site/dead``. Clusters are numbered from the largest. Where fewer than ``k`` units are live,
    each is its own. None of ``activity`` records it, None of ``sites`` takes all hidden layers.
    """
    if k is not None and k < 1:
        raise LabError(f"clusters need k of at least 1, got {k}")
    activity = recorded(agent, activity)
    lesions = []
    for site in divided_sites(agent, sites, "clusters", k or 1):
        samples = activity[site].samples.astype(np.float64)
        live = np.flatnonzero(samples.std(0) > DEAD_STD)
        dead = np.setdiff1d(np.arange(samples.shape[1]), live)
        if dead.size:
            lesions.append((f"{site}/dead", site, dead))
        count = number_of_groups(samples[:, live]) if k is None else k
        few = live.size <= count
        labels = np.arange(live.size) if few else by_activity(samples[:, live], count)
        groups = [live[labels == label] for label in np.unique(labels)]
        groups.sort(key=lambda units: (-units.size, units[0]))
        lesions += [(f"{site}/cluster-{n}", site, units) for n, units in enumerate(groups)]
    return Plan(
        Lesion(name=name, cut={site: tuple(map(int, units))}, group="clusters")
        for name, site, units in lesions
    )


def by_activity(samples: np.ndarray, k: int) -> np.ndarray:
    """Divide units into ``k`` groups that are active together, by activity (S, units).

    Returns labels (units,). A unit that does not vary correlates with no other.
    """
    return np.asarray(divisions(correlations(samples), [k])[0])
