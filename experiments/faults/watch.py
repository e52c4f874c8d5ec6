"""What the interpreter does while a file is read: nothing may be run, and nothing written."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

WATCHED = (
    "os.exec", "os.fork", "os.mkdir", "os.posix_spawn", "os.remove", "os.rename", "os.system",
    "pickle.find_class", "pty.spawn", "shutil.rmtree", "socket.connect", "subprocess.Popen",
)  # fmt: skip
"""Audit events that reading a file gives no reason for."""

_seen: list[str] | None = None


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    opens = event == "open" and args[0] != os.devnull and not isinstance(args[0], int)
    if event in WATCHED or (opens and int(args[2] or 0) & os.O_ACCMODE):
        _seen.append(f"{event} {str(args)[:80]}")


@cache
def _listen() -> None:
    """Once: such a hook stays until the end of the process."""
    sys.addaudithook(_hook)


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Gives what is run or written meanwhile, as it happens."""
    global _seen
    _listen()
    found: list[str] = []
    _seen = found
    try:
        yield found
    finally:
        _seen = None
