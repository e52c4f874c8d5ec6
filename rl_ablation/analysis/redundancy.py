"""Redundancy: what groups of units contribute together, when cutting one at a time misleads.

Two groups that do the same job each look useless when cut alone. The groups of a plan are therefore
taken as the players of a cooperative game. Its characteristic function v gives each coalition of
intact groups a value: a behaviour of the robot when all the other groups are cut, signed so that
more is better. From it follow

* Shapley values (Shapley 1953; for lesions Keinan et al. 2004; by sampling Castro et al. 2009),
* pair interactions (Keinan et al. 2004; Grabisch & Roubens 1999), and
* predictions of lesions never made (`rl_ablation.analysis.prediction`).

Everything works on any `Game`, so that games with known answers can stand in for a robot. Players
and measures are given by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from rl_ablation.errors import LabError
from rl_ablation.files import digest
from rl_ablation.lesions.lesion import INTACT, Lesion, Plan, orthonormal
from rl_ablation.mapping.sweep import sweep
from rl_ablation.measures.registry import MEASURES
from rl_ablation.policies.policy import Policy
from rl_ablation.stats import LEVEL, benjamini_hochberg, finite_mean, mean_intervals, sign_flip_p

EXACT = 8
"""Players up to which all coalitions are evaluated: 2⁸ = 256."""
ROUND = 16
"""Orders between two looks at the intervals; even, and at least 4."""
TOLERANCE = 0.1
"""Widest interval of a Shapley value, as a share of the range of the values seen."""

AXIS_BY_AXIS = ("clamp", "stimulate", "noise")
"""Kinds that say something of each direction, not of their span."""
RIGHT_ANGLES = 1e-6

Coalition = frozenset[int]
Names = Sequence[str]
Game = Callable[[Sequence[Coalition]], np.ndarray]
"""Characteristic function: coalitions → values, (coalitions, episodes, measures)."""


def coalition(players: Sequence[Lesion], cut: Coalition | set[int]) -> Lesion:
    """One lesion that cuts several groups at once: per site the union of their units, or of the
    spans of their directions.

    ``cut`` has the indices of the players to cut; none is the intact policy. LabError where the
    players are cut in different ways, or share a unit or a direction.
    """
    if not cut:
        return Lesion(name=INTACT)
    chosen = [players[i] for i in sorted(cut)]
    own = {"name", "cut", "directions", "group"}  # all else is the way in which they are cut
    first, *others = (x.model_dump(exclude=own) for x in players)
    if any(x.to != players[0].to for x in players):
        raise LabError("connections are cut together only if all are heard by the same units")
    if any(way != first for way in others):
        raise LabError("players must be cut in one way; give them all the same kind and times")
    units: dict[str, list[int]] = {}
    for player in chosen:
        for site, cut_there in player.cut.items():
            units.setdefault(site, []).extend(cut_there)
    for site, there in units.items():
        if len(set(there)) < len(there):
            raise LabError(f"{site}: two players share a unit; divide the network without overlap")
    name = " + ".join(x.name for x in chosen)
    joint = {site: tuple(sorted(there)) for site, there in units.items()}
    axes: dict[str, list[Sequence[float]]] = {}
    for player in chosen:
        for site, directions in player.directions.items():
            axes.setdefault(site, []).extend(directions)
    spans = {site: _joint(there, chosen[0].kind) for site, there in axes.items()}
    new = {"name": name, "cut": joint, "directions": spans, "group": f"{len(chosen)} groups"}
    return chosen[0].model_copy(update=new)


def _joint(axes: Sequence[Sequence[float]], kind: str) -> tuple[tuple[float, ...], ...]:
    """The directions of several players at a site as one cut."""
    values = np.array(axes)
    if np.abs(values @ values.T - np.eye(len(values))).max() <= RIGHT_ANGLES:
        return tuple(map(tuple, axes))
    if kind in AXIS_BY_AXIS:
        raise LabError(f"directions that are not at right angles cannot be cut by {kind} at once")
    return orthonormal(values)


@dataclass
class SweepGame:
    """The game that a policy's groups play: values by rolling the lesioned robot out.

    Each call is one batched sweep in a run folder of its own in ``folder``, so it can be
    interrupted; episode k is the same for all coalitions; none is rolled out twice. Where less of a
    measure is better, its value is its negative. ``options`` are for `rl_ablation.mapping.sweep`:
    episodes, seed, conditions, horizon, activity … ``seen`` has the values of each coalition
    evaluated so far, (episodes, measures).
    """

    agent: Policy
    players: Sequence[Lesion]
    measures: Names
    folder: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    seen: dict[Coalition, np.ndarray] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Of the players."""
        return [player.name for player in self.players]

    def __call__(self, coalitions: Sequence[Coalition]) -> np.ndarray:
        """Values, (coalitions, episodes, measures); NaN where an episode gives no number."""
        new = list(dict.fromkeys(c for c in coalitions if c not in self.seen))
        if new:
            everyone = frozenset(range(len(self.players)))
            lesions = [coalition(self.players, everyone - c) for c in new]
            plain = {k: v for k, v in self.options.items() if k not in ("activity", "progress")}
            key = digest([self.agent.sha256, [x.key for x in lesions], list(self.measures), plain])
            folder, measures = self.folder / f"coalitions-{key[:8]}", self.measures
            run = sweep(self.agent, Plan(lesions), measures=measures, folder=folder, **self.options)
            signs = np.array([MEASURES[m].better or 1 for m in self.measures])
            table = run.table().set_index("lesion")[list(self.measures)]
            for which, lesion in zip(new, lesions, strict=True):
                self.seen[which] = signs * table.loc[[lesion.name]].to_numpy(np.float64)
        return np.stack([self.seen[c] for c in coalitions])


