"""Who tells whom, and do the weights foretell it?

What one part of a network tells one part of the next is cut: the receiver hears the sender at its
mean, or at another visited moment; all others hear it whole. Parts are functional clusters, 6 in
each hidden layer, the lap robot's sensors one by one, the quadruped's in 6 clusters, and the
motors. The published Go1 of `real-robots` is asked as the quadruped where its file is in
``runs/robots``.

1. All connections are cut, held at the mean and resampled, on the same paired episodes, without a
   selection before. A connection matters if a behaviour changes clearly under both kinds (q < 5 %
   over everything tried).
2. Rules foretell from the intact network alone how much each connection matters
   (`rl_ablation.analysis.connections`): the norm of its weights; what the sender adds to the
   receivers' inputs; that times the gradient of the actions; conductance, the integral of it along
   the way from the mean input. Beside them stands what the cut does to the actions in the states
   that the intact robot visits (`probe`), for which it must be made. Each is ranked against what
   the cut at the mean does to behaviour: the root mean square, over behaviours, of the mean changes
   as shares of the `reference_effect`. Spearman's correlation within each pair of layers.
   Connections share senders and receivers, so the control lets whole senders and whole receivers
   change places, and the interval draws both (`ranks`). How well effects in half of the episodes
   rank those in the other says how good a rule could look at best.
3. The same in the lap robot divided at random into parts of equal size, and in an untrained network
   that drives as it can.

Cutting one connection in a loop may change later inputs of all others, so no rule is exact.
Expected picture: weights times activity foretells more than weights, and what attribution sends
through a connection more than either. About 4 minutes on 2 quiet cores, and longer with the Go1;
``rl-ablation study connections``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import rl_ablation as rl
from agents.recipes import RECIPES
from agents.train import untrained
from agents.zoo import find_agent
from experiments.studies.connections.figures import ranking
from experiments.studies.connections.words import tell
from experiments.studies.real_robots.study import walkers
from experiments.studies.registry import Answer, drawn
from rl_ablation.analysis.connections import RULES, contrast, foretold, ranks
from rl_ablation.groupings.connections import connected, connections
from rl_ablation.groupings.controls import equal_parts
from rl_ablation.lesions.variants import variants
from rl_ablation.mapping.claims import changes
from rl_ablation.mapping.evidence import differences, reference_effect
from rl_ablation.reports.figures_connections import connections as matrices
from rl_ablation.reports.figures_connections import ways
from rl_ablation.stats import LEVEL, finite_mean, spearman

KINDS = ("mean", "resample")
PROBE = "actions at once"
ASKED = (*RULES, PROBE)
PARTS = 6
HALVINGS = 50
LAP = ("forward_speed.alive", "left_turning.alive", "right_turning.alive", "off_centre.alive",
       "progress", "survival")  # fmt: skip
LEGS = ("vx_error", "vy_error", "yaw_error", "uprightness", "power", "survival")


@dataclass(frozen=True, eq=False)
class Case:
    """A network and what was found of its connections: a row each in ``cuts``."""

    name: str
    run: rl.Map
    cuts: pd.DataFrame


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Run it; see the module."""
    lap = find_agent("lap")
    k = 2 if quick else PARTS
    how: dict[str, Any] = {"seed": seed, "episodes": 6 if quick else 18}
    how |= {"horizon": 60 if quick else 240}
    naive = untrained(RECIPES["lap"], seed, lap)
    cases = [
        measured("lap robot", lap, folder / "lap", k, KINDS, how),
        measured("lap robot, random parts", lap, folder / "random", k, KINDS[:1], how, random=True),
        measured("untrained lap robot", naive, folder / "untrained", k, KINDS[:1], how),
    ]
    fewer = {**how, "episodes": 16, "horizon": 150}
    legs = {} if quick else walkers()
    cases += [measured(x, find(), folder / x, k, KINDS, fewer) for x, find in legs.items()]
    found = pd.concat([ranked(case, seed) for case in cases], ignore_index=True)
    pairs = [(case.name, *pair) for case in cases for pair in (("conductance", "weights"),
             ("weights × activity", "weights"), ("conductance", "weights × activity"))]  # fmt: skip
    cuts = {case.name: case.cuts for case in cases}
    apart = pd.DataFrame(
        {"network": name, "rule": a, "than": b, **contrast(cuts[name], "effect", (a, b), seed)}
        for name, a, b in pairs
    )
    figures = {"lap": matrices(cases[0].run), "foretold": ranking(found)}
    figures |= {"lap-ways": ways(cases[0].run)}
    for case in cases[len(cases) - len(legs) :]:
        figures |= {case.name: matrices(case.run), f"{case.name}-ways": ways(case.run)}
    every = pd.concat([c.cuts.assign(network=c.name) for c in cases], ignore_index=True)
    every = every.drop(columns=list(every.filter(like="half-")))
    tables = {"connections": every, "ranks": found, "contrasts": apart}
    return Answer(tell(every, found, apart), drawn(figures), tables)


