"""The benchmark measures what it says."""

import json

import numpy as np
import pytest

from agents.zoo import find_agent
from experiments.bench import __main__ as main
from experiments.bench import live, scale
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


@pytest.mark.parametrize("pairs", [40, 45 * 20])
def test_growing_and_dry_plans_are_as_large_as_asked(pairs: int) -> None:
    figures = scale.measured("dry", pairs)
    assert set(figures) == {f"dry_{pairs}_mb", f"dry_{pairs}_seconds"}
    assert len(scale.many_cuts(find_agent("lap"), pairs)) * scale.EPISODES == pairs


def test_a_million_pairs_are_set_up_in_little_memory() -> None:
    """Dry: the plan, its identity and its shards, without a robot."""
    assert scale.measured("dry", 1_000_000)["dry_1000000_mb"] < 1000


def test_figures_are_kept_with_their_commit(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(main, "FOLDER", tmp_path)
    for module in (bench, scale, live):
        name = module.__name__.rpartition(".")[2]
        monkeypatch.setattr(module, "bench", lambda quick, name=name: {name: 1.0})
    main.main()
    main.main()
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert kept == {"speed": 1.0, "scale": 1.0, "live": 1.0}
    lines = (tmp_path / "bench-history.jsonl").read_text().splitlines()
    assert [json.loads(line)["speed"] for line in lines] == [1.0, 1.0]
    assert json.loads(lines[0])["commit"] == main.commit()
    main.main(quick=True)
    assert len((tmp_path / "bench-history.jsonl").read_text().splitlines()) == 2


def test_ratios_have_flat_names() -> None:
    figures = bench._with_ratios({"sweep": 90.0, "physics": 100.0, "evaluate_policy": 5.0}, "x_")
    assert figures["x_sweep_over_physics"] == 0.9
    assert figures["x_sweep_over_evaluate_policy"] == 18.0
    json.dumps(figures)