def mean_value(values: np.ndarray, measures: Names) -> np.ndarray:
    """Mean values over episodes, (coalitions, measures), of (coalitions, episodes, measures).

    Episodes without a number (diverged physics, or never a step to average over) are left out;
    LabError where a coalition has no number at all for a measure.
    """
    there = np.isfinite(values).any(1)
    if not there.all():
        lacking = measures[int(np.argwhere(~there)[0, 1])]
        raise LabError(
            f"measure {lacking!r} has no number for some coalition; take the kind over the "
            "horizon (without .alive), which a robot that never moves has too"
        )
    return finite_mean(values, 1)


def every(players: int) -> list[Coalition]:
    """All 2ⁿ coalitions, the empty one first and the grand one last."""
    return [frozenset(i for i in range(players) if code >> i & 1) for code in range(2**players)]


# Shapley values.
def shapley(
    game: Game, players: Names, measures: Names, *, max_permutations: int = 400, seed: int = 0
) -> pd.DataFrame:
    """Shapley values: each group's marginal contribution, averaged over the orders of joining.

    Up to ``EXACT`` players all 2ⁿ coalitions are evaluated. With more, orders are drawn at random,
    each with its reverse (antithetic), ``ROUND`` at a time, until for every measure the widest
    95 % interval over orders is narrower than ``TOLERANCE`` × the range of the values seen, or
    ``max_permutations`` orders are spent. The range is of all values, not v(all) − v(none), which
    vanishes for a behaviour that neither the intact nor the dead robot shows, such as crashing. The
    Shapley values of a measure add up to v(all) − v(none) either way.

    A row for each group × measure: ``value``; ``ci_low`` and ``ci_high``, the 95 % Student interval
    over pairs of an order and its reverse (width 0 where exact; looking after each round makes it a
    little narrow); ``episodes_low`` and ``episodes_high``, the 95 % interval over
    episodes; ``permutations``, all n! where exact. LabError for no player, or fewer than 4 orders.
    """
    count = len(players)
    if not count or max_permutations < 4:
        raise LabError("Shapley values need at least 1 player and 4 orders")
    rng = np.random.default_rng(seed)
    if count <= EXACT:
        values = game(every(count))
        value = _enumerated(mean_value(values, measures), count)
        by_episode = np.moveaxis(_enumerated(values, count), 1, 0)
        half, orders = np.zeros_like(value), factorial(count)
    else:
        value, by_episode, half, orders = _sampled(game, count, measures, max_permutations, rng)
    low, high = mean_intervals(by_episode.reshape(len(by_episode), -1), rng)
    columns = {"value": value, "ci_low": value - half, "ci_high": value + half}
    rows = _rows({"group": list(players)}, measures)
    rows = rows.assign(**{name: cells.ravel() for name, cells in columns.items()})
    return rows.assign(episodes_low=low, episodes_high=high, permutations=orders)


def _rows(about: Mapping[str, Names], measures: Names) -> pd.DataFrame:
    """The columns that name each row × measure."""
    return pd.DataFrame(about).merge(pd.Series(measures, name="measure"), how="cross")


def _enumerated(values: np.ndarray, players: int) -> np.ndarray:
    """Mean marginal gain of each player over all orders, (players, …), of values (2ⁿ, …).

    Its gain over others S counts |S|!(n − |S| − 1)!/n!. Gains are taken before they are averaged:
    the value of a group that changes nothing is then exactly 0.
    """
    n, codes = players, np.arange(2**players)
    sizes = np.array(list(map(len, every(n))))
    chances = np.array([factorial(k) * factorial(n - k - 1) / factorial(n) for k in range(n)])
    gains = []
    for bit in 1 << np.arange(n):
        w = codes[codes & bit == 0]
        gains.append(np.tensordot(chances[sizes[w]], values[w | bit] - values[w], 1))
    return np.stack(gains)


