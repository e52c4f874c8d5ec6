"""Two maps compared: the sentences and the figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rl_ablation.analysis.comparison import Comparison, differ
from rl_ablation.analysis.consistency import EFFECTS, NAME
from rl_ablation.files import write_atomically
from rl_ablation.formats import Estimate, listed, number
from rl_ablation.lesions.methods import KINDS
from rl_ablation.mapping.claims import distinct
from rl_ablation.mapping.run import RUNS
from rl_ablation.measures.registry import ALIVE, MEASURES
from rl_ablation.reports import style
from rl_ablation.reports.labels import labels
from rl_ablation.stats import LEVEL

_ROWS, _PANELS = 14, 4


def comparison_text(found: Comparison) -> str:
    """What was compared, what differs and what does not, and what cannot be compared; Markdown."""
    one, other = found.names
    parts = [f"# {one} and {other}", _basis(found), "## The intact robots", _intact(found)]
    parts += ["## What the same loss does", *_regions(found)]
    if found.left_out:
        parts += ["## What cannot be compared", _points(found.left_out)]
    return "\n\n".join(parts) + "\n"


def save_comparison(found: Comparison, folder: Path | None = None) -> Path:
    """Write text, figure and tables; without a folder into one of the working folder's runs."""
    if folder is None:
        folder = RUNS / f"compare-{found.a.digest[:8]}-{found.b.digest[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "comparison.md", comparison_text(found))
    write_atomically(folder / "comparison.csv", found.table.to_csv(index=False))
    write_atomically(folder / "intact.csv", found.intact.to_csv(index=False))
    if (figure := comparison_figure(found)) is not None:
        style.save(figure, folder / "comparison.png")
    return folder


def _points(lines: Any) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _basis(found: Comparison) -> str:
    """How regions were matched, and on what it all rests."""
    one, other = found.names
    pairs = found.table.drop_duplicates(["region_a", "region_b"])
    by_name = int((pairs["matched"] == NAME).sum())
    text = (
        f"{len(pairs)} pairs of regions are compared, {by_name} of them by name: both runs made "
        "the very same cut. That these units are for the same is only said if one network came "
        "from the other, or the cut is a whole layer, a sensor or a motor. "
    )
    for group, alike in found.similar.items():
        count = int(((pairs["matched"] == EFFECTS) & (pairs["group"] == group)).sum())
        text += (
            f"{count} {group} are matched by what their loss does, so that they agree best: "
            f"similarity {number(alike.score)}, with behaviours shuffled over regions "
            f"{number(float(alike.null.mean()))} (p = {alike.p:.2g}). "
        )
        if alike.p >= LEVEL:
            text += "That is no more than chance: a pair is the most alike, not the same region. "
    text += f"All were cut by {listed(found.kinds)}. " if found.kinds else ""
    if found.kinds and not any(KINDS[kind].within for kind in found.kinds):
        text += (
            "None of these keeps the network within its range, so what differs may be the shock to "
            "the next layer. "
        )
    how = "the same episodes, compared one by one" if found.paired else "other episodes in each run"
    n = found.intact["n"].max() if len(found.intact) else 0
    text += f"All differences are {other} − {one}, on {n} {'fresh ' * found.confirmed}episodes: "
    text += f"{how}. q is corrected for all {len(found.table)} pairs × behaviours."
    if not found.confirmed:
        text += (
            " Not both runs confirmed what they found on fresh seeds, so all that follows is a "
            "candidate."
        )
    return text


def _intact(found: Comparison) -> str:
    rows = found.intact
    told = differ(rows)
    lines = []
    for row in rows[told].to_dict("records"):
        measure = MEASURES[row["measure"]]
        values = f"{number(row['value_a'])} and {number(row['value_b'])} {measure.unit}".rstrip()
        lines.append(f"{measure.label} {values}: difference {_interval(row)}")
    rest = listed([MEASURES[m].label for m in rows.loc[~told, "measure"]])
    return _points([*lines, *[f"no clear difference of some size: {rest}"] * bool(rest)])


def _interval(row: Mapping[Any, Any]) -> str:
    """A difference with its interval; the unit stands before it."""
    if np.isfinite(row["ci_low"]):
        return f"{Estimate.of(row, 'difference', 'ci_low', 'ci_high')}"
    return f"{number(row['difference'])} (alike in all episodes)"


