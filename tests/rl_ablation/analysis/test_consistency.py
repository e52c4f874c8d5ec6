"""Matching of networks by what their regions do, and means over seeds."""

import numpy as np
import pytest

import rl_ablation as rl
from rl_ablation.analysis.consistency import consistency, match, paired_harm
from rl_ablation.groupings.controls import random_divisions
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.stats import finite_mean, hierarchical_bootstrap, iqm


def effects(seed, regions=8, measures=5):
    return np.random.default_rng(seed).normal(size=(regions, measures))


def test_a_permuted_copy_is_matched_back():
    one, order = effects(0), np.random.default_rng(1).permutation(8)
    found = match(one, one[order])
    np.testing.assert_array_equal(order[found.order], np.arange(8))
    assert found.score == pytest.approx(1)
    assert match(one, 3.0 * one[order]).score == pytest.approx(1)


def test_the_matching_is_the_best_there_is():
    from itertools import permutations

    a, b = effects(2, 5), effects(3, 5)
    best = max((a * b[list(p)]).sum() for p in permutations(range(5)))
    found = match(a, b)
    assert (a * b[found.order]).sum() == pytest.approx(best)
    assert found.score == pytest.approx(best / np.linalg.norm(a) / np.linalg.norm(b))


def test_regions_without_effect_or_partner_are_not_alike():
    a = np.array([[-1.0, 0.0], [0.0, -1.0], [0.0, 0.0]])
    found = match(a, a[[1, 0]])
    np.testing.assert_array_equal(found.order, [1, 0, -1])
    assert found.score == pytest.approx(1)
    assert match(a, 0 * a).score == 0.0
    with pytest.raises(rl.LabError, match="cannot be matched"):
        match(a, np.ones((3, 3)))


@pytest.mark.parametrize("specific", [False, True])
def test_copies_are_consistent_and_unrelated_networks_are_not(specific):
    rng = np.random.default_rng(0)
    copies = [rng.permutation(effects(0)) + 0.05 * effects(k) for k in range(1, 5)]
    found = consistency(copies, specific=specific, draws=199)
    assert found.score > 0.98
    assert found.p == 1 / 200
    assert found.scores.shape == (4, 4)
    unrelated = [
        consistency([effects(10 * k + i) for i in range(3)], specific=specific, draws=49).p
        for k in range(1, 31)
    ]
    assert 0.3 < np.mean(unrelated) < 0.7, "their p is spread evenly"
    assert np.mean(np.array(unrelated) <= 0.1) < 0.3


def test_regions_that_only_fail_alike_are_not_specifically_alike():
    rng = np.random.default_rng(5)
    # In every network one region is needed for everything; else they have nothing in common.
    broken = np.zeros((8, 5))
    broken[0] = -3.0
    networks = [rng.permutation(broken + 0.3 * effects(k)) for k in range(20, 24)]
    assert consistency(networks, draws=199).p < 0.02
    assert consistency(networks, draws=199, specific=True).p > 0.05


def test_consistency_is_the_same_for_the_same_seed_and_finds_the_typical_one():
    same = effects(0)
    networks = [same + 0.4 * effects(1), same, same + 0.4 * effects(2)]
    one, two = consistency(networks, draws=20, seed=3), consistency(networks, draws=20, seed=3)
    np.testing.assert_array_equal(one.null, two.null)
    assert one.typical == 1
    with pytest.raises(rl.LabError, match="two networks"):
        consistency(networks[:1])


def test_interquartile_means_by_hand():
    assert iqm(np.array([1.0, 2, 3, 4, 100])) == pytest.approx(3)
    assert iqm(np.array([8.0, 1, 2, 3, 4, 5, 6, 7])) == pytest.approx(4.5)
    assert iqm(np.array([1.0, 5, 9])) == pytest.approx(5)
    column = np.array([[1.0, np.nan], [2, 7], [3, np.nan], [4, 9], [100, np.nan]])
    np.testing.assert_allclose(iqm(column), [3, 8])
    assert np.isnan(iqm(np.array([np.nan, np.nan])))


def test_the_bootstrap_resamples_seeds_first():
    # Between seeds 1, within a seed nothing: more episodes must not make the interval shorter.
    spread = np.random.default_rng(0).normal(size=12)
    few, many = ([np.full(n, x) for x in spread] for n in (2, 200))
    widths = [np.subtract(*hierarchical_bootstrap(s, resamples=400)[::-2]) for s in (few, many)]
    assert widths[0] == pytest.approx(widths[1], rel=0.2)
    assert widths[0] > 0.4
    value, low, high = hierarchical_bootstrap(few, resamples=50)
    assert low < value < high
    assert value == pytest.approx(iqm(spread))
    again = hierarchical_bootstrap(few, resamples=50)
    assert (value, low, high) == again
    with pytest.raises(rl.LabError):
        hierarchical_bootstrap([])


def test_the_bootstrap_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for trial in range(40):
        samples = [rng.normal() + rng.normal(size=6) for _ in range(12)]
        _, low, high = hierarchical_bootstrap(samples, resamples=100, seed=trial)
        held += bool(low <= 0 <= high)
    assert 0.8 < held / 40 <= 1.0


def test_random_divisions_keep_sizes_and_divide_without_overlap():
    plan = Plan(
        [
            Lesion(name="a", cut={"h0": (0, 1, 2)}, kind="mean"),
            Lesion(name="b", cut={"h0": (5,), "h1": (0, 4)}, kind="mean"),
        ]
    )
    one, two = random_divisions(plan, 2, seed=4)
    for division in (one, two):
        a, b = (x for x in division if x.size)
        assert sorted(a.cut["h0"] + b.cut["h0"]) == [0, 1, 2, 5]
        assert b.cut["h1"] == (0, 4)
        assert (a.size, b.size, a.kind, a.group) == (3, 3, "mean", "random")
    assert one + two + plan, "names do not clash"
    drawn = {x.lesions[1].cut["h0"] for x in random_divisions(plan, 60, seed=0)}
    assert len(drawn) == 4, "all four ways to take 3 of 4 units come up"


def test_paired_harm_of_a_run(policy, small_sweep, tmp_path):
    plan = rl.layers(policy) + Plan([Lesion(name="none", cut={"h0": (3,)})])
    measures = ["forward_speed.alive", "off_centre.alive", "left_turning.alive"]
    run = small_sweep(plan, tmp_path / "run", measures=measures)
    harm = paired_harm(run, ["h0", "none"], measures)
    assert harm.shape == (4, 2, 3)
    assert not np.nan_to_num(harm[:, 1]).any(), "the dead unit does nothing"
    rows = run.effects()
    rows = rows[(rows["condition"] == "all") & (rows["lesion"] == "h0")].set_index("measure")
    expected = np.sign([rows["delta"][m] for m in measures]) * [1, -1, 1]
    np.testing.assert_array_equal(np.sign(finite_mean(harm)[0]), expected)
    assert np.abs(finite_mean(paired_harm(run, ["h0", "h1"], measures))).max() <= 1 + 1e-12
