"""Hostile files, each read in a process of its own with limits on its memory and its time.

A file has *held* if nothing of it was run or written, reading it took at most 5 s and 1 GB, and it
was either read as what it says or refused with one line.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.cli.main import main as command_line
from experiments.faults import hostile_exports, hostile_folders, hostile_zips
from experiments.faults import makings as m
from experiments.faults.hostile import PAYLOAD, RAN, Hostile, make
from experiments.faults.tally import Tally
from experiments.faults.watch import watched
from rl_ablation.errors import LabError
from rl_ablation.groupings.units import layers
from rl_ablation.mapping.map import Map
from rl_ablation.mapping.sweep import sweep
from rl_ablation.policies.load import load
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.world import World

SECONDS, MEMORY = 5.0, 1_000_000_000
"""Of processor time, and bytes beyond those of the lab itself."""
PATIENCE = 120.0
"""Seconds after which a process that waits for something is given up, on a busy machine."""
LONGEST = 1000
"""Characters of a line that refuses a file."""
BATCH = 50
"""Files for which the lab is imported once; each is then read in a fork of that process."""
_FAMILIES = (
    hostile_zips,
    hostile_folders,
    hostile_exports,
)  # importing them registers what they make


class Found(NamedTuple):
    """What came of reading a file: why it has not held, if so; processor seconds and bytes."""

    why: str | None
    seconds: float = 0.0
    grown: int = 0


def hostile_files(seed: int, count: int) -> Tally:
    """Read so many hostile files; the same seed and count make the same files."""
    failures, seconds, grown = [], 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        good_run(Path(folder) / "run")
        for start in range(0, count, BATCH):
            many = min(BATCH, count - start)
            done = subprocess.run(
                [sys.executable, "-m", "experiments.faults.files", folder]
                + [str(number) for number in (seed, start, many)],
                capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
            )  # fmt: skip
            read = [json.loads(line) for line in done.stdout.splitlines()]
            for k in range(start + len(read), start + many):
                failures.append(f"{k}: its batch broke off: {done.stderr.strip()[-300:]}")
            for what, *rest in read:
                found = Found(*rest)
                seconds, grown = max(seconds, found.seconds), max(grown, found.grown)
                if found.why is not None:
                    failures.append(f"{what}: {found.why}")
    told = f"at most {seconds:.1f} s and {grown / 1e9:.2f} GB"
    return Tally("hostile files", count, tuple(failures), told)


def good_run(folder: Path) -> None:
    """Make a run folder of a policy as small as can be."""
    with tempfile.TemporaryDirectory() as agent:
        for part, content in m.folder().items():
            (Path(agent) / part).write_bytes(content)
        policy = load(agent)
        sweep(policy, layers(policy), 2, horizon=5, threads=1, folder=folder, progress=False)
    (folder / "names.json").write_text(json.dumps({"obs": ["x", "y", "speed"]}))


def contents(folder: Path) -> dict[str, bytes]:
    """All files in a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def write(case: Hostile, folder: Path) -> Path:
    """Write a hostile file into an empty folder, with the module that it may want to run."""
    (folder / f"{PAYLOAD}.py").write_text(f"open({str(folder / RAN)!r}, 'w').close()\n")
    for name, content in case.parts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content == "pipe":
            os.mkfifo(path)
        elif content == "door":
            with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path.name)  # the name of a socket may not be long
        elif content == "folder":
            path.mkdir()
        elif content == "hole":
            with open(path, "wb") as file:
                file.truncate(1 << 40)
        else:
            path.symlink_to({"device": "/dev/zero", "loop": path.name, "nowhere": "x/y"}[content])
    return folder / case.opened


def ask(path: Path) -> None:
    """Read what is at a path in all ways that there are; a LabError refuses it."""
    if path.name == "run":
        _ask_run(Map(path))
        return
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        left = command_line(["show", str(path)])
    if left not in (0, 2) or (left == 2) != told.getvalue().startswith("rl-ablation: "):
        raise AssertionError(f"show left with {left}")
    if not all(map(str.isprintable, told.getvalue().split("\n"))):
        raise AssertionError("show printed control characters")
    _try(load(path))


