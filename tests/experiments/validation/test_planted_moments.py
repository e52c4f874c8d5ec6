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
    rows[0] |= {"holds": True, **of_left}
    return pd.DataFrame(rows)


@pytest.mark.parametrize("holds", [True, False])
def test_it_is_right_to_say_that_the_bend_matters(holds):
    assert planted.judged(found(holds=holds))[planted.LEFT] == holds


def test_what_is_wrong_counts_as_wrong():
    assert planted.judged(found()) == {"left bends": True, "always": True, "decoy": False}
    table = found()
    table.loc[table["region"] == "h0/decoy", "holds"] = [False, True, False]
    table.loc[table["region"] == "h0/always", "amplitude"] = 0.04
    assert planted.judged(table) == {"left bends": True, "always": False, "decoy": True}


def test_bends_of_other_episodes_tell_nothing_and_their_own_do(monkeypatch):
    monkeypatch.setattr(planted, "DEALS", 4)
    rng = np.random.default_rng(0)
    episode, slot = (x.ravel() for x in np.indices((16, 4)))
    about = {
        "lesion": "a",
        "group": "truth",
        "site": "h0",
        "units": 1,
        "null": "",
        "signal": "speed",
    }
    told = {"episode": episode, "slot": slot, "condition": np.array(["x", "y"])[episode % 2]}
    bend = rng.uniform(-1, 1, episode.size)
    parts = [
        pd.DataFrame({**about, **told, "kind": kind, "bend": bend, "delta": bend + noise})
        for kind, noise in (("mean", 0.1 * rng.normal(size=bend.size)), ("zero", 0.0))
    ]
    table = pd.concat(parts, ignore_index=True)
    of, false = planted.nulls(table, 1)
    assert of == 8
    assert false <= 2
