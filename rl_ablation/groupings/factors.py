"""Factor groups: units of a layer that belong to the same non-negative pattern of its activity.

After Olah et al. 2018 ("The Building Blocks of Interpretability"), who factorise activations into a
few groups by non-negative matrix factorisation (Lee & Seung 1999). A layer whose units take both
signs (tanh, elu) is factorised as ``[max(0, a), max(0, −a)]``, so that "on" and "off" of one unit
may belong to different patterns.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.groupings.registry import grouping
from rl_ablation.groupings.units import divided_sites, recorded
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.lesions.methods import DEAD_STD, SiteStats

if TYPE_CHECKING:  # help lists the groupings, and should not wait for torch
    from rl_ablation.policies.policy import Policy
    from rl_ablation.rollouts.activity import Activity


@dataclass(frozen=True, eq=False)
class Factors:
    """A layer's activity as a sum of k patterns: activity ≈ strengths @ weights.

    ``weights``, (k, H), are in units of activity: what the unit does when the pattern is as strong
    as it usually (root mean square) is. ``signed`` ones, (k, 2H), where units take both signs, are
    their positive parts, then their negative ones. ``strengths``, (S, k), root mean square 1, tell
    how strong each pattern is at each moment. ``explained``, (k,), falling, is the share of the
    activity's sum of squares that each accounts for; at the optimum they add up to what all explain
    together.
    """

    weights: np.ndarray
    strengths: np.ndarray
    explained: np.ndarray
    signed: bool

    @property
    def patterns(self) -> np.ndarray:
        """What the units do, with sign, when a pattern is on, (k, H)."""
        if not self.signed:
            return self.weights
        up, down = np.split(self.weights, 2, axis=1)
        return up - down

    @property
    def owners(self) -> np.ndarray:
        """The pattern that each unit mostly belongs to, (H,); −1 for units in none (dead ones).

        A hard choice: the largest loading, summed over both signs. A unit that is half of one
        pattern and half of another still goes to one of them.
        """
        loading = sum(np.split(self.weights, 2, axis=1)) if self.signed else self.weights
        return np.where(np.max(loading, 0) > 0, np.argmax(loading, 0), -1)


def factorise(stats: SiteStats, k: int) -> Factors:
    """Factorise a site's visited activity into ``k`` non-negative patterns.

    Units that do not vary carry nothing and are left out, even those that are constantly on.
    LabError where ``k`` is below 1, or more than there are units that vary, or moments.
    """
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    live, samples = _live(stats), stats.samples.astype(np.float64)
    most = min(int(live.sum()), len(samples))
    if not 1 <= k <= most:
        raise LabError(f"{k} factors cannot be made of {most} live units; choose from 1 to {most}")
    samples = np.where(live, samples, 0.0)
    signed = bool((samples < 0).any())
    parts = np.hstack([samples.clip(0), (-samples).clip(0)]) if signed else samples
    model = NMF(k, init="nndsvda", random_state=0, max_iter=1000)
    with warnings.catch_warnings():
        # One that has not converged explains a little less, and `explained` says so.
        warnings.simplefilter("ignore", ConvergenceWarning)
        strengths = model.fit_transform(parts)
    size = np.sqrt((strengths**2).mean(0))
    weights = model.components_ * size[:, None]
    strengths = strengths / np.where(size > 0, size, 1.0)
    # At an optimum the residual is orthogonal to the fit, so these shares add up to its R².
    shared = np.einsum("sh,sk,kh->k", parts, strengths, weights, optimize=True)
    explained = shared / (parts**2).sum()
    order = np.argsort(-explained, kind="stable")
    return Factors(weights[order], strengths[:, order], explained[order], signed)


@grouping("units in the same non-negative pattern of activity, so many in each layer", number=6)
def factors(
    agent: Policy, k: int = 6, activity: Activity | None = None, sites: Sequence[str] | None = None
) -> Plan:
    """Factor groups as lesions, ``k`` in each layer: each cuts the units that belong to a factor.

    Units belong to the factor with their largest loading (see `Factors.owners`); those with none
    are in no group. ``h0/factor-0`` is the factor that explains most of the layer's activity; one
    that no unit mostly belongs to makes no lesion. Where fewer than ``k`` units are live, there are
    as many factors. None of ``activity`` records it, None of ``sites`` takes all hidden layers.

    Raises:
        LabError: ``k`` is below 1 or more than a layer has units, or there is no such site.
    """
    if k < 1:
        raise LabError(f"factors need k of at least 1, got {k}")
    activity = recorded(agent, activity)
    lesions = []
    for site in divided_sites(agent, sites, "factors", k):
        here = min(k, int(_live(activity[site]).sum()))
        owners = factorise(activity[site], here).owners if here else np.empty(0)
        for factor in np.unique(owners[owners >= 0]):
            cut = {site: tuple(map(int, np.flatnonzero(owners == factor)))}
            lesions.append(Lesion(name=f"{site}/factor-{factor}", cut=cut, group="factors"))
    return Plan(lesions)


def _live(stats: SiteStats) -> np.ndarray:
    return stats.samples.std(0, dtype=np.float64) > DEAD_STD
