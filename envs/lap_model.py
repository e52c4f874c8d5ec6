"""The lap robot as a MuJoCo model, built with `mujoco.MjSpec`; for pictures, its track too.

The physics has the robot and a floor only. An episode ends before the robot touches a wall, and
its lidar is geometry (`envs.lidar`), so that walls in the model would cost time and change nothing.
"""

from __future__ import annotations

from functools import lru_cache

import mujoco
import numpy as np

from envs.tracks import Track

TIMESTEP = 0.01  # s
FRAME_SKIP = 5  # 20 Hz control
CHASSIS_RADIUS = 0.16  # m
WHEEL_RADIUS = 0.05  # m
WHEEL_TRACK = 0.25  # m, between the wheels
MAX_WHEEL_SPEED = 32.0  # rad/s, i.e. 1.6 m/s
MAX_TORQUE = 0.4  # N·m at a wheel
START_HEIGHT = 0.05  # m, the axle's height when the wheels touch the floor
_WALL_HEIGHT = 0.1  # m, half the wall


def _add_robot(spec: mujoco.MjSpec) -> None:
    chassis = spec.worldbody.add_body(name="chassis", pos=[0, 0, START_HEIGHT])
    chassis.add_freejoint(name="root")
    geom = mujoco.mjtGeom
    chassis.add_geom(
        name="chassis",
        type=geom.mjGEOM_CYLINDER,
        size=[CHASSIS_RADIUS, 0.03, 0],
        pos=[0, 0, 0.045],
        mass=2.0,
        contype=0,
        conaffinity=0,
        rgba=[0.13, 0.35, 0.62, 1],
    )
    chassis.add_geom(
        name="nose",
        type=geom.mjGEOM_BOX,
        size=[0.05, 0.03, 0.012],
        pos=[0.09, 0, 0.085],
        mass=0.01,
        contype=0,
        conaffinity=0,
        rgba=[0.95, 0.75, 0.2, 1],
    )
    # Two ball casters carry the rest of the weight; the wheels' axle runs through the centre.
    for name, x in (("caster_front", 0.12), ("caster_back", -0.12)):
        chassis.add_geom(
            name=name,
            type=geom.mjGEOM_SPHERE,
            size=[0.02, 0, 0],
            pos=[x, 0, 0.021 - START_HEIGHT],
            mass=0.02,
            condim=1,
            priority=1,
            rgba=[0.3, 0.3, 0.3, 1],
        )
    for name, side in (("left", 1), ("right", -1)):
        _add_wheel(spec, name, side)


def _add_wheel(spec: mujoco.MjSpec, name: str, side: int) -> None:
    """A wheel with its servo; ``side`` is 1 on the left, −1 on the right."""
    geom = mujoco.mjtGeom
    wheel = spec.body("chassis").add_body(name=name, pos=[0, side * WHEEL_TRACK / 2, 0])
    wheel.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=[0, 1, 0],
        damping=0.002,
        armature=2e-4,
    )
    wheel.add_geom(  # one point of contact with the floor, where a cylinder has two
        name=name,
        type=geom.mjGEOM_ELLIPSOID,
        size=[WHEEL_RADIUS, WHEEL_RADIUS, 0.015],
        mass=0.15,
        quat=[np.sqrt(0.5), np.sqrt(0.5), 0, 0],
        friction=[1.0, 0.005, 0.0001],
        rgba=[0.15, 0.15, 0.15, 1],
    )
    servo = spec.add_actuator(name=name, trntype=mujoco.mjtTrn.mjTRN_JOINT, target=name)
    servo.set_to_velocity(kv=0.1)
    servo.ctrllimited = servo.forcelimited = True
    servo.ctrlrange = [-MAX_WHEEL_SPEED, MAX_WHEEL_SPEED]
    servo.forcerange = [-MAX_TORQUE, MAX_TORQUE]


def _add_floor(spec: mujoco.MjSpec) -> None:
    spec.worldbody.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[6, 6, 0.1],
        friction=[1.0, 0.005, 0.0001],
        rgba=[0.93, 0.93, 0.9, 1],
    )


def _add_walls(spec: mujoco.MjSpec, track: Track) -> None:
    for side, corner in zip((1, -1), track.walls, strict=True):
        ahead = np.roll(corner, -1, axis=0) - corner
        length = np.linalg.norm(ahead, axis=1)
        outward = side * np.column_stack([-ahead[:, 1], ahead[:, 0]]) / length[:, None]
        for centre, half, way in zip(
            corner + ahead / 2 + 0.02 * outward,
            length / 2,
            np.arctan2(ahead[:, 1], ahead[:, 0]),
            strict=True,
        ):
            spec.worldbody.add_geom(
                type=mujoco.mjtGeom.mjGEOM_BOX,
                size=[half + 5e-4, 0.02, _WALL_HEIGHT],  # no ray slips between two
                pos=[*centre, _WALL_HEIGHT],
                quat=[np.cos(way / 2), 0, 0, np.sin(way / 2)],
                contype=0,
                conaffinity=0,
                rgba=[0.62, 0.64, 0.68, 1],
            )


def _add_looks(spec: mujoco.MjSpec) -> None:
    spec.worldbody.add_light(
        pos=[0, 0, 8], dir=[0.1, 0.1, -1], diffuse=[0.6, 0.6, 0.6], castshadow=False
    )
    spec.worldbody.add_camera(name="overview", pos=[0, 0, 9.2], fovy=45)
    spec.body("chassis").add_camera(
        name="chase", pos=[-1.1, 0, 0.75], xyaxes=[0, -1, 0, 0.5, 0, 0.87], fovy=70
    )
    spec.visual.headlight.ambient = [0.45, 0.45, 0.45]
    getattr(spec.visual, "global").offwidth = 1280
    getattr(spec.visual, "global").offheight = 960


def lap_spec(track: Track | None = None) -> mujoco.MjSpec:
    """The robot on its floor; with a track, its walls are there to be seen."""
    spec = mujoco.MjSpec()
    spec.modelname = "lap"
    option, disable = spec.option, mujoco.mjtDisableBit
    option.timestep = TIMESTEP
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
    # For so few contacts, looking for islands or a better start takes longer than it saves.
    option.disableflags = disable.mjDSBL_WARMSTART | disable.mjDSBL_ISLAND
    spec.compiler.degree = False
    _add_floor(spec)
    if track is not None:
        _add_walls(spec, track)
    _add_robot(spec)
    _add_looks(spec)
    return spec


@lru_cache(maxsize=16)
def lap_model(track: Track | None = None) -> mujoco.MjModel:
    """Compile `lap_spec`."""
    return lap_spec(track).compile()
