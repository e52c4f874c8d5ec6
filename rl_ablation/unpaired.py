"""Two sets of episodes that are not paired: intervals and tests of the difference of their means.

Like `rl_ablation.stats`, on matrices with a row an episode and a column a cell, NaN left out; all
cells share the resamples and the relabellings that ``rng`` draws.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from rl_ablation.stats import COVERAGE, FLIPS, RESAMPLES, finite_mean

_CHUNK = 2000  # relabellings or resamples at once


def difference_intervals(
    a: np.ndarray, b: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of mean(b) − mean(a), column by column, of (M, C) and (N, C).

    Each end is that of Welch 1947 or of the percentile bootstrap with its tails expanded for few
    episodes (Hesterberg 2015), whichever is further out. Gives the lower and upper ends, (C,); NaN
    where a side has fewer than two numbers, and where neither side varies.
    """
    n, m = (np.isfinite(x).sum(0) for x in (a, b))
    delta = finite_mean(b) - finite_mean(a)
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = [_variance(x) / k for x, k in ((a, n), (b, m))]
        error = np.sqrt(parts[0] + parts[1])
        df = error**4 / (parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (m - 1))
        half = stats.t.ppf((1 + COVERAGE) / 2, df) * error
        least = np.minimum(n, m)
        wide = np.sqrt(least / (least - 1)) * stats.t.ppf((1 + COVERAGE) / 2, least - 1)
    drawn = _resampled(b, rng) - _resampled(a, rng)
    ends = []
    for side in (-1, 1):
        at = np.nan_to_num(stats.norm.cdf(side * wide), nan=0.5)
        ends.append(np.array([_quantile(x, q) for x, q in zip(drawn.T, at, strict=True)]))
    told = (n >= 2) & (m >= 2) & (error > 0)
    low, high = np.minimum(ends[0], delta - half), np.maximum(ends[1], delta + half)
    return np.where(told, low, np.nan), np.where(told, high, np.nan)


def relabelling_p(
    a: np.ndarray, b: np.ndarray, rng: np.random.Generator, draws: int = FLIPS
) -> np.ndarray:
    """Two-sided p of "a and b have the same mean", column by column, of (M, C) and (N, C).

    The share of random relabellings of the episodes whose Welch statistic is as far from 0; being
    studentised it also holds where only the means are alike (Janssen 1997). (C,); 1 where all
    numbers are equal, NaN where a side has none.
    """
    values = np.vstack([a, b])
    there = np.isfinite(values)
    # Centred first, or the squares of large numbers would swallow small differences.
    values = np.where(there, values - finite_mean(values), 0.0)
    own = np.repeat([[0.0, 1.0]], [len(a), len(b)], axis=1)
    observed = _welch(own, values, there)[0]
    hits = np.ones(values.shape[1])
    for start in range(0, draws, _CHUNK):
        some = min(_CHUNK, draws - start)
        labels = rng.permuted(np.repeat(own, some, axis=0), axis=1)
        hits += (_welch(labels, values, there) >= observed * (1 - 1e-9)).sum(0)
    both = there[: len(a)].any(0) & there[len(a) :].any(0)
    return np.where(both, hits / (draws + 1), np.nan)


def _variance(values: np.ndarray) -> np.ndarray:
    """Unbiased, along the first axis; NaN for fewer than two numbers."""
    n = np.isfinite(values).sum(0)
    square = np.nansum((values - finite_mean(values)) ** 2, axis=0)
    return np.asarray(square / np.where(n > 1, n - 1, np.nan))


def _quantile(values: np.ndarray, at: float) -> float:
    values = values[np.isfinite(values)]
    return float(np.quantile(values, at)) if values.size else np.nan


def _resampled(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap distribution of the mean of each column, (resamples, C)."""
    count = len(values)
    weights = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(float)
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        total = weights @ np.where(there, values, 0.0)
        return np.asarray(total / (weights @ there.astype(float)))


def _welch(labels: np.ndarray, values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """|Welch's t| of each labelling (D, E) and column of (E, C): (D, C); ∞ between constants."""
    sides = []
    for side in (1 - labels, labels):
        n, total, square = (side @ x for x in (there.astype(float), values, values**2))
        mean = total / np.maximum(n, 1)
        spread = np.maximum(square - n * mean**2, 0.0) / np.maximum(n - 1, 1)
        sides.append((mean, spread / np.maximum(n, 1), n))
    (one, e, n), (other, f, m) = sides
    gap, scale = np.abs(other - one), np.abs(values).max(0, initial=0.0)
    gap = np.where((gap <= 1e-12 * scale) | (np.minimum(n, m) == 0), 0.0, gap)
    error = np.sqrt(np.maximum(e + f, 1e-24 * scale**2))
    return np.asarray(gap / np.where(error > 0, error, 1.0))
