"""The policy: same bits wherever a row stands, saved and loaded whole, damage told in one line."""

from __future__ import annotations

import builtins
import hashlib
import importlib
import json
import pickle
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import DEAD, LAP, random_mlp
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.numpy import load, save
from safetensors.torch import save as save_torch

import rl_ablation as rl
from rl_ablation.errors import LabError
from rl_ablation.policies.network import ACTIVATIONS
from rl_ablation.policies.policy import Card
from rl_ablation.policies.storage import make_mlp

CARD = Card(name="x", activation="tanh", squash="none")


def observations(rows: int, size: int = 18) -> np.ndarray:
    return np.random.default_rng(rows).normal(size=(rows, size))


SIZES = [(18, 64, 64, 2), (18, 8, 10, 2), (27, 8), (18, 10, 10, 16), (5, 11, 7, 3)]
"""The last four have layers for which a plain matrix product treats equal rows unequally."""


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("rows", [1, 3, 7, 100, 256, 513])
def test_a_row_has_the_same_bits_wherever_it_stands(rows, sizes):
    """Alone, first, last or in the middle."""
    policy = random_mlp(sizes, "none", bound=9.0)
    obs = observations(600, sizes[0])[:rows]
    alone = np.concatenate([policy.act(row[None]) for row in obs])
    np.testing.assert_array_equal(policy.act(obs), alone)
    np.testing.assert_array_equal(policy.act(obs[::-1]), alone[::-1])
    np.testing.assert_array_equal(policy.act(np.roll(obs, 5, axis=0)), np.roll(alone, 5, axis=0))
    assert np.unique(alone, axis=0).shape[0] == rows, "the rows must differ to show anything"


@pytest.mark.parametrize("sizes", SIZES)
def test_equal_rows_act_equally(sizes):
    policy = random_mlp(sizes, "none")
    for row in observations(20, sizes[0]):
        assert np.unique(policy.act(np.tile(row, (300, 1))), axis=0).shape[0] == 1


def test_rows_of_a_torch_module_have_the_same_bits_too():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(18, 8), torch.nn.Tanh(), torch.nn.Linear(8, 10))
    policy = rl.Policy.from_module(
        module, sites={"1": "h0"}, obs_size=18, action_size=10, squash="none"
    )
    for row in observations(20):
        assert np.unique(policy.act(np.tile(row, (300, 1))), axis=0).shape[0] == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_torch_threads_change_nothing_and_stay_as_they_were(policy, threads):
    obs = observations(300)
    wanted = policy.act(obs)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        np.testing.assert_array_equal(policy.act(obs), wanted)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_masked_and_recorded_rows_have_the_same_bits_too(policy):
    obs, rng = observations(300), np.random.default_rng(0)
    masks = {
        site: (
            rng.normal(size=(300, n)).astype(np.float32),
            rng.normal(size=(300, n)).astype(np.float32),
        )
        for site, n in policy.sites.items()
    }
    record = {site: np.empty((300, n), np.float32) for site, n in policy.sites.items()}
    actions = policy.act(obs, masks, record)
    for row in (0, 1, 255, 256, 299):
        one = {site: np.empty((1, n), np.float32) for site, n in policy.sites.items()}
        mask = {site: (a[row : row + 1], b[row : row + 1]) for site, (a, b) in masks.items()}
        assert np.array_equal(policy.act(obs[row : row + 1], mask, one)[0], actions[row])
        for site in record:
            assert np.array_equal(one[site][0], record[site][row]), site


def test_mask_of_ones_is_the_intact_policy(policy):
    obs = observations(70)
    masks = {
        s: (np.ones((70, n), np.float32), np.zeros((70, n), np.float32))
        for s, n in policy.sites.items()
    }
    assert policy.act(obs, masks).tobytes() == policy.act(obs).tobytes()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_acts_as_the_textbook_says(activation):
    policy = random_mlp((5, 9, 8, 3), "none", activation=activation, bound=0.3)
    obs = observations(40, 5)
    x = torch.tensor((obs - 0.1) / 0.8, dtype=torch.float64)
    *hidden, (weight, bias) = policy.network.layers
    for w, b in hidden:
        x = ACTIVATIONS[activation](x @ w.double().T + b.double())
    wanted = (x @ weight.double().T + bias.double()).clamp(-0.3, 0.3).numpy()
    np.testing.assert_allclose(policy.act(obs), wanted, atol=2e-6)


