"""What a run leaves behind: figures, film, report, findings; they say what the table says."""

from __future__ import annotations

import io
import re

import gymnasium as gym
import imageio_ffmpeg
import numpy as np
import pandas as pd
import pytest
from conftest import CONDITIONS, DEAD, LAP
from PIL import Image

import rl_ablation as rl
from rl_ablation.analysis.layout import as_grid, grid_shape
from rl_ablation.errors import LabError
from rl_ablation.formats import number
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.mapping.claims import distinct, overall, typical_episode
from rl_ablation.mapping.evidence import EVIDENCE_COLUMNS, harm, reference_effect
from rl_ablation.measures.registry import MEASURES
from rl_ablation.reports.figures import FIGURES, draw_all, figure, heatmap
from rl_ablation.reports.film import HEIGHT, WIDTH, _page_size, film, poster
from rl_ablation.reports.report import report
from rl_ablation.reports.words import change, headlines

EPISODES = 12  # enough for a sign-flip p that passes the correction


@pytest.fixture(scope="module")
def run(small_sweep, policy, tmp_path_factory):
    """A run in which much happens: a stopped robot, a blind one, single units, controls."""
    stop = Lesion(name="h1/stop", cut={"action": (0, 1)}, group="g")
    spin = Lesion(name="h1/spin", cut={"action": (0,)}, group="g", kind="clamp", strength=-1.0)
    tiles = rl.tiles(policy, 6)
    dead = Lesion(name="h0/dead", cut={"h0": (DEAD,)}, group="g")
    plan = Plan([stop, spin, dead]) + rl.layers(policy) + tiles + rl.random_groups(policy, tiles, 2)
    folder = tmp_path_factory.mktemp("outputs") / "run"
    return small_sweep(plan, folder, episodes=EPISODES)


@pytest.fixture(scope="module")
def page(run):
    return report(run, films=[], command="rl-ablation map <small> & co").read_text()


@pytest.fixture(scope="module")
def can_draw():
    try:
        env = gym.make(LAP, render_mode="rgb_array", width=64, height=48)
        env.reset(seed=0)
        frame = env.render()
        env.close()
    except Exception as error:
        pytest.skip(f"MuJoCo cannot draw here: {error}")
    assert np.ptp(frame) > 30


# Figures.


def test_every_figure_is_drawn(run):
    paths = draw_all(run)
    assert {"heatmap", "network", "intervals"} <= paths.keys() <= FIGURES.keys()
    for path in paths.values():
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            width, height = picture.size
            pixels = np.asarray(picture.convert("RGB"))
        assert 300 < width < 6000
        assert 300 < height < 6000
        assert 0.02 < (pixels.min(-1) < 250).mean() < 0.95, "neither blank nor filled"
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20


def test_figures_stand_in_the_report_in_their_order_with_their_captions(run, page):
    shown = re.findall(r'alt="(\w+)"><figcaption>(.+?)</figcaption>', page)
    drawn = [n for n in draw_all(run) if not FIGURES[n].in_page]
    assert shown == [(n, FIGURES[n].caption) for n in drawn]
    inside = {n for n in FIGURES if FIGURES[n].in_page}
    by_page = {"by_condition", "heatmap", "network", "intervals", "connections"}
    assert inside == by_page, "the page draws them"
    assert list(FIGURES)[:2] == ["by_condition", "heatmap"]
    assert list(FIGURES)[4:6] == ["connections", "ways"]
    assert list(FIGURES)[6:] == ["directions", "random_cuts", "dose_response", "dissociations"]
    with pytest.raises(LabError, match="a figure named 'heatmap' exists already"):
        figure("again")(heatmap)


def test_the_heatmap_writes_the_lesioned_values(run):
    figure = heatmap(run, measures=["forward_speed", "crash"])
    axes = figure.axes[0]
    names = [t.get_text().split("  ")[0] for t in axes.get_yticklabels()]
    assert names[:2] == ["h1/stop", "h1/spin"]
    written = [t.get_text() for t in axes.texts]
    table = overall(run.effects()).pivot(index="lesion", columns="measure", values="lesioned")
    wanted = table.loc[names, ["forward_speed", "crash"]].to_numpy().ravel()
    assert written == [number(v) for v in wanted]


def test_figures_of_measures_that_were_not_taken(run):
    with pytest.raises(LabError, match="'height' was not taken in this run; it has return"):
        heatmap(run, measures=["height"])


