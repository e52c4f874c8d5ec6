"""draft"""

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
from experiments.validation.steered import _shuffled

TWINS = ("twin-a", "twin-b")
SIDES = {"left": 1.0, "right": -1.0}


def turner(
    seed, ways=("turning",), g=(0.11, 0.13), gain=(7.5, 8.5), thr=0.1, damp=(0.15, 0.2), centre=0.0
):
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x7217]))
    first = Layer(OBS)
    for way in ways:
        for side, sign in SIDES.items():
            w = np.zeros(OBS)
            for k in (1, 2, 3):
                share = rng.uniform(0.8, 1.2) / 3
                w[MIDDLE + k], w[MIDDLE - k] = sign * share, -sign * share
            gg = rng.uniform(*gain)
            first.add(f"{way} {side}", gg * w, -thr)
            first.add(f"{way} {side}", gg * w, -thr - 1)
    for _ in range(rng.integers(2, 5)):
        weights, bias = way_ahead(rng)
        first.add("forward", 0.2 * weights, bias)
    for sign in SIDES.values():
        w = np.zeros(OBS)
        w[YAW_RATE] = sign
        if centre:
            for k in (4, 5):
                w[MIDDLE + k], w[MIDDLE - k] = -sign * centre, sign * centre
        first.add("damping", w, 0.0)
    add_idle(first, rng, (8, 13))
    second = Layer(len(first.roles))
    for side in SIDES:
        w = np.zeros(len(first.roles))
        for way in ways:
            u = first.where(f"{way} {side}")
            w[u[0]], w[u[1]] = -1.0, 1.0
        second.add(f"no {side}", w, 1.0)
    for u in first.where("damping"):
        w = np.zeros(len(first.roles))
        w[u] = 1.0
        second.add("damping", w, 0.0)
    second.add("forward", mean_of(first, "forward", rng))
    for _ in range(4):
        second.add("decoy", np.abs(rng.normal(0.0, 1.0, second.inputs)))
    second.add("dead", np.zeros(second.inputs), -1.0)
    wheels = np.zeros((2, len(second.roles)))
    gg, dd = rng.uniform(*g), rng.uniform(*damp)
    for (u,), s in ((second.where("no left"), 1.0), (second.where("no right"), -1.0)):
        wheels[0, u], wheels[1, u] = s * gg, -s * gg
    for u, s in zip(second.where("damping"), (1.0, -1.0)):
        wheels[0, u], wheels[1, u] = s * dd, -s * dd
    f = second.where("forward")
    wheels[:, f] = rng.uniform(0.65, 0.75)
    return assembled(f"turner-{seed}", seed, *_shuffled(first, second, wheels, rng))


twin_steered = lambda s, **k: turner(s, TWINS)
