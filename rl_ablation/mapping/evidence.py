"""From numbers to claims: what was confirmed, compared with what, and what kind of loss it is.

A map has two stages. *Discovery* runs every lesion on one set of seeds and only selects;
*confirmation* runs the selected ones on fresh seeds, and its numbers are the ones shown and tested.
So nothing that is quoted was chosen for its luck. Around it stand controls: random cuts of the
same size in the same layer, other kinds of cut, and what the cut does before the robot moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from rl_ablation.lesions.lesion import INTACT, Plan
from rl_ablation.mapping.behaviour import Behaviour, folded
from rl_ablation.mapping.effects import COLUMNS
from rl_ablation.mapping.effects import CONTROLS as NO_CLAIMS
from rl_ablation.mapping.kinds import bases
from rl_ablation.measures.registry import ALIVE, MEASURES, parted
from rl_ablation.stats import LEVEL

SELECT = 0.10
"""Discovery selects a lesion with any q below this: lenient, since confirmation decides."""

SMALLEST_EFFECT = 0.1
"""Smallest effect of interest, as a share of `reference_effect`: less makes no loss specific."""

REPORTED_EFFECT = 0.2
"""Changes of less than this share of the reference effect are not reported as findings."""

TELLING = 8
"""Episodes of a condition from which its own measure is told: with fewer, hardly any sign-flip p
survives its correction."""

SMALL = 0.25
"""A change is drawn and reported in proportion to the largest one of its measure, but never to less
than this share of the intact value, so that a small change does not look large."""

NONE, SPECIFIC, FAILURE = "no effect", "specific", "failure"

ADDED = {
    "stage": "confirmed: from fresh seeds, after selection; discovery: not selected, so no claim",
    "delta_discovery": "delta in the discovery that selected it; its winner's luck is in here",
    "random": "median delta of random cuts of the same size, layer and kind, on the same episodes",
    "draws": "number of those random cuts",
    "p_random": "min(1, 2·(1 + k)/(1 + draws)), k of them changing it as far in delta's direction; "
    "drawing stops early once this cannot fall below 5 % any more",
    "took": "manipulation check: the cut units had exactly the values the cut gives them",
    "direct": "open loop: change of the action on the intact robot's states, in s.d. of its action",
    "off_manifold": "squared Mahalanobis distance of the next site from what it normally sees, "
    "per dimension; about 1 for the intact network",
    "class": "of the cut in all its kinds: no effect; specific; failure (the robot is mostly dead)",
}
EVIDENCE_COLUMNS = {**COLUMNS, **ADDED}


def reference_effect(effects: pd.DataFrame) -> pd.Series:
    """What counts as a full change of each measure: index measure, in the measure's unit."""
    grouped = effects.groupby("measure", sort=False)
    largest = grouped["delta"].agg(lambda d: d.abs().max()).fillna(0.0)
    intact = grouped["intact"].agg(lambda x: x.abs().mean())
    least = pd.Series({m: floor(str(m), float(x)) for m, x in intact.items()}, dtype=np.float64)
    return pd.concat([largest, least], axis=1).max(axis=1).clip(lower=1e-12)


def floor(measure: str, intact: float) -> float:
    """The least that counts as a full change of a measure, given its intact value; of what has no
    unit, a share for one, at least ``SMALL``."""
    least = SMALL if MEASURES[measure].unit == "" else 0.0
    return least if np.isnan(intact) else max(least, SMALL * abs(intact))


