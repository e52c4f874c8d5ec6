"""The Unitree G1 on its legs, as Unitree's published recurrent policy drives it.

The observation and the control are those of `deploy_mujoco` in unitree_rl_gym, whose policy
`motion.pt` is public; the body is in `envs.g1_model`. Measured with that policy, 32 episodes of
each condition, none of which fell: told 0.5 m/s forward it goes 4.6 m in 10 s, as in Unitree's own
model. Nothing was tuned for it. Pushed with 20 N·s none of 32 fell, with 30 N·s 18.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.commanded import COMMAND_NAMES, Commanded, CommandedBatch, CommandedSingle, battery
from envs.g1_model import (
    FOOT_NAMES,
    FRAME_SKIP,
    HOME,
    HOME_HEIGHT,
    JOINT_NAMES,
    SOLE_HALF,
    SOLE_RADIUS,
    g1_spec,
)
from envs.terms import Control, term

ACTION_SCALE = 0.25  # rad that an action of 1 moves a target
ACTION_LIMIT = 12.0  # the policy asks for less than 4
STRIDE = 0.8  # s, of the clock that the policy sees

G1_LEGS = Commanded(
    spec=g1_spec,
    frame_skip=FRAME_SKIP,
    joints=JOINT_NAMES,
    feet=FOOT_NAMES,
    home=HOME,
    start_height=HOME_HEIGHT,
    start_noise=(0.05, 0.05),
    observation=[
        term("qvel", at=range(3, 6), scale=0.25),
        term("gravity"),
        term("command", scale=[2.0, 2.0, 0.25]),
        term("qpos", at=range(7, 7 + len(JOINT_NAMES)), minus=HOME),
        term("qvel", at=range(6, 6 + len(JOINT_NAMES)), scale=0.05),
        term("action"),
        term("phase", period=STRIDE, at=[1, 0]),
    ],
    observation_names=(
        *(f"gyro {axis}" for axis in "xyz"),
        *(f"gravity {axis}" for axis in "xyz"),
        *COMMAND_NAMES,
        *JOINT_NAMES,
        *(f"{name} velocity" for name in JOINT_NAMES),
        *(f"{name} last action" for name in JOINT_NAMES),
        "sine of the stride",
        "cosine of the stride",
    ),
    control=Control(clip=(-ACTION_LIMIT, ACTION_LIMIT), scale=ACTION_SCALE, offset=HOME),
    conditions=battery(forward=0.5, backward=0.4, sideways=0.3, turn=0.5, push=(0.5, 15.0)),
    fastest=np.array([0.8, 0.4, 0.8]),
    fastest_backward=0.5,
    impulses=(5.0, 20.0),
    fallen_height=0.5,
    fallen_tilt=np.deg2rad(60.0),
    bars={
        "forward_speed": (-0.8, 1.2),
        "lateral_speed": (-0.6, 0.6),
        "yaw_rate": (-1.2, 1.2),
        "uprightness": (0.4, 1.0),
        "height": (0.5, 0.9),
        "power": (0.0, 400.0),
    },
    contact={
        "foot_contact": term(
            "feet", geoms=FOOT_NAMES, half=[SOLE_HALF] * 2, reach=[SOLE_RADIUS] * 2, vector=True
        )
    },
    trunk="pelvis",
    distance=3.0,
)


class G1Batch(CommandedBatch):
    """N Unitree G1 on twelve joints; see `CommandedBatch` for commands, pushes, reward and infos.

    Observation (47,), float32: angular velocity of the pelvis in its axes × 0.25 (3), direction of
    gravity in them (3), commanded forward speed, leftward speed and yaw rate × (2, 2, 0.25), joint
    angles from home (12), joint velocities × 0.05 (12), last action (12), sine and cosine of a
    clock of 0.8 s. Units before the scales are SI.

    Action (12,), of at most ±12: where the servos pull each joint, from home, in units of 0.25 rad.

    An episode terminates when the robot falls: tilted by more than 60° or with its pelvis below
    0.5 m.
    """

    def __init__(self, num_envs: int = 1, **kwargs: Any) -> None:
        super().__init__(G1_LEGS, num_envs, **kwargs)


class G1(CommandedSingle):
    """One Unitree G1; see `G1Batch`."""

    batch_class = G1Batch
