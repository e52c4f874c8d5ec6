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
LEVEL_FDR = 0.05
"""Claims are made at q below this."""

CONTROLS = ("random", "baselines", "checks", "doses")
"""Groups that are no claims: they stay out of the family that q and p_fwe correct for."""

_EXACT = 12  # episodes up to which all sign flips are enumerated
_CHUNK = 2000  # cells at once: 2000 resamples × 2000 cells are 32 MB

COLUMNS = {
    "lesion": "name of the cut",
    "group": "grouping it belongs to",
    "kind": "kind of the cut",
    "units": "units cut",
    "condition": "condition of the episodes, or all",
    "measure": "behaviour measured",
    "unit": "unit of intact, lesioned, delta, ci_low and ci_high",
    "intact": "mean over the intact policy's episodes",
    "lesioned": "mean over the lesioned policy's episodes",
    "delta": "mean of the paired differences lesioned − intact",
    "ci_low": "lower end of the 95 % BCa bootstrap interval of delta (Efron 1987), expanded for "
    "few episodes (Hesterberg 2015); none where all differences are equal",
    "ci_high": "upper end",
    "effect": "delta / √((s²_intact + s²_lesioned)/2), the standardised mean difference",
    "p": "two-sided sign-flip permutation p of delta; exact up to 12 pairs, else 9999 flips",
    "q": "p after Benjamini & Hochberg 1995 over the lesions × measures of the condition; lesions "
    "with identical differences count once; 1 for lesions that were not selected for confirmation; "
    "none for controls",
    "p_fwe": "family-wise p over the same family: step-down max-T of signed ranks over sign flips "
    "(Westfall & Young 1993); 1 for lesions that were not selected",
    "n": "pairs of episodes; those in which either side gives no number are left out",
    "unstable": "share of the lesion's episodes whose physics diverged",
}


def bca_intervals(
    differences: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray]:
    """Bias-corrected and accelerated bootstrap intervals of means, column by column.

    After Efron 1987, with the tails expanded for small samples after Hesterberg 2015.

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
        # The bootstrap's spread is √((n−1)/n) too small, and normal tails too short for few
        # episodes; without this expansion (Hesterberg 2015) 24 episodes covered 92 %, not 95.
        wider = np.sqrt(n / (n - 1)) * stats.t.ppf((1 + LEVEL) / 2, n - 1)
        for side in (-1, 1):
            z = bias + side * wider
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


def _signs(episodes: int, rng: np.random.Generator, flips: int = FLIPS) -> tuple[np.ndarray, int]:
    """Sign flips (F, E), all or random ones, and 1 if the observed signs are to be added."""
    if episodes <= _EXACT:
        codes = np.arange(2**episodes)
        return 1.0 - 2.0 * ((codes[:, None] >> np.arange(episodes)) & 1), 0
    return rng.choice([-1.0, 1.0], (flips, episodes)), 1


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
    signs, extra = _signs(len(values), rng, flips)
    observed = np.abs(values.sum(0))
    slack = 1e-9 * np.abs(values).sum(0)
    p = np.empty(values.shape[1])
    for k in range(0, values.shape[1], _CHUNK):
        part = slice(k, k + _CHUNK)
        flipped = np.abs(signs @ values[:, part])
        hits = (flipped >= observed[part] - slack[part]).sum(0)
        p[part] = (hits + extra) / (len(signs) + extra)
    return np.where(np.isfinite(differences).any(0), p, np.nan)


def max_t_p(differences: np.ndarray, rng: np.random.Generator, flips: int = FLIPS) -> np.ndarray:
    """Family-wise p of all columns together: step-down max-T over sign flips.

    After Westfall & Young 1993. The statistic is the sum of signed ranks over its standard
    deviation under flips (Wilcoxon 1945), so that all columns are held to one bar: with means, a
    column in which a few episodes crash could never pass a bar set by smooth ones. A flip turns
    all columns of an episode at once, which keeps their dependence, and columns with equal numbers
    count once.

    Args:
        differences: (E, C); NaN entries are left out.
        rng: Draws the flips.
        flips: Random flips when there are too many to enumerate.

    Returns:
        (C,): adjusted p; NaN without numbers.
    """
    scores = _signed_ranks(differences)
    observed = np.abs(scores.sum(0))
    order = np.argsort(-observed, kind="stable")
    ranked, bar = scores[:, order], observed[order] - 1e-9
    signs, extra = _signs(len(scores), rng, flips)
    hits = np.full(len(order), extra)
    for k in range(0, len(signs), _CHUNK // 4):
        flipped = np.abs(signs[k : k + _CHUNK // 4] @ ranked)
        # Step down: a column competes with itself and those that show less.
        largest = np.maximum.accumulate(flipped[:, ::-1], axis=1)[:, ::-1]
        hits += (largest >= bar).sum(0)
    p = np.empty(len(order))
    p[order] = np.maximum.accumulate(hits / (len(signs) + extra))
    return np.where(np.isfinite(differences).any(0), p, np.nan)


def _signed_ranks(differences: np.ndarray) -> np.ndarray:
    """Signed ranks (E, C) scaled to unit length; 0 for no difference and for no number."""
    values = np.where(np.isfinite(differences), differences, 0.0)
    size = np.where(values != 0, np.abs(values), np.nan)
    ranks = np.nan_to_num(stats.rankdata(size, axis=0, nan_policy="omit"))
    length = np.sqrt((ranks**2).sum(0))
    return np.sign(values) * ranks / np.where(length > 0, length, 1.0)


def benjamini_hochberg(p: np.ndarray, same: np.ndarray | None = None) -> np.ndarray:
    """Adjusted p values controlling the false discovery rate; NaN stay out of the family.

    Args:
        p: Of each test, any shape.
        same: Equal numbers mark tests that are one and the same and count once; like ``p``.
    """
    q = np.full(p.shape, np.nan)
    there = np.isfinite(p)
    if there.any():
        which = np.arange(there.sum()) if same is None else same[there]
        _, first, back = np.unique(which, return_index=True, return_inverse=True)
        q[there] = stats.false_discovery_control(p[there][first])[back]
    return q


def identical(differences: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Number columns so that equal ones of the same block get the same number.

    Args:
        differences: (E, C).
        block: (C,) whole numbers; only columns of a block are compared.
    """
    # Adding 0 makes −0 and 0 the same bytes.
    columns = np.vstack([np.nan_to_num(differences, nan=np.inf) + 0.0, block[None].astype(float)])
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(column.tobytes(), len(seen)) for column in columns.T])


