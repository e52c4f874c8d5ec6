"""What can be asked for at most: said before any memory is taken or any time is spent."""

from __future__ import annotations

import os

from rl_ablation.errors import LabError

EPISODES = 10_000
"""Of a lesion: to resample so many takes 2 GB; `plan` never asks for more."""
LESIONS = 50_000
"""Of a run; the zoo's networks have some hundred units."""
STEPS = 1_000_000
"""Control steps of an episode. What the robots of a trace take together is limited too: see
`rl_ablation.rollouts.rollout`."""
SEED = 2**63 - 1
EFFECT = 1000
"""Standard deviations of a change to be found."""
ROWS = 65_536
"""Robots at once."""
DRAWS = 10_000
"""Random cuts of a size: the smallest p is then 0.0002."""
THREADS = 1024
FILMS = 1000
TRAINING = 10**12
"""Steps of a training: a year at 30,000 in a second."""
STRENGTH = 1e6
"""Of the cuts of a map: beyond it a network's 32-bit numbers soon overflow."""


def check_memory(what: str, need: float, mend: str) -> None:
    """Raise LabError where something needs more bytes at once than there are."""
    if need > (have := memory()):
        told = f"{need / 2**30:,.3g} GiB of memory, and there are {have / 2**30:,.3g}"
        raise LabError(f"{what} need about {told}; ask for {mend}")


def memory() -> float:
    """Bytes of memory that this process may have; infinite where the machine does not say."""
    try:
        import resource  # not on every system

        allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return float(there if allowed == resource.RLIM_INFINITY else min(there, allowed))
    except (ImportError, AttributeError, ValueError, OSError):
        return float("inf")


def check_range(what: str, value: int, least: int, most: int) -> None:
    """Raise LabError unless a whole number lies within its limits, both included."""
    if value < least:
        raise LabError(f"{what} must be at least {least}, got {_shown(value)}")
    if value > most:
        raise LabError(f"{what} must be at most {most:,}, got {_shown(value)}")


def _shown(value: int) -> str:
    return f"{value:,}" if abs(value) < 10**30 else "a number of more than 30 digits"
