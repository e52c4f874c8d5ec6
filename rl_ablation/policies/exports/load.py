"""Load a file as robots have them, whichever it is: its content tells that, not its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rl_ablation.env_ids import trust
from rl_ablation.errors import LabError
from rl_ablation.files import MAX_TENSORS, read_file
from rl_ablation.policies.exports.onnx import looks_like_onnx, read_onnx
from rl_ablation.policies.exports.operators import run
from rl_ablation.policies.exports.settle import settle
from rl_ablation.policies.exports.state_dicts import Found, read_checkpoint
from rl_ablation.policies.exports.torchscript import is_torchscript, read_torchscript
from rl_ablation.policies.policy import Card, Policy
from rl_ablation.policies.sb3.archive import Archive
from rl_ablation.policies.sb3.pickles import DAMAGE, printable
from rl_ablation.policies.sb3.spaces import EnvSizes, env_sizes
from rl_ablation.policies.sb3.tensors import MAX_MEMBERS

ROBOT = "envs:rl_ablation/Robot-v0"
"""The world that is made of a robot's XML and the metadata of its policy's file."""
ONNX, TORCHSCRIPT, CHECKPOINT = "ONNX", "TorchScript", "checkpoint"
_OLD_TORCH = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""The number that files of torch before 1.6 begin with, after two bytes of their pickle."""


def kind_of(path: Path) -> str | None:
    """Which kind of file it is; None for another, such as a zip of stable-baselines3.

    Raises:
        LabError: It cannot be read.
    """
    content = read_file(path, MAX_TENSORS)
    if looks_like_onnx(content):
        return ONNX
    if content[2:14] == _OLD_TORCH:
        return CHECKPOINT
    if content[:4] != b"PK\x03\x04" or b"data.pkl" not in content:
        return None
    try:
        names = Archive(content, MAX_MEMBERS).names
    except LabError:
        return None  # whoever reads it says what is wrong with it
    if "policy.pth" in names or not any(name.endswith("/data.pkl") for name in names):
        return None
    return TORCHSCRIPT if is_torchscript(names) else CHECKPOINT


def robot_world(path: Path, kind: str | None, robot: str | Path) -> tuple[str, dict[str, Any]]:
    """The world of a robot and an ONNX file that tells of its joints: id and arguments.

    ``robot`` is the path of the robot's XML, or its name in MuJoCo Menagerie.

    Raises:
        LabError: The file is no ONNX file, damaged, or says nothing of a robot.
    """
    where = printable(path, 300)
    if kind != ONNX:
        raise LabError(f"{where}: a robot goes with an ONNX file that tells of its joints")
    try:
        metadata = read_onnx(read_file(path, MAX_TENSORS), path.parent).metadata
    except LabError as error:
        raise LabError(f"{where}: {error}") from None
    if "joint_names" not in metadata:
        said = ", ".join(printable(name, 30) for name in metadata) or "nothing"
        raise LabError(f"{where}: says {said} of itself and no joint_names, as mjlab writes them")
    xml = Path(robot)
    return ROBOT, {"xml": str(xml.resolve() if xml.exists() else robot), "metadata": metadata}


def load_export(
    path: Path,
    kind: str,
    env_id: str | None = None,
    *,
    env_kwargs: Mapping[str, Any] | None = None,
    activation: str | None = None,
) -> Policy:
    """Read an ONNX file, a TorchScript archive or a checkpoint; nothing in it is executed.

    Arguments are those of `rl_ablation.policies.load.load`; ``kind`` is that of `kind_of`.

    Raises:
        LabError: Damaged, hostile, of a kind that is not supported, or not for that environment.
    """
    if activation is not None and kind != CHECKPOINT:
        raise LabError(f"{printable(path, 300)}: activation is for checkpoints; this file says it")
    sizes = None
    if env_id is not None:
        trust(env_id, env_kwargs)
        sizes = env_sizes(env_id, env_kwargs or {})
    try:
        found = _found(path, kind, sizes, activation)
        card = Card(
            name=printable(path.stem) or "unnamed",
            algorithm=found.algorithm,
            activation="identity",
            squash="none",
        )
        policy = _for(settle(found.program, found.action, card), sizes, found.squash)
        if sizes is not None:
            sizes.check(policy)
    except LabError as error:
        raise LabError(f"{printable(path, 300)}: {error}") from None
    except DAMAGE as error:
        raise LabError(f"{printable(path, 300)}: damaged ({printable(error)})") from None
    return policy if env_id is None else policy.with_env(env_id, env_kwargs)


def _found(path: Path, kind: str, sizes: EnvSizes | None, activation: str | None) -> Found:
    content = read_file(path, MAX_TENSORS)
    if kind == ONNX:
        program, action = run(read_onnx(content, path.parent))
    elif kind == TORCHSCRIPT:
        program, action = read_torchscript(content, None if sizes is None else sizes.obs)
    else:
        return read_checkpoint(content, activation)
    return Found(program, action, kind)


def _for(policy: Policy, sizes: EnvSizes | None, squash: str | None) -> Policy:
    """The policy with actions as its environment takes them: scores of discrete ones, or cut."""
    if sizes is None or policy.card.squash != "none":
        return policy
    low, high = sizes.low, sizes.high
    if low is None or high is None:
        return policy.with_card(policy.card.model_copy(update={"squash": "argmax"}))
    if squash != "clip" or low.shape != (policy.action_size,) or np.isinf([low, high]).all():
        return policy
    most = float(np.finfo(np.float32).max)
    card = policy.card.model_copy(update={"squash": "clip"})
    low, high = np.clip(low, -most, most), np.clip(high, -most, most)
    return replace(policy, card=card, low=low, high=high)
