"""From behaviour to evidence: paired differences with intervals, tests and corrections.

Episode k of every lesion starts from the same seed, so a lesion's effect is estimated from the
differences between paired episodes. Everything here works on matrices of (episodes, cells), a
cell being one lesion × measure, and resamples all cells at once by a matrix product.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from rl_ablation import stats
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.mapping.behaviour import UNSTABLE, Behaviour, folded

CONTROLS = ("random", "baselines", "checks", "doses")
"""Groups that are no claims: they stay out of the family that q and p_fwe correct for."""

COLUMNS = {
    "lesion": "name of the cut",
    "group": "grouping it belongs to",
    "kind": "kind of the cut",
    "units": "units, or directions, cut",
    "condition": "condition of the episodes, or all",
    "measure": "behaviour measured",
    "unit": "unit of intact, lesioned, delta, ci_low and ci_high",
    "intact": "mean over the intact policy's episodes",
    "lesioned": "mean over the lesioned policy's episodes",
    "delta": "mean of the paired differences lesioned − intact",
    "ci_low": "lower end of the 95 % interval of delta, Student's or the BCa bootstrap's (Efron "
    "1987), whichever is further out; none where all differences are equal",
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


def effects(
    found: pd.DataFrame | Behaviour, measures: dict[str, str], seed: int = 0
) -> pd.DataFrame:
    """Compare every lesion with the intact policy, episode by episode; a table of ``COLUMNS``.

    A behaviour table, folded or not, has a row for each lesion × episode, with the columns lesion,
    group, kind, units, episode, condition, unstable, and one for each measure; measures are name →
    unit. With several conditions there are rows for each of them and for all together. The same
    table and seed of the resampling give the same numbers.
    """
    table = folded(found, list(measures))
    names = [name for name in table.about.index if name != INTACT]
    if not names:
        return pd.DataFrame(columns=list(COLUMNS))
    parts = {"all": np.full(len(table.conditions), True)}
    if len(known := list(dict.fromkeys(table.conditions))) > 1:
        parts |= {str(name): table.conditions == name for name in known}
    frames = [
        _compare(table, rows, measures, np.random.default_rng(seed)).assign(condition=name)
        for name, rows in parts.items()
    ]
    return pd.concat(frames, ignore_index=True).join(table.about, on="lesion")[list(COLUMNS)]


def _compare(
    found: Behaviour, rows: np.ndarray, measures: dict[str, str], rng: np.random.Generator
) -> pd.DataFrame:
    """Compare in the episodes of some ``rows``, (E,) bool."""
    keys, about = list(measures), found.about
    rest, column = (np.flatnonzero(x) for x in (about.index != INTACT, about.index == INTACT))
    names = list(about.index[rest])
    claims = ~about["group"].iloc[rest].isin(CONTROLS).to_numpy()
    # (measure, episode, lesion)
    lesioned = np.stack([found.numbers[m][np.ix_(rows, rest)] for m in keys])
    intact = np.stack([found.numbers[m][rows][:, column] for m in keys])
    both = np.isfinite(lesioned) & np.isfinite(intact)
    difference = np.where(both, lesioned - intact, np.nan)
    cells = difference.transpose(1, 0, 2).reshape(int(rows.sum()), -1)
    low, high = stats.mean_intervals(cells, rng)
    # Equal differences show no spread to resample: 24 episodes without a crash do not prove that
    # there are none, they bound their share to 3/24 (the rule of three).
    low, high = (np.where(low == high, np.nan, end) for end in (low, high))
    p = stats.sign_flip_p(cells, rng)
    family = np.flatnonzero(np.tile(claims, len(keys)))
    q, p_fwe = np.full(len(p), np.nan), np.full(len(p), np.nan)
    same = stats.identical(cells[:, family], np.repeat(np.arange(len(keys)), len(names))[family])
    q[family] = stats.benjamini_hochberg(p[family], same)
    p_fwe[family] = stats.max_t_p(cells[:, family], rng)
    n = both.sum(1)
    unstable = found.numbers[UNSTABLE][np.ix_(rows, rest)]
    with np.errstate(invalid="ignore", divide="ignore"):
        delta = stats.finite_mean(difference, 1)
        before, after = _moments(intact, both), _moments(lesioned, both)
        effect = np.where(delta == 0, 0.0, delta / np.sqrt((before[1] + after[1]) / 2))
    return pd.DataFrame(
        {
            "lesion": np.tile(names, len(keys)),
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
            "unstable": np.tile(stats.finite_mean(unstable, 0), len(keys)),
        }
    )


def _moments(values: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and unbiased variance over episodes (axis 1) of the entries in ``where``."""
    n = where.sum(1)
    mean = stats.finite_mean(np.where(where, values, np.nan), 1)
    square = np.where(where, (values - mean[:, None]) ** 2, 0.0).sum(1)
    return mean, square / np.where(n > 1, n - 1, np.nan)
