"""The findings of a brain scan in sentences."""

from __future__ import annotations

import pandas as pd

from experiments.studies.brain_scan.chance import DRIVING, beyond
from rl_ablation.formats import Estimate, number
from rl_ablation.measures.registry import MEASURES
from rl_ablation.stats import LEVEL, smallest_correlation


def tell_contrasts(table: pd.DataFrame) -> str:
    """How many units of each layer respond to each contrast."""
    responses = []
    for (contrast, site), part in table.groupby(["contrast", "site"], sort=False):
        sure = int((part["p_fwe"] < LEVEL).sum())
        top = part.iloc[int(part["strength"].abs().to_numpy().argmax())]
        responses.append(
            f"{str(contrast).replace(chr(10), ' ')} in {sure} of {len(part)} units of {site} "
            f"(most in {site}/{top['unit']}, {number(float(top['strength']))} s.d.)"
        )
    n = int(table["n"].max())
    return f"Contrasts that pass family-wise correction over {n} subjects: {'; '.join(responses)}."


HOW = (
    "What is it by chance? Below, units that pass and the mean size of a unit's contrast, median "
    "and range. Untrained networks are what a training starts from. *Watching* they are shown, "
    "through the trained network's observation normaliser, what the trained robot saw, which is "
    "the fair comparison; *driving* they move the robot themselves. *Labels shuffled*: a subject's "
    "runs exchange their behaviours, which are also moved in time; *labels moved in time*: only "
    "that, so that what goes with a whole run (its direction, its command) stays. p is one-sided, "
    "after Bonferroni over the contrasts."
)


def tell_chance(table: pd.DataFrame) -> str:
    """The same counts in untrained networks and with shuffled behaviours; `HOW` explains them."""
    lines = []
    for row in beyond(table).to_dict("records"):
        part = table[table["contrast"] == row["contrast"]]
        phrases = [_spread(rows, str(who)) for who, rows in part.groupby("who", sort=False)]
        verdict = (
            f"more units than in untrained networks (p = {row['p_all']:.3f})"
            if row["p_all"] < LEVEL
            else f"not shown to be more than in untrained networks (p = {row['p_all']:.2f})"
        )
        lines.append(
            f"- {str(row['contrast']).replace(chr(10), ' ')}: {'; '.join(phrases)}; in "
            f"{row['as_many']} of {row['untrained']} untrained networks that watch, as many units "
            f"respond or more: {verdict}."
        )
    return "\n".join(lines)


def _spread(rows: pd.DataFrame, who: str) -> str:
    """Median and range of what networks or shuffles of one kind show."""

    def middle(column: str, spec: str) -> str:
        values = rows[column]
        text, low, high = (
            number(float(x), spec) for x in (values.median(), values.min(), values.max())
        )
        return text if low == high else f"{text} ({low} to {high})"

    count = "" if len(rows) == 1 else f" ({len(rows)})"
    told = f"{who}{count} {middle('units', 'g')} of {rows['of'].iloc[0]} units"
    if rows["strength"].notna().any():
        told += f", {middle('strength', '.2f')} s.d."
    if who == DRIVING:  # such a robot may hardly meet a behaviour
        told += f", both behaviours shown by {middle('n', 'g')} subjects"
    return told


def tell_damage(rows: pd.DataFrame) -> str:
    """How many units' cuts change each behaviour by themselves."""
    cut = rows["lesion"].nunique()
    sure = (rows["q"] < LEVEL).groupby(rows["measure"], sort=False).sum()
    counts = [f"{MEASURES[str(m)].label} {n}" for m, n in sure.items()]
    return (
        f"Units, of {cut} held at their means one at a time, whose loss clearly changes (q < 5 %; "
        f"of the others nothing is shown): {', '.join(counts)}."
    )


def tell_agreement(ranks: pd.DataFrame) -> str:
    """Whether units that respond are needed."""
    lines = [
        f"- {row['contrast'].replace(chr(10), ' ')} against need for {row['needed for']}, "
        f"{row['site']}: ρ = {number(row['rho'])} (95 % CI {Estimate.of(row, 'rho').ends()}; "
        f"q = {row['q']:.3f})"
        for row in ranks.to_dict("records")
    ]
    sure = ranks[ranks["q"] < LEVEL]["rho"]
    could = smallest_correlation(int(ranks["units"].min())) if len(ranks) else float("nan")
    head = (
        f"Does what responds matter? Of {len(ranks)} rank correlations between a unit's response "
        f"and what its loss changes, {(sure > 0).sum()} are clearly positive and "
        f"{(sure < 0).sum()} clearly negative (single units are held at their means). Of the "
        f"others nothing is shown: a correlation below {number(could)} could not have been found "
        "over so many units, each by itself at 5 % with 80 % power:"
    )
    return "\n".join([head, "", *lines])
