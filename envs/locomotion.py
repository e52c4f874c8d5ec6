"""Gymnasium's MuJoCo v5 locomotion tasks as native batches.

HalfCheetah, Hopper, Walker2d, Ant, Swimmer and Humanoid with the keyword arguments, observations,
rewards, terminations and infos of `gymnasium.make`, bit for bit, many robots at once. Infos also
carry what measures of behaviour need and the originals lack; see `LocomotionBatch`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import mujoco
import numpy as np

from envs.batch_env import Info
from envs.locomotion_batch import LocomotionBatch, body_names
from envs.terms import End, Term, end, term

_ALL: dict[str, Any] = {
    "forward_reward_weight": 1.0,
    "exclude_current_positions_from_observation": True,
}
_FALLS: dict[str, Any] = {**_ALL, "healthy_reward": 1.0, "terminate_when_unhealthy": True}


class HalfCheetahBatch(LocomotionBatch):
    """A planar runner that cannot fall over."""

    root = "xz"
    feet = ("bfoot", "ffoot")
    normal_velocities = True
    gauges: ClassVar[dict[str, tuple[float, float]]] = {
        "forward_speed": (-1.0, 12.0), "height": (0.2, 0.9), "uprightness": (-1.0, 1.0),
        "power": (0.0, 6000.0),
    }  # fmt: skip
    defaults: ClassVar[dict[str, Any]] = {
        **_ALL,
        "xml_file": "half_cheetah.xml",
        "frame_skip": 5,
        "ctrl_cost_weight": 0.1,
        "reset_noise_scale": 0.1,
    }


class SwimmerBatch(LocomotionBatch):
    """Three links in a plane of thick fluid."""

    root = "xy"
    gauges: ClassVar[dict[str, tuple[float, float]]] = {
        "forward_speed": (-1.0, 1.0), "lateral_speed": (-2.5, 2.5), "yaw_rate": (-2.5, 2.5),
        "power": (0.0, 1200.0),
    }  # fmt: skip
    distance = 5.0
    defaults: ClassVar[dict[str, Any]] = {
        **_ALL,
        "xml_file": "swimmer.xml",
        "frame_skip": 4,
        "ctrl_cost_weight": 1e-4,
        "reset_noise_scale": 0.1,
    }


class Walker2dBatch(LocomotionBatch):
    """A planar biped, healthy while its torso is high and upright enough."""

    root = "xz"
    feet: ClassVar[tuple[str, ...]] = ("foot_geom", "foot_left_geom")
    velocity_limit = 10.0
    gauges: ClassVar[dict[str, tuple[float, float]]] = {
        "forward_speed": (-2.5, 6.0), "height": (0.8, 1.4), "uprightness": (0.5, 1.0),
        "power": (0.0, 6000.0),
    }  # fmt: skip
    defaults: ClassVar[dict[str, Any]] = {
        **_FALLS,
        "xml_file": "walker2d_v5.xml",
        "frame_skip": 4,
        "ctrl_cost_weight": 1e-3,
        "healthy_z_range": (0.8, 2.0),
        "healthy_angle_range": (-1.0, 1.0),
        "reset_noise_scale": 5e-3,
    }

    def _limits(self) -> list[End]:
        o = self.options
        return [
            end("unhealthy", term("qpos", at=[1]), outside=o.healthy_z_range),
            end("unhealthy", term("qpos", at=[2]), outside=o.healthy_angle_range),
        ]

    def _start_info(self, rows: np.ndarray) -> Info:
        rise = self._qpos[rows, 1] - self.batch.model.qpos0[1]
        return {**super()._start_info(rows), "z_distance_from_origin": rise}


class HopperBatch(Walker2dBatch):
    """A planar biped's half: one leg, and limits to every other coordinate and velocity too."""

    feet = ("foot_geom",)
    gauges: ClassVar[dict[str, tuple[float, float]]] = {
        "forward_speed": (-1.5, 4.0), "height": (0.7, 1.7), "uprightness": (0.95, 1.0),
        "power": (0.0, 2500.0),
    }  # fmt: skip
    distance = 3.0
    defaults: ClassVar[dict[str, Any]] = {
        **Walker2dBatch.defaults,
        "xml_file": "hopper.xml",
        "healthy_state_range": (-100.0, 100.0),
        "healthy_z_range": (0.7, np.inf),
        "healthy_angle_range": (-0.2, 0.2),
    }

    def _limits(self) -> list[End]:
        sane = self.options.healthy_state_range
        rest = term("qpos", at=range(2, self.batch.model.nq))
        return [
            *super()._limits(),
            end("unhealthy", rest, outside=sane),
            end("unhealthy", term("qvel"), outside=sane),
        ]


