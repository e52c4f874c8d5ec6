"""Groupings that cut directions, and random directions that hold as much variance."""

import re

import numpy as np
import pytest
from conftest import CONDITIONS, HORIZON, turned
from threadpoolctl import threadpool_limits

import rl_ablation as rl
from agents.zoo import find_agent
from rl_ablation.errors import LabError
from rl_ablation.groupings import autoencoder
from rl_ablation.groupings.autoencoder import ACTIVE, autoencode, features, through
from rl_ablation.groupings.controls import AGAIN, random_directions, random_groups
from rl_ablation.groupings.directions import (
    components,
    fit,
    listen,
    patterns,
    read,
    readouts,
    told_signals,
)
from rl_ablation.groupings.factors import factorise
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.lesions.methods import SiteStats
from rl_ablation.mapping.divisions import divisions


def axes_of(plan, site):
    return np.concatenate([x.directions[site] for x in plan if site in x.directions])


def test_components_are_those_of_most_variance(policy, activity):
    plan = components(policy, 4, activity)
    assert plan.names[1:] == [f"{s}/component-{k}" for s in ("h0", "h1") for k in range(4)]
    for site in ("h0", "h1"):
        values = activity[site].samples.astype(float)
        size = np.linalg.svd(values - values.mean(0), compute_uv=False)[:4]
        held = ((values - values.mean(0)) @ axes_of(plan, site).T).std(0) * len(values) ** 0.5
        np.testing.assert_allclose(held, size, rtol=1e-5)
        loadings = axes_of(plan, site)
        assert (loadings[np.arange(4), np.abs(loadings).argmax(1)] > 0).all()


def test_no_more_components_than_there_are(policy, activity):
    flat = SiteStats(np.outer(np.arange(50.0), np.ones(12)).astype(np.float32))
    plan = components(policy, 3, {**activity, "h0": flat}, ["h0"])
    assert plan.names[1:] == ["h0/component-0"]
    np.testing.assert_allclose(axes_of(plan, "h0"), np.full((1, 12), 12**-0.5), atol=1e-6)


def test_patterns_are_the_factors(policy, activity):
    plan = patterns(policy, 3, activity, ["h1"])
    wanted = factorise(activity["h1"], 3).patterns
    wanted /= np.linalg.norm(wanted, axis=1)[:, None]
    np.testing.assert_allclose(axes_of(plan, "h1"), wanted, atol=1e-6)


def test_a_readout_is_the_direction_from_which_a_signal_is_read():
    """Codes of three signals along known directions, one of them weak and one told twice."""
    rng = np.random.default_rng(0)
    told = rng.normal(size=(600, 3)) * [5.0, 1.0, 0.2]
    turn = np.array(turned(12, 3))
    half = np.arange(600) % 2 == 0
    for k in range(3):
        axes, r2 = fit(told @ turn, told[:, [k]], half)
        assert r2 > 0.999
        assert abs(axes[0] @ turn[k]) / np.linalg.norm(axes) > 0.999
    _, r2 = fit(told @ turn, rng.normal(size=(600, 1)), half)
    assert r2 < 0.1


def test_readouts_of_the_worlds_signals(policy):
    how = {"episodes": 12, "horizon": HORIZON}
    plan = readouts(policy, 3, sites=["h0"], **how)
    assert 1 < len(plan) <= 4
    assert all(x.startswith("h0/readout-") for x in plan.names[1:])
    named = readouts(policy, sites=["h0", "h1"], signals=["yaw_rate", "bend"], **how)
    assert set(named.names[1:]) == {
        f"{s}/readout-{x}" for s in ("h0", "h1") for x in ("yaw_rate", "bend")
    }
    own = {"one": lambda m: m["@obs"][:, 15], "two": lambda m: m["@obs"][:, [15, 15]]}
    mine = readouts(policy, sites=["h0"], signals=own, **how)
    one, two = (np.array(mine[f"h0/readout-{x}"].directions["h0"]) for x in ("one", "two"))
    np.testing.assert_allclose(one.T @ one, two.T @ two, atol=1e-4)  # the same, said twice
    again = readouts(policy, sites=["h0"], signals=own, **how)
    assert again.lesions == mine.lesions


