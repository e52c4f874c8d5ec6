"""One style for all figures: the page, the colours, heatmaps, rows with their intervals.

Orange is worse, purple is better, white or grey is no change: people with any of the common kinds
of colour blindness can tell the pair apart.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure, FigureBase

from rl_ablation.files import write_atomically
from rl_ablation.formats import Estimate
from rl_ablation.measures.registry import MEASURES

ORANGE, PURPLE, GREY = WORSE, BETTER, UNCLEAR = "#b35806", "#542788", "#9a9a9a"
INK = "#222222"
DIVERGING = "PuOr"
STYLE: Any = {
    "figure.dpi": 150,
    "text.parse_math": False,  # a name may hold dollar signs
    "figure.constrained_layout.use": True,
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
}

P = ParamSpec("P")
Drawn = TypeVar("Drawn", bound=Figure | None)


def styled(draw: Callable[P, Drawn]) -> Callable[P, Drawn]:
    """Let a function draw its figure in this style; other figures are left as they are."""

    @wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> Drawn:
        with mpl.rc_context(STYLE):
            figure = draw(*args, **kwargs)
            for axes in figure.axes if figure is not None else ():
                for axis in (axes.xaxis, axes.yaxis):
                    axis.get_major_ticks(1)  # made now: later they would not have this style
        return figure

    return in_style


def page(width: float, height: float, title: str = "", size: float = 11) -> Figure:
    """An empty figure, in inches, under a title, of which there is as much as its width holds."""
    figure = Figure(figsize=(width, height))
    most = int(width * 72 / (0.45 * size))
    if title:
        heading(figure, "\n".join(short(line, most) for line in title.splitlines()), size)
    return figure


def short(text: str, most: int = 44) -> str:
    """A name as a figure has room for it."""
    return text if len(text) <= most else text[: most - 1] + "…"


def room(names: Sequence[str], usual: float = 1.6) -> float:
    """Inches that the names of rows need beyond the usual."""
    return max(0.0, 0.066 * max((len(short(name)) for name in names), default=0) - usual)


def save(figure: Figure, path: Path, **how: Any) -> None:
    """Write a figure as PNG, whole or not at all; ``how`` is for matplotlib's ``savefig``.

    No line tells of a sign that no font has.
    """
    picture = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(picture, format="png", bbox_inches="tight", **how)
    write_atomically(path, picture.getvalue())


def note(figure: Figure, text: str, size: float = 7.5) -> None:
    """Write small print below all else, broken to the page's width; the page grows by it."""
    wide = int(figure.get_figwidth() * 72 / (0.5 * size))
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, wide)]
    figure.set_figheight(figure.get_figheight() + 1.4 * size / 72 * len(lines))
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=size)


def heading(figure: FigureBase, title: str, size: float = 11) -> None:
    """Write a title over a figure or a part of one."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=size, fontweight="bold")


def short_label(measure: str) -> str:
    """A measure's label without saying that it is taken while the robot is alive."""
    return MEASURES[measure].label.removesuffix(" (alive)")


def verdict_colour(value: float, clear: bool) -> str:
    """Of a change: worse or better where it is clear, else grey."""
    return (BETTER if value > 0 else WORSE) if clear else UNCLEAR


def estimate(
    axes: Axes, y: float, found: Estimate, colour: str, marker: str = "o", *,
    filled: bool = True, label: str | None = None,
) -> None:  # fmt: skip
    """Draw a value and its interval, lying at a height; see `name_rows`."""
    axes.plot([found.low, found.high], [y, y], color=colour, lw=2)
    face = colour if filled else "white"
    axes.plot(found.value, y, marker, color=colour, mfc=face, ms=6.5, label=label)


def name_rows(axes: Axes, names: Sequence[str], zero: float | None = 0.0) -> None:
    """Name the rows of a panel, 0, 1, … from the top, and draw the line of no change."""
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    if zero is not None:
        axes.axvline(zero, color="#444444", lw=0.8)


def heatmap(
    axes: Axes, values: Any, names: Sequence[str], heads: Sequence[str], *, limit: float = 1.0,
    cells: Any = None, above: bool = False, turn: float = 55,
) -> QuadMesh:  # fmt: skip
    """Rows × columns (R, C) in colour, 0 white, full at the limit; NaN is left out.

    Cells are texts to write into them, (R, C). The heads of columns can stand above, and are turned
    by so many degrees.
    """
    sns.heatmap(
        np.asarray(values, float), ax=axes, cmap=DIVERGING, vmin=-limit, vmax=limit, annot=cells,
        fmt="", annot_kws={"size": 8}, linewidths=0.5, linecolor="white", cbar=False,
    )  # fmt: skip
    side = "center" if turn == 0 else "left" if above else "right"
    at = np.arange(len(heads)) + 0.5
    axes.set_xticks(
        at, [short(head) for head in heads], rotation=turn, ha=side, rotation_mode="anchor"
    )
    axes.set_yticks(np.arange(len(names)) + 0.5, [short(name) for name in names], rotation=0)
    if above:
        axes.xaxis.tick_top()
    axes.tick_params(length=0)
    mesh = axes.collections[0]
    assert isinstance(mesh, QuadMesh)
    return mesh


def colour_bar(
    image: ScalarMappable, axes: Axes | Sequence[Axes],
    labels: Sequence[str] = ("worse", "no change", "better"), **how: Any,
) -> Colorbar:  # fmt: skip
    """A bar beside panels that tells what both ends and the middle of their colours mean."""
    first = axes if isinstance(axes, Axes) else axes[0]
    bar = first.figure.colorbar(image, ax=axes, **{"aspect": 14, "pad": 0.01, "shrink": 0.8, **how})
    low, high = image.get_clim()
    bar.set_ticks([low, (low + high) / 2, high], labels=list(labels))
    return bar
