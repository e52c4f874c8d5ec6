"""Training: exact repeats and resumes, what it leaves behind, and what it hands to the lab."""

import csv
import re
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents import checkpoint as checkpoint_module
from agents import zoo
from agents.adapter import BatchVecEnv, make_training_env, stage_seed
from agents.recipes import RECIPES, Recipe
from agents.train import _model, kept_at, to_policy, train, untrained
from rl_ablation.errors import LabError
from rl_ablation.policies.load import load
from rl_ablation.policies.network import one_thread
from rl_ablation.policies.storage import save

ROLLOUT = 256  # steps: 16 robots × 16
TINY = Recipe(
    name="tiny",
    env_id="envs:rl_ablation/Lap-v0",
    env_kwargs={"tracks": ["ring"], "max_episode_steps": 40},
    steps=6 * ROLLOUT,
    stage_steps=2 * ROLLOUT,
    num_envs=16,
    net_arch=(12, 8),
    ppo={"n_steps": 16, "batch_size": 64, "n_epochs": 2},
    curve=("progress", "crash"),
)
LED = TINY.model_copy(update={"stagger": True, "final_log_std": -2.0, "activation": "elu"})


REMEMBERS = TINY.model_copy(
    update={"env_kwargs": {**TINY.env_kwargs, "beams": 1}, "memory": 6, "net_arch": (5,)}
)


def weights(policy):
    if policy.memory:
        return [*map(np.asarray, policy.network.constants.values()), policy.obs_mean]
    layers = [np.asarray(x) for layer in policy.network.layers for x in layer]
    return [*layers, policy.obs_mean, policy.obs_std]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


@pytest.fixture(scope="module", params=[TINY, LED], ids=["plain", "led"])
def whole(request, tmp_path_factory):
    """A training that nothing interrupted: recipe, folder, policy."""
    folder = tmp_path_factory.mktemp("whole")
    return request.param, folder, train(request.param, folder)


def stop_after(steps):
    def progress(now, row):
        if now > steps:
            raise KeyboardInterrupt

    return progress


# Repeats and resumes.


def test_same_seed_same_weights(whole, tmp_path):
    recipe, folder, policy = whole
    again = train(recipe, tmp_path / "again")
    assert same(policy, again)
    assert policy.sha256 == again.sha256
    assert (folder / "curve.csv").read_bytes() == (tmp_path / "again/curve.csv").read_bytes()
    assert not same(policy, train(recipe, tmp_path / "other", seed=1))


def test_training_does_not_depend_on_what_was_drawn_before(whole, tmp_path):
    recipe, _, policy = whole
    np.random.seed(99)  # noqa: NPY002 - the global stream is what is meant
    torch.manual_seed(99)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert same(policy, train(recipe, tmp_path))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("rollouts", [0, 2, 3, 5])
