"""The findings of the recovery study in words, from its tables and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from rl_ablation.formats import Estimate, number

SCORE = "progress"
FROZEN, REGROW, ON, SCRATCH = "frozen", "regrow", "trained on", "from scratch"
INTACT, CUT = "before", "cut"
MAPPED = (INTACT, FROZEN, REGROW, ON)


def tell_scores(summary: pd.DataFrame) -> str:
    """What the cut cost and how much of it came back."""
    rows = summary.set_index("arm")

    def gain(arm: str, key: str = "score") -> Estimate:
        return Estimate.of(rows.loc[arm], key, f"{key}_low", f"{key}_high")

    text = (
        f"Laps gained with 95 % intervals: before {gain(INTACT)}, cut and not trained {gain(CUT)}."
    )
    for arm in (FROZEN, REGROW, ON, SCRATCH):
        text += f"\n- **{arm}**: {gain(arm)}; against before {gain(arm, 'to_before')}"
        text += "." if arm == SCRATCH else f", against from scratch {gain(arm, 'to_scratch')}."
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
        f"first reach that: {', '.join(speeds)} (scored every {curve['steps'].unique()[1]:,})."
    )


def tell_regions(regions: pd.DataFrame, similar: Mapping[str, float]) -> str:
    """Whether the old region is needed again, and where loss hurts now."""
    own = regions[regions["measure"] == SCORE]
    old = own[own["old"]].pivot(index="network", columns="arm", values="delta")
    rest = own[~own["old"]].groupby(["network", "arm"])["delta"].sum().unstack()
    others = own[~own["old"]].pivot(index=["network", "region"], columns="arm", values="delta")
    grown = (others[FROZEN] - others[INTACT]).groupby("network").idxmin()
    taken = [
        f"{where[0]} {where[1]} ({number(others.loc[where, INTACT])} before, "
        f"{number(others.loc[where, FROZEN])} after)"
        for where in grown
    ]
    again = [
        f"{n}: {number(old.loc[n, INTACT])} before, {number(old.loc[n, REGROW])} when regrown, "
        f"{number(old.loc[n, ON])} when trained on uncut"
        for n in old.index
    ]
    spread = [f"{arm} {number(float(rest[arm].mean()))}" for arm in MAPPED]
    maps = [f"{arm} {number(value)}" for arm, value in similar.items()]
    return (
        f"**Where did it go?** Cutting the old region again changes laps by: {'; '.join(again)} "
        "(in the frozen robots it is nothing by construction). Cuts of all other regions, one at "
        f"a time, add up to, mean of the networks: {', '.join(spread)}. The need for one of them "
        f"grew most, in the frozen robots, in: {'; '.join(taken)}. The maps after and before "
        f"(other regions × behaviours) correlate by {', '.join(maps)}; the network trained on "
        "uncut shows how much more training alone moves them."
    )
