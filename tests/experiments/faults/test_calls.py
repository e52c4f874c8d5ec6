"""Calls that nobody would make on purpose are refused in a line, before anything is run."""

import functools

import numpy as np
import pytest

from experiments.cli.main import BAD_INPUT, COMMANDS, main
from experiments.faults import calls, small
from experiments.faults.forks import Outcome
from rl_ablation.policies.storage import save

SMALL = calls.USUAL["map"].split()[1:]


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    folder = tmp_path_factory.mktemp("agent")
    save(small.driver(), folder)
    return str(folder)


def refused(capsys, *words):
    """The line that refuses a call."""
    capsys.readouterr()
    try:
        code = main([str(word) for word in words])
    except SystemExit as left:
        code = left.code
    said = capsys.readouterr()
    assert code == BAD_INPUT
    assert not said.out
    assert said.err.startswith("rl-ablation: ")
    assert said.err.count("\n") <= calls.LINES, said.err
    return said.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--measures", "return,return"), "named twice"),
        (("--out", "/"), "/"),
        (("--out", "/dev/null"), "/dev/null"),
        (("--episodes", 2**31), "at most 10,000"),
        (("--discovery", 2**31), "at most 10,000"),
        (("--max-steps", 10**9), "at most 1,000,000"),
        (("--threads", 2**31), "at most 1,024"),
        (("--seed", "9" * 500), "more than 30 digits"),
        (("--seed", "1_000"), "no whole number"),
        (("--seed", "٣"), "no whole number"),
        (("--strength", "1e308", "--kind", "noise"), "strength must be finite"),
        (("--strength", "nan", "--kind", "noise"), "strength must be finite"),
        (("--groups", "clusters:999"), "clusters"),
        (("--groups", "clusters:٣"), "clusters"),
        (("--groups", "factors:500"), "factors"),
        (("--groups", "singles:5"), "singles"),
        (("--groups", "layers:3"), "layers"),
        (("--groups", "a\0b"), "NUL"),
        (("--groups", "\udcff"), "no text"),
        (("--nothing",), "--nothing"),
        (("--episodes",), "--episodes"),
        (("--episodes", "nan"), "nan"),
    ],
)
def test_a_map_is_refused(words, text, agent, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert text in refused(capsys, "map", agent, *SMALL, *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("plan", "--pilot", -1), "pilot must be at least 1"),
        (("plan", "--effect", 0), "effect must be more than 0"),
        (("plan", "--effect", "inf"), "effect must be more than 0"),
        (("plan", "--power", "nan"), "lie between 0 and 1"),
    ],
)
def test_a_plan_is_refused(words, text, agent, capsys):
    assert text in refused(capsys, words[0], agent, *words[1:])


@pytest.mark.parametrize("device", ["meta", "hpu", "privateuseone", "cpu:-1", "cuda:99", ""])
def test_a_training_is_refused(device, capsys, tmp_path):
    said = refused(capsys, "train", "lap", "--device", device, "--out", tmp_path / "out")
    assert "device" in said


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    small.small_map(folder)
    return str(folder)


@pytest.mark.parametrize("seconds", ["nan", "1e400", "-1", "0", "٣"])
def test_a_film_is_refused(seconds, run, capsys):
    said = refused(capsys, "video", run, "--lesion", "action/0", "--seconds", seconds)
    assert "seconds" in said


@pytest.mark.parametrize("path", ["/", "/dev/null", "nowhere", "x" * 5000, "$\\bad{$", "", "-"])
@pytest.mark.parametrize("command", ["show", "map", "report", "compare"])
def test_what_is_no_agent_and_no_run_is_refused(command, path, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(capsys, command, path, *([path] if command == "compare" else []))


def test_every_command_is_called_and_with_all_of_its_options():
    assert set(calls.USUAL) == set(COMMANDS)
    drawn = [calls.call(np.random.default_rng([0, k])) for k in range(3000)]
    assert drawn[7] == calls.call(np.random.default_rng([0, 7]))
    for command in COMMANDS:
        words = {word for call in drawn if call[0] == command for word in call}
        assert words.issuperset(calls.options(command)), command
        assert words.isdisjoint(calls.LEFT_OUT)
    assert "--strength" in calls.options("map")
    assert calls.options("map")["--episodes"] == "INT"
    assert calls.options("map")["--json"] == ""


@pytest.mark.parametrize("command", calls.USUAL)
def test_the_usual_calls_are_read(command, monkeypatch):
    seen = []
    read = functools.wraps(COMMANDS[command])(lambda *args, **kwargs: seen.append(args or kwargs))
    monkeypatch.setitem(COMMANDS, command, read)
    assert main([command, *calls.USUAL[command].split()]) == 0
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("words", "is_endless"),
    [
        ("train lap", True), ("train lap --steps 0", False), ("train lap --steps 99999", True),
        ("train lap --steps nan", False), ("demo", True), ("demo --steps 0", False),
        ("demo --steps 1", True), ("study all", True), ("study list", False), ("map lap", False),
    ],
)  # fmt: skip
def test_what_would_take_minutes_is_known(words, is_endless):
    assert calls.endless(words.split()) == is_endless


@pytest.mark.parametrize(
    ("done", "why"),
    [
        (Outcome(0, "report: x\n"), ""),
        (Outcome(2, "rl-ablation: no such agent\n"), ""),
        (Outcome(2, "WARNING\nrl-ablation: one\ntwo\nthree\nfour\n"), ""),
        (Outcome(2, "rl-ablation: one\ntwo\nthree\nfour\nfive\n"), "usage error of 5 lines"),
        (Outcome(2, "no name before it\n"), "usage error"),
        (Outcome(99, "Traceback (most recent call last):\nKeyError: 1\n"), "KeyError"),
        (Outcome(1, "Traceback (most recent call last):\nKeyError: 1\n"), "KeyError"),
        (Outcome(3, ""), "exit code 3"),
        (Outcome(0, "/x/y.py:3: RuntimeWarning: All-NaN axis\n"), "All-NaN axis"),
        (Outcome(0, "LOG matplotlib.font_manager no such font\n"), "no such font"),
        (Outcome(0, "LOG rl_ablation.rollouts.world slower\n"), ""),
        (Outcome(-24, "", "took more than 60 s"), "took more"),
        (Outcome(0, "name: \x1b[2J\n"), "control characters"),
    ],
)  # fmt: skip
def test_what_has_not_held_is_told(done, why):
    found = calls.fault(done)
    assert why in found
    assert bool(found) == bool(why)
