"""Strangers' policies act as the library that saved them says, and as they did when published."""

from __future__ import annotations

import dataclasses
import functools
import io
import zipfile
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import sb3_files as files
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn
from torch.nn import functional as F

import rl_ablation as rl
from rl_ablation.errors import LabError
from rl_ablation.policies.network import ACTIVATIONS, MLP
from rl_ablation.policies.sb3.algorithms import load_zip
from rl_ablation.policies.sb3.tensors import TensorFile

SHARED = Path(__file__).resolve().parents[4] / "shared" / "third_party"
AGENTS = {
    "a2c-Hopper-v3/Hopper-v3": ("A2C", "Hopper-v5", "tanh", (707, 1302, 874)),
    "ppo-Hopper-v3/Hopper-v3": ("PPO", "Hopper-v5", "relu", (2441, 2434, 2438)),
    "trpo-Swimmer-v3/Swimmer-v3": ("TRPO", "Swimmer-v5", "tanh", (358, 356, 358)),
    "sac-Swimmer-v3/Swimmer-v3": ("SAC", "Swimmer-v5", "relu", (337, 338, 337)),
}


def load_agent(agent: str):
    path = SHARED / f"{agent}.zip"
    if not path.exists():
        pytest.skip("the third-party agents are not here")
    return load_zip(path, AGENTS[agent][1])


def episode(env_id: str, seed: int, act) -> float:
    env = gymnasium.make(env_id)
    obs, _ = env.reset(seed=seed)
    total, over = 0.0, False
    while not over:
        obs, reward, terminated, truncated, _ = env.step(act(obs))
        total, over = total + float(reward), terminated or truncated
    env.close()
    return total


@torch.no_grad()
def one_row(policy, obs: np.ndarray) -> np.ndarray:
    """The policy as a plain torch forward of one row, as the reference returns were measured."""
    x = torch.from_numpy(policy.normalise(obs[None]))
    for weight, bias in policy.network.layers[:-1]:
        x = ACTIVATIONS[policy.card.activation](F.linear(x, weight, bias))
    x = F.linear(x, *policy.network.layers[-1])
    x = torch.tanh(x) if policy.card.squash == "tanh" else x
    return np.clip(x.numpy()[0], policy.low, policy.high)


@pytest.mark.parametrize("agent", AGENTS)
def test_published_agents_are_read(agent):
    policy = load_agent(agent)
    algorithm, env_id, activation, _ = AGENTS[agent]
    assert (policy.card.algorithm, policy.card.env_id) == (algorithm, env_id)
    assert policy.card.activation == activation
    assert (policy.obs_mean is None) == (algorithm == "SAC")
    assert policy.card.squash == ("tanh" if algorithm == "SAC" else "clip")
    assert policy.card.versions["stable_baselines3"].startswith("1.3.1")
    assert policy.card.steps is not None
    assert policy.card.steps >= 1_000_000


STEADY = [agent for agent in AGENTS if not agent.startswith("a2c")]


@pytest.mark.parametrize("how", ["rows", "blocks"])
@pytest.mark.parametrize("agent", STEADY)
def test_published_agents_return_what_the_table_says(agent, how):
    """A row at a time, as the table was measured, and as `Policy.act` rounds.

    Neither the last bit of an action nor another processor may move these by 2 %: noise of 1e-6 on
    every action leaves both Swimmers and the walking Hopper within 1.2 % of their returns.
    """
    policy = load_agent(agent)
    _, env_id, _, table = AGENTS[agent]
    act = {"rows": lambda obs: one_row(policy, obs), "blocks": lambda obs: policy.act(obs[None])[0]}
    for seed, wanted in enumerate(table):
        assert episode(env_id, seed, act[how]) == pytest.approx(wanted, rel=0.02), (agent, seed)


