"""Cuts along directions, of connections, and from chosen moments, against plain formulas."""

import numpy as np
import pytest
from conftest import turned
from hypothesis import given, settings
from hypothesis import strategies as st

import rl_ablation as rl
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion, Plan, orthonormal
from rl_ablation.lesions.masks import Masks
from rl_ablation.lesions.methods import KINDS
from rl_ablation.mapping.probe import probe

CONSTANT = ("zero", "mean", "clamp", "gain", "stimulate")


def acted(policy, activity, lesions, obs, step=0):
    """Actions and the sites' values of lesions, each in an episode and at an observation."""
    masks = Masks(lesions, list(range(len(lesions))), policy.sites, activity)
    rows = np.arange(len(lesions))
    seen = policy.normalise(obs) if masks.looks else None
    record = {site: np.empty((len(obs), n)) for site, n in policy.sites.items()}
    return policy.act(obs, masks.at(step, rows, seen=seen), record), record


@pytest.fixture(scope="module")
def obs():
    return np.random.default_rng(1).normal(size=(40, 18))


@pytest.mark.parametrize("kind", CONSTANT)
@pytest.mark.parametrize("site", ["obs", "h0", "action"])
def test_along_the_axes_of_units_it_is_a_cut_of_units(policy, activity, obs, kind, site):
    units = (0, 1)
    axes = tuple(map(tuple, np.eye(policy.sites[site])[list(units)]))
    by_unit = Lesion(name="units", cut={site: units}, kind=kind)
    along = Lesion(name="along", directions={site: axes}, kind=kind)
    one, kept = acted(policy, activity, [by_unit] * 40, obs)
    other, turned_kept = acted(policy, activity, [along] * 40, obs)
    np.testing.assert_allclose(one, other, atol=2e-6)
    np.testing.assert_allclose(kept[site], turned_kept[site], atol=2e-6)


@settings(derandomize=True, max_examples=15, deadline=None)
@given(count=st.integers(1, 12), seed=st.integers(0, 99), kind=st.sampled_from(sorted(KINDS)))
def test_what_is_at_right_angles_stays(policy, activity, count, seed, kind):
    obs = np.random.default_rng(seed).normal(size=(8, 18))
    axes = turned(12, count, seed)
    cut = Lesion(name="x", directions={"h0": axes}, kind=kind)
    _, before = acted(policy, activity, [Lesion(name="intact")] * 8, obs)
    _, after = acted(policy, activity, [cut] * 8, obs)
    v = np.array(axes)
    rest = np.eye(12) - v.T @ v
    np.testing.assert_allclose(after["h0"] @ rest, before["h0"] @ rest, atol=1e-6)
    assert np.abs((after["h0"] - before["h0"]) @ v.T).max() > 1e-4


def test_the_mean_is_a_projection(policy, activity, obs):
    axes = np.array(turned(12, 3))
    cut = Lesion(name="x", directions={"h0": turned(12, 3)}, kind="mean")
    _, before = acted(policy, activity, [Lesion(name="intact")] * 40, obs)
    _, after = acted(policy, activity, [cut] * 40, obs)
    mean = activity["h0"].samples.mean(0, dtype=np.float64)
    wanted = before["h0"] - (before["h0"] - mean) @ axes.T @ axes
    np.testing.assert_allclose(after["h0"], wanted, atol=1e-6)


@pytest.mark.parametrize("kind", ["resample", "conditional"])
def test_resampled_coordinates_are_those_of_one_visited_moment(policy, activity, obs, kind):
    cut = Lesion(name="x", directions={"h0": turned(12, 3)}, kind=kind)
    _, after = acted(policy, activity, [cut] * 40, obs)
    axes = np.array(turned(12, 3))
    there = activity["h0"].samples @ axes.T
    gap = np.abs((after["h0"] @ axes.T)[:, None] - there[None]).max(2).min(1)
    assert gap.max() < 1e-5
    assert len(np.unique(np.round(after["h0"] @ axes.T, 4), axis=0)) > 20  # of 40 episodes


def test_a_clamp_holds_the_coordinate_and_a_stimulus_adds_spreads(policy, activity, obs):
    axes = np.array(turned(12, 1))
    _, before = acted(policy, activity, [Lesion(name="intact")] * 40, obs)
    held = Lesion(name="x", directions={"h0": turned(12, 1)}, kind="clamp", strength=-0.7)
    _, after = acted(policy, activity, [held] * 40, obs)
    np.testing.assert_allclose(after["h0"] @ axes[0], -0.7, atol=1e-6)
    more = held.model_copy(update={"kind": "stimulate", "strength": 2.0})
    _, after = acted(policy, activity, [more] * 40, obs)
    spread = (activity["h0"].samples @ axes[0].astype(np.float32)).std()
    np.testing.assert_allclose((after["h0"] - before["h0"]) @ axes[0], 2 * spread, rtol=1e-4)


