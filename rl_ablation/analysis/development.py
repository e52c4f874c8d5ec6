"""How a division of labour develops over a training: what is needed when, how local, foretold how.

The same units are cut in the policies that one training had after so many steps, in several kinds
on the same episodes. What counts as a full change of a behaviour is the same number at all of them.
The letters of shapes: N networks, C checkpoints, K kinds of cut, D divisions of the layers (the
first is the one asked about, the others are random ones of the same sizes), E episodes, R regions,
M measures. Changes are paired with the intact policy of the same checkpoint, below 0 is worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from rl_ablation.analysis.localisation import HARMED, worst_share
from rl_ablation.stats import (
    LEVEL,
    benjamini_hochberg,
    finite_mean,
    interval,
    sign_flip_p,
    smallest_effect,
    spearman,
    student_interval,
)

NEVER = -1
"""In the place of a checkpoint."""
BOOT = 1000


def needed(change: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Whether each region is needed for each behaviour, (R, M).

    It is if its cut makes the behaviour worse under every kind, by `HARMED` of a full change or
    more, with q < 5 % over all regions × behaviours; p is the largest of the kinds' (Berger 1982).

    Args:
        change: In one division of one checkpoint, (K, E, R, M).
        size: What counts as a full change, (M,).
    """
    kinds, episodes, regions, measures = change.shape
    flat = change.transpose(1, 0, 2, 3).reshape(episodes, -1)
    p = sign_flip_p(flat, np.random.default_rng(0)).reshape(kinds, regions, measures)
    least = np.nan_to_num(finite_mean(change, 1)).max(0)  # the weakest kind
    q = benjamini_hochberg(np.where(least < 0, p.max(0), 1.0))
    return np.asarray((q < LEVEL) & (-least >= HARMED * size))


def first_needed(needs: np.ndarray) -> np.ndarray:
    """The checkpoint from which on each region is needed, (R,), out of (C, R) truths; or `NEVER`.

    It has to be needed at the next one too, so that one false alarm dates nothing; at the last one
    this cannot be asked.
    """
    lasting = needs & np.vstack([needs[1:], np.ones_like(needs[:1])])
    return np.where(lasting.any(0), lasting.argmax(0), NEVER)


def locality(
    change: np.ndarray, size: np.ndarray, sites: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Share of a layer's loss that its worst region does: of the division, and of the random ones.

    Each (C, K), the mean over layers × measures in which something is lost: with the parts of the
    division, each cut alone, `HARMED` of a full change or more in all. NaN where there are none.

    Args:
        change: Mean over episodes, (C, K, D, R, M).
        size: What counts as a full change, (M,).
        sites: Layer of each region, (R,).
    """
    own, drawn = [], []
    for site in dict.fromkeys(sites):
        harm = change[..., [s == site for s in sites], :] / size
        lost = np.maximum(-harm, 0.0).sum(-2)  # (C, K, D, M)
        share = np.where(lost >= HARMED, worst_share(harm), np.nan)
        own.append(share[:, :, 0])
        other = finite_mean(share[:, :, 1:], 2)
        # Like is held against like: where random parts lose nothing there is nothing to compare.
        own[-1] = np.where(np.isfinite(other), own[-1], np.nan)
        drawn.append(np.where(np.isfinite(own[-1]), other, np.nan))
    return finite_mean(np.concatenate(own, -1), -1), finite_mean(np.concatenate(drawn, -1), -1)


def rise(values: np.ndarray, when: np.ndarray) -> np.ndarray:
    """By how much (C, …) rises from the first to the last time (C,), by the least squares line.

    NaN with fewer than three numbers.
    """
    flat = values.reshape(len(values), -1)
    found = np.full(flat.shape[1], np.nan)
    for k, column in enumerate(flat.T):
        there = np.isfinite(column)
        if there.sum() >= 3:
            found[k] = np.polyfit(when[there], column[there], 1)[0] * np.ptp(when)
    return found.reshape(values.shape[1:])


@dataclass(frozen=True)
class Across:
    """A mean over networks, its interval, and the smallest one that could have been told from 0."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    smallest: np.ndarray


def across(values: np.ndarray, inside: np.ndarray, seed: int = 0) -> Across:
    """Mean over networks (N, …) with a 95 % interval, all in the shape of one network's numbers.

    The bootstrap draws networks first, then one of the resamples ``inside`` each, (N, B, …). Of few
    networks its interval is short (`hierarchical_bootstrap`), so each end is Student's over the
    networks where that is further out. Networks without a number are left out.
    """
    rng = np.random.default_rng(seed)
    networks, draws = inside.shape[:2]
    which = rng.integers(networks, size=(draws, networks))
    means = finite_mean(inside[which, rng.integers(draws, size=which.shape)], 1)
    flat, drawn = values.reshape(networks, -1), means.reshape(draws, -1)
    ends = []
    for column, boot in zip(flat.T, drawn.T, strict=True):
        there = column[np.isfinite(column)]
        low, high = np.transpose([interval(boot), student_interval(there)])
        one = bool(there.size > 1)
        ends.append((np.nanmin(low), np.nanmax(high)) if one else (np.nan, np.nan))
    shape = values.shape[1:]
    low, high = np.array(ends).T.reshape(2, *shape)
    smallest = np.reshape([smallest_effect(column) for column in flat.T], shape)
    return Across(finite_mean(values), low, high, smallest)


def foretold(
    early: np.ndarray, late: np.ndarray, seed: int = 0, draws: int = BOOT
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rank correlations within one layer of one network, of what was early with what is lost late.

    Returns:
        The correlations (P,), the same over resampled units (B, P), and with the units' losses
        shuffled, the same shuffles for all columns, (B, P).

    Args:
        early: A number for each unit by each way to foretell, (P, H).
        late: What is lost without each unit at last, (H,).
        seed: Of the draws.
        draws: B.
    """
    rng = np.random.default_rng(seed)
    found = spearman(early, late[None])
    units = rng.integers(late.size, size=(draws, late.size))
    inside = np.stack([spearman(column[units], late[units]) for column in early], axis=1)
    ranks = rankdata(late)
    shuffled = ranks[np.argsort(rng.random((draws, late.size)), axis=1)]
    null = np.stack([spearman(column[None], shuffled) for column in early], axis=1)
    return found, inside, null


def p_family(found: np.ndarray, null: np.ndarray) -> np.ndarray:
    """p of each mean correlation (P,) over all of them together, against shuffles (B, P).

    Each is held against the largest in size of every shuffle (Westfall & Young 1993).
    """
    largest = np.nanmax(np.abs(null), axis=1)
    beyond = (largest[:, None] >= np.abs(found) - 1e-12).sum(0)
    return np.where(np.isfinite(found), (1 + beyond) / (1 + len(null)), np.nan)
