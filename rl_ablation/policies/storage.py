"""Policies as files: ``policy.safetensors`` and ``card.json``; nothing in them is executed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from rl_ablation.errors import LabError
from rl_ablation.files import digest, one_line, sha256, write_atomically
from rl_ablation.policies.network import ACTIVATIONS, MLP
from rl_ablation.policies.policy import ARRAYS, Card, Policy, weight_bytes


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
    size: int | None = None
    for k, (weight, bias) in enumerate(weights):
        if weight.ndim != 2 or bias.shape != weight.shape[:1] or 0 in weight.shape:
            raise LabError(f"layer {k}: weight {weight.shape} and bias {bias.shape} do not fit")
        inputs = weight.shape[1]
        if size is not None and inputs != size:
            raise LabError(f"layer {k} takes {inputs} inputs but layer {k - 1} gives {size}")
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise LabError(f"layer {k} holds values that are not finite (NaN or infinity)")
        size = len(weight)
    obs_size = weights[0][0].shape[1]
    arrays = {"obs_mean": obs_mean, "obs_std": obs_std, "low": low, "high": high}
    for what, values in arrays.items():
        length = obs_size if what.startswith("obs") else size
        if values is not None and (values.shape != (length,) or not np.isfinite(values).all()):
            raise LabError(f"{what}: expected {length} finite values, got shape {values.shape}")
    if (obs_mean is None) != (obs_std is None) or (low is None) != (high is None):
        raise LabError("obs_mean and obs_std, and low and high, go together; one is missing")
    if obs_std is not None and not (obs_std > 0).all():
        raise LabError("obs_std holds values that are not positive")

    def copied(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(values, np.float32, order="C"))

    network = MLP(tuple((copied(w), copied(b)) for w, b in weights), card.activation)
    assert size is not None
    return Policy(network, obs_size=obs_size, action_size=size, card=card, **arrays)


def save(policy: Policy, folder: str | Path) -> None:
    """Write ``policy.safetensors`` and ``card.json`` of an MLP; other networks: a LabError."""
    if not isinstance(policy.network, MLP):
        raise LabError("only MLP policies can be saved")
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
    try:
        return Card.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        where = "a policy folder holds one beside its weights"
        raise LabError(f"{folder}: no card.json; {where}") from None
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
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise LabError(f"{folder}: no policy.safetensors beside card.json") from None
    try:
        policy = _policy(card, content)
    except LabError as error:
        raise LabError(f"{path}: {error}") from None
    path = Path(folder) / "card.json"
    if card.card_sha256 not in (None, _rest(path.read_bytes())):
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
        tensors = load_tensors(content)
    except (SafetensorError, ValueError) as error:
        raise LabError(f"damaged weights: {one_line(error)}") from None
    except KeyError as error:  # a number type that numpy lacks
        raise LabError(f"damaged weights: unknown number type {error}") from None
    if card.sha256 is not None and sha256(content) != card.sha256:
        raise LabError("not the weights that card.json describes (sha256 differs)")
    count = sum(name.endswith(".weight") for name in tensors)
    layers = [f"layers.{k}" for k in range(count)]
    try:
        weights = [(tensors[f"{layer}.weight"], tensors[f"{layer}.bias"]) for layer in layers]
        return make_mlp(weights, card, **{name: tensors.get(name) for name in ARRAYS})
    except KeyError as error:
        raise LabError(f"tensor {error} is missing") from None
