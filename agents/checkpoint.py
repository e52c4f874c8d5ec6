"""The checkpoint of a training: one file, which says what it must hold, so that damage is known."""

from __future__ import annotations

import importlib.metadata
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize

from rl_ablation.errors import LabError
from rl_ablation.files import (
    MAX_WEIGHTS,
    MIB,
    read_file,
    read_tensors,
    tensor_bytes,
    write_atomically,
)
from rl_ablation.versions import as_text, changed, of_text, versions

MAX_CHECKPOINT = 8 * MAX_WEIGHTS + MIB
"""Bytes: two networks, each with what the optimizer keeps of it, twice its size."""


@dataclass(frozen=True)
class Done:
    """How far a training is.

    Attributes:
        stage: Stages that are done.
        seconds: That they took.
        curve: The learning curve so far, as its file has it.
        made_with: What else its numbers depend on; see `made_with`.
    """

    stage: int = 0
    seconds: float = 0.0
    curve: str = ""
    made_with: Mapping[str, str] = field(default_factory=dict)

    def check(self, path: Path, device: str) -> None:
        """See that what is to come would be made as the beginning was.

        Raises:
            LabError: It would not.
        """
        if differ := changed(self.made_with, made_with(device)):
            raise LabError(
                f"{path} was made with {differ}: go on with what it was made with, "
                "or choose another folder"
            )


def made_with(device: str) -> dict[str, str]:
    """What a training's numbers depend on besides its recipe and seed: name → version."""
    name = "stable-baselines3"
    return {"device": device, **versions(), name: importlib.metadata.version(name)}


def store(model: PPO, env: VecNormalize, path: Path, identity: str, done: Done) -> None:
    """Write a checkpoint; the identity says of which training."""
    tensors: dict[str, np.ndarray] = {}
    for name, value in model.policy.state_dict().items():
        tensors[f"policy.{name}"] = value.detach().cpu().numpy()
    for k, state in model.policy.optimizer.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimizer.{k}.{name}"] = torch.as_tensor(value).cpu().numpy()
    for name, rms in (("obs", env.obs_rms), ("ret", env.ret_rms)):
        tensors[f"{name}.mean"] = np.array(rms.mean)
        tensors[f"{name}.var"] = np.array(rms.var)
        tensors[f"{name}.count"] = np.array(rms.count, np.float64)
    # The latest episodes, that the learning curve averages over.
    episodes = list(model.ep_info_buffer or [])
    for key in episodes[0] if episodes else ():
        tensors[f"episodes.{key}"] = np.array([float(episode[key]) for episode in episodes])
    about = {
        "identity": identity,
        "stage": str(done.stage),
        "steps": str(model.num_timesteps),
        "seconds": str(done.seconds),
        "curve": done.curve,
        "made_with": as_text(done.made_with),
    }
    write_atomically(path, tensor_bytes(tensors, about))


def restore(model: PPO, env: VecNormalize, path: Path, identity: str) -> Done:
    """Load a checkpoint into the model of its training; returns how far it is.

    Raises:
        LabError: It is damaged, of an earlier version of this lab, or of another training.
    """
    content = read_file(path, MAX_CHECKPOINT)
    try:
        arrays, about = read_tensors(content)
    except LabError as error:
        raise LabError(f"{path}: damaged checkpoint ({error}); delete it to start anew") from None
    if "made_with" not in about:
        raise LabError(f"{path} is of an earlier version of this lab; delete it to start anew")
    if about["identity"] != identity:
        raise LabError(f"{path} belongs to another recipe or seed; choose another folder")
    _load(model, env, {name: torch.tensor(values) for name, values in arrays.items()})
    model.num_timesteps = int(about["steps"])
    then = of_text(about["made_with"])
    return Done(int(about["stage"]), float(about["seconds"]), about["curve"], then)


def _load(model: PPO, env: VecNormalize, tensors: Mapping[str, torch.Tensor]) -> None:
    model.policy.load_state_dict(
        {n.removeprefix("policy."): t for n, t in tensors.items() if n.startswith("policy.")}
    )
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, k, key = name.split(".")
            state.setdefault(int(k), {})[key] = tensor
    optimizer = model.policy.optimizer
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    for name in ("obs", "ret"):
        rms = RunningMeanStd(shape=tuple(tensors[f"{name}.mean"].shape))
        rms.mean, rms.var = tensors[f"{name}.mean"].numpy(), tensors[f"{name}.var"].numpy()
        rms.count = tensors[f"{name}.count"].item()
        setattr(env, f"{name}_rms", rms)
    latest = {
        name.removeprefix("episodes."): values.tolist()
        for name, values in tensors.items()
        if name.startswith("episodes.")
    }
    model.ep_info_buffer = deque(
        (dict(zip(latest, row, strict=True)) for row in zip(*latest.values(), strict=True)),
        maxlen=model._stats_window_size,
    )
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)  # SB3 makes both or none
