"""The findings of the development study in sentences, from the numbers and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.studies.development.figures import moment
from experiments.studies.development.measuring import ACTION, BEHAVIOURS, LOSS, SIGNS, Training
from rl_ablation.analysis.localisation import HARMED
from rl_ablation.formats import Estimate, listed, number
from rl_ablation.reports import style
from rl_ablation.stats import LEVEL

LAPS, OWN, RANDOM, GAP = "laps", "clusters", "random parts", "difference"
ALL, RISE, MISSED = "all trained", "rise", "never"
"""In the place of a moment: the mean of the trained ones, the rise from the first of them, and no
two moments in a row."""
AGREE = "the other kind"
INTEREST, CORRELATION = 0.1, 0.2
"""Smallest difference of shares, and smallest correlation, that would matter, fixed before."""


def tell(
    need: pd.DataFrame, first: pd.DataFrame, local: pd.DataFrame, fore: pd.DataFrame,
    found: Sequence[Training],
) -> str:  # fmt: skip
    """The answers to the three questions; the tables are the study's."""
    parts = [tell_needed(need, first, len(found)), tell_missed(first, found[0].change.shape)]
    return "\n\n".join([*parts, tell_locality(local), tell_foretold(fore)])


def _of(rows: pd.DataFrame, **keys: str) -> tuple[Estimate, float]:
    """The estimate in the one row with these keys, and the smallest that could have been found."""
    for key, value in keys.items():
        rows = rows[rows[key] == value]
    (row,) = rows.to_dict("records")
    return Estimate.of(row), float(row["smallest"])


def _moments(rows: pd.DataFrame) -> list[str]:
    there = rows["moment"][rows["moment"].str.fullmatch("[0-9.]+")]
    return sorted(set(there), key=float)


def tell_needed(need: pd.DataFrame, first: pd.DataFrame, networks: int) -> str:
    """When regions are needed, beside random parts."""
    times = _moments(need)
    most = max(times, key=lambda t: _of(need, what=OWN, moment=t)[0].value)
    told = []
    for time in dict.fromkeys((times[0], times[1], most, times[-1])):
        own, random, laps = (_of(need, what=w, moment=time)[0] for w in (OWN, RANDOM, LAPS))
        note = ", the most" if time == most else ""
        told.append(
            f"{_when(time)} {own:%} of them{note} (random parts {random:%}; laps {laps:%} of the "
            "last network's)"
        )
    gap, smallest = _of(need, what=GAP, moment=ALL)
    verdict = {1: "More regions are needed than random parts", -1: "Fewer regions are needed than "
               "random parts", 0: "Against random parts nothing is shown"}[gap.sign]  # fmt: skip
    note = "" if gap.sign else f", {gap.unclear(smallest, INTEREST, '%')}"
    change, least = _of(need, what=OWN, moment=RISE)
    clear = "" if change.sign else f": {change.unclear(least, INTEREST, '%')}"
    return (
        f"**When is a region first needed?** Of {len(first)} regions in {networks} trainings, "
        f"needed for some behaviour are: {'; '.join(told)}. {verdict}: over all trained moments "
        f"the difference is {gap:%}{note}. From the first trained moment to the end the share "
        f"needed changes by {change:%}{clear}.\n\n{_tell_first(need, first, times)}"
    )


def _when(time: str) -> str:
    name = moment(time)
    return {"untrained": "in the untrained network", "end": "at the end"}.get(name, f"at {name}")


def _tell_first(need: pd.DataFrame, first: pd.DataFrame, times: Sequence[str]) -> str:
    """Dates of the regions and of the random parts, and which behaviours need them at last."""

    def dates(found: pd.Series, what: str) -> str:
        shares = found.value_counts(normalize=True)
        told = [f"{_when(t)} {number(shares[t], '%')}" for t in times if t in shares]
        return listed([*told, f"never {_of(need, what=what, moment=MISSED)[0]:%}"])

    random = first["random"].str.split(" ").explode()
    last = first["behaviours"].str.split(" ").explode()
    needs = [
        f"{style.short_label(m)} {int((last == m).sum())}" for m in BEHAVIOURS if (last == m).any()
    ]
    at_end = listed(needs) if needs else "none of them"
    return (
        f"First needed, and at the next moment too: {dates(first['moment'], OWN)}. Random parts: "
        f"{dates(random, RANDOM)}. Regions that the last network needs, by behaviour: {at_end}."
    )


