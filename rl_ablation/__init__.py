"""The instrument: lesion any policy in any Gymnasium environment, measure, map, draw and film.

>>> import rl_ablation as rl
>>> agent = rl.load("agents/zoo/lap")
>>> run = rl.sweep(agent, rl.clusters(agent, k=6), episodes=24, seed=7)
>>> run.effects()
"""

import os
import sys

# Without a display MuJoCo can only draw through EGL, and it decides when it is first imported.
if sys.platform == "linux" and not os.environ.get("DISPLAY"):
    os.environ.setdefault("MUJOCO_GL", "egl")

import rl_ablation.measures_legs  # noqa: F401 - registers its measures
from rl_ablation import figures
from rl_ablation.activity import record_activity
from rl_ablation.errors import LabError
from rl_ablation.factors import factors
from rl_ablation.film import film
from rl_ablation.findings import headlines
from rl_ablation.groupings import (
    clusters,
    layers,
    motors,
    parse_groups,
    random_groups,
    sensors,
    singles,
    tiles,
)
from rl_ablation.lesion import KINDS, Lesion, Plan
from rl_ablation.lesion_map import lesion_map
from rl_ablation.load import load
from rl_ablation.measures import MEASURES, measure
from rl_ablation.policy import Policy, save
from rl_ablation.probe import probe
from rl_ablation.report import report
from rl_ablation.sweep import Run, sweep

__all__ = [
    "load",
    "save",
    "Policy",
    "Lesion",
    "Plan",
    "KINDS",
    "singles",
    "layers",
    "tiles",
    "clusters",
    "factors",
    "sensors",
    "motors",
    "random_groups",
    "parse_groups",
    "record_activity",
    "sweep",
    "lesion_map",
    "Run",
    "probe",
    "headlines",
    "figures",
    "film",
    "report",
    "measure",
    "MEASURES",
    "LabError",
]
