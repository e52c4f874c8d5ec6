"""The behaviour table, folded: a number for each measure × episode × lesion, shard by shard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rl_ablation.measures.registry import parted

ABOUT = ["group", "kind", "units"]
UNSTABLE = "unstable"


@dataclass(frozen=True, eq=False)
class Behaviour:
    """What every lesion did in every episode: 8 bytes a number, where the table takes 600 a row.

    Attributes:
        about: Index lesion; columns group, kind, units.
        episodes: The episodes' numbers, sorted, (E,).
        conditions: Their conditions, (E,).
        numbers: Measure, and ``unstable`` → (E, L); NaN where a lesion was not given an episode.
    """

    about: pd.DataFrame
    episodes: np.ndarray
    conditions: np.ndarray
    numbers: dict[str, np.ndarray]

    def differences(self, measure: str, intact: str) -> pd.DataFrame:
        """Paired differences from the intact robot: a row an episode, a column a lesion.

        Of a measure `in_condition` those of the other conditions are NaN.
        """
        values = self.values(measure)
        return values.drop(columns=intact).sub(values[intact], axis=0)

    def values(self, measure: str) -> pd.DataFrame:
        """A measure, or a measure `in_condition`: a row an episode, a column a lesion."""
        condition, known = parted(measure)
        values = self.numbers[known]
        if condition:
            values = np.where((self.conditions == condition)[:, None], values, np.nan)
        return pd.DataFrame(values, index=self.episodes, columns=self.about.index)


def fold(
    tables: Iterable[pd.DataFrame], about: pd.DataFrame, episodes: int, measures: Sequence[str]
) -> Behaviour:
    """Fold behaviour tables, one after the other, so that they need not be in memory together.

    They have the columns lesion, episode (0 to ``episodes`` − 1), condition, unstable and the
    measures; ``about`` names all lesions there are.
    """
    shape = (episodes, len(about))
    numbers = {name: np.full(shape, np.nan) for name in (*measures, UNSTABLE)}
    conditions = np.full(episodes, "", dtype=object)
    for table in tables:
        lesion = about.index.get_indexer(pd.Index(table["lesion"]))
        episode = table["episode"].to_numpy()
        conditions[episode] = table["condition"].to_numpy()
        for name, values in numbers.items():
            values[episode, lesion] = table[name].to_numpy(np.float64)
    return Behaviour(about, np.arange(episodes), conditions, numbers)


def folded(table: pd.DataFrame | Behaviour, measures: Sequence[str]) -> Behaviour:
    """`fold` for one whole table, whose episodes have any numbers; what is folded stays."""
    if isinstance(table, Behaviour):
        return table
    about = table.drop_duplicates("lesion").set_index("lesion")[ABOUT]
    numbers, codes = np.unique(table["episode"].to_numpy(), return_inverse=True)
    known = list(dict.fromkeys(parted(m)[1] for m in measures))
    found = fold([table.assign(episode=codes)], about, len(numbers), known)
    return Behaviour(about, numbers, found.conditions, found.numbers)
