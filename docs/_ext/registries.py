"""Directives that list what the registries hold, so that no list is typed by hand.

``{registry} kinds`` (measures, groupings, envs, agents, studies, figures), ``{commands}`` for the
help of every command, and ``{gallery}`` for the studies.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from functools import cache
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

ARROWS = {1: "more", -1: "less", 0: ""}


@cache
def command_line(*arguments: str) -> str:
    """What a command prints, in this process and without colours."""
    from experiments.cli import main

    os.environ.update(COLUMNS="88", NO_COLOR="1", TERM="dumb")
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main(list(arguments))
    return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())


def listed(what: str) -> dict[str, str]:
    """Name → one line, as ``rl-ablation list`` tells it."""
    entries: dict[str, str] = json.loads(command_line("list", what, "--json"))
    if not entries:
        raise ValueError(f"rl-ablation list {what} is empty")
    return entries


def commands() -> list[str]:
    """The commands' names, in the order of the help text."""
    found = re.search(r"\{([a-z,]+)\}", command_line("--help"))
    if found is None:
        raise ValueError("the help text names no commands")
    return found.group(1).split(",")


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table."""
    cells = [[cell.replace("|", "\\|").replace("*", "\\*") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *cells]
    return ["| " + " | ".join(line) + " |" for line in lines]


def table_of(what: str) -> list[str]:
    """The table of a registry."""
    import rl_ablation as rl

    if what == "measures":
        rows = [
            [f"`{m.name}`", m.doc, m.unit, ARROWS[m.better], ", ".join(f"`{s}`" for s in m.signals)]
            for m in rl.MEASURES.values()
        ]
        return table(["measure", "what it is", "unit", "better", "signals it reads"], rows)
    if what == "kinds":
        rows = [
            [f"`{name}`", k.doc, "–" if k.default is None else f"{k.default:g}"]
            for name, k in rl.KINDS.items()
        ]
        return table(["kind", "a cut unit's output", "strength by default"], rows)
    if what == "figures":
        figures = {
            name: (known.draw.__doc__ or "").strip().partition("\n")[0]
            for name, known in rl.figures.FIGURES.items()
        }
        return table(["figure", "shows"], [[f"`{k}`", v] for k, v in figures.items()])
    return table(["name", "what it is"], [[f"`{k}`", v] for k, v in listed(what).items()])


class _Markdown(SphinxDirective):
    """A directive whose content is Markdown that it writes itself."""

    def lines(self) -> list[str]:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        node = nodes.container()
        text = StringList(self.lines(), source=self.env.docname)
        self.state.nested_parse(text, self.content_offset, node)
        return node.children


class Registry(_Markdown):
    """``{registry} kinds``: the table of a registry."""

    required_arguments = 1

    def lines(self) -> list[str]:
        """Its table."""
        return table_of(self.arguments[0])


class Commands(Directive):
    """``{commands}``: a section with the help text of every command."""

    def run(self) -> list[nodes.Node]:
        """Make the sections."""
        sections: list[nodes.Node] = []
        for name in commands():
            section = nodes.section(ids=[f"command-{name}"], names=[f"command-{name}"])
            section += nodes.title("", "", nodes.literal("", f"rl-ablation {name}"))
            text = command_line(name, "--help").strip()
            section += nodes.literal_block(text, text, language="text", classes=["help"])
            self.state.document.note_explicit_target(section)
            sections.append(section)
        return sections


class Gallery(_Markdown):
    """``{gallery}``: a card for each study, with its first picture and its question."""

    def lines(self) -> list[str]:
        """Its cards."""
        folder = Path(self.env.doc2path(self.env.docname)).parent
        lines = ["::::{grid} 1 2 2 3", ":gutter: 3", ""]
        for name, question in listed("studies").items():
            page = folder / f"{name}.md"
            if not page.exists():
                raise self.error(f"the study {name!r} has no page {page.name}; run it with --docs")
            self.env.note_dependency(str(page))
            picture = re.search(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text("utf-8"))
            lines += [f":::{{grid-item-card}} {name}", f":link: {name}", ":link-type: doc"]
            if picture:
                lines += [f":img-top: {picture.group(1)}", f":img-alt: Figure of the study {name}"]
            lines += ["", question, ":::", ""]
        return [*lines, "::::"]


def spread_notebooks(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Read each notebook in a batch of its own, so that `-j 2` runs two at a time.

    Sphinx reads in batches of ten pages, in this order.
    """
    notebooks = [name for name in docnames if name.startswith("tutorials/") and "index" not in name]
    rest = [name for name in docnames if name not in notebooks]
    rest.sort(key=lambda name: "/api/" in name)  # these take longest, so they fill the last batches
    docnames[:] = []
    for name in notebooks:
        docnames += [name, *rest[:9]]
        del rest[:9]
    docnames += rest


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.connect("env-before-read-docs", spread_notebooks)
    app.add_directive("registry", Registry)
    app.add_directive("commands", Commands)
    app.add_directive("gallery", Gallery)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
