"""The findings about populations of units in sentences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from rl_ablation.analysis.weights import RULES
from rl_ablation.formats import Estimate, number
from rl_ablation.stats import (
    LEVEL,
    benjamini_hochberg,
    sign_flip_p,
    smallest_correlation,
    smallest_effect,
    student_interval,
)

RELIABLE = 0.2
"""Divisions that agree with themselves by less cannot show agreement with others."""


INTEREST = 0.1
"""Smallest mean index or correlation that would matter, fixed before the data."""


def over_networks(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """A row for each robot × kind × layer: mean over networks, interval, q, smallest to be found.

    Of one network the row's own interval and p, which are about its units, are taken.
    """
    table = []
    for key, part in rows.groupby(["robot", "kind", "site"], sort=False):
        values, alone = part[column].to_numpy(float), part.iloc[0]
        if len(part) > 1:
            ends, smallest = student_interval(values), smallest_effect(values)
            p = float(sign_flip_p(values[:, None], np.random.default_rng(0))[0])
        else:
            ends, p = (alone["low"], alone["high"]), alone["p"]
            # One-sided against shuffled labels: their 95 % quantile is 1.64 of their spread away.
            smallest = alone["chance"] * (1.645 + 0.842) / 1.645 if "chance" in alone else (
                smallest_correlation(int(alone["units"]))
            )  # fmt: skip
        own = {name: part[name].mean() for name in ("effect_self", "activity_self") if name in part}
        names: dict[str, Any] = dict(zip(("robot", "kind", "site"), key, strict=True))
        found = {"value": values.mean(), "low": ends[0], "high": ends[1], "p": p}
        table.append({**names, "n": len(part), **found, "smallest": smallest, **own})
    frame = pd.DataFrame(table)
    return frame.assign(q=benjamini_hochberg(frame["p"].to_numpy()))


def _place(row: pd.Series) -> str:
    count = f"{row['n']} network{'s' * (row['n'] != 1)}"
    return f"{row['robot']}, {row['site']} ({count}, units cut to {row['kind']})"


def _clear(row: pd.Series) -> int:
    return Estimate.of(row).sign if row["q"] < LEVEL else 0


def tell_divisions(pairs: pd.DataFrame) -> str:
    """How far divisions by activity and by effect agree."""
    lines = []
    for _, row in over_networks(pairs, "ari").iterrows():
        found = Estimate.of(row)
        if _clear(row):
            verdict = "beyond chance" if _clear(row) > 0 else "less than chance"
        elif row["effect_self"] < RELIABLE:
            verdict = "open, as divisions by effect hardly agree with themselves"
        else:
            verdict = found.unclear(row["smallest"], INTEREST)
        lines.append(
            f"- {_place(row)}: {found}, q = {row['q']:.3f}, {verdict}; with themselves: by "
            f"activity {number(row['activity_self'])}, by effect {number(row['effect_self'])}"
        )
    head = (
        f"**Active together, alike in effect?** How far the two divisions into "
        f"{pairs['k'].iloc[0]} groups agree, adjusted Rand index, 1 for the same division and 0 by "
        "chance; divisions of either kind from two halves of the data say what can be asked for:"
    )
    return "\n".join([head, "", *lines])


def tell_rules(rules: pd.DataFrame, best: str) -> str:
    """Whether weights show importance, on networks that the rule was not chosen on."""
    chooser = rules["network"].iloc[0]
    chosen_on, own = rules["network"] == chooser, rules["rule"] == best
    first = rules[own & chosen_on]["rho"].mean()
    head = (
        f"**Importance from weights alone?** On {chooser} the best rule is {best} ({RULES[best]}), "
        f"mean rank correlation with the measured effect {number(first)}."
    )
    # The chooser cut in another way is no network that the rule has not seen.
    seen = (rules["robot"] == rules["robot"].iloc[0]) & (
        rules["network"].str.split().str[1] == str(chooser).split()[1]
    )
    held = rules[own & ~seen]
    if held.empty:
        return f"{head} There is no other network to judge it on in this quick version."
    plain = over_networks(rules[(rules["rule"] == "activity") & ~seen], "rho")
    lines = []
    judged = over_networks(held, "rho")
    for (_, row), other in zip(judged.iterrows(), plain["value"], strict=True):
        found = Estimate.of(row)
        note = "" if _clear(row) else f", {found.unclear(row['smallest'], INTEREST)}"
        lines.append(
            f"- {_place(row)}: {found}, q = {row['q']:.3f}{note}; activity without weights "
            f"{number(other)}; effects from two halves of the episodes {number(row['effect_self'])}"
        )
    main = judged[judged["kind"] == rules["kind"].iloc[0]]
    up = sum(_clear(row) > 0 for _, row in main.iterrows())
    return "\n".join([
        f"{head} On the networks it was not chosen on it is clearly positive in {up} of "
        f"{len(main)} layers:", "", *lines,
    ])  # fmt: skip
