"""Which directions of a layer's code does a robot need, whatever units they are spread over?

A region map asks which units; a function may as well be one direction of a layer's code, with a bit
of it in every unit. Is there a direction whose loss takes a behaviour, beyond what any direction of
as much variance does?

Protocol: the zoo's lap robot, its quadruped under its battery of commands, and the published
policy of the Go1 where it is in ``runs/robots`` (see `real-robots`). Directions of each layer are
cut one at a time: the principal components; the directions from which a signal of the world is
read, in what the actions listen to, the phase of the gait apart; the features of a sparse
autoencoder. Discovery on a few paired episodes, confirmation on fresh ones, as resample, mean and
zero; up to 40 random directions of the same layer with as much variance are the null of each. They
are of the whole layer, read-outs of what the actions listen to: to go further than they do is in
part to be heard. So the read-outs that do harm are also held against random directions of what the
actions listen to. How well a signal is read says little by itself: it is set beside networks of
the same shape that were never trained and see the same. What the autoencoders hold is measured by
driving the robot through them. What was found in the zoo's lap robot is asked of six other
trainings.

Expected picture, if functions are directions: diamonds far to the left of all grey dots.
About 35 minutes on 2 quiet cores; ``rl-ablation study directions``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

import rl_ablation as rl
from agents.zoo import find_agent
from experiments.studies.directions.again import trainings
from experiments.studies.directions.heard import among_heard
from experiments.studies.directions.reading import kept_through, read_in
from experiments.studies.directions.words import (
    tell_again,
    tell_heard,
    tell_kept,
    tell_map,
    tell_phase,
    tell_read,
    tell_robots,
)
from experiments.studies.real_robots.study import walkers
from experiments.studies.regions import Size
from experiments.studies.registry import Answer, drawn
from rl_ablation.groupings.directions import PHASE, listen
from rl_ablation.reports.figures import by_condition, heatmap
from rl_ablation.reports.figures_directions import directions
from rl_ablation.reports.figures_evidence import random_cuts
from rl_ablation.rollouts.activity import Activity
from rl_ablation.rollouts.world import conditions_of

FULL = {
    "lap": Size(k=8, controls=40),
    "quadruped": Size(k=6, discovery=16, episodes=64, controls=40),
    "Go1": Size(k=4, discovery=8, episodes=16, controls=40),
}
QUICK = {"lap": Size(k=1, discovery=6, episodes=6, controls=4, horizon=60)}
FEATURES = 16
"""Of an autoencoder, for each layer."""


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Map the directions of each robot."""
    texts: list[str] = []
    figures: dict[str, Figure] = {}
    tables, runs = dict[str, pd.DataFrame](), dict[str, rl.Map]()
    for name, find in robots(quick).items():
        agent, size = find(), (QUICK if quick else FULL)[name]
        run = map_directions(agent, folder / name.lower(), size, seed)
        runs[name] = run
        told = read_in(agent, size, seed)
        kept = kept_through(agent, run.activity, FEATURES, size, seed, folder / f"{name}-through")
        seen = run.activity["obs"].samples
        heard = {site: listen(agent, site, seen) for site in agent.network.sizes}
        among = among_heard(run, agent, heard, folder / f"{name}-heard", size, seed)
        listening = tell_heard({s: axes.shape for s, axes in heard.items()}, among)
        parts = [tell_map(run), listening, tell_read(told), tell_kept(kept)]
        if PHASE in set(told["signal"]):
            plan = rl.readouts(agent, signals=[PHASE], seed=seed, horizon=size.horizon)
            phase = mapped(agent, plan, run.activity, folder / f"{name}-phase", size, seed)
            near = among_heard(phase, agent, heard, folder / f"{name}-phase-heard", size, seed)
            parts.insert(1, tell_phase(phase, near))
            tables |= {f"{name}_phase": phase.effects(), f"{name}_phase_heard": near}
        texts.append("\n\n".join([f"## {name}", *parts]))
        shown = by_condition(run) or heatmap(run)
        told_in = {"controls": random_cuts(run), "heatmap": shown, "loadings": directions(run)}
        figures |= {f"{name}_{key}": figure for key, figure in drawn(told_in).items()}
        tables |= {f"{name}_effects": run.effects(), f"{name}_read": told, f"{name}_kept": kept}
        tables[f"{name}_heard"] = among
    if not quick:
        tables["trainings"] = trainings(folder, seed)
        texts.append(f"## Other trainings of the lap robot\n\n{tell_again(tables['trainings'])}")
    return Answer("\n\n".join([tell_robots(runs), *texts]), figures, tables)


def robots(quick: bool) -> dict[str, Callable[[], rl.Policy]]:
    """Name → what loads the robot's policy; the published one if it is there."""
    own: dict[str, Callable[[], rl.Policy]] = {"lap": lambda: find_agent("lap")}
    return own if quick else {**own, **walkers()}


def map_directions(agent: rl.Policy, folder: Path, size: Size, seed: int) -> rl.Map:
    """Map components, read-outs and features in two stages, with random directions as controls."""
    how: dict[str, Any] = {"seed": seed, "horizon": size.horizon}
    activity = rl.record_activity(agent, conditions=conditions_of(agent) or ("",), **how)
    plan = rl.components(agent, size.k, activity)
    plan += rl.readouts(agent, size.k, seed=seed, horizon=size.horizon)
    plan += rl.features(agent, FEATURES, activity)
    return mapped(agent, plan, activity, folder, size, seed)


def mapped(
    agent: rl.Policy, plan: rl.Plan, activity: Activity, folder: Path, size: Size, seed: int
) -> rl.Map:
    """Map a plan in two stages, with random directions as controls."""
    return rl.lesion_map(
        agent, plan, size.episodes, folder=folder, activity=activity, discovery=size.discovery,
        controls=size.controls, seed=seed, horizon=size.horizon,
    )  # fmt: skip
