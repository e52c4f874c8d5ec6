"""Do robots that memorise lose their behaviour faster than robots that generalise?

After Morcos et al. 2018 ("On the importance of single directions for generalization"), moved from
classifiers to robots; same class of protocol, not a replication. Memorisers learn to drive one
track from one start; generalists learn all tracks, both ways, from everywhere, with the same
recipe and number of steps. Then, for five agents of each kind:

* hidden units of both layers are set to zero in ten random orders, and the laps kept are drawn
  against the share cut. Each kind is measured in its own training condition, as a share of its own
  intact laps; that is the paper's comparison. Since one condition is easier than the other, all
  agents are also measured on the memorisers' track and on the generalists' battery, and cut to
  their units' means as well as to zero (for tanh, zero is the middle of the range, not "off");
* units are cut in order of their importance, measured alone in other episodes and ranked within
  each layer (Geiger et al. 2018), and noise is put on all units (the paper's random directions);
* how much the generalists' units say about the bend that the robot is in (η², mutual information)
  is compared with how much they matter. (On the memorisers' track there is
  only one bend.)

Expected picture: the memorisers' curve below the generalists'; no relation between what a unit
says about the bend and how much it matters. Agents are the units of inference: intervals resample
agents first, and p comes from relabelling them; with five of each it cannot fall below 0.008. 3.6
million control steps, about 3 minutes on 2 cores that do nothing else, after about 6 of training,
once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

import rl_ablation as rl
from agents.recipes import RECIPES
from envs.lap import CONDITIONS
from experiments.studies.registry import Answer, trained
from experiments.studies.robust.figures import six_panels
from experiments.studies.robust.words import tell
from rl_ablation.analysis.curves import areas, curves
from rl_ablation.analysis.selectivity import (
    BENDS,
    bend_contexts,
    best_class,
    eta_squared,
    mutual_information,
)
from rl_ablation.groupings.orders import (
    FRACTIONS,
    STRENGTHS,
    noise_ladder,
    random_orders,
    ranked_order,
)
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.rollouts.recording import record

STEPS = 393_216
OWN_TRACK = {"tracks": ["ring"], "fixed_start": True}
KINDS = {
    "memoriser": RECIPES["lap"].model_copy(
        update={"steps": STEPS, "name": "lap-memoriser", "env_kwargs": OWN_TRACK}
    ),
    "generalist": RECIPES["lap"].model_copy(update={"steps": STEPS, "name": "lap-generalist"}),
}
TRACK = ("ring/ccw",)
BATTERY = tuple(CONDITIONS)
OWN = {"memoriser": "track", "generalist": "battery"}
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


FULL = Size(5, 10, FRACTIONS, STRENGTHS, episodes=6, horizon=300)  # 15 s, more than a lap
QUICK = Size(2, 2, (0.1, 0.5, 1.0), (1.0,), episodes=6, horizon=60, steps=40_960)


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Train both kinds, cut them in order, and compare."""
    size = QUICK if quick else FULL
    rows: dict[str, list[pd.DataFrame]] = {"curves": [], "areas": [], "units": []}
    for kind, recipe in KINDS.items():
        for number in range(seed, seed + size.agents):
            agent = trained(recipe.model_copy(update={"steps": size.steps}), number)
            measure = Measure(agent, folder / f"{kind}-{number}", size, seed)
            singles = measure(OWN[kind], "singles", rl.singles(agent), other=1)
            matter = importance(singles, "progress")
            spread = float(np.mean([singles.activity[s].std.mean() for s in matter]))
            for world, cut, plan in plans(agent, OWN[kind], matter, size, number):
                curve = curves(measure(world, cut, plan), "progress")
                area = areas(curve).rename_axis("order").reset_index(name="area")
                area["spread"] = spread  # mean s.d. of the units in the agent's own condition
                for name, found in (("curves", curve), ("areas", area)):
                    found = found.assign(kind=kind, agent=number, world=world, cut=cut)
                    rows[name].append(found)
            if kind == "generalist":
                rows["units"].append(readable(agent, singles, size, seed).assign(agent=number))
    tables = {name: pd.concat(parts, ignore_index=True) for name, parts in rows.items()}
    return Answer(tell(**tables, own=OWN), {"robust": six_panels(**tables, own=OWN)}, tables)


def plans(
    agent: rl.Policy, own: str, matter: dict[str, np.ndarray], size: Size, number: int
) -> list[tuple[str, str, rl.Plan]]:
    """What is measured of an agent besides its single units: (world, name, plan)."""
    orders = partial(
        random_orders, agent, orders=size.orders, fractions=size.fractions, seed=number
    )
    up, down = (
        ranked_order(matter, way, fractions=size.fractions) for way in ("ascending", "descending")
    )
    return [
        ("track", "zero", orders()),
        ("battery", "zero", orders()),
        (own, "mean", orders(kind="mean")),
        (own, "ranked", up + down),
        (own, "noise", noise_ladder(agent, strengths=size.strengths)),
    ]


@dataclass(frozen=True)
class Measure:
    """Sweeps an agent on the memorisers' track or on the generalists' battery."""

    agent: rl.Policy
    folder: Path
    size: Size
    seed: int

    def __call__(self, world: str, name: str, plan: rl.Plan, other: int = 0) -> rl.Map:
        """Run a plan; ``other`` picks other episodes."""
        track = world == "track"
        assert self.agent.card.env_id is not None
        # All episodes on the track are one, unless there is noise.
        episodes = 1 if track and name != "noise" else self.size.episodes
        return rl.sweep(
            self.agent.with_env(self.agent.card.env_id, OWN_TRACK if track else {}),
            plan,
            conditions=TRACK if track else BATTERY,
            episodes=episodes,
            seed=self.seed + other,
            measures=MEASURES,
            horizon=self.size.horizon,
            folder=self.folder / f"{world}-{name}",
        )


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
    asked = Episodes(size.episodes, seed + 2, tuple(BATTERY), size.horizon)
    seen = record(free, [*(f"@{s}" for s in sites), "bend"], asked).moments()
    contexts = bend_contexts(seen["bend"])
    losses = {m: importance(singles, m) for m in MEASURES}
    frames = []
    for site in sites:
        activity = seen[f"@{site}"]
        context, apart = best_class(activity, contexts)
        columns = {
            "site": site,
            "unit": np.arange(activity.shape[1]),
            "eta": eta_squared(activity, contexts),
            "information": mutual_information(activity, contexts),
            "context": [BENDS[c] for c in context],
            "d": apart,
        }
        frames.append(pd.DataFrame(columns | {m: losses[m][site] for m in MEASURES}))
    return pd.concat(frames, ignore_index=True)
