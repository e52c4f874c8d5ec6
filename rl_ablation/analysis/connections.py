"""What foretells how much a connection matters: its weights, or what attribution sends through it?

The rules are those of `RULES`. Each gives every connection a number without cutting it, to be
compared among the connections of the same two layers only (Geiger et al. 2018), since layers differ
in scale. `foretold` makes the numbers, `ranks` holds them against what the cuts do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.stats import norm
from torch import Tensor
from torch.nn import functional as F

from rl_ablation.analysis.attribution import CHUNK, View, growing, integral, straight_way
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import ARROW, Lesion, Plan
from rl_ablation.policies.network import MLP, one_thread
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.activity import Activity
from rl_ablation.stats import LEVEL, POWER, RESAMPLES, interval, spearman

RULES = {
    "weights": "√Σw² between the two",
    "weights × activity": "what the sender adds to the receivers' inputs: √Σ of its variances over "
    "the visited moments",
    "gradient": "that, times how the actions change with these inputs at each moment",
    "conductance": "how much of the actions goes through it on the way from the mean input",
}
"""Name → formula. The last two are root mean squares over visited moments and actions, each action
in units of its standard deviation."""
MOMENTS = 256
"""Visited moments that attribution looks at: evenly spread ones."""


def foretold(policy: Policy, plan: Plan, activity: Activity) -> pd.DataFrame:
    """Every rule for every connection of a plan between two consecutive layers of an MLP.

    Columns ``lesion``, ``site``, ``to`` and one for each of `RULES`.

    Raises:
        LabError: The policy is no MLP, or a connection is not of units of one layer to the next.
    """
    module, order = View(policy), list(policy.sites)
    assert isinstance(policy.network, MLP)
    weights = [weight.numpy().astype(np.float64) for weight, _ in policy.network.layers]
    places: dict[int, list[Lesion]] = {}
    for lesion in plan:
        if lesion.size:
            places.setdefault(_depth(lesion, policy), []).append(lesion)
    inputs = activity["obs"].samples.astype(np.float64)
    kept = np.linspace(0, len(inputs) - 1, min(MOMENTS, len(inputs))).astype(int)
    x = torch.as_tensor(inputs[kept])
    base = torch.as_tensor(inputs.mean(0))[None]
    rows = []
    with one_thread():
        spread = module(torch.as_tensor(inputs)).detach().numpy().std(0)
        spread = np.where(spread > 0, spread, 1.0)
        for depth, lesions in sorted(places.items()):
            site, to = order[depth], order[depth + 1]
            there = activity[site].samples.astype(np.float64)
            there = there - there.mean(0)
            flows = {
                "gradient": _gradient(module, depth, x, lesions, weights[depth]),
                "conductance": _conductance(module, depth, x, base, lesions, weights[depth]),
            }
            shares = {k: np.sqrt(((v / spread) ** 2).mean((0, 2))) for k, v in flows.items()}
            for k, lesion in enumerate(lesions):
                block = weights[depth][np.ix_(lesion.to[to], lesion.cut[site])]
                told = there[:, list(lesion.cut[site])] @ block.T
                known = {
                    "weights": float(np.linalg.norm(block)),
                    "weights × activity": float(np.sqrt(told.var(0).sum())),
                    **{name: float(v[k]) for name, v in shares.items()},
                }
                rows.append({"lesion": lesion.name, "site": site, "to": to, **known})
    return pd.DataFrame(rows)


def through_connections(
    policy: Policy, inputs: np.ndarray, plan: Plan, baseline: np.ndarray | None = None
) -> np.ndarray:
    """How much of every action goes through each connection of a plan, (N, connections, A).

    The conductance of a connection from units s to units r of the next layer: ``∫ Σ ∂f/∂z_r · w_rs
    · dh_s`` along the straight way from the baseline to an input, with z the receivers' inputs.
    Over the connections that make up two layers it adds up to f(x) − f(baseline), as those of
    units (`rl_ablation.analysis.attribution.conductance`) do. Arguments and errors are as there,
    and as in `foretold`.
    """
    module = View(policy)
    assert isinstance(policy.network, MLP)
    x = torch.as_tensor(np.asarray(inputs, np.float64))
    base = x.mean(0)[None] if baseline is None else torch.as_tensor(baseline).double()[None]
    lesions = [lesion for lesion in plan if lesion.size]
    out = np.empty((len(x), len(lesions), policy.action_size))
    with one_thread():
        for depth in {_depth(lesion, policy) for lesion in lesions}:
            which = [k for k, lesion in enumerate(lesions) if _depth(lesion, policy) == depth]
            weight = policy.network.layers[depth][0].numpy().astype(np.float64)
            here = [lesions[k] for k in which]
            out[:, which] = _conductance(module, depth, x, base, here, weight)
    return out


def _depth(lesion: Lesion, policy: Policy) -> int:
    """The layer, counted from the input, from which a connection goes."""
    lesion.check(policy.sites)
    order = list(policy.sites)
    if len(lesion.cut) == len(lesion.to) == 1 and not lesion.directions:
        depth = order.index(next(iter(lesion.cut)))
        if order[depth + 1 : depth + 2] == list(lesion.to):
            return depth
    raise LabError(f"{lesion.name!r} is no connection from units of one layer to the next")


def _slopes(module: View, depth: int, values: Tensor) -> list[np.ndarray]:
    """How each action changes with the inputs of the layer behind a site's values, (N, H) each."""
    layer, last = module.layer(depth), depth == len(module.sites)
    z = F.linear(values, layer.weight, layer.bias).detach().requires_grad_()
    out = module.squashed(z) if last else module.after(module.sites[depth], layer.function(z))
    return [
        torch.autograd.grad(out[:, a].sum(), z, retain_graph=True)[0].numpy()
        for a in range(out.shape[1])
    ]


