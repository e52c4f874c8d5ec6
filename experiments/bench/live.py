"""How large live pages are, how soon they run, and how fast, in the machine's Chromium.

Speeds are robot time over real time of both robots together, with the pictures drawn as on a
machine without a graphics card: on one that has it, pages are faster.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import rl_ablation as rl
from agents.zoo import find_agent
from experiments.browser import IN_3D, chromium, lacking, open_page, until
from rl_ablation.progress import console
from rl_ablation.reports.live import missing

AGENTS = ("lap", "quadruped")
WARM, SECONDS = 2.0, 6.0  # before the measurement, and of it


def bench(quick: bool = False) -> dict[str, float]:
    """Name → figure; none where a browser or the bundle is missing."""
    if gap := lacking() or missing():
        console.print(f"no figures of live pages: {gap}")
        return {}
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, chromium(IN_3D) as browser:
        for name in AGENTS:
            path = rl.live(find_agent(name), Path(folder) / f"{name}.html")
            figures[f"live_{name}_mb"] = path.stat().st_size / 1e6
            figures |= _measured(browser, name, path, 0.1 if quick else 1.0)
    return figures


def _measured(browser: object, name: str, path: Path, share: float) -> dict[str, float]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})  # type: ignore[attr-defined]
    page = open_page(context, path)
    ready = float(page.evaluate("document.documentElement.dataset.ready")) / 1000
    page.select_option("#speed", label="fastest")
    clock = "[performance.now() / 1000, lab.stepped * lab.data.scene.dt]"

    def later(seconds: float) -> list[float]:
        until(page, f"performance.now() / 1000 > {page.evaluate(clock)[0] + seconds}")
        return page.evaluate(clock)

    before = later(WARM * share)
    after = later(SECONDS * share)
    context.close()
    speed = (after[1] - before[1]) / (after[0] - before[0])
    return {f"live_{name}_ready_seconds": ready, f"live_{name}_speed_over_real_time": speed}
