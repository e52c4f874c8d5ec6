"""How much of a cut's harm is direct, and how much is drift to other states? When does it matter?

A cut changes what the robot does in the state at hand, and through that the states to come. And a
robot may need a region all the time, or in left bends only.

Protocol, on the zoo's lap agent with zero cuts of functional clusters (4 a layer):

1. Open loop: the states that the intact robot visits are shown to the damaged network
   (`rl_ablation.probe`); ``direct`` is how far the action moves, in its s.d. Closed loop: the share
   of the intact robot's progress that is lost in 24 paired episodes. Rank correlation (Spearman) of
   the two over clusters and random cuts of their sizes, within a layer, with a percentile bootstrap
   interval over cuts.
2. Drift: each robot is cut 3 s after the start and its actions compared with those of its intact
   twin for 10 s (`rl_ablation.drift`). Robots nudged for one step, by noise of 0.1 s.d. on the
   actions, show how far twins come apart without harm; what a region adds to that has a BCa
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
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from experiments.maps import find_agent
from experiments.open_loop_figures import answer, curves
from experiments.studies import Answer
from rl_ablation.activity import episode_seed, record_activity
from rl_ablation.drift import Drift, drift, mean, size
from rl_ablation.effects import bca_intervals, benjamini_hochberg, sign_flip_p
from rl_ablation.findings import LEVEL, harm, number, overall
from rl_ablation.groupings import clusters, random_groups
from rl_ablation.lesion import INTACT, Lesion, Plan
from rl_ablation.measures import BEND, MEASURES
from rl_ablation.policy import Policy
from rl_ablation.probe import probe
from rl_ablation.rollout import Job, rollout
from rl_ablation.sweep import Run, sweep
from rl_ablation.world import World

GATES = {
    "left": f"bend > {BEND}",
    "right": f"bend < -{BEND}",
    "straight": f"bend >= -{BEND} and bend <= {BEND}",
}
ALWAYS = "always"
GATED = ("left_turning.alive", "right_turning.alive", "forward_speed.alive", "crash")
NUDGE = Lesion(name="nudge", cut={"action": (0, 1)}, kind="noise", strength=0.1, offset=1)
ONSET, FOLLOW = 60, 200  # steps of 50 ms
RESAMPLES = 2000


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Run it; see the module."""
    agent = find_agent("lap")
    world = World(str(agent.card.env_id), 1)
    conditions = world.conditions
    world.close()
    episodes, horizon = (6, 160) if quick else (24, None)
    how: dict[str, Any] = {"conditions": conditions, "seed": seed, "horizon": horizon}
    activity = record_activity(agent, **how)
    found = clusters(agent, 2 if quick else 4, activity)
    regions = Plan(x for x in found if x.name != INTACT and not x.name.endswith("/dead"))
    plan = regions + random_groups(agent, regions, 2 if quick else 10, seed)
    sweeps: dict[str, Any] = {"episodes": episodes, "activity": activity, **how}
    closed = sweep(agent, plan, measures=["progress"], folder=folder / "cuts", **sweeps)
    timed = sweep(agent, gated(regions), measures=GATED, folder=folder / "gates", **sweeps)
    cuts = table_of_cuts(closed, probe(agent, plan, activity, seed=seed))
    ranks = ranking(cuts, seed)
    apart = drift(
        agent, Plan([NUDGE]) + regions, activity, conditions=conditions, episodes=episodes,
        onset=ONSET, steps=60 if quick else FOLLOW, seed=seed,
    )  # fmt: skip
    drifts = table_of_drift(apart, seed)
    rows = overall(timed.effects())
    rows = rows.assign(harm=harm(rows))
    rows[["region", "gate"]] = rows["lesion"].str.split("@", expand=True).to_numpy()
    time = share_of_time(agent, conditions, episodes, horizon, seed)
    sides = left_against_right(timed, list(dict.fromkeys(rows["region"])), seed)
    told = tell_direct(cuts, ranks), tell_drift(drifts), tell_gates(rows, sides, time)
    text = "\n\n".join(told)
    tables = {"cuts": cuts, "ranks": ranks, "drift": drifts, "gates": rows, "sides": sides}
    return Answer(text, {"open-loop": answer(cuts, rows, time), "drift": curves(apart)}, tables)


