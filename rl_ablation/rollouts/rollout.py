"""Roll out many lesioned robots at once and keep the signals that measures ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.lesions.masks import Masks
from rl_ablation.lesions.methods import SiteStats
from rl_ablation.lesions.triggers import Triggers
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.episodes import Episode
from rl_ablation.rollouts.world import World

SITE = "@"
"""A signal named ``@h0`` is the activity of site ``h0``."""


@dataclass
class Trace:
    """What N robots did, time first. Entry t belongs to control step t; entries past an end are 0.

    Attributes:
        signals: Name → (T, N) or (T, N, K). ``obs`` is what the policy saw at the step, ``action``
            what it did, ``reward`` and infos what came of it, ``@site`` the activity behind it.
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
    world.reset(list(range(world.rows)), [""] * world.rows)
    infos = world.step(world.no_action())[-1]
    for key, value in infos.items():
        numeric = isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
        if not key.startswith("_") and numeric and len(value) == world.rows:
            names[key] = value.shape[1:]
    return names


def rollout(
    policy: Policy,
    world: World,
    jobs: Sequence[Episode],
    *,
    signals: Sequence[str] = ("reward",),
    activity: Mapping[str, SiteStats] | None = None,
    horizon: int | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Trace:
    """Run one episode for each job, all at once; finished robots are not stepped.

    A job's result does not depend on the other jobs, on their order or on the number of threads.
    A lesion's condition is read, before each step, in the infos that the world gave last (those of
    the reset before the first one) and in ``obs``, what the policy is about to see.

    The world has as many rows as there are jobs; the horizon is in steps, None takes the world's
    time limit; ``activity`` is for kinds of lesion that read it. After each step ``on_step`` is
    called with (step, robots still running).

    Raises:
        LabError: No horizon, a policy that does not fit, or a signal that is not there, to record
            or in a lesion's condition.
    """
    horizon = world.horizon if horizon is None else horizon
    if horizon is None:
        raise LabError(f"{world.env_id} has no time limit; give a horizon in steps (--max-steps)")
    if horizon < 1:
        raise LabError(f"the horizon must be at least 1 step, got {horizon}")
    world.fits(policy)
    rows = np.arange(world.rows)
    seeds = [job.seed for job in jobs]
    masks = Masks([job.lesion for job in jobs], seeds, policy.sites, activity)
    triggers = Triggers([job.lesion.when for job in jobs])
    obs, infos = world.reset(seeds, [job.condition for job in jobs])
    sites = {s: policy.sites[s[1:]] for s in signals if s.startswith(SITE)}
    shape = (horizon, world.rows)
    kept = {s: np.zeros((*shape, n), np.float32) for s, n in sites.items()}
    alive = np.zeros(shape, bool)
    terminated, unstable = np.zeros((2, world.rows), bool)
    actions = world.no_action()
    for step in range(horizon):
        record = {s[1:]: np.empty((rows.size, n), np.float32) for s, n in sites.items()}
        before = obs.reshape(world.rows, -1)
        off = triggers.unmet({**infos, "obs": before}, rows, started=step > 0)
        chosen = policy.act(before[rows], masks.at(step, rows, off), record)
        actions[rows] = chosen.reshape(rows.size, *actions.shape[1:])
        obs, reward, ended, cut, infos = world.step(actions)
        alive[step, rows] = True
        given = {**infos, "obs": before, "action": actions, "reward": reward}
        for name in signals:
            if name in sites:
                kept[name][step, rows] = record[name[1:]]
                continue
            if (value := given.get(name)) is None:
                raise LabError(f"{world.env_id} gives no signal {name!r}")
            if name not in kept:
                # Rewards add up over an episode; the rest is averaged, where 32 bits are plenty.
                dtype = np.float64 if name == "reward" else np.float32
                kept[name] = np.zeros((*shape, *value.shape[1:]), dtype)
            kept[name][step, rows] = value[rows]
        if "unstable" in infos:
            unstable[rows] |= infos["unstable"][rows]
        unstable[rows] |= ~np.isfinite(reward[rows])
        terminated[rows] = ended[rows]
        rows = rows[~(ended | cut)[rows]]
        if on_step is not None:
            on_step(step, rows.size)
        if not rows.size:
            break
    return Trace(kept, alive, terminated, unstable, world.dt)
