"""Claims: which changes of a map are reported, chosen from the effects table and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from rl_ablation.groupings.connections import CONNECTIONS
from rl_ablation.mapping import evidence
from rl_ablation.mapping.divisions import divisions
from rl_ablation.mapping.evidence import (
    FAILURE,
    REPORTED_EFFECT,
    SMALLEST_EFFECT,
    TELLING,
    differences,
    harm,
    reference_effect,
    with_own,
)
from rl_ablation.mapping.kinds import HOLDS, NOTHING, only_beyond, weakest
from rl_ablation.mapping.map import Map
from rl_ablation.measures.registry import ALIVE, MEASURES
from rl_ablation.stats import LEVEL


def behaviours(run: Map) -> list[str]:
    """The run's measures without those that only sum others up, if there are others."""
    taken = list(run.spec.measures)
    return [m for m in taken if not MEASURES[m].summary] or taken


def own(run: Map) -> list[str]:
    """The behaviours that the run's conditions are there for, if it has the episodes to tell them.

    Then findings are of these: an average over all commands says little about any.
    """
    if not run.own:
        return []
    rows = with_own(run.effects(), run.own)
    enough = (rows["measure"].isin(run.own) & (rows["n"] >= TELLING)).any()
    return run.own if enough else []


def valued(run: Map) -> list[str]:
    """What findings are made of: the behaviours of `own`, or else the run's behaviours of which
    more, or less, is better; all of them if there are none."""
    if found := own(run):
        return found
    return [m for m in behaviours(run) if MEASURES[m].better] or behaviours(run)


def worth_telling(run: Map) -> pd.DataFrame:
    """The significant rows of some size, in behaviours that do not tell the same story twice."""
    rows = changes(run)
    rows = rows[rows["measure"].isin(distinct(rows, valued(run), 8))]
    return rows[(rows["q"] < LEVEL) & (rows["harm"].abs() > REPORTED_EFFECT)]


def distinct(rows: pd.DataFrame, measures: Sequence[str], most: int) -> list[str]:
    """The measures that cuts change most, leaving out those that tell the same story as another.

    Two measures tell the same story if their harm over the lesions correlates beyond ±0.9, in size
    and in rank: in size alone, one cut that ruins everything would make all stories one. With
    fewer than four lesions that says nothing, and no measure is left out for it. The rows are
    effects under one condition, with a column ``harm``.
    """
    wide = rows.pivot(index="lesion", columns="measure", values="harm")
    wide = wide.reindex(columns=list(measures)).fillna(0.0)  # a map that confirms nothing has none
    chosen: list[str] = []

    def same(one: str, other: str) -> bool:
        return all(abs(np.corrcoef(x[one], x[other])[0, 1]) > 0.9 for x in (wide, wide.rank()))

    for name in wide.abs().mean().sort_values(ascending=False, kind="stable").index:
        if len(chosen) == most or not wide[name].any():
            break
        if len(wide) < 4 or not any(same(str(name), c) for c in chosen):
            chosen.append(str(name))
    return [m for m in measures if m in chosen] or list(measures)[:most]


def overall(effects: pd.DataFrame, *, controls: bool = False) -> pd.DataFrame:
    """The claims over all conditions, see `weakest`; with controls all rows, in all kinds."""
    rows = effects[effects["condition"] == "all"]
    return rows if controls else claims(rows)


def claims(effects: pd.DataFrame) -> pd.DataFrame:
    """The claims of an effects table, without controls; see `weakest`."""
    return weakest(effects[~effects["group"].isin(evidence.NO_CLAIMS)])


def changes(run: Map) -> pd.DataFrame:
    """The run's claims over all conditions, and of each in its own measure, with ``harm``.

    What some kinds of cut show and others do not is said (``holds``) of changes of some size only.
    """
    if run not in _CHANGES:  # every figure and sentence asks for them
        _CHANGES[run] = _changes(run)
    return _CHANGES[run].copy()


