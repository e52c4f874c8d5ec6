"""When is a region first needed, does a function get more local, does early activity foretell it?

Protocol: five trainings of the lap robot's recipe (seeds 20–24), each kept at nine moments, denser
early: untrained, after 1/24, 1/12, 1/8, 1/6, 1/4, 1/2 and 3/4 of its steps, and at its end. The
regions are the functional clusters (6 a layer) of the last network. The same units are cut at all
nine, one region at a time, under resample and mean (of that moment's own activity), 12 paired
episodes of 10 s; beside them 3 random divisions of the layers into parts of the same sizes. Changes
are in units of a full change, the same one over the whole training: the largest that any region's
cut makes in it, at least a quarter of what the last network does. Networks are the units of
inference: the bootstrap draws networks first, and an interval's end is Student's where that is
further out; beside it the smallest effect that could have been found. What is told holds under both
kinds.

1. A region is *needed* at a moment if its cut costs a fifth of a full change or more of some
   behaviour, q < 5 % over regions × behaviours. It is first needed where it is, and at the next
   moment too. The same rule is put to the random parts. The untrained network is the first moment.
2. Locality is the share of its layer's loss that the worst region does, less that in the random
   divisions, where there is something to lose. Its rise is the least squares line over log₂ steps.
3. What a unit was like at each moment (the s.d. and the mean size of its activity, how much of its
   variance the bends explain, its outgoing weights, how far the action moves without it) is
   correlated in ranks within a layer with what is lost without it at last: behaviour (every unit
   cut by itself, 6 episodes, the mean over behaviours), and how far the action moves on the last
   network's own way. Controls: the losses shuffled over the units; how well both kinds agree.

Differences of less than 0.1 would not matter, nor correlations of less than 0.2.

Expected picture, if regions specialise as they are learned: the share of regions needed rises above
that of random parts and stays, the share of the worst region too, and correlations rise from the
untrained network's to the last one's long before the end.

About 12 minutes of one core, after 5 trainings of a minute and a half; ``rl-ablation study
development``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from agents.recipes import RECIPES
from experiments.studies.development import figures, film, words
from experiments.studies.development.measuring import (
    ACTION,
    BEHAVIOURS,
    FULL,
    KINDS,
    LOSS,
    QUICK,
    SIGNS,
    Training,
    follow,
)
from experiments.studies.development.words import AGREE, ALL, GAP, LAPS, MISSED, OWN, RANDOM, RISE
from experiments.studies.registry import Answer
from experiments.studies.seeds.study import TINY
from rl_ablation.analysis.development import (
    BOOT,
    NEVER,
    Across,
    across,
    first_needed,
    foretold,
    locality,
    needed,
    p_family,
    rise,
)
from rl_ablation.stats import finite_mean


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Train, cut at every moment, compare."""
    recipe, size = (TINY, QUICK) if quick else (RECIPES["lap"], FULL)
    found = [follow(recipe, training, folder, size, seed) for training in size.seeds]
    need, first = needs(found, seed)
    local, fore = localities(found, seed), foretelling(found, seed)
    shown = film.pick(found)
    film.make(shown, folder / "films" / f"{shown.name}.mp4")
    pictures = {"film": film.still(shown, folder / "film.png")}
    drawn = {
        "over_training": figures.over_training(need, local, fore),
        "maps": figures.maps(shown, BEHAVIOURS),
    }
    tables = {"needed": need, "first": first, "locality": local, "foretold": fore}
    text = words.tell(need, first, local, fore, found)
    return Answer(text, drawn, tables, pictures)


def table(found: Across, keys: pd.MultiIndex) -> pd.DataFrame:
    """A row for each of ``keys``: value, low, high, smallest."""
    columns = {k: getattr(found, k).ravel() for k in ("value", "low", "high", "smallest")}
    return pd.DataFrame(columns, index=keys).reset_index()


def when(training: Training) -> list[str]:
    """The moments of a training as shares of its steps, in texts that sort out exactly."""
    return [f"{steps / training.steps[-1]:.4f}" for steps in training.steps]


