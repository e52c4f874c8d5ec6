"""Groupings that cut directions of a layer's code: components, patterns, read-outs.

A function may be spread over all units of a layer and still be one direction of its code. Each
lesion here has `directions` and no units, and is cut in the same kinds; see `Lesion`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from rl_ablation.errors import LabError
from rl_ablation.groupings.registry import grouping
from rl_ablation.groupings.units import divided_sites, hidden_sites, recorded
from rl_ablation.lesions.lesion import Lesion, Plan, orthonormal
from rl_ablation.lesions.methods import DEAD_STD

if TYPE_CHECKING:  # help lists the groupings, and should not wait for torch
    from rl_ablation.policies.policy import Policy
    from rl_ablation.rollouts.activity import Activity

_ONE_THREAD = threadpool_limits.wrap(limits=1)
"""How sums are split over threads changes their last bits, and so a lesion and its run."""

LEAST_R2 = 0.5
"""Share of a signal's variance that a read-out tells in episodes it was not fitted to."""

MOST = 8
"""Directions of a signal at most."""

DEAF = 1e-7
"""Share of the largest mean squared gradient below which nobody listens to a direction."""

CONTACT, PHASE = "foot_contact", "gait_phase"
"""A signal of worlds with legs, and what is told of it: cosine and sine of the phase of the gait of
the first foot; see `rl_ablation.measures.legs.gait_phase`."""

RIDGES = 10.0 ** np.arange(-6, 0)
"""Ridges that a read-out is fitted with, in units of the layer's mean variance."""

Signals = Mapping[str, Callable[[Mapping[str, np.ndarray]], np.ndarray]]
"""Name → function of what is recorded at S moments, signals and sites (S, …), to (S,) or (S, K)."""


@grouping("the directions along which a layer varies most, so many in each layer", number=8)
@_ONE_THREAD
def components(
    agent: Policy, k: int = 8, activity: Activity | None = None, sites: Sequence[str] | None = None
) -> Plan:
    """Principal components of each layer's activity: ``h0/component-0`` has the most variance.

    A layer whose activity has fewer directions gives as many as it has. None of ``activity``
    records it, None of ``sites`` takes all hidden layers. LabError for a ``k`` that is below 1 or
    above a layer's units, or a site that is not there.
    """
    _check("components", k)
    activity = recorded(agent, activity)
    lesions = []
    for site in divided_sites(agent, sites, "components", k):
        values = activity[site].samples.astype(np.float64)
        variance, axes = np.linalg.eigh(np.atleast_2d(np.cov(values, rowvar=False, ddof=0)))
        order = np.argsort(-variance, kind="stable")[:k]
        for n, axis in enumerate(axes.T[order]):
            if variance[order[n]] > DEAD_STD**2:
                # The sign of an eigenvector is chance; the largest loading shall be positive.
                signed = axis * np.sign(axis[np.argmax(np.abs(axis))])
                lesions.append(_along(f"{site}/component-{n}", site, signed, "components"))
    return Plan(lesions)


@grouping("the non-negative patterns of a layer as directions, so many in each layer", number=6)
@_ONE_THREAD
def patterns(
    agent: Policy, k: int = 6, activity: Activity | None = None, sites: Sequence[str] | None = None
) -> Plan:
    """The patterns of `factors`, as directions: what all units do when a pattern is on.

    ``h0/pattern-0`` explains most of the layer's activity. The arguments are those of `factors`.
    """
    from rl_ablation.groupings.factors import factorise

    _check("patterns", k)
    activity = recorded(agent, activity)
    lesions = []
    for site in divided_sites(agent, sites, "patterns", k):
        live = int((activity[site].samples.std(0, dtype=np.float64) > DEAD_STD).sum())
        if not live:
            continue
        for n, pattern in enumerate(factorise(activity[site], min(k, live)).patterns):
            if np.abs(pattern).max() > 0:
                lesions.append(_along(f"{site}/pattern-{n}", site, pattern, "patterns"))
    return Plan(lesions)


