"""What the report's page shows and its script reads: the map's numbers as plain data.

The page draws the heatmap, the network and the intervals itself, from the numbers of which the
figures of the same names are made.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from rl_ablation.analysis.layout import grid_shape
from rl_ablation.formats import Estimate, number, small
from rl_ablation.mapping.claims import behaviours, changes, overall, own
from rl_ablation.mapping.evidence import EVIDENCE_COLUMNS, with_own
from rl_ablation.mapping.kinds import bases, first_kind
from rl_ablation.mapping.map import Map
from rl_ablation.measures.registry import ALIVE, IN, MEASURES, parted
from rl_ablation.reports.figures import (
    MARKS,
    alive,
    cut_of_units,
    episodes_of,
    largest,
    regions_shown,
)
from rl_ablation.reports.figures_connections import part_names, shown_connections
from rl_ablation.reports.labels import labels
from rl_ablation.reports.sentences import cuts_of_claims
from rl_ablation.stats import LEVEL

LIVE = "live.html"
"""The page beside the report in which a cut can be made and watched."""

_CELL = ("intact", "lesioned", "delta", "ci_low", "ci_high", "q", "p_random", "harm")
_TABLE = [c for c in EVIDENCE_COLUMNS if c not in ("group", "condition", "random", "draws", "took",
          "direct", "off_manifold", "delta_discovery", "unstable")]  # fmt: skip
_TEXTS = ("lesion", "kind", "measure", "unit", "stage", "class")
_FEWEST, _GRIDS = 6, 6  # columns shown at first if none is declared; networks drawn
_PANELS, _ROWS = 4, 14  # of the intervals
_PALE_TEXT = {"worse": (0.92, 0.58), "better": (0.66, 0.62), "": (1.0, 1.0)}
"""From which strength of a cell's colour on its text is drawn the other way round to be read, on a
light page and on a dark one: where both contrasts are the same."""


def live_link(**what: str) -> str:
    """The address of the live page with a cut made: ``region="h1/cluster-0", kind="mean"``."""
    return f"{LIVE}#" + "&".join(f"{k}={quote(v, safe='/,:')}" for k, v in what.items() if v)


def script_json(value: Any) -> str:
    """JSON that can stand inside a script element: no text in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


