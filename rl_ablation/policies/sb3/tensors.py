"""Read the tensors of a torch file (``policy.pth``) without torch and without unpickling.

torch.load with ``weights_only=True`` calls no unknown function, but it trusts the file with
memory (a storage's declared size, for one), and its reader has had holes (CVE-2025-32434). The
format needs little, so we read it ourselves: a zip with ``*/data.pkl`` (a mapping of names to
``_rebuild_tensor_v2(storage, offset, size, stride, …)``) and raw ``*/data/<key>``; before torch 1.6
a row of pickles followed by the raw storages. Tensors are decoded when they are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.files import MAX_WEIGHTS, MIB
from rl_ablation.policies.sb3.archive import Archive
from rl_ablation.policies.sb3.pickles import (
    Call,
    Name,
    Persistent,
    as_shape,
    printable,
    read_pickle,
)

MAX_PICKLE = 4 * MIB
MAX_TENSOR = 64 * MIB
"""Bytes of one storage: 16 million weights, a layer of 4000 × 4000."""
MAX_MEMBERS = 10_000
_KEY_LENGTH = 100  # of a storage; real ones are numbers
_MAGIC = 0x1950A86A20F9469CFC6C
_BFLOAT16 = "BFloat16Storage"
_FLOATS = {"FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", _BFLOAT16: "u2"}
_OTHERS = {"LongStorage": 8, "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1}
_SIZES = {"BoolStorage": 1, **_OTHERS, **{name: int(code[1]) for name, code in _FLOATS.items()}}
"""Bytes of one number of each storage."""
_TENSOR, _PARAMETER = "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"
CALLS = {"collections.OrderedDict", _TENSOR, _PARAMETER, "torch.Size", "torch.device"}
"""What the pickle of a file of tensors calls."""
DATA = "data/"
"""Where a zip of torch has the numbers of its tensors."""


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies: the kind and key of its storage, which of its numbers, in what order.

    ``offset`` and ``stride`` count numbers, not bytes; ``size`` is the shape.
    """

    kind: str
    key: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return math.prod(self.size)

    def check(self, stored: int, name: str) -> None:
        """Raise a LabError unless all its numbers are in a storage of so many bytes."""
        values = stored // _SIZES[self.kind]
        steps = ((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        # The first test also stops a stride of 0, which repeats one number without end.
        if self.count > values or (self.count and self.offset + sum(steps) >= values):
            claim = f"claims the shape {printable(self.size)}"
            raise LabError(f"{name} {claim} but has {values} values")

    def of(self, storage: bytes, order: str) -> np.ndarray:
        """Its numbers as float32, out of a storage that it fits."""
        item = _SIZES[self.kind]
        flat = np.frombuffer(storage, np.uint8)
        flat = flat[: len(flat) // item * item].view(f"{order}{_FLOATS[self.kind]}")
        if self.count == 0:
            return np.zeros(self.size, np.float32)
        strides = tuple(step * item for step in self.stride)
        values = np.lib.stride_tricks.as_strided(
            flat[self.offset :], self.size, strides, writeable=False
        )
        if self.kind == _BFLOAT16:  # the upper half of a float32
            return (values.astype(np.uint32) << 16).view(np.float32)
        with np.errstate(over="ignore"):
            return values.astype(np.float32)


class TorchFile:
    """A file of torch: ``tree``, what its pickle says, and the tensors that are in it.

    ``names`` are the members of its zip, without the folder that they lie in.

    Raises:
        LabError: Damaged, no torch file, or its pickle would call what ``may_call`` does not know.
    """

    def __init__(
        self, content: bytes, may_call: Callable[[str], bool] = CALLS.__contains__
    ) -> None:
        self._storages: list[Persistent] = []
        self._order = "<"
        self._load: Callable[[str], bytes]
        self._stored: Callable[[str], int]
        self.names: list[str] = []
        self._may_call = may_call
        self.tree = self._open_zip(content) if content[:2] == b"PK" else self._open_old(content)

    def member(self, name: str, limit: int) -> bytes:
        """Bytes of another member of the zip."""
        return self._archive.read(f"{self._root}{name}", limit)

    def pickled(self, name: str, limit: int) -> object:
        """What another pickle of the zip says."""
        content = self.member(name, limit)
        return read_pickle(content, may_call=self._may_call, storages=self._storages)

    def _open_zip(self, content: bytes) -> object:
        self._archive = archive = Archive(content, MAX_MEMBERS)
        roots = [name[: -len("data.pkl")] for name in archive.names if name.endswith("/data.pkl")]
        if len(roots) != 1 or roots[0].count("/") != 1:
            raise LabError("is a zip but not one of torch (no data.pkl)")
        self._root = root = roots[0]
        self.names = [n.removeprefix(root) for n in archive.names if n.startswith(root)]
        if f"{root}byteorder" in archive.names and archive.read(f"{root}byteorder", 16) == b"big":
            self._order = ">"
        self._load = lambda key: archive.read(f"{root}{key}", MAX_TENSOR)
        self._stored = lambda key: archive.size(f"{root}{key}")
        return self.pickled("data.pkl", MAX_PICKLE)

    def _open_old(self, content: bytes) -> object:
        stream = BytesIO(content)
        if read_pickle(stream, may_call=self._may_call) != _MAGIC:
            raise LabError("is no file of torch")
        for _ in ("protocol version", "system"):
            read_pickle(stream)
        tree = read_pickle(stream, may_call=self._may_call, storages=self._storages)
        kinds = {key: kind for kind, key in map(_storage, self._storages)}
        found: dict[str, bytes] = {}
        keys = read_pickle(stream)
        if not isinstance(keys, list) or len(keys) > MAX_MEMBERS:
            raise LabError("has a damaged list of tensors")
        for key in map(_key, keys):
            length = int.from_bytes(stream.read(8), "little", signed=True)
            size = length * _SIZES.get(kinds.get(key, ""), -1)
            if not 0 <= size <= len(content):
                raise LabError("has a tensor of a kind or size that cannot be read")
            found[key] = stream.read(size)
        self._load = lambda key: found.get(key.removeprefix(DATA), b"")
        self._stored = lambda key: len(self._load(key))
        return tree

    def decoded(self, nodes: Mapping[str, object], folder: str = DATA) -> dict[str, np.ndarray]:
        """Tensors of the tree as float32, by names to be told; their numbers are in a folder.

        Raises:
            LabError: One is missing, none of floats, or does not fit its bytes; or all together
                are larger than any policy, which is found out before any memory is taken.
        """
        asked = {name: tensor_at(node, printable(name)) for name, node in nodes.items()}
        stored = {t.key: self._stored(f"{folder}{t.key}") for t in asked.values()}
        for name, tensor in asked.items():
            tensor.check(stored[tensor.key], printable(name))
        if max(4 * sum(t.count for t in asked.values()), sum(stored.values())) > MAX_WEIGHTS:
            raise LabError(f"weights of more than the {MAX_WEIGHTS // 10**6} MB allowed")
        arrays: dict[str, np.ndarray] = {}
        for key in stored:  # each is unpacked once, however many tensors share it
            storage = self._load(f"{folder}{key}")
            within = {name: tensor for name, tensor in asked.items() if tensor.key == key}
            arrays |= {name: tensor.of(storage, self._order) for name, tensor in within.items()}
        return arrays


class TensorFile(TorchFile):
    """The named tensors of a torch file, of its bytes.

    Raises:
        LabError: Damaged, no torch file, or it would call something when unpickled.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        pairs = self.tree.pairs if isinstance(self.tree, Call) else self.tree
        if not isinstance(pairs, dict):
            raise LabError("holds no named tensors")
        self._tensors: dict[object, object] = pairs
        self.names = [name for name in pairs if isinstance(name, str)]

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def arrays(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Tensors as float32, by their names; see `TorchFile.decoded`."""
        return self.decoded({name: self._tensors.get(name) for name in names})


def is_tensor(node: object) -> bool:
    """Whether a node of a tree is a tensor."""
    return isinstance(node, Call) and node.dotted in (_TENSOR, _PARAMETER)


def tensor_at(node: object, shown: str) -> Tensor:
    """Where a tensor of a tree lies; a LabError if it is none, or none of floats."""
    if isinstance(node, Call) and node.dotted == _PARAMETER and node.args:
        node = node.args[0]
    if not isinstance(node, Call) or node.dotted != _TENSOR:
        raise LabError(f"{shown} is missing or no tensor")
    if len(node.args) < 4 or not isinstance(node.args[0], Persistent):
        raise LabError(f"{shown} is a damaged tensor")
    kind, key = _storage(node.args[0])
    if kind not in _FLOATS:
        raise LabError(f"{shown} is a {printable(kind, 40)}, not of floats")
    (offset,) = as_shape((node.args[1],), shown)
    size, stride = (as_shape(part, shown) for part in node.args[2:4])
    if len(size) != len(stride):
        raise LabError(f"{shown} has a damaged shape")
    return Tensor(kind, key, offset, size, stride)


def _storage(node: Persistent) -> tuple[str, str]:
    """Type and key of a storage."""
    key = node.key
    if not isinstance(key, tuple) or len(key) < 5 or not isinstance(key[1], Name):
        raise LabError("has a damaged tensor storage")
    return key[1].name, _key(key[2])


def _key(value: object) -> str:
    if not isinstance(value, str) or len(value) > _KEY_LENGTH:
        raise LabError("has a damaged tensor storage")
    return value
