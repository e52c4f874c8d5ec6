"""Curves over an angle, and a null that gives uniform p."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rl_ablation.analysis.phases import association, basis, curve, resultant

TURN = 2 * np.pi


def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.abs((one - other + np.pi) % TURN - np.pi)


def test_the_resultant_is_one_for_one_angle_and_none_for_all() -> None:
    assert resultant(np.array([1.0, 1.0, np.nan])) == pytest.approx((1.0, 1.0))
    assert resultant(np.arange(8) * TURN / 8)[0] == pytest.approx(0, abs=1e-12)
    assert resultant(np.array([0.1, TURN - 0.1]))[1] == pytest.approx(0, abs=1e-9)
    assert np.isnan(resultant(np.array([np.nan]))).all()


@pytest.mark.parametrize("harmonics", [1, 2, 3])
@pytest.mark.parametrize("peak", [0.3, 2.0, 5.5])
def test_a_planted_phase_is_recovered(harmonics: int, peak: float) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, TURN, (20, 30))
    y = 2.0 + 0.5 * np.cos(x - peak) + 0.2 * rng.normal(size=x.shape)
    x[0, 0], y[3, 3] = np.nan, np.nan
    found = curve(x, y, harmonics)
    assert found.amplitude == pytest.approx(0.5, abs=0.06)
    assert apart(np.array(found.strongest), np.array(peak)) < 0.3
    assert found.like(curve(x, 3 * y + 7, harmonics))
    assert not found.like(curve(x, -y, harmonics))
    assert np.isnan(curve(x[:1, :2], y[:1, :2], harmonics).amplitude)


def test_a_curve_over_a_number_goes_where_the_numbers_are() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, 500)
    found = curve(x, np.maximum(x, 0.0), 0)
    assert abs(found.strongest - found.at[-1]) < 1e-9
    assert -1 < found.at[0] < -0.8
    assert basis(x, 0).shape == (500, 2)
    assert np.isnan(curve(np.full(4, np.nan), x[:4], 0).amplitude)


def drifting(rng: np.random.Generator, episodes: int, moments: int, columns: int) -> np.ndarray:
    """Numbers with an offset and a slow course of each episode, and heavy tails."""
    walk = np.cumsum(rng.normal(size=(episodes, moments, columns)), 1)
    offset = rng.normal(size=(episodes, 1, columns))
    return walk + 3 * offset + rng.standard_t(2, size=walk.shape)


def test_the_null_gives_uniform_p_even_where_both_drift() -> None:
    rng = np.random.default_rng(1)
    p, family = [], []
    blocks = np.repeat(["a", "b"], 8)
    for _ in range(150):
        start = rng.uniform(0, TURN, (16, 1))
        x = (start + 0.7 * np.arange(6) + 0.1 * rng.normal(size=(16, 6))) % TURN
        y = drifting(rng, 16, 6, 3) + 5 * (blocks == "b")[:, None, None]
        found = association(y, x, blocks, 2, rng, 99)
        p.append(found.p[0])
        family.append(found.p_fwe.min())
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(family) <= 0.05) < 0.1


def test_an_association_is_found_and_its_smallest_amplitude_is_told() -> None:
    rng = np.random.default_rng(2)
    x = rng.uniform(0, TURN, (24, 6))
    noise = rng.normal(size=(24, 6, 3))
    planted = noise + np.stack([np.cos(x - 1), np.zeros(x.shape), np.full(x.shape, np.nan)], -1)
    held = association(planted, x, np.zeros(24), 1, rng, 499)
    assert held.p_fwe[0] == pytest.approx(1 / 500)
    assert held.p_fwe[1] > 0.05
    assert held.p[2] == 1, "no number depends on nothing"
    assert held.r2[0] == pytest.approx(1 / 3, abs=0.15)
    smallest = held.smallest(np.ones(3))[0]
    hits = 0
    for _ in range(60):
        y = rng.normal(size=(24, 6, 3))
        y[..., 0] += smallest * np.cos(x - rng.uniform(0, TURN))
        hits += association(y, x, np.zeros(24), 1, rng, 99).p_fwe[0] < 0.05
    assert 0.6 < hits / 60 < 0.95, "about 80 % power"


def test_what_never_changes_depends_on_nothing() -> None:
    x = np.random.default_rng(0).uniform(0, TURN, (6, 4))
    held = association(np.zeros((6, 4, 2)), x, np.zeros(6), 1, np.random.default_rng(0), 19)
    assert (held.p == 1).all()
    assert (held.p_fwe == 1).all()
    assert (held.r2 == 0).all()
    unknown = association(
        np.ones((6, 4, 1)), x * np.nan, np.zeros(6), 1, np.random.default_rng(0), 9
    )
    assert (unknown.p == 1).all()
