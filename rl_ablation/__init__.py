"""The instrument: lesion any policy in any Gymnasium environment, measure, map, draw and film.

>>> import rl_ablation as rl
>>> agent = rl.load("lap")
>>> run = rl.sweep(agent, rl.clusters(agent, k=6), episodes=24, seed=7)
>>> run.effects()
"""

import importlib
import os
import sys
from typing import Any

# Without a display MuJoCo can only draw through EGL, and it decides when it is first imported.
if sys.platform == "linux" and not os.environ.get("DISPLAY"):
    os.environ.setdefault("MUJOCO_GL", "egl")

# Public name → module. They are imported when they are first used: torch and MuJoCo take seconds,
# and whoever only asks for help should not wait for them.
_HOMES = {
    "load": "policies.load",
    "save": "policies.storage",
    "Policy": "policies.policy",
    "Lesion": "lesions.lesion",
    "Plan": "lesions.lesion",
    "KINDS": "lesions.methods",
    "Episodes": "rollouts.episodes",
    "MapDesign": "mapping.design",
    "Execution": "mapping.design",
    "singles": "groupings.units",
    "layers": "groupings.units",
    "tiles": "groupings.units",
    "clusters": "groupings.clusters",
    "connections": "groupings.connections",
    "factors": "groupings.factors",
    "components": "groupings.directions",
    "patterns": "groupings.directions",
    "readouts": "groupings.directions",
    "features": "groupings.autoencoder",
    "sensors": "groupings.units",
    "motors": "groupings.units",
    "random_groups": "groupings.controls",
    "parse_groups": "groupings.registry",
    "record_activity": "rollouts.activity",
    "activations": "rollouts.activity",
    "moments": "rollouts.activity",
    "patches": "groupings.patches",
    "sweep": "mapping.sweep",
    "lesion_map": "mapping.lesion_map",
    "Map": "mapping.map",
    "Run": "mapping.map",
    "probe": "mapping.probe",
    "tree_search": "analysis.trees",
    "Tree": "analysis.trees",
    "compare": "analysis.comparison",
    "Comparison": "analysis.comparison",
    "headlines": "reports.words",
    "figures": "reports.figures",
    "comparison_text": "reports.comparison",
    "comparison_figure": "reports.comparison",
    "film": "reports.film",
    "live": "reports.live",
    "report": "reports.report",
    "measure": "measures.registry",
    "MEASURES": "measures.registry",
    "Words": "measures.registry",
    "LabError": "errors",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    # A map was called a run once, and scripts that say so go on working.
    value = home if name == "figures" else getattr(home, "Map" if name == "Run" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
