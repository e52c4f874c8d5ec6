"""Memorisers against generalists: the comparisons, in numbers, words and a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_ablation.formats import number
from rl_ablation.stats import (
    LEVEL,
    interval,
    mean_rank_correlation,
    nested_bootstrap,
    permutation_p,
)

KINDS = ("memoriser", "generalist")

COLOURS = {"memoriser": "#b35806", "generalist": "#542788"}
_GREY = "#9a9a9a"

COMPARISONS = {
    "own condition": ("own", "zero", "order"),
    "memorisers' track": ("track", "zero", "order"),
    "generalists' battery": ("battery", "zero", "order"),
    "own, cut to the mean": ("own", "mean", "order"),
    "own, least important first": ("own", "ranked", "ascending"),
    "own, most important first": ("own", "ranked", "descending"),
    "own, noise on all units": ("own", "noise", "noise"),
}
"""Name → (world, cut, how its orders' names begin)."""


def chosen(rows: pd.DataFrame, comparison: str, kind: str, own: Mapping[str, str]) -> pd.DataFrame:
    """The rows of curves or areas that belong to a kind of agent in a comparison."""
    world, cut, order = COMPARISONS[comparison]
    where = own[kind] if world == "own" else world
    mine = (rows["kind"] == kind) & (rows["world"] == where) & (rows["cut"] == cut)
    return rows[mine & rows["order"].str.startswith(order)]


def _by_agent(rows: pd.DataFrame, column: str) -> list[np.ndarray]:
    return [part[column].to_numpy() for _, part in rows.groupby("agent")]


def compared(areas: pd.DataFrame, own: Mapping[str, str]) -> pd.DataFrame:
    """Areas of memorisers and generalists for each comparison.

    Returns:
        Rows ``comparison``, ``memoriser``, ``generalist`` (mean areas), ``difference``
        (generalist − memoriser), ``low``, ``high`` (95 %, agents resampled first, then orders) and
        ``p`` (agents relabelled).
    """
    rng = np.random.default_rng(0)
    rows = []
    for name in COMPARISONS:
        inside = {kind: _by_agent(chosen(areas, name, kind, own), "area") for kind in KINDS}
        mean = {kind: np.array([v.mean() for v in inside[kind]]) for kind in KINDS}
        boot = {kind: nested_bootstrap(inside[kind], rng) for kind in KINDS}
        low, high = interval(boot["generalist"] - boot["memoriser"])
        rows.append(
            {
                "comparison": name,
                **{kind: mean[kind].mean() for kind in KINDS},
                "difference": mean["generalist"].mean() - mean["memoriser"].mean(),
                "low": low,
                "high": high,
                "p": permutation_p(mean["generalist"], mean["memoriser"]),
            }
        )
    return pd.DataFrame(rows)


def correlations(units: pd.DataFrame) -> pd.DataFrame:
    """Spearman correlation of what units tell with the laps lost without them, layer by layer."""
    rng = np.random.default_rng(0)
    rows = []
    for told in ("eta", "information"):
        for site, layer in units.groupby("site"):
            agents = [part for _, part in layer.groupby("agent")]
            pairs = [(a[told].to_numpy(), a["progress"].to_numpy()) for a in agents]
            mean, low, high = mean_rank_correlation(pairs, rng)
            rows.append({"told": told, "site": site, "rho": mean, "low": low, "high": high})
    return pd.DataFrame(rows)


def readers(units: pd.DataFrame) -> pd.DataFrame:
    """The units with a column ``reads``.

    The third of an agent's layer that tells most reads its best context, the third that tells
    least is "unreadable", the rest reads "".
    """
    place = units.groupby(["agent", "site"])["eta"].rank(pct=True)
    reads = np.where(place > 2 / 3, units["context"], np.where(place <= 1 / 3, "unreadable", ""))
    return units.assign(reads=reads)


def difference(units: pd.DataFrame, reads: str, column: str) -> tuple[float, float, float]:
    """Mean of a column over units that read something, less that of the unreadable: with 95 %."""
    rng = np.random.default_rng(0)
    boots, means = [], []
    for name in (reads, "unreadable"):
        part = units[units["reads"] == name]
        if part.empty:
            return (float("nan"),) * 3
        inside = _by_agent(part, column)
        boots.append(nested_bootstrap(inside, rng))
        means.append(np.mean([v.mean() for v in inside]))
    return float(means[0] - means[1]), *interval(boots[0] - boots[1])


def told(
    curves: pd.DataFrame, areas: pd.DataFrame, units: pd.DataFrame, own: Mapping[str, str]
) -> str:
    """The findings in words."""
    rows = compared(areas, own).to_dict("records")
    agents = areas["agent"].nunique()
    lines = [
        f"| {r['comparison']} | {number(r['memoriser'])} | {number(r['generalist'])} | "
        f"{number(r['difference'])} [{number(r['low'])}, {number(r['high'])}] | {r['p']:.2g} |"
        for r in rows
    ]
    return "\n\n".join(
        [
            _headline({r["comparison"]: r for r in rows}, agents),
            "Areas under the curve of laps kept against the share cut (1: nothing is ever lost):",
            "| comparison | memorisers | generalists | difference [95 %] | p |\n"
            "|---|---|---|---|---|\n" + "\n".join(lines),
            _memorised(curves, own),
            _ranked({r["comparison"]: r for r in rows}, areas),
            _told_of_units(units, curves),
        ]
    )


def _verdict(row: Mapping[Any, Any]) -> str:
    # With a handful of agents the interval alone is too sure of itself.
    if row["p"] >= LEVEL or row["low"] <= 0 <= row["high"]:
        return "no clear difference"
    return f"{'memorisers' if row['difference'] > 0 else 'generalists'} lose their laps faster"


def _headline(table: Mapping[str, Mapping[Any, Any]], agents: int) -> str:
    fair, track, mean = (
        table[name] for name in ("own condition", "memorisers' track", "own, cut to the mean")
    )
    text = (
        f"Each in its own training condition, as Morcos et al. compare: {_verdict(fair)} (area "
        f"{number(fair['memoriser'])} against {number(fair['generalist'])}, difference "
        f"{number(fair['difference'])} [{number(fair['low'])}, {number(fair['high'])}], p = "
        f"{fair['p']:.2g}, {agents} agents of each kind). On one and the same track: "
        f"{_verdict(track)} (difference {number(track['difference'])} "
        f"[{number(track['low'])}, {number(track['high'])}]). With units cut to their means "
        f"instead of zero: {_verdict(mean)}."
    )
    verdicts = {_verdict(row) for row in (fair, track, mean)}
    if len(verdicts) == 1:
        return text + " All three say the same."
    return text + " The three do not say the same, so the answer hangs on how the question is put."


def _memorised(curves: pd.DataFrame, own: Mapping[str, str]) -> str:
    zero = curves[(curves["cut"] == "zero")]
    laps = zero[zero["dose"] == 0].groupby(["kind", "world"])["lesioned"].mean()
    floors = []
    for comparison in ("own condition", "own, cut to the mean"):
        for kind in KINDS:
            part = chosen(curves, comparison, kind, own)
            floors.append(part[part["dose"] == part["dose"].max()]["kept"].mean())
    return (
        f"Intact, memorisers drive {number(laps['memoriser', 'track'])} laps on their track and "
        f"{number(laps['memoriser', 'battery'])} on the battery, generalists "
        f"{number(laps['generalist', 'track'])} and {number(laps['generalist', 'battery'])}. With "
        f"all hidden units at zero, {floors[0]:.0%} and {floors[1]:.0%} of the own laps are left; "
        f"with all at their means, {floors[2]:.0%} and {floors[3]:.0%}. So much is driven by one "
        "action held for ever, and no cut can take it."
    )


def _ranked(table: Mapping[str, Mapping[Any, Any]], areas: pd.DataFrame) -> str:
    parts = []
    for kind in KINDS:
        up, down = (table[f"own, {end} important first"][kind] for end in ("least", "most"))
        way = "faster" if down < up else "no faster"
        parts.append(
            f"{kind}s lose their laps {way} when the most important units go first (area "
            f"{number(down)}) than when the least important do ({number(up)})"
        )
    spread = areas.groupby("kind")["spread"].mean()
    return (
        f"By importance measured one unit at a time: {'; '.join(parts)}. Noise and means are "
        "those of an agent's own condition, so they compare the kinds only as far as units vary "
        f"alike there: their s.d. is {number(spread['memoriser'])} in memorisers and "
        f"{number(spread['generalist'])} in generalists."
    )


def _told_of_units(units: pd.DataFrame, curves: pd.DataFrame) -> str:
    names = {"eta": "η²", "information": "mutual information"}
    parts = [
        f"{names[r['told']]} in {r['site']} {number(r['rho'])} [{number(r['low'])}, "
        f"{number(r['high'])}]"
        for r in correlations(units).to_dict("records")
    ]
    sorted_units = readers(units)
    started = curves[(curves["dose"] == 0) & (curves["kind"] == "generalist")]
    intact = started[started["world"] == "battery"]["lesioned"].mean()
    worst = units["progress"].max()
    lines = []
    for side in ("left", "right"):
        laps = difference(sorted_units, f"{side} bend", "progress")
        turn = difference(sorted_units, f"{side} bend", f"{side}_turning")
        if np.isfinite(laps[0]):
            clear = "" if laps[1] > 0 or laps[2] < 0 else ", which is not clear"
            lines.append(
                f"Cutting a {side}-bend unit costs {_with(laps)} laps more than cutting an "
                f"unreadable one{clear}, and {_with(turn)} rad/s more of turning {side}."
            )
    return (
        "What a generalist's unit tells of the bend against the laps lost without it (Spearman, "
        f"within layers): {'; '.join(parts)}. "
        + " ".join(lines)
        + f" The most that any one unit costs is {worst:.3f} of {number(intact)} laps "
        f"({worst / intact:.1%})."
    )


def _with(value: tuple[float, float, float]) -> str:
    def fine(x: float) -> str:
        return f"{x:.3f}".replace("-", "−")

    return f"{fine(value[0])} [{fine(value[1])}, {fine(value[2])}]"


def six_panels(
    curves: pd.DataFrame, areas: pd.DataFrame, units: pd.DataFrame, own: Mapping[str, str]
) -> Figure:
    """Curves, their areas, and whether units that tell more matter more."""
    table = compared(areas, own)
    figure = Figure(figsize=(14, 8.5), layout="constrained", dpi=150)
    panels = figure.subplots(2, 3)
    _curves(panels[0, 0], curves, {"own condition": "-"}, own)
    _curves(panels[0, 1], curves, {"memorisers' track": "-"}, own)
    _areas(panels[0, 2], areas, table, own)
    ranked = {"own, least important first": "-", "own, most important first": ":"}
    _curves(panels[1, 0], curves, ranked, own)
    _curves(panels[1, 1], curves, {"own, noise on all units": "-"}, own)
    _scatter(panels[1, 2], units)
    heads = (
        "Random cuts, each in its own training condition",
        "Random cuts, all on the memorisers' track",
        "Area under the curve: a dot an agent",
        "Least (solid) or most important (dotted) first",
        "Noise on all hidden units",
        "What a unit tells, and how much it matters",
    )
    for axes, head in zip(panels.flat, heads, strict=True):
        axes.set_title(head, loc="left", fontsize=10.5, fontweight="bold")
        axes.spines[["top", "right"]].set_visible(False)
    panels[1, 0].set_xlabel("share of each layer cut")
    panels[1, 1].set_xlabel("noise, in multiples of each unit's own s.d.")
    fair = table.to_dict("records")[0]
    figure.suptitle(
        f"Each in its own condition: {_verdict(fair)} (area {number(fair['memoriser'])} against "
        f"{number(fair['generalist'])})",
        x=0.01, ha="left", fontsize=13, fontweight="bold",
    )  # fmt: skip
    return figure


def _curves(
    axes: Axes, curves: pd.DataFrame, styles: Mapping[str, str], own: Mapping[str, str]
) -> None:
    for comparison, style in styles.items():
        for kind in KINDS:
            rows = chosen(curves, comparison, kind, own)
            agents = rows.groupby(["agent", "dose"])["kept"].mean().unstack()
            for values in agents.to_numpy():
                axes.plot(agents.columns, values, style, color=COLOURS[kind], lw=0.6, alpha=0.4)
            label = f"{kind}s" if style == "-" else None
            axes.plot(
                agents.columns, agents.mean(), style, color=COLOURS[kind], lw=2.5, label=label
            )
    axes.axhline(0, color="black", lw=0.6)
    axes.set(xlabel="share of all hidden units cut", ylabel="share of intact laps kept")
    axes.legend(frameon=False, fontsize=9)


def _areas(axes: Axes, areas: pd.DataFrame, table: pd.DataFrame, own: Mapping[str, str]) -> None:
    places = np.arange(len(table))[::-1]
    for place, name in zip(places, table["comparison"], strict=True):
        for kind, up in zip(KINDS, (0.13, -0.13), strict=True):
            dots = chosen(areas, name, kind, own).groupby("agent")["area"].mean()
            heights = np.full(len(dots), place + up)
            axes.scatter(dots, heights, s=16, color=COLOURS[kind], alpha=0.6)
            axes.scatter(dots.mean(), place + up, s=60, marker="|", color=COLOURS[kind], lw=2.5)
    heads = [
        f"{row['comparison']}\n{number(row['difference'])} "
        f"[{number(row['low'])}, {number(row['high'])}]"
        for row in table.to_dict("records")
    ]
    axes.set_yticks(places, heads, fontsize=8)
    axes.set_xlabel("area (below each name: generalist − memoriser, 95 %)", fontsize=9)


def _scatter(axes: Axes, units: pd.DataFrame) -> None:
    rho = correlations(units)
    for (site, rows), marker, colour in zip(
        units.groupby("site"), ("o", "^"), (_GREY, COLOURS["generalist"]), strict=False
    ):
        r = rho[(rho["told"] == "eta") & (rho["site"] == site)].iloc[0]
        label = f"{site}: ρ = {number(r['rho'])} [{number(r['low'])}, {number(r['high'])}]"
        axes.scatter(
            rows["eta"], rows["progress"], s=14, marker=marker, color=colour, alpha=0.6, label=label
        )
    axes.set(
        xlabel="η²: share of the unit's variance that the bend explains",
        ylabel="laps lost without the unit",
    )
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.15 * (high - low))  # room for the legend
    axes.legend(frameon=False, fontsize=8.5, loc="upper right")
