"""Selectivity in the loss: the right number, gradient and context, and nothing else."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import configure
from stable_baselines3.common.utils import set_random_seed

from agents import train as training
from agents.adapter import make_training_env
from agents.recipes import Recipe
from agents.selective_ppo import SelectivePPO, network_selectivity, rate, unit_selectivity
from agents.train import train
from rl_ablation.analysis.selectivity import bend_contexts, class_selectivity
from rl_ablation.errors import LabError
from rl_ablation.measures.laps import BEND
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.rollouts.recording import record

LAP = "envs:rl_ablation/Lap-v0"
TINY = Recipe(
    name="tiny",
    env_id=LAP,
    env_kwargs={"tracks": ["bends"], "max_episode_steps": 30},
    steps=1024,
    stage_steps=512,
    num_envs=16,
    net_arch=(12, 8),
    ppo={"n_steps": 16, "batch_size": 64, "n_epochs": 2},
)
PUSHED = TINY.model_copy(update={"selectivity": 3.0})


def with_alpha(alpha, **changes):
    return TINY.model_copy(update={"selectivity": alpha, **changes})


def same(one, other):
    pairs = zip(one.network.layers, other.network.layers, strict=True)
    return all(torch.equal(a, b) for x, y in pairs for a, b in zip(x, y, strict=True))


def selective(alpha, *, n_steps=16, batch_size=256, **kwargs):
    """A small model on the lap robots themselves, without a normaliser, and a full buffer."""
    set_random_seed(0)
    env = make_training_env(LAP, 16, TINY.env_kwargs)
    env.seed(5)
    model = SelectivePPO(
        env, selectivity=alpha, n_steps=n_steps, batch_size=batch_size, device="cpu",
        policy_kwargs={"net_arch": {"pi": [12, 8], "vf": [8]}}, **kwargs,
    )  # fmt: skip
    model.set_logger(configure(None, []))
    return model, env


# The number.


def test_selectivity_of_hand_made_units():
    context = torch.tensor([0, 0, 1, 1, 2, 2])
    rates = torch.tensor(
        [[1.0, 0.5, 0.9, 0.0], [1.0, 0.5, 0.7, 0.0]]  # unit 0: left only; 1: the same everywhere
        + [[0.0, 0.5, 0.2, 0.0]] * 2  # unit 2: means 0.8, 0.2, 0.4; unit 3: silent
        + [[0.0, 0.5, 0.4, 0.0]] * 2
    )
    found = unit_selectivity(rates, context, 3)
    assert found.tolist() == pytest.approx([1.0, 0.0, (0.8 - 0.3) / (0.8 + 0.3), 0.0], abs=1e-6)


def test_it_is_the_selectivity_that_the_instrument_measures():
    rng = np.random.default_rng(0)
    rates, context = rng.random((200, 7)), rng.integers(0, 3, 200)
    found = unit_selectivity(torch.tensor(rates), torch.tensor(context), 3)
    assert found.numpy() == pytest.approx(class_selectivity(rates, context), abs=1e-9)


def test_a_context_nobody_is_in_is_left_out():
    rates = torch.tensor([[0.6], [0.2]], requires_grad=True)
    context = torch.tensor([0, 2])
    assert unit_selectivity(rates, context, 3).item() == pytest.approx(0.4 / 0.8, abs=1e-6)
    alone = unit_selectivity(rates, torch.tensor([1, 1]), 3).sum()
    assert alone.item() == 0  # one context: nothing to prefer, and no NaN
    assert not alone.requires_grad or torch.autograd.grad(alone, rates)[0].abs().sum() == 0


def test_layers_count_alike_however_wide():
    context = torch.tensor([0, 1])
    choosy, even = torch.tensor([[1.0], [-1.0]]), torch.zeros(2, 9)
    assert network_selectivity([choosy, even], context, 2).item() == pytest.approx(0.5, abs=1e-6)


def test_a_rate_keeps_the_sign():
    """A unit at +1 in one context and −1 in the other is as selective as can be."""
    layer = torch.tensor([[1.0], [-1.0]])
    assert unit_selectivity(rate(layer), torch.tensor([0, 1]), 2).item() == pytest.approx(1.0)
    assert unit_selectivity(layer.abs(), torch.tensor([0, 1]), 2).item() == pytest.approx(0.0)


# The gradient.


def gradients(model):
    """Of the whole loss of one update on the buffer, as PPO itself works it out."""
    caught = []
    policy = model.policy
    policy.optimizer.step = lambda: caught.append(
        {n: torch.zeros_like(p) if p.grad is None else p.grad.clone()
         for n, p in policy.named_parameters()}
    )  # fmt: skip
    set_random_seed(1)  # the order of the minibatch
    model.train()
    return caught[0]


def selectivity_by_hand(layers, bend):
    """SI by the formula, context by context, independent of the code under test."""
    total = 0.0
    for a in layers:
        r = (a + 1) / 2
        means = [r[where].mean(0) for where in (bend > BEND, abs(bend) <= BEND, bend < -BEND)]
        means = torch.stack(means)
        top = means.max(0).values
        rest = (means.sum(0) - top) / 2
        total = total + ((top - rest) / (top + rest + 1e-7)).mean()
    return total / len(layers)


@pytest.mark.parametrize("alpha", [0.7, -2.0])
def test_the_loss_gains_exactly_minus_alpha_selectivity(alpha):
    model, env = selective(alpha, n_epochs=1, max_grad_norm=1e9)
    bends = []
    step = env.step_wait

    def spy():
        bends.append(env._latest["bend"].copy())
        return step()

    env.step_wait = spy
    model.learn(256, callback=None)  # fills the buffer, and trains once
    with_term = gradients(model)
    model.ent_coef = 0.0
    without = gradients(model)

    obs = torch.as_tensor(model.rollout_buffer.observations)  # (robot × step, D) once it was read
    bend = torch.as_tensor(np.stack(bends).T.reshape(-1))
    assert {-1, 0, 1} == set((bend > BEND).int().sub((bend < -BEND).int()).tolist())
    first, second = (
        model.policy.mlp_extractor.policy_net[0],
        model.policy.mlp_extractor.policy_net[2],
    )
    h0 = torch.tanh(first(obs))
    h1 = torch.tanh(second(h0))
    model.policy.zero_grad()
    (-alpha * selectivity_by_hand([h0, h1], bend)).backward()
    moved = 0
    for name, parameter in model.policy.named_parameters():
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        assert torch.allclose(with_term[name] - without[name], expected, atol=2e-6), name
        moved += bool(expected.abs().max() > 1e-4)
    assert moved == 4  # weights and biases of both hidden layers, and nothing else
    env.close()


# The context.


def test_every_observation_has_its_own_context():
    """Through starts and ends of episodes: replay the actions in a plain batch of robots."""
    model, env = selective(1.0, n_steps=48, batch_size=768)
    actions = []
    step_async = env.step_async

    def spy(chosen):
        actions.append(chosen.copy())
        step_async(chosen)

    env.step_async = spy
    model.learn(768)
    twin = gym.make_vec(LAP, num_envs=16, autoreset_mode="SameStep", **TINY.env_kwargs)
    obs, infos = twin.reset(seed=[5 + i for i in range(16)])
    seen, told, ends = [], [], 0
    for chosen in actions:
        seen.append(obs)
        told.append(bend_contexts(infos["bend"]))
        obs, _, terminated, truncated, infos = twin.step(chosen)
        ends += (terminated | truncated).sum()
    assert ends >= 16
    (batch,) = model.rollout_buffer.get()
    order = np.lexsort(batch.observations[:, :18].numpy().T)
    expected = np.concatenate(
        [np.stack(seen).reshape(-1, 18), np.stack(told).reshape(-1, 1)], axis=1
    )
    expected = expected[np.lexsort(expected[:, :18].T)]
    assert np.array_equal(batch.observations.numpy()[order], expected.astype(np.float32))
    assert set(np.unique(expected[:, 18])) == {0, 1, 2}


# Nothing else.


def test_at_alpha_zero_it_is_plain_ppo(tmp_path, monkeypatch):
    plain = train(TINY, tmp_path / "plain")
    monkeypatch.setattr(
        training, "PPO", lambda _, env, **kwargs: SelectivePPO(env, selectivity=0.0, **kwargs)
    )
    assert same(plain, train(TINY, tmp_path / "selective"))


def test_a_recipe_without_it_never_comes_here(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SelectivePPO", None)
    train(TINY.model_copy(update={"steps": 256}), tmp_path)
    with pytest.raises(TypeError):
        train(PUSHED, tmp_path / "pushed")


def test_it_repeats_resumes_and_exports_a_plain_policy(tmp_path):
    whole = train(PUSHED, tmp_path / "whole")

    def stop(now, row):
        if now > 512:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(PUSHED, tmp_path / "parts", progress=stop)
    assert same(whole, train(PUSHED, tmp_path / "parts"))
    assert whole.sites == {"obs": 18, "h0": 12, "h1": 8, "action": 2}
    assert Recipe(**whole.card.hyperparameters) == PUSHED
    with pytest.raises(LabError, match="another recipe"):
        train(TINY, tmp_path / "parts")


def test_it_moves_selectivity_both_ways(tmp_path):
    reached = {}
    for alpha in (-5.0, 5.0):
        recipe = with_alpha(alpha, steps=6144, stage_steps=2048)
        policy = train(recipe, tmp_path / f"{alpha}")
        seen = record(policy, ["@h0", "@h1", "bend"], Episodes(16), threads=1).moments()
        classes = bend_contexts(seen["bend"])
        reached[alpha] = np.mean(
            [class_selectivity(rate(seen[site]), classes).mean() for site in ("@h0", "@h1")]
        )
    assert reached[5.0] > 1.5 * reached[-5.0]


# Refusals.


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"ppo": {**TINY.ppo, "ent_coef": 0.01}}, "ent_coef"),
        ({"activation": "relu"}, "tanh"),
        ({"env_id": "envs:Walker2d-v5", "env_kwargs": {}}, "'bend'"),
    ],
)
def test_refusals(changes, match, tmp_path):
    with pytest.raises(LabError, match=match) as caught:
        train(PUSHED.model_copy(update=changes), tmp_path)
    assert "\n" not in str(caught.value)
