"""What made a unit, where it switches, and what it does far from anything it has seen.

Three questions that Blazek & Lin 2021 (Nature Computational Science 1, 607–618) and the argument
built on it put to a network that is called a black box:

* *Boundaries*: where in an interpretable plane of the state space does a unit change sides?
* *Influence*: which training samples pull at its weights?
* *Outside*: what does the policy do in states that no robot has visited?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from rl_ablation.errors import LabError
from rl_ablation.policies.network import ACTIVATIONS, MLP, linear, one_thread
from rl_ablation.policies.policy import Policy

SATURATED = 0.99
"""A tanh unit beyond ± this is saturated."""


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane of the observation space, spanned by two features that mean something.

    Attributes:
        names: The two features with their units, as figures print them.
        weights: How observations give the features, f = weights @ obs, (2, D).
        origin: Observation whose features are both 0, (D,).
        directions: What a feature's increase by 1 does to the observation, (2, D).
        share: Share of the visited states' variance, in units of each sensor's, within the plane.
    """

    names: tuple[str, str]
    weights: np.ndarray
    origin: np.ndarray
    directions: np.ndarray
    share: float

    def features(self, obs: np.ndarray) -> np.ndarray:
        """The features of observations (S, D), (S, 2)."""
        return np.asarray(obs, np.float64) @ self.weights.T

    def at(self, features: np.ndarray) -> np.ndarray:
        """The plane's observations with these features (S, 2), (S, D)."""
        return self.origin + np.asarray(features, np.float64) @ self.directions


def fit_plane(obs: np.ndarray, features: Mapping[str, np.ndarray]) -> Plane:
    """The plane that visited states span when two features vary.

    The observation to expect, given the two features, by linear regression over the visited
    states. Because the features are linear in the observation, a point of the plane has exactly
    the features it was asked for.

    Args:
        obs: Visited observations, (S, D).
        features: Two names, each with the weights (D,) that give the feature.

    Raises:
        LabError: Not two features, or two that do not vary independently in these states.
    """
    if len(features) != 2:
        raise LabError(f"a plane needs 2 features, got {len(features)}")
    obs = np.asarray(obs, np.float64)
    weights = np.stack(list(features.values())).astype(np.float64)
    if weights.shape[1] != obs.shape[1]:
        raise LabError(f"features of {weights.shape[1]} sensors, states of {obs.shape[1]}")
    mean = obs.mean(0)
    centred = obs - mean
    values = centred @ weights.T
    if np.linalg.matrix_rank(values) < 2:
        raise LabError(f"features {', '.join(features)} do not vary independently in these states")
    directions = np.linalg.lstsq(values, centred, rcond=None)[0]
    size = np.maximum(obs.std(0), 1e-12)
    missed = ((centred - values @ directions) / size) ** 2
    share = 1 - missed.sum() / ((centred / size) ** 2).sum()
    one, other = features
    origin = mean - weights @ mean @ directions
    return Plane((one, other), weights, origin, directions, float(share))


@dataclass(frozen=True, eq=False)
class Surface:
    """A unit over a plane: ``values`` (len(y), len(x)) at features ``x`` and ``y``."""

    plane: Plane
    x: np.ndarray
    y: np.ndarray
    values: np.ndarray


def unit_values(policy: Policy, site: str, obs: np.ndarray) -> np.ndarray:
    """Activity of a site's units in given observations (S, D), (S, H).

    Raises:
        LabError: There is no such site.
    """
    if site not in policy.sites:
        raise LabError(f"no site {site!r}; this policy has {', '.join(policy.sites)}")
    values = np.empty((len(obs), policy.sites[site]), np.float32)
    policy.act(obs, record={site: values})
    return values


def surfaces(
    policy: Policy, site: str, plane: Plane, x: np.ndarray, y: np.ndarray
) -> list[Surface]:
    """Every unit of a site over the plane; its boundary is the contour at mid-range.

    Args:
        policy: The policy.
        site: Site of the units.
        plane: From `fit_plane`.
        x: Values of the first feature, rising.
        y: Values of the second, rising.
    """
    grid = np.stack(np.meshgrid(x, y), -1)
    values = unit_values(policy, site, plane.at(grid.reshape(-1, 2)))
    return [Surface(plane, x, y, v.reshape(grid.shape[:2])) for v in values.T]


def faithfulness(policy: Policy, site: str, plane: Plane, obs: np.ndarray) -> np.ndarray:
    """Share of visited states in which each unit is on the side that the plane shows, (H,).

    The plane is two dimensions of many: where this is not near 1, the picture of the boundary is
    not what decides in the real states.
    """
    real = unit_values(policy, site, obs) > 0
    drawn = unit_values(policy, site, plane.at(plane.features(obs))) > 0
    return np.asarray((real == drawn).mean(0))


