"""Methods of ablation: what a cut unit gives instead of its own value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

DEAD_STD = 1e-6
"""A unit that varies less than this is dead (by variance: a constant 1 carries nothing)."""


@dataclass(frozen=True, eq=False)
class SiteStats:
    """What a site does in the intact policy: values visited, (S, H) float32, evenly sampled."""

    samples: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean of each unit, (H,)."""
        return self.samples.mean(0, dtype=np.float64).astype(np.float32)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation of each unit, (H,)."""
        return self.samples.std(0, dtype=np.float64).astype(np.float32)


@dataclass(frozen=True)
class Kind:
    """A way to silence or disturb a unit.

    Attributes:
        make: (strength, intact statistics) -> (scale, shift), each a number or (H,).
        doc: One line for help texts.
        default: Strength when a lesion gives none; None if the kind takes no strength.
        draws: ``"sample"`` adds the site's values at another visited moment, the same moment for
            all cut units; ``"normal"`` adds ``shift`` times a standard normal number per unit.
        needs_activity: Whether ``make`` reads the statistics.
    """

    make: Callable[[float, SiteStats], tuple[float | np.ndarray, float | np.ndarray]]
    doc: str
    default: float | None = None
    draws: Literal["sample", "normal"] | None = None
    needs_activity: bool = False


KINDS: dict[str, Kind] = {
    "zero": Kind(lambda _, stats: (0.0, 0.0), "output 0 (Morcos et al. 2018); for tanh mid-range"),
    "mean": Kind(
        lambda _, stats: (0.0, stats.mean),
        "the unit's mean in the intact policy",
        needs_activity=True,
    ),
    "resample": Kind(
        lambda _, stats: (0.0, 0.0),
        "the units' joint values at a random other moment",
        draws="sample",
        needs_activity=True,
    ),
    "noise": Kind(
        lambda s, stats: (1.0, s * stats.std),
        "normal noise of strength × the unit's s.d. added",
        default=1.0,
        draws="normal",
        needs_activity=True,
    ),
    "clamp": Kind(lambda s, stats: (0.0, s), "held at the value given as strength", default=1.0),
    "gain": Kind(lambda s, stats: (s, 0.0), "multiplied by the strength; 1 is intact", default=0.5),
}
