"""Adversarial perturbation: the worst small change of a policy's observation at every step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rl_ablation.errors import LabError
from rl_ablation.files import array_digest, digest
from rl_ablation.policies.network import Edit, Network
from rl_ablation.policies.policy import Policy

ATTACK_STEPS = 4  # of the gradient, from each of two starting points
_OUTSIDE_COST = 1e-3


def perturbed(policy: Policy, epsilon: float) -> Policy:
    """The policy under attack: at every step its input is moved by at most ±ε a sensor, so that
    its action moves as far as can be found.

    Projected gradient ascent on the squared change of the action (Madry et al. 2018, 1706.06083;
    for policies: Huang et al. 2017, 1702.02284, and the maximal action difference of Zhang et al.
    2020, 2003.08938). The attack sees input and weights; of lesions only those of
    ``obs``. The largest change of the action is not always the worst for the behaviour.

    The network must be differentiable by torch; with ε = 0 it is the policy itself. A negative or
    infinite ε raises LabError, and so does a policy that remembers.
    """
    if not 0 <= epsilon < np.inf:
        raise LabError(f"epsilon must be a number of at least 0, got {epsilon}")
    policy.needs_no_memory("the attack")
    card = policy.card.model_copy(update={"name": f"{policy.name}-worst-{epsilon:g}"})
    # Only clipped actions have flat ends; tanh and scores for argmax are attacked as they are.
    bounds = None
    if policy.card.squash == "clip" and policy.low is not None and policy.high is not None:
        bounds = torch.as_tensor(policy.low), torch.as_tensor(policy.high)
    network = Perturbed(policy.network, bounds, epsilon)
    return policy.with_network(network).with_card(card)


@dataclass(frozen=True, eq=False)
class Perturbed:
    """A network whose input an attacker changes first, by ``epsilon`` at most; see `perturbed`.

    ``bounds`` are the least and greatest raw outputs that still make a difference, (A,) each.
    """

    network: Network
    bounds: tuple[Tensor, Tensor] | None
    epsilon: float

    @property
    def sizes(self) -> Mapping[str, int]:
        """Units of each hidden site."""
        return self.network.sizes

    @property
    def digest(self) -> str:
        """Of the attacked network and the attack."""
        bounds = [] if self.bounds is None else [array_digest(b.numpy()) for b in self.bounds]
        return digest([self.network.digest, bounds, self.epsilon, ATTACK_STEPS])

    def __call__(self, obs: Tensor, edit: Edit) -> Tensor:
        """Run the network on the worst input near ``obs``; see `Network`."""
        return self.network(obs + self.worst(obs) if self.epsilon else obs, edit)

    def worst(self, obs: Tensor) -> Tensor:
        """The change of the input, (B, D), within ±ε; every row's is its own."""
        # Policies act in inference mode, in which torch keeps no gradients.
        with torch.inference_mode(False), torch.enable_grad():
            x = obs.detach().clone()
            before = self._clip(self.network(x, _untouched)).detach()
            # Where nothing has changed yet, the squared change has no slope: start at a corner.
            # It is the same for all rows, so that no row depends on its place, and so is its
            # opposite, for one of the two may lie on the far side of a bound.
            corner = np.random.default_rng(0).choice([-1.0, 1.0], x.shape[1])
            start = self.epsilon * torch.tensor(corner, dtype=x.dtype).expand_as(x)
            one, one_gain = self._climb(x, before, start)
            other, other_gain = self._climb(x, before, -start)
            return torch.where((one_gain >= other_gain)[:, None], one, other)

    def _climb(self, x: Tensor, before: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """The best change on the way up from ``start``, and the change of the action it makes."""
        best, best_gain, change = start, self._gain(x + start, before).detach(), start
        for _ in range(ATTACK_STEPS):
            change = change.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self._gain(x + change, before).sum(), change)
            # A step of ε may cross half of the box; the last ones settle in a corner.
            change = (change + self.epsilon * slope.sign()).clamp(-self.epsilon, self.epsilon)
            gain = self._gain(x + change, before).detach()
            better = (gain > best_gain)[:, None]
            best, best_gain = torch.where(better, change, best), torch.maximum(gain, best_gain)
        return best.detach(), best_gain

    def _gain(self, x: Tensor, before: Tensor) -> Tensor:
        raw = self.network(x, _untouched)
        acts = self._clip(raw)
        # Beyond its bounds an action has no slope. A small reward for what leads back to them
        # brings the attack to where there is one.
        return ((acts - before) ** 2).sum(1) - _OUTSIDE_COST * (raw - acts).abs().sum(1)

    def _clip(self, raw: Tensor) -> Tensor:
        return raw if self.bounds is None else raw.clamp(*self.bounds)


def _untouched(site: str, values: Tensor) -> Tensor:
    return values
