"""The quadruped world: twelve motors, a commanded velocity, and a battery of behaviours.

One policy stands, walks forward, backward and sideways, turns both ways and recovers from pushes,
so that one lesion shows in a whole row of behaviours. The robot knows what a real one would: its
joints, its gyro, where gravity points, what it did last, and its command; not its own speed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.batch_env import Info
from envs.commanded import (
    COMMAND_NAMES,
    Commanded,
    CommandedBatch,
    CommandedSingle,
    battery,
)
from envs.quadruped_model import (
    ACTION_SCALE,
    FOOT_NAMES,
    FRAME_SKIP,
    HOME,
    HOME_HEIGHT,
    JOINT_NAMES,
    quadruped_spec,
)
from envs.quadruped_rewards import REWARDS, Motion
from envs.terms import Control, term

CONDITIONS = battery(forward=0.8, backward=0.5, sideways=0.35, turn=0.9, push=(0.4, 10.0))

QUADRUPED = Commanded(
    spec=quadruped_spec,
    frame_skip=FRAME_SKIP,
    joints=JOINT_NAMES,
    feet=FOOT_NAMES,
    home=HOME,
    start_height=HOME_HEIGHT - 0.015,
    observation=[
        term("gravity"),
        term("qvel", at=range(3, 6)),
        term("qpos", at=range(7, 7 + len(JOINT_NAMES)), minus=HOME),
        term("qvel", at=range(6, 6 + len(JOINT_NAMES))),
        term("action"),
        term("command"),
    ],
    observation_names=(
        *(f"gravity {axis}" for axis in "xyz"),
        *(f"gyro {axis}" for axis in "xyz"),
        *JOINT_NAMES,
        *(f"{name} velocity" for name in JOINT_NAMES),
        *(f"{name} last action" for name in JOINT_NAMES),
        *COMMAND_NAMES,
    ),
    control=Control(clip=(-1.0, 1.0), scale=ACTION_SCALE, offset=HOME),
    conditions=CONDITIONS,
    fastest=np.array([1.0, 0.5, 1.2]),
    fastest_backward=0.7,
    impulses=(4.0, 15.0),  # 13 N·s change the robot's speed by 1 m/s
    fallen_height=0.13,  # the trunk's underside is 4.5 cm lower
    fallen_tilt=np.deg2rad(65.0),
    bars={
        "forward_speed": (-0.8, 1.2),
        "lateral_speed": (-0.7, 0.7),
        "yaw_rate": (-1.4, 1.4),
        "uprightness": (0.4, 1.0),
        "height": (0.1, 0.35),
        "power": (0.0, 250.0),
    },
)


class QuadrupedBatch(CommandedBatch):
    """N quadrupeds; see `CommandedBatch` for commands, pushes and infos.

    Observation (45,), float32, SI units: direction of gravity in the trunk's axes (3), gyro (3),
    joint angles from home (12), joint velocities (12), last action (12), and the commanded
    forward speed, leftward speed and yaw rate (3).

    Action (12,) in [−1, 1]: where the servos pull each joint, from home, as a share of 0.35 rad
    (abduction) or 0.6 rad (hip, knee).

    Reward: the weighted sum of `quadruped_rewards.REWARDS`. An episode terminates when the robot
    falls: tilted by more than 65° or with its trunk below 13 cm. A push has 10 N·s.
    """

    def __init__(self, num_envs: int = 1, **kwargs: Any) -> None:
        super().__init__(QUADRUPED, num_envs, **kwargs)
        model = self.batch.model
        self._places = self.batch.bind("geom_xpos")
        self._torque = self.batch.bind("qfrc_actuator")
        self._foot_geoms = np.array([model.geom(name).id for name in FOOT_NAMES])
        n, feet = num_envs, len(FOOT_NAMES)
        self._last_action = np.zeros_like(self.action)
        self._feet_before = np.zeros((n, feet, 2))
        self._air_time = np.zeros((n, feet))
        self.robots.before_step(self._remember)
        self._gravity = self.robots.source("gravity")
        self._velocity = self.robots.source(
            "moved", of={"field": "qpos", "at": [0, 1, 2]}, heading="free"
        )

    def _start(self, rows: np.ndarray, rngs: list[np.random.Generator]) -> None:
        super()._start(rows, rngs)
        self._last_action[rows] = 0.0
        self._air_time[rows] = 0.0

    def _remember(self, rows: np.ndarray) -> None:
        """Keep where the feet are, to tell their velocities after the step."""
        self._feet_before[rows] = self._places[rows[:, None], self._foot_geoms, :2]

    def _before_step(self, rows: np.ndarray, actions: np.ndarray) -> None:
        self._last_action[rows] = self.action[rows]
        super()._before_step(rows, actions)

    def _reward(self, rows: np.ndarray, info: Info) -> np.ndarray:
        motion = self._motion(rows, info)
        reward = np.zeros(rows.size)
        for part, weight in REWARDS.values():
            reward += weight * part(motion)
        return reward

    def _motion(self, rows: np.ndarray, info: Info) -> Motion:
        """Read from the batch what the robots did in this step; ``info`` has the rest."""
        places = self._places[rows[:, None], self._foot_geoms, :2]
        foot_velocity = (places - self._feet_before[rows]) / self.dt
        contact = info["foot_contact"]
        flown = self._air_time[rows]
        self._air_time[rows] = np.where(contact, 0.0, flown + self.dt)
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


class Quadruped(CommandedSingle):
    """One quadruped; see `QuadrupedBatch`."""

    batch_class = QuadrupedBatch
