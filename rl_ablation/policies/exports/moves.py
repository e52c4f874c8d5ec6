"""Operators of ONNX that only move numbers about, or make constants.

What they do is said in the public operator reference of ONNX.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.policies.exports.onnx import MAX_INTS, Node
from rl_ablation.policies.exports.program import Operand, Program, Row

Args = Sequence[Operand | None]


class Call(NamedTuple):
    """An operator at work: its node, what it is given, and where its steps go."""

    program: Program
    node: Node
    args: Args
    opset: int
    whole: bool
    """Whether the file takes whole sequences of observations, whose length it leaves open."""

    def arg(self, k: int) -> Operand | None:
        """The k-th input; None if it is left out."""
        return self.args[k] if k < len(self.args) else None

    def row(self, k: int = 0) -> Row:
        """The k-th input, which comes from the observations."""
        if not isinstance(found := self.arg(k), Row):
            raise LabError(f"its input {k} does not come from the observations")
        return found

    def fixed(self, k: int, what: str) -> np.ndarray:
        """The k-th input, which is constant."""
        if not isinstance(found := self.arg(k), np.ndarray):
            raise LabError(f"{what} (input {k}) is missing, or not constant")
        return found

    def said(self, name: str, otherwise: Any) -> Any:
        """What the node says of itself; it has to be of the kind of what it says otherwise."""
        found = self.node.about.get(name, otherwise)
        if otherwise is None or type(found) is type(otherwise):
            return found
        if not (isinstance(found, int) and isinstance(otherwise, float)):
            raise LabError(f"{name} is damaged")
        return found

    def wholes(self, name: str, k: int) -> list[int] | None:
        """Whole numbers that newer files give as input ``k``, and older ones as an attribute."""
        if self.arg(k) is not None:
            found = self.fixed(k, name)
            if found.dtype.kind != "i" or found.ndim > 1:
                raise LabError(f"{name} is no list of whole numbers")
            return [int(n) for n in found.reshape(-1)]
        said = self.node.about.get(name)
        if said is None:
            return None
        if not isinstance(said, list) or not all(type(n) is int for n in said):
            raise LabError(f"{name} is damaged")
        return said


def at_axis(axis: int, axes: int) -> int:
    """Number of an axis that may be counted from the end; a LabError if it is not there."""
    if not -axes <= axis < axes:
        raise LabError(f"it has no axis {axis}")
    return axis % axes


def _moving(call: Call, move: Callable[[np.ndarray], np.ndarray]) -> Operand:
    """Numbers moved about, of a row or of a constant."""
    part = call.arg(0)
    if isinstance(part, Row):
        return call.program.moved(part, move)
    if part is None:
        raise LabError("has no input")
    call.program.fold(part.size)
    return np.ascontiguousarray(move(part))


def _reshape(call: Call) -> Operand:
    part, sizes = call.arg(0), call.wholes("shape", 1)
    if part is None or sizes is None or len(sizes) > 8:
        raise LabError("its shape is missing, or has more than 8 axes")
    count, had = math.prod(part.shape), part.shape
    if not call.said("allowzero", 0):
        if any(n == 0 and k >= len(had) for k, n in enumerate(sizes)):
            raise LabError("its shape is damaged")
        sizes = [had[k] if n == 0 else n for k, n in enumerate(sizes)]
    if sizes.count(-1) == 1:
        rest = -math.prod(sizes)
        sizes = [count // rest if n == -1 and rest > 0 else n for n in sizes]
    if math.prod(sizes) != count or min(sizes, default=1) < 0:
        raise LabError(f"{count} values do not have the shape {sizes}; one observation at a time?")
    return _moving(call, lambda values: values.reshape(sizes))


def _flatten(call: Call) -> Operand:
    part, axis = call.arg(0), call.said("axis", 1)
    if part is None or not -len(part.shape) <= axis <= len(part.shape):
        raise LabError("its axis is damaged")
    first = math.prod(part.shape[:axis])
    return _moving(call, lambda values: values.reshape(first, -1))


def _squeeze(call: Call) -> Operand:
    part, axes = call.arg(0), call.wholes("axes", 1)
    shape = () if part is None else part.shape
    if axes is None:
        axes = [k for k, n in enumerate(shape) if n == 1]
    gone = {at_axis(axis, len(shape)) for axis in axes}
    if any(shape[k] != 1 for k in gone):
        raise LabError(f"takes an axis of more than 1 out of {shape}")
    left = [n for k, n in enumerate(shape) if k not in gone]
    return _moving(call, lambda values: values.reshape(left))


def _unsqueeze(call: Call) -> Operand:
    part, axes = call.arg(0), call.wholes("axes", 1)
    if part is None or axes is None or len(part.shape) + len(axes) > 8:
        raise LabError("its axes are missing, or more than 8")
    total = len(part.shape) + len(axes)
    new, left = {at_axis(axis, total) for axis in axes}, iter(part.shape)
    if len(new) != len(axes):
        raise LabError("its axes are damaged")
    sizes = [1 if k in new else next(left) for k in range(total)]
    return _moving(call, lambda values: values.reshape(sizes))


def _slice(call: Call) -> Operand:
    part = call.arg(0)
    starts, ends = call.wholes("starts", 1), call.wholes("ends", 2)
    if part is None or starts is None or ends is None:
        raise LabError("does not say from where to where")
    axes = call.wholes("axes", 3) or list(range(len(starts)))
    by = call.wholes("steps", 4) or [1] * len(starts)
    if len({len(starts), len(ends), len(axes), len(by)}) > 1 or 0 in by:
        raise LabError("does not say from where to where")
    cut = [slice(None)] * len(part.shape)
    for axis, start, end, step in zip(axes, starts, ends, by, strict=True):
        # As in NumPy; an end that is far below 0 is the one before the first.
        stop = None if step < 0 and end < -(1 << 30) else end
        cut[at_axis(axis, len(part.shape))] = slice(start, stop, step)
    return _moving(call, lambda values: values[tuple(cut)])


def _gather(call: Call) -> Operand:
    part, places = call.arg(0), call.fixed(1, "its indices")
    if part is None or places.dtype.kind != "i":
        raise LabError("its indices are no whole numbers")
    axis = at_axis(call.said("axis", 0), len(part.shape))
    size = part.shape[axis]
    if places.size and not (-size <= places.min() and places.max() < size):
        raise LabError(f"takes what its {size} values do not have")
    count = math.prod(part.shape) // max(size, 1) * places.size
    if count > MAX_INTS:
        raise LabError(f"gathers {count:,} values; at most {MAX_INTS:,} are read")
    return _moving(call, lambda values: np.take(values, places % size, axis))


def _transpose(call: Call) -> Operand:
    part = call.arg(0)
    axes = () if part is None else tuple(range(len(part.shape)))
    order = call.node.about.get("perm", list(reversed(axes)))
    if not isinstance(order, list) or sorted(order) != list(axes):
        raise LabError("its perm is damaged")
    return _moving(call, lambda values: values.transpose(order))


def _cutting(cut: tuple[slice, ...]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda values: values[cut]


def _split(call: Call) -> list[Operand]:
    part, outputs = call.arg(0), len(call.node.outputs)
    if part is None or not part.shape:
        raise LabError("has no input")
    axis = at_axis(call.said("axis", 0), len(part.shape))
    sizes, whole = call.wholes("split", 1), part.shape[axis]
    if sizes is None:
        each = -(-whole // outputs)
        sizes = [min(each, whole - k * each) for k in range(outputs)]
    if len(sizes) != outputs or min(sizes) <= 0 or sum(sizes) != whole:
        raise LabError(f"{whole} values cannot be split into {sizes}")
    found, start = [], 0
    for size in sizes:
        cut = (slice(None),) * axis + (slice(start, start + size),)
        found.append(_moving(call, _cutting(cut)))
        start += size
    return found


def _concat(call: Call) -> Operand:
    parts = [part for part in call.args if part is not None]
    if not parts or len({len(part.shape) for part in parts}) > 1:
        raise LabError("its inputs do not fit one another")
    axis = at_axis(call.said("axis", 0), len(parts[0].shape))
    if len({(*p.shape[:axis], *p.shape[axis + 1 :]) for p in parts}) > 1:
        raise LabError("its inputs do not fit one another")
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    rows = [part for part in parts if isinstance(part, Row)]
    if arrays and rows:
        raise LabError("joins constants to what comes from the observations")
    if rows:
        return call.program.joined(rows, axis)
    call.program.fold(sum(part.size for part in arrays))
    return np.concatenate(arrays, axis)


def same(call: Call) -> Operand:
    """The input as it is."""
    return _moving(call, lambda values: values)


def _cast(call: Call) -> Operand:
    part, to = call.arg(0), call.said("to", 0)
    if to in (1, 10, 11, 16):
        if isinstance(part, np.ndarray):
            call.program.fold(part.size)
            return part.astype(float)
        return same(call)
    if to in (6, 7, 9) and isinstance(part, np.ndarray) and part.size <= MAX_INTS:
        if not (np.abs(part) < 2**31).all():
            raise LabError("makes whole numbers that are too large")
        return part.astype(np.int64)
    raise LabError("makes whole numbers of what comes from the observations")


def _constant(call: Call) -> Operand:
    (said,) = list(call.node.about.values()) or [None]
    if isinstance(said, np.ndarray):
        return said
    if isinstance(said, list | int | float) and not any(isinstance(x, str) for x in np.ravel(said)):
        return np.array(said)
    raise LabError("has no value that could be read")


def _filled(call: Call) -> Operand:
    sizes, value = call.wholes("shape", 0), call.said("value", None)
    if sizes is None or len(sizes) > 8 or not all(0 < n <= MAX_INTS for n in sizes):
        raise LabError("its shape is damaged")
    if (count := math.prod(sizes)) > MAX_INTS:
        raise LabError(f"fills {count:,} values; at most {MAX_INTS:,} are read")
    call.program.fold(count)
    return np.full(sizes, 0.0 if value is None else np.reshape(value, -1)[0])


def _expand(call: Call) -> Operand:
    part, sizes = call.arg(0), call.wholes("shape", 1)
    if part is None or sizes is None or len(sizes) > 8 or not all(0 < n <= MAX_INTS for n in sizes):
        raise LabError("its shape is damaged")
    try:
        shape = np.broadcast_shapes(part.shape, tuple(sizes))
    except ValueError:
        raise LabError("its shape does not fit") from None
    if (count := math.prod(shape)) > MAX_INTS:
        raise LabError(f"spreads {count:,} values; at most {MAX_INTS:,} are read")
    return _moving(call, lambda values: np.broadcast_to(values, shape))


def _shape(call: Call) -> Operand:
    if (part := call.arg(0)) is None:
        raise LabError("has no input")
    return np.array(part.shape, np.int64)


class Known(NamedTuple):
    """An operator: what it makes of a `Call`, and what its nodes may say of themselves."""

    make: Callable[[Call], Operand | list[Operand]]
    says: tuple[str, ...] = ()


def _dropout(call: Call) -> Operand:
    if call.arg(2) is not None and np.any(call.fixed(2, "training_mode")):
        raise LabError("is switched on; export the network for inference")
    return same(call)


MOVES: Mapping[str, Known] = {
    "Identity": Known(same),
    "Dropout": Known(_dropout, ("ratio", "seed")),
    "Cast": Known(_cast, ("to", "saturate")),
    "Constant": Known(
        _constant, ("value", "value_float", "value_floats", "value_int", "value_ints")
    ),
    "ConstantOfShape": Known(_filled, ("value",)),
    "Expand": Known(_expand),
    "Shape": Known(_shape),
    "Reshape": Known(_reshape, ("allowzero",)),
    "Flatten": Known(_flatten, ("axis",)),
    "Squeeze": Known(_squeeze, ("axes",)),
    "Unsqueeze": Known(_unsqueeze, ("axes",)),
    "Slice": Known(_slice, ("starts", "ends", "axes")),
    "Split": Known(_split, ("axis", "split", "num_outputs")),
    "Gather": Known(_gather, ("axis",)),
    "Transpose": Known(_transpose, ("perm",)),
    "Concat": Known(_concat, ("axis",)),
}
