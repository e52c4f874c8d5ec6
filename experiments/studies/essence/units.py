"""What made the units of an essence network and of its twin, and where they switch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from agents.essence import Essence
from envs import lidar
from rl_ablation.analysis import boundaries
from rl_ablation.analysis.boundaries import Plane, Surface, influential_share
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.activity import activity_at

Made = tuple[str, Policy, np.ndarray]
"""Sort of a network, the network, and the influence of each training sample on its h0 units."""


@dataclass(frozen=True, eq=False)
class View:
    """One unit over the plane."""

    network: str
    unit: int  # its number in h0
    surface: Surface  # its activity over the plane
    visited: np.ndarray  # features of visited states, (S, 2)
    carriers: np.ndarray  # those of the training samples with 90 % of the influence on it, (C, 2)
    samples: int  # how many training samples there were


def lap_plane(visited: np.ndarray) -> Plane:
    """Room ahead × bend: more room ahead on the left than on the right."""
    angle = np.rad2deg(lidar.ANGLES).round()

    def room(least: float, most: float) -> np.ndarray:
        rays = (angle >= least) & (angle <= most)
        return np.append(lidar.RANGE * rays / rays.sum(), np.zeros(visited.shape[1] - rays.size))

    bend = {"room left − right [m]": room(15, 45) - room(-45, -15)}
    return boundaries.fit_plane(visited, {"room ahead [m]": room(-15, 15), **bend})


def influences(essence: Essence, twin: Policy) -> list[Made]:
    """Both networks of a pair with the influence on their units of the samples in the first."""
    obs, action = essence.data.obs[essence.chosen], essence.data.action[essence.chosen]
    pull = boundaries.influence(twin, "h0", obs, action)
    return [("essence", essence.policy, essence.pull), ("twin", twin, pull)]


def made_by(pairs: list[tuple[Essence, Policy]], plane: Plane, visited: np.ndarray) -> pd.DataFrame:
    """Each h0 unit: the share of samples that has 90 % of the influence, how true the plane is."""
    tables = []
    for n, pair in enumerate(pairs):
        for sort, policy, pull in influences(*pair):
            true = boundaries.faithfulness(policy, "h0", plane, visited)
            table = {"unit": np.arange(len(true)), "carriers": influential_share(pull)}
            tables.append(pd.DataFrame({"network": sort, "pair": n, **table, "faithful": true}))
    return pd.concat(tables)


def view(made: Made, essence: Essence, plane: Plane, visited: np.ndarray) -> View:
    """The h0 unit whose activity goes most with steering, over the plane, with its samples."""
    name, policy, pull = made
    steering = np.diff(policy.act(visited))[:, 0]  # right − left wheel
    activity = activity_at(policy, visited)["h0"]
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = int(np.nanargmax(np.abs(np.corrcoef(activity.T, steering)[-1, :-1])))
    points = plane.features(visited)
    low, high = np.quantile(points, [0.005, 0.995], axis=0)
    x, y = (np.linspace(a, b, 121) for a, b in zip(low, high, strict=True))
    samples = plane.features(essence.data.obs[essence.chosen])
    strongest = np.argsort(-pull[:, unit], kind="stable")
    count = max(round(influential_share(pull)[unit] * len(pull)), 1)
    surface = boundaries.surfaces(policy, "h0", plane, x, y)[unit]
    return View(name, unit, surface, points, samples[strongest[:count]], len(samples))
