"""Activation maximisation: the input found is the best one there is, and stays plausible."""

import numpy as np
import pytest

from rl_ablation.analysis import maximisation
from rl_ablation.analysis.maximisation import Cloud, maximise, raw_observation
from rl_ablation.analysis.top_states import Direction, unit_direction
from rl_ablation.policies.policy import Card
from rl_ablation.policies.storage import make_mlp
from tests.conftest import DEAD


def linear(weight):
    """One hidden unit, the sum of inputs by these weights."""
    card = Card(name="line", activation="identity", squash="none")
    layers = [(weight[None], np.zeros(1)), (np.ones((1, 1)), np.zeros(1))]
    return make_mlp(layers, card)


def test_a_linear_units_maximum_lies_along_its_weights_a_little_farther_out_than_usual():
    rng = np.random.default_rng(1)
    weight = np.array([3.0, -1.0, 0.5, 0.0])
    visited = rng.normal(size=(4000, 4))
    (best,) = maximise(linear(weight), [unit_direction("h0", 0, 1)], visited)
    direction = weight / np.linalg.norm(weight)
    assert best.inputs @ direction == pytest.approx(4**0.5 + 1, rel=0.1)
    assert np.linalg.norm(best.inputs - direction * (best.inputs @ direction)) < 0.2
    assert best.value == pytest.approx(best.inputs @ weight)
    assert 85 < best.percentile < 99
    (down,) = maximise(linear(weight), [Direction("down", "h0", -np.ones(1))], visited)
    assert down.inputs @ direction < -1.5


def test_correlated_inputs_move_together():
    """A unit that reads one of two equal sensors is not maximised by parting them."""
    rng = np.random.default_rng(2)
    shared = rng.normal(size=(3000, 1))
    visited = np.hstack([shared, shared]) + 0.05 * rng.normal(size=(3000, 2))
    (best,) = maximise(linear(np.array([1.0, 0.0])), [unit_direction("h0", 0, 1)], visited)
    assert best.inputs[0] > 1.0
    assert best.inputs[1] == pytest.approx(best.inputs[0], abs=0.2)


def test_a_maximum_is_held_within_what_was_visited(policy, activity, monkeypatch):
    inputs = activity["obs"].samples
    directions = [unit_direction("h1", k, 10) for k in range(10)] + [unit_direction("h0", DEAD, 12)]
    monkeypatch.setattr(maximisation, "FARTHEST", 90.0)
    for penalty in (0.0, 1.0):
        monkeypatch.setattr(maximisation, "PENALTY", penalty)
        for best in maximise(policy, directions, inputs):
            assert best.percentile <= 90.0 + 100 / len(inputs)
            assert (best.inputs >= inputs.min(0) - 1e-9).all()
            assert (best.inputs <= inputs.max(0) + 1e-9).all()
    monkeypatch.setattr(maximisation, "PENALTY", 0.0)
    monkeypatch.setattr(maximisation, "FARTHEST", 100.0)
    free = maximise(policy, directions, inputs)
    assert all(b.value >= b.visited - 1e-9 for b in free)
    assert sum(b.value > b.visited + 1e-3 for b in free) >= 8
    assert free[-1].value == free[-1].visited == 0.0, "nothing activates a dead unit"


def test_many_directions_at_once_give_what_each_gives_alone(policy, activity):
    inputs = activity["obs"].samples
    directions = [
        unit_direction("h1", 2, 10),
        unit_direction("h0", 5, 12),
        unit_direction("h1", 9, 10),
    ]
    together = maximise(policy, directions, inputs)
    for direction, best in zip(directions, together, strict=True):
        (alone,) = maximise(policy, [direction], inputs)
        assert best.inputs == pytest.approx(alone.inputs, abs=1e-9)
    again = maximise(policy, directions, inputs)
    assert all(np.array_equal(a.inputs, b.inputs) for a, b in zip(together, again, strict=True))


def test_percentiles_of_visited_inputs_are_their_ranks():
    visited = np.random.default_rng(3).normal(size=(200, 3))
    cloud = Cloud.of(visited)
    assert np.sort(cloud.percentile(visited)) == pytest.approx(np.arange(1, 201) / 2)
    assert cloud.percentile(np.full((1, 3), 50.0))[0] == 100.0


def test_raw_observations_normalise_back(policy, activity):
    inputs = activity["obs"].samples[:20]
    assert policy.normalise(raw_observation(policy, inputs)) == pytest.approx(inputs, abs=1e-6)
