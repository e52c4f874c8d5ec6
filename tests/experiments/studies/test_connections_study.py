"""The study of connections: its sums by hand, its sentences from numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments.studies.connections import study
from experiments.studies.connections.figures import ranking
from experiments.studies.connections.words import tell
from rl_ablation.analysis.connections import contrast
from rl_ablation.groupings.connections import connected
from rl_ablation.groupings.units import motors
from rl_ablation.lesions.lesion import Lesion, Plan


def case(noise: float, seed: int = 0) -> study.Case:
    rng = np.random.default_rng(seed)
    true = rng.exponential(size=60)
    rows: dict[str, object] = {rule: true * (k % 2) + rng.exponential(size=60) * ((k + 1) % 2)
                               for k, rule in enumerate(study.ASKED)}  # fmt: skip
    rows |= {"lesion": [f"a{k % 6}→b{k % 30 // 6}" for k in range(60)],
             "site": ["obs"] * 30 + ["h0"] * 30, "to": ["h0"] * 30 + ["h1"] * 30, "effect": true,
             "clear": true > 1, "clear in one": true > 0.5}  # fmt: skip
    halves = {f"half-{k}": true + noise * rng.normal(size=60) for k in range(20)}
    return study.Case("robot", None, pd.DataFrame({**rows, **halves}))  # type: ignore[arg-type]


def test_the_ceiling_is_how_well_effects_repeat() -> None:
    assert study.ranked(case(0.0), 0)["ceiling"].to_numpy() == pytest.approx(1)
    assert study.ranked(case(30.0), 0)["ceiling"].max() < 0.8


def test_sentences_and_the_figure_are_of_the_numbers() -> None:
    one = case(0.1)
    found = study.ranked(one, 0)
    apart = pd.DataFrame(
        [{"network": "robot", "rule": "weights × activity", "than": "weights",
          **contrast(one.cuts, "effect", ("weights × activity", "weights"))}]
    )  # fmt: skip
    text = tell(one.cuts.assign(network="robot"), found, apart)
    count, more = (int(one.cuts[key][:30].sum()) for key in ("clear", "clear in one"))
    assert f"- robot: {count} ({more}) of 30 from obs to h0" in text
    assert "| robot | weights × activity | **1.00** (1.00 to 1.00) | **1.00**" in text
    assert "weights × activity better than weights (difference" in text
    for head, key in (("chance", "shuffled"), ("least to be found", "smallest")):
        most = found.groupby("site", sort=False)[key].max()
        assert f"| robot | *{head}* | {most['obs']:.2f} | {most['h0']:.2f} |" in text
    ranking(found).canvas.draw()


def test_effects_are_shares_of_what_counts_as_a_full_change(policy, small_sweep, tmp_path) -> None:
    most = Plan([Lesion(name="h1/most", cut={"h1": tuple(range(8))}, kind="mean")])
    plan = connected(policy, most + motors(policy))
    measures = ("forward_speed", "survival")
    run = small_sweep(plan, tmp_path / "run", measures=measures)
    found = study.sizes(run).set_index("lesion")
    rows = run.own_effects()
    rows = rows[(rows["condition"] == "all") & rows["lesion"].isin(found.index)]
    for name, row in found.iterrows():
        shares = []
        for measure in measures:
            mine = rows[(rows["lesion"] == name) & (rows["measure"] == measure)].iloc[0]
            both = rows[rows["measure"] == measure]
            floor = 0.25 * abs(both["intact"].mean())
            least = floor if measure == "forward_speed" else max(0.25, floor)
            shares.append(mine["delta"] / max(both["delta"].abs().max(), least))
        assert row["effect"] == pytest.approx(np.sqrt(np.mean(np.square(shares))))
