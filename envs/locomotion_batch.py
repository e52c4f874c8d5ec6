"""What the batches of Gymnasium's MuJoCo locomotion tasks share."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, ClassVar

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium.envs.mujoco.mujoco_env import expand_model_path

from envs.batch_env import BatchEnv, Info
from envs.contacts import ContactForces, Feet

# Keyword arguments of the originals that only concern pictures, which a batch does not draw.
RENDERING = {
    "default_camera_config", "width", "height", "camera_id", "camera_name", "max_geom",
    "visual_options",
}  # fmt: skip
FREE = mujoco.mjtJoint.mjJNT_FREE.value


@lru_cache(maxsize=32)
def _compile(path: str, modified: int) -> mujoco.MjModel:
    with warnings.catch_warnings():
        # Gymnasium's cheetah uses it; nothing that a user of the task could mend.
        warnings.filterwarnings("ignore", "compiler attribute 'settotalmass'")
        return mujoco.MjSpec.from_file(path).compile()


def load_model(xml_file: str) -> mujoco.MjModel:
    """Compile ``xml_file``, found as Gymnasium finds it; an unchanged file compiles once."""
    path = os.path.abspath(expand_model_path(xml_file))
    return _compile(path, os.stat(path).st_mtime_ns)


class LocomotionBatch(BatchEnv):
    """N robots of one of the tasks; a task states its ``defaults`` and what it does otherwise.

    Observation, float64: positions (without those along the ground, unless asked for),
    velocities, and what the task adds. Action: motor controls; floats are taken as they come, so
    the control cost of float32 actions is rounded as the original rounds it.

    Infos beside the original's, where the robot has them: ``height`` of the torso (m),
    ``uprightness`` (cosine of the torso's tilt), ``yaw_rate`` (rad/s, about the world's vertical),
    ``forward_speed`` and ``lateral_speed`` (m/s over the control step, along and to the left of the
    torso's heading), ``speed`` (m/s over the ground), ``power`` (W, Σ |motor torque × joint
    velocity|), ``mass`` (kg) and ``foot_contact`` ((feet,) bool; ``metadata["foot_names"]``).
    Those of the pose come with a reset too.

    Args:
        num_envs: Robots.
        **kwargs: Those of the original task (pictures' are ignored) and of `BatchEnv`.
    """

    defaults: ClassVar[dict[str, Any]]  # the original's keyword arguments
    root: ClassVar[str]  # how the torso moves: "xz" or "xy" plane with one hinge, or "free"
    feet: ClassVar[tuple[str, ...]] = ()  # geoms
    normal_velocities: ClassVar[bool] = False  # start velocities are drawn normal, not uniform
    velocity_limit: ClassVar[float | None] = None  # of observed velocities

    def __init__(self, num_envs: int = 1, **kwargs: Any) -> None:
        self.options = SimpleNamespace(
            **{key: kwargs.pop(key, default) for key, default in self.defaults.items()}
        )
        o = self.options
        model = load_model(o.xml_file)
        self.ground_axes = 1 if self.root == "xz" else 2
        self._skipped = self.ground_axes if o.exclude_current_positions_from_observation else 0
        names = self._observation_names(model)
        low, high = model.actuator_ctrlrange.astype(np.float32).T
        feels = "contact_cost_weight" in self.defaults and (
            o.include_cfrc_ext_in_observation or o.contact_cost_weight != 0
        )
        super().__init__(
            model,
            num_envs,
            frame_skip=o.frame_skip,
            observation_space=gym.spaces.Box(-np.inf, np.inf, (len(names),), np.float64),
            action_space=gym.spaces.Box(low, high, dtype=np.float32),
            persistent=feels,
            **{key: value for key, value in kwargs.items() if key not in RENDERING},
        )
        self.dt = model.opt.timestep * o.frame_skip  # s
        self._qpos, self._qvel = self.batch.qpos, self.batch.qvel
        self._torque = self.batch.bind("qfrc_actuator")
        self._torso = model.jnt_bodyid[0]
        self._mass = float(model.body_mass.sum())
        self._before = np.zeros((num_envs, self.ground_axes))
        self._felt = ContactForces(self.batch) if feels else None
        self._feet = Feet(self.batch, self.feet)
        self.metadata.update(
            render_fps=round(1 / self.dt),
            observation_names=names,
            action_names=tuple(
                model.actuator(i).name or model.joint(model.actuator_trnid[i, 0]).name
                for i in range(model.nu)
            ),
            foot_names=self._feet.names,
        )

    # What tasks do otherwise.

    def _place(self, rows: np.ndarray) -> np.ndarray:
        """Return the position along the ground whose change is the speed, (n, axes), m."""
        return self._qpos[rows, : self.ground_axes]

    def _healthy(self, rows: np.ndarray) -> np.ndarray | None:
        """Return which robots are healthy, (n,); None for a task that knows no falls."""
        return None

    def _contact_cost(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the price of contact forces, (n,); None for a task without."""
        return None

    def _control(self, rows: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Return what the control cost is taken of, (n, motors)."""
        return actions

    def _extra_observations(self, rows: np.ndarray) -> list[np.ndarray]:
        """Return what follows positions and velocities, each (n, …)."""
        return []

    def _extra_names(self, model: mujoco.MjModel) -> list[str]:
        """Name what `_extra_observations` returns."""
        return []

    # The world.

    def _start(self, rows: np.ndarray, rngs: list[np.random.Generator]) -> None:
        scale, model = self.options.reset_noise_scale, self.batch.model
        qpos, qvel = np.empty((rows.size, model.nq)), np.empty((rows.size, model.nv))
        for k, rng in enumerate(rngs):
            qpos[k] = rng.uniform(-scale, scale, model.nq)
            if self.normal_velocities:
                qvel[k] = scale * rng.standard_normal(model.nv)
            else:
                qvel[k] = rng.uniform(-scale, scale, model.nv)
        self._qpos[rows] = model.qpos0 + qpos
        self._qvel[rows] = qvel

    def _settle(self, rows: np.ndarray) -> None:
        super()._settle(rows)
        if self._felt is not None:
            self._felt.start(rows)

    def _before_step(self, rows: np.ndarray, actions: np.ndarray) -> None:
        self._before[rows] = self._place(rows)
        super()._before_step(rows, actions)

    def _observe(self, rows: np.ndarray) -> np.ndarray:
        velocity = self._qvel[rows]
        if self.velocity_limit is not None:
            np.clip(velocity, -self.velocity_limit, self.velocity_limit, out=velocity)
        parts = [self._qpos[rows, self._skipped :], velocity, *self._extra_observations(rows)]
        return np.concatenate([part.reshape(rows.size, -1) for part in parts], axis=1)

    def _score(self, rows: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, Info]:
        o = self.options
        if self._felt is not None:
            self._felt.update(rows)
        velocity = (self._place(rows) - self._before[rows]) / self.dt
        # The sums keep the original's order, so that they round alike.
        rewards = forward = o.forward_reward_weight * velocity[:, 0]
        costs = control = o.ctrl_cost_weight * np.square(self._control(rows, actions)).sum(-1)
        info = self._start_info(rows)
        info |= {"x_velocity": velocity[:, 0], "reward_forward": forward, "reward_ctrl": -control}
        if self.ground_axes == 2:
            info["y_velocity"] = velocity[:, 1]
        terminated = np.zeros(rows.size, dtype=bool)
        if (healthy := self._healthy(rows)) is not None:
            info["reward_survive"] = survive = healthy * o.healthy_reward
            rewards = rewards + survive
            terminated = ~healthy & bool(o.terminate_when_unhealthy)
        if (contact := self._contact_cost(rows)) is not None:
            info["reward_contact"] = -contact
            costs = costs + contact
        info |= self._motion(rows, velocity)
        return rewards - costs, terminated, info

    def _start_info(self, rows: np.ndarray) -> Info:
        """Return where the robots are and how they stand."""
        place = self._qpos[rows, : self.ground_axes]
        info: Info = {"x_position": place[:, 0]}
        if self.ground_axes == 2:
            # As norm() of one pair computes it: numpy's own sum of squares may round otherwise.
            distance = np.sqrt(np.vecdot(place, place))
            info |= {"y_position": place[:, 1], "distance_from_origin": distance}
        return info | self._pose(rows)

    # Signals that the originals lack.

    def _pose(self, rows: np.ndarray) -> Info:
        """Return height, uprightness, yaw rate and foot contacts, as far as they exist."""
        info: Info = {}
        if self.root == "xz":
            model = self.batch.model
            offset = model.body_pos[self._torso, 2] - model.qpos0[1]
            info["height"] = self._qpos[rows, 1] + offset
            info["uprightness"] = np.cos(self._qpos[rows, 2])
        elif self.root == "xy":
            info["yaw_rate"] = self._qvel[rows, 2]
        else:
            w, x, y, z = self._quaternion(rows)
            upright = w * w - x * x - y * y + z * z
            info["height"] = self._qpos[rows, 2]
            info["uprightness"] = upright
            # The world's vertical in the torso's frame, in which free joints turn.
            vertical = np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), upright])
            info["yaw_rate"] = (vertical * self._qvel[rows, 3:6].T).sum(0)
        if self._feet.names:
            info["foot_contact"] = self._feet.touching(rows)
        return info

    def _motion(self, rows: np.ndarray, velocity: np.ndarray) -> Info:
        """Return speeds along and across the heading, power, mass; ``velocity`` is the world's."""
        info: Info = {
            "power": np.abs(self._torque[rows] * self._qvel[rows]).sum(-1),
            "speed": np.sqrt(np.square(velocity).sum(-1)),
            "mass": np.full(rows.size, self._mass),
        }
        if self.root == "xz":
            return info | {"forward_speed": velocity[:, 0]}
        if self.root == "xy":
            yaw = self._qpos[rows, 2]
        else:
            w, x, y, z = self._quaternion(rows)
            yaw = np.arctan2(2 * (x * y + w * z), w * w + x * x - y * y - z * z)
        cos, sin = np.cos(yaw), np.sin(yaw)
        vx, vy = velocity.T
        return info | {"forward_speed": vx * cos + vy * sin, "lateral_speed": vy * cos - vx * sin}

    def _quaternion(self, rows: np.ndarray) -> np.ndarray:
        """Return the torso's unit quaternions, (4, n); start noise leaves those of qpos longer."""
        quaternion = self._qpos[rows, 3:7].T
        return quaternion / np.sqrt(np.square(quaternion).sum(0))

    def _observation_names(self, model: mujoco.MjModel) -> tuple[str, ...]:
        positions, velocities = [], []
        for i in range(model.njnt):
            name = model.joint(i).name or f"joint {i}"
            if model.jnt_type[i] == FREE:
                positions += [f"{name} {axis}" for axis in ("x", "y", "z", "qw", "qx", "qy", "qz")]
                velocities += [f"{name} {axis}" for axis in ("vx", "vy", "vz", "wx", "wy", "wz")]
            else:
                positions.append(name)
                velocities.append(f"{name} velocity")
        return (*positions[self._skipped :], *velocities, *self._extra_names(model))


def within(values: np.ndarray, limits: Sequence[float]) -> np.ndarray:
    """Which values lie strictly between two limits."""
    return (limits[0] < values) & (values < limits[1])


def body_names(model: mujoco.MjModel, quantity: str, components: str) -> list[str]:
    """Name a quantity's components on every body but the world."""
    bodies = [model.body(i).name or f"body {i}" for i in range(1, model.nbody)]
    return [f"{body} {quantity} {part}" for body in bodies for part in components.split()]
