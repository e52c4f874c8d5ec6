"""One planted policy: mapped blind, and the map scored against the truth; see `planted_truth`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import rl_ablation as rl
from envs.lap import CONDITIONS
from experiments.validation import connections
from experiments.validation.cloned import HALVES
from experiments.validation.directions import concepts, found_directions
from experiments.validation.families import (
    FAMILIES,
    MIXED,
    MODULAR,
    REDUNDANT,
    TRAINED,
    TWO,
    TWO_TWIN,
)
from experiments.validation.moments import FAMILY, told_when
from experiments.validation.policies import ZERO, Planted, true_effects
from experiments.validation.scores import compare, recalled, score_cells
from experiments.validation.steered import DAMPING, STEERED, STEERING_WAYS, steered
from experiments.validation.stimulation import stimulated
from experiments.validation.trees import tree_facts
from rl_ablation.analysis.localisation import LOCAL, region_locality
from rl_ablation.analysis.redundancy import SweepGame, interactions
from rl_ablation.files import write_atomically
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.lesions.variants import variants
from rl_ablation.mapping.claims import dissociated, overall
from rl_ablation.mapping.effects import effects
from rl_ablation.rollouts.activity import Activity
from rl_ablation.stats import LEVEL

WITHIN = ("resample", "mean")
"""The default kinds that claims rest on; the truth is measured in both."""
TURNING = ("left_turning.alive", "right_turning.alive")
BEHAVIOURS = (
    "forward_speed.alive", *TURNING, "off_centre.alive", "jerkiness", "progress", "survival"
)  # fmt: skip
SERVED = ("forward_speed.alive", "progress", "survival")
"""What the trained halves are asked for: within its range the half that says "go" at all times is
not needed, so all of it is lost with the steering half."""
ON_TRACK, SPEED = "survival", "forward_speed.alive"
"""What steering and damping are needed for in the robots of two functions."""
FIRSTS = ("resample", "mean", "conditional")
"""Kinds that a discovery is tried with."""
FACTS, CELLS = "facts.json", "cells.csv"


@dataclass(frozen=True)
class Size:
    """How much of everything; see `experiments.validation.truth`."""

    horizon: int = 100  # control steps of an episode
    truth: int = 64  # episodes behind the truth about each cut in each kind
    episodes: int = 24  # of the confirmation
    discovery: int = 12  # episodes of the discovery
    pairs: int = 12  # episodes of each joint cut
    null_lesions: int = 10  # cuts of nothing in a null map
    null_maps: int = 34  # null maps of each policy
    every: int = 4  # other first kinds, and an adaptive map beside a fixed one, for every 4th robot
    controls: int = 40  # random divisions at most; 19 can show 5 %


@dataclass(frozen=True)
class Case:
    """A planted robot, and how it is looked at.

    Attributes:
        planted: The robot.
        family: What it is of.
        activity: Of the intact robot.
        seed: Of its maps.
        size: How much of everything.
        folder: For its runs.
    """

    planted: Planted
    family: str
    activity: Activity
    seed: int
    size: Size
    folder: Path

    @property
    def how(self) -> dict[str, Any]:
        """What all its sweeps share."""
        return {
            "measures": BEHAVIOURS, "horizon": self.size.horizon, "threads": 1,
            "activity": self.activity, "progress": False,
        }  # fmt: skip

    def mapped(self, name: str, plan: rl.Plan, **how: Any) -> rl.Map:
        """Map it as the lab maps any, knowing nothing of its roles; without random cuts."""
        size = self.size
        how = {"episodes": size.episodes, "discovery": size.discovery, "controls": 0, **how}
        folder = self.folder / name
        return rl.lesion_map(
            self.planted.policy, plan, seed=self.seed, folder=folder, **{**self.how, **how}
        )


def scored(folder: Path, index: int, seed: int, size: Size) -> bool:
    """Whether a policy's results are in a folder.

    Raises:
        LabError: The folder holds results of another size or seed.
    """
    if not (folder / FACTS).exists():
        return False
    facts = json.loads((folder / FACTS).read_text())
    if (facts["of"], facts["size"]) != ([seed, index], asdict(size)):
        raise rl.LabError(f"{folder} holds another validation; choose another folder")
    return True


def keep(files: Mapping[str, str], folder: Path) -> None:
    """Write the results of a policy; the facts come last and say that all is there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (CELLS, FACTS):
        write_atomically(folder / name, files[name])


