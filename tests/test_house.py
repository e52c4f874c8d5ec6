"""The house rules that no single room can hold by itself."""

import ast
import graphlib
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

INSIDE = (
    "policies", "lesions", "rollouts", "measures", "groupings", "mapping", "analysis", "reports"
)  # fmt: skip
"""The rooms of rl_ablation, ground up; below them stand the files directly in it."""

LINES, CODE, PARAMETERS = 400, 60, 8  # at most: of a file, of a function's code, of its parameters
MEASURED = [p for p in FILES if p.relative_to(HOUSE).parts[0] in ("rl_ablation", "experiments")]
ALLOWED: set[str] = set()  # still too long or with too many parameters: never to grow
COMMAND_NAMES = {command.__name__ for command in COMMANDS.values()}

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


def module_name(path):
    return ".".join(path.relative_to(HOUSE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in FILES}


def own_imports(tree):
    """The modules of ours that a file imports, wherever in it; of a package, the file meant."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            named = [f"{node.module}.{alias.name}" for alias in node.names]
            named = [n if n in MODULES else node.module for n in named]
        else:
            continue
        yield from (name for name in named if name in MODULES)


def floor(module):
    """0 for a file directly in rl_ablation, from 1 on for its rooms."""
    _, _, inside = module.partition("rl_ablation.")
    room = inside.partition(".")[0]
    return 1 + INSIDE.index(room) if room in INSIDE else 0


def upward(module, tree):
    """What a file of rl_ablation imports from rooms above its own."""
    return [x for x in own_imports(tree) if x == "rl_ablation" or floor(x) > floor(module)]


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("rl_ablation.")])
def test_rooms_inside_import_from_below_only(module):
    assert upward(module, parsed(MODULES[module])) == []


def test_the_check_of_rooms_can_fail():
    tree = ast.parse("def f():\n    from rl_ablation.mapping.run import Run\n")
    assert upward("rl_ablation.measures.laps", tree) == ["rl_ablation.mapping.run"]
    assert upward("rl_ablation.files", tree) == ["rl_ablation.mapping.run"]
    assert upward("rl_ablation.analysis.drift", tree) == []
    assert upward("rl_ablation.reports.film", ast.parse("import rl_ablation")) == ["rl_ablation"]
    folders = {p.name for p in (HOUSE / "rl_ablation").iterdir() if (p / "__init__.py").exists()}
    assert folders == set(INSIDE)


def circle(imports):
    """A circle of modules, if there is one; a module → those it imports."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return None


def test_no_files_import_each_other_in_a_circle():
    trees = {m: parsed(p) for m, p in MODULES.items()}
    assert circle({m: set(own_imports(tree)) - {m} for m, tree in trees.items()}) is None


def test_the_check_of_circles_can_fail():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) is not None
    assert circle({"a": {"b", "c"}, "b": {"c"}}) is None


def code_lines(function, text):
    """Lines of a function without its docstring, blank lines and comments."""
    first = function.body[0]
    told = ast.get_docstring(function) is not None
    doc = range(first.lineno, first.end_lineno + 1) if told else ()
    whole = range(function.lineno, function.end_lineno + 1)
    lines = [text.splitlines()[k - 1].strip() for k in whole if k not in doc]
    return sum(line != "" and line[0] != "#" for line in lines)


def parameters(function):
    """Of a function, ``self`` and ``cls`` not counted; ``**kwargs`` counts one."""
    a = function.args
    names = [x.arg for x in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"])) + bool(a.vararg) + bool(a.kwarg)


def too_big(text):
    """The functions of a file that are too long, or have too many parameters."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            many = parameters(node) > PARAMETERS and node.name not in COMMAND_NAMES
            if many or code_lines(node, text) > CODE:
                yield node.name


def test_files_and_functions_can_be_read_in_one_sitting():
    found = set()
    for path in MEASURED:
        text, name = path.read_text(), str(path.relative_to(HOUSE))
        assert len(text.splitlines()) <= LINES, name
        found |= {f"{name} {function}" for function in too_big(text)}
    assert found - ALLOWED == set()
    assert ALLOWED - found == set(), "mended: take them off the list"


def test_the_check_of_sizes_can_fail():
    many = "def f(self, " + ", ".join(f"a{k}" for k in range(7)) + ", *, b{}): pass\n"
    assert list(too_big(many.format(""))) == []
    assert list(too_big(many.format(", **c"))) == ["f"]
    assert list(too_big(many.format(", **c").replace("f(self", "map_(self"))) == []
    head = 'def f():\n    """A docstring.\n' + "\n" * 90 + '    """\n    # why\n\n'
    assert list(too_big(head + "    a = 1\n" * 59)) == []
    assert list(too_big(head + "    a = 1\n" * 60)) == ["f"]


def test_rooms_and_what_is_offered_are_called_differently():
    assert not set(INSIDE) & set(rl.__all__)
    assert set(INSIDE) & {*rl.__all__, "measures"}, "the check can fail"


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
