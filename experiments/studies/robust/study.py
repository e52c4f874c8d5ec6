"""Do robots that memorise lose their behaviour faster than robots that generalise?

After Morcos et al. 2018 ("On the importance of single directions for generalization"), moved from
classifiers to robots; same class of protocol, not a replication. Memorisers learn to drive one
track from one start; generalists learn all tracks, both ways, from everywhere, with the same
recipe and number of steps. Then, for twelve agents of each kind:

* hidden units of both layers are held at their means in five random orders, and the laps kept are
  drawn against the share cut. Each kind is measured in its own training condition, as a share of
  its own intact laps; that is the paper's comparison. Since one condition is easier than the other,
  all agents are also measured on the memorisers' track and on the generalists' battery. Means are
  those of the condition that is measured: with one and the same network in both roles, only then do
  the two agree where the condition is the same;
* the same in its own condition with units set to zero, the published protocol. For tanh zero is the
  middle of the range, not "off", and moves the next layer off what it usually sees. Resampling
  would add a draw at each step: noise, which is a measurement of its own here;
* units are cut in order of their importance, measured alone in other episodes and ranked within
  each layer (Geiger et al. 2018), and noise is put on all units (the paper's random directions);
* how much the generalists' units say about the bend that the robot is in (η², mutual information)
  is compared with how much they matter. (On the memorisers' track there is
  only one bend.)

Expected picture: the memorisers' curve below the generalists'; no relation between what a unit
says about the bend and how much it matters. Agents are the units of inference: intervals resample
agents first, p comes from relabelling them, q corrects for the seven comparisons. Every comparison
tells the smallest difference of areas that it could have found; less than 0.1 would not matter.
Five orders are enough since agents of a kind differ more than orders do. About 5 minutes on 2 quiet
cores, after 24 trainings, once; ``rl-ablation study robust``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import rl_ablation as rl
from agents.recipes import RECIPES
from envs.lap import CONDITIONS
from experiments.studies.registry import Answer, all_trained
from experiments.studies.robust.figures import six_panels
from experiments.studies.robust.words import tell
from rl_ablation.analysis import selectivity
from rl_ablation.analysis.curves import areas, curves
from rl_ablation.groupings import orders
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.rollouts.recording import record

STEPS = 393_216
OWN_TRACK = {"tracks": ["ring"], "fixed_start": True}
KINDS = {
    kind: RECIPES["lap"].model_copy(update={"steps": STEPS, "name": f"lap-{kind}", **changes})
    for kind, changes in {"memoriser": {"env_kwargs": OWN_TRACK}, "generalist": {}}.items()
}
TRACK = ("ring/ccw",)
BATTERY = tuple(CONDITIONS)
OWN = {"memoriser": "track", "generalist": "battery"}
KIND, PUBLISHED = "mean", "zero"
MEASURES = ("progress", "left_turning", "right_turning")


@dataclass(frozen=True)
class Size:
    """How much is done."""

    agents: int
    orders: int
    fractions: tuple[float, ...]
    strengths: tuple[float, ...]
    episodes: int
    horizon: int
    steps: int = STEPS


FULL = Size(12, 5, orders.FRACTIONS, orders.STRENGTHS, episodes=6, horizon=300)  # 15 s, over a lap
QUICK = Size(2, 2, (0.1, 0.5, 1.0), (1.0,), episodes=6, horizon=60, steps=40_960)


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Train both kinds, cut them in order, and compare."""
    size = QUICK if quick else FULL
    rows: dict[str, list[pd.DataFrame]] = {"curves": [], "areas": [], "units": []}
    numbers = range(seed, seed + size.agents)
    for kind, recipe in KINDS.items():
        short = recipe.model_copy(update={"steps": size.steps})
        agents = all_trained([(short, number) for number in numbers])
        for number, agent in zip(numbers, agents, strict=True):
            measure = partial(sweep, agent, folder / f"{kind}-{number}", size)
            # Other episodes than those of the curves.
            alone = rl.singles(agent).with_kind(KIND)
            singles = measure(seed + 1, OWN[kind], "singles", alone)
            matter = importance(singles, "progress")
            # Mean s.d. of the units in the agent's own condition.
            spread = float(np.mean([singles.activity[s].std.mean() for s in matter]))
            for world, cut, plan in plans(agent, OWN[kind], matter, size, number):
                curve = curves(measure(seed, world, cut, plan), "progress")
                area = areas(curve).rename_axis("order").reset_index(name="area")
                about: Any = {"kind": kind, "agent": number, "world": world, "cut": cut}
                rows["curves"].append(curve.assign(**about))
                rows["areas"].append(area.assign(spread=spread, **about))
            if kind == "generalist":
                rows["units"].append(readable(agent, singles, size, seed).assign(agent=number))
    tables = {name: pd.concat(parts, ignore_index=True) for name, parts in rows.items()}
    return Answer(tell(**tables, own=OWN), {"robust": six_panels(**tables, own=OWN)}, tables)


