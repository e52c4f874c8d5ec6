"""Prediction of lesions never made: the test of a functional map.

After functional contribution analysis (Aharonov, Segev, Ruppin 2003): whoever knows what each
group of units contributes can say what happens when several are cut at once, before cutting them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.preprocessing import PolynomialFeatures

from rl_ablation.analysis.redundancy import Coalition, Names
from rl_ablation.errors import LabError
from rl_ablation.stats import RESAMPLES

MODELS = {
    "additive": (1, False),
    "additive, monotone": (1, True),
    "pairs": (2, False),
    "pairs, monotone": (2, True),
    "triples": (3, False),
    "triples, monotone": (3, True),
}
"""Name → (groups in a term at most, whether the sum passes through a monotone function)."""
HELD_OUT, FOLDS = 1 / 3, 5
_RIDGE = (0.01, 0.1, 1.0, 10.0)

Terms = Mapping[int, np.ndarray]


@dataclass(frozen=True)
class Prediction:
    """How well a map predicts lesions that it was not made from.

    ``scores`` has a row for each measure: ``model`` chosen, ``r2`` on held-out lesions, its 95 %
    interval ``low``, ``high``, the same of the plain additive model (``additive_r2``,
    ``additive_low``, ``additive_high``), ``train``, ``held_out``. R² is NaN for a behaviour that
    the held-out lesions do not change. ``lesions`` has a row for each held-out lesion × measure:
    ``cut`` (names), ``groups`` (how many), ``measured``, ``predicted``, ``additive``.
    """

    scores: pd.DataFrame
    lesions: pd.DataFrame


def predict_lesions(
    coalitions: Sequence[Coalition],
    values: np.ndarray,
    players: Names,
    measures: Names,
    seed: int = 0,
) -> Prediction:
    """Fit a map on some lesions and predict others, unseen, that cut several groups.

    A behaviour is modelled as a sum of the contributions of the groups left intact (Aharonov,
    Segev, Ruppin 2003), or also of pairs or triples left intact together, passed or not through a
    monotone function. Model and ridge penalty are chosen by cross-validation within the training
    lesions; the held-out ones only score the choice. Intervals are percentiles of 2000 resamples of
    held-out lesions.

    The coalitions, all distinct, are the intact groups of each lesion, ``values`` (coalitions,
    measures). A third of the lesions that cut two or more groups is held out; the others always
    train.

    Raises:
        LabError: Too few lesions to fit and to hold out.
    """
    rng = np.random.default_rng(seed)
    everyone = frozenset(range(len(players)))
    # The order in which lesions happened to be evaluated must not matter for the split.
    order = sorted(range(len(coalitions)), key=lambda k: sorted(coalitions[k]))
    joint = [k for k in order if len(everyone - coalitions[k]) >= 2]
    held = rng.permutation(joint)[: round(len(joint) * HELD_OUT)]
    fitted = np.array([k for k in order if k not in set(held.tolist())])
    if len(held) < 2 or len(fitted) < 2 * FOLDS:
        few = f"{len(joint)} lesions of two groups or more are too few to fit and to predict"
        raise LabError(f"{few}; evaluate at least {4 * FOLDS}")
    left = np.array([[i in c for i in range(len(players))] for c in coalitions], dtype=float)
    # The terms are products of indicators of intact groups.
    products = partial(PolynomialFeatures, interaction_only=True, include_bias=False)
    terms = {size: products(size).fit_transform(left) for size, _ in MODELS.values()}
    resamples = rng.integers(len(held), size=(RESAMPLES, len(held)))
    cut = [sorted(everyone - coalitions[k]) for k in held]
    names = [" + ".join(players[i] for i in groups) for groups in cut]
    about = pd.DataFrame({"cut": names, "groups": list(map(len, cut))})
    scores, lesions = [], []
    for column, measure in enumerate(measures):
        y, guesses = values[:, column], {}
        row: dict[str, object] = {"measure": measure}
        for label, among in (("", list(MODELS)), ("additive_", ["additive"])):
            model, ridge = _choose(terms, y, fitted, among, seed)
            guess = guesses[label] = _predict(terms, y, fitted, held, model, ridge)
            row |= {} if label else {"model": model}
            numbers = _r2(y[held], guess, resamples)
            row |= dict(zip((f"{label}r2", f"{label}low", f"{label}high"), numbers, strict=True))
        scores.append({**row, "train": len(fitted), "held_out": len(held)})
        rows = about.assign(measure=measure, measured=y[held], predicted=guesses[""])
        lesions.append(rows.assign(additive=guesses["additive_"]))
    return Prediction(pd.DataFrame(scores), pd.concat(lesions, ignore_index=True))


def _predict(
    terms: Terms, y: np.ndarray, fitted: np.ndarray, wanted: np.ndarray, model: str, ridge: float
) -> np.ndarray:
    """What a model fitted on some rows says of others."""
    size, monotone = MODELS[model]
    known, new = terms[size][fitted], terms[size][wanted]
    line = Ridge(alpha=ridge).fit(known, y[fitted])
    if not monotone:
        return np.asarray(line.predict(new))
    monotone_fit = IsotonicRegression(out_of_bounds="clip").fit(line.predict(known), y[fitted])
    return np.asarray(monotone_fit.predict(line.predict(new)))


def _choose(
    terms: Terms, y: np.ndarray, fitted: np.ndarray, among: Sequence[str], seed: int
) -> tuple[str, float]:
    """The model and ridge penalty with the least squared error in cross-validation."""
    splits = list(KFold(FOLDS, shuffle=True, random_state=seed).split(fitted))

    def error(choice: tuple[str, float]) -> float:
        guesses = [(_predict(terms, y, fitted[a], fitted[b], *choice), b) for a, b in splits]
        return sum(float(((guess - y[fitted[b]]) ** 2).sum()) for guess, b in guesses)

    return min(product(among, _RIDGE), key=error)


def _r2(
    measured: np.ndarray, predicted: np.ndarray, resamples: np.ndarray
) -> tuple[float, float, float]:
    """R² and its 95 % percentile interval over resampled lesions; NaN where nothing varies."""
    rows = np.vstack([np.arange(len(measured)), resamples])
    y, guess = measured[rows], predicted[rows]
    residual = ((y - guess) ** 2).sum(1)
    total = ((y - y.mean(1, keepdims=True)) ** 2).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        r2 = np.where(total > 1e-12, 1 - residual / total, np.nan)
    if np.isnan(r2[0]):
        return np.nan, np.nan, np.nan
    low, high = np.nanpercentile(r2[1:], [2.5, 97.5])
    return float(r2[0]), float(low), float(high)
