"""Policies as files: ``policy.safetensors`` and ``card.json``; nothing in them is executed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from safetensors.numpy import save as save_tensors

from rl_ablation.errors import LabError
from rl_ablation.files import (
    MAX_CARD,
    MAX_TENSORS,
    MAX_WEIGHTS,
    digest,
    one_line,
    read_file,
    read_tensors,
    sha256,
    write_atomically,
)
from rl_ablation.policies.graph import Graph
from rl_ablation.policies.network import ACTIVATIONS, MLP
from rl_ablation.policies.policy import (
    ARRAYS,
    Card,
    Policy,
    real,
)
from rl_ablation.policies.steps import as_text, check_steps, from_text

CONSTANT, STEPS = "constants.", "steps"
"""In a file of weights: what the names of a graph's constants begin with, and the name of the text
that has its steps."""

KEPT = (MLP, Graph)
"""The networks that can be kept in a file, or sent."""


def weight_bytes(policy: Policy) -> bytes:
    """The tensors of a policy whose network is one of `KEPT`, as a safetensors file."""
    network, tensors, about = policy.network, {}, {}
    assert isinstance(network, KEPT)
    if isinstance(network, Graph):
        tensors = {
            f"{CONSTANT}{name}": values.numpy() for name, values in network.constants.items()
        }
        about = {STEPS: as_text(network, policy.obs_size)}
    else:
        for k, (weight, bias) in enumerate(network.layers):
            tensors[f"layers.{k}.weight"] = weight.numpy()
            tensors[f"layers.{k}.bias"] = bias.numpy()
    for name in ARRAYS:
        if (values := getattr(policy, name)) is not None:
            tensors[name] = values
    # Of an array that is not contiguous, safetensors writes the memory as it lies, without a word.
    whole = {name: np.asarray(values, order="C") for name, values in tensors.items()}
    return save_tensors(whole, about or None)


def make_mlp(
    weights: Sequence[tuple[np.ndarray, np.ndarray]],
    card: Card,
    *,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
    obs_mean: np.ndarray | None = None,
    obs_std: np.ndarray | None = None,
) -> Policy:
    """Build a policy from plain arrays, checking that everything fits.

    ``weights`` are (weight (out, in), bias (out,)) of each layer, input to output; the bounds of
    actions (A,) and the observation normaliser (D,) are those of `Policy`.

    Raises:
        LabError: Shapes that do not chain, values that are not finite, an unknown activation.
    """
    if not weights:
        raise LabError("the policy has no layers")
    if card.activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise LabError(f"unknown activation {card.activation!r}; choose from {known}")
    if 4 * sum(weight.size + bias.size for weight, bias in weights) > MAX_WEIGHTS:
        raise LabError(f"weights of more than the {MAX_WEIGHTS // 10**6} MB allowed")
    size: int | None = None
    layers: list[tuple[torch.Tensor, torch.Tensor]] = []
    for k, (weight, bias) in enumerate(weights):
        if weight.ndim != 2 or bias.shape != weight.shape[:1] or 0 in weight.shape:
            raise LabError(f"layer {k}: weight {weight.shape} and bias {bias.shape} do not fit")
        inputs = weight.shape[1]
        if size is not None and inputs != size:
            raise LabError(f"layer {k} takes {inputs} inputs but layer {k - 1} gives {size}")
        parts = [real(part, np.float32, f"layer {k}") for part in (weight, bias)]
        if not all(np.isfinite(part).all() for part in parts):
            raise LabError(f"layer {k} holds values that are not finite (NaN or infinity)")
        first, second = (torch.from_numpy(np.array(part, order="C")) for part in parts)
        layers.append((first, second))
        size = len(weight)
    arrays = {"obs_mean": obs_mean, "obs_std": obs_std, "low": low, "high": high}
    network, obs_size = MLP(tuple(layers), card.activation), layers[0][0].shape[1]
    assert size is not None
    return _sound(Policy(network, obs_size=obs_size, action_size=size, card=card, **arrays))


def make_graph(
    graph: Graph,
    card: Card,
    *,
    obs_size: int,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
    obs_mean: np.ndarray | None = None,
    obs_std: np.ndarray | None = None,
) -> Policy:
    """Build a policy of a graph's steps, checking that everything fits: see `check_steps`."""
    size = check_steps(graph, obs_size)
    arrays = {"obs_mean": obs_mean, "obs_std": obs_std, "low": low, "high": high}
    return _sound(Policy(graph, obs_size=obs_size, action_size=size, card=card, **arrays))


