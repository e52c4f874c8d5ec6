"""Which unit groups of legged robots carry forward motion, turning and balance?

The question of `study` (Lillian, Meyes, Meisen 2018), of robots that can fall: is
there a region for going forward, one for turning, one for staying upright, or does each cut only
make a dead robot (Jonas & Kording 2017)? Same class of protocol, not a replication.

Protocol: the zoo's quadruped under its battery of commands (stand, forward, backward, sidesteps,
turns, a push), and its cheetah. Cuts of layers and functional clusters, 6 a layer; discovery on a
few paired episodes, confirmation on fresh ones (quadruped 64, 8 a command; cheetah 24) as resample,
mean and zero; up to 40 random divisions of the layers into the same sizes. The quadruped's
behaviours are each command's own: how far it is off the commanded speed or turn, how it drifts when
it shall stand, how fast it recovers from a push.

Expected picture, if functions are local: dark bars beyond the dotted line, and clusters that hurt
one command's tracking and not the others'. About 7 minutes on 2 quiet cores;
``rl-ablation study locomotion-regions``.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from agents.zoo import find_agent
from experiments.studies.regions import Size, film_still, map_regions, tell
from experiments.studies.regions_figure import shares
from experiments.studies.registry import Answer, drawn
from rl_ablation.analysis.localisation import region_locality
from rl_ablation.mapping.claims import overall
from rl_ablation.reports.figures import by_condition, heatmap, intervals, network

MEASURES = {
    "quadruped": (
        "stand: drift", "forward: vx_error", "backward: vx_error", "left: vy_error",
        "right: vy_error", "turn_left: yaw_error", "turn_right: yaw_error", "push: push_recovery",
        "fall",
    ),
    "cheetah": ("forward_speed", "uprightness", "height", "power", "gait_frequency"),
}  # fmt: skip
FULL = {
    "quadruped": Size(k=6, discovery=16, episodes=64, controls=40),
    "cheetah": Size(k=6, controls=40),
}
QUICK = {"quadruped": Size(k=2, discovery=8, episodes=8, controls=2, horizon=120)}


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Map each robot, and find where its behaviours are."""
    texts: list[str] = []
    figures: dict[str, Figure] = {}
    where, tables = dict[str, pd.DataFrame](), dict[str, pd.DataFrame]()
    for name, size in (QUICK if quick else FULL).items():
        run = map_regions(find_agent(name), folder / name, size, seed)
        where[name] = region_locality(run, MEASURES[name], seed)
        regions = overall(run.effects()).query("group == 'clusters'").drop_duplicates("lesion")
        kinds = regions["class"].value_counts()
        classes = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
        head = f"**{name}** (clusters by class: {classes})"
        texts.append(f"{head}\n\n{tell(run, MEASURES[name], where[name])}")
        shown = by_condition(run) or heatmap(run)
        figures |= drawn({f"{name}_heatmap": shown, f"{name}_network": network(run)})
        figures[f"{name}_intervals"] = intervals(run, MEASURES[name])
        tables[f"{name}_effects"] = run.effects()
        if not quick:
            film_still(run)
    tables["locality"] = pd.concat([t.assign(network=n) for n, t in where.items()])
    return Answer("\n\n".join(texts), {"shares": shares(where), **figures}, tables)
