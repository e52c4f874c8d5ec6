"""What determines a run's numbers gives it another folder or a line, and one process fills it."""

import importlib
import logging
import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import fields

import pytest
from conftest import CONDITIONS, DEAD, HORIZON, LAP, random_mlp

import rl_ablation as rl
from rl_ablation.errors import LabError
from rl_ablation.files import LOCK
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.mapping.design import MapDesign
from rl_ablation.mapping.manifest import MANIFEST
from rl_ablation.measures.registry import MEASURES
from rl_ablation.rollouts.activity import record_activity
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.versions import PACKAGES, changed, of_code, versions

filling_module = importlib.import_module("rl_ablation.mapping.filling")
CUT = Plan([Lesion(name="x", cut={"h0": (0, 1)}, kind="resample")])


@pytest.fixture(scope="module")
def swept(small_sweep, tmp_path_factory):
    """A finished sweep of one cut, which the tests copy."""
    return small_sweep(CUT, tmp_path_factory.mktemp("filling") / "run", episodes=2).folder


@pytest.fixture
def again(small_sweep, swept, tmp_path):
    """A copy of it, and the call that made it."""
    folder = shutil.copytree(swept, tmp_path / "run")

    def call(**changes):
        return small_sweep(CUT, folder, **{"episodes": 2, **changes})

    return folder, call


# Another folder.


def with_card(policy, **changes):
    return policy.with_card(policy.card.model_copy(update=changes))


AGENTS = {
    "weights": lambda p: random_mlp((18, 12, 10, 2), LAP, bias=0.2, seed=1),
    "name": lambda p: with_card(p, name="other"),
    "activation": lambda p: random_mlp((18, 12, 10, 2), LAP, bias=0.2, activation="relu"),
    "limits of the actions": lambda p: random_mlp((18, 12, 10, 2), LAP, bias=0.2, bound=0.5),
    "env_kwargs": lambda p: with_card(p, env_kwargs={"max_episode_steps": 300}),
}
ASKED = {
    "count": {"episodes": 25},
    "seed": {"seed": 1},
    "conditions": {"conditions": ("ring/cw", "bends/ccw")},
    "horizon": {"horizon": HORIZON - 1},
    "discovery": {"discovery": 14},
    "controls": {"controls": 99},
    "kinds": {"kinds": ("zero", "mean")},
    "strength": {"kinds": ("noise",), "strength": 0.5},
    "adaptive": {"adaptive": False},
    "measures": {"measures": ["return"]},
}
PLANS = {
    "units": [Lesion(name="x", cut={"h0": (0, 2)})],
    "cut's name": [Lesion(name="y", cut={"h0": (0, 1)})],
    "onset": [Lesion(name="x", cut={"h0": (0, 1)}, onset=1)],
    "more cuts": [Lesion(name="x", cut={"h0": (0, 1)}), Lesion(name="y", cut={"h0": (DEAD,)})],
}
SAME = {"threads": {"threads": 2}, "progress": {"progress": False}}


class AskedFor(Exception):  # no error
    """Where a map would be made."""


@pytest.fixture
def folder_of(policy, activity, monkeypatch):
    """The folder of a map that would be made with some changes."""

    @contextmanager
    def stop(folder, *_):
        raise AskedFor(folder)
        yield

    monkeypatch.setattr(importlib.import_module("rl_ablation.mapping.lesion_map"), "filling", stop)

    def folder(agent=policy, plan=CUT, **changes):
        how = {"conditions": CONDITIONS, "horizon": HORIZON, "activity": activity, "threads": 1}
        with pytest.raises(AskedFor) as caught:
            rl.lesion_map(agent, plan, **{**how, **changes})
        return caught.value.args[0]

    return folder


def test_each_thing_that_determines_a_map_gives_it_another_folder(policy, folder_of):
    named = {f.name for value in (Episodes, MapDesign) for f in fields(value)} - {"stream"}
    assert named <= set(ASKED), "a new field needs a case here"
    found = {"": folder_of()}
    found |= {name: folder_of(**changes) for name, changes in ASKED.items()}
    found |= {
        name: folder_of(agent=change(policy), activity=None) for name, change in AGENTS.items()
    }
    found |= {name: folder_of(plan=Plan(lesions)) for name, lesions in PLANS.items()}
    of = {}
    for name, folder in found.items():
        assert folder not in of, f"{name or 'nothing'} changed: the same as {of[folder]!r}"
        of[folder] = name
    assert {folder_of(**changes) for changes in SAME.values()} == {found[""]}


# A clear line.


