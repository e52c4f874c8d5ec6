"""Disturbances: noise and failures are lesions; an adversarial perturbation is small and bad."""

import numpy as np
import pytest
from conftest import CONDITIONS, HORIZON, LAP, random_mlp

from rl_ablation.analysis import attack
from rl_ablation.analysis.attack import perturbed
from rl_ablation.analysis.curves import areas, curves
from rl_ablation.errors import LabError
from rl_ablation.groupings.orders import noise_ladder, random_orders
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.policies.network import BLOCK
from rl_ablation.rollouts.episodes import Episode
from rl_ablation.rollouts.rollout import rollout
from rl_ablation.rollouts.world import World

OBS = np.random.default_rng(3).uniform(-1, 1, (300, 18)).astype(np.float32)


def moved(policy, epsilon, obs=OBS):
    """How far the attack moves each action, (N,)."""
    change = perturbed(policy, epsilon).act(obs) - policy.act(obs)
    return np.linalg.norm(change, axis=1)


def what_it_adds(policy, epsilon, obs=OBS):
    """The attack's change of the normalised observations, read off the network itself."""
    network = perturbed(policy, epsilon).network
    seen = []

    class Spy:
        sizes = network.sizes

        def __call__(self, x, edit):
            seen.append(x)
            return network.network(x, edit)

    spied = type(network)(Spy(), network.bounds, epsilon)
    policy.with_network(spied).act(obs[:BLOCK])
    return seen[-1][: len(obs)].numpy() - policy.normalise(obs[:BLOCK])


def dropout(policy, fractions, draws=3, seed=0):
    """Sets of sensors that fail."""
    return random_orders(
        policy, sites=["obs"], orders=draws, fractions=fractions, seed=seed, name="dropout"
    )


# The plans.


def test_noise_is_on_every_sensor(policy):
    plan = noise_ladder(policy, sites=["obs"], strengths=(0.5, 2.0))
    assert plan.names == ["intact", "noise/0.5", "noise/2"]
    assert plan["noise/2"].cut == {"obs": tuple(range(18))}
    assert (plan["noise/2"].kind, plan["noise/2"].strength) == ("noise", 2.0)


def test_dropout_sets_have_their_size_grow_and_differ(policy):
    plan = dropout(policy, (0.01, 0.25, 0.5, 1.0), draws=4, seed=1)
    for k in range(4):
        sets = [set(plan[f"dropout-{k}/{f}"].cut["obs"]) for f in ("0.01", "0.25", "0.5", "1")]
        assert [len(s) for s in sets] == [1, 4, 9, 18]
        assert sets[0] < sets[1] < sets[2] < sets[3]
    assert len({plan[f"dropout-{k}/0.5"].cut["obs"] for k in range(4)}) == 4
    assert plan == dropout(policy, (0.01, 0.25, 0.5, 1.0), draws=4, seed=1)
    assert plan != dropout(policy, (0.01, 0.25, 0.5, 1.0), draws=4, seed=2)


def test_a_sweep_runs_them_and_their_curves_are_drawn(policy, small_sweep, tmp_path):
    plan = noise_ladder(policy, sites=["obs"], strengths=(1.0, 3.0))
    plan += dropout(policy, (0.5, 1.0), draws=2)
    run = small_sweep(plan, tmp_path, measures=["forward_speed"])
    lost = areas(curves(run, "forward_speed"))
    assert list(lost.index) == ["noise", "dropout-0", "dropout-1"]
    table = run.table().pivot(index="episode", columns="lesion", values="forward_speed")
    assert np.array_equal(table["dropout-0/1"], table["dropout-1/1"])  # the same robot, blind
    assert not np.array_equal(table["dropout-0/1"], table["intact"])


# The attack.


def test_without_size_it_is_the_policy_to_the_bit(policy):
    assert np.array_equal(perturbed(policy, 0.0).act(OBS), policy.act(OBS))


@pytest.mark.parametrize("epsilon", [0.01, 0.3])
def test_the_change_is_bounded_and_uses_its_bound(policy, epsilon):
    change = np.abs(what_it_adds(policy, epsilon))
    assert change.max() <= epsilon + 1e-6
    assert np.median(change) == pytest.approx(epsilon, rel=1e-4)


