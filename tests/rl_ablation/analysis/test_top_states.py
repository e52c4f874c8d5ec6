"""Top states: the moments are the highest ones, spread out, and drawn where they were."""

import numpy as np
import pytest

from rl_ablation.analysis.top_states import (
    Direction,
    frames,
    group_direction,
    top_states,
    unit_direction,
)
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion
from rl_ablation.lesions.methods import SiteStats
from rl_ablation.rollouts.episodes import REFERENCE, Episodes
from rl_ablation.rollouts.recording import Recording, record
from rl_ablation.rollouts.rollout import Trace
from tests.conftest import CONDITIONS, HORIZON


@pytest.fixture(scope="module")
def recording(policy):
    signals = [f"@{site}" for site in policy.sites]
    asked = Episodes(4, 0, CONDITIONS, HORIZON, REFERENCE)
    return record(policy, signals, asked, threads=1)


def made_up(values, alive=None, dt=0.05):
    """A recording whose only unit takes these values (T, N)."""
    alive = np.ones(values.shape, bool) if alive is None else alive
    nothing = np.zeros(values.shape[1], bool)
    return Recording((), Trace({"@h0": values[..., None]}, alive, nothing, nothing, dt))


def test_reference_recordings_are_the_episodes_of_the_recorded_activity(recording, activity):
    moments = recording.moments()
    for site, recorded in activity.items():
        assert np.array_equal(moments[f"@{site}"], recorded.samples)


def test_the_first_top_state_is_the_highest(recording, policy):
    direction = unit_direction("h1", 4, policy.sites["h1"])
    values = recording.trace["@h1"][..., 4]
    top = top_states(direction, recording, 3)
    step, episode = np.unravel_index(values.argmax(), values.shape)
    assert (top[0].step, top[0].episode) == (step, episode)
    assert [m.value for m in top] == sorted((m.value for m in top), reverse=True)
    assert all(m.value == pytest.approx(values[m.step, m.episode]) for m in top)
    assert len({m.episode for m in top}) == 3


def test_top_states_of_one_episode_keep_apart_and_miss_what_is_not_alive():
    values = np.zeros((100, 1))
    values[:, 0] = np.arange(100)
    alive = np.ones((100, 1), bool)
    alive[90:] = False
    one = Direction("u", "h0", np.ones(1))
    top = top_states(one, made_up(values, alive), 3)
    assert [m.step for m in top] == [89, 69, 49]
    assert len(top_states(one, made_up(values[:30]), 5)) == 2


def test_a_groups_direction_points_to_its_longer_tail():
    rng = np.random.default_rng(0)
    shared = rng.exponential(size=2000)
    samples = np.column_stack([-shared, rng.normal(size=2000) * 5, 2 * shared])
    samples += 0.01 * rng.normal(size=samples.shape)
    group = Lesion(name="pair", cut={"h0": (0, 2)})
    weights = group_direction(group, SiteStats(samples)).weights
    assert weights == pytest.approx(np.array([-1, 0, 2]) / 5**0.5, abs=0.01)
    with pytest.raises(LabError, match="exactly one site"):
        group_direction(Lesion(name="none"), SiteStats(samples))


def test_frames_are_of_the_moments_asked_for(policy, recording):
    top = top_states(unit_direction("h1", 4, 10), recording, 2)
    try:
        pictures = frames(policy, recording, [*top, top[0]], width=64, height=48)
    except LabError as error:
        pytest.skip(f"MuJoCo cannot draw here: {error}")
    assert all(p.shape == (48, 64, 3) and p.dtype == np.uint8 for p in pictures)
    assert np.array_equal(pictures[0], pictures[2])
    assert not np.array_equal(pictures[0], pictures[1])


def test_an_episode_that_goes_another_way_is_noticed(policy, recording):
    (top,) = top_states(unit_direction("h1", 4, 10), recording, 1)
    jobs = tuple(job.__class__(job.lesion, job.seed + 1, job.condition) for job in recording.jobs)
    with pytest.raises(LabError, match=r"not at step|cannot draw"):
        frames(policy, Recording(jobs, recording.trace), [top], width=64, height=48)
