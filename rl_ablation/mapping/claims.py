"""Findings in words, generated from the effects table and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rl_ablation.lesions.lesion import INTACT
from rl_ablation.mapping.evidence import FAILURE, TRIFLE, claims, differences, harm, scale
from rl_ablation.mapping.map import Map
from rl_ablation.measures.registry import ALIVE, MEASURES
from rl_ablation.stats import LEVEL

TOLD = 0.2
"""Changes of less than this share of a full-size one are not told as findings."""


def behaviours(run: Map) -> list[str]:
    """The run's measures without those that only sum others up, if there are others."""
    taken = list(run.spec.measures)
    return [m for m in taken if not MEASURES[m].summary] or taken


def valued(run: Map) -> list[str]:
    """The run's behaviours of which more, or less, is better; all of them if there are none."""
    return [m for m in behaviours(run) if MEASURES[m].better] or behaviours(run)


def worth_telling(run: Map, rows: pd.DataFrame) -> pd.DataFrame:
    """The significant rows of some size, in behaviours that do not tell the same story twice."""
    rows = rows.assign(harm=harm(rows))
    rows = rows[rows["measure"].isin(distinct(rows, valued(run), 8))]
    return rows[(rows["q"] < LEVEL) & (rows["harm"].abs() > TOLD)]


def distinct(rows: pd.DataFrame, measures: Sequence[str], most: int) -> list[str]:
    """The measures that cuts change most, leaving out those that tell the same story as another.

    Two measures tell the same story if their harm over the lesions correlates beyond ±0.9, in size
    and in rank: in size alone, one cut that ruins everything would make all stories one. With
    fewer than four lesions that says nothing, and no measure is left out for it.

    Args:
        rows: Effects with a column ``harm``, one condition.
        measures: To choose from.
        most: How many.
    """
    wide = rows.pivot(index="lesion", columns="measure", values="harm")
    wide = wide.reindex(columns=list(measures)).fillna(0.0)  # a map that confirms nothing has none
    ranks = wide.rank()
    chosen: list[str] = []

    def same(one: str, other: str) -> bool:
        pairs = ((wide[one], wide[other]), (ranks[one], ranks[other]))
        return all(abs(np.corrcoef(*pair)[0, 1]) > 0.9 for pair in pairs)

    for name in wide.abs().mean().sort_values(ascending=False, kind="stable").index:
        if len(chosen) == most or not wide[name].any():
            break
        if len(wide) < 4 or not any(same(str(name), c) for c in chosen):
            chosen.append(str(name))
    return [m for m in measures if m in chosen] or list(measures)[:most]


def overall(effects: pd.DataFrame, *, controls: bool = False) -> pd.DataFrame:
    """The rows over all conditions; controls and further kinds of a cut only if asked for."""
    rows = effects[effects["condition"] == "all"]
    return rows if controls else claims(rows)


def telling_rows(run: Map) -> pd.DataFrame:
    """Effects over all conditions, in behaviours that do not tell the same story twice; layers only
    if nothing smaller was cut."""
    rows = overall(run.effects())
    rows = rows.assign(harm=harm(rows))
    groups = rows[rows["group"] != "layers"]
    rows = groups if len(groups) else rows
    return rows[rows["measure"].isin(distinct(rows, valued(run), 8))]


def headline_regions(run: Map, most: int = 4) -> list[str]:
    """The regions whose loss changes behaviours most, whole layers left aside.

    For every measure the region with the largest significant harm is taken. Regions stand in order
    of all that is lost with them.
    """
    rows = telling_rows(run)
    clear = rows[(rows["q"] < LEVEL) & (rows["harm"].abs() > TOLD)]
    if clear.empty:
        return []
    worst = clear.loc[clear.groupby("measure")["harm"].idxmin()]
    lost = clear.groupby("lesion")["harm"].agg(lambda h: h.clip(upper=0).sum())
    return list(lost[lost.index.isin(worst["lesion"])].sort_values(kind="stable").index[:most])


