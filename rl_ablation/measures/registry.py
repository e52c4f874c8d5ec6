"""Measures: what a robot's behaviour comes to in numbers, one number an episode.

A measure is a function ``Trace -> (N,)`` that names the signals it reads. It applies wherever the
environment gives those signals. Two kinds of number are kept apart on purpose:

* over the *horizon* (plain name): the whole time limit counts, and a robot that has ended
  scores 0, or keeps its last value, for the rest;
* *while alive* (name ending in ``.alive``): only the steps that the robot made count; an episode
  with fewer than ``MIN_STEPS`` of them gives NaN. A robot that drives well and then crashes has
  lost the first kind but not the second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.files import one_line
from rl_ablation.rollouts.rollout import Trace

MIN_STEPS = 10
ALIVE = ".alive"

Function = Callable[[Trace], np.ndarray]


@dataclass(frozen=True)
class Words:
    """How a change of a measure is told of the robot: "moves at 40 % of its speed".

    Attributes:
        changed: What the robot does, with ``{of}`` ("40 % of", "1.4 times"), ``{as}`` ("40 % as",
            "1.4 times as"), ``{now}`` and ``{was}`` (values with their unit), or, of a share of
            episodes, ``{count}`` ("20 of 24").
        gone: The same where less than 5 % is left; of an `ending`, where no episode ends so.
        turned: The same where the sign has changed.
    """

    changed: str
    gone: str = ""
    turned: str = ""


@dataclass(frozen=True)
class Measure:
    """A named measure.

    Attributes:
        name: Unique.
        function: ``Trace -> (N,)`` float; NaN where it does not apply.
        signals: What it reads.
        unit: Of its values; "" for plain numbers.
        better: +1 if more is better, −1 if less is, 0 if neither.
        doc: One line.
        summary: It only sums up what other measures tell apart, so findings leave it out.
        task: It is the score of the world's task, or of a part of it: whether the robot does what
            it is there for.
        economy: It tells how cheaply or smoothly that is done, which a robot that stands still gets
            for nothing. It counts as better only where the task is still done.
        lifetime: It tells how long the robot lasted.
        ending: For a measure of how episodes end: the word for it in a film, where the signal that
            it reads is true at the end: ``"crashed"``.
        first: It is among the few that a report shows before all others.
        words: How its change is told in a sentence. One over the horizon that has none is told with
            those of its twin while alive, as far as no robot ended early.
        error_of: For the error of a command: the measure of what was commanded.
    """

    name: str
    function: Function
    signals: tuple[str, ...]
    unit: str
    better: int
    doc: str
    summary: bool = False
    task: bool = False
    economy: bool = False
    lifetime: bool = False
    ending: str = ""
    first: bool = False
    words: Words | None = None
    error_of: str = ""

    @property
    def label(self) -> str:
        """The name as figures print it."""
        base, alive, _ = self.name.partition(ALIVE)
        return base.replace("_", " ") + (" (alive)" if alive else "")


IN = ": "


def in_condition(condition: str, measure: str) -> str:
    """The name of a measure taken under one condition only: ``turn_left: yaw_error``."""
    return condition + IN + measure


def parted(name: str) -> tuple[str, str]:
    """Condition and measure of a name of `in_condition`; of any other, "" and the name."""
    condition, _, measure = name.rpartition(IN)
    return condition, measure


class _Registry(dict[str, Measure]):
    """Measures by name. A name of `in_condition` is looked up too: it is a behaviour of its own,
    and to do it is the task under that condition."""

    def __missing__(self, name: str) -> Measure:
        condition, known = parted(name)
        if not condition:
            raise KeyError(name)
        return replace(self[known], name=name, task=True)


MEASURES: dict[str, Measure] = _Registry()


def measure(
    *,
    signals: Sequence[str] = (),
    unit: str = "",
    better: int = 0,
    name: str | None = None,
    doc: str | None = None,
    **about: Any,
) -> Callable[[Function], Function]:
    """Register a measure; ``doc``, or the function's docstring, gives its one-line help text.

    ``about`` is for `Measure`: summary, task, economy, lifetime, ending, first, words, error_of.
    """

    def register(function: Function) -> Function:
        key = name or function.__name__
        if key in MEASURES:
            raise ValueError(f"a measure named {key!r} exists already")
        line = doc or (function.__doc__ or "").strip().partition("\n")[0]
        MEASURES[key] = Measure(key, function, tuple(signals), unit, better, line, **about)
        return function

    return register


def averaged(
    name: str,
    value: Callable[[Trace], np.ndarray] | None = None,
    *,
    signals: Sequence[str] = (),
    unit: str,
    better: int,
    doc: str,
    after: str = "zero",
    **about: Any,
) -> None:
    """Register a time average twice: over the horizon, and while alive as ``name.alive``.

    It is that of ``value``, ``Trace -> (T, N)``, which reads ``signals``, or of the signal of that
    name. Over the horizon an ended robot scores ``"zero"`` or, ``after="hold"``, its last value.
    ``about`` is for `Measure`; of it ``first`` and ``words`` are for the average while alive only.
    """
    if value is None:
        signals, value = (name,), lambda trace: trace[name]

    def horizon(trace: Trace) -> np.ndarray:
        values = np.where(trace.alive, value(trace), 0.0)
        if after == "hold":
            last = values[np.maximum(trace.steps - 1, 0), np.arange(values.shape[1])]
            values = np.where(trace.alive, values, last)
        return values.mean(0, dtype=np.float64)

    def alive(trace: Trace) -> np.ndarray:
        return over(value(trace), trace.alive)

    ended = "keeps its last value" if after == "hold" else "counts 0"
    shown = {key: about.pop(key) for key in ("first", "words") if key in about}
    about |= {"signals": signals, "unit": unit, "better": better}
    measure(name=name, doc=f"{doc} over the horizon; an ended robot {ended}", **about)(horizon)
    measure(name=name + ALIVE, doc=f"{doc} while alive", **about, **shown)(alive)


def over(values: np.ndarray, where: np.ndarray, least: int = MIN_STEPS) -> np.ndarray:
    """Mean over time of ``values`` (T, N) at the steps ``where``; NaN with fewer than ``least``."""
    count = where.sum(0)
    total = np.where(where, values, 0.0).sum(0, dtype=np.float64)
    return np.where(count >= least, total / np.maximum(count, 1), np.nan)


def applicable(signals: Iterable[str]) -> list[Measure]:
    """The measures that can be taken from these signals, in order of registration."""
    have = set(signals)
    return [m for m in MEASURES.values() if have.issuperset(m.signals)]


def choose(names: Sequence[str] | None, signals: Iterable[str]) -> list[Measure]:
    """The named measures, or all that apply; a LabError for no name, or one that does not apply."""
    signals = set(signals)
    fit = {m.name: m for m in applicable(signals)}
    if names is None:
        return list(fit.values())
    if not names:
        raise LabError(f"no measures; choose from {', '.join(fit)}")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise LabError(f"measure {twice[0]!r} is named twice; name it once")
    for name in names:
        if name not in MEASURES:
            raise LabError(f"unknown measure {name!r}; choose from {', '.join(fit)}")
        if name not in fit:
            lacking = ", ".join(sorted(set(MEASURES[name].signals) - signals))
            raise LabError(f"measure {name!r} needs signals this world lacks: {lacking}")
    return [fit[name] for name in names]


def evaluate(measures: Sequence[Measure], trace: Trace) -> Mapping[str, np.ndarray]:
    """Take the measures: name → (N,) float64; a robot's numbers do not depend on the others.

    Raises:
        LabError: A measure cannot be taken, such as of a signal with another shape than it reads.
    """
    rows = trace.alive.shape[1]
    if rows == 1:  # numpy adds up a lone column in another order than one of several
        trace = trace.rows([0, 0])
    values = {}
    for m in measures:
        try:
            values[m.name] = np.asarray(m.function(trace), np.float64)[:rows]
        except (ValueError, TypeError, IndexError) as error:
            how = "measure others (--measures)"
            why = f"cannot be taken here, {type(error).__name__}: {one_line(error)}"
            raise LabError(f"measure {m.name!r} {why}; {how}") from error
    return values
