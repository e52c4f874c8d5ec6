"""The operators of ONNX that are known here, each as steps or, of constants only, as numbers.

What they do is said in the public operator reference of ONNX. An operator that is not in the table
at the end, or that says of itself what is not named there, is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.policies.exports.moves import MOVES, Call, Known, at_axis
from rl_ablation.policies.exports.onnx import Model, Node, Value
from rl_ablation.policies.exports.program import Operand, Program, Row, check_states, renewed
from rl_ablation.policies.sb3.pickles import printable

_NUMBERS: dict[str, Callable[..., np.ndarray]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power,
    "sqrt": np.sqrt,
}  # fmt: skip


def _binary(do: str) -> Callable[[Call], Operand]:
    def made(call: Call) -> Operand:
        first, second = call.arg(0), call.arg(1)
        if first is None or second is None:
            raise LabError("lacks an input")
        if isinstance(first, Row) or isinstance(second, Row):
            return call.program.binary(do, first, second)
        try:
            shape = np.broadcast_shapes(first.shape, second.shape)
        except ValueError:
            raise LabError(f"constants {first.shape} and {second.shape} do not fit") from None
        call.program.fold(math.prod(shape))
        if first.dtype.kind == second.dtype.kind == "i":
            if do not in ("add", "sub", "mul"):
                raise LabError("of whole numbers it is not supported")
            return np.asarray(_NUMBERS[do](first, second))
        with np.errstate(all="ignore"):  # what is not finite is refused where it is kept
            return np.asarray(_NUMBERS[do](first.astype(float), second.astype(float)))

    return made


def _sqrt(call: Call) -> Operand:
    if isinstance(part := call.arg(0), Row):
        return call.program.unary("sqrt", part)
    values = call.fixed(0, "its input")
    call.program.fold(values.size)
    with np.errstate(all="ignore"):
        return np.sqrt(values.astype(float))


def _reciprocal(call: Call) -> Operand:
    one: Operand = np.ones(())
    return _binary("div")(call._replace(args=[one, call.arg(0)]))


def _negative(call: Call) -> Operand:
    return _binary("mul")(call._replace(args=[call.arg(0), np.full((), -1.0)]))


def _unary(do: str, **names: tuple[str, Any]) -> Callable[[Call], Operand]:
    """A function of a row; ``names`` are what it is about: our name → (ONNX's name, default)."""

    def made(call: Call) -> Operand:
        about = {our: call.said(name, usual) for our, (name, usual) in names.items()}
        return call.program.unary(do, call.row(), **about)

    return made


def _selu(call: Call) -> Operand:
    usual = (call.said("alpha", 1.67326319), call.said("gamma", 1.05070102))
    if not np.allclose(usual, (1.67326319, 1.05070102), rtol=1e-6):
        raise LabError("is known with its usual alpha and gamma only")
    return call.program.unary("selu", call.row())


def _clip(call: Call) -> Operand:
    ends: list[float | None] = []
    for k, name in ((1, "min"), (2, "max")):
        end = call.node.about.get(name) if call.arg(k) is None else call.fixed(k, name)
        if end is not None and np.size(end) != 1:
            raise LabError("its ends are no single numbers")
        ends.append(None if end is None else float(np.reshape(end, ())))
    return call.program.unary("clip", call.row(), low=ends[0], high=ends[1])


def _gemm(call: Call) -> Operand:
    weight = call.fixed(1, "its weight")
    if call.said("transA", 0) or weight.ndim != 2:
        raise LabError("is known with transA=0 and a weight of two axes only")
    weight = weight if call.said("transB", 0) else weight.T
    if (alpha := call.said("alpha", 1.0)) != 1:
        call.program.fold(weight.size)
        weight = weight * alpha
    bias = None
    if call.arg(2) is not None:
        given = call.fixed(2, "its bias")
        if given.size not in (1, len(weight)) or given.shape[-1:] not in ((), (given.size,)):
            raise LabError(f"its bias {given.shape} does not fit its weight {weight.shape}")
        bias = np.broadcast_to(given.reshape(-1), (len(weight),)) * call.said("beta", 1.0)
    return call.program.linear(call.row(), weight, bias)


def _matmul(call: Call) -> Operand:
    weight = call.fixed(1, "its second factor")
    if weight.ndim != 2:
        raise LabError("is known with a weight of two axes only")
    return call.program.linear(call.row(), weight.T)


def _mean(call: Call) -> Operand:
    row, axes = call.row(), call.wholes("axes", 1)
    if not axes and call.said("noop_with_empty_axes", 0):
        raise LabError("is known with axes only")
    gone = {at_axis(k, len(row.shape)) for k in axes or range(len(row.shape))}
    if row.size == 1 or math.prod(row.shape[k] for k in gone) != row.size:
        raise LabError("is known as the mean of all values of one observation only")
    keep = call.said("keepdims", 1)
    shape = [1 if k in gone else n for k, n in enumerate(row.shape) if keep or k not in gone]
    return call.program.step("mean", [row], tuple(shape))


def _layer_norm(call: Call) -> Operand:
    row, scale = call.row(), call.fixed(1, "its scale")
    at_axis(call.said("axis", -1), len(row.shape))
    shift = np.zeros(row.size) if call.arg(2) is None else call.fixed(2, "its shift")
    if scale.size != row.size or shift.size != row.size or row.shape[-1] != row.size:
        raise LabError(f"its scale {scale.shape} does not fit values {row.shape}")
    names = [call.program.constant(part.reshape(-1)) for part in (scale, shift)]
    eps = call.said("epsilon", 1e-5)
    return call.program.step("layer_norm", [row, *names], row.shape, eps=eps)


def _recurrent(do: str, order: Sequence[int]) -> Callable[[Call], list[Operand]]:
    """An LSTM or GRU; ``order`` says where torch's gates stand among ONNX's."""

    def made(call: Call) -> list[Operand]:
        _check_recurrent(call, do)
        row = call.row()
        given = [call.fixed(1, "W"), call.fixed(2, "R")]
        units, gates = given[1].shape[-1], len(order)
        bias = np.zeros((1, 2 * gates * units)) if call.arg(3) is None else call.fixed(3, "B")
        fits = [part.shape[:2] == (1, gates * units) for part in given]
        if row.shape != (1, 1, row.size) or not all(fits) or bias.shape != (1, 2 * gates * units):
            raise LabError(f"weights {given[0].shape} do not fit values {row.shape}")
        call.program.fold(2 * sum(part.size for part in given))

        def ordered(part: np.ndarray) -> np.ndarray:
            return np.concatenate([part[k * units : (k + 1) * units] for k in order])

        biases = [ordered(half) for half in np.split(bias[0], 2)]
        weights = [ordered(part[0]) for part in given]
        weights += [biases[0] + biases[1]] if do == "lstm" else biases
        flat = Row(row.name, (row.size,))
        names = ("hidden", "cell") if do == "lstm" else ("hidden",)
        states = {name: _initial(call, 5 + k) for k, name in enumerate(names)}
        out, new = call.program.recurrent(do, flat, weights, states)
        made = [Row(out.name, (1, 1, 1, units), new["hidden"].marks)]
        made += [Row(part.name, (1, 1, units), part.marks) for part in new.values()]
        return [Row(r.name, r.shape, r.marks.reshape(r.shape)) for r in made]  # type: ignore[union-attr]

    return made


def _check_recurrent(call: Call, do: str) -> None:
    said, usual = call.node.about, {"direction": "forward", "layout": 0, "input_forget": 0}
    if odd := [name for name, value in usual.items() if said.get(name, value) != value]:
        raise LabError(f"is known with {odd[0]}={usual[odd[0]]} only")
    functions = {"lstm": ["Sigmoid", "Tanh", "Tanh"], "gru": ["Sigmoid", "Tanh"]}[do]
    if said.get("activations", functions) != functions or "clip" in said:
        raise LabError("is known with its usual activations and no clip only")
    if do == "gru" and said.get("linear_before_reset", 0) != 1:
        raise LabError("is known with linear_before_reset=1, as torch exports it, only")
    if call.arg(7) is not None:
        raise LabError("has peepholes, which are not supported")
    lengths = call.arg(4)
    if lengths is not None and not (isinstance(lengths, np.ndarray) and (lengths == 1).all()):
        raise LabError("has sequence lengths, which are not supported")


def _initial(call: Call, k: int) -> Row | None:
    """The state that comes in; None where the file begins a whole sequence from zeros."""
    given = call.arg(k)
    if isinstance(given, Row):
        return given
    if given is not None and np.any(given):
        raise LabError("begins from constants that are not zero")
    if not call.whole:
        raise LabError(
            "begins from zeros in every call, so it remembers nothing; export it with its states "
            "as inputs and outputs"
        )
    return None


_STATES = (
    "hidden_size", "direction", "activations", "layout", "input_forget", "linear_before_reset",
)  # fmt: skip
OPERATORS: Mapping[str, Known] = {
    **{name: Known(_binary(name.lower())) for name in ("Add", "Sub", "Mul", "Div", "Pow")},
    **{name: Known(_unary(name.lower())) for name in ("Relu", "Tanh", "Sigmoid", "Softplus")},
    "Softsign": Known(_unary("softsign")),
    "Mish": Known(_unary("mish")),
    "Erf": Known(_unary("erf")),
    "Elu": Known(_unary("elu", alpha=("alpha", 1.0)), ("alpha",)),
    "LeakyRelu": Known(_unary("leaky_relu", negative_slope=("alpha", 0.01)), ("alpha",)),
    "Gelu": Known(_unary("gelu", approximate=("approximate", "none")), ("approximate",)),
    "Selu": Known(_selu, ("alpha", "gamma")),
    "Sqrt": Known(_sqrt),
    "Reciprocal": Known(_reciprocal),
    "Neg": Known(_negative),
    "Clip": Known(_clip, ("min", "max")),
    "Gemm": Known(_gemm, ("alpha", "beta", "transA", "transB")),
    "MatMul": Known(_matmul),
    "ReduceMean": Known(_mean, ("axes", "keepdims", "noop_with_empty_axes")),
    "LayerNormalization": Known(_layer_norm, ("axis", "epsilon", "stash_type")),
    "LSTM": Known(_recurrent("lstm", (0, 2, 3, 1)), _STATES),
    "GRU": Known(_recurrent("gru", (1, 0, 2)), _STATES),
    **MOVES,
}


def run(model: Model) -> tuple[Program, Row]:
    """The steps of a file, and the action among what they make.

    Raises:
        LabError: An operator that is not known, or used as it is not known; values that are made
            nowhere, or twice; inputs and outputs that are no observations, states and actions.
    """
    program = Program()
    values: dict[str, Operand] = dict(model.constants)
    ins = _inputs(model, program)
    for name, row in ins.items():
        if name in values:
            raise LabError(f"has two inputs {printable(name)!r}")
        values[name] = row
    first = model.inputs[0] if model.inputs else Value("", ())
    open_start = first.shape is not None and len(first.shape) == 3 and first.shape[0] is None
    # With axes exchanged on the way, nothing shows that the open one is time.
    open_start = open_start and not any(node.op == "Transpose" for node in model.nodes)
    for node in _ordered(model.nodes, set(values)):
        known, shown = OPERATORS.get(node.op), printable(node.op, 40)
        if known is None:
            raise LabError(f"has the operator {shown}, which is not known here")
        if odd := [name for name in node.about if name not in known.says]:
            raise LabError(f"{shown} says {printable(odd[0], 40)!r}, which is not known here")
        args = [values[name] if name else None for name in node.inputs]
        try:
            made = known.make(Call(program, node, args, model.opset, open_start))
        except LabError as error:
            raise LabError(f"operator {shown}: {error}") from None
        found = made if isinstance(made, list) else [made]
        if len(found) < len(node.outputs) and any(node.outputs[len(found) :]):
            raise LabError(f"operator {shown} gives more than is known here")
        values |= {name: part for name, part in zip(node.outputs, found, strict=False) if name}
    return program, _action(model, values, list(ins.values()))


def _inputs(model: Model, program: Program) -> dict[str, Row]:
    """Inputs by name: the first are the observations, others have to be states."""
    found: dict[str, Row] = {}
    for k, value in enumerate(model.inputs):
        shown = printable(value.name)
        if value.shape is None or value.name in found:
            raise LabError(f"the input {shown!r} has no shape, or stands twice")
        if k == 0 and value.shape[-1:] == (None,):
            raise LabError(f"the input {shown!r} does not say how many observations it takes")
        shape = tuple(1 if n is None else n for n in value.shape)
        if k == 0 and len(shape) > 1 and shape[0] != 1:
            raise LabError(
                f"the input {shown!r} is for {shape[0]} robots at once; export it for one"
            )
        found[value.name] = program.state(shape) if k else program.obs(shape)
    if not found:
        raise LabError("has no input")
    return found


def _ordered(nodes: Sequence[Node], there: set[str]) -> list[Node]:
    """The nodes, each after those that make what it takes; a LabError if that cannot be."""
    makers: dict[str, int] = {}
    for k, node in enumerate(nodes):
        for name in filter(None, node.outputs):
            if name in there or name in makers:
                raise LabError(f"the value {printable(name)!r} is made twice")
            makers[name] = k
    needs = [{makers[n] for n in node.inputs if n in makers} for node in nodes]
    for node in nodes:
        for name in filter(None, node.inputs):
            if name not in there and name not in makers:
                raise LabError(f"the value {printable(name)!r} is made nowhere")
    waiting: dict[int, list[int]] = {}
    for k, needed in enumerate(needs):
        for other in needed:
            waiting.setdefault(other, []).append(k)
    ready, order = [k for k, needed in enumerate(needs) if not needed], []
    while ready:
        order.append(ready.pop(0))
        for k in waiting.get(order[-1], ()):
            needs[k].discard(order[-1])
            if not needs[k]:
                ready.append(k)
    if len(order) < len(nodes):
        stuck = next(node for k, node in enumerate(nodes) if needs[k])
        raise LabError(f"goes round in a circle at {printable(stuck.op, 40)}")
    return [nodes[k] for k in order]


def _action(model: Model, values: Mapping[str, Operand], ins: Sequence[Row]) -> Row:
    """The output that is no state, or the first that is named after actions."""
    outs: dict[str, Row] = {}
    for value in model.outputs:
        if not isinstance(found := values.get(value.name), Row):
            raise LabError(f"the output {printable(value.name)!r} is none of the observations")
        outs[value.name] = found
    check_states(ins[1:], list(outs.values()))
    asked = [renewed(row.marks).reshape(-1).tolist() for row in ins[1:] if row.marks is not None]
    states = [
        name for name, row in outs.items()
        if row.marks is not None and row.marks.reshape(-1).tolist() in asked
    ]  # fmt: skip
    left = [name for name in outs if name not in states]
    named = [name for name in left if "action" in name.lower()]
    if len(left) != 1 and len(named) != 1:
        told = ", ".join(printable(name, 30) for name in left[:8]) or "none but states"
        raise LabError(f"which output is the action? It has: {told}")
    return outs[left[0] if len(left) == 1 else named[0]]
