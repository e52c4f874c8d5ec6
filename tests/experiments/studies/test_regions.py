"""The studies after the RWTH group run in their quick version and tell what their tables say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.studies.brain_scan import study as brain_scan
from experiments.studies.lap_regions import study as lap_regions
from experiments.studies.locomotion_regions import study as locomotion_regions
from experiments.studies.populations import study as populations
from experiments.studies.populations.words import tell_rules
from experiments.studies.recovery import study as recovery
from experiments.studies.regions import table, tell_improvements
from experiments.studies.registry import Answer
from rl_ablation.analysis.localisation import ANY, LOCAL, SPREAD, UNHARMED, _share, _verdict
from rl_ablation.formats import Estimate, number
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.mapping.claims import overall
from rl_ablation.mapping.evidence import CONFIRMATION
from rl_ablation.mapping.run import Run


def complete(answer: Answer) -> bool:
    for figure in answer.figures.values():
        figure.canvas.draw()
    return all(len(table) for table in answer.tables.values())


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
    assert _verdict(0.8, float("nan")) == ANY, "no controls are no evidence"
    assert _verdict(0.3, 0.02) == SPREAD


@pytest.fixture(scope="module")
def lap(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    folder = tmp_path_factory.mktemp("lap")
    return folder, lap_regions.study(folder, quick=True, seed=0)


def test_lap_regions_tells_what_its_tables_say(lap: tuple[Path, Answer]) -> None:
    folder, answer = lap
    assert complete(answer)
    where = answer.tables["locality"]
    assert list(where["measure"]) == list(lap_regions.MEASURES)
    effects = Run(folder / "lap").effects()
    effects = effects[effects["condition"] == "all"].set_index(["lesion", "measure"])
    harmed = where[where["verdict"] != UNHARMED]
    assert len(harmed), "the quick version is large enough to find something"
    clear = effects[(effects["q"] < 0.05) & (effects["group"] == "clusters")].index
    for row in harmed.to_dict("records"):
        assert (row["lesion"], row["measure"]) in clear
        assert effects.loc[(row["lesion"], row["measure"]), "stage"] == "confirmed"
        assert row["share_low"] <= row["share"] <= row["share_high"]
        assert f"{row['share']:.0%} of all harm" in answer.text
    for value in effects.loc["h1", "lesioned"].loc[list(lap_regions.MEASURES)]:
        assert number(value) in answer.text


def test_the_intact_row_is_the_intact_robots_own(
    lap: tuple[Path, Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not that of the episodes which the last lesion in the table shares with it."""
    run = Run(lap[0] / "lap")
    confirmation = run.part(CONFIRMATION)
    assert confirmation is not None
    episodes = confirmation.table()
    intact = episodes[episodes["lesion"] == INTACT]
    wanted = [number(intact[m].mean()) for m in lap_regions.MEASURES]
    rows = overall(run.effects())
    assert rows[rows["measure"] == "left_turning.alive"]["intact"].nunique() > 1
    for ascending in (True, False):
        ordered = rows.sort_values("intact", ascending=ascending)
        monkeypatch.setattr("experiments.studies.regions.overall", lambda *_, t=ordered: t)
        row = next(x for x in table(run, lap_regions.MEASURES).splitlines() if "| intact |" in x)
        assert row == f"| intact | {' | '.join(wanted)} |"


def test_improvements_are_told_with_their_fate(
    lap: tuple[Path, Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(lap[0] / "lap")
    found = run.effects()
    found = found[(found["condition"] == "all") & (found["stage"] == "confirmed")].head(2)
    for held, words in (
        ([], "No cut improves"),
        ([False, False], "none survives"),
        ([True, False], "1 of them survives"),
    ):
        table = found.head(len(held)).assign(held=np.array(held, bool), harm=0.5)
        monkeypatch.setattr("experiments.studies.regions.improvements", lambda *_, t=table: t)
        assert words in tell_improvements(run, lap_regions.MEASURES)


def test_locomotion_regions_maps_the_quadruped(tmp_path: Path) -> None:
    answer = locomotion_regions.study(tmp_path, quick=True, seed=0)
    assert complete(answer)
    assert "vx error (alive)" in answer.text
    assert set(answer.tables["locality"]["network"]) == {"quadruped"}


def test_brain_scan_counts_the_units_that_pass(tmp_path: Path) -> None:
    answer = brain_scan.study(tmp_path, quick=True, seed=0)
    assert complete(answer)
    table = answer.tables["contrasts"]
    side = table[(table["contrast"] == brain_scan.SIDE) & (table["site"] == "h1")]
    assert f"left − right bend in {(side['p_fwe'] < 0.05).sum()} of 64 units of h1" in answer.text
    ranks = answer.tables["agreement"]
    assert (ranks["low"] <= ranks["rho"]).all()
    assert (ranks["rho"] <= ranks["high"]).all()


def test_populations_compares_divisions_and_rules(tmp_path: Path) -> None:
    answer = populations.study(tmp_path, quick=True, seed=0)
    assert complete(answer)
    assert "no other network to judge it on" in answer.text
    assert list(answer.tables["divisions"]["site"]) == ["h0", "h1"]


def test_the_rule_is_chosen_on_the_first_network_among_weights_alone() -> None:
    def rules(first: float, second: float) -> pd.DataFrame:
        rows = [
            ("a", "in × out", first),
            ("a", "incoming L2", 0.3),
            ("a", "activity", 0.9),
            ("b", "in × out", second),
            ("b", "incoming L2", 0.8),
            ("b", "activity", 0.9),
        ]
        table = pd.DataFrame(rows, columns=["network", "rule", "rho"])
        return table.assign(site="h0", low=0.0, high=1.0, q=0.01, effect_self=0.9)

    assert populations.choose_rule(rules(0.5, -0.7)) == "in × out"
    assert populations.choose_rule(rules(0.1, 0.99)) == "incoming L2"
    told = tell_rules(rules(0.5, -0.7), "in × out")
    assert "clearly positive in 0 of 1 layers, −0.70 in the mean" in told


def test_recovery_trains_scores_and_maps_again(tmp_path: Path) -> None:
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
