"""Pictures of the pages that the lab writes, as people see them, for the README and the docs.

``python -m experiments.screenshots RUN --out docs/figures`` takes those of a run's report. It needs
the package playwright, which ``make setup`` installs, and Chromium.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from rl_ablation.errors import LabError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DESK, PHONE = (1280, 900), (420, 900)
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_QUIET = ("--no-first-run", "--disable-background-networking", "--disable-component-update")
_PLAYED = 3000  # ms of a film before the picture is taken


@contextmanager
def chromium() -> Iterator[Browser]:
    """Headless Chromium.

    Raises:
        LabError: It is not there, or playwright is not.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise LabError("pages are driven with playwright: pip install playwright") from None
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        raise LabError("no Chromium on the path; on Debian or Ubuntu: apt install chromium")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", *_QUIET]
    with sync_playwright() as run:
        browser = run.chromium.launch(executable_path=path, args=flags)
        try:
            yield browser
        finally:
            browser.close()


def report_screenshots(run: Path, out: Path) -> list[Path]:
    """The first screen of a run's report on a desk and on a phone, and its map; PNG files.

    Raises:
        LabError: The run has no report, or there is no browser.
    """
    report = run / "report.html"
    if not report.exists():
        raise LabError(f"{run} has no report.html; make it with `rl-ablation report {run}`")
    out.mkdir(parents=True, exist_ok=True)
    names = ("report", "report-phone", "report-map")
    desk, phone, dark = paths = [out / f"{name}.png" for name in names]
    with chromium() as browser:
        for path, size in ((desk, DESK), (phone, PHONE)):
            view = _opened(browser, report, size)
            view.wait_for_timeout(_PLAYED)
            view.screenshot(path=path)
        _opened(browser, report, DESK, dark=True).locator("#map").screenshot(path=dark)
    return paths


def _opened(browser: Browser, page: Path, size: tuple[int, int], *, dark: bool = False) -> Page:
    view = browser.new_page(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
    )
    view.goto(page.resolve().as_uri())
    return view


def main(run: Path, /, out: Path = Path("docs/figures")) -> int:
    """Take the pictures of a run's report.

    Args:
        run: Run folder made by `map`.
        out: Where they go.
    """
    try:
        for path in report_screenshots(run, out):
            print(path)
    except LabError as error:
        print(f"screenshots: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