def _sampled(
    game: Game, players: int, measures: Names, most: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Values (players, measures), the same by episode, half widths of the intervals, orders."""
    pairs = np.empty((0, players, len(measures)))
    by_episode = np.zeros(())
    lowest, highest = np.full(len(measures), np.inf), np.full(len(measures), -np.inf)
    while True:
        draws = min(ROUND, most - 2 * len(pairs)) // 2
        drawn = [rng.permutation(players) for _ in range(draws)]
        orders = [list(map(int, o)) for order in drawn for o in (order, order[::-1])]
        joined = [frozenset(order[:k]) for order in orders for k in range(players + 1)]
        values = game(joined)
        means = mean_value(values, measures)
        lowest, highest = np.minimum(lowest, means.min(0)), np.maximum(highest, means.max(0))
        credit = _credit(means, orders)
        pairs = np.concatenate([pairs, credit.reshape(-1, 2, *credit.shape[1:]).mean(1)])
        by_episode = by_episode + _credit(values, orders).sum(0)
        count = len(pairs)
        half = stats.t.ppf(1 - LEVEL / 2, count - 1) * (pairs.std(0, ddof=1) / np.sqrt(count))
        narrow = (2 * half <= TOLERANCE * (highest - lowest)).all()
        if narrow or 2 * count + 1 >= most:
            shares = np.moveaxis(by_episode, 1, 0) / (2 * count)
            return pairs.mean(0), shares, half, 2 * count


def _credit(values: np.ndarray, orders: Sequence[Sequence[int]]) -> np.ndarray:
    """What each player adds when it joins, (orders, players, …), of (orders × (n + 1), …)."""
    players = len(orders[0])
    gains = np.diff(values.reshape(len(orders), players + 1, *values.shape[1:]), axis=1)
    credit = np.empty_like(gains)
    for k, order in enumerate(orders):
        credit[k, order] = gains[k]
    return credit


# Single cuts and pairs.
def single_cuts(game: Game, players: Names, measures: Names, *, seed: int = 0) -> pd.DataFrame:
    """What is lost when one group alone is cut: v(all) − v(all but i), paired by episode.

    A row for each group × measure: ``value``, its 95 % interval over episodes ``ci_low`` and
    ``ci_high``, the two-sided sign-flip ``p``, ``q`` over all rows, ``n`` episodes.
    """
    everyone = frozenset(range(len(players)))
    values = game([everyone, *(everyone - {i} for i in range(len(players)))])
    mean_value(values, measures)
    rows = _rows({"group": list(players)}, measures)
    return rows.assign(**_tested(values[0] - values[1:], seed))


def interactions(
    game: Game, players: Names, measures: Names, *, averaged: bool = False, seed: int = 0
) -> pd.DataFrame:
    """What cutting two groups loses beyond the sum of what cutting each loses.

    I = [v(all) − v(without i, j)] − [v(all) − v(without i)] − [v(all) − v(without j)]. Above 0
    the two stand in for each other (twins, v = max(i, j): I = +1, though each alone looks useless);
    below 0 each needs the other, or one cut leaves nothing for the second to lose: a robot that
    stands still already is such a floor.

    Keinan et al. (2004) average over what else is cut: γ_ij − γ(i|¬j) − γ(j|¬i), with γ Shapley
    values, which is the interaction index of Grabisch & Roubens (1999) and has the other sign.
    I is minus one term of that average, the one with all others intact. ``averaged`` also gives
    minus the average, which needs all 2ⁿ coalitions.

    A row for each pair × measure: ``a``, ``b``, ``measure``, ``value`` (I), its 95 % interval
    over episodes, sign-flip ``p``, ``q`` over all rows, ``n`` episodes, ``kind``: "redundant" or
    "synergistic" where q < 5 %, else "", and ``averaged`` if asked for.
    """
    everyone = frozenset(range(len(players)))
    pairs = list(combinations(range(len(players)), 2))
    intact = game([everyone])
    alone = game([everyone - {i} for i in range(len(players))])
    both = game([everyone - set(pair) for pair in pairs])
    for values in (intact, alone, both):
        mean_value(values, measures)
    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    columns = _tested(alone[first] + alone[second] - intact - both, seed)
    kind = np.where(columns["value"] > 0, "redundant", "synergistic")
    about = {"a": [players[i] for i in first], "b": [players[i] for i in second]}
    table = _rows(about, measures).assign(**columns, kind=np.where(columns["q"] < LEVEL, kind, ""))
    if averaged:
        weights = _interaction_weights(len(players), pairs)
        table["averaged"] = -(weights @ mean_value(game(every(len(players))), measures)).ravel()
    return table


def _interaction_weights(players: int, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """(pairs, 2ⁿ): index = weights @ values, from s!(n − s − 2)!/(n − 1)! for s others intact."""

    def weight(members: Coalition, pair: tuple[int, int]) -> float:
        there = len(members & set(pair))
        others = len(members) - there
        share = factorial(others) * factorial(players - others - 2) / factorial(players - 1)
        return share if there != 1 else -share

    return np.array([[weight(members, pair) for members in every(players)] for pair in pairs])


def _tested(differences: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Mean, interval and p of (rows, episodes, measures), as columns of rows × measures."""
    rng = np.random.default_rng(seed)
    cells = np.moveaxis(differences, 1, 0).reshape(differences.shape[1], -1)
    low, high = mean_intervals(cells, rng)
    p = sign_flip_p(cells, rng)
    return {
        "value": finite_mean(cells), "ci_low": low, "ci_high": high,
        "p": p, "q": benjamini_hochberg(p), "n": np.isfinite(cells).sum(0),
    }  # fmt: skip
