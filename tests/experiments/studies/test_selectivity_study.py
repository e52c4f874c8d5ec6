"""The study of selectivity: its sums by hand, words that follow the numbers, and its quick run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.studies import registry as studies
from experiments.studies.registry import run_study
from experiments.studies.selectivity import comparison as sums
from experiments.studies.selectivity import words as report
from rl_ablation.formats import number
from rl_ablation.stats import spearman

ALPHAS = (-2.0, -0.5, 0.0, 0.5, 2.0)
SEEDS = tuple(range(12))


def measured(slopes: dict[str, float], bend: float = 0.0, noise: float = 0.01):
    """Values of networks whose metrics go straight with α's rank, or bend down on both sides."""
    rng = np.random.default_rng(0)
    values = {}
    for s in SEEDS:
        for k, alpha in enumerate(ALPHAS):
            values[alpha, s] = {
                m.key: 1.0
                + slopes.get(m.key, 0.0) * (k - 2)
                - bend * abs(k - 2)
                + noise * rng.normal(size=4)
                for m in sums.METRICS
            }
    return values


def tables(values):
    networks = pd.DataFrame(
        {"alpha": a, "seed": s, **{k: float(v.mean()) for k, v in values[a, s].items()}}
        for a, s in values
    )
    means = sums.compare(values, ALPHAS, SEEDS, 0)
    return networks, means, sums.trend(networks, 0)


def test_trend_is_spearmans_and_its_p_is_small_only_for_a_trend() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(3, 5))
    wanted = [stats.spearmanr(v, ALPHAS).statistic for v in values]
    assert spearman(values, np.array(ALPHAS)) == pytest.approx(wanted)
    _, _, flat = tables(measured({}, noise=0.0))
    assert (flat["rho"] == 0).all()
    _, _, trends = tables(measured({"progress": -0.2, "noise": 0.2}, noise=0.1))
    rows = trends.set_index("metric")
    assert rows.loc["progress", "rho"] < -0.8
    assert rows.loc["noise", "rho"] > 0.8
    assert rows.loc["progress", "p"] < 0.005
    others = [m.key for m in sums.METRICS if m.key not in ("progress", "noise")]
    assert (rows.loc[others, "q"] > 0.05).mean() > 0.8


def test_changes_pair_networks_of_the_same_seed() -> None:
    """Seeds that differ a lot, all changed alike: the change is sure, the value is not."""
    values = measured({"progress": -0.1}, noise=0.0)
    for (_, s), metrics in values.items():
        metrics["progress"] = metrics["progress"] + 5.0 * s
    _, means, _ = tables(values)
    rows = means[means["metric"] == "progress"].set_index("alpha")
    assert rows.loc[2.0, "change"] == pytest.approx(-0.2)
    assert rows.loc[2.0, "change_low"] == pytest.approx(rows.loc[2.0, "change_high"])
    assert rows.loc[2.0, "high"] - rows.loc[2.0, "low"] > 5
    assert (rows.loc[0.0, ["change", "change_low", "change_high"]] == 0).all()


@pytest.mark.parametrize(
    ("slope", "bend", "more", "less"),
    [
        (-0.1, 0.0, (14, 0), (0, 14)),
        (0.1, 0.0, (0, 14), (14, 0)),
        (0.0, 0.1, (14, 0), (14, 0)),
        (0.0, 0.0, (0, 0), (0, 0)),
    ],
)
def test_the_words_follow_the_numbers(slope, bend, more, less) -> None:
    # crash is better when it is less, so it goes the other way
    slopes = {m.key: slope * m.better for m in sums.OUTCOMES}
    values = measured(slopes, bend, noise=0.0 if slope == bend == 0 else 0.01)
    for metrics in values.values():
        if bend:
            metrics["crash"] = 2.0 - metrics["crash"]
    _, means, trends = tables(values)
    for side, (worse, better) in ((1, more), (-1, less)):
        told = f"{worse} are clearly worse, {better} clearly better and {14 - worse - better} not"
        assert told in report.tell_side(means, side)
    short = report.tell_short(means, report.by_metric(trends))
    assert short.endswith("none.") == (slope == 0)
    assert ("change by 0% at most" in short) == (slope == bend == 0)
    kinds = report.tell_kinds(report.by_metric(trends))
    assert kinds.count("does not clearly change") == (3 if slope == 0 else 0)
    assert kinds.endswith(": nothing clear either way.") == (slope == 0)
    assert kinds.count("falls with α") == (3 if slope < 0 else 0)
    told = report.tell_outcome(means, report.by_metric(trends)["progress"], sums.OUTCOMES[0])
    assert ("no effect of 0.100 or more" in told) == (slope == bend == 0)
    assert ("no clear trend" in told) == (slope == 0)


