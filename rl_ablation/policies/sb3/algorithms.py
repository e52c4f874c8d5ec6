"""Policies that others trained: stable-baselines3 and sb3-contrib zips, read without running them.

The layouts are those of the public sources of stable-baselines3 1.0 to 2.9 and sb3-contrib: a zip
with ``data`` (JSON, in it pickles in base64) and ``policy.pth`` (the weights), and beside it
``vecnormalize.pkl`` (statistics of the observations). No pickle is ever executed; see
`rl_ablation.policies.sb3.pickles`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from rl_ablation.env_ids import trust
from rl_ablation.errors import LabError
from rl_ablation.files import MIB, read_file
from rl_ablation.policies.graph import remembering
from rl_ablation.policies.policy import Card, Policy
from rl_ablation.policies.sb3 import actor
from rl_ablation.policies.sb3.archive import MAX_FILE, Archive
from rl_ablation.policies.sb3.pickles import (
    DAMAGE,
    Call,
    as_array,
    as_number,
    as_shape,
    attributes,
    is_not_evil,
    printable,
    read_pickle,
)
from rl_ablation.policies.sb3.spaces import env_sizes, wrapped
from rl_ablation.policies.sb3.tensors import TensorFile
from rl_ablation.policies.sb3.vecnormalize import (
    Statistics,
    beside,
    read_statistics,
    statistics_of,
)
from rl_ablation.policies.storage import make_graph, make_mlp

MAX_MEMBERS = 100
MAX_DATA = 16 * MIB
MAX_POLICY = 128 * MIB
MAX_UNUSED = MIB // 4
"""Bytes of all unused pickles in ``data`` that are still looked over for commands; 1 second."""
MAX_NESTED = 100_000
"""Lists and dicts in ``data``, real ones have about 100; 5 million of them take 5 s to read."""
_USED = ("policy_class", "policy_kwargs", "observation_space", "action_space")
_SETTINGS = (
    "learning_rate", "n_envs", "n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda",
    "ent_coef", "vf_coef", "max_grad_norm", "target_kl", "tau", "buffer_size", "learning_starts",
    "gradient_steps", "policy_delay", "use_sde", "sde_sample_freq", "normalize_advantage",
)  # fmt: skip
_PROGRAMS = {
    "Python": "python", "Stable-Baselines3": "stable_baselines3", "PyTorch": "torch",
    "Numpy": "numpy", "Gym": "gym", "OpenAI Gym": "gym", "Gymnasium": "gymnasium",
}  # fmt: skip


T = TypeVar("T")


def load_zip(
    path: str | Path,
    env_id: str | None = None,
    *,
    env_kwargs: Mapping[str, Any] | None = None,
    vecnormalize: str | Path | bool | None = None,
    env_wrapper: str | None = None,
) -> Policy:
    """Read a zip saved by stable-baselines3 or sb3-contrib; nothing in it is executed.

    PPO, A2C, TRPO, SAC, TD3, DDPG, TQC, DQN, QRDQN or ARS with an MLP actor, or a RecurrentPPO with
    an LSTM in front of it. Arguments are those of
    `rl_ablation.policies.load.load`. A file that is damaged, hostile or of a kind that is not
    supported, or does not fit the sizes of the environment, raises a LabError.
    """
    path = Path(path)
    found = beside(path, env_id) if vecnormalize in (None, True) else vecnormalize
    if vecnormalize is True and found is None:
        raise LabError(f"{printable(path, 300)}: no vecnormalize.pkl beside it; give its path")
    statistics = None
    if found is not None and not isinstance(found, bool):
        statistics = _at(found, read_statistics, read_file(found, MAX_DATA))
    if not path.exists() and Path(f"{path}.zip").exists():  # as PPO.load does
        path = Path(f"{path}.zip")
    if env_wrapper is not None:
        if env_id is not None:
            trust(env_id, env_kwargs)
        env_id, env_kwargs = wrapped(env_wrapper, env_id, env_kwargs)

    def read(low: np.ndarray | None, high: np.ndarray | None) -> Policy:
        return _policy(_open(path), path.stem, (low, high), statistics)

    return _placed(path, read, env_id, env_kwargs)


def load_live(
    model: Any, env_id: str | None = None, *, env_kwargs: Mapping[str, Any] | None = None
) -> Policy:
    """The policy of a stable-baselines3 or sb3-contrib algorithm that is in memory, as it is now.

    It is saved into memory and read as `load_zip` reads a file, with the `VecNormalize` of the
    model's environment. Raises a LabError as that does, or for a model that cannot be saved.
    """
    kind = type(model).__name__
    file = BytesIO()
    try:
        model.save(file)
        around = model.get_vec_normalize_env()
    except Exception as error:  # what a stranger's algorithm holds may refuse to be saved
        raise LabError(f"this {kind} cannot be saved: {printable(error)}") from None
    statistics = None if around is None else _at(f"this {kind}", statistics_of, around)

    def read(low: np.ndarray | None, high: np.ndarray | None) -> Policy:
        return _policy(_members(file.getvalue()), kind.lower(), (low, high), statistics)

    return _placed(f"this {kind}", read, env_id, env_kwargs)


def _placed(
    where: object,
    read: Callable[[np.ndarray | None, np.ndarray | None], Policy],
    env_id: str | None,
    env_kwargs: Mapping[str, Any] | None,
) -> Policy:
    """Read a policy, which may need an environment's bounds of actions, and put it into that."""
    if env_id is None:
        return _at(where, read, None, None)
    trust(env_id, env_kwargs)
    sizes = env_sizes(env_id, env_kwargs or {})
    policy: Policy = _at(where, read, sizes.low, sizes.high)
    _at(where, sizes.check, policy)
    return policy.with_env(env_id, env_kwargs)