def _sent(
    slopes: Sequence[np.ndarray], sent: np.ndarray, lesions: Sequence[Lesion], weight: np.ndarray
) -> np.ndarray:
    """What goes through each connection, (N, connections, A): Σ slope_r · w_rs · sent_s."""
    parts = []
    for lesion in lesions:
        (units,), (heard,) = (list(map(list, ends.values())) for ends in (lesion.cut, lesion.to))
        told = sent[:, units] @ weight[np.ix_(heard, units)].T
        parts.append(np.stack([(slope[:, heard] * told).sum(1) for slope in slopes], -1))
    return np.stack(parts, 1)


def _gradient(
    module: View, depth: int, x: Tensor, lesions: Sequence[Lesion], weight: np.ndarray
) -> np.ndarray:
    """The first order of what it does to hold the sender at its mean, (N, connections, A)."""
    values = module.at(["obs", *module.sites][depth], x).detach()
    slopes = _slopes(module, depth, values)
    return _sent(slopes, (values - values.mean(0)).numpy(), lesions, weight)


def _conductance(
    module: View, depth: int, x: Tensor, base: Tensor, lesions: Sequence[Lesion],
    weight: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """See `through_connections`."""
    parts = []
    for rows in x.split(CHUNK):
        way = straight_way(rows, base).requires_grad_()
        values, growth = growing(module, ["obs", *module.sites][depth], way, rows - base)
        slopes = _slopes(module, depth, values.detach())
        flow = _sent(slopes, growth.detach().numpy(), lesions, weight)
        whole = integral(torch.as_tensor(flow.reshape(len(flow), -1)), len(rows))
        parts.append(whole.numpy().reshape(-1, *flow.shape[1:]))
    return np.concatenate(parts)


def ranks(
    cuts: pd.DataFrame, effect: str, rules: Sequence[str], draws: int = RESAMPLES, seed: int = 0
) -> pd.DataFrame:
    """Rank correlation of what rules foretell with an effect, within each pair of layers.

    ``cuts`` has a row for each connection, from every sender to every receiver, with ``lesion``
    (``sender→receiver``), ``site``, ``to``, the rules and the effect. Connections share their ends
    and so are not independent: chance is what is left when the effect's whole senders and whole
    receivers, rows and columns of its matrix, change places, each at random (a quadratic assignment
    test: Hubert & Schultz 1976, Krackhardt 1988, here with rows and columns apart), and the
    interval is over senders × receivers drawn anew (Owen 2007). Simulated with rules and effects
    that have nothing to do with each other but senders and receivers of their own (1 s.d.), p is
    below 5 % in 4 to 5 % of matrices of 6 × 2 to 18 × 6, to shuffle connections one by one finds 9
    to 23 %; the interval is a wide one and leaves out 0 in 1 to 2 %.

    Returns:
        A row for each pair of layers × rule: ``site``, ``to``, ``rule``; Spearman's ``rho`` with
        the 95 % percentile interval ``ci_low``–``ci_high``; ``shuffled``, the |rho| that 95 % of
        ``draws`` such changes of places stay below, and ``p``, the share of them that reach it;
        ``smallest``, the least rho that such a test finds with 80 % power or more: ``shuffled``
        + z₀.₈ standard deviations of these rhos, at most 1; ``n`` connections. NaN where a side
        does not vary or is not finite.

    Raises:
        LabError: A connection between two of the parts is missing, or there twice.
    """
    table = []
    for (site, to), part in cuts.groupby(["site", "to"], sort=False):
        value, *guesses = _grid(part, [effect, *rules])
        rng, sizes = np.random.default_rng(seed), value.shape
        swapped = [rng.permuted(np.tile(np.arange(n), (draws, 1)), axis=1) for n in sizes]
        drawn = [rng.integers(n, size=(draws, n)) for n in sizes]
        mixed, resampled = _taken(value, *swapped), _taken(value, *drawn)
        for rule, guess in zip(rules, guesses, strict=True):
            found = [np.nan] * 6
            rho = float(spearman(guess.ravel(), value.ravel()))
            if np.isfinite(rho):
                low, high = interval(spearman(_taken(guess, *drawn), resampled))
                null = spearman(guess.reshape(1, -1), mixed)
                bar = float(np.quantile(np.abs(null), 1 - LEVEL))
                p = (1 + int((np.abs(null) >= abs(rho) - 1e-12).sum())) / (1 + draws)
                least = min(1.0, bar + float(norm.ppf(POWER) * null.std()))
                found = [rho, low, high, bar, p, least]
            table.append((site, to, rule, *found, len(part)))
    columns = ["site", "to", "rule", "rho", "ci_low", "ci_high", "shuffled", "p", "smallest", "n"]
    return pd.DataFrame(table, columns=columns)


def contrast(
    cuts: pd.DataFrame, effect: str, rules: tuple[str, str], seed: int = 0
) -> Mapping[str, float]:
    """By how much the first rule ranks the connections better than the second.

    The difference of their rank correlations, averaged over the pairs of layers, with a 95 %
    percentile interval over parts: those of each site are drawn once, to tell and to hear.
    Arguments and errors are those of `ranks`: ``difference``, ``ci_low``, ``ci_high``.
    """
    rng = np.random.default_rng(seed)
    drawn: dict[tuple[object, int], np.ndarray] = {}
    apart, resampled = [], []
    for (site, to), part in cuts.groupby(["site", "to"], sort=False):
        value, *guesses = _grid(part, [effect, *rules])
        ends = [(site, value.shape[0]), (to, value.shape[1])]
        which = [drawn.setdefault((at, n), rng.integers(n, size=(RESAMPLES, n))) for at, n in ends]
        one, other = (float(spearman(x.ravel(), value.ravel())) for x in guesses)
        apart.append(one - other)
        told = _taken(value, *which)
        one_drawn, other_drawn = (spearman(_taken(x, *which), told) for x in guesses)
        resampled.append(one_drawn - other_drawn)
    low, high = interval(np.mean(resampled, axis=0))
    return {"difference": float(np.mean(apart)), "ci_low": low, "ci_high": high}


def _grid(part: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Numbers of the connections between two layers, (columns, senders, receivers)."""
    ends = [name.partition(ARROW)[::2] for name in part["lesion"]]
    senders, receivers = (
        np.unique([end[k] for end in ends], return_inverse=True)[1] for k in (0, 1)
    )
    shape = senders.max() + 1, receivers.max() + 1
    if len(part) != shape[0] * shape[1] or len(set(ends)) != len(part):
        raise LabError(
            f"connections from {part['site'].iloc[0]} to {part['to'].iloc[0]}: {len(part)} of "
            f"{shape[0]} senders × {shape[1]} receivers; give every one, once"
        )
    grid = np.empty((len(columns), *shape))
    grid[:, senders, receivers] = part[list(columns)].to_numpy(np.float64).T
    return grid


def _taken(grid: np.ndarray, senders: np.ndarray, receivers: np.ndarray) -> np.ndarray:
    """A matrix with other senders (draws, S) and receivers (draws, R): (draws, S·R)."""
    return np.asarray(grid[senders[:, :, None], receivers[:, None, :]].reshape(len(senders), -1))
