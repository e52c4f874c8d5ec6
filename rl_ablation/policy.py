"""A policy with named sites: the deterministic actor, its normaliser inside, ready to be cut.

On the way from observation to action an intervention may rewrite the values at every *site*:
``obs`` (the network's input, after normalisation), ``h0``, ``h1``, … (each hidden layer, after its
activation function) and ``action`` (what the environment receives; for discrete actions the
scores that argmax chooses from).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from torch import Tensor
from torch.nn import functional as F

from rl_ablation.errors import LabError

BLOCK = 256
"""Rows per forward pass, always, padded with zeros. Matrix products give a row the same bits
wherever it stands only in blocks of a fixed size; with 100 or 513 rows they did not. Columns are
padded too: see `linear`."""

COLUMNS = 16
"""Outputs of every linear layer are padded to a multiple of this."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "elu": F.elu,
    "leaky_relu": F.leaky_relu,
    "silu": F.silu,
    "gelu": F.gelu,
    "sigmoid": torch.sigmoid,
    "identity": lambda x: x,
}
SQUASHES = ("clip", "tanh", "argmax", "none")

Edit = Callable[[str, Tensor], Tensor]
"""An intervention: (site, values (BLOCK, H)) -> values."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear` that gives a row the same bits wherever it stands in a block.

    For 2 to 11 outputs and inputs that are no multiple of 4, the matrix product itself does not:
    with 18 inputs and 8 outputs, equal rows of one block of 256 differed in the last bit. With
    the outputs padded to a multiple of 16, none of 7000 sizes did.
    """
    outputs = len(weight)
    if short := -outputs % COLUMNS:
        weight = F.pad(weight, (0, 0, 0, short))
        bias = None if bias is None else F.pad(bias, (0, short))
    return F.linear(x, weight, bias)[..., :outputs].contiguous()


class Network(Protocol):
    """Anything that turns observations into raw outputs and offers its activations for editing."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Units of each hidden site in order."""
        ...

    def __call__(self, obs: Tensor, edit: Edit) -> Tensor:
        """Map (BLOCK, D) float32 to (BLOCK, A), passing each site's values through ``edit``."""
        ...


@dataclass(frozen=True, eq=False)
class MLP:
    """A multilayer perceptron; ``layers`` are (weight (out, in), bias (out,)), float32."""

    layers: tuple[tuple[Tensor, Tensor], ...]
    activation: str

    @property
    def sizes(self) -> dict[str, int]:
        """Units of each hidden site, ``h0``, ``h1``, …"""
        return {f"h{k}": len(bias) for k, (_, bias) in enumerate(self.layers[:-1])}

    def __call__(self, obs: Tensor, edit: Edit) -> Tensor:
        """Run the layers; see `Network`."""
        function, x = ACTIVATIONS[self.activation], obs
        for k, (weight, bias) in enumerate(self.layers[:-1]):
            x = edit(f"h{k}", function(linear(x, weight, bias)))
        weight, bias = self.layers[-1]
        return linear(x, weight, bias)


