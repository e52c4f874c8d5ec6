"""The lap robot and its walled track as a MuJoCo model, built with `mujoco.MjSpec`."""

from __future__ import annotations

from functools import lru_cache

import mujoco
import numpy as np

from envs.tracks import HALF_WIDTH, SAMPLES, make_track

TIMESTEP = 0.01  # s
FRAME_SKIP = 5  # 20 Hz control
CHASSIS_RADIUS = 0.16  # m
WHEEL_RADIUS = 0.05  # m
WHEEL_TRACK = 0.25  # m, between the wheels
MAX_WHEEL_SPEED = 32.0  # rad/s, i.e. 1.6 m/s
MAX_TORQUE = 0.4  # N·m at a wheel
LIDAR_ANGLES = np.deg2rad(np.linspace(-105.0, 105.0, 15))
LIDAR_RANGE = 4.0  # m
START_HEIGHT = 0.05  # m, the axle's height when the wheels touch the floor
WALLS_PER_SIDE = 64  # boxes; at 16 m one is 25 cm long, off the true curve by at most 1 cm
_WALL_HEIGHT = 0.1  # m, half the wall

_FLOOR_BIT, _WALL_BIT = 1, 2  # wheels and caster touch the floor, the chassis touches the walls


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
        contype=_WALL_BIT,
        conaffinity=_WALL_BIT,
        friction=[0.3, 0.005, 0.0001],
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
            contype=_FLOOR_BIT,
            conaffinity=_FLOOR_BIT,
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
    wheel.add_geom(
        name=name,
        type=geom.mjGEOM_CYLINDER,
        size=[WHEEL_RADIUS, 0.015, 0],
        mass=0.15,
        quat=[np.sqrt(0.5), np.sqrt(0.5), 0, 0],
        friction=[1.0, 0.005, 0.0001],
        contype=_FLOOR_BIT,
        conaffinity=_FLOOR_BIT,
        rgba=[0.15, 0.15, 0.15, 1],
    )
    servo = spec.add_actuator(name=name, trntype=mujoco.mjtTrn.mjTRN_JOINT, target=name)
    servo.set_to_velocity(kv=0.1)
    servo.ctrllimited = servo.forcelimited = True
    servo.ctrlrange = [-MAX_WHEEL_SPEED, MAX_WHEEL_SPEED]
    servo.forcerange = [-MAX_TORQUE, MAX_TORQUE]


def _add_sensors(spec: mujoco.MjSpec) -> None:
    """Lidar, then left and right wheel speed, then the gyro: the order of ``sensordata``."""
    chassis = spec.body("chassis")
    kind = mujoco.mjtSensor
    for k, angle in enumerate(LIDAR_ANGLES):
        chassis.add_site(
            name=f"lidar_{k}", pos=[0, 0, 0.08], zaxis=[np.cos(angle), np.sin(angle), 0], group=5
        )
        ray = spec.add_sensor(
            name=f"lidar_{k}",
            type=kind.mjSENS_RANGEFINDER,
            objname=f"lidar_{k}",
            objtype=mujoco.mjtObj.mjOBJ_SITE,
            cutoff=LIDAR_RANGE,
        )
        data = np.zeros_like(ray.intprm)
        data[0] = 1 << mujoco.mjtRayDataField.mjRAYDATA_DIST.value
        ray.intprm = data
        # Rays cost more than the rest of the physics together, so they are cast once a control
        # step: at its last substep, half a substep early so that rounding of the time cannot
        # move them. Without this the world runs at half the speed.
        ray.interval = [FRAME_SKIP * TIMESTEP, -1.5 * TIMESTEP]
        ray.nsample = 1
    for name in ("left", "right"):
        spec.add_sensor(
            name=f"{name}_speed",
            type=kind.mjSENS_JOINTVEL,
            objname=name,
            objtype=mujoco.mjtObj.mjOBJ_JOINT,
        )
    chassis.add_site(name="imu", pos=[0, 0, 0], group=5)
    spec.add_sensor(
        name="gyro", type=kind.mjSENS_GYRO, objname="imu", objtype=mujoco.mjtObj.mjOBJ_SITE
    )


def _add_track(spec: mujoco.MjSpec, name: str, seed: int | None) -> None:
    track = make_track(name, "ccw", seed)
    world = spec.worldbody
    world.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[6, 6, 0.1],
        friction=[1.0, 0.005, 0.0001],
        contype=_FLOOR_BIT,
        conaffinity=_FLOOR_BIT,
        rgba=[0.93, 0.93, 0.9, 1],
    )
    normal = np.column_stack([-np.sin(track.heading), np.cos(track.heading)])
    every = SAMPLES // WALLS_PER_SIDE
    for side in (1, -1):
        corner = (track.points + side * HALF_WIDTH * normal)[::every]
        ahead = np.roll(corner, -1, axis=0) - corner
        length = np.linalg.norm(ahead, axis=1)
        outward = side * np.column_stack([-ahead[:, 1], ahead[:, 0]]) / length[:, None]
        for centre, half, way in zip(
            corner + ahead / 2 + 0.02 * outward,
            length / 2,
            np.arctan2(ahead[:, 1], ahead[:, 0]),
            strict=True,
        ):
            world.add_geom(
                type=mujoco.mjtGeom.mjGEOM_BOX,
                size=[half + 0.005, 0.02, _WALL_HEIGHT],
                pos=[*centre, _WALL_HEIGHT],
                quat=[np.cos(way / 2), 0, 0, np.sin(way / 2)],
                contype=_WALL_BIT,
                conaffinity=_WALL_BIT,
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


@lru_cache(maxsize=1024)
def lap_model(track: str, seed: int | None = None) -> mujoco.MjModel:
    """Compile the robot on a track; every track gives the same layout, so a batch can mix them."""
    spec = mujoco.MjSpec()
    spec.modelname = f"lap_{track}"
    spec.option.timestep = TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
    spec.compiler.degree = False
    _add_track(spec, track, seed)
    _add_robot(spec)
    _add_sensors(spec)
    _add_looks(spec)
    return spec.compile()
