"""How long a map will take: counted from its design, and timed by a short probe of its robots."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

import numpy as np

from rl_ablation.cluster import connect, current
from rl_ablation.formats import duration
from rl_ablation.lesions.lesion import Plan
from rl_ablation.mapping.design import Execution, MapDesign
from rl_ablation.mapping.divisions import divided
from rl_ablation.mapping.lesion_map import DOSED, FIRST_DRAWS, NAMED, checks, cuts_of, few_of
from rl_ablation.mapping.manifest import CONFIRMATION, CONTROLS, DISCOVERY, DOSES
from rl_ablation.mapping.spec import ROWS
from rl_ablation.measures.registry import choose
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.activity import Activity
from rl_ablation.rollouts.episodes import Episode, Episodes
from rl_ablation.rollouts.rollout import Rollout, world_signals
from rl_ablation.rollouts.world import World, card_env, cpus

MANY, FEW_ROWS, SOME = 0.7, 32, 1.3
"""Seconds that many robots are timed, and how many a few are, which come further in theirs."""

# What the maps of the zoo's agents came to; single units are confirmed less often than groups.
_CONFIRMED, _CONFIRMED_SINGLE = 1.0, 0.55
_TOLD, _GO_ON = 0.65, 0.9  # share of other groups with random cuts; of later rounds of divisions
_DOSES = 3.0  # steps of a dose


@dataclass(frozen=True)
class Forecast:
    """What a map comes to.

    Attributes:
        lesions: Cuts, with the intact robot and the checks.
        episodes: Lesion × episode pairs of discovery and confirmation, at most.
        steps: Robot steps of all stages, at most.
        stages: Estimated seconds of each stage, in order.
    """

    lesions: int
    episodes: int
    steps: int
    stages: Mapping[str, float]

    @property
    def seconds(self) -> float:
        """Estimated time of all stages."""
        return sum(self.stages.values())

    def __str__(self) -> str:
        return (
            f"{self.lesions} lesions, at most {self.episodes:,} episodes and "
            f"{self.steps / 1e6:.3g} million robot steps, about {duration(self.seconds)}"
        )


@dataclass(frozen=True)
class Pace:
    """How fast robots are: a control step of n of them takes ``step + robot·n`` seconds."""

    step: float
    robot: float
    alive: float  # share of the horizon that a lesioned robot lasts

    def seconds(self, pairs: float, horizon: int) -> float:
        """Time for so many lesion × episode pairs."""
        shards = np.ceil(pairs / ROWS)
        return float(shards * horizon * self.step + pairs * horizon * self.alive * self.robot)


def forecast(
    agent: Policy,
    plan: Plan,
    episodes: Episodes,
    design: MapDesign,
    execution: Execution,
    *,
    measures: Sequence[str] | None = None,
    activity: Activity | None = None,
) -> Forecast:
    """Foretell what `lesion_map` with these arguments will take, in about two seconds.

    The episodes are settled. What confirmation selects, and what its controls decide, is not known
    before: at most all of it, and for the time as much as it was in maps of the zoo.
    """
    assert episodes.horizon is not None
    plan, kinds = cuts_of(plan, episodes, design)
    cuts = [x for x in plan if x.size]
    ways = (len(kinds) - 1) / max(1, len(plan) - 1)
    parts = len(divided(plan)) - 1
    groups = sum(x.group != "singles" for x in cuts)
    singles = len(cuts) - groups
    lesions = len(plan + checks(agent))
    few = few_of(episodes)
    discovery = min(few, design.discovery) if design.adaptive else design.discovery
    draws = 0 if any(x.group == "random" for x in cuts) else design.controls
    first, rest = min(draws, FIRST_DRAWS), max(0, draws - FIRST_DRAWS)
    both = lesions * discovery + (2 + ways * (groups + singles)) * episodes.count
    loose = groups - parts
    random = parts * draws + loose * first + min(NAMED + 1, loose) * rest
    most = both + few * random + DOSED * _DOSES * 2 * few
    confirmed = ways * (_CONFIRMED * groups + _CONFIRMED_SINGLE * singles)
    rounds = [few * _GO_ON * parts * 30] * round(rest / 30)
    stages: dict[str, Sequence[float]] = {
        DISCOVERY: [lesions * discovery],
        CONFIRMATION: [(2 + confirmed) * episodes.count],
        CONTROLS: [few * first * (parts + _TOLD * loose), *rounds],
        DOSES: [min(DOSED, groups) * _DOSES * 2 * few],
    }
    speed = pace(agent, plan, episodes, measures, activity, execution.threads)
    share, horizon = 1.0, episodes.horizon
    scheduler = current() if execution.scheduler is None else execution.scheduler
    if scheduler is not None:
        share = cpus() / max(1, sum(connect(scheduler).nthreads().values()))
    seconds = {
        stage: share * sum(speed.seconds(pairs, horizon) for pairs in sweeps)
        for stage, sweeps in stages.items()
    }
    return Forecast(lesions, int(both), int(most * horizon), seconds)


def pace(
    agent: Policy,
    plan: Plan,
    episodes: Episodes,
    measures: Sequence[str] | None = None,
    activity: Activity | None = None,
    threads: int | None = None,
) -> Pace:
    """Time some of a plan's lesions on the first steps of their episodes."""
    assert episodes.horizon is not None
    rows = min(ROWS, max(2 * FEW_ROWS, len(plan) * episodes.count))
    which = np.linspace(0, len(plan) - 1, rows).astype(int)
    jobs = [episodes.job(plan.lesions[x], k % episodes.count) for k, x in enumerate(which)]
    times = [
        _timed(agent, some, seconds, episodes.horizon, measures, activity, threads)
        for some, seconds in ((jobs, MANY), (jobs[:: rows // FEW_ROWS], SOME))
    ]
    (many, running), (few, still) = times
    n, m = float(np.mean(running)), float(np.mean(still))
    robot = max(1e-9, (many - few) / max(1.0, n - m))
    seen = len(still) / episodes.horizon  # the rest of the episode goes on as it ends
    alive = (m * seen + still[-1] * (1 - seen)) / still[0]
    return Pace(max(1e-6, few - robot * m), robot, float(alive))


class _Enough(Exception):
    """The probe is over."""


def _timed(
    agent: Policy,
    jobs: Sequence[Episode],
    seconds: float,
    horizon: int,
    measures: Sequence[str] | None,
    activity: Activity | None,
    threads: int | None,
) -> tuple[float, list[int]]:
    """Seconds of a control step of all, and how many robots made each step."""
    told: dict[int, list[int]] = {}
    times: list[float] = []

    def on_step(step: int, running: int) -> None:
        times.append(time.perf_counter())
        told.setdefault(step, []).append(running)
        if times[-1] - times[0] > seconds:
            raise _Enough

    with closing(World(card_env(agent), len(jobs), agent.card.env_kwargs, threads)) as world:
        signals = [s for m in choose(measures, world_signals(world)) for s in m.signals]
        rolls = Rollout(
            agent, world, list(dict.fromkeys(signals)), activity, horizon, on_step=on_step
        )
        with suppress(_Enough):
            rolls.of(jobs, lambda trace: None)
        parts = len(world.parts)
    # Only steps that all parts of the world have made count.
    running = [len(jobs), *(sum(ended) for ended in told.values() if len(ended) == parts)]
    return (times[-1] - times[0]) / max(1.0, len(times) / parts - 1), running
