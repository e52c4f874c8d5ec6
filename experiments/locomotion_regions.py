"""Which unit groups of legged robots carry forward motion, turning and balance?

Question: the same as in `experiments.lap_regions`, of robots that can fall: is there a region for
going forward, one for turning, one for staying upright, or does each cut only make a dead robot
(Jonas & Kording 2017)? So behaviours are measured while the robot is still up.

Protocol: the zoo's quadruped under its battery of commands (stand, forward, backward, sidesteps,
turns, a push), and its cheetah; zero lesions of layers and functional clusters; 24 paired episodes;
random cuts of the same sizes as controls.

Expected picture, if functions are local: clusters that hurt one command's tracking and not the
others'. About 6 minutes on 2 cores; ``python -m experiments.locomotion_regions``.
"""

from __future__ import annotations

from pathlib import Path

import tyro

from experiments.regions import finish, map_regions

MEASURES = {
    "quadruped": (
        "vx_error.alive", "vy_error.alive", "yaw_error.alive", "uprightness.alive", "fall",
        "cost_of_transport",
    ),
    "cheetah": ("forward_speed", "uprightness", "height", "power", "gait_frequency"),
}  # fmt: skip


def main(
    agents: tuple[str, ...] = ("quadruped", "cheetah"),
    clusters: int = 6,
    draws: int = 10,
    episodes: int = 24,
    seed: int = 0,
    out: Path | None = None,
    quick: bool = False,
    docs: bool = False,
) -> None:
    """Map the legged agents' regions against random cuts; print tables and findings.

    Args:
        agents: Zoo agents.
        clusters: Functional clusters in each layer.
        draws: Random cuts of each cluster's size.
        episodes: Of each lesion.
        seed: Of the maps.
        out: Folder for the run folders; by default under runs/.
        quick: A small version for tests: 8 episodes, 1 draw, no films.
        docs: Also copy the pictures into docs/figures.
    """
    for agent in agents:
        print(f"\n{agent}")
        run = map_regions(
            agent,
            clusters=3 if quick else clusters,
            draws=1 if quick else draws,
            episodes=8 if quick else episodes,
            seed=seed,
            folder=None if out is None else out / agent,
            films=0 if quick else 2,
            command="python -m experiments.locomotion_regions",
        )
        taken = MEASURES.get(agent)
        known = None if taken is None else [m for m in taken if m in run.spec.measures]
        finish(run, known, agent if docs else None)


if __name__ == "__main__":
    tyro.cli(main)
