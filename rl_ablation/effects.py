"""From behaviour to evidence: paired differences with intervals, tests and corrections.

Episode k of every lesion starts from the same seed, so a lesion's effect is estimated from the
differences between paired episodes. Everything here works on matrices of (episodes, cells), a
cell being one lesion × measure, and resamples all cells at once by a matrix product.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from rl_ablation.lesion import INTACT

RESAMPLES = 2000
FLIPS = 9999
LEVEL = 0.95
_EXACT = 12  # episodes up to which all sign flips are enumerated
_CHUNK = 2000  # cells at once: 2000 resamples × 2000 cells are 32 MB

COLUMNS = {
    "lesion": "name of the cut",
    "group": "grouping it belongs to",
    "units": "units cut",
    "condition": "condition of the episodes, or all",
    "measure": "behaviour measured",
    "unit": "unit of intact, lesioned, delta, ci_low and ci_high",
    "intact": "mean over the intact policy's episodes",
    "lesioned": "mean over the lesioned policy's episodes",
    "delta": "mean of the paired differences lesioned − intact",
    "ci_low": "lower end of the 95 % BCa bootstrap interval of delta (Efron 1987)",
    "ci_high": "upper end",
    "effect": "delta / √((s²_intact + s²_lesioned)/2), the standardised mean difference",
    "p": "two-sided sign-flip permutation p of delta; exact up to 12 pairs, else 9999 flips",
    "q": "p after Benjamini & Hochberg 1995 over all lesions × measures of the condition",
    "n": "pairs of episodes; those in which either side gives no number are left out",
    "unstable": "share of the lesion's episodes whose physics diverged",
}


def bca_intervals(
    differences: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray]:
    """Bias-corrected and accelerated bootstrap intervals of means (Efron 1987), column by column.

    Args:
        differences: (E, C); NaN entries are left out.
        rng: Draws the resamples, which all columns share.
        resamples: Bootstrap samples.

    Returns:
        Lower and upper ends, (C,) each; NaN with fewer than two numbers.
    """
    episodes = len(differences)
    weights = rng.multinomial(episodes, np.full(episodes, 1 / episodes), resamples).astype(float)
    parts = [
        _bca(differences[:, k : k + _CHUNK], weights)
        for k in range(0, differences.shape[1], _CHUNK)
    ]
    low, high = (
        np.concatenate(side) if parts else np.empty(0) for side in zip(*parts, strict=True)
    )
    return low, high


def _bca(differences: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    there = np.isfinite(differences)
    values = np.where(there, differences, 0.0)
    n, total = there.sum(0), values.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / n
        boot = np.sort((weights @ values) / (weights @ there.astype(float)), axis=0)  # NaN last
        drawn = np.isfinite(boot).sum(0)
        # Rounding in the matrix product must not make equal numbers differ.
        slack = 1e-12 * np.abs(values).max(0, initial=0.0)
        below = ((boot < mean - slack).sum(0) + (boot <= mean + slack).sum(0)) / (2 * drawn)
        bias = stats.norm.ppf(np.clip(below, 1e-6, 1 - 1e-6))
        left_out = np.where(there, mean - (total - values) / (n - 1), 0.0)
        spread = (left_out**2).sum(0)
        bend = np.where(spread > 0, (left_out**3).sum(0) / (6 * spread**1.5), 0.0)
        ends = []
        for tail in ((1 - LEVEL) / 2, (1 + LEVEL) / 2):
            z = bias + stats.norm.ppf(tail)
            level = stats.norm.cdf(bias + z / (1 - bend * z))
            at = np.clip(np.nan_to_num(level) * (drawn - 1), 0, np.maximum(drawn - 1, 0))
            floor = np.floor(at).astype(int)
            column = np.arange(boot.shape[1])
            ceil = np.minimum(floor + 1, np.maximum(drawn - 1, 0))
            one, other = boot[floor, column], boot[ceil, column]
            ends.append(np.where(n >= 2, one + (at - floor) * (other - one), np.nan))
    same = spread <= slack**2  # all differences equal: the interval is that one number
    low, high = (np.where((n >= 2) & same, mean, end) for end in ends)
    return low, high


def sign_flip_p(
    differences: np.ndarray, rng: np.random.Generator, flips: int = FLIPS
) -> np.ndarray:
    """Two-sided p of "the differences are symmetric about 0", column by column.

    Args:
        differences: (E, C); NaN entries are left out.
        rng: Draws the flips, which all columns share.
        flips: Random flips when there are too many to enumerate.

    Returns:
        (C,): the share of sign flips with a mean at least as far from 0; NaN without numbers.
    """
    values = np.where(np.isfinite(differences), differences, 0.0)
    episodes = len(values)
    if episodes <= _EXACT:
        codes = np.arange(2**episodes)
        signs = 1.0 - 2.0 * ((codes[:, None] >> np.arange(episodes)) & 1)
        extra = 0
    else:
        signs = rng.choice([-1.0, 1.0], (flips, episodes))
        extra = 1  # the observed signs are one of the flips
    observed = np.abs(values.sum(0))
    slack = 1e-9 * np.abs(values).sum(0)
    p = np.empty(values.shape[1])
    for k in range(0, values.shape[1], _CHUNK):
        part = slice(k, k + _CHUNK)
        flipped = np.abs(signs @ values[:, part])
        hits = (flipped >= observed[part] - slack[part]).sum(0)
        p[part] = (hits + extra) / (len(signs) + extra)
    return np.where(np.isfinite(differences).any(0), p, np.nan)


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Adjusted p values controlling the false discovery rate; NaN stay out of the family."""
    q = np.full(p.shape, np.nan)
    there = np.isfinite(p)
    if there.any():
        q[there] = stats.false_discovery_control(p[there])
    return q


