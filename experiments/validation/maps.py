"""One planted policy: mapped blind, and the map scored against the truth; see `planted_truth`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import rl_ablation as rl
from envs.lap import CONDITIONS
from experiments.validation.policies import STEERING, TWINS, ZERO, Planted, plant, true_effects
from rl_ablation.analysis.redundancy import SweepGame, interactions
from rl_ablation.files import write_atomically
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.mapping.claims import double_dissociations
from rl_ablation.mapping.effects import effects
from rl_ablation.rollouts.activity import Activity
from rl_ablation.stats import LEVEL

TURNING = ("left_turning.alive", "right_turning.alive")
BEHAVIOURS = (
    "forward_speed.alive", *TURNING, "off_centre.alive", "jerkiness", "progress", "survival"
)  # fmt: skip
SPEED = "forward_speed"  # over the horizon: a robot that never moves has a number too
FACTS, CELLS = "facts.json", "cells.csv"


@dataclass(frozen=True)
class Size:
    """How much of everything; see `planted_truth`."""

    horizon: int = 100  # control steps of an episode
    truth: int = 96  # episodes behind the truth about each cut
    episodes: int = 24  # of the confirmation
    discovery: int = 12  # episodes of the discovery
    pairs: int = 12  # episodes of each joint cut
    null_lesions: int = 10  # cuts of nothing in a null map
    null_maps: int = 10  # null maps of each policy
    # Controls, and the adaptive map beside a fixed one, for every so many-th policy.
    every: int = 10
    controls: int = 100  # random control cuts at most for those


def blind_map(
    planted: Planted, seed: int, folder: Path, activity: Activity, size: Size, **how: Any
) -> rl.Map:
    """Map a policy as the lab maps any, knowing nothing of its roles."""
    plan = rl.singles(planted.policy) + rl.clusters(planted.policy, 6, activity)
    how = {"episodes": size.episodes, "discovery": size.discovery, **how}
    return rl.lesion_map(
        planted.policy, plan, measures=BEHAVIOURS, horizon=size.horizon, seed=seed, folder=folder,
        threads=1, activity=activity, progress=False, **how,
    )  # fmt: skip


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
    built, mapped, true, pooled, joint = map(
        int, np.random.SeedSequence([seed, index]).generate_state(5)
    )
    planted = plant(built)
    activity = rl.record_activity(
        planted.policy, conditions=list(CONDITIONS), seed=mapped, horizon=size.horizon, threads=1
    )
    wanted: dict[str, Any] = {"measures": BEHAVIOURS, "horizon": size.horizon, "threads": 1}
    wanted |= {"activity": activity, "progress": False}
    truth = true_effects(
        planted, truth_plan(planted), episodes=size.truth, seed=true, folder=folder / "truth",
        **wanted,
    )  # fmt: skip
    full = index % size.every == 0
    controls = size.controls if full else 0
    run = blind_map(planted, mapped, folder / "map", activity, size, controls=controls)
    cells = score_cells(run.effects(), truth, planted.roles)
    pool = rl.sweep(
        planted.policy, rl.Plan(), episodes=size.episodes * (1 + size.null_lesions), seed=pooled,
        folder=folder / "intact", **wanted,
    )  # fmt: skip
    facts = {
        "of": [seed, index],
        "size": asdict(size),
        "null": null_rejections(pool.table(), size, pooled),
        "twins": find_twins(planted, run.plan, activity, joint, folder / "pairs", size),
        "speed_without": speed_without(truth),
        "dissociated": dissociated(run, planted),
    }
    if full:
        # Both may take as many episodes in the discovery as in the confirmation.
        equal = {"discovery": size.episodes, "controls": 0}
        fixed, adaptive = (
            blind_map(planted, mapped, folder / name, activity, size, adaptive=looks, **equal)
            for name, looks in (("fixed", False), ("adaptive", True))
        )
        facts["adaptive"] = compare(fixed, adaptive, cells)
    facts["steps"] = steps(folder)
    return {CELLS: cells.to_csv(index=False), FACTS: json.dumps(facts, indent=1) + "\n"}


def truth_plan(planted: Planted) -> rl.Plan:
    """Every unit that is wired to matter by itself, then each twin, then both."""
    singles = [x for x in rl.singles(planted.policy) if planted.roles.get(x.name, ZERO[0])
               not in ZERO]  # fmt: skip
    whole = [planted.cut("h0", *roles) for roles in ((TWINS[0],), (TWINS[1],), TWINS)]
    return rl.Plan([*singles, *whole])


def score_cells(found: pd.DataFrame, truth: pd.DataFrame, roles: Mapping[str, str]) -> pd.DataFrame:
    """Put the truth beside the map's single-unit cells and judge each.

    Found is the effects table of the map; the truth is from `true_effects`, for the units that are
    wired to matter; roles are name of the single cut → role.

    Returns:
        The cells with ``role``, the truth, and booleans ``claimed``, ``right`` (a claim that is
        true), ``real`` (|true effect| ≥ 1), ``judged`` (counts for coverage), ``held``.
    """
    rows = found[(found["condition"] == "all") & found["lesion"].isin(roles.keys())]
    kept = ["lesion", "measure", "delta", "ci_low", "ci_high", "effect", "q", "stage", "n"]
    cells = rows[kept].merge(truth, on=["lesion", "measure"], how="left")
    cells.insert(1, "role", cells["lesion"].map(roles))
    nothing = cells["role"].isin(ZERO)
    cells.loc[nothing, ["true_delta", "true_sd", "true_effect"]] = 0.0
    confirmed = cells["stage"] == "confirmed"
    alike = np.sign(cells["delta"]) == np.sign(cells["true_delta"])
    cells["claimed"] = confirmed & (cells["q"] < LEVEL)
    cells["right"] = cells["claimed"] & alike & (cells["true_delta"] != 0)
    cells["real"] = cells["true_effect"].abs() >= 1
    cells["judged"] = confirmed & ~nothing & cells["ci_low"].notna()
    cells["held"] = holds(cells)
    return cells


def holds(cells: pd.DataFrame) -> pd.Series:
    """Whether each interval, stretched for the truth's own error, holds the true change."""
    stretch, true = np.sqrt(1 + cells["n"] / cells["true_n"]), cells["true_delta"]
    ends = cells[["ci_low", "ci_high"]].sub(cells["delta"], axis=0).mul(stretch, axis=0)
    low, high = (cells["delta"] + ends[side] for side in ends)
    return true.between(low - 1e-9 * true.abs(), high + 1e-9 * true.abs())


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