class Board:
    """Regions × behaviours: what all the page's figures show.

    Attributes:
        rows: The claims, see `rl_ablation.mapping.claims.changes`.
        regions: All cuts with rows, in the order of the table; what they are called: `labels`,
            and how many `units` they have; `kinds` are those of cuts on which the claims rest.
        shown: Those that the heatmap has.
        measures: Its columns; `few` are those shown at first.
        cells: (region, measure) → the row.
    """

    def __init__(self, run: Map, told: Sequence[str] = ()) -> None:
        """``told`` are measures of which findings tell: they are among the first columns."""
        self.run, self.rows, self.labels = run, changes(run), labels(run)
        self.regions = list(dict.fromkeys(self.rows["lesion"]))
        self.shown = regions_shown(self.rows)
        self.measures = [*run.own, *behaviours(run)]
        self.few = _few(run, self.rows, self.measures, told)
        records = self.rows.to_dict("records")
        self.cells = {(r["lesion"], r["measure"]): r for r in records}
        self.region_index = {name: k for k, name in enumerate(self.regions)}
        self.measure_index = {name: k for k, name in enumerate(self.measures)}
        cuts = cuts_of_claims(run)
        kinds = (x.kind for name in self.regions for x in cuts[name])
        self.kinds = list(dict.fromkeys(kinds))
        self.units = dict(zip(self.rows["lesion"], self.rows["units"], strict=True))
        self.episodes = episodes_of(self.rows)

    def heads(self) -> list[dict[str, Any]]:
        """The columns."""
        intact = self.rows.groupby("measure")["intact"].mean()
        return [
            {
                "name": name,
                **_title(name),
                "unit": MEASURES[name].unit,
                "doc": MEASURES[name].doc,
                "better": MEASURES[name].better,
                "few": name in self.few,
                "intact": f"{number(intact.get(name, np.nan))} {MEASURES[name].unit}".rstrip(),
            }
            for name in self.measures
        ]

    def live(self, region: str, condition: str = "") -> str:
        """The live page with a region cut in the kind of the films, under the condition in which
        most is lost, or else the one given; nothing for one that it does not play."""
        if self.run.plan[region].moments:
            return ""
        mine = self.rows[(self.rows["lesion"] == region) & self.rows["measure"].isin(self.run.own)]
        if mine["harm"].notna().any():
            largest_first = mine.sort_values("harm", key=np.abs, ascending=False, kind="stable")
            condition = parted(str(largest_first["measure"].iloc[0]))[0]
        return live_link(region=region, kind=first_kind(self.run), condition=condition)

    def cell(self, region: str, measure: str) -> dict[str, Any]:
        """What stands in a cell: its text, its colour, and how strong that is, 0 to 1."""
        row = self.cells.get((region, measure))
        if row is None or not np.isfinite(row["lesioned"]):
            return {"text": "–", "mark": "", "side": "", "strength": 0.0}
        text, mark = number(row["lesioned"]), MARKS.get(row["holds"], "").strip()
        seen = colour(self._harm(region, measure))
        by_day, by_night = _PALE_TEXT[seen["side"]]
        return {"text": text, "mark": mark, "pale": seen["strength"] > by_day,
                "dark": seen["strength"] > by_night, **seen}  # fmt: skip

    def network(self) -> list[dict[str, Any]]:
        """A grid for each behaviour × hidden layer, of its units; of the first columns only, and
        of those in which something holds."""
        cuts, kind = cut_of_units(self.run, self.rows), first_kind(self.run)
        if not any(any(names) for names in cuts.values()):
            return []  # no units are cut, but directions or connections only
        smallest = {name for names in cuts.values() for name in names}
        grids = []
        for measure in self._changed(smallest, _GRIDS):
            layers = []
            for site, names in cuts.items():
                high, wide = grid_shape(len(names))
                units = [
                    {"x": k % wide, "y": k // wide, "unit": k, "region": self.region_index.get(n),
                     "live": live_link(cut=f"{site}:{k}", kind=kind),
                     **colour(self._harm(n, measure))}
                    for k, n in enumerate(names)
                ]  # fmt: skip
                layers.append({"site": site, "wide": wide, "high": high, "units": units})
            grids.append({"measure": self.measure_index[measure], "layers": layers})
        return grids

    def connections(self) -> list[dict[str, Any]]:
        """Tables of senders × receivers, one for each pair of layers, for each of the first columns
        in which a connection changes something; none where no connection was cut."""
        found, rows = shown_connections(self.run)
        harm = rows.set_index(["measure", "lesion"])["harm"].to_dict()
        called, grids = part_names(self.run, found), []
        cuts = {name for block in found for name in block.names.values()}
        for measure in self._changed(cuts, _GRIDS) if found else ():
            tables = []
            for block in found:
                lines = []
                for sender in block.senders:
                    told = (block.names.get((sender, x)) for x in block.receivers)
                    cells = [
                        {"region": self.region_index.get(n or ""),
                         **colour(harm.get((measure, n), 0.0))}
                        for n in told
                    ]  # fmt: skip
                    lines.append({"label": called[sender], "cells": cells})
                heads = [called[x] for x in block.receivers]
                title = f"{block.site} → {block.to}"
                tables.append({"title": title, "heads": heads, "rows": lines})
            grids.append({"measure": self.measure_index[measure], "tables": tables})
        return grids

    def _harm(self, region: str | None, measure: str) -> float:
        """What is drawn in colour: the harm where it is clear, else 0."""
        row = self.cells.get((region, measure))
        return row["harm"] if row is not None and row["q"] < LEVEL else 0.0

    def _changed(self, regions: Collection[str | None], most: int) -> list[str]:
        """Those of the first columns in which these regions' loss changes most; at least one."""
        size = {m: sum(abs(self._harm(r, m)) for r in regions) for m in self.few}
        largest_first = sorted((m for m in self.few if size[m] > 0), key=lambda m: -size[m])
        return [m for m in self.few if m in largest_first[:most]] or self.few[:1]

    def intervals(self) -> dict[str, Any]:
        """The largest changes with their intervals, as per cent of the width of their panel."""
        chosen = self._changed(self.regions, _PANELS)
        names = largest(self.rows[self.rows["measure"].isin(chosen)], _ROWS)
        panels = []
        for name in chosen:
            part = self.rows[self.rows["measure"] == name].set_index("lesion").reindex(names)
            ends = part[["delta", "ci_low", "ci_high"]].abs().to_numpy(float)
            reach = np.nanmax(ends, initial=0.0) or 1.0
            marks = [_bar(row, name, reach) for row in part.to_dict("records")]
            unit = MEASURES[name].unit
            panels.append({"measure": self.measure_index[name], "marks": marks,
                           "reach": f"{number(reach)} {unit}".rstrip()})  # fmt: skip
        return {"regions": names, "panels": panels}

    def data(self) -> dict[str, Any]:
        """What the script reads: every cell, with what each kind of cut shows."""
        kinds = _by_kind(self.run)
        known = list(dict.fromkeys(k for rows in kinds.values() for k, _, _ in rows))
        holds = list(dict.fromkeys(self.rows["holds"]))
        cells = []
        for region in self.regions:
            line: list[Any] = []
            for measure in self.measures:
                row = self.cells.get((region, measure))
                if row is None:
                    line.append(None)
                    continue
                agree = [
                    [known.index(kind), _short(delta), _short(q)]
                    for kind, delta, q in kinds.get((region, row["condition"], measure), ())
                ]
                numbers = [_short(row[key]) for key in _CELL]
                at = known.index(row["kind"]) if row["kind"] in known else None
                line.append([*numbers, int(row["n"]), at, holds.index(row["holds"]), agree])
            cells.append(line)
        about = self.rows.drop_duplicates("lesion").set_index("lesion")["class"]
        regions = [
            {"name": n, "label": self.labels[n], "units": int(self.units[n]),
             "class": about[n] if isinstance(about[n], str) else ""}
            for n in self.regions
        ]  # fmt: skip
        fields = [*_CELL, "n", "kind", "holds", "agree"]
        return {"level": LEVEL, "fields": fields, "kinds": known, "holds": holds, "cells": cells,
                "regions": regions, "measures": self.heads()}  # fmt: skip


