"""The study of populations runs in its quick version; its rule is chosen before it is judged."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from experiments.studies.populations import study as populations
from experiments.studies.populations.words import tell_rules
from experiments.studies.registry import Answer


def test_populations_compares_divisions_and_rules(
    tmp_path: Path, complete: Callable[[Answer], bool]
) -> None:
    answer = populations.study(tmp_path, quick=True, seed=0)
    assert complete(answer)
    assert "no other network to judge it on" in answer.text
    assert list(answer.tables["divisions"]["site"]) == ["h0", "h1"]


def test_the_rule_is_chosen_on_the_first_network_among_weights_alone() -> None:
    def rules(first: float, second: float) -> pd.DataFrame:
        rows = [
            ("a", "in × out", first),
            ("a", "incoming L2", 0.3),
            ("a", "activity", 0.9),
            ("b", "in × out", second),
            ("b", "incoming L2", 0.8),
            ("b", "activity", 0.9),
        ]
        table = pd.DataFrame(rows, columns=["network", "rule", "rho"])
        return table.assign(site="h0", low=0.0, high=1.0, q=0.01, effect_self=0.9)

    assert populations.choose_rule(rules(0.5, -0.7)) == "in × out"
    assert populations.choose_rule(rules(0.1, 0.99)) == "incoming L2"
    told = tell_rules(rules(0.5, -0.7), "in × out")
    assert "clearly positive in 0 of 1 layers, −0.70 in the mean" in told
