"""The study of directions: its parts on a small robot, its sentences from numbers."""

import numpy as np
import pandas as pd
import pytest
from conftest import CONDITIONS, HORIZON

import rl_ablation as rl
from experiments.studies.directions import heard, reading
from experiments.studies.directions.words import (
    beyond,
    harmful,
    tell_heard,
    tell_kept,
    tell_map,
    tell_phase,
    tell_read,
    tell_robots,
)
from experiments.studies.regions import Size
from rl_ablation.groupings import autoencoder
from rl_ablation.mapping.claims import changes

SMALL = Size(k=2, discovery=4, episodes=6, controls=4, horizon=HORIZON)


def test_signals_are_read_beside_untrained_networks(policy, monkeypatch):
    monkeypatch.setattr(reading, "UNTRAINED", 2)
    monkeypatch.setattr(reading, "EPISODES", 12)
    told = reading.read_in(policy, SMALL, 0)
    assert set(told["layer"]) == {"h0", "h1"}
    assert (told["r2"] <= 1).all()
    assert (told["untrained"] <= told["most"]).all()
    assert told["untrained"].notna().all()
    text = tell_read(told)
    best = told.loc[told["r2"].idxmax()]
    assert f"{best['signal']} {best['r2']:.2f} (untrained " in text


def test_an_untrained_network_is_of_the_same_shape(policy):
    fresh = reading._untrained(policy, 3)
    assert fresh.sites == policy.sites
    assert fresh.sha256 != policy.sha256
    assert reading._untrained(policy, 3).sha256 == fresh.sha256


def test_what_is_kept_through_an_autoencoder(policy, activity, tmp_path, monkeypatch):
    monkeypatch.setattr(autoencoder, "STEPS", 60)
    kept = reading.kept_through(policy, activity, 4, SMALL, 0, tmp_path, sizes=((1, 2), (3, 4)))
    assert list(kept["features"]) == [4, 12]
    assert list(kept["active"]) == [2, 4]
    assert kept["kept"].to_numpy() == pytest.approx(kept["through"] / kept["intact"])
    assert (kept["low"] <= kept["high"]).all()


def test_sentences_say_when_a_dictionary_loses():
    row = {"features": 16, "active": 8, "r2": 0.9, "kept": 0.97, "low": 0.96, "high": 0.99}
    assert "Less than 98 % is kept with 16 features (8 on)" in tell_kept(pd.DataFrame([row]))
    assert "Every dictionary keeps" in tell_kept(pd.DataFrame([{**row, "kept": 0.99}]))
    none = pd.DataFrame([{"layer": "h0", "signal": "x", "r2": 0.1, "untrained": np.nan, "most": 0}])
    assert tell_read(none).startswith("No signal")


def test_a_map_of_directions_in_words(policy, activity, tmp_path):
    plan = rl.components(policy, 2, activity) + rl.layers(policy)
    run = rl.lesion_map(
        policy, plan, episodes=6, discovery=4, controls=4, conditions=CONDITIONS, horizon=HORIZON,
        threads=1, activity=activity, folder=tmp_path / "run", progress=False, seed=2,
    )  # fmt: skip
    rows = harmful(run)
    assert set(beyond(rows)["lesion"]) <= set(rows["lesion"])
    assert "Of 4 principal components" in tell_map(run)
    assert "of 4 directions are clearly needed" in tell_robots({"small": run})


