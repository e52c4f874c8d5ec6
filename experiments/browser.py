"""A real browser for live pages: the machine's Chromium, driven by playwright (a dev extra)."""

from __future__ import annotations

import importlib.util
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rl_ablation.errors import LabError

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
IN_3D, WITHOUT_3D = "--enable-unsafe-swiftshader", "--disable-3d-apis"
"""With the first a machine without a graphics card draws in 3D, too, and slowly."""


def lacking() -> str:
    """What is missing for driving a browser, in a few words; "" if nothing is."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed"
    return "" if executable() else "no Chromium is installed"


def executable() -> str | None:
    """The path of the machine's Chromium; None if it has none."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


@contextmanager
def chromium(*flags: str) -> Iterator[Any]:
    """Start Chromium without a window, and close it in the end; yields playwright's browser.

    Raises:
        LabError: Something is missing.
    """
    if gap := lacking():
        raise LabError(f"{gap}; on Debian: apt install chromium, and pip install playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=[*FLAGS, *flags])
        try:
            yield browser
        finally:
            browser.close()


def open_page(context: Any, path: Path, address: str = "", patience: float = 60.0) -> Any:
    """Open a live page in a browser's context, and wait until its robots run.

    ``patience`` is in seconds. The page's security forbids playwright's own way of waiting.
    """
    page = context.new_page()
    page.goto(f"{path.resolve().as_uri()}#{address}")
    until(page, "document.documentElement.dataset.ready", patience)
    return page


def until(page: Any, script: str, patience: float = 60.0) -> Any:
    """Wait until a script is true in a page; a TimeoutError after ``patience`` seconds."""
    ends = time.monotonic() + patience
    while not (found := page.evaluate(script)):
        if time.monotonic() > ends:
            raise TimeoutError(script)
        time.sleep(0.02)
    return found
