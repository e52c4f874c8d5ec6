"""What the commands share: printing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl_ablation.errors import escaped

if TYPE_CHECKING:
    from agents.recipes import Recipe


def say(*lines: str) -> None:
    """Print lines at once; control characters of names and files in them are escaped."""
    print(*map(escaped, lines), sep="\n", flush=True)


def print_json(value: Any) -> None:
    """Print a value as JSON; what JSON lacks becomes text."""
    print(json.dumps(value, indent=2, default=str))


def tell_entries(entries: dict[str, str], as_json: bool) -> None:
    """Print names with their lines, or all as JSON."""
    if as_json:
        print_json(entries)
        return
    wide = max(len(name) for name in entries)
    for name, text in entries.items():
        say(f"{name:<{wide}}  {text}")


def tell_training(recipe: Recipe, folder: Path, seed: int, device: str = "cpu") -> None:
    """Say what a training comes to, where it is none to go on with."""
    from agents.train import foretold
    from rl_ablation.formats import duration
    from rl_ablation.progress import console

    if not folder.exists():
        about = duration(foretold(recipe, seed, device))
        console.print(f"{recipe.name}: {recipe.steps:,} steps of training, about {about}")
