"""Memorisers against generalists: the comparison can come out either way, and the study runs."""

import numpy as np
import pandas as pd
import pytest

from experiments.studies import registry as studies
from experiments.studies.robust import study as robust
from experiments.studies.robust.comparison import (
    KINDS,
    chosen,
    compared,
    correlations,
    difference,
    readers,
)
from experiments.studies.robust.words import tell
from rl_ablation.analysis.curves import curves
from rl_ablation.mapping.map import Map

OWN = robust.OWN


def made_up(gap, agents=5, noise=0.02):
    """Curves and areas in which generalists keep ``gap`` more of their laps than memorisers."""
    rng = np.random.default_rng(0)
    lost, under = [], []
    for kind in KINDS:
        for agent in range(agents):
            for world, cut, names in (
                ("track", "mean", ["order-0", "order-1"]),
                ("battery", "mean", ["order-0", "order-1"]),
                (OWN[kind], "zero", ["order-0"]),
                (OWN[kind], "ranked", ["ascending", "descending"]),
                (OWN[kind], "noise", ["noise"]),
            ):
                about = {"kind": kind, "agent": agent, "world": world, "cut": cut}
                for name in names:
                    kept = 0.4 + gap * (kind == "generalist") + noise * rng.normal()
                    under.append({**about, "order": name, "area": kept, "spread": 0.5})
                    for dose, share in ((0.0, 1.0), (1.0, kept)):
                        point = {"order": name, "dose": dose, "kept": share, "lesioned": 3 * share}
                        lost.append({**about, **point})
    return pd.DataFrame(lost), pd.DataFrame(under)


def made_up_units(slope):
    rng = np.random.default_rng(1)
    frames = []
    for agent in range(5):
        for site in ("h0", "h1"):
            eta = rng.random(60)
            matters = slope * eta + 0.2 * rng.normal(size=60)
            frames.append(
                pd.DataFrame(
                    {
                        "agent": agent,
                        "site": site,
                        "unit": range(60),
                        "eta": eta,
                        "information": eta,
                        "context": rng.choice(["left bend", "right bend"], 60),
                        "progress": matters,
                        "left_turning": matters,
                        "right_turning": matters,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


@pytest.mark.parametrize(
    ("gap", "says"),
    [
        (0.2, "memorisers lose their laps faster"),
        (-0.2, "generalists lose their laps faster"),
        (0.0, "no effect of 0.10 or more"),
    ],
)
def test_the_answer_follows_the_numbers(gap, says):
    curve, area = made_up(gap)
    table = compared(area, OWN).set_index("comparison")
    assert table.loc["own condition", "difference"] == pytest.approx(gap, abs=0.03)
    text = tell(curve, area, made_up_units(0.0), OWN)
    assert text.partition("their means: ")[2].startswith(says)
    assert ("All four say the same." in text) == (gap != 0)
    assert ("0 of the four are clear" in text) == (gap == 0)


def test_a_difference_too_small_to_be_found_is_inconclusive():
    curve, area = made_up(0.0, agents=5, noise=0.3)
    row = compared(area, OWN).iloc[0]
    assert row["smallest"] > 0.1
    assert f"means: inconclusive: effects smaller than {row['smallest']:.2f} could" in tell(
        curve, area, made_up_units(0.0), OWN
    )


def test_orders_by_importance_are_told_as_they_came_out():
    curve, area = made_up(0.0)
    for rise, says in ((0.2, "memorisers more slowly"), (-0.2, "memorisers faster")):
        moved = area.assign(area=area["area"] + rise * (area["order"] == "descending"))
        assert says in tell(curve, moved, made_up_units(0.0), OWN)
    assert "memorisers no effect of 0.10 or more" in tell(curve, area, made_up_units(0.0), OWN)


def test_two_agents_are_not_enough_for_an_answer():
    curve, area = made_up(0.2, agents=2)
    table = compared(area, OWN).set_index("comparison")
    assert table.loc["own condition", "low"] > 0
    assert "means: inconclusive: so few trainings" in tell(curve, area, made_up_units(0.0), OWN)


def test_own_conditions_are_each_kinds_own():
    _, area = made_up(0.0)
    for kind, world in OWN.items():
        rows = chosen(area, "own condition", kind, OWN)
        assert set(rows["world"]) == {world}
        assert set(rows["kind"]) == {kind}
        assert set(rows["cut"]) == {robust.KIND}


@pytest.mark.parametrize("slope", [1.0, -1.0, 0.0])
def test_units_that_tell_more_matter_as_much_as_they_do(slope):
    units = made_up_units(slope)
    for row in correlations(units).to_dict("records"):
        assert (row["low"] > 0) == (slope > 0)
        assert (row["high"] < 0) == (slope < 0)
    found, smallest = difference(readers(units), "left bend", "progress")
    assert 0 < smallest < 0.3
    assert found.value == pytest.approx(slope * 2 / 3, abs=0.06)
    assert found.low < found.value < found.high
    assert difference(readers(units), "straight", "progress") is None


def test_readers_are_thirds_of_each_layer():
    units = readers(made_up_units(0.0))
    counts = units.groupby(["agent", "site"])["reads"].apply(lambda r: (r == "unreadable").sum())
    assert (counts == 20).all()
    told_least = units[units["reads"] == "unreadable"]["eta"].max()
    assert told_least < units[units["reads"].str.endswith("bend")]["eta"].min() + 0.2


def test_the_study_runs_and_its_curves_are_those_of_its_sweeps(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "RUNS", tmp_path)
    tiny = robust.Size(1, 1, (0.5, 1.0), (1.0,), episodes=6, horizon=20, steps=8192)
    monkeypatch.setattr(robust, "QUICK", tiny)
    small = {"num_envs": 32, "ppo": {**robust.KINDS["memoriser"].ppo, "n_steps": 64}}
    kinds = {k: r.model_copy(update=small) for k, r in robust.KINDS.items()}
    monkeypatch.setattr(robust, "KINDS", kinds)
    monkeypatch.setattr(robust, "curves", forgiving)
    folder = studies.run_study("robust", quick=True, out=tmp_path / "run")
    assert "Each in its own training condition" in (folder / "findings.md").read_text()
    assert len(pd.read_csv(folder / "units.csv")) == 128
    run = Map(folder / "memoriser-0" / "track-mean")
    assert run.spec.env_kwargs == robust.OWN_TRACK
    assert run.spec.conditions == ("ring/ccw",)
    both = Map(folder / "memoriser-0" / "battery-mean")
    assert both.spec.env_kwargs == {}
    assert len(both.spec.conditions) == 6
    for cut in ("mean", "zero"):
        mine = Map(folder / "generalist-0" / f"battery-{cut}")
        assert {x.kind for x in mine.plan if x.size} == {cut}


def forgiving(run, measure):
    """Curves of robots so little trained that they may not drive at all."""
    table = run.table()
    table[measure] = table[measure] - table[measure].min() + 1.0
    run.table = lambda: table
    return curves(run, measure)
