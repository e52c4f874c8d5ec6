"""Are an essence network's functions more local than those of its gradient-trained twin?

**Protocol.** Blazek & Lin 2021 (Nature Computational Science) build networks from support vector
machines, unit by unit, and argue that such a network is no black box: each unit is one contrast
between known samples. Same class of protocol here, not a replication: theirs classify, ours drives
(`agents.essence` tells the departures). The zoo's lap agent is distilled into an essence network
with two rounds of correction (DAgger). Its *twin* has the same layers, tanh, normaliser and
demonstrations, but a random start and gradient descent, so how the weights came about is all that
differs. Twelve pairs, each with demonstrations, fit and start of its own; beside them the teacher.

Each hidden layer is divided into 6 parts of equal size, by activity (units active together) and at
random; each part is held at its mean in the intact network (and, as a check, at zero) in 12 paired
episodes of 15 s over all six conditions. Six behaviours are taken, while driving where a crash
would count twice. Locality is measured within each layer: the share of the harm to a behaviour
that the worst part does, the Gini coefficient over parts, and how many behaviours a part harms that
harms any. The pair is compared where both lose a behaviour in the same layer. Intervals:
bootstrap over pairs, then episodes. The smallest difference that so many pairs could have shown is
told; less than 0.1 of the harm, of the Gini coefficient or of the parts, or half a behaviour, would
not matter.

The black-box argument is measured beside it: the training samples that shape a unit (support
vectors; ‖∂L/∂(incoming weights)‖ at the end of training), units' boundaries in a plane of the
state space, and what the networks do in states that no robot has visited.

**Expected picture**, if essence networks are the more local ones: on the left their points lie
to the right of the twins', and their heatmap has fewer, darker cells. About 8 minutes on 2
quiet cores: making a pair takes less than measuring it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import rl_ablation as rl
from agents.essence import MADE_FROM, Essence, dagger, gradient_twin, load_essence, save_essence
from agents.zoo import find, score
from envs.lap import CONDITIONS
from experiments.studies.essence.figures import locality_figure, outside_figure
from experiments.studies.essence.units import influences, lap_plane, made_by, view
from experiments.studies.essence.words import RANDOM, TOGETHER, ZERO, tell
from experiments.studies.registry import DRIVING, Answer
from rl_ablation.analysis.boundaries import far_outside
from rl_ablation.analysis.localisation import changes, full_size, localisation, mean_change
from rl_ablation.groupings.controls import equal_parts
from rl_ablation.lesions.lesion import INTACT, VARIANT
from rl_ablation.lesions.variants import variants
from rl_ablation.policies.storage import load_folder

MEASURES = (*DRIVING, "jerkiness", "crash")
SCORES = ("progress", "crash", "stuck", "forward_speed.alive", "jerkiness")
SHOWN = 1500  # visited states drawn, and compared with the plane


@dataclass(frozen=True)
class Size:
    """How much of everything; `distil` is for `dagger`."""

    pairs: int = 12
    distil: dict[str, Any] = field(default_factory=dict)
    epochs: int = 20
    parts: int = 6
    episodes: int = 12
    horizon: int | None = 300
    resamples: int = 500


FULL = Size()
QUICK = Size(
    pairs=1, parts=3, episodes=6, horizon=60, resamples=40,
    distil={"rounds": 1, "episodes": 6, "concepts": 3, "subconcepts": 2, "samples": 240,
            "horizon": 100},
)  # fmt: skip


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Distil, cut, compare."""
    size = QUICK if quick else FULL
    teacher = load_folder(find("lap"))
    pairs = [make_pair(folder, teacher, size, seed + n) for n in range(size.pairs)]
    essences, twins = [essence.policy for essence, _ in pairs], [twin for _, twin in pairs]
    networks = {"essence": essences, "twin": twins, "teacher": [teacher]}
    every = [(sort, n, p) for sort, members in networks.items() for n, p in enumerate(members)]
    scores = pd.DataFrame(
        {"network": sort, "pair": n} | {k: v for k, v in score(p, 24).items() if k in SCORES}
        for sort, n, p in every
    )
    local, maps = cut_all(folder, networks, size, seed)
    visited = pairs[0][0].data.obs
    visited = visited[np.linspace(0, len(visited) - 1, SHOWN).astype(int)]
    plane = lap_plane(visited)
    made = made_by(pairs, plane, visited)
    outside = pd.concat(
        far_outside(p, visited, teacher, seed).assign(network=sort, pair=n) for sort, n, p in every
    )
    views = [view(one, pairs[0][0], plane, visited) for one in influences(*pairs[0])]
    figures = {"locality": locality_figure(local, maps, views), "outside": outside_figure(outside)}
    tables = {"locality": local, "scores": scores, "units": made, "outside": outside}
    return Answer(tell(scores, local, made, outside, plane.share), figures, tables)