def test_published_chaotic_agent_hops_like_the_published_one():
    """The A2C Hopper stumbles chaotically: its seed 1 gave 1302, 909 and 804 by rounding alone.

    So its returns are held to their range over six seeds and several processors (215 to 1555, mean
    660 to 961); read without its normalisation it falls at once.
    """
    policy = load_agent("a2c-Hopper-v3/Hopper-v3")
    act = functools.partial(one_row, policy)
    returns = [episode("Hopper-v5", seed, act) for seed in range(6)]
    assert 400 < np.mean(returns) < 1400, returns
    raw = dataclasses.replace(policy, obs_mean=None, obs_std=None)
    assert episode("Hopper-v5", 0, functools.partial(one_row, raw)) < 100


def test_published_chaotic_agent_acts_the_same_in_blocks():
    policy = load_agent("a2c-Hopper-v3/Hopper-v3")
    obs = np.random.default_rng(0).normal(size=(500, 11))
    rows = np.stack([one_row(policy, o) for o in obs])
    np.testing.assert_allclose(policy.act(obs), rows, atol=2e-6)


CASES = {
    "ppo": (PPO, "Pendulum-v1", {}, {}),
    "ppo-elu": (PPO, "Pendulum-v1", {}, {"activation_fn": nn.ELU, "net_arch": [16]}),
    "ppo-pi": (
        PPO, "Pendulum-v1", {},
        {"activation_fn": nn.SiLU, "net_arch": {"pi": [9, 8, 7], "vf": [5]}},
    ),
    "ppo-sde": (PPO, "Pendulum-v1", {"use_sde": True}, {}),
    "ppo-sde-squash": (PPO, "Pendulum-v1", {"use_sde": True}, {"squash_output": True}),
    "ppo-discrete": (PPO, "CartPole-v1", {"seed": 0}, {"activation_fn": nn.Sigmoid}),
    "a2c-linear": (A2C, "Pendulum-v1", {}, {"net_arch": []}),
    "a2c-leaky": (A2C, "CartPole-v1", {}, {"activation_fn": nn.LeakyReLU}),
    "sac": (SAC, "Pendulum-v1", {"buffer_size": 10}, {"net_arch": [16, 16]}),
    "sac-gelu": (
        SAC, "Pendulum-v1", {"buffer_size": 10},
        {"net_arch": {"pi": [12], "qf": [5]}, "activation_fn": nn.GELU},
    ),
    "sac-sde": (SAC, "Pendulum-v1", {"buffer_size": 10, "use_sde": True}, {"clip_mean": 0.01}),
    "td3": (TD3, "Pendulum-v1", {"buffer_size": 10}, {"net_arch": [20, 10]}),
    "ddpg": (DDPG, "Pendulum-v1", {"buffer_size": 10}, {"activation_fn": nn.Tanh}),
    "dqn": (DQN, "CartPole-v1", {"buffer_size": 10}, {"net_arch": [13]}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_round_trip_with_the_installed_library(case, tmp_path):
    kind, env_id, options, kwargs = CASES[case]
    torch.manual_seed(1)
    model = kind("MlpPolicy", env_id, policy_kwargs=kwargs or None, device="cpu", **options)
    with torch.no_grad():  # fresh heads are nearly zero; make actions that reach their bounds
        for parameter in model.policy.parameters():
            parameter.mul_(1.5).add_(0.1 * torch.randn_like(parameter))
    model.save(tmp_path / "model")
    policy = load_zip(tmp_path / "model.zip", env_id)
    obs = np.random.default_rng(0).normal(size=(300, policy.obs_size)).astype(np.float32)
    wanted, _ = model.predict(obs, deterministic=True)
    if policy.card.squash == "argmax":
        np.testing.assert_array_equal(policy.act(obs), wanted)
    else:
        np.testing.assert_allclose(policy.act(obs), wanted, atol=3e-6)
        assert np.ptp(wanted) > 0.01
    assert policy.card.algorithm == kind.__name__
    assert (policy.card.name, policy.card.seed) == ("model", options.get("seed"))
    assert policy.card.versions["torch"] == torch.__version__


@pytest.mark.parametrize("place", ["vecnormalize.pkl", "Pendulum-v1/vecnormalize.pkl", "else.pkl"])
def test_statistics_beside_the_zip_or_given(place, tmp_path):
    venv = VecNormalize(DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")]), clip_obs=2.0)
    model = PPO("MlpPolicy", venv, n_steps=64, batch_size=64, n_epochs=1, device="cpu")
    model.learn(64)
    model.save(tmp_path / "model.zip")
    (tmp_path / place).parent.mkdir(exist_ok=True)
    venv.save(tmp_path / place)
    given = tmp_path / place if place == "else.pkl" else None
    policy = load_zip(tmp_path / "model.zip", "Pendulum-v1", vecnormalize=given)
    obs = np.random.default_rng(0).normal(size=(99, 3)) * 4
    wanted, _ = model.predict(venv.normalize_obs(obs), deterministic=True)
    np.testing.assert_allclose(policy.act(obs), wanted, atol=3e-6)
    assert policy.card.obs_clip == 2.0
    without = load_zip(tmp_path / "model.zip", "Pendulum-v1", vecnormalize=False)
    assert without.obs_mean is None


def forward(state, prefix, x, function):
    keys = [k.removesuffix(".weight") for k in state if k.startswith(prefix) and "weight" in k]
    for key in keys[:-1]:
        x = function(F.linear(x, state[f"{key}.weight"], state.get(f"{key}.bias")))
    return F.linear(x, state[f"{keys[-1]}.weight"], state.get(f"{keys[-1]}.bias"))


def test_hand_made_contrib_layouts(tmp_path):
    obs = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    x = torch.from_numpy(obs)

    def load(state, kind, **changes):
        content = files.members(state, policy_class=f"sb3_contrib.{kind}", **changes)
        return load_zip(files.write(tmp_path / "x.zip", content))

    tqc = files.mlp_state("actor.latent_pi", [4, 6, 5])
    tqc.update(files.renamed(files.mlp_state("actor.mu", [5, 2]), "mu.0", "mu"))
    policy = load(tqc, "tqc.policies.TQCPolicy", action_space=files.box(2, 3.0))
    hidden = torch.relu(forward(tqc, "actor.latent_pi", x, torch.relu))
    wanted = 3 * torch.tanh(forward(tqc, "actor.mu", hidden, torch.relu))
    np.testing.assert_allclose(policy.act(obs), wanted, atol=3e-6)
    assert policy.card.algorithm == "TQC"

    quantiles = files.mlp_state("quantile_net.quantile_net", [4, 6, 5 * 3])
    discrete = gymnasium.spaces.Discrete(3)
    policy = load(quantiles, "qrdqn.policies.QRDQNPolicy", action_space=discrete)
    scores = forward(quantiles, "quantile_net", x, torch.relu).view(-1, 5, 3).mean(1)
    np.testing.assert_array_equal(policy.act(obs), scores.argmax(1))
    assert policy.action_size == 3

    linear = files.mlp_state("action_net", [4, 2], bias=False)
    for state in (linear, files.renamed(linear, "net.0", "net")):
        policy = load(state, "ars.policies.ARSLinearPolicy")
        wanted = forward(linear, "action_net", x, torch.relu).clamp(-1, 1)
        np.testing.assert_allclose(policy.act(obs), wanted, atol=1e-6)
        assert (policy.card.algorithm, policy.card.squash) == ("ARS", "clip")

    deep = files.mlp_state("action_net", [4, 7, 2])
    policy = load(deep, "ars.policies.ARSPolicy", action_space=files.box(2, 0.5))
    wanted = 0.5 * torch.tanh(forward(deep, "action_net", x, torch.relu))
    np.testing.assert_allclose(policy.act(obs), wanted, atol=1e-6)
    assert policy.card.squash == "tanh"

    content = files.members(cg_max_steps=15)
    assert load_zip(files.write(tmp_path / "x.zip", content)).card.algorithm == "TRPO"


def test_shared_layers_of_old_versions(tmp_path):
    shared = files.mlp_state("mlp_extractor.shared_net", [4, 6])
    state = {**shared, **files.mlp_state("mlp_extractor.policy_net", [6, 5], seed=5)}
    state.update(files.renamed(files.mlp_state("action_net", [5, 2]), "net.0", "net"))
    policy = load_zip(files.write(tmp_path / "x.zip", files.members(state)))
    assert policy.sites == {"obs": 4, "h0": 6, "h1": 5, "action": 2}
    obs = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    h = torch.tanh(forward(shared, "mlp", torch.from_numpy(obs), torch.tanh))
    h = torch.tanh(F.linear(h, *list(state.values())[2:4]))
    wanted = F.linear(h, state["action_net.weight"], state["action_net.bias"]).clamp(-1, 1)
    np.testing.assert_allclose(policy.act(obs), wanted, atol=1e-6)


def recurrent(env=None, **kwargs):
    """An untrained RecurrentPPO."""
    kwargs = {"lstm_hidden_size": 16, "net_arch": {"pi": [8], "vf": [8]}, **kwargs}
    return RecurrentPPO("MlpLstmPolicy", env or "Pendulum-v1", policy_kwargs=kwargs, seed=1)


def follows(policy, model, obs: np.ndarray) -> None:
    """A policy acts as its library does, over a sequence (T, N, D) that starts at rest."""
    memory, state, first = policy.at_rest(obs.shape[1]), None, np.ones(obs.shape[1])
    for rows in obs:
        seen = rows if model.get_vec_normalize_env() is None else model.env.normalize_obs(rows)
        wanted, state = model.predict(seen, state, episode_start=first, deterministic=True)
        first = np.zeros(obs.shape[1])
        np.testing.assert_allclose(policy.act(rows, memory=memory), wanted, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 2])
def test_recurrent_zips_remember_as_the_library_does(layers, tmp_path):
    model = recurrent(n_lstm_layers=layers)
    model.save(tmp_path / "r.zip")
    policy = load_zip(tmp_path / "r.zip", "Pendulum-v1")
    sizes = {f"h{k}{part}": 16 for k in range(layers) for part in ("", ".hidden", ".cell")}
    assert policy.sites == {"obs": 3, **sizes, f"h{layers}": 8, "action": 1}
    assert policy.card.algorithm == "RecurrentPPO"
    follows(policy, model, np.random.default_rng(0).normal(size=(20, 5, 3)).astype(np.float32))


def test_a_recurrent_zip_with_a_projection_is_refused(tmp_path):
    model = recurrent()
    model.policy.lstm_actor = nn.LSTM(3, 16, proj_size=4)
    model.save(tmp_path / "r.zip")
    with pytest.raises(LabError, match="no plain LSTM"):
        load_zip(tmp_path / "r.zip")


def test_a_model_in_memory_is_the_policy_that_it_is_now(tmp_path):
    env = VecNormalize(DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")]))
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=1, seed=1)
    model.learn(64)
    policy = rl.load(model, env="Pendulum-v1")
    model.save(tmp_path / "m.zip")
    env.save(str(tmp_path / "vecnormalize.pkl"))
    assert policy.sha256 == load_zip(tmp_path / "m.zip", "Pendulum-v1").sha256
    assert policy.card.env_id == "Pendulum-v1"
    model.learn(64)
    assert policy.sha256 != rl.load(model, env="Pendulum-v1").sha256, "it has learned since"
    follows(rl.load(recurrent(), env="Pendulum-v1"), recurrent(), np.ones((3, 2, 3), np.float32))
    with pytest.raises(LabError, match="a model has its own"):
        rl.load(model, vecnormalize=False, env_wrapper="time-feature")
    with pytest.raises(LabError, match="this PPO: takes 3 observations"):
        rl.load(model, env="CartPole-v1")


def test_tensors_in_all_their_forms():
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 7
    state = {
        "plain": base,
        "turned": base.T,
        "part": base[1:3, 2:],
        "double": base.double(),
        "half": base.half(),
        "brain": base.bfloat16(),
        "parameter": nn.Parameter(base.clone()),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(3.5),
        "long": torch.arange(3),
    }
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        found = TensorFile(files.torch_bytes(state, **options))
        for name, value in state.items():
            if name == "long":
                with pytest.raises(LabError, match="long is a LongStorage, not of floats"):
                    found.arrays([name])
            else:
                read = found.arrays([name])[name]
                np.testing.assert_array_equal(read, value.detach().float().numpy())
        assert list(found.arrays(["part", "turned", "plain"])) == ["part", "turned", "plain"]
    with pytest.raises(LabError, match="absent is missing or no tensor"):
        found.arrays(["absent"])


def test_old_torch_format_and_recompressed_zip(tmp_path):
    content = files.members()
    wanted = load_zip(files.write(tmp_path / "a.zip", content))
    small = load_zip(files.write(tmp_path / "b.zip", content, zipfile.ZIP_DEFLATED))
    content["policy.pth"] = files.torch_bytes(
        files.on_policy_state(), _use_new_zipfile_serialization=False
    )
    old = load_zip(files.write(tmp_path / "c.zip", content))
    assert wanted.sha256 == small.sha256 == old.sha256
    assert load_zip(tmp_path / "a").sha256 == wanted.sha256, "without .zip, as PPO.load"


def test_statistics_of_every_pickle_protocol(tmp_path):
    files.write(tmp_path / "x.zip", files.members())
    (tmp_path / "vecnormalize.pkl").write_bytes(files.statistics(4))
    policy = load_zip(tmp_path / "x.zip")
    np.testing.assert_array_equal(policy.obs_mean, [0, 1, 2, 3])
    np.testing.assert_allclose(policy.obs_std**2, np.arange(1, 5) + 1e-8)
    assert policy.card.obs_clip == 5.0


def test_bounds_come_from_the_environment_when_the_file_has_none(tmp_path):
    state = files.on_policy_state()
    state["action_net.weight"], state["action_net.bias"] = torch.ones(1, 8), torch.ones(1)
    state["mlp_extractor.policy_net.0.weight"] = torch.ones(8, 3)
    content = files.members(state, action_space=b"N.", observation_space=b"N.")
    path = files.write(tmp_path / "x.zip", content)
    assert load_zip(path, "Pendulum-v1").high == 2.0
    with pytest.raises(LabError, match="names no action space"):
        load_zip(path)


def test_unbounded_actions_are_not_clipped(tmp_path):
    content = files.members(action_space=files.box(2, np.inf))
    policy = load_zip(files.write(tmp_path / "x.zip", content))
    assert (policy.low, policy.card.squash) == (None, "none")
    assert isinstance(policy.network, MLP)


OBS_AND_ENV = {
    18: "trained behind the SB3 Zoo's TimeFeatureWrapper; add --env-wrapper time-feature",
    34: "2 times as many; frame stacks are not supported",
    20: "give the environment and env_kwargs",
}


def sized(size: int) -> dict[str, bytes]:
    state = files.on_policy_state()
    state["mlp_extractor.policy_net.0.weight"] = torch.ones(8, size) / size
    state["action_net.weight"], state["action_net.bias"] = torch.ones(6, 8), torch.zeros(6)
    space = files.box(size, np.inf)
    return files.members(state, observation_space=space, action_space=files.box(6))


@pytest.mark.parametrize("size", OBS_AND_ENV)
def test_observations_that_do_not_fit_say_why(size, tmp_path):
    path = files.write(tmp_path / "x.zip", sized(size))
    with pytest.raises(LabError) as caught:
        load_zip(path, "HalfCheetah-v5")
    assert OBS_AND_ENV[size] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "wrapper", ["time-feature", "sb3_contrib.common.wrappers.TimeFeatureWrapper"]
)
def test_time_feature(wrapper, tmp_path):
    path = files.write(tmp_path / "x.zip", sized(18))
    policy = load_zip(path, "HalfCheetah-v5", env_wrapper=wrapper)
    env = gymnasium.make(policy.card.env_id, **policy.card.env_kwargs)
    plain = gymnasium.make("HalfCheetah-v5")
    obs, wanted = env.reset(seed=3)[0], plain.reset(seed=3)[0]
    for step in range(1000):
        np.testing.assert_array_equal(obs[:-1], wanted)
        assert obs[-1] == 1 - step / 1000
        action = policy.act(obs[None])[0]
        obs, _, _, truncated, _ = env.step(action)
        wanted = plain.step(action)[0]
        assert truncated == (step == 999)
    assert env.reset(seed=3)[0][-1] == 1.0
    batch = gymnasium.make_vec(policy.card.env_id, num_envs=2, **policy.card.env_kwargs)
    assert batch.reset(seed=0)[0].shape == (2, 18)


def test_wrappers_and_environments_that_do_not_work(tmp_path):
    path = files.write(tmp_path / "x.zip", sized(17))
    for env_id, wrapper, line in (
        ("HalfCheetah-v5", "atari", "unknown environment wrapper"),
        (None, "time-feature", "needs an environment"),
        ("Nowhere-v0", None, "cannot make it"),
        ("CartPole-v1", None, "takes 17 observations"),
        ("Walker2d-v5", None, None),
    ):
        if line is None:
            load_zip(path, env_id, env_wrapper=wrapper)
            continue
        with pytest.raises(LabError, match=line) as caught:
            load_zip(path, env_id, env_wrapper=wrapper)
        assert "\n" not in str(caught.value)


spaces = gymnasium.spaces
IMAGES = spaces.Box(0, 255, (3, 84, 84), np.uint8)
UNSUPPORTED = {
    "cnn": ({"policy_class": "stable_baselines3.common.policies.ActorCriticCnnPolicy"}, "images"),
    "dict-policy": (
        {"policy_class": "stable_baselines3.common.policies.MultiInputActorCriticPolicy"},
        "dict observations are not supported",
    ),
    "masks": (
        {"policy_class": "sb3_contrib.common.maskable.policies.MaskableActorCriticPolicy"}, "masks",
    ),
    "own-class": ({"policy_class": "mine.MyPolicy"}, "mine.MyPolicy is not supported"),
    "known-name": (
        {"policy_class": "mine.ActorCriticPolicy"}, "mine.ActorCriticPolicy is not supported",
    ),
    "dict": ({"observation_space": spaces.Dict({"a": files.box(4)})}, "Dict observations"),
    "images": ({"observation_space": IMAGES}, "images"),
    "grid": ({"observation_space": spaces.Discrete(4)}, "Discrete observations"),
    "multi": ({"action_space": spaces.MultiDiscrete([2, 2])}, "MultiDiscrete actions"),
    "binary": ({"action_space": spaces.MultiBinary(2)}, "MultiBinary actions"),
    "start": ({"action_space": spaces.Discrete(2, start=1)}, "do not start at 0"),
    "softplus": ({"policy_kwargs": {"activation_fn": nn.Softplus}}, "activation"),
    "own-activation": ({"policy_kwargs": {"activation_fn": "tanh"}}, "activation tanh"),
    "extractor": (
        {"policy_kwargs": {"features_extractor_class": nn.Identity}}, "feature extractor",
    ),
    "sac-discrete": (
        {"policy_class": "stable_baselines3.dqn.policies.DQNPolicy"}, "policy.pth: holds no actor",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_what_is_not_supported_says_so_in_one_line(case, tmp_path):
    changes, line = UNSUPPORTED[case]
    path = files.write(tmp_path / "x.zip", files.members(**changes))
    with pytest.raises(LabError) as caught:
        load_zip(path)
    assert line in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_weights_that_are_no_plain_mlp(tmp_path):
    for key, value, line in (
        ("mlp_extractor.policy_net.1.weight", torch.ones(8), "no plain MLP"),
        ("features_extractor.cnn.0.weight", torch.ones(8, 3, 4, 4), "feature extractor"),
        ("lstm_actor.weight_ih_l0", torch.ones(8, 8), "is none that remembers"),
        ("action_net.weight", torch.ones(2, 8, 1), "no layer of an MLP"),
    ):
        state = {**files.on_policy_state(), key: value}
        with pytest.raises(LabError, match=line):
            load_zip(files.write(tmp_path / "x.zip", files.members(state)))


def test_an_environment_of_another_kind_says_so(tmp_path):
    path = files.write(tmp_path / "x.zip", files.members())
    gymnasium.register("tests/Odd-v0", entry_point=_Odd)
    for spaces_of, line in (
        ((gymnasium.spaces.Discrete(3), files.box(2)), "Discrete observations are not supported"),
        ((files.box(4), gymnasium.spaces.MultiBinary(2)), "MultiBinary actions are not supported"),
        ((files.box(4), files.box(3)), "gives 2 actions, which is not what"),
        ((files.box(4), gymnasium.spaces.Discrete(2)), "gives 2 actions, which is not what"),
    ):
        _Odd.observation_space, _Odd.action_space = spaces_of
        with pytest.raises(LabError, match=line):
            load_zip(path, "tests/Odd-v0")
    _Odd.observation_space = gymnasium.spaces.Box(-1, 1, (2, 2), np.float32)
    _Odd.action_space = gymnasium.spaces.Box(-2, 1, (1, 2), np.float32)
    policy = load_zip(
        files.write(tmp_path / "y.zip", files.members(action_space=_NONE)), "tests/Odd-v0"
    )
    np.testing.assert_array_equal(policy.low, [-2, -2])
    np.testing.assert_array_equal(policy.high, [1, 1])


class _Odd(gymnasium.Env):
    """Somebody's environment; its spaces are set by the test."""


_NONE = b"N."  # a pickle of None


def test_statistics_that_are_wanted_and_not_there(tmp_path):
    path = files.write(tmp_path / "x.zip", files.members())
    with pytest.raises(LabError, match=r"no vecnormalize.pkl beside it; give its path"):
        load_zip(path, vecnormalize=True)


def test_library_reads_what_the_tests_write():
    """The hand-made files are files of torch: the corpus tests the reader, not a caricature."""
    state = torch.load(io.BytesIO(files.members()["policy.pth"]), weights_only=True)
    assert set(state) == set(files.on_policy_state())


def test_harmless_names_in_settings_do_not_stop_a_zip(tmp_path):
    env = gymnasium.make("Pendulum-v1")
    model = SAC("MlpPolicy", env, buffer_size=10, policy_kwargs={"net_arch": [8]}, device="cpu")
    model.policy_kwargs |= {
        "optimizer_class": torch.optim.AdamW,
        "unknown": [torch.device("cuda:0"), torch.float32, torch.strided, torch.Size([1])],
        "schedule": LinearSchedule(1.0, 0.0, 1.0),
    }
    model.save(tmp_path / "x.zip")
    policy, obs = load_zip(tmp_path / "x.zip"), np.ones((2, 3), np.float32)
    np.testing.assert_allclose(
        policy.act(obs), model.predict(obs, deterministic=True)[0], rtol=1e-5, atol=1e-6
    )
