"""The Unitree Go1, as Google's published policy drives it: a commanded velocity on flat ground.

The observation and the control are those of the joystick task of MuJoCo Playground (Zakka et al.
2025, "MuJoCo Playground"), whose policy `go1_policy.onnx` is public; the body is in
`envs.go1_model`. Measured with that policy, 32 episodes of each condition, none of which fell: told
1.0 m/s forward it goes 1.02, told 0.5 m/s sideways 0.47 (left) and 0.45 (right), as in its own
model (1.02 and 0.47). Nothing was tuned for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.commanded import COMMAND_NAMES, Commanded, CommandedBatch, CommandedSingle, battery
from envs.go1_model import FOOT_NAMES, FRAME_SKIP, HOME, HOME_HEIGHT, JOINT_NAMES, go1_spec
from envs.terms import Control, term

ACTION_SCALE = 0.5  # rad that an action of 1 moves a target

GO1 = Commanded(
    spec=go1_spec,
    frame_skip=FRAME_SKIP,
    joints=JOINT_NAMES,
    feet=FOOT_NAMES,
    home=HOME,
    start_height=HOME_HEIGHT,
    observation=[
        term("sensordata", at=range(6)),  # the IMU's velocimeter and gyro
        term("gravity"),
        term("qpos", at=range(7, 7 + len(JOINT_NAMES)), minus=HOME),
        term("qvel", at=range(6, 6 + len(JOINT_NAMES))),
        term("action"),
        term("command"),
    ],
    observation_names=(
        *(f"velocity {axis}" for axis in "xyz"),
        *(f"gyro {axis}" for axis in "xyz"),
        *(f"gravity {axis}" for axis in "xyz"),
        *JOINT_NAMES,
        *(f"{name} velocity" for name in JOINT_NAMES),
        *(f"{name} last action" for name in JOINT_NAMES),
        *COMMAND_NAMES,
    ),
    control=Control(clip=(-1.0, 1.0), scale=ACTION_SCALE, offset=HOME),
    conditions=battery(forward=1.0, backward=0.7, sideways=0.5, turn=1.0, push=(0.5, 8.0)),
    fastest=np.array([1.5, 0.8, 1.2]),  # those with which the policy was trained
    fastest_backward=1.5,
    impulses=(4.0, 12.0),
    fallen_height=0.13,  # the trunk's underside is 5 cm lower
    fallen_tilt=np.deg2rad(65.0),
    bars={
        "forward_speed": (-1.2, 1.6),
        "lateral_speed": (-0.9, 0.9),
        "yaw_rate": (-1.6, 1.6),
        "uprightness": (0.4, 1.0),
        "height": (0.1, 0.35),
        "power": (0.0, 300.0),
    },
)


class Go1Batch(CommandedBatch):
    """N Unitree Go1; see `CommandedBatch` for commands, pushes, reward and infos.

    Observation (48,), float32, SI units: velocity (3) and angular velocity (3) at the IMU in the
    trunk's axes, direction of gravity in them (3), joint angles from home (12), joint velocities
    (12), last action (12), and the commanded forward speed, leftward speed and yaw rate (3).

    Action (12,) in [−1, 1]: where the servos pull each joint, from home, as a share of 0.5 rad.

    An episode terminates when the robot falls: tilted by more than 65° or with its trunk below
    13 cm.
    """

    def __init__(self, num_envs: int = 1, **kwargs: Any) -> None:
        super().__init__(GO1, num_envs, **kwargs)


class Go1(CommandedSingle):
    """One Unitree Go1; see `Go1Batch`."""

    batch_class = Go1Batch
