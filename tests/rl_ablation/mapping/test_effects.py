"""Effects against scipy and against what is known: intervals, sign flips, corrections, NaN."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rl_ablation.mapping.effects import COLUMNS, effects
from rl_ablation.stats import (
    bca_intervals,
    benjamini_hochberg,
    identical,
    max_t_p,
    mean_intervals,
    sign_flip_p,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def table(intact, *lesioned, condition=None, measure="speed"):
    """A behaviour table of one measure; ``lesioned`` are the lesions L0, L1, …"""
    frames = []
    for name, values in zip(["intact", *(f"L{k}" for k in range(len(lesioned)))],
                            [intact, *lesioned], strict=True):  # fmt: skip
        episodes = np.arange(len(values))
        frames.append(
            pd.DataFrame(
                {
                    "lesion": name,
                    "group": "" if name == "intact" else "g",
                    "kind": "zero",
                    "units": 0 if name == "intact" else 2,
                    "episode": episodes,
                    "condition": "" if condition is None else np.array(condition)[episodes],
                    "unstable": False,
                    measure: np.asarray(values, float),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


@pytest.mark.parametrize("episodes", [6, 12, 24, 60])
@pytest.mark.parametrize("draw", ["normal", "exponential", "integers"])
def test_intervals_are_scipys_bca_at_the_expanded_level(episodes, draw):
    data = {
        "normal": lambda g: g.normal(0.3, 1, episodes),
        "exponential": lambda g: g.exponential(1, episodes),
        "integers": lambda g: g.integers(-2, 4, episodes).astype(float),
    }[draw](rng(episodes))
    low, high = bca_intervals(data[:, None], rng(1), 20000)
    tail = np.sqrt(episodes / (episodes - 1)) * stats.t.ppf(0.975, episodes - 1)
    wanted = stats.bootstrap(
        (data,), np.mean, method="BCa", n_resamples=20000, vectorized=True, rng=rng(2),
        confidence_level=2 * stats.norm.cdf(tail) - 1,
    ).confidence_interval  # fmt: skip
    # Of two independent resamplings; six numbers have few distinct means so far out.
    tolerance = (0.12 if episodes == 6 else 0.08) * (wanted.high - wanted.low)
    assert low[0] == pytest.approx(wanted.low, abs=tolerance)
    assert high[0] == pytest.approx(wanted.high, abs=tolerance)


@pytest.mark.parametrize("draw", ["normal", "exponential"])
def test_intervals_hold_the_truth_as_often_as_they_say(draw):
    data = getattr(rng(0), draw)(size=(24, 3000)) + 1
    low, high = bca_intervals(data, rng(1))
    truth = 1.0 if draw == "normal" else 2.0
    assert np.mean((low <= truth) & (truth <= high)) == pytest.approx(0.95, abs=0.02)


def test_intervals_are_no_percentile_intervals():
    """Skew moves BCa ends outward on the long side; the test above would see a plain bootstrap."""
    data = rng(3).exponential(1, 15) ** 2
    low, high = bca_intervals(data[:, None], rng(1), 20000)
    plain = stats.bootstrap((data,), np.mean, method="percentile", n_resamples=20000, rng=rng(2))
    assert high[0] > plain.confidence_interval.high + 0.05 * np.ptp(plain.confidence_interval)
    reach = (high[0] - data.mean()) / (data.mean() - low[0])
    plain_reach = np.subtract(plain.confidence_interval.high, data.mean())
    assert reach > plain_reach / (data.mean() - plain.confidence_interval.low)


def scipys_sign_flip_p(values):
    """The exact two-sided p of a mean of differences: scipy flips every sign both ways."""
    test = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    return test.pvalue


@pytest.mark.parametrize("episodes", [2, 5, 9, 12])
def test_sign_flips_are_scipys_exact_permutations(episodes):
    data = rng(episodes).normal(0.4, 1, (episodes, 5))
    ours = sign_flip_p(data, rng(0))
    for column in range(5):
        wanted = scipys_sign_flip_p(data[:, column])
        assert ours[column] == pytest.approx(wanted, abs=1e-12)


def test_many_sign_flips_are_close_to_exact_ones():
    data = rng(0).normal(0.35, 1, (16, 4))
    ours = sign_flip_p(data, rng(1))
    for column in range(4):
        wanted = scipys_sign_flip_p(data[:, column])
        assert ours[column] == pytest.approx(wanted, abs=4 * np.sqrt(wanted / 9999) + 1e-4)


def test_sign_flips_never_give_zero():
    assert sign_flip_p(np.ones((8, 1)), rng())[0] == 2 / 2**8
    assert sign_flip_p(np.ones((40, 1)), rng())[0] == 1 / 10000


@pytest.mark.parametrize("episodes", [3, 12, 13, 24])
def test_no_differences_at_all(episodes):
    zero = np.zeros((episodes, 1))
    assert sign_flip_p(zero, rng())[0] == 1.0
    low, high = bca_intervals(zero, rng())
    assert (low[0], high[0]) == (0.0, 0.0)


@pytest.mark.parametrize("value", [1.0, -0.1, 1e-9, 1 / 3])
def test_equal_differences_have_an_interval_of_one_point(value):
    low, high = mean_intervals(np.full((24, 1), value), rng())
    assert low[0] == pytest.approx(value, rel=1e-12)
    assert low[0] == high[0]


@pytest.mark.parametrize("episodes", [10, 20])
def test_nan_pairs_are_left_out(episodes):
    data = rng(0).normal(1, 1, (episodes, 1))
    holes = data.copy()
    holes[::3] = np.nan
    kept = holes[np.isfinite(holes[:, 0])]
    # Exact up to 12 pairs, however many were left out; otherwise the draws differ.
    assert sign_flip_p(holes, rng())[0] == pytest.approx(
        sign_flip_p(kept, rng())[0], abs=1e-12 if episodes <= 12 else 5e-3
    )
    for ours, wanted in zip(
        bca_intervals(holes, rng(1), 20000), bca_intervals(kept, rng(1), 20000), strict=True
    ):
        assert ours[0] == pytest.approx(wanted[0], abs=0.12)


def test_too_few_numbers_give_nan():
    data = np.full((8, 2), np.nan)
    data[3, 1] = 2.0
    for which in (bca_intervals, mean_intervals):
        low, high = which(data, rng())
        assert np.isnan(low).all()
        assert np.isnan(high).all()
    p = sign_flip_p(data, rng())
    assert np.isnan(p[0])
    assert p[1] == 1.0


def test_benjamini_hochberg_is_scipys_and_leaves_nan_out():
    p = rng(0).uniform(size=40) ** 2
    np.testing.assert_array_equal(benjamini_hochberg(p), stats.false_discovery_control(p))
    holes = np.insert(p, [0, 7, 40], np.nan)
    q = benjamini_hochberg(holes)
    np.testing.assert_array_equal(q[np.isfinite(holes)], stats.false_discovery_control(p))
    assert np.isnan(q[np.isnan(holes)]).all()
    assert np.isnan(benjamini_hochberg(np.array([np.nan]))).all()
    assert benjamini_hochberg(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx(
        [0.03, 0.04, 0.04]
    )


def test_intervals_cover_and_tests_keep_their_level():
    """400 simulated experiments of 24 normal pairs: 95 % ± sampling."""
    data = rng(0).normal(0.0, 1.0, (24, 400))
    low, high = mean_intervals(data, rng(1))
    assert 0.93 < ((low <= 0) & (high >= 0)).mean() < 0.98
    p = sign_flip_p(data, rng(2), 1999)
    assert 0.02 < (p < 0.05).mean() < 0.09
    assert (sign_flip_p(data + 2.0, rng(2), 1999) < 0.01).all()


def test_cells_do_not_depend_on_their_neighbours():
    data = rng(0).normal(0.2, 1, (24, 5000))
    one = bca_intervals(data[:, 4321:4322], rng(1), 300)
    many = bca_intervals(data, rng(1), 300)
    assert one[0][0] == pytest.approx(many[0][4321], abs=1e-12)
    assert one[1][0] == pytest.approx(many[1][4321], abs=1e-12)


@pytest.mark.parametrize("episodes", [6, 8, 12, 24])
def test_intervals_of_few_pairs_with_heavy_tails_hold_the_truth(episodes):
    """Differences drawn from Student's t with 4 degrees of freedom."""
    data = rng(5).standard_t(4, (episodes, 4000))
    held = {}
    for which in (bca_intervals, mean_intervals):
        low, high = which(data, rng(1))
        held[which] = ((low <= 0) & (high >= 0)).mean()
    assert 0.93 < held[mean_intervals] < 0.985
    assert held[mean_intervals] > held[bca_intervals]


