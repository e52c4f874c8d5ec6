"""Read checkpoints of torch: rsl_rl's, CleanRL's, and the ``state_dict`` of any plain MLP.

The names are those of the public sources of rsl_rl 1 to 5 and of CleanRL. Such a file holds weights
only. Which activation function stands between them it does not say, so a person has to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.policies.exports.program import Program, Row
from rl_ablation.policies.exports.settle import FUNCTIONS
from rl_ablation.policies.sb3.pickles import Call, is_data, printable
from rl_ablation.policies.sb3.tensors import CALLS, TorchFile, is_tensor

MAX_NAMES = 2_000
_INSIDE = ("actor_state_dict", "model_state_dict", "policy_state_dict", "state_dict", "model")
"""Where checkpoints keep the weights; the first that is there counts."""
_ACTORS = ("mlp", "actor", "actor_mean", "actor.mlp", "actor.net", "pi", "policy", "q_network",
           "q_network.network", "network", "net")  # fmt: skip
"""Prefixes of an actor's layers; the first that is there counts."""
_NORMALISERS = ("obs_normalizer.", "actor_obs_normalizer.")
_MEMORIES = ("rnn.rnn.", "memory_a.rnn.", "memory.rnn.", "memory_s.rnn.")
_EPSILON = 0.01  # that rsl_rl adds to the standard deviation
_RNN = re.compile(r"(weight|bias)_(ih|hh)_l(\d)")


class Found(NamedTuple):
    """A program, the action in it, whose it is, and how raw actions are meant, if that is known."""

    program: Program
    action: Row
    algorithm: str
    squash: str | None = None


def may_call(dotted: str) -> bool:
    """Whether a checkpoint's pickle may ask for a call: only for data."""
    return dotted in CALLS or is_data(dotted)


def read_checkpoint(content: bytes, activation: str | None) -> Found:
    """Find the actor in a checkpoint.

    Raises:
        LabError: Damaged, no actor that is known here, or the activation function is not given.
    """
    file = TorchFile(content, may_call)
    tree = _pairs(file.tree)
    if not tree:
        raise LabError("holds no named tensors")
    where = next((name for name in _INSIDE if _tensors(tree.get(name))), None)
    named = _tensors(tree if where is None else tree[where])
    if not named:
        raise LabError("holds no named tensors")
    extra = _tensors(tree.get("obs_norm_state_dict"))
    if {"fc1.weight", "fc2.weight"} <= set(named):
        return _cleanrl(file, named)
    prefix = _prefix(named)
    layers = _layers(named, prefix)
    if activation not in FUNCTIONS:
        known = ", ".join(sorted(FUNCTIONS))
        asked = "does not say which activation function it has" if activation is None else (
            f"the activation function {printable(activation, 30)!r} is not known"
        )  # fmt: skip
        raise LabError(f"{asked}; give activation= or --activation, one of {known}")
    memory = next((m for m in _MEMORIES if f"{m}weight_ih_l0" in named), None)
    used = {name: named[name] for layer in layers for name in layer}
    used |= {name: node for name, node in named.items() if memory and name.startswith(memory)}
    norm = next((n for n in _NORMALISERS if f"{n}_mean" in named), None)
    if norm is not None:
        used |= {f"norm{part}": named[f"{norm}{part}"] for part in _moments(named, norm)}
    elif extra:
        used |= {f"norm{part}": extra[part] for part in _moments(extra, "")}
    arrays = _finite(file.decoded(used))
    rsl = where in ("model_state_dict", "actor_state_dict") or bool(memory or norm)
    program, row = _begun(arrays, memory, layers)
    for k, (weight, bias) in enumerate(layers):
        row = program.unary(activation, row) if k else row
        row = program.linear(row, arrays[weight], arrays[bias])
    squash = "clip" if prefix == "actor_mean" else None
    return Found(program, row, "rsl_rl" if rsl else "state_dict", squash)


def _pairs(node: object) -> Mapping[object, object]:
    node = node.pairs if isinstance(node, Call) else node
    return node if isinstance(node, dict) else {}


def _tensors(node: object) -> dict[str, object]:
    found = {n: t for n, t in _pairs(node).items() if isinstance(n, str) and is_tensor(t)}
    if len(found) > MAX_NAMES:
        raise LabError(f"holds {len(found):,} tensors; at most {MAX_NAMES:,} are read")
    return found


def _moments(named: Mapping[str, object], prefix: str) -> Sequence[str]:
    lacking = [part for part in ("_mean", "_std") if f"{prefix}{part}" not in named]
    if lacking:
        raise LabError(f"its normaliser lacks {prefix}{lacking[0]}")
    return ("_mean", "_std")


