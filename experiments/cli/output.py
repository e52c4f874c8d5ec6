"""What the commands share: printing."""

from __future__ import annotations

import json
from typing import Any


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


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
