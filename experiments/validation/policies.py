"""Lap robots whose wiring is known: controllers built by hand, unit by unit, not trained.

Every planted policy is an ordinary network (18 observations → ``h0`` → ``h1`` → 2 wheels, ReLU)
that drives the real lap world. All of its units have a *role*:

* ``left``, ``right``: rectified steering. A left unit fires with clearly more room on the left than
  on the right and speeds up the right wheel; a right unit is its mirror image.
* ``forward``: drive for both wheels, a little more of it the freer the way ahead. Most of it is a
  constant, so a cut within its range changes little.
* ``twin-a``, ``twin-b``: two pathways with one function. Each says "go", one from the wheels'
  speed, one from the wall behind on the right, and either suffices: a ``brake`` unit in ``h1``
  computes ``relu(1 − a − b)``. Without one next to nothing happens, without both the robot crawls.
* ``brake``: silent as long as a twin is there.
* ``decoy``: as busy as any, but nothing on the way to the wheels listens.
* ``dead``: constant. Some have strong outgoing weights.

Some have `Extra` units besides; see `experiments.validation.families`. The number of units in each
pathway, their gains, their receptive fields and where each unit stands in its layer are drawn from
the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rl_ablation.lesions.lesion import INTACT, Lesion, Plan
from rl_ablation.mapping.kinds import bases
from rl_ablation.mapping.sweep import sweep
from rl_ablation.policies.policy import Card, Policy
from rl_ablation.policies.storage import make_mlp

ENV = "envs:rl_ablation/Lap-v0"
OBS = 18
MIDDLE = 7  # the lidar ray straight ahead; ray MIDDLE + k looks k·15° to the left
AHEAD = (6, 7, 8)
REAR_RIGHT, REAR_LEFT = (0, 1), (13, 14)
WHEELS, YAW_RATE = (15, 16), 17
STEERING = ("left", "right")
WAYS = {"twin-a": (WHEELS, 0.6), "twin-b": (REAR_RIGHT, 2.0), "twin-c": (REAR_LEFT, 2.0)}
"""Redundant pathways: what they look at, and their gains."""
TWINS = ("twin-a", "twin-b")
ZERO = ("decoy", "dead", "brake", "bias")
"""Roles whose units cannot matter by construction, each cut by itself within its range."""


@dataclass(frozen=True)
class Extra:
    """Further units of ``h0``, of one role.

    Attributes:
        role: Their role.
        draw: Incoming weights (18,) and bias of one of them.
        heard: Role in ``h1`` → what the units of this role weigh there together.
        level: Constant part of their activity; listeners subtract what it brings them.
        most: There are 1 to so many.
    """

    role: str
    draw: Callable[[np.random.Generator], tuple[np.ndarray, float]]
    heard: Mapping[str, float] = field(default_factory=dict)
    level: float = 0.0
    most: int = 2


@dataclass(frozen=True)
class Planted:
    """A policy and the truth about it."""

    policy: Policy
    # ``"site/unit"``, which is what `rl_ablation.singles` names the cut, → role.
    roles: Mapping[str, str]

    def units(self, site: str, *roles: str) -> tuple[int, ...]:
        """The units of a layer that have one of these roles, in ascending order."""
        found = (name.split("/") for name, role in self.roles.items() if role in roles)
        return tuple(sorted(int(unit) for where, unit in found if where == site))

    @property
    def ways(self) -> tuple[str, ...]:
        """The redundant pathways it has."""
        return tuple(way for way in WAYS if way in self.roles.values())

    def cut(self, site: str, *roles: str) -> Lesion:
        """The lesion that takes these roles' units out of a layer."""
        return Lesion(
            name=f"{site}/{'+'.join(roles)}", cut={site: self.units(site, *roles)}, group="truth"
        )


@dataclass
class Layer:
    """A layer under construction: rows of incoming weights, biases, and roles."""

    inputs: int
    weights: list[np.ndarray] = field(default_factory=list)
    biases: list[float] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)

    def add(self, role: str, weights: np.ndarray, bias: float = 0.0) -> None:
        """Add a unit."""
        self.weights.append(weights)
        self.biases.append(bias)
        self.roles.append(role)

    def where(self, role: str) -> np.ndarray:
        """The units of a role."""
        return np.flatnonzero(np.array(self.roles) == role)

    def copy_as_decoys(self, roles: Sequence[str]) -> None:
        """Copy every unit of these roles; of the copies nothing is made."""
        for k in [k for k, role in enumerate(self.roles) if role in roles]:
            self.add("decoy", self.weights[k], self.biases[k])

    def ordered(self, order: np.ndarray) -> Layer:
        """The same units in another order."""
        parts = (self.weights, self.biases, self.roles)
        return Layer(self.inputs, *([part[k] for k in order] for part in parts))


