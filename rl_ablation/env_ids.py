"""Environment ids: which of them a file may name, and which need the user's word.

To make ``"module:Name"`` Gymnasium imports the module, that is, runs it. A card or a spec from
somewhere else must not decide that. So an id that was read from a file counts only if Gymnasium or
this lab has registered it; any other has to be named by the user first. Likewise the arguments that
a file gives an environment are only those of `rl_ablation.env_kwargs`, or the user's own.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Annotated, Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from pydantic import AfterValidator, ValidationInfo

from rl_ablation import env_kwargs as arguments
from rl_ablation.errors import LabError
from rl_ablation.files import one_line

TIME_FEATURE_ID = "rl_ablation/TimeFeature-v0"
_OURS = ("rl_ablation", "envs", "agents", "experiments")

# Ids, and arguments as JSON.
_from_files: set[str] = set()
_named: set[str] = set()  # by the user, or made before any file named them

gym.register(TIME_FEATURE_ID, entry_point="rl_ablation.policies.sb3.time_feature:make")


def trust(env_id: str, env_kwargs: Mapping[str, Any] | None = None) -> None:
    """Take an id and arguments as the user's word, whatever file names them too."""
    _named.update(_parts(env_id), _parts(env_kwargs or {}))


def _read(value: Any, info: ValidationInfo) -> Any:
    """Remember the ids and arguments of a field that was read from a file."""
    if info.mode == "json":
        _from_files.update(_parts(value))
    return value


def _parts(value: Any) -> set[str]:
    """All strings in a value, and all dicts in it as JSON."""
    found, parts = [value], set()
    for part in found:  # grows on the way
        if isinstance(part, Mapping):
            parts.add(_text(part))
            found += part.values()
        elif isinstance(part, list | tuple):
            found += part
        elif isinstance(part, str):
            parts.add(part)
    return parts


def _text(env_kwargs: Mapping[str, Any]) -> str:
    return json.dumps(env_kwargs, sort_keys=True, default=repr)


EnvId = Annotated[str, AfterValidator(_read)]
EnvKwargs = Annotated[dict[str, Any], AfterValidator(_read)]  # ids of wrapped environments, too
"""Fields of what is stored as JSON."""


def find_spec(env_id: str, env_kwargs: Mapping[str, Any] | None = None) -> EnvSpec:
    """Look an id up in Gymnasium's registry, importing its module if it names one.

    Make the environment of what this returns, with these arguments: Gymnasium itself imports
    without a question.

    Raises:
        LabError: The id is unknown, or a file's and needs the user's word, or its arguments are.
    """
    env_kwargs = env_kwargs or {}
    module, _, name = env_id.rpartition(":")
    asked = env_id not in _from_files or env_id in _named
    shown = env_id if env_id.isprintable() else repr(env_id)
    refusal = LabError(
        f"a file names the environment {env_id!r}, neither Gymnasium's nor this lab's; "
        f"if its code may run, give your word: --env {shown}, or env={env_id!r}"
    )
    if module and not asked and module.partition(".")[0] not in _OURS:
        raise refusal
    try:
        if module:
            importlib.import_module(module)
        spec = gym.spec(name)
    except (gym.error.Error, ImportError, ValueError) as error:
        raise LabError(f"unknown environment {env_id!r}: {one_line(error)}") from None
    known = all(map(_known, (spec.entry_point, spec.vector_entry_point)))
    if not asked and not known:
        raise refusal
    text, rest = _text(env_kwargs), dict(env_kwargs)
    if name == TIME_FEATURE_ID:
        inner, inside = rest.pop("inner_id", None), rest.pop("inner_kwargs", None)
        if not isinstance(inner, str) or not isinstance(inside, Mapping | None):
            raise LabError(f"{env_id}: inner_id has to be an environment's id, inner_kwargs a dict")
        find_spec(inner, inside)
    if text in _from_files and text not in _named:
        arguments.check(rest, known)
    _named.update((env_id, text))  # not what is in them, which nobody may have named
    return spec


def _known(entry_point: Any) -> bool:
    """Whether an environment is made by Gymnasium or by us."""
    if entry_point is None:
        return True
    module = entry_point if isinstance(entry_point, str) else entry_point.__module__
    return module.partition(":")[0].partition(".")[0] in ("gymnasium", *_OURS)
