"""The figure of the study connections: what each rule foretells, by layers and networks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rl_ablation.formats import Estimate
from rl_ablation.reports import style
from rl_ablation.reports.style import GREY, ORANGE, PURPLE


@style.styled
def ranking(found: pd.DataFrame) -> Figure:
    """A panel a pair of layers and network: a line a rule, with its interval and the controls."""
    networks, rules = list(found["network"].unique()), list(found["rule"].unique())
    places = list(dict.fromkeys(zip(found["site"], found["to"], strict=True)))
    page = style.page(
        2.6 + 2.7 * len(places), 0.9 + len(networks) * (0.55 + 0.24 * len(rules)),
        "What foretells how much a connection matters",
    )  # fmt: skip
    panels = page.subplots(len(networks), len(places), squeeze=False, sharex=True, sharey=True)
    parts = dict(list(found.set_index("rule").groupby(["network", "site", "to"])))
    there = np.array([[(name, *place) in parts for place in places] for name in networks])
    for row, network in enumerate(networks):
        for column, (site, to) in enumerate(places):
            axes = panels[row, column]
            axes.set_visible(there[row, column])
            if not there[row, column]:
                continue
            part = parts[network, site, to].loc[rules]
            shuffled, best = part["shuffled"].max(), part["ceiling"].iloc[0]
            axes.axvspan(-shuffled, shuffled, color="#dddddd", lw=0)
            axes.axvline(best, color="#444444", lw=1, ls=":")
            style.name_rows(axes, rules)
            for y, told in enumerate(part.to_dict("records")):
                value = Estimate.of(told, "rho", "ci_low", "ci_high")
                clear = value.sign != 0 and told["p"] < 0.05
                colour = (PURPLE if value.value > 0 else ORANGE) if clear else GREY
                style.estimate(axes, y, value, colour, filled=clear)
            axes.tick_params(labelbottom=not there[row + 1 :, column].any())
            if not there[:row, column].any():
                axes.set_title(f"{site} → {to}", loc="center")
            if not there[row, column + 1 :].any():
                axes.text(1.06, 0.5, network, transform=axes.transAxes, va="center", rotation=-90)
    panels[0, 0].set_xlim(-1, 1)
    style.note(
        page,
        "rank correlation with the effect of the cut, 95 % interval over senders and receivers; "
        "grey band: 95 % of effects whose whole senders and receivers changed places; dotted: what "
        "a rule without error would show, as effects repeat from episodes to episodes; filled: "
        "beyond both 0 and such effects",
    )
    return page
