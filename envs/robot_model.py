"""What models of legged robots are made of: links with their hinges and servos, paint, a floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import mujoco

FLOOR_BIT = 1  # what touches the floor has it

Numbers = Sequence[float]
"""A point, a colour, …"""


@dataclass(frozen=True)
class Link:
    """A rigid part of a robot and the hinge by which it hangs on the next one; SI units.

    Attributes:
        name: Of body, joint and motor.
        at: Where it hangs, in the axes of the part that it hangs on, (3,).
        axis: Of the hinge, (3,).
        bounds: Of the hinge's angle.
        mass: Its mass.
        centre: Of mass, (3,).
        moments: Principal moments of inertia, (3,).
        principal: The axes of these as a quaternion, (4,).
        turn: How it is turned at angle 0, a quaternion, (4,).
    """

    name: str
    at: Numbers
    axis: Numbers
    bounds: Numbers
    mass: float
    centre: Numbers
    moments: Numbers
    principal: Numbers
    turn: Numbers = (1.0, 0.0, 0.0, 0.0)

    def mirrored(self, name: str) -> Link:
        """The part on the other side of the body: y is turned round."""
        (x, y, z), (cx, cy, cz) = self.at, self.centre
        (w, i, j, k), (pw, pi, pj, pk) = self.turn, self.principal
        low, high = self.bounds
        return replace(
            self,
            name=name,
            at=(x, -y, z),
            centre=(cx, -cy, cz),
            turn=(w, -i, j, -k),
            principal=(pw, -pi, pj, -pk),
            bounds=(low, high) if self.axis[1] else (-high, -low),
        )

    def reversed(self, name: str) -> Link:
        """The part at the other end of the body: x is turned round, but for the hinge's angles."""
        (x, y, z), (cx, cy, cz), (w, i, j, k) = self.at, self.centre, self.principal
        return replace(
            self, name=name, at=(-x, y, z), centre=(-cx, cy, cz), principal=(w, i, -j, -k)
        )


@dataclass(frozen=True)
class Servo:
    """What moves a hinge: torque = stiffness · (target − angle) − damping · velocity, limited.

    Attributes:
        stiffness: N·m/rad.
        damping: N·m·s/rad, within the limit.
        limit: N·m.
        armature: The rotor's inertia, seen through the gears, kg·m².
        drag: Damping of the hinge itself, N·m·s/rad.
        friction: Dry friction of the hinge, N·m.
    """

    stiffness: float
    damping: float
    limit: float
    armature: float
    drag: float = 0.0
    friction: float = 0.0


def set_inertia(
    body: mujoco.MjsBody, mass: float, centre: Numbers, moments: Numbers, principal: Numbers
) -> None:
    """Give a body its inertia as published, whatever its geoms are."""
    body.explicitinertial = True
    body.mass, body.ipos, body.inertia = mass, list(centre), list(moments)
    body.iquat = list(principal)


def add_link(
    spec: mujoco.MjSpec, parent: mujoco.MjsBody, link: Link, servo: Servo
) -> mujoco.MjsBody:
    """Hang a link on another, with its motor."""
    body = parent.add_body(name=link.name, pos=list(link.at), quat=list(link.turn))
    set_inertia(body, link.mass, link.centre, link.moments, link.principal)
    body.add_joint(
        name=link.name,
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=list(link.axis),
        range=list(link.bounds),
        limited=True,
        damping=servo.drag,
        armature=servo.armature,
        frictionloss=servo.friction,
    )
    motor = spec.add_actuator(name=link.name, trntype=mujoco.mjtTrn.mjTRN_JOINT, target=link.name)
    motor.set_to_position(kp=servo.stiffness, kv=servo.damping)
    motor.forcelimited = True
    motor.forcerange = [-servo.limit, servo.limit]
    return body


def paint(
    body: mujoco.MjsBody,
    kind: mujoco.mjtGeom,
    size: list[float],
    rgba: list[float],
    mass: float = 0.0,
    **where: object,
) -> mujoco.MjsGeom:
    """Add a geom that touches nothing; without mass it is for the eye only."""
    return body.add_geom(
        type=kind,
        size=[*size, 0.0, 0.0][:3],
        rgba=rgba,
        mass=mass,
        contype=0,
        conaffinity=0,
        **where,
    )


def add_eyes(trunk: mujoco.MjsBody, scale: float = 1.0) -> None:
    """Add the cameras ``track`` and ``behind`` and a light, all of which go with the robot.

    Args:
        trunk: The robot's.
        scale: Of the cameras' distances; 1 is for a robot of half a metre.
    """
    trunk.add_camera(
        name="track",
        mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM,
        pos=[scale * x for x in (0.55, -1.25, 0.42)],
        xyaxes=[0.92, 0.4, 0, -0.11, 0.25, 0.96],
        fovy=45,
    )
    trunk.add_camera(
        name="behind",
        mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM,
        pos=[scale * x for x in (-1.3, 0, 0.75)],
        xyaxes=[0, -1, 0, 0.48, 0, 0.88],
        fovy=45,
    )
    trunk.add_light(
        mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM,  # a shadow falls only near where a light aims
        pos=[-0.8, -1.0, 3],
        dir=[0.8, 1.0, -3],
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        diffuse=[0.6, 0.6, 0.6],
        castshadow=True,
    )


def add_surroundings(spec: mujoco.MjSpec, friction: Numbers, extent: float = 1.0) -> None:
    """Add an endless floor under a sky, light, and room for large pictures.

    Args:
        spec: The robot's.
        friction: Of the floor: sliding, torsional, rolling.
        extent: Of the robot, m: how far its shadow is drawn.
    """
    kind = mujoco.mjtTexture
    spec.add_texture(
        name="sky",
        type=kind.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.80, 0.87, 0.94],
        rgb2=[0.97, 0.98, 1.0],
        width=64,
        height=384,
    )
    spec.add_texture(
        name="tiles",
        type=kind.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=[0.80, 0.81, 0.82],
        rgb2=[0.66, 0.68, 0.70],
        width=128,
        height=128,
    )
    tiles = spec.add_material(name="tiles", texrepeat=[2, 2], texuniform=True)
    tiles.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "tiles"
    spec.worldbody.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[0, 0, 0.5],
        friction=list(friction),
        contype=0,
        conaffinity=FLOOR_BIT,
        material="tiles",
    )
    spec.visual.headlight.ambient = [0.42, 0.42, 0.42]
    spec.visual.headlight.diffuse = [0.25, 0.25, 0.25]
    spec.stat.extent = extent
    spec.visual.map.shadowclip = 1.5
    spec.visual.quality.shadowsize = 2048
    getattr(spec.visual, "global").offwidth = 1280
    getattr(spec.visual, "global").offheight = 960
