"""The studies run in their quick version, and the benchmark measures what it says."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments import bench, lap_regions, locomotion_regions
from rl_ablation.findings import against_random, double_dissociations
from rl_ablation.sweep import Run


def test_lap_regions_tells_what_the_table_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lap_regions.main(quick=True, out=tmp_path / "run")
    told = capsys.readouterr().out
    run = Run(tmp_path / "run")
    controls = against_random(run)
    assert set(controls["draws"]) == {3}
    assert controls["p_random"].between(1 / 4, 1).all()
    crossed = double_dissociations(run, lap_regions.MEASURES)
    assert ("Double dissociation: " in told) == bool(crossed)
    if crossed:
        assert crossed[0].a in told
        assert crossed[0].b in told
    assert "| intact |" in told
    assert (tmp_path / "run" / "findings.md").read_text().splitlines()[0] in told


def test_locomotion_regions_runs_on_the_quadruped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    locomotion_regions.main(agents=("quadruped",), quick=True, out=tmp_path)
    assert "vx error (alive)" in capsys.readouterr().out
    assert (tmp_path / "quadruped" / "report.html").exists()


def test_the_benchmark_replays_exactly_what_the_sweep_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "ROWS", 8)
    policy = bench.random_policy("envs:rl_ablation/Lap-v0", 16)
    replay: bench.Replay = []
    run = bench.sweep_speed(policy, 12, replay)
    assert run() > 0
    assert len(replay) == 12
    assert run() > 0
    assert len(replay) == 12, "only the first sweep is recorded"
    world = bench.gym.make_vec("envs:rl_ablation/Lap-v0", num_envs=8, autoreset_mode="Disabled")
    world.reset(seed=list(range(8)))
    by_step = world.batch.qpos.copy()
    for ctrl, rows in replay:
        actions = (ctrl / world.batch.model.actuator_ctrlrange[:, 1]).astype(np.float32)
        world.step(actions)
        assert rows.size == 8
    assert not np.array_equal(world.batch.qpos, by_step)
    assert bench.physics_speed(policy, replay)() > 0


def test_ratios_have_flat_names() -> None:
    figures = bench._with_ratios({"sweep": 90.0, "physics": 100.0, "evaluate_policy": 5.0}, "x_")
    assert figures["x_sweep_over_physics"] == 0.9
    assert figures["x_sweep_over_evaluate_policy"] == 18.0
    json.dumps(figures)
