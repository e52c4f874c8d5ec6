"""What does a region's code evoke: is what a behaviour needs also enough for it?

A cut tells whether a behaviour needs a region. Here the region's code of one behaviour is put in
while the robot does another (patching: Vig et al. 2020, Geiger et al. 2021, in networks of
language), and a direction of the code is stimulated and held in doses.

Protocol, on the zoo's lap robot (the code of left bends put in in right bends) and quadruped (that
of "forward" while the command is "stand"), and as the quadruped on the published policy of the Go1
where it is in ``runs/robots`` (see `real-robots`):

1. Patches: each layer, functional cluster, and the direction between the mean codes of both
   conditions gets its joint values of another moment of the source (resample) or their mean. What
   is evoked is told on a scale from 0, as intact in the target's condition, to 1, as intact in the
   source's, measured from the first step with the patch on, over a short time. Controls: the same
   region with values of other moments of the target itself, with those of any moments, and random
   units of the same number with the source's values. A claim goes one way from the intact robot and
   from both controls, under both kinds.
2. Cuts: the same regions lose their code in the source's condition (resample and mean of all
   moments); what is lost is told on the same scale. Every region is run on the same fresh episodes,
   none is selected before, and q is after Benjamini & Hochberg over each table.
3. Doses: the direction between the mean codes is added to (stimulate) and held (clamp) in steps of
   the coordinate's standard deviation. Trend: Spearman's ρ of dose and response within episodes,
   averaged, by sign flips over episodes (it orders like Page's L, Page 1963). Against random
   directions along which the activity varies as much, where there are any.
4. Untrained networks of the shapes of the first two, asked the same.

Expected picture, if codes are local: single clusters far to the right in both columns. If they are
spread out: only layers and the direction across all units evoke the behaviour. What others do too
evokes without being needed. About 8 minutes on 2 quiet cores, and longer with the
Go1; ``rl-ablation study stimulation``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

import rl_ablation as rl
from agents.recipes import RECIPES
from agents.train import untrained
from agents.zoo import find_agent
from experiments.studies.real_robots.study import PUBLISHED
from experiments.studies.registry import Answer
from experiments.studies.stimulation.figures import doses, regions
from experiments.studies.stimulation.subject import Size, Subject, ask, has_way
from experiments.studies.stimulation.words import tell, tell_untrained
from rl_ablation.analysis.sufficiency import YES

LAP = Subject(
    "lap robot", lambda: find_agent("lap"), "bend > 0.3", "bend < -0.3",
    ("left bends", "right bends"), ("yaw_rate",), "yaw rate, rad/s", "lap",
    conditions=("bends/ccw", "bends/cw", "random/ccw", "random/cw"),
)  # fmt: skip
QUADRUPED = Subject(
    "quadruped", lambda: find_agent("quadruped"), "forward", "stand", ("forward", "stand"),
    ("forward_speed",), "forward speed, m/s", "quadruped",
    onset=50, seconds=2.0, horizon=160,
)  # fmt: skip
GO1 = replace(QUADRUPED, name="Go1", find=PUBLISHED["Go1"].find, recipe="")
FULL = {
    "lap": (LAP, Size(48, draws=40, directions=40)),
    "quadruped": (QUADRUPED, Size(24, draws=20, directions=20)),
    "Go1": (GO1, Size(16, draws=20, directions=20)),
}
QUICK = Size(8, draws=2, directions=2)
UNTRAINED = 3
"""Networks of each shape."""


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Ask each robot, and untrained networks of its shape."""
    found, naive = {}, {}
    for name, (whole, full) in subjects(quick).items():
        subject, size = (replace(whole, k=2), QUICK) if quick else (whole, full)
        agent = subject.find()
        found[name] = ask(subject, agent, size, seed)
        if subject.recipe:
            naive[name] = _untrained(subject, agent, 1 if quick else UNTRAINED, size, seed)
    told = {name: (naive[name], found[name]) for name in naive}
    text = [tell(one) for one in found.values()] + [tell_untrained(told.values())]
    tables: dict[str, pd.DataFrame] = {}
    for name, one in found.items():
        for table in ("both", "evoked", "alike", "lost", "curves", "trends"):
            tables[f"{name}_{table}"] = getattr(one, table)
    tables["untrained"] = pd.concat(naive.values(), ignore_index=True)
    every = list(found.values())
    return Answer("\n\n".join(text), {"regions": regions(every), "doses": doses(every)}, tables)


def subjects(quick: bool) -> dict[str, tuple[Subject, Size]]:
    """Name → robot and how much of it; the published one if its file is there."""
    there = not quick and PUBLISHED["Go1"].there
    return {name: one for name, one in FULL.items() if there or name != "Go1"}


def _untrained(
    subject: Subject, agent: rl.Policy, networks: int, size: Size, seed: int
) -> pd.DataFrame:
    """What the same patches evoke in networks that a training starts from: a row for each network.

    Columns ``robot``, ``network``; ``way``, how far source and target are apart in the first
    signal, NaN where that is not clear; ``asked`` and ``claimed``, regions that were patched and
    that evoke, of them ``clusters`` and ``claimed_clusters``; ``why`` a network was not asked.
    """
    rows = []
    for k in range(networks):
        naive = untrained(RECIPES[subject.recipe], k, agent)
        row = {"robot": subject.name, "network": k, "way": float("nan"), "asked": 0, "claimed": 0,
               "clusters": 0, "claimed_clusters": 0, "why": ""}  # fmt: skip
        try:
            if has_way(subject, naive, size, seed):
                one = ask(subject, naive, replace(size, draws=0, directions=0), seed)
                both = one.both[one.both["signal"] == subject.signals[0]]
                yes, cluster = both["sufficient"] == YES, both["region"].str.contains("cluster")
                row |= {"way": one.ends[1] - one.ends[0], "asked": len(both),
                        "claimed": int(yes.sum()), "clusters": int(cluster.sum()),
                        "claimed_clusters": int((yes & cluster).sum())}  # fmt: skip
        except rl.LabError as error:
            row["why"] = str(error)
        rows.append(row)
    return pd.DataFrame(rows)
