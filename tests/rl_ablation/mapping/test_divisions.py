"""Random divisions as the null of what is called local or dissociated."""

import numpy as np
import pytest
from conftest import CONDITIONS, HORIZON

import rl_ablation as rl
from rl_ablation.groupings.controls import random_divisions
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.mapping import lesion_map
from rl_ablation.mapping.claims import headline_regions, improvements
from rl_ablation.mapping.divisions import (
    DRAW,
    Divisions,
    divided,
    divisions,
    strongest_crossing,
)


def lesion(name, units, group="clusters", site="h0", **how):
    return Lesion(name=name, cut={site: units}, group=group, **how)


def of(own, drawn, sites=None, least=0.0):
    own = np.array(own, float)
    regions = tuple(f"r{k}" for k in range(len(own)))
    sites = ("h0",) * len(own) if sites is None else sites
    return Divisions(regions, sites, tuple("ab"[: own.shape[1]]), own, np.array(drawn, float),
                     np.full(own.shape[1], least))  # fmt: skip


def test_what_divides_a_layer():
    parts = [lesion("h0/cluster-0", (0, 1)), lesion("h0/cluster-1", (2,))]
    plan = Plan([
        lesion("h0", (0, 1, 2), "layers"), *parts, lesion("h0/cluster-0~mean", (0, 1), kind="mean"),
        lesion("h1/cluster-0", (0, 1), site="h1"),
        lesion("h0/factor-0", (0, 1), "factors"), lesion("h0/factor-1", (1, 2), "factors"),
        *(lesion(f"h0/{k}", (k,), "singles") for k in range(3)),
    ])  # fmt: skip
    assert list(divided(plan))[1:] == parts


def test_random_divisions_have_the_sizes_and_are_named_for_their_part():
    plan = Plan([lesion("h0/cluster-0", (0, 1)), lesion("h0/cluster-1", (2, 5, 6))])
    drawn = random_divisions(plan, 3, 7, first=2)
    assert [x.names[1] for x in drawn] == [f"h0/cluster-0{DRAW}{k}" for k in (2, 3, 4)]
    for division in drawn:
        assert [x.size for x in division][1:] == [2, 3]
        assert sorted(u for x in division for u in x.cut.get("h0", ())) == [0, 1, 2, 5, 6]
    assert random_divisions(plan, 5, 7)[3].lesions == drawn[1].lesions


def test_shares_and_their_p():
    even = [[1.0], [1.0], [1.0], [1.0]]
    drawn = [np.roll([[1.2], [1.0], [0.9], [0.9]], k, 0) for k in range(19)]
    found = of([[4.0], [0.0], [-1.0], [0.0]], drawn)
    assert found.shares()[0] == pytest.approx(np.array([[1.0]]))
    assert found.shares()[1][0] == pytest.approx(np.array([[0.3]]))
    assert found.p_local() == pytest.approx(np.array([[1 / 20]]))
    assert of(even, drawn).p_local() == pytest.approx(np.array([[1.0]]))


def test_layers_one_behind_the_other_each_have_all_of_a_behaviour():
    """Held against both layers together, no part of a pathway could do more than half."""
    own = [[4.0], [0.0], [0.0], [4.0]]
    drawn = [[[1.0], [1.0], [1.0], [1.0]]] * 19
    found = of(own, drawn, sites=("h0", "h0", "h1", "h1"))
    assert found.layers == ("h0", "h1")
    assert found.shares()[0] == pytest.approx(np.array([[1.0], [1.0]]))
    assert found.p_local() == pytest.approx(np.array([[1 / 20], [1 / 20]]))


def test_a_layer_in_which_hardly_anything_is_lost_has_no_worst_part():
    """A trace of loss, all of it in one part by chance, is not the share of anything."""
    found = of([[4.0], [0.0]], [[[0.04], [0.0]]] * 19)
    assert found.shares()[1][0] == pytest.approx(np.array([[0.04 / 0.8]]))
    small = of([[0.3], [0.0]], [[[0.3], [0.0]]] * 19, least=1.5)
    assert small.shares()[0] == pytest.approx(np.array([[0.2]])), "a fifth of what counts as some"