@grouping("the directions from which the world's signals are read best, so many a layer", number=6)
@_ONE_THREAD
def readouts(
    agent: Policy,
    k: int = 6,
    activity: Activity | None = None,
    sites: Sequence[str] | None = None,
    *,
    signals: Sequence[str] | Signals | None = None,
    seed: int = 0,
    episodes: int = 24,
    horizon: int | None = None,
) -> Plan:
    """Supervised directions: from ``h0/readout-bend`` the signal ``bend`` is read best.

    Intact episodes are run, in all conditions in turn, with what the world said last: what a policy
    can know. Of worlds with legs it is also asked where in its stride the robot is, ``gait_phase``,
    while it has a gait. For each layer and signal a ridge regression is fitted in half of them,
    with the ridge that tells most of the others; its weights are the direction along which the
    signal is read.
    Only what the actions `listen` to is looked at: a signal may also be told where nobody hears it.
    What is read is taken out and the rest is read again, until less than ``LEAST_R2`` is told or
    ``MOST`` directions are found: in a layer that tells a signal twice, one direction less changes
    little (after Ravfogel et al. 2020, "Null it out"). The signals are kept that are told at all,
    the ``k`` that are told best in each layer.

    Args:
        agent: With an environment on its card.
        k: Read-outs in each layer at most.
        activity: Not used: read-outs need signals that it does not have.
        sites: None takes all hidden layers.
        signals: Names of the world's signals, or name → function of what is recorded at the same
            moments: the world's signals by name and sites as ``@obs``, ``@h0``, …, (S, …). All that
            are named are kept, however well they are told, but in a layer to which the actions do
            not listen. None takes all that the world gives.
        seed: Of the episodes, which are none of those that a sweep with it is measured on.
        episodes: To run, two or more in each condition.
        horizon: Steps at most; None takes the environment's time limit.

    Raises:
        LabError: ``k`` below 1, too few episodes, a site or signal that is not there, one that
            never varies.
    """
    _check("readouts", k)
    chosen = hidden_sites(agent, sites)
    if outside := {"obs", "action"} & set(chosen):
        raise LabError(f"read-outs are of hidden layers, not of {min(outside)}")
    codes, told, half = told_signals(agent, chosen, signals, (episodes, seed, horizon))
    lesions = []
    for site in chosen:
        heard, found = listen(agent, site, codes["obs"]), []
        if not len(heard):
            continue  # the actions listen to nothing here
        for name, values in told.items():
            axes, r2 = read(codes[site] @ heard.T, values, half)
            if not len(axes):
                continue
            if signals is not None or r2 >= LEAST_R2:
                found.append((-r2, name, axes @ heard))
        best = sorted(found, key=lambda x: x[0])[: k if signals is None else None]
        for _, name, axes in best:
            lesions.append(_along(f"{site}/readout-{name}", site, axes, "readouts"))
    return Plan(lesions)


def listen(agent: Policy, site: str, inputs: np.ndarray, moments: int = 1024) -> np.ndarray:
    """The directions (K, H) of a hidden site to which the actions listen, orthonormal.

    They are those along which the network's outputs change at once, at some of the inputs (S, D):
    of the outputs' mean squared gradients, those that are no less than ``DEAF`` of the largest. All
    directions are given of a policy that remembers, since later actions may listen, and of one
    through which no gradient can be had.
    """
    import torch

    from rl_ablation.policies.network import BLOCK, one_thread

    units = agent.sites[site]
    if agent.memory:
        return np.eye(units)
    few = inputs[np.linspace(0, len(inputs) - 1, min(moments, len(inputs))).astype(int)]
    squares = np.zeros((units, units))
    for start in range(0, len(few), BLOCK):
        block = np.zeros((BLOCK, few.shape[1]), np.float32)
        block[: len(few) - start] = few[start : start + BLOCK]
        leaf: list[torch.Tensor] = []

        def edit(where: str, h: torch.Tensor, leaf: list[torch.Tensor] = leaf) -> torch.Tensor:
            if where == site:
                leaf.append(h.detach().clone().requires_grad_())
                return leaf[0]
            return h

        with one_thread():
            out = agent.network(torch.from_numpy(block), edit)[: len(few) - start]
            if not out.requires_grad:
                return np.eye(units)
            for action in range(out.shape[1]):
                (slope,) = torch.autograd.grad(out[:, action].sum(), leaf[0], retain_graph=True)
                squares += slope.double().numpy().T @ slope.double().numpy()
    size, axes = np.linalg.eigh(squares)
    return np.asarray(axes.T[size > DEAF * max(float(size[-1]), 1e-300)])


def read(codes: np.ndarray, values: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, float]:
    """Orthonormal directions (K, H) of codes (S, H) from which values are read; see `readouts`.

    None of codes that do not vary. Also the share of the values' variance that is told, see `fit`.
    """
    left, found = codes, np.zeros((0, codes.shape[1]))
    told = -np.inf
    while len(found) < min(MOST, codes.shape[1]):
        axes, r2 = fit(left, values, half)
        told = max(told, r2)
        if (len(found) and r2 < LEAST_R2) or not np.abs(axes).max(initial=0.0) > 0:
            break
        more = _span(axes - axes @ found.T @ found)[: MOST - len(found)]
        found = np.linalg.qr(np.concatenate([found, more]).T)[0].T
        left = codes - codes @ found.T @ found
    return found, told