def test_a_connection_is_cut_for_the_receiver_alone(policy, activity, obs):
    """Against the layers worked out by hand: only the receivers hear senders at their mean."""
    senders, receivers = [0, 2, 4], [0, 9]
    path = Lesion(name="x", cut={"h0": tuple(senders)}, to={"h1": tuple(receivers)}, kind="mean")
    actions, after = acted(policy, activity, [path] * 40, obs)
    layers = [(w.double().numpy(), b.double().numpy()) for w, b in policy.network.layers]
    h0 = np.tanh(policy.normalise(obs).astype(float) @ layers[0][0].T + layers[0][1])
    told = h0.copy()
    told[:, senders] = activity["h0"].mean[senders]
    h1 = np.tanh(h0 @ layers[1][0].T + layers[1][1])
    h1[:, receivers] = np.tanh(told @ layers[1][0].T + layers[1][1])[:, receivers]
    np.testing.assert_allclose(after["h0"], h0, atol=1e-6)
    np.testing.assert_allclose(after["h1"], h1, atol=1e-6)
    np.testing.assert_allclose(
        actions, np.clip(h1 @ layers[2][0].T + layers[2][1], -1, 1), atol=1e-6
    )


def test_all_connections_of_a_cut_are_the_cut(policy, activity, obs):
    """Everything in the next layer hears of it: what follows is as if the senders were cut."""
    every = Lesion(name="x", cut={"h0": (1, 5)}, to={"h1": tuple(range(10))}, kind="mean")
    plain = Lesion(name="y", cut={"h0": (1, 5)}, kind="mean")
    assert np.array_equal(
        acted(policy, activity, [every] * 40, obs)[0], acted(policy, activity, [plain] * 40, obs)[0]
    )


def test_a_connection_that_nobody_uses_changes_nothing(policy, activity, obs):
    """Unit 7 of h0 is wired to nothing, and units of h0 that are at their value hear nothing."""
    intact, _ = acted(policy, activity, [Lesion(name="intact")] * 40, obs)
    mute = Lesion(name="x", cut={"h0": (7,)}, to={"h1": (0, 1, 2)}, kind="clamp", strength=3.0)
    same = Lesion(name="y", cut={"h0": (0,)}, to={"h1": (0, 1)}, kind="gain", strength=1.0)
    for lesion in (mute, same):
        assert np.array_equal(acted(policy, activity, [lesion] * 40, obs)[0], intact)


def test_directions_send_too(policy, activity, obs):
    path = Lesion(name="x", directions={"h0": turned(12, 2)}, to={"action": (1,)}, kind="mean")
    actions, _ = acted(policy, activity, [path] * 40, obs)
    intact, _ = acted(policy, activity, [Lesion(name="intact")] * 40, obs)
    plain = path.model_copy(update={"to": {}})
    cut, _ = acted(policy, activity, [plain] * 40, obs)
    assert np.array_equal(actions[:, 0], intact[:, 0])
    assert np.array_equal(actions[:, 1], cut[:, 1])
    assert not np.array_equal(cut[:, 0], intact[:, 0])


def test_values_are_of_the_named_moments(policy, activity, obs):
    moments = (3, 11, 40)
    held = Lesion(name="x", cut={"h0": (0, 5)}, kind="mean", moments=moments)
    _, after = acted(policy, activity, [held] * 40, obs)
    mean = activity["h0"].samples[list(moments)].mean(0)
    np.testing.assert_allclose(after["h0"][:, [0, 5]], mean[[0, 5]] + np.zeros((40, 2)), atol=1e-6)
    drawn = held.model_copy(update={"kind": "resample"})
    values = acted(policy, activity, [drawn] * 40, obs)[1]["h0"][:, [0, 5]]
    found = {tuple(map(float, v)) for v in values}
    there = {tuple(map(float, v)) for v in activity["h0"].samples[list(moments)][:, [0, 5]]}
    assert found <= there


def test_every_new_cut_takes(policy, activity, mixed_plan):
    table = probe(policy, mixed_plan, activity, samples=200).set_index("lesion")
    assert (
        table.loc[["flat", "pushed", "jitter", "deaf", "one wheel", "early"], "took"].max() < 1e-5
    )
    assert (table.loc[["flat", "deaf", "one wheel", "early"], "direct"] > 0).all()


def test_off_rows_are_intact_to_the_bit(policy, activity, obs):
    intact, _ = acted(policy, activity, [Lesion(name="intact")] * 40, obs)
    late = [
        Lesion(name="a", directions={"h0": turned(12, 3)}, kind="resample", onset=9),
        Lesion(name="b", cut={"h0": (0, 1)}, to={"h1": (0,)}, kind="mean", onset=9),
    ]
    assert np.array_equal(acted(policy, activity, late * 20, obs)[0], intact)
    assert not np.array_equal(acted(policy, activity, late * 20, obs, step=9)[0], intact)