def _at(where: object, function: Callable[..., T], *args: Any) -> T:
    """Call a reader; any error in it becomes one line that begins with the place."""
    try:
        return function(*args)
    except LabError as error:
        raise LabError(f"{printable(where, 300)}: {error}") from None
    except DAMAGE as error:
        raise LabError(f"{printable(where, 300)}: damaged ({printable(error)})") from None


class Opened(NamedTuple):
    """What a zip holds that is used."""

    data: dict[str, Any]
    tensors: TensorFile
    versions: dict[str, str]


def _open(path: Path) -> Opened:
    """Read a file; of its bytes only the weights are kept, so that there is room to decode them."""
    return _at(path, _members, read_file(path, MAX_FILE))


def _members(content: bytes) -> Opened:
    archive = Archive(content, MAX_MEMBERS)
    data, versions = _read_data(archive), _versions(archive)
    weights = archive.read("policy.pth", MAX_POLICY)
    return Opened(data, _at("policy.pth", TensorFile, weights), versions)


def _policy(
    opened: Opened,
    name: str,
    bounds: tuple[np.ndarray | None, np.ndarray | None],
    statistics: Statistics | None,
) -> Policy:
    data, tensors, versions = opened
    low, high = bounds
    kwargs = _as_dict(data.get("policy_kwargs"))
    kind = actor.policy_kind(data.get("policy_class"), tensors)
    layout = actor.LAYOUTS[kind]
    actor.check_extractor(kwargs, tensors, layout)
    obs_size = _obs_size(data.get("observation_space"))
    count, file_low, file_high = _actions(data.get("action_space"))
    if file_low is not None or count is not None:
        low, high = file_low, file_high
    if kind == "QRDQNPolicy" and count is None:
        raise LabError("a QRDQN without its discrete action space")
    weights = _at("policy.pth", actor.actor_weights, tensors, layout, count)
    memory = _at("policy.pth", actor.memory_weights, tensors, layout)
    inputs, out = (memory[0] if memory else weights[0])[0].shape[-1], len(weights[-1][1])
    if count not in (None, out):
        raise LabError(f"the network gives {out} values but the action space has {count} actions")
    if obs_size not in (None, inputs):
        raise LabError(
            f"the network takes {inputs} inputs but the observation space of the file has "
            f"{obs_size}"
        )
    squash = actor.actor_squash(kind, layout, data, kwargs, count is not None)
    if squash != "argmax":
        squash, low, high = _bounds(squash, low, high, out)
    else:
        low = high = None
    mean, std, clip = (None, None, math.inf) if statistics is None else statistics
    if mean is not None and len(mean) != inputs:
        raise LabError(
            f"takes {inputs} observations but its vecnormalize.pkl has {len(mean)}; "
            "give the right one, or vecnormalize=False for none"
        )
    card = Card(
        name=printable(name) or "unnamed",
        algorithm=_algorithm(kind, data),
        activation=actor.activation(kwargs, layout),
        squash=squash,
        obs_clip=clip if math.isfinite(clip) else None,
        seed=_count(data.get("seed")),
        steps=_count(data.get("num_timesteps")),
        hyperparameters={k: v for k in _SETTINGS if _plain(v := data.get(k))},
        versions=versions,
    )
    arrays = {"low": low, "high": high, "obs_mean": mean, "obs_std": std}
    if memory:
        network = remembering("lstm", memory, weights, card.activation)
        return make_graph(network, card, obs_size=inputs, **arrays)
    policy = make_mlp(weights, card, **arrays)
    if layout.head == "actor.mu" and "actor.mu.0.weight" in tensors:  # gSDE
        return actor.clipped(policy, kwargs)
    return policy


