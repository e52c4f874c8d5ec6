"""Where stable-baselines3 and sb3-contrib keep the actor in a state dict, and what it computes.

The layouts are those of the libraries' public sources, versions 1.0 to 2.9.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from rl_ablation.errors import LabError
from rl_ablation.files import digest
from rl_ablation.policies.network import MLP, Edit
from rl_ablation.policies.policy import Policy
from rl_ablation.policies.sb3.pickles import Name, as_number, printable
from rl_ablation.policies.sb3.tensors import TensorFile

MAX_LAYERS = 64


@dataclass(frozen=True)
class Layout:
    """Where a kind of policy keeps its actor in the state dict, and what it computes by default.

    ``hidden`` are prefixes of the sequences of layers, in order of the signal; ``head`` is the last
    layer, None if the last sequence holds it; ``memory`` is the LSTM in front, None for none.
    """

    hidden: tuple[str, ...]
    head: str | None
    squash: str
    activation: str
    memory: str | None = None


_ACTOR = ("mlp_extractor.shared_net", "mlp_extractor.policy_net")
_GAUSSIAN = Layout(("actor.latent_pi",), "actor.mu", "tanh", "relu")
LAYOUTS = {
    "ActorCriticPolicy": Layout(_ACTOR, "action_net", "clip", "tanh"),
    "RecurrentActorCriticPolicy": Layout(_ACTOR, "action_net", "clip", "tanh", "lstm_actor"),
    "SACPolicy": _GAUSSIAN,
    "TQCPolicy": _GAUSSIAN,
    "TD3Policy": Layout(("actor.mu",), None, "tanh", "relu"),
    "DQNPolicy": Layout(("q_net.q_net",), None, "argmax", "relu"),
    "QRDQNPolicy": Layout(("quantile_net.quantile_net",), None, "argmax", "relu"),
    "ARSPolicy": Layout(("action_net",), None, "tanh", "relu"),
    "ARSLinearPolicy": Layout(("action_net",), None, "clip", "identity"),
}
_ACTIVATIONS = {
    "Tanh": "tanh", "ReLU": "relu", "ELU": "elu", "LeakyReLU": "leaky_relu", "SiLU": "silu",
    "GELU": "gelu", "Sigmoid": "sigmoid", "Identity": "identity",
}  # fmt: skip
_UNSUPPORTED = {
    "Cnn": "policies that see images (CNN)",
    "Multi": "dict observations",
    "Maskable": "policies with action masks",
}


_LSTM = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_SIGNS = {
    "RecurrentActorCriticPolicy": "lstm_actor.weight_ih_l0",
    "ActorCriticPolicy": "value_net.weight",
    "SACPolicy": "actor.log_std.weight",
    "TD3Policy": "actor.mu.0.weight",
    "DQNPolicy": "q_net.q_net.0.weight",
    "QRDQNPolicy": "quantile_net.quantile_net.0.weight",
}


@dataclass(frozen=True)
class Clipped:
    """An MLP whose raw outputs are held within ±``limit``: SAC and TQC with gSDE do so."""

    mlp: MLP
    limit: float

    @property
    def sizes(self) -> dict[str, int]:
        """Units of each hidden site."""
        return self.mlp.sizes

    @property
    def digest(self) -> str:
        """Of the layers and the limit."""
        return digest([self.mlp.digest, self.limit])

    def __call__(self, obs: Tensor, edit: Edit) -> Tensor:
        """Run the layers; see `rl_ablation.policies.network.Network`."""
        return self.mlp(obs, edit).clamp(-self.limit, self.limit)


def policy_kind(node: object, tensors: TensorFile) -> str:
    """The key in `LAYOUTS` of a policy class, by its name or else its weights; else a LabError."""
    if isinstance(node, Name):
        for part, what in _UNSUPPORTED.items():
            if part in node.name:
                raise LabError(f"{what} are not supported, only MLP actors on plain vectors")
        library = node.module.split(".")[0]
        if node.name in LAYOUTS and library in ("stable_baselines3", "sb3_contrib"):
            return node.name
        shown, known = printable(node.dotted), ", ".join(LAYOUTS)
        raise LabError(f"the policy class {shown} is not supported; it can be one of {known}")
    for kind, sign in _SIGNS.items():
        if sign in tensors:
            return kind
    raise LabError("data names no policy class, and policy.pth has the weights of no known one")


def check_extractor(kwargs: Mapping[Any, Any], tensors: TensorFile, layout: Layout) -> None:
    """Raise a LabError if more than flattening and a known LSTM stand before the MLP."""
    names = tensors.names
    if layout.memory is None and any(name.startswith("lstm_") for name in names):
        raise LabError("has an LSTM, but its policy class is none that remembers")
    if any(re.match(r"(\w+\.)?(pi_|vf_)?features_extractor\.", name) for name in names):
        what = "(CNN, dict observations)"
        raise LabError(f"policies with a feature extractor {what} are not supported")
    extractor = kwargs.get("features_extractor_class")
    if extractor is not None and getattr(extractor, "name", "") != "FlattenExtractor":
        raise LabError("policies with a feature extractor of their own are not supported")


def actor_weights(
    tensors: TensorFile, layout: Layout, actions: int | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (weight (out, in), bias (out,)) of each layer of the actor.

    ``actions`` is the number of discrete actions, or None. A tensor that is missing or damaged, or
    an actor that is no plain MLP, raises a LabError.
    """
    names = [name for prefix in layout.hidden for name in _sequence(tensors, prefix)]
    if layout.head is not None:
        names.append(layout.head if f"{layout.head}.weight" in tensors else f"{layout.head}.0")
    if not names or f"{names[-1]}.weight" not in tensors:
        raise LabError(f"holds no actor ({layout.head or layout.hidden[-1]}.* is missing)")
    if len(names) > MAX_LAYERS:
        raise LabError(f"an actor of {len(names):,} layers, more than the {MAX_LAYERS} allowed")
    parts = [f"{name}.{part}" for name in names for part in ("weight", "bias")]
    found = tensors.arrays(p for p in parts if p.endswith("weight") or p in tensors)
    weights = []
    for name in names:
        weight, bias = found[f"{name}.weight"], found.get(f"{name}.bias")
        if weight.ndim != 2:
            raise LabError(f"{name} is no layer of an MLP but has weights {weight.shape}")
        weights.append((weight, np.zeros(len(weight), np.float32) if bias is None else bias))
    if "quantile_net" in layout.hidden[0]:
        weights[-1] = _mean_quantile(*weights[-1], actions or 0)
    return weights


