"""Do units that are active together also do the same job, and do weights show which ones matter?

Protocol: two claims of the RWTH group, same class of protocol, not a replication (theirs were
image classifiers). Meyes et al. 2020 ("Under the Hood of Neural Networks"): units can be grouped by
their activity, or by what their loss changes; how far do the two divisions agree? Meyes et al. 2019
("Ablation Studies in Artificial Neural Networks"): a unit's importance can be read from weight
structure alone; is it so? Twelve lap robots and a cheetah; every hidden unit cut by itself, 12
paired episodes of 15 s (cheetah: 8 of 12.5 s). Units are held at their means: single units change
little, and a draw at each step would drown that. Three of the lap robots are cut to zero too, the
published protocol. Divisions into 4 groups a layer (3 and 6 in the table), adjusted Rand index,
against shuffled labels and against each division's agreement with itself. Eight rules of
importance; the rule is chosen on the first robot and judged on the others, which it has not seen,
by rank correlation with the measured effect (root mean square over behaviours, each in units of its
spread over the layer) within each layer. What is said of lap robots is the mean over networks with
Student's interval, p from sign flips, q over layers and robots, and the smallest mean that could
have been found; an index or a correlation of less than 0.1 would not matter.

Expected picture, if they are right: dots near the grey ticks that mark what could be reached, and
purple rows among the rules that read weights alone.

About 5 minutes on 2 quiet cores, after 12 trainings, once; ``rl-ablation study populations``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

import rl_ablation as rl
from agents.recipes import RECIPES
from agents.zoo import find_agent
from experiments.studies.populations.figures import draw
from experiments.studies.populations.words import tell_divisions, tell_rules
from experiments.studies.registry import DRIVING, Answer, all_trained
from rl_ablation.analysis.populations import agreement, effect_vectors, importance_of
from rl_ablation.analysis.weights import RULES, importance
from rl_ablation.rollouts.world import conditions_of
from rl_ablation.stats import benjamini_hochberg, rank_correlation

LAP = (*DRIVING, "jerkiness")
K, OTHER_K = 4, (3, 6)
KIND, PUBLISHED = "mean", "zero"
ALONE = [name for name in RULES if "activity" not in name]


@dataclass(frozen=True)
class Subject:
    """A network, what it is measured on, how long, and how its units are cut."""

    robot: str
    training: int
    agent: rl.Policy
    measures: tuple[str, ...]
    episodes: int
    horizon: int
    kind: str = KIND

    @property
    def name(self) -> str:
        """Of the network; cuts that are not the main kind are named."""
        return f"{self.robot} {self.training}" + (f" {self.kind}" if self.kind != KIND else "")


def subjects(quick: bool, networks: int = 12, published: int = 3) -> list[Subject]:
    """The first is the one that rules are chosen on."""
    if quick:
        return [Subject("lap", 0, find_agent("lap"), LAP[:3], 6, 120)]
    trained = all_trained([(RECIPES["lap"], k) for k in range(networks)])
    lap = [Subject("lap", k, agent, LAP, 12, 300) for k, agent in enumerate(trained)]
    running = ("forward_speed", "height", "power", "jerkiness")
    cheetah = Subject("cheetah", 0, find_agent("cheetah"), running, 8, 250)
    return [*lap, cheetah, *(replace(one, kind=PUBLISHED) for one in lap[:published])]


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Cut every unit of every network, compare the divisions and the rules."""
    ks = (K,) if quick else (K, *OTHER_K)
    found = [examine(subject, folder, seed, ks) for subject in subjects(quick)]
    pairs, rules = (pd.DataFrame(chain(*rows)) for rows in zip(*found, strict=True))
    rules = rules.assign(q=benjamini_hochberg(rules["p"].to_numpy()))
    pairs = pairs.assign(q=benjamini_hochberg(pairs["p"].to_numpy()))
    best, shown = choose_rule(rules), pairs[pairs["k"] == K]
    text = f"{tell_divisions(shown)}\n\n{tell_rules(rules, best)}"
    figures = {"populations": draw(shown, rules, best)}
    return Answer(text, figures, {"divisions": pairs, "rules": rules})


def examine(
    subject: Subject, folder: Path, seed: int, ks: tuple[int, ...]
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Rows for the divisions and for the rules of one network."""
    agent = subject.agent
    how: dict[str, Any] = {"seed": seed, "horizon": subject.horizon}
    activity = rl.record_activity(agent, conditions=conditions_of(agent) or ("",), **how)
    how |= {"activity": activity, "folder": folder / subject.name.replace(" ", "-")}
    measures = subject.measures
    alone = rl.singles(agent).with_kind(subject.kind)
    run = rl.sweep(agent, alone, episodes=subject.episodes, measures=measures, **how)
    table, read = run.table(), importance(agent, activity)
    divisions, ranks = [], []
    for site in agent.network.sizes:
        where: dict[str, object] = {
            "network": subject.name,
            "robot": subject.robot,
            "kind": subject.kind,
        }
        where |= {"site": site}
        divisions += [where | agreement(table, activity, site, measures, k, seed) for k in ks]
        vectors = effect_vectors(table, site, measures)
        effect, half, other = map(importance_of, (vectors, vectors[0::2], vectors[1::2]))
        reached = rank_correlation(half, other, seed)[0]
        for rule in RULES:
            values = read[read["site"] == site][rule].to_numpy()
            rho = rank_correlation(values, effect, seed)
            found = dict(zip(("rho", "low", "high", "p"), rho, strict=True))
            found |= {"units": len(values), "effect_self": reached}
            ranks.append({**where, "rule": rule, **found})
    return divisions, ranks


def choose_rule(rules: pd.DataFrame) -> str:
    """The rule of weights alone with the highest mean correlation in the first network."""
    first = rules[(rules["network"] == rules["network"].iloc[0]) & rules["rule"].isin(ALONE)]
    return str(first.groupby("rule", sort=False)["rho"].mean().idxmax())
