"""Parts of equal size, and indices that know a local function from a spread one."""

import numpy as np
import pytest

from rl_ablation.analysis.localisation import changes, full_size, gini, localisation, worst_share
from rl_ablation.errors import LabError
from rl_ablation.groupings.controls import equal_parts
from rl_ablation.lesions.methods import SiteStats


def test_parts_divide_a_layer_into_equal_shares(policy, activity):
    for seed in (None, 0, 1):
        plan = equal_parts(policy, 4, activity, seed=seed)
        for site in ("h0", "h1"):
            parts = [x.cut[site] for x in plan if site in x.cut]
            assert sorted(u for units in parts for u in units) == list(range(policy.sites[site]))
            assert {len(p) for p in parts} <= {2, 3}
    one, other = (equal_parts(policy, 4, seed=s) for s in (0, 1))
    assert one == equal_parts(policy, 4, seed=0)
    assert one != other
    assert [x.size for x in one] == [x.size for x in other]
    assert len([x for x in equal_parts(policy, 99, seed=0) if "h1" in x.cut]) == 10
    with pytest.raises(LabError, match="at least 1 part"):
        equal_parts(policy, 0, activity)


def test_parts_keep_units_together_that_are_active_together(policy):
    rng = np.random.default_rng(0)
    samples = {}
    for site in ("h0", "h1"):
        size = policy.sites[site]
        signal = rng.normal(size=(300, 2))[:, np.arange(size) % 2] * rng.choice([-1, 1], size)
        samples[site] = SiteStats(signal + 0.1 * rng.normal(size=(300, size)))
    for part in equal_parts(policy, 2, samples):
        for units in part.cut.values():
            assert len({u % 2 for u in units}) == 1


def test_changes_are_paired_and_signed_so_that_worse_is_negative(policy, small_sweep, tmp_path):
    plan = equal_parts(policy, 2, seed=0)
    run = small_sweep(plan, tmp_path / "run")
    table = run.table()
    found = changes(table, plan, ["progress", "crash"])
    assert found.shape == (4, 4, 2)
    rows = table.set_index(["lesion", "episode"])
    name = plan.names[2]
    for measure, sign in ((0, 1), (1, -1)):
        column = ["progress", "crash"][measure]
        by_hand = rows.loc[(name, 3), column] - rows.loc[("intact", 3), column]
        assert found[3, 1, measure] == sign * by_hand
    with pytest.raises(LabError, match="no better side"):
        changes(table, plan, ["yaw_rate"])


def test_localisation_of_even_and_single_harm():
    harm = np.zeros((4, 4))
    harm[:, 0] = -0.5  # the same everywhere
    harm[2, 1] = -2.0  # all in one place
    harm[:, 2] = [-1, -3, 2, 0]  # getting better is no harm
    np.testing.assert_allclose(worst_share(harm), [0.25, 1, 0.75, np.nan])
    # Gini of 0, 0, 1, 3: gaps 2·(1 + 3 + 1 + 3 + 2) = 20, over 2·4·4.
    np.testing.assert_allclose(gini(harm), [0, 0.75, 20 / 32, np.nan])
    both = np.stack([harm, harm[::-1]])
    np.testing.assert_allclose(worst_share(both)[1], worst_share(harm))
    np.testing.assert_allclose(gini(both)[1], gini(harm))


def test_gini_is_0_for_equal_and_most_for_one():
    harm = -np.array([[1.0, 0, 1], [1, 0, 3], [1, 0, 0], [1, 7, 0]])
    np.testing.assert_allclose(gini(harm), [0, 0.75, 20 / 32])


def harms(*parts, episodes=12, noise=0.0, seed=0):
    """Changes (E, R, M) with these harms in every episode."""
    rng = np.random.default_rng(seed)
    harm = np.array(parts, float)
    return -(harm + noise * rng.normal(size=(episodes, *harm.shape)))


def value(table, network, index, layer="all", measure="all"):
    row = table[
        (table["network"] == network) & (table["index"] == index)
        & (table["layer"] == layer) & (table["measure"] == measure)
    ]  # fmt: skip
    return tuple(row[["value", "low", "high"]].iloc[0])


def compare(networks, layers, resamples=40):
    return localisation(
        networks, layers, ["progress", "crash"], np.ones(2), contrasts=[("one", "two")],
        resamples=resamples,
    )  # fmt: skip