def needs(found: Sequence[Training], seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How well the robot drives, and the share of regions that are needed.

    Two tables. The first has a row for each ``what`` (laps of the last network, regions, random
    parts, difference) × ``moment`` (or the mean over the trained ones): value, low, high, smallest.
    The second has a row for each region of each training: its layer, units, the ``moment`` when it
    is first needed (or "never"), when the ``random`` part of its size in each draw is,
    ``behaviours``, those that need it at the end, and its ``largest`` loss then, ``of`` which.
    """
    moments = when(found[0])
    values: list[np.ndarray] = []
    inside: list[list[np.ndarray]] = []
    rows: list[dict[str, object]] = []
    for t in found:
        rng = np.random.default_rng([seed, len(values)])
        needs = np.array([  # (C, D, R, M)
            [needed(one[:, d], t.size) for d in range(one.shape[1])] for one in t.change
        ])  # fmt: skip
        some = np.asarray(needs.any(-1))
        laps = t.intact[:, :, BEHAVIOURS.index("progress")]
        parts = (laps / finite_mean(laps[-1]), some[:, 0], some[:, 1:].reshape(len(some), -1))
        values.append(_shares(*parts, t.steps))
        again = ([_redrawn(x, rng) for x in parts] for _ in range(BOOT))
        inside.append([_shares(one[0], one[1], one[2], t.steps) for one in again])
        first = [first_needed(some[:, d]) for d in range(some.shape[1])]
        last = -t.harm()[-1]
        for r, lesion in enumerate(t.regions):
            at, *others = (MISSED if x[r] == NEVER else moments[x[r]] for x in first)
            told = [BEHAVIOURS[m] for m in np.flatnonzero(needs[-1, 0, r])]
            rows.append({
                "training": t.name, "region": lesion.name, "units": lesion.size, "moment": at,
                "random": " ".join(others), "behaviours": " ".join(told),
                "largest": last[r].max(), "of": BEHAVIOURS[int(last[r].argmax())],
            })  # fmt: skip
    keys = pd.MultiIndex.from_product(
        [[LAPS, OWN, RANDOM, GAP], [*moments, ALL, RISE, MISSED]], names=["what", "moment"]
    )
    shares = _bounded(table(across(np.array(values), np.array(inside), seed), keys))
    return shares, pd.DataFrame(rows)


def _bounded(rows: pd.DataFrame) -> pd.DataFrame:
    """Intervals of shares end at 0 and 1."""
    share = rows["what"].isin([OWN, RANDOM]) & (rows["moment"] != RISE)
    rows.loc[share, ["low", "high"]] = rows.loc[share, ["low", "high"]].clip(0.0, 1.0)
    return rows


def _shares(laps: np.ndarray, own: np.ndarray, drawn: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Laps, shares of regions and of random parts, difference: at each moment, mean of the trained
    ones, rise over them; and the shares that are never needed at two moments in a row."""
    shares = [of.mean(1) for of in (own, drawn)]
    never = [float((first_needed(of) == NEVER).mean()) for of in (own, drawn)]
    rows = []
    for part, missed in (
        (finite_mean(laps, 1), np.nan), *zip(shares, never, strict=True),
        (shares[0] - shares[1], never[0] - never[1]),
    ):  # fmt: skip
        rows.append([*part, part[1:].mean(), rise(part[1:], np.log2(steps[1:])), missed])
    return np.array(rows, dtype=np.float64)


def _redrawn(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Columns drawn with replacement, as many as there are."""
    return values[:, rng.integers(values.shape[1], size=values.shape[1])]


def localities(found: Sequence[Training], seed: int) -> pd.DataFrame:
    """Share of its layer's loss that the worst part does; see `analysis.development.locality`.

    A row for each kind × ``what`` × ``moment`` (or the mean of the trained ones, or the rise).
    """
    values: list[np.ndarray] = []
    inside: list[list[np.ndarray]] = []
    for t in found:
        rng = np.random.default_rng([seed, len(values)])
        episodes = t.change.shape[3]
        picks = rng.integers(episodes, size=(BOOT, episodes))
        values.append(_local(t, t.change))
        inside.append([_local(t, t.change[:, :, :, pick]) for pick in picks])
    keys = pd.MultiIndex.from_product(
        [KINDS, [OWN, RANDOM, GAP], [*when(found[0]), ALL, RISE]], names=["kind", "what", "moment"]
    )
    return _bounded(table(across(np.array(values), np.array(inside), seed), keys))


def _local(t: Training, change: np.ndarray) -> np.ndarray:
    """Of some episodes: kinds × own, random, difference × moments, mean of the trained, rise."""
    own, drawn = locality(finite_mean(change, 3), t.size, t.sites)
    parts = np.stack([own, drawn, own - drawn])  # (3, C, K)
    mean = finite_mean(parts[:, 1:], 1)
    rises = np.stack([rise(part[1:], np.log2(t.steps[1:])) for part in parts])
    return np.concatenate([parts, mean[:, None], rises[:, None]], 1).transpose(2, 0, 1)


def foretelling(found: Sequence[Training], seed: int) -> pd.DataFrame:
    """Rank correlations of what units were like with what is lost without them at last.

    A row for each ``lost`` (`LOSS`, `ACTION`) × kind × ``site`` × ``sign`` × ``moment``: value,
    low, high, smallest, ``p`` over all signs, moments and layers, ``shuffled``, the 95 % point of
    the largest correlation with shuffled losses. The sign `AGREE` at the last moment is what is
    lost under the other kind.
    """
    parts = [
        _foretelling(found, lost, k, seed) for lost in (LOSS, ACTION) for k in range(len(KINDS))
    ]
    return pd.concat(parts, ignore_index=True)


def _foretelling(found: Sequence[Training], lost: str, kind: int, seed: int) -> pd.DataFrame:
    """The rows of `foretelling` of one thing lost under one kind."""
    moments, sites = when(found[0]), list(found[0].signs)
    drawn: list[list[np.ndarray]] = []  # values, resamples, shuffles of each training
    again: list[list[np.ndarray]] = []  # the same with the other kind
    for n, t in enumerate(found):
        own = t.lost[lost]
        one = [
            foretold(told.reshape(-1, told.shape[-1]), own[site][kind], n, BOOT)
            for site, told in t.signs.items()
        ]
        other = [foretold(own[site][[1 - kind]], own[site][kind], n, BOOT) for site in sites]
        drawn.append([np.concatenate(part, -1) for part in zip(*one, strict=True)])
        again.append([np.concatenate(part, -1) for part in zip(*other, strict=True)])
    values, inside, null = (np.array(part) for part in zip(*drawn, strict=True))
    means, shuffled = across(values, inside, seed), finite_mean(null)
    keys = pd.MultiIndex.from_product([sites, moments, SIGNS], names=["site", "moment", "sign"])
    limit = float(np.quantile(np.nanmax(np.abs(shuffled), 1), 0.95))
    rows = table(means, keys).assign(p=p_family(means.value, shuffled), shuffled=limit)
    values, inside, _ = (np.array(part) for part in zip(*again, strict=True))
    names = [sites, moments[-1:], [AGREE]]
    keys = pd.MultiIndex.from_product(names, names=["site", "moment", "sign"])
    rows = pd.concat([rows, table(across(values, inside, seed), keys)], ignore_index=True)
    rows[["low", "high"]] = rows[["low", "high"]].clip(-1.0, 1.0)
    return rows.assign(lost=lost, kind=KINDS[kind])
