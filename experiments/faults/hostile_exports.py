"""Hostile ONNX files, TorchScript archives and checkpoints of torch; see `hostile`."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from experiments.faults import makings as m
from experiments.faults.hostile import ODD, RAN, Draw, Hostile, family, near, pick, word
from experiments.faults.hostile_zips import corrupted

# Protocol Buffers, field by field.


def varint(value: int) -> bytes:
    """A whole number of 64 bits."""
    value, out = value % (1 << 64), b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number: int, value: int | str | bytes) -> bytes:
    """A field of a message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def weights(label: str, values: np.ndarray, **changes: bytes | None) -> bytes:
    """A tensor; ``dims``, ``kind`` and ``raw`` can be said otherwise, None leaves them out."""
    parts = {
        "dims": b"".join(field(1, n) for n in values.shape),
        "kind": field(2, 1),
        "label": field(8, label),
        "raw": field(9, values.astype("f4").tobytes()),
        **changes,
    }
    return b"".join(part for part in parts.values() if part is not None)


def node(op: str, ins: Sequence[str], outs: Sequence[str], more: bytes = b"") -> bytes:
    """An operator."""
    names = b"".join(field(1, n) for n in ins) + b"".join(field(2, n) for n in outs)
    return names + field(4, op) + more


def value(label: str, *shape: int) -> bytes:
    """An input or output."""
    axes = b"".join(field(1, field(1, n)) for n in shape)
    return field(1, label) + field(2, field(1, field(1, 1) + field(2, axes)))


def onnx(
    nodes: Sequence[bytes] | None = None, inits: Sequence[bytes] | None = None, more: bytes = b"",
    graph: bytes = b"", ins: Sequence[bytes] | None = None,
) -> bytes:  # fmt: skip
    """A file of a network of two layers, but for what is said otherwise."""
    (w0, b0), (w1, b1), _ = m.layers()
    turned = field(5, field(1, "transB") + field(3, 1) + field(20, 2))
    usual = [
        node("Gemm", ["obs", "w0", "b0"], ["a"], turned),
        node("Elu", ["a"], ["b"]),
        node("Gemm", ["b", "w1", "b1"], ["action"], turned),
    ]
    kept = [weights(k, v) for k, v in {"w0": w0, "b0": b0, "w1": w1, "b1": b1}.items()]
    given = [value("obs", 1, m.SIZES[0])] if ins is None else ins
    parts = [field(1, part) for part in (usual if nodes is None else nodes)]
    parts += [field(5, part) for part in (kept if inits is None else inits)]
    parts += [field(11, part) for part in given]
    parts += [field(12, value("action", 1, m.SIZES[2])), graph]
    whole = field(7, b"".join(parts))
    return field(1, 8) + field(2, "x") + field(8, field(1, "") + field(2, 17)) + whole + more


def _outside(location: str, offset: str = "0", length: str = "16") -> bytes:
    """A file whose weights lie in another one."""
    said = {"location": location, "offset": offset, "length": length}
    pairs = b"".join(field(13, field(1, k) + field(2, v)) for k, v in said.items())
    kept = weights("w", np.zeros((4,)), raw=pairs + field(14, 1))
    return onnx([node("Add", ["obs", "w"], ["action"])], [kept])


def _said(dims: Sequence[int], kind: int = 1, raw: bytes | None = b"") -> bytes:
    """A file with weights that claim a shape or a type."""
    shape = b"".join(field(1, n) for n in dims)
    content = None if raw is None else field(9, raw)
    kept = weights("w", np.zeros(1), dims=shape, kind=field(2, kind), raw=content)
    return onnx([node("Add", ["obs", "w"], ["action"])], [kept])


def _nested(depth: int) -> bytes:
    """Graphs inside of attributes inside of graphs."""
    inner = b""
    for _ in range(depth):
        inner = field(1, node("If", ["obs"], ["action"], field(5, field(1, "t") + field(6, inner))))
    return onnx(graph=inner)


