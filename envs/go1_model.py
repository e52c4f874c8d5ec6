"""The Unitree Go1 as a MuJoCo model of primitives, from its published figures.

Masses, inertias, lengths, ranges and torque limits are those of the model "unitree_go1" of MuJoCo
Menagerie (after Unitree's URDF). Servos, floor, solver and the place of the IMU are those of the
Go1 of MuJoCo Playground with collisions of the feet only (joystick task on flat terrain), in which
Google's published policy was trained: 35 N·m/rad, joint damping 0.5 N·m·s/rad, friction 0.6, one
iteration of the solver, steps of 4 ms. Only the feet touch the floor. Paint is of our own.
"""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np

from envs.robot_model import (
    FLOOR_BIT,
    Link,
    Servo,
    add_eyes,
    add_link,
    add_surroundings,
    paint,
    set_inertia,
)

TIMESTEP = 0.004  # s
FRAME_SKIP = 5  # 50 Hz control

LEGS = ("FR", "FL", "RR", "RL")
JOINT_NAMES = tuple(f"{leg} {joint}" for leg in LEGS for joint in ("hip", "thigh", "calf"))
FOOT_NAMES = ("FR foot", "FL foot", "RL foot", "RR foot")  # round the body
HOME = np.array([0.1, 0.9, -1.8, -0.1, 0.9, -1.8] * 2)  # rad
HOME_HEIGHT = 0.278  # m, of the trunk's centre

# The front left leg; the others are its mirror images, front and rear thighs and calves the same.
_HIP = Link(
    "hip", at=(0.1881, 0.04675, 0.0), axis=(1, 0, 0), bounds=(-0.863, 0.863), mass=0.68,
    centre=(-0.0049166, -0.00762615, -8.865e-05), moments=(0.000734064, 0.000468438, 0.000398719),
    principal=(0.482891, 0.495027, 0.514169, 0.507341),
)  # fmt: skip
_THIGH = Link(
    "thigh", at=(0.0, 0.08, 0.0), axis=(0, 1, 0), bounds=(-0.686, 4.501), mass=1.009,
    centre=(-0.00304722, -0.019315, -0.0305004), moments=(0.00478717, 0.00460903, 0.000709268),
    principal=(0.753383, 0.0775126, -0.0272313, 0.65243),
)  # fmt: skip
# Its centre of mass is 1 mm beside the middle, to the left, in all four legs.
_CALF = Link(
    "calf", at=(0.0, 0.0, -0.213), axis=(0, 1, 0), bounds=(-2.818, -0.888), mass=0.195862,
    centre=(0.00429862, 0.000976676, -0.146197), moments=(0.00149767, 0.00148468, 3.58427e-05),
    principal=(0.691246, 0.00357467, 0.00511118, 0.722592),
)  # fmt: skip
_IMU = (-0.01592, -0.06659, -0.00617)  # m, in the trunk
_MOTOR = Servo(stiffness=35.0, damping=0.0, limit=23.7, armature=0.005, drag=0.5, friction=0.3)
_KNEE = replace(_MOTOR, limit=35.55, friction=1.0)
_FOOT, _FOOT_RADIUS = (0.0, 0.0, -0.213), 0.023  # m, in the calf
_FRICTION = (0.6, 0.005, 0.0001)

_SILVER = [0.78, 0.79, 0.81, 1.0]
_DARK = [0.16, 0.17, 0.19, 1.0]
_BLACK = [0.06, 0.06, 0.07, 1.0]
_BLUE = [0.25, 0.55, 0.85, 1.0]


