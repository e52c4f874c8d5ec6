"""The style of figures: it holds inside a figure and nowhere else."""

import matplotlib as mpl
import numpy as np

from rl_ablation.formats import Estimate
from rl_ablation.reports import style


@style.styled
def example():
    figure = style.page(6, 3, "Title")
    left, right = figure.subplots(1, 2)
    style.name_rows(left, ["a", "b"])
    style.estimate(left, 1, Estimate(0.5, 0.2, 0.9), style.BETTER, filled=False)
    values = [[-2.0, np.nan], [0.0, 1.0]]
    mesh = style.heatmap(right, values, ["r", "s"], ["x", "y"], limit=2, above=True)
    style.colour_bar(mesh, right)
    return figure


def test_the_style_holds_inside_and_nowhere_else():
    before = dict(mpl.rcParams)
    figure = example()
    assert dict(mpl.rcParams) == before
    figure.canvas.draw()
    left = figure.axes[0]
    assert not left.spines["top"].get_visible()
    assert left.xaxis.get_major_ticks()[1].label1.get_size() == style.STYLE["xtick.labelsize"]
    assert [t.get_text() for t in left.get_yticklabels()] == ["a", "b"]
    low, high = left.get_ylim()
    assert low > high, "row 0 is at the top"


def test_heatmaps_are_symmetric_about_no_change():
    mesh = example().axes[1].collections[0]
    assert mesh.get_clim() == (-2, 2)
    assert [t.get_text() for t in example().axes[2].get_yticklabels()] == [
        "worse", "no change", "better",
    ]  # fmt: skip


def test_only_clear_changes_are_coloured():
    assert style.verdict_colour(-1, clear=True) == style.WORSE
    assert style.verdict_colour(1, clear=True) == style.BETTER
    assert style.verdict_colour(-1, clear=False) == style.UNCLEAR
