"""Statistics on plain numbers."""

import ast
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

import rl_ablation
from rl_ablation import stats
from rl_ablation.formats import Estimate


def test_one_name_one_meaning():
    """LEVEL once was 0.95 in one file and 0.05 in another."""
    assert stats.LEVEL == 0.05
    assert stats.COVERAGE == 0.95
    package = Path(rl_ablation.__file__).parent
    for path in [*package.rglob("*.py"), *(package.parent / "experiments").rglob("*.py")]:
        for node in ast.parse(path.read_text()).body:
            for target in getattr(node, "targets", []):
                name = getattr(target, "id", "")
                assert name not in ("LEVEL", "COVERAGE") or path.name == "stats.py", path


def found(effect: float, sizes: tuple[int, ...], trials: int = 4000) -> float:
    """How often t tests find a true effect, on its side, in simulated trainings of spread 1."""
    rng = np.random.default_rng(3)
    one = effect + rng.normal(size=(trials, sizes[0]))
    if len(sizes) == 1:
        test = scipy.stats.ttest_1samp(one, 0.0, axis=1)
    else:
        test = scipy.stats.ttest_ind(one, rng.normal(size=(trials, sizes[1])), axis=1)
    return float(((test.pvalue < 0.05) & (test.statistic > 0)).mean())


@pytest.mark.parametrize("sizes", [(3,), (12,), (12, 12), (5, 9)])
def test_the_smallest_effect_is_found_in_four_of_five_experiments(sizes: tuple[int, ...]) -> None:
    # Values of spread 1 exactly, as nobody knows an experiment's true spread but a simulation.
    groups = [np.random.default_rng(n).normal(size=n) for n in sizes]
    smallest = stats.smallest_effect(*((x - x.mean()) / x.std(ddof=1) for x in groups))
    assert found(smallest, sizes) == pytest.approx(0.8, abs=0.02)
    assert found(smallest / 2, sizes) < 0.5


def test_permutations_and_sign_flips_of_trainings_find_about_as_much() -> None:
    rng = np.random.default_rng(4)
    spread = np.array([-1.0, 1.0]).repeat(6) * np.sqrt(11 / 12)
    shift = stats.smallest_effect(spread, spread)
    one, other = rng.normal(shift, 1, (200, 12)), rng.normal(size=(200, 12))
    hits = [stats.permutation_p(a, b) < 0.05 for a, b in zip(one, other, strict=True)]
    assert np.mean(hits) == pytest.approx(0.8, abs=0.08)
    paired = rng.normal(stats.smallest_effect(spread), 1, (400, 12))
    p = stats.sign_flip_p(paired.T, rng)
    assert (p < 0.05).mean() == pytest.approx(0.8, abs=0.06)


def test_a_smallest_effect_needs_trainings() -> None:
    assert np.isnan(stats.smallest_effect(np.array([1.0])))
    assert np.isnan(stats.smallest_effect(np.array([1.0, np.nan])))
    three = np.array([1.0, 2.0, 4.0])
    # 2 of the 20 relabellings of 3 and 3 are as far apart as can be: never below 10 %.
    assert stats.smallest_effect(three, three) == np.inf
    assert np.isfinite(stats.smallest_effect(np.append(three, 5.0), np.append(three, 5.0)))
    assert stats.smallest_effect(np.full(4, 0.3)) == 0
    shorter = stats.smallest_effect(np.append(three, np.nan))
    assert (
        shorter
        == stats.smallest_effect(three)
        == pytest.approx(5.653 * three.std(ddof=1) / 3**0.5, abs=0.01)
    )


def test_the_smallest_correlation_is_that_of_fishers_z() -> None:
    found = [stats.smallest_correlation(n) for n in (4, 5, 20)]
    wanted = np.tanh(np.sqrt(1.06 / np.array([2.0, 17.0])) * (1.959964 + 0.841621))
    np.testing.assert_allclose(found, [1.0, *wanted], rtol=1e-6)


def test_the_smallest_correlation_is_found_in_four_of_five_experiments() -> None:
    rho = stats.smallest_correlation(64)
    rng = np.random.default_rng(5)
    x = rng.normal(size=(3000, 64))
    # Spearman's ρ of normal pairs is 6/π·asin(r/2), so that r gives the wanted one.
    r = 2 * np.sin(np.pi * rho / 6)
    y = r * x + np.sqrt(1 - r**2) * rng.normal(size=x.shape)
    seen = stats.spearman(x, y)
    t = seen * np.sqrt(62 / (1 - seen**2))
    assert (t > scipy.stats.t.ppf(0.975, 62)).mean() == pytest.approx(0.8, abs=0.03)
    assert stats.smallest_correlation(4) == 1.0


@pytest.mark.parametrize(
    ("low", "high", "smallest", "says"),
    [
        (-0.1, 0.3, 0.4, "inconclusive: effects smaller than 0.40 could not have been found"),
        (-0.1, 0.15, 0.4, "no effect of 0.20 or more: the whole interval lies within"),
        (-0.1, 0.2, 0.4, "inconclusive: effects smaller than 0.40 could not have been found"),
        (-0.1, 0.3, np.inf, "inconclusive: so few trainings could have found no effect"),
    ],
)
def test_an_unclear_result_is_not_told_as_no_difference(low, high, smallest, says) -> None:
    assert Estimate(0.05, low, high).unclear(smallest, 0.2) == says


