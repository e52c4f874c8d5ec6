"""Attribution: how much of an action each sensor gives, and through which units it goes.

Integrated gradients (Sundararajan, Taly, Yan 2017) share out f(x) − f(baseline) among
sensors; conductance (Dhamdhere, Sundararajan, Yan 2019) shares the same difference out among the
units of a layer. `paths` keeps both at once: sensor → group → motor, after the
attribution between sensors and groups in Olah et al. 2018 ("The Building Blocks of
Interpretability").

All of them take *network inputs*, i.e. normalised observations, as `Policy.normalise` makes them
and as activity of the site ``obs`` holds them, and explain actions *before clipping*: a robot at
full speed is still explained. The baseline is the input to compare with; None takes the mean of
the inputs given, so give the mean visited input where these are few or special. Inputs are (N, D),
a baseline is (D,), results are in units of action; a policy that is no MLP, or inputs that are not
its, raise LabError.
Attribution needs gradients and so goes round `Policy.act`, in double precision on one thread.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.policies.network import ACTIVATIONS, MLP, one_thread
from rl_ablation.policies.policy import Policy

STEPS = 64
"""Points on the way from the baseline to an input (Gauss–Legendre): 1e-6 for tanh networks."""
Attribute = Callable[[Tensor, Tensor, int], Tensor]  # (inputs, baseline, action) -> shares
CHUNK = 256  # inputs at once; with 64 points and 64 units that is 8 MB a layer


class _Layer(nn.Module):
    """Weights, bias and activation function as one module, so that a hook sees a site's values."""

    def __init__(self, weight: Tensor, bias: Tensor, activation: str) -> None:
        super().__init__()
        self.weight, self.bias = weight.double(), bias.double()
        self.function = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.function(F.linear(x, self.weight, self.bias))


class View(nn.Module):
    """A policy's network as a plain module, to differentiate: network inputs → actions.

    Its hidden sites are submodules of the same name (``h0``, ``h1``, …). Actions are as they are
    before clipping: raw outputs, squashed if the policy squashes by tanh; for discrete actions the
    scores that argmax chooses from. Double precision, (N, D) → (N, A).
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        if not isinstance(policy.network, MLP):
            hint = "only an MLP's layers can be differentiated here"
            raise LabError(f"policy {policy.name!r} is no MLP; {hint}")
        *hidden, last = policy.network.layers
        self.sites = list(policy.network.sizes)
        for site, (weight, bias) in zip(self.sites, hidden, strict=True):
            self.add_module(site, _Layer(weight, bias, policy.network.activation))
        self.raw = _Layer(*last, "identity")
        self.low = self.high = None
        if policy.card.squash == "tanh" and policy.low is not None and policy.high is not None:
            self.low = torch.as_tensor(policy.low).double()
            self.high = torch.as_tensor(policy.high).double()

    def forward(self, inputs: Tensor) -> Tensor:
        """Run the whole network."""
        return self.after("obs", inputs)

    def at(self, site: str, inputs: Tensor) -> Tensor:
        """The values at a site, (N, H), for network inputs (N, D)."""
        for name in self.sites[: self._depth(site)]:
            inputs = self.get_submodule(name)(inputs)
        return inputs

    def after(self, site: str, values: Tensor) -> Tensor:
        """The actions, (N, A), that follow from the values at a site, (N, H)."""
        for name in self.sites[self._depth(site) :]:
            values = self.get_submodule(name)(values)
        return self.squashed(self.raw(values))

    def squashed(self, raw: Tensor) -> Tensor:
        """The actions, before clipping, that follow from the raw outputs, (N, A)."""
        if self.low is None or self.high is None:
            return raw
        return self.low + 0.5 * (torch.tanh(raw) + 1.0) * (self.high - self.low)

    def layer(self, depth: int) -> _Layer:
        """The layer behind so many others."""
        found = self.get_submodule([*self.sites, "raw"][depth])
        assert isinstance(found, _Layer)
        return found

    def _depth(self, site: str) -> int:
        """Layers between the input and a site's values."""
        known = ["obs", *self.sites]
        if site not in known:
            raise LabError(f"no site {site!r} before the actions; choose from {', '.join(known)}")
        return known.index(site)


def sensor_to_motor(
    policy: Policy, inputs: np.ndarray, baseline: np.ndarray | None = None
) -> np.ndarray:
    """Integrated gradients of every action with respect to every sensor, (N, D, A).

    Over the sensors they add up to f(x) − f(baseline).
    """
    module = View(policy)

    def attribute(x: Tensor, base: Tensor, action: int) -> Tensor:
        way = straight_way(x, base).requires_grad_()
        (slope,) = torch.autograd.grad(module(way)[:, action].sum(), way)
        return (x - base) * integral(slope, len(x))

    return _over_actions(policy, inputs, baseline, attribute)