def plans(
    agent: rl.Policy, own: str, matter: dict[str, np.ndarray], size: Size, number: int
) -> list[tuple[str, str, rl.Plan]]:
    """What is measured of an agent besides its single units: (world, name, plan)."""
    few: Any = {"fractions": size.fractions}
    drawn = partial(orders.random_orders, agent, orders=size.orders, seed=number, **few)
    up, down = (orders.ranked_order(matter, way, **few) for way in ("ascending", "descending"))
    return [
        ("track", KIND, drawn(kind=KIND)),
        ("battery", KIND, drawn(kind=KIND)),
        (own, PUBLISHED, drawn(kind=PUBLISHED)),
        (own, "ranked", (up + down).with_kind(KIND)),
        (own, "noise", orders.noise_ladder(agent, strengths=size.strengths)),
    ]


def sweep(
    agent: rl.Policy, folder: Path, size: Size, seed: int, world: str, name: str, plan: rl.Plan
) -> rl.Map:
    """Sweep an agent on the memorisers' track or on the generalists' battery."""
    track = world == "track"
    assert agent.card.env_id is not None
    return rl.sweep(
        agent.with_env(agent.card.env_id, OWN_TRACK if track else {}), plan,
        conditions=TRACK if track else BATTERY,
        # All episodes on the track are one, unless there is noise.
        episodes=1 if track and name != "noise" else size.episodes, seed=seed, measures=MEASURES,
        horizon=size.horizon, folder=folder / f"{world}-{name}",
    )  # fmt: skip


def importance(singles: rl.Map, measure: str) -> dict[str, np.ndarray]:
    """What is lost of a behaviour with each unit, in its own unit of measurement: site → (H,)."""
    mean = singles.table().groupby("lesion")[measure].mean()
    return {
        site: np.array([mean[INTACT] - mean[f"{site}/{u}"] for u in range(units)])
        for site, units in singles.spec.sites.items()
        if site not in ("obs", "action")
    }


def readable(agent: rl.Policy, singles: rl.Map, size: Size, seed: int) -> pd.DataFrame:
    """How much each unit says about the bend, and what is lost with it: a row for each unit."""
    free = agent.with_env(singles.spec.env_id)
    sites = list(agent.network.sizes)
    asked = rl.Episodes(size.episodes, seed + 2, tuple(BATTERY), size.horizon)
    seen = record(free, [*(f"@{s}" for s in sites), "bend"], asked).moments()
    contexts = selectivity.bend_contexts(seen["bend"])
    frames = []
    for site in sites:
        activity = seen[f"@{site}"]
        context, apart = selectivity.best_class(activity, contexts)
        columns = {
            "site": site,
            "unit": np.arange(activity.shape[1]),
            "eta": selectivity.eta_squared(activity, contexts),
            "information": selectivity.mutual_information(activity, contexts),
            "context": [selectivity.BENDS[c] for c in context],
            "d": apart,
        }
        frames.append(pd.DataFrame(columns | {m: importance(singles, m)[site] for m in MEASURES}))
    return pd.concat(frames, ignore_index=True)