def test_interrupted_and_resumed_is_the_same_training(whole, tmp_path, rollouts):
    recipe, folder, policy = whole
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path, progress=stop_after(rollouts * ROLLOUT))
    assert (tmp_path / "checkpoint.safetensors").exists() == (rollouts >= 2)
    seen = []
    resumed = train(recipe, tmp_path, progress=lambda now, row: seen.append(now))
    assert seen[0] == (rollouts // 2 * 2 + 1) * ROLLOUT  # from the stage's start
    assert same(policy, resumed)
    assert (tmp_path / "curve.csv").read_bytes() == (folder / "curve.csv").read_bytes()


def test_resumed_when_done_only_exports(whole):
    recipe, folder, policy = whole

    def nothing(now, row):
        raise AssertionError("it went on training")

    assert same(policy, train(recipe, folder, progress=nothing))


def test_training_changes_the_weights(tmp_path):
    """The tests above would pass on a training that does nothing."""
    one = train(TINY.model_copy(update={"steps": ROLLOUT}), tmp_path / "one")
    two = train(TINY.model_copy(update={"steps": 2 * ROLLOUT}), tmp_path / "two")
    assert not any(np.array_equal(a, b) for a, b in zip(weights(one), weights(two), strict=True))


# Policies that are kept on the way.

MARKS = [0, ROLLOUT, 2 * ROLLOUT, 5 * ROLLOUT, 6 * ROLLOUT]


def kept(folder):
    """Every file of the policies that a training kept, by its place."""
    files = (p for p in folder.glob("at-*/*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def test_policies_kept_on_the_way_change_nothing(whole, tmp_path):
    recipe, folder, policy = whole
    watched = train(recipe, tmp_path, keep=MARKS)
    assert watched.sha256 == policy.sha256
    assert (tmp_path / "curve.csv").read_bytes() == (folder / "curve.csv").read_bytes()
    found = [load(kept_at(tmp_path, mark)) for mark in MARKS]
    assert [p.card.steps for p in found] == MARKS
    assert same(found[0], untrained(recipe)), "the first is the one that it starts from"
    assert found[-1].sha256 == policy.sha256, "the last is the one that comes of it"
    assert len({p.sha256 for p in found}) == len(MARKS)


def test_interrupted_and_resumed_keeps_the_same_files(tmp_path):
    train(TINY, tmp_path / "whole", keep=MARKS)
    for rollouts in (0, 1, 2, 5):
        cut = tmp_path / f"cut-{rollouts}"
        with pytest.raises(KeyboardInterrupt):
            train(TINY, cut, progress=stop_after(rollouts * ROLLOUT), keep=MARKS)
        before = kept(cut)
        assert len(before) == 2 * sum(mark <= rollouts * ROLLOUT for mark in MARKS)
        train(TINY, cut, keep=MARKS)
        assert kept(cut) == kept(tmp_path / "whole")
        assert before.items() <= kept(cut).items(), "what there was is as it was"


def test_what_was_not_kept_or_is_damaged_is_told(begun):
    again = begun / f"at-{ROLLOUT}"
    refuse(f"past step {ROLLOUT} and its policy of then", TINY, begun, keep=[ROLLOUT])
    save(load(train_kept(begun / "other", seed=1)), again)
    refuse("of another training", TINY, begun, keep=[ROLLOUT])
    save(load(train_kept(begun / "same", seed=0)), again)
    whole = train(TINY, begun, keep=[ROLLOUT, 2 * ROLLOUT])
    assert load(begun / f"at-{2 * ROLLOUT}").card.steps == 2 * ROLLOUT
    path = again / "policy.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    refuse("past step", TINY, begun, keep=[ROLLOUT])
    assert same(whole, train(TINY, begun))


def train_kept(folder, seed):
    """Where a training has kept the policy of its first rollout."""
    with pytest.raises(KeyboardInterrupt):
        train(TINY, folder, seed=seed, keep=[ROLLOUT], progress=stop_after(ROLLOUT))
    return kept_at(folder, ROLLOUT)


@pytest.mark.parametrize("mark", [-ROLLOUT, 100, 7 * ROLLOUT])
def test_a_policy_is_kept_between_rollouts_only(tmp_path, mark):
    refuse("can at multiples of 256 up to 1536", TINY, tmp_path, keep=[mark])


# Refusals.


@pytest.mark.parametrize("recipe", [TINY, LED], ids=["plain", "led"])
def test_untrained_is_what_a_training_starts_from(recipe, tmp_path):
    start = []

    def prepare(model, env):
        start.append(to_policy(model, env, recipe, 3, {}))
        return []

    trained = train(recipe, tmp_path, seed=3, prepare=prepare)
    found = untrained(recipe, 3)
    assert same(found, start[0])
    assert found.card.steps == 0
    assert not same(found, untrained(recipe, 4))
    watching = untrained(recipe, 3, trained)
    assert same(watching, replace(found, obs_mean=trained.obs_mean, obs_std=trained.obs_std))
    assert not np.array_equal(watching.obs_mean, found.obs_mean)


@pytest.fixture
def begun(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(TINY, tmp_path, progress=stop_after(2 * ROLLOUT))
    return tmp_path


def refuse(match, *args, **kwargs):
    with pytest.raises(LabError, match=match) as caught:
        train(*args, **kwargs)
    assert "\n" not in str(caught.value)


def test_checkpoint_of_another_recipe_or_seed(begun):
    refuse("another recipe or seed", TINY, begun, seed=1)
    slower = TINY.model_copy(update={"learning_rate": 1e-4})
    refuse("another recipe or seed", slower, begun)


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b"junk"])
def test_damaged_checkpoint(begun, damage):
    path = begun / "checkpoint.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    refuse("damaged checkpoint", TINY, begun)


def test_a_flipped_bit_of_a_checkpoint_is_noticed(begun):
    path = begun / "checkpoint.safetensors"
    content = path.read_bytes()
    for place in (3, 40, len(content) // 2, len(content) - 1):
        other = bytearray(content)
        other[place] ^= 2
        path.write_bytes(other)
        refuse("damaged checkpoint.*delete it to start anew", TINY, begun)


def test_other_versions_than_it_was_begun_with(begun, monkeypatch):
    real = checkpoint_module.versions()
    monkeypatch.setattr(checkpoint_module, "versions", lambda: {**real, "torch": "1.0"})
    line = (
        rf"checkpoint.safetensors was made with torch {re.escape(real['torch'])} \(here 1\.0\): go"
    )
    refuse(line, TINY, begun)
    refuse(r"was made with device cpu \(here cpu:0\)", TINY, begun, device="cpu:0")


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_text("steps\r\n1\r\n")])
def test_a_damaged_curve_is_written_again(whole, tmp_path, damage):
    recipe, folder, _ = whole
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path, progress=stop_after(3 * ROLLOUT))
    damage(tmp_path / "curve.csv")
    train(recipe, tmp_path)
    curve = (tmp_path / "curve.csv").read_bytes()
    assert curve == (folder / "curve.csv").read_bytes()
    assert b"\r" not in curve


