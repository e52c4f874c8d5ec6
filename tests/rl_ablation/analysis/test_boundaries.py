"""Boundaries lie where the weights put them, influence is the gradient, outside is outside."""

import numpy as np
import pytest
import torch

from rl_ablation.analysis.boundaries import (
    faithfulness,
    far_outside,
    fit_plane,
    influence,
    influential_share,
    surfaces,
    unseen,
)
from rl_ablation.errors import LabError
from rl_ablation.policies.policy import Card
from rl_ablation.policies.storage import make_mlp
from rl_ablation.rollouts.activity import activity_at

LIMITS = {"low": -np.ones(1), "high": np.ones(1)}


def linear_unit(weight, bias, out=1.0, squash="clip"):
    """One tanh unit and a read-out."""
    card = Card(name="unit", activation="tanh", squash=squash)
    layers = [
        (np.array([weight], np.float32), np.array([bias], np.float32)),
        (np.array([[out]], np.float32), np.zeros(1, np.float32)),
    ]
    return make_mlp(layers, card, **LIMITS)


@pytest.fixture(scope="module")
def states():
    rng = np.random.default_rng(0)
    return rng.normal(size=(400, 3)) @ rng.normal(size=(3, 5)) + rng.normal(size=(400, 5)) / 10


@pytest.fixture(scope="module")
def plane(states):
    ahead, bend = np.array([0.5, 0.5, 0, 0, 0]), np.array([0, 0, 1.0, -1.0, 0])
    return fit_plane(states, {"ahead": ahead, "bend": bend})


def test_a_point_of_the_plane_has_exactly_the_features_asked_for(states, plane):
    wanted = np.array([[0.0, 0.0], [0.0, 2.0], [-3.0, 1.0]])
    np.testing.assert_allclose(plane.features(plane.at(wanted)), wanted, atol=1e-9)
    mean = states.mean(0)
    np.testing.assert_allclose(plane.at(plane.features(mean[None])), [mean], atol=1e-9)
    assert 0 < plane.share < 1


def test_states_that_lie_in_a_plane_are_held_whole():
    rng = np.random.default_rng(1)
    flat = rng.normal(size=(100, 2)) @ rng.normal(size=(2, 4)) + 5
    whole = fit_plane(flat, {"a": np.eye(4)[0], "b": np.eye(4)[3]})
    assert whole.share == pytest.approx(1)
    np.testing.assert_allclose(whole.at(whole.features(flat)), flat, atol=1e-8)


def test_features_that_say_the_same_span_no_plane(states):
    one = np.eye(5)[0]
    with pytest.raises(LabError, match="do not vary independently"):
        fit_plane(states, {"a": one, "b": 2 * one})
    with pytest.raises(LabError, match="2 features, got 1"):
        fit_plane(states, {"a": one})
    with pytest.raises(LabError, match="features of 4 sensors, states of 5"):
        fit_plane(states, {"a": one[:4], "b": one[1:]})


def test_a_linear_units_boundary_lies_where_its_weights_put_it(plane):
    weight, bias = np.array([0.3, -1.2, 0.8, 0.1, 0.5]), -0.4
    x, y = np.linspace(-2, 2, 41), np.linspace(-3, 3, 61)
    (surface,) = surfaces(linear_unit(weight, bias), "h0", plane, x, y)
    assert surface.values.shape == (61, 41)
    # In features f the unit is w·(origin + f·directions) + b = slope·f + level.
    slope, level = plane.directions @ weight, plane.origin @ weight + bias
    expected = np.tanh(slope[0] * x[None, :] + slope[1] * y[:, None] + level)
    np.testing.assert_allclose(surface.values, expected, atol=1e-5)
    assert (expected > 0).any()
    assert (expected < 0).any()


def test_a_unit_that_reads_only_the_features_is_drawn_faithfully(states, plane):
    seen = linear_unit(plane.weights[0] - 2 * plane.weights[1], 0.3)
    assert faithfulness(seen, "h0", plane, states) == [1.0]
    across = np.linalg.svd(np.vstack([plane.weights, plane.directions]))[2][-1]
    assert faithfulness(linear_unit(across, 1e-6), "h0", plane, states)[0] < 0.7


