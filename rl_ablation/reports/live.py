"""The live page: click a neuron away and watch the robot, in one HTML file that asks for nothing.

The page holds the policy, the world's own account of itself (``BatchEnv.scene``), the lab's kinds
of cut, and of a run its regions and findings. Its source is in the folder ``live`` beside this
file; ``make live`` bundles it. MuJoCo runs in the page, compiled to WebAssembly.
"""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.metadata
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rl_ablation.errors import LabError
from rl_ablation.files import check_target, write_atomically
from rl_ablation.mapping.map import Map
from rl_ablation.policies.policy import Policy
from rl_ablation.reports.live_data import (
    activity_data,
    kinds_data,
    policy_data,
    scene_data,
)
from rl_ablation.reports.live_run import intact_values, played, run_data
from rl_ablation.rollouts.activity import Activity, record_activity
from rl_ablation.rollouts.world import world_of

FOLDER = Path(__file__).parent / "live"
BUNDLE = FOLDER / "build"
PARTS = ("main.js", "page.css", "mujoco.wasm.gz", "licences.txt")
FORMAT = 1
_HEADING, _HEAD = b"<h1>Click a neuron away</h1>", 1 << 16  # so a page is known as one of ours
MEND = "run `make live`, for which npm has to reach its registry; all else works without"


def missing() -> str:
    """What is missing for making a live page, in a few words; "" if nothing is."""
    built = all((BUNDLE / name).exists() for name in PARTS)
    return "" if built else "the live page's bundle is not built"


def live(
    what: Policy | Map,
    path: str | Path | None = None,
    *,
    conditions: Sequence[str] | None = None,
    load: Sequence[str] = (),
) -> Path:
    """Write the live page of an agent, or of a run with its findings, and return its path.

    Args:
        what: The agent, with an environment on its card, or the run, which keeps its policy.
        path: By default ``live.html`` in the run's folder, or in the current one.
        conditions: Of the environment; None takes the run's, or all.
        load: Lines of Python that load the agent into ``agent``, for the page to quote.

    Raises:
        LabError: The bundle is not built, the network is no MLP, the world cannot be played, the
            run is damaged or not finished, or something else than such a page is at the path.
    """
    if isinstance(what, Map):
        what.check()
    if gap := missing():
        raise LabError(f"{gap}; {MEND}")
    folder = what.folder if isinstance(what, Map) else Path()
    standard = folder / "live.html"
    path = standard if path is None else Path(path)
    ours = path == standard and isinstance(what, Map)
    check_target(path, ".html", lambda there: ours or _HEADING in there.read_bytes()[:_HEAD])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page(page_data(what, conditions=conditions, load=load)))
    return path


def page_data(
    what: Policy | Map,
    *,
    conditions: Sequence[str] | None = None,
    load: Sequence[str] = (),
    activity: Activity | None = None,
) -> dict[str, Any]:
    """All that a page holds besides its code; for the arguments see `live`."""
    run = what if isinstance(what, Map) else None
    policy = what if isinstance(what, Policy) else what.policy
    if run is not None and conditions is None:
        conditions = [c for c in run.spec.conditions if c] or None
    data = policy_data(policy)
    scene = scene_data(policy, conditions)
    if activity is None:
        known = list(scene["conditions"])
        activity = record_activity(policy, conditions=known) if run is None else run.activity
    with world_of(policy) as world:
        names = world.names
    standard = [] if run is None else [f"agent = rl.load({str(run.folder / 'policy')!r})"]
    return {
        "format": FORMAT,
        "agent": policy.name,
        "world": str(policy.card.env_id).rpartition(":")[2],
        "engines": {"page": engine_version(), "lab": importlib.metadata.version("mujoco")},
        "scene": scene,
        "policy": data,
        "kinds": kinds_data(activity, [] if run is None else played(run)),
        "activity": activity_data(activity),
        "names": names,
        "intact": intact_values(policy, scene, run),
        "run": None if run is None else run_data(run, activity),
        "load": list(load) or standard,
    }


def engine_version() -> str:
    """The MuJoCo that plays in the page."""
    packages = json.loads((FOLDER / "package.json").read_text())
    return str(packages["dependencies"]["@mujoco/mujoco"])


def page(data: dict[str, Any]) -> str:
    """The HTML of a page; needs the bundle.

    Names come from files of strangers. They are JSON in an element that no browser runs, with every
    "<" written as an escape, and the page shows them as plain text. What may run is one script,
    known by its digest; nothing may be fetched.
    """
    script = (BUNDLE / "main.js").read_text().replace("</script", "<\\/script")
    style = (BUNDLE / "page.css").read_text()
    engine = base64.b64encode((BUNDLE / "mujoco.wasm.gz").read_bytes()).decode()
    policy = (
        f"default-src 'none'; script-src {_digest(script)} 'wasm-unsafe-eval'; "
        "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "title": html.escape(f"Live: {data['agent']}"),
        "style": style,
        "data": json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
        "engine": engine,
        "licences": html.escape((BUNDLE / "licences.txt").read_text()),
        "script": script,
    }
    template = (FOLDER / "page.html").read_text()
    return re.sub(r"\{\{ (\w+) \}\}", lambda match: parts[match[1]], template)


def _digest(script: str) -> str:
    found = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"'sha256-{found}'"
