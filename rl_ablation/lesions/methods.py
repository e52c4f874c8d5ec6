"""Methods of ablation: what a cut unit gives instead of its own value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.lesions.streams import normals, uniforms, unit_keys
from rl_ablation.policies.cuts import project

DEAD_STD = 1e-6
"""A unit that varies less than this is dead (by variance: a constant 1 carries nothing)."""


@dataclass(frozen=True, eq=False)
class SiteStats:
    """What a site does in the intact policy: values visited, (S, H) float32, evenly sampled.

    ``conditions`` numbers the condition of each moment, (S,); None where there are none.
    """

    samples: np.ndarray
    conditions: np.ndarray | None = None

    def at(self, moments: Sequence[int]) -> SiteStats:
        """The same of some of the moments only."""
        which = list(moments)
        return SiteStats(
            self.samples[which], None if self.conditions is None else self.conditions[which]
        )

    def along(self, axes: np.ndarray) -> SiteStats:
        """The coordinates along directions (K, H) as if each were a unit, (S, K)."""
        turned = [project(self.samples, axis) for axis in axes]
        return SiteStats(np.stack(turned, 1).astype(np.float32), self.conditions)

    @property
    def mean(self) -> np.ndarray:
        """Mean of each unit, (H,)."""
        return self.samples.mean(0, dtype=np.float64).astype(np.float32)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation of each unit, (H,)."""
        return self.samples.std(0, dtype=np.float64).astype(np.float32)


Make = Callable[[float, SiteStats], tuple[float | np.ndarray, float | np.ndarray]]
"""(strength, intact statistics) -> (scale, shift), each a number or (H,)."""

Draw = Callable[..., np.ndarray]
"""(keys (n,) of row and step, site, shift (n, H), intact statistics) -> the shift drawn, (n, H).
Modes that are ``alike`` are also given the visited moments most like the present one, (n, K)."""


@dataclass(frozen=True)
class DrawMode:
    """A way to draw anew at every step; ``doc`` is one line, ``alike`` as in `Draw`.

    ``values`` says that it draws values of the site, of which a cut along directions takes the
    part along them; else it draws a number for each unit, or direction, that is cut.
    """

    function: Draw
    doc: str
    alike: bool = False
    values: bool = False


@dataclass(frozen=True)
class Kind:
    """A way to silence or disturb a unit: ``make`` says what it does to it, ``doc`` in one line.

    ``default`` is the strength when a lesion gives none, None if the kind takes none. ``draws`` is
    the name of the draw mode, of ``DRAWS``, that makes the shift of each step out of ``make``'s;
    None draws nothing. ``needs_activity`` says whether it reads the statistics. ``within`` says
    that a cut unit gives values that it also gives in the intact policy, so that the next layer
    stays near what it is used to: only such kinds carry claims where one of them was run. ``told``
    is what was done to the units, for a sentence: "set to zero"; with ``{strength}`` if it matters.
    """

    make: Make
    doc: str
    default: float | None = None
    draws: str | None = None
    needs_activity: bool = False
    within: bool = False
    told: str = ""


DRAWS: dict[str, DrawMode] = {}
KINDS: dict[str, Kind] = {}


def draw(
    name: str, doc: str, *, alike: bool = False, values: bool = False
) -> Callable[[Draw], Draw]:
    """Register a function as a draw mode; its numbers come from `rl_ablation.lesions.streams`."""

    def register(function: Draw) -> Draw:
        if name in DRAWS:
            raise LabError(f"a draw mode named {name!r} exists already")
        DRAWS[name] = DrawMode(function, doc, alike, values)
        return function

    return register


def kind(name: str, doc: str, **how: Any) -> Callable[[Make], Make]:
    """Register a function as a kind of cut; ``how`` is for `Kind`: default, draws, ….

    A LabError if there is such a kind already, or no such draw mode.
    """

    def register(make: Make) -> Make:
        made = Kind(make, doc, **how)
        if name in KINDS:
            raise LabError(f"a kind named {name!r} exists already")
        if made.draws is not None and made.draws not in DRAWS:
            known = ", ".join(DRAWS)
            raise LabError(f"kind {name!r}: no draw mode {made.draws!r}; choose from {known}")
        KINDS[name] = made
        return make

    return register


def usages() -> dict[str, str]:
    """Every kind by name, and what it does."""
    return {name: known.doc for name, known in KINDS.items()}


@draw("sample", "the site's values at another visited moment, the same one for all cut units",
      values=True)  # fmt: skip
def _sample(keys: np.ndarray, site: str, shift: np.ndarray, stats: SiteStats) -> np.ndarray:
    return stats.samples[(uniforms(keys) * len(stats.samples)).astype(np.int64)]


@draw(
    "alike", "the site's values at a visited moment like the present one", alike=True, values=True
)
def _alike(
    keys: np.ndarray, site: str, shift: np.ndarray, stats: SiteStats, moments: np.ndarray
) -> np.ndarray:
    which = (uniforms(keys) * moments.shape[1]).astype(np.int64)
    return stats.samples[moments[np.arange(len(which)), which]]


@draw("normal", "shift times a standard normal number, one for each unit")
def _normal(keys: np.ndarray, site: str, shift: np.ndarray, stats: SiteStats) -> np.ndarray:
    return shift * normals(unit_keys(keys, site, shift.shape[1])).astype(np.float32)


kind(
    "zero", "output 0 (Morcos et al. 2018); for tanh mid-range", told="set to zero"
)(lambda _, stats: (0.0, 0.0))  # fmt: skip
kind(
    "mean", "the unit's mean in the intact policy", needs_activity=True, within=True,
    told="held at their mean",
)(lambda _, stats: (0.0, stats.mean))  # fmt: skip
kind(
    "resample", "the units' joint values at a random other moment",
    draws="sample", needs_activity=True, within=True, told="given their values of other moments",
)(lambda _, stats: (0.0, 0.0))  # fmt: skip
kind(
    "conditional", "the units' joint values at a visited moment like the present one",
    draws="alike", needs_activity=True, within=True, told="given their values of like moments",
)(lambda _, stats: (0.0, 0.0))  # fmt: skip
kind(
    "noise", "normal noise of strength × the unit's s.d. added",
    default=1.0, draws="normal", needs_activity=True,
    told="under noise of {strength} times their spread",
)(lambda s, stats: (1.0, s * stats.std))  # fmt: skip
kind(
    "stimulate", "strength × the unit's s.d. added", default=1.0, needs_activity=True,
    told="stimulated by {strength} times their spread",
)(lambda s, stats: (1.0, s * stats.std))  # fmt: skip
kind(
    "clamp", "held at the value given as strength", default=1.0, told="held at {strength}"
)(lambda s, stats: (0.0, s))  # fmt: skip
kind(
    "gain", "multiplied by the strength; 1 is intact", default=0.5, told="multiplied by {strength}"
)(lambda s, stats: (s, 0.0))  # fmt: skip
