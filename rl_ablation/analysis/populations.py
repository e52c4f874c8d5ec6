"""Two kinds of functional population: units active together, and units whose loss does the same.

After Meyes et al. 2020 ("Under the Hood of Neural Networks"). The first kind are the groups of
`clusters`; the second come from clustering the unit × behaviour matrix of
what single cuts change. How far the two agree is the adjusted Rand index (Hubert & Arabie 1985): 1
for the same division, 0 on average for chance. It is held against shuffled labels (chance), and
against how well each kind agrees with itself when it is made from two halves of the data: no
agreement between the kinds can be expected beyond that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

from rl_ablation.errors import LabError
from rl_ablation.groupings.clusters import by_activity
from rl_ablation.lesions.methods import DEAD_STD
from rl_ablation.mapping.evidence import differences
from rl_ablation.rollouts.activity import Activity
from rl_ablation.stats import finite_mean, interval

BOOTSTRAP, SHUFFLES, HALVES = 300, 999, 20


def effect_vectors(table: pd.DataFrame, site: str, measures: Sequence[str]) -> np.ndarray:
    """What each unit's cut changes in each episode, (episodes, units, measures).

    The table is that of a sweep over `rl_ablation.groupings.units.singles`; LabError unless every
    unit of the site was cut by itself. NaN where an episode has no number.
    """
    own = table["lesion"].str.fullmatch(rf"{site}/\d+")
    count = table["lesion"][own].nunique()
    names = [f"{site}/{unit}" for unit in range(count)]
    if not count or not set(names) <= set(table["lesion"]):
        raise LabError(f"populations need every unit of {site} cut by itself; sweep singles")
    paired = differences(table, measures)
    return np.stack([paired[m][names].to_numpy(float) for m in measures], -1)


def profile(vectors: np.ndarray) -> np.ndarray:
    """Mean changes in units of each behaviour's spread over the units, (units, measures).

    From `effect_vectors`. A behaviour that all cuts change alike becomes 0.
    """
    mean = finite_mean(vectors, empty=0.0)
    spread = mean.std(0)
    return np.divide(mean, spread, out=np.zeros_like(mean), where=spread > 1e-12)


def importance_of(vectors: np.ndarray) -> np.ndarray:
    """How much each unit's cut changes altogether, (units,): root mean square of `profile`."""
    return np.asarray(np.sqrt((profile(vectors) ** 2).mean(1)))


def by_effect(vectors: np.ndarray, k: int) -> np.ndarray:
    """Divide units into ``k`` groups whose cuts do the same (Ward), labels (units,)."""
    values = profile(vectors)
    return np.asarray(AgglomerativeClustering(n_clusters=k).fit_predict(values - values.mean(0)))


def agreement(
    table: pd.DataFrame,
    activity: Activity,
    site: str,
    measures: Sequence[str],
    k: int,
    seed: int = 0,
) -> dict[str, float]:
    """How far the two kinds of population agree in a layer; dead units are left out.

    The table is that of a sweep over single units; either kind is divided into ``k`` groups. Gives
    units; k; ari; low, high, its percentile bootstrap interval over episodes of the sweep
    (resampling adds noise, which pulls it towards 0); p, one-sided, and chance, the 95 % quantile,
    from shuffled labels; effect_self and activity_self, the mean index of each kind with itself
    from two halves of the episodes, or of the recorded moments. LabError where the layer has no
    more than ``k`` live units.
    """
    samples = activity[site].samples
    live = samples.std(0, dtype=np.float64) > DEAD_STD
    vectors, samples = effect_vectors(table, site, measures)[:, live], samples[:, live]
    episodes, units = vectors.shape[:2]
    if units <= k:
        raise LabError(f"{site} has {units} live units; that is too few for {k} groups")
    rng = np.random.default_rng(seed)
    together, alike = by_activity(samples, k), by_effect(vectors, k)
    found = adjusted_rand_score(together, alike)
    null = [adjusted_rand_score(together, rng.permutation(alike)) for _ in range(SHUFFLES)]
    drawn = [
        adjusted_rand_score(together, by_effect(vectors[rng.integers(0, episodes, episodes)], k))
        for _ in range(BOOTSTRAP)
    ]
    low, high = interval(np.array(drawn))
    halves = []
    for _ in range(HALVES):
        one, other = np.split(rng.permutation(episodes), [episodes // 2])
        halves.append(adjusted_rand_score(by_effect(vectors[one], k), by_effect(vectors[other], k)))
    early, late = (by_activity(part, k) for part in np.array_split(samples, 2))
    p = float((1 + np.sum(np.array(null) >= found - 1e-12)) / (1 + SHUFFLES))
    told = {"units": units, "k": k, "ari": float(found), "low": low, "high": high, "p": p}
    told |= {"chance": float(np.quantile(null, 0.95)), "effect_self": float(np.mean(halves))}
    return {**told, "activity_self": float(adjusted_rand_score(early, late))}