def score_policy(how: tuple[int, Size], index: int) -> dict[str, str]:
    """Map one policy, of a seed and a size, and judge it: ``cells.csv`` and ``facts.json``."""
    with tempfile.TemporaryDirectory() as folder:
        return _score(index, Path(folder), *how)


def _score(index: int, folder: Path, seed: int, size: Size) -> dict[str, str]:
    number, which = divmod(index, len(FAMILIES))
    family = list(FAMILIES)[which]
    built, *_ = map(int, np.random.SeedSequence([seed, number]).generate_state(1))
    mapped, true, pooled, joint = map(int, np.random.SeedSequence([seed, index]).generate_state(4))
    planted = FAMILIES[family](built)
    activity = rl.record_activity(
        planted.policy, conditions=list(CONDITIONS), seed=mapped, horizon=size.horizon, threads=1
    )
    case = Case(planted, family, activity, mapped, size, folder)
    truth = true_effects(
        planted, truth_plan(planted), episodes=size.truth, seed=true, folder=folder / "truth",
        **case.how,
    )  # fmt: skip
    of_units = case.mapped("map", rl.singles(planted.policy))
    cells = score_cells(overall(of_units.effects()), truth, planted.roles)
    regions = rl.clusters(planted.policy, 6, activity)
    of_regions = case.mapped("regions", regions, controls=size.controls)
    pool = rl.sweep(
        planted.policy, rl.Plan(), episodes=size.episodes * (1 + size.null_lesions), seed=pooled,
        folder=folder / "intact", **case.how,
    ).table()  # fmt: skip
    facts: dict[str, Any] = {
        "of": [seed, index],
        "family": family,
        "size": asdict(size),
        "null": null_rejections(pool, size, pooled),
        "local": local(of_regions, planted),
        "dissociations": [[d.a, d.b, d.x, d.y] for d in dissociated(of_regions)],
    }
    facts |= tree_facts(planted, family, pool, {**case.how, "seed": mapped}, folder, asdict(size))
    if planted.ways:
        facts["speed_without"] = speed_without(truth, planted)
    if family in connections.FAMILIES:
        how = {"episodes": size.truth, "seed": true, "folder": folder / "wires", **case.how}
        facts["connections"] = connections.recovered(planted, case.mapped, how, score_cells)
    if family == TRAINED:
        facts["halves"] = {m: right_half(cells, m) for m in SERVED}
    if family == FAMILY:
        facts["when"] = told_when(built)
    if family == REDUNDANT:
        facts |= redundant(planted, regions, activity, joint, folder / "pairs", size)
    if family == TWO:
        facts["stimulation"] = stimulated(built, size.truth)
        facts["dissociated"] = two_dissociated(of_regions, planted)
        facts["steering local"] = steering_local(of_regions, facts["local"], planted)
    if family == TWO_TWIN:
        plan = concepts(planted.policy, mapped, size.horizon)
        of_directions = case.mapped("directions", plan, controls=size.controls)
        facts["directions"] = found_directions(of_directions, steered(built), planted)
    if number % size.every == 0:
        facts |= _otherwise(case, truth, cells)
    facts["steps"] = steps(folder)
    return {CELLS: cells.to_csv(index=False), FACTS: json.dumps(facts, indent=1) + "\n"}