def test_intervals_lean_to_the_long_side():
    data = rng(3).exponential(1, (15, 1)) ** 2
    low, high = mean_intervals(data, rng(1))
    assert high[0] - data.mean() > 1.2 * (data.mean() - low[0])


def test_maps_of_nothing_are_seldom_rejected_though_all_share_one_skewed_intact_column():
    """Every lesion is compared with the same episodes of the intact robot. If those are skewed,
    turning the signs of all columns at once does not repeat their joint distribution. Signed ranks
    are bounded, so the error rate stays where it should."""
    false, maps = 0, 600
    for seed in range(maps):
        draw = np.exp(rng(seed).normal(size=(24, 41)))
        false += int(max_t_p(draw[:, 1:] - draw[:, :1], rng(seed), 999).min() < 0.05)
    assert false / maps < 0.07


# The table.


def test_the_table_says_what_was_put_in():
    intact = np.array([1.0, 2, 3, 4, 5, 6])
    shift = np.array([-1.0, -1.5, -0.5, -1, -2, -1])
    result = effects(table(intact, intact + shift, intact), {"speed": "m/s"}, seed=0)
    assert list(result.columns) == list(COLUMNS)
    assert result["lesion"].tolist() == ["L0", "L1"]
    first, second = result.to_dict("records")
    assert (first["group"], first["units"], first["unit"]) == ("g", 2, "m/s")
    assert (first["condition"], first["n"], first["unstable"]) == ("all", 6, 0)
    assert first["intact"] == pytest.approx(3.5)
    assert first["lesioned"] == pytest.approx(3.5 + shift.mean())
    assert first["delta"] == pytest.approx(shift.mean())
    assert first["ci_low"] < shift.mean() < first["ci_high"] < 0
    pooled = np.sqrt((intact.var(ddof=1) + (intact + shift).var(ddof=1)) / 2)
    assert first["effect"] == pytest.approx(shift.mean() / pooled)
    assert first["p"] == 2 / 2**6
    assert first["q"] == 2 * first["p"], "corrected for two tries"
    assert [second[k] for k in ("delta", "effect", "p")] == [0, 0, 1]
    ends = second["ci_low"], second["ci_high"]
    assert np.isnan(ends).all(), "equal differences have no interval"


