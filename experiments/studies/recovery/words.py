"""The findings of the recovery study in words, from its tables and nothing else."""

from __future__ import annotations

import pandas as pd

from rl_ablation.formats import Estimate, number
from rl_ablation.stats import LEVEL, smallest_effect, student_interval

SCORE = "progress"
FROZEN, REGROW, ON, SCRATCH = "frozen", "regrow", "trained on", "from scratch"
INTACT, CUT, ZERO = "before", "cut", "cut to zero"
MAPPED = (INTACT, FROZEN, REGROW, ON)


INTEREST = 0.1
"""Smallest change in laps that would matter, fixed before the data."""


def tell_scores(summary: pd.DataFrame, networks: int) -> str:
    """What the cut cost and how much of it came back."""
    rows = summary.set_index("arm")

    def gain(arm: str, key: str = "score") -> Estimate:
        return Estimate.of(rows.loc[arm], key, f"{key}_low", f"{key}_high")

    def against(arm: str, key: str) -> str:
        found, row = gain(arm, key), rows.loc[arm].to_dict()
        clear = row[f"{key}_q"] < LEVEL and found.sign != 0
        note = "" if clear else f", {found.unclear(row[f'{key}_smallest'], INTEREST)}"
        return f"against {key[3:].replace('scratch', 'from scratch')} {found}{note}"

    text = (
        f"Laps gained by {networks} network{'s' * (networks != 1)}, with Student's 95 % intervals "
        f"over them: before {gain(INTACT)}; the region held at its mean and not trained "
        f"{gain(CUT)}; set to zero, as published, {gain(ZERO)}."
    )
    for arm in (FROZEN, REGROW, ON, SCRATCH):
        told = [against(arm, "to_before")]
        told += [against(arm, "to_scratch")] if arm != SCRATCH else []
        text += f"\n- **{arm}**: {gain(arm)}; {'; '.join(told)}."
    return text


def tell_speed(curve: pd.DataFrame) -> str:
    """After how many steps each arm reaches what the training from scratch ends with."""
    last = int(curve["steps"].max())
    mean = curve.groupby(["arm", "steps"])["score"].mean()
    goal = float(mean[SCRATCH, last])
    speeds = []
    for arm in (FROZEN, REGROW):
        reached = [s for s, v in mean[arm].items() if v >= goal]
        speeds.append(f"{arm} {f'after {min(reached):,} steps' if reached else 'never'}")
    return (
        f"From scratch, {last:,} steps lead to {number(goal)} laps in the mean; the cut networks "
        f"reach that in the mean: {', '.join(speeds)} (no interval; scored every "
        f"{curve['steps'].unique()[1]:,})."
    )


def over_networks(values: pd.Series) -> str:
    """Mean of the networks' numbers, with Student's interval."""
    numbers = values.dropna().to_numpy(float)
    if not len(numbers):
        return "–"
    return f"{Estimate(float(numbers.mean()), *student_interval(numbers))}"


def tell_regions(regions: pd.DataFrame, similar: pd.DataFrame) -> str:
    """Whether the old region is needed again, and where loss hurts now."""
    own = regions[regions["measure"] == SCORE]
    old = own[own["old"]].pivot(index="network", columns="arm", values="delta")
    rest = own[~own["old"]].groupby(["network", "arm"])["delta"].sum().unstack()

    def moved(table: pd.DataFrame, arm: str) -> str:
        gap = (table[arm] - table[INTACT]).dropna().to_numpy(float)
        if not len(gap):
            return "cannot be compared"
        found = Estimate(float(gap.mean()), *student_interval(gap))
        note = "" if found.sign else f": {found.unclear(smallest_effect(gap), INTEREST)}"
        return f"change from before {found}{note}"

    again = [f"{arm} {over_networks(old[arm])}, {moved(old, arm)}" for arm in (REGROW, ON)]
    others = [f"{arm} {over_networks(rest[arm])}, {moved(rest, arm)}" for arm in MAPPED[1:]]
    maps = [f"{arm} {over_networks(similar[arm])}" for arm in similar]
    return (
        "**Where did it go?** Cutting the old region again changes laps, in the mean of the "
        f"networks, by {over_networks(old[INTACT])} before; {'; '.join(again)} (in the frozen "
        "robots it is nothing by construction). Cuts of all other regions, one at a time, add up "
        f"to {over_networks(rest[INTACT])} before; {'; '.join(others)}. The maps after and before "
        f"(other regions × behaviours) correlate by {', '.join(maps)}; the network trained on "
        "uncut shows how much more training alone moves them. The old region was chosen in other "
        "episodes than it is measured in here."
    )
