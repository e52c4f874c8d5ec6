"""Where a term takes its numbers from: the state of N robots, and what is computed from it.

A source is a function of row indices (n,) to values (n, K). The name of an `MjData` array is one,
so is the name of an array that the world keeps; every other one is made here, or beside what it
reads, by a function that `source` registers. `docs/reference/scene.md` has a table of all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import mujoco
import numpy as np

Read = Callable[[np.ndarray], np.ndarray]
"""Row indices (n,) → values (n, K); of all rows it may be the live array, not to be written to."""

SOURCES: dict[str, Callable[..., Read]] = {}
"""Name → ``(robots, **options) -> Read``."""


def source(name: str) -> Callable[[Callable[..., Read]], Callable[..., Read]]:
    """Register what makes a source for `Robots`; its keyword arguments are the term's options."""

    def register(make: Callable[..., Read]) -> Callable[..., Read]:
        if name in SOURCES:
            raise ValueError(f"a source named {name!r} exists already")
        SOURCES[name] = make
        return make

    return register


@dataclass(eq=False)
class Robots:
    """N robots as sources see them.

    Attributes:
        model: Of all of them.
        dt: A control step, s.
        steps: Control steps that each has made in its episode, (N,), live.
        bind: The name of an `MjData` array → it, live, (N, …).
        fields: Arrays that the world keeps by itself, live, (N, K).
        guide: Follows robots along their tracks, in worlds that have such; see `envs.guide`.
        all_rows: Where these very indices are asked for, nothing is copied.
    """

    model: mujoco.MjModel
    dt: float
    steps: np.ndarray
    bind: Callable[[str], np.ndarray]
    fields: dict[str, np.ndarray] = field(default_factory=dict)
    guide: Any = None

    def __post_init__(self) -> None:
        self.all_rows = np.arange(len(self.steps))
        self._made: dict[str, Read] = {}
        self._hooks: list[Callable[[np.ndarray], None]] = []

    def field(self, name: str) -> np.ndarray:
        """An array of the robots' state, live, (N, K)."""
        if name not in self.fields:
            try:
                values = self.bind(name)
            except (AttributeError, KeyError, ValueError) as error:
                known = ", ".join([*SOURCES, *self.fields])
                raise ValueError(
                    f"unknown source {name!r}; it is neither an array of MjData nor one of {known}"
                ) from error
            self.fields[name] = values.reshape(len(self.steps), -1)
        return self.fields[name]

    def source(self, name: str, **options: Any) -> Read:
        """A source, made once for all terms that name it with these options."""
        key = json.dumps([name, options], sort_keys=True)
        if key not in self._made:
            make = SOURCES.get(name)
            self._made[key] = _plain(self, name) if make is None else make(self, **options)
        return self._made[key]

    def before_step(self, hook: Callable[[np.ndarray], None]) -> None:
        """Have ``hook(rows)`` called at a reset and before each step."""
        self._hooks.append(hook)

    def remember(self, rows: np.ndarray) -> None:
        """Call what `before_step` was given."""
        for hook in self._hooks:
            hook(rows)


def _plain(robots: Robots, name: str) -> Read:
    values = robots.field(name)

    def read(rows: np.ndarray) -> np.ndarray:
        return values if rows is robots.all_rows else values[rows]

    return read


def picked(at: list[int] | None) -> slice | list[int]:
    """What takes the entries ``at`` of (n, K) along K: a slice, which copies nothing, if it can."""
    if at is None:
        return slice(None)
    if at and at == list(range(at[0], at[0] + len(at))):
        return slice(at[0], at[0] + len(at))
    return at


# The root's pose.


def _quaternion(robots: Robots, unit: bool) -> Callable[[np.ndarray], np.ndarray]:
    """The root's quaternions, (4, n); noise in a start leaves them longer than 1."""
    qpos = robots.source("qpos")

    def read(rows: np.ndarray) -> np.ndarray:
        quaternion = qpos(rows)[:, 3:7].T
        return quaternion / np.sqrt(np.square(quaternion).sum(0)) if unit else quaternion

    return read


def _heading(robots: Robots, heading: str, unit: bool = False) -> Read:
    """The root's yaw angle, (n,), rad: of a free joint, of one that hardly tilts, of a hinge."""
    qpos, quaternion = robots.source("qpos"), _quaternion(robots, unit)

    def free(rows: np.ndarray) -> np.ndarray:
        w, x, y, z = quaternion(rows)
        return np.arctan2(2 * (x * y + w * z), w * w + x * x - y * y - z * z)

    def twist(rows: np.ndarray) -> np.ndarray:
        w, z = qpos(rows)[:, [3, 6]].T.copy()
        return 2 * np.arctan2(z, w)

    def hinge(rows: np.ndarray) -> np.ndarray:
        return qpos(rows)[:, 2].copy()  # numpy rounds a sine of strided numbers otherwise

    kinds = {"free": free, "twist": twist, "hinge": hinge}
    if heading not in kinds:
        raise ValueError(f"unknown heading {heading!r}; choose from {', '.join(kinds)}")
    return kinds[heading]


