"""How well signals are read in a network and in untrained ones; what an autoencoder holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import rl_ablation as rl
from experiments.studies.regions import Size
from rl_ablation.groupings.autoencoder import ACTIVE, autoencode, through
from rl_ablation.groupings.directions import fit, told_signals
from rl_ablation.policies.network import MLP
from rl_ablation.rollouts.activity import Activity, activity_at
from rl_ablation.stats import interval

UNTRAINED = 8
"""Networks of the same shape that were never trained."""
EPISODES = 24
SIZES = ((1, ACTIVE), (8, ACTIVE), (8, 4 * ACTIVE), (32, 8 * ACTIVE))
"""Of dictionaries: times the features that are cut, and how many of them may be on."""


def read_in(agent: rl.Policy, size: Size, seed: int) -> pd.DataFrame:
    """Share of each signal that is read in each layer, in episodes that the fit has not seen.

    Columns ``layer``, ``signal``, ``r2``; ``untrained``, the mean of `UNTRAINED` networks that see
    the same, and ``most``, the largest of them. NaN where the network is no MLP.
    """
    sites = list(agent.network.sizes)
    how = (EPISODES, seed, size.horizon)
    codes, told, half = told_signals(agent, sites, None, how)
    others = [_untrained(agent, seed + k) for k in range(UNTRAINED)]
    seen = [{} if x is None else activity_at(_bare(x), codes["obs"]) for x in others]
    rows = []
    for site in sites:
        for name, values in told.items():
            null = [fit(x[site].astype(np.float64), values, half)[1] for x in seen if site in x]
            rows.append(
                {
                    "layer": site,
                    "signal": name,
                    "r2": fit(codes[site], values, half)[1],
                    "untrained": float(np.mean(null)) if null else np.nan,
                    "most": max(null, default=np.nan),
                }
            )
    return pd.DataFrame(rows)


def _bare(policy: rl.Policy) -> rl.Policy:
    """The policy without its normaliser: recorded inputs are normalised already."""
    return replace(policy, obs_mean=None, obs_std=None)


def _untrained(agent: rl.Policy, seed: int) -> rl.Policy | None:
    """The policy with fresh weights: orthogonal with gain √2, as the training begins."""
    network = agent.network
    if not isinstance(network, MLP):
        return None
    torch_rng = torch.Generator().manual_seed(seed)
    layers = []
    for weight, bias in network.layers:
        fresh = torch.empty_like(weight)
        torch.nn.init.orthogonal_(fresh, 2**0.5, generator=torch_rng)
        layers.append((fresh, torch.zeros_like(bias)))
    return agent.with_network(MLP(tuple(layers), network.activation))


def kept_through(
    agent: rl.Policy, activity: Activity, features: int, size: Size, seed: int, folder: Path,
    measure: str = "return", sizes: Sequence[tuple[int, int]] = SIZES,
) -> pd.DataFrame:  # fmt: skip
    """What is left of the score when the robot is driven through its autoencoders.

    A row for each size of the dictionaries: so many times ``features``, so many of them ``active``
    at a moment. Columns ``features``, ``active``; ``r2``, the least of the layers; ``intact`` and
    ``through``, the means of the measure on the same episodes; ``kept``, their ratio, with ``low``
    and ``high``, its 95 % interval over episodes.
    """
    how: dict[str, Any] = {"episodes": size.episodes, "seed": seed, "horizon": size.horizon}
    how |= {"measures": [measure], "progress": False, "activity": activity}
    own = rl.sweep(agent, rl.Plan(), folder=folder / "own", **how).table()[measure].to_numpy()
    rows = []
    for times, active in sizes:
        many = times * features
        made = {s: autoencode(activity[s], many, active=active) for s in agent.network.sizes}
        driven = through(agent, made)
        run = rl.sweep(driven, rl.Plan(), folder=folder / f"{many}-{active}", **how)
        score = run.table()[measure].to_numpy()
        draws = np.random.default_rng(seed).integers(len(own), size=(2000, len(own)))
        low, high = interval(score[draws].mean(1) / own[draws].mean(1))
        rows.append(
            {
                "features": many,
                "active": active,
                "r2": min(x.r2 for x in made.values()),
                "intact": float(own.mean()),
                "through": float(score.mean()),
                "kept": float(score.mean() / own.mean()),
                "low": low,
                "high": high,
            }
        )
    return pd.DataFrame(rows)