def gated(regions: Plan) -> Plan:
    """Every region cut under each of the gates, and always."""
    return Plan(
        x.model_copy(update={"name": f"{x.name}@{gate}", "when": when})
        for x in regions
        if x.size
        for gate, when in {**GATES, ALWAYS: None}.items()
    )


def share_of_time(
    agent: Policy, conditions: list[str], episodes: int, horizon: int | None, seed: int
) -> Mapping[str, float]:
    """How much of the intact robot's time each gate is open."""
    world = World(str(agent.card.env_id), episodes)
    jobs = [
        Job(Lesion(name=INTACT), episode_seed(seed, k), conditions[k % len(conditions)])
        for k in range(episodes)
    ]
    trace = rollout(agent, world, jobs, signals=["bend"], horizon=horizon)
    world.close()
    bend = trace["bend"][trace.alive]
    left, right = float((bend > BEND).mean()), float((bend < -BEND).mean())
    return {"left": left, "right": right, "straight": 1 - left - right, ALWAYS: 1.0}


def table_of_cuts(run: Run, probed: pd.DataFrame) -> pd.DataFrame:
    """Open loop beside closed loop: a row for each cut."""
    rows = overall(run.effects(), controls=True)
    rows = rows.assign(loss=1 - rows["lesioned"] / rows["intact"])
    rows = rows[["lesion", "group", "units", "loss"]].merge(probed, on="lesion")
    return rows.assign(site=rows["lesion"].str.partition("/")[0])


