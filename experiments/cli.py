"""The command line: train, map, plan, video, report, show, list, study, doctor, demo."""

from __future__ import annotations

import json
import logging
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

# Heavy imports (torch, mujoco) wait inside the commands, so that --help answers at once.

BAD_INPUT, INTERRUPTED = 2, 130
AgentArg = Annotated[str, tyro.conf.arg(metavar="AGENT")]
RunArg = Annotated[Path, tyro.conf.arg(metavar="RUN")]


def say(text: str) -> None:
    print(text, flush=True)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, default=str))


def split(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def train(
    agent: AgentArg,
    /,
    seed: int = 0,
    steps: int | None = None,
    out: Path | None = None,
    resume: bool = False,
    to_zoo: bool = False,
    device: str = "cpu",
    json: bool = False,
) -> None:
    """Train an agent by its recipe, with a learning curve, TensorBoard and checkpoints.

    Args:
        agent: Recipe to train by; `rl-ablation list agents` names them.
        seed: Training seed; same seed, same machine, same weights.
        steps: Environment steps in all; by default the recipe's.
        out: Folder of the training; by default runs/train-AGENT-seedSEED.
        resume: Go on from the folder's last checkpoint.
        to_zoo: Also write it into agents/zoo, with its curve and score.
        device: Torch device that learns; the robots stay on the CPU.
        json: Print the result as JSON.
    """
    from agents import zoo
    from agents.recipes import RECIPES
    from agents.train import train as learn
    from rl_ablation.errors import LabError
    from rl_ablation.policy import save
    from rl_ablation.progress import bar

    if agent not in RECIPES:
        raise LabError(f"no recipe {agent!r}; choose from {', '.join(RECIPES)}")
    recipe = RECIPES[agent]
    if steps is not None:
        if steps < 1:
            raise LabError(f"steps must be at least 1, got {steps}")
        recipe = recipe.model_copy(update={"steps": steps})
    folder = out if out is not None else Path("runs") / f"train-{agent}-seed{seed}"
    done = 0

    with bar("training", recipe.steps, "steps") as advance:

        def progress(now: int, row: dict[str, float]) -> None:
            nonlocal done
            advance(now - done)
            done = now

        policy = learn(recipe, folder, seed=seed, resume=resume, progress=progress, device=device)
    save(policy, folder / "policy")
    command = f"rl-ablation train {agent} --seed {seed}" + (f" --steps {steps}" if steps else "")
    if to_zoo:
        policy = zoo.publish(policy, folder, zoo.ZOO / agent, f"{command} --to-zoo")
        scores = policy.card.scores
    else:
        scores = {**policy.card.scores, **zoo.score(policy)}
    if json:
        print_json({"policy": folder / "policy", "scores": scores})
        return
    told = {
        k: v for k, v in scores.items() if k in ("return", "progress", "crash", "fall", "seconds")
    }
    say(f"policy: {folder / 'policy'}")
    say("score:  " + ", ".join(f"{k} {v:.4g}" for k, v in told.items()))
    say(f"next:   rl-ablation map {folder / 'policy'}")


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
    from experiments.maps import make_map

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
    from rl_ablation.findings import headlines
    from rl_ablation.sweep import Run

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
    episode: int | None = None,
    seconds: float = 15.0,
    out: Path | None = None,
) -> None:
    """Film the intact robot beside a damaged one, with the live activity under each.

    Args:
        run: Run folder made by `map`.
        lesion: Name of a cut, as the report names it: h1/cluster-5.
        episode: Which episode of the run; by default a typical one.
        seconds: Length at most, in robot time.
        out: The film; by default films/LESION.mp4 in the run folder.
    """
    from rl_ablation.film import film
    from rl_ablation.sweep import Run

    say(f"film: {film(Run(run), lesion, episode=episode, seconds=seconds, path=out)}")


def report(run: RunArg, /, json: bool = False) -> None:
    """Make the report of a run again, with the films that are in its folder.

    Args:
        run: Run folder made by `map`.
        json: Print the result as JSON.
    """
    from rl_ablation.report import report as write
    from rl_ablation.sweep import Run

    write(Run(run))
    tell_run(run, json)


