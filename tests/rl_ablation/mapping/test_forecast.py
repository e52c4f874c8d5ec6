"""What a map comes to, said before it is made."""

from __future__ import annotations

import pytest
from conftest import CONDITIONS, HORIZON

import rl_ablation as rl
from rl_ablation.errors import LabError
from rl_ablation.formats import duration
from rl_ablation.mapping import forecast as module
from rl_ablation.mapping.forecast import Pace, forecast


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(module, "MANY", 0.1)
    monkeypatch.setattr(module, "SOME", 0.1)


@pytest.fixture
def plan(policy, activity):
    return rl.layers(policy) + rl.clusters(policy, k=3, activity=activity) + rl.singles(policy)


@pytest.mark.parametrize("adaptive", [True, False])
def test_a_map_takes_no_more_than_was_said(policy, plan, activity, tmp_path, adaptive):
    episodes = rl.Episodes(12, 0, CONDITIONS, HORIZON)
    design = rl.MapDesign(discovery=8, controls=20, adaptive=adaptive)
    execution = rl.Execution(tmp_path / "run", progress=False)
    told = forecast(policy, plan, episodes, design, execution, activity=activity)
    assert not (tmp_path / "run").exists()
    run = rl.lesion_map(policy, plan, episodes, design, execution, activity=activity)
    assert told.lesions == len(run.plan)
    both = len(run.whole_table()) + len(run.confirmation.whole_table())
    assert 0.3 * told.episodes < both <= told.episodes
    folders = [s.parent for s in run.folder.rglob("spec.json")]
    steps = sum(int(rl.Map(f).table()["steps"].sum()) for f in folders)
    assert 0 < steps <= told.steps
    assert told.seconds > 0
    assert f"{told}".startswith(f"{told.lesions} lesions, at most {told.episodes:,} episodes")


def test_what_does_not_fit_is_said_before(policy, plan):
    episodes = rl.Episodes(12, 0, CONDITIONS, HORIZON)
    for design, told in (
        (rl.MapDesign(discovery=1), "discovery must be at least 2"),
        (rl.MapDesign(kinds=("burn",)), "unknown kind 'burn'"),
    ):
        with pytest.raises(LabError, match=told):
            forecast(policy, plan, episodes, design, rl.Execution())


def test_robots_and_steps_take_their_time():
    pace = Pace(step=1e-3, robot=1e-5, alive=0.5)
    assert pace.seconds(1000, 600) == pytest.approx(600 * 1e-3 + 1000 * 600 * 0.5 * 1e-5)
    two_shards = pace.seconds(2000, 600) - pace.seconds(1000, 600)
    assert two_shards == pytest.approx(pace.seconds(1000, 600))


def test_what_ends_early_is_seen(policy, plan, activity, monkeypatch):
    """The robot of the tests drives into a wall, whatever is cut."""
    monkeypatch.setattr(module, "SOME", 2.0)
    long = rl.Episodes(12, 0, ("ring/ccw",), 400)
    assert module.pace(policy, plan, long, activity=activity).alive < 0.6
    short = rl.Episodes(12, 0, ("ring/ccw",), 3)
    assert module.pace(policy, plan, short, activity=activity).alive == 1.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59.4, "59 s"), (60, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations_are_said_as_people_do(seconds, text):
    assert duration(seconds) == text
