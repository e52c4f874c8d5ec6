"""The building-blocks study in its quick version: its words and pictures follow its numbers."""

import numpy as np
import pandas as pd
import pytest

from experiments.studies.building_blocks.study import QUICK, matters_most, study
from experiments.studies.building_blocks.words import tell_guide
from rl_ablation.errors import LabError
from rl_ablation.mapping.map import Map


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("building-blocks")
    try:
        return study(folder, quick=True, seed=0), folder
    except LabError as error:
        if "draw" not in str(error):
            raise
        pytest.skip(f"MuJoCo cannot draw here: {error}")


def test_the_quick_study_looks_at_all_three_levels(done):
    answer, folder = done
    assert list(answer.figures) == ["atlas", "over_time", "guide"]
    parts = list(dict.fromkeys(answer.tables["blocks"]["lesion"]))
    assert parts[0] in ("h0", "h1")
    assert all("/factor-" in name for name in parts[1 : 1 + QUICK.shown])
    assert parts[-1].rpartition("/")[2].isdecimal()
    for name in parts:
        assert f"**{name}**" in answer.text
    assert answer.text.count(f"of {QUICK.draws} random cuts of its size") == QUICK.shown
    units = answer.tables["units"]
    assert len(units) == 128
    assert units["optimised_percentile"].max() <= 99.5
    assert set(units["group"]) <= {"", *Map(folder / "chosen-on").plan.names}


def test_what_is_shown_was_chosen_on_other_episodes(done):
    _, folder = done
    first, second = Map(folder / "chosen-on"), Map(folder / "measured-on")
    assert not set(first.table()["seed"]) & set(second.table()["seed"])
    assert set(matters_most(first, QUICK.shown).names) <= set(second.plan.names)
    names = [n for n in second.plan.names if "random-" in n]
    assert len(names) >= QUICK.draws


def test_the_same_seed_tells_the_same(done):
    answer, folder = done
    again = study(folder, quick=True, seed=0)
    assert again.text == answer.text
    for name, table in answer.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table)


def test_the_verdict_follows_the_interval():
    row = {"level": "groups", "n": 12, "through": "speed", "loss": "turning", "rho_spread": 0.1}
    row["q"] = 0.01
    for rho, low, high, word in (
        (0.5, 0.2, 0.7, "the more the loss hurts"),
        (-0.5, -0.7, -0.2, "the *less*"),
        (0.1, -0.2, 0.3, "no clear relation"),
        (np.nan, np.nan, np.nan, "no clear relation"),
    ):
        guide = pd.DataFrame([{**row, "rho": rho, "ci_low": low, "ci_high": high}])
        points = pd.DataFrame({"level": ["units of h0", "groups"], "turning": [-0.02, 0.5]})
        told = tell_guide(guide, points)
        assert "turning by 2.0%" in told
        assert word in told
        assert ("In 1 of 1" in told) == (low > 0)
