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
