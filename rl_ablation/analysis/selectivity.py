"""What single units tell about the context that the robot is in: selectivity and information.

Class selectivity is Morcos et al. 2018's, for units that are never negative (ReLU). Tanh units are
negative half of the time, and their sign carries no meaning, so for them the share of a unit's
variance that lies between the contexts (η²) and the distance of its best context from the rest
(d′) stand in for it. Activity is (S, H): S moments of H units. Classes are (S,) whole numbers:
digits for a classifier, contexts for a robot.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from rl_ablation.errors import LabError
from rl_ablation.measures.laps import BEND

TINY = 1e-7
"""In denominators, as in Leavitt & Morcos 2020."""

BENDS = ("left bend", "straight", "right bend")


def bend_contexts(bend: np.ndarray) -> np.ndarray:
    """Classes of a lap robot's moments: indices into ``BENDS``, like ``bend`` (1/m, left > 0)."""
    return 1 - (bend > BEND).astype(np.int64) + (bend < -BEND)


def class_selectivity(activity: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """SI = (μ_max − μ_−max)/(μ_max + μ_−max) of every unit, (H,) (Morcos et al. 2018).

    μ_max is the largest of a unit's class means, μ_−max the mean of its other class means. 0 is
    equally active in all classes, 1 active in one alone; 0 for a silent unit.

    Raises:
        LabError: An activity is negative, or there are fewer than two classes.
    """
    if activity.size and activity.min() < 0:
        other = "take eta_squared or best_class for other units"
        raise LabError(f"class selectivity needs activity that is never negative (ReLU); {other}")
    means = _class_means(activity, classes)
    largest = means.max(0)
    rest = (means.sum(0) - largest) / (len(means) - 1)
    return (largest - rest) / (largest + rest + TINY)


def eta_squared(activity: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Share of each unit's variance that lies between the classes, η² of a one-way layout.

    (H,) in [0, 1]; 0 for a unit that does not vary.
    """
    means = _class_means(activity, classes)
    sizes = np.unique(classes, return_counts=True)[1]
    values = np.asarray(activity, np.float64)
    middle = values.mean(0)
    between = (sizes[:, None] * (means - middle) ** 2).sum(0)
    total = ((values - middle) ** 2).sum(0)
    return np.divide(between, total, out=np.zeros_like(total), where=total > TINY)


def best_class(activity: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The class (H,) that each unit sets farthest apart from the rest, and by how many d′ (H,).

    d′ = (μ_class − μ_rest) / √((σ²_class + σ²_rest)/2); the sign says whether the unit goes up or
    down there.
    """
    labels = _labels(classes)
    values = np.asarray(activity, np.float64)
    apart = np.empty((len(labels), values.shape[1]))
    for k, label in enumerate(labels):
        one, rest = values[classes == label], values[classes != label]
        spread = np.sqrt((one.var(0) + rest.var(0)) / 2)
        apart[k] = (one.mean(0) - rest.mean(0)) / (spread + TINY)
    best = np.abs(apart).argmax(0)
    return labels[best], apart[best, np.arange(values.shape[1])]


def mutual_information(activity: np.ndarray, classes: np.ndarray, bins: int = 8) -> np.ndarray:
    """Information that each unit's activity gives about the class, in bits.

    A unit's values are sorted into ``bins`` equally filled bins; equal values, such as a ReLU's
    zeros, share one. The bias of few samples is taken off after Miller & Madow (1955), which
    supposes samples that do not depend on each other; so a unit that tells nothing may come out a
    little below 0.
    """
    if bins < 2:
        raise LabError(f"information needs at least 2 bins, got {bins}")
    _, label = np.unique(classes, return_inverse=True)
    count = int(label.max()) + 1
    # By middle ranks, values that are equal stay together and all others fill the bins evenly.
    share = (stats.rankdata(activity, axis=0) - 0.5) / len(activity)
    where = (share * bins).astype(np.int64)
    found = np.empty(activity.shape[1])
    for unit in range(found.size):
        joint = np.bincount(where[:, unit] * count + label, minlength=bins * count)
        table = joint.reshape(bins, count)
        found[unit] = _entropy(table.sum(0)) + _entropy(table.sum(1)) - _entropy(joint)
    return found


def _labels(classes: np.ndarray) -> np.ndarray:
    labels = np.unique(classes)
    if labels.size < 2:
        raise LabError(f"selectivity needs moments of at least 2 classes, got {labels.size}")
    return labels


def _class_means(activity: np.ndarray, classes: np.ndarray) -> np.ndarray:
    values = np.asarray(activity, np.float64)
    return np.stack([values[classes == label].mean(0) for label in _labels(classes)])


def _entropy(counts: np.ndarray) -> float:
    """Entropy of a histogram in bits, Miller & Madow's term added."""
    filled = counts[counts > 0]
    share = filled / filled.sum()
    bias = (filled.size - 1) / (2 * filled.sum())
    return float(-(share * np.log2(share)).sum() + bias / np.log(2))
