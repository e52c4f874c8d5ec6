"""A map and a training so small that they can be made, damaged and made again many times."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np

import envs  # noqa: F401  # registers the lap world
from agents.recipes import Recipe
from agents.train import train
from rl_ablation.groupings.units import layers
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.mapping.lesion_map import lesion_map
from rl_ablation.mapping.map import Map
from rl_ablation.policies.policy import Card, Policy
from rl_ablation.policies.storage import make_mlp, save

LAP = "envs:rl_ablation/Lap-v0"
CONDITIONS = ("bends/ccw", "ring/cw")
HORIZON = 40  # control steps, 2 s
SIZES = (18, 6, 5, 2)  # of the network's layers: the lap robot's sensors … its motors
RECIPE = Recipe(
    name="small",
    env_id=LAP,
    env_kwargs={"tracks": ["ring"], "max_episode_steps": 40},
    steps=1024,
    stage_steps=256,
    num_envs=16,
    net_arch=(6, 5),
    ppo={"n_steps": 16, "batch_size": 64, "n_epochs": 1},
    curve=("progress", "crash"),
)


def driver() -> Policy:
    """A lap robot with weights by chance and a pull forwards, which drives off and then errs."""
    draw = np.random.default_rng(3)
    weights = [
        (draw.normal(size=(out, width)) / width**0.5, draw.normal(size=out) / 5)
        for width, out in pairwise(SIZES)
    ]
    weights[-1] = (weights[-1][0] / 2, np.full(SIZES[-1], 0.3))
    card = Card(name="small", env_id=LAP, activation="tanh", squash="clip", scores={"return": 1.5})
    bound = np.ones(SIZES[-1])
    normaliser = {"obs_mean": np.full(SIZES[0], 0.1), "obs_std": np.full(SIZES[0], 0.8)}
    return make_mlp(weights, card, low=-bound, high=bound, **normaliser)


def small_map(folder: Path) -> Map:
    """Map the driver into a folder, or finish what is there; a part of a second and all stages."""
    agent = driver()
    motors = Plan(
        Lesion(name=f"action/{k}", cut={"action": (k,)}, group="motors") for k in range(SIZES[-1])
    )
    return lesion_map(
        agent, layers(agent) + motors, 24, folder=folder, conditions=CONDITIONS, horizon=HORIZON,
        kinds=("zero",), discovery=12, controls=3, threads=1, progress=False,
        measures=["forward_speed", "crash"],
    )  # fmt: skip


def small_training(folder: Path, stages: int | None = None) -> None:
    """Train by the small recipe in a folder, or go on there, and keep the policy.

    After so many stages it is broken off, in the middle of the next.
    """

    def progress(now: int, row: dict[str, float]) -> None:
        if stages is not None and now > stages * RECIPE.stage_steps:
            raise _BrokenOffError

    with suppress(_BrokenOffError):
        save(train(RECIPE, folder, progress=progress), folder / "policy")


class _BrokenOffError(Exception):
    """Ends a training as an interruption does."""


MAKE: dict[str, Callable[[Path], object]] = {"map": small_map, "training": small_training}
"""What there is, and what makes it in a folder or goes on there."""
