"""One way to load any policy."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from rl_ablation.errors import LabError
from rl_ablation.policies.exports.load import kind_of, load_export, robot_world
from rl_ablation.policies.policy import Policy
from rl_ablation.policies.sb3.algorithms import load_live, load_zip
from rl_ablation.policies.storage import load_folder

AGENTS = "rl_ablation.agents"
"""Installed packages offer agents by name with entry points of this group, as this lab's zoo does:
each is a function without arguments that gives name → policy folder."""

_LIBRARIES = ("stable_baselines3", "sb3_contrib")


def offered() -> dict[str, Path]:
    """The agents that installed packages offer: name → policy folder."""
    found: dict[str, Path] = {}
    for point in entry_points(group=AGENTS):
        found |= point.load()()
    return found


def located(name: str | Path, agents: Mapping[str, Path] | None = None) -> Path:
    """Where a policy is: at a path that holds one, else in the folder of the agent of that name.

    Something else of that name, such as a folder of trainings named ``lap``, does not count, and a
    `Path` is never a name. None takes the agents that are `offered`.

    Raises:
        LabError: There is neither.
    """
    path = Path(name)
    if _holds_policy(path):
        return path
    agents = offered() if agents is None else agents
    if isinstance(name, str) and name in agents:
        return agents[name]
    if os.path.lexists(path):
        return path  # whoever reads it says what it lacks
    if isinstance(name, Path):
        raise LabError(f"no policy at {path}; give a policy folder, or a zip, ONNX or torch file")
    known = ", ".join(sorted(agents)) or "none here"
    raise LabError(
        f"no agent {name!r}: give a policy folder, a zip, ONNX or torch file, or an agent by its "
        f"name, of which there are {known}"
    )


def _holds_policy(path: Path) -> bool:
    """Whether it is a policy folder, if a damaged one, or a zip."""
    if path.is_dir():
        return any(os.path.lexists(path / part) for part in ("card.json", "policy.safetensors"))
    return path.is_file() and zipfile.is_zipfile(path)  # to open a pipe would wait for its writer


def load(
    path: str | Path | Any,
    env: str | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    *,
    vecnormalize: str | Path | bool | None = None,
    env_wrapper: str | None = None,
    activation: str | None = None,
    robot: str | Path | None = None,
) -> Policy:
    """Load a policy: a folder, a file of many kinds, a model in memory, or an agent by its name.

    Nothing in the files is executed. ``load("lap")`` works from any folder; a path of that name
    that holds a policy comes first, anything else of that name does not count.

    Args:
        path: A folder with ``policy.safetensors`` and ``card.json``, a stable-baselines3 or
            sb3-contrib zip, an ONNX file, a TorchScript archive, a checkpoint of rsl_rl or CleanRL
            or any plain ``state_dict``, or the name of an agent that an installed package offers
            (see `AGENTS`), such as those of this lab's zoo. Or an algorithm of
            stable-baselines3 itself, as it is in memory: its policy as it is now, with the
            `VecNormalize` that its environment has.
        env: Gymnasium id to run in, with a module prefix if one must be imported
            (``"envs:HalfCheetah-v5"`` runs on the native batch); None takes the card's.
        env_kwargs: For that environment.
        vecnormalize: For a zip, the ``vecnormalize.pkl`` that it was trained with; None looks for
            it where the SB3 Zoo keeps it, False does without.
        env_wrapper: For a zip, a wrapper that its observations need: ``"time-feature"``.
        activation: For a checkpoint, the activation function between its layers: ``"elu"``, …
        robot: Instead of ``env``, for an ONNX file with mjlab's metadata: the XML of its robot, or
            the name that the robot has in MuJoCo Menagerie, where that package is installed.

    Raises:
        LabError: There is no policy, it is damaged, or of a kind that is not supported.
    """
    if any(c.__module__.split(".")[0] in _LIBRARIES for c in type(path).__mro__):
        if vecnormalize or env_wrapper:
            raise LabError("vecnormalize and env_wrapper are for zips; a model has its own")
        return load_live(path, env, env_kwargs=env_kwargs)
    path = located(path)
    kind = kind_of(path) if path.is_file() else None
    if robot is not None:
        if env is not None or env_kwargs is not None:
            raise LabError("give a robot or an environment, not both")
        env, env_kwargs = robot_world(path, kind, robot)
    if kind is not None:
        if vecnormalize or env_wrapper:
            raise LabError(f"{path}: vecnormalize and env_wrapper are for zips, not for {kind}")
        return load_export(path, kind, env, env_kwargs=env_kwargs, activation=activation)
    if activation is not None:
        raise LabError(f"{path}: activation is for checkpoints; this policy says its own")
    if not path.is_dir():
        return load_zip(
            path, env, env_kwargs=env_kwargs, vecnormalize=vecnormalize, env_wrapper=env_wrapper
        )
    if vecnormalize or env_wrapper:
        raise LabError(f"{path} is a policy folder: vecnormalize and env_wrapper are for zips")
    policy = load_folder(path)
    if env is not None:
        return policy.with_env(env, env_kwargs)
    if env_kwargs is not None:  # the environment stays the card's, and no more to be trusted
        return policy.with_card(policy.card.model_copy(update={"env_kwargs": dict(env_kwargs)}))
    return policy
