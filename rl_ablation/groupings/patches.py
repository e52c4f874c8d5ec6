"""Patches and stimuli: what a region does at some moments, put in at others, and its controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.groupings.controls import random_groups
from rl_ablation.lesions import methods
from rl_ablation.lesions.lesion import VARIANT, Lesion, Plan, orthonormal

if TYPE_CHECKING:  # help lists the groupings, and should not wait for torch
    from rl_ablation.policies.policy import Policy
    from rl_ablation.rollouts.activity import Activity

SOURCE, OWN, ANY = "source", "own", "any"
"""Moments that values are of: the source's, those of the target itself, all of them."""
KINDS = ("resample", "mean")
DOSES = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
"""Standard deviations of a coordinate."""


def patches(
    agent: Policy,
    regions: Plan,
    activity: Activity,
    source: str,
    into: str,
    *,
    kinds: Sequence[str] = KINDS,
    draws: int = 0,
    **recorded: Any,
) -> Plan:
    """The code of one sort of moment put into another, region by region, with controls.

        plan = rl.patches(agent, regions, activity, "bend > 0.15", "bend < -0.15", seed=7)

    Each region is given its values of the source's moments while the target condition holds
    (``h0/cluster-0~source mean``), which is called patching in networks of language (Vig et al.
    2020, Geiger et al. 2021). A patch disturbs too, so there are controls: the values of other
    moments of the target itself (``~own mean``), of any moments (``~any mean``), and random units
    of the same number that are given the source's.

    Args:
        agent: A policy.
        regions: What is patched: units or directions.
        activity: As `record_activity` gave it.
        source: Moments that values are taken from: a condition as in `moments`.
        into: Moments at which they are put in. If it is the name of a condition of the world, the
            patch always lasts, and the episodes have to be those of the condition.
        kinds: ``"resample"`` gives the joint values of one of the moments, ``"mean"`` their mean.
        draws: Random groups of units for each size, in the first kind.
        **recorded: With what the activity was recorded: conditions, episodes, seed, horizon.

    Raises:
        LabError: There are no such moments, or the activity is of other episodes.
    """
    from rl_ablation.rollouts.activity import moments

    of = {name: moments(agent, activity, where, **recorded)
          for name, where in ((SOURCE, source), (OWN, into))}  # fmt: skip
    when = None if into in recorded.get("conditions", ()) else into
    plan = Plan()
    for name, some in (*of.items(), (ANY, ())):
        for kind in kinds:
            plan += patched(regions, name, some, kind, when=when)
    first = Plan(x for x in plan if x.name.endswith(f"{VARIANT}{SOURCE} {kinds[0]}"))
    return plan + random_groups(agent, first, draws, recorded.get("seed", 0))


def patched(
    regions: Plan,
    name: str,
    moments: Sequence[int],
    kind: str,
    *,
    when: str | None = None,
) -> Plan:
    """Regions that are given their values of some moments, none of them being all; they are named
    ``region~name kind``, and count as controls if the name is not ``SOURCE``."""
    usable = [name for name, known in methods.KINDS.items() if known.needs_activity]
    if kind not in usable:
        raise LabError(
            f"patches take values of moments, not {kind!r}; choose from {', '.join(usable)}"
        )
    how = {"kind": kind, "moments": tuple(moments), "when": when}
    return Plan(
        Lesion(
            **{
                **dict(x),
                **how,
                "strength": None,
                "name": f"{x.name}{VARIANT}{name} {kind}",
                "group": x.group if name == SOURCE else "checks",
            }
        )
        for x in regions
        if x.size
    )


def contrast(
    activity: Activity, source: Sequence[int], into: Sequence[int], sites: Sequence[str]
) -> Plan:
    """Directions in which a site's mean code of some moments lies from that of others.

    One for each site, ``h0/contrast``: the difference of the means, of length 1. A coordinate along
    it is higher at the source's moments.

    Raises:
        LabError: The means are the same.
    """
    lesions = []
    for site in sites:
        means = [activity[site].at(x).samples.mean(0, dtype=np.float64) for x in (source, into)]
        axes = {site: orthonormal(means[0] - means[1])}
        lesions.append(Lesion(name=f"{site}/contrast", directions=axes, group="contrasts"))
    return Plan(lesions)


def stimuli(
    regions: Plan,
    activity: Activity,
    doses: Sequence[float] = DOSES,
    *,
    kind: str = "stimulate",
    when: str | None = None,
) -> Plan:
    """Directions in doses, in standard deviations of the coordinate over all recorded moments.

    ``stimulate`` adds so many to it, ``clamp`` holds it so many from its mean. They are named
    ``h0/contrast~stimulate -2``.

    Raises:
        LabError: A region is not one direction of one site, or the kind is another.
    """
    lesions = []
    for x in regions:
        if not x.size:
            continue
        (site, axes), *more = x.directions.items() or [("", ())]
        if more or len(axes) != 1 or any(x.cut.values()) or kind not in ("stimulate", "clamp"):
            raise LabError(f"{x.name!r}: doses are given along one direction of one site")
        along = activity[site].along(np.array(axes))
        for dose in doses:
            held = float(along.mean[0] + dose * along.std[0])
            strength = dose if kind == "stimulate" else held
            new: dict[str, Any] = {
                "name": f"{x.name}{VARIANT}{kind} {dose:g}",
                "kind": kind,
                "group": "doses",
            }
            new |= {"strength": strength, "when": when}
            lesions.append(Lesion(**{**dict(x), **new}))
    return Plan(lesions)
