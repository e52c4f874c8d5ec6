"""Probes: what a cut does in the recorded states is what the network's own arithmetic says."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import DEAD, LAP, MUTE, random_mlp

import rl_ablation as rl
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.lesions.masks import Masks
from rl_ablation.lesions.methods import KINDS, SiteStats
from rl_ablation.mapping.probe import COLUMNS, _moments, _replayer, probe
from rl_ablation.policies.policy import Card
from rl_ablation.policies.storage import make_mlp

ALL_H0, ALL_H1 = tuple(range(12)), tuple(range(10))


def one(policy, activity, **lesion):
    """The row of a single lesion."""
    options = {k: lesion.pop(k) for k in ("samples", "seed") if k in lesion}
    table = probe(policy, Plan([Lesion(name="x", **lesion)]), activity, **options)
    assert list(table.columns) == list(COLUMNS)
    assert list(table["lesion"]) == ["x"]
    return table.iloc[0]


def linear_policy():
    """Two inputs, two hidden units, two actions, all linear, the inputs normalised and clipped."""
    weights = [
        (np.array([[1, 0], [0, 1]], np.float32), np.array([0, 0], np.float32)),
        (np.array([[1, 2], [0, 3]], np.float32), np.array([0, 5], np.float32)),
    ]
    card = Card(name="linear", activation="identity", squash="none", obs_clip=3.0)
    return make_mlp(weights, card, obs_mean=np.array([7.0, -7.0]), obs_std=np.array([0.1, 9.0]))


def linear_activity(inputs):
    inputs = np.asarray(inputs, np.float32)
    action = inputs @ np.array([[1, 2], [0, 3]], np.float32).T + np.array([0, 5], np.float32)
    return {k: SiteStats(v) for k, v in
            {"obs": inputs, "h0": inputs, "action": action.astype(np.float32)}.items()}  # fmt: skip


# What a cut does to the action.


def test_a_linear_network_gives_the_change_worked_out_by_hand():
    """Action 0 is a + 2b with s.d. √5, action 1 is 3b + 5 with s.d. 3, for a and b of ±1."""
    policy = linear_policy()
    activity = linear_activity([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    cut_b = one(policy, activity, cut={"h0": (1,)})["direct"]
    assert cut_b == pytest.approx(np.sqrt((4 / 5 + 1) / 2), rel=1e-6)
    cut_a = one(policy, activity, cut={"obs": (0,)})["direct"]
    assert cut_a == pytest.approx(np.sqrt((1 / 5 + 0) / 2), rel=1e-6)
    clamped = one(policy, activity, cut={"action": (1,)}, kind="clamp", strength=8.0)["direct"]
    # Action 1 is 8 or 2 already: no change in half of the states, 6 of 3 s.d. in the others.
    assert clamped == pytest.approx((0 + np.sqrt(2**2 / 2)) / 2, rel=1e-6)


def test_an_action_that_never_varies_is_counted_in_its_own_units():
    policy, activity = linear_policy(), linear_activity([[1, 1], [-1, 1]])
    direct = one(policy, activity, cut={"action": (1,)}, kind="gain", strength=0.5)["direct"]
    assert direct == pytest.approx(np.sqrt((0 + 4.0**2) / 2), rel=1e-6)


def test_inputs_are_shown_as_the_network_saw_them():
    """Beyond the clip and through a normaliser that could not be undone exactly."""
    policy, activity = linear_policy(), linear_activity([[3, -3], [1 / 3, 2 / 7], [0.1, 3]])
    actions, seen = _replayer(policy, activity["obs"].samples, {})({})
    assert np.array_equal(seen["obs"], activity["obs"].samples)
    assert np.array_equal(actions, seen["action"].astype(np.float32))


def test_the_recorded_activity_is_replayed_to_the_bit(policy, activity):
    rows = _moments(policy, activity, 80)
    assert rows.size == 80
    assert (rows[0], rows[-1]) == (0, len(activity["obs"].samples) - 1)
    seen = _replayer(policy, activity["obs"].samples[rows], {})({})[1]
    for site in policy.sites:
        assert np.array_equal(np.float32(seen[site]), activity[site].samples[rows]), site


@pytest.mark.parametrize("cut", [{}, {"h0": (DEAD,)}, {"h0": (MUTE,)}])
def test_what_nobody_hears_changes_nothing(policy, activity, cut):
    row = one(policy, activity, cut=cut)
    assert (row["took"], row["direct"]) == (0.0, 0.0)


@pytest.mark.parametrize("kind", ["gain", "noise"])
def test_identity_changes_nothing_and_intact_activity_scores_one(policy, activity, kind):
    strength = {"gain": 1.0, "noise": 0.0}[kind]
    for cut in ({"obs": (0, 17)}, {"h0": ALL_H0}, {"h1": ALL_H1}, {"action": (0, 1)}):
        row = one(policy, activity, cut=cut, kind=kind, strength=strength)
        assert (row["took"], row["direct"]) == (0.0, 0.0)
        assert row["off_manifold"] == pytest.approx(1, abs=0.1)


def test_a_whole_layer_at_zero_leaves_a_constant_action(policy, activity):
    row = one(policy, activity, cut={"h1": ALL_H1})
    actions = activity["action"].samples.astype(float)
    actions = actions[_moments(policy, activity, 1024)]
    constant = np.clip(policy.network.layers[-1][1].numpy(), -1, 1)
    wanted = np.sqrt((((actions - constant) / actions.std(0)) ** 2).mean(1)).mean()
    assert row["direct"] == pytest.approx(wanted, rel=1e-5)
    assert row["direct"] > 0.5


def test_discrete_actions_count_other_choices():
    agent = random_mlp((4, 12, 10, 2), "CartPole-v1", squash="argmax", seed=3)
    activity = rl.record_activity(agent, episodes=4, horizon=50)
    scores = activity["action"].samples
    plan = Plan(
        [
            Lesion(name="never 0", cut={"action": (0,)}, kind="clamp", strength=-1e6),
            Lesion(name="never 1", cut={"action": (1,)}, kind="clamp", strength=-1e6),
            Lesion(name="dead", cut={"h0": (DEAD,)}),
        ]
    )
    direct = probe(agent, plan, activity).set_index("lesion")["direct"]
    first = (scores[:, 0] >= scores[:, 1]).mean()
    assert 0.05 < first < 0.95
    assert direct["never 0"] == pytest.approx(first)
    assert direct["never 1"] == pytest.approx(1 - first)
    assert direct["dead"] == 0


# How far the next layer is pushed off what it knows.


def test_resampled_activity_is_on_the_manifold_and_zeros_are_off_it(policy, activity):
    """Moments of a whole layer drawn jointly are moments that the next layer has seen."""
    joint = one(policy, activity, cut={"h0": ALL_H0}, kind="resample")["off_manifold"]
    assert joint == pytest.approx(1, abs=0.15)
    assert one(policy, activity, cut={"h0": (0, 1, 2, 4, 5)})["off_manifold"] > 2 * joint


def test_a_known_shift_has_a_known_distance():
    """The next site's covariance is diag(4, 1): a shift by (6, 0) adds 9 to a mean of 2."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(4000, 2)).astype(np.float32)
    weights = [(np.diag([2.0, 1.0]).astype(np.float32), np.zeros(2, np.float32))]
    weights.append((np.eye(2, dtype=np.float32), np.zeros(2, np.float32)))
    policy = make_mlp(weights, Card(name="shifted", activation="identity", squash="none"))
    h0 = inputs * np.array([2, 1], np.float32)
    activity = {k: SiteStats(v) for k, v in {"obs": inputs, "h0": h0, "action": h0}.items()}
    # Holding input 0 at 3 sets unit 0 to 6: distance 9 there, and 1 from the free unit 1.
    row = one(policy, activity, cut={"obs": (0,)}, kind="clamp", strength=3.0, samples=4000)
    assert row["off_manifold"] == pytest.approx((9 + 1) / 2, rel=0.05)


