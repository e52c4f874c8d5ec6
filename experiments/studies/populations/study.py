"""Do units that are active together also do the same job, and do weights show which ones matter?

Protocol: two claims of the RWTH group, same class of protocol, not a replication (theirs were
image classifiers). Meyes et al. 2020 ("Under the Hood of Neural Networks"): units can be grouped by
their activity, or by what their loss changes; how far do the two divisions agree? Meyes et al. 2019
("Ablation Studies in Artificial Neural Networks"): a unit's importance can be read from weight
structure alone; is it so? Three lap robots and a cheetah; every hidden unit cut by itself (zero),
12 paired episodes (cheetah: 8 of 12.5 s). Divisions into 4 groups a layer (3 and 6 in the table),
adjusted Rand index, against shuffled labels and against each division's agreement with itself.
Eight rules of importance; the rule is chosen on the first robot and judged on the others, which it
has not seen, by rank correlation with the measured effect (root mean square over behaviours, each
in units of its spread over the layer) within each layer.

Expected picture, if they are right: dots near the grey ticks that mark what could be reached, and
purple rows among the rules that read weights alone.

About 3 minutes on 2 quiet cores, and 2 more where the trainings are not there yet;
``rl-ablation study populations``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agents.recipes import RECIPES
from agents.zoo import find_agent
from experiments.studies.registry import Answer, trained
from rl_ablation.analysis.populations import agreement, effect_vectors, importance_of
from rl_ablation.analysis.weights import RULES, importance
from rl_ablation.formats import number
from rl_ablation.groupings.units import singles
from rl_ablation.mapping.sweep import sweep
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.activity import record_activity
from rl_ablation.rollouts.world import World, card_env
from rl_ablation.stats import LEVEL, benjamini_hochberg, rank_correlation

LAP = (
    "forward_speed.alive", "left_turning.alive", "right_turning.alive", "off_centre.alive",
    "jerkiness",
)  # fmt: skip
K, OTHER_K = 4, (3, 6)
RELIABLE = 0.2
"""Divisions that agree with themselves by less cannot show agreement with others."""
ALONE = [name for name in RULES if "activity" not in name]


@dataclass(frozen=True)
class Subject:
    """A network, what it is measured on, and how long."""

    name: str
    agent: Policy
    measures: tuple[str, ...]
    episodes: int
    horizon: int | None = None


def subjects(quick: bool) -> list[Subject]:
    """The first is the one that rules are chosen on."""
    if quick:
        return [Subject("lap", find_agent("lap"), LAP[:3], 6, 120)]
    lap = [Subject(f"lap {k}", trained(RECIPES["lap"], k), LAP, 12) for k in range(3)]
    running = ("forward_speed", "height", "power", "jerkiness")
    return [*lap, Subject("cheetah", find_agent("cheetah"), running, 8, 250)]


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Cut every unit of every network, compare the divisions and the rules."""
    divisions, ranks = [], []
    for subject in subjects(quick):
        one, other = examine(subject, folder, seed, (K,) if quick else (K, *OTHER_K))
        divisions += one
        ranks += other
    pairs, rules = pd.DataFrame(divisions), pd.DataFrame(ranks)
    rules = rules.assign(q=benjamini_hochberg(rules["p"].to_numpy()))
    pairs = pairs.assign(q=benjamini_hochberg(pairs["p"].to_numpy()))
    best = choose_rule(rules)
    text = [tell_divisions(pairs[pairs["k"] == K]), *tell_rules(rules, best)]
    return Answer(
        "\n\n".join(text),
        {"populations": draw(pairs[pairs["k"] == K], rules, best)},
        {"divisions": pairs, "rules": rules},
    )


