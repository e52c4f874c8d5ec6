"""Does the lab find what a code evokes, and tell what is enough from what is needed?

Planted robots with the room on either side as their cue: the code of moments with more room on the
left is put in at moments with more room on the right. Two families:

* *Steered* robots (`experiments.validation.steered`): one way of steering, which is what the next
  turn hangs on. Its code evokes turning left.
* *Twin* robots, here: two ways of steering that see the same, and units in ``h1`` that are silent
  as soon as either speaks, relu(1 − a − b), as of the twins in `experiments.validation.policies`.
  The code of one twin is enough to stop the turn, and neither is needed.

Decoys and dead units look at much the same and nothing listens: they evoke nothing by wiring. That
a random half of the target's own moments evokes nothing is asked of every region that matters: a
patch like any other, of which nothing can come but chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import rl_ablation as rl
from experiments.validation.policies import (
    MIDDLE,
    OBS,
    YAW_RATE,
    ZERO,
    Layer,
    Planted,
    add_idle,
    assembled,
    mean_of,
    way_ahead,
)
from experiments.validation.steered import STEERED, shuffled, steered
from rl_ablation.analysis.responses import Responses, responses
from rl_ablation.analysis.sufficiency import (
    NO,
    SHARE,
    YES,
    evoked,
    lost,
    necessary_and_sufficient,
)
from rl_ablation.groupings.patches import ANY, KINDS, OWN, SOURCE, patched, patches
from rl_ablation.lesions.lesion import Plan
from rl_ablation.lesions.variants import variants
from rl_ablation.stats import LEVEL

TWINS = ("twin-a", "twin-b")
ROOM_LEFT = "obs[10] > 0.22 and obs[4] < 0.17"
ROOM_RIGHT = "obs[4] > 0.22 and obs[10] < 0.17"
"""The rays 45° to either side, of 4 m."""
SIGNAL = "yaw_rate"
CONDITIONS = ("bends/ccw", "bends/cw", "random/ccw", "random/cw")
HORIZON = 150
Judge = Callable[[Mapping[str, Any]], list[bool]]
_SIDES = {"left": 1.0, "right": -1.0}


def twin_steered(seed: int) -> Planted:
    """Build the twin robot of a seed; see the module."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x7217]))
    first = Layer(OBS)
    sides = {way: _add_way(first, way, rng) for way in TWINS}
    for _ in range(rng.integers(2, 5)):
        weights, bias = way_ahead(rng)
        first.add("forward", 0.2 * weights, bias)
    for sign in _SIDES.values():
        first.add("damping", sign * np.eye(OBS)[YAW_RATE])
    add_idle(first, rng, (8, 13))
    second = Layer(len(first.roles))
    for sign in _SIDES.values():
        weights = np.zeros(second.inputs)
        for members in sides.values():
            mine = [k for k, side in members.items() if side == sign]
            weights[mine] = -rng.dirichlet(np.full(len(mine), 8.0))
        second.add("silent", weights, 1.0)
    for unit in first.where("damping"):
        second.add("damping", np.eye(second.inputs)[unit])
    second.add("forward", mean_of(first, "forward", rng))
    for _ in range(4):
        second.add("decoy", np.abs(rng.normal(0.0, 1.0, second.inputs)))
    second.add("dead", np.zeros(second.inputs), -1.0)
    wheels = np.zeros((2, len(second.roles)))
    for role, gains in (("silent", (0.22, 0.26)), ("damping", (0.25, 0.3))):
        gain = rng.uniform(*gains)
        for unit, sign in zip(second.where(role), _SIDES.values(), strict=True):
            wheels[:, unit] = sign * gain, -sign * gain
    wheels[:, second.where("forward")] = rng.uniform(0.65, 0.75)
    return assembled(f"twins-{seed}", seed, *shuffled(first, second, wheels, rng))


def _add_way(layer: Layer, way: str, rng: np.random.Generator) -> dict[int, float]:
    """Add the units of a way of steering, steep and rectified; returns unit → side."""
    members = {}
    for sign in _SIDES.values():
        for _ in range(rng.integers(2, 4)):
            weights = np.zeros(OBS)
            for k in range(2, 6):
                share = rng.uniform(0.8, 1.2) / 4
                weights[MIDDLE + k], weights[MIDDLE - k] = sign * share, -sign * share
            members[len(layer.roles)] = sign
            layer.add(way, rng.uniform(20.0, 22.0) * weights, -1.0)
    return members


class Look(NamedTuple):
    """When a robot is looked at: the first step that may be it, and for how many seconds."""

    onset: int
    seconds: float


