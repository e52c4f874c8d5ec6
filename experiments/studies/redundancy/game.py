"""Clusters as the players of a game: what coalitions of intact clusters reach."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import rl_ablation as rl
from agents.zoo import find_agent
from rl_ablation.analysis import redundancy
from rl_ablation.analysis.prediction import predict_lesions
from rl_ablation.analysis.redundancy import mean_value
from rl_ablation.rollouts.world import conditions_of

PERMUTATIONS = 160  # at most, where there are too many coalitions to try all


@dataclass(frozen=True)
class Subject:
    """An agent, how it is divided and what it is measured on."""

    agent: str
    k: int
    measures: tuple[str, ...]
    episodes: int
    horizon: int
    kind: str = "mean"

    @property
    def name(self) -> str:
        """Of the agent; cuts that are not the main kind are named."""
        return self.agent if self.kind == "mean" else f"{self.agent}-{self.kind}"


@dataclass(frozen=True)
class Game:
    """The results of one agent's game; tables as in `rl_ablation.analysis.redundancy`."""

    subject: Subject
    players: list[str]
    coalitions: int
    ranges: pd.DataFrame
    tables: dict[str, pd.DataFrame]


def play(subject: Subject, folder: Path, seed: int) -> Game:
    """Roll the coalitions out and take everything from them."""
    agent, measures = find_agent(subject.agent), subject.measures
    how: dict[str, Any] = {"seed": seed, "horizon": subject.horizon}
    activity = rl.record_activity(agent, conditions=conditions_of(agent) or ("",), **how)
    clusters = rl.clusters(agent, subject.k, activity).with_kind(subject.kind)
    players = [x for x in clusters if x.size]
    how |= {"episodes": subject.episodes, "activity": activity}
    game = redundancy.SweepGame(agent, players, measures, folder, how)
    names, exact = game.names, len(players) <= redundancy.EXACT
    if exact:
        game(redundancy.every(len(players)))
    asked: Any = (game, names, measures)
    values = redundancy.shapley(*asked, max_permutations=PERMUTATIONS, seed=seed)
    alone = redundancy.single_cuts(*asked, seed=seed)
    pairs = redundancy.interactions(*asked, averaged=exact, seed=seed)
    whole, none = mean_value(game([frozenset(range(len(players))), frozenset()]), measures)
    seen = list(game.seen)
    measured = mean_value(game(seen), measures)
    ranges = {"all": whole, "none": none, "range": np.ptp(measured, axis=0)}
    groups = alone.merge(values, on=["group", "measure"], suffixes=("_alone", ""))
    found = predict_lesions(seen, measured, names, measures, seed=seed)
    tables = {"groups": groups, "pairs": pairs}
    tables |= {"prediction": found.scores, "lesions": found.lesions}
    return Game(subject, names, len(seen), pd.DataFrame(ranges, list(measures)), tables)