def fit(codes: np.ndarray, values: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, float]:
    """The directions (K, H) from which values (S, K) are read in codes (S, H), and their R².

    A ridge regression is fitted where ``half``, (S,) bool, is true, for each of `RIDGES`; that
    with the best R² elsewhere, the mean over the K numbers, is kept. Moments without values, NaN,
    are left out.
    """
    known = np.isfinite(values).all(1)
    if not known.all():
        codes, values, half = codes[known], values[known], half[known]
    x = codes - codes[half].mean(0)
    y = values - values[half].mean(0)
    covariance = x[half].T @ x[half] / half.sum()
    crossed = x[half].T @ y[half] / half.sum()
    unit = max(float(np.trace(covariance)) / len(covariance), 1e-300)
    rest = y[~half]
    size = np.maximum(((rest - rest.mean(0)) ** 2).sum(0), 1e-300)
    best, kept = -np.inf, np.zeros_like(crossed)
    for ridge in RIDGES:
        weights = np.linalg.solve(covariance + ridge * unit * np.eye(len(covariance)), crossed)
        r2 = float(np.mean(1.0 - ((rest - x[~half] @ weights) ** 2).sum(0) / size))
        if r2 > best:
            best, kept = r2, weights
    return kept.T, best


def told_signals(
    agent: Policy,
    sites: Sequence[str],
    signals: Sequence[str] | Signals | None,
    how: tuple[int, int, int | None],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """What a read-out is fitted to: codes (S, H) by site, signals (S, K) by name, and whether a
    moment is of every other round of episodes through all conditions, (S,) bool; from the second
    step of each episode on, when the world has said something.

    ``signals`` are as of `readouts`, ``how`` is its episodes, seed and horizon.
    """
    from rl_ablation.measures.legs import gait_phase
    from rl_ablation.rollouts.episodes import REFERENCE, Episodes
    from rl_ablation.rollouts.recording import record
    from rl_ablation.rollouts.rollout import SITE, world_signals
    from rl_ablation.rollouts.world import settled, world_of

    count, seed, horizon = how
    with world_of(agent) as world:
        given = [name for name in world_signals(world) if name not in ("obs", "action", "reward")]
    given += [PHASE] if CONTACT in given and PHASE not in given else []
    if signals is not None and not isinstance(signals, Mapping):
        if unknown := [name for name in signals if name not in given]:
            raise LabError(f"no signal {unknown[0]!r}; this world gives {', '.join(given)}")
        given = list(dict.fromkeys(signals))
    places = [f"{SITE}{site}" for site in dict.fromkeys(["obs", *sites])]
    asked = settled(agent, Episodes(count, seed, None, horizon, REFERENCE))
    each = len(asked.conditions or ("",))
    if count < 2 * each:
        raise LabError(f"read-outs need at least {2 * each} episodes, 2 a condition, got {count}")
    told_by = dict.fromkeys(CONTACT if name == PHASE else name for name in given)
    found = record(agent, [*told_by, *places], asked)
    said = dict(found.trace.signals)
    if PHASE in given:
        phase = gait_phase(said[CONTACT][..., 0], found.trace.alive)
        said[PHASE] = np.stack([np.cos(phase), np.sin(phase)], -1)
    sound = found.sound[1:]
    moments: dict[str, Any] = {p: said[p][1:][sound].astype(np.float64) for p in places}
    moments |= {g: said[g][:-1][sound].astype(np.float64) for g in given}
    if isinstance(signals, Mapping):
        told = {name: np.asarray(of(moments), np.float64) for name, of in signals.items()}
    else:
        told = {name: moments[name] for name in given}
    told = {name: values.reshape(len(values), -1) for name, values in told.items()}
    rounds = np.arange(found.sound.shape[1]) // each
    even = np.broadcast_to(rounds % 2 == 0, sound.shape)[sound]
    kept = {}
    for name, values in told.items():
        known = np.isfinite(values).all(1)
        sides = [values[known & side] for side in (even, ~even)]
        there = min(map(len, sides)) > 1
        varies = there & np.all([x.std(0) > DEAD_STD for x in sides if there], 0)
        if varies.any() and (known.all() or name == PHASE):
            kept[name] = values[:, varies]
        elif signals is not None:
            raise LabError(f"the signal {name!r} never varies, so no direction tells it")
    return {site: moments[f"{SITE}{site}"] for site in ("obs", *sites)}, kept, even


def _along(name: str, site: str, vectors: np.ndarray, group: str) -> Lesion:
    return Lesion(name=name, directions={site: orthonormal(vectors)}, group=group)


def _span(vectors: np.ndarray) -> np.ndarray:
    """As few vectors as span the same: a signal may say one thing twice."""
    if len(vectors) == 1:
        return vectors
    _, size, axes = np.linalg.svd(vectors, full_matrices=False)
    return np.asarray(axes[size > 1e-6 * size[0]])


def _check(word: str, k: int) -> None:
    if k < 1:
        raise LabError(f"{word} need k of at least 1, got {k}")