def find_twins(
    planted: Planted, plan: rl.Plan, activity: Activity, seed: int, folder: Path, size: Size
) -> bool:
    """Whether the strongest redundancy in speed, of all pairs of clusters of a layer, is theirs."""
    options = {"episodes": size.pairs, "seed": seed, "horizon": size.horizon,
               "activity": activity, "threads": 1, "progress": False}  # fmt: skip
    best: tuple[float, rl.Lesion | None, rl.Lesion | None] = (0.0, None, None)
    for site in planted.policy.network.sizes:
        players = [x for x in plan if x.name.startswith(f"{site}/cluster-")]
        game = SweepGame(planted.policy, players, (SPEED,), folder, options)
        for row in interactions(game, game.names, game.measures).to_dict("records"):
            if row["kind"] == "redundant" and row["value"] > best[0]:
                best = row["value"], plan[row["a"]], plan[row["b"]]
    found = [matters(planted, x) for x in best[1:] if x is not None]
    return found in ([{TWINS[0]}, {TWINS[1]}], [{TWINS[1]}, {TWINS[0]}])


def matters(planted: Planted, lesion: rl.Lesion) -> set[str]:
    """The roles in a cut that are wired to matter."""
    units = (f"{site}/{unit}" for site, there in lesion.cut.items() for unit in there)
    return {planted.roles[unit] for unit in units} - set(ZERO)


def speed_without(truth: pd.DataFrame) -> dict[str, float]:
    """True change of forward speed, m/s, without either twin and without both."""
    rows = truth[truth["measure"] == "forward_speed.alive"].set_index("lesion")["true_delta"]
    return {x: float(rows[f"h0/{x}"]) for x in (*TWINS, "+".join(TWINS))}


def dissociated(run: rl.Map, planted: Planted) -> bool:
    """Whether the lab names a pure left cut against a pure right cut."""
    wanted = [{side} for side in STEERING]
    pairs = ((found.a, found.b) for found in double_dissociations(run, TURNING))
    return any([matters(planted, run.plan[x]) for x in pair] == wanted for pair in pairs)


def compare(fixed: rl.Map, adaptive: rl.Map, cells: pd.DataFrame) -> dict[str, float]:
    """How many cells two maps of one policy decide alike, and the steps that each took.

    Of the cells of `score_cells` those are ``clear`` that have a true effect of 0, or of 1 s.d. and
    more: for what lies between, two maps of other seeds do not decide alike either.
    """
    cells = cells.set_index(["lesion", "measure"])
    clear = cells["real"] | (cells["true_effect"] == 0)
    claimed = []
    for run in (fixed, adaptive):
        rows = run.effects()
        rows = rows[(rows["condition"] == "all") & rows["q"].notna()]
        sure = rows.set_index(["lesion", "measure"])["q"] < LEVEL
        claimed.append(sure[sure.index.isin(cells.index)])
    one, other = claimed[0].align(claimed[1], join="inner")
    alike = (one == other)[clear.reindex(one.index).fillna(False).to_numpy(bool)]
    return {
        "cells": len(one),
        "alike": int((one == other).sum()),
        "clear": len(alike),
        "clear_alike": int(alike.sum()),
        "fixed_steps": stage_steps(fixed),
        "adaptive_steps": stage_steps(adaptive),
    }


def stage_steps(run: rl.Map) -> int:
    """Control steps of a map's discovery and confirmation."""
    stages = [stage for stage in (run, run.confirmation) if stage is not None]
    return sum(int(stage.whole_table()["steps"].to_numpy().sum()) for stage in stages)


def steps(folder: Path) -> int:
    """Control steps of all runs inside a folder."""
    return sum(int(rl.Map(x.parent).table()["steps"].sum()) for x in folder.rglob("spec.json"))
