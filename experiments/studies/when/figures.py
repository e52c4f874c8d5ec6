"""The figures of the study when: tables in, pictures out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from envs.tracks import make_track
from experiments.studies.when.words import LABELS, told
from rl_ablation.analysis.reflex import ANSWERED, LATENCY, REFLEX, REMAINING
from rl_ablation.formats import Estimate
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.reports import style
from rl_ablation.reports.style import GREY, INK, ORANGE, PURPLE

BAND = (0.05, 0.95)
"""Of the curves of random cuts, at each place."""
MARKED = ((ORANGE, "-"), (PURPLE, "-"), (ORANGE, "--"), (PURPLE, "--"))
"""Colour and line of the regions that are named in a panel."""
TURN = ([0, 90, 180, 270, 360], ["0°", "90°", "180°", "270°", "360°"])


@style.styled
def lap(
    bends: pd.DataFrame, by_bend: pd.DataFrame, places: pd.DataFrame, by_place: pd.DataFrame
) -> Figure:
    """The track in the colour of one region's effect, and the effects against the bend."""
    figure = style.page(12.5, 4.5, "Lap robot: what a cut of 0.25 s does in the next second")
    signals = [s for s in dict.fromkeys(bends["signal"]) if s in LABELS and s != "ended"]
    panels = figure.subplots(1, 1 + len(signals), width_ratios=[1.25, *[1] * len(signals)])
    _map(panels[0], places, by_place)
    for axes, signal in zip(panels[1:], signals, strict=True):
        _curves(axes, bends, by_bend, signal)
        axes.set_xlabel("right      bend ahead, 1/m      left")
    _explain(figure, "the bend")
    return figure


def _map(axes: Axes, places: pd.DataFrame, by_place: pd.DataFrame) -> None:
    rows = by_place[by_place["signal"].isin(LABELS) & (by_place["signal"] != "ended")]
    most = rows.sort_values(["p_fwe", "p"], kind="stable").iloc[0]
    here = (places["region"] == most["region"]) & (places["signal"] == most["signal"])
    line = places[here & (places["kind"] == most["kind"])]
    track = make_track("bends", "ccw")
    x, y = np.append(track.points, track.points[:1], 0).T
    angle = np.arctan2(y, x) % (2 * np.pi)
    value = np.interp(angle, line["at"], line["fitted"], period=2 * np.pi)
    for wall in track.walls:
        axes.plot(*np.append(wall, wall[:1], 0).T, color="#bbbbbb", lw=0.8)
    ends = np.stack([np.column_stack([x, y])[:-1], np.column_stack([x, y])[1:]], 1)
    limit = float(np.abs(value).max()) or 1.0
    drawn = LineCollection(list(ends), cmap="PuOr", lw=7, capstyle="round")
    drawn.set_array((value[:-1] + value[1:]) / 2)
    drawn.set_clim(-limit, limit)
    axes.add_collection(drawn)
    at, ahead = track.points[0], track.points[6]
    axes.annotate("", ahead, at, arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.2})
    axes.set_aspect("equal")
    axes.autoscale()
    axes.set_axis_off()
    name, unit = LABELS[str(most["signal"])]
    holds = "depends on the place" if most["holds"] else "not shown to depend on the place"
    axes.set_title(f"{most['region']} cut here: {name}\n({holds})")
    bar = axes.figure.colorbar(drawn, ax=axes, shrink=0.7, aspect=16, pad=0.02)
    bar.set_ticks([-limit, 0, limit], labels=[told(-limit), "0", told(limit)])
    bar.set_label(f"change{', ' * bool(unit)}{unit}")


def _curves(
    axes: Axes, curves: pd.DataFrame, found: pd.DataFrame, signal: str, turn: bool = False
) -> None:
    """The fitted curves of the regions under the first kind, with the band of random cuts."""
    part = curves[(curves["signal"] == signal) & (curves["lesion"] != INTACT)]
    part = part[part["kind"] == part["kind"].iloc[0]]
    scale = np.rad2deg if turn else np.asarray
    random = part[part["group"] == "random"]
    if len(random):
        wide = random.pivot(index="at", columns="lesion", values="fitted")
        low, high = (wide.quantile(q, axis=1) for q in BAND)
        axes.fill_between(*_round(scale(wide.index), low, high, turn), color="#dddddd", lw=0)
    axes.axhline(0, color="#444444", lw=0.8)
    told_of = found[(found["signal"] == signal) & found["holds"]]
    order = told_of.sort_values(["beyond", "p_fwe"], ascending=[False, True], kind="stable")
    named = list(order["region"])[: len(MARKED)]
    beyond = set(order[order["beyond"]]["region"])
    for region, line in part[part["group"] != "random"].groupby("region", sort=False):
        x, y, _ = _round(scale(line["at"]), line["fitted"], line["fitted"], turn)
        if region in named:
            colour, dash = MARKED[named.index(region)]
            mark = f"{region}{' *' if region in beyond else ''}"
            axes.plot(x, y, dash, color=colour, lw=1.8, label=mark, zorder=3)
        else:
            axes.plot(x, y, color=GREY, lw=0.9, zorder=2)
    name, unit = LABELS[signal]
    axes.set_title(f"{name}{', ' * bool(unit)}{unit}")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.08 * (1 + len(named)) * (high - low))
    if named:
        axes.legend(loc="upper left", handlelength=1.8, borderaxespad=0.1, labelspacing=0.2)
    if turn:
        axes.set_xticks(*TURN)
        axes.set_xlim(0, 360)


