"""Films are whole or not there, and take the place of nothing but films of this lab."""

import os
import shutil

import numpy as np
import pytest

from experiments.cli.main import main
from rl_ablation.errors import LabError
from rl_ablation.files import replacing
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.reports.film import (
    _page_size,
    film,
    film_writer,
    is_signed,
    is_whole,
    standard_path,
)
from rl_ablation.reports.report import _films
from tests.rl_ablation.test_folders import full_disk

NAME = "../../stop"


def noise(seed):
    width, height = _page_size(1)
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def filmed(path, pages=12):
    """A film of noise, which needs much room."""
    with replacing(path) as temporary, film_writer(path, temporary, _page_size(1), 10) as write:
        for seed in range(pages):
            write(noise(seed))


@pytest.fixture(scope="module")
def run(small_sweep, tmp_path_factory):
    stop = Lesion(name=NAME, cut={"action": (0, 1)}, group="g")
    return small_sweep(Plan([stop]), tmp_path_factory.mktemp("films") / "run", episodes=4)


def test_a_disk_that_fills_leaves_no_film(tmp_path):
    path = tmp_path / "x.mp4"
    with (
        full_disk(100_000),
        pytest.raises((LabError, OSError), match=r"x\.mp4.*(disk full|too large)|large.*x\.mp4"),
    ):
        filmed(path)
    assert list(tmp_path.iterdir()) == []
    filmed(path)
    assert path.stat().st_size > 100_000
    assert is_whole(path)


def test_a_broken_film_is_known_and_left_out_of_the_report(run, tmp_path, caplog):
    whole = tmp_path / "whole.mp4"
    filmed(whole, 2)
    path = standard_path(run, NAME)
    path.parent.mkdir()
    shutil.copy(whole, path)
    assert [shown["label"] for shown in _films(run, [path])] == [NAME]
    content = bytearray(whole.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert is_signed(path)
    assert not is_whole(path)
    assert _films(run, [path]) == []
    assert f"{path}: damaged and left out; the same map command again makes it" in caplog.messages
    path.write_bytes(content[: len(content) // 2])
    assert not is_signed(path)
    shutil.rmtree(path.parent)


def test_a_film_is_in_its_folder_whatever_the_lesion_is_called(run):
    assert standard_path(run, NAME).parent == run.folder / "films"


@pytest.mark.parametrize("there", ["film of a holiday", "link", "pipe", "spec", "device"])
def test_out_replaces_nothing_of_others(there, run, tmp_path, capsys):
    path = tmp_path / "x.mp4"
    if there == "film of a holiday":
        path.write_bytes(b"\0\0\0\x18ftypmp42")
    elif there == "link":
        path.symlink_to(run.folder / "spec.json")
    elif there == "pipe":
        os.mkfifo(path)
    else:
        path = {"spec": run.folder / "spec.json", "device": "/dev/null"}[there]
    before = (run.folder / "spec.json").read_bytes()
    with pytest.raises(LabError, match=r"not one of ours|let its name end so"):
        film(run, NAME, path=path, seconds=0.1, progress=False)
    assert main(["video", str(run.folder), "--lesion", NAME, "--out", str(path)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"rl-ablation: {path}")
    assert told.count("\n") == 1
    assert (run.folder / "spec.json").read_bytes() == before
    if there == "film of a holiday":
        assert path.read_bytes() == b"\0\0\0\x18ftypmp42"
