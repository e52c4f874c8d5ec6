"""Fixtures for all tests: small hand-made policies that drive without having been trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

import rl_ablation as rl
from experiments.browser import chromium
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion, Plan, orthonormal
from rl_ablation.lesions.methods import SiteStats
from rl_ablation.policies.policy import Card, Policy
from rl_ablation.policies.storage import make_mlp
from rl_ablation.rollouts.activity import record_activity

# The same cases each time, so that a failure is that of the change at hand; `make fuzz` looks for
# new ones. Times depend on the machine.
settings.register_profile("house", derandomize=True, deadline=None, database=None, max_examples=200)
settings.load_profile("house")

LAP = "envs:rl_ablation/Lap-v0"
CONDITIONS = ("bends/ccw", "ring/cw")
HORIZON = 60  # control steps, 3 s
DEAD, MUTE = 3, 7  # units of h0: always 0; active, but nothing listens


def random_mlp(
    sizes: tuple[int, ...],
    env_id: str,
    *,
    seed: int = 0,
    squash: str = "clip",
    activation: str = "tanh",
    bias: float = 0.0,
    bound: float = 1.0,
    name: str = "small",
) -> Policy:
    """An untrained policy; ``bias`` is added to its outputs."""
    rng = np.random.default_rng(seed)
    weights = []
    for width, out in pairwise(sizes):
        weight = rng.normal(size=(out, width)) / width**0.5
        weights.append((weight.astype(np.float32), rng.normal(size=out).astype(np.float32) / 5))
    weights[-1] = (weights[-1][0] / 2, weights[-1][1] * 0 + np.float32(bias))
    if len(weights) > 2:
        weights[0][0][DEAD], weights[0][1][DEAD] = 0.0, 0.0
        weights[1][0][:, MUTE] = 0.0
    limits = {} if squash == "argmax" else {"low": -bound * np.ones(sizes[-1])}
    if limits:
        limits["high"] = bound * np.ones(sizes[-1])
    card = Card(name=name, env_id=env_id, activation=activation, squash=squash)
    normaliser = {"obs_mean": np.full(sizes[0], 0.1), "obs_std": np.full(sizes[0], 0.8)}
    return make_mlp(weights, card, **limits, **normaliser)


def turned(units: int, count: int, seed: int = 0) -> tuple[tuple[float, ...], ...]:
    """So many directions at right angles, any way turned, of a site with so many units."""
    return orthonormal(np.random.default_rng(seed).normal(size=(count, units)))


@pytest.fixture(scope="session")
def policy() -> Policy:
    """A lap robot that drives off at a good pace: 18 → 12 → 10 → 2."""
    return random_mlp((18, 12, 10, 2), LAP, bias=0.2)


@pytest.fixture(scope="session")
def activity(policy: Policy) -> dict[str, SiteStats]:
    """What it does intact."""
    return record_activity(policy, conditions=CONDITIONS, episodes=4, horizon=HORIZON, threads=1)


@pytest.fixture(scope="session")
def small_sweep(policy: Policy, activity: dict[str, SiteStats]) -> Callable[..., rl.Map]:
    """Sweep the small policy on short episodes: ``small_sweep(plan, folder, **changes)``."""

    def run(plan: Plan, folder: Path, *, agent: Policy = policy, **changes: object) -> rl.Map:
        options = {
            "episodes": 4,
            "seed": 0,
            "conditions": CONDITIONS,
            "horizon": HORIZON,
            "threads": 1,
            "activity": activity,
            "progress": False,
        }
        return rl.sweep(agent, plan, folder=folder, **{**options, **changes})

    return run


@pytest.fixture(scope="session")
def mixed_plan() -> Plan:
    """Lesions of every kind, in every place, timed and not."""
    return Plan(
        [
            Lesion(name="none", cut={"h0": ()}),
            Lesion(name="unit-0", cut={"h0": (0,)}),
            Lesion(name="half", cut={"h0": (0, 1, 2, 4, 5, 6)}),
            Lesion(name="both", cut={"h0": (0, 2), "h1": (0, 9)}, kind="mean"),
            Lesion(name="shuffled", cut={"h1": (0, 1, 2, 3, 4)}, kind="resample"),
            Lesion(name="noisy", cut={"h0": tuple(range(12))}, kind="noise", strength=2.0),
            Lesion(name="brief", cut={"h1": (0, 5)}, kind="clamp", onset=5, offset=25),
            Lesion(name="late", cut={"h1": tuple(range(10))}, kind="resample", onset=20),
            Lesion(name="blind", cut={"obs": tuple(range(15))}),
            Lesion(name="louder", cut={"h1": (1, 2)}, kind="gain", strength=3.0),
            Lesion(name="left wheel", cut={"action": (0,)}),
            Lesion(name="shaky", cut={"action": (0, 1)}, kind="noise", strength=1.0, offset=30),
            Lesion(name="flat", directions={"h0": turned(12, 3)}, kind="resample"),
            Lesion(name="pushed", directions={"h1": turned(10, 1)}, kind="stimulate", onset=10),
            Lesion(name="jitter", directions={"h1": turned(10, 2)}, kind="noise", strength=2.0),
            Lesion(name="deaf", cut={"h0": (0, 2, 4)}, to={"h1": (0, 9)}, kind="resample"),
            Lesion(name="one wheel", cut={"obs": (0, 1)}, to={"action": (0,)}, kind="mean"),
            Lesion(name="early", cut={"h0": (1, 2)}, kind="resample", moments=tuple(range(0, 50))),
        ]
    )


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium, a `playwright.sync_api.Browser`: ``browser.new_page()``."""
    with ExitStack() as stack:
        try:
            found = stack.enter_context(chromium())
        except LabError as lacking:
            pytest.skip(str(lacking))
        yield found


@pytest.fixture(scope="session")
def complete() -> Callable[[Any], bool]:
    """Whether every figure of a study's answer can be drawn and every table has rows."""

    def check(answer: Any) -> bool:
        for figure in answer.figures.values():
            figure.canvas.draw()
        return all(len(table) for table in answer.tables.values())

    return check
