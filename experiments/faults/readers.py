"""Every reader of a stranger's bytes, by a letter: what `make fuzz` calls again and again.

The first byte of an input says which reader gets the rest. Whatever a reader raises but a LabError
is a fault.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from experiments.faults import hostile_exports
from experiments.faults import makings as m
from rl_ablation import env_ids
from rl_ablation.errors import LabError
from rl_ablation.files import load_arrays
from rl_ablation.lesions.triggers import parse
from rl_ablation.mapping.spec import Spec
from rl_ablation.policies.exports import onnx, operators, settle, state_dicts, torchscript
from rl_ablation.policies.policy import Card, Policy
from rl_ablation.policies.sb3 import algorithms, archive, pickles, tensors, vecnormalize
from rl_ablation.policies.storage import policy_of

_WEIGHTS, _MEMBERS = save(m.tensors()), m.members()
_STORED = {f"archive/data/{key}": content for key, content in m.storages().items()}


def _pickle(content: bytes) -> None:
    tree = pickles.read_pickle(content, may_call=lambda _: True, storages=[])
    assert len(pickles.printable(tree)) <= 80
    for decode in (pickles.as_array, pickles.as_dtype, pickles.as_number):
        with contextlib.suppress(LabError):
            decode(tree)


def _torch(content: bytes) -> None:
    file = tensors.TensorFile(content)
    file.arrays(file.names[:9])


def _state(content: bytes) -> None:
    _torch(m.zipped({"archive/data.pkl": content, **_STORED}))


def _policy(members: dict[str, bytes]) -> Policy:
    opened = algorithms._members(m.zipped(members))
    return algorithms._policy(opened, "x", (None, None), None)


def _entry(key: str) -> Callable[[bytes], Policy]:
    """A pickle as an entry of ``data``."""
    return lambda content: _policy(m.members(**{key: m.coded(content)}))


def _card(content: bytes) -> None:
    """A card, and its environment as far as it would be made."""
    card = Card.model_validate_json(content)
    policy_of(card.model_copy(update={"sha256": None}).model_dump_json(), _WEIGHTS)
    if card.env_id is not None:
        env_ids.find_spec(card.env_id, card.env_kwargs)


def _spec(content: bytes) -> None:
    spec = Spec.model_validate_json(content)
    if spec.ends[-1] < 10**6:
        spec.pairs(0)
    env_ids.find_spec(spec.env_id, spec.env_kwargs)


def _settled(program: Any, action: Any) -> Policy:
    return settle.settle(program, action, Card(name="x", activation="identity", squash="none"))


def _checkpoint(content: bytes) -> Policy:
    return _settled(*state_dicts.read_checkpoint(content, "relu")[:2])


READERS: dict[str, Callable[[bytes], Any]] = {
    "p": _pickle,
    "v": vecnormalize.read_statistics,
    "t": _torch,
    "d": _state,
    "k": _entry("policy_kwargs"),
    "o": _entry("observation_space"),
    "a": _entry("action_space"),
    "c": _entry("policy_class"),
    "j": lambda content: _policy({**_MEMBERS, "data": content}),
    "z": lambda content: archive.Archive(content, 100).read("data", 1 << 20),
    "C": _card,
    "w": lambda content: policy_of(m.card(content, sha256=None).decode(), content),
    "n": lambda content: _settled(*operators.run(onnx.read_onnx(content, Path("nowhere")))),
    "T": lambda content: _settled(*torchscript.read_torchscript(content, None)),
    "S": lambda content: _settled(
        *torchscript.read_torchscript(hostile_exports.script(content), None)
    ),
    "K": _checkpoint,
    "l": load_arrays,
    "s": _spec,
    "e": lambda content: parse(content.decode("utf-8", "replace")),
}


def read(content: bytes) -> str:
    """Give an input to its reader: "read", or the line that refuses it.

    Pydantic's errors are lines too, once the callers of these models have shortened them.
    """
    reader = READERS.get(content[:1].decode("latin-1"))
    if reader is None:
        return "no reader"
    env_ids._from_files.clear()
    try:
        reader(content[1:])
    except LabError as error:
        return str(error)
    except ValueError as error:
        if type(error).__name__ != "ValidationError":
            raise
        return "no such JSON"
    return "read"


def seeds() -> list[bytes]:
    """A good input of each reader."""
    space, kwargs = (
        m.pickled(m.box(2)),
        m.pickled(m.table({"activation_fn": m.name("torch.nn.Tanh")})),
    )
    old = m.pickled(m.whole(0x1950A86A20F9469CFC6C)) + m.pickled(m.whole(1001)) + m.pickled(b"}")
    listed = m.pickled(b"](" + b"".join(m.text(key) for key in m.storages()) + b"e")
    lengths = (np.array(len(v) // 4, "<i8").tobytes() + v for v in m.storages().values())
    spec = {
        "agent": "a", "policy_sha256": "", "sites": {"obs": 3, "h0": 8, "action": 1},
        "env_id": m.ENV, "env_kwargs": {"g": 9.8}, "conditions": [""], "episodes": 2, "seed": 0,
        "horizon": 9, "measures": ["return"], "lesions": [
            {"name": "intact"}, {"name": "h0", "cut": {"h0": [0, 1]}, "when": "bend > 0.1"}
        ],
    }  # fmt: skip
    found = {
        "p": m.pickled(m.array(np.arange(3.0))), "v": m.statistics(),
        "t": old + m.pickled(m.state()) + listed + b"".join(lengths),
        "d": m.pickled(m.state()), "k": kwargs, "o": m.pickled(m.box(4)), "a": space,
        "c": m.pickled(m.name("stable_baselines3.common.policies.ActorCriticPolicy")),
        "j": m.members()["data"], "z": m.zipped({"data": b"{}"}), "C": m.card(_WEIGHTS),
        "n": hostile_exports.onnx(), "T": hostile_exports.script(),
        "S": hostile_exports.TEXT.encode(), "K": m.zipped({
            "archive/data.pkl": m.pickled(m.plain_state()), **_STORED}),
        "w": _WEIGHTS, "l": save({"a": np.ones(2)}), "s": json.dumps(spec).encode(),
        "e": b"bend > 0.15 and foot_contact[2] <= -1e-3",
    }  # fmt: skip
    return [letter.encode() + content for letter, content in found.items()]