def test_students_interval_is_scipys() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 5)
    wanted = scipy.stats.t.interval(0.95, 4, values.mean(), scipy.stats.sem(values))
    np.testing.assert_allclose(stats.student_interval(values), wanted)
    low, high = stats.student_interval(values[:2])
    assert low < values[:2].mean() < high
    assert np.isnan(stats.student_interval(values[:1])).all()
    assert np.isnan(stats.student_interval(values[:0])).all()


def test_intervals_of_means_are_students_where_these_are_wider() -> None:
    values = np.linspace(-1.0, 1.0, 6)[:, None]  # symmetric and flat: BCa's are narrower
    low, high = stats.mean_intervals(values, np.random.default_rng(0))
    np.testing.assert_allclose([low[0], high[0]], stats.student_interval(values[:, 0]))


def test_an_interval_is_the_middle_95_percent_of_the_numbers() -> None:
    drawn = np.random.default_rng(0).permutation(np.linspace(0.0, 1.0, 1001))
    assert stats.interval(drawn) == pytest.approx((0.025, 0.975))
    assert stats.interval(np.append(drawn, [np.nan, np.inf])) == pytest.approx((0.025, 0.975))
    assert np.isnan(stats.interval(np.full(3, np.nan))).all()


def test_means_of_what_is_finite() -> None:
    values = np.array([[1.0, np.nan, np.inf], [3.0, np.nan, 5.0]])
    np.testing.assert_array_equal(stats.finite_mean(values), [2.0, np.nan, 5.0])
    np.testing.assert_array_equal(stats.finite_mean(values, empty=7.0), [2.0, 7.0, 5.0])
    np.testing.assert_array_equal(stats.finite_mean(values, 1), [1.0, 4.0])
    assert stats.finite_mean(values, (0, 1)) == 3.0


def test_rank_correlations_are_scipys() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 6, (2, 4, 15)).astype(float)
    wanted = [scipy.stats.spearmanr(a, b).statistic for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(stats.spearman(x, y), wanted)
    assert np.isnan(stats.spearman(np.ones(5), np.arange(5.0)))
    rho, low, high, p = stats.rank_correlation(x[0], y[0])
    test = scipy.stats.spearmanr(x[0], y[0])
    assert (rho, p) == (test.statistic, test.pvalue)
    assert -1 <= low < rho < high <= 1
    full = [*x[0], np.nan, 1.0], [*y[0], 1.0, np.inf]
    assert stats.rank_correlation(*map(np.array, full)) == (rho, low, high, p)
    four = np.array([1.0, 2.0, 4.0, 3.0])
    assert stats.rank_correlation(four, np.arange(4.0))[0] == pytest.approx(0.8)
    assert np.isnan(stats.rank_correlation(four[:3], np.arange(3.0))).all()
    for sides in ((four, np.ones(4)), (np.ones(4), four)):
        assert np.isnan(stats.rank_correlation(*sides)).all()


def test_permutations_count_all_relabellings() -> None:
    low, high = np.arange(5.0), np.arange(5.0) + 10
    assert stats.permutation_p(low, high) == pytest.approx(2 / 252)
    assert stats.permutation_p(high, low) == pytest.approx(2 / 252)
    assert stats.permutation_p(low, low) == 1.0
    assert stats.permutation_p(low[:2], high[:2]) == pytest.approx(2 / 6)
    assert stats.permutation_p(low[:1], high) == stats.permutation_p(low, high[:1]) == 1.0


@pytest.mark.parametrize(
    ("sizes", "finds"),
    [((3, 3), False), ((2, 4), False), ((2, 5), True), ((3, 4), True), ((4, 4), True)],
)
def test_groups_too_small_for_any_claim_have_no_smallest_effect(sizes, finds) -> None:
    groups = [np.arange(float(n)) for n in sizes]
    assert np.isfinite(stats.smallest_effect(*groups)) == finds
    apart = np.arange(sizes[0]) * 1.0, np.arange(sizes[1]) + 100.0
    assert (stats.permutation_p(*apart) < stats.LEVEL) == finds


def test_the_power_of_a_t_test_is_that_of_the_tail_on_its_side() -> None:
    assert stats.t_power(0.0, 9) == pytest.approx(0.025)
    assert stats.t_power(0.0, 9, level=0.2) == pytest.approx(0.1)
    assert stats.t_power(-3.0, 9) < 0.001
    bar = scipy.stats.t.ppf(0.975, 9)
    assert stats.t_power(2.0, 9) == pytest.approx(scipy.stats.nct.sf(bar, 9, 2.0))
    assert stats.t_power(1000.0, 9) == 1.0


def test_identical_columns_of_one_block_have_one_number() -> None:
    one = np.array([1.0, np.nan, -0.0])
    columns = np.column_stack([one, one, one + 0.0, [1.0, 2.0, 0.0], one])
    numbers = stats.identical(columns, np.array([0, 0, 0, 0, 1]))
    assert numbers.tolist() == [0, 0, 0, 1, 2]
