"""What the digits' numbers say about each published direction, in sentences."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rl_ablation.analysis.curves import areas
from rl_ablation.formats import Estimate, number
from rl_ablation.stats import LEVEL, permutation_p


def areas_of(falls: pd.DataFrame, kind: str) -> list[np.ndarray]:
    """The areas of each network's orders."""
    networks = falls[falls["labels"] == kind].groupby("network", sort=False)
    return [areas(part).to_numpy() for _, part in networks]


def tell(
    checks: pd.DataFrame, losses: pd.DataFrame, gains: pd.DataFrame, falls: pd.DataFrame,
    steered: pd.DataFrame,
) -> str:  # fmt: skip
    """The findings in words."""
    count = checks["agrees"].value_counts()
    table = "\n".join(
        f"| {r['check']} | {r['published']} ({r['paper']}) | "
        f"{Estimate.of(r, 'measured'):+.3f} | {r['agrees']} | {number(r['smallest'], '.3f')} |"
        for r in checks.to_dict("records")
    )
    clear = losses[losses["q"] < LEVEL]
    hurt = clear if len(clear) else losses
    true, shuffled = (np.mean(areas_of(falls, kind), axis=1) for kind in ("true", "shuffled"))
    learnt = falls[falls["dose"] == 0].groupby("labels")["lesioned"].mean()
    by_alpha = steered.groupby("alpha")[["selectivity", "accuracy"]].mean()
    lowest, plain, highest = by_alpha.iloc[0], by_alpha.loc[0.0], by_alpha.iloc[-1]
    return (
        f"Of {len(checks)} published directions {count.get('yes', 0)} come out as published, "
        f"{count.get('no', 0)} the other way round, {count.get('unclear', 0)} unclear "
        f"({losses['network'].nunique()} networks; mean and 95 % interval, networks resampled "
        "first; unclear is inconclusive, and the last column says how far beyond the border an "
        "effect could have been found, two-sided at 5 % with 80 % power; the six checks are not "
        "corrected for being several).\n\n"
        "| check | published | measured | agrees | could find |\n|---|---|---|---|---|\n"
        f"{table}\n\n- {len(clear)} of {len(losses)} units hurt one digit more than the others; "
        f"{'those' if len(clear) else 'all units'} lose {hurt['worst_loss'].mean():.1%} of "
        f"that digit's images, against {hurt['mean_loss'].mean():.1%} of all.\n"
        f"- The best gains were {gains['chosen'].mean():.1%} on the images that chose them and "
        f"{gains['confirmed'].mean():.1%} on fresh ones; {(gains['confirmed'] > 0).sum()} of "
        f"{len(gains)} stayed above 0.\n- Area under cumulative ablation: {true.mean():.3f} with "
        f"true labels, {shuffled.mean():.3f} with shuffled ones (permutation p = "
        f"{permutation_p(true, shuffled):.2g}; fitted to {learnt['true']:.1%} and "
        f"{learnt['shuffled']:.1%} of their training images).\n"
        f"- Selectivity {lowest['selectivity']:.2f}, {plain['selectivity']:.2f} and "
        f"{highest['selectivity']:.2f} (α = {by_alpha.index[0]:+g}, 0, {by_alpha.index[-1]:+g}) go "
        f"with accuracies {lowest['accuracy']:.1%}, {plain['accuracy']:.1%} and "
        f"{highest['accuracy']:.1%}.\n\nAll networks are examined on the same images, so the "
        "intervals speak of other networks, not of other images. Not checked: whether selectivity "
        "taken off the units was merely rotated off their axes (the paper looks with PWCCA)."
    )
