"""Files put together by hand, good ones and their parts: pickles opcode by opcode, zips, tensors.

No library that writes such files would write the hostile ones, which `hostile` makes of these
parts. The good ones are small: a policy of 4 sensors, two layers of 8 and 2 motors.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from safetensors.numpy import save

SIZES = (4, 8, 8, 2)
NONE, TRUE, FALSE, POP = b"N", b"\x88", b"\x89", b"0"

# Pickles: each function gives opcodes that push one value.


def text(value: str) -> bytes:
    """A string."""
    content = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(content)) + content


def raw(value: bytes) -> bytes:
    """Bytes."""
    return b"B" + struct.pack("<I", len(value)) + value


def whole(value: int, size: int | None = None) -> bytes:
    """An integer, of that many bytes if given."""
    size = value.bit_length() // 8 + 1 if size is None else size
    content = value.to_bytes(size, "little", signed=True)
    return (b"\x8a" + bytes([size]) if size < 256 else b"\x8b" + struct.pack("<i", size)) + content


def number(value: float) -> bytes:
    """A float."""
    return b"G" + struct.pack(">d", value)


def name(dotted: str) -> bytes:
    """A class or function."""
    module, _, last = dotted.rpartition(".")
    return f"c{module}\n{last}\n".encode()


def row(*parts: bytes) -> bytes:
    """A tuple."""
    return b"(" + b"".join(parts) + b"t"


def table(pairs: Mapping[str, bytes]) -> bytes:
    """A dict."""
    return b"}(" + b"".join(text(key) + value for key, value in pairs.items()) + b"u"


def call(dotted: str, *parts: bytes) -> bytes:
    """What a call gives."""
    return name(dotted) + row(*parts) + b"R"


def thing(dotted: str, state: bytes) -> bytes:
    """An object of a class with its attributes."""
    return name(dotted) + b")\x81" + state + b"b"


def pickled(code: bytes) -> bytes:
    """A whole pickle."""
    return b"\x80\x02" + code + b"."


def dtype(code: bytes) -> bytes:
    """A dtype, whose code is what ``code`` pushes."""
    made = call("numpy.dtype", code, FALSE, TRUE)
    return made + row(whole(3), text("<"), *[NONE] * 3, whole(-1), whole(-1), whole(0)) + b"b"


def array(values: np.ndarray, shape: bytes | None = None, kind: bytes | None = None) -> bytes:
    """An array; its shape and dtype can be said otherwise."""
    made = call(
        "numpy.core.multiarray._reconstruct", name("numpy.ndarray"), row(whole(0)), raw(b"b")
    )
    shape = row(*map(whole, values.shape)) if shape is None else shape
    kind = dtype(text(values.dtype.str[1:])) if kind is None else kind
    return made + row(whole(1), shape, kind, FALSE, raw(values.tobytes())) + b"b"


def box(size: int, **changes: bytes) -> bytes:
    """A space of gymnasium."""
    ends = {"low": array(-np.ones(size, "f4")), "high": array(np.ones(size, "f4"))}
    return thing("gymnasium.spaces.box.Box", table({"_shape": row(whole(size)), **ends, **changes}))


def statistics(size: int = SIZES[0], /, **changes: bytes) -> bytes:
    """A ``vecnormalize.pkl``."""
    moments = {"mean": array(np.zeros(size)), "var": array(np.ones(size))}
    rms = thing("stable_baselines3.common.running_mean_std.RunningMeanStd", table(moments))
    state = {"obs_rms": rms, "clip_obs": number(5.0), "epsilon": number(1e-8), "norm_obs": TRUE}
    made = "stable_baselines3.common.vec_env.vec_normalize.VecNormalize"
    return pickled(thing(made, table({**state, **changes})))


# Files of torch.


def tensor(
    key: bytes, size: Sequence[int], stride: Sequence[int], offset: int = 0, kind: str = "Float"
) -> bytes:
    """A tensor out of the storage whose key is what ``key`` pushes."""
    place = row(text("storage"), name(f"torch.{kind}Storage"), key, text("cpu"), whole(8))
    shape = (row(*map(whole, numbers)) for numbers in (size, stride))
    return call("torch._utils._rebuild_tensor_v2", place + b"Q", whole(offset), *shape, FALSE, NONE)


def torch_zip(code: bytes, storages: Mapping[str, bytes], packed: bool = False) -> bytes:
    """A torch file of a pickle's code and of storages."""
    inside = {f"archive/data/{key}": content for key, content in storages.items()}
    return zipped({"archive/data.pkl": pickled(code), **inside}, packed)


