"""What a run, or the lab, knows of an agent, for the live page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from rl_ablation.lesions.lesion import INTACT, Lesion
from rl_ablation.mapping.claims import changes, telling_rows
from rl_ablation.mapping.effects import CONTROLS
from rl_ablation.mapping.kinds import in_first
from rl_ablation.mapping.map import Map
from rl_ablation.measures.registry import MEASURES, evaluate
from rl_ablation.policies.policy import Policy
from rl_ablation.reports.labels import labels
from rl_ablation.reports.words import headlines
from rl_ablation.rollouts.episodes import Episode
from rl_ablation.rollouts.recording import run_jobs
from rl_ablation.stats import LEVEL

EPISODES = 8  # of each condition, to know what the intact robot does
MOST_EFFECTS = 4  # behaviours told of a region, those that change most


def intact_values(
    policy: Policy, scene: Mapping[str, Any], run: Map | None
) -> dict[str, list[dict[str, float] | None]]:
    """Condition → for each gauge the mean of its measure in intact episodes, and their s.d.

    They are those of the run; without one, or where it took no such measure or had another time
    limit, of episodes from the page's own starts. None where a gauge names no measure, or it has
    no value.
    """
    measures = [gauge["measure"] for gauge in scene["gauges"]]
    wanted = [m for m in dict.fromkeys(measures) if m in MEASURES]
    same = run is not None and run.spec.horizon == scene["horizon"]
    if run is not None and same and set(wanted) <= set(run.spec.measures):
        table = run.table()
        table = table[table["lesion"] == INTACT]
    else:
        table = _own_episodes(policy, scene, wanted)
    found = {}
    for condition in scene["conditions"]:
        rows = table[table["condition"] == condition]
        found[condition] = [_value(rows[m]) if m in wanted else None for m in measures]
    return found


def _value(values: pd.Series) -> dict[str, float] | None:
    values = values.dropna()
    if values.empty:
        return None
    return {"mean": float(values.mean()), "spread": float(values.std(ddof=0))}


def _own_episodes(
    policy: Policy, scene: Mapping[str, Any], measures: Sequence[str]
) -> pd.DataFrame:
    intact = Lesion(name=INTACT)
    jobs = [
        Episode(intact, start["seed"], name)
        for name, condition in scene["conditions"].items()
        for start in condition["starts"][:EPISODES]
    ]
    table = pd.DataFrame({"condition": [job.condition for job in jobs]})
    if not measures:
        return table
    taken = [MEASURES[m] for m in measures]
    signals = list(dict.fromkeys(s for m in taken for s in m.signals))
    trace = run_jobs(policy, signals, jobs)
    return table.assign(**evaluate(taken, trace))


def run_data(run: Map) -> dict[str, Any]:
    """The regions of a run with what their loss does, and its findings."""
    told, rows = labels(run), changes(run)
    telling = set(telling_rows(run)["measure"])
    rows = rows[rows["measure"].isin(telling)]
    # The page cuts units for everybody, so it has no connections.
    cuts = [x for x in in_first(run.plan) if x.size and x.group not in CONTROLS and not x.to]
    first = cuts[0] if cuts else Lesion(name=INTACT)
    return {
        "kinds": list(dict.fromkeys(x.kind for x in cuts)),
        "strength": first.strength,
        "episodes": run.spec.episodes,
        "seed": run.spec.seed,
        "regions": [
            {
                "name": x.name,
                "label": told[x.name],
                "group": x.group,
                "cut": {site: list(units) for site, units in x.cut.items() if units},
                "effects": _effects(rows[rows["lesion"] == x.name]),
            }
            for x in cuts
        ],
        "findings": [
            {"region": f.lesion, "text": f.text}
            for f in headlines(run)
            if f.lesion in {x.name for x in cuts}
        ],
    }


def _effects(rows: pd.DataFrame) -> list[dict[str, Any]]:
    rows = rows.sort_values("harm", key=np.abs, ascending=False, kind="stable")
    return [
        {
            "label": MEASURES[row["measure"]].label,
            "unit": MEASURES[row["measure"]].unit,
            "intact": _finite(row["intact"]),
            "lesioned": _finite(row["lesioned"]),
            "low": _finite(row["ci_low"]),
            "high": _finite(row["ci_high"]),
            "better": MEASURES[row["measure"]].better,
            "clear": bool(row["q"] < LEVEL),
        }
        for row in rows.head(MOST_EFFECTS).to_dict("records")
    ]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