def test_the_phase_of_a_gait_is_read_while_there_is_one():
    walker = find_agent("quadruped")
    how = (16, 0, 100)
    codes, told, half = told_signals(walker, ["h1"], ["gait_phase"], how)
    phase = told["gait_phase"]
    known = np.isfinite(phase).all(1)
    assert 0.2 < known.mean() < 0.95, "told to stand, it has none"
    assert np.linalg.norm(phase[known], axis=1) == pytest.approx(1)
    axes, r2 = fit(codes["h1"], phase, half)
    assert r2 > 0.5
    assert len(axes) == 2
    rng = np.random.default_rng(0)
    assert fit(codes["h1"], rng.permutation(phase), half)[1] < 0.1
    (found,) = (x for x in readouts(walker, sites=["h1"], signals=["gait_phase"], episodes=16,
                                    horizon=100) if x.size)  # fmt: skip
    assert found.name == "h1/readout-gait_phase"


def test_readouts_refuse_what_is_not_there(policy):
    how = {"episodes": 12, "horizon": 20}
    with pytest.raises(LabError, match="no signal 'gait'; this world gives"):
        readouts(policy, signals=["gait"], **how)
    with pytest.raises(LabError, match="'still' never varies"):
        readouts(policy, signals={"still": lambda m: np.zeros(len(m["bend"]))}, **how)
    with pytest.raises(LabError, match="at least 12 episodes, 2 a condition"):
        readouts(policy, episodes=8)
    for grouping in (components, patterns, readouts):
        with pytest.raises(LabError, match="at least 1, got 0"):
            grouping(policy, 0)


@pytest.fixture(scope="module")
def sparse():
    """Moments in each of which 2 of 10 known features are on, in 8 units."""
    rng = np.random.default_rng(0)
    decoder = rng.normal(size=(10, 8))
    decoder /= np.linalg.norm(decoder, axis=1)[:, None]
    on = np.zeros((2000, 10))
    for row in on:
        row[rng.choice(10, 2, replace=False)] = rng.uniform(0.5, 1.5, 2)
    return decoder, SiteStats((0.3 + on @ decoder).astype(np.float32))


def test_an_autoencoder_holds_a_sparse_code(sparse, monkeypatch):
    decoder, stats = sparse
    monkeypatch.setattr(autoencoder, "STEPS", 800)
    made = autoencode(stats, 16, active=2)
    assert made.r2 > 0.9
    found = made.features(stats.samples.astype(float))
    assert (found >= 0).all()
    assert ((found > 0).sum(1) <= 2).all()
    # Each known feature is one of the dictionary's directions.
    alike = (decoder @ made.decoder.T).max(1)
    assert (alike > 0.9).mean() >= 0.8
    monkeypatch.setattr(autoencoder, "STEPS", 20)
    assert np.array_equal(autoencode(stats, 16).decoder, autoencode(stats, 16).decoder)


def test_features_are_directions_of_unit_length(policy, activity, monkeypatch):
    monkeypatch.setattr(autoencoder, "STEPS", 100)
    plan = features(policy, 16, activity, ["h1"])
    assert 8 < len(plan) <= 17
    np.testing.assert_allclose(np.linalg.norm(axes_of(plan, "h1"), axis=1), 1.0, atol=1e-6)
    for wrong in (0, 10**6):
        with pytest.raises(LabError, match="from 1 to 4,096 features"):
            features(policy, wrong, activity)


def test_a_policy_driven_through_its_autoencoders(policy, activity, monkeypatch):
    monkeypatch.setattr(autoencoder, "STEPS", 800)
    made = {site: autoencode(activity[site], 24) for site in ("h0", "h1")}
    driven = through(policy, made)
    obs = activity["obs"].samples[::50][:5] * 0.8 + 0.1  # as the policy saw them
    record = {s: np.empty((len(obs), n)) for s, n in policy.network.sizes.items()}
    assert np.abs(driven.act(obs, record=record) - policy.act(obs)).max() < 0.5
    back = made["h0"].back(made["h0"].features(record["h0"]))
    assert np.abs(back - record["h0"]).mean() < 0.2 * record["h0"].std()
    assert driven.sha256 != policy.sha256
    assert ACTIVE < 24
    with pytest.raises(LabError, match="no site 'h7'"):
        through(policy, {"h7": made["h0"]})


@pytest.mark.parametrize("count", [1, 3])
def test_random_directions_hold_as_much_variance(activity, count):
    values = activity["h0"].samples.astype(float)
    values -= values.mean(0)
    axes = np.array(turned(12, count, 4))
    wanted = ((values @ axes.T) ** 2).sum()
    seen = set()
    for seed in range(12):
        found = random_directions(activity["h0"], axes, np.random.default_rng(seed))
        if found is None:
            continue
        np.testing.assert_allclose(found @ found.T, np.eye(count), atol=1e-9)
        assert ((values @ found.T) ** 2).sum() == pytest.approx(wanted, rel=0.05)
        assert ((found @ axes.T) ** 2).sum() / count <= AGAIN
        seen.add(float(found[0, 0]))
    assert len(seen) >= 6