def test_other_intact_activity_is_told(again, policy):
    _, call = again
    other = record_activity(policy, conditions=CONDITIONS, episodes=4, horizon=HORIZON, seed=9)
    with pytest.raises(LabError, match="was begun with other intact activity") as caught:
        call(activity=other)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["mujoco", "torch", "python", "source", "own-code"])
def test_each_version_is_told(again, name, monkeypatch, caplog):
    """Of a finished run with a warning; an unfinished one is not gone on with, where numbers
    would change."""
    folder, call = again
    if name == "own-code":
        monkeypatch.setattr(filling_module, "of_code", lambda _: "8f3a")
        text = (folder / "versions.txt").read_text() + "own-code 77aa\n"
        for_now = "own-code 77aa (here 8f3a)"
        (folder / MANIFEST).unlink()
        (folder / "versions.txt").write_text(text)
    else:
        other = {**versions(), name: "0.0.1"}
        monkeypatch.setattr(filling_module, "versions", lambda: other)
        for_now = f"{name} {versions()[name]} (here 0.0.1)"
        with caplog.at_level(logging.WARNING):
            call()
        assert f"{folder} was made with {for_now}; it is kept as it is" in caplog.messages
        (folder / MANIFEST).unlink()
    (folder / "shards/00000.parquet").unlink()
    caplog.clear()
    if name in ("python", "source"):
        call()
        assert f"{folder} was begun with {for_now}" in caplog.messages
        return
    with pytest.raises(LabError) as caught:
        call()
    assert str(caught.value).startswith(f"{folder} was begun with {for_now}: go on with what")


@pytest.mark.parametrize("name", PACKAGES)
def test_each_package_that_changes_numbers_is_held_against(name):
    then = versions()
    assert changed(then, {**then, name: "0.0.1"}) == f"{name} {then[name]} (here 0.0.1)"


def test_an_engine_that_is_not_there_any_more_is_told():
    assert changed({"mujoco": "4.0.0", "python": "3.11"}, {"python": "3.12"}) == (
        "mujoco 4.0.0 (here none)"
    )
    assert changed({"mujoco": "4.0.0"}, {"mujoco": "4.0.0", "scipy": "1"}) == ""


def test_code_of_measures_from_elsewhere_is_known_by_its_digest():
    ours = MEASURES["return"].function
    space: dict = {"__name__": "elsewhere"}
    exec("def one(trace):\n    return 1.0\ndef two(trace):\n    return 2.0", space)
    assert of_code([ours]) == ""
    found = {of_code([ours, space["one"]]), of_code([space["one"]]), of_code([space["two"]])}
    assert len(found) == 2
    assert all(len(digest) == 8 for digest in found)


# One process at a time.

HOLD = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_processes_in_one_folder_wait_for_each_other(again, caplog):
    folder, call = again
    done = threading.Event()

    def fill():
        call()
        done.set()

    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder / LOCK)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        second = threading.Thread(target=fill)
        second.start()
        assert not done.wait(0.5), "it did not wait"
        other.communicate("")
    second.join(60)
    assert done.is_set()
    told = f"another process is at work in {folder}; waiting until it is done"
    assert caplog.messages.count(told) == 1
    call()
    assert caplog.messages.count(told) == 1


def test_a_spec_that_could_not_be_read_again_is_not_written(small_sweep, tmp_path, monkeypatch):
    monkeypatch.setattr(filling_module, "MAX_SPEC", 100)
    with pytest.raises(LabError, match=r"2 lesions make a spec.json of .* MiB; .* map fewer"):
        small_sweep(CUT, tmp_path / "run", episodes=2)
    assert not (tmp_path / "run" / "spec.json").exists()


def test_what_killed_processes_left_is_swept(again):
    folder, call = again
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    (folder / "films").mkdir()
    left = [
        folder / f".spec.json.{ended.pid}",
        folder / f"shards/.00000.parquet.{ended.pid}",
        folder / f"films/.h0.mp4.{ended.pid}",
        folder / f"films/.h0.{ended.pid}.mp4",
    ]
    kept = [folder / f".spec.json.{os.getppid()}", folder / ".hidden", folder / "films/h0.mp4"]
    for path in (*left, *kept):
        path.write_bytes(b"half")
    call()
    assert not [path for path in left if path.exists()]
    assert all(path.exists() for path in kept), "of processes that run, and no temporary files"


@pytest.mark.parametrize("name", ["../../up", "/etc/x", "a\0b", "..", "", "con/../..", "ä" * 300])
def test_runs_of_agents_of_any_name_stay_in_their_folder(name, policy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = filling_module.place(name, "0123456789")
    found.mkdir(parents=True)
    assert [p.resolve() for p in (tmp_path / "runs").iterdir()] == [found.resolve()]
    assert list(tmp_path.iterdir()) == [tmp_path / "runs"]
