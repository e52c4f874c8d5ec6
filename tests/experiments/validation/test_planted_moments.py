"""The robot that slows down in left bends: what it is made of, and how it is judged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments.validation import moments as planted
from experiments.validation.policies import MIDDLE
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.rollouts.recording import record


def test_the_unit_speaks_in_left_bends_only_and_the_constant_always():
    robot = planted.slowing(3)
    units = list(robot.units("h0", planted.LEFT))
    found = record(
        robot.policy, ["bend", "@h0"], Episodes(8, 0, planted.CONDITIONS, 80), threads=1
    ).moments()
    active = found["@h0"][:, units].mean(1)
    left, right = found["bend"] > 0.5, found["bend"] < -0.15
    assert (active[left] > 0).mean() > 0.7
    assert (active[right] > 0).mean() < 0.1
    assert np.ptp(found["@h0"][:, list(robot.units("h0", planted.ALWAYS))]) == 0
    first = robot.policy.network.layers[0][0].numpy()
    assert (first[units, MIDDLE + 5] < 0).all()


def found(**of_left) -> pd.DataFrame:
    rows = [
        {"region": f"h0/{role}", "signal": signal, "holds": False, "delta": -0.1,
         "amplitude": 0.01}
        for role in (planted.LEFT, planted.ALWAYS, planted.DECOY)
        for signal in planted.SIGNALS
    ]  # fmt: skip
    rows += [{**row, "region": planted.NUDGE} for row in rows[:3]]
    rows[0] |= {"holds": True, **of_left}
    return pd.DataFrame(rows)


@pytest.mark.parametrize("holds", [True, False])
def test_it_is_right_to_say_that_the_bend_matters(holds):
    assert planted.judged(found(holds=holds))[planted.LEFT] == holds


def test_what_is_wrong_counts_as_wrong():
    told = planted.judged(found())
    assert told == {planted.LEFT: True, planted.ALWAYS: True, "decoy": False, "nudge": False}
    table = found()
    table.loc[table["region"] == planted.NUDGE, "holds"] = [False, True, False]
    assert planted.judged(table)[planted.NUDGE]
    table.loc[table["region"] == f"h0/{planted.ALWAYS}", "amplitude"] = 0.04
    assert not planted.judged(table)[planted.ALWAYS]
