"""An essence policy is an ordinary policy, and its units are what they are said to be."""

import numpy as np
import pytest
import torch
from conftest import HORIZON, LAP, random_mlp

import rl_ablation as rl
from agents.essence import (
    Demonstrations,
    dagger,
    demonstrate,
    distil,
    gradient_twin,
    load_essence,
    pairs_of,
    save_essence,
)
from agents.zoo import find
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.policies.storage import load_folder

TINY = {"episodes": 6, "concepts": 3, "subconcepts": 2, "samples": 150, "horizon": HORIZON}


@pytest.fixture(scope="module")
def teacher():
    return load_folder(find("lap"))


@pytest.fixture(scope="module")
def essence(teacher):
    return dagger(teacher, rounds=1, seed=4, **TINY)


def test_sites_are_the_stages_of_the_recipe(essence):
    owner = essence.owner
    assert essence.policy.sites == {
        "obs": 18, "h0": len(essence.pairs), "h1": len(owner), "h2": 3, "action": 2
    }  # fmt: skip
    assert set(owner) == {0, 1, 2}
    assert set(essence.subconcept) == set(range(len(owner)))
    for one, other in essence.pairs:
        assert owner[one] != owner[other]
    assert len(pairs_of(np.array([0, 0, 1, 1, 2]))) == 8


def test_differentia_units_tell_their_two_subconcepts_apart(essence):
    obs = essence.data.obs[essence.chosen]
    h0 = np.empty((len(obs), len(essence.pairs)), np.float32)
    essence.policy.act(obs, record={"h0": h0})
    for unit, (one, other) in enumerate(essence.pairs):
        right = [(h0[essence.subconcept == one, unit] > 0).mean()]
        right.append((h0[essence.subconcept == other, unit] < 0).mean())
        assert min(right) > 0.8, (unit, right)


def test_a_unit_is_the_sum_of_what_its_support_vectors_pull(essence):
    """Samples outside the pair do not pull; those that do give the weights, w = Σ αᵢ·yᵢ·xᵢ."""
    x = essence.policy.normalise(essence.data.obs[essence.chosen]).astype(float)
    weight = essence.policy.network.layers[0][0].numpy()
    alpha = essence.pull / np.linalg.norm(x, axis=1)[:, None]
    for unit, (one, other) in enumerate(essence.pairs):
        inside = np.isin(essence.subconcept, (one, other))
        assert not essence.pull[~inside, unit].any()
        side = np.where(essence.subconcept == one, 1.0, -1.0)
        np.testing.assert_allclose((alpha[:, unit] * side) @ x, weight[unit], rtol=1e-3, atol=1e-3)
    assert 0 < (essence.pull > 0).mean() < 0.5


def test_the_read_out_is_the_best_ridge_fit(essence):
    policy, data = essence.policy, essence.data
    hidden = np.empty((len(data.obs), 3), np.float32)
    policy.act(data.obs, record={"h2": hidden})
    weight, bias = (t.numpy() for t in policy.network.layers[-1])

    def loss(w, b):
        residual = hidden @ w.T + b - data.action
        return (residual**2).sum() + 1e-3 * len(hidden) * (w**2).sum()

    best = loss(weight, bias)
    for k in range(3):
        nudged = weight.copy()
        nudged[0, k] += 0.01
        assert loss(nudged, bias) > best
    assert loss(weight, bias + 0.01) > best


def test_the_student_imitates_better_than_the_mean_action(essence):
    data = essence.data
    error = ((essence.policy.act(data.obs) - data.action) ** 2).mean()
    assert error < 0.6 * data.action.var(0).mean()


def test_the_same_seed_gives_the_same_bytes(teacher, essence):
    again = dagger(teacher, rounds=1, seed=4, **TINY)
    assert again.policy.sha256 == essence.policy.sha256
    assert dagger(teacher, rounds=0, seed=5, **TINY).policy.sha256 != essence.policy.sha256


def test_dagger_adds_the_students_own_states_labelled_by_the_teacher(teacher, essence):
    first = demonstrate(teacher, episodes=6, seed=4, horizon=HORIZON)
    data = essence.data
    assert len(data.obs) > len(first.obs)
    np.testing.assert_array_equal(data.obs[: len(first.obs)], first.obs)
    np.testing.assert_array_equal(data.action, teacher.act(data.obs))


def test_it_is_lesioned_and_stored_like_any_policy(essence, tmp_path):
    save_essence(essence, tmp_path / "essence")
    again = load_essence(tmp_path / "essence")
    assert again.policy.sha256 == essence.policy.sha256
    obs = essence.data.obs[:100]
    np.testing.assert_array_equal(again.policy.act(obs), essence.policy.act(obs))
    np.testing.assert_array_equal(again.pull, essence.pull)
    np.testing.assert_array_equal(again.pairs, essence.pairs)
    policy = rl.load(tmp_path / "essence")
    plan = Plan([Lesion(name="concept", cut={"h2": (0,)}, kind="mean")])
    run = rl.sweep(
        policy, plan, episodes=2, conditions=["ring/ccw"], horizon=20, folder=tmp_path / "run",
        progress=False, threads=1,
    )  # fmt: skip
    assert set(run.table()["lesion"]) == {"intact", "concept"}
    path = tmp_path / "essence" / "essence.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(LabError, match=r"essence\.safetensors: damaged"):
        load_essence(tmp_path / "essence")
    path.unlink()
    with pytest.raises(LabError, match=r"no essence\.safetensors"):
        load_essence(tmp_path / "essence")


def test_the_twin_differs_only_in_how_its_weights_came_about(essence):
    policy, data = essence.policy, essence.data
    twin, again = (gradient_twin(essence, epochs=40, batch=64, seed=6) for _ in range(2))
    assert twin.sites == policy.sites
    assert twin.sha256 == again.sha256
    for name in ("obs_mean", "obs_std", "low", "high"):
        np.testing.assert_array_equal(getattr(twin, name), getattr(policy, name))
    assert twin.card.activation == policy.card.activation
    assert twin.card.obs_clip == policy.card.obs_clip
    error = ((twin.act(data.obs) - data.action) ** 2).mean()
    assert error < 0.5 * data.action.var(0).mean()
    start = gradient_twin(essence, epochs=0, seed=6)
    assert not torch.equal(start.network.layers[0][0], twin.network.layers[0][0])


def test_what_cannot_be_distilled_is_told_in_a_line(teacher):
    rng = np.random.default_rng(0)
    data = Demonstrations(
        rng.normal(size=(50, 18)).astype(np.float32), np.zeros((50, 2), np.float32)
    )
    with pytest.raises(LabError, match="fewer than 3 distinct actions"):
        distil(teacher, data, 3, 2)
    with pytest.raises(LabError, match="at least 2 concepts"):
        distil(teacher, data, 1, 2)
    discrete = random_mlp((18, 12, 10, 2), LAP, squash="argmax")
    with pytest.raises(LabError, match="discrete actions"):
        distil(discrete, data, 3, 2)
