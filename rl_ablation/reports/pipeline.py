"""From an agent to a report: the steps that the command line, the demo and the studies share."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from rl_ablation import limits
from rl_ablation.errors import LabError
from rl_ablation.groupings.registry import parse_groups
from rl_ablation.lesions.lesion import Plan
from rl_ablation.mapping.claims import dissociated
from rl_ablation.mapping.design import Aim, Execution, MapDesign
from rl_ablation.mapping.forecast import Forecast, forecast
from rl_ablation.mapping.lesion_map import FEW, lesion_map
from rl_ablation.mapping.map import Map
from rl_ablation.mapping.power import plan_episodes
from rl_ablation.mapping.sweep import recorded
from rl_ablation.policies.policy import Policy
from rl_ablation.progress import console, line, stage
from rl_ablation.reports.film import film, is_whole, standard_path
from rl_ablation.reports.live import live
from rl_ablation.reports.report import report
from rl_ablation.reports.words import headlines
from rl_ablation.rollouts.activity import Activity
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.rollouts.world import conditions_of, settled

log = logging.getLogger(__name__)

FILM_SECONDS = 10.0
FILMS, REPORT = "films", "report"  # stages of what is done after a map
_FILM, _PAIR, _PAGE = 9.0, 0.7, 4.0  # s for a film; films of a pair in a map; s for the report


def make_map(
    agent: Policy,
    groups: str = "layers,clusters:6",
    episodes: Episodes | None = None,
    design: MapDesign | None = None,
    execution: Execution | None = None,
    *,
    measures: Sequence[str] | None = None,
    films: int = 2,
    command: str = "",
) -> Map:
    """Map in two stages, film and report; the run folder then holds ``report.html``, and
    ``live.html`` to play with.

    For groups see `rl_ablation.groupings.registry.parse_groups`, for the rest `lesion_map`. So many
    of the headline regions are filmed; without a way to draw, none. Without the live page's bundle,
    or in a world that cannot be played, there is no live page. The report says by what command this
    is repeated. A map that is begun anew is first told in a line: what it comes to, and how
    long it will take.
    """
    execution, design = execution or Execution(), design or MapDesign()
    made, expected = _prepared(agent, groups, episodes, execution, films), None
    if execution.progress and _is_new(execution.folder):
        told = _foretold(agent, made, design, execution, measures, films)
        console.print(str(told))
        expected = told.stages
    plan, episodes, activity = made
    with line(expected, show=execution.progress):
        run = lesion_map(
            agent, plan, episodes, design, execution, measures=measures, activity=activity
        )
        stage(FILMS)
        film_headlines(run, films)
        stage(REPORT)
        play(run)
        report(run, command=command)
    return run


def _is_new(folder: Path | None) -> bool:
    """Whether nothing is in a folder, which is made if it is not there."""
    if folder is None:
        return True
    folder.mkdir(parents=True, exist_ok=True)
    return not any(folder.iterdir())


_Prepared = tuple[Plan, Episodes, Activity]


def _prepared(
    agent: Policy, groups: str, episodes: Episodes | None, execution: Execution, films: int
) -> _Prepared:
    limits.check_range("films", films, 0, limits.FILMS)
    episodes = settled(agent, episodes or Episodes())
    activity = recorded(agent, episodes, execution)
    return parse_groups(groups, agent, activity, episodes.seed), episodes, activity


def _foretold(
    agent: Policy,
    made: _Prepared,
    design: MapDesign,
    execution: Execution,
    measures: Sequence[str] | None,
    films: int,
) -> Forecast:
    plan, episodes, activity = made
    found = forecast(agent, plan, episodes, design, execution, measures=measures, activity=activity)
    drawing = _FILM * (films + _PAIR) if films else 0.0
    return replace(found, stages={**found.stages, FILMS: drawing, REPORT: _PAGE})


def foretell(
    agent: Policy,
    groups: str = "layers,clusters:6",
    episodes: Episodes | None = None,
    design: MapDesign | None = None,
    execution: Execution | None = None,
    *,
    measures: Sequence[str] | None = None,
    films: int = 2,
) -> Forecast:
    """What `make_map` with these arguments comes to, and how long it will take; makes nothing."""
    execution = execution or Execution()
    made = _prepared(agent, groups, episodes, execution, films)
    return _foretold(agent, made, design or MapDesign(), execution, measures, films)


def plan_map(
    agent: Policy,
    groups: str,
    aim: Aim,
    episodes: Episodes,
    measures: Sequence[str] | None = None,
) -> pd.DataFrame:
    """How many episodes a map of these groups needs; see `plan_episodes`."""
    conditions = conditions_of(agent, episodes.conditions)
    episodes = settled(agent, replace(episodes, count=max(FEW, len(conditions))))
    activity = recorded(agent, episodes, Execution())
    plan = parse_groups(groups, agent, activity, episodes.seed)
    with tempfile.TemporaryDirectory() as folder:  # a pilot is not kept
        execution = Execution(Path(folder) / "pilot")
        return plan_episodes(
            agent, plan, aim, episodes, execution, measures=measures, activity=activity
        )


def play(run: Map) -> Path | None:
    """Write the run's live page, if this machine and the run's world can; else say why not."""
    try:
        return live(run)
    except LabError as error:
        log.warning("no live page: %s", error)
        return None


def film_headlines(run: Map, most: int) -> list[Path]:
    """Film the regions that the findings name, and the pair that crosses over most clearly, as far
    as this machine can draw."""
    names = [finding.lesion for finding in headlines(run)[:most]]
    if most:
        names += [r for d in dissociated(run)[:1] for r in (d.a, d.b)]
    paths: list[Path] = []
    for name in dict.fromkeys(names):
        path = standard_path(run, name)
        if path.exists() and not is_whole(path):
            log.warning("%s: damaged, or of an earlier version; it is made again", path)
        try:
            paths.append(path if is_whole(path) else film(run, name, seconds=FILM_SECONDS))
        except LabError as error:
            log.warning("no films: %s", error)
            break
    return paths
