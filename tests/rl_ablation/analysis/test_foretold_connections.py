"""What is foretold of connections, against sums that must come out and plain formulas."""

import numpy as np
import pandas as pd
import pytest

from rl_ablation.analysis import attribution
from rl_ablation.analysis.connections import (
    RULES,
    contrast,
    foretold,
    ranks,
    through_connections,
)
from rl_ablation.errors import LabError
from rl_ablation.groupings.connections import connections
from rl_ablation.lesions.lesion import Lesion, Plan


@pytest.fixture(scope="module")
def plan(policy, activity):
    return connections(policy, 3, activity)


def test_what_goes_through_two_layers_is_all_of_the_action(policy, activity):
    """And a part's share is what goes through its units, as conductance has it."""
    inputs = activity["obs"].samples[::40].astype(np.float64)
    halves = {s: (tuple(range(n // 2)), tuple(range(n // 2, n))) for s, n in policy.sites.items()}
    whole = attribution.sensor_to_motor(policy, inputs).sum(1)
    for site, to in (("obs", "h0"), ("h0", "h1"), ("h1", "action")):
        plan = Plan(
            Lesion(name=f"{a}{b}", cut={site: halves[site][a]}, to={to: halves[to][b]})
            for a in (0, 1)
            for b in (0, 1)
        )
        flow = through_connections(policy, inputs, plan)
        np.testing.assert_allclose(flow.sum(1), whole, atol=1e-5)
        if site != "obs":
            units = attribution.conductance(policy, inputs, site)[:, list(halves[site][0])].sum(1)
            np.testing.assert_allclose(flow[:, :2].sum(1), units, atol=1e-8)


def test_rules_are_their_formulas(policy, activity, plan):
    table = foretold(policy, plan, activity).set_index("lesion")
    assert list(table) == ["site", "to", *RULES]
    assert len(table) == len(plan) - 1
    lesion = plan["h0/cluster-0→h1/cluster-1"]
    senders, receivers = list(lesion.cut["h0"]), list(lesion.to["h1"])
    block = policy.network.layers[1][0].numpy()[np.ix_(receivers, senders)].astype(float)
    row = table.loc[lesion.name]
    assert row["weights"] == pytest.approx(np.sqrt((block**2).sum()))
    told = activity["h0"].samples[:, senders].astype(float) @ block.T
    assert row["weights × activity"] == pytest.approx(np.sqrt(told.var(0).sum()), rel=1e-5)
    assert (table[list(RULES)].to_numpy() >= 0).all()


def test_a_linear_network_is_foretold_exactly(policy, activity, plan):
    """From the last layer the gradient is what holding the sender at its mean does."""
    table = foretold(policy, plan, activity).set_index("lesion")
    lesion = plan["h1/cluster-0→action/1"]
    row, units = policy.network.layers[2][0].numpy()[1].astype(float), list(lesion.cut["h1"])
    values = activity["h1"].samples.astype(float)
    kept = np.linspace(0, len(values) - 1, min(256, len(values))).astype(int)
    change = (values[kept] - values[kept].mean(0))[:, units] @ row[units]
    weight = policy.network.layers[2][0].numpy().astype(float)
    spread = (values @ weight.T).std(0)[1]
    wanted = np.sqrt((change**2).mean() / 2) / spread  # of two actions the other hears nothing
    assert table.loc[lesion.name, "gradient"] == pytest.approx(wanted, rel=1e-3)


def test_what_nobody_hears_is_foretold_as_nothing(policy, activity):
    mute = Plan([Lesion(name="x", cut={"h0": (7,)}, to={"h1": (0, 1)})])
    row = foretold(policy, mute, activity).iloc[0]
    assert not row[list(RULES)].astype(float).any()


@pytest.mark.parametrize(
    "lesion",
    [
        Lesion(name="x", cut={"h0": (1,)}),
        Lesion(name="x", cut={"obs": (1,)}, to={"h1": (0,)}),
        Lesion(name="x", cut={"obs": (1,), "h0": (2,)}, to={"h1": (0,)}),
    ],
)
def test_what_is_no_connection_is_refused(policy, activity, lesion):
    with pytest.raises(LabError, match="is no connection"):
        foretold(policy, Plan([lesion]), activity)


def test_ranks_find_what_is_there_and_nothing_else():
    rng = np.random.default_rng(0)
    good = rng.normal(size=60)
    cuts = pd.DataFrame(
        {
            "site": ["obs"] * 30 + ["h0"] * 30,
            "to": ["h0"] * 30 + ["h1"] * 30,
            "good": good,
            "none": rng.normal(size=60),
            "effect": np.exp(good),
        }
    )
    table = ranks(cuts, "effect", ["good", "none"], draws=400).set_index(["site", "rule"])
    assert table.loc[("obs", "good"), "rho"] == pytest.approx(1)
    assert table.loc[("h0", "good"), "p"] == pytest.approx(1 / 401)
    assert (table.xs("none", level="rule")["p"] > 0.05).all()
    assert (table["shuffled"].between(0.25, 0.5)).all()
    assert contrast(cuts, "effect", ("good", "none"))["ci_low"] > 0.3
    assert contrast(cuts, "effect", ("none", "none"))["difference"] == 0
