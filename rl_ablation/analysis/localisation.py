"""How local a network's functions are: cuts of equal size, and how unevenly their harm is spread.

Networks can be compared when the same share of each layer is cut in all of them, on the same
episodes. Within a layer, a behaviour is *local* if most of the harm to it is done by one part, and
a part is *specific* if its loss harms few behaviours (after Lillian, Meyes, Meisen 2018, who found
forward motion controlled locally). Layers are never ranked against each other (Geiger et al. 2018).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from rl_ablation.errors import LabError
from rl_ablation.formats import Estimate
from rl_ablation.lesions.lesion import Lesion
from rl_ablation.mapping import claims
from rl_ablation.mapping.divisions import HALF, divisions
from rl_ablation.mapping.evidence import REPORTED_EFFECT, differences
from rl_ablation.mapping.map import Map
from rl_ablation.measures.registry import MEASURES
from rl_ablation.stats import LEVEL, RESAMPLES, finite_mean, interval, sign_flip_p, smallest_effect

HARMED = 0.2
"""A behaviour counts as harmed when it loses this share of the reference effect."""
FLOOR = 0.25
"""The reference effect is at least this share of the intact value."""
INDICES = ("worst part's share", "Gini", "behaviours harmed per part", "parts that harm")

Key = tuple[str, str, int]


def changes(table: pd.DataFrame, plan: Iterable[Lesion], measures: Sequence[str]) -> np.ndarray:
    """Paired changes of every behaviour under every cut, so signed that less than 0 is worse.

    From the behaviour table of a run, (episodes, lesions of the plan but the intact one, measures);
    NaN where an episode gave no number. LabError where more is neither better nor worse in one of
    the measures.
    """
    for name in measures:
        if MEASURES[name].better == 0:
            raise LabError(f"measure {name!r} has no better side, so nothing can harm it")
    names = [lesion.name for lesion in plan if lesion.size]
    paired = differences(table, measures)
    columns = [MEASURES[m].better * paired[m][names].to_numpy(np.float64) for m in measures]
    return np.stack(columns, axis=-1)


def full_size(changes: Sequence[np.ndarray], intact: np.ndarray) -> np.ndarray:
    """The largest mean change of each measure in any network, but not less than ``FLOOR``·intact.

    Of the changes (E, R, M) in each network and the intact values (M,).
    """
    largest = [np.abs(mean_change(c)).max(0) for c in changes]
    return np.maximum(np.max(largest, axis=0), np.maximum(FLOOR * np.abs(intact), 1e-9))


def mean_change(change: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Weighted mean over episodes of (E, R, M), leaving out NaN; 0 where nothing is known."""
    weights = np.ones(len(change)) if weights is None else weights
    there = np.isfinite(change)
    total = np.tensordot(weights, np.where(there, change, 0.0), 1)
    count = np.tensordot(weights, there.astype(np.float64), 1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1e-12), 0.0))


def worst_share(harm: np.ndarray) -> np.ndarray:
    """Share of all harm to a behaviour that is done by its worst region, (…, measures).

    From 1/regions (even) to 1 (all in one); NaN without any harm. ``harm`` is (…, regions,
    measures), below 0 is worse; what gets better counts as no harm.
    """
    loss = np.maximum(-harm, 0.0)
    total = loss.sum(-2)
    return np.where(total > 0, loss.max(-2) / np.where(total > 0, total, 1.0), np.nan)


def gini(harm: np.ndarray) -> np.ndarray:
    """Gini coefficient of the harm over regions: Σᵢⱼ |xᵢ − xⱼ| / (2 R Σᵢ xᵢ); see `worst_share`.

    From 0 (even) to 1 − 1/R (all in one).
    """
    loss = np.maximum(-harm, 0.0)
    total = loss.sum(-2)
    gaps = np.abs(loss[..., :, None, :] - loss[..., None, :, :]).sum((-3, -2))
    spread = gaps / (2 * loss.shape[-2])
    return np.where(total > 0, spread / np.where(total > 0, total, 1.0), np.nan)


def indices(change: np.ndarray, size: np.ndarray) -> dict[tuple[str, int], float]:
    """The indices of one layer of one network: (index, measure number) → value.

    Of mean changes (R, M), less than 0 worse, and full-size ones (M,). The number is −1 where the
    index is about all measures. A behaviour that no part harms has no share and no Gini: NaN.
    """
    harm = change / size
    harmed = -harm >= HARMED
    some, per_part = harmed.any(0), harmed.sum(1)
    known = np.where(some, [worst_share(harm), gini(harm)], np.nan)
    found = {(INDICES[k], m): float(known[k, m]) for m in range(len(size)) for k in (0, 1)}
    found[INDICES[2], -1] = float(per_part[per_part > 0].mean()) if some.any() else np.nan
    found[INDICES[3], -1] = float((per_part > 0).mean())
    return found


