"""The parts of the network that are looked at, and attribution against lesions over all units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

import rl_ablation as rl
from rl_ablation.analysis.attribution import through_groups
from rl_ablation.analysis.maximisation import Maximum
from rl_ablation.mapping.evidence import reference_effect
from rl_ablation.rollouts.activity import Activity
from rl_ablation.stats import benjamini_hochberg, rank_correlation

TURNING = ("left_turning.alive", "right_turning.alive")
GUIDES = (("steering", "turning"), ("steering", "centring"), ("speed", "forward speed"))
"""What passes through, and the behaviour that should suffer for it."""


@dataclass(frozen=True, eq=False)
class Block:
    """One part of the network, looked at from all sides."""

    part: rl.Lesion  # its units
    pictures: Sequence[np.ndarray]  # visited moments at which it is most active
    maximised: Maximum  # the plausible input that activates it most
    by_sensor: np.ndarray  # contribution of each sensor through it to each wheel then, (18, 2)
    by_wheel: np.ndarray  # what passes through it to each wheel at those moments, (N, 2)
    place: str  # where on the track they lie more than others do
    loss: pd.DataFrame  # its effects, with ``harm``, ``low`` and ``high``
    controls: pd.DataFrame  # the same of random cuts of its size in its layer, if there are any

    @property
    def units(self) -> str:
        """How many units it has."""
        return f"{self.part.size} unit{'s' * (self.part.size != 1)}"

    @property
    def push(self) -> str:
        """What it makes the robot do when it is active; the lesser half is left out."""
        left, right = self.by_wheel.mean(0)
        turn, speed = (right - left) / 2, (left + right) / 2
        does = []
        if abs(turn) > abs(speed) / 2:
            does.append("turns left" if turn > 0 else "turns right")
        if abs(speed) > abs(turn) / 2:
            does.append("speeds up" if speed > 0 else "slows down")
        return ", ".join(does)


def steering_shares(through: pd.DataFrame) -> pd.Series:
    """The share of all steering that passes through each group, the largest first."""
    parts = through.drop(columns="bend").abs().mean()
    return (parts / parts.sum()).sort_values(ascending=False, kind="stable")


def losses(run: rl.Map) -> pd.DataFrame:
    """A run's effects with ``harm``, the change as a share of its measure's full size (below 0 is
    worse), and the ends of its interval, ``low`` and ``high``, in the same measure."""
    rows = run.effects()
    rows = rows[rows["condition"] == "all"]
    full = rows["measure"].map(reference_effect(rows))
    share = rows["measure"].map(lambda m: rl.MEASURES[m].better or 1) / full
    ends = rows[["ci_low", "ci_high"]].mul(share, axis=0)
    return rows.assign(harm=share * rows["delta"], low=ends.min(axis=1), high=ends.max(axis=1))


def is_attribution_a_guide(
    agent: rl.Policy, activity: Activity, losses: pd.DataFrame, groups: rl.Plan, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare what passes through units and groups, against the mean input, with their `losses`.

    Returns:
        The rank correlations, a row for each level (units of a layer, groups) and behaviour, with
        bootstrap intervals over units; and the points behind them, a row for each unit or group:
        mean |conductance| to ``steering`` and ``speed``, ``spread`` of its activity, and losses.
    """
    inputs, baseline = activity["obs"].samples[::8], activity["obs"].mean
    loss = -losses.pivot(index="lesion", columns="measure", values="harm")
    levels = {f"units of {s}": rl.singles(agent, [s]) for s in agent.network.sizes}
    points = []
    for level, plan in {**levels, "groups": groups}.items():
        through = through_groups(agent, inputs, plan, baseline)
        for k, part in enumerate(plan.lesions[1:]):
            ((site, units),) = part.cut.items()
            points.append({
                "level": level, "name": part.name,
                "steering": np.abs(np.diff(through[:, k])).mean(),  # right − left wheel
                "speed": np.abs(through[:, k].mean(-1)).mean(),
                "spread": np.sqrt((activity[site].std[list(units)] ** 2).sum()),
                "turning": loss.loc[part.name, list(TURNING)].mean(),
                "centring": loss.loc[part.name, "off_centre.alive"],
                "forward speed": loss.loc[part.name, "forward_speed.alive"],
            })  # fmt: skip
    frame, ranks = pd.DataFrame(points), []
    parts = frame.groupby("level", sort=False)
    for (label, rows), (guide, behaviour) in product(parts, GUIDES):
        passing, spread, lost = (rows[c].to_numpy() for c in (guide, "spread", behaviour))
        rho = rank_correlation(passing, lost, seed)
        alone = rank_correlation(spread, lost, seed)[0]
        ranks.append((label, guide, behaviour, len(rows), *rho, alone))
    columns = ["level", "through", "loss", "n", "rho", "ci_low", "ci_high", "p", "rho_spread"]
    table = pd.DataFrame(ranks, columns=columns)
    return table.assign(q=benjamini_hochberg(table["p"].to_numpy())), frame
