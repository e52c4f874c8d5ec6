"""Importance from weights: the rules' formulas, and that a unit without a way out has none."""

from typing import ClassVar

import numpy as np
import pytest

from rl_ablation.analysis.weights import RULES, importance, path_norms
from rl_ablation.errors import LabError
from rl_ablation.stats import finite_mean, mean_rank_correlation, rank_correlation
from tests.conftest import DEAD, LAP, MUTE, random_mlp


def test_every_rule_gives_every_hidden_unit_a_number(policy, activity) -> None:
    table = importance(policy, activity)
    assert list(table) == ["site", "unit", *RULES]
    assert len(table) == sum(policy.network.sizes.values())
    assert np.isfinite(table[list(RULES)].to_numpy()).all()
    assert not {"activity", "activity × path"} & set(importance(policy))


def test_a_unit_without_a_way_out_has_no_importance(policy, activity) -> None:
    table = importance(policy, activity).set_index(["site", "unit"])
    outward = [r for r in RULES if r not in ("incoming L2", "activity")]
    assert (table.loc[("h0", MUTE), outward] == 0).all()
    assert table.loc[("h0", MUTE), "incoming L2"] > 0
    assert table.loc[("h0", DEAD), "activity × path"] == pytest.approx(0, abs=1e-6)


def test_path_norms_add_up_all_ways_to_a_motor() -> None:
    agent = random_mlp((3, 9, 5, 2), LAP, seed=4)
    (_, _), (second, _), (last, _) = agent.network.layers
    found = path_norms(agent)
    ways = sum(abs(float(second[j, 1]) * float(last[0, j])) for j in range(5))
    assert found["h0"][0, 1] == pytest.approx(ways)
    np.testing.assert_allclose(found["h1"], np.abs(last.numpy()), rtol=1e-6)
    table = importance(agent)
    h1 = table[table["site"] == "h1"]
    np.testing.assert_allclose(h1["path to motors"], h1["outgoing L1"])


def test_rank_correlation_knows_order_and_its_own_uncertainty() -> None:
    x = np.arange(30.0)
    rho, low, high, p = rank_correlation(x, np.exp(x))
    assert (rho, low, high) == pytest.approx((1, 1, 1))
    assert p < 1e-6
    noise = np.random.default_rng(0).normal(size=30)
    rho, low, high, p = rank_correlation(x, noise)
    assert low < 0 < high
    assert low <= rho <= high
    assert p > 0.05
    assert np.isnan(rank_correlation(x, x * 0)).all()
    assert rank_correlation(np.append(x, 5.0), np.append(-x, np.nan))[0] == pytest.approx(-1)


def test_means_of_nothing_are_not_numbers():
    values = np.array([[1.0, np.nan], [3.0, np.nan]])
    np.testing.assert_array_equal(finite_mean(values), [2.0, np.nan])
    np.testing.assert_array_equal(finite_mean(values, empty=0.0), [2.0, 0.0])


def test_mean_rank_correlation_is_taken_within_networks():
    rng = np.random.default_rng(0)
    # Between networks the two go together; within each they go apart.
    networks = [(k + rng.random(30),) for k in range(5)]
    networks = [(x, 3 * k - x**3) for k, (x,) in enumerate(networks)]
    assert mean_rank_correlation(networks, rng) == pytest.approx((-1, -1, -1))
    free = [(rng.random(60), rng.random(60)) for _ in range(5)]
    mean, low, high = mean_rank_correlation(free, rng)
    assert low < mean < high
    assert low < 0 < high
    assert 0.1 < high - low < 0.5
    flat = [(rng.random(9), np.ones(9))]
    assert np.isnan(mean_rank_correlation(flat, rng)).all()
    mean, *_ = mean_rank_correlation([*networks, *flat], rng)
    assert mean == pytest.approx(-1)


def test_only_an_mlp_has_layers_to_read(policy) -> None:
    class Other:
        sizes: ClassVar = {"h0": 3}

    with pytest.raises(LabError, match="is no MLP"):
        importance(policy.with_network(Other()))
