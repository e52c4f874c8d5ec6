"""Which parts of a network back each other up, so that cutting one at a time misleads?

Protocol: same class as the multi-perturbation Shapley analysis of Keinan et al. (2004) and the
functional contribution analysis of Aharonov, Segev, Ruppin (2003), not a replication (theirs were
evolved agents and animal lesions). The functional clusters of the zoo's agents are the players of a
game: what a coalition of intact clusters is worth is the behaviour of the robot with all other
clusters set to zero, on the same episodes for every coalition. The lap robot's 8 clusters are cut
in all 256 ways. The cheetah's 12 are cut in the orders of random permutations until the Shapley
values are known within a tenth of the range, on episodes of 12.5 s (its gait needs 2 s to settle).
Behaviours are taken over the horizon, which a robot that never moves has a number for too. A third
of the lesions of two clusters or more is held out and predicted from the rest.

Expected picture, if clusters back each other up: purple pairs in the matrices, purple bars where
the orange ones are short, and an additive map that fails on joint lesions where one with pairs
succeeds. Without redundancy both bars are alike and the matrices are white.

About 4 minutes on 2 cores; ``rl-ablation study redundancy``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.maps import find_agent
from experiments.studies import Answer
from rl_ablation.activity import record_activity
from rl_ablation.findings import LEVEL, number
from rl_ablation.groupings import clusters
from rl_ablation.measures import MEASURES
from rl_ablation.prediction import Prediction, predict_lesions
from rl_ablation.redundancy import (
    EXACT,
    SweepGame,
    every,
    interactions,
    shapley,
    single_cuts,
    worth,
)
from rl_ablation.world import World

SINGLE, SHARED, GREY = "#b35806", "#542788", "#9a9a9a"


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
    Subject("cheetah", 6, ("forward_speed", "uprightness"), 8, horizon=250),
)
QUICK = (Subject("lap", 2, ("forward_speed", "left_turning"), 6, horizon=150),)


@dataclass(frozen=True)
class Game:
    """What the game of one agent came to; tables as in `rl_ablation.redundancy`."""

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
    tables = {}
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
        figures={game.subject.agent: draw(game) for game in games},
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
    ends = worth(game([everyone, frozenset()]), measures)
    seen = list(game.seen)
    worths = worth(game(seen), measures)
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
        part = groups[groups["measure"] == measure].set_index("group")
        ends = game.ranges.loc[measure]
        label = MEASURES[measure].label
        unit = f" {MEASURES[measure].unit}" if MEASURES[measure].unit else ""
        top, single = part["value"].idxmax(), part["value_alone"].idxmax()
        hidden = part[(part["q"] >= LEVEL) & (part["episodes_low"] > 0)]
        text = (
            f"- {label[:1].upper() + label[1:]}: the largest Shapley value is {top}'s, "
            f"{number(part.loc[top, 'value'])}{unit} (95 % interval over episodes "
            f"{number(part.loc[top, 'episodes_low'])} to {number(part.loc[top, 'episodes_high'])}) "
            f"of {number(ends['all'] - ends['none'])} that all are worth together; "
        )
        if single == top:
            text += f"alone, its cut costs {number(part.loc[top, 'value_alone'])}. "
        else:
            text += (
                f"the costliest single cut is another, {single} "
                f"({number(part.loc[single, 'value_alone'])}). "
            )
        text += (
            f"Single cuts add up to {number(part['value_alone'].sum())}; their rank correlation "
            f"with the Shapley values is "
            f"{number(part['value_alone'].corr(part['value'], method='spearman'))}. "
        )
        if len(hidden):
            text += (
                f"No single cut shows it, but the Shapley value does: {', '.join(hidden.index)}. "
            )
        else:
            text += "No cluster's worth is missed by the single cuts. "
        lines.append(text + _tell_pairs(pairs[pairs["measure"] == measure], ends["range"]))
    return "\n".join([*lines, _tell_prediction(game.prediction.scores)])


def _tell_pairs(pairs: pd.DataFrame, full: float) -> str:
    text = f"Of {len(pairs)} pairs "
    counts = {kind: int((pairs["kind"] == kind).sum()) for kind in ("redundant", "synergistic")}
    text += f"{counts['redundant']} are redundant and {counts['synergistic']} need each other"
    clear = pairs[pairs["kind"] != ""]
    if clear.empty or full <= 0:
        return text + "."
    row = clear.loc[clear["value"].abs().idxmax()]
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


def draw(game: Game) -> Figure:
    """A column for each behaviour: cuts alone and shared, pairs, predictions."""
    measures, players = game.subject.measures, game.players
    figure = Figure(figsize=(2.4 + 3.1 * len(measures), 10.2), layout="constrained", dpi=150)
    heights = [0.9 + 0.24 * len(players), 2.9, 2.6]
    panels = figure.subplots(3, len(measures), squeeze=False, height_ratios=heights)
    short = [name.replace("cluster-", "") for name in players]
    for column, measure in enumerate(measures):
        part = game.groups[game.groups["measure"] == measure].set_index("group").loc[players]
        _bars(panels[0, column], part, measure, short if column == 0 else None)
        pairs = game.pairs[game.pairs["measure"] == measure]
        mesh = _matrix(panels[1, column], pairs, players, short, game.ranges["range"][measure])
        lesions = game.prediction.lesions
        score = game.prediction.scores.set_index("measure").loc[measure]
        _scatter(panels[2, column], lesions[lesions["measure"] == measure], score)
    panels[0, 0].legend(fontsize=8, loc="lower right", frameon=False)
    panels[2, 0].set_ylabel("predicted worth", fontsize=9)
    bar = figure.colorbar(mesh, ax=list(panels[1]), shrink=0.9, aspect=14, pad=0.01)
    bar.set_ticks(
        [-0.5, 0, 0.5], labels=["need each\nother −50 %", "0", "back each other\nup +50 %"]
    )
    bar.ax.tick_params(labelsize=8)
    figure.suptitle(
        f"{game.subject.agent}: what clusters are worth alone, together, and in pairs\n",
        x=0.01, ha="left", fontsize=12, fontweight="bold",
    )  # fmt: skip
    return figure


def _bars(axes: Axes, part: pd.DataFrame, measure: str, names: list[str] | None) -> None:
    y = np.arange(len(part))
    kinds = (("single cut", SINGLE, "value_alone", "ci_low_alone", "ci_high_alone", -0.19),
             ("Shapley value", SHARED, "value", "episodes_low", "episodes_high", 0.19))  # fmt: skip
    for label, colour, value, low, high, shift in kinds:
        axes.barh(y + shift, part[value], 0.36, color=colour, label=label)
        axes.hlines(y + shift, part[low], part[high], color="#222222", lw=1)
    axes.axvline(0, color="#444444", lw=0.8)
    axes.set_yticks(y, names if names is not None else [""] * len(y), fontsize=9)
    axes.invert_yaxis()
    less = MEASURES[measure].better < 0
    unit = MEASURES[measure].unit or "share of episodes"
    axes.set_title(MEASURES[measure].label + (" (avoided)" if less else ""), fontsize=10)
    axes.set_xlabel(f"lost when cut, or contributed [{unit}]", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    sns.despine(ax=axes, left=True)


def _matrix(
    axes: Axes, pairs: pd.DataFrame, players: list[str], short: list[str], full: float
) -> object:
    grid, clear = (pd.DataFrame(np.nan, players, players) for _ in range(2))
    for row in pairs.to_dict("records"):
        grid.loc[row["b"], row["a"]] = row["value"] / full if full > 0 else 0.0
        clear.loc[row["b"], row["a"]] = float(row["kind"] != "")
    mesh = axes.pcolormesh(grid, cmap="PuOr", vmin=-0.5, vmax=0.5, edgecolors="#dddddd", lw=0.5)
    for y, x in np.argwhere(clear.to_numpy() == 1):
        axes.plot(x + 0.5, y + 0.5, ".", color="#222222", ms=5)
    axes.set_xticks(np.arange(len(players)) + 0.5, short, rotation=90, fontsize=8)
    axes.set_yticks(np.arange(len(players)) + 0.5, short, fontsize=8)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.set_title("pairs, • q < 5 %", fontsize=9)
    axes.tick_params(length=0)
    sns.despine(ax=axes, left=True, bottom=True)
    return mesh


def _scatter(axes: Axes, lesions: pd.DataFrame, score: pd.Series) -> None:
    axes.plot(lesions["measured"], lesions["additive"], "o", ms=4, mfc="none", mec=GREY,
              label=f"additive, R² = {number(score['additive_r2'])}")  # fmt: skip
    axes.plot(lesions["measured"], lesions["predicted"], "o", ms=4, color=SHARED,
              label=f"{score['model']}, R² = {number(score['r2'])}")  # fmt: skip
    ends = [lesions["measured"].min(), lesions["measured"].max()]
    axes.plot(ends, ends, color="#444444", lw=0.8)
    axes.set_xlabel("measured worth of held-out joint lesions", fontsize=8)
    axes.legend(fontsize=8, loc="upper left", frameon=False, handletextpad=0.1)
    axes.tick_params(labelsize=8)
    sns.despine(ax=axes)
