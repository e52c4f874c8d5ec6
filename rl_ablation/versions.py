"""What numbers depend on besides a run's files: versions of packages, and this lab's source."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import platform
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

PACKAGES = (
    "rl-ablation", "mujoco", "gymnasium", "torch", "numpy", "scipy", "scikit-learn", "pandas",
)  # fmt: skip
"""Packages that change numbers."""

ROOMS = ("rl_ablation", "envs", "agents", "experiments")
_ROOT = Path(__file__).parents[1]
_MAKING = ("envs", "rl_ablation", "agents")  # rooms whose source makes numbers …
_TELLING = ("analysis", "reports")  # … but for these, which tell of them
_TOLD = ("python", "source")  # these hardly change a number: a line tells of them, no more


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Package → version, of Python too; ``source`` is a digest of this lab's that makes numbers."""
    packages = {p: importlib.metadata.version(p) for p in PACKAGES}
    making = source(_MAKING, _TELLING)
    return {"python": platform.python_version(), **packages, "source": making}


@lru_cache(maxsize=4)
def source(rooms: tuple[str, ...], without: tuple[str, ...] = ()) -> str:
    """A digest, in short, of the source in some rooms of this lab, without some inside them."""
    found = hashlib.sha256()
    for room in rooms:
        for path in sorted((_ROOT / room).rglob("*.py")):
            name = path.relative_to(_ROOT)
            if name.parts[1] not in without:
                found.update(name.as_posix().encode() + path.read_bytes())
    return found.hexdigest()[:8]


def as_text(found: Mapping[str, str]) -> str:
    """A line for each: ``mujoco 4.0.0``."""
    return "".join(f"{name} {version}\n" for name, version in found.items())


def of_text(text: str) -> dict[str, str]:
    """What `as_text` wrote."""
    return {n: v for n, _, v in (line.partition(" ") for line in text.splitlines()) if v}


def changed(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """What changes numbers and is another now than then, in words; "" if nothing is."""
    return _differing(then, now, [n for n in then if n not in _TOLD])


def told(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """All that is another now than then, in words; "" if nothing is."""
    return _differing(then, now, list(then))


def _differing(then: Mapping[str, str], now: Mapping[str, str], names: list[str]) -> str:
    return ", ".join(
        f"{name} {then[name]} (here {now.get(name, 'none')})"
        for name in names
        if then[name] != now.get(name)
    )


def of_code(functions: Iterable[Callable[..., Any]]) -> str:
    """A digest, in short, of those functions that are not this lab's; "" if all are."""
    own = [f for f in functions if f.__module__.partition(".")[0] not in ROOMS]
    return hashlib.sha256("\n".join(map(_code, own)).encode()).hexdigest()[:8] if own else ""


def _code(function: Callable[..., Any]) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):  # typed at a prompt, or no plain function
        return _compiled(getattr(function, "__code__", None))


def _compiled(code: Any) -> str:
    """What a code object does, without the addresses that its ``repr`` holds."""
    if not hasattr(code, "co_code"):
        return repr(code)
    return f"{code.co_code.hex()} {code.co_names} {[_compiled(c) for c in code.co_consts]}"
