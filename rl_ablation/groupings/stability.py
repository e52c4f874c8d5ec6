"""Are clusters of units there again in other moments, and how many groups are there?

A division that is made again from another half of the activity and comes out otherwise is none
(Ben-Hur, Elisseeff, Guyon 2002; Lange et al. 2004). How alike two divisions are is the adjusted
Rand index (Hubert & Arabie 1985): 1 for the same division, 0 on average for shuffled labels.

Halves are made of whole blocks of episode time, since neighbouring moments are alike: halves that
interleave them would agree because they hold nearly the same moments. Every block holds moments of
all episodes, so each half knows every condition.

That says nothing without chance. A layer whose code is spread over all units has no groups, but few
dimensions of activity already make cuts through such a cloud come out alike. So chance is the
layer's own *mixtures*: the same activity turned by random orthogonal matrices, which keeps its
dimensions, its course over time and what the next layer can read from it, and leaves no unit its
own role. To shift each unit in time instead takes the dimensions away, and any layer would beat it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import VARIANT, Plan
from rl_ablation.lesions.methods import DEAD_STD

if TYPE_CHECKING:  # help lists the groupings, and should not wait for torch
    from rl_ablation.rollouts.activity import Activity

NUMBERS = tuple(range(3, 11))
"""Of groups, to choose from."""
BLOCKS, SPLITS, MIXTURES = 16, 10, 19
_MOMENTS = 2 * BLOCKS  # fewer leave a block without any variance


@dataclass(frozen=True, eq=False)
class Stability:
    """How stable the divisions of a layer into several numbers of groups are.

    Attributes:
        numbers: Of groups, (K,).
        value: Mean adjusted Rand index between divisions of the two halves, (K,).
        error: Its standard error over ways to halve, (K,).
        chance: The same mean of the layer's mixtures, (K,).
        p: Share of the layer and its mixtures in which some number of groups stands out as far as
            in the layer, in standard deviations over them. It is about all the numbers together,
            so it holds whichever of them is taken.
    """

    numbers: tuple[int, ...]
    value: np.ndarray
    error: np.ndarray
    chance: np.ndarray
    p: float

    @property
    def best(self) -> int:
        """The largest number that is beyond chance by no less than the best, but for its error.

        "But for" is one standard error of the best. Of divisions that are equally stable the
        finest says most.
        """
        beyond = self.value - self.chance
        top = int(beyond.argmax())
        return max(np.array(self.numbers)[beyond >= beyond[top] - self.error[top]].tolist())


def joined(correlation: np.ndarray) -> np.ndarray:
    """Join units (H, H) by Ward's criterion: which two groups each step joins, (H − 1, 2).

    A unit is described by its absolute correlations with all units; NaN counts as none. The units
    are groups 0 to H − 1, and step k makes group H + k.
    """
    from scipy.cluster.hierarchy import ward

    if len(correlation) < 2:
        return np.empty((0, 2), np.int64)
    return np.asarray(ward(np.nan_to_num(np.abs(correlation)))[:, :2].astype(np.int64))


def divisions(correlation: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """Join units (H, H), see `joined`, and give labels for each number of groups, (K, H)."""
    units, merges = len(correlation), joined(correlation)
    groups, found = {unit: [unit] for unit in range(units)}, {}
    for step in range(units):
        if (k := units - step) in numbers:
            found[k] = np.empty(units, np.int64)
            for label, members in enumerate(groups.values()):
                found[k][members] = label
        if k > 1:
            one, other = merges[step].tolist()
            groups[units + step] = groups.pop(one) + groups.pop(other)
    return np.stack([found[k] for k in numbers])


def correlations(samples: np.ndarray) -> np.ndarray:
    """Of units' activity (S, H), (H, H); NaN for a unit that does not vary."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.atleast_2d(np.corrcoef(samples.T.astype(np.float64)))


def adjusted_rand(one: np.ndarray, other: np.ndarray) -> float:
    """Adjusted Rand index of two divisions, labels from 0 up, (H,) each."""
    shape = (int(one.max()) + 1, int(other.max()) + 1)
    table = np.bincount(one * shape[1] + other, minlength=shape[0] * shape[1]).reshape(shape)
    counts = (table, table.sum(1), table.sum(0), np.array([one.size]))
    both, rows, columns, pairs = (float((n * (n - 1)).sum()) / 2 for n in counts)
    expected, most = rows * columns / max(pairs, 1.0), (rows + columns) / 2
    return 1.0 if most == expected else float((both - expected) / (most - expected))