_CHANGES: WeakKeyDictionary[Map, pd.DataFrame] = WeakKeyDictionary()


def _changes(run: Map) -> pd.DataFrame:
    found = with_own(claims(run.effects()), run.own)  # each corrected in its condition's family
    rows = found[found["condition"] == "all"]
    size = rows["measure"].map(reference_effect(rows)).astype(float)
    small = (rows["holds"] != HOLDS) & (rows["most"] <= REPORTED_EFFECT * size)
    return rows.assign(harm=harm(rows), holds=rows["holds"].mask(small, NOTHING))


def told_beyond(run: Map) -> pd.DataFrame:
    """What only kinds of cut beyond the network's range show, such as zero, the largest first.

    Of the size and in the behaviours that are told of claims; see `only_beyond`.
    """
    rows, told = overall(with_own(run.effects(), run.own), controls=True), changes(run)
    rows = rows[~rows["group"].isin(evidence.NO_CLAIMS)]
    found = only_beyond(rows.assign(harm=harm(rows, reference_effect(told))))
    if found.empty:
        return found
    found = found[found["measure"].isin(distinct(told, valued(run), 8))]
    found = found[(found["harm"].abs() > REPORTED_EFFECT) & (found["group"] != "layers")]
    return found.sort_values("harm", key=np.abs, ascending=False, kind="stable")


def telling_rows(run: Map) -> pd.DataFrame:
    """Effects over all conditions, in behaviours that do not tell the same story twice; layers only
    if nothing smaller was cut."""
    rows = changes(run)
    groups = rows[rows["group"] != "layers"]
    rows = groups if len(groups) else rows
    return rows[rows["measure"].isin(told_measures(run, rows))]


def told_measures(run: Map, rows: pd.DataFrame) -> list[str]:
    """The behaviours that findings are told in: few, and no two that tell the same story; ``rows``
    are of `changes`."""
    groups = rows[rows["group"] != "layers"]
    return distinct(groups if len(groups) else rows, valued(run), 8)


def headline_regions(run: Map, most: int = 4) -> list[str]:
    """The regions whose loss changes behaviours most, whole layers left aside.

    For every measure the region with the largest significant harm is taken. Regions stand in order
    of all that is lost with them.
    """
    rows = telling_rows(run)
    clear = rows[(rows["q"] < LEVEL) & (rows["harm"].abs() > REPORTED_EFFECT)]
    if clear.empty:
        return []
    worst = clear.loc[clear.groupby("measure")["harm"].idxmin(), "lesion"]
    lost = clear.groupby("lesion")["harm"].agg(lambda h: h.clip(upper=0).sum())
    return list(lost[lost.index.isin(worst)].sort_values(kind="stable").index[:most])