def test_the_direction_of_most_variance_has_no_control(policy, activity):
    first = components(policy, 2, activity, ["h0"])
    drawn = random_groups(policy, first, 10, activity=activity)
    assert not [x for x in drawn if x.name.startswith("h0/component-0~")]
    assert not random_groups(policy, first, 10).lesions[1:]  # they need activity


def test_controls_of_directions_are_their_own(policy, activity):
    a = Lesion(name="h0/a", directions={"h0": turned(12, 1, 1)}, kind="mean", group="readouts")
    b = Lesion(name="h0/b", directions={"h0": turned(12, 1, 2)}, kind="mean", group="readouts")
    drawn = random_groups(policy, Plan([a, b]), 6, activity=activity)
    by_a = [x for x in drawn if x.stratum == a.stratum]
    assert by_a
    assert all(x.name.startswith("h0/a~random-") and x.group == "random" for x in by_a)
    alone = random_groups(policy, Plan([a]), 6, activity=activity)
    assert [x.key for x in alone.lesions[1:]] == [x.key for x in by_a]
    more = random_groups(policy, Plan([a]), 3, first=3, activity=activity)
    assert [x.key for x in more.lesions[1:]] == [
        x.key for x in by_a if int(re.search(r"random-(\d+)", x.name)[1]) >= 3
    ]


def test_a_map_of_directions_tells_controls(policy, activity, tmp_path):
    plan = components(policy, 3, activity)
    run = rl.lesion_map(
        policy, plan, episodes=6, discovery=4, controls=8, conditions=CONDITIONS, horizon=HORIZON,
        threads=1, activity=activity, folder=tmp_path / "run", progress=False, seed=1,
    )  # fmt: skip
    names = {x.name for stage in run.controls for x in stage.plan if x.size}
    assert {x.partition("~")[0] for x in names} <= set(plan.names)
    assert set(run.effects()["group"]) >= {"components"}
    assert rl.headlines(run) is not None
    assert rl.figures.FIGURES["directions"].draw(run) is not None
    assert rl.figures.FIGURES["network"].draw(run) is None


def test_random_cuts_of_patches_share_their_moments(policy, activity):
    one = Lesion(name="a", cut={"h0": (0, 1)}, kind="resample", moments=(1, 2, 3))
    other = Lesion(name="b", cut={"h0": (0, 1)}, kind="resample", moments=(4, 5, 6))
    drawn = random_groups(policy, Plan([one, other]), 3, activity=activity)
    for patch in (one, other):
        mine = [x for x in drawn if x.stratum == patch.stratum]
        assert [x.moments for x in mine] == [patch.moments] * 3


def test_random_directions_are_no_random_divisions(policy, activity, tmp_path):
    how = {"episodes": 12, "discovery": 12, "controls": 6, "conditions": CONDITIONS, "seed": 1,
           "horizon": HORIZON, "threads": 1, "activity": activity, "progress": False,
           "kinds": ("zero",)}  # fmt: skip
    apart = rl.lesion_map(policy, rl.clusters(policy, 2, activity), folder=tmp_path / "a", **how)
    both = rl.clusters(policy, 2, activity) + components(policy, 3, activity)
    together = rl.lesion_map(policy, both, folder=tmp_path / "b", **how)
    one, other = divisions(apart), divisions(together)
    assert one is not None
    assert other is not None
    assert other.draws >= one.draws > 0
    only = rl.lesion_map(policy, components(policy, 3, activity), folder=tmp_path / "c", **how)
    assert divisions(only) is None
    assert rl.report(only, films=[]).exists()


def test_readouts_are_of_hidden_layers_that_are_heard(policy):
    with pytest.raises(LabError, match="read-outs are of hidden layers, not of obs"):
        readouts(policy, sites=["obs"], signals=["bend"])
    flat, half = np.zeros((40, 5)), np.arange(40) % 2 == 0
    axes, _ = read(flat, np.random.default_rng(0).normal(size=(40, 1)), half)
    assert not len(axes)
    deaf = policy.edited("h0", range(12))  # nothing listens to h0 any more
    assert not len(listen(deaf, "h0", np.zeros((4, 18), np.float32)))
    assert len(listen(policy, "h0", np.zeros((4, 18), np.float32)))


def test_the_same_bits_on_any_number_of_threads(policy, activity, monkeypatch):
    monkeypatch.setattr(autoencoder, "STEPS", 30)
    with threadpool_limits(1):
        one = components(policy, 4, activity) + features(policy, 4, activity, ["h1"])
    assert (components(policy, 4, activity) + features(policy, 4, activity, ["h1"])) == one
