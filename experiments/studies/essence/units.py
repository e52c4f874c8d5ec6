"""What made the units of an essence network and of its twin, and where they switch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from agents.essence import Essence
from envs.lap_model import LIDAR_ANGLES, LIDAR_RANGE
from rl_ablation.analysis.boundaries import (
    Plane,
    Surface,
    faithfulness,
    fit_plane,
    influence,
    influential_share,
    surfaces,
)
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.activity import activity_at


@dataclass(frozen=True, eq=False)
class View:
    """One unit over the plane."""

    network: str
    unit: int  # its number in h0
    surface: Surface  # its activity over the plane
    visited: np.ndarray  # features of visited states, (S, 2)
    # Features of the training samples that have 90 % of the influence on it, (C, 2).
    carriers: np.ndarray
    samples: int  # how many training samples there were


def lap_plane(visited: np.ndarray) -> Plane:
    """Room ahead × bend: more room ahead on the left than on the right."""
    angle = np.rad2deg(LIDAR_ANGLES).round()

    def room(least: float, most: float) -> np.ndarray:
        rays = (angle >= least) & (angle <= most)
        return np.append(LIDAR_RANGE * rays / rays.sum(), np.zeros(visited.shape[1] - rays.size))

    bend = room(15, 45) - room(-45, -15)
    return fit_plane(visited, {"room ahead [m]": room(-15, 15), "room left − right [m]": bend})


def twin_influence(essence: Essence, twin: Policy) -> np.ndarray:
    """Influence on the twin's units of the samples that the essence network was made from."""
    obs, action = essence.data.obs[essence.chosen], essence.data.action[essence.chosen]
    return influence(twin, "h0", obs, action)


def made_by(
    pairs: Sequence[tuple[Essence, Policy]], plane: Plane, visited: np.ndarray
) -> pd.DataFrame:
    """Each h0 unit: the share of samples that has 90 % of the influence, how true the plane is."""
    return pd.concat(
        pd.DataFrame(
            {
                "network": sort,
                "pair": n,
                "unit": np.arange(influences.shape[1]),
                "carriers": influential_share(influences),
                "faithful": faithfulness(policy, "h0", plane, visited),
            }
        )
        for n, (essence, twin) in enumerate(pairs)
        for sort, policy, influences in (
            ("essence", essence.policy, essence.pull),
            ("twin", twin, twin_influence(essence, twin)),
        )
    )


def view(
    policy: Policy,
    name: str,
    essence: Essence,
    influences: np.ndarray,
    plane: Plane,
    visited: np.ndarray,
) -> View:
    """The h0 unit whose activity goes most with steering, over the plane, with its samples."""
    action = policy.act(visited)
    steering = action[:, 1] - action[:, 0]
    activity = activity_at(policy, visited)["h0"]
    with np.errstate(invalid="ignore", divide="ignore"):
        relation = np.abs(np.corrcoef(activity.T, steering)[-1, :-1])
    unit = int(np.nanargmax(relation))
    points = plane.features(visited)
    low, high = np.quantile(points, [0.005, 0.995], axis=0)
    x, y = (np.linspace(a, b, 121) for a, b in zip(low, high, strict=True))
    samples = plane.features(essence.data.obs[essence.chosen])
    strongest = np.argsort(-influences[:, unit], kind="stable")
    count = max(round(influential_share(influences)[unit] * len(influences)), 1)
    surface = surfaces(policy, "h0", plane, x, y)[unit]
    return View(name, unit, surface, points, samples[strongest[:count]], len(samples))
