"""Brief cuts: against two rollouts by hand, what is not compared, and what is told of when."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import CONDITIONS, DEAD, LAP, MUTE, random_mlp

from rl_ablation.analysis.dependence import dependence, weakest
from rl_ablation.analysis.moments import (
    BEND,
    ENDED,
    PLACE,
    Brief,
    begun,
    brief_cuts,
    gait,
    spread,
)
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import INTACT, Lesion, Plan
from rl_ablation.rollouts.activity import record_activity
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.rollouts.recording import run_jobs

RUN = Episodes(4, 0, CONDITIONS)
ONSETS = spread(4, 3, 3, 15, seed=1)
BRIEF = Brief(ONSETS, 0.25, 0.5)  # 5 and 10 steps of 50 ms; all robots last
SIGNALS = ("yaw_rate", "action")
PLAN = Plan(
    [
        Lesion(name="cut", cut={"h0": (0, 2, 5)}, kind="mean", when="bend > 99", onset=7),
        Lesion(name="drawn", cut={"h1": (0, 1, 4)}, kind="resample"),
        Lesion(name="mute", cut={"h0": (MUTE, DEAD)}, kind="mean"),
    ]
)


@pytest.fixture(scope="module")
def table(policy, activity):
    return brief_cuts(policy, PLAN, activity, RUN, BRIEF, SIGNALS, [BEND, PLACE], 1)


def test_onsets_are_spread_over_equal_parts():
    onsets = spread(50, 4, 10, 50, seed=3)
    for part in range(4):
        assert set(onsets[:, part]) == set(range(10 + 10 * part, 20 + 10 * part))
    assert np.array_equal(onsets, spread(50, 4, 10, 50, seed=3))
    assert not np.array_equal(onsets, spread(50, 4, 10, 50, seed=4))


def test_rows_are_the_differences_of_two_rollouts(policy, activity, table):
    rows = table.set_index(["lesion", "episode", "slot", "signal"])
    intact = run_jobs(policy, ["bend", *SIGNALS], RUN.jobs(Lesion(name=INTACT)), horizon=30)
    for name, slot in (("cut", 0), ("drawn", 2)):
        for episode in range(RUN.count):
            onset = int(ONSETS[episode, slot])
            lesion = begun(PLAN[name], onset, 5)
            assert (lesion.onset, lesion.offset, lesion.when) == (onset, onset + 5, None)
            job = RUN.job(lesion, episode)
            alone = run_jobs(policy, SIGNALS, [job], activity=activity, horizon=onset + 10)
            for signal in SIGNALS:
                before, after = intact[signal][:onset, episode], alone[signal][:onset, 0]
                assert np.array_equal(before, after), "bit-identical before its onset"
            window = slice(onset, onset + 10)
            one, other = (x["yaw_rate"][window].astype(float) for x in (alone, intact))
            row = rows.loc[name, episode, slot, "yaw_rate"]
            assert row["delta"] == pytest.approx((one[:, 0] - other[:, episode]).mean())
            assert row["intact"] == pytest.approx(other[:, episode].mean())
            assert row["bend"] == intact["bend"][onset - 1, episode]
            assert (row["onset"], row["condition"]) == (onset, job.condition)
            one, other = (x["action"][window].astype(float) for x in (alone, intact))
            apart = np.sqrt(((one[:, 0] - other[:, episode]) ** 2).mean())
            assert rows.loc[name, episode, slot, "action"]["delta"] == pytest.approx(apart)
            assert apart > 0


def test_what_cuts_nothing_changes_nothing(table):
    assert (table.query("lesion == 'mute'")["delta"] == 0).all()
    assert (table.query("lesion == 'cut' and signal == 'action'")["delta"] > 0).all()
    assert len(table) == 3 * 4 * 3 * (len(SIGNALS) + 1)
    assert table["place"].between(0, 2 * np.pi).all()
    assert table.query("lesion == 'drawn'")["site"].unique().tolist() == ["h1"]


def test_others_in_the_run_change_no_number(policy, activity, table):
    alone = brief_cuts(policy, Plan([PLAN["drawn"]]), activity, RUN, BRIEF, SIGNALS, [BEND], 1)
    wanted = table.query("lesion == 'drawn'")["delta"].to_numpy()
    assert np.array_equal(alone["delta"].to_numpy(), wanted, equal_nan=True)


@pytest.mark.parametrize(
    ("brief", "says"),
    [
        (Brief(ONSETS[:3]), "each episode"),
        (Brief(ONSETS[0]), "each episode"),
        (Brief(ONSETS * 0), "never cut"),
        (Brief(ONSETS + 590, 0.25, 1.0), "do not fit into episodes of 600 steps"),
        (Brief(ONSETS, 0.0), "longer than 0 s"),
        (Brief(ONSETS, 0.25, np.inf), "longer than 0 s"),
    ],
)
def test_onsets_beyond_the_episode_are_refused(policy, activity, brief, says):
    with pytest.raises(LabError, match=says):
        brief_cuts(policy, PLAN, activity, RUN, brief, SIGNALS, [BEND], 1)


def test_nothing_to_cut_and_too_many_moments_are_refused(policy, activity):
    with pytest.raises(LabError, match="a region at least"):
        brief_cuts(policy, Plan(), activity, RUN, BRIEF, SIGNALS, [BEND], 1)
    for first, last in ((0, 9), (5, 7)):
        with pytest.raises(LabError, match="cannot be spread"):
            spread(2, 3, first, last)


def test_a_robot_that_ends_within_the_window_is_not_averaged():
    blind = random_mlp((18, 12, 10, 2), LAP, bias=1.0)  # full speed into the wall
    asked = Episodes(6, 3, CONDITIONS)
    found = record_activity(blind, conditions=CONDITIONS, episodes=2, horizon=30, threads=1)
    intact = run_jobs(blind, ["reward"], asked.jobs(Lesion(name=INTACT)), horizon=90)
    stop = Lesion(name="stop", cut={"action": (0, 1)}, kind="clamp", strength=0.0)
    turn = Lesion(name="turn", cut={"action": (0,)}, kind="clamp", strength=-1.0)
    onsets = np.tile([2, 12, 60], (6, 1))
    brief = Brief(onsets, 1.0, 1.0)
    rows = brief_cuts(blind, Plan([stop, turn]), found, asked, brief, ["yaw_rate"], [BEND], 1)
    ends = np.where(intact.terminated, intact.steps, 999)
    assert (ends < 80).any()
    assert (ends > 32).any()
    twin_lasts = ends[rows["episode"]] >= rows["onset"] + 20
    assert rows["delta"][~twin_lasts].isna().all(), "there is nothing to compare with"
    assert rows["bend"][ends[rows["episode"]] < rows["onset"]].isna().all()
    ended = rows[rows["signal"] == ENDED].set_index(["lesion", "episode", "slot"])["delta"]
    change = rows[rows["signal"] == "yaw_rate"].set_index(["lesion", "episode", "slot"])["delta"]
    assert change[ended == 1].isna().all()
    assert change[ended == 0].notna().all()
    assert (ended == 1).any()


def made(rng, effect, random=3):
    """A table as of `brief_cuts`: regions a (depends on the phase) and b, in two kinds."""
    episode, slot = (x.ravel() for x in np.indices((12, 8)))
    phase = rng.uniform(0, 2 * np.pi, episode.size)
    parts = []
    names = [("a", "regions", effect), ("b", "regions", 0.0)]
    names += [(f"r{k}", "random", 0.0) for k in range(random)]
    for kind, mark in (("resample", ""), ("mean", "~mean")):
        for name, group, size in names:
            change = size * np.cos(phase - 1) + 0.2 * rng.normal(size=phase.size)
            about = {
                "lesion": name + mark,
                "kind": kind,
                "group": group,
                "site": "h0",
                "units": 3,
                "null": "h0 3",
            }
            told = {"episode": episode, "slot": slot, "condition": "", "phase": phase}
            parts.append(pd.DataFrame({**about, **told, "signal": "speed", "delta": change}))
    return pd.concat(parts, ignore_index=True)


def test_a_planted_dependence_is_told_of_its_region_only():
    found = dependence(made(np.random.default_rng(0), 0.4), gait(0), draws=199)
    assert found["kind"].tolist() == ["resample", "resample", "mean", "mean"]
    told = weakest(found).set_index("region")
    assert told["holds"].tolist() == [True, False]
    assert told.loc["a", "amplitude"] == pytest.approx(0.4, abs=0.12)
    assert abs(told.loc["a", "strongest"] % np.pi - 1) < 0.4
    assert told.loc["a", "p_random"] == 0.25, "no random cut of three goes as far"
    assert (found["draws"] == 3).all()
    assert told.loc["b", "p_random"] > 0.25
    own = found[(found["region"] == "a") & (found["kind"] == "resample")].iloc[0]
    assert told.loc["a", "first"] == own["amplitude"]
    assert told.loc["a", "n"] == 96


def test_kinds_that_disagree_tell_nothing():
    table = made(np.random.default_rng(0), 0.4)
    other = table["kind"] == "mean"
    table["delta"] = table["delta"].where(~other, -table["delta"])
    told = weakest(dependence(table, gait(0), draws=199)).set_index("region")
    assert told.loc["a", "p_fwe"] < 0.05
    assert not told.loc["a", "holds"]
    without = table[table["group"] != "random"]
    alone = weakest(dependence(without, gait(0), draws=19))
    assert alone[["p_random", "first"]].isna().all(axis=None)
