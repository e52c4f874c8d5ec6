"""Populations: the two kinds agree where they were made to, and by chance where they were not."""

import numpy as np
import pandas as pd
import pytest

from rl_ablation.analysis import populations
from rl_ablation.analysis.populations import (
    agreement,
    by_effect,
    effect_vectors,
    importance_of,
    profile,
)
from rl_ablation.errors import LabError
from rl_ablation.groupings.clusters import by_activity
from rl_ablation.lesions.methods import SiteStats

MEASURES = ("speed", "turning")
GROUP = np.repeat([0, 1, 2], 8)
EFFECTS = np.array([[0.0, 0.0], [-3.0, 0.0], [0.0, 40.0]])


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(populations, "BOOTSTRAP", 40)
    monkeypatch.setattr(populations, "HALVES", 4)


def table(group: np.ndarray, noise: float = 0.1, episodes: int = 8) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for episode in range(episodes):
        base = rng.normal(size=2) * 5  # what makes an episode easy or hard is in all its rows
        rows.append(("intact", episode, *base))
        for unit, g in enumerate(group):
            rows.append((f"h0/{unit}", episode, *(base + EFFECTS[g] + noise * rng.normal(size=2))))
    return pd.DataFrame(rows, columns=["lesion", "episode", *MEASURES])


def activity(group: np.ndarray) -> dict[str, SiteStats]:
    rng = np.random.default_rng(1)
    source = rng.normal(size=(400, 3))
    values = source[:, group] + 0.3 * rng.normal(size=(400, len(group)))
    return {"h0": SiteStats(values.astype(np.float32))}


def test_the_same_groups_agree() -> None:
    found = agreement(table(GROUP), activity(GROUP), "h0", MEASURES, 3)
    assert found["ari"] == 1.0
    assert found["effect_self"] == found["activity_self"] == 1.0
    assert found["low"] == found["high"] == 1.0
    assert found["p"] == 1 / 1000
    assert found["units"] == 24


def test_unrelated_groups_do_not() -> None:
    other = np.tile([0, 1, 2], 8)
    found = agreement(table(GROUP), activity(other), "h0", MEASURES, 3)
    assert abs(found["ari"]) < 0.2
    assert found["p"] > 0.05
    assert found["effect_self"] == 1.0


def test_noise_shows_in_the_agreement_with_itself() -> None:
    found = agreement(table(GROUP * 0, noise=1.0), activity(GROUP), "h0", MEASURES, 3)
    assert found["effect_self"] < 0.3


def test_dead_units_are_left_out() -> None:
    samples = activity(GROUP)["h0"].samples.copy()
    samples[:, :2] = 1.0
    found = agreement(table(GROUP), {"h0": SiteStats(samples)}, "h0", MEASURES, 3)
    assert found["units"] == 22
    assert found["ari"] == 1.0


def test_effects_are_paired_and_their_units_do_not_matter() -> None:
    vectors = effect_vectors(table(GROUP, noise=0.0), "h0", MEASURES)
    assert vectors.shape == (8, 24, 2)
    np.testing.assert_allclose(vectors[3], EFFECTS[GROUP], atol=1e-12)
    np.testing.assert_allclose(profile(vectors * [1.0, 1000.0]), profile(vectors))
    np.testing.assert_array_equal(by_effect(vectors * [1000.0, 1.0], 3), by_effect(vectors, 3))
    assert (importance_of(vectors)[GROUP == 0] == 0).all()
    assert (importance_of(vectors)[GROUP > 0] > 1).all()


def test_missing_numbers_and_units() -> None:
    rows = table(GROUP, noise=0.0)
    rows.loc[(rows["lesion"] == "h0/9") & (rows["episode"] < 4), "speed"] = np.nan
    vectors = effect_vectors(rows, "h0", MEASURES)
    assert np.isnan(vectors[0, 9, 0])
    np.testing.assert_allclose(profile(vectors)[9], profile(vectors)[10])
    with pytest.raises(LabError, match="every unit of h0"):
        effect_vectors(rows[rows["lesion"] != "h0/5"], "h0", MEASURES)
    with pytest.raises(LabError, match="too few for 30 groups"):
        agreement(rows, activity(GROUP), "h0", MEASURES, 30)


def test_a_unit_that_stands_still_in_half_of_the_moments_is_no_trouble():
    samples = np.random.default_rng(0).normal(size=(60, 8))
    samples[:, 3] = 0.5
    assert len(set(by_activity(samples, 3))) == 3
