"""The findings of the redundancy study in sentences."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd

from experiments.studies.redundancy.game import Game
from rl_ablation.formats import Estimate, number
from rl_ablation.measures.registry import MEASURES


def tell(game: Game) -> str:
    """The findings of one agent, from its tables."""
    groups, pairs, scores = (game.tables[key] for key in ("groups", "pairs", "prediction"))
    orders = groups["permutations"].iloc[0]
    how = "all" if game.coalitions == 2 ** len(game.players) else f"{orders} orders,"
    lines = [
        f"**{game.subject.agent}**, {len(game.players)} clusters, cut to {game.subject.kind}, "
        f"{how} {game.coalitions} coalitions, {game.subject.episodes} paired episodes:"
    ]
    for measure, ends in game.ranges.iterrows():
        part = groups[groups["measure"] == measure].to_dict("records")
        lines.append(
            _tell_groups(str(measure), part, ends["all"] - ends["none"])
            + _tell_pairs(pairs[pairs["measure"] == measure], ends["range"])
        )
    scored = [
        f"{MEASURES[row['measure']].label} {number(row['r2'])} ({Estimate.of(row, 'r2').ends()}; "
        f"{row['model']}; additive {number(row['additive_r2'])})"
        for row in scores.to_dict("records")
    ]
    lines.append(
        f"- Joint lesions that the map was not made from ({scores['held_out'].iloc[0]} held out, "
        f"{scores['train'].iloc[0]} used), R²: {'; '.join(scored)}. "
        f"{(scores['r2'] >= 0.8).sum()} of {len(scores)} behaviours reach 0.8."
    )
    return "\n".join(lines)


def _tell_groups(measure: str, part: list[dict[Hashable, Any]], whole: float) -> str:
    about = MEASURES[measure]
    label = about.label[:1].upper() + about.label[1:] + (" (avoided)" if about.better < 0 else "")
    unit = f" {about.unit}" if about.unit else ""
    top, single = (max(part, key=lambda row: row[key]) for key in ("value", "value_alone"))
    share = Estimate.of(top, "value", "episodes_low", "episodes_high")
    text = (
        f"- {label}: all clusters together contribute {number(whole)}{unit}, the single cuts add "
        f"up to {number(sum(row['value_alone'] for row in part))}. The largest Shapley value is "
        f"{top['group']}'s, {number(top['value'])} (95 % interval over episodes {share.ends()}); "
    )
    cost = number(single["value_alone"])
    if single is top:
        text += f"its cut alone costs {cost}. "
    else:
        text += f"the costliest single cut is another, {single['group']} ({cost}). "
    hidden = [r["group"] for r in part if r["episodes_low"] > max(r["ci_high_alone"], 0.0)]
    if hidden:
        return text + f"Contributing more than their cut alone shows: {', '.join(hidden)}. "
    return text + "No cluster clearly contributes more than its cut alone shows. "


def _tell_pairs(pairs: pd.DataFrame, full: float) -> str:
    both, need = ((pairs["kind"] == kind).sum() for kind in ("redundant", "synergistic"))
    text = f"Of {len(pairs)} pairs {both} are redundant and {need} need each other; for "
    text += f"{(pairs['kind'] == '').sum()} it is not clear"
    clear = pairs[pairs["kind"] != ""]
    if clear.empty or full <= 0:
        return text + "."
    row = max(clear.to_dict("records"), key=lambda pair: abs(pair["value"]))
    return text + (
        f" (q < 5 %); the strongest is {row['a']} with {row['b']}, {row['kind']}: "
        f"{Estimate.of(row, 'value', 'ci_low', 'ci_high')}, "
        f"{abs(row['value']) / full:.0%} of the range."
    )
