"""Any torch module can be cut at named activations, and comes out as it went in."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import nn

from rl_ablation.errors import LabError
from rl_ablation.policies.policy import Card, Policy
from rl_ablation.policies.storage import make_mlp


class Actor(nn.Module):
    """Two hidden layers; returns (mean, spread) as policies with a distribution do."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 6), nn.Tanh())
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(6, 2)
        self.unused = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = self.head(self.drop(self.body(x)))
        return mean, torch.ones_like(mean)


SITES = {"body.1": "h0", "body.3": "h1"}


def make(actor: nn.Module, **changes):
    options = {
        "sites": SITES,
        "obs_size": 5,
        "action_size": 2,
        "low": -np.ones(2),
        "high": np.ones(2),
        "squash": "clip",
        "postprocess": lambda out: out[0],
    }
    return Policy.from_module(actor, **{**options, **changes})


def twin(actor: Actor):
    layers = [actor.body[0], actor.body[2], actor.head]
    weights = [(x.weight.detach().numpy(), x.bias.detach().numpy()) for x in layers]
    card = Card(name="twin", activation="tanh", squash="clip")
    return make_mlp(weights, card, low=-np.ones(2), high=np.ones(2))


@pytest.fixture
def actor() -> Actor:
    torch.manual_seed(0)
    return Actor()


def hooks(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) for part in module.modules())


@pytest.mark.parametrize("rows", [1, 3, 256, 257, 600])
def test_acts_and_is_cut_like_the_same_mlp(actor, rows):
    policy, mlp = make(actor), twin(actor)
    assert policy.sites == mlp.sites == {"obs": 5, "h0": 8, "h1": 6, "action": 2}
    rng = np.random.default_rng(rows)
    obs = rng.normal(size=(rows, 5))
    masks = {
        site: (
            rng.integers(0, 2, (rows, width)).astype(np.float32),
            rng.normal(size=(rows, width)).astype(np.float32),
        )
        for site, width in mlp.sites.items()
    }
    for cuts in ({}, masks):
        seen = {s: np.empty((rows, w), np.float32) for s, w in mlp.sites.items()}
        wanted = {s: np.empty((rows, w), np.float32) for s, w in mlp.sites.items()}
        # A module computes in its own precision, an MLP in double.
        same = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
        same(policy.act(obs, cuts, seen), mlp.act(obs, cuts, wanted))
        for site in seen:
            same(seen[site], wanted[site])


def test_mask_of_ones_changes_nothing_and_a_cut_of_unit_zero_cuts(actor):
    policy, obs = make(actor), np.random.default_rng(1).normal(size=(7, 5))
    ones, none = np.ones((7, 8), np.float32), np.zeros((7, 8), np.float32)
    np.testing.assert_array_equal(policy.act(obs), policy.act(obs, {"h0": (ones, none)}))
    cut = ones.copy()
    cut[:, 0] = 0
    seen = {"h0": np.empty((7, 8), np.float32)}
    policy.act(obs, {"h0": (cut, none)}, seen)
    assert (seen["h0"][:, 0] == 0).all()
    assert (seen["h0"][:, 1:] != 0).all()


def test_module_comes_back_as_it_was(actor):
    actor.train()
    actor.body.eval()
    before = [part.training for part in actor.modules()]
    weights = {k: v.clone() for k, v in actor.state_dict().items()}
    policy = make(actor)
    policy.act(np.zeros((3, 5)))
    assert [part.training for part in actor.modules()] == before
    assert hooks(actor) == 0
    assert all(torch.equal(v, weights[k]) for k, v in actor.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in actor.parameters())


def test_hooks_and_mode_come_back_after_an_exception(actor):
    policy = make(actor)
    actor.train()

    def fails(*_):
        raise RuntimeError("inside")

    handle = actor.head.register_forward_hook(fails)
    with pytest.raises(RuntimeError, match="inside"):
        policy.act(np.zeros((1, 5)))
    assert actor.training
    assert actor.drop.training
    assert hooks(actor) == 1, "only the test's own hook is left"
    handle.remove()
    policy.act(np.zeros((1, 5)))
    assert hooks(actor) == 0


