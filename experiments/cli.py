"""The command line: ``rl-ablation train | map | video | report | show | list | doctor | demo``."""

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


def _say(text: str) -> None:
    print(text, flush=True)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, default=str))


def _split(text: str | None) -> list[str] | None:
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
        _print_json({"policy": folder / "policy", "scores": scores})
        return
    told = {
        k: v for k, v in scores.items() if k in ("return", "progress", "crash", "fall", "seconds")
    }
    _say(f"policy: {folder / 'policy'}")
    _say("score:  " + ", ".join(f"{k} {v:.4g}" for k, v in told.items()))
    _say(f"next:   rl-ablation map {folder / 'policy'}")


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
    from experiments.maps import find_agent, make_map

    run = make_map(
        find_agent(agent, env, vecnormalize=vecnormalize, env_wrapper=env_wrapper),
        groups=groups,
        kinds=_split(kind) or [],
        strength=strength,
        episodes=episodes,
        discovery=discovery,
        controls=controls,
        adaptive=adaptive,
        seed=seed,
        conditions=_split(conditions),
        measures=_split(measures),
        folder=out,
        horizon=max_steps,
        threads=threads,
        films=films,
        command=shlex.join(["rl-ablation", *sys.argv[1:]]),
    )
    _tell(run.folder, json)


def _tell(folder: Path, as_json: bool) -> None:
    """Say where the report is and what was found."""
    from rl_ablation.findings import headlines
    from rl_ablation.sweep import Run

    run = Run(folder)
    findings = headlines(run)
    if as_json:
        _print_json(
            {
                "run": folder,
                "report": folder / "report.html",
                "effects": folder / "effects.csv",
                "findings": [asdict(f) for f in findings],
            }
        )
        return
    for finding in findings:
        _say(finding.text)
    if not findings:
        _say("no cut changed a behaviour clearly")
    _say(f"report: {folder / 'report.html'}")


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

    _say(f"film: {film(Run(run), lesion, episode=episode, seconds=seconds, path=out)}")


def report(run: RunArg, /, json: bool = False) -> None:
    """Make the report of a run again, with the films that are in its folder.

    Args:
        run: Run folder made by `map`.
        json: Print the result as JSON.
    """
    from rl_ablation.report import report as write
    from rl_ablation.sweep import Run

    write(Run(run))
    _tell(run, json)


def show(agent: AgentArg, /, json: bool = False) -> None:
    """Show what an agent is: its card, its sites, its score.

    Args:
        agent: A zoo agent by name, or the path of a policy folder or a stable-baselines3 zip.
        json: Print it as JSON.
    """
    from experiments.maps import find_agent

    policy = find_agent(agent)
    card = policy.card.model_dump(mode="json")
    if json:
        _print_json({**card, "sites": policy.sites})
        return
    _say(f"{card['name']}: {card['algorithm']} in {card['env_id']}")
    _say("sites:    " + ", ".join(f"{s} ({n})" for s, n in policy.sites.items()))
    _say(f"network:  {card['activation']}, actions by {card['squash']}")
    if card["steps"] is not None:
        _say(f"training: {card['steps']:,} steps, seed {card['seed']}")
    if card["command"]:
        _say(f"made by:  {card['command']}")
    for key, value in card["scores"].items():
        _say(f"  {key:<22}{value:g}" if isinstance(value, (int, float)) else f"  {key}: {value}")


def list_(
    what: Literal["agents", "envs", "measures", "kinds", "groupings"],
    /,
    env: str | None = None,
    json: bool = False,
) -> None:
    """List what there is.

    Args:
        what: agents, envs, measures, kinds or groupings.
        env: With measures: only those that this environment's signals allow.
        json: Print it as JSON.
    """
    entries = _entries(what, env)
    if json:
        _print_json(entries)
        return
    wide = max(len(name) for name in entries)
    for name, text in entries.items():
        _say(f"{name:<{wide}}  {text}")


def _entries(what: str, env: str | None) -> dict[str, str]:
    if what == "agents":
        from agents import zoo
        from agents.recipes import RECIPES

        there = set(zoo.names())
        return {
            name: ("in the zoo" if name in there else "recipe only; train it first")
            + (f", {RECIPES[name].env_id}" if name in RECIPES else "")
            for name in sorted(there | set(RECIPES))
        }
    if what == "envs":
        import gymnasium

        import envs  # noqa: F401  # registers ours

        native = {
            spec.id: "native batch" + (", ours" if spec.namespace == "rl_ablation" else "")
            for spec in gymnasium.registry.values()
            if str(spec.vector_entry_point).startswith("envs.")
        }
        return {("envs:" + k if "/" in k else k): v for k, v in sorted(native.items())}
    if what == "kinds":
        from rl_ablation.lesion import KINDS

        return {name: kind.doc for name, kind in KINDS.items()}
    if what == "groupings":
        from rl_ablation.groupings import GROUPINGS, RANDOM

        docs = {name: grouping.doc for name, grouping in GROUPINGS.items()}
        return {**docs, RANDOM: "random:100, random cuts of the sizes of the other groups"}
    from rl_ablation.measures import MEASURES, applicable

    chosen = list(MEASURES.values())
    if env is not None:
        from rl_ablation.rollout import world_signals
        from rl_ablation.world import World

        chosen = applicable(world_signals(World(env, 1)))
    arrow = {1: "more is better", -1: "less is better", 0: ""}
    return {
        m.name: ", ".join(
            filter(None, [m.doc.rstrip("."), m.unit and f"[{m.unit}]", arrow[m.better]])
        )
        for m in chosen
    }


def doctor(json: bool = False) -> None:
    """Check this machine for everything that can be missing; exits with 1 if something needed is.

    Args:
        json: Print it as JSON.
    """
    from experiments.doctor import checks

    found = checks()
    if json:
        _print_json([asdict(c) for c in found])
    else:
        for c in found:
            mark = "ok     " if c.ok else ("MISSING" if c.needed else "lacking")
            _say(f"{mark} {c.name:<18} {c.found}" + ("" if c.ok else f"\n        → {c.mend}"))
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

    _tell(run_demo(out, seed, steps, films).folder, False)


COMMANDS: dict[str, Callable[..., None]] = {
    "train": train,
    "map": map_,
    "video": video,
    "report": report,
    "show": show,
    "list": list_,
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
