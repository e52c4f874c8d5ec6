"""The functions of torch that source text in TorchScript archives calls, as steps or as numbers.

What they do is said in the public documentation of torch. Functions that change their input in
place are read as if they made a new value; where the old one is used again, they are refused.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.policies.exports.program import Operand, Row
from rl_ablation.policies.exports.tensors import MOVES, Torch, whole


def _unary(do: str, place: bool = False, **usual: Any) -> Callable[..., Operand]:
    """A function of each number of a row, with what else it takes, in its order."""

    def made(torch: Torch, x: object, *args: Any, **named: Any) -> Operand:
        about = {**usual, **dict(zip(usual, args, strict=False)), **named}
        if len(args) > len(usual) or set(about) - set(usual):
            raise LabError("has more arguments than are known")
        about = {name: float(v) if type(v) is int else v for name, v in about.items()}
        if any(type(about[name]) is not type(value) for name, value in usual.items()):
            raise LabError("has arguments that are not known")
        row = torch.row(x)
        found = torch.program.unary(do, row, **about)
        if place:
            torch.replaced(row)
        return found

    return made


def _fixed(do: str, *usual: float) -> Callable[..., Operand]:
    """A function that is known with its usual arguments only."""

    def made(torch: Torch, x: object, *args: Any) -> Operand:
        if not all(a == b for a, b in zip(args, usual, strict=False)) or len(args) > len(usual):
            raise LabError(f"is known with its usual arguments {usual} only")
        return torch.program.unary(do, torch.row(x))

    return made


_NUMBERS: dict[str, Callable[..., np.ndarray]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power,
}  # fmt: skip


_PLAIN_NUMBERS: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul,
}  # fmt: skip
_MOST = 1 << 63


def _binary(do: str, place: bool = False) -> Callable[..., Operand]:
    def made(torch: Torch, x: object, y: object, alpha: object = 1) -> Any:
        if type(x) in (int, float) and type(y) in (int, float) and do in _PLAIN_NUMBERS:
            number = _PLAIN_NUMBERS[do](x, y)
            return number if abs(number) < _MOST else math.inf
        if alpha != 1:
            raise LabError("is known with alpha=1 only")
        first, second = torch.operand(x), torch.operand(y)
        if isinstance(first, Row) or isinstance(second, Row):
            found: Operand = torch.program.binary(do, first, second)
            if place:
                torch.replaced(torch.row(first))
            return found
        shape = np.broadcast_shapes(first.shape, second.shape)
        torch.program.fold(math.prod(shape))
        with np.errstate(all="ignore"):  # what is not finite is refused where it is kept
            return np.asarray(_NUMBERS[do](first.astype(float), second.astype(float)))

    return made


def _constant(function: Callable[[np.ndarray], np.ndarray], do: str = "") -> Callable[..., Operand]:
    def made(torch: Torch, x: object) -> Operand:
        part = torch.operand(x)
        if isinstance(part, Row):
            if do:
                return torch.program.unary(do, part)
            raise LabError("is known of constants only")
        torch.program.fold(part.size)
        with np.errstate(all="ignore"):
            return np.asarray(function(part.astype(float)))

    return made


def _neg(torch: Torch, x: object) -> Any:
    return _binary("mul")(torch, x, -1)


def _clip(torch: Torch, x: object, low: Any = None, high: Any = None, **named: Any) -> Operand:
    ends = [named.get("min", low), named.get("max", high)]
    if any(end is not None and type(end) not in (int, float) for end in ends):
        raise LabError("its ends are no numbers")
    return torch.program.unary("clip", torch.row(x), low=ends[0], high=ends[1])


def _linear(torch: Torch, x: object, weight: object, bias: object = None) -> Operand:
    shift = None if bias is None else torch.array(bias)
    return torch.program.linear(torch.row(x), torch.array(weight), shift)


def _addmm(torch: Torch, bias: object, x: object, weight: object, **named: object) -> Operand:
    if any(value != 1 for value in named.values()):
        raise LabError("is known with alpha=1 and beta=1 only")
    return torch.program.linear(torch.row(x), torch.array(weight).T, torch.array(bias))


def _matmul(torch: Torch, x: object, weight: object) -> Operand:
    return torch.program.linear(torch.row(x), torch.array(weight).T)


def _layer_norm(
    torch: Torch, x: object, over: Any, scale: Any = None, shift: Any = None, eps: float = 1e-5,
    *rest: object,
) -> Operand:  # fmt: skip
    row = torch.row(x)
    if over != [row.size] or row.shape[-1] != row.size or type(eps) is not float:
        raise LabError("is known over all values of one observation only")
    parts = [np.ones(row.size) if scale is None else torch.array(scale)]
    parts.append(np.zeros(row.size) if shift is None else torch.array(shift))
    names = [torch.program.constant(part) for part in parts]
    return torch.program.step("layer_norm", [row, *names], row.shape, eps=eps)


def _recurrent(do: str) -> Callable[..., tuple[Row, ...]]:
    """torch.lstm or torch.gru of one observation: (1, 1, D) to (1, 1, H) and the new states."""

    def made(torch: Torch, x: object, begin: Any, flat: Any, *said: Any) -> tuple[Row, ...]:
        has_bias, layers, dropout, _training, both, _batch_first = said
        states = [torch.state(part) for part in (begin if do == "lstm" else [begin])]
        each = 4 if has_bias is True else 2
        if both is not False or dropout != 0 or not 0 < whole(layers) <= 8:
            raise LabError("is known in one direction, without dropout, with up to 8 layers only")
        if len(flat) != each * layers or any(s.shape[:2] != (layers, 1) for s in states):
            raise LabError("its weights or states do not fit its layers")
        row, names = torch.row(x), ("hidden", "cell") if do == "lstm" else ("hidden",)
        new: list[list[Row]] = [[] for _ in states]
        if row.shape != (1, 1, row.size) or len(states) != len(names):
            raise LabError("is known for one observation at a time only")
        row = Row(row.name, (row.size,))
        for k in range(layers):
            weights = [torch.array(part) for part in flat[each * k : each * (k + 1)]]
            if each == 2:
                weights += [np.zeros(len(weights[0]))] * 2
            if do == "lstm":
                weights = [*weights[:2], weights[2] + weights[3]]
            parts = [torch.program.moved(s, _layer(k)) for s in states]
            row, after = torch.program.recurrent(
                do, row, weights, dict(zip(names, parts, strict=True))
            )
            for j, name in enumerate(names):
                new[j].append(_as_shape(after[name], (1, 1, row.size)))
        out = Row(row.name, (1, 1, row.size))
        return (out, *(torch.program.joined(parts, 0) for parts in new))

    return made


def _layer(k: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda values: values[k, 0]


def _as_shape(row: Row, shape: tuple[int, ...]) -> Row:
    return Row(row.name, shape, None if row.marks is None else row.marks.reshape(shape))


def _copy(torch: Torch, to: object, value: object, *rest: object) -> object:
    torch.write(to, value)
    return to


def _dropout(torch: Torch, x: Any, share: object = 0.5, training: object = False) -> Any:
    if training is not False and share != 0:
        raise LabError("is switched on; put the network in eval mode before export")
    return x


def _raise(torch: Torch, *args: object, **named: object) -> object:
    raise LabError("its source says that observations of this size are wrong")


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of plain numbers, texts and lists."""

    def made(torch: Torch, *args: Any) -> Any:
        for part in args:
            if not isinstance(part, bool | int | float | str | list | None):
                raise LabError("is known of plain values only")
        return function(*args)

    return made


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **MOVES,
    **{f"torch.{name}": _binary(name) for name in ("add", "sub", "mul", "div", "pow")},
    **{f"torch.{name}_": _binary(name, True) for name in ("add", "sub", "mul", "div")},
    **{f"torch.{name}": _unary(name) for name in ("relu", "tanh", "sigmoid", "silu", "mish")},
    **{f"torch.{name}_": _unary(name, True) for name in ("relu", "tanh", "sigmoid", "silu")},
    "torch.selu": _unary("selu"),
    "torch.elu": _unary("elu", alpha=1.0),
    "torch.elu_": _unary("elu", True, alpha=1.0),
    "torch.leaky_relu": _unary("leaky_relu", negative_slope=0.01),
    "torch.leaky_relu_": _unary("leaky_relu", True, negative_slope=0.01),
    "torch.gelu": _unary("gelu", approximate="none"),
    "torch.softplus": _fixed("softplus", 1, 20),
    "torch.erf": _unary("erf"),
    "torch.sqrt": _constant(np.sqrt, "sqrt"),
    "torch.rsqrt": _constant(lambda x: 1 / np.sqrt(x)),
    "torch.reciprocal": _constant(lambda x: 1 / x),
    "torch.neg": _neg,
    "torch.clamp": _clip,
    "torch.hardtanh": _clip,
    "torch.linear": _linear,
    "torch.addmm": _addmm,
    "torch.matmul": _matmul,
    "torch.mm": _matmul,
    "torch.layer_norm": _layer_norm,
    "torch.lstm": _recurrent("lstm"),
    "torch.gru": _recurrent("gru"),
    "torch.copy_": _copy,
    "torch.dropout": _dropout,
    "torch.list": _plain(list),
    "torch.len": _plain(len),
    "torch.format": lambda torch, *args: "",
    "torch.__is__": lambda torch, x, y: x is y,
    "torch.__isnot__": lambda torch, x, y: x is not y,
    "torch.__not__": _plain(lambda x: not x),
    "torch.__contains__": _plain(lambda values, x: x in values),
    "torch.eq": _plain(lambda x, y: x == y),
    "torch.ne": _plain(lambda x, y: x != y),
    "torch.gt": _plain(lambda x, y: x > y),
    "torch.lt": _plain(lambda x, y: x < y),
    "torch.ge": _plain(lambda x, y: x >= y),
    "torch.le": _plain(lambda x, y: x <= y),
    "int": _plain(int),
    "float": _plain(float),
    "bool": _plain(bool),
    "ops.prim.dtype": lambda torch, x: "",
    "ops.prim.device": lambda torch, x: "",
    "ops.prim.RaiseException": _raise,
}
"""Name in the source text → what it stands for."""
