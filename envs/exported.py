"""A robot made of data: its XML, and what was written beside its policy when that was exported.

mjlab (github.com/mujocolab/mjlab) writes into the ONNX file of a velocity policy which joints it
drives, from which pose, with which gains and scales, and what it observes, by name. That is a
world:

    gymnasium.make_vec("envs:rl_ablation/Robot-v0", xml="robot.xml", metadata={"joint_names": …})

Terms mean what they mean in mjlab's velocity task, without its noise; the ground is flat.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from envs.commanded import COMMAND_NAMES, Commanded, CommandedBatch, CommandedSingle, battery
from envs.contacts import BOX, CAPSULE, PLANE, SPHERE
from envs.robot_model import add_eyes, add_surroundings
from envs.terms import Control, Term, term

ACTION_LIMIT = 100.0
MOST_JOINTS = 100
MOST_HISTORY = 100
FALLEN_HEIGHT = 0.45  # of the height at the start
FALLEN_TILT = np.deg2rad(70.0)
PUSH = 0.7  # m/s by which a push changes a robot's speed
_VELOCITY = "velocity of the root"  # a sensor of ours
_AXES = ("x", "y", "z")
_NUMBERS = ("default_joint_pos", "joint_stiffness", "joint_damping", "action_scale")

OBSERVED = {
    "base_lin_vel": [f"velocity {axis}" for axis in _AXES],
    "base_ang_vel": [f"gyro {axis}" for axis in _AXES],
    "projected_gravity": [f"gravity {axis}" for axis in _AXES],
    "joint_pos": "{}",
    "joint_vel": "{} velocity",
    "actions": "{} last action",
    "command": list(COMMAND_NAMES),
}
"""mjlab's terms that are known, and the names of their numbers, one for each joint or these."""


@dataclass(frozen=True)
class Export:
    """What was exported with a policy, read and checked.

    Attributes:
        joints: Names, in the order of actions.
        default: Angles at action 0, rad, (A,).
        stiffness: N·m/rad, (A,).
        damping: N·m·s/rad, (A,).
        scale: Of actions, rad, (A,).
        observed: Names of terms, keys of `OBSERVED`.
        scales: Of each term.
        history: So many last values of each term.
    """

    joints: list[str]
    default: np.ndarray
    stiffness: np.ndarray
    damping: np.ndarray
    scale: np.ndarray
    observed: list[str]
    scales: list[float]
    history: list[int]


def read_export(metadata: Mapping[str, Any]) -> Export:
    """Read metadata as mjlab writes it: lists, or texts of values with commas between them.

    Beside mjlab's keys there may be ``observation_scales`` and ``observation_history``, a number
    for each term or one for all.

    Raises:
        ValueError: Something is missing, unknown, of another number, or no number.
    """
    needed = ("joint_names", "observation_names", *_NUMBERS)
    if missing := [name for name in needed if name not in metadata]:
        raise ValueError(f"the robot's metadata lacks {', '.join(missing)}")
    joints, observed = _listed(metadata, "joint_names"), _listed(metadata, "observation_names")
    if not 1 <= len(joints) <= MOST_JOINTS or len(set(joints)) < len(joints):
        raise ValueError(f"joint_names has to have 1 to {MOST_JOINTS} names, each once")
    if unknown := [repr(name)[:60] for name in observed if name not in OBSERVED]:
        raise ValueError(
            f"unknown observation terms {', '.join(unknown[:8])}; known are {', '.join(OBSERVED)}"
        )
    default, stiffness, damping, scale = (
        _numbers(metadata, name, len(joints)) for name in _NUMBERS
    )
    scales = _numbers({"observation_scales": 1.0, **metadata}, "observation_scales", len(observed))
    history = _numbers({"observation_history": 1, **metadata}, "observation_history", len(observed))
    if ((history < 1) | (history > MOST_HISTORY) | (history % 1 != 0)).any():
        raise ValueError(f"observation_history has to be whole, 1 to {MOST_HISTORY}")
    lengths = [int(n) for n in history]
    return Export(joints, default, stiffness, damping, scale, observed, scales.tolist(), lengths)


