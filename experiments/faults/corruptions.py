"""Corruptions: files of a small map and of a small training are damaged.

Nothing may come out silently different. Asked of a damaged map or training, the lab gives the very
answer that it gave before, or says in one line that something is damaged; and the same command
again gives back what was there. A corruption of which that is true has *held*.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.faults.small import small_map, small_training
from experiments.faults.tally import Tally
from rl_ablation.errors import LabError
from rl_ablation.files import array_digest
from rl_ablation.mapping.manifest import DOSES, MANIFEST, PROBE, manifest_of
from rl_ablation.mapping.map import Map
from rl_ablation.policies.storage import load_folder
from rl_ablation.reports.words import headlines

_HALF = 2  # stages of the small training after which it stands still to be damaged


# What is done to a file.


def flipped(draw: np.random.Generator, path: Path) -> str:
    """Flip a bit."""
    content = bytearray(path.read_bytes())
    if not content:
        return ""
    place, bit = int(draw.integers(len(content))), int(draw.integers(8))
    content[place] ^= 1 << bit
    path.write_bytes(content)
    return f"bit {bit} of byte {place} flipped"


def truncated(draw: np.random.Generator, path: Path) -> str:
    """Cut off the end."""
    content = path.read_bytes()
    if not content:
        return ""
    kept = int(draw.integers(len(content)))
    path.write_bytes(content[:kept])
    return f"cut to {kept} of {len(content)} bytes"


def missing(draw: np.random.Generator, path: Path) -> str:
    """Delete it, or now and then its whole folder, if that is not the root."""
    root = _root(path)
    if path.parent != root and draw.random() < 0.3:
        shutil.rmtree(path.parent)
        return "deleted with its folder"
    path.unlink()
    return "deleted"


def swapped(draw: np.random.Generator, path: Path) -> str:
    """Exchange it with another file of its type."""
    others = [p for p in files(_root(path)) if p.suffix == path.suffix and p != path]
    others = [p for p in others if p.read_bytes() != path.read_bytes()]
    if not others:
        return ""
    other = others[int(draw.integers(len(others)))]
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)
    return f"exchanged with {other.relative_to(_root(path))}"


def edited(draw: np.random.Generator, path: Path) -> str:
    """Change a digit of a text, or a number of a table."""
    if path.suffix == ".parquet":
        return _edited_table(draw, path)
    if path.suffix not in (".json", ".csv", ".txt"):
        return ""
    content = bytearray(path.read_bytes())
    digits = [k for k, byte in enumerate(content) if 48 <= byte <= 57]
    if not digits:
        return ""
    place = digits[int(draw.integers(len(digits)))]
    content[place] = 48 + (content[place] - 48 + int(draw.integers(1, 10))) % 10
    path.write_bytes(content)
    return f"digit at byte {place} changed"


def _edited_table(draw: np.random.Generator, path: Path) -> str:
    table = pq.read_table(path)
    frame = table.to_pandas()
    column = str(draw.choice(["forward_speed", "crash", "steps", "episode"]))
    row = int(draw.integers(len(frame)))
    frame.loc[row, column] = frame[column].dtype.type(frame.loc[row, column] + 1)
    changed = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)
    return f"{column} of row {row} changed"


DAMAGES: tuple[Callable[[np.random.Generator, Path], str], ...] = (
    flipped, truncated, missing, swapped, edited,
)  # fmt: skip
"""Each says what it did; "" if it can do nothing to this file."""


def _root(path: Path) -> Path:
    """The folder of the map or training that a file belongs to."""
    return next(p for p in path.parents if p.name in ("map", "training"))


def files(root: Path) -> list[Path]:
    """What can be damaged: all files but those that are there for people alone, and locks."""
    found = (p for p in sorted(root.rglob("*")) if p.is_file() and "tensorboard" not in p.parts)
    return [p for p in found if not p.name.startswith(".")]


def damage(draw: np.random.Generator, root: Path) -> str:
    """Damage a file of a folder by chance; says which and how."""
    while True:
        known = files(root)
        path = known[int(draw.integers(len(known)))]
        how = DAMAGES[int(draw.integers(len(DAMAGES)))](draw, path)
        if how:
            return f"{path.relative_to(root)}: {how}"


# What is asked afterwards.


def ask_map(root: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The questions about a map; each answers in plain text."""
    run: list[Map] = []

    def opened() -> Map:
        if not run:
            run.append(Map(root))
        return run[0]

    def doses() -> str:
        found = opened().doses
        return "" if found is None else found.table().to_csv()

    yield "effects", lambda: opened().effects().to_csv()
    yield "findings", lambda: [f.text for f in headlines(opened())]
    yield "table", lambda: opened().whole_table().to_csv()
    yield "doses", doses
    yield "names", lambda: [opened().names, opened().own]
    yield "activity", lambda: {k: array_digest(v.samples) for k, v in opened().activity.items()}
    yield "policy", lambda: [opened().policy.sha256, opened().policy.card.model_dump()]


