"""The wheel: what is in it, and that it works by itself, in a folder outside the repository."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import rl_ablation as rl
from agents import zoo
from rl_ablation.reports import live

HOUSE = Path(__file__).parent.parent
PACKAGES = ("rl_ablation", "envs", "agents", "experiments")
RUN = """
import sys
from importlib.metadata import entry_points
[command] = entry_points(group="console_scripts", name="rl-ablation")
sys.exit(command.load()(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the working tree."""
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    done = subprocess.run(build, cwd=HOUSE, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    [path] = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def elsewhere(wheel, tmp_path_factory):
    """Runs Python in an empty folder, with the wheel installed before anything of the checkout."""
    site, folder = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("elsewhere")
    with zipfile.ZipFile(wheel) as packed:  # to install a wheel of Python code is to unpack it
        packed.extractall(site)

    def run(code, *arguments):
        words = [sys.executable, "-c", code, *map(str, arguments)]
        env = {**os.environ, "PYTHONPATH": str(site)}
        done = subprocess.run(
            words, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = f"import {', '.join(PACKAGES)}\n" + "\n".join(
        f"print({package}.__file__)" for package in PACKAGES
    )
    found = [Path(line) for line in run(where).splitlines()]
    assert [path.parent.parent for path in found] == [site] * len(PACKAGES)
    run.folder = folder
    return run


def test_the_wheel_holds_all_of_the_packages_and_nothing_else(wheel):
    listed = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=HOUSE, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    there = {name for name in listed.stdout.splitlines() if (HOUSE / name).exists()}
    packed = set(zipfile.ZipFile(wheel).namelist())
    files = {name for name in packed if ".dist-info/" not in name}
    assert there - files == set()
    assert {name.split("/")[0] for name in files} == set(PACKAGES)
    for name in zoo.names():
        for part in ("card.json", "policy.safetensors", "curve.csv"):
            assert f"agents/zoo/{name}/{part}" in files
    assert "rl_ablation/reports/report.html.j2" in files


def test_zoo_agents_are_loaded_by_name_from_any_folder(elsewhere):
    code = "import rl_ablation as rl, sys\nprint(*(rl.load(n).sha256 for n in sys.argv[1:]))"
    said = elsewhere(code, *zoo.names()).split()
    assert said == [rl.load(zoo.find(name)).sha256 for name in zoo.names()]


def test_the_command_shows_and_maps_from_any_folder(elsewhere):
    card = json.loads(elsewhere(RUN, "show", "lap", "--json"))
    assert (card["name"], card["sites"]["h0"]) == ("lap", 64)
    small = ("--groups", "layers", "--conditions", "ring/cw", "--measures", "crash,progress")
    small = (*small, "--episodes", "4", "--discovery", "4", "--controls", "0", "--films", "0")
    said = json.loads(elsewhere(RUN, "map", "lap", *small, "--max-steps", "20", "--json"))
    assert Path(said["run"]).parts[0] == "runs"
    run = rl.Map(elsewhere.folder / said["run"])
    assert run.finished
    assert run.policy.sha256 == rl.load(zoo.find("lap")).sha256
    assert "<title>" in (elsewhere.folder / said["report"]).read_text()


@pytest.mark.skipif(bool(live.missing()), reason=live.missing())
def test_the_command_makes_a_live_page_from_any_folder(elsewhere):
    """The wheel carries the bundle: no Node.js is needed where it is installed."""
    said = json.loads(elsewhere(RUN, "live", "lap", "--out", "live.html", "--json"))
    assert "Content-Security-Policy" in (elsewhere.folder / said["page"]).read_text()
