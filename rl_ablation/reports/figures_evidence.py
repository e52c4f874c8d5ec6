"""Figures of what stands around a map: random cuts, doses, and regions that cross over.

Each is a function ``Map -> Figure | None``; None where the run lacks what it would show.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rl_ablation.formats import number
from rl_ablation.lesions.lesion import VARIANT
from rl_ablation.mapping.claims import (
    changes,
    dissociated,
    distinct,
    overall,
    random_harm,
    valued,
    worth_telling,
)
from rl_ablation.mapping.evidence import reference_effect, with_own
from rl_ablation.mapping.kinds import first_kind
from rl_ablation.mapping.map import Map
from rl_ablation.measures.registry import MEASURES
from rl_ablation.reports import style
from rl_ablation.reports.figures import figure
from rl_ablation.reports.labels import labels
from rl_ablation.stats import LEVEL

_COLOURS = [style.ORANGE, style.PURPLE, "#1b7837", "#01665e", "#8c510a", "#762a83"]
_MOST = 12


@figure(
    "A big cut does much whatever it holds. So each region is held against random cuts of its size "
    "in its layer, on the same episodes."
)
@style.styled
def random_cuts(run: Map) -> Figure | None:
    """Each region's largest changes beside random cuts of its size in its layer."""
    told = worth_telling(run).dropna(subset="draws")
    if told.empty or not run.controls:
        return None
    told = told.reindex(told["harm"].abs().sort_values(ascending=False).index)
    told = told.groupby("lesion", sort=False).head(3).head(_MOST)
    told = told.sort_values("lesion", kind="stable")
    drawn = random_harm(run, list(told["measure"].unique()))
    turned = [bool(run.plan[name].directions) for name in told["lesion"]]
    what = "direction, or any of as much variance?" if all(turned) else "region, or only its size?"
    figure = style.page(9.6, 1.4 + 0.32 * len(told), f"Is it this {what}")
    axes = figure.subplots()
    names, named = [], labels(run)
    for y, row in enumerate(told.to_dict("records")):
        place = run.plan[row["lesion"]].stratum  # that of a single unit may have no random cuts
        draws = drawn[place][row["measure"]].to_numpy() if place in drawn else np.empty(0)
        harm = row["harm"] * row["first"] / row["delta"]
        # Golden-ratio steps spread any number of dots evenly, without drawing lots.
        spread = 0.28 * (2 * (np.arange(draws.size) * 0.618034 % 1) - 1)
        axes.plot(draws, y + spread, ".", color=style.GREY, ms=3.5, alpha=0.7, zorder=1)
        colour = style.verdict_colour(row["harm"], clear=True)
        fill = colour if row["p_random"] < LEVEL else "w"
        axes.plot(harm, y, "D", color=colour, mfc=fill, ms=7, zorder=3)
        label = MEASURES[row["measure"]].label
        names.append(f"{named[row['lesion']]} ({row['units']}), {label}")
        axes.annotate(
            f"p = {row['p_random']:.2g}", (1.01, y), xycoords=("axes fraction", "data"),
            va="center", fontsize=8,
        )  # fmt: skip
    style.name_rows(axes, names)
    axes.set_xlabel(
        "← worse     change, as a share of the reference effect     better →\n"
        f"all cuts by {first_kind(run)}; diamond: the region, confirmed "
        "(filled: beyond random cuts, p < 5 %)\n"
        "grey: random cuts of its size in its layer; of directions: with as much variance"
    )
    return figure


@figure("The regions that matter most, turned down step by step. Bars: 95 % intervals.")
@style.styled
def dose_response(run: Map) -> Figure | None:
    """How behaviours change as a region's units are turned down from 1 to 0."""
    if (dosed := run.doses) is None:
        return None
    rows = overall(with_own(dosed.own_effects(), run.own), controls=True)
    size = reference_effect(changes(run))
    told = worth_telling(run)
    told = told.reindex(told["harm"].abs().sort_values(ascending=False).index)
    rows = rows.assign(
        region=rows["lesion"].str.partition(VARIANT)[0],
        gain=rows["lesion"].str.rpartition(" ")[2].astype(float),
    )
    regions = list(rows["region"].unique())
    names = {r: list(told[told["lesion"] == r]["measure"][:3]) for r in regions}
    colour = dict(zip(dict.fromkeys(m for n in names.values() for m in n), _COLOURS, strict=False))
    title = "How much of a region must go before a behaviour does?"
    figure = style.page(1.6 + 2.6 * len(regions), 3.7, title)
    panels = figure.subplots(1, len(regions), sharey=True, squeeze=False)[0]
    for axes, region in zip(panels, regions, strict=True):
        for name in names[region]:
            part = rows[(rows["region"] == region) & (rows["measure"] == name)]
            part = part.sort_values("gain", ascending=False)
            kept = part[["delta", "ci_low", "ci_high"]].to_numpy().T
            y, *ends = np.insert(kept, 0, 0.0, 1) * (MEASURES[name].better or 1) / size[name]
            axes.errorbar(
                [1.0, *part["gain"]], y, np.abs(np.sort(ends, 0) - y),
                color=colour.get(name, style.GREY), marker="o", ms=4, lw=1.6,
                elinewidth=1, capsize=2, label=MEASURES[name].label,
            )  # fmt: skip
        axes.set_title(style.short(labels(run)[region], 30), loc="center")
        axes.axhline(0, color="#444444", lw=0.8)
        axes.set_xlim(1.06, -0.06)
        axes.set_ylim(-1.6, 1.1)
        axes.set_xlabel("gain of its units")
        if names[region]:
            axes.legend(fontsize=7.5, loc="lower left")
    panels[0].set_ylabel("change, share of the reference effect\n← worse          better →")
    return figure


@figure(
    "Regions that cross over: one is needed for the first behaviour and not for the second, the "
    "other the other way round."
)
@style.styled
def dissociations(run: Map) -> Figure | None:
    """Regions × behaviours, with the pair that crosses over most clearly framed."""
    rows = changes(run).fillna({"harm": 0.0})
    names = distinct(rows, valued(run), 8)
    found = dissociated(run, names)
    if not found:
        return None
    best, named = found[0], labels(run)
    involved = list(dict.fromkeys(r for d in found for r in (d.a, d.b)))[:_MOST]
    wide = rows.pivot(index="lesion", columns="measure", values=["harm", "q"]).loc[involved]
    grid, clear = wide["harm"][names], wide["q"][names] < LEVEL
    figure = style.page(
        3.2 + 0.9 * len(names), 2.4 + 0.34 * len(involved),
        f"Double dissociation: {named[best.a]} and {named[best.b]}",
    )  # fmt: skip
    axes = figure.subplots()
    text = grid.map(lambda h: number(100 * h).partition(".")[0] if abs(h) >= 0.005 else "0")
    mesh = style.heatmap(
        axes, grid.where(clear, 0.0), [named[r] for r in involved],
        [MEASURES[m].label for m in names], cells=text.to_numpy(), above=True, turn=40,
    )  # fmt: skip
    style.colour_bar(mesh, axes, shrink=0.7, aspect=12)
    for region, name in product((best.a, best.b), (best.x, best.y)):
        corner = (names.index(name), involved.index(region))
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, ec="#111111", lw=2.2))
    chance = f"; {best.p_random:.1%} of random divisions show any as strong"
    style.note(
        figure,
        f"cells: confirmed change, % of the reference effect; framed: the clearest of {len(found)} "
        f"crossings{chance}",
    )
    return figure
