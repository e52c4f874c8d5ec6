"""How much of a cut's harm is direct, and how much is drift to other states? When does it matter?

A cut changes what the robot does in the state at hand, and through that the states to come. And a
robot may need a region all the time, or in left bends only.

Protocol, on the zoo's lap agent, with functional clusters held at their means (2 a layer; of 4 a
layer none matters alone). A draw at each step would be counted as a difference of actions. The
clusters are set to zero too, the usual protocol, to show what that adds.

1. Open loop: the states that the intact robot visits are shown to the damaged network
   (`probe`); ``direct`` is how far the action moves, in its s.d. Closed loop: the share
   of the intact robot's progress that is lost in 24 paired episodes. Rank correlation (Spearman) of
   the two over clusters and random cuts of their sizes, within a layer, with a percentile bootstrap
   interval over cuts.
2. Drift: each robot is cut 3 s after the start and its actions compared with those of its intact
   twin for 10 s (`drift`). Robots nudged for one step, by noise of 0.1 s.d. on the
   actions, show how far twins come apart without harm; what a region adds to that has a 95 %
   interval over episodes. (The question is that of "rehydration" in the public code on replaying
   intact trajectories through lesioned networks; the way of splitting the answer is this lab's.)
3. Cuts in time: each cluster cut only in left bends, only in right bends, only on the straight, and
   always; paired effects with intervals, q after Benjamini & Hochberg over everything tried. The
   same test of "left bends only" against "right bends only" asks whether timing matters.

Expected picture: harm rises with the direct change, but not strictly; what is cut in left bends
hurts turning left. About 2 minutes on 2 quiet cores; ``rl-ablation study open-loop``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import rl_ablation as rl
from agents.zoo import find_agent
from experiments.studies.open_loop.figures import answer, curves
from experiments.studies.open_loop.words import tell_direct, tell_drift, tell_triggers
from experiments.studies.registry import Answer
from rl_ablation import stats
from rl_ablation.analysis.drift import Drift, drift, size
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.mapping.claims import overall
from rl_ablation.mapping.evidence import harm
from rl_ablation.measures.laps import BEND
from rl_ablation.rollouts.recording import record
from rl_ablation.rollouts.world import conditions_of

TRIGGERS = {
    "left": f"bend > {BEND}",
    "right": f"bend < -{BEND}",
    "straight": f"bend >= -{BEND} and bend <= {BEND}",
}
ALWAYS = "always"
KIND, USUAL = "mean", "zero"
TIMED = ("left_turning.alive", "right_turning.alive", "forward_speed.alive", "crash")
NUDGE = rl.Lesion(name="nudge", cut={"action": (0, 1)}, kind="noise", strength=0.1, offset=1)
ONSET, FOLLOW = 60, 200  # steps of 50 ms


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Run it; see the module."""
    agent = find_agent("lap")
    conditions = conditions_of(agent)
    episodes, horizon = (6, 160) if quick else (24, None)
    how: dict[str, Any] = {"conditions": conditions, "seed": seed, "horizon": horizon}
    activity = rl.record_activity(agent, **how)
    found = rl.clusters(agent, 2, activity).with_kind(KIND)
    regions = rl.Plan(x for x in found if x.name != INTACT and not x.name.endswith("/dead"))
    plan = regions + rl.random_groups(agent, regions, 2 if quick else 20, seed)
    sweep = partial(rl.sweep, agent, episodes=episodes, activity=activity, **how)
    closed = sweep(plan, measures=["progress"], folder=folder / "cuts")
    usual = sweep(regions.with_kind(USUAL), measures=["progress"], folder=folder / "usual")
    timed = sweep(triggered(regions), measures=TIMED, folder=folder / "triggers")
    cuts = table_of_cuts(closed, rl.probe(agent, plan, activity, seed=seed))
    ranks = ranking(cuts, seed)
    asked = rl.Episodes(episodes, seed, tuple(conditions), ONSET + (60 if quick else FOLLOW))
    apart = drift(agent, rl.Plan([NUDGE]) + regions, activity, asked, onset=ONSET)
    drifts = table_of_drift(apart, seed)
    rows = overall(timed.effects())
    rows = rows.assign(harm=harm(rows))
    rows[["region", "when"]] = rows["lesion"].str.split("@", expand=True).to_numpy()
    time = share_of_time(agent, rl.Episodes(episodes, **how))
    sides = left_against_right(timed, list(rows["region"].unique()), seed)
    at_zero = loss_of(overall(usual.effects()))
    text = [tell_direct(cuts, ranks, at_zero), tell_drift(drifts), tell_triggers(rows, sides, time)]
    tables = {"cuts": cuts, "ranks": ranks, "drift": drifts, "triggers": rows, "sides": sides}
    figures = {"open-loop": answer(cuts, rows, time), "drift": curves(apart)}
    return Answer("\n\n".join(text), figures, tables)


