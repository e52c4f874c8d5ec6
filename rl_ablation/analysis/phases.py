"""Phases of a gait, and how far numbers depend on an angle or on a place: circular statistics.

An angle has no first and no last value, so numbers are held against its sine and cosine, and those
of its multiples where more than one wave a turn is looked for. With one wave that is the cosinor
fit, and its R² the squared circular-linear correlation (Mardia 1976, "Linear-circular correlation
coefficients and rhythmometry"). Whether there is any dependence is asked of ranks, by exchanging
the angles of whole episodes: both the numbers and the angles of an episode keep their course, so
that what drifts slowly in both is not taken for a dependence (Harris 2020, "Nonsense correlations
in neuroscience").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from rl_ablation.stats import LEVEL, POWER

DRAWS = 1999
"""Exchanges of episodes."""
GRID = 48  # places at which a fitted curve is looked at
_MIDDLE = (0.05, 0.95)  # quantiles between which a curve over no angle is looked at


def resultant(angles: np.ndarray) -> tuple[float, float]:
    """Length (0 to 1) and direction (rad) of the mean of unit vectors; NaN are left out.

    1 where all angles are one, 0 where they are spread evenly.
    """
    known = angles[np.isfinite(angles)]
    if not known.size:
        return float("nan"), float("nan")
    mean = np.exp(1j * known).mean()
    return float(abs(mean)), float(np.angle(mean) % (2 * np.pi))


def basis(values: np.ndarray, harmonics: int) -> np.ndarray:
    """What numbers are held against: of an angle, ``harmonics`` waves, (…, 2·harmonics); with 0
    harmonics of a plain number, itself and its square, (…, 2)."""
    if not harmonics:
        return np.stack([values, values**2], axis=-1)
    turns = [k * values for k in range(1, harmonics + 1)]
    return np.stack([wave(turn) for turn in turns for wave in (np.cos, np.sin)], axis=-1)


@dataclass(frozen=True, eq=False)
class Curve:
    """A least-squares curve over an angle or a number: ``at`` (G,), the curve there, ``fitted``."""

    at: np.ndarray
    fitted: np.ndarray

    @property
    def amplitude(self) -> float:
        """Half of what lies between its highest and its lowest value."""
        return float(np.ptp(self.fitted) / 2)

    @property
    def strongest(self) -> float:
        """Where it is furthest from 0."""
        return float(self.at[np.abs(self.fitted).argmax()])

    def like(self, other: Curve) -> bool:
        """Whether two curves over the same places rise and fall together."""
        return bool((self.fitted - self.fitted.mean()) @ (other.fitted - other.fitted.mean()) > 0)


def curve(x: np.ndarray, y: np.ndarray, harmonics: int) -> Curve:
    """Fit numbers ``y`` over an angle or a number ``x``, of one shape; NaN are left out.

    A curve over no angle is looked at where the middle 90 % of ``x`` lie. NaN where there are fewer
    numbers than the curve has parts.
    """
    known = np.isfinite(x)
    if harmonics:
        at = np.arange(GRID) * 2 * np.pi / GRID
    elif known.any():
        low, high = np.quantile(x[known], _MIDDLE)
        at = np.linspace(low, high, GRID)
    else:
        at = np.full(GRID, np.nan)
    there = known & np.isfinite(y)
    parts, shown = (np.column_stack([np.ones(len(v)), basis(v, harmonics)]) for v in (x[there], at))
    if there.sum() < parts.shape[1]:
        return Curve(at, np.full(GRID, np.nan))
    weights, *_ = np.linalg.lstsq(parts, y[there], rcond=None)
    return Curve(at, shown @ weights)


@dataclass(frozen=True, eq=False)
class Association:
    """How far columns of numbers depend on an angle or a number.

    ``r2`` (C,) is the explained share of the variance of ranks, ``p`` by exchanges of episodes,
    ``p_fwe`` family-wise over the columns (max statistic). ``null`` (D, C) has r2 under exchange.
    ``parts`` is the number of parts of the curve.
    """

    r2: np.ndarray
    p: np.ndarray
    p_fwe: np.ndarray
    null: np.ndarray
    parts: int

    def smallest(self, residual: np.ndarray) -> np.ndarray:
        """The amplitude of a single wave that this would have found with 80 % power, (C,).

        In the unit of the residual spread given, (C,). The bar is that of the family; the numbers
        count as so many independent ones, n, as the exchanges' mean r2 says, which is k/(n − 1)
        for k parts; power is that of the F test of a regression (non-central F, Cohen 1988), whose
        shift for an amplitude A is n·A²/(2·residual²). A rank test finds 5 % less (Pitman
        efficiency 3/π), which is left out.
        """
        bar = float(np.quantile(self.null.max(1), 1 - LEVEL))
        found = []
        for mean, spread in zip(self.null.mean(0), residual, strict=True):
            n = 1 + self.parts / max(float(mean), 1e-9)
            free = n - 1 - self.parts
            if free < 1 or bar >= 1 or not spread > 0:
                found.append(np.nan)
                continue
            needed = bar / self.parts / ((1 - bar) / free)
            found.append(spread * np.sqrt(2 * _shift(needed, self.parts, free) / n))
        return np.array(found)


def _shift(bar: float, parts: int, free: float) -> float:
    """The non-centrality at which an F test passes a bar with 80 % power."""

    def short(shift: float) -> float:
        return float(stats.ncf.sf(bar, parts, free, shift)) - POWER

    high = 1.0
    while short(high) < 0 and high < 1e6:
        high *= 2
    return float(optimize.brentq(short, 1e-6, high)) if short(1e-6) < 0 < short(high) else np.nan


def association(
    y: np.ndarray,
    x: np.ndarray,
    blocks: np.ndarray,
    harmonics: int,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> Association:
    """Test whether columns of numbers depend on an angle, or with 0 harmonics on a number.

    Numbers and angles are given by episode and by the number of the moment in it. Ranks of a
    column are held against `basis`; both are taken from their mean in the episode's block (a
    condition). Under the null an episode's angles could be those of any other of its block. A
    number that is NaN, or whose angle is, counts as the mean.

    Args:
        y: Numbers, (E, M, C).
        x: Angles, rad, or numbers, (E, M).
        blocks: Of each episode, (E,): only episodes of one block are exchanged.
        harmonics: See `basis`.
        rng: Draws the exchanges.
        draws: How many.
    """
    columns = y.shape[2]
    ranks = stats.rankdata(y.reshape(-1, columns), axis=0, nan_policy="omit").reshape(y.shape)
    ranks = _centred(ranks, blocks)
    total = (ranks**2).sum((0, 1))
    waves = _centred(basis(x, harmonics), blocks)
    # An exchange permutes rows, so that the directions of the waves are permuted with them.
    parts, size, _ = np.linalg.svd(waves.reshape(-1, waves.shape[-1]), full_matrices=False)
    parts = parts[:, size > 1e-9 * max(size[0], 1e-300)].reshape(*x.shape, -1)

    def explained(order: np.ndarray) -> np.ndarray:
        shares = np.einsum("emk,emc->kc", parts[order], ranks) ** 2
        return np.where(total > 1e-12, shares.sum(0) / np.maximum(total, 1e-12), 0.0)

    observed = explained(np.arange(len(blocks)))
    null = np.stack([explained(_exchanged(blocks, rng)) for _ in range(draws)])
    bar = observed - 1e-12
    p = (1 + (null >= bar).sum(0)) / (1 + draws)
    p_fwe = (1 + (null.max(1, initial=0.0)[:, None] >= bar).sum(0)) / (1 + draws)
    return Association(observed, p, p_fwe, null, parts.shape[-1])


def _centred(values: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Values (E, M, K) from their mean in each block; NaN become 0."""
    centred = np.zeros(values.shape)
    for block in np.unique(blocks):
        part = values[blocks == block]
        there = np.isfinite(part)
        mean = np.where(there, part, 0.0).sum((0, 1)) / np.maximum(there.sum((0, 1)), 1)
        centred[blocks == block] = np.where(there, part - mean, 0.0)
    return centred


def _exchanged(blocks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order of episodes in which each stays in its block."""
    order = np.arange(len(blocks))
    for block in np.unique(blocks):
        inside = np.flatnonzero(blocks == block)
        order[inside] = rng.permutation(inside)
    return order
