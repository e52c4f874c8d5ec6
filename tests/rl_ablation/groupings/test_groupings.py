"""Groupings: planted clusters are found, controls match in size, words are parsed."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import DEAD, LAP, random_mlp

import rl_ablation as rl
from rl_ablation.errors import LabError
from rl_ablation.groupings.registry import GROUPINGS
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.lesions.methods import SiteStats

PLANTED = [(0, 3, 6, 9, 12), (1, 4, 7, 10), (2, 5, 8, 11)]  # of 15 units; the last two are dead
DEADS = (13, 14)


@pytest.fixture(scope="module")
def agent():
    return random_mlp((18, 15, 6, 2), LAP)


@pytest.fixture(scope="module")
def planted(agent):
    """Activity in which three signals are each carried by some units, in either sign."""
    rng = np.random.default_rng(0)
    h0 = np.zeros((1000, 15))
    for units in PLANTED:
        signal = rng.normal(size=1000)
        for k, unit in enumerate(units):
            h0[:, unit] = (-1) ** k * (1 + k) * signal + 0.3 * rng.normal(size=1000)
    h0[:, 14] = 1.0  # constant, so it carries nothing
    stats = {site: rng.normal(size=(1000, n)) for site, n in agent.sites.items()}
    stats["h0"] = h0
    return {site: SiteStats(x.astype(np.float32)) for site, x in stats.items()}


def test_clusters_find_planted_groups(agent, planted):
    plan = rl.clusters(agent, k=3, activity=planted, sites=["h0"])
    found = {x.name: x.cut["h0"] for x in plan if x.size}
    assert found == {
        "h0/dead": DEADS,
        "h0/cluster-0": PLANTED[0],
        "h0/cluster-1": PLANTED[1],
        "h0/cluster-2": PLANTED[2],
    }
    assert {x.group for x in plan if x.size} == {"clusters"}


def test_clusters_divide_every_layer(agent, planted):
    for k in (1, 2, 4, 6):
        plan = rl.clusters(agent, k=k, activity=planted)
        for site, units in agent.network.sizes.items():
            cut = [x.cut[site] for x in plan if site in x.cut]
            assert sorted(u for units in cut for u in units) == list(range(units))
            parts = [x for x in plan if site in x.cut and "cluster" in x.name]
            live = units - (len(DEADS) if site == "h0" else 0)
            assert len(parts) == min(k, live)
            sizes = [x.size for x in parts]
            assert sizes == sorted(sizes, reverse=True)


def test_clusters_are_repeatable(agent, planted):
    assert rl.clusters(agent, 4, planted) == rl.clusters(agent, 4, planted)


def test_a_dead_layer_has_no_clusters(agent, planted):
    still = {**planted, "h1": SiteStats(np.ones((50, 6), np.float32))}
    plan = rl.clusters(agent, 3, still, sites=["h1"])
    assert plan.names == ["intact", "h1/dead"]


def test_the_dead_unit_of_a_real_policy_stands_apart(policy, activity):
    plan = rl.clusters(policy, k=3, activity=activity)
    assert plan["h0/dead"].cut == {"h0": (DEAD,)}


def test_clusters_record_activity_by_themselves(policy, monkeypatch, activity):
    monkeypatch.setattr("rl_ablation.rollouts.activity.record_activity", lambda agent: activity)
    assert rl.clusters(policy, 3) == rl.clusters(policy, 3, activity)


def test_singles_start_at_unit_0_and_name_every_unit(policy):
    plan = rl.singles(policy)
    assert plan.names[1] == "h0/0"
    assert [x.cut for x in plan][1:] == [
        {site: (u,)} for site, n in (("h0", 12), ("h1", 10)) for u in range(n)
    ]
    assert len(rl.singles(policy, ["h1"])) == 11


def test_sensors_and_motors_and_layers(policy):
    assert [x.cut for x in rl.sensors(policy)][1:] == [{"obs": (u,)} for u in range(18)]
    assert [x.cut for x in rl.motors(policy)][1:] == [{"action": (u,)} for u in range(2)]
    assert {x.group for x in rl.motors(policy) if x.size} == {"motors"}
    assert [x.cut for x in rl.layers(policy)][1:] == [
        {"h0": tuple(range(12))},
        {"h1": tuple(range(10))},
    ]


@pytest.mark.parametrize("size", [1, 4, 5, 12])
def test_tiles_cover_a_layer_once_in_order(policy, size):
    tiles = [x.cut["h0"] for x in rl.tiles(policy, size) if "h0" in x.cut]
    assert [u for tile in tiles for u in tile] == list(range(12))
    assert all(len(t) == min(size, 12) for t in tiles[:-1])


def test_random_groups_match_in_size_and_layer(policy):
    like = rl.tiles(policy, 5) + rl.layers(policy) + rl.singles(policy)
    like = like + Plan([Lesion(name="two sites", cut={"h0": (0, 1), "h1": (0, 1)})])
    plan = rl.random_groups(policy, like, n=20, seed=0)
    shapes = [(site, x.size) for x in plan for site in x.cut]
    wanted = {("h0", 5), ("h0", 2), ("h1", 5)}  # neither single units nor whole layers
    assert set(shapes) == wanted
    assert all(shapes.count(shape) == 20 for shape in wanted)
    assert {x.group for x in plan if x.size} == {"random"}
    for site, units in (("h0", 12), ("h1", 10)):
        cuts = [x.cut[site] for x in plan if site in x.cut and x.size == 5]
        assert len(set(cuts)) > 15, "the draws differ"
        assert {u for cut in cuts for u in cut} == set(range(units)), "unit 0 is drawn too"


def test_random_groups_are_repeatable(policy):
    like = rl.tiles(policy, 5)
    assert rl.random_groups(policy, like, 5, 0) == rl.random_groups(policy, like, 5, 0)
    assert rl.random_groups(policy, like, 5, 0) != rl.random_groups(policy, like, 5, 1)


def test_every_registered_grouping_makes_a_plan(policy, activity):
    for name, grouping in GROUPINGS.items():
        plan = rl.parse_groups(name, policy, activity)
        assert len(plan) > 1, name
        assert grouping.doc
        for lesion in plan:
            lesion.check(policy.sites)


def test_words_are_parsed(policy, activity):
    plan = rl.parse_groups("random:3, layers,tiles:6", policy, activity, seed=1)
    assert plan == (
        rl.layers(policy)
        + rl.tiles(policy, 6)
        + rl.random_groups(policy, rl.tiles(policy, 6), 3, seed=1)
    )
    assert rl.parse_groups(["layers"], policy) == rl.layers(policy)
    assert rl.parse_groups("layers,layers", policy) == rl.layers(policy)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("wings", "unknown grouping 'wings'; choose from .*clusters.*random"),
        ("", "unknown grouping ''"),
        ("tiles:x", "whole number, as in tiles:6"),
        ("tiles:", "whole number"),
        ("tiles:-3", "size of at least 1"),
        ("tiles:1_0", "whole number"),
        ("tiles:٣", "whole number"),
        ("tiles:2.5", "whole number"),
        ("tiles:0", "size of at least 1"),
        ("clusters:0", "k of at least 1"),
        ("clusters:9999", "^clusters:9999: h0 has 12 units; ask for at most 12$"),
        ("factors:9999", "^factors:9999: h0 has 12 units; ask for at most 12$"),
        ("tiles:9999", "^tiles:9999: h0 has 12 units; ask for at most 12$"),
        ("clusters:11", "^clusters:11: h1 has 10 units; ask for at most 10$"),
    ],
)
def test_words_that_mean_nothing(policy, activity, text, line):
    with pytest.raises(LabError, match=line) as caught:
        rl.parse_groups(text, policy, activity)
    assert "\n" not in str(caught.value)


def test_sites_that_are_not_there(policy, activity):
    with pytest.raises(LabError, match="no site 'h9'; this policy has obs, h0"):
        rl.singles(policy, sites=["h9"])
