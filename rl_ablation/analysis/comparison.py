"""Two maps side by side: which of their regions do the same, and what differs between them.

For two agents, or for one before and after training. A cut that both maps made, of the same units
of the same sites, is one region by its name. All other regions have no names in common: inside a
grouping they are matched one to one by what their loss does (`consistency.match`). Matching takes
place on the episodes of the discovery, and what differs is measured on those of the confirmation,
which had no part in it. It takes what is most alike, so it makes differences small, not large.

A difference is told as a claim is (`rl_ablation.mapping.kinds`): where it is clear, with one sign,
under every kind of cut within the network's range, and with the kind under which it is smallest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from rl_ablation import stats, unpaired
from rl_ablation.analysis.consistency import (
    EFFECTS,
    NAME,
    Consistency,
    Pair,
    matched_regions,
    regions,
)
from rl_ablation.errors import LabError
from rl_ablation.formats import Estimate, number, small
from rl_ablation.lesions.lesion import INTACT, VARIANT, Lesion
from rl_ablation.mapping.behaviour import Behaviour
from rl_ablation.mapping.claims import behaviours, changes, own
from rl_ablation.mapping.evidence import NO_CLAIMS, REPORTED_EFFECT, reference_effect
from rl_ablation.mapping.kinds import weakest
from rl_ablation.mapping.map import Map
from rl_ablation.mapping.run import Run
from rl_ablation.markup import shown
from rl_ablation.measures.registry import MEASURES, parted
from rl_ablation.stats import LEVEL

COLUMNS = {
    "region_a": "cut in the first run",
    "region_b": "the region of the second run that it is matched with",
    "group": "grouping it belongs to",
    "units_a": "units cut",
    "units_b": "units cut",
    "matched": f"{NAME}: both runs made the very same cut; {EFFECTS}: by what its loss does",
    "kind": "kind of the cut under which the difference is smallest",
    "measure": "behaviour measured",
    "unit": "unit of the changes, the difference and its interval",
    "change_a": "mean paired change from the intact robot, in the first run",
    "change_b": "and in the second",
    "difference": "change_b − change_a",
    "ci_low": "lower end of the 95 % interval of the difference; none where nothing varies",
    "ci_high": "upper end",
    "p": "two-sided p of the difference, the largest of the kinds within the network's range",
    "q": "p after Benjamini & Hochberg 1995 over all regions × measures compared",
    "holds": "under which kinds of cut the difference is clear; see the table of claims",
    "claim_a": "whether the change is a claim in the first run's own map, of the size of findings",
    "claim_b": "and in the second's",
    "size": "the larger of both changes, as a share of the larger of both reference effects",
    "share": "the difference as a share of it; below 0 is worse in the second run",
    "n": "pairs of episodes; of unpaired ones the number in the run that has fewer",
}


@dataclass(frozen=True, eq=False)
class Comparison:
    """What two maps have in common and where they differ.

    Attributes:
        a: The first run, such as that before a training.
        b: The second.
        table: A row for each pair of regions × measure; the columns are ``COLUMNS``.
        intact: A row for each measure of the intact robots: measure, unit, value_a, value_b,
            difference, ci_low, ci_high, p, q, share, n.
        similar: Grouping → how alike its regions are in both runs, where matched by effects.
        kinds: Kinds of cut that both runs made.
        paired: Whether both runs ran the same episodes, so that these are compared one by one.
        confirmed: Whether both runs confirmed on fresh seeds; otherwise all here are candidates.
        left_out: What cannot be compared, a sentence each.
    """

    a: Map
    b: Map
    table: pd.DataFrame
    intact: pd.DataFrame
    similar: Mapping[str, Consistency]
    kinds: tuple[str, ...]
    paired: bool
    confirmed: bool
    left_out: tuple[str, ...]

    @property
    def names(self) -> tuple[str, str]:
        """What the two are called: their agents, or else their folders."""
        return names_of(self.a, self.b)

    @property
    def told(self) -> pd.DataFrame:
        """The rows in which either change is a claim of its own map, the pairs that differ most
        first; ``clear`` are those that differ clearly, and by as much as findings are told of."""
        rows = self.table[self.table["claim_a"] | self.table["claim_b"]]
        share = rows["share"].abs().fillna(0.0)
        most = share.groupby([rows["region_a"], rows["region_b"]]).transform("max")
        return rows.assign(clear=differ(rows)).iloc[np.lexsort((-share, -most))]

    def _repr_html_(self) -> str:
        one, other = self.names
        table = [
            {
                "region": row["region_a"],
                "and": row["region_b"],
                "behaviour": MEASURES[row["measure"]].label,
                "unit": row["unit"],
                f"change in {one}": number(row["change_a"]),
                f"change in {other}": number(row["change_b"]),
                "difference (95 % CI)": f"{Estimate.of(row, 'difference', 'ci_low', 'ci_high')}",
                "q": small(row["q"]),
            }
            for row in self.told.to_dict("records")
        ]
        about = f"and {other}: what the same loss changes, on {self.table['n'].max()} episodes"
        return shown(one, about, table, " ".join(self.left_out))


def differ(rows: pd.DataFrame) -> pd.Series:
    """Which rows differ clearly, by as much as findings are told of, with 0 outside the interval.

    An interval for few episodes can be wider than the test is strict; then nothing is told.
    """
    holds_0 = (rows["ci_low"] <= 0) & (rows["ci_high"] >= 0)
    return (rows["q"] < LEVEL) & (rows["share"].abs() > REPORTED_EFFECT) & ~holds_0


def names_of(a: Run, b: Run) -> tuple[str, str]:
    """What two runs are called: their agents, or else their folders."""
    for one, other in ((a.spec.agent, b.spec.agent), (a.folder.name, b.folder.name)):
        if one != other:
            return one, other
    return str(a.folder), str(b.folder)


def compare(
    a: Run | str | Path,
    b: Run | str | Path,
    *,
    by: Literal["name", "effects"] | None = None,
    measures: Sequence[str] | None = None,
) -> Comparison:
    """Compare two maps: matched regions, and the differences of what their loss does.

    Without ``by`` a cut that both made is one region by its name, and the rest is matched by
    effects; with it all are matched in that way. Without measures it looks at those that findings
    are made of. Where both maps have confirmations only these are compared.

    Raises:
        LabError: A run is none or not finished; or the two have no world, length of episodes,
            condition or measure in common.
    """
    a, b = (Map(run.folder if isinstance(run, Run) else run) for run in (a, b))
    _check(a, b)
    chosen = _measures(a, b, measures)
    pairs, similar = matched_regions(a, b, _profile(a, b), by)
    sure = a.confirmation, b.confirmation
    one, other = (a, b) if None in sure else sure
    assert one is not None
    assert other is not None
    sides, rows = _Sides(one, other), _rows(pairs, one, other)
    both = changes(a), changes(b)
    return Comparison(
        a=a,
        b=b,
        table=_table(both, sides, rows, chosen),
        intact=sides.intact(chosen, _full(both)),
        similar=similar,
        kinds=tuple(dict.fromkeys(row.kind for row in rows)),
        paired=sides.paired,
        confirmed=None not in sure,
        left_out=_left_out((a, b), (one, other), pairs, rows),
    )


def _check(a: Map, b: Map) -> None:
    for run in (a, b):
        run.check()
    if a.digest == b.digest:
        raise LabError(f"{a.folder} and {b.folder} are one and the same run; give two")
    one, other = a.spec, b.spec
    worlds = [f"{s.env_id.rpartition(':')[2]} {s.env_kwargs or ''}".strip() for s in (one, other)]
    if worlds[0] != worlds[1]:
        raise LabError(
            f"{a.folder} is of {worlds[0]}, {b.folder} of {worlds[1]}: what robots do in two "
            "worlds cannot be compared"
        )
    if one.horizon != other.horizon:
        raise LabError(
            f"episodes last up to {one.horizon} steps in {a.folder} and {other.horizon} in "
            f"{b.folder}: map both with the same --max-steps"
        )
    if not set(one.conditions) & set(other.conditions):
        raise LabError(f"{a.folder} and {b.folder} have no condition in common")


def _measures(a: Map, b: Map, asked: Sequence[str] | None) -> list[str]:
    for run in (a, b):
        taken = [*run.spec.measures, *run.own]
        for name in asked or ():
            if name not in taken:
                raise LabError(f"measure {name!r} was not taken in {run.folder}")
    if asked:
        return list(asked)
    if own(a) and (both := [m for m in own(a) if m in own(b)]):
        return both
    return _profile(a, b)


def _profile(a: Map, b: Map) -> list[str]:
    """The behaviours of both runs in which regions are matched: those with a better and a worse."""
    both = [m for m in behaviours(a) if m in behaviours(b)]
    if not both:
        raise LabError(f"{a.folder} and {b.folder} have no measure in common")
    return [m for m in both if MEASURES[m].better] or both


class _Sides:
    """The episodes of two runs, side by side where both ran the same ones."""

    def __init__(self, a: Run, b: Run) -> None:
        self.found: tuple[Behaviour, Behaviour] = (a.behaviour(), b.behaviour())
        conditions = set(a.spec.conditions) & set(b.spec.conditions)
        ours, theirs = (
            {key: k for k, key in enumerate(_episodes(run)) if key[1] in conditions}
            for run in (a, b)
        )
        shared = [key for key in ours if key in theirs]
        self.paired = 2 * len(shared) >= min(len(ours), len(theirs))
        self.rows = (
            [[x[key] for key in shared] for x in (ours, theirs)]
            if self.paired
            else [list(x.values()) for x in (ours, theirs)]
        )
        self.rng = np.random.default_rng([a.spec.seed, b.spec.seed])

    def changes(self, side: int, names: Sequence[str], measures: Sequence[str]) -> np.ndarray:
        """Change from the intact robot in each episode, (E, measures · lesions)."""
        found, rows = self.found[side], self.rows[side]
        columns = [found.differences(m, INTACT)[list(names)].to_numpy()[rows] for m in measures]
        return np.hstack(columns)

    def tested(self, a: np.ndarray, b: np.ndarray) -> pd.DataFrame:
        """Means of two matrices (E, C) and (F, C), and their difference with its interval and p."""
        if self.paired:
            both = np.isfinite(a) & np.isfinite(b)
            a, b = (np.where(both, x, np.nan) for x in (a, b))
            low, high = stats.mean_intervals(b - a, self.rng)
            low, high = (np.where(low == high, np.nan, end) for end in (low, high))
            p = stats.sign_flip_p(b - a, self.rng)
        else:
            low, high = unpaired.difference_intervals(a, b, self.rng)
            p = unpaired.relabelling_p(a, b, self.rng)
        means = [stats.finite_mean(x) for x in (a, b)]
        n = np.minimum(*(np.isfinite(x).sum(0) for x in (a, b)))
        return pd.DataFrame(
            {
                "intact": means[0], "lesioned": means[1], "delta": means[1] - means[0],
                "ci_low": low, "ci_high": high, "p": p, "q": stats.benjamini_hochberg(p), "n": n,
            }
        )  # fmt: skip

    def intact(self, measures: Sequence[str], full: pd.Series) -> pd.DataFrame:
        """The intact robots: a row for each measure; ``full`` are the reference effects."""
        values = []
        for found, rows in zip(self.found, self.rows, strict=True):
            at, columns = found.about.index.get_loc(INTACT), []
            for condition, name in map(parted, measures):
                here = (found.conditions == condition) | (condition == "")
                columns.append(np.where(here, found.numbers[name][:, at], np.nan)[rows])
            values.append(np.column_stack(columns))
        table = self.tested(*values)
        table.insert(0, "measure", list(measures))
        table.insert(1, "unit", [MEASURES[m].unit for m in measures])
        better = np.array([MEASURES[m].better or 1 for m in measures])
        table["share"] = better * table["delta"] / table["measure"].map(full).astype(float)
        renamed = {"intact": "value_a", "lesioned": "value_b", "delta": "difference"}
        return table.rename(columns=renamed)


def _episodes(run: Run) -> list[tuple[int, str]]:
    """Seed and condition of every episode of a run, in the order of its numbers."""
    jobs = (part.episodes.jobs(part.plan[INTACT]) for part in (run, *run.looks))
    return [(job.seed, job.condition) for some in jobs for job in some]


@dataclass(frozen=True)
class _Row:
    """A pair of regions, cut in one kind: what `weakest` makes one row of with the other kinds."""

    number: int
    pair: Pair
    kind: str
    lesion: str
    names: tuple[str, str]


def _rows(pairs: Sequence[Pair], a: Run, b: Run) -> list[_Row]:
    """A row for each pair × kind of cut that both runs made."""
    rows = []
    for k, pair in enumerate(pairs):
        ours, theirs = _ways(a, pair.a), _ways(b, pair.b)
        both = [how for how in ours if how in theirs]
        for how in both:
            name = str(k) if how == both[0] else f"{k}{VARIANT}{how}"
            names = ours[how].name, theirs[how].name
            rows.append(_Row(k, pair, ours[how].kind, name, names))
    return rows


def _ways(run: Run, cut: Lesion) -> dict[str, Lesion]:
    """How a cut was made in a run: kind and strength → lesion."""
    made = [x for x in run.plan if x.name.partition(VARIANT)[0] == cut.name]
    return {f"{x.kind} {'' if x.strength is None else x.strength}": x for x in made}


def _table(
    both: Sequence[pd.DataFrame], sides: _Sides, rows: Sequence[_Row], measures: Sequence[str]
) -> pd.DataFrame:
    """The table of a `Comparison`, of which ``both`` are the `changes` of its maps."""
    if not rows or not measures:
        return pd.DataFrame(columns=list(COLUMNS)).astype({"claim_a": bool, "claim_b": bool})
    values = (sides.changes(k, [row.names[k] for row in rows], measures) for k in (0, 1))
    found = sides.tested(*values).assign(
        lesion=[row.lesion for row in rows] * len(measures),
        kind=[row.kind for row in rows] * len(measures),
        measure=np.repeat(list(measures), len(rows)),
        condition="all",
        p_fwe=np.nan,
    )
    told = weakest(found)
    pairs = {str(row.number): row.pair for row in rows}
    of = [pairs[name] for name in told["lesion"]]
    full = told["measure"].map(_full(both)).astype(float)
    better = told["measure"].map(lambda m: MEASURES[m].better or 1)
    told = told.assign(
        region_a=[pair.a.name for pair in of],
        region_b=[pair.b.name for pair in of],
        group=[pair.a.group for pair in of],
        units_a=[pair.a.size for pair in of],
        units_b=[pair.b.size for pair in of],
        matched=[pair.how for pair in of],
        unit=[MEASURES[m].unit for m in told["measure"]],
        size=told[["intact", "lesioned"]].abs().max(axis=1) / full,
        share=better * told["delta"] / full,
    ).rename(columns={"intact": "change_a", "lesioned": "change_b", "delta": "difference"})
    for side, of_map in zip("ab", both, strict=True):
        claims = (of_map["q"] < LEVEL) & (of_map["harm"].abs() > REPORTED_EFFECT)
        clear = pd.MultiIndex.from_frame(of_map.loc[claims, ["lesion", "measure"]])
        keys = pd.MultiIndex.from_frame(told[[f"region_{side}", "measure"]])
        told[f"claim_{side}"] = keys.isin(clear)
    return told[list(COLUMNS)]


def _full(both: Sequence[pd.DataFrame]) -> pd.Series:
    """The larger of both maps' reference effects: index measure."""
    return pd.concat([reference_effect(changed) for changed in both], axis=1).max(axis=1)


def _left_out(
    maps: tuple[Map, Map], stages: tuple[Run, Run], pairs: Sequence[Pair], rows: Sequence[_Row]
) -> tuple[str, ...]:
    """What cannot be compared, a sentence each."""
    names, told = names_of(*maps), []
    kept = {row.number for row in rows}
    lost = [pair for k, pair in enumerate(pairs) if k not in kept]
    for k, name in enumerate(names):
        run, rest = maps[k].spec, maps[1 - k].spec
        matched, without = ({(x.a, x.b)[k].name for x in some} for some in (pairs, lost))
        kinds = [
            {x.kind for x in stage.plan if x.size and x.group not in NO_CLAIMS} for stage in stages
        ]
        there = set(stages[k].plan.names)
        only = {
            "Without a counterpart": [x.name for x in regions(maps[k]) if x.name not in matched],
            "Not confirmed, so without a claim,": sorted(without - there),
            "Measured only": [m for m in run.measures if m not in rest.measures],
            "Conditions only": [c for c in run.conditions if c not in rest.conditions],
            "Kinds of cut only": sorted(kinds[k] - kinds[1 - k]),
        }
        told += [f"{what} in {name}: {', '.join(found)}." for what, found in only.items() if found]
    return tuple(told)