def memory_weights(tensors: TensorFile, layout: Layout) -> list[list[np.ndarray]]:
    """The weights of each recurrent layer, as `rl_ablation.policies.graph.remembering` takes them.

    A LabError where an LSTM has more than those (projections, a second direction).
    """
    if layout.memory is None:
        return []
    every = [name for name in tensors.names if name.startswith(f"{layout.memory}.")]
    count = len(every) // 4
    wanted = [[f"{layout.memory}.{part}_l{k}" for part in _LSTM] for k in range(count)]
    if not count or set(every) != {name for names in wanted for name in names}:
        raise LabError(f"{layout.memory} is no plain LSTM (a projection, or two directions?)")
    if count > MAX_LAYERS:
        raise LabError(f"an LSTM of {count} layers, more than the {MAX_LAYERS} allowed")
    arrays = tensors.arrays(every)
    return [[arrays[name] for name in names] for names in wanted]


def _sequence(tensors: TensorFile, prefix: str) -> list[str]:
    """Names of the layers of a sequence; they alternate with activations: 0, 2, 4, …"""
    if f"{prefix}.weight" in tensors:  # a linear policy of early ARS
        return [prefix]
    pattern = re.compile(rf"{re.escape(prefix)}\.(\d{{1,7}})\.\w+")
    found = sorted({int(m[1]) for name in tensors.names if (m := pattern.fullmatch(name))})
    if found != list(range(0, 2 * len(found), 2)):
        raise LabError(f"{prefix} is no plain MLP (a normalisation or activation with weights?)")
    return [f"{prefix}.{k}" for k in found]


def _mean_quantile(
    weight: np.ndarray, bias: np.ndarray, actions: int
) -> tuple[np.ndarray, np.ndarray]:
    """QRDQN acts on the mean over quantiles (rows: quantile-major), which is linear: fold it in."""
    if actions < 1 or len(bias) % actions or len(weight) != len(bias):
        raise LabError(f"{len(bias)} quantiles do not divide into {actions} actions")
    rows = weight.reshape(-1, actions, weight.shape[1]).astype(np.float64).mean(0)
    return rows.astype(np.float32), bias.reshape(-1, actions).astype(np.float64).mean(0)


def actor_squash(
    kind: str, layout: Layout, data: Mapping[str, Any], kwargs: Mapping[Any, Any], discrete: bool
) -> str:
    """Which of `rl_ablation.policies.policy.SQUASHES`; a LabError if none fits such actions."""
    either = kind.endswith("ActorCriticPolicy") or kind.startswith("ARS")
    if not either and discrete != (layout.squash == "argmax"):
        raise LabError(f"a {kind} cannot have this action space")
    if discrete:
        return "argmax"
    if kind.endswith("ActorCriticPolicy"):
        return "tanh" if data.get("use_sde") and kwargs.get("squash_output") else "clip"
    if kind.startswith("ARS"):
        return "tanh" if kwargs.get("squash_output", layout.squash == "tanh") else "clip"
    return layout.squash


def activation(kwargs: Mapping[Any, Any], layout: Layout) -> str:
    """The name in `rl_ablation.policies.network.ACTIVATIONS`; a LabError if it is none of them."""
    chosen = kwargs.get("activation_fn")
    if chosen is None:
        return layout.activation
    of_torch = isinstance(chosen, Name) and chosen.module.startswith("torch.nn")
    if of_torch and chosen.name in _ACTIVATIONS:
        return _ACTIVATIONS[chosen.name]
    shown, known = printable(getattr(chosen, "dotted", chosen), 60), ", ".join(_ACTIVATIONS)
    raise LabError(f"the activation {shown} is not supported; it can be one of {known}")


def clipped(policy: Policy, kwargs: Mapping[Any, Any]) -> Policy:
    """Hold a policy's raw outputs within ±``clip_mean`` (Hardtanh; SB3: 2), a positive number."""
    limit = as_number(kwargs.get("clip_mean", 2.0), "data: clip_mean")
    if not (0 < limit < math.inf) or not isinstance(policy.network, MLP):
        raise LabError("data: clip_mean has to be positive")
    return policy.with_network(Clipped(policy.network, limit))
