"""The six examples of CONTRIBUTING.md, run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rl_ablation as rl
from experiments.cli.listing import entries
from rl_ablation.groupings.registry import GROUPINGS
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.lesions.methods import DRAWS, KINDS
from rl_ablation.measures.registry import MEASURES
from rl_ablation.reports.figures import FIGURES
from rl_ablation.reports.report import report

HOUSE = Path(__file__).parent.parent
TEXT = (HOUSE / "CONTRIBUTING.md").read_text()
EXAMPLES = dict(re.findall(r"^`([\w/]+\.py)`:\n\n```python\n(.+?)^```$", TEXT, re.M | re.S))
MEASURE, KIND, DRAWING_KIND, GROUPING, FIGURE, STUDY = EXAMPLES
REGISTRIES = (MEASURES, KINDS, DRAWS, GROUPINGS, FIGURES)


@pytest.fixture(autouse=True)
def registries():
    before = [dict(r) for r in REGISTRIES]
    yield
    for registry, kept in zip(REGISTRIES, before, strict=True):
        registry.clear()
        registry.update(kept)


def load(place):
    """Run a file as if it lay there."""
    exec(compile(EXAMPLES[place], place, "exec"), {"__name__": Path(place).stem})


def test_every_block_of_code_is_an_example_with_its_place():
    assert len(EXAMPLES) == TEXT.count("```python") == 6
    for place in EXAMPLES:
        folder = HOUSE / Path(place).parent
        assert (folder.parent if place == STUDY else folder).is_dir()
        assert not (HOUSE / place).exists()


def test_a_measure(policy, small_sweep, tmp_path):
    load(MEASURE)
    assert "effort" in entries("measures")
    run = small_sweep(rl.motors(policy), tmp_path / "run")
    assert "effort" in run.spec.measures
    table = run.table().groupby("lesion")["effort"].mean()
    assert table["action/0"] < table["intact"]


@pytest.mark.parametrize(("place", "name"), [(KIND, "flip"), (DRAWING_KIND, "flicker")])
def test_a_kind(policy, small_sweep, tmp_path, place, name):
    load(place)
    assert name in entries("kinds")
    plan = Plan([Lesion(name="x", cut={"h0": tuple(range(12))})]).with_kind(name)
    run = small_sweep(plan, tmp_path / "run")
    assert run.effects()["delta"].abs().max() > 0


def test_a_grouping(policy):
    load(GROUPING)
    assert "stripes" in entries("groupings")
    plan = rl.parse_groups("stripes:3", policy)
    assert [x.cut["h1"] for x in plan if "h1" in x.cut] == [(0, 3, 6, 9), (1, 4, 7), (2, 5, 8)]
    with pytest.raises(rl.LabError, match=r"^stripes:11: h1 has 10 units; ask for at most 10$"):
        rl.parse_groups("stripes:11", policy)


def test_a_figure(policy, small_sweep, tmp_path):
    load(FIGURE)
    run = small_sweep(rl.motors(policy), tmp_path / "run")
    page = report(run, films=[]).read_text()
    assert FIGURES["survivors"].caption in page
    with Image.open(run.folder / "figures" / "survivors.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 1


def test_a_study(tmp_path):
    """In a copy of the tree that holds it, in a process of its own."""
    studies = tmp_path / "experiments" / "studies"
    for there, copy in ((HOUSE / "experiments", studies.parent),
                        (HOUSE / "experiments" / "studies", studies)):  # fmt: skip
        copy.mkdir()
        for path in there.iterdir():
            if path.name not in ("studies", "__pycache__"):
                (copy / path.name).symlink_to(path)
    place = tmp_path / STUDY
    place.parent.mkdir()
    place.write_text(EXAMPLES[STUDY])
    code = (
        f"import sys; sys.path[:0] = {[str(tmp_path), str(HOUSE)]!r}\n"
        "from experiments.studies.registry import run_study\n"
        "from experiments.cli.listing import entries\n"
        "print(entries('studies')['wheels'])\n"
        "from pathlib import Path\n"
        f"run_study('wheels', quick=True, out=Path({str(tmp_path / 'out')!r}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Which wheel does the lap robot need more?\n")
    assert "- without the left wheel: " in (tmp_path / "out" / "findings.md").read_text()
    assert {p.name for p in (tmp_path / "out").glob("wheels.*")} == {"wheels.png", "wheels.csv"}


def test_rooms_find_the_files_of_what_is_new(tmp_path):
    """A new file needs no second place that names it."""
    copy = tmp_path / "rl_ablation"
    copy.mkdir()
    for path in (HOUSE / "rl_ablation").iterdir():
        if path.name in ("measures", "lesions", "groupings", "reports"):
            (copy / path.name).mkdir()
            for file in path.iterdir():
                (copy / path.name / file.name).symlink_to(file)
        elif path.name != "__pycache__":
            (copy / path.name).symlink_to(path)
    for place in (MEASURE, KIND, DRAWING_KIND, GROUPING, FIGURE):
        (tmp_path / place).write_text(EXAMPLES[place])
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import rl_ablation\n"
        "from rl_ablation.groupings.registry import GROUPINGS\n"
        "from rl_ablation.reports.figures import FIGURES\n"
        "from rl_ablation.lesions.methods import KINDS, DRAWS\n"
        "print('effort' in rl_ablation.MEASURES, {'flip', 'flicker'} <= set(KINDS),\n"
        "      'now-and-then' in DRAWS, 'stripes' in GROUPINGS, list(FIGURES)[-1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.stdout == "True True True True survivors\n", done.stderr