def make_pair(folder: Path, teacher: rl.Policy, size: Size, seed: int) -> tuple[Essence, rl.Policy]:
    """An essence network and its twin, from the folder if they are there already."""
    here = folder / f"pair-{seed}"
    if not (here / "essence" / MADE_FROM).exists():
        save_essence(dagger(teacher, seed=seed, **size.distil), here / "essence")
    essence = load_essence(here / "essence")
    if not (here / "twin" / "card.json").exists():
        rl.save(gradient_twin(essence, epochs=size.epochs, seed=seed), here / "twin")
    return essence, load_folder(here / "twin")


def cut_all(
    folder: Path, networks: dict[str, list[rl.Policy]], size: Size, seed: int
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Cut every part of every network; the indices of locality, and the first pair's maps."""
    done = {
        sort: [cut(folder / "cuts" / f"{sort}-{n}", p, size, seed) for n, p in enumerate(members)]
        for sort, members in networks.items()
    }
    changed = {
        kind: {s: [changes(t, plans[kind], MEASURES) for t, plans in done[s]] for s in done}
        for kind in (TOGETHER, ZERO, RANDOM)
    }
    regions = {s: [x for x in members[0][1][TOGETHER] if x.size] for s, members in done.items()}
    layers = {s: [next(iter(x.cut)) for x in parts] for s, parts in regions.items()}
    table = done["teacher"][0][0]
    intact = table[table["lesion"] == INTACT][list(MEASURES)].mean().to_numpy()
    every = [c for sorts in changed.values() for members in sorts.values() for c in members]
    full = full_size(every, intact)
    how: dict[str, Any] = {"contrasts": [("essence", "twin")], "resamples": size.resamples}
    local = pd.concat(
        localisation(sorts, layers, MEASURES, full, seed=seed, **how).assign(cut=cut)
        for cut, sorts in changed.items()
    )
    maps = {}
    for sort, parts in regions.items():
        change, names = changed[TOGETHER][sort][0], [f"{x.name} ({x.size})" for x in parts]
        maps[sort] = pd.DataFrame(mean_change(change) / full, names, list(MEASURES))
    return local.reset_index(drop=True), maps


def cut(folder: Path, policy: rl.Policy, size: Size, seed: int) -> tuple[pd.DataFrame, dict]:
    """Run all cuts of one network: its behaviour table, and the plan of each sort of cut."""
    how: dict[str, Any] = {"conditions": list(CONDITIONS), "seed": seed, "horizon": size.horizon}
    activity = rl.record_activity(policy, **how)
    parts = equal_parts(policy, size.parts, activity)
    both = variants(parts, ["mean", "zero"])
    shuffled = equal_parts(policy, size.parts, seed=seed).with_kind("mean")
    how |= {"measures": MEASURES, "folder": folder, "activity": activity}
    run = rl.sweep(policy, both + shuffled, episodes=size.episodes, **how)
    zero = [x for x in both if x.name.endswith(f"{VARIANT}zero")]
    mean = [x for x in both if x not in zero]
    return run.table(), {TOGETHER: mean, ZERO: zero, RANDOM: list(shuffled)}
