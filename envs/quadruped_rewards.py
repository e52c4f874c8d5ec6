"""What the quadruped is paid for: free functions ``Motion -> (n,)``, weighed in ``REWARDS``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

STANCE_HEIGHT = 0.28  # m; with this the legs bear the trunk slightly bent
STEP_TIME = 0.18  # s in the air; a longer step of a foot earns, a shorter one costs
LONGEST_STEP = 0.32  # s; longer steps earn no more


@dataclass
class Motion:
    """What n robots just did, SI units; "own" frames turn with the robot's heading.

    Attributes:
        velocity: Of the trunk over the control step, own frame, (n, 3).
        turning: The trunk's angular velocity in its own axes, (n, 3).
        yaw_rate: About the world's vertical, (n,).
        gravity: Direction of gravity in the trunk's axes, (n, 3).
        height: Of the trunk's centre, (n,).
        command: Wanted forward and leftward velocity and yaw rate, (n, 3).
        still: Told to stand, (n,).
        posture: Joint angles from home, (n, 12).
        torque: Of the motors, (n, 12).
        power: Σ |torque × joint velocity|, (n,).
        action_change: Since the last step, (n, 12).
        contact: Which feet are on the ground, (n, 4).
        landed: Which feet have just come down, (n, 4).
        air_time: For which time each foot has been in the air, or was until it landed, (n, 4).
        foot_speed: Along the ground, (n, 4).
    """

    velocity: np.ndarray
    turning: np.ndarray
    yaw_rate: np.ndarray
    gravity: np.ndarray
    height: np.ndarray
    command: np.ndarray
    still: np.ndarray
    posture: np.ndarray
    torque: np.ndarray
    power: np.ndarray
    action_change: np.ndarray
    contact: np.ndarray
    landed: np.ndarray
    air_time: np.ndarray
    foot_speed: np.ndarray


def tracking(m: Motion) -> np.ndarray:
    """1 at the commanded velocity and yaw rate, less for each off, in proportion to the command.

    One product, not a sum: else a robot that stands still when told to walk earns for turning
    exactly as little as it was told, and never dares a step.
    """
    off = np.hypot(*(m.command[:, :2] - m.velocity[:, :2]).T)
    asked = np.hypot(*m.command[:, :2].T)
    turn_off, turn_asked = np.abs(m.command[:, 2] - m.yaw_rate), np.abs(m.command[:, 2])
    return np.exp(-off / (0.2 + 0.2 * asked) - turn_off / (0.4 + 0.2 * turn_asked))


def progress(m: Motion) -> np.ndarray:
    """Speed along the commanded velocity, no more than commanded: pulls from far off, too."""
    asked = np.hypot(m.command[:, 0], m.command[:, 1])
    along = (m.command[:, :2] * m.velocity[:, :2]).sum(-1) / np.maximum(asked, 1e-6)
    return np.clip(along, -asked, asked)


def turn_progress(m: Motion) -> np.ndarray:
    """Yaw rate in the commanded sense, no more than commanded."""
    asked = np.abs(m.command[:, 2])
    return np.clip(np.sign(m.command[:, 2]) * m.yaw_rate, -asked, asked)


def alive(m: Motion) -> np.ndarray:
    """1 for each step not fallen."""
    return np.ones(len(m.height))


def air_time(m: Motion) -> np.ndarray:
    """Long steps earn and short ones cost, at touchdown, while told to move: no shuffling."""
    steps = np.minimum(m.air_time, LONGEST_STEP) - STEP_TIME
    return np.where(m.still, 0.0, (steps * m.landed).sum(-1))


def trot(m: Motion) -> np.ndarray:
    """1 while just one diagonal pair of feet swings, and not too long, while told to move.

    Dense where air time is sparse: without it a robot took millions of steps to leave standing.
    """
    down = m.contact
    paired = (down[:, 0] == down[:, 2]) & (down[:, 1] == down[:, 3]) & (down[:, 0] != down[:, 1])
    brief = (m.air_time < LONGEST_STEP).all(-1)
    return (paired & brief & ~m.still).astype(float)


def tilt(m: Motion) -> np.ndarray:
    """Squared sine of the trunk's tilt."""
    return np.square(m.gravity[:, :2]).sum(-1)


def bounce(m: Motion) -> np.ndarray:
    """Squared vertical speed."""
    return np.square(m.velocity[:, 2])


def wobble(m: Motion) -> np.ndarray:
    """Squared roll and pitch rate."""
    return np.square(m.turning[:, :2]).sum(-1)


def sag(m: Motion) -> np.ndarray:
    """Squared distance from the stance height."""
    return np.square(m.height - STANCE_HEIGHT)


def effort(m: Motion) -> np.ndarray:
    """Squared motor torques."""
    return np.square(m.torque).sum(-1)


def energy(m: Motion) -> np.ndarray:
    """Mechanical power of the motors."""
    return m.power


def action_rate(m: Motion) -> np.ndarray:
    """Squared change of the action."""
    return np.square(m.action_change).sum(-1)


def slip(m: Motion) -> np.ndarray:
    """Squared speed of feet that bear weight."""
    return (np.square(m.foot_speed) * m.contact).sum(-1)


def crouch(m: Motion) -> np.ndarray:
    """Squared angles of hips and knees from home: no bent-kneed or head-down gait."""
    return np.square(m.posture).sum(-1) - splay(m)


def splay(m: Motion) -> np.ndarray:
    """Squared abduction: legs belong under the trunk."""
    return np.square(m.posture[:, ::3]).sum(-1)


def fidget(m: Motion) -> np.ndarray:
    """Joints away from home and feet in the air while told to stand."""
    return np.where(m.still, np.abs(m.posture).sum(-1) + (~m.contact).sum(-1), 0.0)


REWARDS: dict[str, tuple[Callable[[Motion], np.ndarray], float]] = {
    "tracking": (tracking, 3.0),
    "progress": (progress, 3.0),
    "turn_progress": (turn_progress, 1.5),
    "alive": (alive, 0.3),
    "air_time": (air_time, 8.0),
    "trot": (trot, 0.5),
    "tilt": (tilt, -4.0),
    "bounce": (bounce, -1.0),
    "wobble": (wobble, -0.02),
    "sag": (sag, -40.0),
    "effort": (effort, -1e-4),
    "energy": (energy, -1e-3),
    "action_rate": (action_rate, -0.05),
    "slip": (slip, -0.05),
    "splay": (splay, -0.3),
    "crouch": (crouch, -0.03),
    "fidget": (fidget, -0.12),
}
"""Name → (term, weight); a step's reward is their weighted sum."""
