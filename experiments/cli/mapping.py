"""Commands about maps: map, plan, video, report, open, compare."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from experiments.cli.options import AgentArg, Cuts, RunArg, Source, options, split
from experiments.cli.output import print_json, say
from rl_ablation.mapping.design import Aim, Execution, MapDesign
from rl_ablation.rollouts.episodes import Episodes


def map_(
    agent: AgentArg,
    /,
    *,
    source: Annotated[Source, options(Source)],
    cuts: Annotated[Cuts, options(Cuts)],
    episodes: Annotated[Episodes, options(Episodes, leave=("stream",))],
    design: Annotated[MapDesign, options(MapDesign)],
    execution: Annotated[Execution, options(Execution, leave=("progress",))],
    films: int = 2,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Cut an agent's network part by part, and map which part controls which behaviour.

    Discovery runs every cut; what it selects is confirmed on fresh seeds, and only that is shown
    as found. The same command run again goes on where it was interrupted.

    Args:
        agent: A zoo agent by name, or the path of a policy folder or a stable-baselines3 zip.
        source: Where the policy comes from, if its file does not say all.
        cuts: What is cut, and what is measured.
        episodes: Which episodes are run.
        design: What surrounds the confirmed episodes.
        execution: Where and how it is carried out; this never changes a number.
        films: How many of the regions found to film.
        dry_run: Only say what it comes to and how long it will take, after a probe of 2 seconds.
        json: Print the result as JSON.
    """
    from agents.zoo import find_agent
    from rl_ablation.reports.pipeline import foretell, make_map

    policy = find_agent(agent, **asdict(source))
    how: dict[str, Any] = {"measures": cuts.measures, "films": films}
    if dry_run:
        told = foretell(policy, cuts.groups, episodes, design, execution, **how)
        if json:
            print_json({**asdict(told), "seconds": told.seconds})
        else:
            say(str(told))
        return
    how |= {"command": shlex.join(["rl-ablation", *sys.argv[1:]])}
    run = make_map(policy, cuts.groups, episodes, design, execution, **how)
    tell_run(run.folder, json)


def tell_run(folder: Path, as_json: bool) -> None:
    """Say where the report is and what was found."""
    from rl_ablation.mapping.map import Map
    from rl_ablation.reports.words import headlines

    findings, page = headlines(Map(folder)), folder / "report.html"
    live = folder / "live.html"
    if as_json:
        found = [asdict(f) for f in findings]
        effects = folder / "effects.csv"
        there = {"live": live} if live.exists() else {}
        print_json({"run": folder, "report": page, **there, "effects": effects, "findings": found})
        return
    told = [line for f in findings for line in (f.sentence, f"  {f.text}")]
    say(*told or ["no cut changed a behaviour clearly"])
    if live.exists():
        say(f"live:   {live}")
    say(f"report: {page}")


def video(
    run: RunArg,
    /,
    lesion: str,
    env: str | None = None,
    episode: int | None = None,
    seconds: float = 15.0,
    out: Path | None = None,
) -> None:
    """Film the intact robot beside a damaged one, with the live activity under each.

    Args:
        run: Run folder made by `map`.
        lesion: Name of a cut, as the report names it: h1/cluster-5, or "left wheel".
        env: Gymnasium id that the run names, as your word that its code may run; needed where it
            is neither Gymnasium's nor this lab's.
        episode: Which episode of the run; by default a typical one.
        seconds: Length at most, in robot time.
        out: The film; by default films/LESION.mp4 in the run folder.
    """
    from rl_ablation.mapping.map import Map
    from rl_ablation.reports.film import film

    path = film(Map(run), lesion, episode=episode, path=out, seconds=seconds, env=env)
    say(f"film: {path}")


def report(run: RunArg, /, json: bool = False) -> None:
    """Make the report of a run again, with the films that are in its folder.

    Args:
        run: Run folder made by `map`.
        json: Print the result as JSON.
    """
    from rl_ablation.mapping.map import Map
    from rl_ablation.reports.report import report as write

    write(Map(run))
    tell_run(run, json)


