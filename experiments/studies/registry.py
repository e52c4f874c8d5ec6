"""The studies by name, how they are run, and what they share.

A study is a folder here with a file ``study.py``. The first line of that file's docstring is its
question; the rest tells the protocol, the expected picture, the run time on 2 cores. It has one
function::

    def study(folder: Path, *, quick: bool, seed: int) -> Answer

which works in ``folder`` (what it finds there it does not do again) and leaves printing, saving and
copying to `run_study`.
"""

from __future__ import annotations

import ast
import importlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rl_ablation.errors import LabError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from agents.recipes import Recipe
    from rl_ablation.policies.policy import Policy

RUNS = Path("runs")
DOCS = Path(__file__).parents[2] / "docs"
WIDTH = 1600  # of pictures in the documentation, pixels
DRIVING = ("forward_speed.alive", "left_turning.alive", "right_turning.alive", "off_centre.alive")
"""What a lap robot does while it still drives: a crash is not mistaken for lost speed."""

_HERE = Path(__file__).parent
STUDIES: dict[str, str] = {
    path.parent.name.replace("_", "-"): f"experiments.studies.{path.parent.name}.study"
    for path in sorted(_HERE.glob("*/study.py"))
}
"""Name → module: every folder here that holds a ``study.py``."""


@dataclass(frozen=True)
class Answer:
    """What a study found."""

    text: str  # the findings in sentences (Markdown), made from the numbers and nothing else
    figures: Mapping[str, Figure] = field(default_factory=dict)  # the first answers the question
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)  # name → the numbers behind it
    pictures: Mapping[str, Path] = field(default_factory=dict)  # PNGs of other make: film stills


def drawn(figures: Mapping[str, Figure | None]) -> dict[str, Figure]:
    """The figures for which a run had the numbers."""
    return {name: figure for name, figure in figures.items() if figure is not None}


def find_study(name: str) -> str:
    """The module of a study; a `LabError` where there is none of that name."""
    if name not in STUDIES:
        raise LabError(f"no study {name!r}; choose from {', '.join(STUDIES)}")
    return STUDIES[name]


def question(name: str) -> str:
    """The first line of a study's docstring, read without importing it."""
    path = _HERE / find_study(name).split(".")[2] / "study.py"
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return docstring.partition("\n\n")[0].replace("\n", " ")


def run_study(
    name: str, *, quick: bool = False, seed: int = 0, out: Path | None = None, docs: bool = False,
    tell: bool = True,
) -> Path:  # fmt: skip
    """Run a study, keep its findings, figures and tables, and tell the findings: print them.

    The arguments are those of the command. What comes back is the folder, with ``findings.md``, a
    PNG for each figure and a CSV for each table.
    """
    from rl_ablation.files import write_atomically
    from rl_ablation.reports import style

    module = importlib.import_module(find_study(name))
    folder = out if out is not None else RUNS / f"study-{name}{'-quick' if quick else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    answer: Answer = module.study(folder, quick=quick, seed=seed)
    text = f"**{question(name)}**\n\n{answer.text.strip()}\n"
    write_atomically(folder / "findings.md", text)
    for key, table in answer.tables.items():
        write_atomically(folder / f"{key}.csv", table.to_csv(index=False))
    for key, figure in answer.figures.items():
        style.save(figure, folder / f"{key}.png", dpi=150)
    if docs:
        pictures = ""
        own = {key: folder / f"{key}.png" for key in answer.figures}
        for key, path in {**own, **answer.pictures}.items():
            shrink(path, DOCS / "figures" / f"{name}_{key}.png")
            pictures += f"\n![{key}](../figures/{name}_{key}.png)\n"
        command = f"rl-ablation study {name}{' --quick' if quick else ''} --seed {seed} --docs"
        title = name.replace("-", " ").capitalize()
        page = f"# {title}\n\n{text}{pictures}\nMade by `{command}`.\n"
        write_atomically(DOCS / "studies" / f"{name}.md", page)
    if tell:
        print(f"\n{text}\nfigures and tables: {folder}", flush=True)
    return folder


def shrink(source: Path, target: Path) -> None:
    """Copy a picture, no wider than the README needs it."""
    from PIL import Image

    target.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.open(source).convert("RGB")
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)))
    picture.save(target, optimize=True)


def trained(recipe: Recipe, seed: int) -> Policy:
    """A policy trained by a recipe, from ``runs/agents`` if it is there already.

    Studies share it: the same recipe and seed are trained once.
    """
    from agents.train import train_shown
    from rl_ablation.policies.load import load
    from rl_ablation.policies.storage import save

    folder = _home(recipe, seed)
    if (folder / "policy" / "card.json").exists():
        return load(folder / "policy")
    policy = train_shown(recipe, folder, f"{recipe.name} {seed}", seed=seed)
    save(policy, folder / "policy")
    return policy


def all_trained(wanted: Sequence[tuple[Recipe, int]]) -> list[Policy]:
    """`trained` for recipes and seeds; all at once where the study runs on a scheduler."""
    from rl_ablation.cluster import current, scattered
    from rl_ablation.files import write_atomically
    from rl_ablation.progress import bar

    if (scheduler := current()) is not None:
        missing = [x for x in wanted if not (_home(*x) / "policy" / "card.json").exists()]
        with bar("training", len(missing), "networks") as advance:
            for (recipe, seed), files in scattered(_train, None, missing, scheduler):
                folder = _home(recipe, seed) / "policy"
                folder.mkdir(parents=True, exist_ok=True)
                for name in sorted(files, reverse=True):  # the card last: it says that all is there
                    write_atomically(folder / name, files[name])
                advance(1)
    return [trained(recipe, seed) for recipe, seed in wanted]


def _home(recipe: Recipe, seed: int) -> Path:
    from rl_ablation.files import digest

    key = digest(recipe.model_dump(mode="json"))[:8]
    return RUNS / "agents" / f"{recipe.name}-{key}-seed{seed}"


def _train(_: None, what: tuple[Recipe, int]) -> dict[str, bytes]:
    """Train a network on a worker; the files of its policy."""
    from agents.train import train
    from rl_ablation.policies.storage import save

    recipe, seed = what
    with tempfile.TemporaryDirectory() as folder:
        save(train(recipe, Path(folder) / "training", seed=seed), Path(folder) / "policy")
        return {path.name: path.read_bytes() for path in (Path(folder) / "policy").iterdir()}
