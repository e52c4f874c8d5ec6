"""The brain scan runs in its quick version and says what its tables say."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from experiments.studies.brain_scan import study as brain_scan
from experiments.studies.brain_scan.chance import SHUFFLED, TRAINED, WATCHING, beyond
from experiments.studies.brain_scan.words import tell_chance
from experiments.studies.registry import Answer


def test_brain_scan_counts_the_units_that_pass(
    tmp_path: Path, complete: Callable[[Answer], bool]
) -> None:
    answer = brain_scan.study(tmp_path, quick=True, seed=0)
    assert complete(answer)
    table = answer.tables["contrasts"]
    side = table[(table["contrast"] == brain_scan.SIDE) & (table["site"] == "h1")]
    assert f"left − right bend in {(side['p_fwe'] < 0.05).sum()} of 64 units of h1" in answer.text
    chances = answer.tables["chance"]
    own = chances[(chances["who"] == TRAINED) & (chances["contrast"] == brain_scan.SIDE)]
    assert (
        int(own["units"].iloc[0])
        == ((table["contrast"] == brain_scan.SIDE) & (table["p_fwe"] < 0.05)).sum()
    )
    assert answer.text.count("untrained, watching (4) ") == 2
    shuffled = chances[chances["who"] == SHUFFLED]
    assert shuffled["strength"].max() < chances[chances["who"] == WATCHING]["strength"].min()
    ranks = answer.tables["agreement"]
    assert (ranks["low"] <= ranks["rho"]).all()
    assert (ranks["rho"] <= ranks["high"]).all()


@pytest.mark.parametrize(
    ("untrained", "as_many", "p", "verdict"),
    [
        (range(40), 0, 2 / 41, "more units than in untrained networks (p = 0.049)"),
        ([*range(39), 120], 1, 4 / 41, "not shown to be more than in untrained networks"),
        (range(12), 0, 2 / 13, "not shown to be more than in untrained networks"),
        ([128] * 40, 40, 1.0, "not shown to be more than in untrained networks"),
    ],
)
def test_the_verdict_follows_the_untrained_networks(untrained, as_many, p, verdict) -> None:
    seen = [(TRAINED, 120), *((WATCHING, int(k)) for k in untrained)]
    rows = [
        {"who": who, "draw": k, "contrast": name, "units": units, "of": 128, "strength": 0.5,
         "most": 1.0, "n": 24}
        for name in ("left − right", "bend − straight")
        for k, (who, units) in enumerate(seen)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    assert beyond(table)["as_many"].tolist() == [as_many] * 2
    assert beyond(table)["p_all"].tolist() == pytest.approx([p] * 2)
    assert tell_chance(table).count(verdict) == 2