def _round(
    x: np.ndarray, low: pd.Series, high: pd.Series, turn: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Curves over a turn end where they begin."""
    at, one, other = (np.asarray(v, float) for v in (x, low, high))
    if turn:
        at, one, other = np.append(at, 360), np.append(one, one[0]), np.append(other, other[0])
    return at, one, other


def _explain(figure: Figure, of: str) -> None:
    style.note(
        figure,
        f"Coloured and named: regions whose effect depends on {of} under both kinds of cut "
        "(family-wise p < 5 %; * and more than random cuts of their size do); thin grey: the other "
        "regions; band: 90 % of the random cuts. Curves are those of the kind resample.",
    )


@style.styled
def gait(
    name: str,
    shown: Mapping[float, tuple[pd.DataFrame, pd.DataFrame]],
    stance: pd.DataFrame,
) -> Figure:
    """Effects against the phase of the gait: a row for each length of the cut, over the feet."""
    first = next(iter(shown.values()))[0]
    signals = [s for s in dict.fromkeys(first["signal"]) if s in LABELS and s != "ended"]
    figure = style.page(12.5, 1.6 + 2.7 * len(shown), f"{name}: what a brief cut does, by phase")
    heights = [*[2.7] * len(shown), 0.7]
    rows = figure.subplots(len(heights), len(signals), height_ratios=heights, squeeze=False)
    for row, (lasting, (curves, found)) in zip(rows, shown.items(), strict=False):
        for axes, signal in zip(row, signals, strict=True):
            _curves(axes, curves, found, signal, turn=True)
            axes.tick_params(labelbottom=False)
        row[0].set_ylabel(f"cut for {lasting:g} s: change")
    for axes in rows[-1]:
        _feet(axes, stance)
        axes.set_xlabel("phase at the onset of the cut")
    rows[-1][0].set_ylabel("on the\nground")
    _explain(figure, "the phase")
    return figure


def _feet(axes: Axes, stance: pd.DataFrame) -> None:
    wide = stance.pivot(index="foot", columns="at", values="share")
    wide = wide.loc[list(dict.fromkeys(stance["foot"]))]
    axes.imshow(
        wide, cmap="Greys", vmin=0, vmax=1.2, aspect="auto", extent=(0, 360, len(wide) - 0.5, -0.5)
    )
    axes.set_yticks(range(len(wide)), list(wide.index), fontsize=7)
    axes.set_xticks(*TURN)


@style.styled
def push(
    name: str,
    course: pd.DataFrame,
    effects: pd.DataFrame,
    curves: pd.DataFrame,
    by_phase: pd.DataFrame,
) -> Figure:
    """The answer to a push: its course, its latency without each region, and by the phase."""
    figure = style.page(12.5, 4.4, f"{name}: the answer to a push from the side")
    panels = figure.subplots(1, 4, width_ratios=[1.2, 1, 1, 1])
    _course(panels[0], course, effects)
    _latency(panels[1], effects)
    _reflex(panels[2], curves)
    _curves(panels[3], curves, by_phase, REMAINING, turn=True)
    panels[3].set_title("change of the share left,\nby the phase of the push")
    for axes in panels[2:]:
        axes.set_xlabel("phase at the push")
    _explain(figure, "the phase (right panel)")
    return figure


def _course(axes: Axes, course: pd.DataFrame, effects: pd.DataFrame) -> None:
    wide = course.pivot(index="seconds", columns="lesion", values="apart")
    random = wide[[c for c in wide if "/random-" in str(c)]]
    if random.shape[1]:
        low, high = (random.quantile(q, axis=1) for q in BAND)
        axes.fill_between(wide.index, low, high, color="#dddddd", lw=0, label="random cuts")
    for region in dict.fromkeys(effects["region"]):
        axes.plot(wide.index, wide[region], color=GREY, lw=0.8)
    share = effects[effects["signal"] == REMAINING].sort_values("delta", kind="stable")
    least = str(share["region"].iloc[0])
    axes.plot(wide.index, wide[least], color=ORANGE, lw=1.8, label=f"without {least}")
    axes.plot(wide.index, wide[INTACT], color=PURPLE, lw=1.8, label="intact")
    axes.axhline(ANSWERED, color="#444444", lw=0.8, ls=":")
    axes.set_xlabel("time since the push, s")
    axes.set_title("actions, pushed against not pushed, s.d.")
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])  # room for the legend
    axes.legend(loc="upper right")


def _latency(axes: Axes, effects: pd.DataFrame) -> None:
    rows = effects[effects["signal"] == LATENCY].to_dict("records")
    for y, row in enumerate(rows):
        clear = bool(row["beyond"])
        colour = ORANGE if clear else GREY
        found = Estimate.of(row, "delta", "ci_low", "ci_high")
        style.estimate(axes, y, found, colour, filled=bool(row["holds"]))
        axes.plot(row["random"], y, "|", color=INK, ms=9, mew=1.4)
    style.name_rows(axes, [str(row["region"]) for row in rows])
    axes.set_title("latency, change without it, s")
    axes.set_xlabel("line: median random cut; filled: both kinds;\norange: and beyond random cuts")


def _reflex(axes: Axes, curves: pd.DataFrame) -> None:
    own = curves[(curves["lesion"] == INTACT) & (curves["signal"] == REFLEX)]
    x, y, _ = _round(np.rad2deg(own["at"]), own["fitted"], own["fitted"], True)
    axes.plot(x, y, color=PURPLE, lw=1.8)
    axes.set_xticks(*TURN)
    axes.set_xlim(0, 360)
    axes.set_ylim(bottom=0)
    axes.set_title("intact: reflex, s.d.,\nby the phase of the push")
