"""The command study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments.cli.output import print_json, tell_entries


def study(
    name: Annotated[str, tyro.conf.arg(metavar="NAME|list|all")],
    /,
    quick: bool = False,
    seed: int = 0,
    out: Path | None = None,
    docs: bool = False,
    scheduler: str | None = None,
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
        scheduler: Have the workers of a dask scheduler run its sweeps and trainings: tcp://HOST:8786,
            or local:N for N processes of this machine.
        json: Print the list, or where things are, as JSON.
    """
    from experiments.cli.listing import entries
    from experiments.studies.registry import STUDIES, run_study
    from rl_ablation.cluster import using

    if name == "list":
        tell_entries(entries("studies"), json)
        return
    folders = {}
    for one in STUDIES if name == "all" else [name]:
        inside = out / one if name == "all" and out is not None else out
        how: dict[str, Any] = {"quick": quick, "seed": seed, "docs": docs}
        with using(scheduler):
            folders[one] = run_study(one, out=inside, tell=not json, **how)
    if json:
        print_json({k: {"folder": v, "files": sorted(p.name for p in v.glob("*.*"))}
                     for k, v in folders.items()})  # fmt: skip
