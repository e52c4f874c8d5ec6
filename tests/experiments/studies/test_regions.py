"""The studies of regions run in their quick version and say what their tables say."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from experiments.studies.lap_regions import study as lap_regions
from experiments.studies.locomotion_regions import study as locomotion_regions
from experiments.studies.real_robots import study as real_robots
from experiments.studies.regions import table, tell_improvements, tell_memory
from experiments.studies.registry import Answer
from rl_ablation.analysis.localisation import (
    ANY,
    LOCAL,
    SPREAD,
    UNHARMED,
    UNTESTED,
    _share,
    _verdict,
)
from rl_ablation.errors import LabError
from rl_ablation.formats import Estimate, number
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.mapping.claims import overall
from rl_ablation.mapping.map import Map


def test_shares_are_of_all_harm_and_a_gain_is_no_harm() -> None:
    lost = np.tile([3.0, 1.0, -5.0], (10, 1))
    assert _share(lost, 0, 0) == Estimate(0.75, 0.75, 0.75)
    assert _share(lost, 2, 0).value == 0.0
    assert np.isnan(_share(-np.abs(lost), 0, 0).value)
    gaps = np.where(np.arange(10)[:, None] % 2 == 0, np.nan, lost)
    assert _share(gaps, 0, 0).value == 0.75
    found = _share(np.random.default_rng(0).normal(1, 1, (10, 3)), 1, 0)
    assert 0 <= found.low < found.high <= 1


def test_local_needs_a_share_and_more_than_chance() -> None:
    assert _verdict(0.8, 0.02) == LOCAL
    assert _verdict(0.8, 0.2) == ANY
    assert _verdict(0.8, float("nan")) == UNTESTED, "no controls are no evidence"
    assert _verdict(0.3, 0.02) == SPREAD


@pytest.fixture(scope="module")
def lap(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    folder = tmp_path_factory.mktemp("lap")
    return folder, lap_regions.study(folder, quick=True, seed=0)


def test_lap_regions_tells_what_its_tables_say(
    lap: tuple[Path, Answer], complete: Callable[[Answer], bool]
) -> None:
    folder, answer = lap
    assert complete(answer)
    where = answer.tables["locality"]
    assert list(where["measure"]) == list(lap_regions.MEASURES)
    effects = Map(folder / "lap").effects()
    effects = overall(effects).set_index(["lesion", "measure"])
    harmed = where[where["verdict"] != UNHARMED]
    assert len(harmed), "the quick version is large enough to find something"
    clear = effects[(effects["q"] < 0.05) & (effects["group"] == "clusters")].index
    for row in harmed.to_dict("records"):
        assert (row["lesion"], row["measure"]) in clear
        assert effects.loc[(row["lesion"], row["measure"]), "stage"] == "confirmed"
        assert row["share_low"] <= row["share"] <= row["share_high"]
        assert f"{row['share']:.0%} of the harm in {row['layer']}" in answer.text
    for value in effects.loc["h1", "lesioned"].loc[list(lap_regions.MEASURES)]:
        assert number(value) in answer.text


def test_the_intact_row_is_the_intact_robots_own(
    lap: tuple[Path, Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not that of the episodes which the last lesion in the table shares with it."""
    run = Map(lap[0] / "lap")
    confirmation = run.confirmation
    assert confirmation is not None
    episodes = confirmation.whole_table()
    intact = episodes[episodes["lesion"] == INTACT]
    wanted = [number(intact[m].mean()) for m in lap_regions.MEASURES]
    rows = overall(run.effects())
    assert rows[rows["measure"] == "left_turning.alive"]["intact"].nunique() > 1
    for ascending in (True, False):
        ordered = rows.sort_values("intact", ascending=ascending)
        monkeypatch.setattr("experiments.studies.regions.changes", lambda *_, t=ordered: t)
        row = next(x for x in table(run, lap_regions.MEASURES).splitlines() if "| intact |" in x)
        assert row == f"| intact | {' | '.join(wanted)} |"


def test_improvements_are_told_with_their_fate(
    lap: tuple[Path, Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Map(lap[0] / "lap")
    found = overall(run.effects())
    found = found[found["stage"] == "confirmed"].head(2)
    for held, words in (
        ([], "No cut improves"),
        ([False, False], "none survives"),
        ([True, False], "1 of them survives"),
    ):
        table = found.head(len(held)).assign(held=np.array(held, bool), harm=0.5)
        monkeypatch.setattr("experiments.studies.regions.improvements", lambda *_, t=table: t)
        assert words in tell_improvements(run, lap_regions.MEASURES)


def test_locomotion_regions_maps_the_quadruped(
    tmp_path: Path, complete: Callable[[Answer], bool]
) -> None:
    answer = locomotion_regions.study(tmp_path, quick=True, seed=0)
    assert complete(answer)
    assert "forward: vx error" in answer.text
    assert set(answer.tables["locality"]["network"]) == {"quadruped"}


def test_real_robots_says_which_policy_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real_robots, "POLICIES", tmp_path)
    with pytest.raises(
        LabError, match=r"go1_policy\.onnx: put the published policy of the Go1 there"
    ):
        real_robots.study(tmp_path, quick=True, seed=0)


def test_what_is_told_of_robots_and_of_memory(lap: tuple[Path, Answer]) -> None:
    tables = lap[1].tables
    told = real_robots.tell_robots({"A": tables["locality"], "B": tables["locality"]})
    assert told.count("clearly harmed by some region's loss") == 2
    told = tell_memory(Map(lap[0] / "lap"), ("progress",))
    assert told.endswith("cut as a whole:\n\n"), "this robot remembers nothing"