def _regions(found: Comparison) -> list[str]:
    """What is told of each pair: what differs clearly, or else the largest change of both."""
    named, lines, count = _pair_names(found), [], 0
    for key, part in found.told.groupby(["region_a", "region_b"], sort=False):
        sure = part[part["clear"]].head(3)
        count += len(sure) > 0
        if len(sure):
            what = "; ".join(map(_difference, sure.to_dict("records")))
        else:
            little = part[(part["q"] < LEVEL) & (part["ci_low"] * part["ci_high"] > 0)]
            how = "differs little" if len(little) else "no clear difference"
            row = little.iloc[0] if len(little) else part.sort_values("size").iloc[-1]
            what = f"{how}; {_difference(row.to_dict())}"
        lines.append(f"{named[key]}: {what}")
    if not lines:
        kind = "Neither run has a claim" if found.confirmed else "Neither run has a clear change"
        return [f"{kind} in a pair of regions, so there is nothing to compare."]
    head = f"{count} of {len(lines)} pairs with a claim in either run differ clearly."
    rest = " That no difference is clear does not show that there is none: see its interval."
    return [head + rest * (count < len(lines)), _points(lines)]


def _difference(row: Mapping[Any, Any]) -> str:
    measure = MEASURES[row["measure"]]
    values = f"{number(row['change_a'])} and {number(row['change_b'])} {measure.unit}".rstrip()
    return f"{measure.label} changes by {values} ({row['kind']}): difference {_interval(row)}"


def _pair_names(found: Comparison) -> dict[Any, str]:
    """(region, region) → what people read for the pair, with how many units it is."""
    ours, theirs = labels(found.a), labels(found.b)
    names = {}
    for row in found.table.drop_duplicates(["region_a", "region_b"]).to_dict("records"):
        a, b = row["region_a"], row["region_b"]
        same = row["matched"] == NAME
        units = f"{row['units_a']}" if same else f"{row['units_a']}, {row['units_b']}"
        text = ours[a] if same else f"{ours[a]} ↔ {theirs[b]}"
        names[a, b] = f"{text} ({units} units)" if units != "1" else text
    return names


@style.styled
def comparison_figure(found: Comparison) -> Figure | None:
    """Matched regions, a panel a behaviour: both changes, and the interval of their difference.

    None where neither run has a claim.
    """
    rows = found.told
    if rows.empty:
        return None
    wide = rows.assign(lesion=rows["region_a"] + rows["region_b"], harm=rows["share"])
    taken = list(rows["measure"].unique())
    chosen = distinct(wide, [m for m in taken if m + ALIVE not in taken], _PANELS)
    rows = rows[rows["measure"].isin(chosen)]
    keys = list(dict.fromkeys(zip(rows["region_a"], rows["region_b"], strict=True)))[:_ROWS]
    named, (one, other) = _pair_names(found), found.names
    title = f"What the same loss does in {one} and in {other}"
    figure = style.page(2.2 + 2.2 * len(chosen), 1.4 + 0.3 * len(keys), title)
    panels = figure.subplots(1, len(chosen), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, (MEASURES[name] for name in chosen), strict=True):
        style.name_rows(axes, [named[key] for key in keys])
        for row in rows[rows["measure"] == measure.name].to_dict("records"):
            if (key := (row["region_a"], row["region_b"])) in keys:
                _draw(axes, keys.index(key), row)
        axes.set_xlabel(f"change [{measure.unit}]" if measure.unit else "change")
        axes.set_title(measure.label, loc="center")
        axes.locator_params(axis="x", nbins=4)
    kind = "a claim" if found.confirmed else "a clear change, not confirmed,"
    style.note(
        figure,
        f"ring: change without the region in {one}; diamond: in {other}, with the 95 % interval of "
        f"the difference laid off from the ring; only what is {kind} in either\n"
        f"filled: the two differ clearly (false discovery rate {LEVEL:.0%}), orange: worse in "
        f"{other}, purple: better; hollow: not clear, or small",
    )
    return figure


def _draw(axes: Any, y: float, row: Mapping[Any, Any]) -> None:
    """Both changes at a height, and the interval of their difference."""
    colour = style.verdict_colour(row["share"], row["clear"])
    axes.plot(row["change_a"], y, "o", color="#444444", mfc="none", ms=8, zorder=3)
    ends = [row["change_a"] + row[end] for end in ("ci_low", "ci_high")]
    shown = Estimate(row["change_b"], *(e if np.isfinite(e) else row["change_b"] for e in ends))
    style.estimate(axes, y, shown, colour, "D", filled=row["clear"])