def tell_missed(first: pd.DataFrame, shape: tuple[int, ...]) -> str:
    """What the rule cannot see: losses in some episodes only; ``shape`` is that of the changes."""
    *_, episodes, regions, measures = shape
    # A lone cell has to be below 5 % of 1/tests; k differences of one sign have p = 2^(1 − k).
    least = 1 + int(np.ceil(np.log2(regions * measures / LEVEL)))
    unseen = first[(first["behaviours"] == "") & (first["largest"] >= HARMED)]
    rest = "No cut in the last networks costs a fifth without being clear."
    if len(unseen):
        worst = unseen.iloc[int(unseen["largest"].to_numpy().argmax())]
        some = "s" * (len(unseen) != 1)
        rest = (
            f"{len(unseen)} cut{some} in the last networks cost a fifth or more without being "
            f"clear, most of all {worst['region']} of {worst['training']} "
            f"({number(worst['largest'])} of a full change, {style.short_label(worst['of'])})."
        )
    beyond = "more than there are" if least > episodes else f"{least} of {episodes}"
    return (
        f"With {regions * measures} tests a single loss is clear only where at least {beyond} "
        "episodes have it, so what is needed in some episodes only, as for one way round the "
        f"track, is not found. {rest}"
    )


def tell_locality(local: pd.DataFrame) -> str:
    """Whether the worst region's share rises, beyond that of random divisions."""
    found = {k: _of(local, kind=k, what=GAP, moment=RISE) for k in local["kind"].unique()}
    levels = {k: _of(local, kind=k, what=GAP, moment=ALL) for k in found}
    signs = {gap.sign for gap, _ in found.values()}
    verdict = {
        frozenset({1}): "Locality rises under both kinds",
        frozenset({-1}): "Locality falls under both kinds",
    }.get(frozenset(signs), "No rise or fall of locality is shown under both kinds")
    told = []
    for kind, (gap, smallest) in found.items():
        level, least = levels[kind]
        own, random = (_of(local, kind=kind, what=w, moment=ALL)[0] for w in (OWN, RANDOM))
        note = "" if gap.sign else f": {gap.unclear(smallest, INTEREST, '%')}"
        more = "" if level.sign else f": {level.unclear(least, INTEREST, '%')}"
        told.append(
            f"- {kind}: from the first trained moment to the end the difference changes by "
            f"{gap:%}{note}. In the mean of the trained moments the worst region does {own:%} of "
            f"its layer's loss, the worst random part {random:%}, difference {level:%}{more}."
        )
    lines = "\n".join(told)
    return f"**Does localisation rise?** {verdict}.\n{lines}"


_LOST = {LOSS: "the behaviour lost without it", ACTION: "how far the action moves without it"}


def tell_foretold(fore: pd.DataFrame) -> str:
    """Which early signs foretell a loss under both kinds, and what could have been found."""
    told = [_tell_lost(fore[fore["lost"] == lost], what) for lost, what in _LOST.items()]
    return (
        "**Does early activity foretell what a unit is needed for at the end?** Told is what holds "
        "under both kinds, p < 5 % over all signs, moments and layers; less than "
        f"{number(CORRELATION)} would not matter.\n\n{chr(10).join(told)}"
    )


def _tell_lost(fore: pd.DataFrame, what: str) -> str:
    rows, kinds = fore[fore["sign"].isin(SIGNS)], list(fore["kind"].unique())
    times, lines = _moments(rows), []
    for (site, sign), part in rows.groupby(["site", "sign"], sort=False):
        clear = part[(part["p"] < LEVEL) & (part["low"] * part["high"] > 0)]
        both = clear.groupby("moment")["value"].agg(["size", "min", "max"])
        both = both[(both["size"] == len(kinds)) & (both["min"] * both["max"] > 0)]
        own = [t for t in times if t in both.index]
        if own:
            first, last = (_weaker(part[part["moment"] == t]) for t in (own[0], times[-1]))
            more = "" if own[0] == times[-1] else f", at the end {last}"
            lines.append(f"  - {site}, {sign}: {_span(own, times)}; {_when(own[0])} {first}{more}")
    agree = [
        f"{_weaker(fore[(fore['site'] == s) & (fore['sign'] == AGREE)])} in {s}"
        for s in rows["site"].unique()
    ]
    count, smallest = len(rows) // len(kinds), min(1.0, rows["smallest"].median())
    found = "".join(f"\n{line}" for line in lines) or f" none of {count} correlations holds."
    return (
        f"- With {what} (both kinds agree by {listed(agree)}; a correlation of less than "
        f"{number(smallest)} could not have been found, in the middle of all):{found}"
    )


def _weaker(rows: pd.DataFrame) -> Estimate:
    """The estimate of the kind in which it is smaller."""
    return Estimate.of(rows.iloc[int(rows["value"].abs().to_numpy().argmin())])


def _span(own: Sequence[str], times: Sequence[str]) -> str:
    """Moments in words, in short where they are all from one on."""
    if len(own) > 1 and list(own) == list(times[-len(own) :]):
        begin = "the untrained network" if own[0] == times[0] else moment(own[0])
        return f"from {begin} on"
    if len(own) > 3:
        return f"at {len(own)} of {len(times)} moments"
    return listed([_when(t) for t in own])
