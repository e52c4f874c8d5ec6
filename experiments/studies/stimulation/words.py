"""The findings of the study stimulation in sentences, from its tables alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from experiments.studies.stimulation.subject import AGAINST, Found
from rl_ablation.analysis.sufficiency import NO, SHARE, UNCLEAR, YES
from rl_ablation.formats import Estimate, listed, number
from rl_ablation.stats import LEVEL

VERDICTS = {
    (YES, YES): "necessary and sufficient",
    (NO, YES): "sufficient and not necessary",
    (YES, NO): "necessary and not sufficient",
    (UNCLEAR, YES): "sufficient (whether necessary is not clear)",
    (YES, UNCLEAR): "necessary (whether sufficient is not clear)",
}


def tell(found: Found) -> str:
    """One robot: table, verdicts, doses."""
    source, target = found.subject.told
    head = (
        f"**The {found.subject.name}: the code of {source} put in during {target}** "
        f"({found.subject.unit}: intact {number(found.ends[0])} in {target}, "
        f"{number(found.ends[1])} in {source}; {len(found.both)} regions × signals)."
    )
    return "\n\n".join([head, table(found), legend(found), tell_verdicts(found), tell_doses(found)])


def table(found: Found) -> str:
    """Necessary against sufficient as Markdown, with the controls."""
    key = ["region", "signal"]
    more = ["size", "resample", "mean", "own", "any", "random", "p_random", "ended"]
    alike = found.alike[[*key, "evoked", "q"]].rename(columns={"evoked": "alike", "q": "alike_q"})
    rows = found.both.merge(found.evoked[[*key, *more]], on=key).merge(alike, on=key)
    heads = ["region (size)", "signal", "lost without it", "needed?", "evoked by it", "enough?",
             "resample", "mean", "like moments", "own", "any", "random units", "ended"]  # fmt: skip
    lines = [heads, ["---"] * len(heads)]
    for row in rows.to_dict("records"):
        random = number(row["random"])
        if row["p_random"] == row["p_random"]:
            random += f" (p = {row['p_random']:.2g})"
        mark = "\\*" if row["alike_q"] < LEVEL else ""
        lines.append(
            [f"{row['region']} ({row['size']})", row["signal"].replace("_", " "),
             _share(row, "lost"), row["necessary"], _share(row, "evoked"), row["sufficient"],
             number(row["resample"]), number(row["mean"]), f"{number(row['alike'])}{mark}",
             number(row["own"]), number(row["any"]), random, number(row["ended"], "%")]
        )  # fmt: skip
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _share(row: Mapping[Any, Any], name: str) -> str:
    mark = "\\*" if row[f"{name}_q"] < LEVEL else ""
    return f"{Estimate.of(row, name, f'{name}_low', f'{name}_high')}{mark}"


def legend(found: Found) -> str:
    """What the columns are."""
    source, target = found.subject.told
    return (
        f"Shares of the way from {target} to {source}, with 95 % intervals, of the kind (resample "
        'or mean) under which they are smaller; \\* q < 5 % under both, for "evoked" against '
        "the intact robot and both controls. Needed, enough: yes is a claim of "
        f"{number(SHARE, '%')} and more, no an interval below that. Like moments: given the "
        f"code of the moments of {source} in which the robot saw most nearly what it sees now, of "
        "which no claim is made. Own, any: the same region with "
        f"values of other moments in {target}, of any moments. Random units: the median of as many "
        f"units with the code of {source} (resample). Ended: episodes that ended within the "
        f"{found.subject.seconds:g} s."
    )


def tell_verdicts(found: Found) -> str:
    """Which regions are necessary, which sufficient."""
    lines = []
    for (necessary, sufficient), words in VERDICTS.items():
        some = found.both[
            (found.both["necessary"] == necessary) & (found.both["sufficient"] == sufficient)
        ]
        if len(some):
            names = [f"{r} ({s.replace('_', ' ')})"
                     for r, s in zip(some["region"], some["signal"], strict=True)]  # fmt: skip
            lines.append(f"- {words}: {listed(names)}.")
    rest = len(found.both) - sum(
        len(found.both[(found.both["necessary"] == n) & (found.both["sufficient"] == s)])
        for n, s in VERDICTS
    )
    if rest:
        neither = found.both.query(f"necessary == '{NO}' and sufficient == '{NO}'")
        lines.append(f"- neither: {len(neither)}; not clear: {rest - len(neither)}.")
    first = found.subject.signals[0]
    clusters = found.evoked[
        (found.evoked["signal"] == first) & found.evoked["region"].str.contains("cluster")
    ]
    if len(clusters):
        beyond, draws = clusters[clusters["p_random"] <= LEVEL], int(clusters["draws"].max())
        lines.append(
            f"- Of {len(clusters)} clusters {len(beyond)} evoke more {first.replace('_', ' ')} "
            f"than random units of the same number (p ≤ {LEVEL:.0%} each; {draws} draws can show "
            f"{min(1.0, 2 / (1 + draws)):.2g} at least)."
        )
    return "\n".join(lines)


def tell_doses(found: Found) -> str:
    """Whether more does more, and more than other directions."""
    lines = []
    for row in found.trends.to_dict("records"):
        rho = Estimate.of(row, "rho", "rho_low", "rho_high")
        slope = Estimate.of(row, "slope", "slope_low", "slope_high")
        clear = row["p"] < LEVEL and rho.sign
        way = {1: "rises", -1: "falls"}[rho.sign] if clear else "does not clearly change"
        text = (
            f"- {row['region']}, {row['kind']}: the response {way} with the dose (ρ {rho}, "
            f"p = {row['p']:.2g}, {row['n']} episodes), by {slope:.3f} for a standard deviation"
        )
        if row.get("draws", 0) > 0:
            text += (
                f"; between ±{AGAINST:g} by {number(row['slope_against'], '.3f')}, random "
                f"directions of its variance by {number(row['random'], '.3f')} (median size of "
                f"{row['draws']:.0f}; p = {row['p_random']:.2g})"
            )
        elif row["kind"] == "stimulate":
            text += "; the layer varies as much along no other direction, so it has no control"
        lines.append(f"{text}.")
    return "\n".join(lines)


def tell_untrained(asked_of: Iterable[tuple[pd.DataFrame, Found]]) -> str:
    """What the same shows in networks that were never trained, each with its trained robot."""
    lines = ["**Untrained networks of the same shapes.**"]
    claimed = 0
    for rows, one in asked_of:
        claimed += int(rows["claimed"].sum())
        asked = rows[rows["way"].notna()]
        never = int((rows["why"] != "").sum())
        text = (
            f"- {one.subject.name}: {len(asked)} of {len(rows)} networks clearly do otherwise in "
            f"{one.subject.told[0]} than in {one.subject.told[1]}"
        )
        text += f" ({never} never come so far)" if never else ""
        if len(asked):
            ways = listed([number(x, ".1g") for x in asked["way"]])
            own = number(one.ends[1] - one.ends[0])
            text += (
                f", by {ways} in {one.subject.unit} (trained: {own}). Of their "
                f"{asked['clusters'].sum()} clusters {asked['claimed_clusters'].sum()} evoke that "
                f"difference, of all {asked['asked'].sum()} regions {asked['claimed'].sum()}"
            )
        lines.append(f"{text}.")
    if claimed:
        lines.append(
            "- So a code that is enough is by itself no sign of training: what little an untrained "
            "network does differently, its parts say too. The size of the way tells them apart."
        )
    return "\n".join(lines)
