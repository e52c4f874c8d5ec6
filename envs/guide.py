"""Robots on walled tracks: how far along and how far off the centreline each one is."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs import lidar
from envs.sources import Read, Robots, source
from envs.tracks import SAMPLES, WALL_CORNERS, Track

SEARCH = 8  # centreline points to look ahead and behind for the nearest one; a step covers one


class Guide:
    """Follows N robots along their tracks.

    Attributes:
        tracks: Of each robot; None before it is put on one.
        nearest: The centreline point beside the robot's axle, (N,).
        along: Driven along the centreline since the start, (N,), m.
        lateral: Left of the centreline, (N,), m.
        length: Of a lap, (N,), m.
        curvature: At each centreline point, (N, SAMPLES), 1/m.
        walls: From `lidar.unroll`, (N, 2, 2, corners).
    """

    def __init__(self, num_envs: int) -> None:
        self.tracks: list[Track | None] = [None] * num_envs
        self.nearest = np.zeros(num_envs, dtype=np.int64)
        self.along, self.lateral = np.zeros(num_envs), np.zeros(num_envs)
        self.length = np.ones(num_envs)
        self.curvature = np.zeros((num_envs, SAMPLES))
        corners = WALL_CORNERS + 2 * lidar.REACH
        self.walls = np.zeros((num_envs, 2, 2, corners), np.float32)
        self.points = np.zeros((num_envs, SAMPLES, 2))
        self.heading = np.zeros((num_envs, SAMPLES))
        self._beyond = np.zeros(num_envs)  # m from the nearest centreline point, along the track

    def put(self, row: int, track: Track) -> None:
        """Put a robot on a track."""
        if track is self.tracks[row]:
            return
        self.tracks[row], self.walls[row] = track, lidar.unroll(track)
        self.points[row], self.heading[row] = track.points, track.heading
        self.curvature[row], self.length[row] = track.curvature, track.length

    def start(self, rows: np.ndarray, nearest: np.ndarray, lateral: np.ndarray) -> None:
        """Start ``rows`` beside centreline points (n,), so far left of them (n,), m."""
        self.nearest[rows], self.lateral[rows] = nearest, lateral
        self.along[rows] = self._beyond[rows] = 0.0

    def follow(self, rows: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Look where the robots have got to, (n, 2), m; returns the metres gained, (n,)."""
        window = (self.nearest[rows, None] + np.arange(-SEARCH, SEARCH + 1)) % SAMPLES
        gap = place[:, None] - self.points[rows[:, None], window]
        best = np.einsum("nkc,nkc->nk", gap, gap).argmin(1)
        nearest = window[np.arange(rows.size), best]
        spacing = self.length[rows] / SAMPLES
        heading = self.heading[rows, nearest]
        dx, dy = gap[np.arange(rows.size), best].T
        ahead = dx * np.cos(heading) + dy * np.sin(heading)
        # Whole points passed since the start, plus the way beyond the nearest one.
        passed = np.round((self.along[rows] - self._beyond[rows]) / spacing) + best - SEARCH
        along = passed * spacing + ahead
        gained = along - self.along[rows]
        self.nearest[rows], self.along[rows], self._beyond[rows] = nearest, along, ahead
        self.lateral[rows] = dy * np.cos(heading) - dx * np.sin(heading)
        return gained


@source("track")
def track(robots: Robots, of: str, ahead: float = 0.0) -> Read:
    """Where a robot is on its track.

    Of ``along`` (m since the start), ``progress`` (laps), ``lateral`` (m left of the centreline),
    ``off_centre`` (m) and ``bend`` (the curvature ``ahead`` metres on, 1/m).
    """
    guide: Guide = robots.guide

    def bend(rows: np.ndarray) -> np.ndarray:
        points = np.round(ahead / (guide.length[rows] / SAMPLES)).astype(np.int64)
        return guide.curvature[rows, (guide.nearest[rows] + points) % SAMPLES]

    kinds: dict[str, Any] = {
        "along": lambda rows: guide.along[rows],
        "progress": lambda rows: guide.along[rows] / guide.length[rows],
        "lateral": lambda rows: guide.lateral[rows],
        "off_centre": lambda rows: np.abs(guide.lateral[rows]),
        "bend": bend,
    }
    if of not in kinds:
        raise ValueError(f"unknown quantity {of!r} of a track; choose from {', '.join(kinds)}")
    return lambda rows: kinds[of](rows)[:, None]


@source("lidar")
def distances(robots: Robots, angles: list[float], range: float) -> Read:
    """Distances to the walls, m, along rays at ``angles`` (rad) from the heading."""
    guide: Guide = robots.guide
    qpos, rays = robots.source("qpos"), np.array(angles)

    def read(rows: np.ndarray) -> np.ndarray:
        state = qpos(rows)
        w, z = state[:, 3], state[:, 6]
        turn = np.column_stack([w * w - z * z, 2 * w * z]) / (w * w + z * z)[:, None]
        corner = guide.nearest[rows] * WALL_CORNERS // SAMPLES
        return lidar.cast(guide.walls, rows, corner, state[:, :2], turn, rays, range)

    return read
