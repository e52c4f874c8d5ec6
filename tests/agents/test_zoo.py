"""Every agent of the zoo is what its card says, and still does what its card says it does."""

import csv
import hashlib
import json
import os
import shlex
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from agents import zoo
from agents.recipes import RECIPES, Recipe
from rl_ablation.errors import LabError
from rl_ablation.measures.registry import MEASURES
from rl_ablation.policies.load import load
from rl_ablation.policies.policy import Card
from rl_ablation.policies.storage import KEPT, read_card
from rl_ablation.rollouts.world import World

every_agent = pytest.mark.parametrize("name", zoo.names())

KEY = {
    "lap": ("progress", "forward_speed", "clearance"),
    "quadruped": ("vx_error", "yaw_error", "uprightness", "power"),
    "walker": ("forward_speed.alive", "survival"),
}
# Where anything rounds differently than when the card was made, that grows until episodes part
# ways, and their mean then moves like the mean of other episodes, with a standard error of
# sd / √episodes. Three of those, or 2 %, must hold the score anywhere.
REL = 0.02


@cache
def again(name):
    return zoo.score(load(zoo.find(name)))


def slack(card):
    return max(REL * abs(card["return"]), 3 * card["return_sd"] / card["episodes"] ** 0.5)


def test_there_are_agents():
    assert {"lap", "quadruped"} <= set(zoo.names())
    with pytest.raises(LabError, match="no agent 'nobody' in the zoo") as caught:
        zoo.find("nobody")
    assert "\n" not in str(caught.value)


@every_agent
def test_card_is_valid_and_names_its_weights(name):
    folder = zoo.find(name)
    card = read_card(folder)
    assert card == Card.model_validate(json.loads((folder / "card.json").read_text()))
    weights = (folder / "policy.safetensors").read_bytes()
    assert card.sha256 == hashlib.sha256(weights).hexdigest()
    assert card.name == name
    assert {"mujoco", "gymnasium", "stable-baselines3", "torch", "numpy"} <= set(card.versions)


@every_agent
def test_card_tells_how_it_was_made(name):
    card = read_card(zoo.find(name))
    words = shlex.split(card.command)
    assert words[:3] == ["rl-ablation", "train", name]
    assert words[words.index("--seed") + 1] == str(card.seed)
    assert "--to-zoo" in words
    assert name in RECIPES
    made_by = RECIPES[name]  # fields newer than the card take the default that it was made with
    assert Recipe(**card.hyperparameters) == made_by, "train it again, or put its recipe back"
    assert card.env_id == made_by.env_id
    assert card.steps >= made_by.steps


@every_agent
def test_it_fits_its_environment(name):
    policy = load(zoo.find(name))
    assert isinstance(policy.network, KEPT)
    world = World(policy.card.env_id, 1, policy.card.env_kwargs)
    world.fits(policy)
    world.close()


@every_agent
def test_learning_curve_is_there_and_rises(name):
    with (zoo.find(name) / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    card = read_card(zoo.find(name))
    assert {"steps", "return", "length", *RECIPES[name].curve} == set(rows[0])
    steps = [float(row["steps"]) for row in rows]
    assert steps == sorted(set(steps))
    assert steps[-1] == card.steps
    returns = np.array([float(row["return"]) for row in rows])
    assert np.nanmean(returns[-5:]) > np.nanmean(returns[:5]) + 0.5 * np.nanstd(returns)


@every_agent
def test_replay_holds_the_return_of_the_card(name):
    card = read_card(zoo.find(name)).scores
    now = again(name)
    assert (now["episodes"], now["seed"]) == (card["episodes"], card["seed"])
    assert now["return"] == pytest.approx(card["return"], abs=slack(card))


@every_agent
def test_replay_holds_the_measures_of_the_card(name):
    card = read_card(zoo.find(name)).scores
    now = again(name)
    # What the card holds and what applies now are the same measures, so none goes untested.
    assert {m for m in card if m in MEASURES} == {m for m in now if m in MEASURES}
    share = max(5 * REL, slack(card) / abs(card["return"]))
    for measure in KEY.get(name, ("survival",)):
        assert now[measure] == pytest.approx(card[measure], rel=share), measure
    for measure in ("crash", "stuck", "fall"):  # shares of episodes
        if measure in card:
            assert now[measure] == pytest.approx(card[measure], abs=2 / card["episodes"]), measure


def test_lap_agent_drives_laps():
    scores = read_card(zoo.find("lap")).scores
    assert scores["progress"] > 1
    assert scores["crash"] < 0.05
    assert read_card(zoo.find("lap-memory")).scores["progress"] > 2


def test_score_is_the_same_again():
    policy = load(zoo.find("lap"))
    one, other = (zoo.score(policy, episodes=4, seed=0) for _ in range(2))
    assert one == other
    assert one["return"] != zoo.score(policy, episodes=4, seed=1)["return"]


_RECORD = """
import hashlib
from agents import zoo
from rl_ablation.policies.load import load
from rl_ablation.rollouts.activity import record_activity

for name in ("lap", "lap-memory", "quadruped"):
    found = record_activity(load(zoo.find(name)), episodes=2, horizon=300)
    print([hashlib.sha256(stats.samples.tobytes()).hexdigest() for stats in found.values()])
"""
_OLDER = {  # how the libraries are told to use only what older processors have
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX",
}


def test_a_processor_with_other_vector_units_does_the_same():
    """Else the same command finds other clusters there, and tells of another region."""
    call = [sys.executable, "-W", "ignore", "-c", _RECORD]
    one, other = (
        subprocess.run(call, env=env, capture_output=True, text=True, check=True).stdout
        for env in (os.environ, {**os.environ, **_OLDER})
    )
    assert len(one.splitlines()) == 3
    assert one == other
