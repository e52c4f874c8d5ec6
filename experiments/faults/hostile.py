"""Hostile files: policies, cards, zips and run folders made to run something, to hang, or to crash.

`make` gives the k-th of a seed. Families take turns; each draws its own from a generator, so a file
is the same whatever was made before it.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Odd = Literal["pipe", "device", "door", "loop", "nowhere", "folder", "hole"]
ODD: tuple[Odd, ...] = ("pipe", "device", "door", "loop", "nowhere", "folder", "hole")
"""Files that are no regular ones, or of a size that is none."""

RAN = "it-ran"
"""A file that is there if anything of a hostile file was run."""
PAYLOAD = "hostile_payload"
"""A module beside each hostile file, which makes that file when it is imported."""


@dataclass(frozen=True)
class Hostile:
    """Files to be written into an empty folder, and which of them is opened.

    ``parts`` are path → content, or what odd kind of file is there.
    """

    what: str
    opened: str
    parts: Mapping[str, bytes | Odd]


Draw = np.random.Generator
FAMILIES: list[Callable[[Draw, Mapping[str, bytes]], Hostile]] = []


def family(
    function: Callable[[Draw, Mapping[str, bytes]], Hostile],
) -> Callable[[Draw, Mapping[str, bytes]], Hostile]:
    """Register what makes files of a family, of a draw and of the files of a good run."""
    FAMILIES.append(function)
    return function


def make(seed: int, k: int, run: Mapping[str, bytes]) -> Hostile:
    """The k-th hostile file of a seed; ``run`` are the files of a good run folder."""
    return FAMILIES[k % len(FAMILIES)](np.random.default_rng([seed, k]), run)


def pick(draw: Draw, values: Any) -> Any:
    """One of some values."""
    listed = list(values)
    return listed[int(draw.integers(len(listed)))]


def near(draw: Draw) -> int:
    """A number that is ordinary, at an edge, or far beyond."""
    ends = [0, 1, 2, 8, 4096, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64, 2**300]
    return int(pick(draw, ends)) * int(pick(draw, [1, 1, 1, -1])) + int(draw.integers(-1, 2))


_LETTERS = string.printable + "\x1b[2J\u202e\u2028é本\x00"


def word(draw: Draw) -> str:
    """A text as it may stand in a file of a stranger."""
    some = "".join(pick(draw, _LETTERS) for _ in range(int(draw.integers(0, 30))))
    texts = [some, "../" * 9 + "etc/passwd", "/dev/stdin", "a" * 9999, "$\\bad{$", "x\x1b[2J\r\n"]
    return pick(draw, [*texts, "{{7*7}}", "<script>x()</script>", "%s%n", "~/x", "a\x00b", ""])


def odd_value(draw: Draw, depth: int = 2) -> Any:
    """A value of JSON that nobody expects."""
    kind = int(draw.integers(9 if depth else 7))
    if kind == 0:
        return pick(draw, [None, True, False, [], {}])
    if kind in (1, 2):
        return near(draw)
    if kind == 3:
        return pick(draw, [float("nan"), float("inf"), -float("inf"), 1e308, -0.0, 1e-320, -1.5])
    if kind == 4:
        return 10 ** int(draw.integers(300, 4000))
    if kind in (5, 6):
        return word(draw)
    many = range(int(pick(draw, [1, 2, 3, 300])))
    if kind == 7:
        return [odd_value(draw, depth - 1) for _ in many]
    return {f"{word(draw)[:20]}{k}": odd_value(draw, depth - 1) for k in many}