def test_a_run_without_lesions_has_nothing_to_draw(small_sweep, tmp_path):
    empty = small_sweep(Plan(), tmp_path / "run")
    assert empty.effects().empty
    with pytest.raises(LabError, match="no lesions to draw"):
        heatmap(empty)


@pytest.mark.parametrize("units", [1, 2, 12, 64, 65, 100])
def test_grids_hold_every_unit_once(units):
    grid = as_grid(np.arange(units, dtype=float))
    assert grid.shape == grid_shape(units)
    assert grid[~np.isnan(grid)].tolist() == list(range(units))
    assert grid.size - units < grid.shape[1]


# Findings.

N = r"([−\d.]+)"
REPORTED_EFFECT = re.compile(rf"(.+?) {N} → {N} ?(.*?) \(95 % CI of the change {N} to {N}\)")


def test_findings_say_what_the_table_says(run):
    found = headlines(run)
    assert found, "a robot without motors must be told of"
    table = overall(run.effects())
    labels = {m.label: m.name for m in MEASURES.values()}
    told = 0
    for finding in found:
        head, _, rest = finding.text.partition(": ")
        units = len([u for c in run.plan[finding.lesion].cut.values() for u in c])
        assert head == f"{finding.lesion} ({units} unit{'s' * (units != 1)})"
        for part in rest.split("; "):
            match = REPORTED_EFFECT.fullmatch(part)
            assert match, part
            label, before, after, unit, low, high = match.groups()
            name = labels[label]
            (row,) = table[
                (table["lesion"] == finding.lesion) & (table["measure"] == name)
            ].to_dict("records")
            assert unit == row["unit"]
            assert row["q"] < 0.05
            keys = ("intact", "lesioned", "ci_low", "ci_high")
            assert (before, after, low, high) == tuple(number(row[k]) for k in keys)
            told += 1
    assert told >= len(found)


def test_findings_tell_no_control_and_nothing_unclear(run):
    effects = run.effects()
    clear = set(effects[effects["q"] < 0.05]["lesion"])
    for finding in headlines(run):
        assert finding.lesion in clear
        assert "random" not in finding.lesion


def test_few_lesions_do_not_hide_measures(run):
    rows = overall(run.effects())
    rows = rows.assign(harm=harm(rows))
    names = ["forward_speed", "jerkiness", "off_centre"]
    for lesions in (["h1/spin"], ["h1/spin", "h1/stop"]):
        assert distinct(rows[rows["lesion"].isin(lesions)], names, 8) == names
    wide = {"a": [1, 0, -1, 2], "b": [2, 0, -2, 4.1], "c": [1, -1, 1, -1], "d": [0, 0, 0, 0]}
    tidy = pd.DataFrame(wide, index=pd.Index(range(4), name="lesion"))
    tidy = tidy.melt(ignore_index=False, var_name="measure", value_name="harm").reset_index()
    assert distinct(tidy, ["a", "b", "c", "d"], 8) == ["b", "c"], "a tells b's story, d none"


def test_nothing_clear_gives_no_findings(small_sweep, tmp_path):
    dead = Plan([Lesion(name="dead", cut={"h0": (3,)})])
    assert headlines(small_sweep(dead, tmp_path / "run")) == []


def test_harm_is_negative_where_behaviour_is_worse(run):
    rows = overall(run.effects())
    rows = rows.assign(harm=harm(rows))
    assert rows["harm"].abs().max() <= 1 + 1e-12
    for row in rows.dropna(subset="harm").itertuples():
        better = MEASURES[row.measure].better or 1
        free = MEASURES[row.measure].economy and row.harm == 0  # a robot that no longer drives
        assert free or np.sign(row.harm) == np.sign(better * row.delta)
    stopped = rows[(rows["lesion"] == "h1/stop") & (rows["measure"] == "forward_speed")]
    assert stopped["harm"].item() < -0.1


def test_scale_blows_no_trifle_up():
    effects = pd.DataFrame(
        {
            "measure": ["forward_speed", "forward_speed", "crash"],
            "delta": [-0.01, 0.002, 0.01],
            "intact": [1.0, 1.0, 0.0],
        }
    )
    assert reference_effect(effects).to_dict() == pytest.approx(
        {"forward_speed": 0.25, "crash": 0.25}
    )


