"""Lesions and masks: a cut cuts what it says, when it says, and draws from its own stream."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import CONDITIONS, HORIZON, LAP, random_mlp
from pydantic import ValidationError
from scipy import stats

import rl_ablation as rl
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.lesions.masks import Masks
from rl_ablation.lesions.methods import KINDS, SiteStats
from rl_ablation.lesions.streams import normals, uniforms
from rl_ablation.rollouts.episodes import Episode
from rl_ablation.rollouts.rollout import rollout
from rl_ablation.rollouts.world import World


def record(policy, activity, lesion, rows=4, horizon=HORIZON, seed=0):
    """Roll out one lesion and record every site; returns the trace."""
    world = World(LAP, rows, threads=1)
    jobs = [Episode(lesion, seed + k, CONDITIONS[k % 2]) for k in range(rows)]
    signals = ["obs", *(f"@{site}" for site in policy.sites)]
    try:
        return rollout(policy, world, jobs, signals=signals, activity=activity, horizon=horizon)
    finally:
        world.close()


def replayed(policy, trace, site, t):
    """What the intact network does at ``site`` for the observations of step ``t``."""
    out = {site: np.empty((trace.alive.shape[1], policy.sites[site]), np.float32)}
    policy.act(trace["obs"][t], record=out)
    return out[site]


# What each kind does, on recorded activity.

CUTS = [("h0", (0, 5, 11)), ("h1", (0,)), ("obs", (0, 17)), ("action", (0,)), ("action", (1,))]


@pytest.mark.parametrize(("site", "units"), CUTS)
@pytest.mark.parametrize("kind", ["zero", "mean", "clamp", "gain"])
def test_a_cut_cuts(policy, activity, site, units, kind):
    strength = {"clamp": -0.25, "gain": 0.5}.get(kind)
    lesion = Lesion(name="x", cut={site: units}, kind=kind, strength=strength)
    trace = record(policy, activity, lesion)
    alive, cut = trace.alive, list(units)
    others = np.setdiff1d(np.arange(policy.sites[site]), cut)
    assert alive.sum() > 40
    for t in np.flatnonzero(alive.all(1)):
        seen, would = trace[f"@{site}"][t], replayed(policy, trace, site, t)
        target = {
            "zero": np.zeros_like(would),
            "mean": np.broadcast_to(activity[site].samples.mean(0, dtype=float), would.shape),
            "clamp": np.full_like(would, -0.25),
            "gain": np.float32(0.5) * would,
        }[kind]
        np.testing.assert_allclose(seen[:, cut], target[:, cut], rtol=1e-6, atol=0)
        # At the first cut site nothing else may change, to the bit.
        assert np.array_equal(seen[:, others], would[:, others])
    # …and the units are not that way by themselves.
    intact = record(policy, activity, Lesion(name="intact"))
    assert not np.array_equal(trace[f"@{site}"][:, :, cut], intact[f"@{site}"][:, :, cut])


def test_zero_has_no_negative_zeros_that_would_change_the_next_layer(policy, activity):
    trace = record(policy, activity, Lesion(name="x", cut={"h0": tuple(range(12))}))
    wanted = policy.network.layers[1][1].tanh().numpy()
    np.testing.assert_array_equal(trace["@h0"], 0)
    for t in np.flatnonzero(trace.alive.all(1)):
        np.testing.assert_allclose(trace["@h1"][t], np.tile(wanted, (4, 1)), rtol=1e-6)


@pytest.mark.parametrize("site", ["obs", "h0", "h1", "action"])
def test_resample_takes_visited_moments_jointly(policy, activity, site):
    units = tuple(range(min(4, policy.sites[site])))
    lesion = Lesion(name="x", cut={site: units}, kind="resample")
    trace = record(policy, activity, lesion, rows=8)
    seen = trace[f"@{site}"][trace.alive][:, list(units)]
    visited = activity[site].samples[:, list(units)]
    there = (seen[:, None] == visited[None]).all(-1)
    assert there.any(1).all(), "a joint value that was never visited"
    # Moments are drawn anew at each step and for each robot, from all of the recording.
    drawn = there.argmax(1)
    assert np.unique(drawn).size > 0.4 * min(len(drawn), len(visited))
    assert drawn.max() > 0.9 * len(visited)
    assert drawn.min() < 0.1 * len(visited)


def test_resample_takes_the_same_moment_at_every_site(policy, activity):
    cut = {"h0": (0, 1, 2), "h1": (0, 1, 2)}
    trace = record(policy, activity, Lesion(name="x", cut=cut, kind="resample"), rows=8)
    both = [trace[f"@{s}"][trace.alive][:, :3] for s in cut]
    visited = [activity[s].samples[:, :3] for s in cut]
    there = [(a[:, None] == b[None]).all(-1) for a, b in zip(both, visited, strict=True)]
    assert (there[0] & there[1]).any(1).all()


@pytest.mark.parametrize("strength", [None, 0.5, 3.0])
def test_noise_has_the_strength_that_it_says(policy, activity, strength):
    units = [0, 1, 2, 4, 5]
    lesion = Lesion(name="x", cut={"h0": tuple(units)}, kind="noise", strength=strength)
    trace = record(policy, activity, lesion, rows=64)
    added = []
    for t in np.flatnonzero(trace.alive.any(1)):
        row = trace.alive[t]
        added.append((trace["@h0"][t] - replayed(policy, trace, "h0", t))[row])
    added = np.concatenate(added)
    assert np.array_equal(np.delete(added, units, 1), np.zeros((len(added), 7), np.float32))
    score = added[:, units] / activity["h0"].std[units] / (strength or 1.0)
    n = score.size
    assert abs(score.mean()) < 4 / np.sqrt(n)
    assert abs(score.std() - 1) < 4 / np.sqrt(2 * n)
    assert np.abs(np.corrcoef(score.T) - np.eye(len(units))).max() < 0.15, "units are independent"
    assert np.abs(np.corrcoef(score[:-64, 0], score[64:, 0])[0, 1]) < 0.15, "so are steps"


def test_noise_of_equal_units_in_two_layers_is_not_shared(policy, activity):
    lesion = Lesion(name="x", cut={"h0": (0,), "h1": (0,)}, kind="noise")
    masks = Masks([lesion] * 500, range(500), policy.sites, activity).at(0, np.arange(500))
    assert abs(np.corrcoef(masks["h0"][1][:, 0], masks["h1"][1][:, 0])[0, 1]) < 0.15


@pytest.mark.parametrize(("onset", "offset"), [(0, 7), (5, 9), (13, None), (5, 5), (0, None)])
@pytest.mark.parametrize("kind", ["clamp", "resample", "noise"])
def test_onset_and_offset_are_exact(policy, activity, kind, onset, offset):
    lesion = Lesion(name="x", cut={"h0": (0, 1)}, kind=kind, onset=onset, offset=offset)
    # A timed row beside an intact one and one that is cut throughout.
    always = Lesion(name="y", cut={"h0": (0, 1)}, kind="clamp")
    rows = [lesion, Lesion(name="intact"), always]
    world = World(LAP, 3, threads=1)
    jobs = [Episode(x, 2, CONDITIONS[0]) for x in rows]
    trace = rollout(policy, world, jobs, signals=["obs", "@h0"], activity=activity, horizon=18)
    world.close()
    assert trace.alive.all()
    changed = [
        (trace["@h0"][t] != replayed(policy, trace, "h0", t)).any(1).tolist() for t in range(18)
    ]
    wanted = [[onset <= t < (99 if offset is None else offset), False, True] for t in range(18)]
    assert changed == wanted


# Masks and their random stream.


def test_intact_masks_touch_no_site(policy):
    lesions = [Lesion(name="intact"), Lesion(name="none", cut={"h0": (), "h1": ()})]
    assert Masks(lesions, [0, 1], policy.sites).at(0, np.arange(2)) == {}


def test_uniforms_and_normals_are():
    keys = np.arange(200_000, dtype=np.uint64)  # neighbours, the hardest keys
    u, z = uniforms(keys), normals(keys)
    assert u.min() > 0
    assert u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 0.001
    assert stats.kstest(z, "norm").pvalue > 0.001
    assert abs(z.mean()) < 4 / np.sqrt(keys.size)
    assert abs(z.std() - 1) < 4 / np.sqrt(2 * keys.size)
    assert abs(stats.kurtosis(z)) < 0.05
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.01
    assert abs(np.corrcoef(z[:-1], z[1:])[0, 1]) < 0.01
    assert np.unique(u).size == u.size


def test_extreme_keys_give_finite_numbers():
    keys = np.array([0, 1, 2**63, 2**64 - 1], np.uint64)
    assert np.isfinite(normals(keys)).all()
    assert ((uniforms(keys) > 0) & (uniforms(keys) < 1)).all()


def test_a_row_draws_the_same_wherever_it_stands(policy, activity, mixed_plan):
    rng = np.random.default_rng(0)
    jobs = [(lesion, seed) for lesion in mixed_plan for seed in (0, 1, 2**40, 2**64 - 1)]
    lesions, seeds = zip(*jobs, strict=True)
    whole = Masks(lesions, seeds, policy.sites, activity)
    order = rng.permutation(len(jobs))
    mixed = Masks([lesions[i] for i in order], [seeds[i] for i in order], policy.sites, activity)
    everyone = np.arange(len(jobs))
    for step in (0, 1, 24, 25, 1000):
        one, other = whole.at(step, everyone), mixed.at(step, everyone)
        few = whole.at(step, everyone[3::5])
        for site in one:
            for part in (0, 1):
                assert np.array_equal(one[site][part][order], other[site][part])
                assert np.array_equal(one[site][part][3::5], few[site][part])
    for row in (0, 17, 30):
        alone = Masks([lesions[row]], [seeds[row]], policy.sites, activity)
        for site, (scale, shift) in alone.at(3, np.zeros(1, int)).items():
            assert np.array_equal(scale[0], whole.at(3, everyone)[site][0][row])
            assert np.array_equal(shift[0], whole.at(3, everyone)[site][1][row])


def test_asking_twice_gives_the_same_draw(policy, activity, mixed_plan):
    masks = Masks(list(mixed_plan), [0] * len(mixed_plan), policy.sites, activity)
    rows = np.arange(len(mixed_plan))
    first = masks.at(30, rows)
    masks.at(31, rows)
    for site, (scale, shift) in masks.at(30, rows).items():
        assert np.array_equal(scale, first[site][0])
        assert np.array_equal(shift, first[site][1])


def test_seeds_steps_and_lesions_draw_apart(policy, activity):
    lesions = [
        Lesion(name="a", cut={"h0": (0,)}, kind="noise"),
        Lesion(name="b", cut={"h0": (0, 1)}, kind="noise"),
        Lesion(name="c", cut={"h0": (0,)}, kind="noise", onset=1),
    ]
    drawn = [
        float(Masks([x], [seed], policy.sites, activity).at(step, np.zeros(1, int))["h0"][1][0, 0])
        for x in lesions
        for seed in (0, 1, 2)
        for step in (1, 2, 3)
    ]
    assert len(set(drawn)) == len(drawn)


# Lesions and plans as data.


def test_key_ignores_name_and_group_and_order_and_nothing_else():
    base = {"cut": {"h0": (0, 1), "h1": (2,)}, "kind": "noise", "strength": 0.5}
    key = Lesion(name="a", **base).key
    assert Lesion(name="b", group="g", **base).key == key
    swapped = {"h1": (2,), "obs": (), "h0": (1, 0)}
    assert Lesion(name="a", **{**base, "cut": swapped}).key == key
    changes = [
        {"cut": {"h0": (0, 1)}},
        {"cut": {"h0": (0, 1), "h1": (3,)}},
        {"kind": "gain"},
        {"strength": 0.25},
        {"onset": 1},
        {"offset": 9},
    ]
    assert len({key, *(Lesion(name="a", **{**base, **c}).key for c in changes)}) == 7


def test_lesions_survive_json_and_are_frozen():
    lesion = Lesion(name="x", cut={"h0": (0, 3)}, kind="clamp", strength=0.0, onset=0, offset=0)
    again = Lesion.model_validate_json(lesion.model_dump_json())
    assert again == lesion
    assert again.key == lesion.key
    with pytest.raises(ValidationError):
        lesion.kind = "zero"


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ({"kind": "burn"}, "unknown kind 'burn'; choose from zero"),
        ({"cut": {"h0": (-1,)}}, "not negative"),
        ({"cut": {"h0": (1, 1)}}, "distinct"),
        ({"kind": "zero", "strength": 1.0}, "takes no strength"),
        ({"kind": "gain", "strength": float("inf")}, "finite"),
        ({"kind": "gain", "strength": float("nan")}, "finite"),
        ({"onset": -1}, "greater than or equal"),
        ({"colour": 1}, "Extra inputs"),
    ],
)
def test_lesions_that_make_no_sense_are_refused(what, line):
    with pytest.raises(ValidationError, match=line):
        Lesion(name="x", **what)


def test_cuts_that_do_not_fit_are_refused(policy):
    for cut, line in [
        ({"h0": (12,)}, "h0 has units 0–11, not 12"),
        ({"h7": (0,)}, "no site 'h7'; this policy has obs, h0, h1, action"),
    ]:
        with pytest.raises(LabError, match=line):
            Masks([Lesion(name="x", cut=cut)], [0], policy.sites)


@pytest.mark.parametrize("kind", [k for k, v in KINDS.items() if v.needs_activity])
def test_kinds_that_need_activity_say_so(policy, kind):
    # One without need of it stands before: it must not make up the activity of the other.
    plain, other = (Lesion(name=k, cut={"h0": (0,)}, kind=k) for k in ("zero", kind))
    with pytest.raises(LabError, match="needs recorded activity of 'h0'"):
        Masks([plain, other], [0, 0], policy.sites)


def test_strength_zero_is_not_the_default(policy):
    lesions = [Lesion(name=k, cut={"h0": (0,)}, kind=k, strength=0.0) for k in ("clamp", "gain")]
    (scale, shift) = Masks(lesions, [0, 0], policy.sites).at(0, np.arange(2))["h0"]
    assert scale[:, 0].tolist() == [0, 0]
    assert shift[:, 0].tolist() == [0, 0]


def test_plans_start_intact_and_add_up(policy):
    plan = rl.layers(policy) + rl.singles(policy) + rl.layers(policy)
    assert plan.names[0] == "intact"
    assert len(plan) == 1 + 2 + 22
    assert len(set(plan.names)) == len(plan)
    assert plan["h0/0"].cut == {"h0": (0,)}
    with pytest.raises(LabError, match="no lesion 'h9' in this plan; it has intact, h0"):
        plan["h9"]
    with pytest.raises(LabError, match="two different lesions are named 'h0'"):
        plan + Plan([Lesion(name="h0", cut={"h0": (1,)})])
    with pytest.raises(LabError, match="intact"):
        Plan([Lesion(name="intact", cut={"h0": (0,)})])


def test_with_kind_changes_only_the_kind(policy):
    plan = rl.layers(policy).with_kind("clamp", 0.0)
    assert plan.names == ["intact", "h0", "h1"]
    assert [x.kind for x in plan][1:] == ["clamp", "clamp"]
    assert plan["h0"].strength == 0.0
    assert plan["h0"].cut == rl.layers(policy)["h0"].cut
    assert plan["h0"].group == "layers"


def test_statistics_of_a_site():
    site = SiteStats(np.array([[0, 1], [2, 1]], np.float32))
    assert site.mean.tolist() == [1, 1]
    assert site.std.tolist() == [1, 0]


def test_a_wide_relu_is_cut_to_zero_too():
    policy = random_mlp((18, 300, 2), LAP, activation="relu")
    units = tuple(range(0, 300, 2))
    trace = record(policy, None, Lesion(name="x", cut={"h0": units}))
    assert not trace["@h0"][..., ::2].any()
    assert trace["@h0"][..., 1::2].any()