def measured(
    name: str, agent: rl.Policy, folder: Path, k: int, kinds: tuple[str, ...],
    how: dict[str, Any], random: bool = False,
) -> Case:  # fmt: skip
    """Cut every connection of a network, and foretell what each cut does."""
    steps = {key: how[key] for key in ("seed", "horizon")}
    activity = rl.record_activity(agent, **steps)
    plan = connections(agent, k, activity)
    if random:
        ends = (rl.singles(agent, [site]) for site in ("obs", "action"))
        parts = equal_parts(agent, k, seed=steps["seed"])
        plan = connected(agent, sum(ends, start=parts))
    measures = LAP if "Lap" in (agent.card.env_id or "") else LEGS
    run = rl.sweep(
        agent, variants(plan, kinds), folder=folder, measures=measures, activity=activity, **how
    )
    cuts = foretold(agent, plan, activity).merge(sizes(run), on="lesion")
    direct = rl.probe(agent, plan.with_kind(kinds[0]), activity, seed=steps["seed"])
    cuts = cuts.merge(direct[["lesion", "direct"]].rename(columns={"direct": PROBE}), on="lesion")
    rows = changes(run)
    clear = set(rows[rows["q"] < LEVEL]["lesion"])
    return Case(name, run, cuts.assign(clear=cuts["lesion"].isin(clear)))


def sizes(run: rl.Map) -> pd.DataFrame:
    """How much each connection matters in the first kind, ``effect``; whether it is ``clear`` in
    that kind alone; and ``half-0``, …: the effect in halves of the episodes, two by two."""
    names = [x.name for x in run.plan if x.size and "~" not in x.name]
    rows = run.own_effects()
    rows = rows[(rows["condition"] == "all") & rows["lesion"].isin(names)]
    unit = reference_effect(rows)
    apart = differences(run.behaviour(), run.spec.measures)
    share = np.stack([apart[m][names].to_numpy(float) / unit[m] for m in run.spec.measures])
    clear = rows[rows["q"] < LEVEL]["lesion"]
    found = {"lesion": names, "clear in one": np.isin(names, clear), "effect": _size(share)}
    episodes, rng = share.shape[1], np.random.default_rng(0)
    for k in range(HALVINGS):
        order = rng.permutation(episodes)
        for side, part in enumerate(np.array_split(order, 2)):
            found[f"half-{2 * k + side}"] = _size(share[:, part])
    return pd.DataFrame(found)


def _size(share: np.ndarray) -> np.ndarray:
    """Root mean square, over measures, of the mean changes (M, episodes, connections)."""
    return np.asarray(np.sqrt(np.nanmean(finite_mean(share, 1) ** 2, 0)))


def ranked(case: Case, seed: int) -> pd.DataFrame:
    """The rank correlations of every rule, with the ``ceiling`` that noise sets.

    With r the correlation of random halves of the episodes, averaged over some halvings, effects of
    the whole repeat at 2r/(1 + r) (Spearman 1910, Brown 1910), and a rule without error would show
    the root of that.
    """
    found = ranks(case.cuts, "effect", ASKED, seed=seed)
    best = {}
    for place, part in case.cuts.groupby(["site", "to"], sort=False):
        halves = part.filter(like="half-").to_numpy().T
        r = max(0.0, float(np.nanmean(spearman(halves[::2], halves[1::2]))))
        best[place] = np.sqrt(2 * r / (1 + r))
    ceiling = [best[place] for place in zip(found["site"], found["to"], strict=True)]
    return found.assign(network=case.name, ceiling=ceiling)
