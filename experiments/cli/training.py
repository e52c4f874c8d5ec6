"""Commands that train: train, demo."""

from __future__ import annotations

from pathlib import Path

from experiments.cli.mapping import tell_run
from experiments.cli.options import AgentArg
from experiments.cli.output import print_json, say


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
    from rl_ablation.policies.storage import save
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
    from experiments.cli.demo import run_demo

    tell_run(run_demo(out, seed, steps, films).folder, False)
