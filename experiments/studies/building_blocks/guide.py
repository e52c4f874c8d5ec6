"""Does what passes through a unit or group tell what its loss does? Attribution against lesions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rl_ablation.analysis.attribution import through_groups
from rl_ablation.groupings.units import singles
from rl_ablation.lesions.lesion import Plan
from rl_ablation.mapping.evidence import scale
from rl_ablation.mapping.map import Map
from rl_ablation.measures.registry import MEASURES
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.activity import Activity
from rl_ablation.stats import rank_correlation

LEFT, RIGHT = 0, 1  # the wheels among the actions
TURNING = ("left_turning.alive", "right_turning.alive")
GUIDES = (("steering", "turning"), ("steering", "centring"), ("speed", "forward speed"))
"""What passes through, and the behaviour that should suffer for it."""


def losses(run: Map) -> pd.DataFrame:
    """A run's effects with ``harm``, the change as a share of its measure's full size (below 0 is
    worse), and the ends of its interval, ``low`` and ``high``, in the same measure."""
    rows = run.effects()
    rows = rows[rows["condition"] == "all"].copy()
    full = rows["measure"].map(scale(rows))
    share = rows["measure"].map(lambda m: MEASURES[m].better or 1) / full
    ends = rows[["ci_low", "ci_high"]].mul(share, axis=0)
    return rows.assign(harm=share * rows["delta"], low=ends.min(axis=1), high=ends.max(axis=1))


def is_attribution_a_guide(
    agent: Policy, activity: Activity, losses: pd.DataFrame, groups: Plan, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare what passes through units and groups with what their loss does.

    Args:
        agent: A robot whose two actions are its left and right wheel.
        activity: Its visited activity; attributions are against the mean input.
        losses: Effects of cutting every unit and group, with ``harm``.
        groups: Groups of units.
        seed: Of the bootstrap.

    Returns:
        The rank correlations, a row for each level (units of a layer, groups) and behaviour, with
        bootstrap intervals over units; and the points behind them, a row for each unit or group:
        mean |conductance| to ``steering`` and ``speed``, ``spread`` of its activity, and losses.
    """
    inputs, baseline = activity["obs"].samples[::8], activity["obs"].mean
    loss = -losses.pivot(index="lesion", columns="measure", values="harm")
    levels = {f"units of {s}": singles(agent, [s]) for s in agent.network.sizes}
    points = []
    for level, plan in {**levels, "groups": groups}.items():
        through = through_groups(agent, inputs, plan, baseline)
        for k, part in enumerate(plan.lesions[1:]):
            ((site, units),) = part.cut.items()
            points.append({
                "level": level, "name": part.name,
                "steering": np.abs(through[:, k, RIGHT] - through[:, k, LEFT]).mean(),
                "speed": np.abs(through[:, k].mean(-1)).mean(),
                "spread": np.sqrt((activity[site].std[list(units)] ** 2).sum()),
                "turning": loss.loc[part.name, list(TURNING)].mean(),
                "centring": loss.loc[part.name, "off_centre.alive"],
                "forward speed": loss.loc[part.name, "forward_speed.alive"],
            })  # fmt: skip
    frame, told = pd.DataFrame(points), []
    for level in dict.fromkeys(frame["level"]):
        part = frame[frame["level"] == level]
        for through_name, behaviour in GUIDES:
            rho, low, high, _ = rank_correlation(part[through_name], part[behaviour], seed)
            spread, *_ = rank_correlation(part["spread"], part[behaviour], seed)
            told.append({
                "level": level, "through": through_name, "loss": behaviour, "n": len(part),
                "rho": rho, "ci_low": low, "ci_high": high, "rho_spread": spread,
            })  # fmt: skip
    return pd.DataFrame(told), frame
