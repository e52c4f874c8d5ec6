"""Roll out many lesioned robots at once and keep the signals that measures ask for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from rl_ablation import limits
from rl_ablation.errors import LabError
from rl_ablation.lesions.masks import Masks
from rl_ablation.lesions.methods import SiteStats
from rl_ablation.lesions.triggers import Triggers
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.episodes import Episode
from rl_ablation.rollouts.waiting import tell_once
from rl_ablation.rollouts.world import Part, World

SITE = "@"
"""A signal named ``@h0`` is the activity of site ``h0``."""
KEPT = "~"
"""A signal named ``~h0.cell`` is what a policy remembered of ``h0.cell`` when it saw ``obs``."""

_COPIES = 3  # of a trace in memory: itself, and what measures make of it


@dataclass
class Trace:
    """What N robots did, time first. Entry t belongs to control step t; entries past an end are 0.

    Attributes:
        signals: Name → (T, N) or (T, N, K). ``obs`` is what the policy saw at the step, ``action``
            what it did, ``reward`` and infos what came of it, ``@site`` the activity behind it,
            ``~name`` what it remembered of the step before.
        alive: The robot made this step, (T, N).
        terminated: The episode ended by itself, (N,); False where the time limit cut it.
        unstable: The physics diverged in this row, (N,); its numbers are not to be trusted.
        dt: Seconds in a control step.
    """

    signals: dict[str, np.ndarray]
    alive: np.ndarray
    terminated: np.ndarray
    unstable: np.ndarray
    dt: float
    _held: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def steps(self) -> np.ndarray:
        """Steps that each robot made, (N,)."""
        return self.alive.sum(0)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.signals[name]

    def rows(self, rows: Sequence[int]) -> Trace:
        """The trace of some robots, in that order."""
        rows = list(rows)
        # np.take keeps time first in memory too, on which the order of sums depends.
        signals = {name: np.take(values, rows, 1) for name, values in self.signals.items()}
        alive = np.take(self.alive, rows, 1)
        return Trace(signals, alive, self.terminated[rows], self.unstable[rows], self.dt)

    def held(self, name: str) -> np.ndarray:
        """A signal in which a finished robot keeps its last value, (T, N)."""
        if name not in self._held:
            last = np.maximum(self.steps - 1, 0)
            final = self.signals[name][last, np.arange(len(last))]
            self._held[name] = np.where(self.alive, self.signals[name], final)
        return self._held[name]


def world_signals(world: World) -> dict[str, tuple[int, ...]]:
    """Names and shapes of everything that can be recorded in a world besides sites."""
    action = () if world.discrete else (world.action_size,)
    names: dict[str, tuple[int, ...]] = {"obs": (world.obs_size,), "reward": (), "action": action}
    part = world.parts[0]
    infos = _tried(part)
    for key, value in infos.items():
        numeric = isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
        if not key.startswith("_") and numeric and len(value) == part.size:
            names[key] = value.shape[1:]
    return names


def _tried(part: Part, tries: int = 8) -> dict[str, Any]:
    """The infos of a step of some robot; a LabError where none of several can make one."""
    for seed in range(tries):
        part.reset(list(range(seed, seed + part.size)), [""] * part.size)
        infos = part.step(part.no_action())[-1]
        if not (failure := getattr(part.env, "failure", "")) or not infos["unstable"].all():
            return infos
    raise LabError(f"{part.name} cannot be run: {failure}")


OnStep = Callable[[int, int], None]
"""(control step, robots of the part of the world that made it and still run)."""

T = TypeVar("T")


def rollout(policy: Policy, world: World, jobs: Sequence[Episode], **how: Any) -> Trace:
    """Run one episode for each job, all at once; finished robots are not stepped.

    A job's result does not depend on the other jobs, on their order or on the number of threads.
    A lesion's condition is read, before each step, in the infos that the world gave last (those of
    the reset before the first one) and in ``obs``, what the policy is about to see.

    The world has as many rows as there are jobs; ``how`` is for `Rollout`: signals, activity,
    horizon, on_step.

    Raises:
        LabError: No horizon, a policy that does not fit, or a signal that is not there, to record
            or in a lesion's condition.
    """
    return joined(Rollout(policy, world, **how).of(jobs, lambda trace: trace))


@dataclass(eq=False)
class Rollout:
    """How episodes are run in a world.

    Attributes:
        policy: Drives the robots.
        world: Holds them.
        signals: What is recorded.
        activity: For kinds of lesion that read it.
        horizon: Control steps at most; None takes the world's time limit.
        on_step: Called after each step of each part of the world.

    Raises:
        LabError: No horizon, or a policy that does not fit.
    """

    policy: Policy
    world: World
    signals: Sequence[str] = ("reward",)
    activity: Mapping[str, SiteStats] | None = None
    horizon: int | None = None
    on_step: OnStep | None = None

    def __post_init__(self) -> None:
        steps = self.world.horizon if self.horizon is None else self.horizon
        if steps is None:
            how = "give a horizon in steps (--max-steps)"
            raise LabError(f"{self.world.env_id} has no time limit; {how}")
        limits.check_range("the horizon in steps", steps, 1, limits.STEPS)
        self._steps = steps
        self.world.fits(self.policy)

    def of(self, jobs: Sequence[Episode], take: Callable[[Trace], T]) -> list[T]:
        """Run the jobs, and take something from the trace of each part of the world; see `rollout`.

        The parts run in threads that take turns: while the physics of one goes on, another runs
        the policy. Whatever ends one of them ends all.
        """
        turn, stop = threading.Lock(), threading.Event()

        def run(part: Part) -> T:
            try:
                with part.sharing(turn):
                    trace = self._episodes(part, jobs[part.rows], stop)
                return take(trace)
            except BaseException:
                stop.set()
                raise

        parts = self.world.parts
        if len(parts) == 1:
            return [take(self._episodes(parts[0], jobs, stop))]
        with ThreadPoolExecutor(len(parts)) as threads:
            try:
                return list(threads.map(run, parts))
            finally:
                stop.set()

    def _episodes(self, part: Part, jobs: Sequence[Episode], stop: threading.Event) -> Trace:
        seeds = [job.seed for job in jobs]
        masks = Masks([job.lesion for job in jobs], seeds, self.policy.sites, self.activity)
        triggers = Triggers([job.lesion.when for job in jobs])
        obs, infos = part.reset(seeds, [job.condition for job in jobs])
        sites = {s: self.policy.sites[s[1:]] for s in self.signals if s.startswith(SITE)}
        kept: dict[str, np.ndarray] = {}
        alive = np.zeros((self._steps, part.size), bool)
        terminated, unstable = np.zeros((2, part.size), bool)
        unstable |= ~_finite(obs)
        rows, actions = np.arange(part.size), part.no_action()
        memory = self.policy.at_rest(part.size)
        for step in range(self._steps):
            here = rows if rows.size < part.size else slice(None)  # a slice copies nothing
            before = obs.reshape(part.size, -1)
            off = triggers.unmet({**infos, "obs": before}, rows, started=step > 0)
            record = {s: np.empty((rows.size, n), np.float32) for s, n in sites.items()}
            seen = self.policy.normalise(before[here]) if masks.looks else None
            cut_by = masks.at(step, rows, off, seen)
            held = {name: memory[name][here] for name in memory}
            kept_before = {KEPT + name: held[name].copy() for name in held}
            into = {s[1:]: v for s, v in record.items()}
            chosen = self.policy.act(before[here], cut_by, into, held)
            for name in held:
                memory[name][here] = held[name]
            record |= kept_before
            actions[here] = chosen.reshape(rows.size, *actions.shape[1:])
            obs, reward, ended, cut, infos = part.step(actions)
            alive[step, here] = True
            given = {**infos, "obs": before, "action": actions, "reward": reward}
            values = {
                name: record[name] if name in record else self._given(given, name, kept)[here]
                for name in self.signals
            }
            kept = kept or self._room(values, part.size)
            for name, value in values.items():
                kept[name][step, here] = value
            if "unstable" in infos:
                unstable[here] |= np.asarray(infos["unstable"], bool)[here]
            unstable[here] |= ~(np.isfinite(reward[here]) & _finite(obs[here]))
            terminated[here] = ended[here]
            rows = rows[~(ended | cut)[here]]
            if self.on_step is not None:
                self.on_step(step, rows.size)
            if not rows.size or stop.is_set():
                break
        return Trace(kept, alive, terminated, unstable, self.world.dt)

    def _given(
        self, given: Mapping[str, Any], name: str, kept: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """A signal of all rows; NaN where the world did not give it, but gave it before."""
        if (value := given.get(name)) is None:
            if name not in kept:
                raise LabError(f"{self.world.env_id} gives no signal {name!r}")
            return np.full(kept[name].shape[1:], np.nan, np.float32)
        value = _numbers(value)
        if name in kept and value.shape != kept[name].shape[1:]:
            told = f"gave {name!r} in the shape {value.shape[1:]}, after {kept[name].shape[2:]}"
            tell_once(f"{self.world.env_id} {told}; such steps count as not measured")
            return np.full(kept[name].shape[1:], np.nan, np.float32)
        there = given.get(f"_{name}")
        if there is None or there.all():
            return value
        lacking = there.reshape(-1, *[1] * (value.ndim - 1))
        return np.where(lacking, value, np.nan)

    def _room(self, values: Mapping[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
        """Arrays for the signals of a whole episode; a LabError if that is too much."""
        # Rewards add up over an episode; the rest is averaged, where 32 bits do.
        types = {name: np.float64 if name == "reward" else np.float32 for name in values}
        shapes = {name: (rows, *value.shape[1:]) for name, value in values.items()}
        step = 1 + sum(np.prod(shapes[k]) / rows * np.dtype(types[k]).itemsize for k in values)
        limits.check_memory(
            f"{self._steps:,} steps of {self.world.rows:,} robots at once",
            _COPIES * step * self._steps * self.world.rows, "fewer steps (--max-steps)",
        )  # fmt: skip
        return {name: np.zeros((self._steps, *shapes[name]), types[name]) for name in values}


def _finite(obs: np.ndarray) -> np.ndarray:
    """The rows whose observations are numbers, (N,) bool."""
    return np.isfinite(obs).reshape(len(obs), -1).all(1)


def _numbers(value: np.ndarray) -> np.ndarray:
    """A signal with NaN for each row that is told in something else than numbers."""
    if value.dtype.kind in "fiub":
        return value
    found = np.full(len(value), np.nan)
    for row, entry in enumerate(value):
        with suppress(TypeError, ValueError):
            found[row] = float("nan" if isinstance(entry, str) else entry)
    return found


def joined(traces: Sequence[Trace]) -> Trace:
    """The traces of groups of robots as one, in that order."""
    if len(traces) == 1:
        return traces[0]
    names = traces[0].signals
    return Trace(
        {name: np.concatenate([t.signals[name] for t in traces], axis=1) for name in names},
        np.concatenate([t.alive for t in traces], axis=1),
        np.concatenate([t.terminated for t in traces]),
        np.concatenate([t.unstable for t in traces]),
        traces[0].dt,
    )
