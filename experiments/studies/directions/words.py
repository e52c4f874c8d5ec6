"""What the maps of directions say, in sentences made from the numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

import rl_ablation as rl
from experiments.studies.directions.again import MEASURE, SIGNAL
from rl_ablation.formats import listed
from rl_ablation.groupings.directions import LEAST_R2
from rl_ablation.lesions.lesion import VARIANT
from rl_ablation.mapping.claims import changes
from rl_ablation.mapping.evidence import REPORTED_EFFECT
from rl_ablation.reports.words import change
from rl_ablation.stats import LEVEL

KINDS = {
    "components": "principal components",
    "readouts": "read-outs",
    "features": "autoencoder features",
}
TOLD = 3  # directions told of each robot


def harmful(run: rl.Map) -> pd.DataFrame:
    """The claims of clear harm to a behaviour for which more or less is better, by direction."""
    rows = changes(run)
    rows = rows[rows["group"].isin(list(KINDS))]
    sides = rows["measure"].map(lambda m: rl.MEASURES[m].better != 0)
    clear = (rows["stage"] == "confirmed") & (rows["q"] < LEVEL)
    return rows[sides & clear & (rows["harm"] < -REPORTED_EFFECT)]


def beyond(rows: pd.DataFrame) -> pd.DataFrame:
    """Those that no random directions of as much variance explain."""
    return rows[rows["p_random"] < LEVEL]


def tell_robots(runs: Mapping[str, rl.Map]) -> str:
    """How many directions matter in each robot, and how many beyond chance."""
    lines = []
    for name, run in runs.items():
        total = sum(x.group in KINDS for x in run.plan)
        rows = harmful(run)
        hurt, sure = rows["lesion"].nunique(), beyond(rows)["lesion"].nunique()
        held = rows.dropna(subset="p_random")["lesion"].nunique()
        lines.append(
            f"- **{name}**: {hurt} of {total} directions are clearly needed for some behaviour; "
            f"{held} of them could be held against random directions of as much variance, and "
            f"{sure} do more harm than these."
        )
    return "\n".join(lines)


def tell_map(run: rl.Map) -> str:
    """What each sort of directions does, and the largest harms beyond chance."""
    rows, lines = harmful(run), []
    for group, words in KINDS.items():
        cut = [x.name for x in run.plan if x.group == group]
        mine = rows[rows["lesion"].isin(cut)]
        lines.append(
            f"- Of {len(cut)} {words} {mine['lesion'].nunique()} do clear harm, "
            f"{beyond(mine)['lesion'].nunique()} beyond random directions."
        )
    held, further = rows["p_random"].notna().sum(), len(beyond(rows))
    lines.append(
        f"- Of {held} harms (direction × behaviour) that could be held against random directions "
        f"of as much variance, {further} go further (p < 5 %, each by itself); were all directions "
        f"random ones, up to {LEVEL * held:.1f} would."
    )
    sure = beyond(rows).sort_values("harm").drop_duplicates("lesion").head(TOLD)
    if sure.empty:
        draws = rows["draws"].min() if rows["draws"].notna().any() else 0
        lines.append(
            "- No direction does more harm to any behaviour than random directions of as much "
            f"variance in its layer do; with {draws:.0f} of them at least p = "
            f"{min(1.0, 2 / (1 + draws)):.2g} could have been shown."
        )
    for row in sure.to_dict("records"):
        where = run.plan[row["lesion"]]
        lines.append(
            f"- Without **{row['lesion']}** ({where.extent}): {change(row)}; more than "
            f"{row['draws']:.0f} random directions of as much variance (p = "
            f"{row['p_random']:.2g}, not corrected for how many directions were tried)."
        )
    return "\n".join(lines)


def tell_phase(run: rl.Map, among: pd.DataFrame) -> str:
    """What the loss of the directions of the phase of the gait does, in each layer.

    ``among`` is of `among_heard`.
    """
    rows, parts = harmful(run), []
    for lesion in (x for x in run.plan if x.group == "readouts" and VARIANT not in x.name):
        mine = rows[rows["lesion"] == lesion.name].sort_values("harm", kind="stable")
        text = f"- Without {lesion.name} ({lesion.extent}) no behaviour is clearly worse"
        if len(mine):
            text = (
                f"- Behaviours that are clearly worse without {lesion.name} ({lesion.extent}): "
                f"{len(mine)}; most of all {change(mine.iloc[0])}"
            )
            held = mine.dropna(subset="p_random")
            near = among[(among["lesion"] == lesion.name) & (among["draws"] > 0)]
            for some, of in ((held, "of as much variance"), (near, "of what is heard there")):
                if len(some):
                    text += (
                        f"; {len(beyond(some))} of {len(some)} go further than without "
                        f"{some['draws'].max():.0f} random directions {of}"
                    )
        parts.append(f"{text}.")
    told = "Where in its stride the robot is, read apart from the other signals:"
    return "\n".join([told, "", *parts]) if parts else f"{told} from no layer."


def tell_heard(heard: Mapping[str, tuple[int, int]], among: pd.DataFrame) -> str:
    """To how many directions of each layer the actions listen, and what that means here.

    ``among`` is of `among_heard`.
    """
    parts = [f"{n} of {units} directions of {site}" for site, (n, units) in heard.items()]
    few = [site for site, (n, units) in heard.items() if 4 * n < units]
    text = f"The actions listen to {listed(parts)}."
    if few:
        text += (
            f" Where these are few ({listed(few)}), a read-out is one of them and a random "
            "direction hardly is: that its loss does more says above all that it is heard."
        )
    for layer, rows in among.groupby(among["lesion"].str.split("/").str[0]):
        held = rows[rows["draws"] > 0]
        text += (
            f" Of {rows['lesion'].nunique()} read-outs of {layer} that do harm, "
            f"{held['lesion'].nunique()} can be held against random directions of what is heard "
            "there, with as much of its variance"
        )
        if len(held):
            further = held[held["p_random"] < LEVEL].to_dict("records")
            told = [f"{x['lesion'].partition('/')[2]} ({x['measure'].replace('_', ' ')}, "
                    f"p = {x['p_random']:.2g})" for x in further]  # fmt: skip
            text += (
                f": of their {len(held)} harms {len(further)} go further (p < 5 % each; by chance "
                f"up to {LEVEL * len(held):.1f})" + (f": {listed(told)}" if told else "")
            )
        text += "."
    return text


def tell_again(told: pd.DataFrame) -> str:
    """Whether the loss of the direction that was found matters in other trainings, by layer."""
    lines = []
    for layer, rows in told.groupby("layer"):
        clear = (rows["q"] < LEVEL) & (rows["delta"] < 0)
        further = clear & (rows["p_random"] < LEVEL)
        laps = ", ".join(
            f"{row['intact']:.2f} → {row['lesioned']:.2f} ({row['directions']})"
            for row in rows.to_dict("records")
        )
        chance = f"p < 5 % each; by chance up to {LEVEL * len(rows):.1f}"
        lines.append(
            f"- {layer}: without the directions from which {SIGNAL} is read {MEASURE} falls "
            f"clearly in {clear.sum()} of {len(rows)}, and further than with random directions of "
            f"as much variance in {further.sum()} ({chance}). Laps (directions): {laps}."
        )
    return "\n".join(lines)


def tell_read(told: pd.DataFrame) -> str:
    """Which signals are read in the network, and in untrained ones."""
    best = told.groupby("signal")[["r2", "untrained", "most"]].max().reset_index()
    best = best[best["r2"] >= LEAST_R2].sort_values("r2", ascending=False)
    if best.empty:
        return "No signal of the world is read in any layer (no R² of 0.5 or more)."
    parts = [
        f"{row['signal']} {row['r2']:.2f}"
        + (f" (untrained {row['untrained']:.2f})" if np.isfinite(row["untrained"]) else "")
        for row in best.to_dict("records")
    ]
    more = best[best["r2"] > best["most"]]
    text = f"Read best, R² in other episodes, of the best layer: {listed(parts)}."
    if best["most"].notna().any():
        names = listed(list(more["signal"])) if len(more) else "none"
        text += f" Better than in each of the untrained networks that see the same: {names}."
    return text


def tell_kept(kept: pd.DataFrame) -> str:
    """What the autoencoders hold of the robot."""
    parts = [
        f"with {row['features']} features a layer, {row['active']} of them on at a moment "
        f"(R² {row['r2']:.3f}), {row['kept']:.1%} "
        f"({row['low']:.1%} to {row['high']:.1%})"
        for row in kept.to_dict("records")
    ]
    lost = kept[kept["kept"] < 0.98]
    end = (
        " Every dictionary keeps 98 % or more."
        if lost.empty
        else f" Less than 98 % is kept with {listed(_named(lost))}: what these features stand for "
        "is not all that the layers do."
    )
    return f"Driven through its autoencoders, the robot keeps of its return {listed(parts)}.{end}"


def _named(kept: pd.DataFrame) -> list[str]:
    return [f"{row['features']} features ({row['active']} on)" for row in kept.to_dict("records")]
