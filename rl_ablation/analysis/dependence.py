"""What brief cuts do, and whether it matters when: claims from the tables of `brief_cuts`.

A cut within the network's range (mean, resample) takes away what a unit says beyond its mean. In
one moment it takes something away, in another it puts something there. So a unit that says
anything does more at some moments than at others; and there are moments in which a robot is thrown
off its way by anything at all. Random cuts of the same size, which are run beside the regions, show
how far a region goes beyond that.

What has no sign, such as how far the actions move, depends on such moments even where a robot is
only nudged (see `experiments.validation.moments`); what has one does not.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from rl_ablation.analysis.moments import Moment
from rl_ablation.analysis.phases import DRAWS, Curve, association, curve
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import VARIANT
from rl_ablation.mapping.effects import CONTROLS
from rl_ablation.mapping.kinds import bases
from rl_ablation.stats import LEVEL, finite_mean, max_t_p, mean_intervals, sign_flip_p

_CUT = ["null", "signal"]
"""What a random cut shares with the region whose control it is, and the signal."""


def by_kind(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Kind, rows of the regions, rows of the random cuts, for each kind that regions are cut in."""
    controls = table["group"].isin(CONTROLS)
    if controls.all():
        raise LabError("this table of brief cuts has no region, only controls")
    for kind, rows in table[~controls].groupby("kind", sort=False):
        yield str(kind), rows, table[controls & (table["kind"] == kind)]