def effects(table: pd.DataFrame, measures: dict[str, str], seed: int = 0) -> pd.DataFrame:
    """Compare every lesion with the intact policy, episode by episode.

    Args:
        table: The behaviour table of a run: a row for each lesion × episode, with the columns
            lesion, group, kind, units, episode, condition, unstable, and one for each measure.
        measures: Name → unit of the measures to compare.
        seed: Of the resampling; the same table and seed give the same numbers.

    Returns:
        A tidy table with the columns of ``COLUMNS``. With several conditions there are rows for
        each of them and for all together.
    """
    about = table.drop_duplicates("lesion").set_index("lesion")[["group", "kind", "units"]]
    names = [name for name in about.index if name != INTACT]
    if not names:
        return pd.DataFrame(columns=list(COLUMNS))
    claims = ~about["group"].reindex(names).isin(CONTROLS).to_numpy()
    rng = np.random.default_rng
    conditions = list(dict.fromkeys(table["condition"]))
    subsets = ["all", *conditions] if len(conditions) > 1 else ["all"]
    frames = []
    for condition in subsets:
        part = table if condition == "all" else table[table["condition"] == condition]
        frames.append(_compare(part, names, measures, condition, claims, rng(seed)))
    result = pd.concat(frames, ignore_index=True)
    for column in about:
        result[column] = about[column].reindex(result["lesion"]).to_numpy()
    return result[list(COLUMNS)]


def _compare(
    part: pd.DataFrame,
    names: list[str],
    measures: dict[str, str],
    condition: str,
    claims: np.ndarray,
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
    # Equal differences show no spread to resample: 24 episodes without a crash do not prove that
    # there are none, they bound their share to 3/24 (the rule of three).
    low, high = (np.where(low == high, np.nan, end) for end in (low, high))
    p = sign_flip_p(cells, rng)
    family = np.flatnonzero(np.tile(claims, len(keys)))
    q, p_fwe = np.full(len(p), np.nan), np.full(len(p), np.nan)
    same = identical(cells[:, family], np.repeat(np.arange(len(keys)), len(names))[family])
    q[family] = benjamini_hochberg(p[family], same)
    p_fwe[family] = max_t_p(cells[:, family], rng)
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
            "q": q,
            "p_fwe": p_fwe,
            "n": n.ravel(),
            "unstable": np.tile(np.nanmean(wide["unstable"][names].to_numpy(), 0), len(keys)),
        }
    )


def _moments(values: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and unbiased variance over episodes (axis 1) of the entries in ``where``."""
    n = where.sum(1)
    kept = np.where(where, values, 0.0)
    mean = kept.sum(1) / np.where(n > 0, n, np.nan)
    square = np.where(where, (values - mean[:, None]) ** 2, 0.0).sum(1)
    return mean, square / np.where(n > 1, n - 1, np.nan)
