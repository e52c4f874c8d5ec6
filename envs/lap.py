"""The lap world: a differential-drive robot finds its way round a walled track by lidar.

After the task of Lillian, Meyes, Meisen 2018 ("Ablation of a Robot's Brain"): a robot drives
laps with nothing but its own sensors. The world adds tracks that bend both ways, so that turning
left and turning right are behaviours of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import gymnasium as gym
import mujoco
import numpy as np

from envs import lidar
from envs.batch_env import BatchEnv, Info
from envs.guide import Guide
from envs.lap_model import (
    CHASSIS_RADIUS,
    FRAME_SKIP,
    MAX_WHEEL_SPEED,
    START_HEIGHT,
    lap_model,
    lap_spec,
)
from envs.scene import portable
from envs.single_env import SingleEnv
from envs.terms import Control, Description, end, gauge, term
from envs.tracks import DIRECTIONS, HALF_WIDTH, SAMPLES, TRACKS, make_track

CONTROL_DT = 0.05  # s
BUMPER = 0.01  # m: the walls' segments stray from the true curve by up to this much
STUCK_SECONDS = 3.0
STUCK_PROGRESS = 0.1  # m gained within STUCK_SECONDS, or the robot is stuck
LOOKAHEAD = 0.5  # m; the bend that a robot is in is read this far ahead of its axle
BEND = 0.15  # 1/m: less curvature counts as straight, as in the measures of turning
CRASH_PENALTY = 5.0
_BEAM, _OTHERS = "lidar {a:+d}°", ("left wheel speed", "right wheel speed", "yaw rate")
RANDOM_TRACKS = 1000  # the track "random" is drawn from this many

_WORDS = {"ccw": "anticlockwise", "cw": "clockwise"}
CONDITIONS = {
    f"{t}/{d}": {"track": t, "direction": d, "label": f"{t}, {_WORDS[d]}"}
    for t in TRACKS
    for d in DIRECTIONS
}

# To the nearer wall, m: half the corridor and less.
_CLEARANCE = term("track", of="off_centre", minus=HALF_WIDTH - CHASSIS_RADIUS, scale=-1)
_ALONG = term("track", of="along")


def _ahead(beams: int) -> tuple[float, ...]:
    """The angles of so many beams, those in the middle."""
    left_out = (len(lidar.ANGLES) - beams) // 2
    return tuple(lidar.ANGLES[left_out : left_out + beams])


DESCRIPTION = Description(
    observation=[
        term("lidar", angles=lidar.ANGLES, range=lidar.RANGE, over=lidar.RANGE),
        term("qvel", at=[6, 7], over=MAX_WHEEL_SPEED),
        term("qvel", at=[5], over=5.0),
    ],
    control=Control(clip=(-1.0, 1.0), scale=MAX_WHEEL_SPEED),
    signals={
        "forward_speed": term("velocity", heading="twist", at=[0]),
        "yaw_rate": term("qvel", at=[5]),
        "progress": term("track", of="progress"),
        "clearance": _CLEARANCE,
        "lateral_error": term("track", of="lateral"),
        "bend": term("track", of="bend", ahead=LOOKAHEAD),
        "x": term("qpos", at=[0]),
        "y": term("qpos", at=[1]),
    },
    ends=[
        end("crash", _CLEARANCE, at_most=BUMPER),
        end("stuck", _ALONG, gains_less=STUCK_PROGRESS, within=STUCK_SECONDS),
    ],
    gauges=[
        gauge("forward_speed", "m/s", 0.0, 1.8),
        gauge(
            "yaw_rate", "rad/s", -1.0, 2.5,
            label="left turning", measure="left_turning.alive", while_=f"bend > {BEND}",
        ),
        gauge(
            "yaw_rate", "rad/s", -1.0, 2.5,
            label="right turning", measure="right_turning.alive", sign=-1, while_=f"bend < -{BEND}",
        ),
        gauge(
            "lateral_error", "m", -0.3, 0.3,
            label="off centre", measure="off_centre.alive", take="mean_abs",
        ),
        gauge("progress", "laps", 0.0, 4.0, measure="progress", take="last"),
    ],
    camera={"body": "chassis", "distance": 2.2},
)  # fmt: skip


class LapBatch(BatchEnv):
    """N lap robots.

    Observation (18,), float32: 15 lidar distances from right (−105°) to left (+105°), divided by
    4 m; left and right wheel speed, divided by 32 rad/s; yaw rate, divided by 5 rad/s.

    Action (2,) in [−1, 1]: wanted left and right wheel speed, as a share of 32 rad/s (1.6 m/s at
    the rim); a servo with at most 0.4 N·m drives each wheel.

    Reward: metres gained along the centreline, minus 5 for touching a wall. An episode
    terminates on wall contact or when the robot gains less than 0.1 m in 3 s (stuck).

    Args:
        num_envs: Robots.
        tracks: Tracks to draw from at a reset that asks for no condition.
        fixed_start: Draw nothing: every episode of a condition starts at the same point, in the
            middle and straight ahead, and a reset that asks for no condition takes the first
            track, ``"ccw"``. What is trained in it can get by with one sequence of actions.
        beams: Lidar distances that the robot gets, those in the middle: an odd number. With 5 it
            looks 30° to each side and sees no wall beside it, so that it has to remember where it
            was. The observation is shorter by the others.
        **kwargs: See `BatchEnv`.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        **BatchEnv.metadata,
        "render_fps": round(1 / CONTROL_DT),
        "conditions": CONDITIONS,
        "observation_names": (
            *(_BEAM.format(a=round(np.rad2deg(a))) for a in lidar.ANGLES),
            *_OTHERS,
        ),
        "action_names": ("left wheel", "right wheel"),
    }

    def __init__(
        self,
        num_envs: int = 1,
        tracks: Sequence[str] = TRACKS,
        fixed_start: bool = False,
        beams: int = len(lidar.ANGLES),
        **kwargs: Any,
    ) -> None:
        if beams not in (allowed := range(1, len(lidar.ANGLES) + 1, 2)):
            known = ", ".join(map(str, allowed))
            raise ValueError(f"no lidar of {beams} beams; choose from {known}")
        if unknown := set(tracks) - set(TRACKS):
            raise ValueError(f"unknown tracks {sorted(unknown)}; choose from {', '.join(TRACKS)}")
        self.fixed_start = fixed_start
        drawn = [f"{t}/{d}" for t in tracks for d in DIRECTIONS]
        self.drawn_conditions = drawn[:1] if fixed_start else drawn
        angles = _ahead(beams)
        names = tuple(_BEAM.format(a=round(np.rad2deg(a))) for a in angles) + _OTHERS
        super().__init__(
            lap_model(),
            num_envs,
            frame_skip=FRAME_SKIP,
            observation_space=gym.spaces.Box(-2.0, 2.0, (len(names),), np.float32),
            action_space=gym.spaces.Box(-1.0, 1.0, (2,), np.float32),
            **kwargs,
        )
        self._qpos = self.batch.qpos
        self._guide = self.robots.guide = Guide(num_envs)
        self.metadata = {**self.metadata, "observation_names": names}  # type: ignore[misc]
        first = term("lidar", angles=angles, range=lidar.RANGE, over=lidar.RANGE)
        self.describe(replace(DESCRIPTION, observation=[first, *DESCRIPTION.observation[1:]]))

    def _start(self, rows: np.ndarray, rngs: list[np.random.Generator]) -> None:
        start = np.zeros(rows.size, dtype=np.int64)
        offset, turned = np.zeros(rows.size), np.zeros(rows.size)
        for k, (i, rng) in enumerate(zip(rows, rngs, strict=True)):
            drawn = self.drawn_conditions[rng.integers(len(self.drawn_conditions))]
            condition = CONDITIONS[self.condition[i] or drawn]
            number = 0 if self.fixed_start else int(rng.integers(RANDOM_TRACKS))
            seed = number if condition["track"] == "random" else None
            track = make_track(condition["track"], condition["direction"], seed)
            self._guide.put(i, track)
            if self.fixed_start:
                continue
            start[k] = rng.integers(SAMPLES)
            offset[k] = rng.uniform(-0.12, 0.12)  # m
            turned[k] = rng.uniform(-0.3, 0.3)  # rad
        heading = self._guide.heading[rows, start]
        yaw, normal = heading + turned, heading + np.pi / 2
        place = self._guide.points[rows, start] + offset[:, None] * np.column_stack(
            [np.cos(normal), np.sin(normal)]
        )
        zero = np.zeros(rows.size)
        self._qpos[rows, :7] = np.column_stack(
            [place, zero + START_HEIGHT, np.cos(yaw / 2), zero, zero, np.sin(yaw / 2)]
        )
        self._guide.start(rows, start, offset)

    def scene_model(self, row: int) -> mujoco.MjModel:
        """The robot between the walls of the track that it is on."""
        return lap_model(self._guide.tracks[row])

    def model_xml(self) -> str:
        """The robot on its floor, without walls."""
        return portable(lap_spec())

    def start_facts(self, row: int) -> dict[str, Any]:
        """The track and the place on it."""
        guide = self._guide
        return {
            "track": guide.tracks[row],
            "nearest": int(guide.nearest[row]),
            "lateral": float(guide.lateral[row]),
        }

    def _score(self, rows: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, Info]:
        gained = self._guide.follow(rows, self._qpos[rows, :2])
        ended = self._ends(rows)
        crash, stuck = ended["crash"], ended["stuck"]
        return gained - CRASH_PENALTY * crash, crash | stuck, {**self._signals(rows), **ended}

    def _start_info(self, rows: np.ndarray) -> Info:
        """Where the robots are and how they move; see the README's table of signals."""
        no = np.zeros(rows.size, dtype=bool)
        return {**super()._start_info(rows), "crash": no, "stuck": no}


