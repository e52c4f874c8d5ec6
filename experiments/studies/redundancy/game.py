"""Clusters as the players of a game: what coalitions of intact clusters reach."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import rl_ablation as rl
from agents.zoo import find_agent
from rl_ablation.analysis.prediction import Prediction, predict_lesions
from rl_ablation.analysis.redundancy import (
    EXACT,
    SweepGame,
    every,
    interactions,
    mean_value,
    shapley,
    single_cuts,
)
from rl_ablation.rollouts.world import conditions_of

PERMUTATIONS = 160  # at most, where there are too many coalitions to try all


@dataclass(frozen=True)
class Subject:
    """An agent, how it is divided and what it is measured on."""

    agent: str
    k: int
    measures: tuple[str, ...]
    episodes: int
    horizon: int | None = None


@dataclass(frozen=True)
class Game:
    """The results of one agent's game; tables as in `rl_ablation.analysis.redundancy`."""

    subject: Subject
    players: list[str]
    coalitions: int
    groups: pd.DataFrame
    pairs: pd.DataFrame
    ranges: pd.DataFrame
    prediction: Prediction


def play(subject: Subject, folder: Path, seed: int) -> Game:
    """Roll the coalitions out and take everything from them."""
    agent, measures = find_agent(subject.agent), subject.measures
    how: dict[str, Any] = {"seed": seed, "horizon": subject.horizon}
    activity = rl.record_activity(agent, conditions=conditions_of(agent) or ("",), **how)
    players = [x for x in rl.clusters(agent, subject.k, activity) if x.size]
    how |= {"episodes": subject.episodes, "activity": activity}
    game = SweepGame(agent, players, measures, folder, how)
    names, exact = game.names, len(players) <= EXACT
    if exact:
        game(every(len(players)))
    values = shapley(game, names, measures, max_permutations=PERMUTATIONS, seed=seed)
    alone = single_cuts(game, names, measures, seed=seed)
    pairs = interactions(game, names, measures, averaged=exact, seed=seed)
    everyone = frozenset(range(len(players)))
    ends = mean_value(game([everyone, frozenset()]), measures)
    seen = list(game.seen)
    measured = mean_value(game(seen), measures)
    ranges = pd.DataFrame(
        {"all": ends[0], "none": ends[1], "range": np.ptp(measured, axis=0)}, index=list(measures)
    )
    groups = alone.merge(values, on=["group", "measure"], suffixes=("_alone", ""))
    prediction = predict_lesions(seen, measured, names, measures, seed=seed)
    return Game(subject, names, len(seen), groups, pairs, ranges, prediction)
