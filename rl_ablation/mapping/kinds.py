"""What a cut does whichever way it is made: one row out of those of its kinds.

What a cut unit is replaced by decides part of what is seen. Zero is a value that a tanh or biased
unit may never take: the next layer then leaves the range that it is used to, and the robot may fail
for that reason alone. So a cut is made in several kinds on the same episodes, and a *claim* is what
holds under every kind *within* the network's range (see `rl_ablation.lesions.methods.Kind`), told
with the kind under which it is weakest. That is an intersection-union test (Berger 1982): the claim
is false if it is false under any kind, so its p is the largest of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from rl_ablation import stats
from rl_ablation.lesions.lesion import VARIANT, Plan
from rl_ablation.lesions.methods import KINDS
from rl_ablation.lesions.variants import variants
from rl_ablation.mapping.effects import CONTROLS
from rl_ablation.mapping.run import Run

DEFAULT = ("resample", "mean", "zero")
"""The first is that of the discovery, of random cuts, and of films."""

HOLDS, ONLY_FAR, DISAGREE, NOTHING = "every kind", "only beyond", "some kinds", ""

ADDED = {
    "holds": f"{HOLDS}: under all kinds of cut within the network's range, with one sign; "
    f"{ONLY_FAR}: only under kinds that leave it, such as zero; {DISAGREE}: under some within it",
    "first": "delta under the first kind, that of the random cuts",
    "most": "largest |delta| under any kind with q below 5 % by itself; 0 where there is none",
}
_OF_FIRST = ("delta_discovery", "random", "draws", "p_random")
_KEY = ["lesion", "condition", "measure"]


def in_kinds(plan: Plan, kinds: Sequence[str] | None = None, strength: float | None = None) -> Plan:
    """The cuts of a plan in several kinds; see `variants`.

    Without kinds or a strength, cuts that were given another kind than zero keep it, and all others
    are made in the ``DEFAULT`` ones.
    """
    if kinds is not None or strength is not None:
        return variants(plan, kinds or ("zero",), strength)
    made = Plan()
    for lesion in plan:
        if lesion.size:
            own = Plan([lesion])
            made += variants(own, DEFAULT) if lesion.kind == "zero" else own
    return made


def in_first(cuts: Plan) -> Plan:
    """Cuts in several kinds in the first one only."""
    return Plan(x for x in cuts if VARIANT not in x.name)


def first_kind(run: Run) -> str:
    """The kind of a map's discovery and of its random cuts."""
    claims = (x.kind for x in run.plan if x.size and x.group not in CONTROLS)
    return next(claims, DEFAULT[0])


def bases(names: pd.Series) -> pd.Series:
    """The names of cuts without the mark of their kind."""
    return names.map(lambda name: name.partition(VARIANT)[0])


def weakest(effects: pd.DataFrame) -> pd.DataFrame:
    """One row for each cut × condition × measure of an effects table without controls.

    It is the row of the kind with the smallest change, among those within the network's range, or
    among all where none of those was run, under the cut's own name. ``p`` and ``p_fwe`` are the
    largest of these kinds, 1 where the signs differ or one of them gives no number; ``q`` is p
    after Benjamini & Hochberg 1995. What belongs to the discovery and to random cuts is that of the
    first kind. Further columns: see ``ADDED``.
    """
    far = ~effects["kind"].map(lambda kind: KINDS[kind].within).astype(bool)
    own = bases(effects["lesion"])
    rows = effects.assign(variant=effects["lesion"] != own, lesion=own)
    some = (~far).groupby(own).transform("any")
    taken, beyond = rows[~far | ~some], rows[far & some]
    first = rows[~rows["variant"]].set_index(_KEY)
    size = taken["delta"].abs().fillna(-1.0)
    order = np.lexsort((taken["variant"], size))
    found = taken.iloc[order].drop_duplicates(_KEY).set_index(_KEY).loc[first.index]
    several = len(rows) > len(first)
    clear = (taken["q"] < stats.LEVEL).groupby([taken[k] for k in _KEY]).any()
    if several:
        found[["p", "p_fwe"]] = _together(taken).loc[found.index]
        found["q"] = _corrected(found)
    for column in _OF_FIRST:
        if column in first:
            found[column] = first[column]
    found["first"] = first["delta"]
    holds = np.where(clear.loc[found.index], DISAGREE, NOTHING).astype(object)
    outside = (beyond["q"] < stats.LEVEL).groupby([beyond[k] for k in _KEY]).any()
    holds[(holds == NOTHING) & outside.reindex(found.index, fill_value=False)] = ONLY_FAR
    clear_rows = rows[rows["q"] < stats.LEVEL]
    most = clear_rows["delta"].abs().groupby([clear_rows[k] for k in _KEY]).max()
    found["most"] = most.reindex(found.index, fill_value=0.0)
    found["holds"] = np.where(found["q"] < stats.LEVEL, HOLDS, holds)
    columns = [*(c for c in effects.columns), *ADDED]
    return found.reset_index()[columns]


def only_beyond(effects: pd.DataFrame) -> pd.DataFrame:
    """The clear rows of kinds that leave the network's range where no claim holds, under the names
    of the cuts; what they show may be the shock to the next layer. No controls, as in `weakest`."""
    found = weakest(effects)
    cells = found.loc[found["holds"] == ONLY_FAR, _KEY]
    far = ~effects["kind"].map(lambda kind: KINDS[kind].within).astype(bool)
    rows = effects[far & (effects["q"] < stats.LEVEL)]
    return rows.assign(lesion=bases(rows["lesion"])).merge(cells, on=_KEY)


def _together(rows: pd.DataFrame) -> pd.DataFrame:
    """p and p_fwe of all kinds together: index cut, condition, measure."""
    grouped = rows.assign(sign=np.sign(rows["delta"])).groupby(_KEY, sort=False)
    worst = grouped[["p", "p_fwe"]].max()
    there = grouped["delta"].count()
    one = (grouped["sign"].min() == grouped["sign"].max()) & (there == grouped.size())
    return worst.where(one, 1.0).where(there > 0)


def _corrected(found: pd.DataFrame) -> pd.Series:
    """q of claims in the family of their condition; where there was a confirmation, only what it
    holds is tested and the rest keeps its 1."""
    q = found["q"].copy()
    stage = found["stage"] if "stage" in found else pd.Series("", index=found.index)
    tested = (stage == "confirmed") if (stage == "confirmed").any() else (stage == stage)
    for _, part in found[tested].groupby(level="condition", sort=False):
        numbers = part[["delta", "lesioned", "intact", "p"]].reset_index("measure")
        # Cuts with identical differences are one test; equal means and p tell them.
        same = numbers.groupby(list(numbers), sort=False, dropna=False).ngroup().to_numpy()
        q[part.index] = stats.benjamini_hochberg(part["p"].to_numpy(np.float64), same)
    return q