def test_influence_is_the_norm_of_the_gradient_of_the_incoming_weights(policy):
    rng = np.random.default_rng(2)
    obs, targets = rng.normal(size=(5, 18)), rng.uniform(-1, 1, (5, 2))
    for site in ("h0", "h1"):
        layer = int(site[1:])
        found = influence(policy, site, obs, targets)
        assert found.shape == (5, policy.sites[site])
        for k in range(5):
            layers = [(w.clone().requires_grad_(), b) for w, b in policy.network.layers]
            x = torch.from_numpy(policy.normalise(obs[k : k + 1]))
            for weight, bias in layers[:-1]:
                x = torch.tanh(x @ weight.T + bias)
            out = x @ layers[-1][0].T + layers[-1][1]
            ((out - torch.from_numpy(targets[k : k + 1])) ** 2).mean().backward()
            by_hand = layers[layer][0].grad.norm(dim=1)
            np.testing.assert_allclose(found[k], by_hand, rtol=1e-4, atol=1e-7)


def test_a_sample_whose_gradient_vanishes_has_no_influence():
    unit = linear_unit([1.0, 0.0], 0.0)
    obs = np.array([[0.5, 0.0], [0.5, 3.0], [40.0, 0.0], [0.5, 0.0]])
    targets = np.array([[0.0], [0.0], [0.0], [np.tanh(0.5)]])
    found = influence(unit, "h0", obs, targets)[:, 0]
    assert found[0] > 0.1
    assert found[1] > found[0], "a longer input has more influence"
    assert found[2] == 0, "the unit is saturated"
    assert found[3] == pytest.approx(0, abs=1e-6), "imitated already"


def test_influence_wants_what_it_can_differentiate(policy):
    obs, targets = np.zeros((2, 18)), np.zeros((2, 2))
    with pytest.raises(LabError, match="no hidden layer 'action'"):
        influence(policy, "action", obs, targets)
    squashed = policy.with_card(policy.card.model_copy(update={"squash": "tanh"}))
    with pytest.raises(LabError, match="actions are clipped"):
        influence(squashed, "h0", obs, targets)


def test_the_influential_share_counts_the_fewest_samples():
    values = np.zeros((10, 4))
    values[3, 0] = 7.0
    values[:, 1] = 1.0
    values[[0, 9], 2] = [8.0, 2.0]
    found = influential_share(values)
    np.testing.assert_allclose(found[:3], [0.1, 0.9, 0.2])
    assert np.isnan(found[3])


def test_unseen_states_are_stretched_about_the_mean_or_shuffled(states):
    found = unseen(states, seed=3)
    assert list(found) == ["×1", "×2", "×3", "×4", "×5", "shuffled"]
    np.testing.assert_allclose(found["×1"], states)
    np.testing.assert_allclose(found["×3"].mean(0), states.mean(0), atol=1e-9)
    np.testing.assert_allclose(found["×3"].std(0), 3 * states.std(0))
    mixed = found["shuffled"]
    np.testing.assert_array_equal(np.sort(mixed, 0), np.sort(states, 0))
    assert np.abs(np.corrcoef(mixed[:, 0], states[:, 0])[0, 1]) < 0.2


def test_far_outside_a_linear_unit_saturates_and_hits_the_limit():
    rng = np.random.default_rng(4)
    obs = rng.normal(size=(200, 2))
    unit, other = linear_unit([3.0, 0.0], 0.0, out=1.2), linear_unit([3.0, 0.0], 0.0, out=0.0)
    found = far_outside(unit, obs, other)
    grown = found[found["states"] != "shuffled"]
    assert found["moved"].iloc[0] == 0, "×1 is the visited state"
    for column in ("saturated", "at_limit", "moved", "gap"):
        assert grown[column].is_monotonic_increasing, column
    hidden = activity_at(unit, unseen(obs)["×5"])["h0"]
    assert grown["saturated"].iloc[-1] == pytest.approx((np.abs(hidden) > 0.99).mean())
    assert found["gap"].iloc[0] == pytest.approx(np.sqrt((unit.act(obs) ** 2).mean()), rel=1e-5)
