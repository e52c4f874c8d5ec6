"""What made a unit, where it changes sides, and what the policy does far from visited states.

Three questions of Blazek & Lin 2021 (Nature Computational Science 1, 607–618) and of the argument
built on it:

* *Boundaries*: where in an interpretable plane of the state space does a unit change sides?
* *Influence*: which training samples change its weights?
* *Outside*: what does the policy do in states that no robot has visited?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from rl_ablation.errors import LabError
from rl_ablation.policies.network import ACTIVATIONS, MLP, linear, one_thread
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.activity import activity_at

SATURATED = 0.99
"""A tanh unit beyond ± this is saturated."""
_MOST = 0.9  # of the influence on a unit


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane of the observation space, spanned by two features that mean something.

    ``names`` are the features with their units, as figures print them; f = ``weights`` (2, D) @ obs
    gives them. They are both 0 at ``origin`` (D,), and ``directions`` (2, D) is what an increase by
    1 does to the observation. ``share`` of the visited states' variance, in units of each sensor's,
    lies within the plane.
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
    """The plane that visited states ``obs`` (S, D) span when two features vary.

    The observation to expect, given the two features, by linear regression over the visited
    states. Because the features are linear in the observation, a point of the plane has exactly
    the features it was asked for. Features are name → weights (D,).

    Raises:
        LabError: Not two features, or two that do not vary independently in these states.
    """
    if len(features) != 2:
        raise LabError(f"a plane needs 2 features, got {len(features)}")
    obs = np.asarray(obs, np.float64)
    weights = np.stack(list(features.values())).astype(np.float64)
    if weights.shape[1] != obs.shape[1]:
        raise LabError(f"features of {weights.shape[1]} sensors, states of {obs.shape[1]}")
    centred = obs - (mean := obs.mean(0))
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


def surfaces(
    policy: Policy, site: str, plane: Plane, x: np.ndarray, y: np.ndarray
) -> list[Surface]:
    """Every unit of a hidden site over the plane; its boundary is the contour at mid-range.

    ``x`` and ``y`` are rising values of the plane's two features.
    """
    grid = np.stack(np.meshgrid(x, y), -1)
    values = activity_at(policy, plane.at(grid.reshape(-1, 2)))[site]
    return [Surface(plane, x, y, v.reshape(grid.shape[:2])) for v in values.T]


def faithfulness(policy: Policy, site: str, plane: Plane, obs: np.ndarray) -> np.ndarray:
    """Share of visited states in which each unit is on the side that the plane shows, (H,).

    The plane is two dimensions of many: where this is not near 1, the picture of the boundary is
    not what decides in the real states.
    """
    real = activity_at(policy, obs)[site] > 0
    drawn = activity_at(policy, plane.at(plane.features(obs)))[site] > 0
    return np.asarray((real == drawn).mean(0))


def influence(policy: Policy, site: str, obs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Influence of each training sample on each unit: ‖∂L/∂(incoming weights of the unit)‖.

    L is the sample's imitation loss, the mean squared difference between the network's outputs,
    before they are clipped, and ``targets`` (S, A), the actions to imitate in ``obs`` (S, D). The
    weights into a unit get the gradient δ·input, so the norm is |δ|·‖input‖; it is (S, H), at the
    policy's present weights.

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


def influential_share(influence: np.ndarray) -> np.ndarray:
    """The smallest share of samples that together have 90 % of the influence on a unit, (H,).

    Near 0 for a unit made by few samples, near 0.9 if all have the same influence; NaN for a unit
    that none influences. The influence, (S, H), not negative, is from `influence` or of an essence
    network.
    """
    falling = -np.sort(-np.asarray(influence, np.float64), axis=0)
    total = falling.sum(0)
    enough = falling.cumsum(0) >= _MOST * total - 1e-12 * total
    return np.where(total > 0, (enough.argmax(0) + 1) / len(falling), np.nan)


def unseen(obs: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """States farther and farther from the visited ones, ``obs`` (S, D): name → observations (S, D).

    ``×1`` to ``×5`` have a state's distance from the mean state stretched by that factor; in
    ``shuffled`` every sensor reads what it has read before, but not together with the others.
    """
    rng = np.random.default_rng(seed)
    mean = obs.mean(0, dtype=np.float64)
    states = {f"×{s}": mean + float(s) * (obs - mean) for s in range(1, 6)}
    states["shuffled"] = rng.permuted(obs, axis=0)
    return states


def far_outside(policy: Policy, obs: np.ndarray, teacher: Policy, seed: int = 0) -> pd.DataFrame:
    """What a tanh policy that imitates a teacher does in the `unseen` states of ``obs`` (S, D).

    A row for each kind of state: ``states``; ``moved``, mean distance of the actions from those in
    the visited state (Euclid); ``at_limit``, share of actions at a limit; ``saturated``, share of
    hidden activity beyond ±0.99; ``gap``, root mean square difference from the teacher's actions.
    """
    visited, rows = policy.act(obs), []
    for name, states in unseen(obs, seed=seed).items():
        action = policy.act(states)
        hidden = np.concatenate(list(activity_at(policy, states).values()), axis=1)
        limit = np.zeros(action.shape, bool)
        if policy.low is not None and policy.high is not None:
            limit = (action <= policy.low) | (action >= policy.high)
        gap = ((action - teacher.act(states)) ** 2).mean(dtype=np.float64)
        moved = np.linalg.norm(action - visited, axis=1).mean(dtype=np.float64)
        saturated = (np.abs(hidden) > SATURATED).mean()
        rows.append((name, moved, limit.mean(), saturated, np.sqrt(gap)))
    return pd.DataFrame(rows, columns=["states", "moved", "at_limit", "saturated", "gap"])
