"""Is planted wiring recovered? Connections between the planted parts of robots, mapped blind.

The parts are the sensors by what they look at, the units of each role in each hidden layer, and
either wheel. Each connection from a part to one of the next layer is cut, in each kind that claims
rest on. What a connection truly does is measured on fresh episodes, as for units; one without a
wire, or from units that never vary, or to units from which no way leads to the wheels, must change
nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

import rl_ablation as rl
from experiments.validation.policies import OBS, ZERO, Planted, true_effects
from rl_ablation.analysis.weights import path_norms
from rl_ablation.groupings.connections import connected
from rl_ablation.lesions.variants import variants
from rl_ablation.mapping.claims import overall
from rl_ablation.policies.network import MLP

SENSES = {
    "rear right": (0, 1), "right": (2, 3, 4, 5), "ahead": (6, 7, 8), "left": (9, 10, 11, 12),
    "rear left": (13, 14), "wheels": (15, 16), "yaw": (17,),
}  # fmt: skip
"""The sensors of a lap robot by what they look at."""
FAMILIES = ("modular", "two functions", "redundant steering")
"""Those whose wiring is asked for: what is between the units of a distributed twin means nothing,
and in trained halves nobody planted it."""
WIRE, NO_WIRE = "wire", ZERO[0]
_WITHIN = ("resample", "mean")


def parts(planted: Planted) -> rl.Plan:
    """The parts of a planted robot, by what they look at and by their role."""
    assert sum(map(len, SENSES.values())) == OBS
    found = [rl.Lesion(name=f"obs/{name}", cut={"obs": units}) for name, units in SENSES.items()]
    for site in planted.policy.network.sizes:
        roles = dict.fromkeys(r for name, r in planted.roles.items() if name.startswith(site))
        found += [
            rl.Lesion(name=f"{site}/the {role}", cut={site: planted.units(site, role)})
            for role in roles
        ]
    return rl.Plan(found) + rl.motors(planted.policy)


def wiring(planted: Planted) -> tuple[rl.Plan, dict[str, str]]:
    """The connections between the parts, and whether there is a wire: name → role."""
    plan, network = connected(planted.policy, parts(planted)), planted.policy.network
    assert isinstance(network, MLP)
    weights = [weight.numpy() for weight, _ in network.layers]
    order, ways = list(planted.policy.sites), path_norms(planted.policy)
    varies, heard = {"obs": np.ones(OBS, bool)}, {"action": np.ones(2, bool)}
    for depth, site in enumerate(network.sizes):
        varies[site] = (weights[depth][:, varies[order[depth]]] != 0).any(1)
        heard[site] = ways[site].sum(0) > 0
    roles = {}
    for lesion in (x for x in plan if x.size):
        ((site, senders),), ((to, receivers),) = lesion.cut.items(), lesion.to.items()
        block = weights[order.index(site)][np.ix_(receivers, senders)]
        there = block[heard[to][list(receivers)]][:, varies[site][list(senders)]]
        roles[lesion.name] = WIRE if there.any() else NO_WIRE
    return plan, roles


def recovered(
    planted: Planted,
    mapped_as: Callable[[str, rl.Plan], rl.Map],
    how: Mapping[str, Any],
    score: Callable[[pd.DataFrame, pd.DataFrame, Mapping[str, str]], pd.DataFrame],
) -> dict[str, int]:
    """Map the connections blind and hold the claims against the truth, which is measured as ``how``
    says; ``score`` judges the cells of claims.

    Returns how many cells are ``claims``, and ``true``; are ``real`` (a true effect of 1 s.d. in
    every kind) and ``found``; are of connections without a ``wire`` (``wireless``), and changed.
    """
    plan, roles = wiring(planted)
    run = mapped_as("connections", plan)
    held = rl.Plan(x for x in plan if roles.get(x.name) == WIRE)
    cells = score(
        overall(run.effects()), true_effects(planted, variants(held, _WITHIN), **how), roles
    )
    nothing = cells[cells["role"] == NO_WIRE]
    return {
        "claims": int(cells["claimed"].sum()),
        "true": int(cells["right"].sum()),
        "real": int(cells["real"].sum()),
        "found": int((cells["real"] & cells["right"]).sum()),
        "wireless": len(nothing),
        "changed": int((nothing["delta"].fillna(0) != 0).sum()),
    }
