"""Pictures of a report, taken by the command of the docs."""

import subprocess
import sys

import pytest
from PIL import Image

PAGE = "<!doctype html><body style='background:#fff'><h1>Found</h1><div id='map'>the map</div>"


def take(*arguments):
    command = [sys.executable, "-m", "experiments.screenshots", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("browser")  # or skipped, where there is none
def test_the_first_screen_on_a_desk_and_on_a_phone(tmp_path):
    (tmp_path / "report.html").write_text(PAGE)
    done = take(tmp_path, "--out", tmp_path / "pictures")
    assert done.returncode == 0, done.stderr
    sizes = {}
    for line in done.stdout.split():
        with Image.open(line) as picture:
            sizes[line.rpartition("/")[2]] = picture.size
            assert len(picture.convert("RGB").getcolors(100_000)) > 2, "something is drawn"
    assert sizes["report.png"] == (1280, 900)
    assert sizes["report-phone.png"] == (420, 900)
    assert "report-map.png" in sizes


def test_a_run_without_a_report_is_told_how_to_make_one(tmp_path):
    done = take(tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "rl-ablation report" in done.stderr