def changes(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """What brief cuts change, over all moments.

    Tested over episodes: sign flips of the means of their moments, and step-down max-T over all
    regions × signals of one kind of cut.

    Returns:
        A row for each region × kind × signal: ``region`` (the lesion without its kind), ``kind``,
        ``site``, ``units``, ``signal``, ``intact``, ``delta`` with its 95 % interval ``ci_low``–
        ``ci_high``, ``n`` (episodes), ``p``, ``p_fwe``, ``random`` (median change by random cuts
        of its size, site and kind), ``draws`` (of them), ``p_random``: the share of them that
        change it as far, either way.
    """
    parts = []
    for kind, rows, random in by_kind(table):
        about, y = columns_of(rows)
        means = finite_mean(y, 1)
        low, high = mean_intervals(means, np.random.default_rng([seed, 0]))
        intact = rows.groupby("signal")["intact"].mean()
        found = about.assign(
            region=bases(about["lesion"]), kind=kind, intact=about["signal"].map(intact),
            delta=finite_mean(means), ci_low=low, ci_high=high, n=np.isfinite(means).sum(0),
            p=sign_flip_p(means, np.random.default_rng([seed, 1])),
            p_fwe=max_t_p(means, np.random.default_rng([seed, 2])),
        ).drop(columns="lesion")  # fmt: skip
        null = None
        if len(random):
            others, drawn = columns_of(random)
            null = others.assign(size=finite_mean(finite_mean(drawn, 1)))
        parts.append(_against(found, "delta", null))
    return pd.concat(parts, ignore_index=True)


def dependence(
    table: pd.DataFrame, moment: Moment, seed: int = 0, draws: int = DRAWS
) -> pd.DataFrame:
    """Whether the effects of brief cuts depend on a moment's phase or number; see `association`.

    The family of ``p_fwe`` are all regions × signals of one kind of cut.

    Returns:
        A row for each region × kind × signal: ``region`` (the lesion without its kind), ``kind``,
        ``site``, ``signal``, ``delta`` (mean over the moments of all episodes), its 95 % interval
        over episodes ``ci_low``–``ci_high``, ``n`` (moments that count), ``amplitude`` (half the
        range of the fitted curve), ``strongest`` (where the curve is furthest from 0) and
        ``there`` (its value there), ``r2``, ``p``, ``p_fwe``, ``smallest`` (amplitude that would
        have been found), ``random`` (median amplitude of random cuts of its size, site and kind),
        ``draws`` and ``p_random`` (share of them with that amplitude), and ``alike``: the curves
        of all its kinds rise and fall together.
    """
    parts, curves = [], dict[tuple[str, str], list[Curve]]()
    for kind, rows, random in by_kind(table):
        rng = np.random.default_rng([seed, 0xDE9])
        found, drawn = _of_kind(rows, random, moment, rng, draws)
        parts.append(found.assign(kind=kind))
        for key, one in zip(zip(found["region"], found["signal"], strict=True), drawn, strict=True):
            curves.setdefault(key, []).append(one)
    told = pd.concat(parts, ignore_index=True)
    same = {key: all(x.like(found[0]) for x in found[1:]) for key, found in curves.items()}
    keys = zip(told["region"], told["signal"], strict=True)
    return told.assign(alike=[same[key] for key in keys])


def columns_of(table: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Effects by episode and moment: the columns, told by what the rows share, and (E, M, C)."""
    keys = ["lesion", "site", "units", "null", "signal"]
    wide = table.pivot(index=["episode", "slot"], columns=keys, values="delta")
    wide = wide[table[keys].drop_duplicates().itertuples(index=False, name=None)]
    shape = (table["episode"].nunique(), table["slot"].nunique(), wide.shape[1])
    return wide.columns.to_frame(index=False), wide.to_numpy(float).reshape(shape)


def _of_kind(
    rows: pd.DataFrame, random: pd.DataFrame, moment: Moment, rng: np.random.Generator, draws: int
) -> tuple[pd.DataFrame, list[Curve]]:
    """The rows of `dependence` of one kind, and the curve of each."""
    about, y = columns_of(rows)
    places = rows.drop_duplicates(["episode", "slot"]).sort_values(["episode", "slot"])
    x = places[moment.name].to_numpy(float).reshape(y.shape[:2])
    blocks = places["condition"].to_numpy().reshape(x.shape)[:, 0]
    held = association(y, x, blocks, moment.harmonics, rng, draws)
    curves = [curve(x, part, moment.harmonics) for part in np.moveaxis(y, -1, 0)]
    low, high = mean_intervals(finite_mean(y, 1), rng)
    counted = np.isfinite(y) & np.isfinite(x)[..., None]
    mean = finite_mean(y, (0, 1))
    spreads = np.sqrt(finite_mean((y - mean) ** 2, (0, 1)))
    found = about.assign(
        region=bases(about["lesion"]),
        delta=mean, ci_low=low, ci_high=high, n=counted.sum((0, 1)),
        amplitude=[c.amplitude for c in curves], strongest=[c.strongest for c in curves],
        there=[c.fitted[np.abs(c.fitted).argmax()] for c in curves],
        r2=held.r2, p=held.p, p_fwe=held.p_fwe, smallest=held.smallest(spreads),
    )  # fmt: skip
    null = None
    if len(random):
        others, drawn = columns_of(random)
        sizes = [curve(x, part, moment.harmonics).amplitude for part in np.moveaxis(drawn, -1, 0)]
        null = others.assign(size=sizes)
    return _against(found.drop(columns="lesion"), "amplitude", null), curves


def _against(found: pd.DataFrame, column: str, null: pd.DataFrame | None) -> pd.DataFrame:
    """Add how random cuts of the same place and size do: ``random``, ``draws``, ``p_random``.

    ``null`` has the columns site, units, signal and size, a row for each random cut and signal.
    """
    drawn = {} if null is None else {
        key: part["size"].dropna().to_numpy() for key, part in null.groupby(_CUT)
    }  # fmt: skip
    told = []
    for row in found.to_dict("records"):
        others = drawn.get(tuple(row[key] for key in _CUT), np.zeros(0))
        beyond = (np.abs(others) >= abs(row[column]) * (1 - 1e-9)).sum()
        known = others.size > 0 and np.isfinite(row[column])
        p = (1 + beyond) / (1 + others.size) if known else np.nan
        told.append((np.median(others) if known else np.nan, others.size, p))
    columns = pd.DataFrame(told, found.index, ["random", "draws", "p_random"])
    return pd.concat([found, columns], axis=1)


def weakest(found: pd.DataFrame) -> pd.DataFrame:
    """One row for each region × signal out of those of its kinds in `dependence` or `changes`.

    It is that of the kind with the smallest amplitude, or change. ``p`` and ``p_fwe`` are the
    largest of all kinds (an intersection-union test, Berger 1982); ``random``, ``draws`` and
    ``p_random`` those of the kind that has random cuts, in which the amplitude or change is
    ``first``. ``holds``: p_fwe < 5 % in every kind, and
    all change in one direction, or have curves that rise and fall together. ``beyond``: that, and
    p_random < 5 %.
    """
    keys, which = ["region", "signal"], "amplitude" if "amplitude" in found else "delta"
    grouped = found.groupby(keys, sort=False)
    worst = grouped[["p", "p_fwe", "random", "draws", "p_random"]].transform("max")
    first = found.assign(first=found[which].where(found["draws"] > 0)).groupby(keys, sort=False)
    rows = found.assign(
        **worst, first=first["first"].transform("first"), size=found[which].abs().fillna(0.0)
    )
    signs = grouped["delta"].transform(lambda x: (np.sign(x) == np.sign(x.iloc[0])).all())
    rows["holds"] = (rows["p_fwe"] < LEVEL) & found.get("alike", signs)
    rows["beyond"] = rows["holds"] & (rows["p_random"] < LEVEL)
    rows = rows.loc[rows.groupby(keys, sort=False)["size"].idxmin()]
    return rows.drop(columns="size").reset_index(drop=True)


def curves_of(table: pd.DataFrame, moment: Moment) -> pd.DataFrame:
    """The fitted curve of each cut and signal: ``lesion``, ``kind``, ``group``, ``region``,
    ``site``, ``units``, ``signal``, ``at`` (phase or number), ``fitted``."""
    about, y = columns_of(table)
    places = table.drop_duplicates(["episode", "slot"]).sort_values(["episode", "slot"])
    x = places[moment.name].to_numpy(float).reshape(y.shape[:2])
    how = table.drop_duplicates("lesion").set_index("lesion")[["kind", "group"]]
    parts = []
    for row, part in zip(about.to_dict("records"), np.moveaxis(y, -1, 0), strict=True):
        found = curve(x, part, moment.harmonics)
        told = {**row, **how.loc[row["lesion"]], "region": row["lesion"].partition(VARIANT)[0]}
        parts.append(pd.DataFrame({**told, "at": found.at, "fitted": found.fitted}))
    return pd.concat(parts, ignore_index=True)
