"""Functional clusters: units of a layer that are active together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.cluster import AgglomerativeClustering

from rl_ablation.errors import LabError
from rl_ablation.groupings.registry import grouping
from rl_ablation.groupings.units import divided_sites
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.lesions.methods import DEAD_STD
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.activity import Activity, record_activity


@grouping("units active together, so many in each layer", number=6)
def clusters(
    agent: Policy, k: int = 6, activity: Activity | None = None, sites: Sequence[str] | None = None
) -> Plan:
    """Functional clusters: units of a layer that are active together, ``k`` in each layer.

    Units are described by the absolute correlations of their activity with every other unit of the
    layer and joined by Ward's criterion (after the co-activity populations of Meyes et al. 2020).
    The sign is dropped, since a unit and its negative carry the same signal. Dead units stand apart
    as ``site/dead``. Clusters are numbered from the largest.

    Args:
        agent: The policy.
        k: Clusters in each layer; where fewer units are live, each of them is its own.
        activity: Recorded intact activity; None records it in the card's environment.
        sites: Layers to divide; None takes all hidden ones.
    """
    if k < 1:
        raise LabError(f"clusters need k of at least 1, got {k}")
    activity = record_activity(agent) if activity is None else activity
    lesions = []
    for site in divided_sites(agent, sites, "clusters", k):
        samples = activity[site].samples.astype(np.float64)
        live = np.flatnonzero(samples.std(0) > DEAD_STD)
        dead = np.setdiff1d(np.arange(samples.shape[1]), live)
        if dead.size:
            cut = {site: tuple(map(int, dead))}
            lesions.append(Lesion(name=f"{site}/dead", cut=cut, group="clusters"))
        if not live.size:
            continue
        labels = np.arange(live.size) if live.size <= k else by_activity(samples[:, live], k)
        groups = [live[labels == label] for label in np.unique(labels)]
        groups.sort(key=lambda units: (-units.size, units[0]))
        lesions += [
            Lesion(name=f"{site}/cluster-{n}", cut={site: tuple(map(int, units))}, group="clusters")
            for n, units in enumerate(groups)
        ]
    return Plan(lesions)


def by_activity(samples: np.ndarray, k: int) -> np.ndarray:
    """Divide units into ``k`` groups that are active together, by activity (S, units).

    Returns labels (units,). A unit that does not vary correlates with no other.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        profile = np.nan_to_num(np.abs(np.corrcoef(samples.T.astype(np.float64))))
    return np.asarray(AgglomerativeClustering(n_clusters=k).fit_predict(profile))
