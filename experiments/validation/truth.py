"""Does the lab find what is there, and nothing else, in policies whose wiring is known?

**Protocol.** Lap robots with planted pathways (`planted_policies`) drive the real physics. Each is
mapped blind: the lab is given the policy and nothing about it, and cuts every unit and its own
activity clusters (6 in each layer) by `lesion_map` with 12 episodes of discovery
and 24 of confirmation. The truth is measured, not hoped for: every unit that is wired to matter is
cut on 96 fresh episodes more. Episodes last 5 s and 7 behaviours are taken, to
keep 30 policies within 13 million control steps; random control cuts and the adaptive map, which
cost most, are made for every tenth policy.

**Definitions.** A *cell* is one single-unit cut × one behaviour over all conditions.

* A *claim* is a confirmed cell with q < 5 %. It is right if the true change is not zero and has
  the claimed direction. The true change of decoys, dead units and the brake is zero by wiring.
* *Recall* is the share of cells with a true standardised effect of 1 or more that are claimed, in
  the right direction.
* *Coverage* is the share of confirmed cells of units that matter and with an interval (there is
  none where all differences are equal) whose interval holds the true change. The truth is itself
  a mean, over N pairs against the map's n, so the interval is first stretched about its delta by
  √(1 + n/N), as for a prediction.
* *Null maps* compare the intact robot with itself on other episodes of the same conditions, 10
  "lesions" a map, through the same effects code: every rejection is a false one.
* *Twins* count as found if the strongest redundancy among pairs of clusters (`interactions`,
  q < 5 %) is between a cluster of one twin and one of the other, decoys in them aside.
* A *double dissociation* counts as found if `double_dissociations` names a cut of left-steering
  and one of right-steering units, nothing else that matters in either.
* The *adaptive* map stands beside a fixed one with the same limits (24 episodes in each stage).
  They decide alike where both claim a cell or neither does; the cells that count are those with a
  clear answer, a true effect of 0 or of 1 s.d. and more, since on others two fixed maps with
  other seeds differ too (the share over all cells is given, and not judged). The cost is the ratio
  of the control steps of both stages.

Intervals of shares of cells are from a bootstrap of policies, since the cells of one policy
are not independent; those of shares of policies or maps are Wilson's. A false-positive rate
passes while its interval reaches down to 5 %, everything else by its point estimate.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy import stats

from experiments.studies.registry import DOCS, shrink
from experiments.validation.maps import CELLS, FACTS, Size, keep, score_policy, scored
from experiments.validation.policies import TWINS, ZERO
from rl_ablation.cluster import scattered
from rl_ablation.files import write_atomically
from rl_ablation.formats import Estimate
from rl_ablation.progress import bar
from rl_ablation.reports import style
from rl_ablation.rollouts.world import cpus

FULL = Size()


def validate(
    policies: int, folder: Path, seed: int = 0, size: Size = FULL, scheduler: str | None = None
) -> pd.DataFrame:
    """Map so many planted policies blind and score the maps; goes on where it was stopped.

    The folder gets one for each policy, and the results: ``validation.csv``, ``.png``. Every worker
    of the scheduler maps one policy at a time, on one thread; None takes a process a CPU of this
    machine.

    Returns:
        A row for each aim: ``aim``, ``measured``, its 95 % interval ``low``–``high`` (NaN if it
        is no share), ``of`` what and how many, ``least`` and ``most`` wanted, ``passed``.

    Raises:
        LabError: The folder holds results of another size or seed.
    """
    folders = [folder / f"policy-{index:03d}" for index in range(policies)]
    todo = [k for k, inside in enumerate(folders) if not scored(inside, k, seed, size)]
    with bar("planted policies", len(todo), "policies") as advance:
        workers = min(len(todo), cpus()) or 1
        for index, files in scattered(
            score_policy, (seed, size), todo, scheduler or f"local:{workers}"
        ):
            keep(files, folders[index])
            advance(1)
    facts = [json.loads((inside / FACTS).read_text()) for inside in folders]
    cells = [pd.read_csv(x / CELLS).assign(policy=index) for index, x in enumerate(folders)]
    table = judge(facts, pd.concat(cells, ignore_index=True))
    write_atomically(folder / "validation.csv", table.to_csv(index=False))
    figure(table).savefig(folder / "validation.png")
    return table


def judge(facts: Sequence[dict[str, Any]], cells: pd.DataFrame) -> pd.DataFrame:
    """The table of aims from the facts and the cells (with a column ``policy``) of all policies."""
    null = {k: sum(f["null"][k] for f in facts) for k in ("maps", "p_fwe", "q")}
    nothing = cells[cells["role"].isin(ZERO)]
    twice = [f["adaptive"] for f in facts if "adaptive" in f]
    alone = [all(abs(f["speed_without"][t]) < 0.1 * abs(f["speed_without"]["+".join(TWINS)])
                 for t in TWINS) for f in facts]  # fmt: skip
    total = {k: sum(a[k] for a in twice) for k in twice[0]} if twice else {}
    clear = total.get("clear_alike", 0), total.get("clear", 0), "cells"
    every = total.get("alike", 0), total.get("cells", 0), "cells"
    spent = total.get("adaptive_steps", np.nan) / total.get("fixed_steps", np.nan)

    def found(what: str) -> tuple[float, float, float, str]:
        return _share(sum(f[what] for f in facts), len(facts), "policies")

    fwe, bh = (_share(null[k], null["maps"], "null maps") for k in ("p_fwe", "q"))
    rows = [
        ("false positives, family-wise", *fwe, 0, 0.05),
        ("false positives, BH", *bh, 0, 0.05),
        (
            "cuts that cannot matter, changed",
            *_cells(nothing, nothing["delta"].fillna(0) != 0),
            0,
            0,
        ),
        ("precision of claims", *_cells(cells[cells["claimed"]], cells["right"]), 0.95, 1),
        ("recall of effects ≥ 1 s.d.", *_cells(cells[cells["real"]], cells["right"]), 0.9, 1),
        ("coverage of 95 % intervals", *_cells(cells[cells["judged"]], cells["held"]), 0.93, 0.97),
        ("truth: either twin is dispensable", *_share(sum(alone), len(facts), "policies"), 1, 1),
        ("twins found", *found("twins"), 0.9, 1),
        ("double dissociation found", *found("dissociated"), 0.9, 1),
        ("adaptive: clear cells decided alike", *_share(*clear), 0.95, 1),
        ("adaptive: all cells decided alike", *_share(*every), 0, 1),
        ("adaptive: control steps", spent, np.nan, np.nan, f"{len(twice)} maps", 0, 1 / 3),
    ]
    columns = ["aim", "measured", "low", "high", "of", "least", "most"]
    table = pd.DataFrame(rows, columns=columns)
    value = table["low"].where(table["aim"].str.startswith("false positives"), table["measured"])
    table["passed"] = value.between(table["least"] - 1e-12, table["most"] + 1e-12)
    return table


def wilson(hits: int, of: int) -> tuple[float, float, float]:
    """A share and its 95 % interval (Wilson 1927); NaN of nothing."""
    if not of:
        return np.nan, np.nan, np.nan
    interval = stats.binomtest(hits, of).proportion_ci(method="wilson")
    return hits / of, float(interval.low), float(interval.high)


def _share(hits: int, of: int, what: str) -> tuple[float, float, float, str]:
    return *wilson(hits, of), f"{of} {what}"


def _cells(cells: pd.DataFrame, hits: pd.Series) -> tuple[float, float, float, str]:
    """Share of cells that hit, its 95 % percentile interval over resampled policies, how many."""
    if cells.empty:
        return _share(0, 0, "cells")
    grouped = hits.loc[cells.index].groupby(cells["policy"])
    hit, count = grouped.sum().to_numpy(float), grouped.count().to_numpy(float)
    drawn = np.random.default_rng(0).integers(len(hit), size=(2000, len(hit)))
    shares = hit[drawn].sum(1) / count[drawn].sum(1)
    low, high = np.percentile(shares, [2.5, 97.5])
    return hit.sum() / count.sum(), float(low), float(high), f"{len(cells)} cells"


@style.styled
def figure(table: pd.DataFrame) -> Figure:
    """A panel for each aim: what was measured, its interval, and the band that was wanted."""
    down = -(-len(table) // 3)
    page = style.page(12, 1.6 * down)
    panels = page.subplots(down, 3, squeeze=False).ravel()
    for panel in panels[len(table) :]:
        panel.set_axis_off()
    for panel, row in zip(panels, table.to_dict("records"), strict=False):
        panel.axvspan(row["least"], row["most"], color="#999999", alpha=0.35, lw=0)
        if row["least"] == row["most"]:
            panel.axvline(row["least"], color="#999999", lw=4, alpha=0.6)
        colour, marker = (style.PURPLE, "o") if row["passed"] else (style.ORANGE, "X")
        style.estimate(panel, 0, Estimate.of(row, "measured"), colour, marker)
        ends = [row[k] for k in ("measured", "low", "high", "least", "most") if row[k] == row[k]]
        margin = max(0.02, 0.15 * (max(ends) - min(ends)))
        panel.set_xlim(min(ends) - margin, max(ends) + margin)
        panel.set_yticks([])
        panel.spines["left"].set_visible(False)
        panel.set_title(f"{row['aim']}\n{row['measured']:.1%} ({row['of']})", loc="center")
        panel.xaxis.set_major_locator(MaxNLocator(4))
        panel.xaxis.set_major_formatter(PercentFormatter(1.0))
    page.supxlabel("grey: wanted; line: 95 % interval; purple dot: passed; orange cross: missed")
    return page


def lines(table: pd.DataFrame) -> str:
    """The table as it is printed."""
    shown = [f"{'aim':<36} {'measured':>8}  {'95 % interval':<15} {'wanted':<12} of"]
    for row in table.to_dict("records"):
        interval = f"{row['low']:.3f}–{row['high']:.3f}" if row["low"] == row["low"] else ""
        least, most = row["least"], row["most"]
        wanted = f"{least:.3g}–{most:.3g}" if least < most else f"{least:.3g}"
        start = f"{row['aim']:<36} {row['measured']:>8.3f}  {interval:<15} {wanted:<12} "
        shown.append(f"{start}{row['of']:<14} {'PASS' if row['passed'] else 'FAIL'}")
    return "\n".join(shown)


def main(
    policies: int = 30, folder: Path = Path("runs/planted-truth"), seed: int = 0,
    scheduler: str | None = None, docs: bool = False,
) -> int:  # fmt: skip
    """Map planted policies blind and print what the lab found against what is there.

    Args:
        policies: Planted policies.
        folder: Results; goes on there if run again.
        seed: Of everything.
        scheduler: Have the workers of a dask scheduler do it: tcp://HOST:8786, or local:N for N
            processes of this machine; by default one for each of its CPUs.
        docs: Also copy the figure into docs/figures.
    """
    table = validate(policies, folder, seed, scheduler=scheduler)
    if docs:
        shrink(folder / "validation.png", DOCS / "figures" / "validation.png")
    print(f"\n{lines(table)}\n\ntable and figure: {folder}")
    return 0 if table["passed"].all() else 1
