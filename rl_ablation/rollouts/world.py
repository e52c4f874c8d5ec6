"""The instrument's one door to environments: N robots of any Gymnasium id, finished rows waiting.

Vector environments whose metadata says ``waits`` (see the README's "A world of your own") are
driven natively; everything else runs through Gymnasium's `SyncVectorEnv`, one robot at a time.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from rl_ablation import limits
from rl_ablation.env_ids import find_spec
from rl_ablation.errors import LabError
from rl_ablation.files import one_line
from rl_ablation.policies.network import BLOCK
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.rollouts.waiting import WaitingSync, tell_once

FEWEST = BLOCK
"""Robots for each part of a world, but for the last: the policy runs on whole blocks."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows of a world: one vector environment, which steps while others run the policy.

    Raises:
        LabError: The environment raised, or gave observations that are not of its space.
    """

    env: VectorEnv
    rows: slice
    name: str

    @property
    def size(self) -> int:
        """Its number of robots."""
        return self.env.num_envs

    def reset(self, seeds: Sequence[int], conditions: Sequence[str]) -> tuple[np.ndarray, dict]:
        """Start every row from its seed, under its condition ("" for none)."""
        options = {"condition": [c or None for c in conditions]} if any(conditions) else None
        with self._told("reset"):
            obs, infos = self.env.reset(seed=list(seeds), options=options)  # type: ignore[arg-type]
            return self._fitting(obs), infos

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step the rows that are not finished."""
        with self._told("step"):
            obs, reward, ended, cut, infos = self.env.step(actions)
            if not reward.shape == ended.shape == cut.shape == (self.size,):
                raise ValueError(f"rewards and ends are not one for each of {self.size} robots")
            return self._fitting(obs), reward, ended, cut, infos

    @contextlib.contextmanager
    def _told(self, where: str) -> Iterator[None]:
        try:
            yield
        except (Exception, SystemExit) as error:
            why = f"{type(error).__name__}: {one_line(error)}"
            raise LabError(f"{self.name}: its {where} raised {why}") from error

    def _fitting(self, obs: np.ndarray) -> np.ndarray:
        if obs.shape != (wanted := self.env.observation_space.shape):
            raise ValueError(f"observations have the shape {obs.shape}, not {wanted}")
        return obs

    @contextlib.contextmanager
    def sharing(self, turn: threading.Lock) -> Iterator[None]:
        """Take the turn, and have the environment give it up while its physics runs."""
        with turn:
            self.env.turn = turn  # type: ignore[attr-defined]
            try:
                yield
            finally:
                self.env.turn = None  # type: ignore[attr-defined]

    def no_action(self) -> np.ndarray:
        """Zeros in the shape and type of a batch of actions."""
        space = self.env.action_space
        return np.zeros(space.shape or (self.size,), space.dtype or np.float32)


