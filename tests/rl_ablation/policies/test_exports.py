"""Policies as robots have them act as the programs that wrote them say."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import nn

import rl_ablation as rl
from rl_ablation.errors import LabError
from rl_ablation.policies.graph import Graph
from rl_ablation.policies.network import BLOCK, MLP
from rl_ablation.policies.storage import load_folder, save

ROBOTS = Path(__file__).resolve().parents[4] / "shared" / "third_party" / "robots"
PUBLISHED = {
    "go1-playground/go1_policy.onnx": (MLP, "silu", "tanh", 48, 12),
    "g1-unitree-velocity/policy.onnx": (MLP, "elu", "none", 480, 29),
    "g1-unitree-lstm/motion.pt": (Graph, "elu", "none", 47, 12),
    "go2-rl_sar/policy.pt": (MLP, "elu", "none", 45, 12),
}
few = settings(
    derandomize=True, deadline=None, max_examples=8, database=None,
    phases=[Phase.explicit, Phase.generate],  # to shrink takes minutes
)  # fmt: skip


def acted(policy, obs):
    """Actions for one sequence from the zero state, by the network alone."""
    memory, out = {}, []
    for row in np.asarray(policy.normalise(obs), np.float32):
        block = torch.zeros(BLOCK, policy.obs_size)
        block[0] = torch.from_numpy(row)
        with_memory = (memory,) if isinstance(policy.network, Graph) else ()
        raw = policy.network(block, lambda site, h: h, *with_memory)[0].numpy()
        if policy.card.squash == "tanh":
            raw = policy.low + 0.5 * (np.tanh(raw) + 1) * (policy.high - policy.low)
        out.append(raw if policy.low is None else np.clip(raw, policy.low, policy.high))
    return np.array(out, np.float32)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_robots_act_as_their_files_say(name, tmp_path):
    if not (path := ROBOTS / name).exists():
        pytest.skip("the third-party robots are not here")
    kind, activation, squash, inputs, outputs = PUBLISHED[name]
    policy, ref = rl.load(path), np.load(path.parent / "reference.npz")
    assert isinstance(policy.network, kind)
    assert (policy.card.activation, policy.card.squash) == (activation, squash)
    assert (policy.obs_size, policy.action_size) == (inputs, outputs)
    assert policy.card.algorithm == ("ONNX" if name.endswith("onnx") else "TorchScript")
    np.testing.assert_allclose(acted(policy, ref["obs"]), ref["action"], rtol=1e-5, atol=1e-5)
    save(policy, tmp_path)
    assert load_folder(tmp_path).sha256 == policy.sha256


# TorchScript.

ACTS = {
    "elu": nn.ELU, "relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU, "leaky_relu": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid, "gelu": nn.GELU, "softplus": nn.Softplus, "selu": nn.SELU,
}  # fmt: skip


class Normal(nn.Module):
    """A normaliser as rsl_rl's."""

    def __init__(self, size):
        super().__init__()
        self.eps = 0.01
        self.register_buffer("_mean", torch.randn(1, size))
        self.register_buffer("_std", torch.rand(1, size) + 0.1)

    def forward(self, x):
        return (x - self._mean) / (self._std + self.eps)


class Exported(nn.Module):
    """An exporter's module: normaliser, memory with its state kept inside, actor."""

    def __init__(self, normal, memory, actor, bound: float):
        super().__init__()
        self.normalizer, self.memory, self.actor, self.bound = normal, memory, actor, bound
        if memory is not None:
            shape = (memory.num_layers, 1, memory.hidden_size)
            self.register_buffer("hidden_state", torch.zeros(shape))
            self.register_buffer("cell_state", torch.zeros(shape))


class Plain(Exported):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.actor(self.normalizer(x))
        return torch.clamp(out, -self.bound, self.bound) if self.bound > 0 else out


class WithLSTM(Exported):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.normalizer(x)
        out, (h, c) = self.memory(x.unsqueeze(0), (self.hidden_state, self.cell_state))
        self.hidden_state[:] = h
        self.cell_state[:] = c
        return self.actor(out.squeeze(0))