def effects(table: pd.DataFrame, measures: dict[str, str], seed: int = 0) -> pd.DataFrame:
    """Compare every lesion with the intact policy, episode by episode.

    Args:
        table: The behaviour table of a run: a row for each lesion × episode, with the columns
            lesion, group, units, episode, condition, unstable, and a column for each measure.
        measures: Name → unit of the measures to compare.
        seed: Of the resampling; the same table and seed give the same numbers.

    Returns:
        A tidy table with the columns of ``COLUMNS``. With several conditions there are rows for
        each of them and for all together.
    """
    about = table.drop_duplicates("lesion").set_index("lesion")[["group", "units"]]
    names = [name for name in about.index if name != INTACT]
    if not names:
        return pd.DataFrame(columns=list(COLUMNS))
    conditions = list(dict.fromkeys(table["condition"]))
    subsets = ["all", *conditions] if len(conditions) > 1 else ["all"]
    frames = []
    for condition in subsets:
        part = table if condition == "all" else table[table["condition"] == condition]
        frames.append(_compare(part, names, measures, condition, np.random.default_rng(seed)))
    result = pd.concat(frames, ignore_index=True)
    result["group"] = about["group"].reindex(result["lesion"]).to_numpy()
    result["units"] = about["units"].reindex(result["lesion"]).to_numpy()
    return result[list(COLUMNS)]


def _compare(
    part: pd.DataFrame,
    names: list[str],
    measures: dict[str, str],
    condition: str,
    rng: np.random.Generator,
) -> pd.DataFrame:
    wide = part.pivot(index="episode", columns="lesion", values=[*measures, "unstable"])
    wide = wide.astype(np.float64)
    keys = list(measures)
    lesioned = np.stack([wide[m][names].to_numpy() for m in keys])  # (measure, episode, lesion)
    intact = np.stack([wide[m][[INTACT]].to_numpy() for m in keys])
    both = np.isfinite(lesioned) & np.isfinite(intact)
    difference = np.where(both, lesioned - intact, np.nan)
    episodes = difference.shape[1]
    cells = difference.transpose(1, 0, 2).reshape(episodes, -1)
    low, high = bca_intervals(cells, rng)
    p = sign_flip_p(cells, rng)
    n = both.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        delta = np.where(both, difference, 0.0).sum(1) / np.where(n > 0, n, np.nan)
        before, after = (
            _moments(np.broadcast_to(intact, both.shape), both),
            _moments(lesioned, both),
        )
        pooled = np.sqrt((before[1] + after[1]) / 2)
        effect = np.where(delta == 0, 0.0, delta / pooled)
    return pd.DataFrame(
        {
            "lesion": np.tile(names, len(keys)),
            "condition": condition,
            "measure": np.repeat(keys, len(names)),
            "unit": np.repeat([measures[k] for k in keys], len(names)),
            "intact": before[0].ravel(),
            "lesioned": after[0].ravel(),
            "delta": delta.ravel(),
            "ci_low": low,
            "ci_high": high,
            "effect": effect.ravel(),
            "p": p,
            "q": benjamini_hochberg(p),
            "n": n.ravel(),
            "unstable": np.tile(wide["unstable"][names].to_numpy().mean(0), len(keys)),
        }
    )


def _moments(values: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and unbiased variance over episodes (axis 1) of the entries in ``where``."""
    n = where.sum(1)
    kept = np.where(where, values, 0.0)
    mean = kept.sum(1) / np.where(n > 0, n, np.nan)
    square = np.where(where, (values - mean[:, None]) ** 2, 0.0).sum(1)
    return mean, square / np.where(n > 1, n - 1, np.nan)
