"""Activation maximisation: the plausible input that is highest along a direction of activity.

After feature visualisation in Olah et al. 2018 ("The Building Blocks of Interpretability"). An
input that gradient ascent is free to choose is one that no robot will ever see; here it is held
near the visited ones by their Mahalanobis distance, and it is said how far out among them it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from sklearn.covariance import LedoitWolf

from rl_ablation.analysis.attribution import View
from rl_ablation.analysis.top_states import Direction
from rl_ablation.errors import LabError
from rl_ablation.policies.network import one_thread
from rl_ablation.policies.policy import Policy

FARTHEST = 99.0
"""Percentile of visited distances beyond which no step may go."""
PENALTY = 1.0
"""On being unusual; see `maximise`."""
STARTS = 4
"""Ascents for each direction."""
_STEPS, _RATE = 200, 0.2


@dataclass(frozen=True, eq=False)
class Cloud:
    """Where the visited inputs lie: a Gaussian with shrunk covariance (Ledoit & Wolf 2004), a box.

    ``low`` and ``high``, (D,), are the least and greatest visited value of each input,
    ``distances``, (S,), the Mahalanobis distances of the visited inputs, rising.
    """

    mean: np.ndarray
    covariance: np.ndarray
    precision: np.ndarray
    low: np.ndarray
    high: np.ndarray
    distances: np.ndarray

    @staticmethod
    def of(inputs: np.ndarray) -> Cloud:
        """The cloud of visited network inputs (S, D)."""
        x = np.asarray(inputs, np.float64)
        fit = LedoitWolf().fit(x)
        distances = np.sort(_distance(x, fit.location_, fit.precision_))
        return Cloud(fit.location_, fit.covariance_, fit.precision_, x.min(0), x.max(0), distances)

    def distance(self, inputs: np.ndarray) -> np.ndarray:
        """Mahalanobis distances (N,) of inputs (N, D)."""
        return _distance(inputs, self.mean, self.precision)

    def percentile(self, inputs: np.ndarray) -> np.ndarray:
        """Per cent of the visited inputs that lie no farther out, (N,)."""
        return np.asarray(stats.percentileofscore(self.distances, self.distance(inputs), "weak"))

    def hold(self, inputs: np.ndarray) -> np.ndarray:
        """Bring inputs into the visited range and no farther out than ``FARTHEST``.

        The second is a step toward the mean, which does not leave the range again.
        """
        inside = np.clip(inputs, self.low, self.high)
        limit = np.percentile(self.distances, FARTHEST)
        back = np.minimum(1.0, limit / np.maximum(self.distance(inside), 1e-12))[:, None]
        return np.where(back < 1.0, self.mean + back * (inside - self.mean), inside)


def _distance(inputs: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
    away = inputs - mean
    return np.sqrt(np.einsum("nd,de,ne->n", away, precision, away).clip(0))


@dataclass(frozen=True, eq=False)
class Maximum:
    """The network input (D,) found for a direction, and its value along it.

    ``visited`` is the highest value at a visited input, ``percentile`` the per cent of the visited
    inputs that lie no farther out.
    """

    inputs: np.ndarray
    value: float
    visited: float
    percentile: float


def maximise(policy: Policy, directions: Sequence[Direction], inputs: np.ndarray) -> list[Maximum]:
    """The network input that is highest along each direction while still plausible.

    Gradient ascent on ``value / σ − penalty/2 · max(0, d − √D)²``, in the metric of the visited
    inputs, with σ the value's standard deviation and d the Mahalanobis distance, whose root mean
    square over visited inputs is √D: only to be farther out than usual costs, since the mean input
    is not a usual one either. At a penalty of 1 the best input for a linear unit lies at √D + 1.
    Every step is brought back into the visited range and within a percentile of visited distances.
    The ascents start from visited inputs with high values: the highest, the ninth highest and so
    on, since neighbours in rank are often neighbours in time.
    ``inputs`` are visited network inputs, (S, D), S > D.

    Raises:
        LabError: The policy is no MLP, or the inputs or a direction do not fit it.
    """
    view, cloud = View(policy), Cloud.of(inputs)
    if inputs.shape[1] != policy.obs_size:
        raise LabError(f"inputs have {inputs.shape[1]} numbers; expected {policy.obs_size}")
    found: dict[int, Maximum] = {}
    for site in dict.fromkeys(direction.site for direction in directions):
        same = [k for k, x in enumerate(directions) if x.site == site]
        weights = np.stack([directions[k].weights for k in same])
        with one_thread():
            visited, _ = _values_and_slopes(view, site, weights, inputs[:, None])
            first = np.argsort(-visited, axis=0, kind="stable")[: 8 * STARTS : 8]
            ascent = _ascend(view, site, weights, cloud, inputs[first], visited.std(0))
            values, _ = _values_and_slopes(view, site, weights, ascent[None])
        for place, k in enumerate(same):
            percentile = float(cloud.percentile(ascent[place : place + 1])[0])
            top = float(visited[:, place].max())
            found[k] = Maximum(ascent[place], float(values[0, place]), top, percentile)
    return [found[k] for k in range(len(directions))]


def _ascend(
    view: View, site: str, weights: np.ndarray, cloud: Cloud, inputs: np.ndarray, sigma: np.ndarray
) -> np.ndarray:
    """Climb from inputs (starts, G, D) along G directions at once; the best of each, (G, D)."""
    starts, count, size = inputs.shape
    x = cloud.hold(inputs.reshape(-1, size).astype(np.float64))
    sigma = np.maximum(sigma, 1e-12)
    best, top = x.copy(), np.full(len(x), -np.inf)
    for _ in range(_STEPS):
        value, slope = _values_and_slopes(view, site, weights, x.reshape(inputs.shape))
        far = cloud.distance(x)
        beyond = np.maximum(far - size**0.5, 0.0)
        score = (value / sigma).ravel() - PENALTY / 2 * beyond**2
        better = score > top
        best[better], top[better] = x[better], score[better]
        climb = (slope / sigma[:, None]).reshape(-1, size) @ cloud.covariance
        back = (PENALTY * beyond / np.maximum(far, 1e-12))[:, None] * (x - cloud.mean)
        x = cloud.hold(x + _RATE * (climb - back))
    chosen = top.reshape(starts, count).argmax(0)
    return best.reshape(inputs.shape)[chosen, np.arange(count)]


def _values_and_slopes(
    view: View, site: str, weights: np.ndarray, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Values (N, G) along G directions, weights (G, H), at inputs (N, G or 1, D); and slopes."""
    rows = torch.as_tensor(np.asarray(inputs, np.float64)).requires_grad_()
    values = (view.at(site, rows) * torch.as_tensor(weights)).sum(-1)
    (slopes,) = torch.autograd.grad(values.sum(), rows)
    return values.detach().numpy(), slopes.numpy()


def raw_observation(policy: Policy, inputs: np.ndarray) -> np.ndarray:
    """Undo `Policy.normalise`: the observations (N, D) behind network inputs (N, D)."""
    inputs = np.asarray(inputs, np.float64)
    if policy.obs_mean is None or policy.obs_std is None:
        return inputs
    return inputs * policy.obs_std + policy.obs_mean