class Lap(SingleEnv):
    """One lap robot; see `LapBatch`. Frames show the whole track and the way driven."""

    batch_class = LapBatch

    def __init__(
        self, render_mode: str | None = None, camera: str = "overview", **kwargs: Any
    ) -> None:
        super().__init__(render_mode, camera=camera, **kwargs)
        self._trail: list[np.ndarray] = []

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, Info]:
        """Start an episode."""
        self._trail = []
        return super().reset(**kwargs)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, Info]:
        """Step the robot and remember its way for the pictures."""
        result = super().step(action)
        self._trail.append(self.world.batch.qpos[0, :3].copy())
        return result

    def decorate(self, scene: mujoco.MjvScene) -> None:
        """Draw the way driven as a line on the floor."""
        for before, after in zip(self._trail[:-3:3], self._trail[3::3], strict=False):
            if scene.ngeom >= scene.maxgeom:
                return
            geom = scene.geoms[scene.ngeom]
            mujoco.mjv_initGeom(
                geom,
                mujoco.mjtGeom.mjGEOM_CAPSULE,
                np.zeros(3),
                np.zeros(3),
                np.zeros(9),
                np.array([0.85, 0.37, 0.01, 1], np.float32),
            )
            floor = np.array([1, 1, 0.2])
            mujoco.mjv_connector(
                geom, mujoco.mjtGeom.mjGEOM_CAPSULE, 0.02, before * floor, after * floor
            )
            scene.ngeom += 1
