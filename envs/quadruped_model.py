"""A dog-sized robot with twelve motors as a MuJoCo model, built with `mujoco.MjSpec`.

13 kg, legs of two 0.2 m links, motors of 24 N·m (knees 36 N·m) with proportional-derivative
position servos: the measures of the small electric quadrupeds that laboratories walk with, drawn
from primitives of our own.
"""

from __future__ import annotations

from functools import lru_cache

import mujoco
import numpy as np

from envs.robot_model import FLOOR_BIT, add_eyes, add_surroundings, paint

TIMESTEP = 0.005  # s
FRAME_SKIP = 4  # 50 Hz control

LEGS = ("FL", "FR", "RR", "RL")  # round the body, so that every second one is the diagonal one
JOINTS = ("abduction", "hip", "knee")
JOINT_NAMES = tuple(f"{leg} {joint}" for leg in LEGS for joint in JOINTS)
FOOT_NAMES = tuple(f"{leg} foot" for leg in LEGS)

LINK = 0.2  # m, thigh and shank alike
FOOT_RADIUS = 0.022  # m
HOME = np.tile([0.0, 0.8, -1.6], len(LEGS))  # rad; each foot is then right under its hip
HOME_HEIGHT = 2 * LINK * float(np.cos(0.8)) + FOOT_RADIUS  # m, of the trunk's centre over the feet
ACTION_SCALE = np.tile([0.35, 0.6, 0.6], len(LEGS))  # rad that an action of 1 moves a target
TORQUE_LIMIT = np.tile([24.0, 24.0, 36.0], len(LEGS))  # N·m

_RANGE = {"abduction": (-0.8, 0.8), "hip": (-0.8, 2.4), "knee": (-2.6, -0.4)}  # rad
_STIFFNESS, _DAMPING = 35.0, 0.8  # N·m/rad and N·m·s/rad of the servos
_ARMATURE = 0.01  # kg·m², the rotor seen through the gears; also keeps the servos stable at 5 ms
_FRICTION = (0.9, 0.01, 0.001)

_BODY = [0.16, 0.30, 0.48, 1.0]
_TRIM = [0.93, 0.63, 0.16, 1.0]
_LIMB = [0.88, 0.89, 0.91, 1.0]
_DARK = [0.14, 0.15, 0.17, 1.0]


def _add_trunk(spec: mujoco.MjSpec) -> mujoco.MjsBody:
    kind = mujoco.mjtGeom
    trunk = spec.worldbody.add_body(name="trunk", pos=[0, 0, HOME_HEIGHT])
    trunk.add_freejoint(name="root")
    paint(trunk, kind.mjGEOM_BOX, [0.19, 0.075, 0.045], _BODY, mass=6.2, name="trunk")
    paint(trunk, kind.mjGEOM_BOX, [0.15, 0.05, 0.008], _TRIM, pos=[0, 0, 0.047])
    paint(trunk, kind.mjGEOM_BOX, [0.035, 0.055, 0.032], _TRIM, mass=0.4, pos=[0.225, 0, 0.022])
    paint(trunk, kind.mjGEOM_BOX, [0.004, 0.042, 0.014], _DARK, pos=[0.261, 0, 0.026])
    add_eyes(trunk)
    return trunk


def _add_leg(spec: mujoco.MjSpec, trunk: mujoco.MjsBody, leg: str) -> None:
    kind = mujoco.mjtGeom
    front, left = (1 if leg[0] == "F" else -1), (1 if leg[1] == "L" else -1)
    shoulder = trunk.add_body(name=f"{leg} shoulder", pos=[0.185 * front, 0.05 * left, 0])
    axle = [0, 0.02 * left, 0, 0, 0.075 * left, 0]
    paint(shoulder, kind.mjGEOM_CAPSULE, [0.042], _DARK, mass=0.6, fromto=axle)
    thigh = shoulder.add_body(name=f"{leg} thigh", pos=[0, 0.08 * left, 0])
    bone = [0, 0, 0, 0, 0, -LINK]
    paint(thigh, kind.mjGEOM_CAPSULE, [0.024], _LIMB if front > 0 else _BODY, 0.8, fromto=bone)
    shank = thigh.add_body(name=f"{leg} shank", pos=[0, 0, -LINK])
    paint(shank, kind.mjGEOM_CAPSULE, [0.014], _DARK, mass=0.2, fromto=bone)
    for body, name, z, radius, mass in (
        (thigh, f"{leg} knee", -LINK, 0.026, 0.0),  # a robot may kneel; it must not sink
        (shank, f"{leg} foot", -LINK, FOOT_RADIUS, 0.05),
    ):
        body.add_geom(
            name=name,
            type=kind.mjGEOM_SPHERE,
            size=[radius, 0, 0],
            pos=[0, 0, z],
            mass=mass,
            friction=list(_FRICTION),
            contype=FLOOR_BIT,
            conaffinity=0,
            rgba=_TRIM if left > 0 else _LIMB,
        )
    for body, joint, axis in (
        (shoulder, "abduction", [1, 0, 0]),
        (thigh, "hip", [0, 1, 0]),
        (shank, "knee", [0, 1, 0]),
    ):
        name = f"{leg} {joint}"
        body.add_joint(
            name=name,
            type=mujoco.mjtJoint.mjJNT_HINGE,
            axis=axis,
            range=_RANGE[joint],
            limited=True,
            damping=0.05,
            armature=_ARMATURE,
        )
        limit = TORQUE_LIMIT[JOINT_NAMES.index(name)]
        servo = spec.add_actuator(name=name, trntype=mujoco.mjtTrn.mjTRN_JOINT, target=name)
        servo.set_to_position(kp=_STIFFNESS, kv=_DAMPING)
        servo.forcelimited = True
        servo.forcerange = [-limit, limit]


def quadruped_spec() -> mujoco.MjSpec:
    """The robot on an endless floor; only feet and knees can touch it."""
    spec = mujoco.MjSpec()
    spec.modelname = "quadruped"
    spec.compiler.degree = False
    spec.option.timestep = TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
    add_surroundings(spec, _FRICTION)
    trunk = _add_trunk(spec)
    for leg in LEGS:
        _add_leg(spec, trunk, leg)
    return spec


@lru_cache(maxsize=1)
def quadruped_model() -> mujoco.MjModel:
    """Compile `quadruped_spec`."""
    return quadruped_spec().compile()