def _listed(metadata: Mapping[str, Any], name: str) -> list[str]:
    value = metadata[name]
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, Sequence) or not all(isinstance(item, str) for item in items):
        raise ValueError(f"{name} has to be a list of names, got {str(value)[:60]!r}")
    return [item.strip() for item in items]


def _numbers(metadata: Mapping[str, Any], name: str, size: int) -> np.ndarray:
    """``size`` numbers; one stands for all."""
    value = metadata[name]
    try:
        found = np.atleast_1d(
            np.array(value.split(",") if isinstance(value, str) else value, dtype=float)
        )
    except (TypeError, ValueError):
        found = np.full(1, np.nan)
    if found.shape not in ((1,), (size,)) or not np.isfinite(found).all():
        raise ValueError(f"{name} has to be {size} finite numbers, or one, got {str(value)[:60]!r}")
    return np.broadcast_to(found, size).copy()


def exported_spec(xml: str, export: Export, timestep: float) -> mujoco.MjSpec:
    """The robot of an XML file with the servos of an export, on a floor if it has none.

    A motor's limit is that of the joint or of its motor in the file.

    Raises:
        ValueError: The file is no robot with one free root and these joints.
    """
    try:
        spec = mujoco.MjSpec.from_file(_file(xml))
        model = spec.compile()
    except (ValueError, OSError) as error:
        raise ValueError(f"{xml}: {' '.join(str(error).split())[:200]}") from None
    kinds = mujoco.mjtJoint
    hinges = [model.joint(i).name for i in range(1, model.njnt)]
    free = model.njnt > 0 and model.jnt_type[0] == kinds.mjJNT_FREE.value
    if not free or not (model.jnt_type[1:] == kinds.mjJNT_HINGE.value).all():
        raise ValueError(f"{xml} has to have one free joint, the first, and hinges")
    if differing := sorted(set(hinges) ^ set(export.joints)):
        raise ValueError(
            f"the hinges of {xml} are not the joint_names of the metadata; only one has "
            f"{', '.join(differing[:6])}"
        )
    limits = {
        model.joint(model.actuator_trnid[i, 0]).name: list(model.actuator_forcerange[i])
        for i in range(model.nu)
        if model.actuator_forcelimited[i]
    }
    for motor in list(spec.actuators):
        spec.delete(motor)
    for name, kp, kv in zip(export.joints, export.stiffness, export.damping, strict=True):
        servo = spec.add_actuator(name=name, trntype=mujoco.mjtTrn.mjTRN_JOINT, target=name)
        servo.set_to_position(kp=float(kp), kv=float(kv))
        if name in limits:
            servo.forcelimited, servo.forcerange = True, limits[name]
    _surround(spec, model, timestep)
    return spec


def _file(xml: str) -> str:
    """The path of an XML file; MuJoCo Menagerie's package knows those of many robots by name."""
    if Path(xml).exists():
        return str(xml)
    try:
        menagerie = importlib.import_module("mujoco_menagerie")
    except ImportError:
        raise ValueError(
            "no such file; robots go by name where the package mujoco-menagerie is installed"
        ) from None
    try:
        robot = menagerie.get(xml)
        return str(robot.xml(robot.default_model))  # downloads it, the first time
    except menagerie.MenagerieError as error:
        raise ValueError(f"no such file, and in MuJoCo Menagerie: {error}") from None


