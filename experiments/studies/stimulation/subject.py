"""One robot of the study stimulation: its regions patched, cut and stimulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

import rl_ablation as rl
from rl_ablation.analysis.dose_response import against_random, curve, slope, trend
from rl_ablation.analysis.responses import Responses, responses, under
from rl_ablation.analysis.sufficiency import (
    Way,
    evoked,
    lost,
    necessary_and_sufficient,
    way,
)
from rl_ablation.groupings.patches import KINDS, contrast, patches, stimuli
from rl_ablation.lesions.lesion import Plan
from rl_ablation.lesions.variants import variants
from rl_ablation.rollouts.activity import Activity
from rl_ablation.rollouts.world import conditions_of

DOSES: Mapping[str, tuple[float, ...]] = {
    "stimulate": (-4.0, -2.0, -1.0, 1.0, 2.0, 4.0),
    "clamp": (-2.0, -1.0, 0.0, 1.0, 2.0),
}
ALIKE = "conditional"
"""The kind that takes the source's moment most like the present one: a code in step with the body.
It is told beside the claims, which are of `KINDS`."""
AGAINST = 2.0
"""The dose at which directions are held against random ones of their variance."""


@dataclass(frozen=True)
class Subject:
    """A robot, and which behaviour is to be evoked where.

    Attributes:
        name: As it is told.
        find: Its policy.
        recipe: What untrained networks of its shape are made with; none makes none.
        source: Moments that the code is taken from; see `rl_ablation.patches`.
        into: Moments that it is put into.
        told: Source and target in words.
        signals: What is looked at; the first is that of the doses, the second of its unit.
        unit: Of the first signal.
        conditions: Of the episodes where source and target are no conditions; none takes all.
        k: Clusters a layer.
        onset: First step with a patch.
        seconds: How long is looked at.
        horizon: Steps of an episode.
    """

    name: str
    find: Callable[[], rl.Policy]
    source: str
    into: str
    told: tuple[str, str]
    signals: tuple[str, ...]
    unit: str
    recipe: str = ""
    conditions: tuple[str, ...] = ()
    k: int = 4
    onset: int = 40
    seconds: float = 1.0
    horizon: int = 240


@dataclass(frozen=True)
class Size:
    """How much: episodes, random groups of units for each size, random directions a layer."""

    episodes: int
    draws: int
    directions: int


@dataclass(frozen=True, eq=False)
class Found:
    """What a subject showed.

    Attributes:
        subject: Which.
        evoked: Of `evoked`, for every region and direction.
        alike: The same for patches of moments like the present one alone.
        lost: Of `lost`.
        both: Of `necessary_and_sufficient`.
        curves: Of `curve`, for the contrasts, kinds and ``AGAINST`` of random directions.
        trends: Of `trend`, with the slopes of random directions.
        ends: What the intact robot does in the target's condition and in the source's, in the
            first signal.
        levels: Site → mean coordinate along the contrast at the target's moments and the source's,
            in standard deviations from its mean.
    """

    subject: Subject
    evoked: pd.DataFrame
    alike: pd.DataFrame
    lost: pd.DataFrame
    both: pd.DataFrame
    curves: pd.DataFrame
    trends: pd.DataFrame
    ends: tuple[float, float]
    levels: Mapping[str, tuple[float, float]]


def ask(subject: Subject, agent: rl.Policy, size: Size, seed: int) -> Found:
    """Patch, cut and stimulate one robot."""
    every = conditions_of(agent)
    conditions = subject.conditions or tuple(every)
    how: dict[str, Any] = {"conditions": conditions, "seed": seed, "horizon": subject.horizon}
    activity = rl.record_activity(agent, **how)
    source, into = (
        rl.moments(agent, activity, where, **how) for where in (subject.source, subject.into)
    )
    directions = contrast(activity, source, into, list(agent.network.sizes))
    regions = rl.layers(agent) + _live(rl.clusters(agent, subject.k, activity)) + directions
    plan = patches(
        agent, regions, activity, subject.source, subject.into, draws=size.draws,
        kinds=(*KINDS, ALIKE), **how,
    )  # fmt: skip
    random = rl.random_groups(agent, directions, size.directions, seed, activity=activity)
    dosed = Plan()
    for kind, doses in DOSES.items():
        dosed += stimuli(directions, activity, doses, kind=kind)
    dosed += stimuli(random, activity, (-AGAINST, AGAINST))
    episodes = rl.Episodes(size.episodes, seed, conditions, subject.horizon)

    def seen(cuts: Plan, where: str) -> Responses:
        asked, when = under(episodes, where, every)
        return responses(
            agent, cuts, activity, asked, subject.signals, when=when, onset=subject.onset,
            seconds=subject.seconds,
        )  # fmt: skip

    at_target = seen(plan + dosed, subject.into)
    at_source = seen(variants(regions, KINDS), subject.source)
    names = [x.name for x in regions if x.size]
    table = evoked(at_target, at_source, subject.signals)
    alike = evoked(at_target, at_source, subject.signals, (ALIKE,))
    cuts = lost(at_source, at_target, names, subject.signals)
    here = way(at_target, at_source, subject.signals[0])
    curves, trends = _doses(at_target, here, directions, random)
    levels = {s: _levels(activity, directions, s, into, source) for s in agent.network.sizes}
    both = necessary_and_sufficient(cuts, table)
    return Found(subject, table, alike, cuts, both, curves, trends, here.ends, levels)


def has_way(subject: Subject, agent: rl.Policy, size: Size, seed: int) -> bool:
    """Whether a robot does anything else in the source's condition than in the target's."""
    every = conditions_of(agent)
    episodes = rl.Episodes(size.episodes, seed, subject.conditions or tuple(every), subject.horizon)
    ends = []
    for where in (subject.into, subject.source):
        asked, when = under(episodes, where, every)
        ends.append(
            responses(
                agent, Plan(), {}, asked, subject.signals, when=when, onset=subject.onset,
                seconds=subject.seconds,
            )
        )  # fmt: skip
    return any(way(ends[0], ends[1], signal).clear for signal in subject.signals)


def _live(plan: Plan) -> Plan:
    return Plan(x for x in plan if x.size and not x.name.endswith("/dead"))


def _doses(
    found: Responses, here: Way, directions: Plan, random: Plan
) -> tuple[pd.DataFrame, pd.DataFrame]:
    curves, trends = [], []
    for x in (x for x in directions if x.size):
        site = x.name.partition("/")[0]
        null = {r.name: slope(found, here.signal, r.name, AGAINST)
                for r in random if r.name.startswith(f"{site}/")}  # fmt: skip
        for kind, doses in DOSES.items():
            curves.append(curve(found, here, x.name, kind, doses))
            row = {"region": x.name, "kind": kind, **trend(found, here, x.name, kind, doses)}
            if kind == "stimulate" and null:
                own = slope(found, here.signal, x.name, AGAINST)
                row |= {"slope_against": own, "draws": len(null),
                        "random": float(np.median(np.abs(list(null.values())))),
                        "p_random": against_random(own, null)}  # fmt: skip
            trends.append(row)
        for name in null:
            drawn = curve(found, here, name, "stimulate", (-AGAINST, AGAINST))
            curves.append(drawn[drawn["dose"] != 0].assign(kind="random", region=x.name, of=name))
    return pd.concat(curves, ignore_index=True), pd.DataFrame(trends)


def _levels(
    activity: Activity, directions: Plan, site: str, *sets: tuple[int, ...]
) -> tuple[float, float]:
    along = activity[site].along(np.array(directions[f"{site}/contrast"].directions[site]))
    low, high = ((along.at(x).mean[0] - along.mean[0]) / along.std[0] for x in sets)
    return float(low), float(high)