def test_squashes():
    weights = [(np.array([[2.0], [-3.0]], np.float32), np.zeros(2, np.float32))]
    low, high = np.array([-1.0, -4.0]), np.array([1.0, 0.0])
    obs = np.array([[1.0]])

    def act(squash, **limits):
        card = Card(name="x", activation="tanh", squash=squash)
        return make_mlp(weights, card, **limits).act(obs)[0]

    assert act("none").tolist() == [2, -3]
    assert act("clip", low=low, high=high).tolist() == [1, -3]
    np.testing.assert_allclose(
        act("tanh", low=low, high=high), [np.tanh(2), -2 + 2 * np.tanh(-3)], rtol=1e-6
    )
    assert act("argmax") == 0
    assert act("argmax").dtype == np.int64


def test_observations_are_normalised_and_clipped_inside():
    card = Card(name="x", activation="tanh", squash="none", obs_clip=2.0)
    eye = [(np.eye(2, dtype=np.float32), np.zeros(2, np.float32))]
    policy = make_mlp(eye, card, obs_mean=np.array([1.0, 10.0]), obs_std=np.array([2.0, 0.5]))
    assert policy.act(np.array([[3.0, 10.25], [1e9, -1e9]])).tolist() == [[1, 0.5], [2, -2]]


def test_sites_are_in_the_order_of_the_signal(policy):
    assert list(policy.sites.items()) == [("obs", 18), ("h0", 12), ("h1", 10), ("action", 2)]


def test_edited_touches_only_the_outgoing_weights(policy):
    cut = policy.edited("h0", [0, 4])
    for k, (ours, theirs) in enumerate(zip(cut.network.layers, policy.network.layers, strict=True)):
        assert torch.equal(ours[1], theirs[1])
        keep = [u for u in range(ours[0].shape[1]) if k != 1 or u not in (0, 4)]
        assert torch.equal(ours[0][:, keep], theirs[0][:, keep])
    assert not cut.network.layers[1][0][:, [0, 4]].any()
    assert policy.network.layers[1][0][:, [0, 4]].any(), "the original must not change"
    for site in ("obs", "action", "h2"):
        with pytest.raises(LabError, match="hidden layer"):
            policy.edited(site, [0])


def test_save_and_load_keep_every_bit(policy, tmp_path):
    rl.save(policy, tmp_path / "p")
    again = rl.load(tmp_path / "p")
    obs = observations(50)
    assert again.act(obs).tobytes() == policy.act(obs).tobytes()
    assert again.card.model_copy(update={"sha256": None}) == policy.card
    assert again.sha256 == policy.sha256
    rl.save(again, tmp_path / "q")
    for name in ("card.json", "policy.safetensors"):
        assert (tmp_path / "p" / name).read_bytes() == (tmp_path / "q" / name).read_bytes()
    assert sorted(p.name for p in (tmp_path / "p").iterdir()) == ["card.json", "policy.safetensors"]


def test_transposed_weights_are_stored_as_they_act(tmp_path):
    weight = np.arange(6, dtype=np.float32).reshape(3, 2).T
    card = Card(name="turned", activation="tanh", squash="none")
    policy = make_mlp([(weight, np.zeros(4, np.float32)[::2])], card)
    rl.save(policy, tmp_path)
    obs = np.eye(3, dtype=np.float32)
    np.testing.assert_array_equal(rl.load(tmp_path).act(obs), weight.T)
    np.testing.assert_array_equal(policy.act(obs), weight.T)


def test_sha256_tells_any_change(policy):
    assert policy.edited("h1", [0]).sha256 != policy.sha256
    assert policy.edited("h0", [DEAD]).sha256 != policy.sha256
    assert random_mlp((18, 12, 10, 2), "another", bias=0.2).sha256 == policy.sha256