def _surround(spec: mujoco.MjSpec, model: mujoco.MjModel, timestep: float) -> None:
    """Add what a world needs: floor, cameras, the root's velocity."""
    root = spec.body(_root(model))
    spec.option.timestep = timestep
    spec.option.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
    if not ((model.geom_type == PLANE) & (model.geom_bodyid == 0)).any():
        add_surroundings(spec, (1.0, 0.005, 0.0001), extent=2.0)
        spec.geom("floor").contype = 1  # robots are masked in either way
    if spec.camera("track") is None and spec.camera("behind") is None:
        add_eyes(root, scale=2.0)
    root.add_site(name=_VELOCITY, group=5)
    spec.add_sensor(
        name=_VELOCITY,
        type=mujoco.mjtSensor.mjSENS_VELOCIMETER,
        objtype=mujoco.mjtObj.mjOBJ_SITE,
        objname=_VELOCITY,
    )


def _root(model: mujoco.MjModel) -> str:
    return str(model.body(model.jnt_bodyid[0]).name)


def _terms(model: mujoco.MjModel, export: Export) -> list[Term]:
    """The terms of an export, in its order; joints are in the order of actions."""
    joints = [model.joint(name) for name in export.joints]
    velocity = model.sensor(_VELOCITY).adr[0]
    made = {
        "base_lin_vel": term("sensordata", at=range(velocity, velocity + 3)),
        "base_ang_vel": term("qvel", at=range(3, 6)),
        "projected_gravity": term("gravity"),
        "joint_pos": term("qpos", at=[j.qposadr[0] for j in joints], minus=export.default),
        "joint_vel": term("qvel", at=[j.dofadr[0] for j in joints]),
        "actions": term("action"),
        "command": term("command"),
    }
    terms = []
    for name, scale, history in zip(export.observed, export.scales, export.history, strict=True):
        changes = {"scale": scale} if scale != 1 else {}
        changes |= {"history": history} if history != 1 else {}
        terms.append(made[name] | changes)
    return terms


def _names(export: Export) -> list[str]:
    """One for each number of the observation."""
    names: list[str] = []
    for name, history in zip(export.observed, export.history, strict=True):
        about = OBSERVED[name]
        plain = [about.format(j) for j in export.joints] if isinstance(about, str) else about
        names += [
            text if back == 0 else f"{text} {back} steps ago"
            for back in range(history - 1, -1, -1)
            for text in plain
        ]
    return names


def _lowest(data: mujoco.MjData, geoms: np.ndarray) -> np.ndarray:
    """Heights of the lowest points of geoms, m, (n,)."""
    model = data.model
    kinds, sizes = model.geom_type[geoms], model.geom_size[geoms]
    half = model.geom_aabb[geoms, 3:].copy()
    half[kinds == SPHERE] = 0.0
    half[kinds == CAPSULE] = sizes[kinds == CAPSULE][:, [1]] * [0, 0, 1]
    radius = np.where((kinds == SPHERE) | (kinds == CAPSULE), sizes[:, 0], 0.0)
    turn = data.geom_xmat[geoms].reshape(-1, 3, 3)
    centre = data.geom_xpos[geoms, 2] + (turn[:, 2] * model.geom_aabb[geoms, :3]).sum(-1)
    return np.asarray(centre - (np.abs(turn[:, 2]) * half).sum(-1) - radius)


def _feet(data: mujoco.MjData, solid: np.ndarray) -> list[str]:
    """Two or four solid geoms with "foot" in their names, round the body from front right on."""
    model = data.model
    places = {
        model.geom(i).name: data.geom_xpos[i] - data.qpos[:3]
        for i in solid
        if "foot" in model.geom(i).name.lower() and model.geom_type[i] in (SPHERE, CAPSULE, BOX)
    }
    if len(places) not in (2, 4):
        return []
    angle = {
        name: (np.arctan2(y, x) + np.pi / 2) % (2 * np.pi) for name, (x, y, _) in places.items()
    }
    return sorted(places, key=lambda name: angle[name])


