"""The study of what codes evoke: its words, a small run of one robot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from agents.zoo import find_agent
from experiments.studies.stimulation.figures import doses, regions
from experiments.studies.stimulation.study import LAP
from experiments.studies.stimulation.subject import Size, ask
from experiments.studies.stimulation.words import tell, tell_untrained, tell_verdicts
from rl_ablation.formats import Estimate


def test_a_small_run_is_told_as_its_tables_say() -> None:
    subject = replace(LAP, k=2, horizon=160)
    found = ask(subject, find_agent("lap"), Size(6, draws=1, directions=1), 0)
    told = tell(found)
    for row in found.both.to_dict("records"):
        lost, evoked = (Estimate.of(row, k, f"{k}_low", f"{k}_high") for k in ("lost", "evoked"))
        assert f"| {lost}" in told
        assert f"| {evoked}" in told
    names = found.both["region"].tolist()
    assert {"h0", "h1", "h0/contrast", "h1/contrast"} <= set(names)
    low, high = found.ends
    assert low < 0 < high, "right bends turn right"
    for site in ("h0", "h1"):
        target, source = found.levels[site]
        assert target < source
    # In this robot no other directions vary as much as these, so none is a control.
    assert set(found.curves["kind"]) == {"stimulate", "clamp"}
    assert told.count("so it has no control") == 2
    for figure in (regions([found]), doses([found])):
        figure.canvas.draw()


def test_every_verdict_has_its_words() -> None:
    subject = replace(LAP, k=2)
    rows = [("a", "yes", "yes"), ("b", "no", "yes"), ("c", "no", "no"), ("d", "unclear", "no")]
    both = pd.DataFrame(
        [{"region": r, "signal": "yaw_rate", "necessary": n, "sufficient": s} for r, n, s in rows]
    )
    evoked = pd.DataFrame({"region": ["a"], "signal": "yaw_rate", "p_random": 0.5, "draws": 3})
    found = type("Found", (), {"subject": subject, "both": both, "evoked": evoked})
    told = tell_verdicts(found)
    assert "- necessary and sufficient: a (yaw rate)." in told
    assert "- sufficient and not necessary: b (yaw rate)." in told
    assert "- neither: 1; not clear: 1." in told


def test_untrained_networks_are_told_with_the_size_of_their_way() -> None:
    one = type("Found", (), {"subject": LAP, "ends": (-0.5, 0.4)})
    rows = pd.DataFrame(
        {"robot": "x", "network": [0, 1, 2], "way": [0.03, np.nan, np.nan], "asked": [12, 0, 0],
         "claimed": [3, 0, 0], "clusters": [8, 0, 0], "claimed_clusters": [1, 0, 0],
         "why": ["", "no episode", ""]}
    )  # fmt: skip
    told = tell_untrained([(rows, one)])
    assert "1 of 3 networks clearly do otherwise in left bends than in right bends" in told
    assert "1 never come so far" in told
    assert "by 0.03 in yaw rate, rad/s (trained: 0.90)" in told
    assert "Of their 8 clusters 1 evoke" in told
    assert "no sign of training" in told
    nothing = rows.assign(way=np.nan, claimed=0)
    assert "no sign of training" not in tell_untrained([(nothing, one)])