def test_pairs_count_not_order_of_rows():
    data = table(rng(0).normal(size=15), rng(1).normal(size=15))
    mixed = data.sample(frac=1, random_state=0)
    first = pd.Index(["intact"])
    mixed = pd.concat([mixed[mixed["lesion"].isin(first)], mixed[~mixed["lesion"].isin(first)]])
    one, other = (effects(x, {"speed": ""}, seed=0) for x in (data, mixed))
    pd.testing.assert_frame_equal(one, other)


def test_the_same_seed_gives_the_same_numbers():
    data = table(rng(0).normal(size=24), rng(1).normal(size=24))
    one, again, other = (effects(data, {"speed": ""}, seed=s) for s in (0, 0, 1))
    pd.testing.assert_frame_equal(one, again, check_exact=True)
    assert one["ci_low"][0] != other["ci_low"][0]
    assert one["delta"][0] == other["delta"][0]


def test_nan_on_either_side_leaves_the_pair_out():
    intact = np.array([1.0, np.nan, 3, 4, 5])
    lesioned = np.array([2.0, 2, np.nan, 6, 8])
    (row,) = effects(table(intact, lesioned), {"speed": ""}).to_dict("records")
    assert row["n"] == 3
    assert row["intact"] == pytest.approx((1 + 4 + 5) / 3)
    assert row["lesioned"] == pytest.approx((2 + 6 + 8) / 3)
    assert row["delta"] == pytest.approx(2.0)
    (row,) = effects(table(intact, np.full(5, np.nan)), {"speed": ""}).to_dict("records")
    assert row["n"] == 0
    assert np.isnan([row[k] for k in ("delta", "ci_low", "ci_high", "p", "q", "effect")]).all()


