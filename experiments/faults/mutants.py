"""Mutation testing: the lab's code is changed in small ways, and its tests must notice.

``python -m experiments.faults.mutants --count 60``. A mutant is a file with one comparison, one
arithmetic operation, one constant or one condition changed, or one statement left out. It is put
into a copy of the tree, where the tests that are named for the file run in a fork of a process that
has imported the libraries but nothing of the lab. A mutant is *killed* if one of them fails, or
takes far longer than without the change. Some mutants are the same program in other words, and no
test can kill them; those that survive are printed, to be looked at.

Left out is what no test should hold to the last digit: limits, which are a module's constants in
capitals, how long a shown text is, and how far a progress bar has come.
"""

from __future__ import annotations

import ast
import compileall
import importlib
import os
import random
import resource
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import tyro

from experiments.faults.forks import in_fork
from experiments.faults.tally import Tally

HOUSE = Path(__file__).parents[2]
COPIED = ("rl_ablation", "envs", "agents", "experiments", "tests", "pyproject.toml")
_TESTS = "tests/rl_ablation"
_READERS = tuple(f"{_TESTS}/policies/test_{of}.py" for of in ("decoding", "sb3", "hostile_files"))
_SB3 = "rl_ablation/policies/sb3"
TARGETS: dict[str, tuple[str, ...]] = {
    "rl_ablation/stats.py": (
        f"{_TESTS}/test_stats.py", f"{_TESTS}/mapping/test_effects.py",
        f"{_TESTS}/mapping/test_power.py", f"{_TESTS}/analysis/test_consistency.py",
        f"{_TESTS}/analysis/test_weights.py", f"{_TESTS}/groupings/test_orders.py",
    ),
    "rl_ablation/lesions/masks.py": (
        f"{_TESTS}/lesions", f"{_TESTS}/rollouts/test_rollout.py", "--deselect",
        f"{_TESTS}/rollouts/test_rollout.py::test_a_plan_of_500_and_a_row_beyond_a_block",
    ),
    "rl_ablation/mapping/shards.py": (f"{_TESTS}/mapping/test_shards.py",),
    f"{_SB3}/actor.py": _READERS,
    f"{_SB3}/algorithms.py": _READERS,
    f"{_SB3}/archive.py": _READERS,
    f"{_SB3}/pickles.py": _READERS,
    f"{_SB3}/spaces.py": _READERS,
    f"{_SB3}/tensors.py": _READERS,
    f"{_SB3}/time_feature.py": (
        f"{_TESTS}/policies/test_time_feature.py",
        f"{_TESTS}/policies/test_sb3.py::test_time_feature",
    ),
    "rl_ablation/policies/storage.py": (f"{_TESTS}/policies/test_policy.py",),
}  # fmt: skip
"""File → the tests that shall notice a change of it, as pytest takes them."""

LIBRARIES = (
    "gymnasium", "hypothesis", "matplotlib.pyplot", "mujoco", "pandas", "pyarrow.parquet",
    "pydantic", "pytest", "rich", "safetensors.numpy", "scipy.stats", "seaborn",
    "sklearn.cluster", "stable_baselines3", "torch", "tyro",
)  # fmt: skip
PYTEST = ("-x", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", "-p", "no:randomly")
LONGER, LEAST = 4.0, 10.0
"""Times as long, and seconds more, that tests may take of a mutant."""
SHOWN = 100  # characters of a changed piece of code

_OTHER: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Mod: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
_UNREAD = ("annotation", "returns", "decorator_list")
"""Parts of a node whose change changes nothing that runs, or only how it is registered."""
_SHOWING = ("printable", "shortened", "advance")
"""Functions whose numbers are how long a text is, or how far a bar."""


@dataclass(frozen=True)
class Mutant:
    """A file with a change: which, the change's number, its line, from what code to what."""

    path: str
    number: int
    line: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before[:SHOWN]} → {self.after[:SHOWN]}"

    @property
    def text(self) -> str:
        """The whole file."""
        tree = ast.parse((HOUSE / self.path).read_text("utf-8"))
        (inside, key), _, other = next(islice(_changes(tree), self.number, None))
        inside[key] = other
        return ast.unparse(ast.fix_missing_locations(tree))


