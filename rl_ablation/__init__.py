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

import rl_ablation.groupings
import rl_ablation.measures  # noqa: F401 - registers all measures
from rl_ablation.errors import LabError
from rl_ablation.groupings.clusters import clusters
from rl_ablation.groupings.controls import random_groups
from rl_ablation.groupings.factors import factors
from rl_ablation.groupings.registry import parse_groups
from rl_ablation.groupings.units import layers, motors, sensors, singles, tiles
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.lesions.methods import KINDS
from rl_ablation.mapping.lesion_map import lesion_map
from rl_ablation.mapping.probe import probe
from rl_ablation.mapping.run import Run
from rl_ablation.mapping.sweep import sweep
from rl_ablation.measures.registry import MEASURES, measure
from rl_ablation.policies.load import load
from rl_ablation.policies.policy import Policy
from rl_ablation.policies.storage import save
from rl_ablation.reports import figures
from rl_ablation.reports.film import film
from rl_ablation.reports.report import report
from rl_ablation.reports.words import headlines
from rl_ablation.rollouts.activity import record_activity

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
