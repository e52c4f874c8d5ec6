"""What a cut does to the robot, in one plain sentence, made of claims and nothing else.

Only claims of a size that is reported are told (see `rl_ablation.mapping.claims`), with the words
that their measures declare (`Words`), and with the kind of cut where they rest on one alone. A
ratio is that of the means. "Without a crash" is said where no episode had one under any kind of
cut on which the claims rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rl_ablation.formats import listed, number, unlike
from rl_ablation.lesions.lesion import VARIANT, Lesion
from rl_ablation.lesions.methods import KINDS
from rl_ablation.mapping.claims import changes, claims, told_measures
from rl_ablation.mapping.evidence import REPORTED_EFFECT
from rl_ablation.mapping.kinds import bases
from rl_ablation.mapping.map import Map
from rl_ablation.measures.registry import ALIVE, MEASURES, Measure, Words, parted
from rl_ablation.policies.graph import STATES
from rl_ablation.stats import LEVEL

GONE = 0.05
"""Less than this share of the intact value is told as gone."""

_RATIOS = 20.0  # a change of more than so many times the intact value is told in values
_EXPLAINS = 0.5  # of a command's error, from which the motion is told in place of it
_MOST = 2  # clauses of a sentence

Row = Mapping[Any, Any]


def sentences(run: Map) -> dict[str, str]:
    """Lesion → what the robot does without it; only cuts with a claim worth telling are in it."""
    every = changes(run)
    clear = every[(every["q"] < LEVEL) & (every["harm"].abs() > REPORTED_EFFECT)]
    rows = clear[clear["measure"].isin(told_measures(run, every))]
    rows = rows.sort_values("harm", key=np.abs, ascending=False, kind="stable")
    known, cuts = _known(run, clear), cuts_of_claims(run)
    told = {}
    for lesion, part in rows.groupby("lesion", sort=False):
        name = str(lesion)
        clauses = part.to_dict("records")
        head = without(run.plan[name], cuts[name], run)
        told[name] = _sentence(known, name, head, clauses)
    return told


def cuts_of_claims(run: Map) -> dict[str, list[Lesion]]:
    """Cut → the kinds of it on which its claims rest: those within the range, or all if none is."""
    sure = run.confirmation
    plan = run.plan if sure is None else run.plan + sure.plan
    names = bases(pd.Series(plan.names))
    found: dict[str, list[Lesion]] = {}
    for name, lesion in zip(names, plan, strict=True):
        found.setdefault(name, []).append(lesion)
    return {
        name: [x for x in kinds if KINDS[x.kind].within] or kinds for name, kinds in found.items()
    }


def without(lesion: Lesion, kinds: Sequence[Lesion], run: Map) -> str:
    """How a sentence about a cut begins: "Without these 26 units of layer h1"."""
    what = _what(lesion, run)
    when = f" while {lesion.when}" if lesion.when else ""
    when += f" from step {lesion.onset} on" if lesion.onset else ""
    when += f" until step {lesion.offset}" if lesion.offset is not None else ""
    if len(kinds) > 1 and all(KINDS[x.kind].within for x in kinds):
        return f"Without {what}{when}"
    return f"With {what} {' or '.join(dict.fromkeys(_manner(x) for x in kinds))}{when}"


def _manner(lesion: Lesion) -> str:
    kind = KINDS[lesion.kind]
    strength = kind.default if lesion.strength is None else lesion.strength
    text = kind.told or f"cut by {lesion.kind}"
    return text.format(strength="" if strength is None else f"{strength:g}")


def _what(lesion: Lesion, run: Map) -> str:
    if lesion.directions:
        name = lesion.name.partition(VARIANT)[0].rpartition("/")[2]
        which = "the direction" if lesion.size == 1 else f"the {lesion.size} directions"
        where = f"layer{'s' * (len(lesion.sites) > 1)} {listed(lesion.sites)}"
        cut = f"{which} “{name}” in the code of {where}"
    else:
        cut = _which(lesion.cut, run)
    if not any(lesion.to.values()):
        return cut
    tells = "tells" if lesion.size == 1 else "tell"
    return f"what {cut} {tells} {_which(lesion.to, run)}"


def _which(cut: Mapping[str, Sequence[int]], run: Map) -> str:
    """These units, with the layer: "these 26 units of layer h1"."""
    sites, units = [s for s, there in cut.items() if there], sum(map(len, cut.values()))
    kind = {"obs": "sensor", "action": "motor"}.get(sites[0]) if len(sites) == 1 else None
    if kind is not None:
        unit, names = cut[sites[0]][0], run.names.get(sites[0], [])
        name = f"“{names[unit]}”" if unit < len(names) else str(unit)
        return f"its {kind} {name}" if units == 1 else f"these {units} {kind}s"
    where = f"layer{'s' * (len(sites) > 1)} {listed(sites)}"
    state = STATES.get(f".{sites[0].partition('.')[2]}") if len(sites) == 1 else None
    before = f"the {state} of " if state is not None else ""
    if before:
        where = f"layer {sites[0].partition('.')[0]}"
    if all(len(cut[s]) == run.spec.sites[s] for s in sites):
        return f"{before}all {units} units of {where}"
    which = "this one unit" if units == 1 else f"these {units} units"
    return f"{before}{which} of {where}"


@dataclass(frozen=True)
class _Known:
    """All that a sentence may say: claims, and what each kind on which they rest shows."""

    run: Map
    claims: Mapping[tuple[str, str, str], Row]
    extremes: Mapping[tuple[str, str, str], tuple[float, float]]  # of the cut robots' means
    hurt: Mapping[str, set[str]]  # lesion → the commands, by their measures, that it makes worse

    def of(self, lesion: str, condition: str, measure: str) -> Row | None:
        """The claim; of a run under one condition its only ones are those over all."""
        row = self.claims.get((lesion, condition, measure))
        return row if row is not None else self.claims.get((lesion, "all", measure))

    def spread(self, row: Row) -> tuple[float, float]:
        return self.extremes[row["lesion"], row["condition"], row["measure"]]


def _known(run: Map, clear: pd.DataFrame) -> _Known:
    effects, key = run.effects(), ["lesion", "condition", "measure"]
    rows: dict[tuple[str, str, str], Row] = {
        (r["lesion"], r["condition"], r["measure"]): r for r in claims(effects).to_dict("records")
    }
    rest = {x.name for kinds in cuts_of_claims(run).values() for x in kinds}
    tested = effects[effects["lesion"].isin(rest)]
    grouped = tested.assign(lesion=bases(tested["lesion"])).groupby(key)["lesioned"]
    ends = grouped.agg(["min", "max"])
    extremes = dict(zip(ends.index, ends.itertuples(index=False, name=None), strict=True))
    worse = clear[clear["measure"].isin(run.own) & (clear["harm"] < 0)]
    hurt = {str(name): set(part["measure"]) for name, part in worse.groupby("lesion")}
    return _Known(run, rows, extremes, hurt)


def _clear(row: Row | None) -> bool:
    return row is not None and bool(row["q"] < LEVEL)


def _sentence(known: _Known, lesion: str, head: str, rows: list[Any]) -> str:
    claimed, spared, early = _ends(known, lesion, "all")
    spared = f", {spared}" if spared else ""
    if any(parted(row["measure"])[0] for row in rows):
        return f"{head}: {_by_command(known, lesion, rows)}{spared}."
    parts: dict[str, str] = {}
    for row in sorted(rows, key=lambda r: MEASURES[r["measure"]].economy):
        base = row["measure"].removesuffix(ALIVE)
        if base not in parts and (text := _motion(known, row, early)):
            parts[base] = text
        if len(parts) == _MOST:
            break
    motion = listed(list(parts.values()))
    if not motion and not claimed:  # all that is shown is shown over the whole time limit
        motion = _plainly(MEASURES[rows[0]["measure"]], rows[0])
    if claimed:
        until = f"; until then it {motion}" if motion else ""
        return f"{head}, the robot {listed(claimed)}{until}."
    return f"{head}, the robot {motion}{spared}."


def _ends(known: _Known, lesion: str, condition: str) -> tuple[list[str], str, bool]:
    """How episodes end: what is claimed, what never happens, and whether any robot ended early."""
    taken = known.run.measures
    claimed, spared, early, n = [], [], False, 0
    for measure in [m for m in taken if m.ending] or [m for m in taken if m.lifetime]:
        row = known.of(lesion, condition, measure.name)
        if row is None:
            continue
        (least, most), worse = known.spread(row), row["delta"] * measure.better < 0
        if measure.ending:
            words = measure.words or Words(f"{measure.ending} in {{count}} episodes")
            early = early or most > row["intact"]
            if most == 0 and words.gone:
                spared.append(words.gone)
                n = int(row["n"])
        else:
            words = measure.words or Words("lasts {as} long")
            early = early or least < row["intact"]
        if _clear(row) and worse:
            claimed.append(_say(measure, words, row))
    return claimed, f"{listed(spared)} in {n} episodes" if spared else "", early


def _motion(known: _Known, row: Row, early: bool) -> str:
    """What the robot does; "" where that is told by how its episodes end.

    Over the horizon a robot that has ended counts as standing still, or as it was. So where any
    ended early, a measure without words for that is told by its twin while alive, or not at all.
    """
    measure = MEASURES[row["measure"]]
    if measure.ending or measure.lifetime:
        return ""
    alive = measure.name + ALIVE
    if measure.words is not None or alive not in known.run.spec.measures:
        return _say(measure, measure.words, row)
    twin = MEASURES[alive]
    if not early:
        return _say(twin, twin.words, row)
    other = known.of(row["lesion"], row["condition"], alive)
    if other is None or not _clear(other) or other["delta"] * row["delta"] <= 0:
        return ""
    return _say(twin, twin.words, other)


def _by_command(known: _Known, lesion: str, rows: list[Any]) -> str:
    """Clauses of what the robot does under each command; the same under several is one clause."""
    told: dict[str, list[str]] = {}
    for row in rows[:_MOST]:
        condition, name = parted(row["measure"])
        claimed, _, early = _ends(known, lesion, condition)
        measure = MEASURES[name]
        text = listed(claimed) or _moved(known, row, measure, early)
        text = text or _say(measure, measure.words, row)
        told.setdefault(text, []).append(known.run.condition_words(condition))
    subjects = ["the robot", *["it"] * len(told)]
    clauses = zip(told.items(), subjects, strict=False)
    parts = [f"{' or '.join(w)}, {who} {text}" for (text, w), who in clauses]
    rest = known.hurt.get(lesion, set()) - {row["measure"] for row in rows[:_MOST]}
    more = f"it does worse under {len(rest)} more of {len(known.run.own)} commands"
    return "; ".join([*parts, more] if rest else parts)


def _moved(known: _Known, row: Row, error: Measure, early: bool) -> str:
    """The motion behind the error of a command, if that is a claim of the condition too and
    explains the error; else ""."""
    if error.error_of not in known.run.spec.measures:
        return ""
    condition, _ = parted(row["measure"])
    alive = error.error_of + ALIVE
    name = alive if early and alive in known.run.spec.measures else error.error_of
    motion = known.of(row["lesion"], condition, name)
    if motion is None or not _clear(motion):
        return ""
    twin, size = MEASURES[alive], abs(motion["delta"])
    return _say(twin, twin.words, motion) if size >= _EXPLAINS * row["delta"] > 0 else ""


def _say(measure: Measure, words: Words | None, row: Row) -> str:
    """A row in the words of its measure; in plain ones where there are none that fit."""
    if words is None:
        return _plainly(measure, row)
    intact, now = row["intact"], row["lesioned"]
    of, as_ = "", ""
    if "{of}" in words.changed or "{as}" in words.changed:
        if not abs(intact) > 0 or abs(now) > _RATIOS * abs(intact):
            return _plainly(measure, row)
        ratio = now / intact
        if ratio < GONE:
            turned = ratio < 0 and words.turned and _turned(row)
            return (words.turned if turned else words.gone) or _plainly(measure, row)
        of, as_ = _ratio(ratio)
    values = {"of": of, "as": as_} | dict(zip(("now", "was"), _values(row), strict=True))
    if "{count}" not in words.changed:
        return words.changed.format_map(values)
    n, before = int(row["n"]), round(intact * row["n"])
    text = words.changed.format_map({"count": f"{round(now * n)} of {n}"})
    return f"{text} instead of {before}" if before else text


def _turned(row: Row) -> bool:
    """Whether the whole interval of the change takes the value beyond zero."""
    ends = row["intact"] + np.array([row["ci_low"], row["ci_high"]], float)
    if not np.isfinite(ends).all():  # alike in all episodes
        ends = np.array([row["lesioned"]])
    return bool((ends * row["intact"] < 0).all())


def _ratio(ratio: float) -> tuple[str, str]:
    """("40 % of", "40 % as") or ("1.4 times", "1.4 times as")."""
    if ratio < 0.995:
        text = number(ratio, "%")
        return f"{text} of", f"{text} as"
    text = f"{ratio:.2f}" if ratio < 1.095 else f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:.0f}"
    return f"{text} times", f"{text} times as"


def _values(row: Row) -> tuple[str, str]:
    """After the cut and before it, with their unit."""
    unit = MEASURES[row["measure"]].unit
    now, was = (f"{x} {unit}".rstrip() for x in unlike(row["lesioned"], row["intact"]))
    return now, was


def _plainly(measure: Measure, row: Row) -> str:
    now, was = _values(row)
    return f"comes to {now} in {measure.label} instead of {was}"
