"""Stable divisions are told from those that chance makes, and the planted number is found."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import LAP, random_mlp
from scipy.signal import lfilter
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

import rl_ablation as rl
from rl_ablation.errors import LabError
from rl_ablation.groupings import stability as st
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.lesions.methods import SiteStats
from rl_ablation.rollouts.activity import record_activity
from rl_ablation.rollouts.episodes import REFERENCE, Episodes
from rl_ablation.rollouts.recording import record

TRACKS = ("bends/ccw", "ring/cw")
SIZES = (9, 7, 5, 3)
OF = np.repeat(np.arange(len(SIZES)), SIZES)


def slow(rng, count, moments=1600):
    """Signals in which neighbouring moments are alike."""
    return lfilter([1.0], [1.0, -0.9], rng.normal(size=(moments, count)), axis=0)


def grouped(seed, noise=0.5):
    """Units that each carry the signal of their group, in either sign."""
    rng = np.random.default_rng(seed)
    sign = rng.choice([-1.0, 1.0], len(OF))
    return sign * slow(rng, len(SIZES))[:, OF] + noise * slow(rng, len(OF))


@pytest.mark.parametrize("seed", range(4))
def test_planted_groups_are_stable_and_counted(seed):
    found = st.stability(grouped(seed))
    assert found.best == len(SIZES)
    assert found.p == 1 / (1 + st.MIXTURES), "no mixture stands out as far"
    at = found.numbers.index(len(SIZES))
    assert found.value[at] > 0.95 > found.chance[at] + 0.2
    assert st.number_of_groups(grouped(seed)) == len(SIZES)


def test_noise_and_mixed_groups_are_no_more_stable_than_chance():
    p = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        turn = np.linalg.qr(rng.normal(size=(len(OF), len(OF))))[0]
        p.append(st.stability(slow(rng, len(OF))).p)
        p.append(st.stability(grouped(seed) @ turn).p)
    assert np.mean(np.array(p) <= 0.05) <= 3 / 24, "by chance 1.2 of 24; 4 in 3 % of trials"
    assert 0.25 < np.mean(p) < 0.75


def test_halves_are_blocks_since_neighbours_are_alike():
    """Moments that are copies of each other within a block say nothing about the next block."""
    rng = np.random.default_rng(0)
    steps = np.repeat(rng.normal(size=(st.BLOCKS, 24)), 50, axis=0)
    steps += 0.01 * rng.normal(size=steps.shape)
    interleaved = st.again(steps[::2], steps[1::2])
    assert interleaved.min() > 0.95
    assert st.stability(steps).value.max() < 0.4


def test_recorded_moments_are_in_order_of_episode_time(policy):
    """Blocks of neighbouring samples are blocks of time only because of this."""
    samples = record_activity(policy, conditions=TRACKS, episodes=4, horizon=30)["obs"].samples
    asked = Episodes(4, 0, TRACKS, 30, REFERENCE)
    trace = record(policy, ["obs"], asked).trace
    seen = policy.normalise(trace["obs"][0]), policy.normalise(trace["obs"][1])
    assert np.array_equal(samples[:8], np.concatenate(seen))


def test_another_recording_is_compared():
    same = st.again(grouped(0), grouped(1), [len(SIZES)])
    assert same == 1.0
    other = st.again(grouped(0), grouped(1)[:, ::-1], [len(SIZES)])
    assert other < 0.5


def test_divisions_are_those_of_ward_in_scikit_learn():
    samples = grouped(3, noise=3.0)
    correlation = np.corrcoef(samples.T)
    for k, labels in zip(st.NUMBERS, st.divisions(correlation, st.NUMBERS), strict=True):
        theirs = AgglomerativeClustering(n_clusters=k).fit_predict(np.abs(correlation))
        assert adjusted_rand_score(labels, theirs) == 1.0
        assert len(np.unique(labels)) == k


def test_the_index_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    for k in (1, 2, 5):
        one, other = rng.integers(0, k, 40), rng.integers(0, 4, 40)
        assert st.adjusted_rand(one, other) == pytest.approx(adjusted_rand_score(one, other))
        assert st.adjusted_rand(one, one) == 1.0


@pytest.fixture(scope="module")
def agent():
    return random_mlp((18, 24, 6, 2), LAP)


@pytest.fixture(scope="module")
def activity(agent):
    rng = np.random.default_rng(0)
    stats = {site: slow(rng, n) for site, n in agent.sites.items()}
    stats["h0"] = grouped(0)
    return {site: SiteStats(x.astype(np.float32)) for site, x in stats.items()}


def test_clusters_without_a_number_choose_it_in_every_layer(agent, activity):
    plan = rl.parse_groups("clusters", agent, activity)
    assert plan == rl.clusters(agent, activity=activity)
    shown = [x.cut["h0"] for x in plan if "h0" in x.cut]
    ends = np.cumsum(SIZES)
    expected = [tuple(range(e - n, e)) for n, e in zip(SIZES, ends.tolist(), strict=True)]
    assert shown == expected
    assert sum("h1" in x.cut for x in plan) == st.NUMBERS[0], "six units are too few to choose"
    assert len(rl.parse_groups("clusters:6", agent, activity)) == 1 + 6 + 6


def test_the_stability_of_a_plans_layers(agent, activity):
    plan = rl.clusters(agent, 4, activity) + rl.layers(agent)
    again = Lesion(name="h0/cluster-0~mean", cut={"h0": (0, 1)}, kind="mean", group="clusters")
    found = st.stabilities(plan + Plan([again]), activity)
    assert list(found) == ["h0", "h1"]
    assert [k for k, _ in found.values()] == [4, 4]
    assert found["h0"][1].p < 0.025
    assert found["h1"][1].p > 0.025
    assert st.stabilities(rl.singles(agent), activity) == {}


@pytest.mark.parametrize(
    ("line", "samples", "numbers"),
    [
        ("at least 32 recorded moments, got 20", grouped(0)[:20], st.NUMBERS),
        ("24 live units are too few for 24 groups", grouped(0), [24]),
        ("leave the dead ones out", np.hstack([grouped(0), np.ones((1600, 1))]), st.NUMBERS),
    ],
)
def test_refusals(line, samples, numbers):
    with pytest.raises(LabError, match=line):
        st.stability(samples, numbers)