def test_several_sites_are_judged_after_the_deepest(policy, activity):
    both = one(policy, activity, cut={"h1": ALL_H1, "obs": (0, 1)})
    deep = one(policy, activity, cut={"h1": ALL_H1})
    assert both["off_manifold"] == deep["off_manifold"]
    assert both["direct"] == deep["direct"]


# Whether the cut took.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "cut",
    [{"h0": (0, 5)}, {"h1": (0,)}, {"obs": (0, 17)}, {"action": (0,)}, {"h0": (0,), "h1": (2,)}],
)
def test_every_kind_takes_everywhere(policy, activity, kind, cut):
    row = one(policy, activity, cut=cut, kind=kind)
    assert row["took"] == 0.0
    assert row["direct"] > 0
    assert np.isfinite(row["off_manifold"])


@pytest.mark.parametrize("kind", ["zero", "mean", "clamp", "gain"])
@pytest.mark.parametrize("cut", [{"h0": (0,)}, {"h1": (0, 3)}, {"h0": (1,), "h1": (0,)}])
def test_masks_that_forget_unit_0_are_noticed(policy, activity, monkeypatch, kind, cut):
    honest = Masks.at

    def forgetful(self, *where, **seen):
        masks = honest(self, *where, **seen)
        for scale, shift in masks.values():
            scale[:, 0], shift[:, 0] = 1.0, 0.0
        return masks

    monkeypatch.setattr(Masks, "at", forgetful)
    assert one(policy, activity, cut=cut, kind=kind)["took"] > 1e-3