def test_what_is_new_is_written_only_where_it_says_something():
    plain = Lesion(name="x", cut={"h0": (0,)})
    assert not {"directions", "to", "moments"} & set(plain.model_dump())
    assert not {"directions", "to", "moments"} & set(plain.model_dump(mode="json"))
    full = Lesion(
        name="x", cut={"h0": (0,)}, directions={"h1": turned(10, 2)}, to={"action": (0,)},
        kind="mean", moments=(0, 4),
    )  # fmt: skip
    assert Lesion.model_validate_json(full.model_dump_json()) == full
    others = [
        {"directions": {"h1": turned(10, 2, 5)}}, {"to": {"action": (1,)}}, {"to": {}},
        {"moments": (0, 5)}, {"moments": ()},
    ]  # fmt: skip
    keys = {full.model_copy(update=change).key for change in others}
    assert len(keys | {full.key}) == 6
    assert full.size == 3
    assert full.sites == ("h0", "h1")


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ({"directions": {"h0": ((1.0, 0.0), (0.7, 0.7))}}, "at right angles"),
        ({"directions": {"h0": ((2.0, 0.0),)}}, "of length 1"),
        ({"directions": {"h0": ((float("nan"), 0.0),)}}, "of length 1"),
        ({"directions": {"h0": ((1.0, 0.0), (0.0,))}}, "of one length"),
        ({"directions": {"h0": ((),)}}, "no more than units"),
        ({"directions": {"h0": ("not base64",)}}, "base64 of float32"),
        ({"directions": {"h0": (("a", "b"),)}}, "lists of numbers"),
        ({"directions": {"h0": ((1.0,) + (0.0,) * 2**18,)}}, "262,144 numbers"),
        ({"to": {"h1": (0, 0)}}, "distinct"),
        ({"moments": (-1,), "kind": "mean"}, "not negative"),
        ({"moments": (1, 1), "kind": "mean"}, "distinct"),
        ({"moments": tuple(range(5000)), "kind": "mean"}, "more than 4,096 moments"),
        ({"directions": {"h0": ((10**400, 0),)}}, "lists of numbers"),
        ({"directions": {"h0": ((1e300, 0.0),)}}, "of length 1"),
        ({"moments": (1,), "kind": "zero"}, "takes no values of moments"),
    ],
)
def test_what_makes_no_sense_is_refused(given_, told):
    with pytest.raises(ValueError, match=told):
        Lesion(name="x", **given_)


@pytest.mark.parametrize(
    ("lesion", "told"),
    [
        (Lesion(name="x", directions={"h9": turned(12, 1)}), "no site 'h9'"),
        (Lesion(name="x", directions={"h1": turned(12, 1)}), "12 numbers, and h1 has 10 units"),
        (Lesion(name="x", cut={"h1": (0,)}, to={"h0": (0,)}), "h0 does not come after"),
        (Lesion(name="x", cut={"h1": (0,)}, to={"h1": (1,)}), "h1 does not come after"),
        (Lesion(name="x", cut={"h0": (0,)}, to={"h1": (10,)}), "units 0–9, not 10"),
    ],
)
def test_what_does_not_fit_the_policy_is_refused(policy, lesion, told):
    with pytest.raises(LabError, match=told):
        lesion.check(policy.sites)


def test_moments_that_were_not_recorded_are_refused(policy, activity):
    far = Lesion(name="x", cut={"h0": (0,)}, kind="mean", moments=(10**6,))
    with pytest.raises(LabError, match="moment 1000000 was not recorded"):
        Masks([far], [0], policy.sites, activity)


def test_directions_are_made_orthonormal():
    vectors = np.random.default_rng(0).normal(size=(3, 7)) * [[1e-3], [5.0], [1e4]]
    axes = np.array(orthonormal(vectors))
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-6)
    assert axes[0] @ vectors[0] == pytest.approx(np.linalg.norm(vectors[0]))
    np.testing.assert_allclose(vectors, vectors @ axes.T @ axes, rtol=1e-4)
    for bad in (np.ones((2, 4)), np.zeros((1, 4)), np.full((1, 4), np.inf), np.ones((5, 4))):
        with pytest.raises(LabError, match="directions need vectors"):
            orthonormal(bad)


def test_a_plan_shows_where_and_who_hears(policy):
    plan = Plan(
        [
            Lesion(name="a", directions={"h0": turned(12, 2)}),
            Lesion(name="b", cut={"h0": (0, 3)}, to={"h1": (4,)}),
        ]
    )
    page = plan._repr_html_()
    assert "h0: 2 directions" in page
    assert "h0: 0, 3 → h1: 4" in page


def test_a_sweep_runs_and_repeats_them(small_sweep, mixed_plan, tmp_path):
    new = Plan(mixed_plan[x] for x in ("flat", "deaf", "one wheel", "early", "jitter"))
    whole = small_sweep(mixed_plan, tmp_path / "whole").table().set_index(["lesion", "episode"])
    alone = small_sweep(new, tmp_path / "alone").table().set_index(["lesion", "episode"])
    assert rl.Map(tmp_path / "alone").plan.lesions == new.lesions
    measures = rl.Map(tmp_path / "alone").spec.measures
    for name in new.names:
        one, other = (t.loc[name, list(measures)].to_numpy() for t in (whole, alone))
        assert np.array_equal(one, other, equal_nan=True)
