"""Is a property of single units lost, or only turned away from the units' axes?

A layer's activity is a cloud in the space that its units span. Turn the cloud and every unit
changes, while the next layer can undo the turn and behave as before. So what is said of units is
set beside what no turn can change: the share of the whole layer's variance between the classes,
the best direction to separate them, and the similarity to another network's layer. Activity and
classes are as in `rl_ablation.analysis.selectivity`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import linalg

from rl_ablation.analysis.selectivity import eta_squared
from rl_ablation.errors import LabError

KEPT = 0.99
"""Share of a layer's variance whose directions are compared; the rest is taken for noise."""


def layer_eta_squared(activity: np.ndarray, classes: np.ndarray) -> float:
    """Share of a layer's whole variance that lies between the classes: tr B / tr T.

    It is the mean η² along any set of orthogonal axes, the units' or others, weighted by the
    variance along each; so it does not depend on the axes.
    """
    variance = activity.var(0, dtype=np.float64)
    return float(variance @ eta_squared(activity, classes) / max(variance.sum(), 1e-12))


def best_direction(activity: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The direction (H,) along which the largest share of the variance lies between the classes.

    The first linear discriminant (Fisher 1936; Rao 1948): the w with the largest wᵀBw / wᵀTw. Its
    selectivity, ``eta_squared((activity @ w)[:, None], classes)``, is to be taken on moments that
    it was not fitted to.
    """
    values = activity - activity.mean(0, dtype=np.float64)
    total = values.T @ values / len(values)
    between = np.zeros_like(total)
    for label in np.unique(classes):
        where = classes == label
        middle = values[where].mean(0)
        between += where.mean() * np.outer(middle, middle)
    # Dead units have no variance to divide by.
    total += 1e-6 * max(np.trace(total) / len(total), 1e-12) * np.eye(len(total))
    found = linalg.eigh(between, total, subset_by_index=[len(total) - 1] * 2)[1]
    return np.asarray(found[:, 0])


def pwcca(one: np.ndarray, other: np.ndarray) -> float:
    """Similarity of two layers' activity at the same moments, whichever way each is turned.

    Of (S, H) and (S, K): 1 for linear images of each other, near 0 for unrelated layers.
    Projection-weighted canonical correlation (Morcos, Raghu, Bengio 2018, 1806.05759), on the
    directions that hold ``KEPT`` of the variance (Raghu et al. 2017, 1706.05806). Canonical
    correlations are averaged with the weight that their directions have in ``one``.
    """
    if len(one) != len(other):
        raise LabError(f"pwcca needs the same moments of both, got {len(one)} and {len(other)}")
    u, values = _basis(one)
    v, _ = _basis(other)
    turn, correlations, _ = np.linalg.svd(u.T @ v)
    variates = u @ turn[:, : len(correlations)]
    weights = np.abs(variates.T @ values).sum(1)
    return float(weights @ np.clip(correlations, 0.0, 1.0) / weights.sum())


def network_similarity(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> float:
    """`pwcca` of two networks' activity at the same observations, averaged over layers."""
    return float(np.mean([pwcca(activity, other[site]) for site, activity in one.items()]))


def _basis(activity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal time courses of the main directions, (S, R), and the centred activity."""
    values = activity - activity.mean(0, dtype=np.float64)
    u, size, _ = np.linalg.svd(values, full_matrices=False)
    share = np.cumsum(size**2) / max((size**2).sum(), 1e-300)
    return u[:, : int(np.searchsorted(share, KEPT)) + 1], values