def test_numbers_are_readable():
    assert [number(x) for x in (0.0, -0.001, -1.5, 99.994, 1234.5, np.nan, np.inf)] == [
        "0", "0", "−1.50", "99.99", "1234", "–", "–",
    ]  # fmt: skip


def test_change_has_no_dangling_unit():
    row = {"measure": "crash", "intact": 0.0, "lesioned": 1.0, "ci_low": 0.9, "ci_high": 1.0}
    assert change(row) == "crash 0 → 1.00 (95 % CI of the change 0.90 to 1.00)"


def test_the_typical_episode_is_the_median_one(run):
    episode = typical_episode(run, "h1/stop")
    assert 0 <= episode < EPISODES
    rows = overall(run.effects())
    here = rows.assign(harm=harm(rows).abs())[rows["lesion"] == "h1/stop"]
    here = here[~here["measure"].isin(["return", "survival", "time_to_crash"])]
    measure = here.sort_values("harm", ascending=False, kind="stable")["measure"].iloc[0]
    table = run.table().pivot(index="episode", columns="lesion", values=measure)
    gap = (table["h1/stop"] - table["intact"]).dropna()
    below, above = (gap < gap[episode]).sum(), (gap > gap[episode]).sum()
    assert abs(below - above) <= 1 or (gap == gap[episode]).sum() > 1


# The report; what its page looks like and does is in test_report_page.py.


def test_effects_csv_is_the_effects_table(run, page):
    table = pd.read_csv(run.folder / "effects.csv", keep_default_na=True)
    assert list(table.columns) == list(EVIDENCE_COLUMNS)
    wanted = run.effects()
    assert len(table) == len(wanted)
    assert set(table["condition"]) == {"all", *CONDITIONS}
    for column in ("delta", "ci_low", "ci_high", "p", "q", "intact", "lesioned"):
        np.testing.assert_array_equal(table[column], wanted[column])


# The film.


def read_film(path):
    frames = imageio_ffmpeg.read_frames(str(path))
    about = next(frames)
    width, height = about["size"]
    pages = [np.frombuffer(f, np.uint8).reshape(height, width, 3) for f in frames]
    return about, pages


@pytest.mark.usefixtures("can_draw")
def test_the_film_shows_both_robots_and_the_report_takes_it(run, tmp_path):
    path = film(run, "h1/spin", seconds=1.0, fps=4, episode=0, progress=False)
    assert path == run.folder / "films" / "h1-spin.mp4"
    assert [p.name for p in path.parent.iterdir()] == ["h1-spin.mp4"], "nothing left over"
    about, pages = read_film(path)
    assert about["codec"] == "h264"
    assert about["size"] == _page_size(2)
    assert len(pages) == 8, "four of a second and four to dwell"
    intact, lesioned = np.s_[40 : 34 + HEIGHT, :WIDTH], np.s_[40 : 34 + HEIGHT, -WIDTH:]

    def changed(one, other):
        return (np.abs(one.astype(int) - other) > 60).any(-1).mean()

    first, last = pages[0], pages[3]
    assert changed(last[intact], first[intact]) > 1e-3, "it drives"
    apart = changed(last[intact], last[lesioned])
    assert apart > 1e-3, "the lesion shows"
    # Nothing cut: both sides are one picture, but for the compression.
    quiet = film(run, "h0/dead", seconds=0.5, fps=4, path=tmp_path / "x.mp4", progress=False)
    for picture in read_film(quiet)[1]:
        assert changed(picture[intact], picture[lesioned]) < apart / 5
    page = report(run).read_text()
    assert len(re.findall(r'<video [^>]*src="data:video/mp4;base64,', page)) == 1
    with Image.open(io.BytesIO(poster(path))) as picture:
        assert (picture.format, picture.size) == ("JPEG", _page_size(2))
    (tmp_path / "no.mp4").write_bytes(b"no film")
    assert poster(tmp_path / "no.mp4") is None


def test_films_that_cannot_be_made(run):
    with pytest.raises(LabError, match="no lesion 'h9' in this plan"):
        film(run, "h9")
    with pytest.raises(LabError, match="episodes 0–11, not 12"):
        film(run, "h1/stop", episode=12)
    with pytest.raises(LabError, match="not -1"):
        film(run, "h1/stop", episode=-1)
    with pytest.raises(LabError, match="seconds"):
        film(run, "h1/stop", seconds=0.0)
