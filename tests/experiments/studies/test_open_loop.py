"""The study of open loop against closed loop: its sums by hand, and its quick run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.studies.open_loop import study as open_loop
from experiments.studies.open_loop import words as open_loop_words
from experiments.studies.registry import run_study
from rl_ablation.formats import Estimate, number
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.mapping.run import Run
from rl_ablation.measures.laps import BEND


def cuts(direct: np.ndarray, loss: np.ndarray) -> pd.DataFrame:
    names = [f"h0/cluster-{k}" for k in range(len(direct))]
    return pd.DataFrame(
        {"lesion": names, "group": "clusters", "site": "h0", "took": 0.0, "direct": direct,
         "off_manifold": -direct, "loss": loss}
    )  # fmt: skip


def test_ranks_are_spearmans_with_an_interval_around() -> None:
    rng = np.random.default_rng(0)
    direct = rng.normal(size=40)
    loss = direct + rng.normal(size=40)
    ranks = open_loop.ranking(cuts(direct, loss), 0).set_index("what")
    wanted = stats.spearmanr(direct, loss).statistic
    assert ranks.loc["direct", "rho"] == pytest.approx(wanted)
    assert ranks.loc["off_manifold", "rho"] == pytest.approx(-wanted)
    assert 0 < ranks.loc["direct", "ci_low"] < wanted < ranks.loc["direct", "ci_high"] < 1


@pytest.mark.parametrize(
    ("sign", "words"),
    [(1, "progress rises with"), (-1, "progress falls with"), (0, "does not clearly change with")],
)
def test_the_words_follow_the_numbers(sign: int, words: str) -> None:
    rng = np.random.default_rng(1)
    direct = rng.normal(size=40)
    table = cuts(direct, sign * direct + 0.1 * rng.normal(size=40))
    at_zero = pd.Series(0.7, table["lesion"])
    told = open_loop_words.tell_direct(table, open_loop.ranking(table, 0), at_zero)
    assert words in told
    assert ("inconclusive: effects smaller than 0.44" in told) == (sign == 0)
    assert "Every cut took" in told
    assert told.count("and 70 %") == len(table)
    table.loc[3, "took"] = 0.5
    told = open_loop_words.tell_direct(table, open_loop.ranking(table, 0), at_zero)
    assert "NOT every cut took" in told


def test_trigger_conditions_part_the_bends_without_gap_or_overlap() -> None:
    plan = open_loop.triggered(Plan([Lesion(name="h0/cluster-0", cut={"h0": (0,)})]))
    whens = [plan[f"h0/cluster-0@{name}"].when for name in (*open_loop.TRIGGERS, "always")]
    assert whens[-1] is None
    for bend in (-1.0, -BEND, 0.0, BEND, np.nextafter(BEND, 1), 1.0):
        assert sum(eval(when, {"bend": bend}) for when in whens[:-1]) == 1


def test_the_quick_study_tells_what_its_tables_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_study("open-loop", quick=True, out=tmp_path)
    told = capsys.readouterr().out
    found = {k: pd.read_csv(folder / f"{k}.csv") for k in ("cuts", "ranks", "drift", "triggers")}
    assert (found["cuts"]["took"] == 0).all()
    assert set(found["ranks"]["site"]) == {"h0", "h1"}
    for row in found["ranks"].query("what == 'direct'").itertuples():
        ends = Estimate(row.rho, row.ci_low, row.ci_high).ends()
        assert f"(Spearman {number(row.rho)}, 95 % {ends}; " in told
    assert found["drift"]["lesion"][0] == "nudge"
    assert found["drift"]["excess"][0] == 0
    regions = found["drift"]["lesion"][1:]
    assert set(found["triggers"]["region"]) == set(regions)
    assert len(found["triggers"]) == len(regions) * 4 * len(open_loop.TIMED)
    for name in ("open-loop", "drift"):
        assert (folder / f"{name}.png").stat().st_size > 20_000
    # Under "always" the cuts of the two sweeps are the same robots.
    both = Run(folder / "triggers").table().query("lesion.str.endswith('@always')")
    alone = Run(folder / "cuts").table()
    alone = alone[alone["lesion"].isin(regions)]
    assert both["steps"].tolist() == alone["steps"].tolist()
