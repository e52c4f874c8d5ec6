"""Findings in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rl_ablation.formats import number
from rl_ablation.mapping.claims import headline_regions, telling_rows
from rl_ablation.mapping.evidence import SMALLEST_EFFECT
from rl_ablation.mapping.map import Map
from rl_ablation.markup import bullets
from rl_ablation.measures.registry import ALIVE, MEASURES
from rl_ablation.reports.labels import labels
from rl_ablation.stats import LEVEL


@dataclass(frozen=True)
class Finding:
    """One region and what its loss does."""

    lesion: str
    units: int
    text: str

    def _repr_html_(self) -> str:
        return bullets([self.text])


class Findings(list[Finding]):
    """Findings that a notebook shows as a list of sentences."""

    def _repr_html_(self) -> str:
        return bullets([f.text for f in self] or ["No cut changed a behaviour clearly."])


def headlines(run: Map, most: int = 4) -> Findings:
    """The regions of `rl_ablation.mapping.claims.headline_regions`, a line each."""
    rows = telling_rows(run)
    names = labels(run)
    chosen = headline_regions(run, most)
    return Findings(_tell(rows[rows["lesion"] == r], names[r]) for r in chosen)


def _tell(rows: pd.DataFrame, label: str) -> Finding:
    clear = rows[(rows["q"] < LEVEL) & (rows["harm"].abs() > SMALLEST_EFFECT)]
    clear = clear.sort_values("harm", key=np.abs, ascending=False)
    once = ~clear["measure"].str.removesuffix(ALIVE).duplicated()
    sentence = "; ".join(change(row) for row in clear[once].head(3).to_dict("records"))
    units = int(rows["units"].iloc[0])
    text = f"{label} ({units} unit{'s' * (units != 1)}): {sentence}"
    return Finding(str(rows["lesion"].iloc[0]), units, text)


def change(row: Mapping[Any, Any]) -> str:
    """``forward speed 0.91 → 0.28 m/s (95 % CI of the change −0.69 to −0.59)`` for a row."""
    measure = MEASURES[row["measure"]]
    value = f"{number(row['intact'])} → {number(row['lesioned'])} {measure.unit}".rstrip()
    how = "alike in all episodes"
    if np.isfinite(row["ci_low"]):
        how = f"95 % CI of the change {number(row['ci_low'])} to {number(row['ci_high'])}"
    return f"{measure.label} {value} ({how})"