def conductance(
    policy: Policy, inputs: np.ndarray, site: str, baseline: np.ndarray | None = None
) -> np.ndarray:
    """How much of every action goes through each unit of a hidden layer, (N, H, A).

    For unit h, ``∫ ∂f/∂h · dh`` along the straight way from the baseline to x, with the derivative
    of h itself: Captum's `LayerConductance` takes differences of h between the points, which costs
    a thousand points for what 64 do here. Over the units they add up to f(x) − f(baseline).
    LabError where there is no such hidden layer.
    """
    module = View(policy)
    if site not in module.sites:
        raise LabError(f"no hidden layer {site!r}; this policy has {', '.join(module.sites)}")

    def attribute(x: Tensor, base: Tensor, action: int) -> Tensor:
        way = straight_way(x, base).requires_grad_()
        values, growth = growing(module, site, way, x - base)
        values = values.detach().requires_grad_()
        (effect,) = torch.autograd.grad(module.after(site, values)[:, action].sum(), values)
        return integral(effect * growth, len(x))

    return _over_actions(policy, inputs, baseline, attribute)


def through_groups(
    policy: Policy, inputs: np.ndarray, plan: Plan, baseline: np.ndarray | None = None
) -> np.ndarray:
    """How much of every action goes through each group of a plan: its units' conductances added up.

    Groups that together make up a layer share out f(x) − f(baseline) among them. A group over
    several layers counts what passes through each. (N, groups, A); lesions of nothing are passed
    over.
    """
    groups = _groups(plan)
    sites = dict.fromkeys(site for group in groups for site in group.cut)
    through = {site: conductance(policy, inputs, site, baseline) for site in sites}
    parts = [[through[s][:, list(units)].sum(1) for s, units in g.cut.items()] for g in groups]
    return np.stack([np.sum(part, axis=0) for part in parts], axis=1)


def paths(
    policy: Policy, inputs: np.ndarray, plan: Plan, baseline: np.ndarray | None = None
) -> np.ndarray:
    """How much of every action goes from each sensor through each group: both attributions at once.

    With h the group's units, ``(x − b) · ∫ Σ_h ∂f/∂h · ∂h/∂x`` along the straight way from b to x.
    Over sensors it adds up to the group's conductance (`through_groups`); over the groups that make
    up a layer, to the sensor's integrated gradient (`sensor_to_motor`). (N, groups, D, A); lesions
    of nothing are passed over. LabError where a group spans several layers.
    """
    groups, module = _groups(plan), View(policy)
    for group in groups:
        if len(group.cut) != 1:
            raise LabError(f"group {group.name!r} spans several sites; give groups of one layer")
    places = [place for group in groups for place in group.cut.items()]

    def attribute(x: Tensor, base: Tensor, action: int) -> Tensor:
        way = straight_way(x, base).requires_grad_()
        taken = []
        for site, units in places:
            values = module.at(site, way)
            total = module.after(site, values)[:, action].sum()
            (effect,) = torch.autograd.grad(total, values, retain_graph=True)
            part = (effect.detach() * values)[:, list(units)].sum()
            (slope,) = torch.autograd.grad(part, way)
            taken.append((x - base) * integral(slope, len(x)))
        return torch.stack(taken, 1)

    return _over_actions(policy, inputs, baseline, attribute)


def growing(module: View, site: str, way: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """The values at a site along ways, (STEPS·N, H), and how they grow with steps (N, D) of each.

    The forward derivative is taken as a derivative of the backward one, which is linear in
    `weights`; torch's own forward mode spends seconds on its first call.
    """
    values = module.at(site, way)
    steps = step.repeat(STEPS, 1)
    if site == "obs":
        return values, steps
    weights = torch.zeros_like(values, requires_grad=True)
    (slope,) = torch.autograd.grad(values, way, weights, create_graph=True)
    (growth,) = torch.autograd.grad(slope, weights, steps)
    return values, growth


def straight_way(x: Tensor, base: Tensor) -> Tensor:
    """Points from the baseline (1, D) to inputs (N, D), one after another, (STEPS·N, D)."""
    points = torch.as_tensor((np.polynomial.legendre.leggauss(STEPS)[0] + 1) / 2)
    return (base + points[:, None, None] * (x - base)).reshape(-1, x.shape[1])


def integral(values: Tensor, count: int) -> Tensor:
    """The integral of values (STEPS·N, …) along each of N ways, (N, …)."""
    weights = torch.as_tensor(np.polynomial.legendre.leggauss(STEPS)[1] / 2)
    return torch.einsum("p,pnh->nh", weights, values.reshape(STEPS, count, -1))


def _groups(plan: Plan) -> list[Lesion]:
    groups = [lesion for lesion in plan if lesion.size]
    if not groups:
        raise LabError("the plan has no groups of units")
    if heard := [x.name for x in groups if x.to]:
        raise LabError(f"{heard[0]!r} is a connection; see rl_ablation.analysis.connections")
    return groups


def _over_actions(
    policy: Policy, inputs: np.ndarray, baseline: np.ndarray | None, attribute: Attribute
) -> np.ndarray:
    """Attribute each action in turn, some inputs at a time; the actions become the last axis."""
    shape = np.shape(inputs)
    if len(shape) != 2 or shape[1] != policy.obs_size or not shape[0]:
        raise LabError(f"inputs have the shape {shape}; expected (N, {policy.obs_size})")
    x = torch.as_tensor(np.asarray(inputs, np.float64))
    origin = np.mean(inputs, 0, dtype=np.float64) if baseline is None else baseline
    base = torch.as_tensor(np.array(origin, np.float64).reshape(1, policy.obs_size))
    with one_thread():
        parts = [
            torch.stack([attribute(rows, base, a).detach() for a in range(policy.action_size)], -1)
            for rows in x.split(CHUNK)
        ]
    return torch.cat(parts).numpy()
