"""A film over training: the map of one training, from the untrained network to the last one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw

from experiments.studies.development.measuring import BEHAVIOURS, Training
from rl_ablation.analysis.layout import grid_shape
from rl_ablation.files import replacing
from rl_ablation.formats import number
from rl_ablation.reports import style
from rl_ablation.reports.film import film_writer
from rl_ablation.stats import finite_mean

WIDTH, HEIGHT = 980, 620
FPS, HOLD, BLEND = 10, 14, 6  # frames: a second, of a moment, from one to the next
_LEFT, _TOP, _CELL, _COLUMN, _ROW = 66, 96, 19, 182, 178
_CURVE = (66, 482, 700, 574)  # left, top, right, bottom
_INK, _SOFT, _PAPER, _BORDER = (25, 25, 25), (110, 110, 110), (255, 255, 255), (60, 60, 60)


def pick(found: Sequence[Training]) -> Training:
    """The training to show: the median one in all that cuts of its regions cost over time."""
    lost = [float(np.maximum(-t.harm(), 0.0).sum()) for t in found]
    return found[int(np.argsort(lost, kind="stable")[(len(lost) - 1) // 2])]


def make(shown: Training, path: Path) -> Path:
    """Film the map of a training over its moments; the colours of all frames have one scale.

    Each moment is held; between two the colours are blended, where nothing was measured.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    last = len(shown.steps) - 1
    times = [float(c) for c in range(last + 1) for _ in range(HOLD)]
    times += [c + k / BLEND for c in range(last) for k in range(1, BLEND)] + [float(last)] * HOLD
    with (
        replacing(path) as temporary,
        film_writer(path, temporary, (WIDTH, HEIGHT), FPS) as write,
    ):
        for time in sorted(times):
            write(np.asarray(page(shown, time)))
    return path


def still(shown: Training, path: Path) -> Path:
    """The last frame as a picture."""
    page(shown, len(shown.steps) - 1.0).save(path, optimize=True)
    return path


def page(shown: Training, time: float) -> Image.Image:
    """A frame; whole numbers of ``time`` are moments."""
    maps = shown.harm()
    limit = float(np.abs(maps).max()) or 1.0
    low, share = int(time), time % 1.0
    high = min(low + 1, len(maps) - 1)
    here = (1 - share) * maps[low] + share * maps[high]
    image = Image.new("RGB", (WIDTH, HEIGHT), _PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((_LEFT, 10), f"{shown.name}: what is lost when a region is cut, while it learns",
              fill=_INK, font_size=19)  # fmt: skip
    draw.text((_LEFT, 38), "each square a unit, lines around regions; the smaller change of "
              "resample and mean, not tested", fill=_SOFT, font_size=14)  # fmt: skip
    near = low if share < 0.5 else high
    steps = f"{shown.steps[near]:,} steps" if shown.steps[near] else "untrained"
    draw.text((WIDTH - 12, 10), steps, fill=_INK, font_size=19, anchor="ra")
    for m, behaviour in enumerate(BEHAVIOURS):
        left = _LEFT + m * _COLUMN
        draw.text((left, _TOP - 22), style.short_label(behaviour), fill=_INK, font_size=15)
        for row, site in enumerate(shown.signs):
            if m == 0:
                draw.text((left - 10, _TOP + row * _ROW), site, fill=_SOFT, font_size=15,
                          anchor="ra")  # fmt: skip
            _grid(draw, shown, site, here[:, m] / limit, left, _TOP + row * _ROW)
    _curve(draw, shown, time)
    _scale(draw, limit)
    return image


def _grid(
    draw: ImageDraw.ImageDraw, shown: Training, site: str, harm: np.ndarray, left: int, top: int
) -> None:
    """A layer's units, those of a region side by side, in the colours of what its cut does."""
    regions = [(k, x.cut[site]) for k, x in enumerate(shown.regions) if site in x.cut]
    order = [k for k, units in regions for _ in units]
    order += [-1] * (shown.signs[site].shape[-1] - len(order))  # dead units, in no region
    wide = grid_shape(len(order))[1]
    colours = mpl.colormaps[style.DIVERGING]
    for place, region in enumerate(order):
        x, y = left + place % wide * _CELL, top + place // wide * _CELL
        shade = (0.93, 0.93, 0.93) if region < 0 else colours(0.5 + 0.5 * harm[region])[:3]
        box = (x, y, x + _CELL - 2, y + _CELL - 2)
        draw.rectangle(box, fill=tuple(int(255 * c) for c in shade), outline=(226, 226, 226))
    for place, region in enumerate(order):
        x, y = left + place % wide * _CELL - 1, top + place // wide * _CELL - 1
        if place >= wide and order[place - wide] != region:
            draw.line((x, y, x + _CELL, y), fill=_BORDER, width=1)
        if place % wide and order[place - 1] != region:
            draw.line((x, y, x, y + _CELL), fill=_BORDER, width=1)


def _curve(draw: ImageDraw.ImageDraw, shown: Training, time: float) -> None:
    """What the intact robot drives over the training, and where it is now."""
    left, top, right, bottom = _CURVE
    laps = finite_mean(shown.intact[:, :, BEHAVIOURS.index("progress")], 1)
    peak = max(float(laps.max()), 1e-9)
    places = np.arange(len(laps))
    at = np.interp(time, places, shown.steps)
    draw.line((left, bottom, right, bottom), fill=_SOFT)
    draw.text((left, top - 24), f"laps of the intact robot, {number(peak)} at most; dots: moments "
              "that were measured", fill=_SOFT, font_size=14)  # fmt: skip

    def spot(steps: float, value: float) -> tuple[float, float]:
        x = left + (right - left) * steps / shown.steps[-1]
        return x, bottom - (bottom - top) * max(value, 0.0) / peak

    spots = [spot(*pair) for pair in zip(shown.steps, laps, strict=True)]
    draw.line(spots, fill=_SOFT, width=2)
    for x, y in spots:
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=_SOFT)
    x, y = spot(float(at), float(np.interp(at, shown.steps, laps)))
    draw.ellipse((x - 7, y - 7, x + 7, y + 7), fill=_INK)
    draw.text((left, bottom + 6), "0", fill=_SOFT, font_size=13)
    draw.text((right, bottom + 6), f"{shown.steps[-1]:,} steps", fill=_SOFT, font_size=13,
              anchor="ra")  # fmt: skip


def _scale(draw: ImageDraw.ImageDraw, limit: float) -> None:
    """What the colours mean, the same in all frames."""
    left, top, wide = 748, 500, 210
    colours = mpl.colormaps[style.DIVERGING]
    for x in range(wide):
        shade = colours(x / (wide - 1))[:3]
        draw.line((left + x, top, left + x, top + 16), fill=tuple(int(255 * c) for c in shade))
    for x, text, anchor in (
        (left, "worse", "la"), (left + wide // 2, "0", "ma"), (left + wide, "better", "ra"),
    ):  # fmt: skip
        draw.text((x, top + 22), text, fill=_INK, font_size=14, anchor=anchor)
    draw.text((left, top - 24), f"ends: {number(limit)} of a full change", fill=_SOFT,
              font_size=14)  # fmt: skip
