"""The command study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from experiments.cli.output import print_json, tell_entries


def study(
    name: Annotated[str, tyro.conf.arg(metavar="NAME|list|all")],
    /,
    quick: bool = False,
    seed: int = 0,
    out: Path | None = None,
    docs: bool = False,
    json: bool = False,
) -> None:
    """Run one of the studies, or all, or list them.

    Args:
        name: A study, `list`, or `all`, which runs one after the other.
        quick: A small version that only shows that it runs; its numbers mean little.
        seed: Of everything in it.
        out: Folder for findings, figures and tables; by default runs/study-NAME. Run again, the
            study goes on there.
        docs: Also write findings and figures into docs/.
        json: Print the list, or where things are, as JSON.
    """
    from experiments.cli.listing import entries
    from experiments.studies.registry import STUDIES, run_study

    if name == "list":
        tell_entries(entries("studies"), json)
        return
    folders = {}
    for one in STUDIES if name == "all" else [name]:
        inside = out / one if name == "all" and out is not None else out
        folders[one] = run_study(one, quick=quick, seed=seed, out=inside, docs=docs, tell=not json)
    if json:
        print_json({k: {"folder": v, "files": sorted(p.name for p in v.glob("*.*"))}
                     for k, v in folders.items()})  # fmt: skip