def influence(policy: Policy, site: str, obs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """How hard each training sample pulls at each unit: ‖∂L/∂(incoming weights of the unit)‖.

    L is the sample's imitation loss, the mean squared difference between the network's outputs,
    before they are clipped, and ``targets``. The weights into a unit get the gradient δ·input, so
    the norm is |δ|·‖input‖.

    Args:
        policy: An MLP with continuous actions.
        site: A hidden layer.
        obs: Training observations, (S, D).
        targets: Actions to imitate, (S, A).

    Returns:
        (S, H), at the policy's present weights.

    Raises:
        LabError: The policy is no MLP with continuous actions, or the site is not hidden.
    """
    network = policy.network
    if not isinstance(network, MLP) or policy.card.squash not in ("clip", "none"):
        raise LabError(f"influence needs an MLP whose actions are clipped, not {policy.name!r}")
    if site not in network.sizes:
        raise LabError(f"no hidden layer {site!r}; choose from {', '.join(network.sizes)}")
    layer = int(site[1:])
    with torch.enable_grad(), one_thread():
        x = torch.from_numpy(policy.normalise(obs))
        for k, (weight, bias) in enumerate(network.layers):
            z = linear(x, weight, bias)
            if k == layer:
                size, unit = x.norm(dim=1), z.requires_grad_()
            x = ACTIVATIONS[network.activation](z)
        loss = ((z - torch.as_tensor(np.asarray(targets, np.float32))) ** 2).mean(1).sum()
        (delta,) = torch.autograd.grad(loss, unit)
    return np.asarray((delta.abs() * size[:, None]).numpy())


def carriers(pull: np.ndarray, share: float = 0.9) -> np.ndarray:
    """The smallest share of samples that together carry ``share`` of a unit's pull.

    Args:
        pull: Not negative, (S, H), from `influence` or of an essence network.
        share: Of the sum.

    Returns:
        (H,): near 0 for a unit made by few samples, near ``share`` if all pull alike; NaN for a
        unit at which nothing pulls.
    """
    falling = -np.sort(-np.asarray(pull, np.float64), axis=0)
    total = falling.sum(0)
    enough = falling.cumsum(0) >= share * total - 1e-12 * total
    return np.where(total > 0, (enough.argmax(0) + 1) / len(falling), np.nan)


def unseen(
    obs: np.ndarray, scales: Sequence[float] = (1.0, 2.0, 3.0, 4.0, 5.0), seed: int = 0
) -> dict[str, np.ndarray]:
    """States that get stranger and stranger.

    Args:
        obs: Visited observations, (S, D).
        scales: Factors by which a state's distance from the mean state is stretched.
        seed: Of the shuffling.

    Returns:
        Name → observations (S, D): ``×1``, ``×2``, … and ``shuffled``, in which every sensor reads
        what it has read before, but not together with the others.
    """
    rng = np.random.default_rng(seed)
    mean = obs.mean(0, dtype=np.float64)
    states = {f"×{s:g}": mean + s * (obs - mean) for s in scales}
    states["shuffled"] = rng.permuted(obs, axis=0)
    return states


def far_outside(
    policy: Policy, obs: np.ndarray, teacher: Policy | None = None, seed: int = 0
) -> pd.DataFrame:
    """What a policy does in states that no robot has visited.

    Args:
        policy: A tanh MLP.
        obs: Visited observations, (S, D).
        teacher: Whom it should follow there too.
        seed: See `unseen`.

    Returns:
        A row for each kind of state: ``states``; ``moved``, mean distance of the actions from those
        in the visited state (Euclid); ``at_limit``, share of actions at a limit; ``saturated``,
        share of hidden activity beyond ±0.99; ``gap``, root mean square difference from the
        teacher's actions (NaN without one).
    """
    home, rows = policy.act(obs), []
    for name, states in unseen(obs, seed=seed).items():
        record = {s: np.empty((len(obs), n), np.float32) for s, n in policy.network.sizes.items()}
        action = policy.act(states, record=record)
        hidden = np.concatenate(list(record.values()), axis=1)
        limit = np.zeros(action.shape, bool)
        if policy.low is not None and policy.high is not None:
            limit = (action <= policy.low) | (action >= policy.high)
        gap = np.nan
        if teacher is not None:
            gap = float(np.sqrt(((action - teacher.act(states)) ** 2).mean(dtype=np.float64)))
        rows.append(
            {
                "states": name,
                "moved": float(np.linalg.norm(action - home, axis=1).mean(dtype=np.float64)),
                "at_limit": float(limit.mean()),
                "saturated": float((np.abs(hidden) > SATURATED).mean()),
                "gap": gap,
            }
        )
    return pd.DataFrame(rows)
