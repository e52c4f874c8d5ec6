"""Commands that train: train, demo."""

from __future__ import annotations

from pathlib import Path

from experiments.cli.mapping import tell_run
from experiments.cli.options import AgentArg
from experiments.cli.output import print_json, say, tell_training


def train(
    agent: AgentArg,
    /,
    seed: int = 0,
    steps: int | None = None,
    out: Path | None = None,
    to_zoo: bool = False,
    device: str = "cpu",
    json: bool = False,
) -> None:
    """Train an agent by its recipe, with a learning curve, TensorBoard and checkpoints.

    The same command run again goes on where it was interrupted; delete the folder to start anew.

    Args:
        agent: Recipe to train by; `rl-ablation list agents` names them.
        seed: Training seed; same seed, same machine, same weights.
        steps: Environment steps in all; by default the recipe's.
        out: Folder of the training; by default runs/train-AGENT-seedSEED.
        to_zoo: Also write it into agents/zoo, with its curve and score.
        device: Torch device that learns; the robots stay on the CPU.
        json: Print the result as JSON.
    """
    from agents import zoo
    from agents.recipes import find_recipe
    from agents.train import train_shown
    from rl_ablation.policies.storage import save

    recipe = find_recipe(agent, steps)
    folder = out if out is not None else Path("runs") / f"train-{agent}-seed{seed}"
    tell_training(recipe, folder, seed, device)
    policy = train_shown(recipe, folder, seed=seed, device=device)
    save(policy, folder / "policy")
    told = "" if steps is None else f" --steps {steps}"
    command = f"rl-ablation train {agent} --seed {seed}{told}"
    if to_zoo:
        policy = zoo.publish(policy, folder, zoo.ZOO / agent, f"{command} --to-zoo")
        scores = policy.card.scores
    else:
        scores = {**policy.card.scores, **zoo.score(policy)}
    if json:
        print_json({"policy": folder / "policy", "scores": scores})
        return
    shown = [k for k in scores if k in ("return", "progress", "crash", "fall", "seconds")]
    say(f"policy: {folder / 'policy'}")
    say("score:  " + ", ".join(f"{k} {scores[k]:.4g}" for k in shown))
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