def test_list_of_sites_float64_and_discrete():
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(4, 7), nn.ReLU(inplace=True), nn.Linear(7, 3)).double()
    policy = Policy.from_module(net, sites=["1"], obs_size=4, action_size=3, squash="argmax")
    obs = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    wanted = net(torch.as_tensor(obs).double()).argmax(-1).numpy()
    np.testing.assert_array_equal(policy.act(obs), wanted)
    assert list(policy.sites) == ["obs", "h0", "action"]


def test_normaliser_and_digest(actor):
    mean, std = np.arange(5.0), np.full(5, 2.0)
    policy = make(actor, obs_mean=mean, obs_std=std, obs_clip=1.0)
    obs = np.random.default_rng(0).normal(size=(3, 5)) * 9
    plain = make(actor)
    np.testing.assert_array_equal(policy.act(obs), plain.act(np.clip((obs - mean) / std, -1, 1)))
    digest = plain.sha256
    with torch.no_grad():
        actor.head.bias[0] += 1
    assert make(actor).sha256 != digest


def test_digest_covers_the_code_around_the_module(actor):
    half, third = 0.5, 0.3
    outputs = [
        lambda out: out[0] * 2,
        lambda out: out[0] * 3,
        lambda out: out[0] + 2,
        lambda out: out[0] * half,
        lambda out: out[0] * third,
    ]
    digests = {make(actor, postprocess=f).sha256 for f in outputs}
    assert len(digests) == len(outputs)
    again = make(actor, postprocess=lambda out: out[0] * 2)
    assert again.sha256 == make(actor, postprocess=outputs[0]).sha256
    assert make(actor).sha256 != make(actor, low=-2 * np.ones(2)).sha256


class Twice(Actor):
    def forward(self, x):
        y = self.body[1](self.body[0](x))
        return self.head(self.body[3](self.body[2](self.body[1](y)))), None


class Sequence(Actor):
    def forward(self, x):
        self.body[1](x[:, None, :])
        return self.head(self.body[3](self.body[2](self.body[0](x)))), None


class Chance(Actor):
    def forward(self, x):
        mean, _ = super().forward(x)
        return mean + torch.randn_like(mean), None


@pytest.mark.parametrize(
    ("kind", "changes", "line"),
    [
        (Twice, {}, "'body.1' is called more than once"),
        (Sequence, {}, "'body.1' gives a float32 tensor"),
        (Chance, {}, "different actions for the same observation"),
        (Actor, {"sites": {"unused": "h0"}}, "'unused' is never called"),
        (Actor, {"sites": {"nowhere": "h0"}}, "no submodule 'nowhere'"),
        (Actor, {"sites": {"": "h0"}}, "no submodule ''"),
        (Actor, {"sites": {}}, "names no submodule"),
        (Actor, {"sites": "body.1"}, "is the text"),
        (Actor, {"sites": ["body.1", "body.1"]}, "one twice"),
        (Actor, {"sites": {"body.1": "h", "body.3": "h"}}, "used twice"),
        (Actor, {"sites": {"body.1": "action"}}, "taken"),
        (Actor, {"postprocess": None}, "the module's output is a tuple"),
        (Actor, {"action_size": 3, "low": None, "high": None, "squash": "none"}, "not actions"),
        (Actor, {"obs_size": 6}, "the module fails on observations (256, 6)"),
        (Actor, {"low": None}, "go together"),
        (Actor, {"low": None, "high": None}, "needs low and high"),
        (Actor, {"low": np.zeros(3)}, "low: expected 2 numbers"),
    ],
)
def test_what_cannot_be_a_site_is_refused_in_one_line(kind, changes, line):
    torch.manual_seed(0)
    module = kind()
    with pytest.raises(LabError) as caught:
        make(module, **changes)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert hooks(module) == 0
    assert module.training


def test_shared_module_under_two_names_is_refused(actor):
    actor.again = actor.body[1]
    with pytest.raises(LabError, match="one and the same"):
        make(actor, sites={"body.1": "h0", "again": "h1"})
