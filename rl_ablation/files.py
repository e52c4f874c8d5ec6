"""Files: never half written, read with care, names they may have, digests, errors in one line."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from rl_ablation.errors import LabError

log = logging.getLogger(__name__)

MIB = 1 << 20
MAX_CARD = MIB
"""Of a card; the zoo's have 3 KiB."""
MAX_WEIGHTS = 256_000_000
"""Bytes of all weights of a policy together."""
MAX_TENSORS = MAX_WEIGHTS + MIB
"""Of a file of tensors, which has a header before them."""

LOCK = ".lock"
"""A file in a folder that is being filled; it stays there, but is locked no more."""
TEMPORARY = re.compile(r"\..+\.(\d+)(\.mp4)?")  # with the ending: films of earlier versions
_LONGEST = 100  # bytes of a file name made of a given one
_CONTENT = "content"


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader, or a kill, sees the old one or the whole new one."""
    if path.is_dir():
        raise LabError(f"{path} is a folder; give the name of a file")
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside a file, which takes its place if all goes well.

    An error of the file system, such as a full disk, names the file and leaves nothing behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with naming(path, temporary):
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Have an error of the file system name a file, where it names none or a temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


def sweep_temporaries(folder: Path) -> None:
    """Delete what processes that were killed have left in a folder: see `replacing`."""
    for path in folder.rglob(".*"):
        found = TEMPORARY.fullmatch(path.name)
        if found and path.is_file() and not path.is_symlink() and not _runs(int(found[1])):
            path.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    """Whether another process of this number is there."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return pid > 0


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Have a folder, which is there, to oneself; waits for a process that has it, and says so.

    A process that is killed leaves no lock. Inside, the same process may lock it again.
    """
    lock = FileLock(folder / LOCK, is_singleton=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning("another process is at work in %s; waiting until it is done", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def check_target(path: Path, ending: str, own: Callable[[Path], bool]) -> None:
    """See that a file that a person named to be written is new, or one of ours to be replaced.

    Raises:
        LabError: It has another ending, or something else is there.
    """
    if path.suffix != ending:
        raise LabError(f"{path}: this will be a {ending} file; let its name end so")
    if path.is_symlink() or (path.exists() and not (path.is_file() and own(path))):
        raise LabError(f"{path} is there and not one of ours; choose another name, or delete it")


def file_name(text: str) -> str:
    """A name for a file or folder after a given one, which may say anything.

    Slashes become dashes. What else cannot stand there does too, and then a digest of the given
    name follows, so that no two of these are one.
    """
    plain = text.replace("/", "-")
    safe = re.sub(r"[^\w .~+=@,()-]", "-", plain).strip(". ")
    if safe == plain and 0 < len(safe.encode()) <= _LONGEST:
        return safe
    short = safe.encode()[: _LONGEST - 9].decode(errors="ignore").strip(". ")
    return f"{short or 'unnamed'}-{digest(text)[:8]}"


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


def sha256(content: bytes) -> str:
    """Sha256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


def array_digest(values: np.ndarray | None) -> str:
    """Digest of an array's type, shape and values; "" for none."""
    if values is None:
        return ""
    content = np.ascontiguousarray(values)
    found = hashlib.sha256(f"{content.dtype}{content.shape}".encode())
    found.update(content.reshape(-1).view(np.uint8).data)  # where it lies: it may be large
    return found.hexdigest()


def tensor_bytes(arrays: Mapping[str, np.ndarray], about: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file that says what it must hold; see `read_tensors`."""
    meta = dict(about or {})
    # Of an array that is not contiguous, safetensors writes the memory as it lies, without a word.
    whole = {name: np.asarray(values, order="C") for name, values in arrays.items()}
    return save(whole, {**meta, _CONTENT: _content(whole, meta)})


def read_tensors(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and metadata of a safetensors file.

    What `tensor_bytes` made is checked: safetensors itself does not notice a flipped bit.

    Raises:
        LabError: It is damaged.
    """
    arrays = load_arrays(content)
    size = int.from_bytes(content[:8], "little")
    meta = json.loads(content[8 : 8 + size]).get("__metadata__") or {}
    wanted = meta.pop(_CONTENT, None)
    if wanted is not None and wanted != _content(arrays, meta):
        raise LabError("its numbers have changed")
    return arrays, meta


def _content(arrays: Mapping[str, np.ndarray], meta: Mapping[str, str]) -> str:
    return digest([dict(meta), {name: array_digest(values) for name, values in arrays.items()}])
