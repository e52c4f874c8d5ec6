"""Necessary against sufficient: what a cut takes away beside what a patch evokes, on one scale.

The scale goes from what the intact robot does in the target condition to what it does in the
source's. A patch that puts a region's code of the source into the target *evokes* a share of that
way: 0 is as intact, 1 is all that the intact robot does in the source's condition. A cut of the
region in the source's condition *loses* a share of it: 0 is as intact, 1 is what the robot does in
the target's. A region can be sufficient and not necessary (others do the same), or necessary and
not sufficient (others have to take part).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats as distributions

from rl_ablation import stats
from rl_ablation.analysis.responses import Responses
from rl_ablation.groupings.controls import RANDOM
from rl_ablation.groupings.patches import ANY, KINDS, OWN, SOURCE
from rl_ablation.lesions.lesion import VARIANT

SHARE = 0.2
"""A smaller share of the way is told neither as evoked nor as lost."""
YES, NO, UNCLEAR = "yes", "no", "unclear"
_RNG = 0


@dataclass(frozen=True, eq=False)
class Way:
    """From the intact robot in the target's condition to itself in the source's, in a signal.

    An episode may come to one of them only; then it counts for that one.

    Attributes:
        signal: Its name.
        target: What it does in the target's condition, (E,); NaN where an episode has none.
        source: In the source's, (E,).
    """

    signal: str
    target: np.ndarray
    source: np.ndarray

    @property
    def ends(self) -> tuple[float, float]:
        """What the intact robot does in the target's condition and in the source's, on average."""
        return float(stats.finite_mean(self.target)), float(stats.finite_mean(self.source))

    @property
    def clear(self) -> bool:
        """Whether there is any way to go."""
        low, high = self._interval(self._gaps()[:, None], self.target[:, None])
        return bool(low[0] > 0 or high[0] < 0)

    def share(self, change: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Changes (E, C) as shares of the way, with the ends of their 95 % intervals, (C,) each.

        A ratio of means, with a percentile bootstrap over episodes, all means from the same
        resamples, and its tails widened for few episodes after Hesterberg 2015.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            share = stats.finite_mean(change) / (self.ends[1] - self.ends[0])
            drawn = _means(change) / self._gaps()[:, None]
        return share, *self._interval(drawn, change)

    def _gaps(self) -> np.ndarray:
        """The mean way in resamples of the episodes, (B,)."""
        means = _means(np.stack([self.source, self.target], 1))
        return np.asarray(means[:, 0] - means[:, 1])

    def _interval(self, drawn: np.ndarray, of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the intervals of resampled numbers (B, C) of values (E, C)."""
        others = min(np.isfinite(self.source).sum(), np.isfinite(self.target).sum())
        ends = np.full((2, drawn.shape[1]), np.nan)
        for k, column in enumerate(drawn.T):
            n = min(int(np.isfinite(of[:, k]).sum()), int(others))
            some = column[np.isfinite(column)]
            if n >= 2 and some.size:
                bar = np.sqrt(n / (n - 1)) * distributions.t.ppf((1 + stats.COVERAGE) / 2, n - 1)
                ends[:, k] = np.quantile(some, distributions.norm.cdf([-bar, bar]))
        return ends[0], ends[1]


