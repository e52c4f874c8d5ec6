"""When does a robot need a region?

A robot may need a region in left bends only, or while a foot is in the air, or only to catch itself
after a push. Cuts that last the whole episode cannot tell: the robot is soon somewhere else.

Protocol. A region is cut for a moment, and what the robot does in the second after the onset is
compared with what its intact twin does, which is the same robot to the bit until then. Kinds
resample and mean; a statement holds under both. Random cuts of the same sizes in the same layers
(resample, 20 of each size) show what any such cut does.

1. Lap: the zoo's lap robot, 2 clusters a layer (those of ``open-loop``), cut for 0.25 s at 4
   moments of 48 episodes on the track with bends, both ways. The change is held against the bend
   ahead, and one way round against the place on the lap.
2. Gait: the zoo's quadruped told to go forward, 4 parts of equal size a layer, cut for 0.25 s and
   for 0.1 s (nearly all and a third of its stride) at 6 moments of 24 episodes. The change is held
   against the phase of the gait, from touch-down to touch-down of the left front foot.
3. Reflex: the quadruped is pushed from the side (10 N·s) at 6 times over a stride in 16 episodes,
   with each region and without it from the push on; beside each robot runs its unpushed twin.
   Latency is the time until the actions of the two differ by 0.5 s.d. Does a region's part in the
   answer depend on the phase in which the push comes? (Rush et al. 2024, "Neural dynamics of robust
   legged robots", pushed and ablated; the twins and the random cuts are ours.)

Phases are tested by waves fitted to ranks, family-wise over regions × signals, with whole episodes
exchanged (`rl_ablation.analysis.phases`). The published Go1 of ``real-robots`` does 2 (0.1 s) and 3
too, with fewer episodes, where its file is in ``runs/robots``.

Expected picture: bands of random cuts around 0 and a few regions that leave them, in some phase.
About 8 minutes on one quiet core, and longer with the Go1, whose network is large; ``rl-ablation
study when``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import rl_ablation as rl
from agents.zoo import find_agent
from experiments.studies.real_robots.study import PUBLISHED
from experiments.studies.registry import Answer
from experiments.studies.when import figures, words
from rl_ablation.analysis.dependence import changes, curves_of, dependence, weakest
from rl_ablation.analysis.moments import BEND, PLACE, Brief, Moment, brief_cuts, gait, spread
from rl_ablation.analysis.phases import resultant
from rl_ablation.analysis.reflex import Pushes, Reflexes, reflexes
from rl_ablation.groupings.controls import equal_parts
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.lesions.variants import variants
from rl_ablation.rollouts.activity import Activity
from rl_ablation.rollouts.recording import record
from rl_ablation.rollouts.world import world_of

KINDS = ("resample", "mean")
LAP_SIGNALS = ("forward_speed", "yaw_rate", "clearance")
GAIT_SIGNALS = ("forward_speed", "lateral_speed", "yaw_rate")
TRACK = "bends"
WAYS = (f"{TRACK}/ccw", f"{TRACK}/cw")
BINS = 24  # of a stride, for the pictures of its contacts


@dataclass(frozen=True)
class Walker:
    """A robot on legs: how many parts a layer, its front feet (left, right), how much is run."""

    find: Callable[[], rl.Policy]
    parts: int
    feet: tuple[int, int]
    lasting: tuple[float, ...] = (0.25, 0.1)
    share: float = 1.0


@dataclass(frozen=True)
class Size:
    """Episodes of each kind, moments or pushes in each, random cuts, exchanges of episodes."""

    lap: int = 48
    gait: int = 24
    push: int = 16
    moments: int = 6
    random: int = 20
    draws: int = 1999


QUICK = Size(lap=6, gait=4, push=4, moments=2, random=2, draws=99)


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Run it; see the module."""
    size = QUICK if quick else Size()
    text, tables, drawn = _lap(folder, size, seed)
    for name, walker in walkers(quick).items():
        told, more, pictures = _walk(name, walker, folder, size, seed)
        text, tables, drawn = f"{text}\n\n{told}", {**tables, **more}, {**drawn, **pictures}
    return Answer(text, drawn, tables)


def walkers(quick: bool) -> dict[str, Walker]:
    """Name → robot: the zoo's, and the published ones whose files are there."""
    found = {"quadruped": Walker(lambda: find_agent("quadruped"), 4, (0, 1))}
    if not quick and PUBLISHED["Go1"].there:
        found["Go1"] = Walker(PUBLISHED["Go1"].find, 2, (1, 0), (0.1,), 0.75)
    return found


