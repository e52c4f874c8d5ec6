"""Where in its network does a lap robot keep forward motion, turning and centring?

Lillian, Meyes, Meisen 2018 ("Ablation of a Robot's Brain", RWTH Aachen) cut groups of units out of
a network that drives a robot around a track, found forward motion controlled locally, and some cuts
that improve an ability. Same class of protocol, not a replication (their groups and robot are not
public).

Protocol: the zoo's lap agent and 11 more trainings of its recipe. Cuts of whole layers and of
functional clusters (units active together, 6 a layer), in two stages: a few paired episodes select,
24 fresh ones give the numbers, over ring, bends and random tracks, both ways. There every cut is
made in three kinds, resample, mean and zero, and what is told holds under the first two; what only
zero shows is told apart. Behaviours are taken while still driving, so that a crash is not mistaken
for lost speed, and laps and crashes besides. A behaviour is called *local* if one region, the worst
of the first stage, does at least half of all harm to it in the second, and more than the worst part
of random divisions of the layers into the same sizes (up to 100, further networks up to 40); the
harms are of regions cut one at a time.

The zoo's ``lap-memory`` is mapped beside them: it sees the wall straight ahead only and has to
remember the rest, in an LSTM. Of its memory the output, the hidden state and the cell state are cut
apart.

Expected picture, if functions are local: dark bars beyond the dotted line. If not: light or short
ones. About 8 minutes on 2 quiet cores, and 7 more where the trainings are not there yet;
``rl-ablation study lap-regions``.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from agents.recipes import RECIPES
from agents.zoo import find_agent
from experiments.studies.regions import Size, film_still, map_regions, tell, tell_memory
from experiments.studies.regions_figure import shares
from experiments.studies.registry import DRIVING, Answer, all_trained, drawn
from rl_ablation.analysis.localisation import LOCAL, region_locality
from rl_ablation.measures.registry import MEASURES as ALL
from rl_ablation.reports.figures import heatmap, intervals, network

MEASURES = ("progress", *DRIVING, "crash")
FULL, FURTHER = Size(k=6), Size(k=6, controls=40)
QUICK = Size(k=2, discovery=12, episodes=12, controls=2, horizon=160)
SEEDS = range(12)
MEMORY = (
    "**The robot that remembers** (`lap-memory` of the zoo) has one lidar beam, straight ahead, "
    "and an LSTM. Its map, likewise:"
)


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Map the robot and its siblings, and find where their behaviours are."""
    agent = find_agent("lap")
    run = map_regions(agent, folder / "lap", QUICK if quick else FULL, seed)
    where = {f"zoo agent (training {agent.card.seed})": region_locality(run, MEASURES, seed)}
    further = [] if quick else [s for s in SEEDS if s != agent.card.seed]
    others = all_trained([(RECIPES["lap"], k) for k in further])
    for k, sibling in zip(further, others, strict=True):
        other = map_regions(sibling, folder / f"lap-{k}", FURTHER, seed)
        where[f"training {k}"] = region_locality(other, MEASURES, seed)
    text = tell(run, MEASURES, next(iter(where.values())))
    figures = drawn({"shares": shares(where), "heatmap": heatmap(run), "network": network(run)})
    figures["intervals"] = intervals(run, MEASURES)
    locality = pd.concat([t.assign(network=n) for n, t in where.items()])
    tables = {"effects": run.effects(), "locality": locality}
    if quick:
        return Answer(text, figures, tables)
    still = film_still(run)
    text += f"\n\n{tell_networks(where)}"
    remembers = map_regions(find_agent("lap-memory"), folder / "lap-memory", FURTHER, seed)
    its = region_locality(remembers, MEASURES, seed)
    text += f"\n\n{MEMORY}\n\n{tell(remembers, MEASURES, its)}\n\n"
    text += tell_memory(remembers, MEASURES)
    figures |= drawn(
        {"memory_shares": shares({"lap-memory": its}), "memory_network": network(remembers)}
    )
    tables |= {"memory_effects": remembers.effects(), "memory_locality": its}
    return Answer(text, figures, tables, {} if still is None else {"film": still})


def tell_networks(where: dict[str, pd.DataFrame]) -> str:
    """In how many of the networks each behaviour is local."""
    found = []
    for name in MEASURES:
        rows = [t[t["measure"] == name].iloc[0] for t in where.values()]
        local = sum(row["verdict"] == LOCAL for row in rows)
        some = [f"{row['share']:.0%}" for row in rows if row["share"] == row["share"]]
        found.append(f"{ALL[name].label} in {local} (shares {', '.join(some) or 'none'})")
    return (
        f"**Of {len(where)} networks** trained alike, each divided by its own clusters, these "
        f"behaviours are local in so many: {'; '.join(found)}. By chance one map in twenty shows "
        "any local behaviour."
    )