def test_read_outs_are_held_against_random_directions_of_what_is_heard(
    policy, activity, tmp_path, monkeypatch
):
    monkeypatch.setattr(heard, "DRAWS", 3)
    plan = rl.readouts(policy, 1, sites=["h1"], signals=["forward_speed"], episodes=12, seed=2,
                       horizon=HORIZON)  # fmt: skip
    run = rl.lesion_map(
        policy, plan, episodes=6, discovery=4, controls=0, conditions=CONDITIONS, horizon=HORIZON,
        threads=1, activity=activity, folder=tmp_path / "run", progress=False, seed=2,
    )  # fmt: skip
    monkeypatch.setattr(heard, "harmful", changes)  # whatever it does
    own = np.array(run.plan["h1/readout-forward_speed"].directions["h1"])
    more = np.random.default_rng(0).normal(size=(8, own.shape[1]))
    there = np.linalg.qr(np.concatenate([own, more]).T)[0].T
    drawn = heard._drawn(run.plan["h1/readout-forward_speed"], activity["h1"], there, 0)
    assert len(drawn) == 3
    for lesion in drawn:
        axes = np.array(lesion.directions["h1"])
        assert ((axes @ there.T) ** 2).sum() == pytest.approx(len(own)), "of what is heard alone"
        spread = [activity["h1"].samples @ a.T for a in (axes, own)]
        wanted, found = (x.astype(np.float64).var(0).sum() for x in spread[::-1])
        assert found == pytest.approx(wanted, rel=0.06)
    told = heard.among_heard(run, policy, {"h1": there}, tmp_path / "heard", SMALL, 0)
    assert set(told["lesion"]) == {"h1/readout-forward_speed"}
    assert (told["draws"] == 3).any()
    assert told["p_random"].dropna().between(0.5, 1).all()
    all_heard = {"h1": np.eye(policy.sites["h1"])}
    assert heard.among_heard(run, policy, all_heard, tmp_path / "none", SMALL, 0).empty


def test_sentences_say_what_goes_beyond_what_is_heard():
    rows = pd.DataFrame(
        {"lesion": ["h1/readout-a", "h1/readout-a", "h1/readout-b"], "delta": 1.0, "random": 0.5,
         "measure": ["x_error", "y_error", "x_error"], "draws": [40, 40, 0],
         "p_random": [0.02, 0.5, np.nan]}
    )  # fmt: skip
    text = tell_heard({"h0": (64, 64), "h1": (2, 64)}, rows)
    assert "listen to 64 of 64 directions of h0 and 2 of 64 directions of h1" in text
    assert "Of 2 read-outs of h1 that do harm, 1 can be held" in text
    assert "of their 2 harms 1 go further (p < 5 % each; by chance up to 0.1)" in text
    assert text.endswith("readout-a (x error, p = 0.02).")
    assert tell_heard({"h0": (64, 64)}, rows[:0]).endswith("64 of 64 directions of h0.")


def test_the_phase_of_the_gait_is_told_with_both_nulls(monkeypatch):
    rows = pd.DataFrame(
        {"lesion": "h1/readout-gait_phase", "measure": ["vx_error", "vy_error", "fall"],
         "harm": [-0.5, -2.0, -0.4], "p_random": [0.02, 0.04, np.nan], "draws": [40, 40, 0],
         "intact": 0.1, "lesioned": 0.4, "ci_low": 0.2, "ci_high": 0.4}
    )  # fmt: skip
    axes = {"h1": ((1.0, 0.0), (0.0, 1.0))}
    plan = [rl.Lesion(name=f"{s}/readout-gait_phase", directions={s: axes["h1"]}, group="readouts")
            for s in ("h0", "h1")]  # fmt: skip
    run = type("Run", (), {"plan": rl.Plan([*plan, rl.Lesion(name="A/A", cut={"h0": (0,)})])})
    monkeypatch.setattr("experiments.studies.directions.words.harmful", lambda _: rows)
    near = rows[:2].assign(p_random=[0.3, 0.02])
    told = tell_phase(run, near)
    assert "Without h0/readout-gait_phase (2 directions) no behaviour is clearly worse." in told
    assert "without h1/readout-gait_phase (2 directions): 3; most of all vy error" in told
    assert "2 of 2 go further than without 40 random directions of as much variance" in told
    assert "1 of 2 go further than without 40 random directions of what is heard there." in told
    assert "A/A" not in told
