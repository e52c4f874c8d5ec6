"""Files that are never half written, digests, and errors in one line."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rl_ablation.errors import LabError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader, or a kill, sees the old one or the whole new one."""
    if path.is_dir():
        raise LabError(f"{path} is a folder; give the name of a file")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(temporary, path)


def one_line(error: BaseException) -> str:
    """Squeeze an exception's message into one line of at most 200 characters."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        return f"{where}: {first['msg'].removeprefix('Value error, ')}"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "…"


def digest(value: Any) -> str:
    """Sha256 of a JSON-able value, in canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
