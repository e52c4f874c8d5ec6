"""The study of when a region is needed: words follow numbers, and its quick run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.studies.registry import run_study
from experiments.studies.when import words
from experiments.studies.when.study import kept
from rl_ablation.lesions.lesion import INTACT


def told_of(**changed: object) -> pd.DataFrame:
    """Rows as of `weakest`: two regions, one behaviour."""
    row = {
        "region": ["h0/part-0", "h0/part-1"], "kind": "mean", "signal": "forward_speed",
        "intact": 0.8, "delta": -0.1, "ci_low": -0.2, "ci_high": -0.05, "amplitude": 0.04,
        "strongest": np.pi / 2, "there": -0.14, "smallest": 0.02, "random": 0.03, "draws": 20,
        "first": 0.15,
        "p": 0.001, "p_fwe": [0.001, 0.4], "p_random": 0.2, "holds": [True, False],
        "beyond": False, **changed,
    }  # fmt: skip
    return pd.DataFrame(row)


def test_the_words_follow_the_numbers() -> None:
    text = words.tell_dependence(told_of(), "the phase", words._degrees)
    assert text.startswith("The phase: of 2 effects")
    assert "1 depend on it under both kinds" in text
    assert "of these 0 go further than random cuts of the same size" in text
    assert "20 cuts, each by itself: of random regions up to 0.1 would" in text
    assert "forward speed ± 0.020 m/s" in text, "what would have been found"
    assert "h0/part-0, forward speed: ± 0.040 m/s, most at 90° (−0.140)" in text
    assert "h0/part-1" not in text
    none = told_of(holds=False, amplitude=0.0, smallest=np.nan)
    assert "of 0 effects" in words.tell_dependence(none, "the phase", words._degrees)


@pytest.mark.parametrize(("holds", "beyond"), [(False, False), (True, False), (True, True)])
def test_only_what_holds_and_goes_beyond_chance_is_told_as_a_change(
    holds: bool, beyond: bool
) -> None:
    text = words.tell_changes(told_of(holds=holds, beyond=beyond))
    assert ("No cut of 2 regions clearly changes anything" in text) == (not holds)
    assert (
        "h0/part-1 −0.100 (−0.200 to −0.050; resampled 0.150, random cuts 0.030)" in text
    ) == beyond
    if holds:
        assert f"Of these 2 changes (region × behaviour) {2 * beyond} go further than" in text
        assert "of random regions up to 0.1 would" in text


def test_the_quick_study_tells_what_its_tables_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_study("when", quick=True, out=tmp_path)
    text = capsys.readouterr().out
    found = {path.stem: pd.read_csv(path) for path in folder.glob("*.csv")}
    assert set(found["lap_bend"]["region"].str.partition("/")[0]) == {"h0", "h1"}
    held = found["push_quadruped_changes"].query("holds")["region"].nunique()
    assert f"{held} of 8 regions change something" in text or not held
    intact = found["push_quadruped_intact"].set_index("signal")
    assert f"by 0.5 s.d. after {words.number(intact.loc['latency', 'delta'])} (" in text
    assert INTACT in set(found["push_quadruped_course"]["lesion"])
    for name in ("lap", "gait_quadruped", "push_quadruped"):
        assert (folder / f"{name}.png").stat().st_size > 20_000
    assert not kept(folder / "lap.parquet", fail).empty, "what is there is not run again"


def fail() -> pd.DataFrame:
    raise AssertionError("run again")
