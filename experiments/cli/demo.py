"""The whole way through, on a robot that is trained from scratch."""

from __future__ import annotations

from pathlib import Path

from agents.recipes import Recipe, find_recipe
from agents.train import train_shown
from rl_ablation.mapping.design import Execution, MapDesign
from rl_ablation.mapping.map import Map
from rl_ablation.policies.load import load
from rl_ablation.policies.policy import Policy
from rl_ablation.policies.storage import save
from rl_ablation.progress import console
from rl_ablation.reports.pipeline import make_map
from rl_ablation.rollouts.episodes import Episodes

GROUPS = "layers,clusters:4"
CONTROLS = 40  # the fewest random cuts beyond which a region can stand out at 5 %


def run_demo(folder: Path, seed: int = 1, steps: int | None = None, films: int = 2) -> Map:
    """Train, cut, map, film, report; goes on where an earlier call with this folder stopped.

    Args:
        folder: Receives ``training/``, ``agent/`` and ``map/``.
        seed: Of training and map.
        steps: Training steps; None takes the recipe's.
        films: How many regions to film.
    """
    recipe = find_recipe("lap", steps)
    agent = _trained(folder, seed, recipe.steps) or _train(folder, seed, recipe)
    console.print("cutting the network, and rolling out every cut")
    return make_map(
        agent,
        GROUPS,
        Episodes(seed=seed),
        MapDesign(controls=CONTROLS),
        Execution(folder / "map"),
        films=films,
        command=f"rl-ablation demo --seed {seed}" + (f" --steps {steps}" if steps else ""),
    )


def _trained(folder: Path, seed: int, steps: int) -> Policy | None:
    """The agent of an earlier call, if it is the one asked for."""
    if not (folder / "agent" / "card.json").exists():
        return None
    agent = load(folder / "agent")
    asked = agent.card.seed == seed and (agent.card.steps or 0) >= steps
    return agent if asked else None


def _train(folder: Path, seed: int, recipe: Recipe) -> Policy:
    console.print("training a lap robot from scratch")
    agent = train_shown(recipe, folder / "training", seed=seed, resume=True)
    save(agent, folder / "agent")
    return agent
