"""The command live: click a neuron away and watch the robot."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments.cli.options import Source, options
from experiments.cli.output import print_json, say


def live(
    what: Annotated[str, tyro.conf.arg(metavar="AGENT|RUN")],
    /,
    *,
    source: Annotated[Source, options(Source)],
    out: Path | None = None,
    no_open: bool = False,
    json: bool = False,
) -> None:
    """Make a page in which you click units away and watch the robot, and open it.

    It is one HTML file that asks for nothing: the physics runs in the browser. Of a run it has the
    regions and findings too.

    Args:
        what: A zoo agent by name, the path of a policy folder or a stable-baselines3 zip, or a run
            folder made by `map`.
        source: Where the policy comes from, if its file does not say all. Of a run, only its
            environment can be named, as your word that its code may run.
        out: The page; by default live.html, in the run's folder or in this one.
        no_open: Do not open it in the browser.
        json: Print where it is as JSON, and do not open it.
    """
    from rl_ablation.env_ids import trust
    from rl_ablation.mapping.map import Map
    from rl_ablation.reports.live import live as write

    if (Path(what) / "spec.json").exists():
        if source.env is not None:
            trust(source.env)
        path = write(Map(what), out)
    else:
        from agents.zoo import find_agent

        given = {name: value for name, value in asdict(source).items() if value is not None}
        path = write(find_agent(what, **given), out, load=_loading(what, given))
    if json:
        print_json({"page": path})
        return
    say(f"live page: {path}")
    if not no_open:
        import webbrowser

        if not webbrowser.open(path.resolve().as_uri()):
            say("no browser could be started here; open the page in one")


def _loading(agent: str, given: dict[str, Any]) -> list[str]:
    """Lines of Python that load the same agent, wherever they are run, once `rl` is imported."""
    from agents import zoo

    path = Path(agent)
    named = agent if agent in zoo.names() else str(path.resolve())
    files = {k: str(v.resolve()) if isinstance(v, Path) else v for k, v in given.items()}
    more = "".join(f", {name}={value!r}" for name, value in files.items())
    return [f"agent = rl.load({named!r}{more})"]
