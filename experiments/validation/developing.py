"""Trainings whose truth is known: pathways that are wired into a robot one after the other.

The last of the moments is a steered robot (`experiments.validation.steered`), the first drives and
does not steer. The steering is wired in at one moment and the damping at another (`WIRED`); until
then its units look at anything and nothing listens to them. What the decoys look at drifts from
one random thing to another, and at each moment every unit of ``h1`` hears a little of every unit of
``h0``, drawn anew, so that no cut does exactly nothing. The decoys, in two halves about as large as
a pathway, are never wired. So the analysis of development (`rl_ablation.analysis.development`) has
to date the steering and the damping, and nothing else.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import rl_ablation as rl
from experiments.studies.development.measuring import cut_over_time, full_size_of, recorded
from experiments.validation.policies import Planted
from experiments.validation.steered import CENTRE, DAMPING, STEERED, steered
from rl_ablation.analysis.development import NEVER, first_needed, needed
from rl_ablation.policies.network import MLP
from rl_ablation.rollouts.episodes import REFERENCE
from rl_ablation.rollouts.world import conditions_of

MOMENTS = 8
WIRED = {STEERED: 3, DAMPING: 6}
"""Pathway → the moment, from 0, at which it is wired in."""
DECOYS = ("decoys-a", "decoys-b")
_EPISODES, _HORIZON = 12, 100
_GENTLE = 0.3  # of the steering's gain
_FAINT = 0.002  # weights; those of a pathway add up to 1


def developed(seed: int) -> tuple[Planted, list[rl.Policy]]:
    """A steered robot, and the policies of its training."""
    planted = steered(seed)
    network = planted.policy.network
    assert isinstance(network, MLP)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0xDE7E]))
    (seen, first), (inner, second), (wheels, last) = network.layers
    decoys, steering = list(planted.units("h0", "decoy")), list(planted.units("h1", STEERED))
    wild = _drawn(rng, 0.3, seen)
    found = []
    for moment in range(MOMENTS):
        looks, heard = seen.clone(), wheels.clone()
        looks[decoys] = torch.lerp(wild, seen, moment / (MOMENTS - 1))[decoys]
        for role, wired in WIRED.items():
            if moment < wired:
                units = list(planted.units("h0", role))
                looks[units] = wild[units]
                heard[:, list(planted.units("h1", role))] = 0.0
        if moment < WIRED[DAMPING]:  # undamped, it would weave too much to get on
            heard[:, steering] *= _GENTLE
        faint = _drawn(rng, _FAINT, inner)
        layers = ((looks, first), (inner + faint, second - CENTRE * faint.sum(1)), (heard, last))
        policy = planted.policy.with_network(MLP(layers, network.activation))
        card = policy.card.model_copy(update={"name": f"{policy.name}-at-{moment}"})
        found.append(policy.with_card(card))
    return planted, found


def _drawn(rng: np.random.Generator, spread: float, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(rng.normal(0.0, spread, tuple(like.shape)).astype(np.float32))


def dated(seed: int, folder: Path, horizon: int = _HORIZON) -> dict[str, int]:
    """When the lab finds that each pathway, and each half of the decoys, is first needed."""
    planted, policies = developed(seed)
    halves = np.array_split(planted.units("h0", "decoy"), 2)
    parts = {role: planted.units("h0", role) for role in WIRED}
    parts |= {name: tuple(map(int, half)) for name, half in zip(DECOYS, halves, strict=True)}
    plan = rl.Plan(rl.Lesion(name=name, cut={"h0": units}) for name, units in parts.items())
    asked = rl.Episodes(_EPISODES, seed, tuple(conditions_of(planted.policy)), horizon, REFERENCE)
    change, intact = cut_over_time(
        {p.name: p for p in policies}, [recorded(p, asked) for p in policies], [plan], _EPISODES,
        seed=seed, horizon=horizon, folder=folder,
    )  # fmt: skip
    size = full_size_of(change, intact)
    needs = np.array([needed(one[:, 0], size).any(-1) for one in change])
    return dict(zip(parts, map(int, first_needed(needs)), strict=True))


def right(dates: dict[str, int]) -> bool:
    """Whether both pathways are dated as they were wired."""
    return all(dates[role] == wired for role, wired in WIRED.items())


def silent(dates: dict[str, int]) -> bool:
    """Whether nothing that was never wired is dated."""
    return all(dates[name] == NEVER for name in DECOYS)