def exported(
    xml: str,
    metadata: Mapping[str, Any],
    feet: Sequence[str] | None = None,
    timestep: float = 0.005,
    decimation: int = 4,
) -> Commanded:
    """Make a robot of an XML file and a policy's metadata.

    Args:
        xml: Path of the robot's MJCF file: one free joint, then hinges. Or its name in MuJoCo
            Menagerie, where the package of that is installed.
        metadata: See `read_export`.
        feet: Geoms, two, or four round the body; by default those with "foot" in their names.
        timestep: Of the physics, s; mjlab's velocity task has 5 ms.
        decimation: Physics steps in a control step, likewise.

    Raises:
        ValueError: In one line, what does not fit.
    """
    if not 1e-4 <= timestep <= 0.05 or not 1 <= decimation <= 1000:
        raise ValueError("timestep has to be 0.0001 to 0.05 s, decimation 1 to 1000")
    export = read_export(metadata)
    spec = exported_spec(xml, export, timestep)
    model = spec.compile()
    data = mujoco.MjData(model)
    home = np.zeros(model.nq - 7)
    for name, angle in zip(export.joints, export.default, strict=True):
        home[model.joint(name).qposadr[0] - 7] = angle
    data.qpos[:7], data.qpos[7:] = (0, 0, 0, 1, 0, 0, 0), home
    mujoco.mj_kinematics(model, data)
    touches = (model.geom_contype > 0) | (model.geom_conaffinity > 0)
    solid = np.flatnonzero(touches & (model.geom_bodyid > 0))
    if not solid.size:
        raise ValueError(f"nothing of {xml} can touch the floor")
    height, mass = -float(_lowest(data, solid).min()), float(model.body_mass.sum())
    known = {model.geom(i).name for i in range(model.ngeom)}
    if absent := [str(name)[:40] for name in feet or () if name not in known]:
        raise ValueError(f"{xml} has no geoms {', '.join(absent[:6])} for feet")
    return Commanded(
        spec=lambda: exported_spec(xml, export, timestep),
        frame_skip=decimation,
        joints=export.joints,
        feet=_feet(data, solid) if feet is None else feet,
        home=home,
        start_height=height,
        start_noise=(0.05, 0.05),
        observation=_terms(model, export),
        observation_names=_names(export),
        control=Control((-ACTION_LIMIT, ACTION_LIMIT), export.scale, export.default),
        conditions=battery(
            forward=0.8, backward=0.6, sideways=0.4, turn=0.8, push=(0.4, round(PUSH * mass, 1))
        ),
        fastest=np.array([1.0, 0.5, 1.0]),  # those that mjlab's velocity task draws at first
        fastest_backward=1.0,
        impulses=(0.3 * mass, 0.9 * mass),
        fallen_height=FALLEN_HEIGHT * height,
        fallen_tilt=FALLEN_TILT,
        bars={
            "forward_speed": (-1.2, 1.4),
            "lateral_speed": (-0.8, 0.8),
            "yaw_rate": (-1.4, 1.4),
            "uprightness": (0.3, 1.0),
            "height": (0.4 * height, 1.2 * height),
            "power": (0.0, 20.0 * mass),
        },
        trunk=_root(model),
        distance=3.0,
    )


class ExportedBatch(CommandedBatch):
    """N robots of data; see `exported`, and `CommandedBatch` for commands, reward and infos.

    Observation: the terms that the metadata names. Action, of at most ±100: where the servos pull
    each joint, from its default, in units of the metadata's scales. An episode terminates when the
    robot falls: tilted by more than 70°, or lower than 0.45 of its height at the start.

    Args:
        num_envs: Robots.
        xml: See `exported`.
        metadata: Likewise.
        feet: Likewise.
        timestep: Likewise.
        decimation: Likewise.
        **kwargs: Of `BatchEnv`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        xml: str,
        metadata: Mapping[str, Any],
        feet: Sequence[str] | None = None,
        timestep: float = 0.005,
        decimation: int = 4,
        **kwargs: Any,
    ) -> None:
        robot = exported(xml, metadata, feet, timestep, decimation)
        super().__init__(robot, num_envs, **kwargs)


class Exported(CommandedSingle):
    """One robot of data; see `ExportedBatch`."""

    batch_class = ExportedBatch
