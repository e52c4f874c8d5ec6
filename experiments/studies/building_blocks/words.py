"""The findings of the building-blocks study in sentences; no numbers are made here."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.studies.building_blocks.blocks import Block, steering_shares
from rl_ablation.formats import Estimate, number
from rl_ablation.reports.words import change
from rl_ablation.stats import LEVEL, smallest_correlation

SMALLEST_EFFECT = 0.02  # of the reference effect; less is not mentioned, however certain


def tell_block(block: Block) -> str:
    """When a part is most active, what it adds to the wheels then, and what its loss does."""
    left, right = block.by_wheel.mean(0)
    text = (
        f"**{block.part.name}** ({block.units}) is most active in {block.place}; there it "
        f"adds {number(left)} to the left wheel and {number(right)} to the right (of full speed, "
        f"before clipping): it {block.push.replace(', ', ' and ')}. "
    )
    clear = block.loss.query("(low > 0 or high < 0) and abs(harm) > @SMALLEST_EFFECT")
    worst = clear.sort_values("harm", key=np.abs, ascending=False)[:3]
    changes = "; ".join(map(change, worst.to_dict("records")))
    nothing = (
        f"No change by more than {SMALLEST_EFFECT:.0%} of the reference effect is clear without it."
    )
    text += f"Without it: {changes}." if changes else nothing
    if len(block.controls):
        null = block.controls.assign(harm=block.controls["harm"].clip(upper=0))
        totals = null.groupby("lesion")["harm"].sum()
        worse = int((totals > block.loss["harm"].clip(upper=0).sum()).sum())
        text += f" In sum that is more harm than {worse} of {len(totals)} random cuts of its size."
    return text


def tell_guide(guide: pd.DataFrame, points: pd.DataFrame) -> str:
    """Whether attribution is a guide to what a loss does, and how much a unit's loss does."""
    lines = []
    for row in guide.to_dict("records"):
        rho = Estimate.of(row, "rho", "ci_low", "ci_high")
        clear = rho.sign if row["q"] < LEVEL else 0
        verdict = {
            1: f"the more {row['through']} passes through, the more the loss hurts",
            -1: f"the more {row['through']} passes through, the *less* the loss hurts",
            0: f"no clear relation of {row['through']} passing through and loss of",
        }[clear]
        note = "" if clear else f"; {rho.unclear(smallest_correlation(row['n']))}"
        lines.append(
            f"- {row['level']} ({row['n']}): {verdict} {row['loss']} (Spearman's ρ "
            f"{number(rho.value)}, 95 % CI {rho.ends()}, q = {row['q']:.3f}{note}; "
            f"from the spread of activity alone {number(row['rho_spread'])})"
        )
    hits = ((guide["ci_low"] > 0) & (guide["q"] < LEVEL)).sum()
    units = points[points["level"].str.startswith("units")]
    most = units[guide["loss"].unique()].abs().max()
    small = ", ".join(f"{name} by {share:.1%}" for name, share in most.items())
    return (
        f"Is attribution a guide to what a loss does? In {hits} of {len(guide)} comparisons "
        "clearly so:\n\n" + "\n".join(lines) + "\n\n"
        f"The loss of a single unit changes {small} of the reference effect at most."
    )


def tell_over_time(through: pd.DataFrame) -> str:
    """Who steers along the episode."""
    largest = [
        f"{name} {share:.0%} (correlation with the bend ahead "
        f"{number(through[name].corr(through['bend']))})"
        for name, share in steering_shares(through)[:2].items()
    ]
    return f"Along one episode, most of the steering passes through {' and '.join(largest)}."


def tell_maximisation(units: pd.DataFrame) -> str:
    """How far the optimised inputs are from what was visited."""
    beyond = int((units["optimised_value"] > units["top_value"]).sum())
    middle = units["optimised_percentile"].median()
    return (
        f"The optimised inputs of the {len(units)} units lie farther out than {middle:.0f} % of "
        f"the visited ones (median; at most {units['optimised_percentile'].max():.0f} %); {beyond} "
        "activate their unit more than any visited moment does."
    )