def _read_data(archive: Archive) -> dict[str, Any]:
    """Read ``data``, its pickles in ``_USED`` as trees, the others left out."""
    try:
        text = archive.read("data", MAX_DATA)
        if text.count(b"[") + text.count(b"{") > MAX_NESTED:
            raise LabError("member 'data' is no JSON of SB3: too many lists")
        data = json.loads(text)
    except LabError:
        raise
    except DAMAGE as error:
        raise LabError(f"member 'data' is no JSON ({printable(error)})") from None
    if not isinstance(data, dict):
        raise LabError("member 'data' is no JSON object")
    left = MAX_UNUSED
    for key, value in list(data.items()):
        if not isinstance(value, dict) or ":serialized:" not in value:
            continue
        del data[key]
        coded, where = value[":serialized:"], f"data: {printable(key, 40)}"
        try:
            content = base64.b64decode(coded, validate=False)
        except (binascii.Error, *DAMAGE):
            if key in _USED:
                raise LabError(f"{where}: damaged base64") from None
            continue
        if key in _USED:
            data[key] = _at(where, read_pickle, content)
        elif len(content) <= left:
            left -= len(content)
            try:  # it is not used, but others may open it
                read_pickle(content, may_call=is_not_evil)
            except LabError as error:
                if "would call" in str(error):
                    raise LabError(f"{where}: {error}") from None
    return data


def _as_dict(value: object) -> Mapping[Any, Any]:
    if isinstance(value, Call):
        value = value.pairs
    if value is not None and not isinstance(value, dict):
        raise LabError("data: policy_kwargs is no dict")
    return value or {}


def _space(node: object, what: str) -> tuple[str, Mapping[Any, Any]]:
    dotted = node.dotted if isinstance(node, Call) else ""
    if not re.match(r"gym(nasium)?\.spaces\.", dotted):
        raise LabError(f"data: the {what} space is none of Gym or Gymnasium; not supported")
    return dotted.rpartition(".")[2], attributes(node)


def _obs_size(node: object) -> int | None:
    if node is None:
        return None
    kind, state = _space(node, "observation")
    if kind != "Box":
        raise LabError(f"{printable(kind, 30)} observations are not supported, only plain vectors")
    shape = state.get("_shape", state.get("shape"))
    shape = as_shape(shape, "data: the observation space")
    if len(shape) == 3:
        raise LabError(f"images {printable(shape, 30)} are not supported, only plain vectors")
    return math.prod(shape)


def _actions(node: object) -> tuple[int | None, np.ndarray | None, np.ndarray | None]:
    if node is None:
        return None, None, None
    kind, state = _space(node, "action")
    what = "data: the action space's"
    if kind == "Discrete":
        if as_number(state.get("start", 0), f"{what} start") != 0:
            raise LabError("discrete actions that do not start at 0 are not supported")
        return int(as_number(state.get("n"), f"{what} n")), None, None
    if kind != "Box":
        raise LabError(f"{printable(kind, 30)} actions are not supported, only Box and Discrete")
    low, high = (as_array(state.get(end), f"{what} {end}").reshape(-1) for end in ("low", "high"))
    return None, low, high


def _bounds(
    squash: str, low: np.ndarray | None, high: np.ndarray | None, size: int
) -> tuple[str, np.ndarray | None, np.ndarray | None]:
    if low is None or high is None:
        raise LabError("names no action space; give the environment it was trained in")
    if low.shape != (size,) or high.shape != (size,) or not (low <= high).all():
        raise LabError(f"the network gives {size} actions, which the action space does not fit")
    if np.isinf(low).all() and np.isinf(high).all() and squash == "clip":
        return "none", None, None
    if squash == "tanh" and not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise LabError("squashes its actions into a space without bounds")
    most = float(np.finfo(np.float32).max)
    return squash, np.clip(low, -most, most), np.clip(high, -most, most)


def _algorithm(kind: str, data: Mapping[str, Any]) -> str:
    """Which algorithm trained it: a policy class can have several, told by their settings."""
    if kind == "RecurrentActorCriticPolicy":
        return "RecurrentPPO"
    if kind == "ActorCriticPolicy":
        if "cg_max_steps" in data:
            return "TRPO"
        return "PPO" if {"n_epochs", "clip_range_vf", "batch_size"} & set(data) else "A2C"
    if kind == "TD3Policy":
        return "DDPG" if data.get("target_noise_clip") == 0.0 else "TD3"
    return kind.removesuffix("Policy").removesuffix("Linear")


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 2**63 else None


def _plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= 40 and value.isprintable()
    return isinstance(value, bool | int | float) and abs(value) < 1e300


def _versions(archive: Archive) -> dict[str, str]:
    """Versions of the programs that wrote the file, as far as it says."""
    versions: dict[str, str] = {}
    texts = {
        name: archive.read(name, MIB).decode("utf-8", "replace")
        for name in ("system_info.txt", "_stable_baselines3_version")
        if name in archive.names
    }
    for line in texts.get("system_info.txt", "").splitlines()[:50]:
        program, _, version = line.removeprefix("- ").partition(": ")
        if program in _PROGRAMS and version:
            versions[_PROGRAMS[program]] = printable(version.strip(), 40)
    if "_stable_baselines3_version" in texts:
        version_text = texts["_stable_baselines3_version"].strip()
        versions["stable_baselines3"] = printable(version_text, 40)
    return versions
