"""The brain scan runs in its quick version and says what its tables say."""

from collections.abc import Callable
from pathlib import Path

from experiments.studies.brain_scan import study as brain_scan
from experiments.studies.registry import Answer


def test_brain_scan_counts_the_units_that_pass(
    tmp_path: Path, complete: Callable[[Answer], bool]
) -> None:
    answer = brain_scan.study(tmp_path, quick=True, seed=0)
    assert complete(answer)
    table = answer.tables["contrasts"]
    side = table[(table["contrast"] == brain_scan.SIDE) & (table["site"] == "h1")]
    assert f"left − right bend in {(side['p_fwe'] < 0.05).sum()} of 64 units of h1" in answer.text
    ranks = answer.tables["agreement"]
    assert (ranks["low"] <= ranks["rho"]).all()
    assert (ranks["rho"] <= ranks["high"]).all()