@source("heading")
def heading(robots: Robots, of: str, unit: bool = False) -> Read:
    """Cosine and sine of the root's yaw angle."""
    angle = _heading(robots, of, unit)

    def read(rows: np.ndarray) -> np.ndarray:
        yaw = angle(rows)
        return np.column_stack([np.cos(yaw), np.sin(yaw)])

    return read


@source("gravity")
def gravity(robots: Robots, unit: bool = False) -> Read:
    """Direction of gravity in the root's axes."""
    quaternion = _quaternion(robots, unit)

    def read(rows: np.ndarray) -> np.ndarray:
        w, x, y, z = quaternion(rows)
        up = w * w - x * x - y * y + z * z
        return -np.column_stack([2 * (x * z - w * y), 2 * (y * z + w * x), up])

    return read


@source("cos")
def cosine(robots: Robots, of: str, entry: int) -> Read:
    """Cosine of one entry of a source: of a tilt in a vertical plane, say."""
    angle = robots.source(of)
    return lambda rows: np.cos(angle(rows)[:, entry].copy())[:, None]


@source("phase")
def phase(robots: Robots, period: float, offset: float = 0.0) -> Read:
    """Cosine and sine of a clock that goes round once in ``period`` seconds."""

    def read(rows: np.ndarray) -> np.ndarray:
        angle = 2 * np.pi * robots.steps[rows] * robots.dt / period + offset
        return np.column_stack([np.cos(angle), np.sin(angle)])

    return read


# How the root moves, and at what cost.


@source("yaw_rate")
def yaw_rate(robots: Robots, unit: bool = False) -> Read:
    """The root's angular velocity about the world's vertical, rad/s."""
    down, qvel = robots.source("gravity", unit=unit), robots.source("qvel")
    return lambda rows: -(down(rows) * qvel(rows)[:, 3:6]).sum(-1, keepdims=True)


def _turned(velocity: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
    """Velocities (n, 2 or 3) with the first two along and left of a heading."""
    vx, vy = velocity[:, 0], velocity[:, 1]
    return np.column_stack([vx * cos + vy * sin, vy * cos - vx * sin, *velocity.T[2:]])


@source("velocity")
def velocity(robots: Robots, heading: str) -> Read:
    """The root's velocity along and left of its heading at this moment, m/s."""
    qvel, way = robots.source("qvel"), robots.source("heading", of=heading)
    return lambda rows: _turned(qvel(rows)[:, :2], *way(rows).T)


def _place(robots: Robots, of: Mapping[str, Any]) -> tuple[Read, int]:
    """Where a robot is, and in how many coordinates."""
    if of["field"] != "com":
        values, entries = robots.source(of["field"]), picked(of["at"])
        return lambda rows: values(rows)[:, entries], len(of["at"])
    mass, bodies = robots.model.body_mass, robots.source("xipos")

    def centre(rows: np.ndarray) -> np.ndarray:
        moment = np.einsum("b,nbj->nj", mass, bodies(rows).reshape(len(rows), -1, 3))
        return (moment / mass.sum())[:, :2]

    return centre, 2


@source("moved")
def moved(
    robots: Robots, of: Mapping[str, Any], heading: str | None = None, unit: bool = False
) -> Read:
    """Mean velocity over the control step, m/s; with a heading, along and left of that."""
    if heading is not None:
        plain = robots.source("moved", of=of)
        way = robots.source("heading", of=heading, unit=unit)
        return lambda rows: _turned(plain(rows), *way(rows).T)
    place, size = _place(robots, of)
    before = np.zeros((len(robots.steps), size))

    def remember(rows: np.ndarray) -> None:
        before[rows] = place(rows)

    robots.before_step(remember)
    return lambda rows: (place(rows) - before[rows]) / robots.dt


@source("speed")
def speed(robots: Robots, of: Mapping[str, Any]) -> Read:
    """Speed over the ground in the control step, m/s."""
    plain = robots.source("moved", of=of)
    return lambda rows: np.sqrt(np.square(plain(rows)[:, :2]).sum(-1, keepdims=True))


@source("power")
def power(robots: Robots, dofs: list[int] | None = None) -> Read:
    """Σ |motor torque × joint velocity| over some degrees of freedom, W; 0 at a reset."""
    torque, qvel = robots.source("qfrc_actuator"), robots.source("qvel")
    entries = picked(dofs)

    def read(rows: np.ndarray) -> np.ndarray:
        work = np.abs(torque(rows)[:, entries] * qvel(rows)[:, entries]).sum(-1, keepdims=True)
        return np.where(robots.steps[rows, None] == 0, 0.0, work)

    return read
