"""Cross-seed consistency: do networks trained alike from other seeds divide their labour alike?

Units and regions of two networks have no names in common. Regions are therefore compared by what
their loss does: each is a row of an effect matrix (regions × behaviours), and the rows of two
networks are matched one to one so that they agree best. Whatever is said of networks in general is
resampled seeds first, episodes within (Agarwal et al. 2021 give the measures; two levels as in
Saravanan et al. 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from rl_ablation.errors import LabError
from rl_ablation.groupings.controls import RANDOM
from rl_ablation.lesions.lesion import INTACT, VARIANT, Lesion
from rl_ablation.mapping.evidence import NO_CLAIMS, differences, reference_effect
from rl_ablation.mapping.run import Run
from rl_ablation.measures.registry import MEASURES
from rl_ablation.stats import finite_mean


def paired_harm(run: Run, names: Sequence[str], measures: Sequence[str]) -> np.ndarray:
    """What each loss does in each episode, (episodes, lesions, measures); below 0 is worse.

    In units of `reference_effect` over all lesions of the run but its random controls, paired with
    the intact policy; NaN where either gives no number.
    """
    table = run.table()
    claimed = [x.name for x in run.plan if x.size and x.group != RANDOM]
    intact = table[table["lesion"] == INTACT]
    paired = []
    for name, change in differences(table, measures).items():
        means = {"measure": name, "delta": change[claimed].mean(), "intact": intact[name].mean()}
        full = float(reference_effect(pd.DataFrame(means))[name])
        paired.append((MEASURES[name].better or 1) * change[list(names)].to_numpy(float) / full)
    return np.stack(paired, axis=-1)


@dataclass(frozen=True)
class Match:
    """Regions of two networks, one to one.

    ``order`` has the region of the second network for each of the first, (R,); −1 where it has
    fewer. ``score`` is the cosine of the two whole matrices, the second's rows in that order.
    """

    order: np.ndarray
    score: float


def match(a: np.ndarray, b: np.ndarray) -> Match:
    """Match the rows, regions, of two effect matrices one to one (Kuhn 1955, "Hungarian").

    The matching maximises Σ aᵣ·b_π(r), so regions count by the size of their effects and the noise
    of regions without any does not; divided by ‖a‖‖b‖ this is the score, 1 for the same matrix in
    another order. LabError where the matrices have other numbers of measures.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise LabError(f"effect matrices of shapes {a.shape} and {b.shape} cannot be matched")
    agreement = a @ b.T
    rows, columns = linear_sum_assignment(-agreement)
    order = np.full(len(a), -1)
    order[rows] = columns
    size = np.linalg.norm(a) * np.linalg.norm(b)
    score = float(agreement[rows, columns].sum() / size) if size > 0 else 0.0
    return Match(order, score)


@dataclass(frozen=True)
class Consistency:
    """How alike several networks divide their labour.

    ``scores`` are those of each pair of networks, (S, S), 1 on the diagonal, ``score`` is their
    mean over pairs, ``null`` the same mean for shuffled networks, (draws,), and ``p`` the share of
    the null, the networks themselves counted in, that scores at least as high.
    """

    scores: np.ndarray
    score: float
    null: np.ndarray
    p: float

    @property
    def typical(self) -> int:
        """The network most like the others; the rest can be shown in its order."""
        return int(self.scores.sum(0).argmax())


def consistency(
    matrices: Sequence[np.ndarray], *, specific: bool = False, draws: int = 999, seed: int = 0
) -> Consistency:
    """Do regions with the same profile of effects recur in every network?

    The null shuffles each behaviour's effects over the regions of each network, so that each
    behaviour stays as local and as large as it is, and only which behaviours go together in a
    region is lost; then everything is matched again. The matrices, one for each network, are
    (regions, measures), on one scale.

    With ``specific`` each region's mean over behaviours is subtracted first. A region whose loss
    stops the robot hurts all behaviours at once; this asks for consistency beyond such failure
    (Jonas & Kording 2017). LabError for fewer than two networks.
    """
    if len(matrices) < 2:
        raise LabError("consistency needs at least two networks")
    rng = np.random.default_rng(seed)

    def pairwise(effects: Sequence[np.ndarray]) -> np.ndarray:
        if specific:
            effects = [e - e.mean(1, keepdims=True) for e in effects]
        scores = np.eye(len(effects))
        for i, j in combinations(range(len(effects)), 2):
            scores[i, j] = scores[j, i] = match(effects[i], effects[j]).score
        return scores

    off = np.triu_indices(len(matrices), 1)
    scores = pairwise(matrices)
    score = float(scores[off].mean())
    shuffled = ([rng.permuted(m, axis=0) for m in matrices] for _ in range(draws))
    null = np.array([pairwise(effects)[off].mean() for effects in shuffled])
    p = (1 + int((null >= score - 1e-12).sum())) / (1 + draws)
    return Consistency(scores, score, null, p)


NAME, EFFECTS = "name", "effects"
"""How regions of two maps are matched."""


@dataclass(frozen=True)
class Pair:
    """A region of one map, its counterpart in another, and how they were matched."""

    a: Lesion
    b: Lesion
    how: str


def matched_regions(
    a: Run, b: Run, measures: Sequence[str], by: str | None = None
) -> tuple[list[Pair], dict[str, Consistency]]:
    """The regions of two maps, one to one; and grouping → how alike those are matched by effects.

    A cut that both made, of the same units, is one region by its name. The rest is matched inside
    each grouping by what its loss does in the runs' own episodes, on these measures; a region that
    does nothing there, or the opposite, has no counterpart. ``by`` takes one of the two ways only.

    Raises:
        LabError: There is no such way.
    """
    if by not in (None, NAME, EFFECTS):
        raise LabError(f"regions are matched by {NAME} or by {EFFECTS}, not by {by!r}")
    ours, theirs = regions(a), {x.name: x for x in regions(b)}
    pairs: list[Pair] = []
    if by != EFFECTS:
        same = [x for x in ours if x.name in theirs and _place(x) == _place(theirs[x.name])]
        pairs = [Pair(x, theirs.pop(x.name), NAME) for x in same]
    taken = {pair.a.name for pair in pairs}
    ours = [x for x in ours if x.name not in taken]
    alike: dict[str, Consistency] = {}
    for group in dict.fromkeys(x.group for x in ours) if by != NAME else ():
        one = [x for x in ours if x.group == group]
        other = [x for x in theirs.values() if x.group == group]
        if not other:
            continue
        m, n = (
            finite_mean(paired_harm(run, [x.name for x in xs], measures), empty=0.0)
            for run, xs in ((a, one), (b, other))
        )
        alike[group] = consistency([m, n])
        for i, j in enumerate(match(m, n).order):
            if j >= 0 and m[i] @ n[j] > 0:
                pairs.append(Pair(one[i], other[j], EFFECTS))
    return pairs, alike


def regions(run: Run) -> list[Lesion]:
    """The cuts of a run that claims are made of, in their first kind."""
    return [x for x in run.plan if x.size and VARIANT not in x.name and x.group not in NO_CLAIMS]


def _place(lesion: Lesion) -> tuple[object, ...]:
    """Where and when a cut is made, however it is carried out."""
    cut, to = (
        tuple(sorted((site, tuple(sorted(units))) for site, units in ends.items() if units))
        for ends in (lesion.cut, lesion.to)
    )
    return cut, to, lesion.onset, lesion.offset, lesion.when
