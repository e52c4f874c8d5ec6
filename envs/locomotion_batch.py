"""What the batches of Gymnasium's MuJoCo locomotion tasks share."""

from __future__ import annotations

import os
import warnings
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, ClassVar

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium.envs.mujoco.mujoco_env import expand_model_path

from envs.batch_env import BatchEnv, Info
from envs.contacts import ContactForces, foot_contact
from envs.scene import portable_file
from envs.terms import Description, End, Ends, Term, gauge, term

# Keyword arguments of the originals that only concern pictures, which a batch does not draw.
RENDERING = {
    "default_camera_config", "width", "height", "camera_id", "camera_name", "max_geom",
    "visual_options",
}  # fmt: skip
FREE = mujoco.mjtJoint.mjJNT_FREE.value
UNITS = {"forward_speed": "m/s", "lateral_speed": "m/s", "yaw_rate": "rad/s", "height": "m",
         "uprightness": "", "power": "W"}  # fmt: skip


@lru_cache(maxsize=32)
def _compile(path: str, modified: int) -> mujoco.MjModel:
    with warnings.catch_warnings():
        # Gymnasium's cheetah uses it; nothing that a user of the task could mend.
        warnings.filterwarnings("ignore", "compiler attribute 'settotalmass'")
        return mujoco.MjSpec.from_file(path).compile()


def load_model(xml_file: str) -> mujoco.MjModel:
    """Compile ``xml_file``, found as Gymnasium finds it; an unchanged file compiles once."""
    path = model_path(xml_file)
    return _compile(path, os.stat(path).st_mtime_ns)


def model_path(xml_file: str) -> str:
    """Where Gymnasium finds ``xml_file``."""
    return os.path.abspath(expand_model_path(xml_file))


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
    gauges: ClassVar[dict[str, tuple[float, float]]]  # signals that show how it goes, their ranges
    distance: ClassVar[float] = 4.0  # m, of a camera that follows

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
        self._qpos, self._qvel = self.batch.qpos, self.batch.qvel
        self._mass = float(model.body_mass.sum())
        self._felt = ContactForces(self.batch) if feels else None
        if self._felt is not None:
            self.robots.fields["cfrc_ext"] = self._felt.values.reshape(num_envs, -1)
        feet, limits = foot_contact(model, self.feet), self._limits()
        self._unhealthy = Ends(self.robots, limits)
        self.describe(
            Description(
                observation=self._observation(),
                signals=self._pose() | feet,
                step_signals=self._motion(),
                ends=limits if limits and o.terminate_when_unhealthy else (),
                gauges=[gauge(name, UNITS[name], *bar) for name, bar in self.gauges.items()],
                camera={"body": model.body(model.jnt_bodyid[0]).name, "distance": self.distance},
            )
        )
        self._velocity = self.robots.source("moved", of=self._place())
        self.metadata.update(
            render_fps=round(1 / self.dt),
            observation_names=names,
            action_names=tuple(
                model.actuator(i).name or model.joint(model.actuator_trnid[i, 0]).name
                for i in range(model.nu)
            ),
            foot_names=tuple(feet["foot_contact"]["geoms"]) if feet else (),
        )

    # What tasks do otherwise.

    def _place(self) -> dict[str, Any]:
        """Say the position along the ground whose change is the speed, m; see ``moved``."""
        return {"field": "qpos", "at": list(range(self.ground_axes))}

    def _limits(self) -> list[End]:
        """Say when a robot is unhealthy; nothing in a task that knows no falls."""
        return []

    def _contact_cost(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the price of contact forces, (n,); None for a task without."""
        return None

    def _control(self, rows: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Return what the control cost is taken of, (n, motors)."""
        return actions

    def _extra_terms(self) -> list[Term]:
        """Say what is observed after positions and velocities."""
        return []

    def _extra_names(self, model: mujoco.MjModel) -> list[str]:
        """Name what `_extra_terms` says."""
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

    def _score(self, rows: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, Info]:
        o = self.options
        if self._felt is not None:
            self._felt.update(rows)
        velocity = self._velocity(rows)
        # The sums keep the original's order, so that they round alike.
        rewards = forward = o.forward_reward_weight * velocity[:, 0]
        costs = control = o.ctrl_cost_weight * np.square(self._control(rows, actions)).sum(-1)
        info = self._start_info(rows)
        info |= {"reward_forward": forward, "reward_ctrl": -control}
        terminated = np.zeros(rows.size, dtype=bool)
        if unhealthy := self._unhealthy(rows):
            healthy = ~unhealthy["unhealthy"]
            info["reward_survive"] = survive = healthy * o.healthy_reward
            rewards = rewards + survive
            terminated = ~healthy & bool(o.terminate_when_unhealthy)
        if (contact := self._contact_cost(rows)) is not None:
            info["reward_contact"] = -contact
            costs = costs + contact
        info |= self._step_signals(rows) | {"mass": np.full(rows.size, self._mass)}
        return rewards - costs, terminated, info

    def _start_info(self, rows: np.ndarray) -> Info:
        """Return where the robots are and how they stand."""
        info = super()._start_info(rows)
        if self.ground_axes == 2:
            # As norm() of one pair computes it: numpy's own sum of squares may round otherwise.
            place = self._qpos[rows, :2]
            info["distance_from_origin"] = np.sqrt(np.vecdot(place, place))
        return info

    # What the world says of itself.

    def model_xml(self) -> str:
        """The task's XML file."""
        return portable_file(model_path(self.options.xml_file), self.batch.model)

    def _observation(self) -> list[Term]:
        model = self.batch.model
        limit = self.velocity_limit
        velocity = {} if limit is None else {"clip": (-limit, limit)}
        positions = term("qpos", at=range(self._skipped, model.nq))
        return [positions, term("qvel", **velocity), *self._extra_terms()]

    def _pose(self) -> dict[str, Term]:
        """Say places, height, uprightness and yaw rate, as far as they exist."""
        model = self.batch.model
        told = {"x_position": term("qpos", at=[0])}
        if self.ground_axes == 2:
            told["y_position"] = term("qpos", at=[1])
        if self.root == "xz":
            offset = model.body_pos[model.jnt_bodyid[0], 2] - model.qpos0[1]
            told["height"] = term("qpos", at=[1], minus=-offset)
            told["uprightness"] = term("cos", of="qpos", entry=2)
        elif self.root == "xy":
            told["yaw_rate"] = term("qvel", at=[2])
        else:
            told["height"] = term("qpos", at=[2])
            told["uprightness"] = term("gravity", unit=True, at=[2], scale=-1)
            told["yaw_rate"] = term("yaw_rate", unit=True)
        return told

    def _motion(self) -> dict[str, Term]:
        """Say velocities, speeds along and across the heading, and power."""
        of = self._place()
        told = {
            "power": term("power"),
            "speed": term("speed", of=of),
            "x_velocity": term("moved", of=of, at=[0]),
        }
        if self.root == "xz":
            return told | {"forward_speed": told["x_velocity"]}
        turned: dict[str, Any] = (
            {"heading": "hinge"} if self.root == "xy" else {"heading": "free", "unit": True}
        )
        return told | {
            "y_velocity": term("moved", of=of, at=[1]),
            "forward_speed": term("moved", of=of, **turned, at=[0]),
            "lateral_speed": term("moved", of=of, **turned, at=[1]),
        }

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


def body_names(model: mujoco.MjModel, quantity: str, components: str) -> list[str]:
    """Name a quantity's components on every body but the world."""
    bodies = [model.body(i).name or f"body {i}" for i in range(1, model.nbody)]
    return [f"{body} {quantity} {part}" for body in bodies for part in components.split()]
