"""What is written into folders: whole or not at all, by safe names, where nothing of others is."""

import os
import resource
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rl_ablation.errors import LabError
from rl_ablation.files import (
    check_target,
    file_name,
    read_tensors,
    tensor_bytes,
    write_atomically,
)


@contextmanager
def full_disk(room):
    """No file can get more than so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# Names.


@given(st.text(max_size=60))
@settings(max_examples=30)
@example("../../up")
@example("/etc/passwd")
@example("a\0b")
@example("")
@example(".")
@example("..")
@example("-")
@example("x" * 300)
@example("\ud800")
def test_any_text_becomes_the_name_of_a_file(text):
    name = file_name(text)
    assert 0 < len(os.fsencode(name)) <= 100
    assert Path("/runs", name).resolve().parent == Path("/runs")
    assert name.isprintable()
    assert not name.startswith(".")
    assert file_name(text) == name


def test_plain_names_stay_and_odd_ones_keep_apart():
    assert file_name("h1/cluster-5") == "h1-cluster-5"
    assert file_name("h0~mean") == "h0~mean"
    assert file_name("left wheel") == "left wheel"
    odd = ["a\0b", "a\1b", "a:b", "a*b", "..a", ".a", "x" * 200, "x" * 201]
    assert len({file_name(text) for text in [*odd, "a", "a-b"]}) == len(odd) + 2


# Whole or not at all.


def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with full_disk(1000), pytest.raises(OSError, match=r"File too large: '.*/table\.csv'") as told:
        write_atomically(path, "x" * 5000)
    assert told.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_no_flipped_bit_changes_what_is_read_of_tensors():
    arrays = {"a": np.arange(4, dtype=np.float32), "b": np.array([[1, 2]], np.int64)}
    content = tensor_bytes(arrays, {"about": "x 1"})
    told = 0
    for place in range(len(content)):
        other = bytearray(content)
        other[place] ^= 1 << place % 8
        try:
            found, about = read_tensors(bytes(other))
        except LabError:
            told += 1
        else:  # the name of the digest was hit
            assert about["about"] == "x 1"
            assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    assert told > len(content) - 10


# Where nothing of others is.


def test_only_a_new_or_an_own_file_is_a_target(tmp_path):
    mine, other, link = (tmp_path / name for name in ("mine.mp4", "other.mp4", "link.mp4"))
    mine.write_text("mine")
    other.write_text("other")
    link.symlink_to(mine)
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()

    def own(path):
        return path.read_text() == "mine"

    check_target(tmp_path / "new.mp4", ".mp4", own)
    check_target(mine, ".mp4", own)
    for path, line in (
        (other, "is there and not one of ours; choose another name, or delete it"),
        (link, "is there and not one of ours"),
        (tmp_path / "pipe.mp4", "is there and not one of ours"),
        (tmp_path / "folder.mp4", "is there and not one of ours"),
        (Path("/dev/null"), "this will be a .mp4 file; let its name end so"),
        (tmp_path / "spec.json", "this will be a .mp4 file; let its name end so"),
    ):
        with pytest.raises(LabError) as caught:
            check_target(path, ".mp4", own)
        assert str(caught.value).startswith(str(path))
        assert line in str(caught.value)
