"""What a VecNormalize does to observations: read from its file, or taken from one in memory."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.policies.sb3.pickles import Call, as_array, as_number, attributes, read_pickle


class Statistics(NamedTuple):
    """What a VecNormalize does to observations: (obs − mean) / std, held within ±clip; (D,)."""

    mean: np.ndarray
    std: np.ndarray
    clip: float


def beside(path: Path, env_id: str | None) -> Path | None:
    """The statistics file that belongs to a zip, where the SB3 Zoo keeps it; None without one."""
    folders = [path.parent, path.parent / path.stem]
    if env_id is not None:
        folders.insert(1, path.parent / env_id.rpartition(":")[2])
    names = ("vecnormalize.pkl", "vec_normalize.pkl")  # the second on the SB3 team's model hub
    places = (folder / name for folder in folders for name in names)
    # A folder or a pipe of that name is no reason to do without: the reader says what it is.
    return next((place for place in places if os.path.lexists(place)), None)


def read_statistics(content: bytes) -> Statistics | None:
    """Read a ``vecnormalize.pkl`` of its bytes; None if it leaves observations alone.

    A LabError if it is damaged, hostile, or not that of a plain vector of observations.
    """
    tree = read_pickle(content)
    if not isinstance(tree, Call) or not tree.dotted.endswith(".VecNormalize"):
        raise LabError("is no VecNormalize of stable-baselines3; give its vecnormalize.pkl")
    state = attributes(tree)
    if not as_number(state.get("norm_obs", True), "norm_obs"):
        return None
    moments = state.get("obs_rms")
    if isinstance(moments, dict):
        raise LabError("normalises a dict of observations; dict observations are not supported")
    moments = attributes(moments)
    mean = as_array(moments.get("mean"), "obs_rms.mean").reshape(-1)
    var = as_array(moments.get("var"), "obs_rms.var").reshape(-1)
    clip = as_number(state.get("clip_obs"), "clip_obs")
    epsilon = as_number(state.get("epsilon"), "epsilon")
    if mean.shape != var.shape or not (np.isfinite(mean).all() and np.isfinite(var).all()):
        raise LabError("obs_rms.mean and obs_rms.var are not finite or not equally long")
    if not (math.isfinite(epsilon) and (var + epsilon > 0).all() and clip > 0):
        raise LabError("obs_rms.var + epsilon and clip_obs have to be positive")
    return Statistics(mean, np.sqrt(var + epsilon), clip)


def statistics_of(around: Any) -> Statistics | None:
    """The statistics of a `VecNormalize`; None if it leaves observations alone."""
    if not around.norm_obs:
        return None
    if isinstance(around.obs_rms, dict):
        raise LabError("normalises a dict of observations; dict observations are not supported")
    mean, var = (np.reshape(x, -1) for x in (around.obs_rms.mean, around.obs_rms.var))
    return Statistics(mean, np.sqrt(var + around.epsilon), around.clip_obs)
