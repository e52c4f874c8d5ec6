"""``python -m experiments.bench``: all figures, into ``runs/bench.json``.

See `speed`, `scale` and `live`.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import torch
import tyro

from experiments.bench import live, scale, speed
from rl_ablation.files import write_atomically

FOLDER = Path("runs")


def main(quick: bool = False) -> None:
    """Measure speed and scale, print the figures, and keep them with those of other commits.

    Args:
        quick: Only see that everything runs; its figures mean nothing and are not kept.
    """
    torch.set_num_threads(os.cpu_count() or 1)
    figures = speed.bench(quick) | scale.bench(quick) | live.bench(quick)
    width = max(map(len, figures))
    for name, value in figures.items():
        digits = 3 if "_over_" in name or "efficiency" in name else 1
        print(f"{name:<{width}}  {value:>12,.{digits}f}")
    if quick:
        return
    FOLDER.mkdir(exist_ok=True)
    write_atomically(FOLDER / "bench.json", json.dumps(figures, indent=2) + "\n")
    line = {"commit": commit(), "time": time.strftime("%Y-%m-%d %H:%M"), **figures}
    with (FOLDER / "bench-history.jsonl").open("a") as history:
        history.write(json.dumps(line) + "\n")
    print(f"written to {FOLDER / 'bench.json'}, and a line to {FOLDER / 'bench-history.jsonl'}")


def commit() -> str:
    """The commit that is measured, with a + where files have changed since; "" without git."""
    how = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(how, capture_output=True, text=True, check=False)
    return done.stdout.strip()


if __name__ == "__main__":
    tyro.cli(main)