def open_(run: RunArg, /, live: bool = False) -> None:
    """Open the report of a run in the browser.

    Args:
        run: Run folder made by `map`.
        live: Open its live page instead.
    """
    import webbrowser

    from rl_ablation.errors import LabError
    from rl_ablation.mapping.run import Run

    name = "live" if live else "report"
    Run(run).check()
    page = run / f"{name}.html"
    if not page.exists():
        made = shlex.join(["rl-ablation", name, str(run)])
        raise LabError(f"{run} has no {page.name}; make it: {made}")
    if not webbrowser.open(page.resolve().as_uri()):
        raise LabError(f"no browser could be started here; open {page} in one")
    say(f"opened {page}")


def compare(
    run: RunArg,
    other: RunArg,
    /,
    by: Literal["name", "effects"] | None = None,
    measures: str | None = None,
    out: Path | None = None,
    json: bool = False,
) -> None:
    """Compare the maps of two agents, or of one before and after training.

    Says which regions do the same, where they differ and how surely, and what cannot be compared;
    writes it with a figure and the tables.

    Args:
        run: Run folder made by `map`.
        other: Another one, in the same world; differences are this one's minus the first's.
        by: Match regions by name or by effects only; by default a cut that both runs made is one
            region by its name, and the rest is matched by what its loss does.
        measures: Behaviours to compare, with commas; by default those that findings are made of.
        out: Folder to write into; by default runs/compare-DIGEST-DIGEST.
        json: Print the result as JSON.
    """
    from rl_ablation.analysis.comparison import compare as compared
    from rl_ablation.reports.comparison import comparison_text, save_comparison

    found = compared(run, other, by=by, measures=split(measures))
    folder = save_comparison(found, out)
    if json:
        about = {"folder": folder, "paired": found.paired, "confirmed": found.confirmed}
        told = found.told.to_dict("records")
        print_json({**about, "regions": told, "left_out": found.left_out})
        return
    say(*comparison_text(found).split("\n"))
    say(f"figure and tables: {folder}")


def plan(
    agent: AgentArg,
    /,
    *,
    source: Annotated[Source, options(Source)],
    cuts: Annotated[Cuts, options(Cuts)],
    aim: Annotated[Aim, options(Aim)],
    episodes: Annotated[Episodes, options(Episodes, leave=("count", "stream"))],
    json: bool = False,
) -> None:
    """Say how many episodes a map needs to find changes of a wanted size.

    A pilot runs some of the cuts for a few episodes, to see how much their effects vary.

    Args:
        agent: A zoo agent by name, or the path of a policy folder or a stable-baselines3 zip.
        source: Where the policy comes from, if its file does not say all.
        cuts: What the map will cut, and measure.
        aim: What it shall find.
        episodes: Which episodes the pilot runs.
        json: Print the table as JSON.
    """
    from agents.zoo import find_agent
    from rl_ablation.formats import number
    from rl_ablation.mapping.power import MOST, needed
    from rl_ablation.reports.pipeline import plan_map

    policy = find_agent(agent, **asdict(source))
    table = plan_map(policy, cuts.groups, aim, episodes, cuts.measures)
    if json:
        print_json({"episodes": needed(table), "measures": table.to_dict("records")})
        return
    head = ("behaviour", "intact", "change to find", "its spread", "episodes")
    say("{:<22}{:>14}{:>20}{:>16}{:>10}".format(*head))
    for row in table.to_dict("records"):
        count = f"> {MOST}" if row["episodes"] >= MOST else str(row["episodes"])
        if not row["wanted"]:
            count = "never varies"
        intact, wanted, spread = (number(row[k]) for k in ("intact", "wanted", "spread"))
        wanted = f"{wanted} {row['unit']}"
        say(f"{row['measure']:<22}{intact:>14}{wanted:>20}{spread:>16}{count:>10}")
    every, half = (
        f"--episodes {count}" if count < MOST else f"more than {MOST} episodes"
        for count in (needed(table), needed(table, 0.5))
    )
    say("", f"enough for all: {every}; for half of them: {half}")
