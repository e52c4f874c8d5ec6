"""Closed walled tracks: a centreline with constant half-width, sampled evenly by arc length."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

SAMPLES = 256  # centreline points per track; at 16 m a point stands every 6 cm
HALF_WIDTH = 0.45  # m, centreline to wall
WALL_CORNERS = 64  # a side; at 16 m a wall's segments are 25 cm long and stray from the true
# curve by at most 1 cm
MIN_BEND_RADIUS = 0.8  # m; the inner wall of a bend then still has a radius of 0.35 m

TRACKS = ("ring", "bends", "random")
DIRECTIONS = ("ccw", "cw")


@dataclass(frozen=True, eq=False)
class Track:
    """A closed centreline driven in one direction, all arrays of length ``SAMPLES``.

    Attributes:
        points: Positions on the centreline, (S, 2), m; point i lies i·length/S along the lap.
        heading: Driving direction at each point, (S,), rad.
        curvature: Signed curvature, (S,), 1/m; positive bends to the left as driven.
        length: Lap length, m.
        walls: Corners of the left and of the right wall, straight segments between them,
            (2, WALL_CORNERS, 2), m; corner j stands beside point j·SAMPLES/WALL_CORNERS.
    """

    points: np.ndarray
    heading: np.ndarray
    curvature: np.ndarray
    length: float
    walls: np.ndarray


def _resample(dense: np.ndarray) -> tuple[np.ndarray, float]:
    """Place ``SAMPLES`` points at equal arc length on a densely sampled closed curve (K, 2)."""
    closed = np.vstack([dense, dense[:1]])
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    at = np.linspace(0.0, arc[-1], SAMPLES, endpoint=False)
    return np.column_stack([np.interp(at, arc, closed[:, k]) for k in (0, 1)]), float(arc[-1])


def _track(dense: np.ndarray) -> Track:
    points, length = _resample(dense)
    step = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
    heading = np.arctan2(step[:, 1], step[:, 0])
    turn = np.roll(heading, -1) - np.roll(heading, 1)
    turn = (turn + np.pi) % (2 * np.pi) - np.pi
    normal = np.column_stack([-np.sin(heading), np.cos(heading)])
    walls = np.stack([points + side * HALF_WIDTH * normal for side in (1, -1)])
    walls = walls[:, :: SAMPLES // WALL_CORNERS]
    return Track(points, heading, turn / (2 * length / SAMPLES), length, walls)


def _polar(radius: float, waves: dict[int, tuple[float, float]]) -> np.ndarray:
    """Sample r(θ) = radius·(1 + Σ a·cos(kθ + φ)) densely; ``waves`` maps k to (a, φ)."""
    theta = np.linspace(0.0, 2 * np.pi, 4096, endpoint=False)
    r = radius * (1 + sum(a * np.cos(k * theta + phase) for k, (a, phase) in waves.items()))
    return np.column_stack([r * np.cos(theta), r * np.sin(theta)])


def _drivable(track: Track) -> bool:
    """True when no bend is too tight and no two parts of the corridor touch."""
    if np.abs(track.curvature).max() > 1 / MIN_BEND_RADIUS:
        return False
    gap = np.linalg.norm(track.points[:, None] - track.points[None], axis=-1)
    along = np.abs(np.arange(SAMPLES)[:, None] - np.arange(SAMPLES)[None])
    along = np.minimum(along, SAMPLES - along) * track.length / SAMPLES
    return bool(gap[along > 3 * HALF_WIDTH].min() > 2 * HALF_WIDTH + 0.1)


def _random(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    while True:
        radius = rng.uniform(2.2, 2.9)
        waves = {k: (rng.uniform(0, 0.3) / (k - 1), rng.uniform(0, 2 * np.pi)) for k in range(2, 6)}
        dense = _polar(radius, waves)
        track = _track(dense)
        # A random track without a bend each way would not test turning both ways.
        if _drivable(track) and track.curvature.min() < -0.25:
            return dense


@lru_cache(maxsize=1024)
def make_track(name: str, direction: str, seed: int | None = None) -> Track:
    """Build a track, driven ``"ccw"`` or ``"cw"``.

    Args:
        name: ``"ring"`` (a circle, the task of Lillian et al. 2018), ``"bends"`` (three left and
            three right bends) or ``"random"`` (a closed curve drawn from ``seed``).
        direction: ``"ccw"`` or ``"cw"``, seen from above.
        seed: Draws the random track; must be None for the fixed ones.

    Raises:
        ValueError: The name or direction is unknown, or a seed is missing or superfluous.
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"unknown direction {direction!r}; choose from {', '.join(DIRECTIONS)}")
    if (seed is not None) != (name == "random"):
        raise ValueError(f"track {name!r}: a seed belongs to the track 'random' and to no other")
    if name == "ring":
        dense = _polar(2.2, {})
    elif name == "bends":
        dense = _polar(2.5, {3: (0.24, 0.0)})
    elif seed is not None:
        dense = _random(seed)
    else:
        raise ValueError(f"unknown track {name!r}; choose from {', '.join(TRACKS)}")
    return _track(dense if direction == "ccw" else dense[::-1])
