"""Curves of cumulative ablation: performance against the share cut, and the area under them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.mapping.run import Run


def curves(run: Run, measure: str) -> pd.DataFrame:
    """Performance, a measure of which more is better, against dose for every order of a run.

    A row for each order × dose, 0 first: ``order``, ``dose`` (share cut, or strength of the noise),
    ``lesioned`` (mean over episodes), ``kept`` (the same as a share of what the intact policy does
    on the same episodes).

    Raises:
        LabError: The intact policy's mean performance is not positive, so no share can be taken.
    """
    wide = run.table().pivot(index="episode", columns="lesion", values=measure)
    intact = wide[INTACT]
    if not intact.mean() > 0:
        found = f"{run.folder}: intact {measure} is {intact.mean():.3g}"
        raise LabError(f"{found}; a share kept needs a performance above 0")
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for lesion in (x for x in run.plan if x.size):
        both = wide[lesion.name].notna() & intact.notna()
        before, after = intact[both].mean(), wide[lesion.name][both].mean()
        start = rows.setdefault(lesion.group, [(0.0, float(intact.mean()), 1.0)])
        start.append((float(lesion.name.rpartition("/")[2]), after, after / before))
    told = [(order, *row) for order, points in rows.items() for row in sorted(points)]
    return pd.DataFrame(told, columns=["order", "dose", "lesioned", "kept"])


def areas(curve: pd.DataFrame) -> pd.Series:
    """Area under ``kept`` against dose, the largest dose set to 1: index order.

    1 means that nothing was ever lost. Straight lines join the points.
    """
    found = {}
    for order, part in curve.groupby("order", sort=False):
        found[str(order)] = float(np.trapezoid(part["kept"], part["dose"]) / part["dose"].max())
    return pd.Series(found)
