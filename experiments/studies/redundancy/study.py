"""Which parts of a network back each other up, so that cutting one at a time misleads?

Protocol: same class as the multi-perturbation Shapley analysis of Keinan et al. (2004) and the
functional contribution analysis of Aharonov, Segev, Ruppin (2003), not a replication (theirs were
evolved agents and animal lesions). The functional clusters of the zoo's agents are the players of a
game: what a coalition of intact clusters is worth is the behaviour of the robot with all other
clusters set to zero, on the same episodes for every coalition. The lap robot's 8 clusters are cut
in all 256 ways. The cheetah's 12 are cut in the orders of random permutations until the Shapley
values are known within a tenth of the range, on episodes of 12.5 s (its gait needs 2 s to settle).
Behaviours are taken over the horizon, which a robot that never moves has a number for too; the
cheetah's uprightness is left out, as hardly any cut changes it. A third of the lesions of two
clusters or more is held out and predicted from the rest.

Expected picture, if clusters back each other up: purple pairs in the matrices, purple bars where
the orange ones are short, and an additive map that fails on joint lesions where one with pairs
succeeds. Without redundancy both bars are alike and the matrices are white.

About 4 minutes on 2 cores; ``rl-ablation study redundancy``.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agents.zoo import find_agent
from experiments.studies.redundancy.figures import redundancy_figure
from experiments.studies.registry import Answer
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
from rl_ablation.formats import number
from rl_ablation.groupings.clusters import clusters
from rl_ablation.measures.registry import MEASURES
from rl_ablation.rollouts.activity import record_activity
from rl_ablation.rollouts.world import World


@dataclass(frozen=True)
class Subject:
    """An agent, how it is divided and what it is measured on."""

    agent: str
    k: int
    measures: tuple[str, ...]
    episodes: int
    horizon: int | None = None
    max_permutations: int = 160


FULL = (
    Subject("lap", 4, ("forward_speed", "left_turning", "right_turning", "crash"), 12),
    Subject("cheetah", 6, ("forward_speed",), 8, horizon=250),
)
QUICK = (Subject("lap", 2, ("forward_speed", "left_turning"), 8, horizon=150),)


@dataclass(frozen=True)
class Game:
    """What the game of one agent came to; tables as in `rl_ablation.analysis.redundancy`."""

    subject: Subject
    players: list[str]
    coalitions: int
    groups: pd.DataFrame
    pairs: pd.DataFrame
    ranges: pd.DataFrame
    prediction: Prediction


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Play the game of each agent; tell, draw and tabulate it."""
    games = [play(subject, folder, seed) for subject in (QUICK if quick else FULL)]
    tables: dict[str, pd.DataFrame] = {}
    for game in games:
        name = game.subject.agent
        tables |= {
            f"{name}_groups": game.groups,
            f"{name}_pairs": game.pairs,
            f"{name}_prediction": game.prediction.scores,
            f"{name}_lesions": game.prediction.lesions,
        }
    return Answer(
        text="\n\n".join(tell(game) for game in games),
        figures={
            game.subject.agent: redundancy_figure(
                game.subject.agent, game.groups, game.pairs, game.ranges, game.prediction
            )
            for game in games
        },
        tables=tables,
    )


def play(subject: Subject, folder: Path, seed: int) -> Game:
    """Roll the coalitions out and take everything from them."""
    agent, measures = find_agent(subject.agent), subject.measures
    world = World(str(agent.card.env_id), 1, agent.card.env_kwargs)
    conditions = world.conditions or ("",)
    world.close()
    activity = record_activity(agent, conditions=conditions, seed=seed, horizon=subject.horizon)
    players = [x for x in clusters(agent, subject.k, activity) if x.size]
    game = SweepGame(
        agent,
        players,
        measures,
        folder,
        {
            "episodes": subject.episodes,
            "seed": seed,
            "horizon": subject.horizon,
            "activity": activity,
        },
    )
    names, exact = game.names, len(players) <= EXACT
    if exact:
        game(every(len(players)))
    values = shapley(
        game, names, measures, max_permutations=subject.max_permutations, seed=seed
    )  # fmt: skip
    alone = single_cuts(game, names, measures, seed=seed)
    pairs = interactions(game, names, measures, averaged=exact, seed=seed)
    everyone = frozenset(range(len(players)))
    ends = mean_value(game([everyone, frozenset()]), measures)
    seen = list(game.seen)
    worths = mean_value(game(seen), measures)
    ranges = pd.DataFrame(
        {"all": ends[0], "none": ends[1], "range": np.ptp(worths, axis=0)}, index=list(measures)
    )
    groups = alone.merge(values, on=["group", "measure"], suffixes=("_alone", ""))
    prediction = predict_lesions(seen, worths, names, measures, seed=seed)
    return Game(subject, names, len(seen), groups, pairs, ranges, prediction)