def _changed(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in the place of a node."""
    match node:
        case ast.Compare(ops=[op], left=left, comparators=other):
            yield ast.Compare(left, [_OTHER[type(op)]()], other)  # type: ignore[list-item]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OTHER:
            yield ast.BinOp(left, _OTHER[type(op)](), right)  # type: ignore[arg-type]
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(_OTHER[type(op)](), values)  # type: ignore[arg-type]
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        case ast.If(test=test, body=body, orelse=orelse):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.IfExp(test=test, body=one, orelse=other):
            yield ast.IfExp(ast.UnaryOp(ast.Not(), test), one, other)
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Raise() | ast.Continue():
            yield ast.Pass()
        case ast.Break() | ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()


def _places(node: ast.AST) -> Iterator[tuple[Any, Any, ast.AST]]:
    """Where each node below hangs: a list and an index, or a node's ``__dict__`` and a name."""
    if isinstance(node, ast.JoinedStr) or _left_out(node):  # words of messages, limits
        return
    for name, value in ast.iter_fields(node):
        if name in _UNREAD:
            continue
        held = enumerate(value) if isinstance(value, list) else [(name, value)]
        inside = value if isinstance(value, list) else vars(node)
        for key, child in held:
            if isinstance(child, ast.AST):
                if not _left_out(child):
                    yield inside, key, child
                yield from _places(child)


def _left_out(node: ast.AST) -> bool:
    match node:
        case ast.Assign(targets=targets):
            names = [x.id for t in targets for x in ast.walk(t) if isinstance(x, ast.Name)]
            return bool(names) and all(name.isupper() for name in names)
        case ast.Expr(value=ast.Call(func=ast.Name(id=name))) | ast.Call(func=ast.Name(id=name)):
            return name in _SHOWING
    return False


def _changes(tree: ast.AST) -> Iterator[tuple[tuple[Any, Any], ast.AST, ast.AST]]:
    """All changes of a file, always in the same order: where, what is there, and what may be."""
    for inside, key, node in _places(tree):
        for other in _changed(node):
            yield (inside, key), node, other


@cache
def mutants(path: str) -> tuple[Mutant, ...]:
    """All mutants of a file of the tree."""
    tree = ast.parse((HOUSE / path).read_text("utf-8"))
    found = []
    for number, (_, node, other) in enumerate(_changes(tree)):
        before, after = (ast.unparse(x).partition("\n")[0] for x in (node, other))
        found.append(Mutant(path, number, getattr(node, "lineno", 0), before, after))
    return tuple(found)


def sample(seed: int, count: int, only: str = "") -> list[Mutant]:
    """So many mutants, each file as likely as any other."""
    draw = random.Random(seed)
    paths = [path for path in TARGETS if only in path]
    return [draw.choice(mutants(draw.choice(paths))) for _ in range(count)]


def killed(seed: int, count: int, only: str = "") -> Tally:
    """Try so many mutants; those that survive are the failures."""
    chosen = sample(seed, count, only)
    for name in LIBRARIES:
        importlib.import_module(name)
    survivors = []
    with TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        _copy(tree)
        lasts: dict[str, float] = {}
        for k, mutant in enumerate(chosen):
            if mutant.path not in lasts:
                lasts[mutant.path] = _sound(tree, mutant.path)
            target = tree / mutant.path
            kept = target.read_bytes(), target.stat().st_mtime
            target.write_text(mutant.text, "utf-8")
            os.utime(target, (k, k))  # no cached code is of this time
            done = in_fork(partial(_tests, tree, mutant.path), lasts[mutant.path])
            target.write_bytes(kept[0])
            os.utime(target, (kept[1], kept[1]))
            if not done.code:
                survivors.append(str(mutant))
            print(f"{'killed  ' if done.code else 'SURVIVED'} {mutant}", flush=True)
    return Tally("mutants", count, tuple(survivors))


def _copy(tree: Path) -> None:
    unwanted = shutil.ignore_patterns("__pycache__", "node_modules", "runs")
    for name in COPIED:
        source = HOUSE / name
        tree.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=unwanted)
        else:
            shutil.copy2(source, tree / name)
    compileall.compile_dir(tree, quiet=2)


def _sound(tree: Path, path: str) -> float:
    """Seconds of processor time that the tests of a file may take; they must pass unchanged."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = in_fork(partial(_tests, tree, path), 600)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.code:
        raise RuntimeError(f"tests of {path} fail without a mutant: {done.told[-1000:]}")
    return LONGER * (after.ru_utime - before.ru_utime) + LEAST


def _tests(tree: Path, path: str) -> int:
    import pytest

    sys.dont_write_bytecode = True
    os.chdir(tree)
    with suppress(ValueError):
        sys.path.remove("")
    sys.path.insert(0, str(tree))
    return int(pytest.main([*PYTEST, *TARGETS[path]]))


def main(
    count: Annotated[int, tyro.conf.arg(help="How many mutants.")] = 60,
    seed: Annotated[int, tyro.conf.arg(help="Which ones.")] = 0,
    only: Annotated[str, tyro.conf.arg(help="Only files with this in their path.")] = "",
) -> int:
    """Change the lab's code in small ways and see that its tests notice; 1 if some survive."""
    if not any(only in path for path in TARGETS):
        sys.exit(f"mutants: no file has {only!r} in its path; choose from {', '.join(TARGETS)}")
    tally = killed(seed, count, only)
    print(f"{tally.held} of {tally.tried} mutants killed ({tally.held / max(1, tally.tried):.0%})")
    return int(bool(tally.failures))


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
