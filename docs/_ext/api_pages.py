"""Writes a page of the API reference for each room, and one for ``import rl_ablation as rl``.

A room is a subpackage, or the root modules of a package. The packages are walked, so nothing here
or in the pages needs an edit when a module is added or moves.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx

PACKAGES = ("rl_ablation", "envs", "agents")
FOLDER = Path("reference") / "api"


def modules_of(package: ModuleType) -> list[str]:
    """Every public module of a package and of the packages in it, in alphabetical order."""
    found = []
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not any(part.startswith("_") for part in info.name.split(".")):
            found.append(info.name)
    return sorted(found)


def rooms(package: str) -> dict[str, list[str]]:
    """Room → its modules; the room of a package's root is the package's own name."""
    root = importlib.import_module(package)
    result: dict[str, list[str]] = {package: [package]}
    for info in pkgutil.iter_modules(root.__path__, package + "."):
        if info.name.rpartition(".")[2].startswith("_"):
            continue
        if info.ispkg:
            room = importlib.import_module(info.name)
            result[info.name] = [info.name, *modules_of(room)]
        else:
            result[package].append(info.name)
    return result


def heading(text: str, sign: str = "=") -> str:
    """A heading in reST."""
    return f"{text}\n{sign * len(text)}\n\n"


def automodule(name: str) -> str:
    """The directive for a module; what a package only passes on is told where it is defined."""
    # A room's __all__ may name functions of its modules; they have their entries there.
    return f".. automodule:: {name}\n   :ignore-module-all:\n\n"


def summary(name: str) -> str:
    """The first sentence of a module's docstring."""
    text = (importlib.import_module(name).__doc__ or "").strip().partition("\n\n")[0]
    return re.sub(r"\s+", " ", text).strip()


def page_of_room(name: str, modules: list[str], package: str) -> str:
    """The page of a room."""
    title = f"{name}, root modules" if name == package else name
    parts = [heading(title)]
    for module in modules:
        if module != name:
            parts.append(heading(module.removeprefix(package + "."), "-"))
        parts.append(automodule(module))
    return "".join(parts)


def public_page(package: str) -> str:
    """The page of what ``import rl_ablation as rl`` offers, in the order of ``__all__``."""
    root = importlib.import_module(package)
    parts = [
        heading("import rl_ablation as rl"),
        "What the tutorials use. Modules and everything else are on the pages of the rooms.\n\n",
    ]
    for name in root.__all__:
        value: Any = getattr(root, name)
        if inspect.ismodule(value):
            functions = [
                key
                for key, part in vars(value).items()
                if inspect.isfunction(part)
                and part.__module__ == value.__name__
                and not key.startswith("_")
            ]
            parts.append(f".. py:module:: {package}.{name}\n   :no-index:\n\n")
            parts.append(f"{(value.__doc__ or '').strip().partition(chr(10) * 2)[0]}\n\n")
            for key in functions:
                parts.append(f".. autofunction:: {package}.{name}.{key}\n   :no-index:\n\n")
            continue
        if inspect.isclass(value):
            kind = "autoexception" if issubclass(value, BaseException) else "autoclass"
        elif inspect.isfunction(value):
            kind = "autofunction"
        else:
            parts.append(f".. py:data:: {package}.{name}\n   :no-index:\n\n")
            parts.append(f"   A registry; see the list of {name.lower()} in this reference.\n\n")
            continue
        parts.append(f".. {kind}:: {package}.{name}\n   :no-index:\n\n")
    return "".join(parts)


def write_if_new(path: Path, text: str) -> None:
    """Leave a page alone that says the same already, so that Sphinx need not read it again."""
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


def write_pages(app: Sphinx) -> None:
    """Write the pages, and take away those of rooms that are gone."""
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    pages = {"public": public_page("rl_ablation")}
    index = [heading("API"), "From the docstrings; a page for each room of the packages.\n\n"]
    index.append(".. toctree::\n   :maxdepth: 1\n\n   public\n")
    for package in PACKAGES:
        for room, modules in rooms(package).items():
            pages[room] = page_of_room(room, modules, package)
            index.append(f"   {room}\n")
    index.append("\n")
    for package in PACKAGES:
        for room in rooms(package):
            index.append(f":doc:`{room} <{room}>`\n   {summary(room) or 'Its modules.'}\n\n")
    pages["index"] = "".join(index)
    for name, text in pages.items():
        write_if_new(folder / f"{name}.rst", text)
    for path in folder.glob("*.rst"):
        if path.stem not in pages:
            path.unlink()


_LITERAL = re.compile(r"(``.+?``|`[^`]+`)")


def show_code(lines: list[str]) -> None:
    """Put ``::`` before indented paragraphs that follow a plain one."""
    before = ""
    k = 0
    while k < len(lines):
        line = lines[k]
        indented = line.startswith("    ") and k > 0 and not lines[k - 1].strip()
        if indented and before[:1].isalpha() and not before.endswith("::"):
            lines[k:k] = ["::", ""]
            k += 2
        if line.strip():
            before = line
        k += 1


def tidy_docstring(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Escape what is plain text in our docstrings and markup in reST, such as ``|t|``.

    An indented paragraph in a module's docstring is code, with or without ``::`` before it.
    """
    if what == "module":
        show_code(lines)
    block = False
    for k, line in enumerate(lines):
        if block and line.strip() and not line.startswith(" "):
            block = False
        if line.rstrip().endswith("::"):
            block = True
        if block or line.lstrip().startswith(">>>"):
            continue
        parts = _LITERAL.split(line)
        parts[::2] = [re.sub(r"\|(?=\S)|(?<=\S)\|", r"\\|", part) for part in parts[::2]]
        lines[k] = "".join(parts)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect."""
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", tidy_docstring)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
