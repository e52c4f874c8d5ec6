"""When regions are needed, how local a function is, what foretells a loss: truths planted."""

import numpy as np
import pytest

from rl_ablation.analysis.development import (
    NEVER,
    across,
    first_needed,
    foretold,
    locality,
    needed,
    p_family,
    rise,
)

SIZE = np.array([1.0, 2.0])


def noise(*shape, scale=0.05, seed=0):
    return np.random.default_rng(seed).normal(0.0, scale, shape)


def test_needed_is_what_every_kind_shows_clearly() -> None:
    change = noise(2, 12, 4, 2)  # kinds, episodes, regions, measures
    change[:, :, 0, 0] -= 0.5  # under both kinds
    change[0, :, 1, 0] -= 0.5  # under one alone
    change[:, :, 2, 1] -= 0.3  # clear, and less than a fifth of a full change
    change[:, :, 3, 1] += 0.9  # better
    assert np.argwhere(needed(change, SIZE)).tolist() == [[0, 0]]
    change[:, 4:, 0, 0] = np.nan
    assert needed(change, SIZE)[0, 0] == (2 / 2**4 < 0.05), "four episodes decide nothing"
    assert not needed(np.full_like(change, np.nan), SIZE).any()


def test_chance_makes_hardly_a_region_needed() -> None:
    found = [needed(noise(2, 12, 12, 2, scale=1.0, seed=k), SIZE).any() for k in range(100)]
    assert np.mean(found) <= 0.05


@pytest.mark.parametrize(
    ("needs", "first"),
    [("00011111", 3), ("01000011", 6), ("00000001", 7), ("01010100", NEVER), ("00000000", NEVER),
     ("11111111", 0), ("00110000", 2)],
)  # fmt: skip
def test_a_date_takes_two_moments_in_a_row(needs, first) -> None:
    truths = np.array([[mark == "1"] for mark in needs])
    assert first_needed(truths).tolist() == [first]


def test_locality_is_held_against_random_parts() -> None:
    change = np.zeros((2, 1, 3, 4, 1))  # moments, kinds, divisions, regions, measures
    change[1, 0, 0, :, 0] = -0.9, -0.1, 0.0, 0.5  # the worst region of h0 does nine tenths
    change[1, 0, 1:, :, 0] = -0.5, -0.5, 0.0, 0.0
    own, random = locality(change, np.ones(1), ["h0", "h0", "h1", "h1"])
    assert np.isnan(own[0]).all(), "nothing is lost at first"
    assert own[1, 0] == pytest.approx(0.9)
    assert random[1, 0] == pytest.approx(0.5)


def test_a_loss_that_random_parts_do_not_have_is_not_compared() -> None:
    change = np.zeros((1, 1, 2, 2, 1))
    change[0, 0, 0, 0, 0] = -1.0
    own, random = locality(change, np.ones(1), ["h0", "h0"])
    assert np.isnan([own, random]).all()


def test_rise_is_that_of_the_line() -> None:
    times = np.array([1.0, 2.0, 4.0, 5.0])
    values = np.stack([0.1 * times, -times], 1)
    values[1, 1] = np.nan
    assert rise(values, times) == pytest.approx([0.4, -4.0])
    assert np.isnan(rise(values[:2], times[:2])).all()


def test_networks_come_first_in_an_interval() -> None:
    values = noise(6, 1, scale=1.0) + 3.0
    found = across(values, values[:, None] + noise(6, 500, 1, seed=1))
    assert found.value == pytest.approx(values.mean(0))
    half = 2.571 * values.std(ddof=1) / np.sqrt(6)  # Student's, 5 degrees of freedom
    assert found.high[0] - found.value[0] >= half - 1e-3
    assert found.low[0] < found.value[0] < found.high[0]
    assert found.smallest[0] > half
    alone = across(values[:1], values[:1, None] + np.zeros((1, 500, 1)))
    assert np.isnan([alone.low[0], alone.high[0]]).all(), "one network has no interval"
    values[0] = np.nan
    left = across(values, values[:, None] + np.zeros((6, 500, 1)))
    assert left.value == pytest.approx(np.nanmean(values, 0))
    assert np.isfinite([left.low[0], left.high[0]]).all()


def test_what_foretells_is_told_from_what_does_not() -> None:
    late = noise(64, scale=1.0)
    early = np.stack([late + noise(64, seed=1), noise(64, seed=2), np.zeros(64)])
    found, inside, null = foretold(early, late)
    assert found[0] > 0.95
    assert np.isnan(found[2]), "what is the same in all units foretells nothing"
    assert (inside.shape, null.shape) == ((1000, 3), (1000, 3))
    assert abs(np.nanmean(null[:, :2])) < 0.05
    p = p_family(found, null)
    assert p[0] < 0.01 < p[1]
    assert np.isnan(p[2])
