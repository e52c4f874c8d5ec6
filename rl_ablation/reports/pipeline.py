"""From an agent to a report: the steps that the command line, the demo and the studies share."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rl_ablation.errors import LabError
from rl_ablation.groupings.registry import parse_groups
from rl_ablation.lesions.variants import variants
from rl_ablation.mapping.claims import distinct, double_dissociations, overall, valued
from rl_ablation.mapping.evidence import harm
from rl_ablation.mapping.lesion_map import DISCOVERY, DRAWS, EPISODES, FEW, lesion_map
from rl_ablation.mapping.power import plan_episodes
from rl_ablation.mapping.run import Run
from rl_ablation.policies.policy import Policy
from rl_ablation.reports.film import film
from rl_ablation.reports.report import report
from rl_ablation.reports.words import headlines
from rl_ablation.rollouts.activity import record_activity
from rl_ablation.rollouts.episodes import conditions_of

log = logging.getLogger(__name__)

FILM_SECONDS = 10.0


def make_map(
    agent: Policy,
    *,
    groups: str = "layers,clusters:6",
    kinds: Sequence[str] = ("zero",),
    strength: float | None = None,
    episodes: int = EPISODES,
    discovery: int = DISCOVERY,
    controls: int = DRAWS,
    adaptive: bool = False,
    seed: int = 0,
    conditions: Sequence[str] | None = None,
    measures: Sequence[str] | None = None,
    folder: str | Path | None = None,
    horizon: int | None = None,
    threads: int | None = None,
    films: int = 2,
    command: str = "",
) -> Run:
    """Map in two stages, film and report; the run folder then holds ``report.html``.

    Args:
        agent: The policy, with an environment on its card.
        groups: Groupings, see `rl_ablation.groupings.registry.parse_groups`.
        kinds: Kinds of lesion, side by side; findings are told of the first.
        strength: Of the lesion, for a single kind that takes one.
        episodes: Of each lesion in the confirmation.
        discovery: Episodes of each lesion in the discovery.
        controls: Random cuts at most for each size of group; see `lesion_map`.
        adaptive: Spend episodes where they decide; see `lesion_map`.
        seed: Of the run.
        conditions: None takes all of the environment.
        measures: None takes all that apply.
        folder: Run folder; None makes one under ``runs/``.
        horizon: Control steps at most; None takes the environment's time limit.
        threads: C threads; None takes every CPU.
        films: How many of the headline regions to film; without a way to draw, none.
        command: For the report: what repeats this.
    """
    if films < 0:
        raise LabError(f"films must be 0 or more, got {films}")
    taken = conditions_of(agent, conditions)
    activity = record_activity(
        agent, conditions=taken or ("",), seed=seed, horizon=horizon, threads=threads
    )
    plan = variants(parse_groups(groups, agent, activity, seed), kinds)
    if strength is not None:
        if len(kinds) > 1:
            raise LabError(f"a strength belongs to one kind of cut, not to {', '.join(kinds)}")
        plan = plan.with_kind(kinds[0], strength)
    run = lesion_map(
        agent,
        plan,
        episodes=episodes,
        discovery=discovery,
        controls=controls,
        adaptive=adaptive,
        seed=seed,
        conditions=conditions,
        measures=measures,
        folder=folder,
        horizon=horizon,
        threads=threads,
        activity=activity,
    )
    film_headlines(run, films)
    report(run, command=command)
    return run


def plan_map(agent: Policy, groups: str, *, seed: int, **how: Any) -> pd.DataFrame:
    """How many episodes a map of these groups needs; see `plan_episodes`."""
    taken = conditions_of(agent, how.get("conditions"))
    activity = record_activity(
        agent, conditions=taken or ("",), seed=seed, horizon=how.get("horizon")
    )
    plan = parse_groups(groups, agent, activity, seed)
    with tempfile.TemporaryDirectory() as folder:  # a pilot is not kept
        return plan_episodes(
            agent,
            plan,
            episodes=max(FEW, len(taken)),
            seed=seed,
            activity=activity,
            folder=Path(folder) / "pilot",
            **how,
        )


def film_headlines(run: Run, most: int) -> list[Path]:
    """Film the regions that the findings name, and the pair that crosses over most clearly, as far
    as this machine can draw."""
    rows = overall(run.effects())
    names = [finding.lesion for finding in headlines(run)[:most]]
    if most and len(rows):
        behaviours = distinct(rows.assign(harm=harm(rows)), valued(run), 8)
        names += [r for d in double_dissociations(run, behaviours)[:1] for r in (d.a, d.b)]
    paths: list[Path] = []
    for name in dict.fromkeys(names):
        path = run.folder / "films" / f"{name.replace('/', '-')}.mp4"
        try:
            there = path.exists()
            paths.append(path if there else film(run, name, path=path, seconds=FILM_SECONDS))
        except LabError as error:
            log.warning("no films: %s", error)
            break
    return paths