def examine(
    subject: Subject, folder: Path, seed: int, ks: tuple[int, ...]
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Rows for the divisions and for the rules of one network."""
    agent = subject.agent
    world = World(card_env(agent), 1, agent.card.env_kwargs)
    conditions = world.conditions or ("",)
    world.close()
    activity = record_activity(agent, conditions=conditions, seed=seed, horizon=subject.horizon)
    run = sweep(
        agent,
        singles(agent),
        episodes=subject.episodes,
        seed=seed,
        measures=subject.measures,
        horizon=subject.horizon,
        folder=folder / subject.name.replace(" ", "-"),
        activity=activity,
    )
    table, read = run.table(), importance(agent, activity)
    divisions: list[dict[str, object]] = []
    ranks: list[dict[str, object]] = []
    for site in agent.network.sizes:
        where = {"network": subject.name, "site": site}
        for k in ks:
            divisions.append(
                {**where, **agreement(table, activity, site, subject.measures, k, seed)}
            )
        vectors = effect_vectors(table, site, subject.measures)
        effect = importance_of(vectors)
        halves = importance_of(vectors[0::2]), importance_of(vectors[1::2])
        reached = rank_correlation(*halves, seed)[0]
        for rule in RULES:
            values = read[read["site"] == site][rule].to_numpy()
            rho, low, high, p = rank_correlation(values, effect, seed)
            ranks.append(
                {**where, "rule": rule, "rho": rho, "low": low, "high": high, "p": p,
                 "effect_self": reached}
            )  # fmt: skip
    return divisions, ranks


def choose_rule(rules: pd.DataFrame) -> str:
    """The rule of weights alone with the highest mean correlation in the first network."""
    first = rules[(rules["network"] == rules["network"].iloc[0]) & rules["rule"].isin(ALONE)]
    return str(first.groupby("rule", sort=False)["rho"].mean().idxmax())


def tell_divisions(pairs: pd.DataFrame) -> str:
    """How far active together and alike in effect are the same."""
    sure = pairs[pairs["q"] < LEVEL]
    lines = [
        f"- {row['network']}, {row['site']}: {number(row['ari'])} (95 % CI {number(row['low'])} to "
        f"{number(row['high'])}, chance up to {number(row['chance'])}, q = {row['q']:.3f}); with "
        f"themselves: by activity {number(row['activity_self'])}, by effect "
        f"{number(row['effect_self'])}"
        for row in pairs.to_dict("records")
    ]
    own = float(pairs["effect_self"].median())
    head = (
        f"**Active together, alike in effect?** The two divisions into {K} groups agree beyond "
        f"chance in {len(sure)} of {len(pairs)} layers; the adjusted Rand index is "
        f"{number(float(pairs['ari'].median()))} in the median, where 1 is the same division. "
        f"Divisions by effect from two halves of the episodes agree by {number(own)}"
        + (
            ": what single cuts change is too little, or too different from episode to episode, to "
            "divide units by, so here the question stays open."
            if own < RELIABLE
            else ", so no more than about that can be asked."
        )
    )
    return "\n".join([head, "", *lines])


def tell_rules(rules: pd.DataFrame, best: str) -> list[str]:
    """Whether weights show importance, on networks that the rule was not chosen on."""
    networks = list(dict.fromkeys(rules["network"]))
    own = rules[rules["rule"] == best]
    first = own[own["network"] == networks[0]]["rho"].mean()
    head = (
        f"**Importance from weights alone?** On {networks[0]} the best rule is {best} "
        f"({RULES[best]}), mean rank correlation with the measured effect {number(first)}."
    )
    held = own[own["network"] != networks[0]]
    if held.empty:
        return [f"{head} There is no other network to judge it on in this quick version."]
    told = [
        f"{row['network']} {row['site']} {number(row['rho'])} ({number(row['low'])} to "
        f"{number(row['high'])})"
        for row in held.to_dict("records")
    ]
    up = int(((held["rho"] > 0) & (held["q"] < LEVEL)).sum())
    rest = rules[(rules["network"] != networks[0]) & (rules["rule"] == "activity")]
    return [
        f"{head} On the networks it was not chosen on: {'; '.join(told)}. It is clearly positive "
        f"in {up} of {len(held)} layers, {number(held['rho'].mean())} in the mean; activity "
        f"without any weights has {number(rest['rho'].mean())} there. Measured effects from two "
        f"halves of the episodes correlate by {number(held['effect_self'].mean())}."
    ]


def draw(pairs: pd.DataFrame, rules: pd.DataFrame, best: str) -> Figure:
    """Left: agreement of the divisions in each layer; right: every rule in each layer."""
    figure = Figure(figsize=(11.5, 4.9), layout="constrained", dpi=150)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.25])
    _divisions(left, pairs)
    names = [f"{row.network} {row.site}" for row in pairs.itertuples()]
    wide = rules.assign(layer=rules["network"] + " " + rules["site"])
    grid = wide.pivot(index="rule", columns="layer", values="rho").loc[list(RULES), names]
    clear = wide.pivot(index="rule", columns="layer", values="q").loc[list(RULES), names]
    image = right.imshow(grid.to_numpy(), cmap="PuOr", vmin=-1, vmax=1, aspect="auto")
    for i, rule in enumerate(grid.index):
        for j, layer in enumerate(grid.columns):
            value = float(grid.loc[rule, layer])
            mark = "*" if clear.loc[rule, layer] < LEVEL else ""
            colour = "white" if abs(value) > 0.65 else "#222222"
            right.text(j, i, number(value) + mark, ha="center", va="center", size=8, color=colour)
    right.set_yticks(range(len(grid)), [f"→ {r}" if r == best else r for r in grid.index], size=9)
    right.set_xticks(range(len(names)), names, rotation=40, ha="right", size=8.5)
    right.tick_params(length=0)
    right.set_title(
        "Rank correlation of each rule with the measured effect\n"
        f"→ chosen on {pairs['network'].iloc[0]} among weights alone; * q < 5 %",
        fontsize=9.5, loc="left",
    )  # fmt: skip
    bar = figure.colorbar(image, ax=right, shrink=0.8, aspect=18, pad=0.01)
    bar.ax.tick_params(labelsize=8)
    return figure


def _divisions(axes: Axes, pairs: pd.DataFrame) -> None:
    for y, row in enumerate(pairs.to_dict("records")):
        sure = row["q"] < LEVEL
        axes.plot(row["chance"], y, "|", color="#b35806", ms=14, mew=2)
        axes.plot(row["effect_self"], y, "D", color="#888888", ms=6)
        axes.plot(row["activity_self"], y, "s", color="#bbbbbb", ms=6)
        axes.plot([row["low"], row["high"]], [y, y], color="#542788", lw=2)
        axes.plot(row["ari"], y, "o", color="#542788", mfc="#542788" if sure else "w", ms=7)
    for style, label, colour in (
        ("o", "the two kinds agree (filled: q < 5 %)", "#542788"),
        ("|", "95 % of shuffled labels", "#b35806"),
        ("D", "by effect, two halves", "#888888"),
        ("s", "by activity, two halves", "#bbbbbb"),
    ):
        axes.plot(np.nan, np.nan, style, color=colour, label=label, mew=2 if style == "|" else 1)
    axes.set_yticks(range(len(pairs)), pairs["network"] + " " + pairs["site"], fontsize=9)
    axes.set_ylim(len(pairs) + 1.2, -0.6)
    axes.set_xlim(-0.15, 1.05)
    axes.axvline(0, color="#444444", lw=0.8)
    axes.grid(axis="x", color="#e4e4e4", lw=0.6)
    axes.set_xlabel("adjusted Rand index (1: the same division)", fontsize=9)
    axes.legend(fontsize=8, loc="lower right", frameon=False)
    axes.set_title("Units active together against units alike in effect", fontsize=9.5, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
