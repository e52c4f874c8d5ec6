"""The whole way through, on a robot that is trained from scratch."""

from __future__ import annotations

from pathlib import Path

from agents.recipes import find_recipe
from agents.train import train_shown
from experiments.cli.output import tell_training
from rl_ablation.mapping.design import Execution, MapDesign
from rl_ablation.mapping.map import Map
from rl_ablation.policies.load import load
from rl_ablation.policies.storage import save
from rl_ablation.progress import console
from rl_ablation.reports.pipeline import make_map
from rl_ablation.rollouts.episodes import Episodes

GROUPS = "layers,clusters:4"
CONTROLS = 40  # the fewest random cuts beyond which a region can stand out at 5 %


def run_demo(folder: Path, seed: int = 1, steps: int | None = None, films: int = 2) -> Map:
    """Train, cut, map, film, report; goes on where an earlier call with this folder stopped.

    The folder receives ``training/``, ``agent/`` and ``map/``. Without steps they are the recipe's.
    """
    recipe = find_recipe("lap", steps)
    agent = load(folder / "agent") if (folder / "agent" / "card.json").exists() else None
    steps_made = None if agent is None else agent.card.steps
    short = steps_made is None or steps_made < recipe.steps
    if agent is None or agent.card.seed != seed or short:
        console.print("training a lap robot from scratch")
        tell_training(recipe, folder / "training", seed)
        agent = train_shown(recipe, folder / "training", seed=seed)
        save(agent, folder / "agent")
    console.print("cutting the network, and rolling out every cut")
    design, execution = MapDesign(controls=CONTROLS), Execution(folder / "map")
    command = f"rl-ablation demo --seed {seed}" + ("" if steps is None else f" --steps {steps}")
    return make_map(
        agent,
        GROUPS,
        Episodes(seed=seed),
        design,
        execution,
        films=films,
        command=command,
    )
