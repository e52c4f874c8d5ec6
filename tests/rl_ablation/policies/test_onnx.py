"""ONNX files that the reference package writes act here as its own evaluator says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from test_exports import acted

import rl_ablation as rl
from rl_ablation.errors import LabError
from rl_ablation.policies.network import MLP

onnx = pytest.importorskip("onnx")
evaluators = pytest.importorskip("onnx.reference")
few = settings(
    derandomize=True, deadline=None, max_examples=40, database=None,
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
FLOAT = 1


class Writer:
    """Nodes and weights of a file, one after the other."""

    def __init__(self, seed, kind=np.float32):
        self.rng, self.kind = np.random.default_rng(seed), kind
        self.nodes, self.weights, self.count = [], [], 0

    def weight(self, *shape, values=None):
        name = f"w{len(self.weights)}"
        made = self.rng.normal(size=shape) * 0.7 if values is None else np.asarray(values)
        made = made.astype(self.kind if made.dtype.kind == "f" else np.int64)
        self.weights.append(onnx.numpy_helper.from_array(made, name))
        return name

    def node(self, op, *inputs, outputs=1, **about):
        names = [f"v{self.count + k}" for k in range(outputs)]
        self.count += outputs
        self.nodes.append(onnx.helper.make_node(op, list(inputs), names, **about))
        return names[0] if outputs == 1 else names

    def save(self, path, ins, outs, opset=17, outside=False):
        def told(values):
            return [onnx.helper.make_tensor_value_info(n, FLOAT, s) for n, s in values.items()]

        graph = onnx.helper.make_graph(self.nodes, "g", told(ins), told(outs), self.weights)
        sets = [onnx.helper.make_opsetid("", opset)]
        model = onnx.helper.make_model(graph, opset_imports=sets, ir_version=8)
        onnx.save(
            model, str(path), save_as_external_data=outside, location="x.data", size_threshold=0
        )
        return onnx.load(str(path))


def activation(w, act, x):
    """An activation function, some spelled out as exporters do."""
    if act == "silu":
        return w.node("Mul", x, w.node("Sigmoid", x))
    if act == "gelu":
        root, one, half = (w.weight(values=np.float64(v)) for v in (2**0.5, 1.0, 0.5))
        inner = w.node("Add", w.node("Erf", w.node("Div", x, root)), one)
        return w.node("Mul", w.node("Mul", x, inner), half)
    return w.node(act, x)


def layer(w, x, inputs, outputs, way):
    if way == "gemm":
        return w.node("Gemm", x, w.weight(outputs, inputs), w.weight(outputs), transB=1)
    if way == "gemm2":
        return w.node("Gemm", x, w.weight(inputs, outputs), w.weight(outputs), alpha=0.5, beta=2.0)
    return w.node("Add", w.node("MatMul", x, w.weight(inputs, outputs)), w.weight(outputs))


WAYS = st.sampled_from(["gemm", "gemm2", "matmul"])
ACTS = ("Elu", "Relu", "Tanh", "Sigmoid", "LeakyRelu", "Softplus", "Selu", "silu", "gelu")
ENDS = st.sampled_from(["", "tanh", "clip", "split", "scaled"])
NORMS = st.sampled_from(["", "div", "mul", "clip"])


@few
@given(
    st.lists(st.integers(2, 8), min_size=2, max_size=4), st.sampled_from(ACTS), WAYS, NORMS, ENDS,
    st.booleans(), st.sampled_from([np.float32, np.float16]), st.integers(0, 999),
)  # fmt: skip
def test_networks_come_back(tmp_path_factory, sizes, act, way, norm, end, outside, kind, seed):
    w = Writer(seed, np.float32 if act == "gelu" else kind)
    inputs, outputs = sizes[0], 2 * sizes[-1] if end == "split" else sizes[-1]
    x = "obs"
    if norm:
        x = w.node("Sub", x, w.weight(inputs))
        scale = w.weight(values=w.rng.uniform(0.5, 2, inputs))
        x = w.node("Mul" if norm == "mul" else "Div", x, scale)
        if norm == "clip":
            x = w.node("Clip", x, w.weight(values=np.float64(-1)), w.weight(values=np.float64(1)))
    for k, (a, b) in enumerate(zip(sizes, [*sizes[1:-1], outputs], strict=False)):
        x = layer(w, activation(w, act, x) if k else x, a, b, way)
    if end == "split":
        x = w.node("Split", x, outputs=2, axis=-1)[0]
    if end in ("tanh", "split", "scaled"):
        x = w.node("Tanh", x)
    if end == "scaled":
        x = w.node("Add", w.node("Mul", x, w.weight(values=np.float64(2))), w.weight(sizes[-1]))
    if end == "clip":
        x = w.node("Clip", x, w.weight(values=np.float64(-0.5)), w.weight(values=np.float64(0.75)))
    path = tmp_path_factory.mktemp("onnx") / "x.onnx"
    model = w.save(path, {"obs": ["batch", inputs]}, {x: ["batch", sizes[-1]]}, 13, outside)
    if kind == np.float16 and act != "gelu":
        for node in model.graph.initializer:  # the evaluator mixes no types
            node.CopyFrom(onnx.numpy_helper.from_array(
                onnx.numpy_helper.to_array(node).astype("f4"), node.name))  # fmt: skip
    policy = rl.load(path)
    obs = w.rng.normal(size=(6, inputs)).astype("f4")
    (wanted,) = evaluators.ReferenceEvaluator(model).run(None, {"obs": obs})
    np.testing.assert_allclose(policy.act(obs), wanted, rtol=2e-5, atol=2e-5)
    assert (policy.obs_mean is not None, policy.card.obs_clip) == (
        bool(norm), 1.0 if norm == "clip" else None
    )  # fmt: skip
    squash = {"": "none", "clip": "clip"}.get(end, "tanh")
    assert policy.card.squash == squash
    assert isinstance(policy.network, MLP) == (act not in ("Softplus", "Selu") or len(sizes) == 2)
    assert list(policy.network.sizes.values()) == sizes[1:-1]


@few
@given(
    st.sampled_from(["LSTM", "GRU"]), st.integers(1, 2), st.integers(1, 5), st.integers(1, 5),
    st.booleans(), st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_recurrent_networks_come_back(
    tmp_path_factory, kind, layers, inputs, units, bias, whole, seed
):
    w, gates = Writer(seed), {"LSTM": 4, "GRU": 3}[kind]
    names = ["h", "c"] if kind == "LSTM" else ["h"]
    x = "obs" if whole else w.node("Unsqueeze", "obs", w.weight(values=np.array([0])))
    new = {name: [] for name in names}
    for k in range(layers):
        size = units if k else inputs
        parts = [w.weight(1, gates * units, n) for n in (size, units)]
        parts += [w.weight(1, 2 * gates * units)] if bias else [""]
        cut = [w.weight(values=np.array([n])) for n in (k, k + 1, 0)]
        begin = [] if whole else ["", *(w.node("Slice", f"{n}_in", *cut) for n in names)]
        about = {"hidden_size": units} | ({"linear_before_reset": 1} if kind == "GRU" else {})
        y, *states = w.node(kind, x, *parts, *begin, outputs=1 + len(names), **about)
        x = w.node("Squeeze", y, w.weight(values=np.array([1])))
        for name, state in zip(names, states, strict=True):
            new[name].append(state)
    x = w.node("MatMul", x, w.weight(units, 2))
    states = {} if whole else {w.node("Concat", *parts, axis=0): [layers, 1, units]
                               for parts in new.values()}  # fmt: skip
    x = x if whole else w.node("Squeeze", x, w.weight(values=np.array([0])))
    ins = {"obs": ["time", 1, inputs]} if whole else {"obs": [1, inputs]}
    if not whole:
        ins |= {f"{name}_in": [layers, 1, units] for name in names}
    path = tmp_path_factory.mktemp("onnx") / "x.onnx"
    model = w.save(path, ins, {x: None, **states}, 13)
    policy = rl.load(path)
    obs = w.rng.normal(size=(5, inputs)).astype("f4")
    runner = evaluators.ReferenceEvaluator(model)
    if whole:
        wanted = runner.run(None, {"obs": obs[:, None]})[0][:, 0]
    else:
        kept = [np.zeros((layers, 1, units), "f4") for _ in names]
        rows = []
        for row in obs:
            fed = {f"{n}_in": k for n, k in zip(names, kept, strict=True)}
            out, *kept = runner.run(None, {"obs": row[None], **fed})
            rows.append(out[0])
        wanted = np.array(rows)
    np.testing.assert_allclose(acted(policy, obs), wanted, rtol=2e-5, atol=2e-5)
    assert len(policy.network.memory) == layers * len(names)


def refused(path, w, ins, outs, told, opset=17):
    w.save(path, ins, outs, opset)
    with pytest.raises(LabError, match=told) as caught:
        rl.load(path)
    assert "\n" not in str(caught.value)


OBS, ACT = {"obs": [1, 4]}, {"v0": [1, 4]}


@pytest.mark.parametrize(
    ("nodes", "ins", "outs", "told"),
    [
        ([("Sin", ["obs"])], OBS, ACT, "operator Sin, which is not known"),
        ([("HardSigmoid", ["obs"])], OBS, ACT, "operator HardSigmoid"),
        ([("Elu", ["nowhere"])], OBS, ACT, "made nowhere"),
        ([("Elu", ["v1"]), ("Elu", ["v0"])], OBS, ACT, "in a circle at Elu"),
        ([("Elu", ["obs"])], {"obs": [4096, 4]}, ACT, "for 4096 robots at once"),
        ([("Elu", ["obs"])], {"obs": [1, "n"]}, ACT, "how many observations"),
        ([("Elu", ["obs"])], {}, ACT, "has no input"),
        ([("Elu", ["obs"]), ("Relu", ["obs"])], OBS, {"v0": [1], "v1": [1]}, "which output"),
        ([("Add", ["obs", "h"])], {**OBS, "h": [1, 4]}, ACT, "otherwise than as a memory"),
        ([("Elu", ["obs"])], {**OBS, "h": [1, 4]}, {"v0": [1], "h": [1]}, "does not give"),
        ([("MatMul", ["obs", "obs"])], {"obs": [4, 4]}, ACT, "4 robots|not constant"),
        ([("Gather", ["obs", "obs"])], OBS, ACT, "not constant"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path, nodes, ins, outs, told):
    w = Writer(0)
    for op, inputs in nodes:
        w.node(op, *inputs)
    refused(tmp_path / "x.onnx", w, ins, outs, told)


def test_a_state_that_is_given_and_not_taken_is_no_memory(tmp_path):
    w = Writer(0)
    x = w.node("Unsqueeze", "obs", w.weight(values=np.array([0])))
    weights = [w.weight(1, 12, n) for n in (4, 3)]
    y, _ = w.node("GRU", x, *weights[:1], w.weight(1, 9, 3), outputs=2, hidden_size=3)
    refused(tmp_path / "x.onnx", w, OBS, {y: None}, "linear_before_reset")
    w = Writer(0)
    x = w.node("Unsqueeze", "obs", w.weight(values=np.array([0])))
    y, _ = w.node("LSTM", x, w.weight(1, 12, 4), w.weight(1, 12, 3), outputs=2, hidden_size=3)
    refused(tmp_path / "x.onnx", w, OBS, {y: None}, "remembers nothing")