def _sound(policy: Policy) -> Policy:
    """The policy, if its bounds and its normaliser are finite."""
    for what in ARRAYS:
        if (kept := getattr(policy, what)) is not None and not np.isfinite(kept).all():
            raise LabError(f"{what} holds values that are not finite (NaN or infinity)")
    return policy


def save(policy: Policy, folder: str | Path) -> None:
    """Write ``policy.safetensors`` and ``card.json``; a LabError where a torch module is inside."""
    if not isinstance(policy.network, KEPT):
        raise LabError("a policy with a torch module inside cannot be saved")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = weight_bytes(policy)
    card = policy.card.model_copy(update={"sha256": sha256(weights), "card_sha256": None})
    signed = card.model_copy(update={"card_sha256": _rest(card.model_dump_json())})
    write_atomically(folder / "policy.safetensors", weights)
    write_atomically(folder / "card.json", signed.model_dump_json(indent=2) + "\n")


def read_card(folder: str | Path) -> Card:
    """Read ``card.json`` of a policy folder; a LabError if it is missing or damaged."""
    path = Path(folder) / "card.json"
    if not os.path.lexists(path):
        where = "a policy folder holds one beside its weights"
        raise LabError(f"{folder}: no card.json; {where}")
    content = read_file(path, MAX_CARD)
    try:
        return Card.model_validate_json(content)
    except (ValidationError, UnicodeDecodeError) as error:
        raise LabError(f"{path}: damaged card: {one_line(error)}") from None


def _rest(card: str | bytes) -> str:
    """Digest of a card's JSON but for the field that holds it."""
    return digest({k: v for k, v in json.loads(card).items() if k != "card_sha256"})


def load_folder(folder: str | Path) -> Policy:
    """Load a policy folder written by `save`; nothing in it is executed.

    Raises:
        LabError: A file is missing or damaged, or the weights are not those the card names, or the
            card has changed since it was written.
    """
    card = read_card(folder)
    path = Path(folder) / "policy.safetensors"
    if not os.path.lexists(path):
        raise LabError(f"{folder}: no policy.safetensors beside card.json")
    content = read_file(path, MAX_TENSORS)
    try:
        policy = _policy(card, content)
    except LabError as error:
        raise LabError(f"{path}: {error}") from None
    path = Path(folder) / "card.json"
    if card.card_sha256 not in (None, _rest(read_file(path, MAX_CARD))):
        raise LabError(
            f"{path}: damaged card: it has changed since it was written; if you changed it, "
            "take its line card_sha256 out too"
        )
    return policy.with_card(card.model_copy(update={"card_sha256": None}))  # it is the file's


def policy_of(card: str, weights: bytes) -> Policy:
    """The policy of a card's JSON and of its `weight_bytes`; a LabError if they are damaged."""
    return _policy(Card.model_validate_json(card), weights)


def _policy(card: Card, content: bytes) -> Policy:
    try:
        tensors, about = read_tensors(content)
    except LabError as error:
        raise LabError(f"damaged weights: {error}") from None
    if card.sha256 is not None and sha256(content) != card.sha256:
        raise LabError("not the weights that card.json describes (sha256 differs)")
    arrays = {name: tensors.get(name) for name in ARRAYS}
    if STEPS in about:
        graph, obs_size = from_text(about[STEPS], _constants(tensors))
        return make_graph(graph, card, obs_size=obs_size, **arrays)
    count = sum(name.endswith(".weight") for name in tensors)
    layers = [f"layers.{k}" for k in range(count)]
    try:
        weights = [(tensors[f"{layer}.weight"], tensors[f"{layer}.bias"]) for layer in layers]
    except KeyError as error:
        raise LabError(f"tensor {error} is missing") from None
    return make_mlp(weights, card, **arrays)


def _constants(tensors: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """A graph's constants, by the names that its steps use."""
    return {
        name.removeprefix(CONSTANT): torch.from_numpy(np.array(real(values, np.float32, name)))
        for name, values in tensors.items()
        if name.startswith(CONSTANT)
    }
