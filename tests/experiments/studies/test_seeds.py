"""The study of seeds runs in its quick version; its sentences follow its numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.studies import registry as studies
from experiments.studies.seeds import study as seeds
from experiments.studies.seeds import words as seeds_words
from rl_ablation.analysis.consistency import consistency


def test_seeds_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "RUNS", tmp_path)
    folder = studies.run_study("seeds", quick=True)
    table = pd.read_csv(folder / "localisation.csv")
    own = table[table["division"] == "clusters"]
    assert set(own["behaviour"]) == set(seeds.BEHAVIOURS)
    assert own["iqm"].dropna().between(0, 1).all()
    assert len(pd.read_csv(folder / "similarity.csv")) == 1
    assert "2 seeds of one recipe" in (folder / "findings.md").read_text()
    assert (folder / "recurrence.png").stat().st_size > 20_000


def told(maps: list[np.ndarray], other: float | None = None) -> str:
    """What the study of seeds says of networks whose every episode is the same.

    ``other`` is the p of recurrence under the mean, else the main kind's.
    """
    rng = np.random.default_rng(0)
    even = [np.repeat(m.mean(0, keepdims=True), len(m), 0) for m in maps]
    harms = [
        np.repeat(np.stack([m, e])[None], 4, 0) + 0.001 * rng.normal(size=(4, 2, *m.shape))
        for m, e in zip(maps, even, strict=True)
    ]
    recurs = {
        seeds_words.PROFILE: consistency(maps, draws=99),
        seeds_words.SPECIFIC: consistency(maps, specific=True, draws=99),
    }
    found = dict.fromkeys((seeds.KIND, *seeds.OTHERS), recurs)
    if other is not None:
        found["mean"] = {how: replace(r, p=other) for how, r in recurs.items()}
    names = [[f"h{r % 2}/cluster-{r}" for r in range(len(m))] for m in maps]
    return seeds_words.tell(found, seeds.localisation(harms, 0, resamples=200), maps, names)


def test_the_words_follow_the_numbers() -> None:
    rng = np.random.default_rng(1)
    local = np.zeros((8, 5))
    local[[0, 1, 2, 3, 4], range(5)] = -1.0
    networks = [rng.permutation(local - 0.05 * rng.random((8, 5))) for _ in range(8)]
    text = told(networks)
    assert text.count("clusters recur under every kind") == 2
    assert "Crash is more local than random" in text
    assert told(networks, other=0.5).count("when resampled, not clearly at their means") == 2
    strangers = told([-rng.random((8, 5)) for _ in range(5)])
    assert strangers.count("do not clearly recur: inconclusive, a similarity below") == 2
    flat = told([np.full((8, 5), -0.5) - 1e-4 * rng.random((8, 5)) for _ in range(8)])
    assert "no effect of 10 % or more" in flat
    mixed = told([(-rng.random((8, 5)) if k % 2 else local - 0.2) for k in range(5)])
    assert "inconclusive: effects smaller than" in mixed
    harmless = told([np.ones((8, 5)) for _ in range(5)])
    assert "no cluster's loss harms it in any network" in harmless