def plant(
    seed: int, extra: Sequence[Extra] = (), ways: Sequence[str] = TWINS, copies: bool = False
) -> Planted:
    """Build the planted policy of a seed; the same seed gives the same bytes.

    It draws sizes, gains, receptive fields and the order of the units. ``ways`` are the redundant
    pathways it has; with ``copies`` every unit of the others has a copy that nothing listens to.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x9A27]))
    first = _first_layer(rng, ways)
    for more in extra:
        for _ in range(rng.integers(1, more.most + 1)):
            first.add(more.role, *more.draw(rng))
    if copies:
        first.copy_as_decoys(("forward", *STEERING))
    first = first.ordered(rng.permutation(len(first.roles)))
    second = _second_layer(rng, first, ways, extra)
    if copies:
        second.copy_as_decoys(("forward", *STEERING))
    second = second.ordered(rng.permutation(len(second.roles)))
    return assembled(f"planted-{seed}", seed, first, second, _wheels(rng, second))


def assembled(name: str, seed: int, first: Layer, second: Layer, wheels: np.ndarray) -> Planted:
    """The policy of two layers and of the weights (2, H) from the second to the wheels."""
    weights = [
        *((np.array(layer.weights), np.array(layer.biases)) for layer in (first, second)),
        (wheels, np.zeros(2)),
    ]
    card = Card(
        name=name, env_id=ENV, algorithm="built by hand", activation="relu", squash="clip",
        seed=seed,
    )  # fmt: skip
    policy = make_mlp(weights, card, low=-np.ones(2), high=np.ones(2))
    layers = {"h0": first.roles, "h1": second.roles}
    roles = {f"{site}/{k}": role for site, x in layers.items() for k, role in enumerate(x)}
    return Planted(policy, roles)


def _first_layer(rng: np.random.Generator, ways: Sequence[str]) -> Layer:
    layer = Layer(OBS)
    for role, sign in zip(STEERING, (1.0, -1.0), strict=True):
        for _ in range(rng.integers(1, 3)):
            # Silent on the straight, so that its mean or another moment does not do its work.
            layer.add(role, sign * room_on_the_left(rng), -rng.uniform(0.4, 0.5))
    for _ in range(rng.integers(1, 4)):
        layer.add("forward", *way_ahead(rng))
    for role in ways:
        inputs, gain = WAYS[role]
        for _ in range(rng.integers(2, 4)):
            seen = rng.uniform(0.8, 1.2) * gain * _field(inputs, rng)
            layer.add(role, seen, rng.uniform(1, 1.2))
    add_idle(layer, rng, (2, 6))
    return layer


def add_idle(layer: Layer, rng: np.random.Generator, decoys: tuple[int, int]) -> None:
    """Add so many decoys, which look at much the same, to the first layer, and two dead units."""
    common = rng.normal(0.0, 1.0, OBS)
    for _ in range(rng.integers(*decoys)):
        weights = common + rng.normal(0.0, 0.2, OBS)
        layer.add("decoy", weights, 1.0 - np.minimum(weights, 0.0).sum() / 2)  # seldom off
    for bias in (-3.0, rng.uniform(0.3, 1.0)):
        layer.add("dead", np.zeros(OBS), bias)


def way_ahead(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Weights and bias of a forward unit: more, the freer the way ahead."""
    ahead = _field(AHEAD, rng)
    return rng.uniform(0.5, 0.9) * ahead, rng.uniform(0.5, 0.65)


def room_on_the_left(rng: np.random.Generator) -> np.ndarray:
    """Weights of a steering unit: left rays minus their mirror images, damped by the yaw rate."""
    weights = np.zeros(OBS)
    for k in range(2, 6):
        gain = rng.uniform(0.9, 2.1)
        weights[MIDDLE + k], weights[MIDDLE - k] = gain, -gain
    weights[YAW_RATE] = -rng.uniform(0.3, 0.4)
    return weights