def _means(values: np.ndarray) -> np.ndarray:
    """Means of values (E, C) in resamples of the episodes, (B, C): the same for all of a study."""
    episodes = len(values)
    draws = np.random.default_rng(_RNG).multinomial(
        episodes, np.full(episodes, 1 / episodes), stats.RESAMPLES
    )
    there = np.isfinite(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = (draws @ np.where(there, values, 0.0)) / (draws @ there.astype(float))
    return np.asarray(means)


def way(target: Responses, source: Responses, signal: str) -> Way:
    """The way that there is to go in a signal; both are of the same episodes in the same order."""
    return Way(signal, target.of(signal), source.of(signal))


def evoked(
    target: Responses, source: Responses, signals: Sequence[str], kinds: Sequence[str] = KINDS
) -> pd.DataFrame:
    """What the patches of `rl_ablation.patches` evoke: a row for each region × signal.

    A claim is that a patch goes one way from the intact robot, from the same region with other
    values of the target itself, and from the region with values of any moments, under all kinds:
    ``p`` is the largest of all these sign-flip p (Berger 1982), ``q`` is after Benjamini & Hochberg
    1995 over the table. Signals in which source and target do not clearly differ are left out.

    Returns:
        Columns ``region``, ``size``, ``signal``; ``target`` and ``source``, what the intact robot
        does there; ``kind`` under which least is evoked, the share ``evoked`` with ``ci_low`` and
        ``ci_high``, ``own`` and ``any``, the shares that the controls evoke in this kind;
        ``ended``, the share of episodes that ended within the time; ``p``, ``q``, ``n``;
        ``random``, the median share that random units of the same number evoke in the first kind,
        of ``draws``, and ``p_random``, NaN without; and for each kind what is evoked under it.
    """
    regions = [x for x in target.plan if _named(x.name, SOURCE, kinds[0]) and x.group != RANDOM]
    rows = []
    for signal in signals:
        if not (here := way(target, source, signal)).clear:
            continue
        for x in regions:
            name = x.name.partition(VARIANT)[0]
            found = {k: _patch(target, here, name, k) for k in kinds}
            kind = min(kinds, key=lambda k: abs(found[k]["evoked"]))
            row = {"region": name, "size": x.size, "signal": signal, "kind": kind, **found[kind]}
            row |= {"target": here.ends[0], "source": here.ends[1]}
            row |= {k: found[k]["evoked"] for k in kinds}
            row["p"] = _together([(p, s) for k in kinds for p, s in found[k]["tests"]])
            rows.append({**row, **_random(target, here, x.stratum, found[kinds[0]]["evoked"])})
    table = pd.DataFrame(rows, columns=[*_EVOKED, *kinds])
    return table.assign(q=_corrected(table, "evoked"))


_EVOKED = ["region", "size", "signal", "target", "source", "kind", "evoked", "ci_low", "ci_high",
           "own", "any", "ended", "n", "p", "random", "draws", "p_random"]  # fmt: skip


def lost(
    source: Responses, target: Responses, regions: Sequence[str], signals: Sequence[str],
    kinds: Sequence[str] = KINDS,
) -> pd.DataFrame:  # fmt: skip
    """What cuts of regions take away in the source's condition: a row for each region × signal.

    The plan of ``source`` has each region cut in these kinds, as `variants` names them. A claim
    holds under all of them, as in a map. Columns as of `evoked`: ``lost`` is the share.
    """
    rows = []
    for signal in signals:
        if not (here := way(target, source, signal)).clear:
            continue
        for region in regions:
            found = {}
            for k, kind in enumerate(kinds):
                name = region if k == 0 else f"{region}{VARIANT}{kind}"
                cut = source.of(signal, name)
                share, low, high = here.share((here.source - cut)[:, None])
                found[kind] = {"lost": share[0], "ci_low": low[0], "ci_high": high[0],
                               "n": int(np.isfinite(cut).sum()), "kind": kind,
                               "test": _test(here.source - cut)}  # fmt: skip
            kind = min(kinds, key=lambda k: abs(found[k]["lost"]))
            p = _together([found[k]["test"] for k in kinds])
            rows.append({"region": region, "signal": signal, **found[kind], "p": p})
    table = pd.DataFrame(rows, columns=["region", "signal", "kind", "lost", "ci_low", "ci_high",
                                        "n", "p"])  # fmt: skip
    return table.assign(q=_corrected(table, "lost"))


def necessary_and_sufficient(lost: pd.DataFrame, evoked: pd.DataFrame) -> pd.DataFrame:
    """Both in one table: columns ``lost``, ``evoked`` with ``_low``, ``_high`` and ``_q``, and in
    words whether the region is ``necessary`` and ``sufficient``: `YES` is a claim of ``SHARE`` and
    more, `NO` where the whole interval lies below it, else `UNCLEAR`."""
    tables = []
    for table, name, word in ((lost, "lost", "necessary"), (evoked, "evoked", "sufficient")):
        renamed = {"ci_low": f"{name}_low", "ci_high": f"{name}_high", "q": f"{name}_q"}
        some = table.rename(columns=renamed)
        yes = (some[f"{name}_q"] < stats.LEVEL) & (some[name] >= SHARE)
        # Without a spread there is no interval, and nothing is what was seen.
        no = (some[f"{name}_high"] < SHARE) | (some[name] == 0)
        some[word] = np.select([yes, no], [YES, NO], UNCLEAR)
        tables.append(some[["region", "signal", name, *renamed.values(), word]])
    return tables[0].merge(tables[1], on=["region", "signal"])


def _named(name: str, what: str, kind: str) -> bool:
    return name.endswith(f"{VARIANT}{what} {kind}")


def _patch(target: Responses, here: Way, region: str, kind: str) -> dict[str, Any]:
    """What a patch of a region and its controls evoke in one kind, and the tests of it."""
    values = {what: target.of(here.signal, f"{region}{VARIANT}{what} {kind}")
              for what in (SOURCE, OWN, ANY)}  # fmt: skip
    patch = values[SOURCE]
    share, low, high = here.share(np.stack([x - here.target for x in values.values()], 1))
    place = target.plan.names.index(f"{region}{VARIANT}{SOURCE} {kind}")
    there = np.isfinite(patch)
    return {
        "evoked": share[0], "ci_low": low[0], "ci_high": high[0], OWN: share[1], ANY: share[2],
        "ended": target.ended[there, place].mean() if there.any() else np.nan,
        "n": int(there.sum()),
        "tests": [_test(patch - x) for x in (here.target, values[OWN], values[ANY])],
    }  # fmt: skip


def _random(target: Responses, here: Way, stratum: object, share: float) -> dict[str, float]:
    """How a region stands among random units of the same number."""
    null = [x.name for x in target.plan if x.group == RANDOM and x.stratum == stratum]
    if not null or not np.isfinite(share):
        return {"random": np.nan, "draws": 0, "p_random": np.nan}
    change = np.stack([target.of(here.signal, x) - here.target for x in null], 1)
    shares = here.share(change)[0]
    shares = shares[np.isfinite(shares)]
    beyond = int((np.sign(share) * shares >= np.sign(share) * share - 1e-12).sum())
    p = min(1.0, 2 * (1 + beyond) / (1 + len(shares)))
    return {"random": float(np.median(shares)), "draws": len(shares), "p_random": p}


def _test(change: np.ndarray) -> tuple[float, float]:
    """Sign-flip p of a mean change (E,), and its sign."""
    p = stats.sign_flip_p(change[:, None], np.random.default_rng(_RNG))[0]
    return float(p), float(np.sign(stats.finite_mean(change)))


def _together(tests: Sequence[tuple[float, float]]) -> float:
    """p of all tests together: the largest, 1 where they differ in sign or one gives no number."""
    p, signs = np.array(tests).T
    one = abs(signs.sum()) == len(signs)
    return float(p.max()) if one and np.isfinite(p).all() else 1.0


def _corrected(table: pd.DataFrame, share: str) -> np.ndarray:
    """q over a table; regions that do the very same count once."""
    same = table.groupby(["signal", share, "p"], dropna=False, sort=False).ngroup().to_numpy()
    return stats.benjamini_hochberg(table["p"].to_numpy(np.float64), same)
