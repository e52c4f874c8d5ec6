"""Read ONNX files without any package for them: nodes and weights as plain data, all bounded.

The layout is that of the public ``onnx.proto``, version 3. Of a file the graph is read, its weights
and what its operators say. Graphs inside of nodes, functions, operators of other makers, sparse or
quantised weights and training are refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.files import MAX_TENSORS, MAX_WEIGHTS, read_file
from rl_ablation.policies.exports import protobuf as pb
from rl_ablation.policies.sb3.pickles import printable

MAX_NODES, MAX_WEIGHT_COUNT, MAX_INPUTS = 2_000, 2_000, 64
"""Of a graph; and how many inputs, outputs and attributes it or a node may have."""
MAX_NAME = 500
"""Bytes of a name; exporters make them of paths of modules."""
MAX_TOLD = 1 << 16
"""Bytes of a text that a file says of itself, such as the names of a robot's joints."""
MAX_AXES, MAX_INTS = 8, 100_000
_FLOATS = {1: "<f4", 10: "<f2", 11: "<f8", 16: "<u2"}
_WHOLES = {6: "<i4", 7: "<i8", 9: "|b1"}
_BFLOAT16 = 16
_KINDS = {
    2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 8: "text", 12: "uint32", 13: "uint64",
    14: "complex64", 15: "complex128", 17: "float8", 18: "float8", 19: "float8", 20: "float8",
    21: "uint4", 22: "int4",
}  # fmt: skip


