"""What the functions of TorchScript's source text work on, and those that only move numbers about.

What they do is said in the public documentation of torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.policies.exports.program import Operand, Program, Row
from rl_ablation.policies.graph import OBS

_FAR = 1 << 31


class Kept:
    """A tensor of an object of the archive, which its source may write to."""

    def __init__(self, key: tuple[int, str], values: np.ndarray) -> None:
        self.key, self.values = key, values

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.values.shape


class Torch:
    """Where the functions put their steps, and what is known of tensors that are written to."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.kept_ones: dict[tuple[int, str], Kept] = {}
        self.states: dict[tuple[int, str], Row] = {}
        self.written: dict[tuple[int, str], Row] = {}
        self.gone: set[str] = set()

    def kept(self, key: tuple[int, str], load: Callable[[], np.ndarray]) -> Kept:
        """A tensor, read when it is first asked for."""
        if key not in self.kept_ones:
            values = load()
            if not np.isfinite(values).all():
                raise LabError(f"{key[1]} holds values that are not finite (NaN or infinity)")
            self.program.fold(values.size)
            self.kept_ones[key] = Kept(key, values)
        return self.kept_ones[key]

    def write(self, to: object, value: object) -> None:
        """Note what the source writes to a tensor of an object."""
        if not isinstance(to, Kept) or not isinstance(value, Row) or to.key in self.written:
            raise LabError("its source writes to something that is no state of a memory")
        if to.shape != value.shape:
            raise LabError(f"its source writes {value.shape} to a state {to.shape}")
        self.written[to.key] = value

    def state(self, part: object) -> Row:
        """The state that a recurrent layer begins from."""
        if isinstance(part, Row):
            return part
        if not isinstance(part, Kept) or part.key in self.written:
            raise LabError("a memory that begins from zeros in every call, so remembers nothing")
        if part.values.any():
            raise LabError("a memory whose state in the file is not zero; reset it before export")
        if part.key not in self.states:
            self.states[part.key] = self.program.state(part.shape)
        return self.states[part.key]

    def row(self, value: object) -> Row:
        """A value that comes from the observation, and is still what it was."""
        if not isinstance(value, Row):
            raise LabError("its input does not come from the observation")
        if value.name in self.gone:
            raise LabError("its input was changed in place before")
        return value

    def operand(self, value: object) -> Operand:
        """A row or a constant."""
        if isinstance(value, Row):
            return self.row(value)
        if isinstance(value, Kept):
            if value.key in self.states or value.key in self.written:
                raise LabError("uses a state otherwise than as a memory")
            return value.values
        if isinstance(value, np.ndarray):
            return value
        if isinstance(value, bool | int | float):
            return np.array(float(value))
        raise LabError("an input that is no tensor or number")

    def array(self, value: object) -> np.ndarray:
        """A constant."""
        found = self.operand(value)
        if isinstance(found, Row):
            raise LabError("weights that come from the observation")
        return found

    def replaced(self, row: Row) -> None:
        """Note that a function changes its input in place."""
        taken = any(row.name in step.of for step in self.program.steps[:-1])
        made = next((s for s in self.program.steps if s.to == row.name), None)
        if row.name == OBS or made is None or made.do == "slice" or taken:
            raise LabError("changes in place what is used elsewhere")
        self.gone.add(row.name)


def whole(value: object) -> int:
    """A whole number; a LabError if it is none."""
    if type(value) is not int or abs(value) > 1 << 63:
        raise LabError("an argument is no whole number")
    return value


def at_axis(value: object, axes: int) -> int:
    """Number of an axis that may be counted from the end; a LabError if it is not there."""
    axis = whole(value)
    if not -axes <= axis < axes:
        raise LabError(f"there is no axis {axis}")
    return axis % axes


def _moving(torch: Torch, x: object, move: Callable[[np.ndarray], np.ndarray]) -> Operand:
    part = torch.operand(x)
    if isinstance(part, Row):
        return torch.program.moved(part, move)
    torch.program.fold(part.size)
    return move(part)


def _same(torch: Torch, x: Any, *rest: object, **named: object) -> Any:
    return x


def _to(torch: Torch, x: Any, *said: object, **named: object) -> Any:
    kinds = [part for part in (*said, *named.values()) if type(part) is int]
    if any(kind not in (5, 6, 7, 15) for kind in kinds):  # torch's numbers of types of floats
        raise LabError("makes other than floats of its input")
    return x


def _slice(
    torch: Torch, x: Any, dim: object = 0, start: Any = None, end: Any = None, step: object = 1
) -> Any:
    far = end is None or (type(end) is int and end > _FAR)
    if isinstance(x, Kept) and start in (None, 0) and far and step == 1:
        return x  # all of it, still the tensor that can be written to
    axis = at_axis(dim, len(torch.operand(x).shape))
    if any(end_ is not None and type(end_) is not int for end_ in (start, end)) or whole(step) < 1:
        raise LabError("does not say from where to where")
    stop = None if end is None or end > _FAR else end
    cut = (slice(None),) * axis + (slice(start, stop, step),)
    return _moving(torch, x, lambda values: values[cut])


