"""Files are read only where they are regular files of plausible size; all else is one line."""

import json
import os
import resource
import signal
import socket
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

import rl_ablation as rl
from experiments.cli.main import main
from rl_ablation.errors import LabError, escaped
from rl_ablation.files import MIB, load_arrays, read_file, shortened
from rl_ablation.mapping.map import Map
from rl_ablation.reports.report import report
from tests.rl_ablation.policies import sb3_files as files


def pipe(path):
    os.mkfifo(path)


def device(path):
    path.symlink_to("/dev/zero")


def loop(path):
    path.symlink_to(path.name)


def nowhere(path):
    path.symlink_to("nothing-there")


def folder(path):
    path.mkdir()


def hole(path):
    with open(path, "wb") as file:
        file.truncate(1 << 40)


def door(path):
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket may have 100 characters
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


ODD = {
    pipe: "not a regular file",
    device: "not a regular file",
    door: "not a regular file",
    loop: "cannot be read",
    nowhere: "no such file (a link to nothing)",
    folder: "a folder, not a file",
    hole: "1,048,576 MiB, more than the",
}

odd_files = pytest.mark.parametrize("odd", ODD, ids=lambda make: make.__name__)


@pytest.fixture(autouse=True)
def no_waiting():
    """What waits for a pipe's writer fails the test instead."""

    def late(*_):
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def refused(read, path, line):
    """One line that names the file, without its content in memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(LabError) as caught:
        read()
    told = str(caught.value)
    assert str(path) in told
    assert line in told
    assert told.isprintable()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10, "200 MiB"


@odd_files
def test_only_regular_files_are_read(odd, tmp_path):
    odd(tmp_path / "x")
    refused(lambda: read_file(tmp_path / "x", MIB), tmp_path / "x", ODD[odd])


def test_a_file_may_have_just_the_limit(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert read_file(path, 5) == b"12345"
    refused(lambda: read_file(path, 4), path, "more than the")
    (tmp_path / "link").symlink_to(path)
    assert read_file(tmp_path / "link", 5) == b"12345"
    refused(lambda: read_file(path / "inside", 5), path, "no such file")
    with pytest.raises(LabError, match="no file can have this name"):
        read_file("a\0b", 5)
    with pytest.raises(LabError, match="File name too long") as caught:
        read_file("a" * 5000, 5)
    assert len(str(caught.value)) < 400


def test_a_pipe_that_comes_in_the_place_of_a_file_is_not_waited_for(tmp_path, monkeypatch):
    path, other = tmp_path / "x", tmp_path / "y"
    other.write_bytes(b"1")
    os.mkfifo(path)
    first = os.stat(other)
    monkeypatch.setattr(type(path), "stat", lambda self, **_: first)
    refused(lambda: read_file(path, MIB), path, "not a regular file")


@odd_files
@pytest.mark.parametrize("name", ["card.json", "policy.safetensors"])
def test_policy_folders_hold_regular_files(odd, name, policy, tmp_path, capsys):
    agent = tmp_path / "agent"
    rl.save(policy, agent)
    (agent / name).unlink()
    odd(agent / name)
    refused(lambda: rl.load(agent), agent / name, ODD[odd])
    assert main(["show", str(agent)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@odd_files
def test_a_path_of_an_odd_file_is_no_policy(odd, tmp_path, capsys):
    odd(tmp_path / "x.zip")
    line = "no card.json" if odd is folder else ODD[odd]
    refused(lambda: rl.load(tmp_path / "x.zip"), tmp_path / "x.zip", line)
    assert main(["show", str(tmp_path / "x.zip")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@odd_files
@pytest.mark.parametrize("name", ["vecnormalize.pkl", "vec_normalize.pkl"])
@pytest.mark.parametrize("where", [".", "agent", "Pendulum-v1"])
def test_statistics_that_are_no_file_are_an_error_and_not_absent(odd, name, where, tmp_path):
    path = files.write(tmp_path / "agent.zip", files.members())
    (tmp_path / where).mkdir(exist_ok=True)
    odd(tmp_path / where / name)
    asked = "Pendulum-v1" if where == "Pendulum-v1" else None
    refused(lambda: rl.load(path, asked), tmp_path / where / name, ODD[odd])
    if asked is None:
        assert rl.load(path, vecnormalize=False).obs_mean is None


RUN = {
    "spec.json": Map,
    "names.json": lambda f: Map(f).names,
    "own_measures.json": lambda f: Map(f).own,
    "condition_words.json": lambda f: Map(f).condition_words("ring/cw"),
    "policy/card.json": lambda f: Map(f).policy,
    "policy/policy.safetensors": lambda f: Map(f).policy,
    "activity.safetensors": lambda f: Map(f).activity,
    "shards/00000.parquet": lambda f: Map(f).table(),
    "probe.csv": lambda f: Map(f).probe,
    "versions.txt": lambda f: report(Map(f)),
}


@pytest.fixture(scope="module")
def finished(small_sweep, policy, tmp_path_factory):
    """A run without a manifest, which would tell of any damage by itself."""
    run = small_sweep(rl.layers(policy), tmp_path_factory.mktemp("run") / "run")
    (run.folder / "manifest.json").unlink()
    return run.folder


@odd_files
@pytest.mark.parametrize("name", RUN)
def test_run_folders_hold_regular_files(odd, name, finished, tmp_path):
    path = finished / name
    kept = path.rename(tmp_path / "kept") if path.exists() else None
    odd(path)
    try:
        refused(lambda: RUN[name](finished), path, ODD[odd])
    finally:
        path.rmdir() if odd is folder else path.unlink()
        if kept is not None:
            kept.rename(path)


def header(text: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text + data


TENSORS = {
    "nothing": b"",
    "a header without end": header(b"{}", 2**63),
    "a long header": header(b'{"a":' + b" " * (2 * MIB) + b"}"),
    "deep": header(b"[" * 100_000),
    "shape": header(b'{"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}}'),
    "empty, but wide": header(
        b'{"a":{"dtype":"F32","shape":[0,4611686018427387904],"data_offsets":[0,0]}}'
    ),
    "overlap": header(
        b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},'
        b'"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}', data=b"1234",
    ),
    "half a byte": header(b'{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}', data=b"1"),
    "a type that NumPy lacks": header(
        b'{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}', data=b"12"
    ),
    "many axes": header(
        b'{"a":{"dtype":"U8","shape":[' + b"1," * 99 + b'1],"data_offsets":[0,1]}}', data=b"1"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TENSORS)
def test_hostile_tensors_are_one_line(case, finished):
    path = finished / "activity.safetensors"
    kept = path.read_bytes()
    path.write_bytes(TENSORS[case])
    try:
        refused(lambda: Map(finished).activity, path, "damaged")
    finally:
        path.write_bytes(kept)


LONG = {
    "lesions": ([{"name": str(k)} for k in range(180_000)], "at most 50000"),
    "conditions": ([1] * 1_000_000, "conditions.0"),
    "measures": ([1] * 1_000_000, "measures.0"),
    "once": ([{}] * 900_000, "once.0"),
    "rows": ([[]] * 900_000, "rows"),
    "agent": ("a" * 9 * MIB, "9 MiB, more than the 8 allowed"),
}


@pytest.mark.parametrize("key", LONG)
def test_long_lists_in_a_spec_are_refused_quickly(key, finished):
    value, line = LONG[key]
    path = finished / "spec.json"
    kept = path.read_bytes()
    path.write_text(json.dumps({**json.loads(kept), key: value}))
    try:
        refused(lambda: Map(finished), path, line)
    finally:
        path.write_bytes(kept)


def test_long_cards_are_refused(policy, tmp_path):
    agent = tmp_path / "agent"
    rl.save(policy, agent)
    card = json.loads((agent / "card.json").read_text())
    (agent / "card.json").write_text(json.dumps({**card, "scores": {"x" * 2 * MIB: 1.0}}))
    refused(lambda: rl.load(agent), agent / "card.json", "2 MiB, more than the 1 allowed")


@given(st.binary(max_size=400), st.integers(0, 2**64 - 1) | st.none())
def test_any_bytes_are_tensors_or_one_line(content, length):
    good = save({"a": np.arange(6.0), "b": np.ones((2, 2), np.float32)})
    length = len(good) - 80 if length is None else length
    for blob in (content, header(content, length), good[: len(content)] + content):
        try:
            found = load_arrays(blob)
        except LabError as error:
            told = str(error)
        else:
            told = " ".join(f"{name} {array.shape}" for name, array in found.items())
        assert told == escaped(told)


@given(st.text())
def test_nothing_shown_can_move_the_cursor(text):
    assert escaped(text).isprintable()
    assert str(LabError(text)) == escaped(text)
    assert escaped(escaped(text)) == escaped(text)
    assert escaped("an ordinary line: −3 × ½ …") == "an ordinary line: −3 × ½ …"
    assert len(shortened(text, 5)) <= 5


def test_control_characters_are_shown_as_escapes():
    assert str(LabError("a\x1b[2Jb\nc\r\u202e\udc80\x00")) == r"a\x1b[2Jb\nc\r\u202e\udc80\x00"


NAME = "a\x1b[2J\rb\n\u202ec"


def test_names_of_files_are_shown_escaped(tmp_path, policy, capsys, monkeypatch):
    """On the way out they are escaped in what is told as well as in what is refused."""
    monkeypatch.chdir(tmp_path)
    rl.save(policy.with_card(policy.card.model_copy(update={"name": NAME, "command": NAME})), NAME)
    assert main(["show", NAME]) == 0
    told = capsys.readouterr().out
    assert r"a\x1b[2J\rb\n\u202ec" in told
    card = json.loads((tmp_path / NAME / "card.json").read_text())
    (tmp_path / NAME / "card.json").write_text(json.dumps({**card, NAME: 1}))
    assert main(["show", NAME]) == 2
    assert main(["show", "nowhere" + NAME]) == 2
    assert main(["map", str(tmp_path), "--env", NAME]) == 2
    told += capsys.readouterr().err
    assert told.count("\n") > 5
    assert all(line.isprintable() for line in told.split("\n")), told
