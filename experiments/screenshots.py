"""``python -m experiments.screenshots``: the docs' pictures of live pages."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rl_ablation as rl
from agents.zoo import find_agent
from experiments.browser import IN_3D, chromium, open_page, until

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
DESKTOP, PHONE = (1400, 900), (420, 1500)


@dataclass(frozen=True)
class Shot:
    """A picture: of which agent's page, at which address, when in robot time (s), how large."""

    name: str
    agent: str
    address: str
    at: float
    size: tuple[int, int] = DESKTOP
    scheme: str = "light"


SHOTS = (
    Shot("live_lap", "lap", "cut=h1:4-51&kind=clamp&strength=0.8&onset=60&condition=bends/cw", 9.0),
    Shot(
        "live_quadruped", "quadruped", "cut=h1:0-60&kind=mean&condition=forward", 3.0,
        scheme="dark",
    ),
    Shot(
        "live_phone", "lap", "cut=h0:0-20&kind=resample&condition=bends/ccw&seed=3&view=overlay",
        4.0, PHONE,
    ),
)  # fmt: skip


def main() -> None:
    """Make all of them."""
    agents = dict.fromkeys(shot.agent for shot in SHOTS)
    with tempfile.TemporaryDirectory() as folder, chromium(IN_3D) as browser:
        for name in agents:
            load = ("from agents.zoo import find_agent", f'agent = find_agent("{name}")')
            rl.live(find_agent(name), Path(folder) / f"{name}.html", load=load)
        for shot in SHOTS:
            taken(browser, shot, Path(folder) / f"{shot.agent}.html")


def taken(browser: Any, shot: Shot, page_file: Path) -> Path:
    """Take one picture; returns its file."""
    width, height = shot.size
    size = {"width": width, "height": height}
    context = browser.new_context(viewport=size, color_scheme=shot.scheme)
    page = open_page(context, page_file, shot.address)
    page.evaluate("lab.stage.tunes = false; lab.stage.level = 0; lab.stage.fit(); lab.play(false)")
    steps = f"Math.round({shot.at} / lab.data.scene.dt)"
    page.evaluate(f"while (lab.race.steps < {steps} && !lab.race.over) lab.advance()")
    until(page, "(lab.pictured = lab.stage.renderer.info.render.frame)")
    until(page, "lab.stage.renderer.info.render.frame > lab.pictured + 12")
    path = FIGURES / f"{shot.name}.png"
    page.screenshot(path=path)
    context.close()
    print(path)
    return path


if __name__ == "__main__":
    main()