def _chain(op: str, count: int) -> bytes:
    names = ["obs", *(f"v{k}" for k in range(count - 1)), "action"]
    return onnx([node(op, [a], [b]) for a, b in pairwise(names)])


def _number(draw: Draw) -> int:
    return near(draw) % (1 << 64)


ONNX: dict[str, Callable[[Draw], bytes]] = {
    "dims": lambda draw: _said([_number(draw) for _ in range(int(draw.integers(1, 4)))]),
    "axes": lambda draw: _said([1] * 10_000),
    "type": lambda draw: _said([4], int(pick(draw, [0, 2, 3, 8, 14, 15, 17, 21, 99]))),
    "bf16": lambda draw: _said([4], 16, draw.bytes(8)),
    "nan": lambda draw: _said([4], 1, np.array([1, np.nan, np.inf, 0], "f4").tobytes()),
    "short": lambda draw: _said([4], 1, bytes(15)),
    "none": lambda draw: _said([1 << 20], 1, None),
    "strings": lambda draw: onnx(graph=field(5, field(6, "x") * 1000 + field(2, 8))),
    "outside": lambda draw: _outside(pick(draw, [
        "../x.onnx", "/etc/passwd", "/dev/zero", "a/../x", "..", ".", "", "x.onnx", "\\x", "C:x",
        "x\0", "missing", "it/self", word(draw)[:400],
    ])),
    "places": lambda draw: _outside("x.onnx", str(near(draw)), str(near(draw))),
    "circle": lambda draw: onnx([
        node("Add", ["obs", "q"], ["p"]), node("Elu", ["p"], ["q"]), node("Elu", ["q"], ["action"]),
    ]),
    "itself": lambda draw: onnx([node("Add", ["action", "obs"], ["action"])]),
    "twice": lambda draw: onnx([node("Elu", ["obs"], ["action"])] * 2),
    "names": lambda draw: onnx(inits=[weights("w", np.ones(4))] * 2),
    "nowhere": lambda draw: onnx([node("Elu", [word(draw)[:90]], ["action"])]),
    "long name": lambda draw: onnx([node("Elu", ["obs"], ["x" * 100_000])]),
    "operator": lambda draw: onnx([node(pick(draw, ["Loop", "If", word(draw)[:90], "Sin"]),
                                        ["obs"], ["action"])]),
    "domain": lambda draw: onnx([node("Elu", ["obs"], ["action"], field(7, "com.x"))]),
    "nested": lambda draw: _nested(int(pick(draw, [1, 50, 1000]))),
    "functions": lambda draw: onnx(more=field(pick(draw, [20, 25]), b"")),
    "sparse": lambda draw: onnx(graph=field(15, b"")),
    "many nodes": lambda draw: onnx([node("Elu", ["obs"], ["b"])] * 1_000_000),
    "many fields": lambda draw: onnx(graph=field(13, b"") * 2_000_000),
    "many inputs": lambda draw: onnx([node("Concat", ["obs"] * 10_000, ["action"])]),
    "long chain": lambda draw: _chain("Elu", int(pick(draw, [1999, 2001, 5000]))),
    "doubling": lambda draw: onnx([
        node("Concat", [f"v{k}" if k else "obs"] * 2, [f"v{k + 1}" if k < 60 else "action"],
             field(5, field(1, "axis") + field(3, 1)))
        for k in range(61)
    ]),
    "fill": lambda draw: onnx([
        node("ConstantOfShape", ["s"], ["c"]), node("Add", ["obs", "c"], ["action"]),
    ], [weights("s", np.zeros(2), kind=field(2, 7),
                raw=field(9, struct.pack("<qq", 1 << 30, _number(draw) >> 2)))]),
    "ints": lambda draw: onnx(inits=[weights(
        "w", np.zeros(1), dims=field(1, 1), kind=field(2, 7), raw=field(7, b"\x01" * 3_000_000))]),
    "no graph": lambda draw: field(1, 8) + field(2, "x") + field(8, field(2, 17)),
    "graphs": lambda draw: onnx(more=field(7, b"")),
    "no end": lambda draw: onnx() + b"\xff" * int(draw.integers(1, 20)),
    "robots": lambda draw: onnx(ins=[value("obs", 1 << 40, 4)]),
    "width": lambda draw: onnx(ins=[value("obs", 1, _number(draw) >> 1)]),
    "opset": lambda draw: onnx(more=field(8, field(2, _number(draw)))),
}  # fmt: skip


