"""Is a behaviour more local in these regions than in random divisions of the same sizes?

Any division of a layer has a worst part. So what is said of where a behaviour is, or that two
regions doubly dissociate, is held against the same layers divided at random into parts of the same
sizes, cut in the same kind on the same episodes. A statistic of the real division is one draw more
of the same distribution if the regions mean nothing, so its p is (1 + k) / (1 + draws), k of them
being as extreme (Phipson & Smyth 2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rl_ablation.groupings.controls import RANDOM
from rl_ablation.lesions.lesion import INTACT, VARIANT, Lesion, Plan
from rl_ablation.mapping import evidence
from rl_ablation.mapping.map import Map
from rl_ablation.measures.registry import MEASURES

HALF = 0.5
"""A behaviour is local where one region does at least this share of its layer's harm to it."""

DRAW = f"{VARIANT}{RANDOM}-"
"""The part of a random division that stands for h0/cluster-1 is named h0/cluster-1~random-7."""


def divided(plan: Plan) -> Plan:
    """The cuts of a plan that divide a layer: two or more of a grouping, without common units, in
    the first kind; single units, whole layers, connections and random cuts aside."""
    groups: dict[tuple[str, str], list[Lesion]] = {}
    for lesion in plan:
        first = lesion.size and VARIANT not in lesion.name and len(lesion.cut) == 1
        first = first and not lesion.to
        if first and lesion.group not in ("singles", "layers", *evidence.NO_CLAIMS):
            groups.setdefault((lesion.group, next(iter(lesion.cut))), []).append(lesion)
    kept: list[Lesion] = []
    for (_, site), parts in groups.items():
        units = [unit for x in parts for unit in x.cut[site]]
        if len(parts) > 1 and len(set(units)) == len(units):
            kept += parts
    return Plan(kept)


@dataclass(frozen=True, eq=False)
class Divisions:
    """What is lost with the parts of a division, and of random ones, on the same episodes.

    Attributes:
        regions: Names of the parts, R.
        sites: The layer of each part, R.
        measures: Behaviours, M.
        own: Mean change for the worse, in the measures' units, (R, M); below 0 is better, NaN where
            no episode gives a number.
        drawn: The same of each random division, (D, R, M).
        least: Loss of a whole layer that counts as some, in the measures' units, (M,).
    """

    regions: tuple[str, ...]
    sites: tuple[str, ...]
    measures: tuple[str, ...]
    own: np.ndarray
    drawn: np.ndarray
    least: np.ndarray

    @property
    def draws(self) -> int:
        """Random divisions."""
        return len(self.drawn)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are divided, L."""
        return tuple(dict.fromkeys(self.sites))

    def shares(self) -> tuple[np.ndarray, np.ndarray]:
        """Share of a layer's loss that its worst part does: (L, M), of random divisions (D, L, M).

        Layers that work one behind the other each lose the whole behaviour, so a part is held
        against its own layer only (Geiger et al. 2018). A layer in which hardly anything is lost
        has no worst part to speak of: it counts as losing at least ``least``, and at least
        ``REPORTED_EFFECT`` of the most that any part of any of these divisions loses.
        """
        lost = np.maximum(np.nan_to_num(np.concatenate([self.own[None], self.drawn])), 0.0)
        least = np.maximum(self.least, evidence.REPORTED_EFFECT * lost.max((0, 1)))
        shares = []
        for layer in self.layers:
            here = lost[:, [site == layer for site in self.sites]]
            total = np.maximum(here.sum(1), least)
            shares.append(here.max(1) / np.where(total > 0, total, 1.0))
        every = np.stack(shares, axis=1)
        return every[0], every[1:]

    def p_local(self) -> np.ndarray:
        """p that the worst part of a random division does as large a share, (L, M).

        Over all layers and behaviours together: the shares are standardised and held against the
        largest of each random division (Westfall & Young 1993), so that one behaviour in twenty
        maps of meaningless regions is called local, not one in twenty behaviours.
        """
        own, drawn = self.shares()
        every = np.concatenate([own[None], drawn])
        spread = every.std(0)
        z = np.where(spread > 0, (every - every.mean(0)) / np.where(spread > 0, spread, 1.0), 0.0)
        largest = z[1:].max((1, 2), initial=-np.inf)
        beyond = (largest[:, None, None] >= z[0] - 1e-12).sum(0)
        return np.asarray((1 + beyond) / (1 + self.draws))

    def p_crossing(self, strength: float, unit: np.ndarray) -> float:
        """p that random parts cross over as strongly in any two behaviours; ``unit`` (M,) is what
        counts as a full change. NaN without random divisions."""
        if not self.draws:
            return float("nan")
        beyond = sum(strongest_crossing(-lost / unit) >= strength - 1e-12 for lost in self.drawn)
        return (1 + beyond) / (1 + self.draws)


def strongest_crossing(harm: np.ndarray) -> float:
    """The strongest double dissociation among regions × behaviours (R, M), below 0 is worse.

    The largest, over pairs of regions a, b and behaviours x, y, of the smaller of what x loses more
    than y with a, and y more than x with b.
    """
    value = np.minimum(np.nan_to_num(harm), 0.0)
    gap = value[:, None, :] - value[:, :, None]  # (R, x, y): what x loses more than y
    best = gap.max(0)
    return float(np.minimum(best, best.T).max(initial=0.0))


def divisions(
    run: Map, measures: Sequence[str] | None = None, rounds: int | None = None
) -> Divisions | None:
    """The division of a map and its random ones, of so many rounds of drawing or all; None where
    none were drawn.

    Regions that the discovery did not select count as doing nothing.
    """
    names = list(run.spec.measures if measures is None else measures)
    sure, parts = run.confirmation, [x.name for x in divided(run.plan) if x.size]
    drawn: dict[str, dict[str, np.ndarray]] = {}
    episodes: list[set[int]] = []
    sign = np.array([MEASURES[m].better or 1 for m in names])
    for stage in run.controls[:rounds]:
        # Random directions are named alike, and are no part of a division.
        cuts = [x.name for x in stage.plan if DRAW in x.name and not x.directions]
        if not cuts:
            continue
        table = stage.behaviour()
        episodes.append(set(table.episodes))
        change = evidence.differences(table, names)
        means = pd.DataFrame({m: change[m][cuts].mean() for m in names})
        for cut in cuts:
            part, _, draw = cut.partition(DRAW)
            drawn.setdefault(draw, {})[part] = -sign * means.loc[cut].to_numpy(np.float64)
    if not drawn or not parts or sure is None:
        return None
    held = sure.behaviour()
    common = np.isin(held.episodes, list(set.intersection(*episodes)))
    changed = {m: x[common].mean() for m, x in evidence.differences(held, names).items()}
    whole = [float(held.values(m)[INTACT][common].mean()) for m in names]
    there = set(held.about.index)
    nothing = np.zeros(len(names))
    own = [
        np.array([-s * changed[m][x] for m, s in zip(names, sign, strict=True)])
        if x in there else nothing for x in parts
    ]  # fmt: skip
    every = [lost for lost in drawn.values() if set(lost) == set(parts)]
    sites = tuple(next(iter(run.plan[x].cut)) for x in parts)
    return Divisions(
        tuple(parts), sites, tuple(names), np.array(own),
        np.array([[lost[x] for x in parts] for lost in every]).reshape(-1, len(parts), len(names)),
        np.array([evidence.floor(m, value) for m, value in zip(names, whole, strict=True)]),
    )  # fmt: skip
