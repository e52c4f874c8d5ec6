"""What a brain scan shows by chance: in untrained networks, and with behaviours shuffled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

import rl_ablation as rl
from agents.recipes import Recipe
from agents.train import untrained
from rl_ablation.analysis.scan import Context, Scan, Visits, contrasts, scan, scanned
from rl_ablation.stats import LEVEL

TRAINED, WATCHING, DRIVING = "trained", "untrained, watching", "untrained, driving"
SHUFFLED, MOVED = "trained, labels shuffled", "trained, labels moved in time"

Pairs = Mapping[str, tuple[Sequence[str], Sequence[str]]]


@dataclass(frozen=True)
class Size:
    """How many untrained networks watch, how many of them also drive, and how many shuffles."""

    watching: int
    driving: int
    shuffles: int


@dataclass(frozen=True)
class Asked:
    """What is compared: contrasts of behaviours, which read signals."""

    contexts: Mapping[str, Context]
    signals: Sequence[str]
    pairs: Pairs
    seed: int

    def contrasts(self, found: Scan) -> pd.DataFrame:
        """Of one network or shuffle."""
        return contrasts(found, self.pairs, self.seed)


def chance(
    found: Visits, policy: rl.Policy, recipe: Recipe, asked: Asked, size: Size, drive: rl.Episodes
) -> pd.DataFrame:
    """The contrasts of the trained network beside those that chance gives.

    An untrained network is what a training by the recipe starts from, of seeds 0, 1, … Those that
    watch are shown what the trained robot saw, with its observation normaliser; those that drive do
    so on ``drive``, from the very start of a training.

    A row for each ``who``, ``draw`` (seed of the network or shuffle) and ``contrast``: ``units``
    that pass family-wise correction, of ``of``; ``strength``, the mean over units of the absolute
    contrast in the unit's s.d.; ``most``, its 95 % quantile over units; ``n`` subjects that showed
    both behaviours.
    """

    def watching(k: int) -> Scan:
        return scanned(found, untrained(recipe, k, policy))

    def driving(k: int) -> Scan:
        return scan(untrained(recipe, k), asked.contexts, asked.signals, drive)

    def moved(k: int) -> Scan:
        return scanned(found.shifted(np.random.default_rng([asked.seed, 1, k])))

    def shuffled(k: int) -> Scan:
        return scanned(found.shuffled(np.random.default_rng([asked.seed, 0, k])))

    ways: dict[str, tuple[int, Callable[[int], Scan]]] = {
        TRAINED: (1, lambda _: scanned(found)),
        WATCHING: (size.watching, watching),
        DRIVING: (size.driving, driving),
        SHUFFLED: (size.shuffles, shuffled),
        MOVED: (size.shuffles, moved),
    }
    return pd.DataFrame(
        {"who": who, "draw": k, **row}
        for who, (count, make) in ways.items()
        for k in range(count)
        for row in _rows(asked.contrasts(make(k)))
    )


def _rows(table: pd.DataFrame) -> Iterator[dict[str, object]]:
    for contrast, part in table.groupby("contrast", sort=False):
        strength = part["strength"].abs()
        yield {
            "contrast": contrast,
            "units": int((part["p_fwe"] < LEVEL).sum()),
            "of": len(part),
            "strength": float(strength.mean()),
            "most": float(strength.quantile(0.95)),
            "n": int(part["n"].max()),
        }


def beyond(table: pd.DataFrame) -> pd.DataFrame:
    """Whether the trained network responds in more units than untrained ones that watch.

    A row for each contrast: ``units``; ``untrained``, how many were looked at; ``as_many``, how
    many of them respond in at least as many units; ``p``, one-sided, of the trained network's rank
    among them; ``p_all``, after Bonferroni over the contrasts.
    """
    rows = []
    groups = table.groupby("contrast", sort=False)
    for contrast, part in groups:
        own = int(part.loc[part["who"] == TRAINED, "units"].iloc[0])
        others = part.loc[part["who"] == WATCHING, "units"].to_numpy()
        as_many = int((others >= own).sum())
        p = (1 + as_many) / (1 + len(others))
        rows.append((contrast, own, len(others), as_many, p, min(1.0, p * groups.ngroups)))
    return pd.DataFrame(rows, columns=["contrast", "units", "untrained", "as_many", "p", "p_all"])
