"""What the region studies share: a two-stage map, what is local in it, and what a cut improves."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pandas as pd
from PIL import Image

from rl_ablation.errors import LabError
from rl_ablation.formats import number
from rl_ablation.groupings.clusters import clusters
from rl_ablation.groupings.units import layers
from rl_ablation.mapping.claims import TOLD, double_dissociations, overall
from rl_ablation.mapping.evidence import differences, harm
from rl_ablation.mapping.lesion_map import lesion_map
from rl_ablation.mapping.map import Map
from rl_ablation.measures.registry import MEASURES
from rl_ablation.policies.policy import Policy
from rl_ablation.reports.film import film
from rl_ablation.reports.words import change, headlines
from rl_ablation.rollouts.activity import record_activity
from rl_ablation.rollouts.world import conditions_of
from rl_ablation.stats import LEVEL, RESAMPLES

HALF = 0.5
"""A behaviour is concentrated where one region holds at least this share of all harm to it."""

UNHARMED, LOCAL, ANY, SPREAD = "unharmed", "local", "no more than chance", "spread out"
Row = Mapping[Hashable, Any]


@dataclass(frozen=True)
class Size:
    """How large a map is: clusters a layer, episodes of both stages, random cuts at most."""

    k: int
    discovery: int = 12
    episodes: int = 24
    controls: int = 100
    horizon: int | None = None


def map_regions(agent: Policy, folder: Path, size: Size, seed: int) -> Map:
    """Map layers and functional clusters in two stages, with random cuts as controls."""
    conditions = conditions_of(agent) or ("",)
    activity = record_activity(agent, conditions=conditions, seed=seed, horizon=size.horizon)
    return lesion_map(
        agent,
        layers(agent) + clusters(agent, size.k, activity),
        episodes=size.episodes,
        discovery=size.discovery,
        controls=size.controls,
        seed=seed,
        folder=folder,
        horizon=size.horizon,
        activity=activity,
    )


def _regions(run: Map, measures: Sequence[str]) -> pd.DataFrame:
    rows = overall(run.effects())
    rows = rows.assign(harm=harm(rows).fillna(0.0))
    return rows[~rows["group"].isin(["layers"]) & rows["measure"].isin(measures)]


def locality(run: Map, measures: Sequence[str], seed: int = 0) -> pd.DataFrame:
    """Where each behaviour is kept, a row a behaviour.

    Told is, of the regions whose loss does clear harm on the confirmation's episodes, the one that
    did most on the discovery's. Its ``share`` of the harm that all regions do, each cut alone, is
    the confirmation's, with a percentile bootstrap interval over episodes. Regions that were not
    selected count as harmless.

    Returns:
        The columns of `Run.effects` for that region, and: harm; share, share_low, share_high;
        hit, of ``regions``, that do clear harm; verdict. A behaviour that no region harms clearly
        has NaN in their place.
    """
    rows = _regions(run, measures)
    confirmation = run.confirmation
    assert confirmation is not None
    changes = differences(confirmation.whole_table(), measures)
    told = []
    for name in measures:
        part = rows[rows["measure"] == name]
        sure = part[part["stage"] == "confirmed"]
        clear = (sure["q"] < LEVEL) & (sure["harm"] < -TOLD)
        better = MEASURES[name].better or 1
        if not clear.any():
            told.append({"measure": name, "verdict": UNHARMED, "hit": 0, "regions": len(part)})
            continue
        which = int((better * sure["delta_discovery"]).where(clear, np.inf).to_numpy().argmin())
        worst = sure.iloc[which]
        lost = -better * changes[name][list(sure["lesion"])].to_numpy()
        share = _shares(lost, which, seed)
        told.append(
            {
                **{str(key): value for key, value in worst.items()},
                **dict(zip(("share", "share_low", "share_high"), share, strict=True)),
                "hit": int(clear.sum()),
                "regions": len(part),
                "verdict": _verdict(share[0], float(worst["p_random"])),
            }
        )
    return pd.DataFrame(told)


def _shares(lost: np.ndarray, which: int, seed: int) -> tuple[float, float, float]:
    """Share of column ``which`` in what all lose, (episodes, regions), and its interval."""
    episodes = len(lost)
    weights = np.random.default_rng(seed).multinomial(
        episodes, [1 / episodes] * episodes, RESAMPLES
    )
    there = np.isfinite(lost)
    values = np.where(there, lost, 0.0)
    weights = np.vstack([np.ones(episodes), weights])
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.clip(np.nan_to_num((weights @ values) / (weights @ there)), 0.0, None)
        share = mean[:, which] / mean.sum(1)
    low, high = np.nanquantile(share[1:], [0.025, 0.975]) if np.isfinite(share[1:]).any() else (
        np.nan,
        np.nan,
    )  # fmt: skip
    return float(share[0]), float(low), float(high)


def _verdict(share: float, p_random: float) -> str:
    if not share >= HALF:
        return SPREAD
    return LOCAL if p_random <= LEVEL else ANY


def improvements(run: Map, measures: Sequence[str]) -> pd.DataFrame:
    """Cuts that looked better than intact in the discovery, and whether fresh seeds say so too.

    Returns:
        The rows of `Run.effects` of those lesions × behaviours, with harm and ``held``.
    """
    valued = [m for m in measures if MEASURES[m].better]
    first = overall(run.own_effects())
    first = first.assign(harm=harm(first).fillna(0.0))
    first = first[(first["q"] < LEVEL) & (first["harm"] > TOLD) & first["measure"].isin(valued)]
    first = first[first["group"] != "layers"]
    found = set(zip(first["lesion"], first["measure"], strict=True))
    rows = overall(run.effects())
    rows = rows.assign(harm=harm(rows).fillna(0.0))
    rows = rows[[key in found for key in zip(rows["lesion"], rows["measure"], strict=True)]]
    held = (rows["stage"] == "confirmed") & (rows["q"] < LEVEL) & (rows["harm"] > TOLD)
    return rows.assign(held=held)


def table(run: Map, measures: Sequence[str]) -> str:
    """Regions × behaviours as Markdown: the lesioned value, with marks; see `LEGEND`."""
    rows = overall(run.effects())
    told: dict[str, dict[str, str]] = {"intact": {}}
    for row in rows[rows["measure"].isin(measures)].to_dict("records"):
        mark = "*" if row["q"] < LEVEL else ""
        if mark and row["p_random"] <= LEVEL:
            mark = "**"
        label = MEASURES[row["measure"]].label
        name = f"{row['lesion']} ({row['units']})"
        told.setdefault(name, {})[label] = number(row["lesioned"]) + mark.replace("*", "\\*")
        told["intact"][label] = number(row["intact"])
    heads = [MEASURES[m].label for m in measures]
    lines = [["region (units)", *heads], ["---"] * (1 + len(heads))]
    lines += [[name, *(values[h] for h in heads)] for name, values in told.items()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


LEGEND = (
    "Values after the cut. \\* q < 5 % on fresh seeds; \\*\\* and further from the intact value "
    "than random cuts of the same size in the same layer (p < 5 %, not corrected for how many "
    "regions and behaviours are in the table)."
)


def tell_locality(row: Row) -> str:
    """Where a behaviour is, in a sentence; ``row`` is of `locality`."""
    label = MEASURES[row["measure"]].label
    if row["verdict"] == UNHARMED:
        return f"- **{label}**: no region's loss does it clear harm."
    share = (
        f"{row['share']:.0%} of all harm ({row['share_low']:.0%} to {row['share_high']:.0%}) is "
        f"done by {row['lesion']} ({row['units']:.0f} units)"
    )
    control = "no random cuts were drawn for it"
    if row["draws"] > 0:
        more = "more" if row["p_random"] <= LEVEL else "not clearly more"
        control = (
            f"{more} than {row['draws']:.0f} random cuts of its size (median change "
            f"{number(row['random'])}, p = {row['p_random']:.3f})"
        )
    spread = f"{row['hit']} of {row['regions']} regions harm it"
    value = change(_Namespace(row))
    return f"- **{label}**: {row['verdict']}. {spread}; {share}: {value}; {control}."


class _Namespace:
    """A row as `rl_ablation.reports.words.change` reads it."""

    def __init__(self, row: Row) -> None:
        self.__dict__.update({str(k): v for k, v in row.items()})


def tell_improvements(run: Map, measures: Sequence[str]) -> str:
    """Which cuts improve a behaviour and still do on fresh seeds, and at what price.

    A robot that stands still saves power, so an improvement that costs nothing else is told first.
    """
    found = improvements(run, measures)
    held = found[found["held"]]
    if found.empty:
        return "No cut improves any of these behaviours, not even on the seeds of the discovery."
    seemed = f"{len(found)} improvement{'s' * (len(found) != 1)} showed in the discovery"
    if held.empty:
        return f"{seemed}; none survives confirmation on fresh seeds."
    rows = overall(run.effects())
    rows = rows.assign(harm=harm(rows).fillna(0.0))
    valued = rows["measure"].map(lambda m: MEASURES[m].better != 0)
    costs = rows[(rows["q"] < LEVEL) & (rows["harm"] < -TOLD) & valued]
    free, dear = [], []
    for row in held.sort_values("harm", ascending=False, kind="stable").to_dict("records"):
        own = costs[costs["lesion"] == row["lesion"]]
        gain = f"{row['lesion']}: {change(_Namespace(row))}"
        if own.empty:
            free.append(gain)
        else:
            worst = own.iloc[int(own["harm"].to_numpy().argmin())]
            dear.append(f"{gain}, at the price of {change(worst)}")
    told = [*free, *dear][:3]
    survive = f"{len(held)} of them survive{'s' * (len(held) == 1)} on fresh seeds"
    return (
        f"{seemed}; {survive}, {len(free)} at no clear cost to any other behaviour. "
        f"{'. '.join(told)}."
    )


def tell_crossing(run: Map, measures: Sequence[str]) -> str:
    """The strongest double dissociation, or that there is none."""
    crossed = double_dissociations(run, measures)
    if not crossed:
        return "No two regions doubly dissociate any two of these behaviours."
    d = crossed[0]
    return (
        f"Double dissociation: {d.a} is needed for {MEASURES[d.x].label} and not for "
        f"{MEASURES[d.y].label}, {d.b} the other way round (the smallest of the four contrasts is "
        f"{d.strength:.0%} of a full-size change; random pairs of their sizes cross over as "
        f"strongly with p = {'–' if np.isnan(d.p_random) else f'{max(d.p_random, 0.001):.3f}'})."
    )


def tell(run: Map, measures: Sequence[str], where: pd.DataFrame) -> str:
    """Table and findings of a map as Markdown."""
    lines = [tell_locality(row) for row in where.to_dict("records")]
    more = [tell_improvements(run, measures), tell_crossing(run, measures)]
    return "\n\n".join([table(run, measures), LEGEND, "\n".join(lines), *more])


def film_still(run: Map) -> Path | None:
    """Film the first headline's cut and save the last picture; None where nothing can be drawn.

    The episode is the first that the damaged robot did not finish, if there is one.
    """
    found = headlines(run)
    target = run.folder / "film.png"
    if not found or target.exists():
        return target if target.exists() else None
    rows = run.table()
    short = rows[(rows["lesion"] == found[0].lesion) & rows["terminated"]]["episode"]
    episode = int(short.iloc[0]) if len(short) else None
    try:
        path = film(run, found[0].lesion, episode=episode, path=run.folder / "telling.mp4")
    except LabError:
        return None
    frames = imageio_ffmpeg.read_frames(str(path))
    meta = next(frames)
    *_, last = frames
    Image.frombytes("RGB", meta["size"], last).save(target, optimize=True)
    return target
