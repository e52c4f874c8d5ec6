"""The report: one self-contained HTML file with findings, figures, films and the whole table."""

from __future__ import annotations

import base64
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

import jinja2
import numpy as np

from rl_ablation.files import write_atomically
from rl_ablation.formats import number, small
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.lesions.methods import KINDS
from rl_ablation.mapping.claims import claims, overall
from rl_ablation.mapping.evidence import EVIDENCE_COLUMNS
from rl_ablation.mapping.map import Map
from rl_ablation.measures.registry import MEASURES
from rl_ablation.reports.certainty import certainty
from rl_ablation.reports.figures import FIGURES, draw_all
from rl_ablation.reports.labels import film_name, labels
from rl_ablation.reports.words import headlines
from rl_ablation.stats import LEVEL


def report(run: Map, films: Sequence[Path] | None = None, command: str = "") -> Path:
    """Write ``report.html`` (and ``effects.csv`` and the figures) into the run folder.

    The films are put inside; None takes those in the run's ``films`` folder. The command is the one
    that repeats the run, if it was made by one.
    """
    effects = run.effects()
    write_atomically(run.folder / "effects.csv", effects.to_csv(index=False))
    told = claims(effects)
    write_atomically(run.folder / "claims.csv", told.to_csv(index=False))
    figures = draw_all(run)
    films = sorted((run.folder / "films").glob("[!.]*.mp4")) if films is None else films
    rows = overall(effects, controls=True).sort_values("q", kind="stable")
    table = run.table()
    intact = table[table["lesion"] == INTACT]
    spec, labelled = run.spec, labels(run)
    cuts = [*spec.lesions, *(run.confirmation.plan if run.confirmation else ())]
    kinds = dict.fromkeys(x.kind for x in cuts if x.size)
    stems = {film_name(name): text for name, text in labelled.items()}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rl_ablation.reports", "."), autoescape=True, trim_blocks=True
    )
    page = environment.get_template("report.html.j2").render(
        spec=spec,
        digest=spec.digest,
        command=command,
        version=importlib.metadata.version("rl-ablation"),
        versions=(run.folder / "versions.txt").read_text().split("\n"),
        findings=headlines(run),
        figures=[
            (name, FIGURES[name].caption, _data("image/png", path))
            for name, path in figures.items()
        ],
        films=[(stems.get(path.stem, path.stem), _data("video/mp4", path)) for path in films],
        labels=labelled,
        kinds={k: KINDS[k].doc for k in kinds},
        behaviours=[
            (m.label, m.doc, m.unit, number(float(np.nanmean(intact[m.name]))))
            for m in run.measures
            if intact[m.name].notna().any()
        ],
        certainty=certainty(run),
        confirmed=int((rows["stage"] == "confirmed").any()),
        columns=EVIDENCE_COLUMNS,
        rows=rows.to_dict("records"),
        measures=MEASURES,
        number=number,
        small=small,
        significant=int((rows["q"] < LEVEL).sum()),
        tested=int(rows["q"].notna().sum()),
        level=LEVEL,
        unstable=float(table["unstable"].mean()),
    )
    write_atomically(run.folder / "report.html", page)
    return run.folder / "report.html"


def _data(mime: str, path: Path) -> str:
    return f"data:{mime};base64,{base64.b64encode(path.read_bytes()).decode()}"