class WithGRU(Exported):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, h = self.memory(self.normalizer(x).unsqueeze(0), self.hidden_state)
        self.hidden_state[:] = h
        return self.actor(out.squeeze(0))


def sequential(sizes, act):
    parts = []
    for k, pair in enumerate(pairwise(sizes)):
        parts += ([ACTS[act]()] if k else []) + [nn.Linear(*pair)]
    return nn.Sequential(*parts)


SIZES = st.lists(st.integers(2, 9), min_size=2, max_size=4)


@few
@given(
    SIZES, st.sampled_from(sorted(ACTS)), st.sampled_from(["", "lstm", "gru"]), st.booleans(),
    st.sampled_from([0.0, 0.3]), st.integers(1, 2), st.integers(0, 99),
)  # fmt: skip
def test_torchscript_comes_back(tmp_path_factory, sizes, act, kind, norm, bound, layers, seed):
    torch.manual_seed(seed)
    inputs = 11  # no other layer has as many, so that the file alone says it
    normal = Normal(inputs) if norm else nn.Identity()
    memory = None
    if kind:
        made = {"lstm": nn.LSTM, "gru": nn.GRU}[kind]
        memory = made(inputs, sizes[0], num_layers=layers)
    actor = sequential(sizes if kind else [inputs, *sizes], act)
    wrapped = {"": Plain, "lstm": WithLSTM, "gru": WithGRU}[kind](normal, memory, actor, bound)
    module = torch.jit.script(wrapped.eval())
    path = tmp_path_factory.mktemp("ts") / "x.pt"
    module.save(str(path))
    policy = rl.load(path)
    obs = np.random.default_rng(seed).normal(size=(5, inputs)).astype("f4")
    with torch.inference_mode():
        wanted = np.concatenate([module(torch.from_numpy(row[None])).numpy() for row in obs])
    np.testing.assert_allclose(acted(policy, obs), wanted, rtol=1e-5, atol=1e-5)
    assert (policy.obs_mean is not None) == norm
    assert isinstance(policy.network, MLP) == (not kind and act not in ("softplus", "selu"))
    if not kind:
        assert policy.card.squash == ("clip" if bound else "none")


@pytest.mark.parametrize("inplace", [False, True])
def test_a_traced_module_comes_back(tmp_path, inplace):
    module = nn.Sequential(nn.Linear(5, 8), nn.ELU(inplace=inplace), nn.Linear(8, 3), nn.Tanh())
    obs = torch.randn(6, 5)
    torch.jit.trace(module, obs[:1]).save(str(tmp_path / "x.pt"))
    policy = rl.load(tmp_path / "x.pt")
    assert policy.card.squash == "tanh"
    np.testing.assert_allclose(policy.act(obs.numpy()), module(obs).detach(), rtol=1e-5, atol=1e-6)


