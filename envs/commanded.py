"""Robots on legs that are told a velocity: what they share, and as data what differs.

A robot of this kind gets a wanted forward speed, leftward speed and yaw rate, and is judged by a
battery of behaviours (stand, walk each way, turn, recover from a push), so that one lesion shows in
a whole row of them. `Commanded` says what a robot is; `CommandedBatch` plays it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from envs.batch_env import BatchEnv, Info
from envs.contacts import foot_contact
from envs.scene import portable
from envs.single_env import SingleEnv
from envs.terms import Control, Description, Term, end, gauge, term

OBS_LIMIT = 100.0
SEGMENTS = 8  # commands drawn for an episode without a condition; the last one stays
SEGMENT_STEPS = (100, 200)  # each holds for 2 to 4 s
SLOWEST = 0.2  # of the fastest; a slower one than that is not drawn but for 0
PUSH_STEPS = 5  # a push acts for 0.1 s
PUSH_CHANCE = 0.4  # of a push within a segment
TRACKING_WIDTH = 0.25  # (m/s)² and (rad/s)²
# Which parts of (vx, vy, yaw rate) a drawn command has: often one behaviour alone, as the
# conditions have it, else a mixture.
_KINDS = np.array(
    [
        [0, 0, 0],
        [1, 0, 0],
        [1, 0, 0],
        [0, 1, 0],
        [0, 1, 0],
        [0, 0, 1],
        [1, 0, 1],
        [1, 1, 1],
    ],
    dtype=float,
)
_MOVED: dict[str, Any] = {"of": {"field": "qpos", "at": [0, 1, 2]}, "heading": "free"}
_HEIGHT = term("qpos", at=[2])
_UPRIGHTNESS = term("gravity", at=[2], scale=-1)
COMMAND_NAMES = ("command vx", "command vy", "command yaw rate")


def battery(
    *, forward: float, backward: float, sideways: float, turn: float, push: tuple[float, float]
) -> dict[str, dict[str, Any]]:
    """The conditions of a robot, one for each behaviour.

    ``measure`` names the one by which a behaviour is judged, ``words`` tell it in a sentence.

    Args:
        forward: Speed, m/s.
        backward: Speed, m/s.
        sideways: Speed, m/s.
        turn: Yaw rate, rad/s.
        push: Speed forward (m/s) of who is pushed, sideways and at 4 s, and how hard (N·s).
    """
    walk, impulse = push
    ways = {
        "forward": ((forward, 0.0, 0.0), "vx_error", "go forward"),
        "backward": ((-backward, 0.0, 0.0), "vx_error", "go backward"),
        "left": ((0.0, sideways, 0.0), "vy_error", "go left"),
        "right": ((0.0, -sideways, 0.0), "vy_error", "go right"),
        "turn_left": ((0.0, 0.0, turn), "yaw_error", "turn left"),
        "turn_right": ((0.0, 0.0, -turn), "yaw_error", "turn right"),
    }
    return {
        "stand": {"command": (0.0, 0.0, 0.0), "measure": "drift", "words": "told to stand"},
        **{
            name: {"command": command, "measure": measure, "words": f"told to {words}"}
            for name, (command, measure, words) in ways.items()
        },
        "push": {
            "command": (walk, 0.0, 0.0), "impulse": impulse, "at": 4.0,
            "measure": "push_recovery", "words": "pushed from the side",
        },
    }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Commanded:
    """A robot that is told a velocity: all in which one differs from another.

    Attributes:
        spec: Makes its model, on a floor: a free joint, then the joints of its motors in order.
        frame_skip: Physics steps in a control step.
        joints: Names of the joints, as they stand in ``qpos``.
        feet: Names of the feet's geoms, in the order that `foot_contact` of the measures wants.
        home: Joint angles at the start, rad, (A,).
        start_height: Of the trunk's origin at the start, m.
        start_noise: Drawn around the start: of joint angles, rad, and of all velocities, at most.
        observation: Its terms.
        observation_names: One for each number.
        control: From actions to the motors' targets; its ``clip`` bounds the action space.
        conditions: See `battery`.
        fastest: The largest commands drawn: m/s, m/s, rad/s, (3,).
        fastest_backward: Likewise, m/s.
        impulses: Weakest and strongest push drawn, N·s.
        fallen_height: A robot has fallen whose trunk's origin is lower, m.
        fallen_tilt: Or which is tilted by more, rad.
        bars: Lowest and highest value of each gauge; see `_GAUGES`.
        contact: The term of ``foot_contact`` where feet are more than one geom each; see
            `envs.contacts.feet`.
        trunk: The body that is pushed and followed.
        distance: Of the camera that follows, m.
    """

    spec: Callable[[], mujoco.MjSpec]
    frame_skip: int
    joints: Sequence[str]
    feet: Sequence[str]
    home: np.ndarray
    start_height: float
    observation: Sequence[Term]
    observation_names: Sequence[str]
    control: Control
    conditions: Mapping[str, Mapping[str, Any]]
    fastest: np.ndarray
    fastest_backward: float
    impulses: tuple[float, float]
    fallen_height: float
    fallen_tilt: float
    bars: Mapping[str, tuple[float, float]]
    start_noise: tuple[float, float] = (0.1, 0.1)
    contact: Mapping[str, Term] = field(default_factory=dict)
    trunk: str = "trunk"
    distance: float = 1.8

    def metadata(self, dt: float) -> dict[str, Any]:
        """What the world tells of itself to whoever maps it."""
        return {
            "render_fps": round(1 / dt),
            "conditions": self.conditions,
            "observation_names": tuple(self.observation_names),
            "action_names": tuple(self.joints),
            "foot_names": tuple(self.feet),
        }

    def description(self, model: mujoco.MjModel, dt: float) -> Description:
        """What the world says of itself; see `Description`."""
        return Description(
            observation=self.observation,
            control=self.control,
            signals=self._signals(model),
            ends=[
                end("fall", _HEIGHT, below=self.fallen_height),
                end("fall", _UPRIGHTNESS, below=np.cos(self.fallen_tilt)),
            ],
            gauges=[
                gauge(signal, unit, *self.bars[signal], **about) for signal, unit, about in _GAUGES
            ],
            camera={"body": self.trunk, "distance": self.distance},
            commands={
                "names": ["forward", "left", "turn left"],
                "units": ["m/s", "m/s", "rad/s"],
                "low": [-self.fastest_backward, *-self.fastest[1:]],
                "high": self.fastest,
            },
            push={
                "body": self.trunk,
                "impulse": self.conditions["push"]["impulse"],
                "seconds": PUSH_STEPS * dt,
                "heading": "free",
            },
        )

    def _signals(self, model: mujoco.MjModel) -> dict[str, Term]:
        return {
            "forward_speed": term("moved", **_MOVED, at=[0]),
            "lateral_speed": term("moved", **_MOVED, at=[1]),
            "speed": term("speed", of=_MOVED["of"]),
            "yaw_rate": term("yaw_rate"),
            "command_vx": term("command", at=[0]),
            "command_vy": term("command", at=[1]),
            "command_yaw": term("command", at=[2]),
            "height": _HEIGHT,
            "uprightness": _UPRIGHTNESS,
            "power": term("power", dofs=range(6, 6 + len(self.joints))),
            **(self.contact or foot_contact(model, self.feet)),
            "pushed": term("pushed"),
            "x": term("qpos", at=[0]),
            "y": term("qpos", at=[1]),
        }


def _obeys(command: str, measure: str, label: str | None = None) -> dict[str, Any]:
    return {"wanted": command, "measure": f"{measure}.alive", "take": "mean_abs", "label": label}


_GAUGES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("forward_speed", "m/s", _obeys("command_vx", "vx_error")),
    ("lateral_speed", "m/s", _obeys("command_vy", "vy_error", "speed to the left")),
    ("yaw_rate", "rad/s", _obeys("command_yaw", "yaw_error", "turning left")),
    ("uprightness", "", {}),
    ("height", "m", {}),
    ("power", "W", {}),
)


class CommandedBatch(BatchEnv):
    """N robots that are told a velocity.

    A condition fixes the command; in ``push`` a lateral push, from a side drawn at the start, hits
    the walking robot at 4 s. Without a condition, commands and pushes are drawn, new ones every 2
    to 4 s at 50 Hz.

    Reward, if a world has none of its own: the two tracking terms with which such policies are
    commonly trained, ``dt · (exp(−|v − v*|² / 0.25) + exp(−(ω − ω*)² / 0.25) / 2)``, for the
    horizontal velocity v and the yaw rate ω (Rudin et al. 2022, "Learning to walk in minutes using
    massively parallel deep reinforcement learning", CoRL; their weights and width).

    Infos: ``forward_speed``, ``lateral_speed`` (left is positive) and ``speed`` over the ground
    (m/s), ``yaw_rate`` (rad/s), ``command_vx``, ``command_vy``, ``command_yaw``, ``height`` (m),
    ``uprightness`` (cosine of the tilt), ``power`` (W, Σ |motor torque × joint velocity|),
    ``mass`` (kg), ``foot_contact`` (feet in the order of ``metadata["foot_names"]``), ``pushed``
    (a push acts), ``fall``, ``x`` and ``y`` (m).

    Args:
        robot: Which.
        num_envs: How many.
        push_at: When the condition ``push`` pushes, s, instead of its own time. Nothing else that
            is drawn changes, so with a time after the episode's end robots are the unpushed twins.
        **kwargs: Of `BatchEnv`.
    """

    def __init__(
        self, robot: Commanded, num_envs: int = 1, *, push_at: float | None = None, **kwargs: Any
    ) -> None:
        self.robot, model = robot, robot.spec().compile()
        self.push_at = push_at
        low, high = robot.control.clip or (-np.inf, np.inf)
        size, actions = len(robot.observation_names), len(robot.joints)
        super().__init__(
            model,
            num_envs,
            frame_skip=robot.frame_skip,
            observation_space=gym.spaces.Box(-OBS_LIMIT, OBS_LIMIT, (size,), np.float32),
            action_space=gym.spaces.Box(low, high, (actions,), np.float32),
            **kwargs,
        )
        self.metadata.update(robot.metadata(self.dt))
        self._qpos, self._qvel = self.batch.qpos, self.batch.qvel
        self._force = self.batch.bind("xfrc_applied")
        self._trunk = model.body(robot.trunk).id
        self._mass = float(model.body_mass.sum())
        n = num_envs
        # What is planned for an episode: commands from given steps on, and pushes.
        self._command = np.zeros((n, 3))
        self._commands = np.zeros((n, SEGMENTS, 3))
        self._command_steps = np.zeros((n, SEGMENTS), dtype=np.int64)
        self._push_steps = np.zeros((n, SEGMENTS), dtype=np.int64)
        self._pushes = np.zeros((n, SEGMENTS, 2))  # N, forward and left
        self._pushed = np.zeros((n, 1), dtype=bool)
        self.robots.fields |= {"command": self._command, "pushed": self._pushed}
        self.describe(robot.description(model, self.dt))
        self._heading = self.robots.source("heading", of="free")

    def _start(self, rows: np.ndarray, rngs: list[np.random.Generator]) -> None:
        home, (angle, speed) = self.robot.home, self.robot.start_noise
        self._qpos[rows, :7] = (0.0, 0.0, self.robot.start_height, 1.0, 0.0, 0.0, 0.0)
        for i, rng in zip(rows, rngs, strict=True):
            self._qpos[i, 7:] = home + rng.uniform(-angle, angle, len(home))
            self._qvel[i] = rng.uniform(-speed, speed, 6 + len(home))
            self._plan(i, rng)
        self._pushed[rows] = False
        self._command[rows] = self._commands[rows, 0]

    def _plan(self, i: int, rng: np.random.Generator) -> None:
        """Draw the commands and pushes of row ``i``; a condition overrides what was drawn."""
        robot, push_seconds = self.robot, PUSH_STEPS * self.dt
        lengths = rng.integers(SEGMENT_STEPS[0], SEGMENT_STEPS[1], SEGMENTS)
        kinds = rng.integers(0, len(_KINDS), SEGMENTS)
        share = rng.uniform(SLOWEST, 1.0, (SEGMENTS, 3)) * rng.choice((-1.0, 1.0), (SEGMENTS, 3))
        share *= _KINDS[kinds]
        push_at = rng.uniform(0.2, 0.9, SEGMENTS)
        push_angle = rng.uniform(0.0, 2 * np.pi, SEGMENTS)
        impulse = rng.uniform(*robot.impulses, SEGMENTS) * (rng.random(SEGMENTS) < PUSH_CHANCE)
        starts = np.cumsum(lengths) - lengths
        self._command_steps[i] = starts
        self._commands[i] = share * robot.fastest
        backward = share[:, 0] < 0
        self._commands[i, backward, 0] = share[backward, 0] * robot.fastest_backward
        self._push_steps[i] = starts + (push_at * lengths).astype(np.int64)
        force = impulse / push_seconds
        self._pushes[i] = np.column_stack([np.cos(push_angle), np.sin(push_angle)]) * force[:, None]
        if self.condition[i]:
            condition = robot.conditions[self.condition[i]]
            self._commands[i] = condition["command"]
            self._pushes[i] = 0.0
            if "impulse" in condition:
                side = 1.0 if push_angle[0] < np.pi else -1.0
                at = condition["at"] if self.push_at is None else self.push_at
                self._push_steps[i, 0] = round(at / self.dt)
                self._pushes[i, 0, 1] = side * condition["impulse"] / push_seconds

    def _before_step(self, rows: np.ndarray, actions: np.ndarray) -> None:
        super()._before_step(rows, actions)
        since = self.steps[rows, None] - self._push_steps[rows]
        acting = (since >= 0) & (since < PUSH_STEPS)
        forward, left = (self._pushes[rows] * acting[..., None]).sum(1).T
        self._pushed[rows, 0] = (forward != 0) | (left != 0)
        cos, sin = self._heading(rows).T
        self._force[rows, self._trunk, 0] = cos * forward - sin * left
        self._force[rows, self._trunk, 1] = sin * forward + cos * left

    def model_xml(self) -> str:
        """The robot on its floor."""
        return portable(self.robot.spec())

    def start_facts(self, row: int) -> dict[str, Any]:
        """The commands and the pushes of the episode, in their order."""
        commands = zip(self._command_steps[row].tolist(), self._commands[row].tolist(), strict=True)
        pushes = zip(self._push_steps[row].tolist(), self._pushes[row].tolist(), strict=True)
        told: list[list[Any]] = []
        for step, command in commands:
            if not told or command != told[-1][1]:
                told.append([step, command])
        return {
            "commands": told,
            "pushes": [[step, PUSH_STEPS, force] for step, force in pushes if any(force)],
        }

    def _score(self, rows: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, Info]:
        info = self._start_info(rows)
        reward = self._reward(rows, info)
        ended = self._ends(rows)
        info |= ended
        info["speed"] = np.hypot(info["forward_speed"], info["lateral_speed"])
        # The next command takes effect after the step that it ends, so that a robot is judged by
        # the command that it saw.
        segment = (self._command_steps[rows] <= self.steps[rows, None]).sum(1) - 1
        self._command[rows] = self._commands[rows, segment]
        return reward, ended["fall"], info

    def _reward(self, rows: np.ndarray, info: Info) -> np.ndarray:
        """What the step of ``rows`` earns, (n,); ``info`` has their signals."""
        off = np.square(info["forward_speed"] - info["command_vx"])
        off += np.square(info["lateral_speed"] - info["command_vy"])
        turn_off = np.square(info["yaw_rate"] - info["command_yaw"])
        return self.dt * (np.exp(-off / TRACKING_WIDTH) + 0.5 * np.exp(-turn_off / TRACKING_WIDTH))

    def _start_info(self, rows: np.ndarray) -> Info:
        info = super()._start_info(rows)
        return info | {
            "mass": np.full(rows.size, self._mass),
            "fall": np.zeros(rows.size, dtype=bool),
        }


class CommandedSingle(SingleEnv):
    """One robot that is told a velocity. The camera goes with it."""

    def __init__(
        self, render_mode: str | None = None, camera: str = "track", **kwargs: Any
    ) -> None:
        super().__init__(render_mode, camera=camera, **kwargs)
