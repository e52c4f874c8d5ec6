"""A world that fails costs its rows or is refused with a line; the sweep is never lost."""

import warnings

import gymnasium as gym
import numpy as np
import pytest

from experiments.faults import worlds
from experiments.faults.worlds import METADATA, RAISED, RESETS, SPACES, STEPS, Fault
from rl_ablation.errors import LabError
from rl_ablation.groupings.units import layers
from rl_ablation.mapping.sweep import sweep

FAULTS = [
    *(Fault("init", "raises", error=error) for error in (ValueError, SystemExit)),
    *(Fault("step", "raises", 4, 0.5, error) for error in RAISED),
    *(Fault("reset", "raises", 0, share, OSError) for share in (0.5, 1.0)),
    Fault("close", "raises", error=SystemExit),
    *(Fault("reset", what, 0, 0.5) for what in RESETS),
    *(Fault("step", what, step, 0.5) for what in STEPS for step in (0, 7)),
    *(Fault("step", what) for what in STEPS),
    *(Fault("spaces", what) for what in SPACES),
    *(Fault("metadata", what) for what in METADATA),
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """What happens in the world without a fault."""
    yield worlds.sound(tmp_path_factory.mktemp("sound"))
    for name in (worlds.SOUND, "Failing-v0"):
        gym.registry.pop(name, None)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_failing_world_is_refused_or_costs_its_rows(fault, sound, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert worlds.judge(fault, *sound, tmp_path) == ""


def test_only_the_episodes_that_fail_are_flagged(sound, tmp_path):
    agent = worlds.driver().with_env("Failing-v0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        worlds.register("Failing-v0", Fault("step", "raises", 3, 0.5))
    run = sweep(agent, layers(agent), 8, folder=tmp_path, threads=1, progress=False)
    found = run.table()
    flagged = found.groupby("seed")["unstable"].mean()
    assert set(flagged) == {0.0, 1.0}, "an episode fails under each lesion alike"
    assert np.isfinite(found.loc[~found["unstable"], "return"]).all()
    effects = run.effects()
    assert 0 < effects["unstable"].max() < 1


def test_a_world_that_never_ends_needs_a_limit(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gym.register("Failing-v0", entry_point=worlds.Gap)
    agent = worlds.driver().with_env("Failing-v0")
    with pytest.raises(LabError, match="has no time limit; give a horizon"):
        sweep(agent, layers(agent), 2, folder=tmp_path / "a", threads=1, progress=False)
    run = sweep(
        agent, layers(agent), 2, horizon=5, folder=tmp_path / "b", threads=1, progress=False
    )
    assert run.table()["steps"].max() == 5