@pytest.mark.filterwarnings("ignore:overflow")
def test_overflow_is_not_a_cut_that_took(policy, activity):
    row = one(policy, activity, cut={"h0": ALL_H0}, kind="clamp", strength=1e39)
    assert np.isnan(row["took"])


# Repeatable, quick to refuse.


def test_draws_follow_the_seed_and_not_the_plan(policy, activity, mixed_plan):
    whole = probe(policy, mixed_plan, activity, samples=200, seed=3).set_index("lesion")
    assert list(whole.index) == mixed_plan.names[1:]
    assert (whole["took"] == 0).all()
    for name in ("noisy", "shuffled", "late"):
        alone = probe(policy, Plan([mixed_plan[name]]), activity, samples=200, seed=3)
        assert alone.iloc[0, 1:].tolist() == whole.loc[name].tolist()
        other = probe(policy, Plan([mixed_plan[name]]), activity, samples=200, seed=4)
        assert other["direct"][0] != whole.loc[name, "direct"]


def test_when_a_cut_lasts_does_not_matter(policy, activity):
    noisy = {"cut": {"h0": (0,)}, "kind": "noise"}
    rarely = one(policy, activity, **noisy, onset=50, offset=50, when="bend > 9")
    assert rarely["direct"] == one(policy, activity, **noisy)["direct"] > 0


def test_an_empty_plan_gives_an_empty_table(policy, activity):
    table = probe(policy, Plan(), activity)
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == 0


def test_a_module_of_another_hand_is_probed_too():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    body = torch.nn.Sequential(torch.nn.Linear(18, 9), torch.nn.ReLU(), torch.nn.Linear(9, 2))
    agent = rl.Policy.from_module(
        body, sites=["1"], obs_size=18, action_size=2, low=-np.ones(2), high=np.ones(2),
        squash="clip", env_id=LAP, obs_mean=np.zeros(18), obs_std=np.full(18, 0.3),
    )  # fmt: skip
    activity = rl.record_activity(agent, conditions=("ring/ccw",), episodes=2, horizon=40)
    table = probe(agent, rl.layers(agent), activity)
    assert table["took"][0] == 0
    assert table["direct"][0] > 0


def test_activity_that_is_not_the_policys_is_refused(policy, activity):
    other = random_mlp((18, 12, 10, 2), LAP, seed=9)
    plan = rl.layers(policy)
    with pytest.raises(LabError, match="activity of 'h0' is not that of policy 'small'"):
        probe(other, plan, activity)
    with pytest.raises(LabError, match="lacks obs; record it"):
        probe(policy, plan, {s: activity[s] for s in ("h0", "h1", "action")})
    with pytest.raises(LabError, match=r"'h1' has the shape \(\d+, 10\); this policy needs"):
        probe(random_mlp((18, 12, 11, 2), LAP), plan, activity)
    with pytest.raises(LabError, match="at least 2 samples, got 1"):
        probe(policy, plan, activity, samples=1)