@pytest.mark.parametrize("squash", ["clip", "tanh", "none"])
def test_it_moves_the_action_more_than_any_of_many_random_changes(squash):
    policy = random_mlp((18, 12, 10, 2), LAP, squash=squash)
    rng, epsilon = np.random.default_rng(0), 0.1
    before = policy.act(OBS)
    std = policy.obs_std
    largest = np.zeros(len(OBS))
    for _ in range(50):
        lie = OBS + epsilon * std * rng.choice([-1.0, 1.0], OBS.shape)
        largest = np.maximum(largest, np.linalg.norm(policy.act(lie) - before, axis=1))
    found = moved(policy, epsilon)
    assert (found >= largest - 1e-4).mean() > 0.97
    assert found.mean() > 1.3 * largest.mean()
    assert moved(policy, 0.2).mean() > 1.5 * found.mean()


def test_it_finds_its_way_back_from_beyond_the_bounds(monkeypatch):
    """Where a clipped action is flat, its slope is 0 and a plain ascent goes nowhere."""
    policy = random_mlp((18, 12, 10, 2), LAP, bias=1.3)
    flat = (policy.act(OBS) == 1).all(1)
    assert flat.sum() > 50
    found = moved(policy, 0.5)[flat]
    monkeypatch.setattr(attack, "_OUTSIDE_COST", 0.0)
    plain = moved(policy, 0.5)[flat]
    assert found.mean() > 0.005
    assert (found >= plain).all()
    assert (found > plain).any()


def test_for_discrete_actions_it_changes_the_choice():
    policy = random_mlp((4, 8, 8, 2), "CartPole-v1", squash="argmax")
    obs = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    changed = perturbed(policy, 0.5).act(obs) != policy.act(obs)
    random = np.sign(np.random.default_rng(1).normal(size=obs.shape)) * 0.5 * policy.obs_std
    assert changed.mean() > (policy.act(obs + random) != policy.act(obs)).mean()


def test_a_row_knows_only_itself(policy):
    attacked = perturbed(policy, 0.2)
    order = np.random.default_rng(0).permutation(len(OBS))
    whole = attacked.act(OBS)
    assert np.array_equal(attacked.act(OBS[order]), whole[order])
    assert np.array_equal(attacked.act(OBS[:7]), whole[:7])


def test_it_rolls_out_with_lesions_and_masks_keep_their_meaning(policy, activity):
    """The recorded observation is the true one, and what is cut stays cut."""
    attacked = perturbed(policy, 0.3)
    jobs = [Episode(Lesion(name="x", cut={"h1": (0, 1)}), s, CONDITIONS[0]) for s in range(3)]
    world = World(LAP, 3, threads=1)
    signals = ("reward", "@h1", "@obs", "obs")
    trace = rollout(attacked, world, jobs, signals=signals, horizon=HORIZON)
    world.close()
    assert (trace["@h1"][..., :2] == 0).all()
    assert (trace["@h1"][trace.alive][:, 2:] != 0).any()
    assert np.array_equal(trace["@obs"][trace.alive], policy.normalise(trace["obs"][trace.alive]))


def test_a_sweep_takes_it_and_tells_it_from_the_policy(policy, small_sweep, tmp_path):
    attacked = perturbed(policy, 0.4)
    assert attacked.sha256 != policy.sha256
    assert attacked.sha256 != perturbed(policy, 0.2).sha256
    run = small_sweep(Plan(), tmp_path, agent=attacked, measures=["return"])
    assert len(run.table()) == 4
    with pytest.raises(LabError, match="another spec"):
        small_sweep(Plan(), tmp_path, agent=policy, measures=["return"])


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda p: perturbed(p, -0.1), "epsilon"),
        (lambda p: perturbed(p, np.inf), "epsilon"),
        (lambda p: dropout(p, (0.0, 0.5)), "fractions"),
        (lambda p: dropout(p, (0.5,), draws=0), "at least 1 order"),
    ],
)
def test_refusals(policy, make, match):
    with pytest.raises(LabError, match=match) as caught:
        make(policy)
    assert "\n" not in str(caught.value)
