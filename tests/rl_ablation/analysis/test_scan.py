"""Scans: neighbours in the layout are units alike, and contrasts find what is there and no more."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import LAP, random_mlp
from scipy.spatial.distance import pdist

from rl_ablation.analysis.layout import as_image, grid_shape, similarity, unit_layout
from rl_ablation.analysis.scan import BENDS, Scan, Visits, contrasts, scan, scanned, visits
from rl_ablation.errors import LabError
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.rollouts.rollout import Trace

TRACKS = ("bends/ccw", "ring/cw")


def test_a_layout_gives_every_unit_a_place_and_puts_units_alike_together() -> None:
    rng = np.random.default_rng(0)
    source = rng.normal(size=(500, 4))
    samples = np.repeat(source, 9, axis=1) * rng.choice([-1, 1], 36) + rng.normal(
        size=(500, 36), scale=0.4
    )
    cells = unit_layout(samples)
    assert len({tuple(c) for c in cells}) == 36
    assert (cells < grid_shape(36)).all()
    gap = pdist(cells)
    alike = pdist(np.repeat(np.arange(4), 9)[:, None]) == 0
    assert gap[alike].mean() < 0.7 * gap[~alike].mean()
    assert np.array_equal(cells, unit_layout(samples * -3.0)), "sign and scale carry no meaning"


@pytest.mark.parametrize("units", [1, 2, 3, 7, 10])
def test_a_layout_of_any_size_holds_dead_units_too(units: int) -> None:
    samples = np.random.default_rng(1).normal(size=(50, units))
    samples[:, 0] = 1.0
    cells = unit_layout(samples)
    image = as_image(np.arange(units, dtype=float), cells)
    assert sorted(image[np.isfinite(image)]) == list(range(units))
    assert similarity(samples)[0].tolist() == [1.0] + [0.0] * (units - 1)


def made(shift: np.ndarray, subjects: int = 14) -> Scan:
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(2, subjects, len(shift)))
    return Scan({"h0": len(shift)}, {"a": noise[0] + shift, "b": noise[1]}, np.ones(len(shift)), {})


def test_contrasts_find_the_units_that_differ_and_no_others() -> None:
    shift = np.zeros(40)
    shift[:3] = 4.0
    found = contrasts(made(shift), {"a − b": (["a"], ["b"])})
    assert (found["p_fwe"] < 0.05).tolist() == [True] * 3 + [False] * 37
    assert found["strength"][:3].to_numpy() == pytest.approx(4.0, abs=1.0)
    assert (found["p_fwe"] >= found["p"] - 0.05).all()


def test_the_family_wise_error_of_contrasts_is_held() -> None:
    hits = 0
    for seed in range(20):
        rng = np.random.default_rng([3, seed])
        means = {"a": rng.normal(size=(10, 30)), "b": rng.normal(size=(10, 30))}
        blank = Scan({"h0": 30}, means, np.ones(30), {})
        hits += bool((contrasts(blank, {"a − b": (["a"], ["b"])})["p_fwe"] < 0.05).any())
    assert hits <= 4  # 1 expected; more than 4 has p < 0.003


def test_a_scan_averages_moments_of_a_behaviour_by_subject(policy) -> None:
    found = scan(policy, BENDS, ["bend"], Episodes(3, 0, TRACKS, 60), threads=1)
    assert found.sites == {"h0": 12, "h1": 10}
    assert {name: m.shape for name, m in found.means.items()} == dict.fromkeys(BENDS, (3, 22))
    again = scan(policy, BENDS, ["bend"], Episodes(2, 0, TRACKS, 60), threads=1)
    for name in BENDS:
        np.testing.assert_array_equal(found.means[name][:2], again.means[name])
    table = contrasts(found, {"left − right": (["left bend"], ["right bend"])})
    dead = table[(table["site"] == "h0") & (table["unit"] == 3)]
    assert dead["strength"].tolist() == [0.0], "a unit that never varies shows nothing"
    assert dead["p"].tolist() == [1.0]


def test_the_means_are_those_of_the_moments(policy) -> None:
    ring = Episodes(2, 0, ("ring/ccw",), 30)
    one = scan(policy, BENDS, ["bend"], ring, threads=1)
    always = {"always": lambda trace: np.ones_like(trace["bend"], bool)}
    other = scan(policy, always, ["bend"], ring, threads=1)
    # The ring bends left all the way round, so both are the mean over everything.
    np.testing.assert_allclose(one.means["left bend"], other.means["always"], rtol=1e-12)
    assert np.isnan(one.means["straight"]).all()


def test_a_watcher_is_shown_what_the_policy_saw(policy) -> None:
    seen = visits(policy, BENDS, ["bend"], Episodes(3, 0, TRACKS, 60), threads=1)
    own, same = scanned(seen), scanned(seen, policy)
    other = scanned(seen, random_mlp((18, 12, 10, 2), LAP, seed=1))
    for name in BENDS:
        np.testing.assert_allclose(own.means[name], same.means[name], rtol=1e-5, atol=1e-6)
        assert np.array_equal(np.isnan(own.means[name]), np.isnan(other.means[name]))
        there = np.isfinite(own.means[name])
        assert not np.allclose(own.means[name][there], other.means[name][there])


def planted(moved: str, draw: int = 5, subjects: int = 12, steps: int = 200) -> Visits:
    """Two runs a subject, one of them mostly in "a", and three units.

    Unit 0 says at every moment whether it is "a"; unit 1 only whether it is the run with most "a";
    unit 2 nothing.
    """
    rng = np.random.default_rng(4)
    robots = 2 * subjects
    mostly = np.tile([0.8, 0.2], subjects)
    inside = np.repeat(rng.random((steps // 10, robots)) < mostly, 10, axis=0)
    own = np.stack([inside, np.broadcast_to(mostly, inside.shape), 0 * inside], axis=-1)
    units = (own + 0.1 * rng.normal(size=own.shape)).astype(np.float32)
    ends = np.zeros(robots, bool)
    trace = Trace({"@h0": units}, np.ones((steps, robots), bool), ends, ends, 0.05)
    found = Visits(trace, {"a": inside, "b": ~inside}, subjects, {"h0": 3})
    return getattr(found, moved)(np.random.default_rng(draw)) if moved else found


def passing(found: Visits) -> list[bool]:
    table = contrasts(scanned(found), {"a − b": (["a"], ["b"])})
    return (table["p_fwe"] < 0.05).tolist()


def test_behaviours_moved_in_time_keep_what_goes_with_the_run() -> None:
    found, was = planted("shifted"), planted("")
    assert passing(was)[:2] == passing(found)[:2] == [True, True]
    size, before = (scanned(x).means["a"] - scanned(x).means["b"] for x in (found, was))
    assert size[:, 0].mean() < 0.5 < 0.95 < before[:, 0].mean()
    assert size[:, 1].mean() == pytest.approx(before[:, 1].mean(), abs=0.02)
    assert np.array_equal(found.inside["a"].sum(0), was.inside["a"].sum(0))


def test_shuffled_behaviours_leave_chance() -> None:
    hits = 0
    for draw in range(20):
        found = planted("shuffled", draw)
        assert found.inside["a"].sum() == planted("").inside["a"].sum()
        hits += any(passing(found))
    assert hits <= 4  # 1 expected; more than 4 has p < 0.003


def test_runs_of_other_lengths_are_moved_within_their_own() -> None:
    found = planted("")
    alive = found.trace.alive.copy()
    alive[50:, ::3] = False
    inside = {name: values & alive for name, values in found.inside.items()}
    short = replace(found, trace=replace(found.trace, alive=alive), inside=inside)
    for moved in (
        short.shifted(np.random.default_rng(0)),
        short.shuffled(np.random.default_rng(0)),
    ):
        assert ((moved.inside["a"] | moved.inside["b"]) == alive).all()
        assert not (moved.inside["a"] & moved.inside["b"]).any()


def test_one_subject_is_too_few(policy) -> None:
    with pytest.raises(LabError, match="at least 2 subjects"):
        scan(policy, BENDS, ["bend"], Episodes(1, 0, TRACKS, 20))