def _title(measure: str) -> dict[str, str]:
    """What stands over a column, and in small print below it."""
    condition, name = parted(measure)
    if condition:
        return {"label": condition.replace("_", " "), "also": MEASURES[name].label}
    return {"label": short(measure), "also": "(alive)" if ALIVE in measure else ""}


def short(measure: str) -> str:
    """A measure's label without saying that it is taken while the robot is alive."""
    return MEASURES[measure].label.removesuffix(" (alive)")


def colour(harm: float) -> dict[str, Any]:
    """Of a change as a share of the largest: its side (worse, better or none) and strength."""
    strength = round(min(1.0, abs(harm)), 2) if np.isfinite(harm) else 0.0
    side = "" if strength == 0 else "worse" if harm < 0 else "better"
    return {"side": side, "strength": strength}


def _few(run: Map, rows: pd.DataFrame, measures: Sequence[str], told: Sequence[str]) -> list[str]:
    """The columns shown at first: those that matter in this world, and those that are told of."""
    if found := own(run):
        ends = [m.name for m in run.measures if m.ending and m.first]
        chosen = {*found, *ends, *told}
    else:
        chosen = {*(m for m in measures if IN not in m and MEASURES[m].first), *told}
    return [m for m in measures if m in chosen] or alive(run, rows, _FEWEST)


def _bar(row: Mapping[Any, Any], measure: str, reach: float) -> dict[str, Any]:
    found = Estimate.of(row, "delta", "ci_low", "ci_high")
    if not np.isfinite(found.value):
        return {}
    low, high = (x if np.isfinite(x) else found.value for x in (found.low, found.high))
    left, at, right = (round(50 + 50 * x / reach, 1) for x in (low, found.value, high))
    side = colour((MEASURES[measure].better or 1) * found.value)["side"]
    clear = bool(row["q"] < LEVEL)
    return {"left": left, "wide": round(right - left, 1), "at": at, "side": side * clear}


