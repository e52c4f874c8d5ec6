"""Steered robots: planted controllers whose parts are needed for what they say at each moment.

The pathways of `experiments.validation.policies` say "go" at all times, or steer to one side while
the other side can make up for it: held at their mean, or at another moment, little is lost. Here
two functions are lost whatever their units are replaced by within their range:

* ``steering``: how much more room there is on the left. Without it the robot leaves the track.
* ``damping``: the yaw rate, against which the robot steers. Without it the robot weaves and so
  drives slowly, but stays on the track.

In ``h0`` both are linear: their units stay far above zero, some with the sign turned. In ``h1``
each has rectified units for either side. What drives both wheels is nearly constant. With two ways
of steering, ``steering-a`` by the rays to the sides and ``steering-b`` by those further ahead,
either suffices in most episodes, and without both the robot leaves the track.
"""

from __future__ import annotations

import numpy as np

from experiments.validation.policies import (
    MIDDLE,
    OBS,
    YAW_RATE,
    Layer,
    Planted,
    add_idle,
    assembled,
    mean_of,
    way_ahead,
)

STEERED, DAMPING = "steering", "damping"
STEERING_WAYS = ("steering-a", "steering-b")
CENTRE = 1.5  # activity of a unit of h0 in the middle between left and right
_RAYS = {STEERED: (2, 3, 4, 5), STEERING_WAYS[0]: (2, 3), STEERING_WAYS[1]: (4, 5)}
_ONE_WAY = {"steering": (7.0, 8.0), "damping": (0.7, 0.8)}  # gains
_TWO_WAYS = {"steering": (2.5, 3.2), "damping": (0.3, 0.4)}
_FORWARD = (0.75, 0.85)
_UNITS, _DECOYS = (4, 7), (8, 13)
"""Units of a function in ``h0``: so many that a random part hardly ever holds them all."""


def steered(seed: int, ways: tuple[str, ...] = (STEERED,)) -> Planted:
    """Build the steered robot of a seed, with these ways of steering; see the module."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x57EE]))
    gains = _ONE_WAY if len(ways) == 1 else _TWO_WAYS
    first = Layer(OBS)
    signs = {role: _add_signed(first, role, rng) for role in (*ways, DAMPING)}
    for _ in range(rng.integers(2, 5)):
        weights, bias = way_ahead(rng)
        first.add("forward", 0.2 * weights, bias)  # else it slows down as it leaves the track
    add_idle(first, rng, _DECOYS)
    second, sides = Layer(len(first.roles)), []
    for role, sign in signs.items():
        for side in (1.0, -1.0):
            for _ in range(rng.integers(2, 4)):
                weights = side * mean_of(first, role, rng)
                weights[first.where(role)] *= sign
                second.add(role, weights, -CENTRE * weights.sum())
                sides.append(side)
    for _ in range(rng.integers(1, 3)):
        second.add("forward", mean_of(first, "forward", rng))
    for _ in range(rng.integers(*_UNITS)):
        second.add("decoy", np.abs(rng.normal(0.0, 1.0, second.inputs)))
    second.add("dead", np.zeros(second.inputs), -1.0)
    wheels = np.zeros((2, len(second.roles)))
    for role in signs:
        against = -1.0 if role == DAMPING else 1.0
        gain = against * rng.uniform(*gains["damping" if role == DAMPING else "steering"])
        for side in (1.0, -1.0):
            members = [k for k in second.where(role) if sides[k] == side]
            shares = side * gain * rng.dirichlet(np.full(len(members), 8.0))
            wheels[0, members], wheels[1, members] = -shares, shares
    forward = second.where("forward")
    wheels[:, forward] = rng.uniform(*_FORWARD) * rng.dirichlet(np.full(forward.size, 8.0))
    wheels[:, second.where("dead")] = rng.normal(0.0, 1.0, (2, 1))
    return assembled(f"steered-{seed}", seed, *shuffled(first, second, wheels, rng))


def _add_signed(layer: Layer, role: str, rng: np.random.Generator) -> np.ndarray:
    """Add the units of a function that has two sides; returns their signs."""
    signs = np.resize([1.0, -1.0], rng.integers(*_UNITS))
    for sign in signs:
        weights = np.zeros(OBS)
        if role == DAMPING:
            weights[YAW_RATE] = rng.uniform(0.8, 1.2)
        else:
            for k in _RAYS[role]:
                share = rng.uniform(0.8, 1.2) / len(_RAYS[role])
                weights[MIDDLE + k], weights[MIDDLE - k] = share, -share
        layer.add(role, sign * weights, CENTRE)
    return signs


def shuffled(
    first: Layer, second: Layer, wheels: np.ndarray, rng: np.random.Generator
) -> tuple[Layer, Layer, np.ndarray]:
    """The layers with their units in a random order, and the wheels that listen to them."""
    order, other = rng.permutation(len(first.roles)), rng.permutation(len(second.roles))
    second.weights = [row[order] for row in second.weights]
    return first.ordered(order), second.ordered(other), wheels[:, other]
