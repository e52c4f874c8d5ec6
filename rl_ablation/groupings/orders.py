"""Cumulative ablation: cut one unit after another and see how fast a behaviour is lost.

After Morcos et al. 2018 ("On the importance of single directions for generalization"): units are
cut in random order, performance is drawn against the share cut, and the area under that curve
tells how much the network leans on single units; noise on all units does the same for random
directions. Orders by measured importance, lowest or highest first, show redundancy (Geiger et al.
2018). Each point of a curve is an ordinary lesion, so a sweep runs and resumes it. At the site
``obs`` the same plans disturb the sensors: a cut is a sensor that fails, noise is a sensor that is
noisy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.groupings.units import hidden_sites
from rl_ablation.lesions.lesion import Lesion, Plan

if TYPE_CHECKING:  # help lists the groupings, and should not wait for torch
    from rl_ablation.policies.policy import Policy

FRACTIONS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
STRENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)


def random_orders(
    agent: Policy,
    *,
    sites: Sequence[str] | None = None,
    orders: int = 10,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    kind: str = "zero",
    name: str = "order",
) -> Plan:
    """Cut growing shares of all units of some layers together, in several random orders.

    A lesion is named ``order-3/0.4``: the first 40 % of the fourth order, which is its group.
    ``fractions`` are shares in (0, 1] of all the layers' units, None of ``sites`` takes all hidden
    ones, and at ``obs`` the kind ``zero`` makes a sensor read its mean over the training.

    Raises:
        LabError: A fraction outside (0, 1], no order, or no such site.
    """
    if orders < 1:
        raise LabError(f"cumulative ablation needs at least 1 order, got {orders}")
    where = hidden_sites(agent, sites)
    units = [(site, unit) for site in where for unit in range(agent.sites[site])]
    rng = np.random.default_rng(seed)
    lesions = []
    for order in range(orders):
        shuffled = [units[k] for k in rng.permutation(len(units))]
        for fraction in _checked(fractions):
            first = shuffled[: _count(fraction, len(units))]
            cut = {s: tuple(sorted(u for site, u in first if site == s)) for s in where}
            lesions.append(_point(f"{name}-{order}", fraction, cut, kind))
    return Plan(lesions)


def ranked_order(
    importance: Mapping[str, np.ndarray],
    direction: Literal["ascending", "descending"],
    *,
    fractions: Sequence[float] = FRACTIONS,
) -> Plan:
    """Cut the least (``"ascending"``) or most important units first, alike in every layer.

    Each layer loses the same share, since importance is ranked within a layer and means nothing
    across layers (Geiger et al. 2018). Units of equal importance go in order of their index.
    ``importance`` is site → (H,), ``fractions`` are shares in (0, 1] of each layer, and the
    direction is the lesions' group.
    """
    if direction not in ("ascending", "descending"):
        raise LabError(f"unknown direction {direction!r}; choose ascending or descending")
    sign = 1.0 if direction == "ascending" else -1.0
    rank = {s: np.argsort(sign * v, kind="stable").tolist() for s, v in importance.items()}
    lesions = []
    for fraction in _checked(fractions):
        cut = {s: tuple(sorted(units[: _count(fraction, len(units))])) for s, units in rank.items()}
        lesions.append(_point(direction, fraction, cut))
    return Plan(lesions)


def noise_ladder(
    agent: Policy, *, sites: Sequence[str] | None = None, strengths: Sequence[float] = STRENGTHS
) -> Plan:
    """Normal noise on all units of some layers, in multiples of each unit's own s.d.

    Noise moves the network's state along random directions, a cut along one unit.
    """
    cut = {site: tuple(range(agent.sites[site])) for site in hidden_sites(agent, sites)}
    return Plan(
        Lesion(name=f"noise/{s:g}", cut=cut, kind="noise", strength=s, group="noise")
        for s in strengths
    )


def _checked(fractions: Sequence[float]) -> list[float]:
    if not all(0 < f <= 1 for f in fractions):
        got = ", ".join(f"{f:g}" for f in fractions)
        raise LabError(f"fractions must lie in (0, 1], got {got}")
    return sorted(fractions)


def _count(fraction: float, units: int) -> int:
    return max(1, round(fraction * units))


def _point(
    order: str, fraction: float, cut: dict[str, tuple[int, ...]], kind: str = "zero"
) -> Lesion:
    cut = {site: units for site, units in cut.items() if units}
    return Lesion(name=f"{order}/{fraction:g}", cut=cut, kind=kind, group=order)
