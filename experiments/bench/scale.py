"""How maps grow: memory and time a pair, two workers against one, what is foretold and what is.

A process of its own measures each size, since memory that was once taken is seldom given back.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import rl_ablation as rl
from agents.zoo import find_agent
from rl_ablation.cluster import connect
from rl_ablation.mapping.spec import Spec
from rl_ablation.progress import console
from rl_ablation.reports.pipeline import foretell, make_map

EPISODES = 20
CONDITIONS = ("ring/ccw", "ring/cw")


def memory() -> float:
    """The most memory that this process has held, MB."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says begins with what the parent held
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return float(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def many_cuts(agent: rl.Policy, pairs: int) -> rl.Plan:
    """Random cuts of four units, as many as give so many pairs with `EPISODES`."""
    rng = np.random.default_rng(0)
    draws = rng.random((pairs // EPISODES - 1, agent.sites["h0"])).argpartition(4, axis=1)[:, :4]
    return rl.Plan(
        rl.Lesion(name=f"cut-{k}", cut={"h0": tuple(sorted(units))}, group="clusters")
        for k, units in enumerate(draws.tolist())
    )


def grow(pairs: int) -> dict[str, float]:
    """Sweep so many lesion × episode pairs for four steps each, and take the effects."""
    agent = find_agent("lap")
    plan, base = many_cuts(agent, pairs), memory()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run = rl.sweep(
            agent, plan, EPISODES, horizon=4, conditions=CONDITIONS, folder=folder, progress=False
        )
        swept, held = time.perf_counter(), memory()
        run.effects()
        done, most = time.perf_counter(), memory()
    return {
        "base_mb": base, "sweep_mb": held - base, "effects_mb": most - base,
        "sweep_us_per_pair": 1e6 * (swept - began) / pairs,
        "effects_us_per_pair": 1e6 * (done - swept) / pairs,
    }  # fmt: skip


def dry(pairs: int) -> dict[str, float]:
    """Set up so many pairs and run none."""
    agent, base = find_agent("lap"), memory()
    began = time.perf_counter()
    plan = many_cuts(agent, pairs)
    spec = Spec(
        agent=agent.name, policy_sha256=agent.sha256, sites=agent.sites, env_id="x", env_kwargs={},
        conditions=CONDITIONS, episodes=EPISODES, seed=0, horizon=4, measures=("return",),
        lesions=plan.lesions,
    )  # fmt: skip
    assert spec.digest
    assert len(spec.pairs(spec.shards - 1)) == (pairs - 1) % spec.rows + 1
    return {"mb": memory() - base, "seconds": time.perf_counter() - began}


def measured(what: str, pairs: int) -> dict[str, float]:
    """`grow` or `dry` in a process of its own."""
    command = [sys.executable, "-m", "experiments.bench.scale", what, str(pairs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {f"{what}_{pairs}_{name}": round(value, 1) for name, value in found.items()}


def workers(episodes: int) -> dict[str, float]:
    """Seconds of one sweep by one and by two single-threaded workers, and the efficiency of two."""
    agent = find_agent("lap")
    plan = rl.Plan(rl.singles(agent).lesions[:128])
    how: dict[str, Any] = {"horizon": 100, "activity": rl.record_activity(agent, horizon=100)}
    seconds = {}
    for count in (1, 2):
        where = f"local:{count}"
        client: Any = connect(where)
        with tempfile.TemporaryDirectory() as folder:
            # The workers import what they need, which is no part of the work.
            few = rl.Plan(plan.lesions[: 2048 // episodes])
            for k, some in enumerate((few, plan)):
                began = time.perf_counter()
                rl.sweep(
                    agent, some, episodes, scheduler=where, seed=k, folder=f"{folder}/{k}",
                    progress=False, **how,
                )  # fmt: skip
                seconds[count] = time.perf_counter() - began
        client.close()
        client.cluster.close()
    return {
        "workers_1_s": round(seconds[1], 2),
        "workers_2_s": round(seconds[2], 2),
        "workers_2_efficiency": round(seconds[1] / seconds[2] / 2, 3),
    }


def lap_map(groups: str, films: int, **how: Any) -> dict[str, float]:
    """Seconds of a whole map of the lap robot, against what was foretold; and against all episodes.

    The robot steps of an adaptive map stand against those of one that is not.
    """
    agent = find_agent("lap")
    episodes = rl.Episodes(**how)
    figures: dict[str, float] = {}
    steps = {}
    with tempfile.TemporaryDirectory() as folder:
        execution = rl.Execution(Path(folder) / "map", progress=False)
        told = foretell(agent, groups, episodes, execution=execution, films=films)
        began = time.perf_counter()
        make_map(agent, groups, episodes, execution=execution, films=films)
        figures["lap_map_s"] = round(time.perf_counter() - began, 1)
        figures["lap_map_over_foretold"] = round(figures["lap_map_s"] / told.seconds, 2)
        for adaptive in (True, False):
            design = rl.MapDesign(controls=0, adaptive=adaptive, discovery=24)
            inside = Path(folder) / f"adaptive-{adaptive}"
            run = rl.lesion_map(
                agent, rl.parse_groups(groups, agent), episodes, design, folder=inside,
                progress=False,
            )  # fmt: skip
            stages = [stage for stage in (run, run.confirmation) if stage is not None]
            steps[adaptive] = sum(int(s.whole_table()["steps"].sum()) for s in stages)
    figures["lap_adaptive_over_fixed_steps"] = round(steps[True] / steps[False], 3)
    return figures


def bench(quick: bool) -> dict[str, float]:
    """Run everything and return the figures by flat names."""
    figures: dict[str, float] = {}
    console.print("maps: memory and time a pair")
    figures |= measured("dry", 1_000_000)
    for pairs in (2_000,) if quick else (2_000, 20_000, 200_000):
        figures |= measured("grow", pairs)
    if not quick:
        console.print("maps: one worker, two workers")
        figures |= workers(64)
        console.print("maps: the lap robot's")
        figures |= lap_map("layers,clusters:6,singles", 2)
    return figures


if __name__ == "__main__":
    print(json.dumps({"grow": grow, "dry": dry}[sys.argv[1]](int(sys.argv[2]))))