def _ask_run(run: Map) -> None:
    for read in (
        lambda: _try(run.policy), lambda: run.activity, lambda: run.names, lambda: run.own,
        lambda: run.condition_words("x"), lambda: run.table(), lambda: run.effects(),
        lambda: run.probe, lambda: run._repr_html_(), lambda: (run.confirmation, run.looks),
        lambda: _start(run.spec.env_id, run.spec.env_kwargs),
    ):  # fmt: skip
        with contextlib.suppress(LabError):
            read()


def _try(policy: Policy) -> None:
    policy.act(np.zeros((2, policy.obs_size)))
    policy._repr_html_()
    if policy.card.env_id is not None:
        _start(policy.card.env_id, policy.card.env_kwargs)


def _start(env_id: str, env_kwargs: Mapping[str, Any]) -> None:
    with contextlib.closing(World(env_id, 1, env_kwargs, threads=1)) as world:
        part = world.parts[0]
        part.reset([0], [""])
        part.step(part.no_action())


# In a process of its own.


def _batch(folder: Path, seed: int, start: int, count: int) -> None:
    """Read some of a seed's files, each in a fork, and print what came of each."""
    run = contents(folder / "run")
    _ask_run(Map(folder / "run"))  # what is imported late, now
    importlib.import_module("gymnasium.envs.mujoco.mujoco_env")  # its windows start a process
    for k in range(start, start + count):
        case = make(seed, k, run)
        inside = folder / "case"
        inside.mkdir()
        try:
            found = forked(write(case, inside), inside)
            print(json.dumps([f"{k}: {case.what}", *found]), flush=True)
        finally:
            shutil.rmtree(inside)


def forked(path: Path, inside: Path) -> Found:
    """Read a file in a fork of this process, which is ended if it waits for something."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        try:
            os.write(into, json.dumps(_limited(path, inside)).encode())
        finally:
            os._exit(0)
    os.close(into)
    with open(out, "rb") as stream:
        ready, _, _ = select.select([stream], [], [], PATIENCE)
        if not ready:
            os.kill(child, signal.SIGKILL)
        content = stream.read() if ready else b""
    _, status = os.waitpid(child, 0)
    found = Found(*json.loads(content)) if content else Found(None)
    if (inside / RAN).exists():
        return found._replace(why="something was run")
    if not ready:
        return found._replace(why="it waits for something")
    if not content:
        name = signal.Signals(os.WTERMSIG(status)).name
        late = f"it took more than {SECONDS:g} s"
        return found._replace(why=late if name == "SIGXCPU" else f"the process died of {name}")
    return found


def _limited(path: Path, inside: Path) -> Found:
    """Read a file within limits of memory and time."""
    os.chdir(inside)
    sys.path.insert(0, str(inside))
    before = resource.getrusage(resource.RUSAGE_SELF)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 3 * MEMORY, used + 3 * MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (int(SECONDS) + 1, int(SECONDS) + 2))
    why = None
    with watched() as seen:
        try:
            ask(path)
        except LabError as error:
            if not str(error).isprintable() or len(str(error)) > LONGEST:
                why = f"it is refused in {len(str(error))} characters"
        except BaseException as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(last.filename).name}:{last.lineno}"
            why = f"{type(error).__name__} at {place}: {str(error)[:100]}"
    after = resource.getrusage(resource.RUSAGE_SELF)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    grown = (after.ru_maxrss - before.ru_maxrss) * 1024
    if seconds > SECONDS or grown > MEMORY:
        why = f"it took {seconds:.1f} s and {grown / 1e9:.2f} GB"
    return Found(f"reading it did this: {seen[0]}" if seen else why, seconds, grown)


if __name__ == "__main__":
    _batch(Path(sys.argv[1]), *map(int, sys.argv[2:]))
