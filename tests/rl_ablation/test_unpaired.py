"""Means of unpaired episodes: intervals hold the truth, and tests err, as often as they say."""

import numpy as np
import pytest
from scipy import stats

from rl_ablation.unpaired import difference_intervals, relabelling_p


def rng(seed=0):
    return np.random.default_rng(seed)


def test_intervals_lie_about_the_difference_and_tell_its_sign():
    a, b = rng().normal(size=(24, 3)), rng(1).normal([0.0, 1.0, 5.0], size=(16, 3))
    low, high = difference_intervals(a, b, rng())
    delta = b.mean(0) - a.mean(0)
    assert (low < delta).all()
    assert (delta < high).all()
    assert low[2] > 0
    known = stats.ttest_ind(b, a, equal_var=False).confidence_interval()
    assert (low <= known.low + 1e-12).all()
    assert (high >= known.high - 1e-12).all()
    np.testing.assert_allclose(high - low, known.high - known.low, rtol=0.25)
    other = difference_intervals(b, a, rng())
    np.testing.assert_allclose(other[0], -high, atol=0.05)


def test_p_is_that_of_scipy():
    a, b = rng().normal(size=(12, 2)), rng(1).normal([0.7, 0.0], 2.0, size=(20, 2))
    p = relabelling_p(a, b, rng())
    how = stats.PermutationMethod(n_resamples=9999, rng=rng(3))
    known = stats.ttest_ind(b, a, equal_var=False, method=how).pvalue
    np.testing.assert_allclose(p, known, atol=0.02)
    assert relabelling_p(a, a + 9, rng())[0] == pytest.approx(1e-4)
    np.testing.assert_array_equal(relabelling_p(a, b, rng(5)), relabelling_p(a, b, rng(5)))


def test_what_is_missing_or_alike():
    gone = np.full(6, np.nan)
    few = np.array([1.0, 2, 3, 4, np.nan, np.nan])
    a = np.column_stack([np.zeros(6), np.zeros(6), gone, few, few])
    b = np.column_stack([np.zeros(6), np.ones(6), few, few, few + 100])
    low, high = difference_intervals(a, b, rng())
    assert np.isnan(low[:3]).all()
    assert low[3] < 0 < high[3]
    assert low[4] > 90
    p = relabelling_p(a, b, rng())
    assert p[0] == 1
    assert p[1] < 0.01
    assert np.isnan(p[2])
    assert p[3] == 1
    assert p[4] < 0.05
    large = relabelling_p(a + 1e9, b + 1e9, rng())
    np.testing.assert_allclose(large[[0, 1, 4]], p[[0, 1, 4]], atol=0.01)


@pytest.mark.parametrize(("n", "m", "spread"), [(12, 12, 1.0), (8, 24, 3.0)])
def test_they_err_about_as_often_as_they_say(n, m, spread):
    # Skewed, of unequal spread and number, and with one and the same mean.
    draw = rng(7)
    a = draw.gamma(2.0, 1.0, (n, 800)) - 2
    b = spread * (draw.gamma(2.0, 1.0, (m, 800)) - 2)
    low, high = difference_intervals(a, b, draw)
    assert 0.92 < ((low <= 0) & (high >= 0)).mean() < 0.985
    assert 0.02 < (relabelling_p(a, b, draw, 999) <= 0.05).mean() < 0.075