@family
def network(draw: Draw, run: Mapping[str, bytes]) -> Hostile:
    """An ONNX file that claims too much, goes round, leads elsewhere, or is damaged."""
    if draw.random() < 0.3:
        return Hostile("onnx: damage", "x.onnx", {"x.onnx": corrupted(draw, onnx())})
    way = pick(draw, ONNX)
    beside = {"x.data": pick(draw, ODD)} if draw.random() < 0.2 else {}
    content = _outside("x.data") if beside else ONNX[way](draw)
    return Hostile(f"onnx: {way}", "x.onnx", {"x.onnx": content, **beside})


# TorchScript.

CLASS = "__torch__.net.Net"
TEXT = """class Net(Module):
  __parameters__ = ["weight", "bias", ]
  weight : Tensor
  bias : Tensor
  def forward(self: __torch__.net.Net,
    x: Tensor) -> Tensor:
    weight = self.weight
    bias = self.bias
    return torch.linear(x, weight, bias)
"""


def script(text: str | bytes = TEXT, state: Mapping[str, bytes] | None = None) -> bytes:
    """An archive of one layer, with this source text and these attributes."""
    (weight, _), *_ = m.layers()
    kept = {
        "weight": m.tensor(m.text("0"), weight.shape, (weight.shape[1], 1)),
        "bias": m.tensor(m.text("1"), (len(weight),), (1,)),
        "training": m.FALSE,
        **(state or {}),
    }
    source = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return m.zipped(
        {
            "net/data.pkl": m.pickled(m.thing(CLASS, m.table(kept))),
            "net/code/__torch__/net.py": source,
            "net/constants.pkl": m.pickled(b")"),
            "net/data/0": weight.tobytes(),
            "net/data/1": bytes(4 * len(weight)),
        },
        packed=True,
    )


def _returns(expression: str, before: str = "", after: str = "") -> bytes:
    line = "return torch.linear(x, weight, bias)"
    return script(TEXT.replace(line, f"{before}return {expression}") + after)


