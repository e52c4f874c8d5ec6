"""Trees of units, cut from the root: what is found, with which error rate, at which cost."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

import rl_ablation as rl
from rl_ablation.analysis.trees import (
    COLUMNS,
    Branch,
    check_episodes,
    compare,
    flip_p,
    root,
    search,
)
from rl_ablation.errors import LabError
from rl_ablation.stats import sign_flip_p
from tests.conftest import CONDITIONS, DEAD, HORIZON, LAP, MUTE, random_mlp

EPISODES = 16
KINDS = ("resample", "mean")


def layer(site="h0", sizes=(2, 3, 3), rng_seed=0):
    """A layer of blocks of units that are active together, in order of their numbers."""
    rng = np.random.default_rng(rng_seed)
    common = [rng.normal(size=(200, 1)) for _ in sizes]
    each = [x + 0.3 * rng.normal(size=(200, n)) for x, n in zip(common, sizes, strict=True)]
    return root(site, np.hstack(each))


def world(effect, rng, *, noise=1.0, differ=0.0, measures=1):
    """Robots whose change is ``effect(units, kind)``, a number or one of each measure, and noise;
    the kinds share their noise but for ``differ``."""

    def ask(nodes, number):
        shape = (len(nodes), len(KINDS), measures, EPISODES)
        cut = noise * np.repeat(rng.normal(size=(shape[0], 1, *shape[2:])), len(KINDS), 1)
        cut += differ * rng.normal(size=shape)
        for (i, node), (k, kind) in product(enumerate(nodes), enumerate(KINDS)):
            cut[i, k] += np.reshape(effect(set(node.units), kind), (-1, 1))
        return cut, np.zeros(shape[2:])

    return ask


def found(table):
    return set(table.loc[table["found"], "name"])


def units(nodes, name):
    return next(set(x.units) for x in nodes if x.name == name)


# The p of a node.
def test_p_is_that_of_all_flips():
    rng = np.random.default_rng(0)
    values = rng.normal(0.4, 1, (11, 6))
    values[:, 4] = 0.0
    values[2:, 5] = np.nan
    exact = sign_flip_p(values, rng)
    np.testing.assert_allclose(flip_p(values), exact)
    assert exact[4] == 1.0
    assert np.isnan(flip_p(np.full((5, 1), np.nan))).all()
    assert flip_p(np.ones((1, 1))).item() == 1.0


def test_p_of_many_episodes_resolves_what_a_wide_layer_needs():
    """9,999 flips end at 1e-4; a unit of 64 in 7 measures and 2 layers needs 5.6e-5."""
    assert flip_p(np.ones((24, 1))).item() == 2.0**-23
    assert flip_p(np.ones((100, 1))).item() == 2.0**-23
    rng = np.random.default_rng(1)
    values = rng.normal(0.5, 1, (22, 8))
    np.testing.assert_allclose(flip_p(values), sign_flip_p(values, rng, 99_999), atol=0.004)


@pytest.mark.parametrize("episodes", [16, 60])
def test_p_is_uniform_or_larger_under_the_null(episodes):
    rng = np.random.default_rng(2)
    values = rng.standard_t(2, (episodes, 500)) * (rng.random((episodes, 500)) < 0.7)
    p = flip_p(values)
    for level in (0.01, 0.05, 0.3):
        assert (p < level).mean() < level + 3 * np.sqrt(level / 500)


def test_a_change_must_be_there_in_every_kind_with_one_sign():
    rng = np.random.default_rng(3)
    small = 0.1 * rng.normal(size=EPISODES)
    cut = np.stack([[1 + small, 2 + small], [1 + small, -1 + small], [1 + small, small]])[
        :, :, None
    ]
    told = compare(cut, np.zeros((1, EPISODES)))
    assert told["p"][0, 0] < 0.001
    assert told["p"][1, 0] == 1.0
    assert told["p"][2, 0] > 0.1
    assert told["kind"].ravel().tolist()[0] == 0
    assert told["kind"].ravel().tolist()[2] == 1
    assert told["delta"][0, 0] == pytest.approx(1 + small.mean())


def test_pairs_without_a_number_are_left_out():
    rng = np.random.default_rng(4)
    cut = np.repeat(rng.normal(1, 0.1, (1, 1, 2, EPISODES)), 2, axis=1)
    cut[0, :, 0, :4] = np.nan
    cut[0, 1, 1] = np.nan
    told = compare(cut, np.full((2, EPISODES), 0.5))
    assert told["delta"][0, 0] == pytest.approx(cut[0, 0, 0, 4:].mean() - 0.5)
    assert told["p"][0, 0] < 0.01
    assert told["p"][0, 1] == 1.0, "one kind gives no number"


# The tree.
def test_the_tree_holds_every_unit_once():
    tree = layer()
    assert tree.name == "h0/tree-0"
    assert tree.units == tuple(range(8))
    level, leaves = [tree], []
    while level:
        node = level.pop()
        parts = node.named_parts
        assert not parts or sorted(u for x in parts for u in x.units) == list(node.units)
        assert [x.name for x in parts] == [f"{node.name}.{k}" for k in range(len(parts))]
        assert all(x.parent == node.name for x in parts)
        assert [len(x.units) for x in parts] == sorted((len(x.units) for x in parts), reverse=True)
        leaves += [node] if not parts else []
        level += parts
    assert sorted(x.units for x in leaves) == [(unit,) for unit in range(8)]


def test_units_that_are_active_together_stand_together():
    sets = {x.units for x in every(layer())}
    assert {(0, 1), (2, 3, 4), (5, 6, 7)} <= sets


def every(node):
    nodes = [node]
    for x in nodes:
        nodes += x.named_parts
    return nodes


def test_dead_units_are_left_out_and_small_layers_are_trees():
    rng = np.random.default_rng(5)
    samples = rng.normal(size=(50, 3))
    samples[:, 1] = 7.0
    assert root("h1", samples).units == (0, 2)
    assert [x.units for x in root("h1", samples).named_parts] == [(0,), (2,)]
    lone = root("h1", samples[:, :2])
    assert (lone.units, lone.named_parts, lone.name) == ((0,), [], "h1/tree-0")
    assert root("h1", samples[:, 1:2]) is None
    assert root("h1", samples[:, :0]) is None


# The search.
def test_a_planted_group_is_found_as_it_is():
    def effect(cut, kind):
        return -2.0 * ({2, 3, 4} <= cut) - 0.3 * len(cut & {2, 3, 4})

    table, nodes = search([layer()], world(effect, np.random.default_rng(6)), ["x"], KINDS)
    assert list(table) == list(COLUMNS)
    (name,) = found(table)
    assert units(nodes, name) == {2, 3, 4}
    assert len(nodes) < 15, "only parts of what matters were tried"


def test_one_unit_of_number_0_is_found():
    effect = world(lambda cut, kind: 3.0 * (0 in cut), np.random.default_rng(7))
    table, nodes = search([layer()], effect, ["x"], KINDS)
    (name,) = found(table)
    assert units(nodes, name) == {0}


def test_what_hangs_on_no_part_ends_at_the_layer():
    """As in a distributed code: each part does its share, and no part half of it."""
    effect = world(lambda cut, kind: -5.0 * (len(cut) / 8) ** 3, np.random.default_rng(8))
    table, _ = search([layer()], effect, ["x"], KINDS)
    assert found(table) == {"h0/tree-0"}


def test_parts_in_the_other_direction_do_not_carry_the_change():
    def effect(cut, kind):
        return -3.0 if {2, 3, 4} <= cut else 2.0 * bool(cut & {2, 3, 4})

    table, nodes = search([layer()], world(effect, np.random.default_rng(9)), ["x"], KINDS)
    (name,) = found(table)
    assert units(nodes, name) == {2, 3, 4}
    below = table[table["parent"] == name]
    assert below["rejected"].all(), "they change something, and the table says so"
    assert not below["found"].any()


def test_each_measure_goes_its_own_way_and_both_parts_are_followed():
    def effect(cut, kind):
        return [4.0 * ({0, 1} <= cut), 4.0 * ({5, 6, 7} <= cut) - 2.5 * (2 in cut)]

    ask = world(effect, np.random.default_rng(20), measures=2, noise=0.5)
    table, nodes = search([layer()], ask, ["x", "y"], KINDS)
    groups = {
        m: {frozenset(units(nodes, x)) for x in found(rows)} for m, rows in table.groupby("measure")
    }
    assert groups["x"] == {frozenset({0, 1})}
    assert frozenset({5, 6, 7}) in groups["y"]


def test_what_one_kind_does_not_show_is_not_followed():
    ask = world(lambda cut, kind: 3.0 * (kind == "mean"), np.random.default_rng(11))
    table, nodes = search([layer()], ask, ["x"], KINDS)
    assert len(nodes) == 1
    assert not table["rejected"].any()


def test_p_never_falls_down_the_tree():
    rng = np.random.default_rng(12)
    for _ in range(10):
        ask = world(lambda cut, kind: 0.4 * len(cut & {0, 5, 6}), rng, differ=0.3, measures=2)
        table, _ = search([layer(), layer("h1")], ask, ["x", "y"], KINDS)
        p = table.set_index(["name", "measure"])["p_adjusted"]
        below = table[table["parent"] != ""]
        above = p.loc[list(zip(below["parent"], below["measure"], strict=True))].to_numpy()
        assert (below["p_adjusted"].to_numpy() >= above).all()
        factor = 8 / table["units"] * 2 * 2
        assert (table["p_adjusted"] >= np.minimum(table["p"] * factor, 1) - 1e-12).all()


@pytest.mark.parametrize("real", [(), (2, 3, 4), (0, 6)], ids=["nothing", "a block", "two units"])
def test_the_error_rate_holds_for_the_whole_search(real):
    """Of all nodes without a unit that does anything, in all layers and measures. The kinds agree,
    which is the worst case; nulls stand beside and below what is real."""
    rng = np.random.default_rng(13)
    roots, wrong, searches = [layer(), layer("h1", (1, 2))], 0, 120
    ask = world(lambda cut, kind: 3.0 * bool(cut & set(real)), rng, measures=2)

    def apart(nodes, number):
        cut, intact = ask(nodes, number)
        other = np.array([x.site == "h1" for x in nodes])
        cut[other] = rng.normal(size=cut[other][:, :1].shape)
        return cut, intact

    for _ in range(searches):
        table, nodes = search(roots, apart, ["x", "y"], KINDS)
        idle = {x.name for x in nodes if x.site == "h1" or not set(x.units) & set(real)}
        wrong += bool(table.loc[table["name"].isin(idle), "rejected"].any())
    assert wrong / searches <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / searches)


def test_without_the_correction_the_error_rate_would_show():
    """The simulation above can fail: uncorrected, one search in three rejects a null."""
    rng = np.random.default_rng(14)
    values = rng.normal(size=(EPISODES, 200, 4 * 2))
    p = flip_p(values.reshape(EPISODES, -1)).reshape(200, -1)
    assert (p < 0.05).any(1).mean() > 0.25


def test_too_few_episodes_are_refused():
    roots = [Branch("h0", tuple(range(64))), Branch("h1", tuple(range(64)))]
    check_episodes(16, roots, 7)
    with pytest.raises(LabError, match="at least 16 episodes"):
        check_episodes(15, roots, 7)
    best = 2.0 ** (1 - 16) * 64 * 2 * 7
    assert best < 0.05 <= 2 * best


# A robot.
HOW = {
    "seed": 0, "conditions": CONDITIONS, "horizon": HORIZON, "threads": 1, "progress": False,
    "measures": ("forward_speed", "progress"), "episodes": 12,
}  # fmt: skip


@pytest.fixture(scope="module")
def searched(policy, activity, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tree")
    return rl.tree_search(policy, activity=activity, folder=folder, **HOW), folder


def test_a_robot_is_searched(searched, policy):
    tree, folder = searched
    assert {"h0/tree-0", "h1/tree-0"} <= set(tree.tried.names)
    cut = {u for x in tree.tried for u in x.cut.get("h0", ())}
    assert DEAD not in cut
    assert tree.nodes.loc[tree.nodes["parent"] == "", "rejected"].any(), "else this shows little"
    runs = sorted(folder.glob("round-*"))
    assert len(runs) == tree.nodes["round"].max()
    assert tree.steps == sum(int(rl.Map(x).table()["steps"].sum()) for x in runs)
    row = tree.nodes.iloc[0]
    effects = rl.Map(runs[0]).effects()
    same = effects[(effects["lesion"].str.partition("~")[0] == row["name"])]
    same = same[(same["kind"] == row["kind"]) & (same["measure"] == row["measure"])]
    same = same[same["condition"] == "all"]
    for column in ("intact", "delta", "effect"):
        assert same[column].item() == pytest.approx(row[column])
    assert same["p"].item() <= row["p"] + 1e-12, "the largest of the kinds'"
    plan = tree.plan()
    assert set(plan.names[1:]) == set(tree.found["name"])
    for lesion in plan:
        lesion.check(policy.sites)


def test_it_goes_on_where_it_stopped(searched, policy, activity):
    tree, folder = searched
    again = rl.tree_search(policy, activity=activity, folder=folder, **HOW)
    pd.testing.assert_frame_equal(again.nodes, tree.nodes)
    assert again.steps == tree.steps


def test_a_unit_that_nothing_listens_to_is_never_found(searched):
    tree, _ = searched
    assert all(x.cut != {"h0": (MUTE,)} for x in tree.plan())


def test_one_layer_of_one_unit(tmp_path):
    agent = random_mlp((18, 1, 2), LAP, bias=0.2)
    tree = rl.tree_search(agent, folder=tmp_path, **HOW)
    assert tree.tried.names == ["intact", "h0/tree-0"]
    assert (tree.nodes["units"] == 1).all()


def test_named_sites_and_other_kinds(policy, activity, tmp_path):
    tree = rl.tree_search(
        policy, activity=activity, folder=tmp_path, sites=["h1"], kinds=["mean"], **HOW
    )
    assert set(tree.nodes["site"]) == {"h1"}
    assert set(tree.nodes["kind"]) == {"mean"}


def test_what_does_not_fit_is_refused(policy, activity, tmp_path):
    few = {**HOW, "episodes": 4}
    with pytest.raises(LabError, match="no single unit"):
        rl.tree_search(policy, activity=activity, folder=tmp_path, **few)
    with pytest.raises(LabError, match="no site 'h7'"):
        rl.tree_search(policy, activity=activity, folder=tmp_path, sites=["h7"], **HOW)
    with pytest.raises(TypeError, match="unexpected argument 'controls'"):
        rl.tree_search(policy, activity=activity, folder=tmp_path, controls=3, **HOW)
    still = {site: type(x)(np.zeros_like(x.samples)) for site, x in activity.items()}
    with pytest.raises(LabError, match="no unit of h0, h1 varies"):
        rl.tree_search(policy, activity=still, folder=tmp_path, **HOW)
