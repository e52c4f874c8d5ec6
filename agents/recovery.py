"""Recovery training: a trained policy goes on learning after something was cut out of it.

After Meyes et al. 2019 ("Ablation Studies in Artificial Neural Networks"), where damaged networks
recover when they are trained again. A unit is cut by setting its outgoing weights to zero; it stays
*frozen* if those weights get no gradient, or it may *regrow*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecNormalize

from agents.recipes import Recipe
from agents.train import train
from rl_ablation.errors import LabError
from rl_ablation.files import digest
from rl_ablation.policies.network import MLP
from rl_ablation.policies.policy import Policy

Cut = Mapping[str, Sequence[int]]
"""Hidden site → units."""


def recover(
    start: Policy | None,
    recipe: Recipe,
    folder: str | Path,
    *,
    cut: Cut | None = None,
    frozen: bool = True,
    seed: int = 0,
    warm_up: int = 0,
    every: int | None = None,
) -> Policy:
    """Cut units out of a policy and train on; resumable like `agents.train.train`.

    The actor and its observation normaliser start from the policy. Its value network was not kept:
    a new one is learned, and for ``warm_up`` steps nothing else, for the advice of a critic that
    knows nothing would wreck the actor. Exploration noise starts afresh as the recipe says.

    Args:
        start: The policy, trained by a recipe of the same networks; None starts from scratch.
        recipe: How long and how to train.
        folder: Where the training lives; with ``every``, also ``at-<steps>/`` policies.
        cut: Units to cut; None cuts none.
        frozen: Keep them cut. Otherwise they may grow new outgoing weights, from zero.
        seed: Of the training.
        warm_up: Steps in which only the critic learns.
        every: Keep the policy whenever this many steps are done, before the first one too.

    Raises:
        LabError: The policy has other layers than the recipe, or a site or unit does not exist.
    """
    cut = {site: sorted(map(int, units)) for site, units in (cut or {}).items()}
    if start is None and cut:
        raise LabError("a training from scratch has nothing to cut; give a policy to start from")
    if start is not None:
        _check(start, recipe, cut)
    what = [None if start is None else start.sha256, cut, frozen, warm_up]
    named = recipe.model_copy(update={"name": f"{recipe.name}-{digest(what)[:8]}"})

    def prepare(model: PPO, env: VecNormalize) -> list[BaseCallback]:
        if start is not None:
            _load(model, env, start)
            _silence(model, cut, frozen)
        return [_WarmUp(warm_up)]

    marks = [] if every is None else [*range(0, recipe.steps, every), recipe.steps]
    return train(named, folder, seed=seed, prepare=prepare, keep=marks)


def hold(policy: Policy, cut: Cut, means: Mapping[str, np.ndarray]) -> Policy:
    """Move what units give in the mean into the biases of the next layer.

    Without their outgoing weights, which `recover` cuts, the policy then does what it does with
    those units held at their means, and not at zero. ``means`` is site → (H,).
    """
    assert isinstance(policy.network, MLP)
    layers = list(policy.network.layers)
    for site, units in cut.items():
        behind = int(site[1:]) + 1
        weight, bias = layers[behind]
        given = torch.as_tensor(means[site][list(units)], dtype=weight.dtype)
        layers[behind] = (weight, bias + weight[:, list(units)] @ given)
    return policy.with_network(MLP(tuple(layers), policy.network.activation))


def _check(start: Policy, recipe: Recipe, cut: Cut) -> None:
    sizes = tuple(start.network.sizes.values())
    if not isinstance(start.network, MLP) or sizes != recipe.net_arch or start.obs_mean is None:
        raise LabError(
            f"{start.name!r} cannot start recipe {recipe.name!r}: it needs a normaliser and hidden "
            f"layers of {recipe.net_arch}, and has {sizes}"
        )
    for site, units in cut.items():
        if site not in start.network.sizes or not all(
            0 <= unit < start.network.sizes[site] for unit in units
        ):
            raise LabError(f"cannot cut {site} {list(units)[:8]}; hidden sites: {start.sites}")


def _linears(model: PPO) -> list[torch.nn.Linear]:
    """The actor's linear layers, input to output."""
    net = model.policy.mlp_extractor.policy_net
    return [m for m in net if isinstance(m, torch.nn.Linear)] + [model.policy.action_net]


def _load(model: PPO, env: VecNormalize, start: Policy) -> None:
    assert isinstance(start.network, MLP)
    assert start.obs_mean is not None
    assert start.obs_std is not None
    with torch.no_grad():
        for linear, (weight, bias) in zip(_linears(model), start.network.layers, strict=True):
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
    env.obs_rms.mean = start.obs_mean.copy()
    env.obs_rms.var = np.maximum(start.obs_std**2 - env.epsilon, 0.0)
    # As many observations as the policy was trained on outweigh the first new ones.
    env.obs_rms.count = float(start.card.steps or 1)


def _silence(model: PPO, cut: Cut, frozen: bool) -> None:
    """Zero the outgoing weights of units, and let no gradient reach them if they are frozen."""
    linears = _linears(model)
    for site, units in cut.items():
        weight = linears[int(site[1:]) + 1].weight
        mask = torch.ones_like(weight)
        mask[:, list(units)] = 0.0
        with torch.no_grad():
            weight.mul_(mask)
        if frozen:
            weight.register_hook(lambda gradient, mask=mask: gradient * mask)


class _WarmUp(BaseCallback):
    """Lets only the critic learn for the first steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        learns = self.model.num_timesteps > self.steps
        actor = [p for linear in _linears(self.model) for p in linear.parameters()]
        for parameter in (*actor, self.model.policy.log_std):
            parameter.requires_grad_(learns)
