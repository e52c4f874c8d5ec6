"""What a robot senses, what its motors are told and how it ends, as plain data; numpy reads it.

A *term* is a dict that JSON can hold: a source, which of its entries, and what is done to them.
The world states its observation, its signals and its ends in terms, once: here they are read for a
batch of robots, and whatever else plays the world (a web page, say) reads the same data.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from envs.sources import Read, Robots, picked

Term = dict[str, Any]
"""``{"source": …, "at": …, …}``; see `term`."""

End = dict[str, Any]
"""``{"name": …, "term": …, one test}``; see `end`."""

_SHAPING = {"source", "at", "minus", "scale", "over", "clip", "history", "vector"}


def plain(value: Any) -> Any:
    """Numbers, arrays, ranges and tuples as JSON has them; infinities as None."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and np.isinf(value) else value


def term(source: str, **about: Any) -> Term:
    """Say a term: (source[at] − minus) · scale / over, then clipped.

    Args:
        source: One of `envs.sources`, an array of `MjData`, or one that the world keeps.
        **about: ``at``: entries of the source, all if absent. ``minus``, ``scale``, ``over``: a
            number, or one for each entry. ``clip``: lowest and highest value. ``history``: so many
            last values, the oldest first, filled with the first one at a reset. ``vector``: a
            signal that is a vector even of one entry. Everything else is for the source.
    """
    return plain({"source": source, **about})


def end(name: str, term: Term, **test: Any) -> End:
    """Say what ends an episode: a test that one of a term's values has to pass.

    Args:
        name: What it is called; several tests may share a name.
        term: What is tested.
        **test: One of ``at_most=v``, ``below=v``, ``outside=(low, high)`` (not low < value < high),
            ``beyond=(low, high)`` (not low ≤ value ≤ high), or ``gains_less=v, within=s``: grown by
            less than v in s seconds. None or ±inf is no limit.
    """
    return plain({"name": name, "term": term, **test})


def gauge(
    signal: str,
    unit: str,
    low: float,
    high: float,
    *,
    label: str | None = None,
    measure: str | None = None,
    take: str = "mean",
    **about: Any,
) -> Mapping[str, Any]:
    """Say how a behaviour is shown: a bar of what a signal is now, and a number for the episode.

    Args:
        signal: One of the world's, (n,).
        unit: Of the signal.
        low: Where the bar begins; it has room for intact and for damaged robots.
        high: Where it ends.
        label: What people call it.
        measure: The measure of the instrument that the number is; ``signal.alive`` if not given.
        take: The number: ``mean`` over the steps, ``mean_abs`` of the absolute value, ``last``.
        **about: ``sign=-1`` turns the signal round; ``while_="bend > 0.15"`` counts steps in which
            that held; ``wanted="command_vx"``: a signal to mark, whose difference is averaged.
    """
    name = measure or f"{signal}.alive"
    about = {key.rstrip("_"): item for key, item in about.items()}
    told = {"signal": signal, "label": label or signal.replace("_", " "), "unit": unit}
    return plain({**told, "low": low, "high": high, "measure": name, "take": take, **about})


@dataclass(frozen=True)
class Control:
    """From what a policy says to what the motors are told: offset + scale · clip(said).

    Attributes:
        clip: Lowest and highest action; None takes it as it comes.
        scale: Of an action, a number or one for each motor.
        offset: Likewise.
    """

    clip: tuple[float, float] | None = None
    scale: float | np.ndarray = 1.0
    offset: float | np.ndarray = 0.0

    def action(self, said: np.ndarray) -> np.ndarray:
        """The actions that count, (n, A)."""
        return said if self.clip is None else np.clip(said, *self.clip)

    def ctrl(self, action: np.ndarray) -> np.ndarray:
        """The controls, (n, A)."""
        return self.offset + self.scale * action


@dataclass(frozen=True)
class Description:
    """What a world says of itself, so that it can be played elsewhere.

    Attributes:
        observation: Its terms, one behind the other; clipped to the observation space.
        control: From actions to controls.
        signals: Name → term, as among the infos, at a reset too.
        step_signals: Those that only a step gives.
        ends: What ends an episode; the first that hits counts.
        gauges: What shows behaviour, the most important first.
        camera: What a following camera looks at: ``{"body": …, "distance": m}``.
        commands: Names, units and limits of what a robot can be told, if it can.
        push: Where and how hard a robot can be pushed, if it can.
    """

    observation: Sequence[Term]
    control: Control = Control()
    signals: Mapping[str, Term] = field(default_factory=dict)
    step_signals: Mapping[str, Term] = field(default_factory=dict)
    ends: Sequence[End] = ()
    gauges: Sequence[Mapping[str, Any]] = ()
    camera: Mapping[str, Any] = field(default_factory=dict)
    commands: Mapping[str, Any] | None = None
    push: Mapping[str, Any] | None = None


