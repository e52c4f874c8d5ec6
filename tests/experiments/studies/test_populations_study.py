"""The study of populations runs in its quick version; its rule is chosen before it is judged."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from experiments.studies.populations import study as populations
from experiments.studies.populations.words import tell_divisions, tell_rules
from experiments.studies.registry import Answer


def test_populations_compares_divisions_and_rules(
    tmp_path: Path, complete: Callable[[Answer], bool]
) -> None:
    answer = populations.study(tmp_path, quick=True, seed=0)
    assert complete(answer)
    assert "no other network to judge it on" in answer.text
    assert list(answer.tables["divisions"]["site"]) == ["h0", "h1"]


def rules(*rhos: tuple[str, float, float]) -> pd.DataFrame:
    """Network, ρ of two rules of weights; activity has 0.9 everywhere."""
    rows = [
        (network, rule, rho)
        for network, one, other in rhos
        for rule, rho in (("in × out", one), ("incoming L2", other), ("activity", 0.9))
    ]
    table = pd.DataFrame(rows, columns=["network", "rule", "rho"])
    about = {"robot": "lap", "kind": "mean", "site": "h0", "units": 64, "effect_self": 0.9}
    return table.assign(low=-0.2, high=0.3, p=0.5, q=0.6, **about)


def test_the_rule_is_chosen_on_the_first_network_among_weights_alone() -> None:
    first = rules(("lap 0", 0.5, 0.3), ("lap 1", -0.7, 0.8))
    assert populations.choose_rule(first) == "in × out"
    assert populations.choose_rule(rules(("lap 0", 0.1, 0.3))) == "incoming L2"
    told = tell_rules(first, "in × out")
    assert "clearly positive in 0 of 1 layers" in told
    assert "−0.70" in told
    # Of one network: ρ = 0.35 would be found with 64 units.
    assert "inconclusive: effects smaller than 0.35 could not have been found" in told


def test_lap_robots_are_judged_by_their_mean_over_networks() -> None:
    others = [(f"lap {k}", 0.4 + 0.05 * (k % 3), 0.0) for k in range(1, 12)]
    told = tell_rules(rules(("lap 0", 0.5, 0.3), *others), "in × out")
    assert "clearly positive in 1 of 1 layers" in told
    assert "lap, h0 (11 networks, units cut to mean): 0.45 (0.43 to 0.48), q = 0.001;" in told
    # The network that chose does not judge, cut to zero either.
    zero = rules(("lap 0 zero", 0.9, 0.3), ("lap 1 zero", 0.2, 0.3), ("lap 2 zero", 0.3, 0.3))
    both = pd.concat([rules(("lap 0", 0.5, 0.3), *others), zero.assign(kind="zero")])
    assert "lap, h0 (2 networks, units cut to zero): 0.25" in tell_rules(both, "in × out")


def test_unreliable_divisions_leave_the_question_open() -> None:
    about = {"robot": "lap", "kind": "mean", "site": "h0", "k": 4, "activity_self": 0.9}
    indices = [0.01, -0.02, 0.02, 0.0, 0.03, -0.01]
    pairs = pd.DataFrame({"network": range(6), "ari": indices, **about})
    assert "open, as divisions" in tell_divisions(pairs.assign(effect_self=0.05))
    assert "no effect of 0.10 or more" in tell_divisions(pairs.assign(effect_self=0.6))
    wide = pairs.assign(effect_self=0.6, ari=10 * pairs["ari"])
    assert "inconclusive: effects smaller than" in tell_divisions(wide)
    high = pairs.assign(effect_self=0.6, ari=0.5 + pairs["ari"])
    assert "beyond chance" in tell_divisions(high)
