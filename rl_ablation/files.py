"""Files that are never half written, files that are read with care, digests, errors in one line."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load

from rl_ablation.errors import LabError

MIB = 1 << 20
MAX_TEXT = 8 * MIB
"""Of a file of text, such as a card; the zoo's have 3 KiB."""
MAX_WEIGHTS = 256_000_000
"""Bytes of all weights of a policy together."""
MAX_TENSORS = MAX_WEIGHTS + MIB
"""Of a file of tensors, which has a header before them."""


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader, or a kill, sees the old one or the whole new one."""
    if path.is_dir():
        raise LabError(f"{path} is a folder; give the name of a file")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(temporary, path)


def read_file(path: str | Path, limit: int) -> bytes:
    """Read a regular file of at most ``limit`` bytes; nothing else is opened, so nothing waits.

    A link to a file is an ordinary thing; what it leads to is what counts.

    Raises:
        LabError: It is missing, a folder, a pipe or device, unreadable, or too large.
    """
    path, shown = Path(path), shortened(str(path), 300)
    try:
        _check(path.stat(), limit)  # first: to open a device can do something
        # Without waiting for a writer, in case a pipe has come in its place.
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            _check(os.fstat(file.fileno()), limit)
            return file.read(limit)
    except LabError as error:
        raise LabError(f"{shown}: {error}") from None
    except (FileNotFoundError, NotADirectoryError):
        broken = " (a link to nothing)" if path.is_symlink() else ""
        raise LabError(f"{shown}: no such file{broken}") from None
    except OSError as error:
        raise LabError(f"{shown}: cannot be read ({os.strerror(error.errno or 0)})") from None
    except ValueError as error:
        raise LabError(f"{shown}: no file can have this name ({error})") from None


def _check(info: os.stat_result, limit: int) -> None:
    if stat.S_ISDIR(info.st_mode):
        raise LabError("a folder, not a file; give the file in it")
    if not stat.S_ISREG(info.st_mode):
        raise LabError("not a regular file (a pipe or a device)")
    if info.st_size > limit:
        has = f"{info.st_size / MIB:,.0f} MiB"
        raise LabError(f"{has}, more than the {limit / MIB:,.0f} allowed")


def load_arrays(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, by name; a LabError if it is damaged."""
    if int.from_bytes(content[:8], "little") > MIB:  # real ones have some hundred bytes
        raise LabError("a header of more than 1 MiB")
    try:
        return load(content)
    except (SafetensorError, ValueError, OverflowError, MemoryError) as error:
        raise LabError(one_line(error)) from None
    except KeyError as error:
        raise LabError(f"a number type that NumPy lacks, {error}") from None


def one_line(error: BaseException) -> str:
    """Squeeze an exception's message into one line of at most 200 characters."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        message = first["msg"].removeprefix("Value error, ")
        text = f"{shortened(where, 80)}: {message}"
    else:
        text = " ".join(str(error).split()) or type(error).__name__
    return shortened(text, 200)


def shortened(text: str, length: int) -> str:
    """At most ``length`` characters of a text; what is left out is shown as …"""
    return text if len(text) <= length else text[: length - 1] + "…"


def digest(value: Any) -> str:
    """Sha256 of a JSON-able value, in canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
