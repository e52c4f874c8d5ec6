"""What drives a unit: the moments are the highest ones, spread out; the optimum stays plausible."""

import numpy as np
import pytest

from rl_ablation.analysis.drivers import (
    Cloud,
    Drive,
    frames,
    group_drive,
    optimise,
    raw_observation,
    top_states,
    unit_drive,
)
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion
from rl_ablation.lesions.methods import SiteStats
from rl_ablation.policies.policy import Card
from rl_ablation.policies.storage import make_mlp
from rl_ablation.rollouts.episodes import REFERENCE, Episodes
from rl_ablation.rollouts.recording import Recording, record
from rl_ablation.rollouts.rollout import Trace
from tests.conftest import CONDITIONS, DEAD, HORIZON


@pytest.fixture(scope="module")
def visits(policy):
    signals = [f"@{site}" for site in policy.sites]
    asked = Episodes(4, 0, CONDITIONS, HORIZON, REFERENCE)
    return record(policy, signals, asked, threads=1)


def made_up(values, alive=None, dt=0.05):
    """A recording whose only unit takes these values (T, N)."""
    alive = np.ones(values.shape, bool) if alive is None else alive
    nothing = np.zeros(values.shape[1], bool)
    return Recording((), Trace({"@h0": values[..., None]}, alive, nothing, nothing, dt))


def test_reference_recordings_are_the_episodes_of_the_recorded_activity(visits, activity):
    moments = visits.moments()
    for site, recorded in activity.items():
        assert np.array_equal(moments[f"@{site}"], recorded.samples)


def test_the_first_top_state_is_the_highest(visits, policy):
    drive = unit_drive("h1", 4, policy.sites["h1"])
    values = visits.trace["@h1"][..., 4]
    top = top_states(drive, visits, 3)
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
    one = Drive("u", "h0", np.ones(1))
    top = top_states(one, made_up(values, alive), 3, apart=1.0)
    assert [m.step for m in top] == [89, 69, 49]
    assert len(top_states(one, made_up(values[:30]), 5, apart=1.0)) == 2


def test_a_group_is_driven_toward_its_longer_tail():
    rng = np.random.default_rng(0)
    shared = rng.exponential(size=2000)
    samples = np.column_stack([-shared, rng.normal(size=2000) * 5, 2 * shared])
    samples += 0.01 * rng.normal(size=samples.shape)
    group = Lesion(name="pair", cut={"h0": (0, 2)})
    weights = group_drive(group, SiteStats(samples)).weights
    assert weights == pytest.approx(np.array([-1, 0, 2]) / 5**0.5, abs=0.01)
    with pytest.raises(LabError, match="exactly one site"):
        group_drive(Lesion(name="none"), SiteStats(samples))


def linear(weight):
    """One hidden unit, the sum of inputs by these weights."""
    card = Card(name="line", activation="identity", squash="none")
    layers = [(weight[None], np.zeros(1)), (np.ones((1, 1)), np.zeros(1))]
    return make_mlp(layers, card)


def test_a_linear_units_optimum_lies_along_its_weights_a_little_farther_out_than_usual():
    rng = np.random.default_rng(1)
    weight = np.array([3.0, -1.0, 0.5, 0.0])
    visited = rng.normal(size=(4000, 4))
    (best,) = optimise(linear(weight), [unit_drive("h0", 0, 1)], visited)
    direction = weight / np.linalg.norm(weight)
    assert best.inputs @ direction == pytest.approx(4**0.5 + 1, rel=0.1)
    assert np.linalg.norm(best.inputs - direction * (best.inputs @ direction)) < 0.2
    assert best.value == pytest.approx(best.inputs @ weight)
    assert 85 < best.percentile < 99
    (down,) = optimise(linear(weight), [Drive("down", "h0", -np.ones(1))], visited)
    assert down.inputs @ direction < -1.5


def test_correlated_inputs_move_together():
    """A unit that reads one of two equal sensors is not driven by parting them."""
    rng = np.random.default_rng(2)
    shared = rng.normal(size=(3000, 1))
    visited = np.hstack([shared, shared]) + 0.05 * rng.normal(size=(3000, 2))
    (best,) = optimise(linear(np.array([1.0, 0.0])), [unit_drive("h0", 0, 1)], visited)
    assert best.inputs[0] > 1.0
    assert best.inputs[1] == pytest.approx(best.inputs[0], abs=0.2)


def test_an_optimum_is_held_within_what_was_visited(policy, activity):
    inputs = activity["obs"].samples
    drives = [unit_drive("h1", k, 10) for k in range(10)] + [unit_drive("h0", DEAD, 12)]
    for penalty in (0.0, 1.0):
        found = optimise(policy, drives, inputs, penalty=penalty, farthest=90.0)
        for best in found:
            assert best.percentile <= 90.0 + 100 / len(inputs)
            assert (best.inputs >= inputs.min(0) - 1e-9).all()
            assert (best.inputs <= inputs.max(0) + 1e-9).all()
    free = optimise(policy, drives, inputs, penalty=0.0, farthest=100.0)
    assert all(b.value >= b.visited - 1e-9 for b in free)
    assert sum(b.value > b.visited + 1e-3 for b in free) >= 8
    assert free[-1].value == free[-1].visited == 0.0, "nothing drives a dead unit"


def test_many_drives_at_once_give_what_each_gives_alone(policy, activity):
    inputs = activity["obs"].samples
    drives = [unit_drive("h1", 2, 10), unit_drive("h0", 5, 12), unit_drive("h1", 9, 10)]
    together = optimise(policy, drives, inputs)
    for drive, best in zip(drives, together, strict=True):
        (alone,) = optimise(policy, [drive], inputs)
        assert best.inputs == pytest.approx(alone.inputs, abs=1e-9)
    again = optimise(policy, drives, inputs)
    assert all(np.array_equal(a.inputs, b.inputs) for a, b in zip(together, again, strict=True))


def test_percentiles_of_visited_inputs_are_their_ranks():
    visited = np.random.default_rng(3).normal(size=(200, 3))
    cloud = Cloud.of(visited)
    assert np.sort(cloud.percentile(visited)) == pytest.approx(np.arange(1, 201) / 2)
    assert cloud.percentile(np.full((1, 3), 50.0))[0] == 100.0


def test_raw_observations_normalise_back(policy, activity):
    inputs = activity["obs"].samples[:20]
    assert policy.normalise(raw_observation(policy, inputs)) == pytest.approx(inputs, abs=1e-6)


def test_frames_are_of_the_moments_asked_for(policy, visits):
    top = top_states(unit_drive("h1", 4, 10), visits, 2)
    try:
        pictures = frames(policy, visits, [*top, top[0]], width=64, height=48)
    except LabError as error:
        pytest.skip(f"MuJoCo cannot draw here: {error}")
    assert all(p.shape == (48, 64, 3) and p.dtype == np.uint8 for p in pictures)
    assert np.array_equal(pictures[0], pictures[2])
    assert not np.array_equal(pictures[0], pictures[1])


def test_an_episode_that_goes_another_way_is_noticed(policy, visits):
    (top,) = top_states(unit_drive("h1", 4, 10), visits, 1)
    jobs = tuple(job.__class__(job.lesion, job.seed + 1, job.condition) for job in visits.jobs)
    with pytest.raises(LabError, match=r"not at step|cannot draw"):
        frames(policy, Recording(jobs, visits.trace), [top], width=64, height=48)
