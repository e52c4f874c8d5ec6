"""A call in a process of its own, with limits on its time and memory, that cannot take us along."""

from __future__ import annotations

import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

RAISED = 99
"""The exit code of a call that raised what nobody caught."""
MEMORY = 12 << 30  # bytes of addresses; libraries reserve some GB of them
PATIENCE = 20.0
"""So many times its seconds of processor time a call may take by the clock, on a busy machine."""


@dataclass(frozen=True)
class Outcome:
    """What became of a call: its exit code, all that it printed, and why it was ended, if so."""

    code: int
    told: str
    ended: str = ""

    @property
    def last(self) -> str:
        """The last line that it printed."""
        lines = self.told.strip().splitlines()
        return lines[-1] if lines else ""


def in_fork(call: Callable[[], int | None], seconds: float = 60.0) -> Outcome:
    """Make a call in a fork of this process, which should have started no threads yet.

    It is ended after so many seconds of processor time, or far more by the clock.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as told:
        if (pid := os.fork()) == 0:
            _run(call, told, seconds)
        until = time.monotonic() + PATIENCE * seconds
        while (done := os.waitpid(pid, os.WNOHANG))[0] == 0:
            if time.monotonic() > until:
                os.killpg(pid, signal.SIGKILL)
                done = os.waitpid(pid, 0)
                break
            time.sleep(0.005)
        told.seek(0)
        text, code = told.read().decode(errors="replace"), os.waitstatus_to_exitcode(done[1])
    if code >= 0:
        return Outcome(code, text)
    late = -code in (signal.SIGXCPU, signal.SIGKILL)
    ended = f"took more than {seconds:g} s" if late else f"ended by {signal.Signals(-code).name}"
    return Outcome(code, text, ended)


def _run(call: Callable[[], int | None], told: BinaryIO, seconds: float) -> NoReturn:
    code: int | None = RAISED
    try:
        os.setsid()
        os.dup2(told.fileno(), 1)
        os.dup2(told.fileno(), 2)
        limit = int(seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        code = call()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
