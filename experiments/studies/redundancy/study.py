"""Which parts of a network back each other up, so that cutting one at a time misleads?

Protocol: same class as the multi-perturbation Shapley analysis of Keinan et al. (2004) and the
functional contribution analysis of Aharonov, Segev, Ruppin (2003), not a replication (theirs were
evolved agents and animal lesions). The functional clusters of the zoo's agents are the players of a
game: the characteristic function value of a coalition of intact clusters is the behaviour of the
robot with all other clusters held at their means, on the same episodes for every coalition (a draw
at each step would be noise to the question whether two cuts add up); for the lap robot also with
them set to zero, the usual protocol. The lap robot's 8 clusters are cut in all 256 ways, 15 s an
episode. The cheetah's 12 are cut in the orders of random permutations
until the Shapley values are known within a tenth of the range, on episodes of 12.5 s (its gait
needs 2 s to settle).
Behaviours are taken over the horizon, which a robot that never moves has a number for too; the
cheetah's uprightness is left out, as hardly any cut changes it. A third of the lesions of two
clusters or more is held out and predicted from the rest.

Expected picture, if clusters back each other up: purple pairs in the matrices, purple bars where
the orange ones are short, and an additive map that fails on joint lesions where one with pairs
succeeds. Without redundancy both bars are alike and the matrices are white.

About 4 minutes on 2 cores; ``rl-ablation study redundancy``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from experiments.studies.redundancy.figures import redundancy_figure
from experiments.studies.redundancy.game import Subject, play
from experiments.studies.redundancy.words import tell
from experiments.studies.registry import Answer

LAP = Subject("lap", 4, ("forward_speed", "left_turning", "right_turning", "crash"), 12, 300)
FULL = (
    LAP,
    Subject("cheetah", 6, ("forward_speed",), 8, 250),
    replace(LAP, kind="zero"),
)
QUICK = (Subject("lap", 2, ("forward_speed", "left_turning"), 8, 150),)


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Play the game of each agent."""
    games = [play(subject, folder, seed) for subject in (QUICK if quick else FULL)]
    tables: dict[str, pd.DataFrame] = {}
    for game in games:
        tables |= {f"{game.subject.name}_{name}": t for name, t in game.tables.items()}
    figures = {game.subject.name: redundancy_figure(game) for game in games}
    return Answer("\n\n".join(tell(game) for game in games), figures, tables)
