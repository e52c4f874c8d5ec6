"""The sweep: every lesion × episode of a plan, in shards that survive a kill, into a run folder.

A run folder holds ``spec.json`` (all that is needed to repeat it), ``policy/``,
``activity.safetensors``, ``shards/``, when it is finished ``manifest.json``, and what is made from
them: ``effects.csv``, ``figures/``, ``films/``, ``report.html``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Unpack

from rl_ablation import limits
from rl_ablation.cluster import current
from rl_ablation.errors import LabError
from rl_ablation.files import write_atomically
from rl_ablation.lesions.lesion import Plan
from rl_ablation.mapping.design import Execution, Fields, as_episodes, only, typed
from rl_ablation.mapping.filling import begin, check_versions, filling, holds, place
from rl_ablation.mapping.manifest import DESIGN, root, seal
from rl_ablation.mapping.map import Map
from rl_ablation.mapping.run import NAMES, OWN, WORDS, Run
from rl_ablation.mapping.shards import Work, here, on_cluster
from rl_ablation.mapping.spec import Spec
from rl_ablation.measures.registry import choose
from rl_ablation.policies.policy import Policy
from rl_ablation.progress import bar
from rl_ablation.rollouts.activity import (
    ACTIVITY,
    Activity,
    activity_bytes,
    record_activity,
    same_activity,
)
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
    spec = make_spec(agent, plan, as_episodes(episodes, given), measures, once)
    folder = execution.folder or place(agent.name, spec.digest)
    with filling(folder, spec) as finished:
        if not finished:
            run = filled(folder, spec, agent, activity, execution)
            if root(folder) == folder.absolute() and not (folder / DESIGN).exists():
                seal(folder, run.listing(), run.versions)
        elif activity is not None:
            check_activity(Run(folder), activity)
    return Map(folder)


def filled(
    folder: Path, spec: Spec, agent: Policy, activity: Activity | None, execution: Execution
) -> Map:
    """Make what is missing or damaged of a run, in a folder that is ours; seals nothing."""
    run = begin(folder, spec, agent)
    todo = [i for i in range(spec.shards) if not _done(run, i)]
    check_versions(run, bool(todo))
    if (activity is None and todo) or not _has_activity(run):
        activity = activity or recorded(agent, run.episodes, execution)
        if not _has_activity(run):
            write_atomically(folder / ACTIVITY, activity_bytes(activity))
    if activity is not None:
        check_activity(run, activity)
    _keep_names(run, agent)
    if todo:
        _run_shards(run, Work(spec, agent, run.activity), todo, execution)
    return Map(folder, begun=True)


def _has_activity(run: Run) -> bool:
    try:
        return bool(run.activity)
    except LabError as error:
        if (run.folder / ACTIVITY).exists():
            log.warning("%s", error)
        return False


def check_activity(run: Run, activity: Activity) -> None:
    """See that a run was made with this intact activity: the same policy on a machine that computes
    the same, to the bit.

    Raises:
        LabError: It was not.
    """
    if not same_activity(run.activity, activity):
        raise LabError(
            f"{run.folder} was begun with other intact activity: given by hand, or of a machine or "
            "engine that computes otherwise; go on there, or choose another folder"
        )


def recorded(agent: Policy, episodes: Episodes, execution: Execution) -> Activity:
    """The intact activity that lesions on these episodes are made with."""
    return record_activity(
        agent, conditions=episodes.conditions or ("",), seed=episodes.seed,
        horizon=episodes.horizon, threads=execution.threads,
    )  # fmt: skip


def make_spec(
    agent: Policy,
    plan: Plan,
    episodes: Episodes,
    measures: Sequence[str] | None,
    once: Collection[str] = (),
) -> Spec:
    """Find out what the world offers and fix everything that determines the numbers."""
    limits.check_range("the number of lesions", len(plan), 1, limits.LESIONS)
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
    condition, and how it tells one; no number of a sweep depends on them."""
    with world_of(agent) as world:
        kept = {NAMES: world.names, OWN: world.own_measures, WORDS: world.condition_words}
    for file, names in kept.items():
        path = run.folder / file
        content = json.dumps(names, ensure_ascii=False, indent=1) + "\n"
        if not names:
            path.unlink(missing_ok=True)
        elif not holds(path, content):
            write_atomically(path, content)