def _add_trunk(spec: mujoco.MjSpec) -> mujoco.MjsBody:
    kind = mujoco.mjtGeom
    trunk = spec.worldbody.add_body(name="trunk", pos=[0, 0, HOME_HEIGHT])
    trunk.add_freejoint(name="root")
    set_inertia(
        trunk,
        mass=5.204,
        centre=(0.0223, 0.002, -0.0005),
        moments=(0.0716565, 0.0630105, 0.0168101),
        principal=(-0.00342088, 0.705204, 0.000106698, 0.708996),
    )
    paint(trunk, kind.mjGEOM_BOX, [0.13, 0.07, 0.05], _SILVER, name="trunk")
    for side in (-1, 1):
        flank = [-0.13, 0.045 * side, 0, 0.13, 0.045 * side, 0]
        paint(trunk, kind.mjGEOM_CAPSULE, [0.052], _SILVER, fromto=flank)
    paint(trunk, kind.mjGEOM_BOX, [0.10, 0.035, 0.006], _DARK, pos=[-0.01, 0, 0.05])
    for end in (-1, 1):
        paint(trunk, kind.mjGEOM_BOX, [0.045, 0.04, 0.035], _DARK, pos=[0.185 * end, 0, 0])
    paint(trunk, kind.mjGEOM_ELLIPSOID, [0.05, 0.062, 0.045], _SILVER, pos=[0.245, 0, 0.015])
    paint(trunk, kind.mjGEOM_ELLIPSOID, [0.03, 0.052, 0.03], _BLACK, pos=[0.272, 0, 0.014])
    paint(trunk, kind.mjGEOM_BOX, [0.004, 0.026, 0.003], _BLUE, pos=[0.296, 0, 0.026])
    trunk.add_site(name="imu", pos=list(_IMU), group=5)
    for name, sensor in (
        ("velocity", mujoco.mjtSensor.mjSENS_VELOCIMETER),
        ("gyro", mujoco.mjtSensor.mjSENS_GYRO),
    ):
        spec.add_sensor(name=name, type=sensor, objtype=mujoco.mjtObj.mjOBJ_SITE, objname="imu")
    add_eyes(trunk)
    return trunk


def _links(leg: str) -> list[Link]:
    hip, thigh, calf = (replace(link, name=f"{leg} {link.name}") for link in (_HIP, _THIGH, _CALF))
    if leg[0] == "R":
        hip = hip.reversed(hip.name)
    if leg[1] == "R":
        hip, thigh = hip.mirrored(hip.name), thigh.mirrored(thigh.name)
    return [hip, thigh, calf]


def _add_leg(spec: mujoco.MjSpec, trunk: mujoco.MjsBody, leg: str) -> None:
    kind, side = mujoco.mjtGeom, 1 if leg[1] == "L" else -1
    hip, thigh, calf = _links(leg)
    body = add_link(spec, trunk, hip, _MOTOR)
    axle = [0, -0.005 * side, 0, 0, 0.035 * side, 0]
    paint(body, kind.mjGEOM_CYLINDER, [0.046], _SILVER, fromto=axle)
    paint(body, kind.mjGEOM_CYLINDER, [0.036], _DARK, fromto=[0, 0, 0, 0, 0.06 * side, 0])
    body = add_link(spec, body, thigh, _MOTOR)
    hub = [0, -0.025 * side, 0, 0, 0.02 * side, 0]
    paint(body, kind.mjGEOM_CYLINDER, [0.046], _DARK, fromto=hub)
    for start, stop, radius in (
        ((0, 0, 0), (-0.022, 0, -0.10), 0.028),
        ((-0.022, 0, -0.10), (-0.02, 0, -0.16), 0.022),
        ((-0.02, 0, -0.16), (0, 0, -0.213), 0.018),
    ):
        paint(body, kind.mjGEOM_CAPSULE, [radius], _SILVER, fromto=[*start, *stop])
    body = add_link(spec, body, calf, _KNEE)
    paint(body, kind.mjGEOM_CAPSULE, [0.013], _DARK, fromto=[0, 0, 0, 0.018, 0, -0.11])
    paint(body, kind.mjGEOM_CAPSULE, [0.011], _DARK, fromto=[0.018, 0, -0.11, *_FOOT])
    body.add_geom(
        name=f"{leg} foot",
        type=kind.mjGEOM_SPHERE,
        size=[_FOOT_RADIUS, 0, 0],
        pos=list(_FOOT),
        friction=list(_FRICTION),
        contype=FLOOR_BIT,
        conaffinity=0,
        rgba=_BLACK,
    )


def go1_spec() -> mujoco.MjSpec:
    """The robot on an endless floor."""
    spec = mujoco.MjSpec()
    spec.modelname = "go1"
    spec.compiler.degree = False
    spec.option.timestep = TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER
    spec.option.disableflags = mujoco.mjtDisableBit.mjDSBL_EULERDAMP
    spec.option.iterations, spec.option.ls_iterations = 1, 5
    spec.option.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
    add_surroundings(spec, _FRICTION)
    trunk = _add_trunk(spec)
    for leg in LEGS:
        _add_leg(spec, trunk, leg)
    return spec
