"""What does a region's code evoke: is what a behaviour needs also enough for it?

A cut tells whether a behaviour needs a region. Here the region's code of one behaviour is put in
while the robot does another (patching: Vig et al. 2020, Geiger et al. 2021, in networks of
language), and a direction of the code is stimulated and held in doses.

Protocol, on the zoo's lap robot (the code of left bends put in in right bends) and quadruped (that
of "forward" while the command is "stand"):

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
   directions along which the activity varies as much.
4. Untrained networks of the same shapes, asked the same.

Expected picture, if codes are local: single clusters far to the right in both columns. If they are
spread out: only layers and the direction across all units evoke the behaviour. What others do too
evokes without being needed. About 8 minutes on 2 quiet cores; ``rl-ablation study
stimulation``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

import rl_ablation as rl
from agents.recipes import RECIPES
from agents.train import untrained
from agents.zoo import find_agent
from experiments.studies.registry import Answer
from experiments.studies.stimulation.figures import doses, regions
from experiments.studies.stimulation.subject import Size, Subject, ask, has_way
from experiments.studies.stimulation.words import tell, tell_untrained
from rl_ablation.analysis.sufficiency import YES

LAP = Subject(
    "lap robot", "lap", "bend > 0.3", "bend < -0.3", ("left bends", "right bends"),
    ("yaw_rate",), "yaw rate, rad/s",
    conditions=("bends/ccw", "bends/cw", "random/ccw", "random/cw"),
)  # fmt: skip
QUADRUPED = Subject(
    "quadruped", "quadruped", "forward", "stand", ("forward", "stand"),
    ("forward_speed",), "forward speed, m/s",
    onset=50, seconds=2.0, horizon=160,
)  # fmt: skip
FULL = {"lap": Size(48, draws=40, directions=40), "quadruped": Size(24, draws=20, directions=20)}
QUICK = Size(8, draws=2, directions=2)
UNTRAINED = 3
"""Networks of each shape."""


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Ask each robot, and untrained networks of its shape."""
    found, naive = [], []
    for subject in (LAP, QUADRUPED):
        agent = find_agent(subject.agent)
        size = QUICK if quick else FULL[subject.agent]
        some = replace(subject, k=2) if quick else subject
        found.append(ask(some, agent, size, seed))
        naive.append(_untrained(some, agent, 1 if quick else UNTRAINED, size, seed))
    text = [tell(one) for one in found] + [tell_untrained(naive, found)]
    tables: dict[str, pd.DataFrame] = {}
    for one in found:
        for name in ("both", "evoked", "alike", "lost", "curves", "trends"):
            tables[f"{one.subject.agent}_{name}"] = getattr(one, name)
    tables["untrained"] = pd.concat(naive, ignore_index=True)
    figures = {"regions": regions(found), "doses": doses(found)}
    return Answer("\n\n".join(text), figures, tables)


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
        naive = untrained(RECIPES[subject.agent], k, agent)
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