@pytest.mark.parametrize(
    "change",
    [
        {"activation": "relu"},
        {"squash": "tanh"},
        {"bound": 0.5},
        {"bias": 0.3},
        {"seed": 1},
    ],
    ids=str,
)
def test_sha256_covers_all_that_determines_an_action(change):
    """The same weights with another activation once shared a run folder, and its numbers."""
    same = {"seed": 0, "squash": "clip", "activation": "tanh", "bias": 0.2, "bound": 1.0}
    one = random_mlp((18, 12, 10, 2), LAP, **same)
    other = random_mlp((18, 12, 10, 2), LAP, **{**same, **change})
    assert one.sha256 == random_mlp((18, 12, 10, 2), LAP, **same).sha256
    assert one.sha256 != other.sha256


def test_sha256_covers_the_normaliser(policy):
    for change in ({"obs_mean": policy.obs_mean + 1}, {"obs_std": policy.obs_std * 2}):
        assert replace(policy, **change).sha256 != policy.sha256
    clipped = policy.with_card(policy.card.model_copy(update={"obs_clip": 1.0}))
    assert clipped.sha256 != policy.sha256
    renamed = policy.with_card(policy.card.model_copy(update={"name": "another"}))
    assert renamed.sha256 == policy.sha256, "a name changes no action"


def test_another_activation_is_another_run(policy, tmp_path, monkeypatch):
    """Both once went into one folder, and the second showed the first one's numbers."""
    monkeypatch.chdir(tmp_path)
    how = {"episodes": 1, "conditions": ["ring/ccw"], "horizon": 20, "threads": 1}
    relu = random_mlp((18, 12, 10, 2), LAP, bias=0.2, activation="relu")
    plan = rl.layers(policy)
    folders = {rl.sweep(agent, plan, **how).folder for agent in (policy, relu)}
    assert len(folders) == 2


def test_load_takes_another_environment(policy, tmp_path):
    rl.save(policy, tmp_path)
    other = rl.load(tmp_path, env="Pendulum-v1", env_kwargs={"g": 9.0})
    assert (other.card.env_id, other.card.env_kwargs) == ("Pendulum-v1", {"g": 9.0})
    assert rl.load(tmp_path).card.env_id == policy.card.env_id


def test_loading_a_folder_unpickles_nothing(policy, tmp_path, monkeypatch):
    rl.save(policy, tmp_path)

    def forbidden(*args, **kwargs):
        raise AssertionError("a folder was unpickled or run")

    for module, name in (
        (pickle, "load"),
        (pickle, "loads"),
        (pickle, "Unpickler"),
        (torch, "load"),
        (np, "load"),
        (builtins, "eval"),
    ):
        monkeypatch.setattr(module, name, forbidden)
    assert rl.load(tmp_path).name == policy.name


# Damage. Each is one LabError of one line that names the file.


def tensors(folder: Path) -> dict[str, np.ndarray]:
    return load((folder / "policy.safetensors").read_bytes())


def put(folder: Path, content: dict[str, np.ndarray] | bytes) -> None:
    """Write weights with a card that vouches for them."""
    blob = content if isinstance(content, bytes) else save(content)
    (folder / "policy.safetensors").write_bytes(blob)
    card = json.loads((folder / "card.json").read_text())
    card["sha256"] = hashlib.sha256(blob).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))


def change_card(folder: Path, **changes) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **changes}))


def truncate(folder, name, keep):
    path = folder / name
    path.write_bytes(path.read_bytes()[:keep])


def flip(folder):
    path = folder / "policy.safetensors"
    blob = bytearray(path.read_bytes())
    blob[-40] ^= 1
    path.write_bytes(bytes(blob))


def other_weights(folder):
    rl.save(random_mlp((18, 12, 10, 2), "x", seed=1), folder / "other")
    shutil.copy(folder / "other" / "policy.safetensors", folder)


def transposed(folder):
    parts = tensors(folder)
    parts["layers.1.weight"] = np.ascontiguousarray(parts["layers.1.weight"].T)
    parts["layers.1.bias"] = np.zeros(12, np.float32)
    put(folder, parts)


