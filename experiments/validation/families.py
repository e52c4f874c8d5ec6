"""Families of planted robots: what is hard to tell about a network, each by itself.

A family is a name and a function that builds the robot of a seed. The same seed gives the modular
robot, or the one of two functions, and its distributed twin the very same function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from experiments.validation.cloned import halves
from experiments.validation.policies import OBS, WAYS, Extra, Planted, plant, room_on_the_left
from experiments.validation.policies import way_ahead as ahead
from experiments.validation.steered import STEERING_WAYS, steered
from rl_ablation.files import array_digest, digest
from rl_ablation.policies.network import ACTIVATIONS, MLP, Edit, linear

MODULAR, TWO, REDUNDANT = "modular", "two functions", "redundant steering"
TWO_TWIN = "two functions, distributed"
TWINS_OF = {"distributed": MODULAR, TWO_TWIN: TWO}
"""Distributed family → the family whose functions it has."""
TRAINED = "trained halves"
MIXED = "mixed"
"""Role of every unit of a distributed twin."""
HIGH = 2.5  # activity of units that are never near zero; pathway units stay below 1.5


@dataclass(frozen=True, eq=False)
class Mixed:
    """A network with the function of another, whose units each carry a bit of all of its units.

    The code h of each hidden layer is turned by an orthogonal matrix Q of its own and turned back
    before the next layer; an edit is given Q·h.
    """

    plain: MLP
    turns: tuple[Tensor, ...]

    @property
    def sizes(self) -> dict[str, int]:
        """Units of each hidden site."""
        return self.plain.sizes

    @property
    def digest(self) -> str:
        """Of the plain network and the turns."""
        return digest([self.plain.digest, *(array_digest(q.numpy()) for q in self.turns)])

    def __call__(self, obs: Tensor, edit: Edit) -> Tensor:
        """Run the layers; see `rl_ablation.policies.network.Network`."""
        function, x = ACTIVATIONS[self.plain.activation], obs.double()
        layers = [(weight.double(), bias.double()) for weight, bias in self.plain.layers]
        for k, turn in enumerate(map(torch.Tensor.double, self.turns)):
            code = function(linear(x, *layers[k]))
            x = linear(edit(f"h{k}", linear(code, turn)), turn.T.contiguous())
        return linear(x, *layers[-1])


def distributed(plain: Planted, seed: int) -> Planted:
    """A distributed twin of a planted robot."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0xD157]))
    network = plain.policy.network
    assert isinstance(network, MLP)
    # Of a normal matrix; with the signs of R's diagonal every turn is as likely (Mezzadri 2007).
    drawn = (np.linalg.qr(rng.normal(size=(n, n))) for n in network.sizes.values())
    turns = tuple(
        torch.from_numpy((q * np.sign(r.diagonal())).astype(np.float32)) for q, r in drawn
    )
    card = plain.policy.card.model_copy(update={"name": f"{plain.policy.name}-distributed"})
    policy = replace(plain.policy.with_network(Mixed(network, turns)), card=card)
    return Planted(policy, dict.fromkeys(plain.roles, MIXED))


def _constant(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    return np.zeros(OBS), HIGH


def _always_high(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    weights, bias = ahead(rng)
    return weights, bias + HIGH


def _both(sign: float) -> Callable[[np.random.Generator], tuple[np.ndarray, float]]:
    def draw(rng: np.random.Generator) -> tuple[np.ndarray, float]:
        weights, bias = ahead(rng)
        return 0.5 * sign * room_on_the_left(rng) + weights, bias

    return draw


def _in_left_bends(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    return 2.0 * room_on_the_left(rng), -rng.uniform(0.8, 1.0)


FAMILIES: dict[str, Callable[[int], Planted]] = {
    MODULAR: plant,
    "distributed": lambda seed: distributed(plant(seed), seed),
    # Each function is needed for what it says at each moment.
    TWO: steered,
    TWO_TWIN: lambda seed: distributed(steered(seed), seed),
    REDUNDANT: lambda seed: steered(seed, STEERING_WAYS),
    # A constant that pathway units need; they are lost without it, but it says nothing.
    "bias role": lambda seed: plant(
        seed, [Extra("bias", _constant, {"forward": 0.5, "left": 0.1, "right": 0.1}, HIGH)]
    ),
    # It says something, from far above what cuts to zero give the next layer.
    "saturated": lambda seed: plant(
        seed,
        [Extra("high", _always_high, {"forward": 0.3}, HIGH), Extra("dead", _constant, most=3)],
    ),
    "redundancy of three": lambda seed: plant(seed, ways=tuple(WAYS)),
    "overlapping": lambda seed: plant(
        seed,
        [
            Extra("forward+left", _both(1.0), {"left": 0.2, "forward": 0.15}),
            Extra("forward+right", _both(-1.0), {"right": 0.2, "forward": 0.15}),
        ],
    ),
    "gated": lambda seed: plant(seed, [Extra("left bends", _in_left_bends, {"left": 0.3})]),
    "small": lambda seed: plant(seed, [Extra("small", ahead, {"forward": 0.1}, most=3)]),
    "correlated decoys": lambda seed: plant(seed, copies=True),
    TRAINED: halves,
}