def tell(game: Game) -> str:
    """The findings of one agent, from its tables."""
    groups, pairs = game.groups, game.pairs
    orders = groups["permutations"].iloc[0]
    how = "all" if game.coalitions == 2 ** len(game.players) else f"{orders} orders,"
    lines = [
        f"**{game.subject.agent}**, {len(game.players)} clusters, {how} {game.coalitions} "
        f"coalitions, {game.subject.episodes} paired episodes:"
    ]
    for measure in game.subject.measures:
        part = groups[groups["measure"] == measure].to_dict("records")
        ends = game.ranges.loc[measure].to_dict()
        lines.append(
            _tell_groups(measure, part, ends["all"] - ends["none"])
            + _tell_pairs(pairs[pairs["measure"] == measure], ends["range"])
        )
    return "\n".join([*lines, _tell_prediction(game.prediction.scores)])


def _tell_groups(measure: str, part: list[dict[Hashable, Any]], whole: float) -> str:
    label = MEASURES[measure].label + (" (avoided)" if MEASURES[measure].better < 0 else "")
    unit = f" {MEASURES[measure].unit}" if MEASURES[measure].unit else ""
    top, single = (max(part, key=lambda row: row[key]) for key in ("value", "value_alone"))
    text = (
        f"- {label[:1].upper() + label[1:]}: all clusters together are worth {number(whole)}{unit},"
        f" the single cuts add up to {number(sum(row['value_alone'] for row in part))}. "
        f"The largest Shapley value is {top['group']}'s, {number(top['value'])} (95 % interval "
        f"over episodes {number(top['episodes_low'])} to {number(top['episodes_high'])}); "
    )
    if single is top:
        text += f"its cut alone costs {number(top['value_alone'])}. "
    else:
        text += (
            f"the costliest single cut is another, {single['group']} "
            f"({number(single['value_alone'])}). "
        )
    hidden = [r["group"] for r in part if r["episodes_low"] > max(r["ci_high_alone"], 0.0)]
    if hidden:
        return text + f"Worth more than their cut alone shows: {', '.join(hidden)}. "
    return text + "No cluster is clearly worth more than its cut alone shows. "


def _tell_pairs(pairs: pd.DataFrame, full: float) -> str:
    text = f"Of {len(pairs)} pairs "
    counts = {kind: int((pairs["kind"] == kind).sum()) for kind in ("redundant", "synergistic")}
    text += f"{counts['redundant']} are redundant and {counts['synergistic']} need each other"
    clear = pairs[pairs["kind"] != ""]
    if clear.empty or full <= 0:
        return text + "."
    row = max(clear.to_dict("records"), key=lambda pair: abs(pair["value"]))
    return text + (
        f" (q < 5 %); the strongest is {row['a']} with {row['b']}, {row['kind']}: "
        f"{number(row['value'])} ({number(row['ci_low'])} to {number(row['ci_high'])}), "
        f"{abs(row['value']) / full:.0%} of the range."
    )


def _tell_prediction(scores: pd.DataFrame) -> str:
    told = [
        f"{MEASURES[row['measure']].label} {number(row['r2'])} ({number(row['low'])} to "
        f"{number(row['high'])}; {row['model']}; additive {number(row['additive_r2'])})"
        for row in scores.to_dict("records")
    ]
    reached = int((scores["r2"] >= 0.8).sum())
    return (
        f"- Joint lesions that the map was not made from ({scores['held_out'].iloc[0]} held out, "
        f"{scores['train'].iloc[0]} used), R²: {'; '.join(told)}. "
        f"{reached} of {len(scores)} behaviours reach 0.8."
    )