def kept(path: Path, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """A table from a folder, or made and kept there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        make().to_parquet(path)
    return pd.read_parquet(path)


def with_controls(agent: rl.Policy, regions: rl.Plan, random: int, seed: int) -> rl.Plan:
    """Regions in both kinds, and random cuts of their sizes in the first."""
    first = regions.with_kind(KINDS[0])
    return variants(first, KINDS) + rl.random_groups(agent, first, random, seed)


Part = tuple[str, dict[str, pd.DataFrame], dict[str, Figure]]


def _lap(folder: Path, size: Size, seed: int) -> Part:
    agent = find_agent("lap")

    def run() -> pd.DataFrame:
        activity = rl.record_activity(agent, conditions=WAYS, seed=seed)
        found = rl.clusters(agent, 2, activity)
        regions = rl.Plan(x for x in found if x.size and not x.name.endswith("/dead"))
        brief = Brief(spread(size.lap, 4, 30, 80, seed))
        plan = with_controls(agent, regions, size.random, seed)
        asked = rl.Episodes(size.lap, seed, WAYS)
        return brief_cuts(agent, plan, activity, asked, brief, LAP_SIGNALS, [BEND, PLACE])

    table = kept(folder / "lap.parquet", run)
    one_way = table[table["condition"] == WAYS[0]]
    effects = weakest(changes(table, seed))
    bend = weakest(dependence(table, BEND, seed, size.draws))
    place = weakest(dependence(one_way, PLACE, seed, size.draws))
    drawn = figures.lap(curves_of(table, BEND), bend, curves_of(one_way, PLACE), place)
    text = words.tell_lap(effects, bend, place)
    return text, {"lap_changes": effects, "lap_bend": bend, "lap_place": place}, {"lap": drawn}


def _walk(name: str, walker: Walker, folder: Path, size: Size, seed: int) -> Part:
    agent = walker.find()
    phase = gait(walker.feet[0])
    scaled = Size(
        size.lap, max(4, round(size.gait * walker.share)), max(4, round(size.push * walker.share)),
        size.moments, size.random, size.draws,
    )  # fmt: skip
    activity = rl.record_activity(agent, conditions=("forward", "push"), seed=seed, horizon=300)
    regions = equal_parts(agent, walker.parts, activity)
    plan = with_controls(agent, regions, size.random, seed)
    text, tables, drawn = [f"**{name}.**"], dict[str, pd.DataFrame](), dict[str, Figure]()
    shown = {}
    for lasting in walker.lasting:
        table = kept(
            folder / f"gait-{name}-{lasting:g}.parquet",
            partial(_gait, agent, plan, activity, lasting, phase, scaled, seed),
        )
        effects, by_phase = _told(table, phase, seed, size.draws)
        text.append(words.tell_gait(lasting, effects, by_phase, coverage(table)))
        key = f"{name}_{lasting:g}"
        tables |= {f"gait_{key}_changes": effects, f"gait_{key}": by_phase}
        shown[lasting] = (curves_of(table, phase), by_phase)
    drawn[f"gait_{name}"] = figures.gait(name, shown, stance(agent, walker.feet[0], seed))
    found = _pushed(agent, plan, activity, walker, folder / f"push-{name}", scaled, seed)
    own = found.table["lesion"] == INTACT
    effects, by_phase = _told(found.table[~own], phase, seed, size.draws)
    intact = dependence(found.table[own], phase, seed, size.draws)
    text.append(words.tell_push(effects, by_phase, intact, coverage(found.table)))
    tables |= {f"push_{name}_changes": effects, f"push_{name}": by_phase}
    tables |= {f"push_{name}_intact": intact, f"push_{name}_course": found.course}
    curves = curves_of(found.table, phase)
    drawn[f"push_{name}"] = figures.push(name, found.course, effects, curves, by_phase)
    return "\n\n".join(text), tables, drawn


def _told(
    table: pd.DataFrame, phase: Moment, seed: int, draws: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    return weakest(changes(table, seed)), weakest(dependence(table, phase, seed, draws))


def _gait(
    agent: rl.Policy, plan: rl.Plan, activity: Activity, lasting: float, phase: Moment, size: Size,
    seed: int,
) -> pd.DataFrame:  # fmt: skip
    asked = rl.Episodes(size.gait, seed, ("forward",))
    brief = Brief(spread(size.gait, size.moments, 75, 75 + 15 * size.moments, seed), lasting)
    return brief_cuts(agent, plan, activity, asked, brief, GAIT_SIGNALS, [phase])


def _pushed(
    agent: rl.Policy, plan: rl.Plan, activity: Activity, walker: Walker, folder: Path, size: Size,
    seed: int,
) -> Reflexes:  # fmt: skip
    pushes = Pushes([80 + 3 * k for k in range(size.moments)], feet=walker.feet)
    names = [folder.with_suffix(end) for end in (".parquet", ".course.parquet")]
    if not all(path.exists() for path in names):
        found = reflexes(agent, plan, activity, rl.Episodes(size.push, seed), pushes)
        for path, table in zip(names, (found.table, found.course), strict=True):
            kept(path, table.copy)
    return Reflexes(*map(pd.read_parquet, names))


def coverage(table: pd.DataFrame) -> tuple[float, float]:
    """The share of moments with a phase, and the length of the mean resultant of those phases."""
    phases = table.drop_duplicates(["episode", "slot"])["phase"].to_numpy(float)
    return float(np.isfinite(phases).mean()), resultant(phases)[0]


def stance(agent: rl.Policy, foot: int, seed: int) -> pd.DataFrame:
    """How often each foot is on the ground in each part of a stride: ``foot``, ``at`` (rad),
    ``share``."""
    found = record(agent, ["foot_contact"], rl.Episodes(4, seed, ("forward",), 200))
    phase = gait(foot).of(found.trace)
    there = np.isfinite(phase)
    bins = np.floor(phase[there] / (2 * np.pi) * BINS).astype(int)
    with world_of(agent) as world:
        names = [str(name).removesuffix(" foot") for name in world.metadata["foot_names"]]
    parts = []
    for k, name in enumerate(names):
        ground = found.trace["foot_contact"][there][:, k]
        share = np.bincount(bins, ground, BINS) / np.maximum(np.bincount(bins, minlength=BINS), 1)
        at = (np.arange(BINS) + 0.5) * 2 * np.pi / BINS
        parts.append(pd.DataFrame({"foot": name, "at": at, "share": share}))
    return pd.concat(parts, ignore_index=True)
