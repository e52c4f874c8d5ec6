"""Moments like the present one, and the cut that draws from them."""

import numpy as np
import pytest
from conftest import CONDITIONS, HORIZON

import rl_ablation as rl
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion
from rl_ablation.lesions.masks import Masks
from rl_ablation.lesions.methods import SiteStats
from rl_ablation.lesions.visited import ALIKE, Visited
from rl_ablation.rollouts.activity import activity_bytes, activity_of, record_activity

CUT = Lesion(name="x", cut={"h0": (0, 3, 7)}, kind="conditional")


def visited(moments=400, sensors=3, conditions=2, seed=0):
    rng = np.random.default_rng(seed)
    samples = rng.normal(size=(moments, sensors)).astype(np.float32) * [1.0, 10.0, 0.1]
    return SiteStats(samples.astype(np.float32), np.arange(moments) % conditions)


def test_the_nearest_moment_is_found_in_units_of_each_sensors_spread():
    obs = visited()
    seen = (obs.samples[:50] + 0.01 * obs.std).astype(np.float32)
    scaled = obs.samples / obs.std
    wanted = np.square(seen[:, None] / obs.std - scaled).sum(-1).argmin(1)
    assert np.array_equal(Visited(obs).nearest(seen), wanted)


def test_an_answer_does_not_depend_on_the_other_rows():
    obs = visited()
    seen = np.random.default_rng(1).normal(size=(300, 3)).astype(np.float32)
    whole = Visited(obs).alike(seen)
    for rows in ([7], [250, 3], range(100, 180)):
        assert np.array_equal(Visited(obs).alike(seen[list(rows)]), whole[list(rows)])


def test_moments_alike_are_the_nearest_of_the_same_condition():
    obs = visited()
    alike = Visited(obs).alike(obs.samples[:20])
    assert alike.shape == (20, ALIKE)
    scaled = obs.samples.astype(np.float64) / obs.std
    for k, found in enumerate(alike):
        same = np.flatnonzero(obs.conditions == obs.conditions[k])
        distance = np.square(scaled[same] - scaled[k]).sum(1)
        assert set(found) == set(same[np.argsort(distance)[:ALIKE]])


def test_a_small_condition_bounds_how_many_are_alike():
    obs = visited()
    few = SiteStats(obs.samples, np.where(np.arange(400) < 5, 0, 1))
    assert Visited(few).alike(obs.samples[:2]).shape == (2, 5)
    assert Visited(SiteStats(obs.samples)).alike(obs.samples[:2]).shape == (2, ALIKE)


def test_a_sensor_that_never_varies_does_not_count():
    obs = visited()
    still = SiteStats(np.hstack([obs.samples, np.ones((400, 1), np.float32)]), obs.conditions)
    seen = np.hstack([obs.samples[:9], np.ones((9, 1), np.float32)])
    assert np.array_equal(Visited(still).nearest(seen), np.arange(9))


@pytest.fixture(scope="module")
def known(policy):
    return record_activity(policy, conditions=CONDITIONS, horizon=HORIZON)


def test_activity_keeps_the_conditions_of_its_moments(known):
    assert set(known["h0"].conditions) == set(range(len(CONDITIONS)))
    again = activity_of(activity_bytes(known))
    assert again.keys() == known.keys()
    assert np.array_equal(again["h0"].conditions, known["h0"].conditions)


def test_a_conditional_cut_gives_the_joint_values_of_a_moment_alike(policy, known):
    seen = known["obs"].samples[5:25]
    masks = Masks([CUT] * 20, range(20), policy.sites, known)
    assert masks.looks
    scale, shift = masks.at(3, np.arange(20), seen=seen)["h0"]
    units, rest = [0, 3, 7], [1, 2, 4]
    assert (scale[:, units] == 0).all()
    assert (scale[:, rest] == 1).all()
    alike = Visited(known["obs"]).alike(seen)
    for row in range(20):
        drawn = (known["h0"].samples[:, units] == shift[row, units]).all(1)
        assert drawn[alike[row]].any()
    other = masks.at(4, np.arange(20), seen=seen)["h0"][1]
    assert not np.array_equal(other, shift), "each step draws anew"
    alone = Masks([CUT], [11], policy.sites, known).at(3, np.arange(1), seen=seen[11:12])["h0"][1]
    assert np.array_equal(alone[0], shift[11])


def test_it_changes_a_unit_less_than_resampling_does(policy, known):
    seen = known["obs"].samples[:500]
    own = known["h0"].samples[:500][:, [0, 3, 7]]
    change = {}
    for kind in ("conditional", "resample"):
        cut = CUT.model_copy(update={"kind": kind})
        masks = Masks([cut] * 500, range(500), policy.sites, known)
        shift = masks.at(0, np.arange(500), seen=seen)["h0"][1]
        change[kind] = np.square(shift[:, [0, 3, 7]] - own).mean()
    assert 0 < change["conditional"] < 0.5 * change["resample"]


def test_it_runs_in_a_sweep_and_says_what_it_needs(policy, known, small_sweep, tmp_path):
    with pytest.raises(LabError, match="needs those of obs"):
        Masks([CUT], [0], policy.sites, {"h0": known["h0"]})
    run = small_sweep(rl.layers(policy).with_kind("conditional"), tmp_path / "run")
    assert run.effects()["delta"].abs().max() > 0
