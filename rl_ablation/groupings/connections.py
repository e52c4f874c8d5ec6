"""Connections: what each part of a network tells each part of the next layer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from rl_ablation.errors import LabError
from rl_ablation.groupings.clusters import clusters
from rl_ablation.groupings.registry import grouping
from rl_ablation.groupings.units import recorded, singles
from rl_ablation.lesions.lesion import ARROW, VARIANT, Lesion, Plan

if TYPE_CHECKING:  # help lists the groupings, and should not wait for torch
    from rl_ablation.policies.policy import Policy
    from rl_ablation.rollouts.activity import Activity

CONNECTIONS = "connections"
"""Group of the cuts that only some units hear of."""
MANY = 24
"""More sensors or motors than these are divided into clusters, as units of a hidden layer are."""


@grouping("what each sensor or cluster tells each cluster, or motor, of the next layer", number=6)
def connections(agent: Policy, k: int | None = None, activity: Activity | None = None) -> Plan:
    """What each part tells each part of the next layer: sensor → cluster → cluster → motor.

    The parts of hidden layers are `clusters`, ``k`` in each; so are those of sensors and of motors
    if there are more than 24, else each is one. Dead units neither tell nor hear. There are
    sensors·k + k² + k·motors of them with two hidden layers: 156 in the lap robot with 6, against
    12 clusters. None of ``activity`` records it.

    Raises:
        LabError: The policy has a memory: what a layer hears comes from the past, too.
    """
    if agent.memory:
        raise LabError(
            f"policy {agent.name!r} remembers: what its layers hear comes from the past, too, so "
            "connections cannot be told apart; cut clusters"
        )
    activity = recorded(agent, activity)
    parts = Plan()
    for site, size in agent.sites.items():
        end = site in ("obs", "action")
        if end and size <= MANY:
            parts += singles(agent, [site])
        else:
            parts += clusters(agent, None if k is None else min(k, size), activity, [site])
    return connected(agent, parts)


def connected(agent: Policy, parts: Plan) -> Plan:
    """Every connection from a part of one site to a part of the next that has any.

    Parts are lesions at one site each; their kinds and times are those of the connections.

    Raises:
        LabError: A part spans several sites, or there is but one site.
    """
    places: dict[str, list[Lesion]] = {}
    for part in parts:
        if part.size:
            if len(part.cut) != 1 or part.directions or part.to:
                raise LabError(f"part {part.name!r} is not of units of one site")
            places.setdefault(next(iter(part.cut)), []).append(part)
    order = [site for site in agent.sites if site in places]
    if len(order) < 2:
        raise LabError("connections need parts of two sites or more, one behind the other")
    live = {site: [x for x in there if x.name != f"{site}/dead"] for site, there in places.items()}
    return Plan(
        a.model_copy(
            update={"name": f"{a.name}{ARROW}{b.name}", "to": dict(b.cut), "group": CONNECTIONS}
        )
        for here, there in pairwise(order)
        for a in live[here]
        for b in live[there]
    )


@dataclass(frozen=True)
class Block:
    """The connections from the parts of one site to those of another.

    ``names`` has the lesion of each pair of parts, as far as there is one.
    """

    site: str
    to: str
    names: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def senders(self) -> list[str]:
        """The parts that tell, by name."""
        return list(dict.fromkeys(a for a, _ in self.names))

    @property
    def receivers(self) -> list[str]:
        """The parts that hear, by name."""
        return list(dict.fromkeys(b for _, b in self.names))


def blocks(lesions: Iterable[Lesion]) -> list[Block]:
    """The connections among some lesions in their first kind, by the sites that they are between;
    those of other names than ``a→b`` are left out."""
    found: dict[tuple[str, str], Block] = {}
    for lesion in lesions:
        ends = lesion.name.split(ARROW)
        if lesion.group != CONNECTIONS or VARIANT in lesion.name or len(ends) != 2:
            continue
        if len(lesion.cut) == len(lesion.to) == 1:
            place = next(iter(lesion.cut)), next(iter(lesion.to))
            found.setdefault(place, Block(*place)).names[ends[0], ends[1]] = lesion.name
    return list(found.values())
