"""Pictures of the pages that the lab writes, as people see them, for the README and the docs.

``python -m experiments.screenshots`` takes those of live pages, with a RUN those of its report.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

import rl_ablation as rl
from experiments.browser import IN_3D, chromium, open_page, until
from rl_ablation.errors import LabError

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
DESK, DESK_LIVE, PHONE, PHONE_LIVE = (1280, 900), (1400, 900), (420, 900), (420, 1500)
_PLAYED = 3000  # ms of a film before the picture is taken


@dataclass(frozen=True)
class Shot:
    """A picture: of which agent's page, at which address, when in robot time (s), how large."""

    name: str
    agent: str
    address: str
    at: float
    size: tuple[int, int] = DESK_LIVE
    scheme: str = "light"


SHOTS = (
    Shot("live_lap", "lap", "cut=h1:4-51&kind=clamp&strength=0.8&onset=60&condition=bends/cw", 9.0),
    Shot(
        "live_quadruped", "quadruped", "cut=h1:0-60&kind=mean&condition=forward", 3.0,
        scheme="dark",
    ),
    Shot(
        "live_phone", "lap", "cut=h0:0-20&kind=resample&condition=bends/ccw&seed=3&view=overlay",
        4.0, PHONE_LIVE,
    ),
)  # fmt: skip


def report_screenshots(run: Path, out: Path) -> list[Path]:
    """The first screen of a run's report on a desk and on a phone, and its map; PNG files.

    Raises:
        LabError: The run has no report, or there is no browser.
    """
    report = run / "report.html"
    if not report.exists():
        raise LabError(f"{run} has no report.html; make it with `rl-ablation report {run}`")
    names = ("report", "report-phone", "report-map")
    desk, phone, dark = paths = [out / f"{name}.png" for name in names]
    with chromium() as browser:
        for path, size in ((desk, DESK), (phone, PHONE)):
            view = _opened(browser, report, size)
            view.wait_for_timeout(_PLAYED)
            view.screenshot(path=path)
        _opened(browser, report, DESK, scheme="dark").locator("#map").screenshot(path=dark)
    return paths


def _opened(browser: Any, page: Path, size: tuple[int, int], scheme: str = "light") -> Any:
    view = browser.new_page(viewport=_size(size), color_scheme=scheme)
    view.goto(page.resolve().as_uri())
    return view


def _size(size: tuple[int, int]) -> dict[str, int]:
    return {"width": size[0], "height": size[1]}


def live_screenshots(out: Path) -> list[Path]:
    """The pictures of live pages, ``SHOTS``; PNG files. A LabError if there is no browser."""
    agents = dict.fromkeys(shot.agent for shot in SHOTS)
    with tempfile.TemporaryDirectory() as folder, chromium(IN_3D) as browser:
        for name in agents:
            load = (f'agent = rl.load("{name}")',)
            rl.live(rl.load(name), Path(folder) / f"{name}.html", load=load)
        return [taken(browser, x, Path(folder) / f"{x.agent}.html", out) for x in SHOTS]


def taken(browser: Any, shot: Shot, page_file: Path, out: Path = FIGURES) -> Path:
    """Take one picture of a live page; returns its file."""
    context = browser.new_context(viewport=_size(shot.size), color_scheme=shot.scheme)
    page = open_page(context, page_file, shot.address)
    page.evaluate("lab.stage.tunes = false; lab.stage.level = 0; lab.stage.fit(); lab.play(false)")
    steps = f"Math.round({shot.at} / lab.data.scene.dt)"
    page.evaluate(f"while (lab.race.steps < {steps} && !lab.race.over) lab.advance()")
    until(page, "(lab.pictured = lab.stage.renderer.info.render.frame)")
    until(page, "lab.stage.renderer.info.render.frame > lab.pictured + 12")
    path = out / f"{shot.name}.png"
    page.screenshot(path=path)
    context.close()
    return path


def main(run: Path | None = None, /, out: Path = FIGURES) -> int:
    """Take the pictures of live pages, or of a run's report.

    Args:
        run: Run folder made by `map`; without one live pages are pictured.
        out: Where the pictures go.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path in live_screenshots(out) if run is None else report_screenshots(run, out):
            print(path)
    except LabError as error:
        print(f"screenshots: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
