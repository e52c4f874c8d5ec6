"""Findings in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rl_ablation.formats import number
from rl_ablation.mapping.claims import headline_regions, telling_rows
from rl_ablation.mapping.evidence import TRIFLE
from rl_ablation.mapping.map import Map
from rl_ablation.measures.registry import ALIVE, MEASURES
from rl_ablation.reports.labels import labels
from rl_ablation.stats import LEVEL


@dataclass(frozen=True)
class Finding:
    """One region and what its loss does."""

    lesion: str
    units: int
    text: str


def headlines(run: Map, most: int = 4) -> list[Finding]:
    """The regions of `rl_ablation.mapping.claims.headline_regions`, a line each."""
    rows = telling_rows(run)
    told = labels(run)
    return [_tell(rows[rows["lesion"] == r], told[r]) for r in headline_regions(run, most)]


def _tell(rows: pd.DataFrame, label: str, most: int = 3) -> Finding:
    clear = rows[(rows["q"] < LEVEL) & (rows["harm"].abs() > TRIFLE)]
    clear = clear.sort_values("harm", key=np.abs, ascending=False)
    told: list[str] = []
    bases: set[str] = set()
    for row in clear.to_dict("records"):
        base = row["measure"].removesuffix(ALIVE)
        if base in bases or len(told) == most:
            continue
        bases.add(base)
        told.append(change(row))
    first = rows.iloc[0]
    units = int(first["units"])
    return Finding(
        str(first["lesion"]),
        units,
        f"{label} ({units} unit{'s' * (units != 1)}): {'; '.join(told)}",
    )


def change(row: Mapping[Any, Any]) -> str:
    """``forward speed 0.91 → 0.28 m/s (95 % CI of the change −0.69 to −0.59)`` for a row."""
    measure = MEASURES[row["measure"]]
    unit = f" {measure.unit}" if measure.unit else ""
    told = f"{measure.label} {number(row['intact'])} → {number(row['lesioned'])}{unit} "
    if not np.isfinite(row["ci_low"]):
        return told + "(alike in all episodes)"
    return told + f"(95 % CI of the change {number(row['ci_low'])} to {number(row['ci_high'])})"
