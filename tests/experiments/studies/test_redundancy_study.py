"""The study of redundancy runs in its quick version; its sentences follow its numbers."""

from pathlib import Path

import pandas as pd
import pytest

from experiments.studies import registry as studies
from experiments.studies.redundancy import words as redundancy_words


def test_redundancy_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "RUNS", tmp_path)
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


def test_pairs_are_told_either_way() -> None:
    pairs = pd.DataFrame(
        {"a": ["x", "x"], "b": ["y", "z"], "value": [0.4, -0.1], "ci_low": [0.3, -0.2],
         "ci_high": [0.5, 0.0], "kind": ["redundant", ""]}
    )  # fmt: skip
    text = redundancy_words._tell_pairs(pairs, 0.8)
    assert "1 are redundant and 0 need each other; for 1 it is not clear (q" in text
    assert "x with y, redundant: 0.40 (0.30 to 0.50), 50% of the range" in text
    assert redundancy_words._tell_pairs(pairs.assign(kind=""), 0.8).endswith(
        "0 need each other; for 2 it is not clear."
    )
    assert "inf" not in redundancy_words._tell_pairs(pairs, 0.0)