@cache
def layers() -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Weights and biases."""
    draw = np.random.default_rng(0)
    return tuple(
        ((draw.normal(size=(out, width)) / width**0.5).astype("f4"), np.zeros(out, "f4"))
        for width, out in pairwise(SIZES)
    )


LAYERS = ("mlp_extractor.policy_net.0", "mlp_extractor.policy_net.2", "action_net")
"""Where stable-baselines3 has them."""


def named() -> dict[str, np.ndarray]:
    """The weights as stable-baselines3 names them."""
    parts = zip(LAYERS, layers(), strict=True)
    both = ((f"{at}.weight", weight, f"{at}.bias", bias) for at, (weight, bias) in parts)
    return {k: v for a, weight, b, bias in both for k, v in ((a, weight), (b, bias))}


def state(**changes: bytes) -> bytes:
    """The code of a state dict; storages are numbered in order."""
    tensors = {}
    for key, (label, values) in enumerate(named().items()):
        stride = [step // 4 for step in values.strides]
        tensors[label] = tensor(text(str(key)), values.shape, stride)
    return table({**tensors, **changes})


def plain_state() -> bytes:
    """The code of a state dict of a plain network, with the same storages."""
    tensors = {}
    for key, values in enumerate(named().values()):
        stride = [step // 4 for step in values.strides]
        part = "bias" if key % 2 else "weight"
        tensors[f"{key // 2 * 2}.{part}"] = tensor(text(str(key)), values.shape, stride)
    return table(tensors)


def storages() -> dict[str, bytes]:
    """The storages of `state`."""
    return {str(key): values.tobytes() for key, values in enumerate(named().values())}


# Zips of stable-baselines3.


def zipped(members: Mapping[str, bytes], packed: bool = False) -> bytes:
    """A zip."""
    stream = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(stream, "w", method) as archive:
        for label, content in members.items():
            archive.writestr(zipfile.ZipInfo(label), content, method)
    return stream.getvalue()


def coded(code: bytes) -> dict[str, str]:
    """A pickle as an entry of ``data``."""
    return {":type:": "<class 'object'>", ":serialized:": base64.b64encode(code).decode()}


def settings(**changes: Any) -> dict[str, Any]:
    """What ``data`` holds; bytes are taken for code of a pickle."""
    kinds: dict[str, Any] = {
        "policy_class": name("stable_baselines3.common.policies.ActorCriticPolicy"),
        "policy_kwargs": table({"activation_fn": name("torch.nn.modules.activation.Tanh")}),
        "observation_space": box(SIZES[0]),
        "action_space": box(SIZES[-1]),
        "num_timesteps": 1000, "seed": 0, "use_sde": False, "n_epochs": 4, "gamma": 0.99,
    }  # fmt: skip
    found = {**kinds, **changes}
    return {k: coded(pickled(v)) if isinstance(v, bytes) else v for k, v in found.items()}


def members(weights: bytes | None = None, /, **changes: Any) -> dict[str, bytes]:
    """The members of a zip, with other weights or settings."""
    return {
        "data": json.dumps(settings(**changes)).encode(),
        "policy.pth": torch_zip(state(), storages()) if weights is None else weights,
        "_stable_baselines3_version": b"2.0.0",
        "system_info.txt": b"- OS: Linux\n- Python: 3.11.1\n- PyTorch: 2.13.0\n",
    }


# Policy folders.

ENV = "Pendulum-v1"
"""Three sensors and one motor; it is soon made."""
FOLDER = (3, 8, 1)


def tensors(sizes: Sequence[int] = FOLDER) -> dict[str, np.ndarray]:
    """What ``policy.safetensors`` holds."""
    draw, found = np.random.default_rng(0), {}
    for k, (width, out) in enumerate(pairwise(sizes)):
        found[f"layers.{k}.weight"] = draw.normal(size=(out, width)).astype("f4")
        found[f"layers.{k}.bias"] = np.zeros(out, "f4")
    ends = {"low": -np.ones(sizes[-1], "f4"), "high": np.ones(sizes[-1], "f4")}
    return {**found, **ends, "obs_mean": np.zeros(sizes[0]), "obs_std": np.ones(sizes[0])}


def card(weights: bytes, **changes: Any) -> bytes:
    """A ``card.json`` that fits these weights."""
    told = {"name": "small", "env_id": ENV, "env_kwargs": {}, "activation": "tanh"}
    rest = {"squash": "clip", "obs_clip": 10.0, "sha256": hashlib.sha256(weights).hexdigest()}
    return json.dumps({**told, **rest, **changes}).encode()


def folder(weights: bytes | None = None, **changes: Any) -> dict[str, bytes]:
    """A policy folder: with other weights, which its card says are right, or with another card."""
    weights = save(tensors()) if weights is None else weights
    return {"card.json": card(weights, **changes), "policy.safetensors": weights}