def localisation(
    networks: Mapping[str, Sequence[np.ndarray]],
    layers: Mapping[str, Sequence[str]],
    measures: Sequence[str],
    size: np.ndarray,
    *,
    contrasts: Sequence[tuple[str, str]] = (),
    seed: int = 0,
    resamples: int = 1000,
) -> pd.DataFrame:
    """Indices of locality with bootstrap intervals over training seeds, then episodes.

    ``networks`` is sort of network → the changes (E, R, M) in each network of that sort; number n
    of one sort and of another belong together, and all sorts share their resamples. ``layers`` is
    sort → the layer of each part, (R,), ``size`` has the reference effects, (M,), and ``contrasts``
    the pairs of sorts whose difference is wanted.

    A row for each ``network`` (or ``"a − b"``) × ``layer`` (or ``all``) × ``index`` × ``measure``
    (or ``all``): ``value``, the mean over ``cells`` (network × layer × measure) that have the
    index; ``low``, ``high`` (percentile, 95 %); ``p`` of the networks' means under sign flips and
    ``smallest``, the mean that could have been told from 0 (`smallest_effect`), both of use for a
    contrast. A contrast compares like with like: its cells are those that have the index on both
    sides, and a network's number is the difference of its pair.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, list[list[dict[Key, float]]]] = {sort: [] for sort in networks}
    for weights in _resampled(networks, rng, resamples):
        for sort, members in networks.items():
            drawn = (mean_change(members[n], w) for n, w in weights[sort])
            found[sort].append([_by_layer(change, layers[sort], size) for change in drawn])
    keys = {sort: list(draws[0][0]) for sort, draws in found.items()}
    values = {s: np.array([[list(x.values()) for x in d] for d in found[s]]) for s in networks}
    rows = []
    for sort in networks:
        rows += _rows(sort, keys[sort], values[sort], measures)
    for a, b in contrasts:
        both = [key for key in keys[a] if key in keys[b]]
        one, other = (values[s][..., [keys[s].index(key) for key in both]] for s in (a, b))
        rows += _rows(f"{a} − {b}", both, one - other, measures)
    return pd.DataFrame(rows)


def _resampled(
    networks: Mapping[str, Sequence[np.ndarray]], rng: np.random.Generator, resamples: int
) -> Iterator[dict[str, list[tuple[int, np.ndarray]]]]:
    """First all networks and episodes once, then resamples: sort → (network, episode weights)."""
    most = max(len(members) for members in networks.values())
    episodes = {len(c) for members in networks.values() for c in members}
    if len(episodes) != 1:
        raise LabError(f"networks to compare need the same episodes, got {sorted(episodes)}")
    (count,) = episodes
    for draw in range(resamples + 1):
        picked, weights = np.arange(most), np.ones((most, count))
        if draw > 0:
            picked = rng.integers(most, size=most)
            weights = rng.multinomial(count, np.full(count, 1 / count), most).astype(np.float64)
        yield {
            sort: [(int(n) % len(members), w) for n, w in zip(picked, weights, strict=True)]
            for sort, members in networks.items()
        }


def _by_layer(change: np.ndarray, layers: Sequence[str], size: np.ndarray) -> dict[Key, float]:
    where = np.array(layers)
    return {
        (site, index, m): value
        for site in dict.fromkeys(layers)
        for (index, m), value in indices(change[where == site], size).items()
    }


def _rows(
    sort: str, keys: Sequence[Key], draws: np.ndarray, measures: Sequence[str]
) -> list[dict[str, object]]:
    """Rows from the estimate (first) and its resamples (the rest): (draws, networks, keys)."""
    pools: dict[Key, list[int]] = {}
    for column, (layer, index, m) in enumerate(keys):
        for pool in dict.fromkeys((x, index, n) for x in (layer, "all") for n in (m, -1)):
            pools.setdefault(pool, []).append(column)
    rows: list[dict[str, object]] = []
    for (layer, index, m), columns in pools.items():
        cells = draws[:, :, columns].reshape(len(draws), -1)
        count, mean = int(np.isfinite(cells[0]).sum()), finite_mean(cells, 1)
        low, high = interval(mean[1:]) if count else (np.nan, np.nan)
        measure = "all" if m < 0 else measures[m]
        row = {"network": sort, "layer": layer, "index": index, "measure": measure}
        ends = {"low": low, "high": high, "cells": count}
        means = finite_mean(draws[0][:, columns], 1)
        ends["p"] = float(sign_flip_p(means[:, None], np.random.default_rng(0))[0])
        ends["smallest"] = smallest_effect(means)
        rows.append({**row, "value": float(mean[0]), **ends})
    return rows


UNHARMED, LOCAL, ANY, SPREAD = "unharmed", "local", "no more than chance", "spread out"
UNTESTED = "not held against chance"


def region_locality(run: Map, measures: Sequence[str], seed: int = 0) -> pd.DataFrame:
    """Whether one region of a two-stage map does most of the harm to a behaviour.

    Of the regions with a claim of clear harm, the one that did most on the discovery's episodes is
    taken. Its ``share`` of the harm that all regions of its layer do, each cut alone in the first
    kind, is the confirmation's, with a percentile bootstrap interval over episodes. Regions that
    were not selected count as harmless. A behaviour is local only where this is half of the harm or
    more and random divisions of the same sizes hardly ever do as much (see `Divisions.p_local`).

    A row for each behaviour: the columns of `claims` for that region, and: harm; its ``layer``;
    share, share_low, share_high; p_local, and ``divisions``, the number of random ones; hit, of
    ``regions`` of all layers, that do clear harm; verdict. A behaviour that no region harms clearly
    has NaN in their place.
    """
    rows = claims.changes(run).fillna({"harm": 0.0})
    sites = {x.name: next(iter(x.cut)) for x in run.plan if x.size and not (x.directions or x.to)}
    rows = rows[(rows["group"] != "layers") & rows["lesion"].isin(list(sites))]
    assert run.confirmation is not None
    changed = differences(run.confirmation.behaviour(), measures)
    null = divisions(run, measures)
    p_local = None if null is None else null.p_local()
    found = []
    for m, name in enumerate(measures):
        part = rows[rows["measure"] == name]
        sure = part[part["stage"] == "confirmed"]
        clear = (sure["q"] < LEVEL) & (sure["harm"] < -REPORTED_EFFECT)
        row = {"measure": name, "hit": int(clear.sum()), "regions": len(part)}
        row |= {"p_local": np.nan, "divisions": 0 if null is None else null.draws, "layer": ""}
        row |= dict.fromkeys(("share", "share_low", "share_high"), np.nan)
        if not clear.any():
            found.append({**row, "verdict": UNHARMED})
            continue
        better = MEASURES[name].better or 1
        which = int((better * sure["delta_discovery"]).where(clear, np.inf).to_numpy().argmin())
        worst = {str(key): value for key, value in sure.iloc[which].items()}
        layer = sites[str(worst["lesion"])]
        beside = sure["lesion"].map(sites) == layer
        lost = -better * changed[name][list(sure["lesion"][beside])].to_numpy()
        share = _share(lost, int(beside.iloc[:which].sum()), seed)
        ends = {"share": share.value, "share_low": share.low, "share_high": share.high}
        p = np.nan
        if null is not None and p_local is not None and layer in null.layers:
            p = float(p_local[null.layers.index(layer), m])
        row |= {"layer": layer, "p_local": p, **ends}
        found.append({**worst, **row, "verdict": _verdict(share.value, p)})
    return pd.DataFrame(found)


def _share(lost: np.ndarray, which: int, seed: int) -> Estimate:
    """Share of column ``which`` in what all lose, (episodes, regions)."""
    episodes = len(lost)
    chance = [1 / episodes] * episodes
    weights = np.random.default_rng(seed).multinomial(episodes, chance, RESAMPLES)
    weights = np.vstack([np.ones(episodes), weights])
    there = np.isfinite(lost)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (weights @ np.where(there, lost, 0.0)) / (weights @ there)
        mean = np.clip(np.nan_to_num(mean), 0.0, None)
        share = mean[:, which] / mean.sum(1)
    return Estimate(float(share[0]), *interval(share[1:]))


def _verdict(share: float, p_local: float) -> str:
    if not share >= HALF:
        return SPREAD
    if np.isnan(p_local):
        return UNTESTED
    return LOCAL if p_local <= LEVEL else ANY
