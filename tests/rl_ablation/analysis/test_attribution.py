"""Attributions add up to what they explain, agree with one another and with hand arithmetic."""

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, LayerConductance

from rl_ablation.analysis.attribution import (
    View,
    conductance,
    paths,
    sensor_to_motor,
    through_groups,
)
from rl_ablation.errors import LabError
from rl_ablation.groupings.clusters import clusters
from rl_ablation.groupings.units import layers, singles
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.policies.policy import Card
from rl_ablation.policies.storage import make_mlp
from tests.conftest import LAP, random_mlp

ACTIVATIONS = ["tanh", "elu", "relu"]


def seen(count=7, size=18, seed=5):
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


def outputs(policy, inputs):
    with torch.no_grad():
        return View(policy)(torch.as_tensor(inputs).double()).numpy()


@pytest.mark.parametrize("squash", ["clip", "tanh", "none"])
def test_the_module_gives_the_policys_actions_before_clipping(squash):
    policy = random_mlp((18, 12, 10, 2), LAP, squash=squash, bound=100.0)
    raw = seen()
    inputs = policy.normalise(raw)
    assert outputs(policy, inputs) == pytest.approx(policy.act(raw), abs=1e-4)
    tight = random_mlp((18, 12, 10, 2), LAP, squash="clip", bound=0.01)
    assert np.abs(outputs(tight, inputs)).max() > 0.01


def test_the_modules_sites_are_the_policys(policy):
    raw = seen()
    record = {site: np.zeros((len(raw), n), np.float32) for site, n in policy.sites.items()}
    policy.act(raw, record=record)
    module, inputs = View(policy), torch.as_tensor(policy.normalise(raw)).double()
    for site in ("obs", "h0", "h1"):
        values = module.at(site, inputs)
        assert values.detach().numpy() == pytest.approx(record[site], abs=1e-5)
        assert torch.equal(module.after(site, values), module(inputs))


def change(policy, inputs, baseline):
    return outputs(policy, inputs) - outputs(policy, baseline[None])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_attributions_add_up_to_the_change_of_action(activation):
    policy = random_mlp((18, 12, 10, 2), LAP, activation=activation)
    inputs, baseline = seen(), seen(1, seed=6)[0]
    whole = change(policy, inputs, baseline)
    # A kink on the way costs an integral over 64 points some of its precision.
    slack = 1e-3 if activation == "tanh" else 2e-2
    assert sensor_to_motor(policy, inputs, baseline).sum(1) == pytest.approx(whole, abs=slack)
    for site in ("h0", "h1"):
        passed = conductance(policy, inputs, site, baseline)
        assert passed.shape == (7, policy.sites[site], 2)
        assert passed.sum(1) == pytest.approx(whole, abs=slack)


def test_integrated_gradients_are_captums(policy):
    inputs, base = torch.as_tensor(seen()).double(), torch.full((1, 18), 0.3).double()
    theirs = IntegratedGradients(View(policy)).attribute(inputs, base, target=1, n_steps=64)
    ours = sensor_to_motor(policy, seen(), np.full(18, 0.3))[..., 1]
    assert ours == pytest.approx(theirs.detach().numpy(), abs=1e-8)


def test_conductance_is_captums_if_that_takes_steps_enough(policy):
    module, inputs = View(policy), torch.as_tensor(seen()).double()
    method = LayerConductance(module, module.get_submodule("h0"))
    theirs = method.attribute(inputs, torch.zeros(1, 18).double(), target=1, n_steps=300)
    ours = conductance(policy, seen(), "h0", np.zeros(18))[..., 1]
    assert ours == pytest.approx(theirs.detach().numpy(), abs=2e-4)
    assert np.abs(ours).max() > 0.05


def test_groups_that_make_up_a_layer_share_out_the_whole(policy, activity):
    inputs, baseline = activity["obs"].samples[::37], activity["obs"].mean
    plan = clusters(policy, 3, activity, sites=["h1"])
    passed = through_groups(policy, inputs, plan, baseline)
    assert passed.shape == (len(inputs), len(plan) - 1, 2)
    assert passed.sum(1) == pytest.approx(change(policy, inputs, baseline), abs=1e-3)
    both = through_groups(policy, inputs, layers(policy), baseline)
    assert both[:, 0] == pytest.approx(both[:, 1], abs=1e-3)


def test_paths_have_sensors_and_groups_as_their_margins(policy, activity):
    inputs, baseline = activity["obs"].samples[:40:4], activity["obs"].mean
    plan = clusters(policy, 3, activity)
    every = paths(policy, inputs, plan, baseline)
    assert every.shape == (10, len(plan) - 1, 18, 2)
    assert every.sum(2) == pytest.approx(through_groups(policy, inputs, plan, baseline), abs=1e-3)
    in_h0 = [k for k, group in enumerate(plan.lesions[1:]) if "h0" in group.cut]
    sensors = sensor_to_motor(policy, inputs, baseline)
    assert every[:, in_h0].sum(1) == pytest.approx(sensors, abs=1e-6)


def test_a_linear_policy_is_attributed_by_hand():
    first, last = np.array([[2.0, 0.0], [0.0, 3.0]]), np.array([[1.0, -1.0]])
    card = Card(name="line", activation="identity", squash="none")
    policy = make_mlp([(first, np.zeros(2)), (last, np.zeros(1))], card)
    inputs = np.array([[1.0, 1.0], [0.5, -2.0]])
    by_sensor = sensor_to_motor(policy, inputs, np.zeros(2))[..., 0]
    assert by_sensor == pytest.approx(inputs * [2.0, -3.0])
    assert conductance(policy, inputs, "h0", np.zeros(2))[..., 0] == pytest.approx(by_sensor)
    unit = Plan([Lesion(name="first", cut={"h0": (0,)})])
    through = paths(policy, inputs, unit, np.zeros(2))[:, 0, :, 0]
    assert through == pytest.approx(inputs * [2.0, 0.0])


def test_the_baseline_is_the_mean_input_unless_given(policy):
    inputs = seen()
    assert np.array_equal(
        sensor_to_motor(policy, inputs), sensor_to_motor(policy, inputs, inputs.mean(0, float))
    )
    assert np.abs(sensor_to_motor(policy, inputs[:1])).max() == 0.0


def test_mute_units_pass_nothing_and_every_row_stands_alone(policy):
    from tests.conftest import DEAD, MUTE

    inputs, baseline = seen(300), np.zeros(18)
    passed = conductance(policy, inputs, "h0", baseline)
    assert np.abs(passed[:, [DEAD, MUTE]]).max() == 0.0
    assert np.abs(np.delete(passed, [DEAD, MUTE], 1)).max(0).min() > 0.0
    alone = conductance(policy, inputs[290:], "h0", baseline)
    assert passed[290:] == pytest.approx(alone, abs=1e-12)


def test_bad_requests_say_what_to_mend(policy):
    with pytest.raises(LabError, match="no hidden layer 'action'"):
        conductance(policy, seen(), "action")
    with pytest.raises(LabError, match=r"expected \(N, 18\)"):
        sensor_to_motor(policy, seen(size=4))
    with pytest.raises(LabError, match="no groups"):
        through_groups(policy, seen(), Plan())
    across = Plan([Lesion(name="both", cut={"h0": (0,), "h1": (1,)})])
    with pytest.raises(LabError, match="'both' spans"):
        paths(policy, seen(), across)
    with pytest.raises(LabError, match="no site 'h7'"):
        View(policy).at("h7", torch.zeros(1, 18).double())
    assert through_groups(policy, seen(), singles(policy, ["h1"])).shape == (7, 10, 2)