def _select(torch: Torch, x: object, dim: object, at: object) -> Operand:
    shape = torch.operand(x).shape
    axis = at_axis(dim, len(shape))
    place = at_axis(at, shape[axis])
    return _moving(torch, x, lambda values: np.take(values, place, axis))


def _unsqueeze(torch: Torch, x: object, dim: object) -> Operand:
    shape = torch.operand(x).shape
    axis = at_axis(dim, len(shape) + 1)
    return _moving(torch, x, lambda values: np.expand_dims(values, axis))


def _squeeze(torch: Torch, x: object, dim: object = None) -> Operand:
    shape = torch.operand(x).shape
    gone = {k for k, n in enumerate(shape) if n == 1}
    if dim is not None:
        gone &= {at_axis(dim, len(shape))}
    left = [n for k, n in enumerate(shape) if k not in gone]
    return _moving(torch, x, lambda values: values.reshape(left))


def _reshape(torch: Torch, x: object, sizes: Any) -> Operand:
    count = math.prod(torch.operand(x).shape)
    wanted = [whole(n) for n in sizes]
    if wanted.count(-1) == 1 and (rest := -math.prod(wanted)) > 0:
        wanted = [count // rest if n == -1 else n for n in wanted]
    if math.prod(wanted) != count or min(wanted, default=1) < 0 or len(wanted) > 8:
        raise LabError(f"{count} values do not have the shape {wanted[:8]}")
    return _moving(torch, x, lambda values: values.reshape(wanted))


def _flatten(torch: Torch, x: object, start: object = 0, end: object = -1) -> Operand:
    shape = torch.operand(x).shape
    first, last = at_axis(start, len(shape)), at_axis(end, len(shape))
    wanted = [*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]]
    return _moving(torch, x, lambda values: values.reshape(wanted))


def _transposed(torch: Torch, x: object) -> Operand:
    return _moving(torch, x, lambda values: values.T)


def _parts(torch: Torch, x: object, size: Any, dim: object = 0) -> list[Operand]:
    """torch.split, and split_with_sizes."""
    shape = torch.operand(x).shape
    axis = at_axis(dim, len(shape))
    count = shape[axis]
    if isinstance(size, list):
        sizes = [whole(n) for n in size]
    else:
        sizes = [min(whole(size), count - k) for k in range(0, count, max(whole(size), 1))]
    if not sizes or min(sizes) <= 0 or sum(sizes) != count or len(sizes) > 1_000:
        raise LabError(f"{count} values cannot be split so")
    found, start = [], 0
    for n in sizes:
        found.append(_slice(torch, x, axis, start, start + n))
        start += n
    return found


def _chunk(torch: Torch, x: object, parts: object, dim: object = 0) -> list[Operand]:
    shape = torch.operand(x).shape
    count = shape[at_axis(dim, len(shape))]
    return _parts(torch, x, -(-count // max(whole(parts), 1)), dim)


def _cat(torch: Torch, parts: Sequence[object], dim: object = 0) -> Operand:
    rows = [torch.row(part) for part in parts]
    axis = at_axis(dim, len(rows[0].shape))
    if len({(*r.shape[:axis], *r.shape[axis + 1 :]) for r in rows}) > 1:
        raise LabError("joins values that do not fit")
    return torch.program.joined(rows, axis)


def _size(torch: Torch, x: Any, dim: object = None) -> Any:
    shape = torch.operand(x).shape if not isinstance(x, Kept | Zeros) else x.shape
    return list(shape) if dim is None else shape[at_axis(dim, len(shape))]


class Zeros:
    """Zeros that the source makes: the state of a memory that begins anew in every call."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(map(whole, shape))


def _zeros(torch: Torch, shape: Any, *rest: object, **named: object) -> Zeros:
    return Zeros(shape)


def _dim(torch: Torch, x: Any) -> int:
    return len(_size(torch, x))


MOVES: Mapping[str, Callable[..., Any]] = {
    "torch.t": _transposed,
    "torch.numpy_T": _transposed,
    "torch.cat": _cat,
    "torch.slice": _slice,
    "torch.select": _select,
    "torch.unsqueeze": _unsqueeze,
    "torch.squeeze": _squeeze,
    "torch.reshape": _reshape,
    "torch.view": _reshape,
    "torch.flatten": _flatten,
    "torch.split": _parts,
    "torch.split_with_sizes": _parts,
    "torch.chunk": _chunk,
    "torch.size": _size,
    "torch.dim": _dim,
    **{f"torch.{name}": _same for name in ("contiguous", "detach", "clone", "alias")},
    "ops.prim.NumToTensor": _same,
    "torch.to": _to,
    "torch.zeros": _zeros,
}
"""Name in the source text → what it stands for."""
