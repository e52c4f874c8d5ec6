"""The figures of the development study: lines over training, and the map at every moment."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.studies.development.measuring import ACTION, LOSS, Training
from rl_ablation.reports import style

_MOMENT = "[0-9.]+"  # and not the name of what is said of all moments
COLUMNS = 5
"""Maps side by side at most."""
SIGN_STYLES = (("#542788", "-", "o"), ("#998ec3", "--", "s"), ("#b35806", "-", "^"),
               ("#f1a340", "--", "D"), (style.INK, ":", "v"))  # fmt: skip


def moment(share: float | str) -> str:
    """A moment of a training as people say it: "untrained", "1/24", "end"."""
    part = Fraction(float(share)).limit_denominator(32)
    return "untrained" if part == 0 else "end" if part == 1 else str(part)


@style.styled
def over_training(need: pd.DataFrame, local: pd.DataFrame, fore: pd.DataFrame) -> Figure:
    """Above: laps, regions needed, locality; below: what foretells the loss. Tables as `study`."""
    figure = style.page(11.5, 7.2)
    above, below = figure.subfigures(2, 1, height_ratios=[1, 1.12], squeeze=False).flat
    laps, needed, worst = above.subplots(1, 3)
    _line(laps, need[need["what"] == "laps"], style.INK)
    laps.set(title="Laps of the intact robot", ylabel="share of the last network's")
    laps.set_ylim(0, None)
    for what, colour, marker in (("clusters", style.PURPLE, "o"), ("random parts", "#777777", "s")):
        _line(needed, need[need["what"] == what], colour, marker, label=what)
    needed.set(title="Regions that are needed", ylabel="share of regions")
    needed.legend(loc="best")
    needed.set_ylim(0, _end(need[need["what"].isin(["clusters", "random parts"])]))
    for kind, colour, marker in (("resample", style.PURPLE, "o"), ("mean", style.ORANGE, "s")):
        rows = local[(local["kind"] == kind) & (local["what"] == "difference")]
        _line(worst, rows, colour, marker, label=kind)
    worst.axhline(0, color="#444444", lw=0.8)
    worst.set(title="Locality", ylabel="worst region's share of the loss,\nless random parts'")
    worst.legend(loc="best")
    gaps = _end(local[local["what"] == "difference"])
    worst.set_ylim(-gaps, gaps)
    sites = list(dict.fromkeys(fore["site"]))
    shown = fore[fore["kind"] == "mean"]
    panels = below.subplots(1, 2 * len(sites), sharey=True, squeeze=False)[0]
    pairs = [(lost, site) for lost in (ACTION, LOSS) for site in sites]
    for axes, (lost, site) in zip(panels, pairs, strict=True):
        _foretold(axes, shown[(shown["site"] == site) & (shown["lost"] == lost)])
        axes.set_title(f"{lost}, {site}")
    panels[0].set_ylim(min(-0.3, float(shown["low"].min()) - 0.05), 1.06)
    panels[0].set_ylabel("rank correlation with the loss at the end")
    handles, names = panels[0].get_legend_handles_labels()
    below.legend(handles, names, loc="outside lower center", ncol=7)
    title = "What foretells what is lost without a unit at the end (how far the action moves, or "
    style.heading(below, title + "behaviour)? Each held at its mean", size=10)
    return figure


def _end(rows: pd.DataFrame) -> float:
    """The end of an axis that holds the intervals of all moments, at most 1."""
    there = rows[rows["moment"].str.fullmatch(_MOMENT)]
    furthest = float(np.nan_to_num(there[["low", "high"]].abs().to_numpy()).max())
    return min(1.0, 1.05 * furthest) or 1.0


def _moments(axes: Axes, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of moments, in order, with the axis named after them."""
    there = rows[rows["moment"].str.fullmatch(_MOMENT)]
    there = there.assign(at=there["moment"].astype(float)).sort_values("at", kind="stable")
    names = [moment(share) for share in there["at"]]
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.grid(axis="y")
    return there


def _line(
    axes: Axes, rows: pd.DataFrame, colour: str, marker: str = "o", label: str | None = None
) -> None:
    there = _moments(axes, rows)
    at = np.arange(len(there))
    axes.fill_between(at, there["low"], there["high"], color=colour, alpha=0.16, lw=0)
    axes.plot(at, there["value"], color=colour, marker=marker, ms=4, label=label)
    axes.set_xlabel("share of the training")


def _foretold(axes: Axes, rows: pd.DataFrame) -> None:
    """Correlations of each sign over the moments, between the ends of shuffled losses."""
    limit = float(rows["shuffled"].max())
    signs = [s for s in dict.fromkeys(rows["sign"]) if s != "the other kind"]
    for sign, (colour, line, marker) in zip(signs, SIGN_STYLES, strict=True):
        there = _moments(axes, rows[rows["sign"] == sign])
        at = np.arange(len(there))
        axes.fill_between(at, there["low"], there["high"], color=colour, alpha=0.07, lw=0)
        axes.plot(at, there["value"], line, color=colour, marker=marker, ms=3.5, label=sign)
    axes.axhspan(-limit, limit, color="#999999", alpha=0.18, lw=0, label="losses shuffled")
    other = rows[rows["sign"] == "the other kind"]
    axes.plot(len(there) - 0.75, other["value"], "*", color=style.INK, ms=9,
              label="resampled instead")  # fmt: skip
    axes.axhline(0, color="#444444", lw=0.8)
    axes.set_xlabel("share of the training")


@style.styled
def maps(shown: Training, behaviours: Sequence[str]) -> Figure:
    """Regions × behaviours at every moment, in the same colours everywhere."""
    harm = shown.harm()
    limit = float(np.abs(harm).max()) or 1.0
    names = [x.name.replace("cluster-", "") for x in shown.regions]
    heads = [style.short_label(name) for name in behaviours]
    down = -(-len(harm) // COLUMNS)
    wide = -(-len(harm) // down)
    title = f"{shown.name}: what is lost with each region of the last network, while it learns"
    figure = style.page(11.5, (1.1 + 0.2 * len(names)) * down + 0.4, title)
    panels = list(figure.subplots(down, wide, squeeze=False).flat)
    for c, (axes, one) in enumerate(zip(panels, harm, strict=False)):
        last = c + wide >= len(harm)
        mesh = style.heatmap(axes, one, names if c % wide == 0 else [""] * len(names),
                             heads if last else [""] * len(heads), limit=limit)  # fmt: skip
        axes.set_title(moment(shown.steps[c] / shown.steps[-1]))
    for axes in panels[len(harm) :]:
        axes.set_axis_off()
    ends = (f"worse (−{limit:.2f} of\na full change)", "0", "better")
    style.colour_bar(mesh, panels, ends, aspect=20, shrink=0.8)
    style.note(figure, "The smaller change of resample and mean, 0 where their signs differ; not "
               "tested: what is clear is counted in the other figure.")  # fmt: skip
    return figure
