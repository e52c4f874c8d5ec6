"""Recovery training: it starts as the old policy, and what is frozen stays cut."""

from functools import partial

import numpy as np
import pytest
import torch

from agents import recovery
from agents.recovery import hold, recover
from agents.train import train
from rl_ablation.errors import LabError
from rl_ablation.policies.load import load
from tests.agents.test_train import ROLLOUT, TINY, same

CUT = {"h0": (0, 5, 6), "h1": (0, 2)}
AGAIN = TINY.model_copy(update={"steps": 3 * ROLLOUT, "stage_steps": 2 * ROLLOUT})


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return train(TINY.model_copy(update={"steps": 2 * ROLLOUT}), tmp_path_factory.mktemp("old"))


@pytest.fixture(scope="module")
def obs():
    return np.random.default_rng(0).uniform(-1, 1, (300, 18))


def zeroed(policy, cut=CUT):
    for site, units in cut.items():
        policy = policy.edited(site, units)
    return policy


@pytest.mark.parametrize("cut", [{}, CUT], ids=["intact", "cut"])
def test_before_any_step_it_acts_as_the_old_policy(start, obs, cut, tmp_path) -> None:
    recover(start, AGAIN, tmp_path, cut=cut, every=ROLLOUT)
    first = load(tmp_path / "at-0")
    np.testing.assert_allclose(first.act(obs), zeroed(start, cut).act(obs), atol=1e-5)
    last = load(tmp_path / f"at-{3 * ROLLOUT}")
    assert not np.allclose(last.act(obs), first.act(obs), atol=1e-3), "it has learned something"


def test_units_can_be_held_at_their_means_instead_of_zero(start, obs, tmp_path) -> None:
    means = {site: np.linspace(-0.5, 0.9, n, dtype=np.float32) for site, n in start.sites.items()}

    def held(site, values):
        if site in CUT:
            values[:, CUT[site]] = torch.as_tensor(means[site][list(CUT[site])], dtype=values.dtype)
        return values

    wanted = start.network(torch.as_tensor(start.normalise(obs)), held).numpy()
    recover(hold(start, CUT, means), AGAIN, tmp_path, cut=CUT, every=ROLLOUT)
    first = load(tmp_path / "at-0")
    inputs = torch.as_tensor(first.normalise(obs))
    found = first.network(inputs, lambda _, values: values).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert not np.allclose(found, zeroed(start).act(obs), atol=1e-3)


@pytest.mark.parametrize("warm_up", [0, ROLLOUT])
def test_frozen_units_have_no_influence_after_training(start, obs, warm_up, tmp_path) -> None:
    policy = recover(start, AGAIN, tmp_path, cut=CUT, warm_up=warm_up)
    for site, units in CUT.items():
        weight = policy.network.layers[int(site[1:]) + 1][0].numpy()
        assert (weight[:, units] == 0).all()
    np.testing.assert_array_equal(policy.act(obs), zeroed(policy).act(obs))


def test_other_units_regrow_from_nothing(start, obs, tmp_path) -> None:
    policy = recover(start, AGAIN, tmp_path, cut=CUT, frozen=False, every=ROLLOUT)
    first = load(tmp_path / "at-0").network.layers[1][0].numpy()
    assert (first[:, CUT["h0"]] == 0).all()
    assert (policy.network.layers[1][0].numpy()[:, CUT["h0"]] != 0).all()
    assert not np.array_equal(policy.act(obs), zeroed(policy).act(obs))


def test_while_warming_up_only_the_critic_learns(start, obs, tmp_path) -> None:
    recover(start, AGAIN, tmp_path, warm_up=2 * ROLLOUT, every=ROLLOUT)
    before, warm, after = (load(tmp_path / f"at-{k * ROLLOUT}") for k in (0, 2, 3))
    for (one, _), (other, _) in zip(before.network.layers, warm.network.layers, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(before.network.layers[0][0], after.network.layers[0][0])


def test_the_same_again_and_after_an_interruption(start, tmp_path, monkeypatch) -> None:
    def stop(now, row):
        if now > 2 * ROLLOUT:
            raise KeyboardInterrupt

    whole = recover(start, AGAIN, tmp_path / "a", cut=CUT, warm_up=ROLLOUT)
    monkeypatch.setattr(recovery, "train", partial(train, progress=stop))
    with pytest.raises(KeyboardInterrupt):
        recover(start, AGAIN, tmp_path / "b", cut=CUT, warm_up=ROLLOUT)
    monkeypatch.undo()
    assert same(whole, recover(start, AGAIN, tmp_path / "b", cut=CUT, warm_up=ROLLOUT))
    with pytest.raises(LabError, match="another recipe"):
        recover(start, AGAIN, tmp_path / "b", cut={"h0": (1,)}, warm_up=ROLLOUT)


def test_from_scratch_is_a_plain_training(start, obs, tmp_path) -> None:
    scratch = recover(None, AGAIN, tmp_path / "a")
    assert same(scratch, train(AGAIN, tmp_path / "b"))
    assert not same(scratch, start)


def test_what_does_not_fit_is_refused(start, tmp_path) -> None:
    with pytest.raises(LabError, match="nothing to cut"):
        recover(None, AGAIN, tmp_path, cut=CUT)
    with pytest.raises(LabError, match="hidden layers of"):
        recover(start, AGAIN.model_copy(update={"net_arch": (12, 9)}), tmp_path)
    with pytest.raises(LabError, match="cannot cut h0"):
        recover(start, AGAIN, tmp_path, cut={"h0": (12,)})
