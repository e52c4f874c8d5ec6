"""Make zips like those of stable-baselines3 for the tests, without any library that writes them."""

from __future__ import annotations

import base64
import io
import json
import pickle
import zipfile
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import Any

import cloudpickle
import gymnasium
import numpy as np
import torch


def name_of(dotted: str) -> bytes:
    """A pickle of a class that need not be installed."""
    module, _, name = dotted.rpartition(".")
    return f"c{module}\n{name}\n.".encode()


def serialized(content: object) -> dict[str, str]:
    """An entry of ``data``, as SB3 writes what is no JSON; bytes are a pickle already."""
    blob = content if isinstance(content, bytes) else cloudpickle.dumps(content)
    return {":type:": "<class 'object'>", ":serialized:": base64.b64encode(blob).decode()}


def torch_bytes(state: object, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream, **options)
    return stream.getvalue()


def mlp_state(prefix: str, sizes: list[int], *, bias: bool = True, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    state = OrderedDict()
    for k, (width, out) in enumerate(pairwise(sizes)):
        state[f"{prefix}.{2 * k}.weight"] = torch.tensor(
            rng.normal(size=(out, width)) / width**0.5, dtype=torch.float32
        )
        if bias:
            state[f"{prefix}.{2 * k}.bias"] = torch.tensor(
                rng.normal(size=out) / 9, dtype=torch.float32
            )
    return state


def renamed(state: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return OrderedDict((k.replace(old, new), v) for k, v in state.items())


def on_policy_state() -> dict[str, Any]:
    """4 inputs, 8 and 8 hidden units, 2 actions."""
    state = mlp_state("mlp_extractor.policy_net", [4, 8, 8])
    state.update(renamed(mlp_state("action_net", [8, 2], seed=1), "net.0", "net"))
    state["log_std"] = torch.zeros(2)
    state.update(renamed(mlp_state("value_net", [8, 1], seed=2), "net.0", "net"))
    return state


def box(size: int, bound: float = 1.0) -> gymnasium.Space[Any]:
    return gymnasium.spaces.Box(-bound, bound, (size,), np.float32)


def members(
    state: object | None = None,
    *,
    policy_class: str | bytes = "stable_baselines3.common.policies.ActorCriticPolicy",
    observation_space: object | None = None,
    action_space: object | None = None,
    policy_kwargs: object | None = None,
    **data: Any,
) -> dict[str, bytes]:
    """The members of a zip; every default fits `on_policy_state`."""
    settings = {
        "policy_class": serialized(
            name_of(policy_class) if isinstance(policy_class, str) else policy_class
        ),
        "policy_kwargs": {} if policy_kwargs is None else serialized(policy_kwargs),
        "observation_space": serialized(
            box(4, np.inf) if observation_space is None else observation_space
        ),
        "action_space": serialized(box(2) if action_space is None else action_space),
        "num_timesteps": 1000,
        "seed": 0,
        "use_sde": False,
        "n_epochs": 4,
        **data,
    }
    return {
        "data": json.dumps(settings).encode(),
        "policy.pth": torch_bytes(on_policy_state() if state is None else state),
        "_stable_baselines3_version": b"2.0.0",
        "system_info.txt": b"- OS: Linux\n- Python: 3.9.1\n- PyTorch: 1.13.1\n",
    }


def write(path: Path, content: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, value in content.items():
            archive.writestr(name, value)
    return path


class Runs:
    """Pickles into a program that runs a command when it is opened."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.args


def program(function: Any, *args: Any, protocol: int = 2) -> bytes:
    return pickle.dumps(Runs(function, *args), protocol=protocol)


def statistics(size: int) -> bytes:
    """A ``vecnormalize.pkl`` with means 0, 1, … and variances 1, 2, …"""
    from stable_baselines3.common.running_mean_std import RunningMeanStd
    from stable_baselines3.common.vec_env import VecNormalize

    moments = RunningMeanStd(shape=(size,))
    moments.mean, moments.var = np.arange(size) * 1.0, np.arange(size) + 1.0
    thing = VecNormalize.__new__(VecNormalize)
    state = {"obs_rms": moments, "clip_obs": 5.0, "epsilon": 1e-8, "norm_obs": True}
    thing.__dict__.update(state)
    return name_of("stable_baselines3.common.vec_env.vec_normalize.VecNormalize")[:-1] + (
        b")\x81" + pickle.dumps(state, protocol=2)[2:-1] + b"b."
    )
