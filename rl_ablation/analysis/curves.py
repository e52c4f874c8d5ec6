"""Curves of cumulative ablation: performance against the share cut, and the area under them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.mapping.run import Run


def curves(run: Run, measure: str) -> pd.DataFrame:
    """Performance against dose for every order of a run made of the plans above.

    Args:
        run: The run.
        measure: The performance; more is better.

    Returns:
        A row for each order × dose, 0 first: ``order``, ``dose`` (share cut, or strength of the
        noise), ``lesioned`` (mean over episodes), ``kept`` (the same as a share of what the intact
        policy does on the same episodes).

    Raises:
        LabError: The intact policy's mean performance is not positive, so no share can be taken.
    """
    wide = run.table().pivot(index="episode", columns="lesion", values=measure)
    intact = wide[INTACT]
    if not intact.mean() > 0:
        raise LabError(
            f"{run.folder}: intact {measure} is {intact.mean():.3g}; a share kept needs a "
            "performance above 0"
        )
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for lesion in run.plan:
        if not lesion.size:
            continue
        both = wide[lesion.name].notna() & intact.notna()
        before, after = intact[both].mean(), wide[lesion.name][both].mean()
        start = rows.setdefault(lesion.group, [(0.0, float(intact.mean()), 1.0)])
        start.append((float(lesion.name.rpartition("/")[2]), after, after / before))
    return pd.DataFrame(
        [(order, *row) for order, points in rows.items() for row in sorted(points)],
        columns=["order", "dose", "lesioned", "kept"],
    )


def areas(curve: pd.DataFrame) -> pd.Series:
    """Area under ``kept`` against dose, the largest dose set to 1: index order.

    1 means that nothing was ever lost. Straight lines join the points.
    """
    return pd.Series(
        {
            str(order): float(np.trapezoid(part["kept"], part["dose"]) / part["dose"].max())
            for order, part in curve.groupby("order", sort=False)
        }
    )
