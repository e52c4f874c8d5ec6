"""Groupings that need no recorded activity: single units, layers, tiles, sensors, motors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rl_ablation.errors import LabError
from rl_ablation.groupings.registry import grouping
from rl_ablation.lesions.lesion import Lesion, Plan

if TYPE_CHECKING:  # help lists the groupings, and should not wait for torch
    from rl_ablation.policies.policy import Policy
    from rl_ablation.rollouts.activity import Activity


def hidden_sites(agent: Policy, sites: Sequence[str] | None) -> list[str]:
    """The named sites, or all hidden layers; LabError where there is no such site."""
    for site in sites or ():
        if site not in agent.sites:
            raise LabError(f"no site {site!r}; this policy has {', '.join(agent.sites)}")
    return list(agent.network.sizes if sites is None else sites)


def divided_sites(agent: Policy, sites: Sequence[str] | None, word: str, number: int) -> list[str]:
    """`hidden_sites`, each of which has at least ``number`` units for the grouping ``word``."""
    chosen = hidden_sites(agent, sites)
    for site in chosen:
        if number > (units := agent.sites[site]):
            raise LabError(f"{word}:{number}: {site} has {units} units; ask for at most {units}")
    return chosen


def recorded(agent: Policy, activity: Activity | None) -> Activity:
    """The recorded intact activity; None records it in the card's environment."""
    from rl_ablation.rollouts.activity import record_activity

    return record_activity(agent) if activity is None else activity


@grouping("every hidden unit by itself")
def singles(agent: Policy, sites: Sequence[str] | None = None, group: str = "singles") -> Plan:
    """Every unit by itself; the hidden layers unless ``sites`` are named."""
    return Plan(
        Lesion(name=f"{site}/{unit}", cut={site: (unit,)}, group=group)
        for site in hidden_sites(agent, sites)
        for unit in range(agent.sites[site])
    )


@grouping("every input by itself")
def sensors(agent: Policy) -> Plan:
    """Every input of the network by itself: what if a sensor fails?"""
    return singles(agent, ["obs"], "sensors")


@grouping("every action by itself")
def motors(agent: Policy) -> Plan:
    """Every action by itself: what if an actuator fails?"""
    return singles(agent, ["action"], "motors")


@grouping("every hidden layer as a whole")
def layers(agent: Policy, sites: Sequence[str] | None = None) -> Plan:
    """Every hidden layer as a whole, or every named site."""
    return Plan(
        Lesion(name=site, cut={site: tuple(range(agent.sites[site]))}, group="layers")
        for site in hidden_sites(agent, sites)
    )


@grouping("neighbours in the layer", number=8)
def tiles(agent: Policy, size: int = 8, sites: Sequence[str] | None = None) -> Plan:
    """Blocks of ``size`` units that stand side by side; a layer of fewer units is one block.

    Raises:
        LabError: The size is below 1, or no layer has so many units.
    """
    if size < 1:
        raise LabError(f"tiles need a size of at least 1, got {size}")
    chosen = hidden_sites(agent, sites)
    widest = max(chosen, key=lambda site: agent.sites[site])
    divided_sites(agent, [widest], "tiles", size)
    lesions = []
    for site in chosen:
        units = tuple(range(agent.sites[site]))
        for n, start in enumerate(range(0, len(units), size)):
            cut = {site: units[start : start + size]}
            lesions.append(Lesion(name=f"{site}/tile-{n}", cut=cut, group="tiles"))
    return Plan(lesions)