def _otherwise(case: Case, truth: pd.DataFrame, cells: pd.DataFrame) -> dict[str, Any]:
    """What its units show with each kind as the first; of a modular robot also a fixed map beside
    an adaptive one."""
    units, first = rl.singles(case.planted.policy), {FIRSTS[0]: recalled(cells)}
    for kind in FIRSTS[1:]:
        run = case.mapped(kind, units, kinds=tuple(dict.fromkeys((kind, *WITHIN))))
        found = score_cells(overall(run.effects()), truth, case.planted.roles)
        first[kind] = recalled(found)
    if case.family != MODULAR:
        return {"first": first}
    # Both may take as many episodes in the discovery as in the confirmation.
    fixed, adaptive = (
        case.mapped(name, units, discovery=case.size.episodes, adaptive=looks)
        for name, looks in (("fixed", False), ("adaptive", True))
    )
    return {"first": first, "adaptive": compare(fixed, adaptive, cells)}


def truth_plan(planted: Planted) -> rl.Plan:
    """Every unit that is wired to matter by itself, in the kinds that claims rest on; and, set to
    zero, all redundant pathways together, and all but one."""
    mattering = rl.Plan(x for x in rl.singles(planted.policy)
                        if planted.roles.get(x.name, ZERO[0]) not in ZERO)  # fmt: skip
    ways = planted.ways
    left = [tuple(x for x in ways if x != way) for way in ways]
    whole = [planted.cut("h0", *some) for some in (*left, ways) if some]
    return variants(mattering, WITHIN) + rl.Plan(whole)