class World:
    """N robots, ``rows``, of one environment, a Gymnasium id with a module prefix if one is needed.

    ``threads`` are those that native batches use at most; None takes every CPU. Many robots are
    shared among several batches, ``parts``, so that while the policy runs for one of them the
    physics of the others goes on.

    Raises:
        LabError: The id is unknown, or needs the user's word (see `rl_ablation.env_ids`), or its
            spaces cannot be used.
    """

    def __init__(
        self,
        env_id: str,
        rows: int,
        env_kwargs: Mapping[str, Any] | None = None,
        threads: int | None = None,
    ) -> None:
        if threads is not None:
            limits.check_range("threads", threads, 1, limits.THREADS)
        self.env_id, self.rows = env_id, rows
        kwargs = dict(env_kwargs or {})
        spec = find_spec(env_id, kwargs)
        try:
            with quiet():
                self.parts = _make(spec, rows, kwargs, threads)
        except LabError:
            raise
        except (Exception, SystemExit) as error:  # whatever somebody's environment raises
            raise LabError(f"cannot make {env_id}: {one_line(error)}") from error
        env = self.parts[0].env
        self.metadata = _checked(env_id, env.metadata)
        self.horizon: int | None = kwargs.get("max_episode_steps", spec.max_episode_steps)
        self.dt = 1.0 / float(self.metadata.get("render_fps") or 1.0)
        space, actions = env.single_observation_space, env.single_action_space
        kind, action_kind = type(space).__name__, type(actions).__name__
        if not isinstance(space, gym.spaces.Box):
            self.close()
            raise LabError(f"{env_id}: observations are {kind}; only Box is supported")
        if not isinstance(actions, gym.spaces.Box | gym.spaces.Discrete):
            self.close()
            raise LabError(f"{env_id}: actions are {action_kind}; only Box and Discrete will do")
        self.obs_size, self.action_size = map(gym.spaces.flatdim, (space, actions))
        self.discrete = isinstance(actions, gym.spaces.Discrete)

    @property
    def conditions(self) -> list[str]:
        """Names of the conditions that can be asked for."""
        return list(self.metadata.get("conditions") or {})

    @property
    def own_measures(self) -> dict[str, str]:
        """Condition → the measure by which it is judged, where the world names one."""
        return self._of_conditions("measure")

    @property
    def condition_words(self) -> dict[str, str]:
        """Condition → how a sentence tells it, where the world says: "told to turn left"."""
        return self._of_conditions("words")

    def _of_conditions(self, key: str) -> dict[str, str]:
        conditions = self.metadata.get("conditions")
        return {
            name: str(about[key])
            for name, about in (conditions.items() if isinstance(conditions, Mapping) else ())
            if isinstance(about, Mapping) and key in about
        }

    @property
    def names(self) -> dict[str, list[str]]:
        """Names of the units of ``obs`` (sensors) and ``action`` (actuators), where it has them."""
        entries = {
            "obs": (self.metadata.get("observation_names"), self.obs_size),
            "action": (self.metadata.get("action_names"), self.action_size),
        }
        return {
            site: list(map(str, n)) for site, (n, size) in entries.items() if n and len(n) == size
        }

    def fits(self, policy: Policy) -> None:
        """Raise LabError unless the policy's observations and actions are this environment's."""
        if policy.obs_size != self.obs_size:
            raise LabError(
                f"policy {policy.name!r} takes {policy.obs_size} observations, but {self.env_id} "
                f"gives {self.obs_size}; choose the environment that it was trained in"
            )
        if policy.action_size != self.action_size:
            raise LabError(
                f"policy {policy.name!r} gives {policy.action_size} actions, but {self.env_id} "
                f"takes {self.action_size}; choose the environment that it was trained in"
            )
        if (policy.card.squash == "argmax") != self.discrete:
            kind = "discrete" if self.discrete else "continuous"
            raise LabError(f"{self.env_id} has {kind} actions, policy {policy.name!r} has not")

    def check_conditions(self, names: Sequence[str]) -> None:
        """Raise LabError unless every name is a condition of this environment."""
        for name in names:
            if name and name not in self.conditions:
                known = ", ".join(self.conditions) or "it has none"
                raise LabError(f"{self.env_id}: unknown condition {name!r}; choose from {known}")

    def settle(self, episodes: Episodes) -> Episodes:
        """The episodes with all that the environment decides: its conditions and its time limit.

        Raises:
            LabError: An unknown condition, no time limit, or too few episodes for the conditions.
        """
        names = self.conditions if episodes.conditions is None else episodes.conditions
        self.check_conditions(names)
        horizon = self.horizon if episodes.horizon is None else episodes.horizon
        if horizon is None:
            how = "give a horizon in steps (--max-steps)"
            raise LabError(f"{self.env_id} has no time limit; {how}")
        if (least := len(names)) > episodes.count:
            raise LabError(
                f"{episodes.count} episodes cannot cover {least} conditions; ask for at least "
                f"{least}, or name fewer conditions"
            )
        return replace(episodes, conditions=tuple(names) or ("",), horizon=horizon)

    def close(self) -> None:
        """Release the environments."""
        for part in self.parts:
            try:
                part.env.close()
            except (Exception, SystemExit) as error:  # what was measured stands
                tell_once(f"{self.env_id}: its close raised {one_line(error)}")


