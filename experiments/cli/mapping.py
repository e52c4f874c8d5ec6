"""Commands about maps: map, plan, video, report."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from experiments.cli.output import AgentArg, RunArg, print_json, say, split


def map_(
    agent: AgentArg,
    /,
    env: str | None = None,
    vecnormalize: Path | None = None,
    env_wrapper: str | None = None,
    groups: str = "layers,clusters:6",
    kind: str = "zero",
    strength: float | None = None,
    episodes: int = 24,
    discovery: int = 12,
    controls: int = 100,
    adaptive: bool = False,
    seed: int = 0,
    conditions: str | None = None,
    measures: str | None = None,
    max_steps: int | None = None,
    threads: int | None = None,
    films: int = 2,
    out: Path | None = None,
    json: bool = False,
) -> None:
    """Cut an agent's network part by part, and map which part controls which behaviour.

    Discovery runs every cut; what it selects is confirmed on fresh seeds, and only that is shown
    as found. The same command run again goes on where it was interrupted.

    Args:
        agent: A zoo agent by name, or the path of a policy folder or a stable-baselines3 zip.
        env: Gymnasium id to run in; by default the one on the policy's card. A zip needs it.
        vecnormalize: The vecnormalize.pkl of a zip, by default looked for beside it.
        env_wrapper: What a zip's observations were wrapped in: time-feature.
        groups: What to cut, with commas: layers, clusters:6, singles, tiles:8, sensors, motors,
            random:100 (random cuts of the sizes of the others).
        kind: How to cut: zero, mean, resample, noise, clamp or gain; several, with commas, are
            run side by side, and what holds under all of them is called robust.
        strength: Of the cut: noise in units of the unit's s.d., clamp's value, gain's factor.
        episodes: Episodes of each confirmed cut, spread over the conditions; `plan` says how many
            are needed.
        discovery: Episodes of each cut in the discovery; with --adaptive at most.
        controls: Random cuts of the size and layer of a confirmed group, at most; 0 for none.
        adaptive: Spend episodes where they decide: stop with a cut that is settled.
        seed: Seed of every episode's seed.
        conditions: Named conditions of the environment, with commas; by default all.
        measures: Behaviours to measure, with commas; by default all that apply.
        max_steps: Control steps of an episode at most; by default the environment's limit.
        threads: C threads of the physics; by default every CPU. Numbers do not depend on it.
        films: How many of the regions found to film.
        out: Run folder; by default runs/AGENT-DIGEST.
        json: Print the result as JSON.
    """
    from agents.zoo import find_agent
    from rl_ablation.reports.pipeline import make_map

    run = make_map(
        find_agent(agent, env, vecnormalize=vecnormalize, env_wrapper=env_wrapper),
        groups=groups,
        kinds=split(kind) or [],
        strength=strength,
        episodes=episodes,
        discovery=discovery,
        controls=controls,
        adaptive=adaptive,
        seed=seed,
        conditions=split(conditions),
        measures=split(measures),
        folder=out,
        horizon=max_steps,
        threads=threads,
        films=films,
        command=shlex.join(["rl-ablation", *sys.argv[1:]]),
    )
    tell_run(run.folder, json)


def tell_run(folder: Path, as_json: bool) -> None:
    """Say where the report is and what was found."""
    from rl_ablation.mapping.run import Run
    from rl_ablation.reports.words import headlines

    run = Run(folder)
    findings = headlines(run)
    if as_json:
        print_json(
            {
                "run": folder,
                "report": folder / "report.html",
                "effects": folder / "effects.csv",
                "findings": [asdict(f) for f in findings],
            }
        )
        return
    for finding in findings:
        say(finding.text)
    if not findings:
        say("no cut changed a behaviour clearly")
    say(f"report: {folder / 'report.html'}")


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
    from rl_ablation.mapping.run import Run
    from rl_ablation.reports.film import film

    path = film(Run(run), lesion, episode=episode, path=out, seconds=seconds, env=env)
    say(f"film: {path}")


def report(run: RunArg, /, json: bool = False) -> None:
    """Make the report of a run again, with the films that are in its folder.

    Args:
        run: Run folder made by `map`.
        json: Print the result as JSON.
    """
    from rl_ablation.mapping.run import Run
    from rl_ablation.reports.report import report as write

    write(Run(run))
    tell_run(run, json)


def plan(
    agent: AgentArg,
    /,
    effect: float = 1.0,
    power: float = 0.8,
    level: float = 0.05,
    env: str | None = None,
    groups: str = "layers,clusters:6",
    measures: str | None = None,
    conditions: str | None = None,
    max_steps: int | None = None,
    pilot: int = 24,
    seed: int = 0,
    json: bool = False,
) -> None:
    """Say how many episodes a map needs to find changes of a wanted size.

    A pilot runs some of the cuts for a few episodes, to see how much their effects vary.

    Args:
        agent: A zoo agent by name, or the path of a policy folder or a stable-baselines3 zip.
        effect: Change to be found, in standard deviations of the intact robot's episodes.
        power: Chance to find it.
        level: Family-wise error rate over all cuts × behaviours.
        env: Gymnasium id to run in; by default the one on the policy's card.
        groups: What the map will cut; see `map`.
        measures: Behaviours, with commas; by default all that apply.
        conditions: Named conditions of the environment, with commas; by default all.
        max_steps: Control steps of an episode at most; by default the environment's limit.
        pilot: Cuts to try.
        seed: Of the pilot.
        json: Print the table as JSON.
    """
    from agents.zoo import find_agent
    from rl_ablation.formats import number
    from rl_ablation.mapping.power import MOST, needed
    from rl_ablation.reports.pipeline import plan_map

    table = plan_map(
        find_agent(agent, env),
        groups,
        effect=effect,
        power=power,
        level=level,
        pilot=pilot,
        seed=seed,
        conditions=split(conditions),
        measures=split(measures),
        horizon=max_steps,
    )
    if json:
        print_json({"episodes": needed(table), "measures": table.to_dict("records")})
        return
    head = ("behaviour", "intact", "change to find", "its spread", "episodes")
    say("{:<22}{:>14}{:>20}{:>16}{:>10}".format(*head))
    for row in table.to_dict("records"):
        episodes = f"> {MOST}" if row["episodes"] >= MOST else str(row["episodes"])
        if not row["wanted"]:
            episodes = "never varies"
        intact, wanted, spread = (number(row[k]) for k in ("intact", "wanted", "spread"))
        unit = row["unit"]
        say(f"{row['measure']:<22}{intact:>14}{f'{wanted} {unit}':>20}{spread:>16}{episodes:>10}")
    half = needed(table, 0.5)
    say(f"\nenough for all: --episodes {needed(table)}; for half of them: --episodes {half}")
