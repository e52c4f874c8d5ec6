"""Networks that let an edit change the values at their sites; a row gets the same bits anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from rl_ablation.files import array_digest, digest

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


Memory = dict[str, Tensor]
"""What a recurrent network keeps from one step to the next: name → values (BLOCK, H), float32."""


class Network(Protocol):
    """Anything that turns observations into raw outputs and offers its activations for editing."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Units of each hidden site in order."""

    @property
    def digest(self) -> str:
        """Digest of everything that determines its outputs."""

    def __call__(self, obs: Tensor, edit: Edit) -> Tensor:
        """Map (BLOCK, D) float32 to (BLOCK, A), passing each site's values through ``edit``.

        All but the observations may be float64.
        """


@dataclass(frozen=True, eq=False)
class MLP:
    """A multilayer perceptron; ``layers`` are (weight (out, in), bias (out,)), float32.

    It computes in double precision, and what leaves it is rounded to float32. So processors that
    round otherwise, or add in another order, act alike: robots are chaotic, and after half a minute
    a last bit is another way round the track, and other clusters.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    activation: str

    @cached_property
    def _wide(self) -> tuple[tuple[Tensor, Tensor], ...]:
        with torch.inference_mode(False):  # else nobody could take gradients through them later
            return tuple((weight.double(), bias.double()) for weight, bias in self.layers)

    @property
    def sizes(self) -> dict[str, int]:
        """Units of each hidden site, ``h0``, ``h1``, …"""
        return {f"h{k}": len(bias) for k, (_, bias) in enumerate(self.layers[:-1])}

    @property
    def digest(self) -> str:
        """Of weights, biases and activation function."""
        arrays = [values.numpy() for layer in self.layers for values in layer]
        return digest([self.activation, *map(array_digest, arrays)])

    def __call__(self, obs: Tensor, edit: Edit) -> Tensor:
        """Run the layers; see `Network`."""
        function, x = ACTIVATIONS[self.activation], obs.double()
        for k, layer in enumerate(self._wide[:-1]):
            x = edit(f"h{k}", function(linear(x, *layer)))
        return linear(x, *self._wide[-1])


class Remembering(Network, Protocol):
    """A network that keeps something from one step to the next."""

    @property
    def memory(self) -> Mapping[str, int]:
        """Name → units of what it keeps."""

    def __call__(self, obs: Tensor, edit: Edit, memory: Memory | None = None) -> Tensor:
        """As a network's, and put into ``memory`` what the next step needs; None is a start."""


def memory_of(network: Network) -> Mapping[str, int]:
    """Name → units of what a network keeps from one step to the next; empty if it keeps nothing."""
    return cast(Remembering, network).memory if hasattr(network, "memory") else {}


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: how work is split over threads can change the last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