def test_what_a_killed_training_left_is_swept(begun):
    left = begun / ".checkpoint.safetensors.999999999"
    left.write_bytes(b"half")
    train(TINY, begun)
    assert not left.exists()


# What it leaves behind.


def test_learning_curve(whole):
    recipe, folder, _ = whole
    with (folder / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["steps", "return", "length", *recipe.curve]
    assert [float(row["steps"]) for row in rows] == [ROLLOUT * k for k in range(1, 7)]
    last = {key: float(value) for key, value in rows[-1].items()}
    assert np.isfinite(list(last.values())).all()
    assert 1 <= last["length"] <= 40
    assert 0 <= last["crash"] <= 1


def test_tensorboard(whole):
    recipe, folder, _ = whole
    assert list((folder / "tensorboard").glob("events.out.tfevents.*"))
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    tags = set(events.Tags()["scalars"])
    assert {"rollout/ep_rew_mean", *(f"rollout/{key}" for key in recipe.curve)} <= tags
    assert len(events.Scalars("rollout/ep_rew_mean")) >= 2


def test_noise_is_led_where_asked_for(tmp_path):
    def final_std(recipe):
        folder = tmp_path / recipe.activation
        train(recipe, folder)
        events = EventAccumulator(str(folder / "tensorboard")).Reload()
        return events.Scalars("train/std")[-1].value

    # TensorBoard gets a rollout's noise with the next one, so the last it has is the fifth's.
    assert final_std(LED) == pytest.approx(np.exp(-2.0 * 4 / 6), rel=1e-3)
    assert final_std(TINY) > 0.8  # left to PPO, which starts from 1


def test_card(whole):
    recipe, _, policy = whole
    card = policy.card
    assert (card.name, card.env_id, card.env_kwargs) == (
        recipe.name,
        recipe.env_id,
        recipe.env_kwargs,
    )
    assert (card.algorithm, card.activation, card.squash) == ("PPO", recipe.activation, "clip")
    assert (card.seed, card.steps) == (0, recipe.steps)
    assert card.hyperparameters == recipe.model_dump(mode="json")
    assert policy.sites == {"obs": 18, "h0": 12, "h1": 8, "action": 2}


def test_saved_and_loaded_it_acts_alike(whole, tmp_path):
    _, _, policy = whole
    save(policy, tmp_path)
    loaded = load(tmp_path)
    obs = np.random.default_rng(0).uniform(-2, 2, (40, 18)).astype(np.float32)
    assert np.array_equal(policy.act(obs), loaded.act(obs))
    assert loaded.sha256 == policy.sha256


def test_published_it_has_score_curve_and_command(whole, tmp_path):
    _, folder, policy = whole
    published = zoo.publish(policy, folder, tmp_path / "tiny", "rl-ablation train tiny")
    assert same(policy, published)
    scores = published.card.scores
    assert published.card.command == "rl-ablation train tiny"
    assert scores["episodes"] == zoo.SCORE_EPISODES
    assert scores["return"] == pytest.approx(zoo.score(policy)["return"], rel=1e-5)
    assert (tmp_path / "tiny/curve.csv").read_bytes() == (folder / "curve.csv").read_bytes()


@pytest.mark.parametrize("recipe", [TINY, LED], ids=["tanh", "elu"])
def test_policy_acts_as_sb3_does(recipe):
    inner = make_training_env(recipe.env_id, recipe.num_envs, recipe.env_kwargs)
    env = VecNormalize(VecMonitor(inner), clip_obs=1.5)  # tight, so that clipping is compared
    model = PPO(
        "MlpPolicy", env, n_steps=16, batch_size=64, seed=0, device="cpu",
        policy_kwargs={
            "net_arch": {"pi": list(recipe.net_arch), "vf": [8]},
            "activation_fn": {"tanh": torch.nn.Tanh, "elu": torch.nn.ELU}[recipe.activation],
            "log_std_init": 0.5,
        },
    )  # fmt: skip
    with one_thread():  # several wait for each other on a busy machine
        model.learn(2 * ROLLOUT)
    with torch.no_grad():
        model.policy.action_net.weight.mul_(60)  # so that actions differ and some are clipped
    policy = to_policy(model, env, recipe.model_copy(update={"obs_clip": 1.5}), 0, {})
    obs = np.random.default_rng(1).uniform(-2, 2, (300, 18)).astype(np.float32)
    expected, _ = model.predict(env.normalize_obs(obs), deterministic=True)
    acted = policy.act(obs)
    assert acted == pytest.approx(expected, abs=1e-5)
    assert (np.abs(policy.normalise(obs)) == 1.5).any()
    assert 0.02 < (np.abs(acted) == 1).mean() < 0.98
    env.close()


def test_a_recurrent_training_is_exact_and_acts_as_the_library_does(tmp_path):
    whole = train(REMEMBERS, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(REMEMBERS, tmp_path / "cut", progress=stop_after(3 * ROLLOUT))
    assert same(whole, train(REMEMBERS, tmp_path / "cut"))
    assert whole.card.algorithm == "RecurrentPPO"
    assert set(whole.memory) == {"h0.hidden", "h0.cell"}
    save(whole, tmp_path / "policy")
    assert load(tmp_path / "policy").sha256 == whole.sha256
    model, env = _model(REMEMBERS, tmp_path, 0, "cpu")
    with one_thread():
        model.learn(ROLLOUT)
    policy, obs = to_policy(model, env, REMEMBERS, 0, {}), np.random.default_rng(0)
    memory, state, first = policy.at_rest(3), None, np.ones(3)
    for rows in obs.uniform(-1, 1, (12, 3, 4)):
        seen = env.normalize_obs(rows).astype(np.float32)
        wanted, state = model.predict(seen, state, episode_start=first, deterministic=True)
        np.testing.assert_allclose(policy.act(rows, memory=memory), wanted, atol=1e-5)
        first = np.zeros(3)
    env.close()


def test_a_recipe_without_memory_is_the_one_of_before():
    assert "memory" not in TINY.model_dump(mode="json"), "a training's identity comes from it"
    told = REMEMBERS.model_dump(mode="json")
    assert Recipe.model_validate(told) == REMEMBERS
    assert Recipe.model_validate(TINY.model_dump(mode="json")) == TINY


def test_recipes_name_what_is_there():
    for name, recipe in RECIPES.items():
        assert recipe.name == name
        env = gym.make_vec(recipe.env_id, num_envs=1, autoreset_mode="SameStep")
        env.reset(seed=0)
        infos = env.step(np.zeros(env.action_space.shape, np.float32))[-1]
        assert set(recipe.curve) <= set(infos)
        rollout = recipe.num_envs * recipe.ppo["n_steps"]
        assert rollout % recipe.ppo["batch_size"] == 0
        # A stage of half a rollout would be stretched to a whole one.
        assert recipe.stage_steps % rollout == 0
        assert recipe.steps % rollout == 0


# The adapter.


def adapted(n=4, **kwargs):
    env = gym.make_vec(TINY.env_id, num_envs=n, autoreset_mode="SameStep", **kwargs)
    return BatchVecEnv(env)


def test_time_limit_is_told_from_an_end():
    env = adapted(max_episode_steps=5)
    twin = gym.make_vec(TINY.env_id, num_envs=4, autoreset_mode="Disabled")
    env.seed(3)
    obs = env.reset()
    last, _ = twin.reset(seed=[3, 4, 5, 6])
    assert np.array_equal(obs, last)
    actions = np.full((4, 2), 0.2, np.float32)
    for step in range(1, 6):
        obs, reward, dones, infos = env.step(actions)
        last, *_, then = twin.step(actions)
        assert reward.dtype == np.float32
        assert dones.tolist() == [step == 5] * 4
        if step < 5:
            assert infos == [{}] * 4
    for i, info in enumerate(infos):
        assert info["TimeLimit.truncated"] is True
        assert np.array_equal(info["terminal_observation"], last[i])
        assert not np.array_equal(obs[i], last[i])  # that is the next episode's
        assert info["progress"] == then["progress"][i]


def test_a_crash_is_no_time_limit():
    env = adapted(n=6, tracks=("ring",))
    env.seed(0)
    env.reset()
    crashed = 0
    for _ in range(60):
        _, reward, dones, infos = env.step(np.full((6, 2), 0.6, np.float32))
        for i in np.flatnonzero(dones):
            assert infos[i]["crash"]
            assert infos[i]["TimeLimit.truncated"] is False
            assert env.observation_space.contains(infos[i]["terminal_observation"])
            assert reward[i] < -4
            crashed += 1
    assert crashed >= 6


def test_a_crash_on_the_last_step_is_a_crash():
    limit = next(t for t in range(1, 100) if _crashes_at(t))
    env = adapted(n=1, tracks=("ring",), max_episode_steps=limit)
    env.seed(0)
    env.reset()
    for _ in range(limit):
        *_, dones, infos = env.step(np.full((1, 2), 0.6, np.float32))
    assert dones.all()
    assert infos[0]["crash"]
    assert infos[0]["TimeLimit.truncated"] is False


def _crashes_at(step):
    env = gym.make_vec(TINY.env_id, num_envs=1, autoreset_mode="Disabled", tracks=("ring",))
    env.reset(seed=[0])
    for _ in range(step):
        _, _, ended, _, _ = env.step(np.full((1, 2), 0.6, np.float32))
    return ended.all()


def test_staggered_robots_end_one_after_the_other():
    env = make_training_env(TINY.env_id, 5, {"max_episode_steps": 10}, stagger=True)
    env.seed(0)
    env.reset()
    ends = [env.step(np.full((5, 2), 0.1, np.float32))[2].tolist() for _ in range(10)]
    first = np.array(ends).argmax(0) + 1
    assert first.tolist() == [10, 8, 6, 4, 2]


def test_adapter_refuses_what_it_cannot_do():
    other = gym.make_vec(TINY.env_id, num_envs=2, autoreset_mode="NextStep")
    with pytest.raises(ValueError, match="SameStep"):
        BatchVecEnv(other)
    endless = gym.make_vec(TINY.env_id, num_envs=2, autoreset_mode="SameStep", max_episode_steps=-1)
    with pytest.raises(ValueError, match="time limit"):
        BatchVecEnv(endless, stagger=True)
    env = adapted()
    with pytest.raises(NotImplementedError):
        env.set_attr("steps", 3)
    with pytest.raises(NotImplementedError):
        env.env_method("reset")
    assert env.env_is_wrapped(gym.Wrapper) == [False] * 4
    assert env.get_attr("num_envs", [0, 2]) == [4, 4]


def test_stage_seeds_are_distinct():
    seeds = {stage_seed(seed, stage) for seed in range(20) for stage in range(20)}
    assert len(seeds) == 400
