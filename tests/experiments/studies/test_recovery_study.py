"""The study of recovery runs in its quick version and says what its tables say."""

from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.studies.recovery import study as recovery
from experiments.studies.registry import Answer


def test_recovery_trains_scores_and_maps_again(
    tmp_path: Path, complete: Callable[[Answer], bool]
) -> None:
    answer = recovery.study(tmp_path, quick=True, seed=0)
    assert complete(answer)
    rows = answer.tables["summary"].set_index("arm")
    assert rows.loc["cut", "score"] < rows.loc["before", "score"]
    assert rows.loc["before", "to_before"] == 0
    regions = answer.tables["regions"]
    old = regions[regions["old"] & (regions["arm"] == "frozen")]
    assert (old["delta"].dropna() == 0).all(), "a region that is frozen at zero cannot be missed"
    curve = answer.tables["curves"].set_index(["arm", "steps"])["score"]
    assert curve["frozen", 0] == pytest.approx(rows.loc["cut", "score"], abs=0.02)
    assert curve["trained on", 0] == pytest.approx(rows.loc["before", "score"], abs=0.02)
    again = recovery.study(tmp_path, quick=True, seed=0)
    assert again.text == answer.text