_F = "__torch__.net.f"
_CALLS = "".join(
    f"def f{k}(x: Tensor) -> Tensor:\n  return {_F}{k + 1}({_F}{k + 1}(x, ), )\n" for k in range(60)
)
SCRIPTS: dict[str, Callable[[Draw], bytes]] = {
    "import": lambda draw: script(f"import os\nos.system('touch {RAN}')\n{TEXT}"),
    "system": lambda draw: _returns(f"os.system('touch {RAN}')"),
    "open": lambda draw: _returns(f"open('{RAN}', 'w')"),
    "dunder": lambda draw: _returns(f"__import__('os').system('touch {RAN}')"),
    "eval": lambda draw: _returns(f"x.__class__.__base__.eval('touch {RAN}')"),
    "lambda": lambda draw: _returns("(lambda: x)()"),
    "loop": lambda draw: _returns("x", "while True:\n      pass\n    "),
    "recursion": lambda draw: _returns("(self).forward(x, )"),
    "calls": lambda draw: _returns("__torch__.net.f0(x, )", after=_CALLS),
    "deep": lambda draw: _returns("(" * int(pick(draw, [19, 150, 10_000])) + "x"),
    "minus": lambda draw: _returns("-" * int(pick(draw, [4, 4_000, 100_000])) + "1"),
    "sum": lambda draw: _returns("1" + "+1" * int(pick(draw, [50, 2_000, 100_000]))),
    "dots": lambda draw: _returns("x" + ".a" * int(pick(draw, [50, 2_000, 100_000]))),
    "nots": lambda draw: _returns("not " * int(pick(draw, [2, 1_000])) + "x"),
    "compare": lambda draw: _returns("x" + " < x" * 1_000),
    "blocks": lambda draw: _returns("x", "".join(
        "if True:\n" + " " * (5 + k) for k in range(int(pick(draw, [20, 90, 300]))))),
    "digits": lambda draw: _returns("9" * 4_900),
    "lines": lambda draw: script(TEXT + "x = 1\n" * 40_000),
    "doubling": lambda draw: _returns("x", "".join(
        "x = torch.cat([x, x], 1)\n    " for _ in range(60))),
    "widening": lambda draw: _returns("x", "".join(
        "x = torch.tanh(x)\n    " for _ in range(5_000))),
    "numbers": lambda draw: _returns("torch.add(x, n)", "n = 9\n    " + "".join(
        "n = torch.mul(n, n)\n    " for _ in range(60))),
    "select": lambda draw: _returns(f"torch.select(x, 1, {near(draw)})"),
    "reshape": lambda draw: _returns(f"torch.reshape(x, [{near(draw)}, {near(draw)}])"),
    "clamp": lambda draw: _returns("torch.clamp(torch.linear(x, weight, bias), 1e999, None)"),
    "arguments": lambda draw: _returns(f"torch.{pick(draw, ['elu', 'cat', 'lstm', 'slice'])}()"),
    "words": lambda draw: _returns(word(draw)[:200]),
    "constant": lambda draw: _returns(f"CONSTANTS.c{near(draw)}"),
    "bytes": lambda draw: script(draw.bytes(5_000)),
    "no text": lambda draw: script(""),
    "claims": lambda draw: script(state={"weight": m.tensor(m.text("0"), (abs(near(draw)), 4),
                                                            (0, pick(draw, [0, 1, -1])))}),
    "type": lambda draw: script(state={"weight": m.tensor(
        m.text("0"), (2, 4), (4, 1), kind=pick(draw, ["ComplexFloat", "Long", "QInt8", "X"]))}),
    "calls in data": lambda draw: script(state={"x": m.call("os.system", m.text(f"touch {RAN}"))}),
    "itself": lambda draw: script(state={"inner": b"h\x00"}),
}  # fmt: skip


@family
def source(draw: Draw, run: Mapping[str, bytes]) -> Hostile:
    """A TorchScript archive whose text or tensors are none of a policy."""
    way = pick(draw, SCRIPTS)
    content = SCRIPTS[way](draw)
    if draw.random() < 0.2:
        way, content = "damage", corrupted(draw, script())
    if draw.random() < 0.2:
        way, content = "damaged text", script(corrupted(draw, TEXT.encode()))
    return Hostile(f"script: {way}", "x.pt", {"x.pt": content})


@family
def checkpoint(draw: Draw, run: Mapping[str, bytes]) -> Hostile:
    """A file of torch whose pickle runs something, or whose tensors claim too much."""
    claim = m.tensor(m.text("0"), [abs(near(draw)), 4], [pick(draw, [0, 4]), 1], abs(near(draw)))
    sac = {"fc1.weight": claim, "fc2.weight": claim, "fc_mean.weight": claim}
    ends = [f"{layer}.bias" for layer in ("fc1", "fc2", "fc_mean")]
    ends += ["action_scale", "action_bias"]
    ways = {
        "command": m.table({"model_state_dict": m.call("os.system", m.text(f"touch {RAN}"))}),
        "claims": m.table(sac | dict.fromkeys(ends, claim)),
        "names": m.table({word(draw) + str(k): claim for k in range(2_500)}),
        "nested": b"".join(b"}(" + m.text("state_dict") for _ in range(5_000))
        + b"N"
        + b"u" * 5_000,
        "no tensors": m.table({"actor_state_dict": pick(draw, [m.NONE, m.TRUE, b"}", b"]"])}),
        "layers": m.table({f"actor.{near(draw)}.weight": claim, "actor.0.weight": claim}),
    }
    way = pick(draw, ways)
    content = m.torch_zip(ways[way], m.storages())
    if draw.random() < 0.2:
        content = corrupted(draw, content)
    return Hostile(f"checkpoint: {way}", "x.pth", {"x.pth": content})