class Card(BaseModel):
    """What a policy is and where it comes from; stored as ``card.json`` beside the weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = 1
    name: str
    env_id: str | None = Field(
        None, description="Gymnasium id, with module prefix if one is needed"
    )
    env_kwargs: dict[str, Any] = {}
    algorithm: str = "unknown"
    activation: str
    squash: str
    obs_clip: float | None = Field(
        default=None, description="normalised observations are clipped to ±this"
    )
    seed: int | None = None
    steps: int | None = Field(default=None, description="environment steps of training")
    command: str | None = Field(default=None, description="what made this policy")
    hyperparameters: dict[str, Any] = {}
    scores: dict[str, Any] = {}
    versions: dict[str, str] = {}
    sha256: str | None = Field(default=None, description="of policy.safetensors")


class Policy:
    """A deterministic policy whose activations can be edited at named sites.

    Args:
        network: The network; its outputs are squashed into actions here.
        obs_size: Observation length D.
        low: Least action of each dimension, (A,); None for discrete actions.
        high: Greatest action, (A,); None for discrete actions.
        card: Its card; ``card.squash`` says how raw outputs become actions.
        obs_mean: Subtracted from observations, (D,); None does not normalise.
        obs_std: Divides them, (D,).
    """

    def __init__(
        self,
        network: Network,
        *,
        obs_size: int,
        action_size: int,
        card: Card,
        low: np.ndarray | None = None,
        high: np.ndarray | None = None,
        obs_mean: np.ndarray | None = None,
        obs_std: np.ndarray | None = None,
    ) -> None:
        if card.squash not in SQUASHES:
            raise LabError(f"unknown squash {card.squash!r}; choose from {', '.join(SQUASHES)}")
        self.network = network
        self.card = card
        self.obs_size, self.action_size = obs_size, action_size
        self.low = None if low is None else np.asarray(low, np.float32)
        self.high = None if high is None else np.asarray(high, np.float32)
        self.obs_mean = None if obs_mean is None else np.asarray(obs_mean, np.float64)
        self.obs_std = None if obs_std is None else np.asarray(obs_std, np.float64)
        self._bounds = (
            None if low is None else (torch.as_tensor(self.low), torch.as_tensor(self.high))
        )

    @staticmethod
    def from_module(module: torch.nn.Module, **kwargs: Any) -> Policy:
        """Wrap any torch module; see `rl_ablation.hooked.from_module` for the arguments."""
        from rl_ablation.hooked import from_module  # it builds on this file

        return from_module(module, **kwargs)

    @property
    def sites(self) -> dict[str, int]:
        """Units of every site in the order in which the signal passes them."""
        return {"obs": self.obs_size, **self.network.sizes, "action": self.action_size}

    @property
    def name(self) -> str:
        """The card's name."""
        return self.card.name

    @property
    def sha256(self) -> str:
        """Digest of everything that determines the actions."""
        if isinstance(self.network, MLP):
            return hashlib.sha256(weight_bytes(self)).hexdigest()
        return self.card.sha256 or "unknown"

    def with_env(self, env_id: str, env_kwargs: Mapping[str, Any] | None = None) -> Policy:
        """Return the same policy with another environment on its card."""
        card = self.card.model_copy(update={"env_id": env_id, "env_kwargs": dict(env_kwargs or {})})
        return self.with_card(card)

    def with_card(self, card: Card) -> Policy:
        """Return the same policy with another card."""
        return self._copy(self.network, card)

    def edited(self, site: str, units: Sequence[int]) -> Policy:
        """Return a policy whose *weights* are edited so that hidden ``units`` have no effect.

        This is the surgeon's way to make the lesion ``zero``, for checks and for export; sweeps use
        masks. Only the outgoing weights change, to zero.

        Raises:
            LabError: The network is no MLP, or the site is not a hidden layer of it.
        """
        if not isinstance(self.network, MLP) or site not in self.network.sizes:
            raise LabError(f"cannot edit weights at {site!r}; choose a hidden layer of an MLP")
        layers = list(self.network.layers)
        after = int(site[1:]) + 1
        weight = layers[after][0].clone()
        weight[:, list(units)] = 0.0
        layers[after] = (weight, layers[after][1])
        return self._copy(replace(self.network, layers=tuple(layers)), self.card)

    def _copy(self, network: Network, card: Card) -> Policy:
        return Policy(
            network,
            obs_size=self.obs_size,
            action_size=self.action_size,
            card=card,
            low=self.low,
            high=self.high,
            obs_mean=self.obs_mean,
            obs_std=self.obs_std,
        )

    def normalise(self, obs: np.ndarray) -> np.ndarray:
        """Return the network's input for raw observations (N, D), float32."""
        obs = np.asarray(obs, np.float64).reshape(len(obs), -1)
        if self.obs_mean is not None and self.obs_std is not None:
            obs = (obs - self.obs_mean) / self.obs_std
            if self.card.obs_clip is not None:
                obs = np.clip(obs, -self.card.obs_clip, self.card.obs_clip)
        return obs.astype(np.float32)

    def act(
        self,
        obs: np.ndarray,
        masks: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
        record: Mapping[str, np.ndarray] | None = None,
    ) -> np.ndarray:
        """Choose actions for a batch of observations.

        Args:
            obs: Raw observations, (N, D).
            masks: Site → (scale (N, H), shift (N, H)), float32: there h' = scale·h + shift.
            record: Site → array (N, H) that receives the site's values after the edit.

        Returns:
            Actions, (N, A) float32, or (N,) int64 for discrete actions.
        """
        masks, record = masks or {}, record or {}
        rows = self.normalise(obs)
        discrete = self.card.squash == "argmax"
        out = (
            np.empty(len(rows), np.int64)
            if discrete
            else np.empty((len(rows), self.action_size), np.float32)
        )
        with torch.inference_mode(), one_thread():
            for start in range(0, len(rows), BLOCK):
                stop = min(start + BLOCK, len(rows))
                block = np.zeros((BLOCK, self.obs_size), np.float32)
                block[: stop - start] = rows[start:stop]

                def edit(site: str, h: Tensor, start: int = start, stop: int = stop) -> Tensor:
                    if site in masks:
                        scale, shift = masks[site]
                        h[: stop - start] *= torch.from_numpy(scale[start:stop])
                        h[: stop - start] += torch.from_numpy(shift[start:stop])
                    if site in record:
                        record[site][start:stop] = h[: stop - start].numpy()
                    return h

                actions = self._forward(torch.from_numpy(block), edit)
                out[start:stop] = actions[: stop - start].numpy()
        return out

    def _forward(self, obs: Tensor, edit: Edit) -> Tensor:
        raw = self.network(edit("obs", obs), edit)
        if self.card.squash == "argmax":
            return edit("action", raw).argmax(-1)
        if self._bounds is None:
            return edit("action", raw)
        low, high = self._bounds
        if self.card.squash == "tanh":
            raw = low + 0.5 * (torch.tanh(raw) + 1.0) * (high - low)
        return edit("action", raw.clamp(low, high)).clamp(low, high)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: how work is split over threads can change the last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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

    Args:
        weights: (weight (out, in), bias (out,)) of each layer, input to output.
        card: Its card.
        low: Least actions, (A,); None for discrete or unbounded actions.
        high: Greatest actions, (A,).
        obs_mean: Of the observation normaliser, (D,), or None.
        obs_std: Of the observation normaliser, (D,), or None.

    Raises:
        LabError: Shapes that do not chain, values that are not finite, an unknown activation.
    """
    if not weights:
        raise LabError("the policy has no layers")
    if card.activation not in ACTIVATIONS:
        raise LabError(
            f"unknown activation {card.activation!r}; choose from {', '.join(ACTIVATIONS)}"
        )
    size: int | None = None
    for k, (weight, bias) in enumerate(weights):
        if weight.ndim != 2 or bias.shape != weight.shape[:1] or 0 in weight.shape:
            raise LabError(f"layer {k}: weight {weight.shape} and bias {bias.shape} do not fit")
        if size is not None and weight.shape[1] != size:
            raise LabError(
                f"layer {k} takes {weight.shape[1]} inputs but layer {k - 1} gives {size}"
            )
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise LabError(f"layer {k} holds values that are not finite (NaN or infinity)")
        size = weight.shape[0]
    obs_size = weights[0][0].shape[1]
    for what, values, length in (
        ("obs_mean", obs_mean, obs_size),
        ("obs_std", obs_std, obs_size),
        ("low", low, size),
        ("high", high, size),
    ):
        if values is not None and (values.shape != (length,) or not np.isfinite(values).all()):
            raise LabError(f"{what}: expected {length} finite values, got shape {values.shape}")
    if (obs_mean is None) != (obs_std is None) or (low is None) != (high is None):
        raise LabError("obs_mean and obs_std, and low and high, go together; one is missing")
    if obs_std is not None and not (obs_std > 0).all():
        raise LabError("obs_std holds values that are not positive")
    layers = tuple(
        (
            torch.from_numpy(np.array(w, np.float32, order="C")),
            torch.from_numpy(np.array(b, np.float32, order="C")),
        )
        for w, b in weights
    )
    assert size is not None
    return Policy(
        MLP(layers, card.activation),
        obs_size=obs_size,
        action_size=size,
        card=card,
        low=low,
        high=high,
        obs_mean=obs_mean,
        obs_std=obs_std,
    )


def weight_bytes(policy: Policy) -> bytes:
    assert isinstance(policy.network, MLP)
    tensors = {}
    for k, (weight, bias) in enumerate(policy.network.layers):
        tensors[f"layers.{k}.weight"] = weight.numpy()
        tensors[f"layers.{k}.bias"] = bias.numpy()
    for name in ("obs_mean", "obs_std", "low", "high"):
        if (values := getattr(policy, name)) is not None:
            tensors[name] = values
    # Of an array that is not contiguous, safetensors writes the memory as it lies, without a word.
    return save_tensors({name: np.ascontiguousarray(t) for name, t in tensors.items()})


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader, or a kill, sees the old one or the whole new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(temporary, path)


def save(policy: Policy, folder: str | Path) -> None:
    """Write ``policy.safetensors`` and ``card.json`` into ``folder``.

    Raises:
        LabError: The policy is not an MLP.
    """
    if not isinstance(policy.network, MLP):
        raise LabError("only MLP policies can be saved")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = weight_bytes(policy)
    card = policy.card.model_copy(update={"sha256": hashlib.sha256(weights).hexdigest()})
    write_atomically(folder / "policy.safetensors", weights)
    write_atomically(folder / "card.json", card.model_dump_json(indent=2) + "\n")


def read_card(folder: str | Path) -> Card:
    """Read ``card.json`` of a policy folder.

    Raises:
        LabError: It is missing or damaged.
    """
    path = Path(folder) / "card.json"
    try:
        return Card.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise LabError(
            f"{folder}: no card.json; a policy folder holds one beside its weights"
        ) from None
    except (ValidationError, UnicodeDecodeError) as error:
        raise LabError(f"{path}: damaged card: {one_line(error)}") from None


def load_folder(folder: str | Path) -> Policy:
    """Load a policy folder written by `save`; nothing in it is executed.

    Raises:
        LabError: A file is missing or damaged, or the weights are not those the card names.
    """
    card = read_card(folder)
    path = Path(folder) / "policy.safetensors"
    try:
        content = path.read_bytes()
        tensors = load_tensors(content)
    except FileNotFoundError:
        raise LabError(f"{folder}: no policy.safetensors beside card.json") from None
    except (SafetensorError, ValueError) as error:
        raise LabError(f"{path}: damaged weights: {one_line(error)}") from None
    except KeyError as error:  # a number type that numpy lacks
        raise LabError(f"{path}: damaged weights: unknown number type {error}") from None
    if card.sha256 is not None and hashlib.sha256(content).hexdigest() != card.sha256:
        raise LabError(f"{path}: not the weights that card.json describes (sha256 differs)")
    count = sum(name.endswith(".weight") for name in tensors)
    try:
        weights = [
            (tensors[f"layers.{k}.weight"], tensors[f"layers.{k}.bias"]) for k in range(count)
        ]
        extras = {n: tensors.get(n) for n in ("low", "high", "obs_mean", "obs_std")}
        return make_mlp(weights, card, **extras)
    except KeyError as error:
        raise LabError(f"{path}: tensor {error} is missing") from None
    except LabError as error:
        raise LabError(f"{path}: {error}") from None


def one_line(error: Exception) -> str:
    """Squeeze an exception's message into one line of at most 200 characters."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        return f"{where}: {first['msg']}"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "…"


def digest(value: Any) -> str:
    """Sha256 of a JSON-able value, in canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
