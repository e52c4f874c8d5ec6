"""Kills: processes that map and train are killed at any moment, and the same command goes on.

A kill has *held* if the files that it all comes to have the bytes of those that nothing broke off.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from functools import cache
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path

import numpy as np

from experiments.faults.corruptions import quiet, unlike
from experiments.faults.small import MAKE
from experiments.faults.tally import Tally

_PATIENCE = 600.0  # s that a small map or training may take at most, on a busy machine
_TIMES = 3  # that one map or training is killed, before it may come to its end


def kills(seed: int, count: int) -> Tally:
    """Kill small maps and trainings at moments by chance, go on with each, and compare the bytes.

    Each is killed up to three times, in a process of its own, before it may come to its end. That
    counts as one; maps and trainings take turns.
    """
    failures, deaths = [], 0
    with tempfile.TemporaryDirectory() as folder, quiet():
        place, lasts = Path(folder), dict[str, float]()
        for what, make in MAKE.items():
            began = time.monotonic()
            make(place / what)
            lasts[what] = time.monotonic() - began
        for k in range(count):
            draw = np.random.default_rng([seed, k])
            what, target = list(MAKE)[k % len(MAKE)], place / f"killed-{k}"
            dead = 0
            try:
                for _ in range(_TIMES):
                    dead += _killed(what, target, lasts[what] * draw.random())
                MAKE[what](target)
                wrong = _other_bytes(what, target, place / what)
            except Exception as error:  # a traceback is what must not be
                wrong = f"{type(error).__name__}: {error}"
            deaths += dead
            if wrong:
                failures.append(f"{k}: {what} killed {dead} times: {wrong}")
            shutil.rmtree(target, ignore_errors=True)
    return Tally("kills", count, tuple(failures), f"maps and trainings, {deaths} SIGKILLs in all")


def _killed(what: str, target: Path, after: float) -> bool:
    """Begin or go on in a process, and kill it after so many seconds; whether it was."""
    process = _context().Process(target=MAKE[what], args=(target,))
    process.start()
    process.join(after)
    process.kill()
    process.join(_PATIENCE)
    if process.exitcode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"it ended with {process.exitcode}")
    return process.exitcode != 0


@cache
def _context() -> ForkServerContext:
    """A process that has everything imported, and no threads: others fork from it at once."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["experiments.faults.small"])
    return context


def _other_bytes(what: str, target: Path, original: Path) -> str:
    if what == "map":
        return unlike(target, original)
    for name in ("curve.csv", "policy/policy.safetensors"):
        if (target / name).read_bytes() != (original / name).read_bytes():
            return f"{name} has other bytes"
    return ""