def _prefix(named: Mapping[str, object]) -> str:
    """What the names of the actor's layers begin with."""
    found = [n.removesuffix(".weight") for n in named if n.endswith(".weight")]
    prefixes = list(
        dict.fromkeys(n.rpartition(".")[0] for n in found if n.split(".")[-1].isdigit())
    )
    for known in _ACTORS:
        if known in prefixes:
            return known
    if len(prefixes) == 1:
        return prefixes[0]
    told = ", ".join(printable(name, 30) or "(none)" for name in prefixes[:8]) or "none"
    raise LabError(f"which of its networks is the actor? Rows of layers are there: {told}")


def _layers(named: Mapping[str, object], prefix: str) -> list[tuple[str, str]]:
    """Names of weight and bias of each layer, input to output."""
    start = f"{prefix}." if prefix else ""
    places = [n[len(start) : -len(".weight")] for n in named
              if n.startswith(start) and n.endswith(".weight")]  # fmt: skip
    if odd := [place for place in places if not place.isdigit() or len(place) > 4]:
        if prefix:
            raise LabError(f"its actor has the layer {printable(odd[0], 40)!r}, not known here")
        places = [place for place in places if place not in odd]
    names = [f"{start}{k}" for k in sorted(map(int, places))]
    if lacking := [name for name in names if f"{name}.bias" not in named]:
        raise LabError(f"{printable(lacking[0])}.bias is missing")
    return [(f"{name}.weight", f"{name}.bias") for name in names]


def _finite(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            what = "values that are not finite (NaN or infinity)"
            raise LabError(f"{printable(name)} holds {what}")
    return arrays


def _begun(
    arrays: Mapping[str, np.ndarray], memory: str | None, layers: Sequence[tuple[str, str]]
) -> tuple[Program, Row]:
    """A program up to the first layer: the observation, its normaliser, a memory."""
    program = Program()
    first = arrays[layers[0][0] if memory is None else f"{memory}weight_ih_l0"]
    if first.ndim != 2:
        raise LabError("its first layer is none of a plain network")
    row = program.obs((first.shape[1],))
    if "norm_mean" in arrays:
        mean, std = (arrays[f"norm{part}"].reshape(-1) for part in ("_mean", "_std"))
        if mean.shape != row.shape or std.shape != row.shape:
            raise LabError(f"its normaliser is of {mean.shape} values, its input of {row.shape}")
        row = program.binary("sub", row, mean)
        row = program.binary("div", row, std.astype(float) + _EPSILON)
    parts = {} if memory is None else {
        n[len(memory) :]: a for n, a in arrays.items() if n.startswith(memory)
    }  # fmt: skip
    if odd := [name for name in parts if not _RNN.fullmatch(name)]:
        raise LabError(f"its memory has the weights {printable(odd[0], 40)!r}, not known here")
    for k in range(len(parts) // 4):
        row = _layer(program, row, parts, k)
    return program, row


def _layer(program: Program, row: Row, parts: Mapping[str, np.ndarray], k: int) -> Row:
    """A layer of a memory, an LSTM or a GRU by how many gates its weights have."""
    names = [f"{kind}_l{k}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    if lacking := [name for name in names if name not in parts]:
        raise LabError(f"its memory lacks {lacking[0]}")
    into, around, bias, again = (parts[name] for name in names)
    units = around.shape[-1] if around.ndim == 2 else 0
    do = {4 * units: "lstm", 3 * units: "gru"}.get(len(around))
    if do is None or bias.shape != again.shape:
        raise LabError("its memory is no LSTM or GRU")
    states = {"lstm": ("hidden", "cell"), "gru": ("hidden",)}[do]
    weights = [into, around, *([bias + again] if do == "lstm" else [bias, again])]
    return program.recurrent(do, row, weights, dict.fromkeys(states))[0]


def _cleanrl(file: TorchFile, named: Mapping[str, object]) -> Found:
    """CleanRL's SAC, TD3 and DDPG: two layers with ReLU, and actions through tanh."""
    head = next((name for name in ("fc_mean", "fc_mu") if f"{name}.weight" in named), None)
    if head is None:
        raise LabError("has layers fc1 and fc2 but no fc_mean or fc_mu after them")
    names = [f"{layer}.{part}" for layer in ("fc1", "fc2", head) for part in ("weight", "bias")]
    ends = ("action_scale", "action_bias")
    if lacking := [name for name in (*names, *ends) if name not in named]:
        raise LabError(f"{lacking[0]} is missing")
    arrays = _finite(file.decoded({name: named[name] for name in (*names, *ends)}))
    program = Program()
    if arrays["fc1.weight"].ndim != 2:
        raise LabError("its first layer is none of a plain network")
    row = program.obs((arrays["fc1.weight"].shape[1],))
    for k in range(0, len(names), 2):
        row = program.unary("relu", row) if k else row
        row = program.linear(row, arrays[names[k]], arrays[names[k + 1]])
    row = program.unary("tanh", row)
    scale, shift = (arrays[end].reshape(-1) for end in ends)
    row = program.binary("add", program.binary("mul", row, scale), shift)
    return Found(program, row, "SAC" if head == "fc_mean" else "TD3")