class AntBatch(LocomotionBatch):
    """A four-legged robot with eight joints that pays for, and feels, clipped contact forces."""

    root = "free"
    feet = ("left_ankle_geom", "right_ankle_geom", "third_ankle_geom", "fourth_ankle_geom")
    normal_velocities = True
    gauges: ClassVar[dict[str, tuple[float, float]]] = {
        "forward_speed": (-2.0, 7.0), "lateral_speed": (-2.0, 2.0), "yaw_rate": (-4.0, 4.0),
        "height": (0.2, 1.0), "uprightness": (-1.0, 1.0), "power": (0.0, 6000.0),
    }  # fmt: skip
    distance = 6.0
    defaults: ClassVar[dict[str, Any]] = {
        **_FALLS,
        "xml_file": "ant.xml",
        "frame_skip": 5,
        "forward_reward_weight": 1,
        "ctrl_cost_weight": 0.5,
        "contact_cost_weight": 5e-4,
        "main_body": 1,
        "healthy_z_range": (0.2, 1.0),
        "contact_force_range": (-1.0, 1.0),
        "reset_noise_scale": 0.1,
        "include_cfrc_ext_in_observation": True,
    }

    def _place(self) -> dict[str, Any]:
        main = self.batch.model.body(self.options.main_body).id
        return {"field": "xpos", "at": [3 * main, 3 * main + 1]}

    def _limits(self) -> list[End]:
        finite = (-np.inf, np.inf)
        return [
            end("unhealthy", term("qpos", at=[2]), beyond=self.options.healthy_z_range),
            end("unhealthy", term("qpos"), outside=finite),
            end("unhealthy", term("qvel"), outside=finite),
        ]

    def _forces(self, rows: np.ndarray) -> np.ndarray:
        assert self._felt is not None
        return np.clip(self._felt.values[rows], *self.options.contact_force_range)

    def _contact_cost(self, rows: np.ndarray) -> np.ndarray | None:
        if not self.options.contact_cost_weight:
            return np.zeros(rows.size)
        squares = np.square(self._forces(rows)).reshape(rows.size, -1)
        return self.options.contact_cost_weight * squares.sum(-1)

    def _extra_terms(self) -> list[Term]:
        if not self.options.include_cfrc_ext_in_observation:
            return []
        bodies = range(6, 6 * self.batch.model.nbody)  # all but the world
        return [term("cfrc_ext", at=bodies, clip=self.options.contact_force_range)]

    def _extra_names(self, model: mujoco.MjModel) -> list[str]:
        if not self.options.include_cfrc_ext_in_observation:
            return []
        return body_names(model, "contact", "tx ty tz fx fy fz")


class HumanoidBatch(LocomotionBatch):
    """A biped with arms; it sees its inertias, body velocities, motor torques and contacts."""

    root = "free"
    feet = ("right_foot", "left_foot")
    gauges: ClassVar[dict[str, tuple[float, float]]] = {
        "forward_speed": (-1.0, 7.0), "lateral_speed": (-1.0, 1.0), "yaw_rate": (-5.0, 5.0),
        "height": (1.0, 1.6), "uprightness": (0.4, 1.0), "power": (0.0, 6000.0),
    }  # fmt: skip
    distance = 5.0
    defaults: ClassVar[dict[str, Any]] = {
        **_FALLS,
        "xml_file": "humanoid.xml",
        "frame_skip": 5,
        "forward_reward_weight": 1.25,
        "ctrl_cost_weight": 0.1,
        "contact_cost_weight": 5e-7,
        "contact_cost_range": (-np.inf, 10.0),
        "healthy_reward": 5.0,
        "healthy_z_range": (1.0, 2.0),
        "reset_noise_scale": 1e-2,
        "include_cinert_in_observation": True,
        "include_cvel_in_observation": True,
        "include_qfrc_actuator_in_observation": True,
        "include_cfrc_ext_in_observation": True,
    }

    def __init__(self, num_envs: int = 1, **kwargs: Any) -> None:
        super().__init__(num_envs, **kwargs)
        for field in ("ten_length", "ten_velocity"):
            self.batch.bind(field)

    def _place(self) -> dict[str, Any]:
        return {"field": "com"}

    def _limits(self) -> list[End]:
        return [end("unhealthy", term("qpos", at=[2]), outside=self.options.healthy_z_range)]

    def _control(self, rows: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return self.batch.ctrl[rows]

    def _contact_cost(self, rows: np.ndarray) -> np.ndarray | None:
        weight, cost = self.options.contact_cost_weight, np.zeros(rows.size)
        if weight:
            assert self._felt is not None
            cost = weight * np.square(self._felt.values[rows]).reshape(rows.size, -1).sum(-1)
        return np.clip(cost, *self.options.contact_cost_range)

    def _start_info(self, rows: np.ndarray) -> Info:
        return {
            **super()._start_info(rows),
            "tendon_length": self.batch.ten_length[rows],
            "tendon_velocity": self.batch.ten_velocity[rows],
        }

    def _extra_terms(self) -> list[Term]:
        o, said = self.options, []
        bodies = self.batch.model.nbody
        if o.include_cinert_in_observation:
            said.append(term("cinert", at=range(10, 10 * bodies)))
        if o.include_cvel_in_observation:
            said.append(term("cvel", at=range(6, 6 * bodies)))
        if o.include_qfrc_actuator_in_observation:
            said.append(term("qfrc_actuator", at=range(6, self.batch.model.nv)))
        if o.include_cfrc_ext_in_observation:
            said.append(term("cfrc_ext", at=range(6, 6 * bodies)))
        return said

    def _extra_names(self, model: mujoco.MjModel) -> list[str]:
        o, names = self.options, []
        if o.include_cinert_in_observation:
            names += body_names(model, "inertia", "xx yy zz xy xz yz mx my mz m")
        if o.include_cvel_in_observation:
            names += body_names(model, "velocity", "wx wy wz vx vy vz")
        if o.include_qfrc_actuator_in_observation:
            dofs = range(6, model.nv)
            names += [f"{model.joint(model.dof_jntid[i]).name} torque" for i in dofs]
        if o.include_cfrc_ext_in_observation:
            names += body_names(model, "contact", "tx ty tz fx fy fz")
        return names
