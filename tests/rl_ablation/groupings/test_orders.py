"""Cumulative orders: what is cut when, and curves and areas with known answers."""

import numpy as np
import pandas as pd
import pytest

import rl_ablation as rl
from rl_ablation.analysis.curves import areas, curves
from rl_ablation.groupings.orders import noise_ladder, random_orders, ranked_order
from rl_ablation.stats import interval, nested_bootstrap, permutation_p

UNITS = 22  # of the small policy, h0 12 and h1 10


def cut_of(lesion):
    return {(site, unit) for site, units in lesion.cut.items() for unit in units}


def test_each_order_only_adds_and_ends_with_everything(policy):
    plan = random_orders(policy, orders=3, fractions=(0.1, 0.5, 1.0), seed=4)
    assert len(plan) == 1 + 9
    for order in range(3):
        points = [cut_of(plan[f"order-{order}/{f}"]) for f in ("0.1", "0.5", "1")]
        assert [len(p) for p in points] == [2, 11, UNITS]
        assert points[0] < points[1] < points[2]
    halves = [cut_of(plan[f"order-{k}/0.5"]) for k in range(3)]
    assert halves[0] != halves[1] != halves[2]
    assert {site for site, _ in halves[0]} == {"h0", "h1"}


def test_orders_come_from_their_seed(policy):
    one, again, other = (random_orders(policy, orders=2, seed=s) for s in (0, 0, 1))
    assert one == again
    assert one != other
    more = random_orders(policy, orders=3, seed=0)  # an order more leaves the others as they were
    assert more.lesions[: len(one)] == one.lesions


def test_ranks_hold_within_each_layer_alone(policy):
    rng = np.random.default_rng(0)
    importance = {"h0": rng.random(12), "h1": 100 + rng.random(10)}
    up = ranked_order(importance, "ascending", fractions=(0.5, 1.0))["ascending/0.5"]
    down = ranked_order(importance, "descending", fractions=(0.5,))["descending/0.5"]
    for site, values in importance.items():
        half = len(values) // 2
        assert set(up.cut[site]) == set(np.argsort(values)[:half])
        assert set(down.cut[site]) == set(np.argsort(values)[half:])


def test_plans_refuse_what_makes_no_sense(policy):
    with pytest.raises(rl.LabError, match="fractions must lie"):
        random_orders(policy, fractions=(0.0, 0.5))
    with pytest.raises(rl.LabError, match="choose ascending"):
        ranked_order({"h0": np.zeros(12)}, "sideways")


def test_curves_are_what_the_table_says(policy, small_sweep, tmp_path):
    plan = random_orders(policy, orders=2, fractions=(0.1, 1.0)) + noise_ladder(
        policy, strengths=(0.0, 2.0)
    )
    run = small_sweep(plan, tmp_path / "run", measures=["forward_speed"])
    curve = curves(run, "forward_speed").set_index(["order", "dose"])
    mean = run.table().groupby("lesion")["forward_speed"].mean()
    assert curve.loc[("order-1", 0.0), "kept"] == 1
    assert curve.loc[("noise", 0.0)]["kept"].tolist() == [1, 1]  # noise of no strength is none
    for name in ("order-1/0.1", "order-0/1", "noise/2"):
        order, dose = name.split("/")
        row = curve.loc[(order, float(dose))]
        assert row["lesioned"] == pytest.approx(mean[name])
        assert row["kept"] == pytest.approx(mean[name] / mean["intact"])
    # With everything cut the order no longer matters.
    assert curve.loc[("order-0", 1.0), "kept"] == curve.loc[("order-1", 1.0), "kept"]


def test_areas_of_known_curves():
    dose = [0.0, 0.5, 1.0]
    curve = pd.concat(
        pd.DataFrame({"order": name, "dose": np.array(dose) * scale, "kept": kept})
        for name, kept, scale in (
            ("kept", [1, 1, 1], 1),
            ("lost", [1, 0, 0], 1),
            ("noise", [1, 0.5, 0], 4),
        )
    )
    assert areas(curve).to_dict() == {"kept": 1.0, "lost": 0.25, "noise": 0.5}


def test_networks_are_resampled_before_what_is_inside_them():
    rng = np.random.default_rng(0)
    networks = [np.full(50, float(k)) for k in range(5)]  # all the spread lies between networks
    low, high = interval(nested_bootstrap(networks, rng))
    assert high - low == pytest.approx(2 * 1.96 * np.std(range(5)) / 5**0.5, rel=0.1)
    inside = [rng.normal(size=40) for _ in range(5)]
    flat = interval(nested_bootstrap([v - v.mean() for v in inside], rng))
    assert flat[1] - flat[0] == pytest.approx(2 * 1.96 / 200**0.5, rel=0.2)


def test_permutation_p_counts_relabellings_of_networks():
    assert permutation_p(np.arange(5.0), np.arange(5.0) + 10) == pytest.approx(2 / 252)
    assert permutation_p(np.ones(5), np.ones(5)) == 1
    assert permutation_p(np.ones(1), np.zeros(1)) == 1
    many = permutation_p(np.arange(20.0), np.arange(20.0) + 100)
    assert 0 < many < 0.001
