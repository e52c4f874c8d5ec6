"""Hostile files hold, and a reader with a fault is seen."""

import os
import pickle
import signal
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.faults import files, fuzz, readers
from experiments.faults.hostile import FAMILIES, RAN, make
from experiments.faults.tally import Tally
from experiments.faults.watch import watched
from rl_ablation.errors import LabError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The files of a good run."""
    folder = tmp_path_factory.mktemp("good") / "run"
    files.good_run(folder)
    return files.contents(folder)


@pytest.fixture(autouse=True)
def no_waiting():
    """What waits for a pipe's writer fails the test instead."""

    def late(*_):
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def refusal(path):
    """The line that refuses a file; "" if it is read."""
    try:
        files.ask(path)
    except LabError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("which", range(len(FAMILIES)), ids=[f.__name__ for f in FAMILIES])
def test_hostile_files_are_read_or_refused_in_a_line(which, run, tmp_path, monkeypatch):
    for k in range(which, 2 * len(FAMILIES), len(FAMILIES)):
        case, inside = make(5, k, run), tmp_path / str(k)
        inside.mkdir()
        path = files.write(case, inside)
        monkeypatch.chdir(inside)
        with watched() as seen:
            told = refusal(path)
        assert seen == [], case.what
        assert told.isprintable(), case.what
        assert len(told) <= files.LONGEST, case.what
        assert not (inside / RAN).exists(), case.what


def test_the_same_seed_makes_the_same_files(run):
    for k in range(len(FAMILIES)):
        assert make(3, k, run) == make(3, k, run)
    assert make(3, 0, run) != make(4, 0, run)


def runs(path):
    (path.parent / RAN).write_text("")


def raises(path):
    raise KeyError("obs")


def waits(path):
    time.sleep(60)


def spins(path):
    while True:
        pass


def grows(path):
    np.ones(250_000_000, np.uint8)  # some of it may be memory that was free


def grows_beyond_all(path):
    np.ones(1 << 33, np.uint8)


def dies(path):
    os.kill(os.getpid(), signal.SIGTERM)


def writes(path):
    (path.parent / "else").write_text("")


def unpickles(path):
    pickle.loads(pickle.dumps(os.getcwd))


def tells_a_page(path):
    raise LabError("a" * 5000)


FAULTS = {
    runs: "something was run",
    raises: "KeyError",
    waits: "it waits",
    spins: "it took more than 1 s",
    grows: "it took 0",
    grows_beyond_all: "MemoryError",
    dies: "SIGTERM",
    writes: "reading it did this: open",
    unpickles: "reading it did this: pickle.find_class",
    tells_a_page: "5000 characters",
}


@pytest.mark.parametrize("reader", FAULTS, ids=lambda reader: reader.__name__)
def test_a_reader_with_a_fault_is_seen(reader, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "ask", reader)
    monkeypatch.setattr(files, "SECONDS", 1.0)
    monkeypatch.setattr(files, "MEMORY", 100_000_000)
    monkeypatch.setattr(files, "PATIENCE", 3.0 if reader is waits else 60.0)
    found = files.forked(tmp_path / "x.zip", tmp_path)
    assert found.why is not None
    assert FAULTS[reader] in found.why


def test_a_reader_without_a_fault_has_held(tmp_path, monkeypatch):
    def refuses(path):
        raise LabError(f"{path}: no such file")

    monkeypatch.setattr(files, "ask", refuses)
    found = files.forked(tmp_path / "x.zip", tmp_path)
    assert found.why is None
    assert 0 <= found.seconds < files.SECONDS
    assert 0 <= found.grown < files.MEMORY


def test_a_tally_counts_what_held():
    tally = Tally("files", 5, ("one: broke",), "at most 1 s")
    assert tally.held == 4


def test_every_reader_takes_its_good_input():
    letters = {content[:1].decode() for content in readers.seeds()}
    assert letters == set(readers.READERS)
    for content in readers.seeds():
        assert readers.read(content) == "read", content[:1]


def test_the_corpus_is_small_and_breaks_no_reader():
    """What fuzzing has found once is read here for ever after."""
    corpus = sorted(fuzz.CORPUS.iterdir())
    assert len(corpus) > 100
    assert sum(path.stat().st_size for path in corpus) < 200_000
    for path in corpus:
        with watched() as seen:
            readers.read(path.read_bytes())
        assert seen == [], path.name


@settings(max_examples=150)
@given(st.sampled_from(readers.seeds()), st.data())
def test_any_change_of_a_good_input_is_read_or_refused(content, data):
    start = data.draw(st.integers(1, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 20)))
    put = data.draw(st.binary(max_size=20))
    with watched() as seen:
        readers.read(content[:start] + put + content[end:])
    assert seen == []
