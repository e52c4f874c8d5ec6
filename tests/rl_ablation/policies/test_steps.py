"""Graphs as files: they come back as they were, and what does not fit is refused in a line."""

import json

import numpy as np
import pytest
import torch

from rl_ablation.errors import LabError
from rl_ablation.policies.graph import Graph, Step
from rl_ablation.policies.policy import Card
from rl_ablation.policies.steps import as_text, check_steps, from_text
from rl_ablation.policies.storage import load_folder, make_graph, policy_of, save, weight_bytes

CARD = Card(name="graph", activation="graph", squash="none")


def weights(*shape):
    return torch.from_numpy(np.random.default_rng(len(shape)).normal(size=shape).astype("f4"))


def recurrent(do="lstm"):
    gates, biases = {"lstm": (12, 1), "gru": (9, 2)}[do]
    names = ["w", "u", "b", "d"][: 2 + biases]
    constants = {"w": weights(gates, 5), "u": weights(gates, 3)}
    constants |= {name: weights(gates) for name in names[2:]} | {"out": weights(2, 3)}
    steps = (
        Step(do, ("obs", *names), "m", {"units": 3}, "h0"),
        Step("linear", ("m", "out"), "y"),
        Step("elu", ("y",), "a", {"alpha": 0.5, "units": 2}, "h1"),
    )
    return Graph(steps, constants, "a")


def changed(**parts):
    """The recurrent graph with its last step otherwise."""
    graph = recurrent()
    step = {"do": "elu", "of": ("y",), "to": "a", "about": {}, "site": "", **parts}
    return Graph((*graph.steps[:2], Step(**step)), graph.constants, "a")


@pytest.mark.parametrize("do", ["lstm", "gru"])
def test_a_graph_comes_back_from_a_folder_as_it_was(tmp_path, do):
    policy = make_graph(recurrent(do), CARD, obs_size=5, obs_mean=np.ones(5), obs_std=np.ones(5))
    save(policy, tmp_path)
    back = load_folder(tmp_path)
    assert back.sha256 == policy.sha256
    assert back.sites == policy.sites
    sent = policy_of(policy.card.model_dump_json(), weight_bytes(policy))
    assert sent.sha256 == policy.sha256


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        (changed(do="exec"), "unknown step 'exec'"),
        (changed(of=("later",)), "made nowhere before"),
        (changed(to="y"), "there already"),
        (changed(about={"alpha": "x"}), "no such thing"),
        (changed(about={"beta": 1.0}), "no such thing"),
        (changed(site="h0", about={"units": 2}), "there twice"),
        (changed(site="h1", about={"units": 3}), "its 2 units"),
        (changed(do="slice", about={"start": 0, "stop": 9, "axis": 1}), "do not have"),
        (changed(do="slice", about={"start": 0, "stop": 1, "axis": 0}), "no such thing"),
        (changed(do="linear", of=("y", "w")), "do not fit"),
        (changed(do="add", of=("y", "b")), "do not fit"),
        (changed(do="add", of=("y", "out")), "of which one"),
        (changed(do="take", about={"at": [2]}), "do not have"),
        (changed(do="concat", of=("y",) * 70_000, about={"axis": 1}), "values between"),
        (Graph((Step("elu", ("obs",), "y"),), {}, "z"), "never makes"),
        (Graph((Step("elu", ("obs",), "y"),), {"c": weights(2) / 0}, "y"), "not finite"),
    ],
)
def test_what_does_not_fit_is_refused(graph, told):
    with pytest.raises(LabError, match=told):
        check_steps(graph, 5)


def test_damaged_text_is_refused():
    good = as_text(recurrent(), 5)
    for path, value in [("steps", 3), ("steps", [[1]]), ("output", 1), ("obs_size", -1)]:
        with pytest.raises(LabError):
            from_text(json.dumps(json.loads(good) | {path: value}), {})
    for text in ["", "[", "[" * 100_000, "null", "1e999"]:
        with pytest.raises(LabError, match="damaged"):
            from_text(text, {})
