"""What the live page is made of, as plain data: the policy, the kinds of cut, the world, the run.

The page's JavaScript reads it as it is; `rl_ablation/reports/live/types.d.ts` describes it from
there. Arrays are packed: ``{"f64": text, "shape": […]}``, base64 of their bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.files import one_line
from rl_ablation.lesions.lesion import Lesion
from rl_ablation.lesions.methods import KINDS, Kind, SiteStats
from rl_ablation.lesions.visited import Visited
from rl_ablation.policies.network import ACTIVATIONS, MLP
from rl_ablation.policies.policy import ARRAYS, Policy
from rl_ablation.rollouts.activity import Activity
from rl_ablation.rollouts.world import World, world_of

MOMENTS = 256
"""Visited moments that a page keeps, of which kinds of cut draw."""

DRAWN = (None, "sample", "alike", "normal")
"""Draw modes that the page's JavaScript knows."""

SEEDS = 20
"""Starts of each condition that a page keeps: those of seeds 0, 1, …"""

_CODES = {"float64": "f64", "float32": "f32", "uint16": "u16"}
_TRIED = (0.0, 1.0, -0.7, 2.5)  # strengths; the first two give the coefficients


def pack(values: Any, kind: Any = np.float32) -> dict[str, Any]:
    """An array as base64 of its little-endian bytes, with its shape."""
    array = np.ascontiguousarray(values, np.dtype(kind).newbyteorder("<"))
    text = base64.b64encode(array.tobytes()).decode()
    return {_CODES[np.dtype(kind).name]: text, "shape": list(array.shape)}


def policy_data(policy: Policy) -> dict[str, Any]:
    """Weights, normaliser and squashing of a policy.

    Raises:
        LabError: Its network is no multilayer perceptron.
    """
    network = policy.network
    if not isinstance(network, MLP) or network.activation not in ACTIVATIONS:
        raise LabError(
            f"policy {policy.name!r} cannot be played in a page: only multilayer perceptrons can"
        )
    kinds = {"low": np.float32, "high": np.float32}
    arrays = {name: getattr(policy, name) for name in ARRAYS}
    return {
        "sites": policy.sites,
        "activation": network.activation,
        "squash": policy.card.squash,
        "obs_clip": policy.card.obs_clip,
        "layers": [
            {"weight": pack(weight.numpy()), "bias": pack(bias.numpy())}
            for weight, bias in network.layers
        ],
        **{
            name: None if values is None else pack(values, kinds.get(name, np.float64))
            for name, values in arrays.items()
        },
    }


def kinds_data(activity: Activity, lesions: Sequence[Lesion] = ()) -> list[dict[str, Any]]:
    """The kinds of cut of the lab's table that a page can carry out.

    Those are the affine ones: scale = a + b · strength and shift = c + d · strength for each unit,
    with a draw mode that the page knows. Others, of somebody's own, are left out. Beside the sites
    there are the directions of lesions, as ``DIGEST SITE``, as if each were a unit.
    """
    known = dict(activity)
    for lesion in lesions:
        known |= {f"{_digest(lesion)} {s}": x for s, x in _along(lesion, activity).items()}
    made = []
    for name, kind in KINDS.items():
        sites = {site: _affine(kind, stats) for site, stats in known.items()}
        if kind.draws in DRAWN and all(found is not None for found in sites.values()):
            made.append(
                {
                    "name": name,
                    "doc": kind.doc,
                    "default": kind.default,
                    "draws": kind.draws,
                    "sites": sites,
                }
            )
    return made


def _affine(kind: Kind, stats: SiteStats) -> dict[str, Any] | None:
    """The coefficients of a kind at a site, each a number or one for each unit; None if a kind is
    not affine in its strength."""
    whole = np.zeros(stats.samples.shape[1])
    tried = [[whole + part for part in kind.make(s, stats)] for s in _TRIED]
    found = {}
    for k, name in enumerate(("scale", "shift")):
        base = tried[0][k]
        slope = tried[1][k] - base
        for strength, values in zip(_TRIED, tried, strict=True):
            if not np.allclose(values[k], base + strength * slope, rtol=1e-5, atol=1e-6):
                return None
        found[name] = [_short(base), _short(slope)]
    return found


def _short(values: np.ndarray) -> Any:
    return float(values[0]) if np.ptp(values) == 0 else pack(values)


def more_data(lesion: Lesion, activity: Activity) -> dict[str, Any] | None:
    """What a lesion has besides units: directions, and who alone hears of it; None if neither.

    Mean and standard deviation along each direction are those of all moments, not of the page's.
    """
    if not lesion.more:
        return None
    return {
        "digest": _digest(lesion),
        "directions": {
            site: {
                "axes": pack(lesion.directions[site]),
                "mean": pack(stats.mean),
                "std": pack(stats.std),
            }
            for site, stats in _along(lesion, activity).items()
        },
        "to": {site: sorted(units) for site, units in lesion.to.items() if units},
    }


def _digest(lesion: Lesion) -> str:
    return "".join(lesion.more)


def _along(lesion: Lesion, activity: Activity) -> dict[str, SiteStats]:
    """Site → what the intact policy does along the lesion's directions."""
    axes = {site: np.array(told) for site, told in lesion.directions.items() if told}
    return {site: activity[site].along(values) for site, values in axes.items()}


def thinned(activity: Activity, moments: int = MOMENTS) -> dict[str, SiteStats]:
    """Evenly so many of the moments, the same ones at every site."""
    total = len(activity["obs"].samples)
    kept = np.linspace(0, total - 1, min(moments, total)).astype(int)
    return {
        site: SiteStats(
            stats.samples[kept], None if stats.conditions is None else stats.conditions[kept]
        )
        for site, stats in activity.items()
    }


def activity_data(activity: Activity) -> dict[str, Any]:
    """Mean and standard deviation of every unit, and some of the moments; see `thinned`."""
    few = thinned(activity)
    seen = few["obs"]
    return {
        "moments": len(seen.samples),
        "neighbours": pack(Visited(seen).alike(seen.samples), np.uint16),
        "spread": pack(seen.std),
        "sites": {
            site: {
                "mean": pack(stats.mean),
                "std": pack(stats.std),
                "samples": pack(few[site].samples),
            }
            for site, stats in activity.items()
        },
    }


def scene_data(
    policy: Policy, conditions: Sequence[str] | None = None, seeds: int = SEEDS
) -> dict[str, Any]:
    """What the world on the policy's card says of itself, for conditions (None: all) and seeds.

    Raises:
        LabError: It does not say what it is made of.
    """
    with world_of(policy) as world:
        taken = world.conditions if conditions is None else list(conditions)
        world.check_conditions(taken)
        scene = _scene(world, list(range(seeds)), taken or [""])
    scene["tracks"] = [_track(track) for track in scene.get("tracks", [])]
    return scene


def _scene(world: World, seeds: list[int], conditions: list[str]) -> dict[str, Any]:
    env: Any = world.parts[0].env
    cannot = f"{world.env_id} cannot be played in a page"
    if not callable(getattr(env, "scene", None)):
        raise LabError(f"{cannot}: it does not say what it is made of (see BatchEnv.scene)")
    try:
        return dict(env.scene(seeds, conditions))
    except ValueError as error:
        raise LabError(f"{cannot}: {one_line(error)}") from None


def _track(track: Mapping[str, Any]) -> dict[str, Any]:
    arrays = ("points", "heading", "curvature", "walls")
    return {
        "length": track["length"],
        **{name: pack(track[name], np.float64) for name in arrays},
    }
