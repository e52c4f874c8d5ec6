"""Work on a cluster of real processes: the same bytes as alone, whoever dies meanwhile."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import psutil
import pytest

import rl_ablation as rl
from rl_ablation import cluster
from rl_ablation.errors import LabError
from rl_ablation.mapping import sweep as sweep_module

distributed = pytest.importorskip("distributed")


def files(run):
    return {p.name: p.read_bytes() for p in sorted((run.folder / "shards").iterdir())}


@contextmanager
def processes(count):
    """A scheduler's client, and worker processes that come again when they are killed."""
    cluster_here = distributed.LocalCluster(
        n_workers=count, threads_per_worker=1, dashboard_address=":0", memory_limit=0
    )
    with cluster_here, distributed.Client(cluster_here) as client:
        yield client


@pytest.fixture(scope="module")
def client():
    with processes(2) as client:
        yield client


@pytest.fixture
def small_shards(monkeypatch):
    real = sweep_module.make_spec
    monkeypatch.setattr(
        sweep_module, "make_spec", lambda *a: real(*a).model_copy(update={"rows": 6})
    )


def test_workers_make_the_same_bytes(small_sweep, mixed_plan, small_shards, client, tmp_path):
    alone = small_sweep(mixed_plan, tmp_path / "alone")
    spread = small_sweep(mixed_plan, tmp_path / "spread", scheduler=client)
    assert files(spread) == files(alone)
    assert len(files(alone)) == 13
    (spread.folder / "shards" / "00003.parquet").unlink()  # begun there, gone on with here
    assert files(small_sweep(mixed_plan, tmp_path / "spread")) == files(alone)


def test_the_scheduler_of_a_block_is_used(small_sweep, mixed_plan, client, tmp_path, monkeypatch):
    asked = []
    real = sweep_module.on_cluster
    monkeypatch.setattr(sweep_module, "on_cluster", lambda *a: asked.append(a[2]) or real(*a))
    with cluster.using(client):
        small_sweep(mixed_plan, tmp_path / "run")
    small_sweep(mixed_plan, tmp_path / "other")
    assert asked == [client]


def test_a_module_in_this_process_cannot_be_sent(small_sweep, policy, client, tmp_path):
    module = policy.with_network(Unknown(policy.network))
    with pytest.raises(LabError, match="cannot be sent"):
        rl.sweep(
            module, rl.layers(policy), 2, horizon=5, folder=tmp_path / "run", scheduler=client,
            conditions=["ring/ccw"],
        )  # fmt: skip


class Unknown:
    def __init__(self, network):
        self.sizes, self.digest, self.network = network.sizes, "x", network

    def __call__(self, obs, edit):
        return self.network(obs, edit)


# Who dies.


def slow_square(pause, item):
    time.sleep(pause)
    return item * item


def test_killed_workers_cost_what_they_did():
    """SIGKILL at random moments, again and again, until all is done."""
    killed, stop = [], threading.Event()
    rng = random.Random(0)
    with processes(2) as client:

        def kill():
            while not stop.wait(rng.uniform(0.5, 1.5)) and len(killed) < 5:
                pid = rng.choice(list(client.run(os.getpid).values()) or [0])
                if pid:
                    killed.append(pid)
                    os.kill(pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        found = dict(cluster.scattered(slow_square, 0.25, range(24), client))
        stop.set()
        killer.join()
    assert found == {k: k * k for k in range(24)}
    assert killed


SWEEP = """
import importlib, sys
import rl_ablation as rl
module = importlib.import_module("rl_ablation.mapping.sweep")
real = module.make_spec
module.make_spec = lambda *a: real(*a).model_copy(update={{"rows": 6}})
run = rl.Map({folder!r})
spec = run.spec
write = module.write_atomically
def told(path, content):
    write(path, content)
    if path.suffix == ".parquet":
        print("shard", flush=True)
module.write_atomically = told
try:
    rl.sweep(run.policy, run.plan, episodes=spec.episodes, seed=spec.seed, folder=run.folder,
             conditions=spec.conditions, horizon=spec.horizon, activity=run.activity,
             scheduler={address!r})
except rl.LabError as error:
    print("error:", error, flush=True)
"""


def start(module, *arguments):
    command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)