def null_table(pool: pd.DataFrame, lesions: int, rng: np.random.Generator) -> pd.DataFrame:
    """A behaviour table in which every "lesion" is the intact robot on episodes of its own.

    The pool is a behaviour table of intact episodes, which are shuffled: as many of each condition
    as lesions + 1 divide.
    """
    names = [INTACT, *(f"null-{k}" for k in range(lesions))]
    parts = []
    for _, episodes in pool.groupby("condition", sort=True):
        mixed = episodes.iloc[rng.permutation(len(episodes))]
        parts.append(mixed.iloc[: len(mixed) // len(names) * len(names)])
    table = pd.concat(parts, ignore_index=True)
    # One condition, so that the family is the map's over all conditions and nothing else.
    return table.assign(
        lesion=np.resize(names, len(table)), episode=np.arange(len(table)) // len(names),
        condition="", group="null",
    )  # fmt: skip


def null_rejections(pool: pd.DataFrame, size: Size, seed: int) -> dict[str, int]:
    """Null maps with any rejection: family-wise (``p_fwe``) and by false discovery rate (``q``)."""
    rng = np.random.default_rng(seed)
    units = {name: rl.MEASURES[name].unit for name in BEHAVIOURS}
    counts = {"maps": size.null_maps, "p_fwe": 0, "q": 0}
    for k in range(size.null_maps):
        rows = effects(null_table(pool, size.null_lesions, rng), units, seed=k)
        for column in ("p_fwe", "q"):
            counts[column] += int((rows[column] < LEVEL).any())
    return counts


def redundant(
    planted: Planted, plan: rl.Plan, activity: Activity, seed: int, folder: Path, size: Size
) -> dict[str, Any]:
    """Whether the strongest redundancy in staying on the track, of all pairs of clusters of a
    layer, is between the ways of steering; and the true change without either and without both."""
    options: dict[str, Any] = {"episodes": size.pairs, "seed": seed, "horizon": size.horizon,
                               "activity": activity, "threads": 1, "progress": False}  # fmt: skip
    best: tuple[float, list[set[str]]] = (0.0, [])
    for site in planted.policy.network.sizes:
        here = rl.Plan(x for x in plan if x.name.startswith(f"{site}/cluster-"))
        players = [x for x in here.with_kind(WITHIN[0]) if x.size]
        game = SweepGame(planted.policy, players, (ON_TRACK,), folder, options)
        for row in interactions(game, game.names, game.measures).to_dict("records"):
            if row["kind"] == "redundant" and row["value"] > best[0]:
                best = row["value"], [matters(planted, plan[row[x]]) for x in ("a", "b")]
    a, b = STEERING_WAYS
    cuts = [planted.cut("h0", *ways) for ways in ((a,), (b,), (a, b))]
    lost = true_effects(
        planted, rl.Plan(cuts).with_kind(WITHIN[0]), folder=folder / "truth", measures=(ON_TRACK,),
        **{**options, "episodes": size.truth},
    ).set_index("lesion")["true_delta"]  # fmt: skip
    return {
        "redundancy": best[1] in ([{a}, {b}], [{b}, {a}]),
        "survival_without": {x.name.removeprefix("h0/"): float(lost[x.name]) for x in cuts},
    }


def roles_of(run: rl.Map, name: str, planted: Planted) -> set[str]:
    """The roles that matter in a cut of a map."""
    return matters(planted, run.plan[name])


def matters(planted: Planted, lesion: rl.Lesion) -> set[str]:
    """The roles in a cut that are wired to matter."""
    units = (f"{site}/{unit}" for site, there in lesion.cut.items() for unit in there)
    return {planted.roles[unit] for unit in units} - set(ZERO)


def speed_without(truth: pd.DataFrame, planted: Planted) -> dict[str, float]:
    """True change of forward speed, m/s, with one redundant pathway left, and with ``none``."""
    rows = truth[truth["measure"] == "forward_speed.alive"]
    without = rows[rows["kind"] == "zero"].set_index("lesion")["true_delta"]
    ways = planted.ways
    cuts = {way: "+".join(x for x in ways if x != way) for way in ways} | {"none": "+".join(ways)}
    return {left: float(without[f"h0/{cut}"]) for left, cut in cuts.items()}


def local(run: rl.Map, planted: Planted) -> list[list[Any]]:
    """Behaviours that the lab calls local: measure, region, whether there is such a place.

    There is if the region holds at least half of the units of its layer that have one function.
    """
    rows = region_locality(run, BEHAVIOURS).to_dict("records")
    found = []
    for row in (x for x in rows if x["verdict"] == LOCAL):
        measure, name = row["measure"], str(row["lesion"])
        ((site, units),) = run.plan[name].cut.items()
        roles = roles_of(run, name, planted) - {MIXED}
        there = any(
            2 * len({*units} & {*planted.units(site, role)}) >= len(planted.units(site, role))
            for role in roles
        )
        found.append([measure, name, there])
    return found


def right_half(cells: pd.DataFrame, measure: str) -> bool | None:
    """Whether the unit with the largest claim about a behaviour is in the steering half; None
    without a claim."""
    claims = cells[cells["claimed"] & (cells["measure"] == measure)]
    if claims.empty:
        return None
    largest = claims.iloc[int(claims["effect"].abs().to_numpy().argmax())]
    return bool(largest["role"] == HALVES[1])


def steering_local(run: rl.Map, found: Sequence[Sequence[Any]], planted: Planted) -> bool:
    """Whether staying on the track is called local, see `local`, to where the steering is."""
    return any(
        there and measure == ON_TRACK and STEERED in roles_of(run, name, planted)
        for measure, name, there in found
    )


def two_dissociated(run: rl.Map, planted: Planted) -> bool:
    """Whether the lab names a cut of steering alone, needed to stay on the track, against one of
    damping alone, needed for speed."""
    for found in dissociated(run, (ON_TRACK, SPEED)):
        needs = {found.x: found.a, found.y: found.b}
        told = {m: roles_of(run, name, planted) for m, name in needs.items()}
        if told == {ON_TRACK: {STEERED}, SPEED: {DAMPING}}:
            return True
    return False


def steps(folder: Path) -> int:
    """Control steps of all runs inside a folder."""
    return sum(int(rl.Map(x.parent).table()["steps"].sum()) for x in folder.rglob("spec.json"))
