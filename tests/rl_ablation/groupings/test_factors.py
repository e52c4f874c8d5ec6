"""Factor groups find the patterns that were put there, in a stable order, the same every time."""

import numpy as np
import pytest

from rl_ablation.errors import LabError
from rl_ablation.groupings.factors import factorise, factors
from rl_ablation.lesions.methods import SiteStats

DEAD, CONSTANT = 3, 7


def planted(signed):
    """Three patterns over 12 units, of falling strength; units 3 and 7 carry nothing."""
    rng = np.random.default_rng(0)
    owner = np.array([0, 0, 0, -1, 1, 1, 1, -1, 2, 2, 2, 2])
    strength = rng.uniform(0, 1, (500, 3)) * (rng.uniform(size=(500, 3)) < 0.5)
    samples = np.zeros((500, 12))
    for unit, factor in enumerate(owner):
        if factor >= 0:
            size = (2.0, 1.0, 0.4)[factor] * (1 + 0.1 * unit)
            sign = -1.0 if signed and unit % 2 else 1.0
            samples[:, unit] = sign * size * strength[:, factor]
    samples[:, CONSTANT] = 1.0
    return SiteStats(samples.astype(np.float32)), owner, strength


@pytest.mark.parametrize("signed", [False, True])
def test_planted_patterns_are_found_with_their_signs(signed):
    stats, owner, strength = planted(signed)
    found = factorise(stats, 3)
    assert found.signed == signed
    assert found.weights.shape == (3, 24 if signed else 12)
    assert np.array_equal(found.owners, owner)
    for factor in range(3):
        units = owner == factor
        mean = stats.samples[:, units].mean(0)
        assert np.array_equal(np.sign(found.patterns[factor, units]), np.sign(mean))
        assert np.corrcoef(found.strengths[:, factor], strength[:, factor])[0, 1] > 0.99


def test_what_is_explained_falls_and_adds_up_to_the_fit():
    stats, _, _ = planted(signed=True)
    for k in (2, 3):
        found = factorise(stats, k)
        assert (np.diff(found.explained) <= 0).all()
        live = np.delete(stats.samples, [DEAD, CONSTANT], 1).astype(float)
        units = np.delete(np.arange(24), [DEAD, CONSTANT, 12 + DEAD, 12 + CONSTANT])
        parts = np.hstack([live.clip(0), (-live).clip(0)])
        residual = parts - found.strengths @ found.weights[:, units]
        fit = 1 - (residual**2).sum() / (parts**2).sum()
        assert found.explained.sum() == pytest.approx(fit, abs=1e-3)
        assert fit > 0.95 if k == 3 else fit < 0.99


def test_weights_are_activity_at_usual_strength():
    stats, _, _ = planted(signed=False)
    found = factorise(stats, 3)
    assert (found.strengths**2).mean(0) == pytest.approx(np.ones(3))


def test_the_plan_divides_live_units_and_is_the_same_every_time(policy, activity):
    plan = factors(policy, 3, activity)
    for site in ("h0", "h1"):
        cut = [u for lesion in plan for u in lesion.cut.get(site, ())]
        live = np.flatnonzero(activity[site].samples.std(0) > 1e-6)
        assert sorted(cut) == live.tolist()
    assert all(name.startswith(("h0/factor-", "h1/factor-")) for name in plan.names[1:])
    assert {lesion.group for lesion in plan if lesion.size} == {"factors"}
    assert factors(policy, 3, activity) == plan
    assert factors(policy, 3, activity, sites=["h1"]).lesions[1:] == tuple(
        lesion for lesion in plan if "h1" in lesion.cut
    )


def test_more_factors_than_units_stop_at_one_each(policy, activity):
    plan = factors(policy, 99, activity, sites=["h1"])
    assert len(plan) - 1 <= 10


def test_bad_requests_say_what_to_mend(policy, activity):
    with pytest.raises(LabError, match="at least 1"):
        factors(policy, 0, activity)
    with pytest.raises(LabError, match="no site 'h9'"):
        factors(policy, 2, activity, sites=["h9"])
    with pytest.raises(LabError, match="choose from 1 to 10"):
        factorise(planted(signed=True)[0], 11)
