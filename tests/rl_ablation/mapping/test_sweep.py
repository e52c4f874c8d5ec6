"""Sweeps: same lesion, same seed, same bytes; a kill loses a shard at most; bad input is told."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import CONDITIONS, DEAD, HORIZON, LAP, MUTE, random_mlp

import rl_ablation as rl
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion, Plan

sweep_module = importlib.import_module("rl_ablation.mapping.sweep")
ABOUT = ["lesion", "group", "kind", "units"]


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(
        one.reset_index(drop=True), other.reset_index(drop=True), check_exact=True
    )


def of(table: pd.DataFrame, lesion: str) -> pd.DataFrame:
    return table[table["lesion"] == lesion]


@pytest.fixture(scope="module")
def done(small_sweep, mixed_plan, tmp_path_factory):
    """The mixed plan, swept in one shard."""
    return small_sweep(mixed_plan, tmp_path_factory.mktemp("sweep") / "run")


def shards(run) -> dict[str, tuple[int, bytes]]:
    files = sorted((run.folder / "shards").glob("*.parquet"))
    return {f.name: (f.stat().st_mtime_ns, f.read_bytes()) for f in files}


# Same lesion, same seed, same bytes.


def test_the_table_has_a_row_for_each_lesion_and_episode(done, mixed_plan):
    table = done.table()
    assert list(zip(table["lesion"], table["episode"], strict=True)) == [
        (name, k) for name in mixed_plan.names for k in range(4)
    ]
    assert table.groupby("episode")["seed"].nunique().tolist() == [1] * 4, "paired"
    assert table["seed"].nunique() == 4
    assert table["condition"].tolist() == [*CONDITIONS, *CONDITIONS] * len(mixed_plan)
    assert not table["unstable"].any()
    assert table["crash"].nunique() == 2
    intact = of(table, "intact")["return"].to_numpy()
    changed = [n for n in mixed_plan.names if (of(table, n)["return"].to_numpy() != intact).all()]
    assert set(mixed_plan.names) - set(changed) <= {"intact", "none", "late", "brief"}


def test_cutting_nothing_gives_the_intact_rows_to_the_bit(small_sweep, tmp_path):
    plan = Plan(
        [
            Lesion(name="none", cut={"h0": ()}),
            Lesion(name="dead", cut={"h0": (DEAD,)}),
            Lesion(name="mute", cut={"h0": (MUTE,)}),
            Lesion(name="unit 0", cut={"h0": (0,)}),
        ]
    )
    run = small_sweep(plan, tmp_path / "run")
    table = run.table()
    intact = of(table, "intact").drop(columns=ABOUT)
    for name in ("none", "dead", "mute"):
        same(of(table, name).drop(columns=ABOUT), intact)
    with pytest.raises(AssertionError):
        same(of(table, "unit 0").drop(columns=ABOUT), intact)
    effects = run.effects().set_index("lesion")
    for name in ("none", "dead", "mute"):
        there = effects.loc[name].dropna(subset="delta")
        for column in ("delta", "effect"):
            assert (there[there["n"] > 1][column] == 0).all()
        assert there["ci_low"].isna().all()
        assert (there["p"] == 1).all()


@pytest.mark.parametrize("name", ["unit-0", "both", "shuffled", "noisy", "brief", "late", "shaky"])
def test_a_lesion_alone_has_the_bytes_of_the_crowd(small_sweep, mixed_plan, done, name, tmp_path):
    run = small_sweep(Plan([mixed_plan[name]]), tmp_path / "run")
    same(of(run.table(), name), of(done.table(), name))
    same(of(run.table(), "intact"), of(done.table(), "intact"))


def test_a_plan_of_500_in_another_order_on_two_threads(small_sweep, mixed_plan, done, tmp_path):
    fill = [
        Lesion(name=f"u{k}", cut={"h1": (k % 10,)}, kind="clamp", strength=k / 500)
        for k in range(500 - len(mixed_plan))
    ]
    plan = Plan([*fill, *reversed(mixed_plan.lesions[1:])])
    assert len(plan) == 500
    table = small_sweep(plan, tmp_path / "run", threads=2, episodes=2).table()
    wanted = done.table()[done.table()["episode"] < 2]
    for name in mixed_plan.names:
        same(of(table, name), of(wanted, name))


@pytest.mark.parametrize("rows", [1, 7])
def test_shards_of_any_size(small_sweep, mixed_plan, done, rows, tmp_path, monkeypatch):
    real = sweep_module.make_spec
    monkeypatch.setattr(
        sweep_module, "make_spec", lambda *a: real(*a).model_copy(update={"rows": rows})
    )
    run = small_sweep(mixed_plan, tmp_path / "run")
    assert run.spec.shards == -(-4 * len(mixed_plan) // rows)
    same(run.table(), done.table())


def test_more_episodes_begin_with_the_same_ones(small_sweep, mixed_plan, done, tmp_path):
    run = small_sweep(mixed_plan, tmp_path / "run", episodes=6)
    table = run.table()
    same(table[table["episode"] < 4], done.table())


def test_seed_0_is_ordinary(small_sweep, tmp_path):
    plan = Plan([Lesion(name="x", cut={"h0": (0,)}, kind="resample")])
    tables = [small_sweep(plan, tmp_path / f"{k}", seed=s).table() for k, s in enumerate((0, 0, 1))]
    same(tables[0], tables[1])
    assert not set(tables[0]["seed"]) & set(tables[2]["seed"])


def test_activity_is_recorded_when_none_is_given(small_sweep, tmp_path):
    plan = Plan([Lesion(name="x", cut={"h0": (0, 1)}, kind="mean")])
    one = small_sweep(plan, tmp_path / "a", activity=None)
    other = small_sweep(plan, tmp_path / "b", activity=None, threads=2)
    same(one.table(), other.table())
    assert all(
        np.array_equal(one.activity[s].samples, other.activity[s].samples) for s in one.spec.sites
    )


# Kill, damage, resume.

SCRIPT = """
import importlib, time
import rl_ablation as rl
module = importlib.import_module("rl_ablation.mapping.sweep")
run = rl.Map({folder!r})
write = module.write_atomically
def slowly(path, content):
    write(path, content)
    if path.suffix == ".parquet":
        print("shard", flush=True)
        time.sleep(0.2)
