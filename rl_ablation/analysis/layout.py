"""Where a layer's units are drawn: on a grid, in order or with like units side by side."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from rl_ablation.lesions.methods import DEAD_STD


def grid_shape(units: int) -> tuple[int, int]:
    """Rows and columns of the near-square grid that a layer is drawn on."""
    columns = int(np.ceil(np.sqrt(units)))
    return -(-units // columns), columns


def as_grid(values: np.ndarray) -> np.ndarray:
    """Lay out (H,) values on the layer's grid, row by row; places without a unit are NaN."""
    rows, columns = grid_shape(len(values))
    grid = np.full(rows * columns, np.nan)
    grid[: len(values)] = values
    return grid.reshape(rows, columns)


def similarity(samples: np.ndarray) -> np.ndarray:
    """Absolute correlations of units' activity, (H, H), from (S, H); a dead unit is like none."""
    live = samples.std(0, dtype=np.float64) > DEAD_STD
    result = np.eye(samples.shape[1])
    if live.sum() > 1:
        result[np.ix_(live, live)] = np.abs(np.corrcoef(samples[:, live].T.astype(np.float64)))
    return result


def unit_layout(samples: np.ndarray) -> np.ndarray:
    """Lay a layer out by its activity (S, H): units that are active together are neighbours.

    Returns row and column of each unit on the grid of `grid_shape`, (H, 2), all different.
    """
    distance = 1.0 - similarity(samples)
    units = len(distance)
    rows, columns = grid_shape(units)
    places = np.stack(np.divmod(np.arange(rows * columns), columns), 1)
    if units < 3:
        return places[:units]
    centred = distance**2 - (distance**2).mean(0)
    centred = -0.5 * (centred - centred.mean(1, keepdims=True))
    value, vector = np.linalg.eigh(centred)
    axes = vector[:, :-3:-1] * np.sqrt(np.clip(value[:-3:-1], 0.0, None))
    # An eigenvector's sign means nothing: the entry of largest size is made positive.
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), [0, 1]])
    # Ranks spread a crowd over the whole grid; ties are broken by the unit's number.
    ranks = np.argsort(np.argsort(np.round(axes, 9), axis=0, kind="stable"), axis=0) + 0.5
    wanted = ranks / units * [rows, columns] - 0.5
    cost = ((wanted[:, None] - places[None]) ** 2).sum(-1)
    _, place = linear_sum_assignment(cost)
    return places[place]


def as_image(values: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Put unit values (H,) on their layout, as an image; places without a unit are NaN."""
    image = np.full(grid_shape(len(values)), np.nan)
    image[cells[:, 0], cells[:, 1]] = values
    return image