def test_conditions_are_compared_apart_and_together():
    condition = ["left", "right"] * 6
    intact, lesioned = np.zeros(12), np.tile([0.0, -1.0], 6)
    result = effects(table(intact, lesioned, condition=condition), {"speed": ""})
    by = result.set_index("condition")
    assert list(by.index) == ["all", "left", "right"]
    assert by["delta"].tolist() == [-0.5, 0, -1]
    assert by["n"].tolist() == [12, 6, 6]
    assert by["p"].tolist() == [2 / 2**6, 1, 2 / 2**6]
    assert by["q"].tolist() == by["p"].tolist(), "each condition is a family of its own"


def test_unstable_episodes_are_counted():
    data = table(np.zeros(4), [np.nan, 1, 1, 1])
    data.loc[data["speed"].isna(), "unstable"] = True
    (row,) = effects(data, {"speed": ""}).to_dict("records")
    assert row["unstable"] == 0.25
    assert row["n"] == 3


def test_an_intact_policy_alone_has_no_effects():
    result = effects(table(np.zeros(4)), {"speed": ""})
    assert result.empty
    assert list(result.columns) == list(COLUMNS)


# Family-wise error.


def test_family_wise_p_holds_its_level_and_finds_the_clear():
    maps, hits, found = 200, 0, 0
    for k in range(maps):
        noise = rng(k).standard_t(3, size=(16, 40))  # heavy tails, and columns that hang together
        noise += 0.5 * rng(1000 + k).normal(size=(16, 1))
        hits += (max_t_p(noise, rng(1), 999) < 0.05).any()
        noise[:, 0] += 4
        p = max_t_p(noise, rng(1), 999)
        found += p[0] < 0.05
    assert stats.binomtest(hits, maps, 0.05, "greater").pvalue > 0.01
    assert found > 0.9 * maps


def test_family_wise_p_by_hand():
    """One column, all of one sign: only the flip that turns all of them is as far."""
    p = max_t_p(np.arange(1.0, 7)[:, None], rng())
    assert p[0] == 2 / 2**6
    two = np.column_stack([np.arange(1.0, 7), np.arange(1.0, 7)])
    assert max_t_p(two, rng()).tolist() == [2 / 2**6] * 2, "equal columns count once"


def test_family_wise_p_never_undercuts_a_single_column():
    data = rng().normal(0.6, 1, (10, 30))
    together = max_t_p(data, rng())
    alone = np.array([max_t_p(data[:, [c]], rng())[0] for c in range(30)])
    assert (together >= alone - 1e-12).all()
    order = np.argsort(alone, kind="stable")
    assert (np.diff(together[order]) >= 0).all()


def test_family_wise_p_of_nothing():
    data = np.column_stack([np.zeros(8), np.full(8, np.nan), np.arange(1.0, 9)])
    p = max_t_p(data, rng())
    assert p[0] == 1
    assert np.isnan(p[1])
    assert p[2] == 2 / 2**8


def test_identical_cuts_count_once_in_the_false_discovery_rate():
    p = np.array([0.01, 0.01, 0.01, 0.5, np.nan])
    once = benjamini_hochberg(p, np.array([0, 0, 0, 1, 2]))
    assert once[:4].tolist() == [0.02, 0.02, 0.02, 0.5]
    assert np.isnan(once[4])
    columns = np.array([[1.0, 1.0, -0.0, 0.0, np.nan], [2.0, 2.0, 0.0, 0.0, np.nan]])
    assert identical(columns, np.array([0, 1, 0, 0, 0])).tolist() == [0, 1, 2, 2, 3]


def test_controls_stay_out_of_the_family():
    made = table(rng(1).normal(size=20), rng(2).normal(1, 1, 20))
    extra = made[made["lesion"] == "L0"].assign(lesion="zero action", group="baselines")
    rows = effects(pd.concat([made, extra]), {"speed": "m/s"}).set_index("lesion")
    alone = effects(made, {"speed": "m/s"}).set_index("lesion")
    assert rows.loc["L0", "q"] == alone.loc["L0", "q"]
    assert rows.loc["L0", "p_fwe"] == alone.loc["L0", "p_fwe"]
    assert rows.loc["zero action", ["q", "p_fwe"]].isna().all()
    assert np.isfinite(rows.loc["zero action", "p"])