def stability(
    samples: np.ndarray, numbers: Sequence[int] = NUMBERS, mixtures: int = MIXTURES, seed: int = 0
) -> Stability:
    """How stable the groups of units in recorded activity (S, H), in order of time, are.

    Raises:
        LabError: A unit does not vary, there are too few moments, or not more units than groups.
    """
    moments, units = samples.shape
    if moments < _MOMENTS:
        raise LabError(f"stability needs at least {_MOMENTS} recorded moments, got {moments}")
    if units <= max(numbers):
        raise LabError(f"{units} live units are too few for {max(numbers)} groups")
    if samples.std(0, dtype=np.float64).min() <= DEAD_STD:
        raise LabError("stability is of units that vary; leave the dead ones out")
    rng = np.random.default_rng(seed)
    halves = np.array([rng.permutation(BLOCKS) < BLOCKS // 2 for _ in range(SPLITS)])
    # Products this small are slow on several threads, and 20 times so beside other work.
    with threadpool_limits(1):
        sums = _sums(samples)
        drawn = [_agreement(sums, halves, numbers)]
        for _ in range(mixtures):
            turn = np.eye(units + 1)
            turn[:-1, :-1] = np.linalg.qr(rng.normal(size=(units, units)))[0]
            drawn.append(_agreement(turn.T @ sums @ turn, halves, numbers))
    curves = np.mean(drawn, 1)
    spread = curves.std(0)
    far = (curves - curves.mean(0)) / np.where(spread > 0, spread, 1.0)
    p = float((far.max(1) >= far[0].max() - 1e-9).mean())
    error = np.std(drawn[0], axis=0, ddof=1) / np.sqrt(SPLITS)
    return Stability(tuple(numbers), curves[0], error, curves[1:].mean(0), p)


def again(one: np.ndarray, other: np.ndarray, numbers: Sequence[int] = NUMBERS) -> np.ndarray:
    """Adjusted Rand index between the groups of two recordings of the same units, (K,).

    Of other episode seeds, for instance; each (S, H).
    """
    pair = [divisions(correlations(x), numbers) for x in (one, other)]
    return np.array([adjusted_rand(*labels) for labels in zip(*pair, strict=True)])


def number_of_groups(samples: np.ndarray) -> int:
    """Into how many groups to divide live units by their activity (S, H); see `Stability.best`.

    A group has two units or more on average. Up to 6 units, and with too few moments to tell, the
    least number is taken.
    """
    most = min(NUMBERS[-1], samples.shape[1] // 2)
    if most <= NUMBERS[0] or len(samples) < _MOMENTS:
        return NUMBERS[0]
    return stability(samples, range(NUMBERS[0], most + 1)).best


def stabilities(plan: Plan, activity: Activity) -> dict[str, tuple[int, Stability]]:
    """Of every layer that a plan divides into clusters: how many, and how stable they are.

    Layers of too few live units or moments to tell are left out.
    """
    counts: dict[str, set[str]] = {}
    for lesion in plan:
        base = lesion.name.partition(VARIANT)[0]
        site, _, word = base.rpartition("/")
        if lesion.group == "clusters" and word.startswith("cluster-"):
            counts.setdefault(site, set()).add(base)
    found = {}
    for site, names in counts.items():
        samples = activity[site].samples.astype(np.float64)
        samples = samples[:, samples.std(0) > DEAD_STD]
        wanted = {*NUMBERS, len(names)} - {1}
        numbers = sorted(k for k in wanted if k <= samples.shape[1] // 2 or k == len(names))
        if 1 < len(names) < samples.shape[1] and len(samples) >= _MOMENTS:
            # So many that p can be below 5 % for one layer after correction for all.
            found[site] = len(names), stability(samples, numbers, 20 * len(counts))
    return found


def _sums(samples: np.ndarray) -> np.ndarray:
    """Of each block, sums of products of units and a column of ones, (B, H + 1, H + 1)."""
    values = np.hstack([samples.astype(np.float64), np.ones((len(samples), 1))])
    return np.stack([block.T @ block for block in np.array_split(values, BLOCKS)])


def _agreement(sums: np.ndarray, halves: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """Adjusted Rand index of each way to halve and number of groups, (splits, K)."""
    pairs = [
        [divisions(_correlation(sums[side].sum(0)), numbers) for side in (half, ~half)]
        for half in halves
    ]
    return np.array([[adjusted_rand(*two) for two in zip(*pair, strict=True)] for pair in pairs])


def _correlation(sums: np.ndarray) -> np.ndarray:
    mean = sums[-1, :-1] / sums[-1, -1]
    covariance = sums[:-1, :-1] / sums[-1, -1] - np.outer(mean, mean)
    spread = np.sqrt(np.maximum(np.diag(covariance), DEAD_STD**2))
    return np.asarray(covariance / np.outer(spread, spread))
