"""The moments that the intact robot visited, and which of them are like the present one."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from rl_ablation.lesions.methods import DEAD_STD, SiteStats

ALIKE = 32
"""Moments that count as like another one: of 4096 in 6 conditions, every twentieth of its own."""


class Visited:
    """Visited moments, found again by what the robot sees.

    Distances are Euclidean, in units of each sensor's standard deviation over the moments.

    Args:
        obs: What the robot saw, after normalisation, and the conditions.
    """

    def __init__(self, obs: SiteStats) -> None:
        spread = obs.std
        self._unit = np.where(spread > DEAD_STD, spread, 1.0).astype(np.float32)
        self._moments = obs.samples / self._unit
        self._conditions = obs.conditions
        self._square = np.square(self._moments, dtype=np.float64).sum(1).astype(np.float32)

    def nearest(self, seen: np.ndarray) -> np.ndarray:
        """The moment nearest to each observation (n, D), (n,).

        A row's answer does not depend on the other rows: see `rl_ablation.policies.network`.
        """
        import torch  # help lists the kinds of cut, and should not wait for it

        from rl_ablation.policies.network import BLOCK, linear, one_thread

        found = np.empty(len(seen), np.int64)
        weight = torch.from_numpy(-2.0 * self._moments)
        bias = torch.from_numpy(self._square)
        with torch.inference_mode(), one_thread():
            for start in range(0, len(seen), BLOCK):
                some = seen[start : start + BLOCK]
                block = np.zeros((BLOCK, seen.shape[1]), np.float32)
                block[: len(some)] = some / self._unit
                distance = linear(torch.from_numpy(block), weight, bias)
                found[start : start + BLOCK] = distance.argmin(1)[: len(some)].numpy()
        return found

    def alike(self, seen: np.ndarray) -> np.ndarray:
        """The moments most like each observation (n, D): the nearest one and its own nearest ones
        of the same condition, (n, K), K = `ALIKE` or what the smallest condition has."""
        return self._neighbours[self.nearest(seen)]

    @cached_property
    def _neighbours(self) -> np.ndarray:
        from sklearn.neighbors import NearestNeighbors

        total = len(self._moments)
        kinds = np.zeros(total, int) if self._conditions is None else self._conditions
        groups = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]
        most = min(ALIKE, *(len(group) for group in groups))
        table = np.empty((total, most), np.int64)
        for group in groups:
            tree = NearestNeighbors(n_neighbors=most, algorithm="brute").fit(self._moments[group])
            table[group] = group[tree.kneighbors(return_distance=False, X=self._moments[group])]
        return table