def show(agent: AgentArg, /, json: bool = False) -> None:
    """Show what an agent is: its card, its sites, its score.

    Args:
        agent: A zoo agent by name, or the path of a policy folder or a stable-baselines3 zip.
        json: Print it as JSON.
    """
    from agents.zoo import find_agent

    policy = find_agent(agent)
    card = policy.card.model_dump(mode="json")
    if json:
        print_json({**card, "sites": policy.sites})
        return
    say(f"{card['name']}: {card['algorithm']} in {card['env_id']}")
    say("sites:    " + ", ".join(f"{s} ({n})" for s, n in policy.sites.items()))
    say(f"network:  {card['activation']}, actions by {card['squash']}")
    if card["steps"] is not None:
        say(f"training: {card['steps']:,} steps, seed {card['seed']}")
    if card["command"]:
        say(f"made by:  {card['command']}")
    for key, value in card["scores"].items():
        say(f"  {key:<22}{value:g}" if isinstance(value, (int, float)) else f"  {key}: {value}")


def list_(
    what: Literal["agents", "envs", "measures", "kinds", "groupings", "studies"],
    /,
    env: str | None = None,
    json: bool = False,
) -> None:
    """List what there is.

    Args:
        what: agents, envs, measures, kinds, groupings or studies.
        env: With measures: only those that this environment's signals allow.
        json: Print it as JSON.
    """
    from experiments.listing import entries

    tell_entries(entries(what, env), json)


def tell_entries(entries: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json(entries)
        return
    wide = max(len(name) for name in entries)
    for name, text in entries.items():
        say(f"{name:<{wide}}  {text}")


def study(
    name: Annotated[str, tyro.conf.arg(metavar="NAME|list|all")],
    /,
    quick: bool = False,
    seed: int = 0,
    out: Path | None = None,
    docs: bool = False,
    json: bool = False,
) -> None:
    """Run one of the studies, or all, or list them.

    Args:
        name: A study, `list`, or `all`, which runs one after the other.
        quick: A small version that only shows that it runs; its numbers mean little.
        seed: Of everything in it.
        out: Folder for findings, figures and tables; by default runs/study-NAME. Run again, the
            study goes on there.
        docs: Also write findings and figures into docs/.
        json: Print the list, or where things are, as JSON.
    """
    from experiments.listing import entries
    from experiments.studies import STUDIES, run_study

    if name == "list":
        tell_entries(entries("studies"), json)
        return
    folders = {}
    for one in STUDIES if name == "all" else [name]:
        inside = out / one if name == "all" and out is not None else out
        folders[one] = run_study(one, quick=quick, seed=seed, out=inside, docs=docs, tell=not json)
    if json:
        print_json({k: {"folder": v, "files": sorted(p.name for p in v.glob("*.*"))}
                     for k, v in folders.items()})  # fmt: skip


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
    from experiments.maps import plan_map
    from rl_ablation.findings import number
    from rl_ablation.power import MOST, needed

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


def doctor(json: bool = False) -> None:
    """Check this machine for everything that can be missing; exits with 1 if something needed is.

    Args:
        json: Print it as JSON.
    """
    from experiments.doctor import checks

    found = checks()
    if json:
        print_json([asdict(c) for c in found])
    else:
        for c in found:
            mark = "ok     " if c.ok else ("MISSING" if c.needed else "lacking")
            say(f"{mark} {c.name:<18} {c.found}" + ("" if c.ok else f"\n        → {c.mend}"))
    if any(c.needed and not c.ok for c in found):
        raise SystemExit(1)


def demo(
    out: Path = Path("runs/demo"), seed: int = 1, steps: int | None = None, films: int = 2
) -> None:
    """Train a lap robot from scratch, cut its network, film it and write the report.

    Run again after an interruption it goes on; delete the folder to start anew.

    Args:
        out: Folder for everything.
        seed: Seed of the training and of the map; by default that of the zoo's lap agent.
        steps: Training steps; by default the recipe's.
        films: How many of the regions found to film.
    """
    from experiments.demo import run_demo

    tell_run(run_demo(out, seed, steps, films).folder, False)


COMMANDS: dict[str, Callable[..., None]] = {
    "train": train,
    "map": map_,
    "plan": plan,
    "video": video,
    "report": report,
    "show": show,
    "list": list_,
    "study": study,
    "doctor": doctor,
    "demo": demo,
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code: 0 done, 1 lacking, 2 bad input, 130 interrupted."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="rl-ablation",
            description="Cut units out of a robot's policy network and map what they control.",
            args=arguments,
            config=(tyro.conf.FlagCreatePairsOff,),
        )
    except KeyboardInterrupt:
        print("rl-ablation: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return 0
    except Exception as error:
        from rl_ablation.errors import LabError

        if not isinstance(error, (LabError, OSError)):  # the latter: files, and the disk
            raise
        print(f"rl-ablation: {error}", file=sys.stderr)
        return BAD_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main())