def harm(effects: pd.DataFrame, size: pd.Series | None = None) -> pd.Series:
    """Change of each row as a share of its measure's size; below 0 is worse, above 0 better.

    Where neither is better, below 0 is simply less. A gain in economy by a robot that no longer
    does its task is no gain, and counts 0: standing still is smooth and cheap. The task is what
    the table has of measures of the world's task, or else the return; it is not done where the same
    cut clearly harms one of them.
    """
    sign = effects["measure"].map(lambda m: MEASURES[m].better or 1).astype(float)
    size = reference_effect(effects) if size is None else size
    change = sign * effects["delta"] / effects["measure"].map(size).astype(float)
    economy, task = (
        effects["measure"].map(lambda m, flag=flag: getattr(MEASURES[m], flag)).astype(bool)
        for flag in ("economy", "task")
    )
    if not economy.any():
        return change
    task = task if task.any() else effects["measure"] == "return"
    cut = pd.MultiIndex.from_frame(effects[["lesion", "condition"]])
    failed = cut[task & (effects["q"] < LEVEL) & (change < -REPORTED_EFFECT)]
    return change.mask(economy & (change > 0) & cut.isin(failed), 0.0)


def with_own(effects: pd.DataFrame, own: Sequence[str]) -> pd.DataFrame:
    """The effects, and each condition's own measure as a behaviour of its own.

    ``own`` are names of `in_condition`. Their rows are those of the condition, and stand under that
    name among the rows of condition "all".
    """
    several = effects["condition"].nunique() > 1  # or "all" is the one condition there is
    frames = [effects]
    for name in own:
        condition, measure = parted(name)
        here = effects["condition"] == (condition if several else "all")
        rows = effects[here & (effects["measure"] == measure)]
        frames.append(rows.assign(condition="all", measure=name))
    return pd.concat(frames, ignore_index=True)


def selected(effects: pd.DataFrame) -> list[str]:
    """The lesions that a discovery's effects send to confirmation, in the order of the table."""
    rows = effects[(effects["condition"] == "all") & (effects["q"] < SELECT)]
    return list(rows["lesion"].unique())


def merge(discovery: pd.DataFrame, confirmed: pd.DataFrame | None) -> pd.DataFrame:
    """Put confirmed numbers in the place of the discovery's for the lesions that have them."""
    key = ["lesion", "condition", "measure"]
    first = discovery.assign(stage="discovery", delta_discovery=discovery["delta"])
    if confirmed is None:
        return first
    rest = ~first["lesion"].isin(set(confirmed["lesion"])) & first["q"].notna()
    first.loc[rest, ["q", "p_fwe"]] = 1.0
    again = confirmed.assign(stage="confirmed").merge(
        first[[*key, "delta_discovery"]], on=key, how="left"
    )
    # In the discovery's order, each cut with its further kinds behind it.
    order = {name: k for k, name in enumerate(first["lesion"].drop_duplicates())}
    both = pd.concat([first[~first["lesion"].isin(set(again["lesion"]))], again])
    place = bases(both["lesion"]).map(order)
    conditions = {name: k for k, name in enumerate(first["condition"].drop_duplicates())}
    measures = {name: k for k, name in enumerate(first["measure"].drop_duplicates())}
    ranks = [both["condition"].map(conditions), both["measure"].map(measures), place]
    return both.iloc[np.lexsort(ranks[::-1])].reset_index(drop=True)[list(first)]


def differences(
    found: pd.DataFrame | Behaviour, measures: Sequence[str]
) -> Mapping[str, pd.DataFrame]:
    """Measure → paired differences from the intact robot, a row an episode, a column a lesion."""
    if isinstance(found, Behaviour):
        return {m: found.differences(m, INTACT) for m in measures}
    apart = {}
    for name in measures:
        condition, known = parted(name)
        values = found[known].where(found["condition"] == condition) if condition else found[known]
        keys = found[["episode", "lesion"]].assign(value=values)
        wide = keys.pivot(index="episode", columns="lesion", values="value")
        apart[name] = wide.drop(columns=INTACT).sub(wide[INTACT], axis=0)
    return apart