def typical_episode(run: Map, lesion: str) -> int:
    """The episode to show for a lesion: the median one in the behaviour that it changes most.

    Not the most dramatic one: a film should show what usually happens.
    """
    rows = overall(run.effects(), controls=True)
    rows = rows[rows["measure"].isin(behaviours(run))]
    here = rows.assign(harm=harm(rows).abs())[rows["lesion"] == lesion]
    if here.empty or here["harm"].isna().all():
        return 0
    measure = str(here.sort_values("harm", ascending=False)["measure"].iloc[0])
    table = run.table().pivot(index="episode", columns="lesion", values=measure)
    change = (table[lesion] - table[INTACT]).dropna().sort_values(kind="stable")
    return int(change.index[(len(change) - 1) // 2]) if len(change) else 0


def improvements(run: Map) -> pd.DataFrame:
    """Cuts that make a behaviour better, confirmed on fresh seeds, the clearest first.

    Cuts of whole layers, and those that leave a dead robot, are left out: standing still is smooth.

    Returns:
        Columns lesion, units, measure, intact, lesioned, delta, ci_low, ci_high, delta_discovery,
        q, p_random, harm; ``better_in`` and ``of``, the conditions in which it is better, of how
        many; ``costs``, the behaviours that the same cut makes worse.
    """
    effects = run.effects()
    rows = overall(effects)
    rows = rows.assign(harm=harm(rows))
    rows = rows[(rows["class"] != FAILURE) & (rows["group"] != "layers")]
    has_sign = [m for m in behaviours(run) if MEASURES[m].better]
    rows = rows[rows["measure"].isin(has_sign) & (rows["q"] < LEVEL)]
    worse = rows[rows["harm"] < -TRIFLE].groupby("lesion")["measure"].agg(list)
    rows = rows[rows["harm"] > TOLD].sort_values("harm", ascending=False, kind="stable")
    parts = effects[effects["condition"] != "all"]
    sign = parts["measure"].map(lambda m: MEASURES[m].better).astype(float)
    better = (sign * parts["delta"] > 0).groupby([parts["lesion"], parts["measure"]])
    keys = list(zip(rows["lesion"], rows["measure"], strict=True))
    count, total = better.sum().to_dict(), better.size().to_dict()
    return rows.assign(
        better_in=[int(count.get(k, 0)) for k in keys],
        of=[int(total.get(k, 0)) for k in keys],
        costs=[_listed(worse.get(lesion, [])) for lesion, _ in keys],
    )[
        ["lesion", "units", "measure", "intact", "lesioned", "delta", "ci_low", "ci_high",
         "delta_discovery", "q", "p_random", "harm", "better_in", "of", "costs"]
    ]  # fmt: skip


def _listed(measures: Sequence[str], most: int = 3) -> str:
    """Behaviours in words, each once whether over the horizon or while alive."""
    names = list(dict.fromkeys(MEASURES[m.removesuffix(ALIVE)].label for m in measures))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


@dataclass(frozen=True)
class Dissociation:
    """Region ``a`` is needed for ``x``, not for ``y``; region ``b`` for ``y``, not for ``x``."""

    a: str
    b: str
    x: str
    y: str
    strength: float
    p_random: float = np.nan


def double_dissociations(
    run: Map, measures: Sequence[str], hurt: float = 0.4, spare: float = 0.25
) -> list[Dissociation]:
    """Pairs of regions and behaviours that cross over, strongest first.

    A region hurts a behaviour with a significant harm of at least ``hurt`` of a full-size change
    (see `scale`), and spares one with a harm of less than ``spare``. The strength is the least of
    the four contrasts. Where the run has size-matched random cuts for both regions, ``p_random`` is
    the share of pairs of such cuts that cross over as strongly. Crossing over is needed for, but
    does not prove, separate modules (Plaut 1995).
    """
    rows = overall(run.effects())
    size = scale(rows)
    rows = rows[rows["measure"].isin(measures) & ~rows["group"].isin(["layers"])]
    rows = rows.assign(harm=_in_units(rows["delta"], rows["measure"], size).fillna(0.0))
    if rows.empty:
        return []
    value = rows.pivot(index="lesion", columns="measure", values="harm")[list(measures)]
    clear = rows.pivot(index="lesion", columns="measure", values="q")[list(measures)] < LEVEL
    value = value.clip(upper=0.0)  # what gets better is not hurt, and no more dissociated for it
    hurts, spares = (value <= -hurt) & clear, value > -spare
    draws = _random_harm(run, measures, size)
    found = []
    for i, x in enumerate(measures):
        for y in list(measures)[i + 1 :]:
            for a in value.index[hurts[x] & spares[y]]:
                for b in value.index[hurts[y] & spares[x]]:
                    strength = float(min(value[y][a] - value[x][a], value[x][b] - value[y][b]))
                    p = _crossing(
                        draws.get(run.plan[a].place), draws.get(run.plan[b].place), x, y, strength
                    )
                    found.append(Dissociation(str(a), str(b), x, y, strength, p))
    return sorted(found, key=lambda d: -d.strength)


def _in_units(delta: pd.Series, measure: pd.Series, size: pd.Series) -> pd.Series:
    sign = measure.map(lambda m: MEASURES[m].better or 1).astype(float)
    return sign * delta / measure.map(size).astype(float)


def _random_harm(
    run: Map, measures: Sequence[str], size: pd.Series
) -> dict[tuple[object, ...], pd.DataFrame]:
    """Harm of each random cut of the run's controls: place → (draws × measures)."""
    found: dict[tuple[object, ...], list[pd.DataFrame]] = {}
    for control in run.controls:
        change = differences(control.table(), measures)
        harms = pd.DataFrame(
            {m: (MEASURES[m].better or 1) * change[m].mean() / size[m] for m in measures}
        ).fillna(0.0)
        for lesion in control.plan:
            if lesion.size:
                found.setdefault(lesion.place, []).append(harms.loc[[lesion.name]])
    return {where: pd.concat(parts) for where, parts in found.items()}


def _crossing(
    a: pd.DataFrame | None, b: pd.DataFrame | None, x: str, y: str, strength: float
) -> float:
    """Share of pairs of random cuts, one of each place, that cross over as strongly."""
    if a is None or b is None:
        return float("nan")
    a, b = a.clip(upper=0.0), b.clip(upper=0.0)
    one, other = (a[y] - a[x]).to_numpy(), (b[x] - b[y]).to_numpy()
    pairs = np.minimum(one[:, None], other[None])
    return float((1 + (pairs >= strength).sum()) / (1 + pairs.size))
