"""How numbers are written for people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_WHOLE = re.compile(r"[+-]?[0-9]{1,4000}")


def number(value: float, spec: str = "") -> str:
    """A number with a true minus sign; a dash where there is none.

    The specification "" takes reading precision, "%" whole per cent ("44 %").
    """
    if not np.isfinite(value):
        return "–"
    if spec == "%":
        text = f"{round(100 * value)} %"
    elif spec:
        text = format(value, spec)
    else:
        text = f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"
        text = "0" if float(text) == 0 else text
    return text.replace("-", "−")


def unlike(one: float, other: float) -> tuple[str, str]:
    """Two numbers as `number` has them, with more digits where they would read alike."""
    texts = number(one), number(other)
    for digits in (3, 4, 5):
        if texts[0] != texts[1] or one == other:
            break
        texts = number(one, f".{digits}f"), number(other, f".{digits}f")
    return texts


def whole(text: str) -> int:
    """The whole number in a text, wherever one is read: digits 0 to 9, with a sign or not.

    Raises:
        ValueError: It is none. Python's own `int` also reads "1_000" and the digits of any script.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is no whole number; write it in digits 0 to 9")
    return int(text)


def decimal(text: str) -> float:
    """The number in a text, with a point or not; the words nan and inf are numbers too.

    Raises:
        ValueError: It is none.
    """
    if not text.isascii() or "_" in text:
        raise ValueError(f"{text!r} is no number; write it in digits 0 to 9, with a point")
    return float(text)


def listed(words: Sequence[str]) -> str:
    """Words with commas, and an "and" before the last."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def small(value: float) -> str:
    """A p value; a dash where there is none."""
    return "–" if value != value else f"{value:.2g}"


def duration(seconds: float) -> str:
    """A time as people say it: "40 s", "3 min 20 s", "2 h 5 min"."""
    total = max(1, round(seconds))
    if total < 60:
        return f"{total} s"
    minutes, rest = divmod(total, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its interval; `format` takes the specifications of `number`.

    ``f"{estimate}"`` is "0.93 (0.88 to 0.97)", ``f"{estimate:%}"`` is "44 % (39 to 48)".
    """

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, row: Any, value: str = "value", low: str = "low", high: str = "high") -> Estimate:
        """The estimate in a row of a table, a mapping or a series, from these columns."""
        return cls(float(row[value]), float(row[low]), float(row[high]))

    @property
    def sign(self) -> int:
        """+1 or −1 where the whole interval is above or below 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    def ends(self, spec: str = "") -> str:
        """The interval alone: "0.88 to 0.97"."""
        return " to ".join(number(end, spec).removesuffix(" %") for end in (self.low, self.high))

    def unclear(self, smallest: float, interest: float = 0.0, spec: str = "") -> str:
        """What to say where the interval holds 0, which is no finding of "no difference".

        ``smallest`` is the effect that could have been found (`stats.smallest_effect`),
        ``interest`` the smallest effect that would matter, fixed before the data. Only where the
        whole interval is shorter than that on both sides is anything said to be absent.
        """
        if max(abs(self.low), abs(self.high)) < interest:
            return f"no effect of {number(interest, spec)} or more: the whole interval lies within"
        if not np.isfinite(smallest):
            return "inconclusive: so few trainings could have found no effect"
        return (
            f"inconclusive: effects smaller than {number(smallest, spec)} could not have been found"
        )

    def __format__(self, spec: str) -> str:
        return f"{number(self.value, spec)} ({self.ends(spec)})"
