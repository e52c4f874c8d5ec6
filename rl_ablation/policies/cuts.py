"""What is done to the values at the sites of a network in one step, for many robots at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:  # help lists the kinds of cut, and should not wait for torch
    from torch import Tensor


class Along(NamedTuple):
    """What is done to the coordinates z = Vᵀh of some robots along directions of their own.

    There h' = h + V·((scale − 1)·z + shift): along V the code is scaled and shifted, and what is
    orthogonal to it stays as it is.

    Attributes:
        axes: Orthonormal directions of each lesion, (L, K, H) float64; zeros where it has fewer.
        which: Row → its lesion, (N,); −1 for rows without.
        scale: (N, K) float64.
        shift: (N, K) float64.
    """

    axes: np.ndarray
    which: np.ndarray
    scale: np.ndarray
    shift: np.ndarray

    def rows(self, rows: slice) -> Along:
        """The same of some robots."""
        return Along(self.axes, self.which[rows], self.scale[rows], self.shift[rows])

    def changed(self, values: np.ndarray) -> np.ndarray:
        """The values (N, H) after it, in their own precision.

        Sums run along a row and by numpy alone, so a row gets the same bits in any company.
        """
        idle = (self.scale == 1.0) & (self.shift == 0.0)
        rows = np.flatnonzero((self.which >= 0) & ~idle.all(1))
        if not rows.size:
            return values
        before = values[rows].astype(np.float64)
        after = before.copy()
        for k in range(self.axes.shape[1]):
            axis = self.axes[self.which[rows], k]
            z = project(before, axis)
            after += (((self.scale[rows, k] - 1.0) * z) + self.shift[rows, k])[:, None] * axis
        changed = values.copy()
        changed[rows] = after
        return changed


def project(values: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Coordinates (N,) of values (N, H) along a direction (H,), or one for each row (N, H)."""
    return np.asarray((values * axes).sum(-1, dtype=np.float64))


class Cuts(dict[str, tuple[np.ndarray, np.ndarray]]):
    """The cuts of N robots at a step: site → (scale (N, H), shift (N, H)), h' = scale·h + shift.

    Attributes:
        along: Site → what is done along directions, after that.
        heard: What only some units hear of: cuts of a pass of their own.
        receivers: Site → who gets the values of that pass, (N, H) bool.
    """

    def __init__(
        self,
        masks: Mapping[str, tuple[np.ndarray, np.ndarray]] = {},
        along: Mapping[str, Along] = {},
        heard: Cuts | None = None,
        receivers: Mapping[str, np.ndarray] = {},
    ) -> None:
        super().__init__(masks)
        self.along, self.heard, self.receivers = dict(along), heard, dict(receivers)

    def apply(self, site: str, h: Tensor, rows: slice) -> None:
        """Carry out the cuts of some robots at a site, in place; h holds them, (n, H)."""
        from torch import from_numpy

        if site in self:
            scale, shift = self[site]
            h *= from_numpy(scale[rows])
            h += from_numpy(shift[rows])
        if site in self.along:
            h.copy_(from_numpy(self.along[site].rows(rows).changed(h.numpy())))