module.write_atomically = slowly
real = module.make_spec
module.make_spec = lambda *a: real(*a).model_copy(update={{"rows": 6}})
spec = run.spec
rl.sweep(run.policy, run.plan, episodes=spec.episodes, seed=spec.seed, activity=run.activity,
         conditions=spec.conditions, horizon=spec.horizon, folder=run.folder, threads=1)
"""


@pytest.fixture
def sharded(small_sweep, mixed_plan, tmp_path, monkeypatch):
    """A finished run in thirteen shards, and the call that makes or finishes it."""
    real = sweep_module.make_spec
    monkeypatch.setattr(
        sweep_module, "make_spec", lambda *a: real(*a).model_copy(update={"rows": 6})
    )

    def call():
        return small_sweep(mixed_plan, tmp_path / "run")

    run = call()
    assert run.spec.shards == 13
    return run, call


def test_a_killed_sweep_goes_on_where_it_stopped(sharded, done):
    run, call = sharded
    for path in (run.folder / "shards").glob("*.parquet"):
        path.unlink()
    script = SCRIPT.format(folder=str(run.folder))
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        for _ in range(3):
            assert process.stdout.readline() == "shard\n"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    left = shards(run)
    assert 3 <= len(left) < 9
    again = call()
    after = shards(again)
    assert len(after) == 13
    assert all(after[name] == left[name] for name in left), "done shards are left alone"
    same(again.table(), done.table())


def test_a_finished_run_returns_at_once(sharded):
    run, call = sharded
    before = shards(run)
    start = time.perf_counter()
    assert shards(call()) == before
    assert time.perf_counter() - start < 2


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-20])


def other_numbers(path):
    table = pq.read_table(path)
    changed = table.to_pandas()
    changed.loc[2, "forward_speed"] += 1e-9
    parts = pa.Table.from_pandas(changed, preserve_index=False)
    pq.write_table(parts.replace_schema_metadata(table.schema.metadata), path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda p: p.unlink(),
        lambda p: p.write_bytes(b""),
        lambda p: p.write_bytes(b"rubbish" * 99),
        cut_short,
        other_numbers,
        lambda p: p.write_bytes((p.parent / "00000.parquet").read_bytes()[:4000]),
    ],
    ids=["gone", "empty", "rubbish", "cut short", "other numbers", "half of another"],
)
def test_a_damaged_shard_and_no_other_is_made_again(sharded, done, damage):
    run, call = sharded
    before, path = shards(run), run.shard_path(4)
    damage(path)
    with pytest.raises(LabError, match="run the same map command again to mend it") as caught:
        run.table()
    assert "\n" not in str(caught.value)
    assert "00004.parquet" in str(caught.value)
    after = shards(call())
    assert after.keys() == before.keys()
    for name in before:
        if name == path.name:
            assert after[name][0] != before[name][0]
            assert after[name][1] == before[name][1], "the same bytes again"
        else:
            assert after[name] == before[name]
    same(run.table(), done.table())


def test_no_flipped_bit_changes_a_number(sharded):
    run, _ = sharded
    (run.folder / "manifest.json").unlink()  # without it, as in an unfinished run
    path = run.shard_path(3)
    blob, wanted = path.read_bytes(), run.read_shard(3)
    told = []
    for place in range(0, len(blob), 61):
        path.write_bytes(blob[:place] + bytes([blob[place] ^ (1 << place % 8)]) + blob[place + 1 :])
        try:
            same(run.read_shard(3), wanted)
        except LabError as error:
            told.append(str(error))
    assert len(told) > 50
    assert not any("\n" in text for text in told)


def test_a_shard_of_another_run_is_not_taken(sharded, small_sweep, mixed_plan, tmp_path):
    run, _ = sharded
    other = small_sweep(mixed_plan, tmp_path / "other", seed=1)
    own = run.shard_path(2).read_bytes()
    run.shard_path(2).write_bytes(other.shard_path(2).read_bytes())
    with pytest.raises(LabError, match="damaged"):
        run.table()
    (run.folder / "manifest.json").unlink()
    with pytest.raises(LabError, match="not a shard of this run"):
        run.table()
    run.shard_path(2).write_bytes(run.shard_path(3).read_bytes())
    with pytest.raises(LabError, match="another shard of this run"):
        run.table()
    run.shard_path(2).write_bytes(own)
    run.table()


@pytest.mark.parametrize("file", ["spec.json", "versions.txt", "card.json", "policy.safetensors"])
def test_a_start_that_was_broken_off_is_taken_up(small_sweep, done, tmp_path, monkeypatch, file):
    """Killed before the spec was written: the same command again must work."""
    plan = Plan([done.plan["noisy"]])
    names = ("rl_ablation.mapping.filling", "rl_ablation.policies.storage")
    modules = [importlib.import_module(name) for name in names]
    real = sweep_module.write_atomically

    def dies(path, content):
        if path.name == file:
            path.with_name(f".{path.name}.123").write_bytes(b"half")
            raise KeyboardInterrupt
        real(path, content)

    for module in modules:
        monkeypatch.setattr(module, "write_atomically", dies)
    with pytest.raises(KeyboardInterrupt):
        small_sweep(plan, tmp_path / "run")
    for module in modules:
        monkeypatch.setattr(module, "write_atomically", real)
    run = small_sweep(plan, tmp_path / "run")
    same(of(run.table(), "noisy"), of(done.table(), "noisy"))
    assert run.policy.sha256 == done.policy.sha256


# Diverging physics.


def test_a_diverging_lesion_stays_in_its_rows(small_sweep, tmp_path):
    linear = random_mlp((18, *[12] * 9, 2), LAP, activation="identity")
    cut = {f"h{k}": tuple(range(12)) for k in range(9)}
    burst = Lesion(name="burst", cut=cut, kind="gain", strength=3e38)
    fine = Lesion(name="fine", cut={"h0": (0,)})
    run = small_sweep(Plan([burst, fine]), tmp_path / "a", agent=linear, activity=None)
    table = run.table()
    assert of(table, "burst")["unstable"].all()
    assert of(table, "burst")[list(run.spec.measures)].isna().all(axis=None)
    assert not of(table, "fine")["unstable"].any()
    alone = small_sweep(Plan([fine]), tmp_path / "b", agent=linear, activity=None)
    same(table[table["lesion"] != "burst"], alone.table())
    effects = run.effects().set_index("lesion")
    assert (effects.loc["burst", "unstable"] == 1).all()
    assert (effects.loc["burst", "n"] == 0).all()
    assert effects.loc["burst", ["delta", "p", "q"]].isna().all(axis=None)
    assert (effects.loc["fine", "unstable"] == 0).all()


# Bad input: one line that says what.


def test_a_folder_of_another_spec_is_refused(small_sweep, mixed_plan, done):
    for changes, line in [
        ({"seed": 1}, r"\(its seed differ\)"),
        ({"episodes": 5}, "its episodes differ"),
        ({"horizon": 7, "conditions": ()}, "its conditions and horizon differ"),
        ({"measures": ["crash"]}, "its measures differ"),
    ]:
        with pytest.raises(LabError, match=line) as caught:
            small_sweep(mixed_plan, done.folder, **changes)
        assert "\n" not in str(caught.value)
    with pytest.raises(LabError, match="its lesions differ"):
        small_sweep(Plan(), done.folder)
    other = random_mlp((18, 12, 10, 2), LAP, seed=5)
    with pytest.raises(LabError, match="its policy_sha256 differ"):
        small_sweep(mixed_plan, done.folder, agent=other)


def test_a_folder_of_something_else_is_refused(small_sweep, mixed_plan, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(LabError, match="is not empty and holds no run"):
        small_sweep(mixed_plan, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"conditions": ["moon"]}, "unknown condition 'moon'; choose from ring"),
        ({"measures": ["charm"]}, "unknown measure 'charm'; choose from return"),
        ({"measures": ["gait_frequency"]}, "needs signals this world lacks: foot_contact"),
        ({"episodes": 0}, "episodes must be at least 1"),
        ({"episodes": 1}, "1 episodes cannot cover 2 conditions"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"horizon": 0}, "horizon in steps must be at least 1"),
    ],
)
def test_options_that_make_no_sense(small_sweep, mixed_plan, tmp_path, changes, line):
    with pytest.raises(LabError, match=line) as caught:
        small_sweep(mixed_plan, tmp_path / "run", **changes)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_policies_and_plans_that_do_not_fit(small_sweep, policy, tmp_path):
    folder = tmp_path / "run"
    wide = random_mlp((17, 12, 10, 2), LAP)
    with pytest.raises(LabError, match=r"takes 17 observations, but .* gives 18"):
        small_sweep(Plan(), folder, agent=wide)
    with pytest.raises(LabError, match="unknown environment 'Nowhere-v0'"):
        small_sweep(Plan(), folder, agent=policy.with_env("Nowhere-v0"))
    nameless = policy.with_card(policy.card.model_copy(update={"env_id": None}))
    with pytest.raises(LabError, match="names no environment; give one"):
        small_sweep(Plan(), folder, agent=nameless)
    with pytest.raises(LabError, match="h0 has units 0–11, not 12"):
        small_sweep(Plan([Lesion(name="x", cut={"h0": (12,)})]), folder)
    assert not folder.exists()


def test_folders_that_hold_no_run(done, tmp_path):
    with pytest.raises(LabError, match="is no run folder"):
        rl.Map(tmp_path)
    with pytest.raises(LabError, match="is no run folder"):
        rl.Map(tmp_path / "nowhere")
    text = (done.folder / "spec.json").read_text()
    for damaged in (text[:200], "", '{"agent": 3}', text.replace('"seed"', '"seeed"')):
        (tmp_path / "spec.json").write_text(damaged)
        with pytest.raises(LabError, match="damaged spec") as caught:
            rl.Map(tmp_path)
        assert "\n" not in str(caught.value)


def test_a_changed_spec_disowns_the_shards(small_sweep, mixed_plan, tmp_path):
    run = small_sweep(mixed_plan, tmp_path / "run")
    path = run.folder / "spec.json"
    spec = json.loads(path.read_text())
    path.write_text(json.dumps({**spec, "seed": 3}))
    with pytest.raises(LabError, match=r"spec\.json: damaged"):
        rl.Map(run.folder)
    (run.folder / "manifest.json").unlink()
    with pytest.raises(LabError, match="not a shard of this run"):
        rl.Map(run.folder).table()


def test_runs_are_named_by_their_digest(policy, activity, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"episodes": 2, "conditions": CONDITIONS, "horizon": HORIZON, "activity": activity}
    one = rl.sweep(policy, Plan(), seed=0, **options)
    other = rl.sweep(policy, Plan(), seed=1, **options)
    assert one.folder != other.folder
    assert one.folder.parent.name == "runs"
    assert one.folder.name == f"small-{one.spec.digest[:8]}"
    assert rl.sweep(policy, Plan(), seed=0, **options).folder == one.folder
