"""The study of essence networks runs in its quick version and tells what its tables say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.studies.essence.words import DIFFERENCE, NETWORKS, TOGETHER, tell
from experiments.studies.registry import run_study
from rl_ablation.analysis.localisation import INDICES
from rl_ablation.formats import number


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_study("essence", quick=True, out=tmp_path_factory.mktemp("essence"))


def test_quick_study(folder: Path) -> None:
    text = (folder / "findings.md").read_text()
    for name in ("locality.png", "outside.png"):
        assert (folder / name).stat().st_size > 10_000
    scores = pd.read_csv(folder / "scores.csv").set_index("network")
    for sort in NETWORKS:
        assert f"{sort} {number(scores.loc[sort, 'progress'])} laps" in text
    local = pd.read_csv(folder / "locality.csv")
    whole = local[(local["layer"] == "all") & (local["measure"] == "all")]
    row = whole[
        (whole["network"] == "essence") & (whole["cut"] == TOGETHER)
        & (whole["index"] == INDICES[0])
    ].iloc[0]  # fmt: skip
    assert f"{number(row['value'])} (95 % CI {number(row['low'])}" in text
    units = pd.read_csv(folder / "units.csv")
    # Same sizes: an essence network and its twin have equally many differentia units.
    assert units.groupby("network")["unit"].nunique().nunique() == 1


def test_it_goes_on_where_it_is(folder: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in folder.glob("pair-*/*/*")}
    before |= {p: p.stat().st_mtime_ns for p in folder.glob("cuts/*/shards/*")}
    assert len(before) > 5
    text = (folder / "findings.md").read_bytes()
    run_study("essence", quick=True, out=folder)
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert (folder / "findings.md").read_bytes() == text


def test_the_words_follow_the_numbers_either_way(folder: Path) -> None:
    tables = {n: pd.read_csv(folder / f"{n}.csv") for n in ("scores", "units", "outside")}
    local = pd.read_csv(folder / "locality.csv")
    gap = (local["network"] == DIFFERENCE) & (local["cut"] == TOGETHER)

    def told(value: float, low: float, high: float, p: float = 0.01) -> str:
        changed = local.copy()
        changed.loc[gap, ["value", "low", "high", "smallest", "p"]] = value, low, high, 0.25, p
        return tell(tables["scores"], changed, tables["units"], tables["outside"], 0.5)

    assert "are more local than the twin's" in told(0.2, 0.1, 0.3)
    assert "are less local than the twin's" in told(-0.2, -0.3, -0.1)
    assert "parts are more specific than the twin's" in told(-0.2, -0.3, -0.1)
    assert "not shown to be other" in told(0.2, 0.1, 0.3, p=0.5), "of too few pairs"
    smaller = "effects smaller than 0.25 could not have been found"
    assert f"the twin's (inconclusive: {smaller})" in told(0.1, -0.1, 0.3)
    assert "the twin's (no effect of 0.10 or more" in told(0.0, -0.05, 0.05)
    assert "cannot be compared with" in told(np.nan, np.nan, np.nan)
