"""What no turn of a layer's axes changes must not change, and what it can hide must be found."""

import numpy as np
import pytest
from conftest import LAP, random_mlp
from scipy.stats import ortho_group

from rl_ablation.analysis.rotation import (
    best_direction,
    layer_eta_squared,
    network_similarity,
    pwcca,
)
from rl_ablation.analysis.selectivity import eta_squared
from rl_ablation.errors import LabError
from rl_ablation.rollouts.activity import activity_at

RNG = np.random.default_rng(0)
CLASSES = RNG.integers(0, 3, 2000)
CHOOSY = RNG.normal(size=(2000, 6))
CHOOSY[:, 0] += 4.0 * (CLASSES == 0)  # one unit that tells class 0
TURN = ortho_group.rvs(6, random_state=1)
TURNED = CHOOSY @ TURN


def along(activity, direction, where=slice(None)):
    return float(eta_squared((activity @ direction)[where, None], CLASSES[where])[0])


def test_a_turn_hides_selectivity_from_units_but_not_from_the_layer():
    assert eta_squared(CHOOSY, CLASSES).max() > 1.2 * eta_squared(TURNED, CLASSES).max()
    whole = layer_eta_squared(CHOOSY, CLASSES)
    assert layer_eta_squared(TURNED, CLASSES) == pytest.approx(whole)
    assert 0.2 < whole < 0.6


def test_whole_layer_by_hand():
    activity = np.array([[0.0, 5.0], [0.0, 5.0], [2.0, 3.0], [2.0, 7.0]])
    # Variance 1 and 2; the first is all between the classes, the second all within them.
    assert layer_eta_squared(activity, np.array([0, 0, 1, 1])) == pytest.approx(1 / 3)


def test_best_direction_is_found_however_the_layer_is_turned():
    direct = along(CHOOSY, best_direction(CHOOSY, CLASSES))
    assert along(TURNED, best_direction(TURNED, CLASSES)) == pytest.approx(direct, abs=1e-4)
    assert direct >= eta_squared(CHOOSY, CLASSES).max()
    assert direct > max(along(CHOOSY, w) for w in RNG.normal(size=(200, 6)))


def test_best_direction_on_moments_it_was_not_fitted_to():
    """Nothing to find: large where it was fitted, near 0 elsewhere. And a dead unit is no trap."""
    noise = RNG.normal(size=(2000, 40))
    noise[:, 3] = 0.5
    few, rest = slice(0, 100), slice(100, None)
    w = best_direction(noise[few], CLASSES[few])
    assert np.isfinite(w).all()
    assert along(noise, w, few) > 0.3
    assert along(noise, w, rest) < 0.02


def test_similarity_knows_turns_and_scales_from_changes():
    assert pwcca(CHOOSY, TURNED * 3 + 1) == pytest.approx(1.0)
    unrelated = RNG.normal(size=(2000, 6))
    assert pwcca(CHOOSY, unrelated) < 0.15
    half = np.concatenate([CHOOSY[:, :3], unrelated[:, 3:]], axis=1)
    assert 0.4 < pwcca(CHOOSY, half) < 0.7
    assert pwcca(CHOOSY[:, :3], half) == pytest.approx(1.0)  # all of it is there


def test_networks_are_compared_layer_by_layer_at_the_same_observations(policy):
    obs = RNG.uniform(-1, 1, (300, 18)).astype(np.float32)
    mine = activity_at(policy, obs)
    assert {site: a.shape for site, a in mine.items()} == {"h0": (300, 12), "h1": (300, 10)}
    assert network_similarity(mine, mine) == pytest.approx(1.0)
    other = activity_at(random_mlp((18, 12, 10, 2), LAP, seed=5), obs)
    expected = (pwcca(mine["h0"], other["h0"]) + pwcca(mine["h1"], other["h1"])) / 2
    assert network_similarity(mine, other) == pytest.approx(expected)
    assert expected < 0.95


def test_similarity_needs_the_same_moments():
    with pytest.raises(LabError, match="same moments"):
        pwcca(CHOOSY, CHOOSY[:5])
