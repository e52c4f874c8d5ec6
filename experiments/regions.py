"""What the region studies share: a map with random controls, its table, and its findings."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg
import pandas as pd
from PIL import Image

from experiments.maps import find_agent, make_map
from rl_ablation.errors import LabError
from rl_ablation.film import film
from rl_ablation.findings import (
    LEVEL,
    against_random,
    behaviours,
    distinct,
    double_dissociations,
    harm,
    headlines,
    number,
    overall,
)
from rl_ablation.measures import MEASURES
from rl_ablation.policy import write_atomically
from rl_ablation.sweep import Run

DOCS = Path(__file__).parent.parent / "docs" / "figures"


def map_regions(
    agent: str,
    *,
    clusters: int,
    draws: int,
    episodes: int,
    seed: int,
    folder: Path | None,
    films: int,
    command: str,
) -> Run:
    """Map layers and functional clusters, with random cuts of the clusters' sizes as controls."""
    return make_map(
        find_agent(agent),
        groups=f"layers,clusters:{clusters},random:{draws}",
        episodes=episodes,
        seed=seed,
        folder=folder,
        films=films,
        command=command,
    )


def table(run: Run, measures: Sequence[str]) -> pd.DataFrame:
    """Regions × behaviours: the lesioned value, * where the change is significant (q < 5 %),
    and ** where it is also worse than 95 % of random cuts of that size."""
    rows = overall(run.effects())
    controls = against_random(run).set_index(["lesion", "measure"])["p_random"].to_dict()
    told: dict[str, dict[str, str]] = {}
    for row in rows[rows["measure"].isin(measures)].to_dict("records"):
        mark = "*" if row["q"] < LEVEL else ""
        if mark and controls.get((row["lesion"], row["measure"]), 1.0) <= 0.05:
            mark = "**"
        name = f"{row['lesion']} ({row['units']})"
        label = MEASURES[row["measure"]].label
        told.setdefault(name, {})[label] = number(row["lesioned"]) + mark
        told.setdefault("intact", {})[label] = number(row["intact"])
    frame = pd.DataFrame(told).T
    return frame.loc[["intact", *(i for i in frame.index if i != "intact")]]


def paragraph(run: Run, measures: Sequence[str]) -> str:
    """The findings in sentences, from the numbers alone."""
    rows = overall(run.effects())
    rows = rows[~rows["group"].isin(["layers"])]
    rows = rows.assign(harm=harm(rows).fillna(0.0))
    controls = against_random(run).set_index(["lesion", "measure"])
    sentences = []
    for name in measures:
        part = rows[rows["measure"] == name].sort_values("harm", kind="stable")
        label = MEASURES[name].label
        worst = part.iloc[0]
        hit = int(((part["harm"] < -0.2) & (part["q"] < LEVEL)).sum())
        if worst["q"] >= LEVEL or worst["harm"] > -0.2:
            sentences.append(f"No region's loss does much harm to {label}.")
            continue
        spread = "in one region" if hit == 1 else f"spread over {hit} of {len(part)} regions"
        text = (
            f"Harm to {label} is {spread}, most in {worst['lesion']} "
            f"({worst['units']} units), {number(worst['intact'])} → {number(worst['lesioned'])}"
            f"{' ' + worst['unit'] if worst['unit'] else ''} "
            f"(95 % CI of the change {number(worst['ci_low'])} to {number(worst['ci_high'])})"
        )
        if (worst["lesion"], name) in controls.index:
            control = controls.loc[(worst["lesion"], name)]
            more = "more" if control["p_random"] <= 0.05 else "not clearly more"
            p, draws = control["p_random"], int(control["draws"])
            text += f"; {more} than random cuts of its size (p = {p:.2f}, {draws} draws)"
        sentences.append(text + ".")
    better = rows[(rows["harm"] > 0.2) & (rows["q"] < LEVEL) & rows["measure"].isin(measures)]
    if len(better):
        best = better.sort_values("harm").iloc[-1]
        count = better["lesion"].nunique()
        sentences.append(
            f"{count} cut{'s improve' if count > 1 else ' improves'} a behaviour, most "
            f"{best['lesion']}: {MEASURES[best['measure']].label} {number(best['intact'])} → "
            f"{number(best['lesioned'])} {best['unit']}; the best of many on these seeds, not yet "
            "confirmed on others."
        )
    crossed = double_dissociations(run, measures)
    if crossed:
        d = crossed[0]
        sentences.append(
            f"Double dissociation: {d.a} is needed for {MEASURES[d.x].label} and not for "
            f"{MEASURES[d.y].label}, {d.b} the other way round (the smallest of the four contrasts "
            f"is {d.strength:.0%} of a full-size change)."
        )
    else:
        sentences.append("No two regions doubly dissociate any two of these behaviours.")
    return " ".join(sentences)


def finish(run: Run, measures: Sequence[str] | None, docs: str | None) -> None:
    """Print the table and the findings, keep them in the run folder, copy pictures for the docs.

    Args:
        run: The map.
        measures: Behaviours to tell of; None takes the distinct ones.
        docs: Name under which to copy figures into ``docs/figures``; None copies none.
    """
    if measures is None:
        rows = overall(run.effects())
        measures = distinct(rows.assign(harm=harm(rows)), behaviours(run), 6)
    lines = _markdown(table(run, measures))
    text = paragraph(run, measures)
    print(f"\n{lines}\n\n* q < 5 %; ** and worse than 95 % of random cuts of its size\n\n{text}\n")
    write_atomically(run.folder / "findings.md", f"{lines}\n\n{text}\n")
    print(f"report: {run.folder / 'report.html'}")
    if docs is None:
        return
    DOCS.mkdir(parents=True, exist_ok=True)
    for name in ("heatmap", "network", "intervals"):
        _shrink(run.folder / "figures" / f"{name}.png", DOCS / f"{docs}_{name}.png")
    shutil.copyfile(run.folder / "findings.md", DOCS.parent / f"{docs}_findings.md")
    if found := headlines(run):
        try:
            still(_telling_film(run, found[0].lesion), DOCS / f"{docs}_film.png")
        except LabError as error:
            print(f"no film: {error}")


def _markdown(frame: pd.DataFrame) -> str:
    rows = [["region", *frame.columns], ["---"] * (1 + len(frame.columns))]
    rows += [[name, *values] for name, values in zip(frame.index, frame.to_numpy(), strict=True)]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def _shrink(source: Path, target: Path, width: int = 1600) -> None:
    """Copy a picture at the width that the README shows."""
    picture = Image.open(source).convert("RGB")
    if picture.width > width:
        picture = picture.resize((width, round(picture.height * width / picture.width)))
    picture.save(target, optimize=True)


def _telling_film(run: Run, lesion: str) -> Path:
    """A film of the first episode that the damaged robot did not finish, if there is one."""
    rows = run.table()
    cut_short = rows[(rows["lesion"] == lesion) & rows["terminated"]]["episode"]
    episode = int(cut_short.iloc[0]) if len(cut_short) else None
    return film(run, lesion, episode=episode, path=run.folder / "telling.mp4")


def still(film_path: Path, target: Path) -> None:
    """Save the last picture of a film."""
    frames = imageio_ffmpeg.read_frames(str(film_path))
    meta = next(frames)
    pictures = list(frames)
    Image.frombytes("RGB", meta["size"], pictures[-1]).save(target, optimize=True)
