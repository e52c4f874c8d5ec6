"""Reading arguments: how numbers are written, and wrong usage told in at most four lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import groupby
from types import NoneType
from typing import Any, get_args

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from rl_ablation.formats import decimal, whole

NUMBERS = ConstructorRegistry()
"""Reads numbers as the rest of the lab does, such as in ``clusters:6``."""

_WIDE = 200  # characters of a line
_SUGGESTED = 3


@NUMBERS.primitive_rule
def _number(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    kinds = [kind for kind in get_args(info.type) or (info.type,) if kind is not NoneType]
    readers: dict[Any, Callable[[str], float]] = {int: whole, float: decimal}
    if len(kinds) != 1 or (read := readers.get(kinds[0])) is None:
        return None
    none = kinds[0] is not info.type  # it may be left open
    allowed = (int, kinds[0], NoneType) if none else (int, kinds[0])
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="{None}|" * none + kinds[0].__name__.upper(),
        instance_from_str=lambda words: None if none and words[0] == "None" else read(words[0]),
        is_instance=lambda value: isinstance(value, allowed),
        str_from_instance=lambda value: [str(value)],
    )


def usage_error(box: str, help_: str) -> str:
    """The parser's box in a few lines: what is wrong, what may have been meant, and the help."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    lines = [line.removeprefix("│").removesuffix("│").rstrip() for line in plain.splitlines()[1:-1]]
    parts = [list(part) for rule, part in groupby(lines, _is_rule) if not rule]
    told = [_joined(parts[0] if parts else [plain]), *(_more(part, help_) for part in parts[1:])]
    more = list(filter(None, told[1:]))[:2]
    return "\n".join([f"rl-ablation: {told[0]}", *more, f"see {help_}"])


def _is_rule(line: str) -> bool:
    return set(line.strip()) == {"─"}


def _more(part: list[str], help_: str) -> str:
    """What a further part of the box adds: options like those that were given, or commands."""
    text = _joined(part)
    if text.startswith(("perhaps you meant", "arguments similar")):
        # Each option is followed by the commands that have it.
        _, *found = re.split(r"^ {5}(?=--?\w)", "\n".join(part), flags=re.MULTILINE)
        options = [option.split()[0] for option in found if f"in {help_}" in option]
        meant = ", ".join(list(dict.fromkeys(options))[:_SUGGESTED])
        return meant and f"perhaps you meant {meant}"
    return text if text.startswith("available") else ""


def _joined(lines: list[str]) -> str:
    """Lines as one, up to the first empty one, which cannot hide anything from who reads it."""
    first = next((k for k, line in enumerate(lines) if not line.strip()), len(lines))
    text = " ".join(" ".join(lines[:first]).split())
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    text = text[:1].lower() + text[1:]
    return text if len(text) <= _WIDE else text[: _WIDE - 1] + "…"