class Odd(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cumsum(x, 1) + torch.sin(x)


class Looping(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(3):
            x = self.layer(x)
        return x


class Forgetful(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.LSTM(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.unsqueeze(0))[0].squeeze(0)


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (nn.Sequential(nn.Linear(3, 3), Odd()), "none that is known here"),
        (Looping(), "none that is known here"),
        (Forgetful(), "remembers nothing"),
    ],
)
def test_other_source_is_refused_in_a_line(tmp_path, module, told):
    torch.jit.script(module).save(str(tmp_path / "x.pt"))
    with pytest.raises(LabError, match=told) as caught:
        rl.load(tmp_path / "x.pt")
    assert "\n" not in str(caught.value)


# Checkpoints.


def test_checkpoints_of_rsl_rl_are_read(tmp_path):
    torch.manual_seed(0)
    actor, normal, lstm = sequential([7, 6, 3], "elu"), Normal(5), nn.LSTM(5, 7)
    state = {f"actor.{k}": v for k, v in actor.state_dict().items()}
    state |= {f"memory_a.rnn.{k}": v for k, v in lstm.state_dict().items()}
    state |= {"critic.0.weight": torch.zeros(1, 7), "std": torch.ones(3)}
    saved = {"model_state_dict": state, "obs_norm_state_dict": normal.state_dict(), "iter": 3}
    torch.save({**saved, "optimizer_state_dict": {"state": {}}, "infos": None}, tmp_path / "x.pt")
    with pytest.raises(LabError, match=r"give activation= or --activation, one of elu, gelu"):
        rl.load(tmp_path / "x.pt")
    policy = rl.load(tmp_path / "x.pt", activation="elu")
    obs = torch.randn(4, 5)
    wanted = actor(lstm(normal(obs))[0]).detach()
    np.testing.assert_allclose(acted(policy, obs.numpy()), wanted, rtol=1e-5, atol=1e-6)
    assert policy.card.algorithm == "rsl_rl"
    new = {f"mlp.{k}": v for k, v in sequential([5, 6, 3], "elu").state_dict().items()}
    new |= {f"obs_normalizer.{k}": v for k, v in normal.state_dict().items()}
    torch.save({"actor_state_dict": new, "critic_state_dict": {}}, tmp_path / "y.pt")
    assert rl.load(tmp_path / "y.pt", activation="elu").obs_mean is not None


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("prefix", ["", "net.", "actor_mean.", "actor.", "network.", "q_network."])
def test_state_dicts_of_plain_networks_are_read(tmp_path, prefix, new):
    net = sequential([4, 8, 2], "relu")
    state = {f"{prefix}{k}": v for k, v in net.state_dict().items()}
    torch.save(state, tmp_path / "x.pth", _use_new_zipfile_serialization=new)
    policy = rl.load(tmp_path / "x.pth", activation="relu")
    obs = torch.randn(3, 4)
    np.testing.assert_allclose(policy.act(obs.numpy()), net(obs).detach(), rtol=1e-5, atol=1e-6)
    with_env = rl.load(tmp_path / "x.pth", "CartPole-v1", activation="relu")
    assert (with_env.card.squash, with_env.card.env_id) == ("argmax", "CartPole-v1")


def test_cleanrl_sac_is_read_without_being_told_its_activation(tmp_path):
    layers = {"fc1": nn.Linear(3, 8), "fc2": nn.Linear(8, 8), "fc_mean": nn.Linear(8, 1)}
    state = {f"{n}.{k}": v for n, layer in layers.items() for k, v in layer.state_dict().items()}
    state |= {"action_scale": torch.tensor([[2.0]]), "action_bias": torch.tensor([[0.0]])}
    torch.save(state, tmp_path / "x.pth")
    policy = rl.load(tmp_path / "x.pth", "Pendulum-v1")
    obs = torch.randn(3, 3)
    x = torch.relu(layers["fc2"](torch.relu(layers["fc1"](obs))))
    wanted = torch.tanh(layers["fc_mean"](x)).detach() * 2
    np.testing.assert_allclose(policy.act(obs.numpy()), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "state", "told"),
    [
        ("two networks", {"a.0.weight": (2, 2), "b.0.weight": (2, 2)}, "which of its networks"),
        ("no bias", {"actor.0.weight": (2, 2)}, "bias is missing"),
        ("no chain", {"0.weight": (2, 2), "0.bias": (2,), "2.weight": (2, 3), "2.bias": (2,)},
         "do not fit"),
    ],
)  # fmt: skip
def test_other_checkpoints_are_refused(tmp_path, name, state, told):
    torch.save({k: torch.zeros(shape) for k, shape in state.items()}, tmp_path / "x.pth")
    with pytest.raises(LabError, match=told):
        rl.load(tmp_path / "x.pth", activation="relu")


def test_options_that_do_not_belong_are_refused(tmp_path):
    torch.jit.script(nn.Linear(2, 2)).save(str(tmp_path / "x.pt"))
    with pytest.raises(LabError, match="activation is for checkpoints"):
        rl.load(tmp_path / "x.pt", activation="elu")
    with pytest.raises(LabError, match="are for zips"):
        rl.load(tmp_path / "x.pt", env_wrapper="time-feature")
    with pytest.raises(LabError, match="takes 2 observations but Pendulum-v1 gives 3"):
        rl.load(tmp_path / "x.pt", "Pendulum-v1")
