"""What the region studies share: a two-stage map, what a cut improves, and the findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pandas as pd
from PIL import Image

import rl_ablation as rl
from rl_ablation.analysis.localisation import UNHARMED
from rl_ablation.formats import number
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.mapping.claims import (
    changes,
    dissociated,
    double_dissociations,
    overall,
    told_beyond,
)
from rl_ablation.mapping.evidence import REPORTED_EFFECT, harm, with_own
from rl_ablation.measures.registry import parted
from rl_ablation.policies.graph import STATES
from rl_ablation.reports.words import change
from rl_ablation.rollouts.world import conditions_of
from rl_ablation.stats import LEVEL


@dataclass(frozen=True)
class Size:
    """How large a map is: clusters a layer, episodes of both stages, random cuts at most."""

    k: int
    discovery: int = 12
    episodes: int = 24
    controls: int = 100
    horizon: int | None = None


def map_regions(agent: rl.Policy, folder: Path, size: Size, seed: int) -> rl.Map:
    """Map layers and functional clusters in two stages, with random cuts as controls."""
    how: dict[str, Any] = {"seed": seed, "horizon": size.horizon}
    activity = rl.record_activity(agent, conditions=conditions_of(agent) or ("",), **how)
    how |= {"episodes": size.episodes, "discovery": size.discovery, "controls": size.controls}
    plan = rl.layers(agent) + rl.clusters(agent, size.k, activity)
    return rl.lesion_map(agent, plan, folder=folder, activity=activity, **how)


def _with_harm(effects: pd.DataFrame, run: rl.Map) -> pd.DataFrame:
    rows = overall(with_own(effects, run.own))
    return rows.assign(harm=harm(rows).fillna(0.0))


def improvements(run: rl.Map, measures: Sequence[str]) -> pd.DataFrame:
    """Cuts that looked better than intact in the discovery, and whether fresh seeds say so too.

    The rows of `Run.effects` of those lesions × behaviours, with harm and ``held``.
    """
    first, rows = _with_harm(run.own_effects(), run), changes(run)
    first = first.query(f"q < {LEVEL} and harm > {REPORTED_EFFECT} and group != 'layers'")
    key = ["lesion", "measure"]
    rows = rows[rows.set_index(key).index.isin(first.set_index(key).index)]
    rows = rows[rows["measure"].isin([m for m in measures if rl.MEASURES[m].better])]
    held = (rows["stage"] == "confirmed") & (rows["q"] < LEVEL) & (rows["harm"] > REPORTED_EFFECT)
    return rows.assign(held=held)


def table(run: rl.Map, measures: Sequence[str]) -> str:
    """Regions × behaviours as Markdown: the lesioned value, with marks; see `LEGEND`.

    The intact row is over all of the intact robot's episodes. An effect's own intact value is over
    those only in which the damaged robot has a number too, so it differs from lesion to lesion.
    """
    episodes = (run.confirmation or run).whole_table()
    intact = episodes[episodes["lesion"] == INTACT]
    own = {m: parted(m) for m in measures}
    cells: dict[str, dict[str, str]] = {"intact": {}}
    for m, (condition, measure) in own.items():
        here = intact[intact["condition"] == condition] if condition else intact
        cells["intact"][m] = number(float(here[measure].mean()))
    rows = changes(run)
    for row in rows[rows["measure"].isin(measures)].to_dict("records"):
        mark = "" if not row["q"] < LEVEL else "\\*\\*" if row["p_random"] <= LEVEL else "\\*"
        values = cells.setdefault(f"{row['lesion']} ({row['units']})", {})
        values[row["measure"]] = number(row["lesioned"]) + mark
    lines = [["region (units)", *(rl.MEASURES[m].label for m in measures)]]
    lines += [["---"] * len(lines[0])]
    lines += [[name, *(values[m] for m in measures)] for name, values in cells.items()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


LEGEND = (
    "Values after the cut, of the kind (resample or mean) under which the change is smaller. "
    "\\* q < 5 % on fresh seeds under both; \\*\\* and further from the intact value than random "
    "cuts of the same size in the same layer (p < 5 %, resampled, not corrected for how many "
    "regions and behaviours are in the table). The intact row is over all episodes of the intact "
    "robot; a change below is over the episodes in which the damaged robot has a number too."
)


def tell_locality(row: Mapping[Any, Any]) -> str:
    """Where a behaviour is, in a sentence; ``row`` is of `region_locality`."""
    label = rl.MEASURES[row["measure"]].label
    if row["verdict"] == UNHARMED:
        return f"- **{label}**: no region's loss does it clear harm."
    control = "no random divisions were drawn"
    if row["divisions"] > 0:
        more = "more" if row["p_local"] <= LEVEL else "not clearly more"
        control = (
            f"{more} than in the worst part of {row['divisions']:.0f} random divisions of the same "
            f"sizes (p = {row['p_local']:.3f}, over all behaviours)"
        )
    return (
        f"- **{label}**: {row['verdict']}. {row['hit']} of {row['regions']} regions harm it; "
        f"{row['share']:.0%} of the harm in {row['layer']} ({row['share_low']:.0%} to "
        f"{row['share_high']:.0%}) is done by {row['lesion']} ({row['units']:.0f} units): "
        f"{change(row)}; {control}."
    )


def tell_improvements(run: rl.Map, measures: Sequence[str]) -> str:
    """Which cuts improve a behaviour and still do on fresh seeds, and at what price.

    A robot that stands still saves power, so an improvement that costs nothing else comes first.
    """
    found = improvements(run, measures)
    held = found[found["held"]]
    if found.empty:
        return "No cut improves any of these behaviours, not even on the seeds of the discovery."
    seemed = f"{len(found)} improvement{'s' * (len(found) != 1)} showed in the discovery"
    if held.empty:
        return f"{seemed}; none survives confirmation on fresh seeds."
    costs = changes(run).query(f"q < {LEVEL} and harm < {-REPORTED_EFFECT}")
    costs = costs[costs["measure"].map(lambda m: rl.MEASURES[m].better != 0)]
    free, costly = [], []
    for row in held.sort_values("harm", ascending=False, kind="stable").to_dict("records"):
        own = costs[costs["lesion"] == row["lesion"]]
        gain = f"{row['lesion']}: {change(row)}"
        if own.empty:
            free.append(gain)
        else:
            costly.append(f"{gain}, at the price of {change(own.loc[own['harm'].idxmin()])}")
    survive = f"{len(held)} of them survive{'s' * (len(held) == 1)} on fresh seeds"
    return (
        f"{seemed}; {survive}, {len(free)} at no clear cost to any other behaviour. "
        f"{'. '.join([*free, *costly][:3])}."
    )


def tell_crossing(run: rl.Map, measures: Sequence[str]) -> str:
    """The strongest double dissociation, or that there is none beyond chance."""
    crossed = double_dissociations(run, measures)
    if not crossed:
        return "No two regions doubly dissociate any two of these behaviours."
    beyond = dissociated(run, measures)
    d = (beyond or crossed)[0]
    chance = "–" if np.isnan(d.p_random) else f"{d.p_random:.3f}"
    return (
        f"{'Double dissociation' if beyond else 'No double dissociation beyond chance'}: {d.a} is "
        f"needed for {rl.MEASURES[d.x].label} and not for {rl.MEASURES[d.y].label}, {d.b} the "
        f"other way round (the smallest of the four contrasts is {d.strength:.0%} of the reference "
        f"effect; random divisions show any two parts crossing over as strongly with p = {chance})."
    )


def tell_beyond(run: rl.Map) -> str:
    """What a study that only cuts to zero would have told, and does not hold."""
    rows = told_beyond(run)
    if rows.empty:
        return "Cuts to zero show nothing of size that the other kinds do not show."
    told = [
        f"{row['lesion']}, {change(row)}, the next layer {number(row['off_manifold'])} times as "
        "far from its usual states as normally"
        for row in rows.head(3).to_dict("records")
    ]
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    return f"Only when set to zero: {'; '.join(told)}{more}. No claim is made of these."


def tell(run: rl.Map, measures: Sequence[str], where: pd.DataFrame) -> str:
    """Table and findings of a map as Markdown."""
    lines = "\n".join(tell_locality(row) for row in where.to_dict("records"))
    more = [tell_improvements(run, measures), tell_crossing(run, measures), tell_beyond(run)]
    return "\n\n".join([table(run, measures), LEGEND, lines, *more])


def tell_memory(run: rl.Map, measures: Sequence[str]) -> str:
    """What is lost with a layer's output, hidden state and cell state, each cut as a whole."""
    rows = changes(run)
    rows = rows[(rows["group"] == "layers") & (rows["q"] < LEVEL)]
    lines = []
    for site in run.policy.network.sizes:
        layer, dot, state = site.partition(".")
        if not any(other.startswith(f"{layer}.") for other in run.policy.memory):
            continue
        part = STATES[dot + state] if dot else "output"
        own = rows[(rows["lesion"] == site) & rows["measure"].isin(measures)]
        if own.empty:
            lines.append(f"- Without the **{part}** of {layer} no behaviour changes clearly.")
            continue
        largest = own.loc[own["effect"].abs().sort_values(ascending=False, kind="stable").index]
        told = "; ".join(change(row) for row in largest.head(3).to_dict("records"))
        lines.append(f"- Without the **{part}** of {layer}: {told}; {len(own)} in all.")
    return "Memory, each part of it cut as a whole:\n\n" + "\n".join(lines)


def film_still(run: rl.Map) -> Path | None:
    """Film the first headline's cut and save the last picture; None where nothing can be drawn.

    The episode is the first that the damaged robot did not finish, if there is one.
    """
    found = rl.headlines(run)
    target = run.folder / "film.png"
    if not found or target.exists():
        return target if target.exists() else None
    rows = run.table()
    short = rows[(rows["lesion"] == found[0].lesion) & rows["terminated"]]["episode"]
    episode = next(iter(short.tolist()), None)
    try:
        path = rl.film(run, found[0].lesion, episode=episode, path=run.folder / "telling.mp4")
    except rl.LabError:
        return None
    meta, *_, last = imageio_ffmpeg.read_frames(str(path))
    Image.frombytes("RGB", meta["size"], last).save(target, optimize=True)
    return target