def by_role(planted: Planted) -> Plan:
    """The units of each role and layer as a region; those wired to nothing are one."""
    groups: dict[tuple[str, str], list[int]] = {}
    for name, role in planted.roles.items():
        site, unit = name.split("/")
        groups.setdefault((site, "idle" if role in ZERO else role), []).append(int(unit))
    return Plan(
        rl.Lesion(name=f"{site}/{role}", cut={site: tuple(units)}, group="truth")
        for (site, role), units in groups.items()
    )


def score(planted: Planted, seed: int, look: Look, episodes: int = 96) -> dict[str, Any]:
    """Patch and cut a robot's regions and judge them.

    Returns:
        ``sufficient`` and ``necessary``: region → verdict; ``idle``: claims about regions wired to
        nothing; ``null`` and ``nulls``: claims (of `SHARE` and more: two halves differ a
        little) of the patches with half of the target's own moments, and how many there were.
    """
    how: dict[str, Any] = {"conditions": CONDITIONS, "seed": seed, "horizon": HORIZON}
    activity = rl.record_activity(planted.policy, **how)
    regions = by_role(planted)
    mattering = Plan(x for x in regions if x.size and not x.name.endswith("/idle"))
    plan = patches(planted.policy, regions, activity, ROOM_LEFT, ROOM_RIGHT, **how)
    of_target = rl.moments(planted.policy, activity, ROOM_RIGHT, **how)
    half = np.random.default_rng(seed).permutation(of_target).tolist()
    halves: dict[str, Sequence[int]] = {SOURCE: half[::2], OWN: half[1::2], ANY: ()}
    null = Plan()
    for name, some in halves.items():
        for kind in KINDS:
            null += patched(mattering, name, some, kind)

    def seen(cuts: Plan, when: str) -> Responses:
        return responses(
            planted.policy, cuts, activity, rl.Episodes(episodes, seed, CONDITIONS, HORIZON),
            [SIGNAL], when=when, onset=look.onset, seconds=look.seconds,
        )  # fmt: skip

    source = seen(variants(regions, KINDS), ROOM_LEFT)
    target = seen(plan, ROOM_RIGHT)
    found = evoked(target, source, [SIGNAL])
    chance = evoked(seen(null, ROOM_RIGHT), source, [SIGNAL])
    names = [x.name for x in regions if x.size]
    both = necessary_and_sufficient(lost(source, target, names, [SIGNAL]), found)
    both = both.set_index("region")
    idle = found[found["region"].str.endswith("/idle")]
    return {
        "necessary": both["necessary"].to_dict(),
        "sufficient": both["sufficient"].to_dict(),
        "evoked": both["evoked"].round(3).to_dict(),
        "lost": both["lost"].round(3).to_dict(),
        "idle": int((idle["q"] < LEVEL).sum()), "idles": len(idle),
        "null": int(((chance["q"] < LEVEL) & (chance["evoked"] >= SHARE)).sum()),
        "nulls": len(chance),
    }  # fmt: skip


def stimulated(seed: int, episodes: int) -> dict[str, dict[str, Any]]:
    """Family → what was found in the robot of a seed; ``found`` is all that had to be, ``aim`` its
    name. A robot that never comes to the moments is one in which nothing was found."""
    facts = {}
    for name, (make, judge, look, aim) in ROBOTS.items():
        try:
            scored = score(make(seed), seed, look, episodes)
        except rl.LabError:
            scored = {"sufficient": {}, "necessary": {}, **dict.fromkeys(COUNTS, 0)}
        facts[name] = {**scored, "aim": aim, "found": judge(scored)}
    return facts


def steering_found(facts: Mapping[str, Any]) -> list[bool]:
    """Of a steered robot: whether the code of its steering, in each layer, is told enough."""
    return [facts["sufficient"].get(f"{site}/{STEERED}") == YES for site in ("h0", "h1")]


def twins_told(facts: Mapping[str, Any]) -> list[bool]:
    """Of a twin robot: whether each twin is told enough and not needed."""
    return [
        facts["sufficient"].get(f"h0/{x}") == YES and facts["necessary"].get(f"h0/{x}") == NO
        for x in TWINS
    ]


CODES = ("steering's code is told enough", "twins: enough, and not needed")
"""What has to be found in the robots of each family."""
COUNTS = ("null", "nulls", "idle", "idles")
ROBOTS: dict[str, tuple[Callable[[int], Planted], Judge, Look, str]] = {
    "two functions": (steered, steering_found, Look(10, 0.2), CODES[0]),
    "twins": (twin_steered, twins_told, Look(1, 0.4), CODES[1]),
}
"""Family → robot of a seed, what has to be found in it, when it is looked at, and its aim. Steered
robots swing back within half a second; twins hardly ever turn so far but at the start."""