def mean_changes(
    controls: Sequence[tuple[Plan, pd.DataFrame | Behaviour]],
    measures: Sequence[str],
    group: str = "random",
) -> dict[tuple[object, ...], pd.DataFrame]:
    """Mean change by each cut of a group in these plans and tables: place → (cuts × measures)."""
    found: dict[tuple[object, ...], list[pd.DataFrame]] = {}
    for plan, table in controls:
        change = differences(table, measures)
        places: dict[tuple[object, ...], list[str]] = {}
        for x in plan:
            if x.group == group:
                places.setdefault(x.stratum, []).append(x.name)
        for place, names in places.items():
            means = pd.DataFrame({m: change[m][names].mean() for m in measures})
            found.setdefault(place, []).append(means)
    return {place: pd.concat(parts) for place, parts in found.items()}


def size_matched(
    effects: pd.DataFrame,
    regions: tuple[Plan, pd.DataFrame | Behaviour],
    controls: Sequence[tuple[Plan, pd.DataFrame | Behaviour]],
    measures: Sequence[str],
    group: str = "random",
) -> pd.DataFrame:
    """Compare each region with random cuts of its size, layer and kind on the same episodes.

    Of the effects, rows of condition "all", the deltas give the direction. Regions and controls
    are plans and behaviour tables; of the regions' only the episodes that all controls have count.

    Returns:
        Columns lesion, measure, random, draws, p_random; a row for each region × measure that has
        controls.
    """
    plan, table = regions
    draws = mean_changes(controls, measures, group)
    columns = ["lesion", "measure", "random", "draws", "p_random"]
    if not draws:
        return pd.DataFrame(columns=columns)
    held = folded(table, measures)
    episodes = set.intersection(*(set(folded(t, measures).episodes) for _, t in controls))
    common = np.isin(held.episodes, list(episodes))
    own = {m: change[common] for m, change in differences(held, measures).items()}
    there = set(held.about.index)
    where = {x.name: x.stratum for x in plan if x.group != "random" and x.name in there}
    found = []
    for row in effects[effects["measure"].isin(measures)].to_dict("records"):
        lesion, measure = row["lesion"], row["measure"]
        if (place := where.get(lesion)) not in draws:
            continue
        null = draws[place][measure].to_numpy()
        null = null[np.isfinite(null)]
        sign = -1.0 if row["delta"] < 0 else 1.0
        value = own[measure][lesion].mean()
        if not null.size or not np.isfinite(value):
            continue
        slack = 1e-12 * max(1.0, abs(value))
        beyond = int((sign * null >= sign * value - slack).sum())
        p = min(1.0, 2 * (1 + beyond) / (1 + null.size))
        found.append((lesion, measure, float(np.median(null)), null.size, p))
    return pd.DataFrame(found, columns=columns)


def classify(effects: pd.DataFrame) -> pd.Series:
    """Index lesion: what kind of loss each is; a dead robot says little (Jonas & Kording 2017).

    ``no effect``: no significant change above the smallest effect of interest. ``failure``: most
    behaviours are lost even while the robot still runs (three quarters or more of those taken while
    alive and for which more or less is better), or the robot ends early (half its time lost)
    without any such loss. ``specific``: anything else.
    """
    rows = effects[effects["condition"] == "all"]
    rows = rows[~rows["group"].isin(NO_CLAIMS)]
    change, clear = harm(rows).fillna(0.0), rows["q"] < LEVEL
    valued = [m for m, x in MEASURES.items() if ALIVE in m and x.better != 0 and not x.task]
    rows = rows.assign(
        worse=clear & (change < -SMALLEST_EFFECT),
        changed=clear & (change.abs() > SMALLEST_EFFECT),
        valued=rows["measure"].isin(valued),
    )
    classes = {}
    for lesion, part in rows.groupby("lesion", sort=False):
        alive = part[part["valued"]]
        lost = alive["worse"].mean() if len(alive) else 0.0
        lasted = part[part["measure"].map(lambda m: MEASURES[m].lifetime)]
        short = bool((lasted["worse"] & (lasted["lesioned"] < 0.5 * lasted["intact"])).any())
        if not part["changed"].any():
            classes[lesion] = NONE
        elif lost >= 0.75 or (short and lost == 0.0):
            classes[lesion] = FAILURE
        else:
            classes[lesion] = SPECIFIC
    return pd.Series(classes, dtype=object)