def _field(inputs: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """An average of some inputs with uneven weights that add up to 1."""
    weights = np.zeros(OBS)
    weights[list(inputs)] = rng.dirichlet(np.full(len(inputs), 30.0))
    return weights


def _second_layer(
    rng: np.random.Generator, first: Layer, ways: Sequence[str], extra: Sequence[Extra]
) -> Layer:
    layer = Layer(len(first.roles))
    for role, most in (("left", 2), ("right", 2), ("forward", 3)):
        for _ in range(rng.integers(1, most + 1)):
            weights, bias = mean_of(first, role, rng), 0.0
            for more in extra:
                share = more.heard.get(role, 0.0)
                weights += share * mean_of(first, more.role, rng)
                bias -= share * more.level
            layer.add(role, weights, bias)
    layer.add("brake", -np.sum([mean_of(first, way, rng) for way in ways], axis=0), 1.0)
    for _ in range(2):
        layer.add("decoy", np.abs(rng.normal(0.0, 1.0, layer.inputs)))
    # Always off, whatever comes in: its strong outgoing weights carry nothing.
    layer.add("dead", np.zeros(layer.inputs), -1.0)
    return layer


def mean_of(first: Layer, role: str, rng: np.random.Generator) -> np.ndarray:
    """Weights that average the units of a role, some counting more than others."""
    weights = np.zeros(len(first.roles))
    members = first.where(role)
    weights[members] = rng.dirichlet(np.full(members.size, 8.0))
    return weights


def _wheels(rng: np.random.Generator, second: Layer) -> np.ndarray:
    """Weights of the wheels, (2, H): left wheel, right wheel."""
    weights = np.zeros((2, len(second.roles)))
    gains = {
        "left": (-1.0, 1.0, rng.uniform(2.0, 2.4)),
        "right": (1.0, -1.0, rng.uniform(2.0, 2.4)),
        "forward": (1.0, 1.0, rng.uniform(0.8, 0.95)),
        "brake": (-1.0, -1.0, rng.uniform(0.25, 0.35)),
    }
    for role, (left, right, gain) in gains.items():
        members = second.where(role)
        shares = gain * rng.dirichlet(np.full(members.size, 8.0))
        weights[0, members], weights[1, members] = left * shares, right * shares
    weights[:, second.where("dead")] = rng.normal(0.0, 1.0, (2, 1))
    return weights


def true_effects(
    planted: Planted, plan: Plan, *, episodes: int, seed: int, folder: str | Path, **how: Any
) -> pd.DataFrame:
    """What cuts really do, measured by doing them many times.

    No statistics of the lab are used, only its sweep: these are plain means. There are many more
    episodes of each cut than the map's that is to be judged, with another seed than that map's, so
    that they are fresh. A finished folder is only read. For the rest see `sweep`.

    Returns:
        A row for each lesion × measure, in the measures' units: ``kind`` of the cut, whose name is
        without it; ``true_delta``, the mean paired difference from the intact robot; ``true_sd``,
        the standard deviation of the differences; ``true_effect``, delta over the root mean square
        of the two standard deviations (±∞ where those are 0); ``true_n``, pairs of episodes in
        which both give a number.
    """
    run = sweep(planted.policy, plan, episodes=episodes, seed=seed, folder=folder, **how)
    table = run.table()
    parts = []
    for measure in run.spec.measures:
        wide = table.pivot(index="episode", columns="lesion", values=measure)
        lesioned = wide.drop(columns=INTACT)
        change = lesioned.sub(wide[INTACT], axis=0)
        intact = change.notna().mul(wide[INTACT], axis=0).where(change.notna())
        spread = np.sqrt((intact.var() + lesioned.where(change.notna()).var()) / 2)
        delta = change.mean()
        with np.errstate(divide="ignore", invalid="ignore"):
            effect = (delta / spread).where(delta != 0, 0.0)
        columns = {"measure": measure, "true_delta": delta, "true_sd": change.std()}
        columns |= {"true_effect": effect, "true_n": change.count()}
        parts.append(pd.DataFrame(columns).rename_axis("lesion").reset_index())
    truth = pd.concat(parts, ignore_index=True)
    kinds = {lesion.name: lesion.kind for lesion in plan}
    return truth.assign(kind=truth["lesion"].map(kinds), lesion=bases(truth["lesion"]))
