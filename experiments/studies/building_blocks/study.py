"""What activates each part of a lap robot's network, what does it do then, what does its loss do?

Question: Olah et al. 2018 ("The Building Blocks of Interpretability", Google) look at units, groups
and layers at once: what excites them, and what they contribute to. They do not cut. Does what a
part contributes tell what its loss does?

Protocol: same class as theirs, not a replication (a robot's policy instead of an image classifier).
The zoo's lap agent. Groups: non-negative factors of each layer's activity. What activates
a part: the visited moments at which it is most active, filmed, and activation maximisation held
near the visited observations. What it does then: conductance from each lidar ray through the part
to each wheel, against the mean visited observation, at those moments. What its loss does: units
held at their means, the same baseline; 12 paired episodes of every layer, group and unit; the parts
that matter most are chosen there and measured again on 24 fresh episodes, beside random cuts of the
groups' sizes.

Expected picture: a group that is active in left bends speeds the right wheel up, and without it the
robot turns left less; over all units, the more steering passes through one, the more its loss hurts
turning. A correlation that is not clear (q over all of them) says which one could have been found.
About 3 minutes on 2 cores.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import rl_ablation as rl
from agents.zoo import find_agent
from experiments.studies.building_blocks import words
from experiments.studies.building_blocks.blocks import Block, is_attribution_a_guide, losses
from experiments.studies.building_blocks.figures import atlas, guide_figure, over_time_figure
from experiments.studies.registry import DRIVING, Answer
from rl_ablation.analysis import top_states as states
from rl_ablation.analysis.attribution import paths, through_groups
from rl_ablation.analysis.maximisation import maximise
from rl_ablation.analysis.top_states import Direction, top_states, unit_direction
from rl_ablation.groupings.factors import factorise, factors
from rl_ablation.measures.laps import BEND
from rl_ablation.rollouts.activity import Activity
from rl_ablation.rollouts.episodes import REFERENCE
from rl_ablation.rollouts.recording import Recording, record
from rl_ablation.rollouts.rollout import SITE

BEHAVIOURS = (*DRIVING, "crash")
KIND = "mean"  # of cuts
MOST_ACTIVE = 0.05  # share of the visited moments at which a part counts as most active
STATES = 200  # moments that an attribution is averaged over


@dataclass(frozen=True)
class Size:
    """How much is run."""

    factors: int = 6
    visited: int = 12  # episodes
    episodes: int = 12
    confirmed: int = 24
    horizon: int = 400
    shown: int = 4  # groups in the picture
    pictures: int = 2
    draws: int = 20
    seconds: float = 12.0
    conditions: tuple[str, ...] = (
        "bends/ccw", "bends/cw", "ring/ccw", "ring/cw", "random/ccw", "random/cw",
    )  # fmt: skip


QUICK = Size(2, 2, 2, 4, 80, 2, 1, 3, 4.0, ("bends/ccw", "bends/cw"))


@dataclass(frozen=True, eq=False)
class Lab:
    """What every part is looked at with."""

    agent: rl.Policy
    activity: Activity  # the mean visited input is what everything is attributed against
    visits: Recording
    size: Size

    def direction(self, part: rl.Lesion) -> Direction:
        """What counts as its activity: a unit's own, a factor's, a layer's main direction."""
        ((site, units),) = part.cut.items()
        if part.group == "singles":
            return unit_direction(site, units[0], self.agent.sites[site])
        if part.group != "factors":
            return states.group_direction(part, self.activity[site])
        factor = int(part.name.rpartition("-")[2])
        pattern = factorise(self.activity[site], self.size.factors).patterns[factor]
        own = np.isin(np.arange(len(pattern)), units)
        return Direction(part.name, site, np.where(own, pattern, 0.0))


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Look at units, groups and layers at once, then cut them."""
    size = QUICK if quick else Size()
    agent = find_agent("lap")
    how: dict[str, Any] = {"conditions": size.conditions, "seed": seed, "horizon": size.horizon}
    activity = rl.record_activity(agent, **how)
    signals = [*(SITE + site for site in agent.sites), "bend"]
    visits = record(agent, signals, rl.Episodes(size.visited, stream=REFERENCE, **how))
    lab = Lab(agent, activity, visits, size)
    groups = factors(agent, size.factors, activity)
    plan = (rl.layers(agent) + groups + rl.singles(agent)).with_kind(KIND)
    run = rl.sweep(agent, plan, episodes=size.episodes, measures=BEHAVIOURS, activity=activity,
                   folder=folder / "chosen-on", **how)  # fmt: skip
    chosen = matters_most(run, size.shown)
    cuts = chosen + rl.random_groups(agent, chosen, size.draws, seed)
    again = rl.sweep(agent, cuts, episodes=size.confirmed, measures=BEHAVIOURS,
                     folder=folder / "measured-on", **{**how, "seed": seed + 1})  # fmt: skip
    blocks, through = look_at(lab, chosen, again), steering_over_time(lab, groups)
    units = unit_table(lab, run, groups)
    guide, points = is_attribution_a_guide(agent, activity, losses(run), groups, seed)
    text = [*map(words.tell_block, blocks), words.tell_guide(guide, points)]
    text += [words.tell_over_time(through), words.tell_maximisation(units)]
    figures = {"atlas": atlas(blocks, agent, activity["obs"].mean, size.confirmed)}
    figures["over_time"] = over_time_figure(through, visits.trace.dt)
    figures["guide"] = guide_figure(points, guide)
    tables = {"units": units, "guide": guide, "guide_points": points}
    tables["blocks"] = pd.concat([block.loss for block in blocks])
    return Answer("\n\n".join(text), figures, tables)


def matters_most(run: rl.Map, shown: int) -> rl.Plan:
    """The layer, the groups and the unit whose loss harms the behaviours most, the worst first."""
    rows = losses(run)
    total = rows.assign(harm=rows["harm"].clip(upper=0)).groupby("lesion")["harm"].sum()
    taken: list[rl.Lesion] = []
    for group, most in (("layers", 1), ("factors", shown), ("singles", 1)):
        parts = [x for x in run.plan if x.group == group]
        taken += sorted(parts, key=lambda x: float(total[x.name]))[:most]
    return rl.Plan(taken)


def look_at(lab: Lab, chosen: rl.Plan, run: rl.Map) -> list[Block]:
    """When each part is active, what it contributes then, what its loss does."""
    parts, rows, obs = chosen.lesions[1:], losses(run), lab.activity["obs"]
    directions = [lab.direction(part) for part in parts]
    maximised = maximise(lab.agent, directions, obs.samples)
    tops = [top_states(x, lab.visits, lab.size.pictures) for x in directions]
    look = {"width": 320, "height": 240, "camera": "chase"}
    shots = iter(states.frames(lab.agent, lab.visits, [m for top in tops for m in top], **look))
    trace, bend = lab.visits.trace, lab.visits.trace["bend"]
    blocks = []
    for part, direction, best, top in zip(parts, directions, maximised, tops, strict=True):
        active = direction.along(trace[f"@{direction.site}"])
        level = np.quantile(active[trace.alive], 1 - MOST_ACTIVE)
        steps, episodes = np.nonzero(trace.alive & (active >= level))
        some = np.linspace(0, len(steps) - 1, min(STATES, len(steps))).astype(int)
        inputs = trace["@obs"][steps[some], episodes[some]]
        push = paths(lab.agent, inputs, rl.Plan([part]), obs.mean)[:, 0]
        place = where(bend[steps, episodes], bend[trace.alive])
        loss = rows[rows["lesion"] == part.name]
        null = rows[rows["lesion"].str.startswith(f"{direction.site}/random-{part.size}-")]
        shown, mean, wheels = [next(shots) for _ in top], push.mean(0), push.sum(1)
        blocks.append(Block(part, shown, best, mean, wheels, place, loss, null))
    return blocks


def where(bend: np.ndarray, usual: np.ndarray) -> str:
    """Where moments lie more than others do, from the bend at both."""
    left, right = (np.array([(s * b > BEND).mean() for b in (bend, usual)]) for s in (1, -1))
    shares = {"left bends": left, "right bends": right, "straights": 1 - left - right}
    name, (own, rest) = max(shares.items(), key=lambda item: item[1][0] - item[1][1])
    return f"{name}: {own:.0%} (of all moments {rest:.0%})"


def steering_over_time(lab: Lab, groups: rl.Plan) -> pd.DataFrame:
    """How much steering passes through each group of the last hidden layer along an episode.

    A row for each step: ``bend``, 1/m, then a column for each group: right minus left wheel against
    the mean observation, above 0 turns left. Together they are all the steering.
    """
    trace, last = lab.visits.trace, list(lab.agent.network.sizes)[-1]
    steps = np.flatnonzero(trace.alive[:, 0])[: round(lab.size.seconds / trace.dt)]
    parts = rl.Plan(g for g in groups if last in g.cut)
    through = through_groups(lab.agent, trace["@obs"][steps, 0], parts, lab.activity["obs"].mean)
    steering = pd.DataFrame(np.diff(through)[..., 0], columns=parts.names[1:])
    return pd.DataFrame({"bend": trace["bend"][steps, 0]}).join(steering)


def unit_table(lab: Lab, run: rl.Map, groups: rl.Plan) -> pd.DataFrame:
    """A row for each hidden unit: its group, what activates it most, what its loss does."""
    sizes, bend = lab.agent.network.sizes, lab.visits.trace["bend"]
    owner = {f"{s}/{u}": g.name for g in groups for s, us in g.cut.items() for u in us}
    directions = [unit_direction(s, u, count) for s, count in sizes.items() for u in range(count)]
    maximised = maximise(lab.agent, directions, lab.activity["obs"].samples)
    table = []
    for direction, best in zip(directions, maximised, strict=True):
        (top,) = top_states(direction, lab.visits, 1)
        job = lab.visits.jobs[top.episode]
        table.append({
            "unit": direction.name, "group": owner.get(direction.name, ""), "top_value": top.value,
            "top_seed": job.seed, "top_condition": job.condition, "top_step": top.step,
            "top_bend": float(bend[top.step, top.episode]),
            "optimised_value": best.value, "optimised_percentile": best.percentile,
        })  # fmt: skip
    rows = losses(run)
    wide = rows.pivot(index="lesion", columns="measure", values=["delta", "ci_low", "ci_high"])
    wide.columns = [" ".join(reversed(pair)) for pair in wide.columns]
    return pd.DataFrame(table).merge(wide, left_on="unit", right_index=True, how="left")
