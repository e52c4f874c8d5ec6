"""The digits: the world tells right from wrong, and the checks can come out either way."""

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest

import rl_ablation as rl
from experiments.studies.digits import study as digits
from experiments.studies.digits import world as digits_world
from experiments.studies.digits.world import (
    DIGITS,
    ENV_ID,
    HELD_OUT,
    TRAINING,
    every,
    images,
    labels,
)
from experiments.studies.registry import question, run_study
from rl_ablation.lesions.lesion import INTACT, Plan


def make(n, **kwargs):
    return gym.make_vec(ENV_ID, num_envs=n, autoreset_mode="Disabled", **kwargs)


def test_the_right_name_is_rewarded_once():
    world = make(3)
    obs, _ = world.reset(seed=0, options={"condition": ["3/0", "7/169", "0/50"]})
    assert np.array_equal(obs, images()[[3, 7, 0], [0, 169, 50]])
    _, reward, ended, cut, _ = world.step(np.array([3, 1, 0]))
    assert reward.tolist() == [1, 0, 1]
    assert ended.all()
    assert not cut.any()
    assert not world.step(np.array([3, 7, 0]))[1].any()  # who has answered waits


def test_images_drawn_are_held_out_ones_of_the_digit_asked_for():
    world = make(40)
    obs, _ = world.reset(seed=1, options={"condition": "5"})
    held_out = images()[5, TRAINING:]
    assert all((held_out == image).all(1).any() for image in obs)
    again, _ = world.reset(seed=list(range(1, 41)), options={"condition": "5"})
    assert np.array_equal(obs, again)
    assert len(np.unique(obs, axis=0)) > 20


def test_shuffled_labels_are_the_same_labels_in_another_order():
    shuffled, true = labels(3), labels()
    assert np.array_equal(np.bincount(shuffled[:, :TRAINING].ravel()), [TRAINING] * DIGITS)
    assert (shuffled[:, :TRAINING] == true[:, :TRAINING]).mean() == pytest.approx(0.1, abs=0.05)
    assert np.array_equal(shuffled[:, TRAINING:], true[:, TRAINING:])
    assert np.array_equal(labels(3), shuffled)
    assert not np.array_equal(labels(4), shuffled)


def test_worlds_of_digits_refuse_to_start_over_by_themselves():
    with pytest.raises(ValueError, match="not reset by themselves"):
        gym.make_vec(ENV_ID, num_envs=1, autoreset_mode="NextStep")


@pytest.fixture(scope="module")
def subjects():
    return [digits_world.Subject(0, alpha) for alpha in (-1.0, 0.0, 1.0)]


@pytest.fixture(scope="module")
def agents(subjects, tmp_path_factory):
    return digits_world.networks(subjects, tmp_path_factory.mktemp("agents"), 300)


def test_the_sweep_marks_as_the_policy_answers(agents, subjects, tmp_path):
    agent, exam = agents[subjects[1]], every(TRAINING, TRAINING + 20)
    run = rl.sweep(
        agent, Plan(), conditions=exam, episodes=len(exam), measures=["return"],
        folder=tmp_path / "run", progress=False,
    )  # fmt: skip
    told = agent.act(images()[:, TRAINING : TRAINING + 20].reshape(-1, 64))
    right = (told == np.repeat(np.arange(DIGITS), 20)).mean()
    assert digits.answers(run)[INTACT].mean() == pytest.approx(right)
    assert right > 0.85


def test_alpha_steers_selectivity(agents, subjects):
    exam = every(TRAINING, TRAINING + 20)
    low, plain, high = (digits.selectivity(agents[s], exam) for s in subjects)
    assert low < plain - 0.1 < plain + 0.1 < high


def test_networks_are_not_trained_twice(subjects, tmp_path, monkeypatch):
    first = digits_world.networks(subjects[:1], tmp_path, 5)
    monkeypatch.setattr(digits_world, "train", None)
    again = digits_world.networks(subjects[:1], tmp_path, 5)
    assert [p.sha256 for p in first.values()] == [p.sha256 for p in again.values()]


def planted():
    """Answers after cuts that hurt: nothing, digit 3 alone, all digits alike; and help digit 6."""
    exam = every(TRAINING, TRAINING + HELD_OUT)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(1.0, index=exam, columns=[INTACT, "dead", "three", "all", "six"])
    digit = digits.digits_of(table.index)
    table.loc[digit == 6, [INTACT, "dead", "three", "all"]] = 0.0
    table.loc[digit == 3, "three"] = 0.0
    table.loc[rng.random(len(exam)) < 0.3, "all"] = 0.0
    return table


def test_particular_losses_are_told_from_general_ones():
    rows = digits.particular_losses(planted(), 0).set_index("unit")
    assert rows.loc["three", "digit"] == 3
    assert rows.loc["three", "worst_loss"] == 1
    assert rows.loc["three", "mean_loss"] == pytest.approx(0.1)
    assert rows.loc["three", "q"] < 0.01
    assert rows.loc["all", "q"] > 0.05
    assert rows.loc["dead", "p"] == 1


def test_a_gain_is_found_and_estimated_on_other_images():
    best = digits.chosen_gain(planted(), 0)
    assert (best["unit"], best["digit"]) == ("six", 6)
    assert best["chosen"] == best["confirmed"] == 1
    noise = planted().drop(columns="six")  # now nothing helps
    assert digits.chosen_gain(noise, 0)["confirmed"] <= 0


@pytest.mark.parametrize(
    ("middle", "side", "agrees"), [(1, 1, "yes"), (1, -1, "no"), (0, 1, "unclear"), (-1, -1, "yes")]
)
def test_a_check_can_come_out_either_way(middle, side, agrees):
    bootstrap = np.random.default_rng(0).normal(middle, 0.1, 1000)
    assert digits.judge(bootstrap, 0.0, side)[-1] == agrees


def test_the_study_tells_what_its_table_says(tmp_path, monkeypatch):
    monkeypatch.setattr(digits, "QUICK", digits.Size(2, 60, 2, (-1.0, 0.0, 1.0), 4))
    folder = run_study("digits", quick=True, out=tmp_path / "run")
    told, checks = (folder / "findings.md").read_text(), pd.read_csv(folder / "checks.csv")
    assert question("digits") in told
    assert set(checks["agrees"]) <= {"yes", "no", "unclear"}
    for check in checks["check"]:
        assert f"| {check} |" in told
    assert (folder / "checks.png").stat().st_size > 10_000
