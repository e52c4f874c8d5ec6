"""Selectivity: known answers on made-up units."""

import numpy as np
import pytest

import rl_ablation as rl
from rl_ablation.analysis.selectivity import (
    BENDS,
    bend_contexts,
    best_class,
    class_selectivity,
    eta_squared,
    mutual_information,
)
from rl_ablation.measures.laps import BEND
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.rollouts.recording import record

CLASSES = np.repeat([4, 7, 9], 400)  # labels need not start at 0 nor be neighbours


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).normal(size=(len(CLASSES), 2))


def test_a_unit_active_in_one_class_alone_is_wholly_selective():
    activity = np.column_stack([CLASSES == 7, np.ones(len(CLASSES)), np.zeros(len(CLASSES))])
    assert class_selectivity(activity, CLASSES) == pytest.approx([1, 0, 0], abs=1e-6)


def test_selectivity_is_that_of_the_formula():
    means = np.array([0.5, 2.0, 1.0])  # (2 − 0.75)/(2 + 0.75)
    activity = np.repeat(means, 400)[:, None]
    assert class_selectivity(activity, CLASSES) == pytest.approx(1.25 / 2.75)


def test_selectivity_refuses_what_it_cannot_tell(noise):
    with pytest.raises(rl.LabError, match="never negative"):
        class_selectivity(noise, CLASSES)
    with pytest.raises(rl.LabError, match="at least 2 classes, got 1"):
        class_selectivity(np.abs(noise), np.zeros(len(CLASSES)))


def test_eta_squared_is_the_share_of_variance_between_classes(noise):
    shift = np.array([-1.0, 0.0, 1.0])
    told = np.repeat(shift, 400) * 2
    activity = np.column_stack([told, told + noise[:, 0], noise[:, 1], np.full(len(CLASSES), 3.0)])
    exact, mixed, nothing, constant = eta_squared(activity, CLASSES)
    assert exact == pytest.approx(1)
    assert mixed == pytest.approx((4 * 2 / 3) / (4 * 2 / 3 + 1), abs=0.05)
    assert nothing < 0.01
    assert constant == 0


def test_best_class_is_found_whatever_the_sign(noise):
    one = (CLASSES == 9) * 3.0 + noise[:, 0]
    labels, apart = best_class(np.column_stack([one, -one]), CLASSES)
    assert labels.tolist() == [9, 9]
    assert apart == pytest.approx([3, -3], abs=0.3)


def test_information_of_known_units(noise):
    same = CLASSES.astype(float)
    two = (CLASSES == 4).astype(float)
    activity = np.column_stack([same, -same, two, noise[:, 0], np.zeros(len(CLASSES))])
    told = mutual_information(activity, CLASSES, bins=6)
    third = -(np.log2(1 / 3) / 3 + 2 / 3 * np.log2(2 / 3))
    assert told[:2] == pytest.approx([np.log2(3)] * 2, abs=0.01)
    assert told[2] == pytest.approx(third, abs=0.01)
    assert told[4] == pytest.approx(0, abs=1e-9)


def test_information_is_not_biased_upwards_by_few_samples():
    rng = np.random.default_rng(1)
    classes = rng.integers(3, size=120)
    told = mutual_information(rng.normal(size=(120, 400)), classes)
    assert abs(told.mean()) < 0.015  # without the correction it is above 0.08 bits


def test_information_refuses_one_bin(noise):
    with pytest.raises(rl.LabError, match="at least 2 bins"):
        mutual_information(noise, CLASSES, bins=1)


def test_bends_have_the_side_their_name_says():
    bend = np.array([BEND + 0.01, BEND - 0.01, 0.0, -BEND - 0.01])
    assert [BENDS[k] for k in bend_contexts(bend)] == [
        "left bend",
        "straight",
        "straight",
        "right bend",
    ]


def test_recorded_moments_are_the_same_for_all_signals(policy):
    asked = Episodes(2, 0, ("ring/ccw", "ring/cw"), 20)
    seen = record(policy, ("obs", "@h0", "@h1", "bend"), asked, threads=1).moments()
    h0 = np.empty((len(seen["obs"]), 12), np.float32)
    policy.act(seen["obs"], record={"h0": h0})
    assert np.array_equal(h0, seen["@h0"])
    assert set(bend_contexts(seen["bend"])) == {0, 2}
    assert seen["@h1"].shape == (40, 10)
