"""Where in its network does a lap robot keep forward motion, turning and centring?

Question: Lillian, Meyes, Meisen 2018 ("Ablation of a Robot's Brain", RWTH Aachen) cut groups of
units out of a network that drives a robot around a track and found forward motion controlled
locally, and some cuts that improve an ability. Is it so in this lab's robot?

Protocol: same class as theirs, not a replication (their groups and robot are not public). The zoo's
lap agent; zero lesions of whole layers and of functional clusters (units active together);
24 paired episodes over ring, bends and random tracks, both ways; behaviours while still driving, so
that a crash is not mistaken for lost speed; random cuts of the same sizes as controls.

Expected picture, if functions are local: a heatmap in which some rows are dark in one behaviour
only. About 2 minutes on 2 cores; ``python -m experiments.lap_regions``.
"""

from __future__ import annotations

from pathlib import Path

import tyro

from experiments.regions import finish, map_regions

MEASURES = (
    "forward_speed.alive",
    "left_turning.alive",
    "right_turning.alive",
    "off_centre.alive",
    "crash",
)


def main(
    agent: str = "lap",
    clusters: int = 4,
    draws: int = 20,
    episodes: int = 24,
    seed: int = 0,
    out: Path | None = None,
    quick: bool = False,
    docs: bool = False,
) -> None:
    """Map the lap robot's regions against random cuts; print the table and the findings.

    Args:
        agent: Zoo agent or path.
        clusters: Functional clusters in each layer.
        draws: Random cuts of each cluster's size.
        episodes: Of each lesion.
        seed: Of the map.
        out: Run folder; by default under runs/.
        quick: A small version for tests: 2 clusters, 6 episodes, 3 draws, no films.
        docs: Also copy the pictures into docs/figures.
    """
    run = map_regions(
        agent,
        clusters=2 if quick else clusters,
        draws=3 if quick else draws,
        episodes=6 if quick else episodes,
        seed=seed,
        folder=out,
        films=0 if quick else 2,
        command="python -m experiments.lap_regions",
    )
    finish(run, MEASURES, "lap" if docs else None)


if __name__ == "__main__":
    tyro.cli(main)
