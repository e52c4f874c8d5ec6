"""The findings of a brain scan in sentences."""

from __future__ import annotations

import pandas as pd

from rl_ablation.formats import Estimate, number
from rl_ablation.measures.registry import MEASURES
from rl_ablation.stats import LEVEL


def tell_contrasts(table: pd.DataFrame) -> str:
    """How many units of each layer respond to each contrast."""
    responses = []
    for (contrast, site), part in table.groupby(["contrast", "site"], sort=False):
        sure = int((part["p_fwe"] < LEVEL).sum())
        top = part.iloc[int(part["strength"].abs().to_numpy().argmax())]
        responses.append(
            f"{str(contrast).replace(chr(10), ' ')} in {sure} of {len(part)} units of {site} "
            f"(most in {site}/{top['unit']}, {number(float(top['strength']))} s.d.)"
        )
    n = int(table["n"].max())
    return f"Contrasts that pass family-wise correction over {n} subjects: {'; '.join(responses)}."


def tell_damage(rows: pd.DataFrame) -> str:
    """How many units' cuts change each behaviour by themselves."""
    cut = rows["lesion"].nunique()
    sure = (rows["q"] < LEVEL).groupby(rows["measure"], sort=False).sum()
    counts = [f"{MEASURES[str(m)].label} {n}" for m, n in sure.items()]
    return f"Units, of {cut} cut one at a time, whose loss changes (q < 5 %): {', '.join(counts)}."


def tell_agreement(ranks: pd.DataFrame) -> str:
    """Whether units that respond are needed."""
    lines = [
        f"- {row['contrast'].replace(chr(10), ' ')} against need for {row['needed for']}, "
        f"{row['site']}: ρ = {number(row['rho'])} (95 % CI {Estimate.of(row, 'rho').ends()}; "
        f"q = {row['q']:.3f})"
        for row in ranks.to_dict("records")
    ]
    sure = ranks[ranks["q"] < LEVEL]["rho"]
    head = (
        f"Does what responds matter? Of {len(ranks)} rank correlations between a unit's response "
        f"and what its loss changes, {(sure > 0).sum()} are clearly positive and "
        f"{(sure < 0).sum()} clearly negative:"
    )
    return "\n".join([head, "", *lines])
