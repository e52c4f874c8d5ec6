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


def grids(pairs: int, senders: int, receivers: int) -> pd.DataFrame:
    """The names of all connections of some pairs of layers."""
    rows = [
        {"lesion": f"h{k}/{a}→h{k + 1}/{b}", "site": f"h{k}", "to": f"h{k + 1}"}
        for k in range(pairs)
        for a in range(senders)
        for b in range(receivers)
    ]
    return pd.DataFrame(rows)


def test_ranks_find_what_is_there_and_nothing_else():
    rng = np.random.default_rng(0)
    good = rng.normal(size=60)
    cuts = grids(2, 6, 5).assign(good=good, none=rng.normal(size=60), effect=np.exp(good))
    table = ranks(cuts, "effect", ["good", "none"], draws=400).set_index(["site", "rule"])
    assert table.loc[("h0", "good"), "rho"] == pytest.approx(1)
    assert table.loc[("h1", "good"), "p"] == pytest.approx(1 / 401)
    assert (table.xs("none", level="rule")["p"] > 0.05).all()
    assert (table["shuffled"].between(0.25, 0.5)).all()
    assert (table["smallest"] > table["shuffled"] + 0.1).all()
    assert contrast(cuts, "effect", ("good", "none"))["ci_low"] > 0.3
    assert contrast(cuts, "effect", ("none", "none"))["difference"] == 0
    mixed = cuts.sample(frac=1, random_state=0)
    again = ranks(mixed, "effect", ["good", "none"], draws=400).set_index(["site", "rule"])
    np.testing.assert_allclose(again.loc[table.index].drop(columns="to"), table.drop(columns="to"))


@pytest.mark.parametrize("shape", [(6, 6), (18, 6), (6, 2)])
def test_connections_that_share_their_ends_are_no_more_often_found_by_chance(shape):
    """Rules and effects have senders and receivers of their own, and nothing to do with each
    other; to shuffle connections one by one finds something in 12 to 24 % of them."""
    rng, pairs = np.random.default_rng(1), 200

    def own() -> np.ndarray:
        ends = rng.normal(size=(pairs, shape[0], 1)) + rng.normal(size=(pairs, 1, shape[1]))
        return (ends + rng.normal(size=(pairs, *shape))).ravel()

    cuts = grids(pairs, *shape).assign(rule=own(), effect=own())
    table = ranks(cuts, "effect", ["rule"], draws=99)
    assert (table["p"] < 0.05).mean() <= 0.09
    clear = (table["ci_low"] > 0) | (table["ci_high"] < 0)
    assert (clear & (table["p"] < 0.05)).mean() <= 0.09


def test_what_does_not_vary_is_not_ranked_and_a_missing_connection_is_refused():
    cuts = grids(1, 3, 4).assign(rule=1.0, effect=np.arange(12.0))
    row = ranks(cuts, "effect", ["rule"], draws=20).iloc[0]
    assert row.drop(["site", "to", "rule", "n"]).isna().all()
    assert row["n"] == 12
    for some in (cuts[1:], pd.concat([cuts[1:], cuts[1:2]])):
        with pytest.raises(LabError, match=r"from h0 to h1: 1. of 3 senders × 4 receivers"):
            ranks(some, "effect", ["rule"])
        with pytest.raises(LabError, match="give every one, once"):
            contrast(some, "effect", ("rule", "rule"))
