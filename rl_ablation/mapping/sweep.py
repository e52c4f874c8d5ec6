"""The sweep: every lesion × episode of a plan, in shards that survive a kill, into a run folder.

A run folder holds ``spec.json`` (all that is needed to repeat it), ``policy/``,
``activity.safetensors``, ``shards/``, and what is made from them: ``effects.csv``, ``figures/``,
``films/``, ``report.html``.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rl_ablation.errors import LabError
from rl_ablation.files import write_atomically
from rl_ablation.lesions.lesion import Plan
from rl_ablation.mapping.run import NAMES, RUNS, Run, Spec, write_shard
from rl_ablation.measures.registry import Measure, choose, evaluate
from rl_ablation.policies.network import MLP
from rl_ablation.policies.policy import Policy
from rl_ablation.policies.storage import save
from rl_ablation.progress import bar
from rl_ablation.rollouts.activity import Activity, load_activity, record_activity, save_activity
from rl_ablation.rollouts.episodes import card_env, episode_seed
from rl_ablation.rollouts.rollout import Job, rollout, world_signals
from rl_ablation.rollouts.world import World

log = logging.getLogger(__name__)


def sweep(
    agent: Policy,
    plan: Plan,
    *,
    episodes: int = 24,
    seed: int = 0,
    conditions: Sequence[str] | None = None,
    measures: Sequence[str] | None = None,
    folder: str | Path | None = None,
    horizon: int | None = None,
    threads: int | None = None,
    activity: Activity | None = None,
    progress: bool = True,
) -> Run:
    """Run every lesion of a plan on the same episodes, and return the finished run.

    Calling it again with the same arguments goes on where it stopped; a finished run returns at
    once. Numbers do not depend on threads, on interruptions, or on the rest of the plan.

    Args:
        agent: The policy, with an environment on its card.
        plan: What to cut.
        episodes: Episodes of each lesion; episode k runs under condition k modulo their number.
        seed: Seed of the run; it sets every episode's seed.
        conditions: Of the environment; None takes all that it names, () takes none.
        measures: Names; None takes all that apply.
        folder: The run folder; None makes ``runs/<agent>-<digest>``.
        horizon: Control steps at most; None takes the environment's time limit.
        threads: C threads; None takes every CPU.
        activity: Intact activity already recorded by `record_activity` with this seed and these
            conditions; None records it.
        progress: Show a progress bar when standard error is a terminal.

    Raises:
        LabError: Something does not fit, or the folder holds another run.
    """
    if episodes < 1:
        raise LabError(f"episodes must be at least 1, got {episodes}")
    if seed < 0:
        raise LabError(f"seed must be at least 0, got {seed}")
    if horizon is not None and horizon < 1:
        raise LabError(f"the horizon must be at least 1 step, got {horizon}")
    for lesion in plan:
        lesion.check(agent.sites)
    spec = _make_spec(agent, plan, episodes, seed, conditions, measures, horizon, threads)
    run = _open_folder(agent, spec, folder)
    todo = [i for i, jobs in enumerate(run.shards()) if not _done(run, i, len(jobs))]
    if not todo:
        return run
    path = run.folder / "activity.safetensors"
    if path.exists():
        activity = load_activity(path)
    else:
        if activity is None:
            activity = record_activity(
                agent, conditions=spec.conditions, seed=seed, horizon=spec.horizon, threads=threads
            )
        save_activity(activity, path)
    _run_shards(run, agent, activity, todo, threads, progress)
    return run


def _make_spec(
    agent: Policy,
    plan: Plan,
    episodes: int,
    seed: int,
    conditions: Sequence[str] | None,
    measures: Sequence[str] | None,
    horizon: int | None,
    threads: int | None,
) -> Spec:
    """Find out what the world offers and fix everything that determines the numbers."""
    env_id = card_env(agent)
    probe = World(env_id, 1, agent.card.env_kwargs, threads)
    try:
        probe.fits(agent)
        chosen = probe.conditions if conditions is None else list(conditions)
        probe.check_conditions(chosen)
        horizon = probe.horizon if horizon is None else horizon
        if horizon is None:
            raise LabError(f"{env_id} has no time limit; give a horizon in steps (--max-steps)")
        taken = choose(measures, world_signals(probe))
    finally:
        probe.close()
    if len(chosen) > episodes:
        raise LabError(
            f"{episodes} episodes cannot cover {len(chosen)} conditions; ask for at least "
            f"{len(chosen)}, or name fewer conditions"
        )
    return Spec(
        agent=agent.name,
        policy_sha256=agent.sha256,
        sites=agent.sites,
        env_id=env_id,
        env_kwargs=agent.card.env_kwargs,
        conditions=tuple(chosen) or ("",),
        episodes=episodes,
        seed=seed,
        horizon=horizon,
        measures=tuple(m.name for m in taken),
        lesions=plan.lesions,
    )


def _open_folder(agent: Policy, spec: Spec, folder: str | Path | None) -> Run:
    path = RUNS / f"{spec.agent}-{spec.digest[:8]}" if folder is None else Path(folder)
    if (path / "spec.json").exists():
        run = Run(path)
        if run.spec.digest != spec.digest:
            raise LabError(
                f"{path} holds a run of another spec (its {_difference(run.spec, spec)} differ); "
                "choose another folder, or delete it"
            )
        return run
    # A start broken off before its spec was written is taken up; anything else is not ours.
    ours = {"shards", "policy", "versions.txt"}
    if path.exists() and any(
        p.name not in ours and not p.name.startswith((".spec.json.", ".versions.txt."))
        for p in path.iterdir()
    ):
        raise LabError(f"{path} is not empty and holds no run; choose another folder")
    (path / "shards").mkdir(parents=True, exist_ok=True)
    if isinstance(agent.network, MLP):
        save(agent, path / "policy")
    packages = ("rl-ablation", "mujoco", "gymnasium", "torch", "numpy")
    versions = {p: importlib.metadata.version(p) for p in packages}
    lines = [f"python {platform.python_version()}", *(f"{p} {v}" for p, v in versions.items())]
    write_atomically(path / "versions.txt", "\n".join(lines) + "\n")
    # The spec comes last: a folder with a spec is a complete start.
    write_atomically(path / "spec.json", spec.model_dump_json(indent=1) + "\n")
    return Run(path)


def _difference(one: Spec, other: Spec) -> str:
    a, b = one.model_dump(), other.model_dump()
    return " and ".join(k for k in a if a[k] != b[k]) or "formats"


def _done(run: Run, index: int, size: int) -> bool:
    if not run.shard_path(index).exists():
        return False
    try:
        run.read_shard(index, size)
    except LabError as error:
        log.warning("%s", error)
        return False
    return True


def _run_shards(
    run: Run,
    agent: Policy,
    activity: Activity,
    todo: Sequence[int],
    threads: int | None,
    progress: bool,
) -> None:
    spec, shards = run.spec, run.shards()
    measures = run.measures
    signals = list(dict.fromkeys(s for m in measures for s in m.signals))
    worlds: dict[int, World] = {}
    total = sum(len(shards[i]) for i in todo)
    (run.folder / "shards").mkdir(exist_ok=True)
    try:
        with bar("rolling out", total * spec.horizon, "robot steps", show=progress) as advance:
            for index in todo:
                pairs = shards[index]
                if len(pairs) not in worlds:
                    worlds[len(pairs)] = World(spec.env_id, len(pairs), spec.env_kwargs, threads)
                if (names := worlds[len(pairs)].names) and not (run.folder / NAMES).exists():
                    text = json.dumps(names, ensure_ascii=False, indent=1)
                    write_atomically(run.folder / NAMES, text + "\n")
                frame = _run_shard(
                    spec, agent, activity, worlds[len(pairs)], pairs, signals, measures, advance
                )
                write_shard(run, index, frame)
    finally:
        for world in worlds.values():
            world.close()


def _run_shard(
    spec: Spec,
    agent: Policy,
    activity: Activity,
    world: World,
    pairs: Sequence[tuple[int, int]],
    signals: Sequence[str],
    measures: Sequence[Measure],
    advance: Callable[[int], None],
) -> pd.DataFrame:
    jobs = [
        Job(
            spec.lesions[x],
            episode_seed(spec.seed, k),
            spec.conditions[k % len(spec.conditions)],
        )
        for x, k in pairs
    ]
    trace = rollout(
        agent,
        world,
        jobs,
        signals=signals,
        activity=activity,
        horizon=spec.horizon,
        on_step=lambda step, running: advance(len(jobs)),
    )
    ran = int(trace.alive.any(1).sum())
    advance(len(jobs) * (spec.horizon - ran))  # everyone ended early
    values = evaluate(measures, trace)
    for column in values.values():
        column[trace.unstable] = np.nan  # numbers of diverged physics mean nothing
    return pd.DataFrame(
        {
            "lesion": [spec.lesions[x].name for x, _ in pairs],
            "group": [spec.lesions[x].group for x, _ in pairs],
            "kind": [spec.lesions[x].kind for x, _ in pairs],
            "units": [spec.lesions[x].size for x, _ in pairs],
            "episode": [k for _, k in pairs],
            "seed": [job.seed for job in jobs],
            "condition": [job.condition for job in jobs],
            "steps": trace.steps,
            "terminated": trace.terminated,
            "unstable": trace.unstable,
            **values,
        }
    )
