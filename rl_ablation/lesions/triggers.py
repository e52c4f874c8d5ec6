"""Conditions on what a world says, such as ``"bend > 0.15"``: a lesion that lasts only while true.

They are read by a small strict grammar and never executed: one or two comparisons of a signal, or
of one entry of a vector signal (``"foot_contact[2] > 0"``), with a number, joined by ``and``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rl_ablation.errors import LabError

OPERATORS: dict[str, Callable[[Any, Any], Any]]
OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_TERM = re.compile(
    r"\s*([A-Za-z]\w*)(?:\[(\d{1,6})\])?\s*(<=|>=|<|>)\s*"
    r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?)\s*",
    re.ASCII,
)
_MOST = 2  # comparisons


@dataclass(frozen=True)
class Term:
    """One comparison: a signal, or an entry of it, against a number."""

    signal: str
    index: int | None
    sign: str
    bound: float

    def __str__(self) -> str:
        entry = "" if self.index is None else f"[{self.index}]"
        return f"{self.signal}{entry} {self.sign} {repr(self.bound).removesuffix('.0')}"


def parse(text: str) -> tuple[Term, ...]:
    """The comparisons of a condition; a LabError if the text is none."""
    terms: list[Term] = []
    for part in re.split(r"\sand\s", text):
        match = _TERM.fullmatch(part)
        if match is None or len(terms) == _MOST:
            raise LabError(
                f"cannot read the condition {text!r}; write SIGNAL OPERATOR NUMBER, as in "
                "'bend > 0.15' or 'foot_contact[2] > 0', with an operator of "
                f"{' '.join(OPERATORS)}, once or twice joined by 'and'"
            )
        signal, index, sign, bound = match.groups()
        terms.append(Term(signal, None if index is None else int(index), sign, float(bound)))
    return tuple(terms)


def canonical(text: str) -> str:
    """The one spelling of a condition; see `parse`."""
    return " and ".join(map(str, parse(text)))


class Triggers:
    """The conditions of N robots' lesions, in the order of their rows; None always holds."""

    def __init__(self, conditions: Sequence[str | None]) -> None:
        self._terms: list[tuple[Term, np.ndarray]] = []
        for text in dict.fromkeys(conditions):
            if text is not None:
                having = np.array([other == text for other in conditions])
                self._terms += [(term, having) for term in parse(text)]

    def unmet(
        self, signals: Mapping[str, Any], rows: np.ndarray, *, started: bool = True
    ) -> np.ndarray | None:
        """Which of ``rows`` (n,) run unlesioned, given what the world said last; None is no row.

        A value that is not a number, or that the world did not give for a row, triggers nothing.
        Signals are name → (N, …), with masks ``_name`` of the rows they hold for, as in infos.
        Before a step has been made, not ``started``, a world may not give all of them yet.

        Raises:
            LabError: The world gives no such signal, or not of that shape.
        """
        if not self._terms:
            return None
        closed = np.zeros(len(rows), bool)
        for term, having in self._terms:
            mine = having[rows]
            if term.signal not in signals:
                if started and mine.any():
                    raise LabError(_unknown(term, signals, len(having)))
                closed |= mine
                continue
            value = _entry(term, signals, len(having))[rows]
            holds = OPERATORS[term.sign](value, term.bound)
            if (there := signals.get(f"_{term.signal}")) is not None:
                holds = holds & there[rows]
            closed |= mine & ~holds
        return closed


def _entry(term: Term, signals: Mapping[str, Any], rows: int) -> np.ndarray:
    values = signals[term.signal]
    if not _numeric(values, rows):
        raise LabError(_unknown(term, signals, rows))
    if term.index is None and values.ndim == 1:
        return values
    if term.index is not None and values.ndim == 2 and term.index < values.shape[1]:
        return values[:, term.index]
    index = f"with an index from 0 to {values.shape[-1] - 1}"
    allowed = "without an index" if values.ndim == 1 else index
    raise LabError(f"condition '{term}': write {term.signal!r} {allowed}")


def _numeric(values: Any, rows: int) -> bool:
    array = isinstance(values, np.ndarray) and values.ndim in (1, 2) and len(values) == rows
    return array and values.dtype.kind in "fiub"


def _unknown(term: Term, signals: Mapping[str, Any], rows: int) -> str:
    known = [k for k, v in signals.items() if not k.startswith("_") and _numeric(v, rows)]
    return f"condition '{term}': no signal {term.signal!r}; this world gives {', '.join(known)}"
