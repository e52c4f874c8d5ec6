"""The report: one self-contained HTML file with findings, figures, films and the whole table."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import logging
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from rl_ablation.analysis.layout import grid_shape
from rl_ablation.files import write_atomically
from rl_ablation.formats import number
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.lesions.methods import KINDS
from rl_ablation.mapping.claims import claims, overall, telling_rows, typical_episode
from rl_ablation.mapping.evidence import EVIDENCE_COLUMNS, FAILURE
from rl_ablation.mapping.map import Map
from rl_ablation.reports.certainty import sides
from rl_ablation.reports.figures import FIGURES, draw_all
from rl_ablation.reports.film import is_signed, is_whole, poster
from rl_ablation.reports.labels import film_name, labels
from rl_ablation.reports.page import LIVE, Board, against_random, numbers, script_json, table
from rl_ablation.reports.sentences import cuts_of_claims, sentences
from rl_ablation.reports.words import headlines, told_rows
from rl_ablation.versions import as_text

log = logging.getLogger(__name__)

_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
    "script-src 'sha256-{}'; base-uri 'none'; form-action 'none'"
)


def report(
    run: Map, films: Sequence[Path] | None = None, command: str = "", live: bool | None = None
) -> Path:
    """Write ``report.html`` (and ``effects.csv`` and the figures) into the run folder.

    The films are put inside; None takes those in the run's ``films`` folder. The command is the one
    that repeats the run, if it was made by one. Findings and units are linked to ``live.html``
    beside the report if ``live``; None looks whether it is there.

    Raises:
        LabError: Something of the run is damaged, or it is not finished. Nothing is written then.
    """
    run.check()
    effects = run.effects()
    write_atomically(run.folder / "effects.csv", effects.to_csv(index=False))
    write_atomically(run.folder / "claims.csv", claims(effects).to_csv(index=False))
    figures = draw_all(run)
    films = sorted((run.folder / "films").glob("[!.]*.mp4")) if films is None else films
    live = (run.folder / LIVE).exists() if live is None else live
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rl_ablation.reports", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = _own_text("report.js")
    page = environment.get_template("report.html.j2").render(
        policy=_POLICY.format(base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()),
        style=_own_text("report.css"),
        script=script,
        command=command,
        live=LIVE if live else "",
        figures=[
            (name, FIGURES[name].caption, _data("image/png", path.read_bytes()))
            for name, path in figures.items()
            if not FIGURES[name].in_page
        ],
        **_about(run, effects),
        **_shown(run, films, live),
    )
    write_atomically(run.folder / "report.html", page)
    return run.folder / "report.html"


def _about(run: Map, effects: pd.DataFrame) -> dict[str, Any]:
    """How the run was made, and how sure it is."""
    rows, table = overall(effects), run.table()
    intact, spec = table[table["lesion"] == INTACT], run.spec
    cuts = [*spec.lesions, *(run.confirmation.plan if run.confirmation else ())]
    kinds = dict.fromkeys(x.kind for x in cuts if x.size)
    support, limits = sides(run)
    return {
        "spec": spec,
        "digest": spec.digest,
        "version": importlib.metadata.version("rl-ablation"),
        "versions": as_text(run.versions).split("\n"),
        "kinds": {k: KINDS[k].doc for k in kinds},
        "behaviours": [
            (m.label, m.doc, m.unit, number(float(np.nanmean(intact[m.name]))))
            for m in run.measures
            if intact[m.name].notna().any()
        ],
        "support": support,
        "limits": limits,
        "confirmed": bool((rows["stage"] == "confirmed").any()),
        "help": EVIDENCE_COLUMNS,
        "unstable": float(table["unstable"].mean()),
    }


def _shown(run: Map, paths: Sequence[Path], live: bool) -> dict[str, Any]:
    """Findings, films, and what the page draws by itself."""
    films, found = _films(run, paths), headlines(run)
    if not overall(run.effects()).empty:
        rows = telling_rows(run)
        told = {f.lesion: told_rows(rows[rows["lesion"] == f.lesion]) for f in found}
        board = Board(run, [row["measure"] for told_of in told.values() for row in told_of])
        cards = [_card(run, board, f, told[f.lesion], live) for f in found]
        of = {film["lesion"]: film["id"] for film in films}
        plain = sentences(run)
        regions = [
            {"name": name, "film": of.get(name, ""), "sentence": plain.get(name, ""),
             "live": board.live(name) if live else ""}
            for name in board.regions
        ]  # fmt: skip
        data = board.data()
        for known, more in zip(data["regions"], regions, strict=True):
            known.update(more)
        drawn = {"board": board, "data": script_json({**data, "table": table(run)})}
    else:
        cards, drawn = [], {"board": None}
    named = {card["lesion"] for card in cards}
    return {
        "findings": cards,
        "films": {film["lesion"]: film for film in films},
        "more": [film for film in films if film["lesion"] not in named],
        **drawn,
    }


def _card(run: Map, board: Board, finding: Any, rows: list[Any], live: bool) -> dict[str, Any]:
    """A finding as its card shows it."""
    beyond, random = against_random(rows)
    kinds = dict.fromkeys(x.kind for x in cuts_of_claims(run)[finding.lesion])
    episode = run.episodes.job(run.plan[finding.lesion], typical_episode(run, finding.lesion))
    return {
        "lesion": finding.lesion,
        "label": board.labels[finding.lesion],
        "extent": finding.extent,
        "sentence": finding.sentence,
        "text": finding.text,
        "kinds": list(kinds),
        "beyond": beyond,
        "random": random,
        "dead": rows[0]["class"] == FAILURE,
        "fresh": rows[0]["stage"] == "confirmed",
        "numbers": numbers(rows),
        "where": _where(run, finding.lesion),
        "connection": bool(run.plan[finding.lesion].to),
        "live": board.live(finding.lesion, episode.condition) if live else "",
    }


def _where(run: Map, lesion: str) -> list[dict[str, Any]]:
    """The layers of the network, which of their units are cut, and which alone hear of it."""
    cut, to = run.plan[lesion].cut, run.plan[lesion].to
    return [
        {"site": site, "wide": grid_shape(size)[1],
         "units": ["cut" if k in cut.get(site, ()) else "heard" if k in to.get(site, ()) else "kept"
                   for k in range(size)]}
        for site, size in run.spec.sites.items()
        if site not in ("obs", "action") or site in cut or site in to
    ]  # fmt: skip


def _films(run: Map, paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The films as data, with the lesion of each as far as the run knows it."""
    named = labels(run)
    stems = {film_name(name): name for name in named}
    films = []
    for k, path in enumerate(paths):
        if is_signed(path) and not is_whole(path):
            log.warning("%s: damaged and left out; the same map command again makes it", path)
            continue
        lesion = stems.get(path.stem, path.stem)
        picture = poster(path)
        films.append(
            {
                "id": f"film-{k}",
                "lesion": lesion,
                "label": named.get(lesion, lesion),
                "data": _data("video/mp4", path.read_bytes()),
                "poster": _data("image/jpeg", picture) if picture else "",
            }
        )
    return films


def _own_text(name: str) -> str:
    return (files("rl_ablation.reports") / name).read_text(encoding="utf-8")


def _data(mime: str, content: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"
