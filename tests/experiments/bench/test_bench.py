"""The benchmark measures what it says."""

import json

import numpy as np
import pytest

from experiments.bench import speed as bench


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