def test_meaningless_regions_are_local_in_one_map_of_twenty_at_most():
    """Over all behaviours together."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        lost = rng.exponential(size=(40, 6, 8)) ** 2
        sites = ("h0", "h0", "h0", "h1", "h1", "h1")
        found = Divisions(tuple("abcdef"), sites, tuple("abcdefgh"), lost[0], lost[1:], np.zeros(8))
        hits += bool((found.p_local() <= 0.05).any())
    assert hits / 300 <= 0.085


def test_the_strongest_crossing_is_the_smaller_contrast_of_the_best_pair():
    harm = np.array([[-0.9, -0.1, 0.3], [-0.2, -0.8, 0.0], [-0.5, -0.5, -0.1]])
    assert strongest_crossing(harm) == pytest.approx(0.6)
    assert strongest_crossing(np.abs(harm)) == 0.0
    pairs = [
        min(harm[a, y] - harm[a, x], harm[b, x] - harm[b, y])
        for x in range(2) for y in range(2) for a in range(3) for b in range(3)
    ]  # fmt: skip
    assert strongest_crossing(harm[:, :2]) == pytest.approx(max(pairs))


def test_crossings_of_random_divisions_are_the_null():
    strong = [[1.0, 0.0], [0.0, 1.0]]
    weak = [[0.5, 0.4], [0.5, 0.6]]
    found = of(strong, [weak] * 18 + [strong])
    assert found.p_crossing(1.0, np.ones(2)) == pytest.approx(2 / 20)
    assert found.p_crossing(0.05, np.ones(2)) == 1.0
    assert np.isnan(of(strong, np.empty((0, 2, 2))).p_crossing(1.0, np.ones(2)))


def test_random_divisions_of_later_rounds_do_not_count(small_sweep, policy, activity, tmp_path):
    """A map that goes on after a kill decides as it did, whatever rounds are on the disk."""
    plan = rl.clusters(policy, k=3, activity=activity)
    how = {"episodes": 12, "discovery": 8, "controls": 40, "conditions": CONDITIONS}
    how |= {"horizon": HORIZON, "threads": 1, "activity": activity, "progress": False}
    run = rl.lesion_map(policy, plan, folder=tmp_path / "run", kinds=("zero",), **how)
    rounds, regions = len(run.controls), len(divided(run.plan)) - 1
    whole = [sum(DRAW in name for name in x.plan.names) // regions for x in run.controls]
    assert whole[0] == 10
    assert set(whole[1:]) <= {0, 30}, "later rounds draw divisions, or only single cuts"
    for kept in range(1, rounds + 1):
        assert divisions(run, rounds=kept).draws == sum(whole[:kept])
    again = rl.lesion_map(policy, plan, folder=tmp_path / "run", kinds=("zero",), **how)
    assert len(again.controls) == rounds


def test_single_cuts_go_on_where_divisions_cannot_decide(policy, activity, tmp_path, monkeypatch):
    """A named region is still held against random cuts of its size, up to the design's number."""
    plan = rl.clusters(policy, k=3, activity=activity)
    how = {"episodes": 12, "discovery": 8, "controls": 40, "conditions": CONDITIONS}
    how |= {"horizon": HORIZON, "threads": 1, "activity": activity, "progress": False}
    monkeypatch.setattr(lesion_map, "_may_stand_out", lambda *_: False)
    run = rl.lesion_map(policy, plan, folder=tmp_path / "run", kinds=("zero",), **how)
    first, second = run.controls
    assert any(DRAW in name for name in first.plan.names)
    assert len(second.plan) > 1
    assert not any(DRAW in name for name in second.plan.names)
    named = {*headline_regions(run, 3), *improvements(run)["lesion"][:1]}
    sizes = {x.stratum for x in run.plan if x.name in named}
    assert {x.stratum for x in second.plan if x.size} <= sizes
    effects = run.effects().set_index(["lesion", "condition"])["draws"]
    alone = [x for x in named if effects[x, "all"].max() >= 40]
    assert alone, "ten divisions, and thirty cuts more"
