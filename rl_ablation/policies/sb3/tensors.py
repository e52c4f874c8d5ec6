"""Read the tensors of a torch file (``policy.pth``) without torch and without unpickling.

torch.load with ``weights_only=True`` calls no unknown function, but it trusts the file with
memory (a storage's declared size, for one), and its reader has had holes (CVE-2025-32434). The
format needs little, so we read it ourselves: a zip with ``*/data.pkl`` (a mapping of names to
``_rebuild_tensor_v2(storage, offset, size, stride, …)``) and raw ``*/data/<key>``; before torch 1.6
a row of pickles followed by the raw storages. A tensor is decoded when it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from io import BytesIO

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.policies.sb3.archive import MIB, Archive
from rl_ablation.policies.sb3.pickles import Call, Name, Persistent, printable, read_pickle

MAX_PICKLE = 4 * MIB
MAX_TENSOR = 64 * MIB
"""Bytes of one tensor: 16 million weights, a layer of 4000 × 4000."""
MAX_MEMBERS = 10_000
_MAGIC = 0x1950A86A20F9469CFC6C
_BFLOAT16 = "BFloat16Storage"
_FLOATS = {"FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", _BFLOAT16: "u2"}
_OTHERS = {"LongStorage": 8, "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1}
_SIZES = {"BoolStorage": 1, **_OTHERS, **{name: int(code[1]) for name, code in _FLOATS.items()}}
"""Bytes of one number of each storage."""
_TENSOR, _PARAMETER = "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"
_CALLS = {"collections.OrderedDict", _TENSOR, _PARAMETER, "torch.Size", "torch.device"}


class TensorFile:
    """The named tensors of a torch file, of its bytes.

    Raises:
        LabError: Damaged, no torch file, or it would call something when unpickled.
    """

    def __init__(self, content: bytes) -> None:
        self._storages: list[Persistent] = []
        self._order = "<"
        self._load: Callable[[str], bytes]
        tree = self._open_zip(content) if content[:2] == b"PK" else self._open_old(content)
        pairs = tree.pairs if isinstance(tree, Call) else tree
        if not isinstance(pairs, dict):
            raise LabError("holds no named tensors")
        self._tensors: dict[object, object] = pairs

    @property
    def names(self) -> list[str]:
        """Names of all tensors."""
        return [name for name in self._tensors if isinstance(name, str)]

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def _open_zip(self, content: bytes) -> object:
        archive = Archive(content, MAX_MEMBERS)
        roots = [name[: -len("data.pkl")] for name in archive.names if name.endswith("/data.pkl")]
        if len(roots) != 1 or roots[0].count("/") != 1:
            raise LabError("is a zip but not one of torch (no data.pkl)")
        root = roots[0]
        if f"{root}byteorder" in archive.names and archive.read(f"{root}byteorder", 16) == b"big":
            self._order = ">"
        self._load = lambda key: archive.read(f"{root}data/{key}", MAX_TENSOR)
        content = archive.read(f"{root}data.pkl", MAX_PICKLE)
        return read_pickle(content, may_call=_CALLS.__contains__, storages=self._storages)

    def _open_old(self, content: bytes) -> object:
        stream = BytesIO(content)
        if read_pickle(stream, may_call=_CALLS.__contains__) != _MAGIC:
            raise LabError("is no file of torch")
        for _ in ("protocol version", "system"):
            read_pickle(stream)
        tree = read_pickle(stream, may_call=_CALLS.__contains__, storages=self._storages)
        kinds = {str(key): kind for kind, key in map(_storage, self._storages)}
        found: dict[str, bytes] = {}
        keys = read_pickle(stream)
        if not isinstance(keys, list) or len(keys) > MAX_MEMBERS:
            raise LabError("has a damaged list of tensors")
        for key in keys:
            length = int.from_bytes(stream.read(8), "little", signed=True)
            size = length * _SIZES.get(kinds.get(str(key), ""), -1)
            if not 0 <= size <= len(content):
                raise LabError("has a tensor of a kind or size that cannot be read")
            found[str(key)] = stream.read(size)
        self._load = lambda key: found.get(key, b"")
        return tree

    def array(self, name: str) -> np.ndarray:
        """A tensor as float32; a LabError if it is none of floats or does not fit its bytes."""
        node = self._tensors.get(name)
        shown = printable(name)
        if isinstance(node, Call) and node.dotted == _PARAMETER and node.args:
            node = node.args[0]
        if not isinstance(node, Call) or node.dotted != _TENSOR:
            raise LabError(f"{shown} is missing or no tensor")
        if len(node.args) < 4 or not isinstance(node.args[0], Persistent):
            raise LabError(f"{shown} is a damaged tensor")
        kind, key = _storage(node.args[0])
        if kind not in _FLOATS:
            raise LabError(f"{shown} is a {printable(kind, 40)}, not of floats")
        offset, size, stride = node.args[1:4]
        shaped = isinstance(size, tuple) and isinstance(stride, tuple)
        shaped = shaped and len(size) == len(stride) <= 4
        if not shaped or not all(type(n) is int and n >= 0 for n in (offset, *size, *stride)):
            raise LabError(f"{shown} has a damaged shape")
        flat = np.frombuffer(self._load(str(key)), np.uint8)
        item, count = _SIZES[kind], math.prod(size)
        flat = flat[: len(flat) // item * item].view(f"{self._order}{_FLOATS[kind]}")
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        # The first test also stops a stride of 0, which repeats one number without end.
        if count > len(flat) or (count and last >= len(flat)):
            raise LabError(f"{shown} claims the shape {printable(size)} but has {len(flat)} values")
        if count == 0:
            return np.zeros(size, np.float32)
        steps = tuple(step * item for step in stride)
        values = np.lib.stride_tricks.as_strided(flat[offset:], size, steps, writeable=False)
        if kind == _BFLOAT16:  # the upper half of a float32
            return (values.astype(np.uint32) << 16).view(np.float32)
        with np.errstate(over="ignore"):
            return values.astype(np.float32)


def _storage(node: Persistent) -> tuple[str, object]:
    """Type and key of a storage."""
    key = node.key
    if not isinstance(key, tuple) or len(key) < 5 or not isinstance(key[1], Name):
        raise LabError("has a damaged tensor storage")
    return key[1].name, key[2]
