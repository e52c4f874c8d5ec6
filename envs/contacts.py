"""What a batch of robots feels: forces from outside on each body, and feet on the ground."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from mujoco.batch import Batch

from envs.sources import Read, Robots, source
from envs.terms import Term, term

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


def foot_contact(model: mujoco.MjModel, names: Sequence[str]) -> dict[str, Term]:
    """Say which feet touch the ground plane, from their lowest points; nothing if there are none.

    Args:
        model: With the feet.
        names: Geoms (capsules, spheres or boxes); those that the model lacks are left out.
    """
    ids = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, name) for name in names]
    kept = [
        (name, geom)
        for name, geom in zip(names, ids, strict=True)
        if geom >= 0 and model.geom_type[geom] in (CAPSULE, SPHERE, BOX)
    ]
    grounds = np.flatnonzero((model.geom_type == PLANE) & (model.geom_bodyid == 0))
    if not kept or not len(grounds):
        return {}
    ground, geoms = grounds[0], np.array([geom for _, geom in kept])
    kinds, sizes = model.geom_type[geoms], model.geom_size[geoms]
    # A foot is a box of these half lengths (a line, a point), grown by a radius.
    half = np.where((kinds == BOX)[:, None], sizes, 0.0)
    half[kinds == CAPSULE, 2] = sizes[kinds == CAPSULE, 1]
    radius = np.where(kinds == BOX, 0.0, sizes[:, 0])
    # MuJoCo lets two geoms act on each other from this distance on.
    margin = model.geom_margin[geoms] + model.geom_margin[ground]
    reach = model.geom_pos[ground, 2] + radius + margin
    found = [name for name, _ in kept]
    return {"foot_contact": term("feet", geoms=found, half=half, reach=reach, vector=True)}


@source("feet")
def feet(robots: Robots, geoms: list[str], half: Any, reach: Any) -> Read:
    """Which feet touch the ground, (n, feet) bool, as of the last physics stage."""
    ids = np.array([robots.model.geom(name).id for name in geoms])
    halves, reaches, n = np.array(half), np.array(reach), len(robots.steps)
    centre = robots.field("geom_xpos").reshape(n, -1, 3)
    turn = robots.field("geom_xmat").reshape(n, -1, 9)

    def read(rows: np.ndarray) -> np.ndarray:
        at = rows[:, None]
        below = np.abs(turn[at, ids, 6:] * halves).sum(-1)
        return centre[at, ids, 2] - below < reaches

    return read
