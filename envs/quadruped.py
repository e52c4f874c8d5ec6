"""The quadruped world: twelve motors, a commanded velocity, and a battery of behaviours.

One policy stands, walks forward, backward and sideways, turns both ways and recovers from pushes,
so that one lesion shows in a whole row of behaviours. The robot knows what a real one would: its
joints, its gyro, where gravity points, what it did last, and its command; not its own speed.
"""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from envs.batch_env import BatchEnv, Info
from envs.contacts import foot_contact
from envs.quadruped_model import (
    ACTION_SCALE,
    FOOT_NAMES,
    FRAME_SKIP,
    HOME,
    HOME_HEIGHT,
    JOINT_NAMES,
    TIMESTEP,
    quadruped_model,
    quadruped_spec,
)
from envs.quadruped_rewards import REWARDS, Motion
from envs.scene import portable
from envs.single_env import SingleEnv
from envs.terms import Control, Description, end, gauge, term

CONTROL_DT = TIMESTEP * FRAME_SKIP  # s
FALLEN_HEIGHT = 0.13  # m; the trunk's underside is 4.5 cm lower
FALLEN_TILT = np.deg2rad(65.0)
OBS_LIMIT = 100.0

FASTEST = np.array([1.0, 0.5, 1.2])  # m/s, m/s, rad/s: the largest commands drawn
FASTEST_BACKWARD = 0.7  # m/s
SLOWEST = 0.2  # of the fastest; a slower one than that is not drawn but for 0
SEGMENTS = 8  # commands drawn for an episode without a condition; the last one stays
SEGMENT_STEPS = (100, 200)  # each holds for 2 to 4 s
PUSH_STEPS = 5  # a push acts for 0.1 s
PUSH_CHANCE = 0.4  # of a push within a segment
PUSH_IMPULSE = (4.0, 15.0)  # N·s, drawn; 13 N·s change the robot's speed by 1 m/s

# `measure` names the one by which a behaviour is judged.
CONDITIONS: dict[str, dict[str, Any]] = {
    "stand": {"command": (0.0, 0.0, 0.0), "measure": "drift"},
    "forward": {"command": (0.8, 0.0, 0.0), "measure": "vx_error"},
    "backward": {"command": (-0.5, 0.0, 0.0), "measure": "vx_error"},
    "left": {"command": (0.0, 0.35, 0.0), "measure": "vy_error"},
    "right": {"command": (0.0, -0.35, 0.0), "measure": "vy_error"},
    "turn_left": {"command": (0.0, 0.0, 0.9), "measure": "yaw_error"},
    "turn_right": {"command": (0.0, 0.0, -0.9), "measure": "yaw_error"},
    "push": {
        "command": (0.4, 0.0, 0.0), "impulse": 10.0, "at": 4.0,  # N·s sideways, at 4 s
        "measure": "push_recovery",
    },
}  # fmt: skip
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
_JOINTS = range(6, 6 + len(JOINT_NAMES))  # degrees of freedom
DESCRIPTION = Description(
    observation=[
        term("gravity"),
        term("qvel", at=range(3, 6)),
        term("qpos", at=range(7, 7 + len(JOINT_NAMES)), minus=HOME),
        term("qvel", at=_JOINTS),
        term("action"),
        term("command"),
    ],
    control=Control(clip=(-1.0, 1.0), scale=ACTION_SCALE, offset=HOME),
    signals={
        "forward_speed": term("moved", **_MOVED, at=[0]),
        "lateral_speed": term("moved", **_MOVED, at=[1]),
        "speed": term("speed", of=_MOVED["of"]),
        "yaw_rate": term("yaw_rate"),
        "command_vx": term("command", at=[0]),
        "command_vy": term("command", at=[1]),
        "command_yaw": term("command", at=[2]),
        "height": _HEIGHT,
        "uprightness": _UPRIGHTNESS,
        "power": term("power", dofs=_JOINTS),
        **foot_contact(quadruped_model(), FOOT_NAMES),
        "pushed": term("pushed"),
        "x": term("qpos", at=[0]),
        "y": term("qpos", at=[1]),
    },
    ends=[
        end("fall", _HEIGHT, below=FALLEN_HEIGHT),
        end("fall", _UPRIGHTNESS, below=np.cos(FALLEN_TILT)),
    ],
    gauges=[
        gauge(
            "forward_speed", "m/s", -0.8, 1.2,
            wanted="command_vx", measure="vx_error.alive", take="mean_abs",
        ),
        gauge(
            "lateral_speed", "m/s", -0.7, 0.7, label="speed to the left",
            wanted="command_vy", measure="vy_error.alive", take="mean_abs",
        ),
        gauge(
            "yaw_rate", "rad/s", -1.4, 1.4, label="turning left",
            wanted="command_yaw", measure="yaw_error.alive", take="mean_abs",
        ),
        gauge("uprightness", "", 0.4, 1.0),
        gauge("height", "m", 0.1, 0.35),
        gauge("power", "W", 0.0, 250.0),
    ],
    camera={"body": "trunk", "distance": 1.8},
    commands={
        "names": ["forward", "left", "turn left"],
        "units": ["m/s", "m/s", "rad/s"],
        "low": [-FASTEST_BACKWARD, *-FASTEST[1:]],
        "high": FASTEST,
    },
    push={
        "body": "trunk",
        "impulse": CONDITIONS["push"]["impulse"],
        "seconds": PUSH_STEPS * CONTROL_DT,
        "heading": "free",
    },
)  # fmt: skip


