"""The Unitree G1 with its twelve leg joints as a MuJoCo model of primitives, from public figures.

Masses, inertias, lengths, ranges, torque limits and the four points on which each foot stands are
those of Unitree's own `g1_12dof.xml` (unitree_rl_gym), in which the upper body is one part with the
pelvis; gains are those of its deployment (`deploy_mujoco`): torques by proportional-derivative
control at every physics step of 2 ms. A servo that computes stiffness · (target − angle) −
damping · velocity within that step, as here, is the same torque: MuJoCo's Euler integrator takes an
actuator's force at the step's beginning, as that loop does. The right leg is the left one's mirror
image; in that file its knee's inertia differs by 0.8 %. There the free root, too, has the joints'
dry friction (0.1 N), here it has none. Only the feet touch the floor; paint is of our own.
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

TIMESTEP = 0.002  # s
FRAME_SKIP = 10  # 50 Hz control

SIDES = ("left", "right")
_PARTS = ("hip pitch", "hip roll", "hip yaw", "knee", "ankle pitch", "ankle roll")
JOINT_NAMES = tuple(f"{side} {part}" for side in SIDES for part in _PARTS)
FOOT_NAMES = tuple(f"{side} foot" for side in SIDES)
HOME = np.array([-0.1, 0.0, 0.0, 0.3, -0.2, 0.0] * 2)  # rad
HOME_HEIGHT = 0.785  # m, of the pelvis's origin; the soles are then just on the floor

# The left leg, hip to foot, and what moves it; the right one is its mirror image.
_LEG = (
    Link(
        "hip pitch", at=(0.0, 0.064452, -0.1027), axis=(0, 1, 0), bounds=(-2.5307, 2.8798),
        mass=1.35, centre=(0.002741, 0.047791, -0.02606),
        moments=(0.00181517, 0.00153422, 0.00116212),
        principal=(0.954862, 0.293964, 0.0302556, 0.030122),
    ),
    Link(
        "hip roll", at=(0.0, 0.052, -0.030465), axis=(1, 0, 0), bounds=(-0.5236, 2.9671),
        turn=(0.996179, 0.0, -0.0873386, 0.0),
        mass=1.52, centre=(0.029812, -0.001045, -0.087934),
        moments=(0.00254986, 0.00241169, 0.00148755),
        principal=(0.977808, -1.97119e-05, 0.205576, -0.0403793),
    ),
    Link(
        "hip yaw", at=(0.025001, 0.0, -0.12412), axis=(0, 0, 1), bounds=(-2.7576, 2.7576),
        mass=1.702, centre=(-0.057709, -0.010981, -0.15078),
        moments=(0.00776166, 0.00717575, 0.00160139),
        principal=(0.600598, 0.15832, 0.223482, 0.751181),
    ),
    Link(
        "knee", at=(-0.078273, 0.0021489, -0.17734), axis=(0, 1, 0), bounds=(-0.087267, 2.8798),
        turn=(0.996179, 0.0, 0.0873386, 0.0),
        mass=1.932, centre=(0.005457, 0.003964, -0.12074),
        moments=(0.0113804, 0.0112778, 0.00146458),
        principal=(0.923418, -0.0327699, 0.0158246, 0.382067),
    ),
    Link(
        "ankle pitch", at=(0.0, -9.4445e-05, -0.30001), axis=(0, 1, 0), bounds=(-0.87267, 0.5236),
        mass=0.074, centre=(-0.007269, 0.0, 0.011137),
        moments=(1.89e-05, 1.40805e-05, 6.9195e-06),
        principal=(0.603053, 0.369225, 0.369225, 0.603053),
    ),
    Link(
        "ankle roll", at=(0.0, 0.0, -0.017558), axis=(1, 0, 0), bounds=(-0.2618, 0.2618),
        mass=0.608, centre=(0.026505, 0.0, -0.016425),
        moments=(0.00167218, 0.0016161, 0.000217621),
        principal=(-0.000481092, 0.728482, -0.000618967, 0.685065),
    ),
)  # fmt: skip
_MOTOR = Servo(stiffness=100.0, damping=2.0, limit=88.0, armature=0.01, drag=0.001, friction=0.1)
_SERVOS = (
    _MOTOR,
    replace(_MOTOR, limit=139.0),
    _MOTOR,
    replace(_MOTOR, stiffness=150.0, damping=4.0, limit=139.0),
    replace(_MOTOR, stiffness=40.0, limit=50.0),
    replace(_MOTOR, stiffness=40.0, limit=50.0),
)
SOLE_RADIUS = 0.005  # m, of the points below
_SOLE = ((-0.05, 0.025), (-0.05, -0.025), (0.12, 0.03), (0.12, -0.03))  # m, in the last link
_SOLE_DEPTH = -0.03  # m
SOLE_HALF = (0.085, 0.03, 0.0)  # m, half of what they span
_FRICTION = (1.0, 0.005, 0.0001)

_LIGHT = [0.82, 0.83, 0.85, 1.0]
_GREY = [0.42, 0.43, 0.46, 1.0]
_DARK = [0.15, 0.16, 0.18, 1.0]
_BLACK = [0.05, 0.05, 0.06, 1.0]


def _add_trunk(spec: mujoco.MjSpec) -> mujoco.MjsBody:
    """Pelvis, waist, torso, head and arms, which are one part."""
    kind = mujoco.mjtGeom
    trunk = spec.worldbody.add_body(name="pelvis", pos=[0, 0, HOME_HEIGHT])
    trunk.add_freejoint(name="root")
    set_inertia(
        trunk,
        mass=17.7349,
        centre=(0.0144905, 0.000151462, 0.144068),
        moments=(0.552723, 0.454092, 0.211762),
        principal=(0.999881, -0.000505543, -0.0154276, 0.000328408),
    )
    paint(trunk, kind.mjGEOM_ELLIPSOID, [0.062, 0.085, 0.055], _DARK, pos=[0, 0, -0.07])
    hips = [0, -0.064, -0.1027, 0, 0.064, -0.1027]
    paint(trunk, kind.mjGEOM_CYLINDER, [0.045], _DARK, fromto=hips)
    paint(trunk, kind.mjGEOM_CAPSULE, [0.06], _DARK, fromto=[0, 0, -0.04, 0, 0, 0.06])
    for side in (-1, 1):
        flank = [0, 0.045 * side, 0.12, 0.005, 0.06 * side, 0.26]
        paint(trunk, kind.mjGEOM_CAPSULE, [0.07], _LIGHT, fromto=flank)
    paint(trunk, kind.mjGEOM_BOX, [0.07, 0.055, 0.12], _LIGHT, pos=[0.002, 0, 0.19])
    paint(trunk, kind.mjGEOM_BOX, [0.004, 0.04, 0.018], _DARK, pos=[0.076, 0, 0.25])
    paint(trunk, kind.mjGEOM_CAPSULE, [0.032], _DARK, fromto=[0, 0, 0.33, 0, 0, 0.38])
    paint(trunk, kind.mjGEOM_ELLIPSOID, [0.072, 0.066, 0.09], _LIGHT, pos=[0.004, 0, 0.44])
    paint(trunk, kind.mjGEOM_ELLIPSOID, [0.05, 0.058, 0.075], _BLACK, pos=[0.032, 0, 0.44])
    for side in (1, -1):
        _add_arm(trunk, side)
    add_eyes(trunk, scale=2.0)
    return trunk


def _add_arm(trunk: mujoco.MjsBody, side: int) -> None:
    kind = mujoco.mjtGeom
    for rgba, radius, start, stop in (
        (_GREY, 0.045, (0, 0.10, 0.29), (0, 0.135, 0.292)),
        (_LIGHT, 0.04, (0, 0.146, 0.285), (-0.002, 0.147, 0.20)),
        (_LIGHT, 0.034, (-0.002, 0.147, 0.20), (0.012, 0.147, 0.108)),
        (_LIGHT, 0.03, (0.016, 0.147, 0.105), (0.13, 0.149, 0.095)),
        (_DARK, 0.024, (0.15, 0.149, 0.094), (0.215, 0.149, 0.09)),
    ):
        line = [start[0], start[1] * side, start[2], stop[0], stop[1] * side, stop[2]]
        paint(trunk, kind.mjGEOM_CAPSULE, [radius], rgba, fromto=line)


def _add_leg(spec: mujoco.MjSpec, trunk: mujoco.MjsBody, side: str) -> None:
    kind, body, sign = mujoco.mjtGeom, trunk, 1 if side == "left" else -1
    parts = {}
    for link, servo in zip(_LEG, _SERVOS, strict=True):
        name = f"{side} {link.name}"
        hung = replace(link, name=name) if sign > 0 else link.mirrored(name)
        parts[link.name] = body = add_link(spec, body, hung, servo)
    for part, rgba, radius, start, stop in (
        ("hip pitch", _DARK, 0.048, (0, 0.0, 0), (0, 0.06, -0.02)),
        ("hip roll", _GREY, 0.05, (0.0, 0, -0.01), (0.025, 0, -0.10)),
        ("hip yaw", _LIGHT, 0.056, (0.0, 0, -0.01), (-0.05, 0.0015, -0.115)),
        ("hip yaw", _LIGHT, 0.048, (-0.05, 0.0015, -0.115), (-0.078, 0.002, -0.177)),
        ("knee", _DARK, 0.05, (0, -0.025, 0), (0, 0.025, 0)),
        ("knee", _LIGHT, 0.044, (0.008, 0, -0.03), (0.005, 0, -0.13)),
        ("knee", _LIGHT, 0.034, (0.005, 0, -0.13), (0, 0, -0.27)),
        ("ankle pitch", _GREY, 0.026, (0, -0.015, 0), (0, 0.015, 0)),
        ("ankle roll", _DARK, 0.022, (-0.03, 0, -0.008), (0.07, 0, -0.012)),
    ):
        line = [start[0], start[1] * sign, start[2], stop[0], stop[1] * sign, stop[2]]
        paint(parts[part], kind.mjGEOM_CAPSULE, [radius], rgba, fromto=line)
    shoe, height = [SOLE_HALF[0] + 0.012, SOLE_HALF[1] + 0.004, SOLE_RADIUS], _SOLE_DEPTH
    paint(body, kind.mjGEOM_BOX, shoe, _DARK, pos=[0.035, 0, height], name=f"{side} foot")
    for x, y in _SOLE:
        body.add_geom(
            type=kind.mjGEOM_SPHERE,
            size=[SOLE_RADIUS, 0, 0],
            pos=[x, y, _SOLE_DEPTH],
            friction=list(_FRICTION),
            contype=FLOOR_BIT,
            conaffinity=0,
            rgba=_DARK,
        )


def g1_spec() -> mujoco.MjSpec:
    """The robot on an endless floor."""
    spec = mujoco.MjSpec()
    spec.modelname = "g1"
    spec.compiler.degree = False
    spec.option.timestep = TIMESTEP
    spec.option.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
    add_surroundings(spec, _FRICTION, extent=2.0)
    trunk = _add_trunk(spec)
    for side in SIDES:
        _add_leg(spec, trunk, side)
    return spec