def ask_training(root: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The question about a training's policy."""

    def policy() -> Any:
        found = load_folder(root / "policy")
        return found.sha256, {**found.card.model_dump(), "scores": {}}  # seconds differ

    yield "policy", policy


def answers(asked: Iterator[tuple[str, Callable[[], Any]]]) -> dict[str, Any]:
    """Question → answer, or the line that says why there is none.

    Raises:
        Exception: Whatever is no `LabError` of one line.
    """
    found: dict[str, Any] = {}
    for name, question in asked:
        try:
            found[name] = question()
        except LabError as error:
            if "\n" in str(error):
                raise
            found[name] = error
    return found


def unlike(root: Path, original: Path) -> str:
    """The first of a finished map's files that has not the bytes of the original's; or ""."""
    listed = manifest_of(original)
    names = [MANIFEST] if listed is None else [MANIFEST, *listed.files]
    for name in names:
        path = root / name
        if not path.exists() or path.read_bytes() != (original / name).read_bytes():
            return f"{name} has other bytes"
    return ""


def differing(found: dict[str, Any], truth: dict[str, Any]) -> str:
    """The first question that is answered otherwise, and not by a line that says so; or ""."""
    for name, answer in found.items():
        if answer != truth[name] and not isinstance(answer, LabError):
            return f"{name} differs without a word"
    return ""


# The trials: each is given a generator and answers what was done, and what did not hold.


@dataclass(frozen=True)
class _Subjects:
    """Intact originals, what they answer, and a place to damage copies in."""

    originals: Path
    place: Path
    truth: dict[str, Any]
    policy: dict[str, Any]
    curve: bytes

    def copy(self, original: str, name: str) -> Path:
        """A fresh copy of an original."""
        target = self.place / name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.originals / original, target)
        return target

    def read(self, draw: np.random.Generator) -> tuple[str, str]:
        """A finished map is damaged and read."""
        root = self.copy("map", "map")
        what = damage(draw, root)
        return f"map {what}", differing(answers(ask_map(root)), self.truth)

    def again(self, draw: np.random.Generator) -> tuple[str, str]:
        """A finished map is damaged, and the same command mends it."""
        return self._goes_on(draw, "map", must=True)

    def goes_on(self, draw: np.random.Generator) -> tuple[str, str]:
        """An unfinished map is damaged, and the same command goes on or says why not."""
        return self._goes_on(draw, "begun", must=False)

    def _goes_on(self, draw: np.random.Generator, original: str, must: bool) -> tuple[str, str]:
        root = self.copy(original, "map")
        what = f"{original} again {damage(draw, root)}"
        try:
            small_map(root)
        except LabError as error:
            return what, f"not mended: {error}" if must or "\n" in str(error) else ""
        found = answers(ask_map(root))
        told = [f"{name}: {x}" for name, x in found.items() if isinstance(x, LabError)]
        bytes_differ = unlike(root, self.originals / "map") if must else ""
        return what, differing(found, self.truth) or "; ".join(told) or bytes_differ

    def train(self, draw: np.random.Generator) -> tuple[str, str]:
        """A training is damaged, finished or not, read, and gone on with."""
        original = str(draw.choice(["training", "half"]))
        root = self.copy(original, "training")
        what = f"{original} {damage(draw, root)}"
        if original == "training" and (
            silent := differing(answers(ask_training(root)), self.policy)
        ):
            return what, silent
        try:
            small_training(root)
        except LabError as error:
            return what, f"{error}" if "\n" in str(error) else ""
        if (root / "curve.csv").read_bytes() != self.curve:
            return what, "the learning curve differs without a word"
        return what, differing(answers(ask_training(root)), self.policy)


def _subjects(place: Path) -> _Subjects:
    originals = place / "originals"
    small_map(originals / "map")
    begun = shutil.copytree(originals / "map", originals / "begun")
    shutil.rmtree(begun / DOSES)
    for name in (MANIFEST, PROBE):
        (begun / name).unlink(missing_ok=True)
    small_training(originals / "training")
    small_training(originals / "half", _HALF)
    return _Subjects(
        originals,
        place / "damaged",
        answers(ask_map(originals / "map")),
        answers(ask_training(originals / "training")),
        (originals / "training" / "curve.csv").read_bytes(),
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Without the log's lines: what a trial must say it says by an error."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def corruptions(seed: int, count: int) -> Tally:
    """Damage small maps and trainings in so many ways, and see that nothing is silently different.

    Of ten, six damage a finished map that is then read; one a finished map and one an unfinished
    one that the same command mends or goes on with; two a training. The same seed damages the same.
    """
    failures = []
    with tempfile.TemporaryDirectory() as folder, quiet():
        subjects = _subjects(Path(folder))
        trials = [subjects.read] * 6 + [subjects.again, subjects.goes_on] + [subjects.train] * 2
        for k in range(count):
            draw = np.random.default_rng([seed, k])
            try:
                what, wrong = trials[k % len(trials)](draw)
            except Exception as error:  # a traceback is what must not be
                what, wrong = f"number {k}", f"{type(error).__name__}: {error}"
            if wrong:
                failures.append(" ".join(f"{k}: {what}: {wrong}".split()))
    told = "of a finished map (six of ten), a map that goes on, a training"
    return Tally("corruptions", count, tuple(failures), told)
