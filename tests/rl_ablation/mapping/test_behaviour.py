"""The folded behaviour table says what the table says, from its shards."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rl_ablation.lesions.lesion import INTACT, Lesion, Plan
from rl_ablation.mapping import sweep as sweep_module
from rl_ablation.mapping.behaviour import UNSTABLE, folded
from rl_ablation.mapping.effects import effects
from rl_ablation.mapping.evidence import differences


@pytest.fixture
def run(small_sweep, mixed_plan, tmp_path, monkeypatch):
    """A sweep in small shards, two of its lesions in one episode only."""
    real = sweep_module.make_spec
    monkeypatch.setattr(
        sweep_module, "make_spec", lambda *a: real(*a).model_copy(update={"rows": 5})
    )
    return small_sweep(mixed_plan, tmp_path / "run", once=mixed_plan.names[2:4])


def test_it_is_the_table(run):
    found, table = run.behaviour(), run.table()
    assert list(found.about.index) == run.plan.names
    for name in (*run.spec.measures, UNSTABLE):
        wide = table.pivot(index="episode", columns="lesion", values=name)[run.plan.names]
        assert np.array_equal(found.numbers[name], wide.to_numpy(float), equal_nan=True)
    by_episode = table.drop_duplicates("episode").set_index("episode")["condition"]
    assert found.conditions.tolist() == by_episode.sort_index().tolist()


def test_effects_are_those_of_the_table(run):
    units = {m.name: m.unit for m in run.measures}
    one, other = (effects(x, units, seed=3) for x in (run.behaviour(), run.table()))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_differences_are_paired_with_the_intact_robot(run):
    change = differences(run.behaviour(), ["return"])["return"]
    table = run.table().set_index(["lesion", "episode"])["return"]
    for name in change:
        for k in change.index[change[name].notna()]:
            assert change.loc[k, name] == table[name, k] - table[INTACT, k]


def test_episodes_of_any_numbers_can_be_folded(run):
    table = run.table()
    table["episode"] = 7 + 3 * table["episode"]
    found = folded(table, ["return"])
    assert found.episodes.tolist() == [7, 10, 13, 16]
    assert np.array_equal(
        found.numbers["return"], run.behaviour().numbers["return"], equal_nan=True
    )


def test_who_is_run_once_is_run_once(run, mixed_plan):
    counts = run.table().groupby("lesion").size()
    once = set(mixed_plan.names[2:4])
    assert set(run.spec.once) == once
    assert {name: int(n) for name, n in counts.items()} == {
        name: 1 if name in once else 4 for name in mixed_plan.names
    }
    pairs = [pair for k in range(run.spec.shards) for pair in run.spec.pairs(k)]
    assert len(pairs) == len(set(pairs)) == counts.sum()
    assert [len(run.spec.pairs(k)) for k in range(run.spec.shards)][:-1] == [5] * (
        run.spec.shards - 1
    )
    for name in mixed_plan.names:
        rows = run.table()
        found = (run.rows_of(name), rows[rows["lesion"] == name])
        one, other = (x.reset_index(drop=True) for x in found)
        pd.testing.assert_frame_equal(one, other)


def test_the_rest_of_a_plan_does_not_depend_on_who_is_run_once(run, small_sweep, tmp_path):
    whole = small_sweep(run.plan, tmp_path / "whole").table().set_index(["lesion", "episode"])
    some = run.table().set_index(["lesion", "episode"])
    pd.testing.assert_frame_equal(whole.loc[some.index], some, check_exact=True)


def test_a_name_that_is_no_lesion_changes_nothing(small_sweep, tmp_path):
    plan = Plan([Lesion(name="x", cut={"h0": (0,)})])
    assert small_sweep(plan, tmp_path / "run", once=["y"]).spec.once == ()
