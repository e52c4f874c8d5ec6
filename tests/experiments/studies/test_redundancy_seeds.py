"""The studies of redundancy and of seeds, quick, and what they say of other numbers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.studies import registry as studies
from experiments.studies.redundancy import words as redundancy_words
from experiments.studies.seeds import study as seeds
from experiments.studies.seeds import words as seeds_words
from rl_ablation.analysis.recurrence import recurrence


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(studies, "RUNS", tmp_path)
    return tmp_path


def test_redundancy_quick(home: Path) -> None:
    folder = studies.run_study("redundancy", quick=True)
    groups = pd.read_csv(folder / "lap_groups.csv")
    pairs = pd.read_csv(folder / "lap_pairs.csv")
    text = (folder / "findings.md").read_text()
    assert len(pairs) == 6 * 2
    for measure, part in groups.groupby("measure"):
        best = part.loc[part["value"].idxmax()]
        line = next(x for x in text.splitlines() if x.lower().startswith(f"- {measure[:4]}"))
        assert f"largest Shapley value is {best['group']}'s" in line
        found = pairs[pairs["measure"] == measure]["kind"]
        assert f"{(found == 'redundant').sum()} are redundant" in line
    assert (folder / "lap.png").stat().st_size > 20_000


def test_seeds_quick(home: Path) -> None:
    folder = studies.run_study("seeds", quick=True)
    table = pd.read_csv(folder / "localisation.csv")
    own = table[table["division"] == "clusters"]
    assert set(own["behaviour"]) == set(seeds.BEHAVIOURS)
    assert own["iqm"].dropna().between(0, 1).all()
    assert len(pd.read_csv(folder / "similarity.csv")) == 1
    assert "2 seeds of one recipe" in (folder / "findings.md").read_text()
    assert (folder / "recurrence.png").stat().st_size > 20_000


def told(maps: list[np.ndarray]) -> str:
    """What the study of seeds says of networks whose every episode is the same."""
    rng = np.random.default_rng(0)
    even = [np.repeat(m.mean(0, keepdims=True), len(m), 0) for m in maps]
    harms = [
        np.repeat(np.stack([m, e])[None], 4, 0) + 0.001 * rng.normal(size=(4, 2, *m.shape))
        for m, e in zip(maps, even, strict=True)
    ]
    found = {
        seeds_words.PROFILE: recurrence(maps, draws=99),
        seeds_words.SPECIFIC: recurrence(maps, specific=True, draws=99),
    }
    names = [[f"h{r % 2}/cluster-{r}" for r in range(len(m))] for m in maps]
    return seeds_words.tell(found, seeds.localisation(harms, 0, resamples=200), maps, names)


def test_the_words_follow_the_numbers() -> None:
    rng = np.random.default_rng(1)
    local = np.zeros((8, 5))
    local[[0, 1, 2, 3, 4], range(5)] = -1.0
    text = told([rng.permutation(local - 0.05 * rng.random((8, 5))) for _ in range(5)])
    assert text.count("clusters recur") == 2
    assert "Crash is more local than random" in text
    strangers = told([-rng.random((8, 5)) for _ in range(5)])
    assert strangers.count("do not clearly recur") == 2
    flat = told([np.full((8, 5), -0.5) - 1e-4 * rng.random((8, 5)) for _ in range(5)])
    assert "not clearly more or less local" in flat or "less local" in flat
    harmless = told([np.ones((8, 5)) for _ in range(5)])
    assert "no cluster's loss harms it in any network" in harmless


def test_pairs_are_told_either_way() -> None:
    pairs = pd.DataFrame(
        {"a": ["x", "x"], "b": ["y", "z"], "value": [0.4, -0.1], "ci_low": [0.3, -0.2],
         "ci_high": [0.5, 0.0], "kind": ["redundant", ""]}
    )  # fmt: skip
    text = redundancy_words._tell_pairs(pairs, 0.8)
    assert "1 are redundant and 0 need each other" in text
    assert "x with y, redundant: 0.40 (0.30 to 0.50), 50% of the range" in text
    assert redundancy_words._tell_pairs(pairs.assign(kind=""), 0.8).endswith("0 need each other.")
    assert "inf" not in redundancy_words._tell_pairs(pairs, 0.0)
