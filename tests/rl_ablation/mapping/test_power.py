"""How many episodes: against simulation, at the edges, and from a pilot."""

import numpy as np
import pytest
from conftest import CONDITIONS, HORIZON

import rl_ablation as rl
from rl_ablation.errors import LabError
from rl_ablation.mapping.power import COLUMNS, MOST, episodes_needed, needed, plan_episodes
from rl_ablation.stats import sign_flip_p


@pytest.mark.parametrize(("d", "power"), [(0.7, 0.8), (1.2, 0.9)])
def test_so_many_episodes_find_it_so_often(d, power):
    n = episodes_needed(d, power=power)
    rng = np.random.default_rng(0)
    found = sign_flip_p(rng.normal(d, 1, (n, 2000)), rng) < 0.05
    assert found.mean() == pytest.approx(power, abs=0.04)
    fewer = sign_flip_p(rng.normal(d, 1, (n - 3, 2000)), rng) < 0.05
    assert fewer.mean() < found.mean()


def test_more_tests_smaller_effects_and_more_power_need_more():
    assert episodes_needed(1.0) < episodes_needed(1.0, tests=100) < episodes_needed(0.5, tests=100)
    assert episodes_needed(1.0, power=0.8) < episodes_needed(1.0, power=0.95)


def test_a_huge_effect_still_needs_enough_flips():
    """Ten pairs have 1024 sign flips: p cannot be below 2/1024."""
    n = episodes_needed(1000.0, tests=1000)
    assert 2.0 ** (1 - n) <= 0.05 / 1000 < 2.0 ** (2 - n)


def test_no_effect_is_never_found():
    assert episodes_needed(0.0) == MOST


@pytest.mark.parametrize("bad", [{"level": 0.0}, {"power": 1.0}, {"tests": 0}, {"d": float("nan")}])
def test_numbers_out_of_range(bad):
    with pytest.raises(LabError, match="lie between 0 and 1"):
        episodes_needed(**{"d": 1.0, **bad})


def test_a_pilot_tells_each_behaviour(policy, activity, tmp_path):
    table = plan_episodes(
        policy,
        rl.singles(policy),
        effect=1.0,
        pilot=5,
        episodes=4,
        activity=activity,
        folder=tmp_path / "pilot",
        conditions=CONDITIONS,
        horizon=HORIZON,
        threads=1,
        progress=False,
        measures=["forward_speed", "crash", "return"],
    )
    assert list(table) == list(COLUMNS)
    assert list(table["measure"]) == ["forward_speed", "crash", "return"]
    varies = table[table["wanted"] > 0]
    assert (varies["wanted"] == varies["spread_intact"]).all()
    assert varies["episodes"].between(2, MOST).all()
    assert needed(table) == varies["episodes"].max() >= needed(table, 0.5)


def test_an_empty_plan_has_no_pilot(policy):
    with pytest.raises(LabError, match="no cuts"):
        plan_episodes(policy, rl.Plan())
