"""The house rules that no single room can hold by itself."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rl_ablation as rl
from experiments.cli.main import COMMANDS
from rl_ablation.groupings.registry import GROUPINGS
from rl_ablation.lesions.methods import KINDS

HOUSE = Path(__file__).parent.parent
ROOMS = ("rl_ablation", "envs", "agents", "experiments")
MAY_IMPORT = {
    "rl_ablation": {"rl_ablation"},
    "envs": {"envs"},
    "agents": {"agents", "rl_ablation", "envs"},
    "experiments": set(ROOMS),
}
FILES = [path for room in ROOMS for path in sorted((HOUSE / room).rglob("*.py"))]
NAMES = [str(path.relative_to(HOUSE)) for path in FILES]

every_file = pytest.mark.parametrize("path", FILES, ids=NAMES)


def parsed(path):
    return ast.parse(path.read_text())


def imported(tree, path):
    """Modules that a file imports, wherever in it, by ``import`` or by a call with a name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "__import__"):
            argument = node.args[0]
            yield argument.value if isinstance(argument, ast.Constant) else ""


def called(call):
    """``"dump"`` of ``pickle.dump(…)``."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def dotted(node):
    """``"pickle.dump"`` of the same."""
    return ast.unparse(node.func)


def test_there_are_files_to_look_at():
    assert {name.split("/")[0] for name in NAMES} == set(ROOMS)
    assert len(FILES) > 30


@every_file
def test_imports_run_one_way(path):
    room = path.relative_to(HOUSE).parts[0]
    for module in imported(parsed(path), path):
        top = module.split(".")[0]
        if top in ROOMS:
            assert top in MAY_IMPORT[room], f"{room} must not know {module}"
        assert top != "tests"


def test_the_import_check_can_fail():
    tree = ast.parse("def f():\n    from envs.lap import Lap\n    __import__('agents.zoo')\n")
    assert list(imported(tree, "x")) == ["envs.lap", "agents.zoo"]


@every_file
def test_nothing_that_runs_what_it_reads(path):
    """Third-party files are read; nothing in them may be executed."""
    tree = parsed(path)
    modules = {m.split(".")[0] for m in imported(tree, path)}
    assert not modules & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}, modules
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name, where = dotted(node), f"{path.name}:{node.lineno}"
        assert name not in ("eval", "exec", "torch.load", "pickle.load", "pickle.loads"), where
        assert called(node) != "Unpickler", where
        if name in ("np.load", "numpy.load"):
            allowed = {k.arg: k.value for k in node.keywords}.get("allow_pickle")
            assert allowed is None or allowed.value is False, where
        # PPO.load(…) and its kin unpickle what they find in the zip.
        assert not re.fullmatch(r"(PPO|SAC|TD3|A2C|DDPG|DQN|VecNormalize)\.load", name), where
        if name.startswith("subprocess."):
            assert not any(k.arg == "shell" for k in node.keywords), where


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "README.md", "LICENSE", *ROOMS, "tests", "tests/conftest.py"]
)
def test_top_level_has(name):
    assert (HOUSE / name).exists()


@every_file
def test_files_say_what_they_are_for(path):
    assert (ast.get_docstring(parsed(path)) or "").strip()


@pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="pip is not there")
def test_installed_packages_fit_together():
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "check"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "doc"),
    [
        *((f"measure {m.name}", m.doc) for m in rl.MEASURES.values()),
        *((f"kind {name}", kind.doc) for name, kind in KINDS.items()),
        *((f"grouping {g.name}", g.doc) for g in GROUPINGS.values()),
    ],
)
def test_everything_listed_has_a_line_of_help(name, doc):
    assert len(doc.strip()) > 10, name
    assert "\n" not in doc


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_names_every_command(command):
    assert f"rl-ablation {command}" in (HOUSE / "README.md").read_text()


def test_everything_offered_is_there():
    for name in rl.__all__:
        assert getattr(rl, name).__doc__ or name in ("KINDS", "MEASURES")