def typical_episode(run: Map, lesion: str) -> int:
    """The episode to show for a lesion: the median one in the behaviour that it changes most.

    Not the most dramatic one: a film should show what usually happens.
    """
    rows = changes(run)
    if lesion not in set(rows["lesion"]):  # a control, or a further kind of a cut
        rows = overall(with_own(run.effects(), run.own), controls=True)
        rows = rows.assign(harm=harm(rows))
    rows = rows[rows["measure"].isin(own(run) or behaviours(run))]
    here = rows[rows["lesion"] == lesion]
    if here["harm"].isna().all():
        return 0
    by_size = here.sort_values("harm", key=np.abs, ascending=False, kind="stable")
    measure = str(by_size["measure"].iloc[0])
    change = differences(run.table(), [measure])[measure][lesion].dropna()
    order = change.sort_values(kind="stable").index
    return int(order[(len(order) - 1) // 2]) if len(order) else 0


def improvements(run: Map) -> pd.DataFrame:
    """Cuts that make a behaviour better, confirmed on fresh seeds, the clearest first.

    Cuts of whole layers, and those that leave a dead robot, are left out.

    Returns:
        Columns lesion, units, measure, intact, lesioned, delta, ci_low, ci_high, delta_discovery,
        q, p_random, harm; ``better_in`` and ``of``, the conditions in which it is better, of how
        many; ``costs``, the behaviours that the same cut makes worse.
    """
    effects, rows = run.effects(), changes(run)
    rows = rows[(rows["class"] != FAILURE) & (rows["group"] != "layers")]
    judged = [*valued(run), *(m for m in behaviours(run) if MEASURES[m].economy)]
    has_sign = [m for m in judged if MEASURES[m].better]
    rows = rows[rows["measure"].isin(has_sign) & (rows["q"] < LEVEL)]
    worse = rows[rows["harm"] < -SMALLEST_EFFECT].groupby("lesion")["measure"].agg(list)
    rows = rows[rows["harm"] > REPORTED_EFFECT].sort_values("harm", ascending=False, kind="stable")
    parts = claims(effects[effects["condition"] != "all"])
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
    """Region ``a`` is needed for ``x``, not for ``y``; region ``b`` for ``y``, not for ``x``.

    ``p_random`` is the share of random divisions in which any two parts cross over as strongly in
    any two behaviours; NaN where none were drawn.
    """

    a: str
    b: str
    x: str
    y: str
    strength: float
    p_random: float = np.nan


def double_dissociations(run: Map, measures: Sequence[str] | None = None) -> list[Dissociation]:
    """Pairs of regions and behaviours that cross over, strongest first; see `dissociated`.

    A region hurts a behaviour with a claim of at least 0.4 of the `reference_effect`, and spares
    one with a harm of less than 0.25. The strength is the least of the four contrasts. Crossing
    over is needed for, but does not prove, separate modules (Plaut 1995). Without measures it looks
    at those that cuts change most. Connections are no parts of a division, and left out.
    """
    rows = changes(run).fillna({"harm": 0.0})
    chosen = distinct(rows, valued(run), 8) if measures is None else list(measures)
    rows = rows[rows["measure"].isin(chosen) & ~rows["group"].isin(["layers", CONNECTIONS])]
    if rows.empty:
        return []
    value = rows.pivot(index="lesion", columns="measure", values="harm")[chosen]
    clear = rows.pivot(index="lesion", columns="measure", values="q")[chosen] < LEVEL
    value = value.clip(upper=0.0)  # what gets better is not hurt, and no more dissociated for it
    hurts, spares = (value <= -0.4) & clear, value > -0.25
    null = divisions(run, chosen)
    unit = reference_effect(changes(run))[chosen].to_numpy(np.float64)
    found = []
    for x, y in combinations(chosen, 2):
        for a in value.index[hurts[x] & spares[y]]:
            for b in value.index[hurts[y] & spares[x]]:
                strength = float(min(value[y][a] - value[x][a], value[x][b] - value[y][b]))
                both = null is not None and {a, b} <= set(null.regions)
                p = null.p_crossing(strength, unit) if null is not None and both else np.nan
                found.append(Dissociation(str(a), str(b), x, y, strength, p))
    return sorted(found, key=lambda d: -d.strength)


def dissociated(run: Map, measures: Sequence[str] | None = None) -> list[Dissociation]:
    """The `double_dissociations` that random divisions hardly ever show."""
    return [d for d in double_dissociations(run, measures) if d.p_random < LEVEL]


def random_harm(run: Map, measures: Sequence[str]) -> dict[tuple[object, ...], pd.DataFrame]:
    """Harm of each random cut of the run's controls: stratum → (draws × measures)."""
    unit = reference_effect(changes(run))[list(measures)]
    unit *= [MEASURES[m].better or 1 for m in measures]
    means = evidence.mean_changes([(c.plan, c.behaviour()) for c in run.controls], measures)
    return {stratum: change / unit for stratum, change in means.items()}
