"""The lap robot's lidar: exact distances from a point to the walls, which are chains of segments.

A wall's corners are turned into the robot's frame, where the rays have fixed directions d. With a
and b the ends of a segment, d × a and d × b of unlike sign say that the ray's line passes between
them, and t = (a × b) / (d × (b − a)) says how far away. Casting rays at a model's geoms gives the
same within rounding and costs more than all the rest of the physics.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from envs.tracks import WALL_CORNERS, Track

ANGLES = np.deg2rad(np.linspace(-105.0, 105.0, 15))  # of the rays, from right to left
RANGE = 4.0  # m
REACH = 20  # corners before and behind the robot that its rays can meet within their range
_AT_ONCE = 64  # robots; what is computed for them stays in the processor's cache


def unroll(track: Track) -> np.ndarray:
    """Both walls' corners, (2 coordinates, 2 sides, WALL_CORNERS + 2·REACH), once round and on."""
    around = np.arange(-REACH, WALL_CORNERS + REACH) % WALL_CORNERS
    return track.walls[:, around].transpose(2, 0, 1).astype(np.float32)


def cast(
    walls: np.ndarray,
    rows: np.ndarray,
    at: np.ndarray,
    place: np.ndarray,
    turn: np.ndarray,
    angles: np.ndarray = ANGLES,
    limit: float = RANGE,
) -> np.ndarray:
    """Measure the distances that n robots see, (n, rays), m; ``limit`` where a ray meets no wall.

    A row depends on nothing but itself: no matrix product is involved, whose rounding would.

    Args:
        walls: Of every track, from `unroll`, (N, 2, 2, C).
        rows: Whose walls each robot sees, (n,).
        at: The corner beside each robot, counted along the track, (n,).
        place: Where the robots are, (n, 2), m; between their walls.
        turn: Cosine and sine of their yaw, (n, 2).
        angles: Of the rays from the heading, (rays,), rad.
        limit: Of what is seen, m; `RANGE` at most.
    """
    ways = np.stack([np.cos(angles), np.sin(angles)]).astype(np.float32)[:, :, None, None, None]
    windows = sliding_window_view(walls, 2 * REACH + 1, axis=3)
    place, (cos, sin) = place.astype(np.float32).T, turn.astype(np.float32).T
    seen = np.empty((len(at), len(angles)), np.float32)
    for start in range(0, len(at), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        # All below are (ray, side, corner, row) in memory too: numpy is fast along the last.
        near = np.ascontiguousarray(windows[rows[some], :, :, at[some]].transpose(1, 2, 3, 0))
        x, y = near - place[:, None, None, some]
        ahead = x * cos[some] + y * sin[some]
        left = y * cos[some] - x * sin[some]
        across = ways[0] * left - ways[1] * ahead  # d × corner
        a, b = across[:, :, :-1], across[:, :, 1:]
        area = ahead[:, :-1] * left[:, 1:] - left[:, :-1] * ahead[:, 1:]  # a × b
        area[np.abs(area) < 1e-12] = np.inf  # seen edge-on, a wall hides nothing
        nearness = (b - a) / area  # 1/t; what lies behind the robot is below 0
        nearness *= a * b <= 0
        seen[some] = (1 / np.maximum(nearness.max((1, 2)), 1 / limit)).T
    return seen