def _by_kind(run: Map) -> dict[tuple[str, str, str], list[tuple[str, float, float]]]:
    """Cut, condition, measure → (kind, change, q) of each kind in which it was made."""
    rows = with_own(run.effects(), run.own)
    rows = rows[rows["condition"] == "all"].assign(lesion=lambda x: bases(x["lesion"]))
    found: dict[tuple[str, str, str], list[tuple[str, float, float]]] = {}
    columns = [rows[k] for k in ("lesion", "condition", "measure", "kind", "delta", "q")]
    for lesion, condition, measure, kind, delta, q in zip(*columns, strict=True):
        found.setdefault((lesion, condition, measure), []).append((kind, delta, q))
    return found


def _short(value: float, digits: int = 4) -> float | None:
    """So many digits: four are what a reader sees; None for no number."""
    return float(f"{value:.{digits}g}") if np.isfinite(value) else None


def table(run: Map) -> dict[str, Any]:
    """All effects over all conditions, controls too, as columns; texts once, by their number."""
    rows = overall(with_own(run.effects(), run.own), controls=True)
    rows = rows.sort_values("q", kind="stable")
    named = labels(run)
    rows = rows.assign(**{"class": rows["class"].fillna("control")})
    texts = {c: list(dict.fromkeys(rows[c])) for c in _TEXTS}
    columns: dict[str, list[Any]] = {}
    for column in _TABLE:
        if column in texts:
            at = {value: k for k, value in enumerate(texts[column])}
            columns[column] = [at[value] for value in rows[column]]
        elif column in ("units", "n"):
            columns[column] = [int(x) for x in rows[column]]
        else:
            columns[column] = [_short(x, 6) for x in rows[column].astype(float)]
    shown = {
        **texts,
        "lesion": [named.get(name, name) for name in texts["lesion"]],
        "measure": [MEASURES[name].label for name in texts["measure"]],
    }
    return {"columns": _TABLE, "help": [EVIDENCE_COLUMNS[c] for c in _TABLE], "names": texts,
            "shown": shown, "values": columns, "level": LEVEL}  # fmt: skip


def against_random(rows: Sequence[Mapping[Any, Any]]) -> tuple[bool, str]:
    """Whether any of a region's told changes is beyond random cuts of its size, and in words."""
    held = [row for row in rows if np.isfinite(row["p_random"])]
    if not held:
        return False, "not held against random cuts of its size"
    best = min(held, key=lambda row: row["p_random"])
    p, draws, beyond = best["p_random"], int(best["draws"]), best["p_random"] < LEVEL
    k = round(p * (1 + draws) / 2) - 1  # as in `EVIDENCE_COLUMNS`
    count = f"{k} of {draws}" if p < 1 else f"half or more of {draws}"
    if not beyond and k == 0:
        return False, f"no random cut of its size is as strong, but {draws} are too few to tell"
    if not beyond:
        return False, f"not shown to do more than random cuts of its size ({count} are as strong)"
    where = f" to {short(best['measure'])}" if len(rows) > 1 else ""
    return True, f"does more{where} than random cuts of its size ({count} are as strong)"


def numbers(rows: Sequence[Mapping[Any, Any]]) -> list[dict[str, str]]:
    """The told changes of a region, for the table that is on demand."""
    told = []
    for row in rows:
        unit = MEASURES[row["measure"]].unit
        finite = np.isfinite(row["ci_low"])
        ends = Estimate.of(row, "delta", "ci_low", "ci_high").ends()
        told.append(
            {
                "measure": MEASURES[row["measure"]].label,
                "doc": MEASURES[row["measure"]].doc,
                "values": f"{number(row['intact'])} → {number(row['lesioned'])} {unit}".rstrip(),
                "ends": ends if finite else "alike in all episodes",
                "q": small(row["q"]),
                "random": small(row["p_random"]),
                "kind": row["kind"],
                "n": str(int(row["n"])),
            }
        )
    return told
