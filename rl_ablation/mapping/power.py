"""How many episodes does a map need? A pilot tells how much paired differences vary."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

import numpy as np
import pandas as pd

from rl_ablation import limits
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import INTACT, Plan
from rl_ablation.mapping.design import Aim, Execution, Fields, as_episodes, only, typed
from rl_ablation.mapping.evidence import differences
from rl_ablation.mapping.kinds import in_first, in_kinds
from rl_ablation.mapping.sweep import sweep
from rl_ablation.measures.registry import MEASURES
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.activity import Activity
from rl_ablation.rollouts.episodes import Episodes, episode_seed
from rl_ablation.stats import t_power

MOST = limits.EPISODES
"""More episodes than this are given as this."""

COLUMNS = {
    "measure": "behaviour",
    "unit": "of intact, wanted, spread_intact and spread",
    "intact": "mean of the intact robot in the pilot",
    "spread_intact": "its standard deviation between episodes",
    "wanted": "change to be found: effect × spread_intact",
    "spread": "standard deviation of the paired differences, upper quartile over the pilot's cuts",
    "episodes": "needed to find it with the wanted power after correction for all tests",
}


def episodes_needed(d: float, *, tests: int = 1, level: float = 0.05, power: float = 0.8) -> int:
    """Episodes for a two-sided paired test to find a mean difference of ``d`` standard deviations.

    Exact for normal differences (non-central t); sign flips need about as many, and never fewer
    than make a p as small as ``level / tests`` possible: n with 2^(1−n) ≤ level / tests. The level
    is a family-wise error rate; the tests are corrected for by Bonferroni: so many are enough for
    max-T and Benjamini–Hochberg, which are no stricter.

    Raises:
        LabError: A number is out of its range.
    """
    if not 0 < level < 1 or not 0 < power < 1 or tests < 1 or not d >= 0:
        raise LabError(
            "level and power lie between 0 and 1, tests is 1 or more and the effect not negative; "
            f"got {level}, {power}, {tests} and {d}"
        )
    least = int(np.ceil(1 - np.log2(level / tests)))
    if d == 0:
        return MOST
    counts = range(max(2, least), MOST)
    return counts[0] + bisect_left(
        counts, power, key=lambda n: t_power(d * np.sqrt(n), n - 1, level / tests)
    )


def plan_episodes(
    agent: Policy,
    plan: Plan,
    aim: Aim | None = None,
    episodes: Episodes | int = 6,
    execution: Execution | None = None,
    *,
    measures: Sequence[str] | None = None,
    activity: Activity | None = None,
    **given: Unpack[Fields],
) -> pd.DataFrame:
    """Say how many episodes a map needs to find changes of a wanted size, for each behaviour.

    A pilot runs some of the plan's cuts for a few episodes, in the first kind of a map, and takes
    the upper quartile of the standard deviations of their paired differences: cuts that change
    nothing vary little, and those of interest vary most. The episodes are the pilot's, at least one
    a condition; for the rest see `sweep`. Fields of `Aim`, `Episodes` and `Execution` may be given
    by name.

    Returns:
        A row a measure with the columns of ``COLUMNS``.
    """
    only(given, Aim, Episodes, Execution)
    aim, asked = typed(aim or Aim(), given), as_episodes(episodes, given)
    cuts = [x for x in plan if x.size]
    if not cuts:
        raise LabError("the plan has no cuts; name at least one group")
    some = [cuts[k] for k in np.linspace(0, len(cuts) - 1, min(aim.pilot, len(cuts))).astype(int)]
    # The pilot's episodes are none of the map's.
    asked = replace(asked, seed=episode_seed(asked.seed, 0, stream=3))
    execution = typed(execution or Execution(), given)
    pilot = in_first(in_kinds(Plan(some)))
    run = sweep(agent, pilot, asked, execution, measures=measures, activity=activity)
    table = run.table()
    intact = table[table["lesion"] == INTACT]
    tests = len(cuts) * len(run.measures)
    entries = []
    for name, changes in differences(table, run.spec.measures).items():
        spread = changes.std()
        spread = spread[spread > 0]
        usual = float(intact[name].std())
        wanted = aim.effect * usual
        varies = float(spread.quantile(0.75)) if len(spread) else 0.0
        d = wanted / varies if varies > 0 else (np.inf if wanted > 0 else 0.0)
        count = episodes_needed(min(d, 1e3), tests=tests, level=aim.level, power=aim.power)
        mean = float(intact[name].mean())
        entries.append((name, MEASURES[name].unit, mean, usual, wanted, varies, count))
    return pd.DataFrame(entries, columns=list(COLUMNS))


def needed(table: pd.DataFrame, share: float = 1.0) -> int:
    """Episodes that are enough for a share of the behaviours; those that never vary stay out."""
    rows = table[table["wanted"] > 0]
    return int(rows["episodes"].quantile(share, interpolation="higher")) if len(rows) else 2