def card_env(policy: Policy) -> str:
    """The environment on the policy's card; a LabError if there is none."""
    if policy.card.env_id is None:
        raise LabError(f"policy {policy.name!r} names no environment; give one (env=…, or --env)")
    return policy.card.env_id


@contextlib.contextmanager
def world_of(policy: Policy, rows: int = 1, threads: int | None = None) -> Iterator[World]:
    """The world on the policy's card, closed in the end; a LabError if there is none that fits."""
    made = World(card_env(policy), rows, policy.card.env_kwargs, threads)
    with contextlib.closing(made) as world:
        world.fits(policy)
        yield world


def settled(policy: Policy, episodes: Episodes) -> Episodes:
    """`World.settle` in the world on the policy's card."""
    with world_of(policy) as world:
        return world.settle(episodes)


def conditions_of(policy: Policy, asked: Sequence[str] | None = None) -> list[str]:
    """The asked conditions of the policy's environment, or all; a LabError if one is not there."""
    with world_of(policy) as world:
        taken = world.conditions if asked is None else list(asked)
        world.check_conditions(taken)
        return taken


def _checked(env_id: str, metadata: Any) -> dict[str, Any]:
    """What an environment says of itself; a LabError where it says what cannot be meant."""
    found = dict(metadata or {})
    fps, conditions = found.get("render_fps") or 1.0, found.get("conditions") or {}
    if not isinstance(fps, (int, float)) or not 0 < fps < np.inf:
        raise LabError(f"{env_id}: its metadata says render_fps {fps!r}; give steps in a second")
    if not isinstance(conditions, Mapping | Sequence) or not all(
        isinstance(name, str) for name in conditions
    ):
        raise LabError(f"{env_id}: its metadata says conditions {conditions!r}; give their names")
    for key in ("observation_names", "action_names"):
        names = found.get(key)
        if names is not None and (isinstance(names, str) or not isinstance(names, Sequence)):
            raise LabError(f"{env_id}: its metadata says {key} {names!r}; give a list of names")
    return found


def _make(
    spec: EnvSpec, rows: int, kwargs: dict[str, Any], threads: int | None
) -> tuple[Part, ...]:
    if spec.vector_entry_point is not None:
        threads, why = cpus() if threads is None else threads, ""
        for count in sorted({1, min(threads, -(-rows // FEWEST))}, reverse=True):
            parts, why = _native(spec, rows, kwargs, threads, count)
            if parts:
                return parts
        tell_once(f"{spec.id}: its robots are stepped one by one, since its batch {why}")
    return (Part(WaitingSync(spec, rows, kwargs), slice(0, rows), spec.id),)


def _native(
    spec: EnvSpec, rows: int, kwargs: dict[str, Any], threads: int, count: int
) -> tuple[tuple[Part, ...], str]:
    """So many parts of an environment's own batches; where it cannot do that none, and why."""
    native: dict[str, Any] = {
        **kwargs, "autoreset_mode": "Disabled", "nthread": max(1, threads // count)
    }  # fmt: skip
    parts: list[Part] = []
    why = ""
    for start, end in pairwise(np.linspace(0, rows, count + 1).astype(int).tolist()):
        try:
            env = gym.make_vec(spec, num_envs=end - start, **native)
        except TypeError as error:  # somebody else's, without these arguments
            why = f"does not take what it is given ({one_line(error)})"
            break
        parts.append(Part(env, slice(start, end), spec.id))
        if not env.metadata.get("waits"):
            why = "does not say that finished robots wait (metadata 'waits')"
        elif count > 1 and not hasattr(env, "turn"):
            why = "cannot take turns (attribute 'turn')"
        if why:
            break
    else:
        return tuple(parts), ""
    for part in parts:
        part.env.close()
    return (), why


def cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep compiler warnings of MuJoCo models, which C prints, off the user's screen."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