def ranking(cuts: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Spearman's correlation of loss with what a probe says, in each layer."""
    rng = np.random.default_rng(seed)
    table = []
    for site, part in cuts.groupby("site"):
        draws = rng.integers(len(part), size=(RESAMPLES, len(part)))
        ranked = part[["direct", "off_manifold", "loss"]].to_numpy()
        for column, what in enumerate(("direct", "off_manifold")):
            drawn = _correlations(ranked[draws, column], ranked[draws, 2])
            low, high = np.nanquantile(drawn, [0.025, 0.975])
            rho = _correlations(ranked[None, :, column], ranked[None, :, 2])[0]
            table.append((site, what, rho, low, high, len(part)))
    return pd.DataFrame(table, columns=["site", "what", "rho", "ci_low", "ci_high", "cuts"])


def _correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each row of ``x`` with that of ``y``."""
    x, y = (stats.rankdata(v, axis=1) for v in (x, y))
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return (x * y).sum(1) / np.sqrt((x**2).sum(1) * (y**2).sum(1))


def table_of_drift(apart: Drift, seed: int) -> pd.DataFrame:
    """The drift of each region: beyond what the open loop shows, and beyond that of a nudge."""
    closed, shown = (mean(size(part), 0) for part in (apart.closed, apart.open))  # (L, E)
    table = apart.table(seed)
    for name, differences in (("added", closed - shown), ("excess", closed - closed[0])):
        low, high = bca_intervals(differences.T, np.random.default_rng(seed))
        columns = {name: mean(differences, 1), f"{name}_low": low, f"{name}_high": high}
        table = table.assign(**columns)
    return table


def left_against_right(run: Run, regions: list[str], seed: int) -> pd.DataFrame:
    """Each region cut in left bends only against in right bends only, episode by episode."""
    wide = run.table().pivot(index="episode", columns="lesion", values=list(GATED)).astype(float)
    table = pd.DataFrame([(m, r) for m in GATED for r in regions], columns=["measure", "region"])
    left, right = (
        np.stack([wide[m, f"{r}@{side}"] for m in GATED for r in regions], 1)
        for side in ("left", "right")
    )
    low, high = bca_intervals(left - right, np.random.default_rng(seed))
    p = sign_flip_p(left - right, np.random.default_rng(seed))
    return table.assign(
        left=mean(left, 0), right=mean(right, 0), difference=mean(left - right, 0),
        ci_low=low, ci_high=high, p=p, q=benjamini_hochberg(p),
    )  # fmt: skip


def tell_direct(cuts: pd.DataFrame, ranks: pd.DataFrame) -> str:
    """What the open loop says of the closed one."""
    worst = cuts["took"].max()
    took = "Every cut took" if worst == 0 else f"NOT every cut took (largest error {worst:.2g})"
    text = f"{took}: the values at {len(cuts)} cut groups were compared with their targets. "
    for row in ranks.to_dict("records"):
        if row["what"] != "direct":
            continue
        clear = row["ci_low"] > 0 or row["ci_high"] < 0
        way = ("rises" if row["rho"] > 0 else "falls") if clear else "does not clearly change"
        text += (
            f"In {row['site']} the loss of progress {way} with the direct change of the action "
            f"(Spearman {_ci(row['rho'], row['ci_low'], row['ci_high'])}, {row['cuts']} cuts). "
        )
    odd = cuts[cuts["group"] != "random"].sort_values("direct", kind="stable")
    least, most = odd.iloc[0], odd.iloc[-1]
    return text + (
        f"The smallest direct change, {number(least['direct'])} s.d. in {least['lesion']}, costs "
        f"{_percent(least['loss'])} of the progress; the largest, {number(most['direct'])} s.d. in "
        f"{most['lesion']}, {_percent(most['loss'])}."
    )


def tell_drift(table: pd.DataFrame) -> str:
    """What is added by being elsewhere."""
    nudge, rows = table.iloc[0], table.iloc[1:]

    def told(part: pd.DataFrame, column: str, otherwise: str = "no region") -> str:
        """Regions with a number each."""
        names = [f"{r['lesion']} ({number(r[column])})" for r in part.to_dict("records")]
        return ", ".join(names) or otherwise

    share = rows["drift_share"]
    return (
        "Shown the intact robot's own states, the damaged networks' actions differ by "
        f"{number(rows['open'].min())} to {number(rows['open'].max())} s.d.; in the loop, from "
        f"their intact twins', by {number(rows['closed'].min())} to "
        f"{number(rows['closed'].max())}. The loop adds to the difference in "
        f"{told(rows[rows['added_low'] > 0], 'added')}, and takes from it in "
        f"{told(rows[rows['added_high'] < 0], 'added')} (change in s.d., 95 % interval clear of 0)."
        f" {_percent(share.min())} to {_percent(share.max())} of the squared difference, by region,"
        " goes with being in another state. That need be no harm: a robot that was nudged for one "
        f"step comes to differ from its twin by {number(nudge['closed'])} s.d.; clearly more than "
        f"that do {told(rows[rows['excess_low'] > 0], 'excess')}, clearly less "
        f"{told(rows[rows['excess_high'] < 0], 'excess')}."
    )


def tell_gates(rows: pd.DataFrame, sides: pd.DataFrame, time: Mapping[str, float]) -> str:
    """When each behaviour needs the regions."""
    open_ = ", ".join(f"{gate} {_percent(time[gate])}" for gate in GATES)
    lines = [
        f"Cut only at times (share of the intact robot's time: {open_}), of "
        f"{rows['region'].nunique()} regions make worse (q < {LEVEL:.0%}):"
    ]
    hurt = rows[(rows["q"] < LEVEL) & (rows["harm"] < 0)]
    for name in GATED:
        counts = hurt[hurt["measure"] == name]["gate"].value_counts()
        told = ", ".join(f"{gate} {counts.get(gate, 0)}" for gate in (*GATES, ALWAYS))
        clear = sides[(sides["measure"] == name) & (sides["q"] < LEVEL)]
        contrast = "the side does not clearly matter"
        if len(clear):
            most = clear.loc[clear["difference"].abs().idxmax()]
            contrast = (
                f"the side matters for {len(clear)}, most for {most['region']}: "
                f"{number(most['left'])} if cut in left bends, {number(most['right'])} in right "
                f"ones (difference {_ci(most['difference'], most['ci_low'], most['ci_high'])})"
            )
        unit = f", {MEASURES[name].unit}" if MEASURES[name].unit else ""
        lines.append(f"- {MEASURES[name].label}{unit}: {told}; {contrast}.")
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{round(100 * share) + 0:d} %".replace("-", "−")


def _ci(value: float, low: float, high: float) -> str:
    return f"{number(value)}, 95 % {number(low)} to {number(high)}"
