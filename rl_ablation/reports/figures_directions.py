"""A figure of directions: over which units of its layer each is spread."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from rl_ablation.mapping.claims import changes
from rl_ablation.mapping.map import Map
from rl_ablation.reports import style
from rl_ablation.reports.figures import figure, largest
from rl_ablation.reports.labels import labels
from rl_ablation.stats import LEVEL

_MOST = 12  # directions of a layer


@figure(
    "What each direction is made of: how much of every unit of its layer. A code that is spread "
    "over the layer has colour everywhere, one of few units in few places."
)
@style.styled
def directions(run: Map) -> Figure | None:
    """Directions × units of each layer, those with the largest clear changes first; None where the
    map cuts none. Behind the name: over how many units it is spread, 1/Σv⁴."""
    rows = changes(run)
    cut = {x.name: x.directions for x in run.plan if x.directions and x.name in set(rows["lesion"])}
    if not cut:
        return None
    clear = rows.assign(harm=rows["harm"].where(rows["q"] < LEVEL))
    order = largest(clear[clear["lesion"].isin(list(cut))], len(cut))
    sites = [site for site in run.spec.sites if any(site in axes for axes in cut.values())]
    shown = {site: [name for name in order if site in cut[name]][:_MOST] for site in sites}
    told = labels(run)
    height = 1.2 + sum(0.9 + 0.24 * sum(len(cut[n][s]) for n in shown[s]) for s in sites)
    title = f"Over which units are the directions of {run.spec.agent} spread?"
    page = style.page(10.5, height, title)
    heights = [sum(len(cut[n][s]) for n in shown[s]) + 2 for s in sites]
    panels = page.subplots(len(sites), 1, squeeze=False, height_ratios=heights).ravel()
    mesh = None
    for axes, site in zip(panels, sites, strict=True):
        names, loadings = [], []
        for name in shown[site]:
            for k, axis in enumerate(cut[name][site]):
                values = np.array(axis)
                spread = 1.0 / float((values**4).sum())
                part = f" ({k + 1})" if len(cut[name][site]) > 1 else ""
                names.append(f"{told[name]}{part}: {spread:.0f} units")
                # The largest loading is positive: the sign of a direction says nothing.
                largest_at = int(np.argmax(np.abs(values)))
                loadings.append(values * np.sign(values[largest_at]))
        grid = np.array(loadings)
        mesh = axes.imshow(
            grid, cmap=style.DIVERGING + "_r", vmin=-0.6, vmax=0.6, aspect="auto",
            interpolation="nearest",
        )  # fmt: skip
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set_xlabel(f"unit of {site}")
        axes.grid(visible=False)
    assert mesh is not None
    bar = page.colorbar(mesh, ax=list(panels), shrink=0.7, aspect=20, pad=0.02, extend="both")
    bar.set_label("share of the unit in the direction")
    return page