def with_value(value, name="layers.0.weight"):
    def damage(folder):
        parts = tensors(folder)
        parts[name].flat[0] = value
        put(folder, parts)

    return damage


def without(*names):
    def damage(folder):
        put(folder, {k: v for k, v in tensors(folder).items() if k not in names})

    return damage


def as_type(dtype, name="layers.0.weight", to=None):
    def damage(folder):
        parts = tensors(folder)
        values = parts[name].astype(dtype)
        put(folder, {**parts, name: values if to is None else np.full_like(values, to)})

    return damage


def half_precision(folder):
    parts = {k: torch.tensor(v).bfloat16() for k, v in tensors(folder).items()}
    put(folder, save_torch(parts))


DAMAGE = {
    "no weights": (lambda f: (f / "policy.safetensors").unlink(), "no policy.safetensors"),
    "no card": (lambda f: (f / "card.json").unlink(), "no card.json"),
    "empty weights": (lambda f: truncate(f, "policy.safetensors", 0), "damaged weights"),
    "half the weights": (lambda f: truncate(f, "policy.safetensors", 900), "damaged weights"),
    "half a header": (lambda f: truncate(f, "policy.safetensors", 30), "damaged weights"),
    "a flipped bit": (flip, "sha256"),
    "swapped weights": (other_weights, "sha256"),
    "empty card": (lambda f: truncate(f, "card.json", 0), "damaged card"),
    "half a card": (lambda f: truncate(f, "card.json", 100), "damaged card"),
    "binary card": (lambda f: (f / "card.json").write_bytes(b"\xff\xfe\x00"), "damaged card"),
    "unknown card entry": (lambda f: change_card(f, colour="red"), "colour"),
    "unknown activation": (lambda f: change_card(f, activation="wavy"), "wavy.*choose from"),
    "unknown squash": (lambda f: change_card(f, squash="hard"), "hard.*choose from"),
    "NaN": (with_value(np.nan), "layer 0.*not finite"),
    "infinity": (with_value(np.inf, "layers.2.bias"), "layer 2.*not finite"),
    "NaN in the normaliser": (with_value(np.nan, "obs_mean"), "obs_mean"),
    "no spread": (with_value(0.0, "obs_std"), "obs_std.*positive"),
    "shapes that do not chain": (transposed, "layer 1 takes 10 inputs but layer 0 gives 12"),
    "a missing layer": (without("layers.1.weight"), "missing"),
    "a missing bias": (without("layers.0.bias"), "layers.0.bias.*missing"),
    "half a normaliser": (without("obs_std"), "go together"),
    "no layers": (lambda f: put(f, {"low": np.zeros(2, np.float32)}), "no layers"),
    "a scalar": (
        lambda f: put(f, {**tensors(f), "layers.0.weight": np.array(1, np.float32)}),
        "layer 0",
    ),
    "bfloat16": (half_precision, "damaged weights.*BF16"),
    "complex weights": (as_type(np.complex64), "complex64 values, not real numbers"),
    "complex bounds": (as_type(np.complex64, "low"), "low holds complex64 values"),
    "weights beyond float32": (as_type(np.float64, to=1e300), "layer 0.*not finite"),
    "bounds beyond float32": (as_type(np.float64, "high", 1e300), "high.*not finite"),
    "low above high": (with_value(3.0, "low"), "low.*is above high"),
    "no bounds": (without("low", "high"), "squash 'clip' needs low and high"),
    "one bound": (without("low"), "go together"),
    "NaN clip": (lambda f: change_card(f, obs_clip=float("nan")), "obs_clip: .*finite"),
    "infinite clip": (lambda f: change_card(f, obs_clip=float("inf")), "obs_clip: .*finite"),
    "negative clip": (lambda f: change_card(f, obs_clip=-1.0), "obs_clip: .*greater than 0"),
    "clip of nothing": (lambda f: change_card(f, obs_clip=0), "obs_clip: .*greater than 0"),
    "a long seed": (lambda f: change_card(f, seed=10**400), "seed: .*less than"),
    "a negative step count": (lambda f: change_card(f, steps=-1), "steps: .*greater than"),
    "a long score": (lambda f: change_card(f, scores={"return": [10**400]}), "scores: .*8 bytes"),
    "a long name": (lambda f: change_card(f, name="x" * 301), "name: .*at most 300"),
    "a long card": (lambda f: change_card(f, command="x" * (9 << 20)), "MiB, more than the"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_told_in_one_line(policy, tmp_path, what):
    rl.save(policy, tmp_path)
    damage, line = DAMAGE[what]
    damage(tmp_path)
    with pytest.raises(LabError, match=line) as caught:
        rl.load(tmp_path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(tmp_path) in text
    assert len(text) < 500


def test_a_card_that_has_changed_is_taken_only_without_its_digest(policy, tmp_path):
    rl.save(policy, tmp_path)
    change_card(tmp_path, seed=7)
    with pytest.raises(LabError, match=r"it has changed since it was written.* card_sha256 out"):
        rl.load(tmp_path)
    card = json.loads((tmp_path / "card.json").read_text())
    del card["card_sha256"]
    (tmp_path / "card.json").write_text(json.dumps(card))
    assert rl.load(tmp_path).card.seed == 7


def test_a_policy_with_a_module_inside_is_not_saved(tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(3, 2))
    inside = {"sites": {"0": "h0"}, "obs_size": 3, "action_size": 2, "squash": "none"}
    with pytest.raises(LabError, match="with a torch module inside cannot be saved"):
        rl.save(rl.Policy.from_module(module, **inside), tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_what_is_no_folder_is_told_in_one_line(tmp_path):
    with pytest.raises(LabError, match="no policy at"):
        rl.load(tmp_path / "nowhere")
    path = tmp_path / "notes.txt"
    path.write_text("no policy")
    with pytest.raises(LabError, match=r"notes\.txt"):
        rl.load(path)
    with pytest.raises(LabError, match=r"card\.json"):
        rl.load(tmp_path)


@pytest.fixture
def offered(monkeypatch, policy, tmp_path):
    """An installed package that offers the agent ``rover``; its folder."""
    folder = tmp_path / "package" / "rover"
    rl.save(policy, folder)

    class Point:
        def load(self):
            return lambda: {"rover": folder}

    def points(group):
        assert group == "rl_ablation.agents"
        return [Point()]

    monkeypatch.setattr(
        importlib.import_module("rl_ablation.policies.load"), "entry_points", points
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return folder


def test_agents_of_packages_are_loaded_by_name(offered, policy):
    assert rl.load("rover").sha256 == policy.sha256
    assert rl.load("rover", env="envs:Hopper-v5").card.env_id == "envs:Hopper-v5"
    with pytest.raises(LabError, match=r"no agent 'rovr'.* there are rover") as caught:
        rl.load("rovr")
    assert "\n" not in str(caught.value)


def test_a_path_comes_before_a_name_only_if_a_policy_is_there(offered, policy):
    here = Path("rover")
    here.mkdir()
    (here / "notes.txt").write_text("trainings of the rover")
    assert rl.load("rover").sha256 == policy.sha256, "a folder of something else does not count"
    with pytest.raises(LabError, match=r"rover: no card\.json"):
        rl.load(here)  # a Path is never a name
    other = random_mlp((18, 8, 2), LAP, seed=9)
    rl.save(other, here)
    assert rl.load("rover").sha256 == other.sha256
    (here / "card.json").unlink()
    with pytest.raises(LabError, match=r"no card\.json"):
        rl.load("rover")  # damaged is not absent
    shutil.rmtree(here)
    here.write_text("a file, and no zip")
    assert rl.load("rover").sha256 == policy.sha256


@pytest.mark.parametrize(
    ("weights", "line"),
    [
        ([], "no layers"),
        ([(np.zeros((3, 2)), np.zeros(2))], "layer 0"),
        ([(np.zeros((0, 2)), np.zeros(0))], "layer 0"),
        ([(np.zeros(3), np.zeros(3))], "layer 0"),
        ([(np.zeros((3, 2)), np.zeros(3)), (np.zeros((1, 4)), np.zeros(1))], "takes 4.*gives 3"),
        ([(np.full((3, 2), np.nan), np.zeros(3))], "not finite"),
    ],
)
def test_make_mlp_checks_what_it_is_given(weights, line):
    with pytest.raises(LabError, match=line):
        make_mlp(weights, CARD)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"low": np.zeros(2), "high": -np.ones(2)}, "is above high"),
        ({"low": np.array([np.nan, 0]), "high": np.ones(2)}, "low: expected 2 numbers"),
        ({"low": -np.ones(2) * 1j, "high": np.ones(2)}, "not real"),
        ({"squash": "tanh"}, "needs low and high"),
        ({"squash": "tanh", "low": np.full(2, -np.inf), "high": np.ones(2)}, "that end"),
        ({"obs_clip": -1.0}, "obs_clip: .*greater than 0"),
        ({"obs_clip": np.nan}, "obs_clip: .*finite"),
        ({"name": 3}, "name: .*string"),
    ],
)
def test_what_a_module_is_told_with_is_checked_too(changes, line):
    module = torch.nn.Sequential(torch.nn.Linear(3, 2))
    with pytest.raises(LabError, match=line) as caught:
        rl.Policy.from_module(module, sites={"0": "h0"}, obs_size=3, action_size=2, **changes)
    assert "\n" not in str(caught.value)


def test_infinite_bounds_of_a_module_only_clip_what_they_bound():
    module = torch.nn.Sequential(torch.nn.Linear(3, 2))
    bounds = {"low": np.array([-np.inf, 0]), "high": np.array([np.inf, 0])}
    how = {"sites": {"0": "h0"}, "obs_size": 3, "action_size": 2, "squash": "clip"}
    actions = rl.Policy.from_module(module, **how, **bounds).act(np.full((1, 3), 1e6))
    assert abs(actions[0, 0]) > 1e3
    assert actions[0, 1] == 0


def test_more_weights_than_a_policy_may_have_are_refused_before_they_are_copied():
    wide = np.broadcast_to(np.float32(0), (8001, 8000))  # takes no memory itself
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(LabError, match="weights of more than the 256 MB allowed"):
        make_mlp([(wide, np.zeros(8001, np.float32))], CARD)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10, "50 MiB"


NUMBER = st.floats(width=64) | st.sampled_from([0.0, -0.0, 1e300, -1e300, 1e-320, 1.0, -1.0])


@given(
    st.sampled_from(["clip", "tanh", "argmax", "none", "hard"]),
    st.none() | NUMBER,
    *[st.none() | st.lists(NUMBER, min_size=2, max_size=2)] * 4,
)
def test_any_values_of_a_card_act_or_are_refused(squash, clip, low, high, mean, std):
    given = {"low": low, "high": high, "obs_mean": mean, "obs_std": std}
    arrays = {k: None if v is None else np.array(v) for k, v in given.items()}
    text = json.dumps({"name": "x", "activation": "tanh", "squash": squash, "obs_clip": clip})
    layer = [(np.eye(2, dtype=np.float32), np.zeros(2, np.float32))]
    try:
        policy = make_mlp(layer, Card.model_validate_json(text), **arrays)
    except (LabError, ValidationError):
        return
    actions = policy.act(np.array([[0.5, -0.5], [3.0, 0.0]]))
    assert clip is None or 0 < clip < np.inf
    if policy.low is not None and squash != "argmax":
        assert (policy.low <= policy.high).all()
        finite = ~np.isnan(actions)
        assert (actions >= policy.low)[finite].all()
        assert (actions <= policy.high)[finite].all()
        assert finite.all() or policy.obs_std is not None  # tiny deviations: 0 / 1e-320


def test_make_mlp_checks_limits():
    layer = [(np.zeros((2, 3)), np.zeros(2))]
    with pytest.raises(LabError, match="low: expected 2"):
        make_mlp(layer, CARD, low=np.zeros(3), high=np.ones(3))
    with pytest.raises(LabError, match="go together"):
        make_mlp(layer, CARD, low=np.zeros(2))
