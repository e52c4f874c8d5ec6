"""PPO that also rewards, or punishes, hidden units for preferring one context.

After Leavitt & Morcos 2020 ("Selectivity considered harmful", 2003.01262): the loss becomes
``L_PPO − α·SI``, where SI is the class selectivity of the policy network's units, averaged over
units and then over layers, in each minibatch. α > 0 makes units specialise, α < 0 keeps them from
it. Their classes are digits; a robot's are contexts: left bend, straight, right bend.

SI supposes activity that is never negative. A tanh unit's is taken as its *rate* (a + 1)/2, which
is the logistic function of twice the unit's input: −1 is off, +1 is full on. The absolute value
would not do, for it calls a unit unselective that goes to +1 in left bends and to −1 in right ones.
The price: a unit and its negative differ in SI, so read η² beside it (`selectivity`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from torch import Tensor

from agents.adapter import BatchVecEnv
from rl_ablation.analysis.selectivity import BENDS, TINY, bend_contexts
from rl_ablation.errors import LabError

SIGNAL = "bend"
"""The info that tells the context."""


def rate(layer: Tensor | np.ndarray) -> Any:
    """Tanh activity as a rate in [0, 1]; see above."""
    return (layer + 1.0) / 2.0


def unit_selectivity(rates: Tensor, context: Tensor, contexts: int) -> Tensor:
    """Class selectivity SI = (μ_max − μ_−max)/(μ_max + μ_−max + 1e-7), differentiable.

    Args:
        rates: (B, H), nowhere negative.
        context: (B,) whole numbers below ``contexts``.
        contexts: How many there are. One that no row is in is left out; where fewer than two are
            left there is nothing to prefer, and SI is 0.

    Returns:
        (H,) in [0, 1]; μ_max is a unit's largest context mean, μ_−max the mean of its others.
    """
    member = torch.nn.functional.one_hot(context, contexts).to(rates.dtype)
    counts = member.sum(0)
    means = (member.T @ rates)[counts > 0] / counts[counts > 0, None]
    if len(means) < 2:
        return torch.zeros_like(rates[0])
    largest = means.max(0).values
    rest = (means.sum(0) - largest) / (len(means) - 1)
    return (largest - rest) / (largest + rest + TINY)


def network_selectivity(layers: Sequence[Tensor], context: Tensor, contexts: int) -> Tensor:
    """Mean SI of each tanh layer's units, averaged over layers, as a number."""
    means = [unit_selectivity(rate(a), context, contexts).mean() for a in layers]
    return torch.stack(means).mean()


class ContextBuffer(RolloutBuffer):
    """A rollout buffer that knows the context of every observation.

    A minibatch's observations carry it as one more column, which `SelectivePolicy` takes off
    again. So neither the observation space nor the normaliser nor the network nor the exported
    policy ever has it.

    Args:
        env: Where the observations come from.
        kwargs: For the plain buffer.
    """

    def __init__(self, *args: Any, env: BatchVecEnv, **kwargs: Any) -> None:
        self.env = env
        super().__init__(*args, **kwargs)

    def reset(self) -> None:
        """Forget everything."""
        self.contexts = np.zeros((self.buffer_size, self.n_envs), np.float32)
        super().reset()

    def add(self, *args: Any, **kwargs: Any) -> None:
        """Keep a step of all robots; the arguments are the plain buffer's."""
        if SIGNAL not in self.env.answered:
            raise LabError(
                f"selectivity needs an environment whose infos tell the context as {SIGNAL!r}; "
                "train in the lap world, or set selectivity to 0"
            )
        self.contexts[self.pos] = bend_contexts(self.env.answered[SIGNAL])
        super().add(*args, **kwargs)

    def _get_samples(self, batch_inds: np.ndarray, env: Any = None) -> RolloutBufferSamples:
        samples = super()._get_samples(batch_inds, env)
        context = self.to_torch(self.swap_and_flatten(self.contexts)[batch_inds])
        return samples._replace(observations=torch.cat([samples.observations, context], 1))


class SelectivePolicy(ActorCriticPolicy):
    """An actor-critic that gives its units' selectivity where PPO looks for the entropy."""

    def hidden(self, obs: Tensor) -> list[Tensor]:
        """Activity of the policy network's hidden layers, (B, H) each."""
        x, layers = self.extract_features(obs), []
        for module in self.mlp_extractor.policy_net:
            x = module(x)
            if not isinstance(module, torch.nn.Linear):
                layers.append(x)
        return layers

    def evaluate_actions(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values, log probabilities, and SI; ``obs`` ends in the context's column."""
        obs, context = obs[:, :-1], obs[:, -1].long()
        values, log_prob, _ = super().evaluate_actions(obs, actions)
        return values, log_prob, network_selectivity(self.hidden(obs), context, len(BENDS))


class SelectivePPO(PPO):
    """PPO with the loss L − α·SI.

    PPO's loss holds ``−ent_coef · mean(entropy)``. Without an entropy bonus that place is free:
    with ``ent_coef`` = α and SI returned as the entropy, PPO's own code adds −α·SI, gradient and
    all, and none of it need be copied.

    Args:
        env: A wrapped `BatchVecEnv`.
        selectivity: α.
        policy_kwargs: As for PPO; hidden units must be tanh.
        ent_coef: As for PPO; must be 0.
        kwargs: For PPO.

    Raises:
        LabError: An entropy bonus is asked for too, or units that are not tanh.
    """

    def __init__(
        self,
        env: Any,
        *,
        selectivity: float,
        policy_kwargs: dict[str, Any],
        ent_coef: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if ent_coef != 0:
            raise LabError(
                f"selectivity {selectivity:g} takes the place of the entropy bonus in the loss; "
                f"set the recipe's ent_coef to 0, not {ent_coef:g}"
            )
        if policy_kwargs.get("activation_fn", torch.nn.Tanh) is not torch.nn.Tanh:
            raise LabError("selectivity is defined here for tanh units; set activation to 'tanh'")
        super().__init__(
            SelectivePolicy,
            env,
            ent_coef=selectivity,
            policy_kwargs=policy_kwargs,
            rollout_buffer_class=ContextBuffer,
            rollout_buffer_kwargs={"env": env.unwrapped},
            **kwargs,
        )

    def train(self) -> None:
        """Update the policy, and log SI under its own name."""
        super().train()
        self.logger.record("train/selectivity", -self.logger.name_to_value["train/entropy_loss"])