@dataclass(frozen=True)
class Node:
    """An operator with the names of what it takes and makes, and what is said of it."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Value:
    """An input or output of the whole: its name, and its shape with None for an open size."""

    name: str
    shape: tuple[int | None, ...] | None


@dataclass
class Model:
    """What a file says, nodes in its order; constants are float32 or whole numbers."""

    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    opset: int = 0
    producer: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


def looks_like_onnx(content: bytes) -> bool:
    """Whether the bytes begin as ONNX files do: their version, and then who wrote them."""
    return (
        len(content) > 3 and content[0] == 8 and content[1] < 64 and content[2] in b"\x12\x3a\x42"
    )


def read_onnx(content: bytes, folder: Path) -> Model:
    """Read a file's bytes; weights that it keeps outside of it have to lie in that folder.

    Raises:
        LabError: Damaged, too large, or with what is not supported.
    """
    return _File(folder).model(memoryview(content))


class _File:
    """One file on its way to a `Model`, with what may still be read of weights."""

    def __init__(self, folder: Path) -> None:
        self.reader, self.folder = pb.Reader(), folder
        self.left = MAX_WEIGHTS
        self.outside: dict[str, bytes] = {}

    def model(self, content: memoryview) -> Model:
        model, graph = Model(), None
        for number, kind, value in self.reader.fields(content):
            if number == 7:
                if graph is not None:
                    raise LabError("has two graphs; which one is meant?")
                graph = pb.octets(kind, value)
            elif number == 8:
                domain, version = self.opset(pb.octets(kind, value))
                if domain in ("", "ai.onnx"):
                    model.opset = version
            elif number == 14:
                self.said(pb.octets(kind, value), model.metadata)
            elif number == 2:
                model.producer = printable(pb.text(kind, value, MAX_NAME), 40)
            elif number in (20, 25):
                what = "training" if number == 20 else "functions"
                raise LabError(
                    f"has {what} inside, which is not supported; export it for inference"
                )
        if graph is None:
            raise LabError("is no ONNX file (it has no graph)")
        if not 7 <= model.opset <= 30:
            raise LabError(f"is of the operator set {model.opset}; 7 to 30 are read")
        self.graph(graph, model)
        return model

    def said(self, content: memoryview, metadata: dict[str, str]) -> None:
        """What the file says of itself beside the network, a name and a text."""
        told = ["", ""]
        for number, kind, value in self.reader.fields(content):
            if number in (1, 2):
                told[number - 1] = pb.text(kind, value, MAX_TOLD)
        metadata[told[0]] = told[1]
        if len(metadata) > MAX_INPUTS:
            raise LabError(f"says more than {MAX_INPUTS} things of itself")

    def opset(self, content: memoryview) -> tuple[str, int]:
        domain, version = "", 0
        for number, kind, value in self.reader.fields(content):
            if number == 1:
                domain = pb.text(kind, value, MAX_NAME)
            elif number == 2:
                version = pb.whole(kind, value)
        return domain, version

    def graph(self, content: memoryview, model: Model) -> None:
        # Twice: what it is made of is counted before any of it is kept.
        counts = dict.fromkeys((1, 5, 11, 12), 0)
        parts = []
        for number, kind, value in self.reader.fields(content):
            if number == 15:
                raise LabError("has sparse weights, which are not supported")
            if number in counts:
                counts[number] += 1
                parts.append((number, pb.octets(kind, value)))
        most = {1: MAX_NODES, 5: MAX_WEIGHT_COUNT, 11: MAX_WEIGHT_COUNT, 12: MAX_INPUTS}
        words = {1: "nodes", 5: "weights", 11: "inputs", 12: "outputs"}
        for number, count in counts.items():
            if count > most[number]:
                told = f"{count:,} {words[number]}; at most {most[number]:,} are read"
                raise LabError(f"has {told}")
        for number, part in parts:
            if number == 1:
                model.nodes.append(self.node(part))
            elif number == 5:
                name, array = self.tensor(part)
                if not name or name in model.constants:
                    raise LabError(f"the weights {printable(name)!r} have no name, or stand twice")
                model.constants[name] = array
            else:
                (model.inputs if number == 11 else model.outputs).append(self.value(part))
        # Files of before 2019 name their weights as inputs too.
        model.inputs = [value for value in model.inputs if value.name not in model.constants]

    def node(self, content: memoryview) -> Node:
        op, about = "", {}
        inputs: list[str] = []
        outputs: list[str] = []
        for number, kind, value in self.reader.fields(content):
            if number in (1, 2):
                (inputs if number == 1 else outputs).append(pb.text(kind, value, MAX_NAME))
            elif number == 4:
                op = pb.text(kind, value, MAX_NAME)
            elif number == 5:
                name, said = self.attribute(pb.octets(kind, value))
                if name in about:
                    raise LabError(f"{printable(op, 30)} says {printable(name, 30)} twice")
                about[name] = said
            elif number == 7 and (domain := pb.text(kind, value, MAX_NAME)) not in ("", "ai.onnx"):
                whose = printable(domain, 40)
                raise LabError(f"has the operator {printable(op, 30)} of {whose!r}; not supported")
            if max(len(inputs), len(outputs), len(about)) > MAX_INPUTS:
                raise LabError(f"has a node with more than {MAX_INPUTS} inputs or outputs")
        return Node(op, tuple(inputs), tuple(outputs), about)

    def attribute(self, content: memoryview) -> tuple[str, Any]:
        said: Any = None
        name, many = "", []
        for number, kind, value in self.reader.fields(content):
            if number == 1:
                name = pb.text(kind, value, MAX_NAME)
            elif number == 2:
                said = pb.single(kind, value)
            elif number == 3:
                said = pb.whole(kind, value)
            elif number == 4:
                said = pb.text(kind, value, MAX_NAME)
            elif number == 5:
                said = self.tensor(pb.octets(kind, value))[1]
            elif number == 7:
                many += pb.floats(kind, value, "<f4").tolist()
            elif number == 8:
                many += self.reader.wholes(kind, value)
            elif number == 9:
                many.append(pb.text(kind, value, MAX_NAME))
            elif number in (6, 11):
                raise LabError("has a graph inside of a node (a branch or loop); not supported")
            elif number in (10, 14, 15, 21, 22, 23):
                raise LabError(f"says {printable(name, 30)!r} in a way that is not supported")
            if len(many) > MAX_INTS:
                raise LabError(f"says more than {MAX_INTS:,} things of a node")
        return name, many if said is None else said

    def value(self, content: memoryview) -> Value:
        name, shape = "", None
        for number, kind, value in self.reader.fields(content):
            if number == 1:
                name = pb.text(kind, value, MAX_NAME)
            elif number == 2:
                for tensor in self.inside(pb.octets(kind, value), 1):
                    for axes in self.inside(tensor, 2):
                        shape = self.shape(axes)
        return Value(name, shape)

    def inside(self, content: memoryview, wanted: int) -> Iterator[memoryview]:
        for number, kind, value in self.reader.fields(content):
            if number == wanted:
                yield pb.octets(kind, value)

    def shape(self, content: memoryview) -> tuple[int | None, ...]:
        found: list[int | None] = []
        for axis in self.inside(content, 1):
            size = None
            for number, kind, value in self.reader.fields(axis):
                if number == 1:
                    size = pb.whole(kind, value)
            found.append(size if size is not None and size > 0 else None)
            if len(found) > MAX_AXES:
                raise LabError(f"has an input of more than {MAX_AXES} axes")
        return tuple(found)

    def tensor(self, content: memoryview) -> tuple[str, np.ndarray]:
        """Name and values of a tensor, whose size is checked before any memory is taken."""
        name, kind_of, shape, raw, outside = "", 0, [], None, {}
        plain: list[np.ndarray] = []
        for number, kind, value in self.reader.fields(content):
            if number == 1:
                shape += self.reader.wholes(kind, value)
            elif number == 2:
                kind_of = pb.whole(kind, value)
            elif number == 4:
                plain.append(pb.floats(kind, value, "<f4"))
            elif number == 10:
                plain.append(pb.floats(kind, value, "<f8"))
            elif number in (5, 7):
                plain.append(np.array(self.reader.wholes(kind, value), np.int64))
            elif number == 8:
                name = pb.text(kind, value, MAX_NAME)
            elif number == 9:
                raw = pb.octets(kind, value)
            elif number == 13:
                key, said = self.pair(pb.octets(kind, value))
                outside[key] = said
            elif number in (3, 6, 11):
                raise LabError(f"the weights {printable(name)!r} are kept in an odd way")
        what = f"the weights {printable(name)!r}"
        try:
            count, size = self.measured(kind_of, shape)
            if outside:
                raw = self.elsewhere(outside, count * size)
            return name, _array(kind_of, tuple(shape), raw, plain)
        except LabError as error:
            raise LabError(f"{what}: {error}") from None

    def measured(self, kind: int, shape: list[int]) -> tuple[int, int]:
        """Numbers of a tensor and bytes of each, counted against what may still be read."""
        if kind not in (*_FLOATS, *_WHOLES):
            known = _KINDS.get(kind, f"unknown ({kind})")
            raise LabError(f"of the type {known}; float32, float16, bfloat16 and double are read")
        if len(shape) > MAX_AXES or any(not 0 <= n <= 1 << 40 for n in shape):
            raise LabError(f"the shape {printable(shape)} is none")
        count = math.prod(shape)
        self.left -= 4 * count
        if self.left < 0:
            raise LabError(f"weights of more than the {MAX_WEIGHTS // 10**6} MB allowed")
        if kind in _WHOLES and count > MAX_INTS:
            raise LabError(f"{count:,} whole numbers; a policy's weights are floats")
        return count, np.dtype((_FLOATS | _WHOLES)[kind]).itemsize

    def pair(self, content: memoryview) -> tuple[str, str]:
        found = {1: "", 2: ""}
        for number, kind, value in self.reader.fields(content):
            if number in found:
                found[number] = pb.text(kind, value, MAX_NAME)
        return found[1], found[2]

    def elsewhere(self, outside: Mapping[str, str], size: int) -> memoryview:
        """The bytes of weights in another file of the same folder."""
        name = outside.get("location", "")
        if not name or name != Path(name).name or name in (".", "..") or set(name) & set("\\:\0"):
            raise LabError(f"kept in {printable(name)!r}; only a file beside this one is read")
        ends = [outside.get("offset", "0"), outside.get("length", str(size))]
        if not all(end.isascii() and end.isdigit() and len(end) < 19 for end in ends):
            raise LabError(f"kept at the odd place {printable(ends)} of {printable(name)!r}")
        offset, length = map(int, ends)
        if name not in self.outside:
            room = MAX_TENSORS - sum(map(len, self.outside.values()))
            self.outside[name] = read_file(self.folder / name, room)
        content = self.outside[name]
        if length != size or offset + length > len(content):
            told = f"{size:,} bytes at {offset:,}, where {printable(name)!r} has {len(content):,}"
            raise LabError(f"kept elsewhere, and of {told}")
        return memoryview(content)[offset : offset + length]


def _array(
    kind: int, shape: tuple[int, ...], raw: memoryview | None, plain: list[np.ndarray]
) -> np.ndarray:
    """Values as float32, or int64 if they are whole; a LabError unless they are all there."""
    code, count = (_FLOATS | _WHOLES)[kind], math.prod(shape)
    if raw is not None:
        if len(raw) != count * np.dtype(code).itemsize:
            raise LabError(f"the shape {printable(shape)} but {len(raw):,} bytes")
        values = np.frombuffer(raw, code)
    else:
        values = np.concatenate(plain) if plain else np.zeros(0)
        if len(values) != count:
            raise LabError(f"the shape {printable(shape)} but {len(values):,} values")
        if kind in (10, _BFLOAT16):  # their bits as whole numbers
            values = (values.astype(np.int64) & 0xFFFF).astype(np.uint16).view(code)
    if kind in _WHOLES:
        return values.astype(np.int64).reshape(shape)
    if kind == _BFLOAT16:  # the upper half of a float32
        values = (values.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):
        values = values.astype(np.float32, copy=False).reshape(shape)
    if not np.isfinite(values).all():
        raise LabError("values that are not finite (NaN or infinity)")
    return values