def triggered(regions: rl.Plan) -> rl.Plan:
    """Every region cut under each of the trigger conditions, and always."""
    return rl.Plan(
        x.model_copy(update={"name": f"{x.name}@{name}", "when": when})
        for x in regions
        if x.size
        for name, when in {**TRIGGERS, ALWAYS: None}.items()
    )


def share_of_time(agent: rl.Policy, episodes: rl.Episodes) -> Mapping[str, float]:
    """For how much of the intact robot's time each trigger condition holds."""
    bend = record(agent, ["bend"], episodes).moments()["bend"]
    left, right = float((bend > BEND).mean()), float((bend < -BEND).mean())
    return {"left": left, "right": right, "straight": 1 - left - right, ALWAYS: 1.0}


def table_of_cuts(run: rl.Map, probed: pd.DataFrame) -> pd.DataFrame:
    """Open loop beside closed loop: a row for each cut."""
    rows = overall(run.effects(), controls=True)
    rows = rows.assign(loss=loss_of(rows).to_numpy())
    rows = rows[["lesion", "group", "units", "loss"]].merge(probed, on="lesion")
    return rows.assign(site=rows["lesion"].str.partition("/")[0])


def loss_of(rows: pd.DataFrame) -> pd.Series:
    """The share of the intact progress that each lesion costs."""
    return (1 - rows["lesioned"] / rows["intact"]).set_axis(rows["lesion"])


def ranking(cuts: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Spearman's correlation of loss with what a probe says, in each layer."""
    rng = np.random.default_rng(seed)
    table = []
    for site, part in cuts.groupby("site"):
        draws = rng.integers(len(part), size=(stats.RESAMPLES, len(part)))
        loss = part["loss"].to_numpy()
        for what in ("direct", "off_manifold"):
            foretells = part[what].to_numpy()
            ends = stats.interval(stats.spearman(foretells[draws], loss[draws]))
            table.append((site, what, float(stats.spearman(foretells, loss)), *ends, len(part)))
    return pd.DataFrame(table, columns=["site", "what", "rho", "ci_low", "ci_high", "cuts"])


def table_of_drift(apart: Drift, seed: int) -> pd.DataFrame:
    """The drift of each region: beyond what the open loop shows, and beyond that of a nudge."""
    closed, shown = (stats.finite_mean(size(part)) for part in (apart.closed, apart.open))  # (L, E)
    table = apart.table(seed)
    for name, differences in (("added", closed - shown), ("excess", closed - closed[0])):
        low, high = stats.mean_intervals(differences.T, np.random.default_rng(seed))
        mean = stats.finite_mean(differences, 1)
        table = table.assign(**{name: mean, f"{name}_low": low, f"{name}_high": high})
    return table


def left_against_right(run: rl.Map, regions: list[str], seed: int) -> pd.DataFrame:
    """Each region cut in left bends only against in right bends only, episode by episode."""
    wide = run.table().pivot(index="episode", columns="lesion", values=list(TIMED)).astype(float)
    table = pd.MultiIndex.from_product([TIMED, regions], names=["measure", "region"])
    left, right = (
        np.stack([wide[m, f"{r}@{side}"] for m, r in table], 1) for side in ("left", "right")
    )
    apart = left - right
    unpaired = ~np.isfinite(apart)  # a robot crashed before its first such bend
    left[unpaired] = right[unpaired] = apart[unpaired] = np.nan
    low, high = stats.mean_intervals(apart, np.random.default_rng(seed))
    p = stats.sign_flip_p(apart, np.random.default_rng(seed))
    means = {"left": left, "right": right, "difference": apart}
    rows = table.to_frame(False).assign(**{k: stats.finite_mean(x) for k, x in means.items()})
    return rows.assign(ci_low=low, ci_high=high, p=p, q=stats.benjamini_hochberg(p))
