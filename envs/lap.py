"""The lap world: a differential-drive robot finds its way round a walled track by lidar.

After the task of Lillian, Meyes, Meisen 2018 ("Ablation of a Robot's Brain"): a robot drives
laps with nothing but its own sensors. The world adds tracks that bend both ways, so that turning
left and turning right are behaviours of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium as gym
import mujoco
import numpy as np

from envs import lidar
from envs.batch_env import BatchEnv, Info
from envs.lap_model import CHASSIS_RADIUS, FRAME_SKIP, MAX_WHEEL_SPEED, START_HEIGHT, lap_model
from envs.single_env import SingleEnv
from envs.tracks import (
    DIRECTIONS,
    HALF_WIDTH,
    SAMPLES,
    TRACKS,
    WALL_CORNERS,
    Track,
    make_track,
)

CONTROL_DT = 0.05  # s
BUMPER = 0.01  # m: the walls' segments stray from the true curve by up to this much
STUCK_SECONDS = 3.0
STUCK_PROGRESS = 0.1  # m gained within STUCK_SECONDS, or the robot is stuck
LOOKAHEAD = 0.5  # m; the bend that a robot is in is read this far ahead of its axle
CRASH_PENALTY = 5.0
RANDOM_TRACKS = 1000  # the track "random" is drawn from this many
_SEARCH = 8  # centreline points to look ahead and behind for the nearest one; a step covers one

CONDITIONS = {f"{t}/{d}": {"track": t, "direction": d} for t in TRACKS for d in DIRECTIONS}


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
        **kwargs: See `BatchEnv`.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        **BatchEnv.metadata,
        "render_fps": round(1 / CONTROL_DT),
        "conditions": CONDITIONS,
        "observation_names": (
            *(f"lidar {round(np.rad2deg(a)):+d}°" for a in lidar.ANGLES),
            "left wheel speed",
            "right wheel speed",
            "yaw rate",
        ),
        "action_names": ("left wheel", "right wheel"),
    }

    def __init__(
        self,
        num_envs: int = 1,
        tracks: Sequence[str] = TRACKS,
        fixed_start: bool = False,
        **kwargs: Any,
    ) -> None:
        if unknown := set(tracks) - set(TRACKS):
            raise ValueError(f"unknown tracks {sorted(unknown)}; choose from {', '.join(TRACKS)}")
        self.fixed_start = fixed_start
        drawn = [f"{t}/{d}" for t in tracks for d in DIRECTIONS]
        self.drawn_conditions = drawn[:1] if fixed_start else drawn
        size = len(self.metadata["observation_names"])
        super().__init__(
            lap_model(),
            num_envs,
            frame_skip=FRAME_SKIP,
            observation_space=gym.spaces.Box(-2.0, 2.0, (size,), np.float32),
            action_space=gym.spaces.Box(-1.0, 1.0, (2,), np.float32),
            **kwargs,
        )
        self._qpos, self._qvel = self.batch.qpos, self.batch.qvel
        self._tracks: list[Track | None] = [None] * num_envs
        corners = WALL_CORNERS + 2 * lidar.REACH
        self._walls = np.zeros((num_envs, 2, 2, corners), np.float32)
        self._points = np.zeros((num_envs, SAMPLES, 2))
        self._heading = np.zeros((num_envs, SAMPLES))
        self._curvature = np.zeros((num_envs, SAMPLES))
        self._length = np.ones(num_envs)
        self._nearest = np.zeros(num_envs, dtype=np.int64)  # centreline point beside the axle
        self._along = np.zeros(num_envs)  # m driven along the centreline since the start
        self._beyond = np.zeros(num_envs)  # m from the nearest centreline point, along the track
        self._lateral = np.zeros(num_envs)  # m left of the centreline
        self._since = np.zeros((num_envs, round(STUCK_SECONDS / CONTROL_DT)))  # ring of `along`

    def _start(self, rows: np.ndarray, rngs: list[np.random.Generator]) -> None:
        start = np.zeros(rows.size, dtype=np.int64)
        offset, turned = np.zeros(rows.size), np.zeros(rows.size)
        for k, (i, rng) in enumerate(zip(rows, rngs, strict=True)):
            drawn = self.drawn_conditions[rng.integers(len(self.drawn_conditions))]
            condition = CONDITIONS[self.condition[i] or drawn]
            number = 0 if self.fixed_start else int(rng.integers(RANDOM_TRACKS))
            seed = number if condition["track"] == "random" else None
            track = make_track(condition["track"], condition["direction"], seed)
            if track is not self._tracks[i]:
                self._tracks[i], self._walls[i] = track, lidar.unroll(track)
                self._points[i], self._heading[i] = track.points, track.heading
                self._curvature[i], self._length[i] = track.curvature, track.length
            if self.fixed_start:
                continue
            start[k] = rng.integers(SAMPLES)
            offset[k] = rng.uniform(-0.12, 0.12)  # m
            turned[k] = rng.uniform(-0.3, 0.3)  # rad
        yaw = self._heading[rows, start] + turned
        normal = self._heading[rows, start] + np.pi / 2
        place = self._points[rows, start] + offset[:, None] * np.column_stack(
            [np.cos(normal), np.sin(normal)]
        )
        zero = np.zeros(rows.size)
        self._qpos[rows, :7] = np.column_stack(
            [place, zero + START_HEIGHT, np.cos(yaw / 2), zero, zero, np.sin(yaw / 2)]
        )
        self._nearest[rows], self._along[rows] = start, 0.0
        self._lateral[rows], self._beyond[rows] = offset, 0.0
        self._since[rows] = -np.inf

    def _before_step(self, rows: np.ndarray, actions: np.ndarray) -> None:
        self.batch.ctrl[rows] = MAX_WHEEL_SPEED * np.clip(actions, -1.0, 1.0)

    def _observe(self, rows: np.ndarray) -> np.ndarray:
        corner = self._nearest[rows] * WALL_CORNERS // SAMPLES
        w, z = self._qpos[rows, 3], self._qpos[rows, 6]
        turn = np.column_stack([w * w - z * z, 2 * w * z]) / (w * w + z * z)[:, None]
        rays = len(lidar.ANGLES)
        obs = np.empty((rows.size, rays + 3), np.float32)
        seen = lidar.cast(self._walls, rows, corner, self._qpos[rows, :2], turn)
        obs[:, :rays] = seen / lidar.RANGE
        obs[:, rays : rays + 2] = self._qvel[rows, 6:8] / MAX_WHEEL_SPEED
        obs[:, rays + 2] = self._qvel[rows, 5] / 5.0
        return np.clip(obs, -2.0, 2.0, out=obs)

    def scene_model(self, row: int) -> mujoco.MjModel:
        """The robot between the walls of the track that it is on."""
        return lap_model(self._tracks[row])

    def _locate(self, rows: np.ndarray) -> np.ndarray:
        """Follow the robots along their centrelines; returns the metres gained, (n,)."""
        window = (self._nearest[rows, None] + np.arange(-_SEARCH, _SEARCH + 1)) % SAMPLES
        place = self._qpos[rows, :2]
        gap = place[:, None] - self._points[rows[:, None], window]
        best = np.einsum("nkc,nkc->nk", gap, gap).argmin(1)
        nearest = window[np.arange(rows.size), best]
        spacing = self._length[rows] / SAMPLES
        heading = self._heading[rows, nearest]
        dx, dy = gap[np.arange(rows.size), best].T
        ahead = dx * np.cos(heading) + dy * np.sin(heading)
        # Whole points passed since the start, plus the way beyond the nearest one.
        passed = np.round((self._along[rows] - self._beyond[rows]) / spacing) + best - _SEARCH
        along = passed * spacing + ahead
        gained = along - self._along[rows]
        self._nearest[rows], self._along[rows], self._beyond[rows] = nearest, along, ahead
        self._lateral[rows] = dy * np.cos(heading) - dx * np.sin(heading)
        return gained

    def _score(self, rows: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, Info]:
        gained = self._locate(rows)
        info = self._start_info(rows)
        crash = info["clearance"] <= BUMPER
        slot = self.steps[rows] % self._since.shape[1]
        stuck = ~crash & (self._along[rows] - self._since[rows, slot] < STUCK_PROGRESS)
        self._since[rows, slot] = self._along[rows]
        info |= {"crash": crash, "stuck": stuck}
        return gained - CRASH_PENALTY * crash, crash | stuck, info

    def _start_info(self, rows: np.ndarray) -> Info:
        """Where the robots are and how they move; see the README's table of signals."""
        w, z = self._qpos[rows, 3], self._qpos[rows, 6]
        yaw = 2 * np.arctan2(z, w)
        vx, vy = self._qvel[rows, 0], self._qvel[rows, 1]
        lateral = self._lateral[rows]
        ahead = np.round(LOOKAHEAD / (self._length[rows] / SAMPLES)).astype(np.int64)
        bend = self._curvature[rows, (self._nearest[rows] + ahead) % SAMPLES]
        return {
            "forward_speed": vx * np.cos(yaw) + vy * np.sin(yaw),
            "yaw_rate": self._qvel[rows, 5],
            "progress": self._along[rows] / self._length[rows],
            "clearance": HALF_WIDTH - CHASSIS_RADIUS - np.abs(lateral),
            "lateral_error": lateral,
            "bend": bend,
            "x": self._qpos[rows, 0],
            "y": self._qpos[rows, 1],
            "crash": np.zeros(rows.size, dtype=bool),
            "stuck": np.zeros(rows.size, dtype=bool),
        }


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
