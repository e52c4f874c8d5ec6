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
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Unpack

from rl_ablation.cluster import PACKAGES, current
from rl_ablation.errors import LabError
from rl_ablation.files import write_atomically
from rl_ablation.lesions.lesion import Plan
from rl_ablation.mapping.design import Execution, Fields, as_episodes, only, typed
from rl_ablation.mapping.map import Map
from rl_ablation.mapping.run import NAMES, OWN, RUNS, WORDS, Run, Spec
from rl_ablation.mapping.shards import Work, here, on_cluster
from rl_ablation.measures.registry import choose
from rl_ablation.policies.network import MLP
from rl_ablation.policies.policy import Policy
from rl_ablation.policies.storage import save
from rl_ablation.progress import bar
from rl_ablation.rollouts.activity import Activity, load_activity, record_activity, save_activity
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.rollouts.rollout import world_signals
from rl_ablation.rollouts.world import card_env, world_of

log = logging.getLogger(__name__)


def sweep(
    agent: Policy,
    plan: Plan,
    episodes: Episodes | int = 24,
    execution: Execution | None = None,
    *,
    measures: Sequence[str] | None = None,
    activity: Activity | None = None,
    once: Collection[str] = (),
    **given: Unpack[Fields],
) -> Map:
    """Run every lesion of a plan on the same episodes, and return the finished run.

    Calling it again with the same arguments goes on where it stopped; a finished run returns at
    once. Numbers do not depend on threads, on interruptions, or on the rest of the plan.

    The agent has an environment on its card. Measures are named, None takes all that apply; intact
    activity is that of `record_activity` with this seed and these conditions, None records it.
    Lesions named in ``once`` are run in the first episode only.
    Fields of `Episodes` and `Execution` may be given by name: ``seed=7``, ``threads=1``, …

    Raises:
        LabError: Something does not fit, or the folder holds another run.
    """
    only(given, Episodes, Execution)
    execution = typed(execution or Execution(), given)
    for lesion in plan:
        lesion.check(agent.sites)
    spec = _make_spec(agent, plan, as_episodes(episodes, given), measures, once)
    run = _open_folder(agent, spec, execution.folder)
    todo = [i for i in range(spec.shards) if not _done(run, i)]
    if not todo:
        return run
    path = run.folder / "activity.safetensors"
    if path.exists():
        activity = load_activity(path)
    else:
        if activity is None:
            activity = recorded(agent, run.episodes, execution)
        save_activity(activity, path)
    _keep_names(run, agent)
    _run_shards(run, Work(spec, agent, activity), todo, execution)
    return run


def recorded(agent: Policy, episodes: Episodes, execution: Execution) -> Activity:
    """The intact activity that lesions on these episodes are made with."""
    return record_activity(
        agent, conditions=episodes.conditions or ("",), seed=episodes.seed,
        horizon=episodes.horizon, threads=execution.threads,
    )  # fmt: skip


def _make_spec(
    agent: Policy,
    plan: Plan,
    episodes: Episodes,
    measures: Sequence[str] | None,
    once: Collection[str],
) -> Spec:
    """Find out what the world offers and fix everything that determines the numbers."""
    with world_of(agent) as world:
        episodes = world.settle(episodes)
        taken = choose(measures, world_signals(world))
    assert episodes.conditions is not None
    assert episodes.horizon is not None
    return Spec(
        agent=agent.name,
        policy_sha256=agent.sha256,
        sites=agent.sites,
        env_id=card_env(agent),
        env_kwargs=agent.card.env_kwargs,
        conditions=episodes.conditions,
        episodes=episodes.count,
        seed=episodes.seed,
        horizon=episodes.horizon,
        measures=tuple(m.name for m in taken),
        lesions=plan.lesions,
        once=tuple(x.name for x in plan if x.name in once),
    )


def _open_folder(agent: Policy, spec: Spec, folder: Path | None) -> Map:
    path = RUNS / f"{spec.agent}-{spec.digest[:8]}" if folder is None else folder
    if (path / "spec.json").exists():
        run = Map(path)
        if run.spec.digest != spec.digest:
            one, other = run.spec.model_dump(), spec.model_dump()
            what = " and ".join(k for k in one if one[k] != other[k]) or "formats"
            raise LabError(
                f"{path} holds a run of another spec (its {what} differ); "
                "choose another folder, or delete it"
            )
        return run
    # A start broken off before its spec was written is taken up; anything else is not ours.
    ours = re.compile(r"shards|policy|versions\.txt|\.(spec\.json|versions\.txt)\..*")
    if path.exists() and not all(ours.fullmatch(p.name) for p in path.iterdir()):
        raise LabError(f"{path} is not empty and holds no run; choose another folder")
    (path / "shards").mkdir(parents=True, exist_ok=True)
    if isinstance(agent.network, MLP):
        save(agent, path / "policy")
    versions = "".join(f"{p} {importlib.metadata.version(p)}\n" for p in PACKAGES)
    write_atomically(path / "versions.txt", f"python {platform.python_version()}\n{versions}")
    # The spec comes last: a folder with a spec is a complete start.
    write_atomically(path / "spec.json", spec.model_dump_json(indent=1) + "\n")
    return Map(path)


def _done(run: Run, index: int) -> bool:
    if not run.shard_path(index).exists():
        return False
    try:
        run.read_shard(index)
    except LabError as error:
        log.warning("%s", error)
        return False
    return True


def _run_shards(run: Run, work: Work, todo: Sequence[int], execution: Execution) -> None:
    pairs = [pair for index in todo for pair in run.spec.pairs(index)]
    steps, cuts = len(pairs) * run.spec.horizon, len({x for x, _ in pairs} - {0})
    scheduler = current() if execution.scheduler is None else execution.scheduler
    (run.folder / "shards").mkdir(exist_ok=True)
    show, parts = execution.progress, f"{cuts} cuts"
    with bar("rolling out", steps, "robot steps", show=show, parts=parts) as advance:
        shards = (
            here(work, todo, execution.threads, advance)
            if scheduler is None
            else on_cluster(work, todo, scheduler, advance)
        )
        for index, content in shards:
            write_atomically(run.shard_path(index), content)


def _keep_names(run: Run, agent: Policy) -> None:
    """Write down what the world calls its sensors and motors, by which measure it judges each
    condition, and how it tells one; no number depends on them."""
    if all((run.folder / file).exists() for file in (NAMES, OWN, WORDS)):
        return
    with world_of(agent) as world:
        kept = {NAMES: world.names, OWN: world.own_measures, WORDS: world.condition_words}
    for file, names in kept.items():
        if names:
            text = json.dumps(names, ensure_ascii=False, indent=1)
            write_atomically(run.folder / file, text + "\n")