def end(process):
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:
        one.kill()
    process.wait()


@contextmanager
def scheduler_and_worker(port):
    address = f"tcp://127.0.0.1:{port}"
    scheduler = start(
        "dask_scheduler", "--port", str(port), "--no-dashboard", "--host", "127.0.0.1"
    )
    worker = start(
        "dask_worker", address, "--nthreads", "1", "--no-dashboard", "--death-timeout", "20"
    )
    try:
        yield address, scheduler
    finally:
        for process in (worker, scheduler):
            if process.poll() is None:
                end(process)


def test_a_scheduler_that_is_killed_and_the_command_run_again(
    small_sweep, mixed_plan, small_shards, tmp_path, unused_port
):
    run = small_sweep(mixed_plan, tmp_path / "run")
    wanted = files(run)
    for path in (run.folder / "shards").iterdir():
        path.unlink()
    with scheduler_and_worker(unused_port) as (address, scheduler):
        script = SWEEP.format(folder=str(run.folder), address=address)
        with subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "shard\n"
            end(scheduler)
            told = process.stdout.read().splitlines()
    assert told[-1].startswith("error: the scheduler is gone")
    left = files(run)
    assert 0 < len(left) < len(wanted)
    with scheduler_and_worker(unused_port) as (address, _):
        script = SWEEP.format(folder=str(run.folder), address=address)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["shard"] * (len(wanted) - len(left))
    assert files(run) == wanted


@pytest.fixture
def unused_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# Who differs, hangs or fails.


def pid_digest(_):
    return hashlib.sha256(str(os.getpid()).encode()).hexdigest()


def test_a_worker_with_another_arithmetic_is_refused(client, caplog):
    with pytest.raises(LabError, match="no worker can be used"):
        list(cluster.scattered(slow_square, 0.0, range(4), client, pid_digest))
    assert len(caplog.messages) == 2
    assert all("is not like this machine: " in text for text in caplog.messages)


def other_version(monkeypatch):
    own = cluster.identity()
    monkeypatch.setattr(cluster, "identity", lambda: own.replace("mujoco 4", "mujoco 5"))


def test_a_worker_with_other_versions_is_refused(client, caplog, monkeypatch):
    other_version(monkeypatch)
    with pytest.raises(LabError, match="no worker can be used"):
        list(cluster.scattered(slow_square, 0.0, range(2), client))
    assert "mujoco 4" in caplog.text
    assert "here rl-ablation" in caplog.text


def hang_once(path, item):
    if item == 2 and not os.path.exists(path):
        open(path, "w").close()
        time.sleep(3600)
    return item


def test_a_worker_that_hangs_loses_its_task(caplog, monkeypatch, tmp_path):
    monkeypatch.setattr(cluster, "PATIENCE", 2.0)
    with processes(2) as client:
        list(cluster.scattered(slow_square, 0.0, range(4), client))  # has them start
        found = dict(cluster.scattered(hang_once, str(tmp_path / "hung"), range(8), client))
    assert found == {k: k for k in range(8)}
    assert "has not answered for 2 s" in caplog.text


def fail(_, item):
    raise LabError(f"item {item} is bad") if item else ValueError("a bug")


def test_faults_come_in_one_line(client):
    with pytest.raises(LabError, match=r"^item 1 is bad$"):
        list(cluster.scattered(fail, None, [1], client))
    with pytest.raises(LabError, match=r"^worker .* failed: ValueError: a bug$"):
        list(cluster.scattered(fail, None, [0], client))


@pytest.mark.parametrize(
    ("scheduler", "told"),
    [
        ("local:none", "write local:N"),
        ("local:0", "write local:N"),
        ("tcp://127.0.0.1:9", "no scheduler at 'tcp://127.0.0.1:9'"),
        ("rubbish", "no scheduler at 'rubbish'"),
        (7, "a scheduler is an address or a dask Client, not 7"),
    ],
)
def test_addresses_that_are_none(scheduler, told, monkeypatch):
    monkeypatch.setattr(cluster, "ANSWER", 1.0)
    with pytest.raises(LabError, match=told):
        cluster.connect(scheduler)
