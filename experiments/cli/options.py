"""Options of commands, made from the values that they fill: their fields, defaults and docs."""

from __future__ import annotations

import typing
from collections.abc import Collection
from dataclasses import MISSING, dataclass, fields
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any

import docstring_parser
import tyro

from rl_ablation.errors import LabError
from rl_ablation.groupings.registry import usages
from rl_ablation.lesions.methods import KINDS

AgentArg = Annotated[str, tyro.conf.arg(metavar="AGENT")]
RunArg = Annotated[Path, tyro.conf.arg(metavar="RUN")]
NAMES = {"count": "episodes", "horizon": "max_steps", "folder": "out", "kinds": "kind"}
"""Fields whose option has another name."""
_COMMAS = " Several with commas."
ADDED = dict.fromkeys(("conditions", "measures"), _COMMAS)
ADDED["kinds"] = f" Kinds: {', '.join(KINDS)}.{_COMMAS}"
ADDED["groups"] = " " + "; ".join(
    text if text.startswith(f"{name}:") else f"{name}, {text}" for name, text in usages().items()
)
"""What the help of an option says besides the field's documentation."""


class BadOption(Exception):
    """What a value refused; as an error of ours it would become a usage error of the parser."""


def options(value: type, leave: Collection[str] = ()) -> Any:
    """Options for the fields of a frozen value, to annotate an argument of that type with.

    The value is a dataclass whose docstring documents its fields; those left out get no option and
    keep their default. A field that holds several words takes them in one text with commas.
    """
    docs = {p.arg_name: p.description or "" for p in docstring_parser.parse(value.__doc__).params}
    hints = typing.get_type_hints(value)
    chosen = {NAMES.get(f.name, f.name): f for f in fields(value) if f.name not in leave}
    parameters = []
    several = {f.name for f in chosen.values() if _several(hints[f.name])}
    for name, field in chosen.items():
        kind = (str | None) if field.name in several else hints[field.name]
        text = " ".join(docs[field.name].split()) + ADDED.get(field.name, "")
        assert field.default is not MISSING
        about = Annotated[kind, tyro.conf.arg(help=text)]  # type: ignore[valid-type]
        only = Parameter.KEYWORD_ONLY
        parameters.append(Parameter(name, only, default=field.default, annotation=about))

    def make(**given: Any) -> Any:
        filled = {chosen[name].name: entry for name, entry in given.items()}
        filled |= {name: split(filled[name]) for name in several & filled.keys()}
        try:
            return value(**filled)
        except LabError as error:
            raise BadOption(error) from None

    make.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    make.__annotations__ = {p.name: p.annotation for p in parameters}
    make.__doc__ = docstring_parser.parse(value.__doc__).short_description
    make.__name__ = value.__name__
    return tyro.conf.arg(constructor=make)


def _several(hint: Any) -> bool:
    return any(typing.get_origin(part) is tuple for part in (hint, *typing.get_args(hint)))


def split(text: str | None) -> list[str] | None:
    """Words between commas; None stays None."""
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


@dataclass(frozen=True)
class Source:
    """Where a policy comes from, if its file does not say all.

    Attributes:
        env: Gymnasium id to run in; by default the one on the policy's card. A zip needs it.
        vecnormalize: The vecnormalize.pkl of a zip, by default looked for beside it.
        env_wrapper: What a zip's observations were wrapped in: time-feature.
        activation: The activation function of a checkpoint, such as elu; other files say theirs.
        robot: Instead of env, for an ONNX file that tells of its joints, as mjlab's do: the XML of
            its robot, or the robot's name in MuJoCo Menagerie, if that package is installed.
    """

    env: str | None = None
    vecnormalize: Path | None = None
    env_wrapper: str | None = None
    activation: str | None = None
    robot: str | None = None


@dataclass(frozen=True)
class Cuts:
    """What is cut, and what is measured.

    Attributes:
        groups: What to cut, with commas.
        measures: Behaviours to measure; by default all that apply.
    """

    groups: str = "layers,clusters:6"
    measures: tuple[str, ...] | None = None
