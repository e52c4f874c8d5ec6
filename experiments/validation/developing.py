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

import json
import tempfile
from pathlib import Path

import numpy as np
import torch

import rl_ablation as rl
from experiments.studies.development.measuring import FULL, cut_over_time, full_size_of, recorded
from experiments.validation.policies import Planted
from experiments.validation.steered import CENTRE, DAMPING, STEERED, steered
from rl_ablation.analysis.development import NEVER, first_needed, needed
from rl_ablation.cluster import scattered
from rl_ablation.files import write_atomically
from rl_ablation.policies.network import MLP
from rl_ablation.progress import bar
from rl_ablation.rollouts.activity import EPISODES
from rl_ablation.rollouts.episodes import REFERENCE
from rl_ablation.rollouts.world import conditions_of

MOMENTS = 8
WIRED = {STEERED: 3, DAMPING: 6}
"""Pathway → the moment, from 0, at which it is wired in."""
DECOYS = ("decoys-a", "decoys-b")
DEVELOPING = "developing"
"""The family of these robots in the table of aims."""
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


def dated(how: tuple[int, int], index: int) -> dict[str, int]:
    """When robot ``index`` is found to need each pathway, and each half of its decoys, first.

    Cut and judged as in the study `development`; ``how`` is a seed and the steps of an episode.
    """
    seed, built = map(int, np.random.SeedSequence([how[0], index, 0xDA7E]).generate_state(2))
    planted, policies = developed(built)
    halves = np.array_split(planted.units("h0", "decoy"), 2)
    parts = {role: planted.units("h0", role) for role in WIRED}
    parts |= {name: tuple(map(int, half)) for name, half in zip(DECOYS, halves, strict=True)}
    plan = rl.Plan(rl.Lesion(name=name, cut={"h0": units}) for name, units in parts.items())
    conditions = tuple(conditions_of(planted.policy))
    asked = rl.Episodes(EPISODES, seed, conditions, how[1], REFERENCE)
    with tempfile.TemporaryDirectory() as folder:
        change, intact = cut_over_time(
            {p.name: p for p in policies}, [recorded(p, asked) for p in policies], [plan],
            FULL.episodes, seed=seed, horizon=how[1], folder=Path(folder), progress=False,
        )  # fmt: skip
    size = full_size_of(change, intact)
    needs = np.array([needed(one[:, 0], size).any(-1) for one in change])
    return dict(zip(parts, map(int, first_needed(needs)), strict=True))


def all_dated(robots: int, folder: Path, how: tuple[int, int], scheduler: str) -> list[list[bool]]:
    """Of each robot: whether both pathways are dated right, and whether nothing else is dated.

    Goes on in the folder where it was stopped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {index: folder / f"dates-{how[0]}-{how[1]}-{index:03d}.json" for index in range(robots)}
    todo = [index for index, file in files.items() if not file.exists()]
    with bar("planted trainings", len(todo), "robots") as advance:
        for index, dates in scattered(dated, how, todo, scheduler) if todo else ():
            write_atomically(files[index], json.dumps(dates) + "\n")
            advance(1)
    return [judged(json.loads(file.read_text())) for file in files.values()]


def judged(dates: dict[str, int]) -> list[bool]:
    """Whether both pathways are dated as they were wired, and whether nothing else is dated."""
    return [
        all(dates[role] == wired for role, wired in WIRED.items()),
        all(dates[name] == NEVER for name in DECOYS),
    ]
