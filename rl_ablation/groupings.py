"""Groupings: ways to divide a network into parts to cut. Each makes a `Plan` from a policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import AgglomerativeClustering

from rl_ablation.activity import Activity, record_activity
from rl_ablation.errors import LabError
from rl_ablation.lesion import VARIANT, Lesion, Plan
from rl_ablation.policy import Policy

DEAD_STD = 1e-6
"""A unit that varies less than this is dead (by variance: a constant 1 carries nothing)."""


@dataclass(frozen=True)
class Grouping:
    """A registered grouping: ``make(policy, number, activity) -> Plan``."""

    name: str
    make: Callable[[Policy, int | None, Activity | None], Plan]
    doc: str


GROUPINGS: dict[str, Grouping] = {}


def hidden_sites(agent: Policy, sites: Sequence[str] | None) -> list[str]:
    if sites is None:
        return list(agent.network.sizes)
    for site in sites:
        if site not in agent.sites:
            raise LabError(f"no site {site!r}; this policy has {', '.join(agent.sites)}")
    return list(sites)


def singles(agent: Policy, sites: Sequence[str] | None = None) -> Plan:
    """Every unit by itself; the hidden layers unless ``sites`` are named."""
    return Plan(
        Lesion(name=f"{site}/{unit}", cut={site: (unit,)}, group="singles")
        for site in hidden_sites(agent, sites)
        for unit in range(agent.sites[site])
    )


def sensors(agent: Policy) -> Plan:
    """Every input of the network by itself: what if a sensor fails?"""
    return regrouped(singles(agent, ["obs"]), "sensors")


def motors(agent: Policy) -> Plan:
    """Every action by itself: what if an actuator fails?"""
    return regrouped(singles(agent, ["action"]), "motors")


def layers(agent: Policy, sites: Sequence[str] | None = None) -> Plan:
    """Every hidden layer as a whole."""
    return Plan(
        Lesion(name=site, cut={site: tuple(range(agent.sites[site]))}, group="layers")
        for site in hidden_sites(agent, sites)
    )


def tiles(agent: Policy, size: int = 8, sites: Sequence[str] | None = None) -> Plan:
    """Blocks of ``size`` units that stand side by side in the layer."""
    if size < 1:
        raise LabError(f"tiles need a size of at least 1, got {size}")
    return Plan(
        Lesion(
            name=f"{site}/tile-{start // size}",
            cut={site: tuple(range(start, min(start + size, agent.sites[site])))},
            group="tiles",
        )
        for site in hidden_sites(agent, sites)
        for start in range(0, agent.sites[site], size)
    )


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
        k: Clusters in each layer.
        activity: Recorded intact activity; None records it in the card's environment.
        sites: Layers to divide; None takes all hidden ones.
    """
    if k < 1:
        raise LabError(f"clusters need k of at least 1, got {k}")
    activity = record_activity(agent) if activity is None else activity
    lesions = []
    for site in hidden_sites(agent, sites):
        samples = activity[site].samples.astype(np.float64)
        live = np.flatnonzero(samples.std(0) > DEAD_STD)
        dead = np.setdiff1d(np.arange(samples.shape[1]), live)
        if dead.size:
            cut = {site: tuple(map(int, dead))}
            lesions.append(Lesion(name=f"{site}/dead", cut=cut, group="clusters"))
        if not live.size:
            continue
        if live.size <= k:
            labels = np.arange(live.size)
        else:
            profile = np.abs(np.corrcoef(samples[:, live].T))
            labels = AgglomerativeClustering(n_clusters=k).fit_predict(profile)
        groups = [live[labels == label] for label in np.unique(labels)]
        groups.sort(key=lambda units: (-units.size, units[0]))
        lesions += [
            Lesion(name=f"{site}/cluster-{n}", cut={site: tuple(map(int, units))}, group="clusters")
            for n, units in enumerate(groups)
        ]
    return Plan(lesions)


def random_groups(
    agent: Policy, like: Plan, n: int = 100, seed: int = 0, *, first: int = 0
) -> Plan:
    """Random cuts in the same layers, of the same sizes, kinds and times as those of a plan.

    They are the null for "it is this group that matters, not how many units were cut".
    Cuts of one unit, of whole sites and of several sites have no such control and are passed over.

    Args:
        agent: The policy.
        like: What they are controls for.
        n: Random cuts for each layer, size, kind and time.
        seed: Draws them. Draw k is the same whatever else is drawn.
        first: Number of the first draw.
    """
    wanted: dict[tuple[object, ...], Lesion] = {}
    for lesion in like:
        for site, units in lesion.cut.items():
            if len(lesion.cut) == 1 and 1 < len(units) < agent.sites[site]:
                wanted.setdefault(lesion.place, lesion)
    places = list(agent.sites)
    lesions = []
    for model in wanted.values():
        ((site, model_units),) = model.cut.items()
        size = len(model_units)
        how = "" if model.manner == Lesion(name="").manner else VARIANT + model.manner
        for draw in range(first, first + n):
            rng = np.random.default_rng([seed, places.index(site), size, draw])
            units = tuple(sorted(map(int, rng.permutation(agent.sites[site])[:size])))
            new = {"name": f"{site}/random-{size}-{draw}{how}", "cut": {site: units}}
            lesions.append(model.model_copy(update={**new, "group": "random"}))
    return Plan(lesions)


def _factors(agent: Policy, k: int, activity: Activity | None) -> Plan:
    from rl_ablation.factors import factors  # it builds on this file

    return factors(agent, k, activity)


def regrouped(plan: Plan, group: str) -> Plan:
    return Plan(x.model_copy(update={"group": group}) for x in plan if x.size)


def _register(
    name: str, make: Callable[[Policy, int | None, Activity | None], Plan], doc: str
) -> None:
    GROUPINGS[name] = Grouping(name, make, doc)


_register("singles", lambda a, n, act: singles(a), "every hidden unit by itself")
_register("layers", lambda a, n, act: layers(a), "every hidden layer as a whole")
_register(
    "tiles", lambda a, n, act: tiles(a, 8 if n is None else n), "tiles:8, neighbours in the layer"
)
_register(
    "clusters",
    lambda a, n, act: clusters(a, 6 if n is None else n, act),
    "clusters:6, units active together, so many in each layer",
)
_register(
    "factors",
    lambda a, n, act: _factors(a, 6 if n is None else n, act),
    "factors:6, units in the same non-negative pattern of activity, so many in each layer",
)
_register("sensors", lambda a, n, act: sensors(a), "every input by itself")
_register("motors", lambda a, n, act: motors(a), "every action by itself")
RANDOM = "random"  # needs the rest of the plan, so it is made after it


def parse_groups(
    text: str | Iterable[str], agent: Policy, activity: Activity | None = None, seed: int = 0
) -> Plan:
    """Make a plan from words like ``"layers,clusters:6,random:100"``.

    Raises:
        LabError: A word is no grouping.
    """
    words = [w.strip() for w in text.split(",")] if isinstance(text, str) else list(text)
    plan, draws = Plan(), None
    for word in words:
        name, colon, number = word.partition(":")
        if colon and not number.isdecimal():
            raise LabError(
                f"grouping {word!r}: after the colon comes a whole number, as in {name}:6"
            )
        count = int(number) if colon else None
        if name == RANDOM:
            draws = 100 if count is None else count
        elif name in GROUPINGS:
            plan = plan + GROUPINGS[name].make(agent, count, activity)
        else:
            known = ", ".join([*GROUPINGS, RANDOM])
            raise LabError(f"unknown grouping {name!r}; choose from {known}")
    return plan if draws is None else plan + random_groups(agent, plan, draws, seed)