def test_what_could_not_have_been_found_is_inconclusive() -> None:
    _, means, trends = tables(measured({}, noise=1.0))
    told = report.tell_outcome(means, report.by_metric(trends)["noise"], sums.OUTCOMES[-3])
    smallest = means.query("metric == 'noise' and alpha != 0")["smallest"].max()
    assert smallest > 0.05
    assert f"inconclusive: effects smaller than {smallest:.3f} could not have been found" in told


def test_one_change_of_many_that_chance_could_make_is_not_clear() -> None:
    values = measured({}, noise=0.1)
    for s in SEEDS:  # 10 of 12 pairs agree: p = 0.039 by itself
        values[2.0, s]["progress"] = values[0.0, s]["progress"] + (1 if s > 1 else -1)
    _, means, _ = tables(values)
    row = means.query("metric == 'progress' and alpha == 2.0").iloc[0]
    assert row["p"] < 0.05 < row["q"]
    assert row["change_low"] > 0
    assert "0 clearly better" in report.tell_side(means, 1)


def test_corruption_and_attack_can_be_their_picture() -> None:
    fits = {"noise": -0.2, "dropout": -0.2, "worst": 0.2}
    _, _, trends = tables(measured(fits))
    assert report.tell_kinds(report.by_metric(trends)).endswith(": their picture.")
    _, _, trends = tables(measured({**fits, "worst": -0.2}))
    assert report.tell_kinds(report.by_metric(trends)).endswith("in part.")
    _, _, trends = tables(measured({"noise": 0.2, "worst": -0.2}))
    assert report.tell_kinds(report.by_metric(trends)).endswith(
        ": what is clear goes the other way."
    )


@pytest.mark.parametrize(
    ("slopes", "word"),
    [
        ({"eta": 0.1, "layer": 0.1}, "not merely rotated"),
        ({"eta": 0.1}, "may have been merely rotated"),
        ({"layer": 0.1}, "so this is open"),
        ({"eta": 0.1, "layer": -0.1}, "goes the other way"),
    ],
)
def test_rotation_is_told_from_loss(slopes, word) -> None:
    values = measured(slopes, noise=0.0)
    _, means, _ = tables(values)
    assert report.tell_rotation(means).count(word) == 4


def test_the_quick_study_tells_what_its_tables_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(studies, "RUNS", tmp_path / "runs")
    folder = run_study("selectivity", quick=True, out=tmp_path / "study")
    text = (folder / "findings.md").read_text()
    assert text in capsys.readouterr().out
    networks, means = (pd.read_csv(folder / f"{name}.csv") for name in ("networks", "means"))
    assert len(networks) == 6
    assert networks[["si", "eta", "layer", "best", "similarity"]].stack().between(0, 1).all()
    si = networks.groupby("alpha")["si"].mean()
    for value in si:
        assert number(value) in text
    zero = means[means["alpha"] == 0]
    assert (zero[["change", "change_low", "change_high"]] == 0).all(axis=None)
    trends = pd.read_csv(folder / "trends.csv")
    assert set(trends["metric"]) == {m.key for m in sums.METRICS}
    assert (folder / "answer.png").stat().st_size > 20_000


def test_untrained_networks_are_told_beside_the_plain_ones() -> None:
    _, means, _ = tables(measured({}, noise=0.0))  # 1 everywhere
    naive = pd.DataFrame({"seed": 0, "draw": range(3), "si": [0.1, 0.2, 0.3], "eta": [0.5, 1.0, 2]})
    text = report.tell_untrained(naive, means)
    assert "3 untrained networks" in text
    assert "SI of the units 0.20 (0.10 to 0.30; at α = 0 1.00, above that range)" in text
    assert "η² of the units 1.00 (0.50 to 2.00; at α = 0 1.00, within that range)" in text
