"""What a batch of robots feels: forces from outside on each body, and feet on the ground."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
from mujoco.batch import Batch

PLANE, CAPSULE, SPHERE, BOX = (
    getattr(mujoco.mjtGeom, f"mjGEOM_{kind}").value
    for kind in ("PLANE", "CAPSULE", "SPHERE", "BOX")
)


class ContactForces:
    """The external force on each body, as `mj_rnePostConstraint` leaves it in ``cfrc_ext``.

    The tasks read it after the last stage of the integrator, and MuJoCo computes it by itself
    only for force sensors, in the first stage. So each robot's data is copied out of a
    *persistent* batch for that one call: 8 µs a robot, 3 to 5 % of an Ant's or Humanoid's step.
    Robots that touch nothing are spared it.

    Args:
        batch: A persistent batch.
    """

    def __init__(self, batch: Batch) -> None:
        self.values = np.zeros((batch.nsim, batch.model.nbody, 6))  # N·m, N·m, N·m, N, N, N
        self._batch = batch
        self._data = mujoco.MjData(batch.model)
        self._contacts = batch.bind("ncon")
        self._pushes = batch.bind("xfrc_applied")
        # Only a model with sensors has forces in its start state.
        self._computed = batch.bind("cfrc_ext") if batch.model.nsensor else None

    def start(self, rows: np.ndarray) -> None:
        """Take the forces of freshly started ``rows``."""
        self.values[rows] = 0.0 if self._computed is None else self._computed[rows]

    def update(self, rows: np.ndarray) -> None:
        """Compute the forces of ``rows`` after a step."""
        felt = self._contacts[rows] > 0
        felt |= self._pushes[rows].any((1, 2))
        felt |= self._batch.model.neq > 0
        self.values[rows] = 0.0
        for i in rows[felt].tolist():
            self._batch.get_data(i, self._data)
            mujoco.mj_rnePostConstraint(self._batch.model, self._data)
            self.values[i] = self._data.cfrc_ext


class Feet:
    """Which feet touch the ground plane, from their lowest points.

    Args:
        batch: The batch.
        names: Geoms (capsules, spheres or boxes); those that the model lacks are left out.
    """

    def __init__(self, batch: Batch, names: Sequence[str]) -> None:
        model = batch.model
        geoms = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, name) for name in names]
        kept = [
            (name, geom)
            for name, geom in zip(names, geoms, strict=True)
            if geom >= 0 and model.geom_type[geom] in (CAPSULE, SPHERE, BOX)
        ]
        grounds = np.flatnonzero((model.geom_type == PLANE) & (model.geom_bodyid == 0))
        if not len(grounds):
            kept = []
        self.names = tuple(name for name, _ in kept)
        if not kept:
            return
        ground = grounds[0]
        self._geoms = np.array([geom for _, geom in kept])
        kinds, sizes = model.geom_type[self._geoms], model.geom_size[self._geoms]
        # A foot is a box of these half lengths (a line, a point), grown by a radius.
        self._half = np.where((kinds == BOX)[:, None], sizes, 0.0)
        self._half[kinds == CAPSULE, 2] = sizes[kinds == CAPSULE, 1]
        radius = np.where(kinds == BOX, 0.0, sizes[:, 0])
        # MuJoCo lets two geoms act on each other from this distance on.
        margin = model.geom_margin[self._geoms] + model.geom_margin[ground]
        self._reach = model.geom_pos[ground, 2] + radius + margin
        self._centre, self._turn = batch.bind("geom_xpos"), batch.bind("geom_xmat")

    def touching(self, rows: np.ndarray) -> np.ndarray:
        """Return (n, feet) bool, as of the last physics stage."""
        at = rows[:, None]
        below = np.abs(self._turn[at, self._geoms, 6:] * self._half).sum(-1)
        return self._centre[at, self._geoms, 2] - below < self._reach