def test_a_local_function_scores_higher_than_a_spread_one():
    local = harms([1, 0], [0, 1], [0, 0], noise=0.02)
    spread = harms([0.5, 0.5], [0.5, 0.5], [0.5, 0.5], noise=0.02, seed=1)
    layers = {"one": ["h0"] * 3, "two": ["h0"] * 3}
    table = compare({"one": [local, local], "two": [spread, spread]}, layers)
    assert value(table, "one", "worst part's share")[0] > 0.95
    assert value(table, "two", "worst part's share")[0] == pytest.approx(1 / 3, abs=0.05)
    assert value(table, "one", "behaviours harmed per part")[0] == 1
    assert value(table, "two", "behaviours harmed per part")[0] == 2
    assert value(table, "one", "parts that harm")[0] == pytest.approx(2 / 3)
    gap, low, high = value(table, "one − two", "worst part's share")
    assert 0 < low <= gap <= high
    assert value(table, "one", "Gini", measure="crash")[0] > 0.6


def test_layers_are_measured_apart_and_then_averaged():
    both = harms([1, 0], [0, 0], [0.5, 0], [0.5, 0])
    layers = {"one": ["h0", "h0", "h1", "h1"], "two": ["h0", "h0", "h1", "h1"]}
    table = compare({"one": [both], "two": [both]}, layers)
    assert value(table, "one", "worst part's share", "h0")[0] == 1
    assert value(table, "one", "worst part's share", "h1")[0] == 0.5
    assert value(table, "one", "worst part's share")[0] == 0.75
    assert value(table, "one − two", "worst part's share") == (0, 0, 0), "A/A"
    assert np.isnan(value(table, "one", "worst part's share", measure="crash")[0])


def test_contrasts_compare_like_with_like():
    """What only one network loses must not pass for a difference in how local the two are."""
    one = harms([1, 0], [0, 0])
    two = harms([1, 0.5], [0, 0.5])
    table = compare({"one": [one], "two": [two]}, {"one": ["h0"] * 2, "two": ["h0"] * 2})
    assert value(table, "two", "worst part's share")[0] == 0.75
    assert value(table, "one − two", "worst part's share") == (0, 0, 0)
    cells = table[(table["layer"] == "all") & (table["index"] == "Gini")]
    cells = cells[cells["measure"] == "all"].set_index("network")["cells"]
    assert cells.to_dict() == {"one": 1, "two": 2, "one − two": 1}


def test_intervals_cover_the_differences_between_networks():
    layers = {"one": ["h0", "h0"], "two": ["h0", "h0"]}
    unlike = [harms([1, 0], [0, 0]), harms([0.5, 0], [0.5, 0])]
    table = compare({"one": unlike, "two": unlike[:1]}, layers)
    assert value(table, "one", "worst part's share") == (0.75, 0.5, 1.0)
    assert value(table, "two", "worst part's share") == (1, 1, 1)


def test_episodes_must_match_and_nan_is_left_out():
    layers = {"one": ["h0", "h0"], "two": ["h0", "h0"]}
    with pytest.raises(LabError, match="the same episodes"):
        compare(
            {"one": [harms([1, 0], [0, 0])], "two": [harms([1, 0], [0, 0], episodes=3)]}, layers
        )
    gaps = harms([1, 1], [0, 0])
    gaps[::2, 0, 0] = np.nan
    gaps[:, 1, 1] = np.nan
    table = compare({"one": [gaps], "two": [gaps]}, layers)
    assert value(table, "one", "worst part's share")[0] == 1
    assert not table["value"].isna().any()


def test_a_full_size_change_is_the_largest_anywhere_with_a_floor():
    found = full_size([harms([0.2, 0.01]), harms([0.7, 0.0])], np.array([1.0, 4.0]))
    np.testing.assert_allclose(found, [0.7, 1.0])


def test_networks_that_no_cut_harms_have_no_index():
    unhurt = harms([0, 0], [0, 0.01])
    table = compare({"one": [unhurt], "two": [unhurt]}, {"one": ["h0"] * 2, "two": ["h0"] * 2})
    assert np.isnan(value(table, "one", "worst part's share")).all()
    assert value(table, "one", "parts that harm") == (0, 0, 0)