class QuadrupedBatch(BatchEnv):
    """N quadrupeds.

    Observation (45,), float32, SI units: direction of gravity in the trunk's axes (3), gyro (3),
    joint angles from home (12), joint velocities (12), last action (12), and the commanded
    forward speed, leftward speed and yaw rate (3).

    Action (12,) in [−1, 1]: where the servos pull each joint, from home, as a share of 0.35 rad
    (abduction) or 0.6 rad (hip, knee).

    Reward: the weighted sum of `quadruped_rewards.REWARDS`. An episode terminates when the robot
    falls: tilted by more than 65° or with its trunk below 13 cm.

    A condition fixes the command; in ``push`` a lateral push of 10 N·s, from a side drawn at the
    start, hits the walking robot at 4 s. Without a condition, commands and pushes are drawn, new
    ones every 2 to 4 s.

    Infos: ``forward_speed``, ``lateral_speed`` (left is positive) and ``speed`` over the ground
    (m/s), ``yaw_rate`` (rad/s), ``command_vx``, ``command_vy``, ``command_yaw``, ``height`` (m),
    ``uprightness`` (cosine of the tilt), ``power`` (W, Σ |motor torque × joint velocity|),
    ``mass`` (kg), ``foot_contact`` (4 feet round the body; ``metadata["foot_names"]``), ``pushed``
    (a push acts), ``fall``, ``x`` and ``y`` (m).
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        **BatchEnv.metadata,
        "render_fps": round(1 / CONTROL_DT),
        "conditions": CONDITIONS,
        "observation_names": (
            *(f"gravity {axis}" for axis in "xyz"),
            *(f"gyro {axis}" for axis in "xyz"),
            *JOINT_NAMES,
            *(f"{name} velocity" for name in JOINT_NAMES),
            *(f"{name} last action" for name in JOINT_NAMES),
            "command vx",
            "command vy",
            "command yaw rate",
        ),
        "action_names": JOINT_NAMES,
        "foot_names": FOOT_NAMES,
    }

    def __init__(self, num_envs: int = 1, **kwargs: Any) -> None:
        model = quadruped_model()
        size = len(self.metadata["observation_names"])
        super().__init__(
            model,
            num_envs,
            frame_skip=FRAME_SKIP,
            observation_space=gym.spaces.Box(-OBS_LIMIT, OBS_LIMIT, (size,), np.float32),
            action_space=gym.spaces.Box(-1.0, 1.0, (len(JOINT_NAMES),), np.float32),
            **kwargs,
        )
        self._qpos, self._qvel = self.batch.qpos, self.batch.qvel
        self._force = self.batch.bind("xfrc_applied")
        self._places = self.batch.bind("geom_xpos")
        self._torque = self.batch.bind("qfrc_actuator")
        self._foot_geoms = np.array([model.geom(name).id for name in FOOT_NAMES])
        self._trunk = model.body("trunk").id
        self._mass = float(model.body_mass.sum())
        n, feet = num_envs, len(FOOT_NAMES)
        self._last_action = np.zeros_like(self.action)
        self._feet_before = np.zeros((n, feet, 2))
        self._air_time = np.zeros((n, feet))
        # What is planned for an episode: commands from given steps on, and pushes.
        self._command = np.zeros((n, 3))
        self._commands = np.zeros((n, SEGMENTS, 3))
        self._command_steps = np.zeros((n, SEGMENTS), dtype=np.int64)
        self._push_steps = np.zeros((n, SEGMENTS), dtype=np.int64)
        self._pushes = np.zeros((n, SEGMENTS, 2))  # N, forward and left
        self._pushed = np.zeros((n, 1), dtype=bool)
        self.robots.fields |= {"command": self._command, "pushed": self._pushed}
        self.robots.before_step(self._remember)
        self.describe(DESCRIPTION)
        self._heading = self.robots.source("heading", of="free")
        self._gravity = self.robots.source("gravity")
        self._velocity = self.robots.source("moved", **_MOVED)

    def _start(self, rows: np.ndarray, rngs: list[np.random.Generator]) -> None:
        self._qpos[rows, :7] = (0.0, 0.0, HOME_HEIGHT - 0.015, 1.0, 0.0, 0.0, 0.0)
        for i, rng in zip(rows, rngs, strict=True):
            self._qpos[i, 7:] = HOME + rng.uniform(-0.1, 0.1, len(HOME))
            self._qvel[i] = rng.uniform(-0.1, 0.1, 6 + len(HOME))
            self._plan(i, rng)
        self._last_action[rows] = 0.0
        self._air_time[rows] = 0.0
        self._pushed[rows] = False
        self._command[rows] = self._commands[rows, 0]

    def _plan(self, i: int, rng: np.random.Generator) -> None:
        """Draw the commands and pushes of row ``i``; a condition overrides what was drawn."""
        lengths = rng.integers(SEGMENT_STEPS[0], SEGMENT_STEPS[1], SEGMENTS)
        kinds = rng.integers(0, len(_KINDS), SEGMENTS)
        share = rng.uniform(SLOWEST, 1.0, (SEGMENTS, 3)) * rng.choice((-1.0, 1.0), (SEGMENTS, 3))
        share *= _KINDS[kinds]
        push_at = rng.uniform(0.2, 0.9, SEGMENTS)
        push_angle = rng.uniform(0.0, 2 * np.pi, SEGMENTS)
        impulse = rng.uniform(*PUSH_IMPULSE, SEGMENTS) * (rng.random(SEGMENTS) < PUSH_CHANCE)
        starts = np.cumsum(lengths) - lengths
        self._command_steps[i] = starts
        self._commands[i] = share * FASTEST
        backward = share[:, 0] < 0
        self._commands[i, backward, 0] = share[backward, 0] * FASTEST_BACKWARD
        self._push_steps[i] = starts + (push_at * lengths).astype(np.int64)
        force = impulse / (PUSH_STEPS * CONTROL_DT)
        self._pushes[i] = np.column_stack([np.cos(push_angle), np.sin(push_angle)]) * force[:, None]
        if self.condition[i]:
            condition = CONDITIONS[self.condition[i]]
            self._commands[i] = condition["command"]
            self._pushes[i] = 0.0
            if "impulse" in condition:
                side = 1.0 if push_angle[0] < np.pi else -1.0
                self._push_steps[i, 0] = round(condition["at"] / CONTROL_DT)
                self._pushes[i, 0, 1] = side * condition["impulse"] / (PUSH_STEPS * CONTROL_DT)

    def _remember(self, rows: np.ndarray) -> None:
        """Keep where the feet are, to tell their velocities after the step."""
        self._feet_before[rows] = self._places[rows[:, None], self._foot_geoms, :2]

    def _before_step(self, rows: np.ndarray, actions: np.ndarray) -> None:
        self._last_action[rows] = self.action[rows]
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
        return portable(quadruped_spec())

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
        motion = self._motion(rows, info)
        reward = np.zeros(rows.size)
        for part, weight in REWARDS.values():
            reward += weight * part(motion)
        ended = self._ends(rows)
        info |= ended
        info["speed"] = np.hypot(info["forward_speed"], info["lateral_speed"])
        # The next command takes effect after the step that it ends, so that a robot is judged by
        # the command that it saw.
        segment = (self._command_steps[rows] <= self.steps[rows, None]).sum(1) - 1
        self._command[rows] = self._commands[rows, segment]
        return reward, ended["fall"], info

    def _motion(self, rows: np.ndarray, info: Info) -> Motion:
        """Read from the batch what the robots did in this step; ``info`` has the rest."""
        places = self._places[rows[:, None], self._foot_geoms, :2]
        foot_velocity = (places - self._feet_before[rows]) / CONTROL_DT
        contact = info["foot_contact"]
        flown = self._air_time[rows]
        self._air_time[rows] = np.where(contact, 0.0, flown + CONTROL_DT)
        return Motion(
            velocity=self._velocity(rows),
            turning=self._qvel[rows, 3:6],
            yaw_rate=info["yaw_rate"],
            gravity=self._gravity(rows),
            height=info["height"],
            command=self._command[rows],
            still=~self._command[rows].any(-1),
            posture=self._qpos[rows, 7:] - HOME,
            torque=self._torque[rows, 6:],
            power=info["power"],
            action_change=self.action[rows] - self._last_action[rows],
            contact=contact,
            landed=contact & (flown > 0),
            air_time=flown,
            foot_speed=np.sqrt(np.square(foot_velocity).sum(-1)),
        )

    def _start_info(self, rows: np.ndarray) -> Info:
        info = super()._start_info(rows)
        return info | {
            "mass": np.full(rows.size, self._mass),
            "fall": np.zeros(rows.size, dtype=bool),
        }


class Quadruped(SingleEnv):
    """One quadruped; see `QuadrupedBatch`. The camera goes with it."""

    batch_class = QuadrupedBatch

    def __init__(
        self, render_mode: str | None = None, camera: str = "track", **kwargs: Any
    ) -> None:
        super().__init__(render_mode, camera=camera, **kwargs)
