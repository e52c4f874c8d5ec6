"""The shared base of every world: N robots of one MuJoCo model family, stepped in C threads.

`BatchEnv` is a Gymnasium `VectorEnv` on `mujoco.batch.Batch`. A world fills in two methods that
work on arrays of rows, `_start` and `_score`, and says in terms (`envs.terms`) what it observes.
"""

from __future__ import annotations

import contextlib
import threading
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from mujoco.batch import Batch, SimulationError

from envs import scene
from envs.sources import Robots
from envs.terms import Description, Ends, Observer, Signals

Info = dict[str, Any]


def check_model(model: mujoco.MjModel) -> mujoco.MjModel:
    """Refuse a model on which mujoco 4.0.0's sparse Newton solver, which has a bug, would run."""
    if mujoco.mj_isSparse(model):
        raise ValueError(
            "this model uses MuJoCo's sparse solver, which is faulty in 4.0.0; "
            "set option.jacobian to mjJAC_DENSE"
        )
    return model


class BatchEnv(VectorEnv):
    """N robots, a row each; a row depends on its own seed and actions, never on its neighbours.

    A finished row is handled by ``autoreset_mode``. NextStep and SameStep are Gymnasium's. With
    Disabled, a finished row *waits*: it is not stepped, its observation and flags stay, its reward
    is 0, until ``reset(options={"reset_mask": …})`` starts it again. ``metadata["waits"]`` says so.

    A world calls `describe` at the end of its ``__init__``; one whose observation cannot be said in
    terms overrides `_observe` instead, and has no `scene`.

    Every info key is an array over rows with its ``_key`` mask. ``unstable`` marks rows in which
    MuJoCo raised an error or warned of diverging numbers since their reset.

    Args:
        model: The compiled model; worlds may give single rows another of the same layout.
        num_envs: Robots.
        frame_skip: Physics substeps in a control step.
        observation_space: Of one robot.
        action_space: Of one robot.
        max_episode_steps: Control steps after which an episode is truncated; None, or -1 as in
            `gymnasium.make`, never truncates.
        autoreset_mode: A `gymnasium.vector.AutoresetMode` or its value.
        nthread: C threads; 0 takes every CPU. Results are the same for any number.
        persistent: Keep a whole MjData per robot, for worlds that read more of it than is bound.
        render_mode: None; `SingleEnv` renders, a batch does not.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": [],
        "render_fps": 20,
        "conditions": {},
        "waits": True,
    }

    _made_of: tuple[tuple[Any, ...], dict[str, Any]]
    turn: threading.Lock | None = None
    """Held by the thread that drives this world, and given up while the physics runs: so threads
    that drive several worlds take turns, instead of struggling for Python's lock at every line."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Remember what it is made of, to make another."""
        world = super().__new__(cls)
        world._made_of = (args, kwargs)
        return world

    def __init__(
        self,
        model: mujoco.MjModel,
        num_envs: int,
        *,
        frame_skip: int,
        observation_space: gym.spaces.Box,
        action_space: gym.spaces.Box,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        nthread: int = 0,
        persistent: bool = False,
        render_mode: str | None = None,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        if render_mode is not None:
            raise ValueError("a batch of robots cannot be rendered; use gymnasium.make(…) for one")
        self.num_envs = num_envs
        self.frame_skip = frame_skip
        self.max_episode_steps = None if max_episode_steps == -1 else max_episode_steps
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}  # type: ignore[misc]
        self.batch = Batch(check_model(model), num_envs, nthread, persistent)
        self.single_observation_space = observation_space
        self.single_action_space = action_space
        self.observation_space = batch_space(observation_space, num_envs)
        self.action_space = batch_space(action_space, num_envs)
        self.condition = np.full(num_envs, "", dtype=object)
        self.steps = np.zeros(num_envs, dtype=np.int64)
        self.dt = model.opt.timestep * frame_skip  # s
        self.action = np.zeros((num_envs, *action_space.shape))  # the last one, as it counted
        self.robots = Robots(model, self.dt, self.steps, self.batch.bind, {"action": self.action})
        self.all_rows = self.robots.all_rows
        self.description: Description | None = None
        self._rngs: list[np.random.Generator | None] = [None] * num_envs
        self._obs = np.zeros((num_envs, *observation_space.shape), observation_space.dtype)
        self._terminated = np.zeros(num_envs, dtype=bool)
        self._truncated = np.zeros(num_envs, dtype=bool)
        self._unstable = np.zeros(num_envs, dtype=bool)
        self._started = False

    # What a world fills in. `rows` are row indices, (n,); all arrays have n rows.

    @abstractmethod
    def _start(self, rows: np.ndarray, rngs: list[np.random.Generator]) -> None:
        """Write the start state of ``rows`` into the batch (qpos, qvel, …), from their rngs."""

    @abstractmethod
    def _score(self, rows: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, Info]:
        """After a step: return rewards (n,), terminations (n,) and infos, each (n, …)."""

    def _observe(self, rows: np.ndarray) -> np.ndarray:
        """Return the observations of ``rows``, (n, D), from the batch's present state."""
        if self.description is None:
            raise NotImplementedError(
                f"{type(self).__name__} neither describes what it observes (`describe`) nor "
                "overrides `_observe`"
            )
        return self._observer(rows)

    def _start_info(self, rows: np.ndarray) -> Info:
        """Return the infos of a reset, each (n, …)."""
        return self._signals(rows) if self.description is not None else {}

    def _settle(self, rows: np.ndarray) -> None:
        """Make the derived fields of freshly started ``rows`` current."""
        self.batch.forward(rows)

    def _before_step(self, rows: np.ndarray, actions: np.ndarray) -> None:
        """Write controls; without a description the actions are the controls."""
        if self.description is None:
            self.batch.ctrl[rows] = actions
            return
        control = self.description.control
        self.action[rows] = action = control.action(actions)
        self.batch.ctrl[rows] = control.ctrl(action)

    def scene_model(self, row: int) -> mujoco.MjModel:
        """The model to draw a robot with; its qpos is that of the physics."""
        return self.batch.get_model(row)

    # What a world says of itself.

    def describe(self, description: Description) -> None:
        """Say what robots sense and how they end; the arrays that the terms name must be there."""
        self.description = description
        space = self.single_observation_space
        assert isinstance(space, gym.spaces.Box)
        self._observer = Observer(self.robots, description.observation, space)
        self._signals = Signals(self.robots, description.signals)
        self._step_signals = Signals(self.robots, description.step_signals)
        self._ends = Ends(self.robots, description.ends)

    def model_xml(self) -> str:
        """The robots' model as XML that MuJoCo 3.14 reads, too; see `scene.portable`."""
        raise ValueError(f"{type(self).__name__} does not say its model in XML (`model_xml`)")

    def start_facts(self, row: int) -> dict[str, Any]:
        """What a start of ``row`` is, beside qpos and qvel; see `envs.scene`."""
        return {}

    def scene(self, seeds: Sequence[int], conditions: Sequence[str]) -> dict[str, Any]:
        """All that it takes to play this world elsewhere, as plain data; see `envs.scene`.

        Args:
            seeds: Of the starts; each gives what `reset` gives.
            conditions: Of ``metadata["conditions"]``; ``[""]`` in a world without.

        Raises:
            ValueError: A condition is unknown, or the world cannot be said in this way.
        """
        if self.description is None or type(self)._observe is not BatchEnv._observe:
            raise ValueError(
                f"{type(self).__name__} observes by code of its own, so it can be played "
                "here only; say in terms what it observes (`envs.terms`)"
            )
        with contextlib.closing(self._alike(len(seeds))) as world:
            return scene.scene(world, seeds, conditions)

    def _alike(self, num_envs: int) -> Self:
        """Another batch of this world."""
        args, kwargs = self._made_of
        kwargs = {key: value for key, value in kwargs.items() if key != "num_envs"}
        world = type(self)(num_envs, *args[1:], **kwargs)
        world.spec = self.spec
        return world

    # Gymnasium's interface.

    def reset(  # type: ignore[override]
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[np.ndarray, Info]:
        """Reset all rows, or those of ``options["reset_mask"]`` (bool, (N,)).

        Args:
            seed: One for each row, or an int for seed, seed+1, …; None continues each row's stream.
            options: ``condition``: one of ``metadata["conditions"]`` or one per row; None draws it.

        Raises:
            ValueError: A seed list, mask or condition does not fit.
        """
        options = dict(options or {})
        rows = self.all_rows
        if (mask := options.pop("reset_mask", None)) is not None:
            mask = np.asarray(mask)
            if mask.shape != (self.num_envs,) or mask.dtype != bool or not mask.any():
                raise ValueError(
                    f"options['reset_mask'] must be a bool array of shape ({self.num_envs},) with "
                    f"at least one True, got {mask.dtype} of shape {mask.shape}"
                )
            rows = np.flatnonzero(mask)
        if seed is None or isinstance(seed, (int, np.integer)):
            seeds = [None if seed is None else int(seed) + i for i in range(self.num_envs)]
        else:
            seeds = [None if s is None else int(s) for s in seed]
        if len(seeds) != self.num_envs:
            raise ValueError(f"got {len(seeds)} seeds for {self.num_envs} rows; give one for each")
        for i in rows:
            if seeds[i] is not None:
                self._rngs[i] = seeding.np_random(seeds[i])[0]
        wanted = options.pop("condition", None)
        if options:
            raise ValueError(
                f"unknown reset options {sorted(options)}; known: condition, reset_mask"
            )
        self._assign_conditions(rows, wanted)
        info = self._restart(rows)
        self._started = True
        return self._obs.copy(), self._spread(info, rows)

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Step every row that is not finished; see the class for what finished rows do."""
        rows, actions = self._prepare(actions)
        if self.turn is None:
            return self._finish(rows, actions, self._simulate(rows))
        self.turn.release()
        try:
            failed = self._simulate(rows)
        finally:
            self.turn.acquire()
        return self._finish(rows, actions, failed)

    def close_extras(self, **kwargs: Any) -> None:
        """Nothing is held open."""

    # Behind it.

    def _assign_conditions(
        self, rows: np.ndarray, wanted: str | Sequence[str | None] | None
    ) -> None:
        """Set the condition asked for in ``rows``; "" stands for one drawn at each start."""
        known = self.metadata["conditions"]
        names = [wanted] * self.num_envs if wanted is None or isinstance(wanted, str) else wanted
        if len(names) != self.num_envs:
            raise ValueError(
                f"got {len(names)} conditions for {self.num_envs} rows; give one for each"
            )
        for i in rows:
            if names[i] is not None and names[i] not in known:
                choice = ", ".join(known) or "none: this world has no conditions"
                raise ValueError(f"unknown condition {names[i]!r}; choose from {choice}")
            self.condition[i] = names[i] or ""

    def _restart(self, rows: np.ndarray) -> Info:
        """Start new episodes in ``rows``; returns their infos."""
        rngs = []
        for i in rows:
            if (rng := self._rngs[i]) is None:
                rng = self._rngs[i] = seeding.np_random()[0]
            rngs.append(rng)
        self.steps[rows] = 0
        self._terminated[rows] = self._truncated[rows] = self._unstable[rows] = False
        self.batch.reset(rows, stage=mujoco.mjtStage.mjSTAGE_NONE.value)
        self.batch.warning[rows] = 0
        self.action[rows] = 0.0
        self._start(rows, rngs)
        self._settle(rows)
        self.robots.remember(rows)
        self._obs[rows] = self._observe(rows)
        return {"unstable": self._unstable[rows], **self._start_info(rows)}

    def _prepare(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Check the actions and set the controls; returns the rows to step, and their actions."""
        if not self._started:
            raise gym.error.ResetNeeded("call reset() before step()")
        actions = np.asarray(actions)
        if actions.dtype.kind != "f":  # floats keep their precision, as in Gymnasium's own worlds
            actions = actions.astype(self.single_action_space.dtype)
        if actions.shape != self.action_space.shape:
            raise ValueError(f"actions have shape {actions.shape}, not {self.action_space.shape}")
        finished = self._terminated | self._truncated
        rows = self.all_rows if not finished.any() else np.flatnonzero(~finished)
        actions = actions[rows]
        if rows.size:
            self.robots.remember(rows)
            self._before_step(rows, actions)
        return rows, actions

    def _simulate(self, rows: np.ndarray) -> np.ndarray:
        """Step the physics of ``rows``; returns the rows in which it failed, (N,) bool."""
        failed = np.zeros(self.num_envs, dtype=bool)
        try:
            if rows.size:
                self.batch.step(rows, nstep=self.frame_skip)
        except SimulationError as error:  # those rows kept their state; the others are stepped
            failed[error.ids] = True
        return failed

    def _finish(
        self, rows: np.ndarray, actions: np.ndarray, failed: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Say what came of a step of ``rows``, and start again what is due."""
        rewards = np.zeros(self.num_envs)
        infos: Info = {}
        if rows.size:
            self.steps[rows] += 1
            rewards[rows], terminated, info = self._score(rows, actions)
            self._obs[rows] = self._observe(rows)
            self._unstable[rows] |= failed[rows] | (self.batch.warning[rows, :, 1].any(-1))
            self._terminated[rows] = terminated | failed[rows]
            if self.max_episode_steps is not None:
                self._truncated[rows] = self.steps[rows] >= self.max_episode_steps
            self._merge(infos, {**info, "unstable": self._unstable[rows]}, rows)
        if self.autoreset_mode == AutoresetMode.NEXT_STEP and rows.size < self.num_envs:
            again = np.setdiff1d(self.all_rows, rows)
            self._merge(infos, self._restart(again), again)
        terminated, truncated = self._terminated.copy(), self._truncated.copy()
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            self._start_ended(terminated | truncated, infos)
        return self._obs.copy(), rewards, terminated, truncated, infos

    def _start_ended(self, ended: np.ndarray, infos: Info) -> None:
        """Start the rows that have just ended again, and tell in ``infos`` how they ended."""
        if not ended.any():
            return
        again = np.flatnonzero(ended)
        final_obs = np.full(self.num_envs, None, dtype=object)
        for i in again:
            final_obs[i] = self._obs[i].copy()
        final_info = {k: v[again] for k, v in infos.items() if not k.startswith("_")}
        start_info = self._restart(again)
        infos |= {"final_obs": final_obs, "_final_obs": ended.copy()}
        infos |= {"final_info": self._spread(final_info, again), "_final_info": ended.copy()}
        self._merge(infos, start_info, again)

    def _spread(self, info: Info, rows: np.ndarray) -> Info:
        return self._merge({}, info, rows)

    def _merge(self, infos: Info, info: Info, rows: np.ndarray) -> Info:
        """Write ``info`` of ``rows`` into the batch-wide ``infos`` in Gymnasium's vector form."""
        for key, value in info.items():
            value = np.asarray(value)
            if key not in infos:
                infos[key] = np.zeros((self.num_envs, *value.shape[1:]), value.dtype)
                infos[f"_{key}"] = np.zeros(self.num_envs, dtype=bool)
            infos[key][rows] = value
            infos[f"_{key}"][rows] = True
        return infos
