"""Findings in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rl_ablation.formats import number, unlike
from rl_ablation.mapping.claims import headline_regions, telling_rows
from rl_ablation.mapping.evidence import SMALLEST_EFFECT
from rl_ablation.mapping.map import Map
from rl_ablation.markup import bullets
from rl_ablation.measures.registry import ALIVE, MEASURES
from rl_ablation.reports.labels import labels
from rl_ablation.reports.sentences import sentences
from rl_ablation.stats import LEVEL


@dataclass(frozen=True)
class Finding:
    """One region and what its loss does: in numbers, and in a plain sentence."""

    lesion: str
    extent: str
    text: str
    sentence: str

    def _repr_html_(self) -> str:
        return bullets([self.sentence, self.text])


class Findings(list[Finding]):
    """Findings that a notebook shows as a list of sentences."""

    def _repr_html_(self) -> str:
        return bullets([f.sentence for f in self] or ["No cut changed a behaviour clearly."])


def headlines(run: Map, most: int = 4) -> Findings:
    """The regions of `rl_ablation.mapping.claims.headline_regions`, a line each."""
    rows, names, plain = telling_rows(run), labels(run), sentences(run)
    told = []
    for region in headline_regions(run, most):
        here = rows[rows["lesion"] == region]
        numbers = "; ".join(change(row) for row in told_rows(here))
        extent = run.plan[region].extent
        text = f"{names[region]} ({extent}): {numbers}"
        told.append(Finding(region, extent, text, plain[region]))
    return Findings(told)


def told_rows(rows: pd.DataFrame) -> list[dict[Any, Any]]:
    """The clear changes of one region that are told of it, the largest first."""
    clear = rows[(rows["q"] < LEVEL) & (rows["harm"].abs() > SMALLEST_EFFECT)]
    clear = clear.sort_values("harm", key=np.abs, ascending=False)
    once = ~clear["measure"].str.removesuffix(ALIVE).duplicated()
    return clear[once].head(3).to_dict("records")


def change(row: Mapping[Any, Any]) -> str:
    """``forward speed 0.91 → 0.28 m/s (95 % CI of the change −0.69 to −0.59)`` for a row."""
    measure = MEASURES[row["measure"]]
    intact, lesioned = unlike(row["intact"], row["lesioned"])
    value = f"{intact} → {lesioned} {measure.unit}".rstrip()
    how = "alike in all episodes"
    if np.isfinite(row["ci_low"]):
        how = f"95 % CI of the change {number(row['ci_low'])} to {number(row['ci_high'])}"
    return f"{measure.label} {value} ({how})"
