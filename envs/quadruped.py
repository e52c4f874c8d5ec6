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
from envs.contacts import Feet
from envs.quadruped_model import (
    ACTION_SCALE,
    FOOT_NAMES,
    FRAME_SKIP,
    HOME,
    HOME_HEIGHT,
    JOINT_NAMES,
    TIMESTEP,
    quadruped_model,
)
from envs.quadruped_rewards import REWARDS, Motion
from envs.single_env import SingleEnv

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

# `measure` names the one by which a behaviour is judged, `words` tell it in a sentence.
CONDITIONS: dict[str, dict[str, Any]] = {
    "stand": {"command": (0.0, 0.0, 0.0), "measure": "drift", "words": "told to stand"},
    "forward": {
        "command": (0.8, 0.0, 0.0), "measure": "vx_error", "words": "told to go forward",
    },
    "backward": {
        "command": (-0.5, 0.0, 0.0), "measure": "vx_error", "words": "told to go backward",
    },
    "left": {"command": (0.0, 0.35, 0.0), "measure": "vy_error", "words": "told to go left"},
    "right": {"command": (0.0, -0.35, 0.0), "measure": "vy_error", "words": "told to go right"},
    "turn_left": {
        "command": (0.0, 0.0, 0.9), "measure": "yaw_error", "words": "told to turn left",
    },
    "turn_right": {
        "command": (0.0, 0.0, -0.9), "measure": "yaw_error", "words": "told to turn right",
    },
    "push": {
        "command": (0.4, 0.0, 0.0), "impulse": 10.0, "at": 4.0,  # N·s sideways, at 4 s
        "measure": "push_recovery", "words": "pushed from the side",
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
        self._torque = self.batch.bind("qfrc_actuator")
        self._force = self.batch.bind("xfrc_applied")
        self._places = self.batch.bind("geom_xpos")
        self._feet = Feet(self.batch, FOOT_NAMES)
        self._foot_geoms = np.array([model.geom(name).id for name in FOOT_NAMES])
        self._trunk = model.body("trunk").id
        self._mass = float(model.body_mass.sum())
        n, feet, joints = num_envs, len(FOOT_NAMES), len(JOINT_NAMES)
        self._action, self._last_action = np.zeros((n, joints)), np.zeros((n, joints))
        self._place_before = np.zeros((n, 3))
        self._feet_before = np.zeros((n, feet, 2))
        self._air_time = np.zeros((n, feet))
        # What is planned for an episode: commands from given steps on, and pushes.
        self._command = np.zeros((n, 3))
        self._commands = np.zeros((n, SEGMENTS, 3))
        self._command_steps = np.zeros((n, SEGMENTS), dtype=np.int64)
        self._push_steps = np.zeros((n, SEGMENTS), dtype=np.int64)
        self._pushes = np.zeros((n, SEGMENTS, 2))  # N, forward and left
        self._pushed = np.zeros(n, dtype=bool)

    def _start(self, rows: np.ndarray, rngs: list[np.random.Generator]) -> None:
        self._qpos[rows, :7] = (0.0, 0.0, HOME_HEIGHT - 0.015, 1.0, 0.0, 0.0, 0.0)
        for i, rng in zip(rows, rngs, strict=True):
            self._qpos[i, 7:] = HOME + rng.uniform(-0.1, 0.1, len(HOME))
            self._qvel[i] = rng.uniform(-0.1, 0.1, 6 + len(HOME))
            self._plan(i, rng)
        self._action[rows] = self._last_action[rows] = 0.0
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

    def _settle(self, rows: np.ndarray) -> None:
        super()._settle(rows)
        self._remember(rows)

    def _remember(self, rows: np.ndarray) -> None:
        """Keep where trunk and feet are, to tell their velocities after the step."""
        self._place_before[rows] = self._qpos[rows, :3]
        self._feet_before[rows] = self._places[rows[:, None], self._foot_geoms, :2]

    def _before_step(self, rows: np.ndarray, actions: np.ndarray) -> None:
        self._remember(rows)
        self._last_action[rows] = self._action[rows]
        self._action[rows] = np.clip(actions, -1.0, 1.0)
        self.batch.ctrl[rows] = HOME + ACTION_SCALE * self._action[rows]
        since = self.steps[rows, None] - self._push_steps[rows]
        acting = (since >= 0) & (since < PUSH_STEPS)
        forward, left = (self._pushes[rows] * acting[..., None]).sum(1).T
        self._pushed[rows] = (forward != 0) | (left != 0)
        cos, sin = self._heading(rows)
        self._force[rows, self._trunk, 0] = cos * forward - sin * left
        self._force[rows, self._trunk, 1] = sin * forward + cos * left

    def _heading(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return cosine and sine of the yaw angle, each (n,)."""
        w, x, y, z = self._qpos[rows, 3:7].T
        yaw = np.arctan2(2 * (x * y + w * z), w * w + x * x - y * y - z * z)
        return np.cos(yaw), np.sin(yaw)

    def _gravity(self, rows: np.ndarray) -> np.ndarray:
        """Return the direction of gravity in the trunk's axes, (n, 3)."""
        w, x, y, z = self._qpos[rows, 3:7].T
        up = w * w - x * x - y * y + z * z
        return -np.column_stack([2 * (x * z - w * y), 2 * (y * z + w * x), up])

    def _observe(self, rows: np.ndarray) -> np.ndarray:
        parts = [
            self._gravity(rows),
            self._qvel[rows, 3:6],
            self._qpos[rows, 7:] - HOME,
            self._qvel[rows, 6:],
            self._action[rows],
            self._command[rows],
        ]
        obs = np.concatenate(parts, axis=1, dtype=np.float32)
        return np.clip(obs, -OBS_LIMIT, OBS_LIMIT, out=obs)

    def _score(self, rows: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, Info]:
        motion = self._motion(rows)
        reward = np.zeros(rows.size)
        for term, weight in REWARDS.values():
            reward += weight * term(motion)
        info = self._start_info(rows)
        fall = (info["height"] < FALLEN_HEIGHT) | (info["uprightness"] < np.cos(FALLEN_TILT))
        info |= {
            "forward_speed": motion.velocity[:, 0],
            "lateral_speed": motion.velocity[:, 1],
            "speed": np.hypot(motion.velocity[:, 0], motion.velocity[:, 1]),
            "power": motion.power,
            "fall": fall,
        }
        # The next command takes effect after the step that it ends, so that a robot is judged by
        # the command that it saw.
        segment = (self._command_steps[rows] <= self.steps[rows, None]).sum(1) - 1
        self._command[rows] = self._commands[rows, segment]
        return reward, fall, info

    def _motion(self, rows: np.ndarray) -> Motion:
        """Read from the batch what the robots did in this step."""
        cos, sin = self._heading(rows)
        vx, vy, vz = (self._qpos[rows, :3] - self._place_before[rows]).T / CONTROL_DT
        places = self._places[rows[:, None], self._foot_geoms, :2]
        foot_velocity = (places - self._feet_before[rows]) / CONTROL_DT
        contact = self._feet.touching(rows)
        flown = self._air_time[rows]
        self._air_time[rows] = np.where(contact, 0.0, flown + CONTROL_DT)
        gravity, turning = self._gravity(rows), self._qvel[rows, 3:6]
        torque = self._torque[rows, 6:]
        return Motion(
            velocity=np.column_stack([vx * cos + vy * sin, vy * cos - vx * sin, vz]),
            turning=turning,
            yaw_rate=-(gravity * turning).sum(-1),
            gravity=gravity,
            height=self._qpos[rows, 2],
            command=self._command[rows],
            still=~self._command[rows].any(-1),
            posture=self._qpos[rows, 7:] - HOME,
            torque=torque,
            power=np.abs(torque * self._qvel[rows, 6:]).sum(-1),
            action_change=self._action[rows] - self._last_action[rows],
            contact=contact,
            landed=contact & (flown > 0),
            air_time=flown,
            foot_speed=np.sqrt(np.square(foot_velocity).sum(-1)),
        )

    def _start_info(self, rows: np.ndarray) -> Info:
        zeros = np.zeros(rows.size)
        gravity = self._gravity(rows)
        command = self._command[rows]
        return {
            "forward_speed": zeros,
            "lateral_speed": zeros,
            "speed": zeros,
            "yaw_rate": -(gravity * self._qvel[rows, 3:6]).sum(-1),
            "command_vx": command[:, 0],
            "command_vy": command[:, 1],
            "command_yaw": command[:, 2],
            "height": self._qpos[rows, 2],
            "uprightness": -gravity[:, 2],
            "power": zeros,
            "mass": np.full(rows.size, self._mass),
            "foot_contact": self._feet.touching(rows),
            "pushed": self._pushed[rows],
            "fall": np.zeros(rows.size, dtype=bool),
            "x": self._qpos[rows, 0],
            "y": self._qpos[rows, 1],
        }


class Quadruped(SingleEnv):
    """One quadruped; see `QuadrupedBatch`. The camera goes with it."""

    batch_class = QuadrupedBatch

    def __init__(
        self, render_mode: str | None = None, camera: str = "track", **kwargs: Any
    ) -> None:
        super().__init__(render_mode, camera=camera, **kwargs)