def value(robots: Robots, said: Term) -> Read:
    """Make what reads one term, (n, K); of all rows and unchanged, it is the live array."""
    options = {key: item for key, item in said.items() if key not in _SHAPING}
    read, entries = robots.source(said["source"], **options), picked(said.get("at"))
    changes = [
        (operation, np.asarray(by) if isinstance(by, list) else by)
        for name, operation in _OPERATIONS.items()
        if (by := said.get(name)) is not None
    ]
    limits = said.get("clip")

    def once(rows: np.ndarray) -> np.ndarray:
        values = read(rows)[:, entries]
        for operation, by in changes:
            values = operation(values, by)
        return values if limits is None else np.clip(values, *limits)

    return once if said.get("history", 1) == 1 else _History(robots, once, said["history"])


_OPERATIONS = {"minus": operator.sub, "scale": operator.mul, "over": operator.truediv}


class _History:
    """The last values of a term, oldest first; to be read once a control step."""

    def __init__(self, robots: Robots, read: Read, length: int) -> None:
        self._robots, self._read, self._length = robots, read, length
        self._kept: np.ndarray | None = None

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        now, started = self._read(rows), self._robots.steps[rows] == 0
        if self._kept is None:
            self._kept = np.zeros((len(self._robots.steps), self._length, now.shape[1]))
        kept = np.concatenate([self._kept[rows, 1:], now[:, None]], axis=1)
        kept[started] = now[started, None]
        self._kept[rows] = kept
        return kept.reshape(len(rows), -1)


class Observer:
    """Reads an observation: its terms behind each other in the space's type, clipped to it.

    Args:
        robots: Whose.
        terms: See `term`.
        space: Of one robot.
    """

    def __init__(self, robots: Robots, terms: Iterable[Term], space: gym.spaces.Box) -> None:
        self._reads = [value(robots, said) for said in terms]
        self._out = np.zeros((len(robots.steps), *space.shape), space.dtype)
        self._limits = limits(space)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return (n, D), valid until the next call."""
        out, start = self._out[: len(rows)], 0
        for read in self._reads:
            values = read(rows)
            stop = start + values.shape[1]
            out[:, start:stop] = values
            start = stop
        if start != out.shape[1]:
            raise ValueError(f"the terms give {start} numbers, the space has {out.shape[1]}")
        return out if self._limits is None else np.clip(out, *self._limits, out=out)


def limits(space: gym.spaces.Box) -> tuple[float, float] | None:
    """Lowest and highest observation; None for a space without limits."""
    low, high = np.unique(space.low), np.unique(space.high)
    if len(low) > 1 or len(high) > 1:
        raise ValueError("an observation said in terms has the same limits in all its entries")
    return None if np.isinf([low, high]).all() else (float(low[0]), float(high[0]))


class Signals:
    """Reads signals, name → (n,), or (n, K) for vectors."""

    def __init__(self, robots: Robots, terms: Mapping[str, Term]) -> None:
        self._reads = {
            name: (value(robots, said), said.get("vector", False)) for name, said in terms.items()
        }

    def __call__(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return copies: what is live moves on."""
        told = {}
        for name, (read, vector) in self._reads.items():
            values = read(rows)
            told[name] = (values if vector or values.shape[1] > 1 else values[:, 0]).copy()
        return told


class Ends:
    """Tells which robots have come to which end; to be asked once after each step."""

    def __init__(self, robots: Robots, ends: Sequence[End]) -> None:
        self._tests = [(said["name"], _test(robots, said)) for said in ends]

    def __call__(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return name → (n,) bool; the first end that hits is the one."""
        told: dict[str, np.ndarray] = {}
        done = np.zeros(len(rows), dtype=bool)
        for name, test in self._tests:
            hit = test(rows)
            told[name] = told.get(name, False) | (hit & ~done)
            done |= hit
        return told


def _test(robots: Robots, said: End) -> Callable[[np.ndarray], np.ndarray]:
    """Make what tells which rows pass the test of an end, (n,) bool."""
    read = value(robots, said["term"])
    if "at_most" in said:
        return lambda rows: (read(rows) <= said["at_most"]).any(-1)
    if "below" in said:
        return lambda rows: (read(rows) < said["below"]).any(-1)
    if "gains_less" in said:
        return _gains_less(robots, read, said["gains_less"], round(said["within"] / robots.dt))
    open_ended = "outside" in said
    low, high = said["outside" if open_ended else "beyond"]
    low, high = -np.inf if low is None else low, np.inf if high is None else high
    within = operator.lt if open_ended else operator.le

    def outside(rows: np.ndarray) -> np.ndarray:
        values = read(rows)
        return ~(within(low, values) & within(values, high)).all(-1)

    return outside


def _gains_less(
    robots: Robots, read: Read, gain: float, within: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Make what tells who has gained less than that within so many steps."""
    kept = np.zeros((len(robots.steps), within))  # a ring: the values of the last steps

    def test(rows: np.ndarray) -> np.ndarray:
        steps, values = robots.steps[rows], read(rows)[:, 0]
        slot = steps % within
        # Where too few steps have been made, the ring still holds another episode's.
        hit = (steps > within) & (values - kept[rows, slot] < gain)
        kept[rows, slot] = values
        return hit

    return test
