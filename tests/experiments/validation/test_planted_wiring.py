"""Who tells whom in planted robots: wires are where they were laid, and maps of them are scored."""

import numpy as np
import pandas as pd
import pytest

from experiments.validation.connections import (
    FAMILIES,
    NO_WIRE,
    SENSES,
    WIRE,
    parts,
    recovered,
    wiring,
)
from experiments.validation.families import FAMILIES as BUILT
from experiments.validation.policies import plant
from rl_ablation.analysis.connections import foretold
from rl_ablation.lesions.lesion import Plan
from rl_ablation.lesions.methods import SiteStats


def test_parts_hold_every_unit_once():
    planted = plant(3)
    seen = {site: [] for site in planted.policy.sites}
    for part in parts(planted):
        for site, units in part.cut.items():
            seen[site] += units
    assert {site: sorted(units) for site, units in seen.items()} == {
        site: list(range(size)) for site, size in planted.policy.sites.items()
    }


@pytest.mark.parametrize("seed", range(4))
def test_wires_are_where_they_were_laid(seed):
    _, roles = wiring(plant(seed))
    for side, other in (("left", "right"), ("right", "left")):
        assert roles[f"h0/the {side}→h1/the {side}"] == WIRE
        assert roles[f"h0/the {side}→h1/the {other}"] == NO_WIRE
        assert roles[f"h1/the {side}→action/0"] == WIRE
    for name, role in roles.items():
        if "decoy" in name or name.startswith("h0/the dead") or name.endswith("→h0/the dead"):
            assert role == NO_WIRE, name
    assert roles["obs/wheels→h0/the twin-a"] == WIRE
    assert roles["obs/wheels→h0/the twin-b"] == NO_WIRE


@pytest.mark.parametrize("family", FAMILIES)
def test_what_has_no_wire_is_told_nothing(family):
    """Of activity that is drawn, not visited: what the weights make of it is what counts."""
    planted = BUILT[family](5)
    policy, obs = planted.policy, np.random.default_rng(0).normal(size=(300, 18))
    record = {site: np.empty((300, n), np.float32) for site, n in policy.sites.items()}
    policy.act(obs, record=record)
    activity = {site: SiteStats(values) for site, values in record.items()}
    plan, roles = wiring(planted)
    table = foretold(policy, plan, activity).set_index("lesion")["gradient"]
    for name, role in roles.items():
        if role == NO_WIRE:
            assert table[name] == pytest.approx(0, abs=1e-6), name
    assert any(table[name] > 0.1 for name, role in roles.items() if role == WIRE)


def test_cells_are_counted(monkeypatch):
    """By a map and a truth that are given."""
    planted = plant(1)
    plan, roles = wiring(planted)
    cells = pd.DataFrame(
        {
            "role": [WIRE] * 4 + [NO_WIRE] * 3,
            "claimed": [True, True, False, False, False, False, True],
            "right": [True, False, False, False, False, False, False],
            "real": [True, False, True, False, False, False, False],
            "delta": [1.0, 1.0, 0.5, 0.0, 0.0, np.nan, 1e-9],
        }
    )
    asked = {}

    def truth(given, cuts, **how):
        asked.update(how, cuts=cuts)
        return pd.DataFrame()

    monkeypatch.setattr("experiments.validation.connections.true_effects", truth)
    monkeypatch.setattr("experiments.validation.connections.overall", lambda effects: effects)

    class Empty:
        def effects(self):
            return pd.DataFrame()

    found = recovered(
        planted, lambda name, given: Empty(), {"seed": 3}, lambda rows, true, given: cells
    )
    assert found == {"claims": 3, "true": 1, "real": 2, "found": 1, "wireless": 3, "changed": 1}
    assert asked["seed"] == 3
    kinds = {x.kind for x in asked["cuts"] if x.size}
    assert kinds == {"resample", "mean"}
    told = {x.name for x in asked["cuts"] if x.size and "~" not in x.name}
    assert told == {name for name, role in roles.items() if role == WIRE}
    assert isinstance(plan, Plan)
    assert set(SENSES) >= {"ahead"}
