"""Claims of several kinds of cut, on tables whose answer is known."""

import numpy as np
import pytest

from rl_ablation import stats
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.mapping.claims import overall
from rl_ablation.mapping.effects import effects
from rl_ablation.mapping.evidence import merge
from rl_ablation.mapping.kinds import (
    DEFAULT,
    DISAGREE,
    HOLDS,
    NOTHING,
    ONLY_FAR,
    in_kinds,
    only_beyond,
    weakest,
)
from tests.rl_ablation.mapping.test_evidence import UNITS, table

CHANGES = {
    "all": (-0.5, -0.3, -0.6),
    "signs": (-0.5, 0.3, -0.5),
    "one": (-0.5, 0.0, -0.5),
    "shock": (0.0, 0.0, -0.8),
    "nothing": (0.0, 0.0, 0.0),
}


def in_three(changes, **how):
    """Effects of cuts whose change of progress under resample, mean and zero is known."""
    named, kinds = {}, {"intact": "zero"}
    for name, values in changes.items():
        for kind, value in zip(DEFAULT, values, strict=True):
            lesion = name if kind == DEFAULT[0] else f"{name}~{kind}"
            named[lesion], kinds[lesion] = {"progress": value}, kind
    rows = table(named, **how)
    return effects(rows.assign(kind=rows["lesion"].map(kinds)), UNITS)


@pytest.fixture(scope="module")
def found():
    return in_three(CHANGES)


def progress(rows):
    return rows[rows["measure"] == "progress"].set_index("lesion")


def test_a_claim_holds_under_every_kind_within_range_and_is_told_with_the_weakest(found):
    told = progress(overall(found))
    assert list(told.index) == list(CHANGES)
    assert told["holds"].to_dict() == {
        "all": HOLDS, "signs": DISAGREE, "one": DISAGREE, "shock": ONLY_FAR, "nothing": NOTHING,
    }  # fmt: skip
    assert told["kind"]["all"] == "mean"
    assert told["delta"]["all"] == progress(found)["delta"]["all~mean"]
    assert told["first"]["all"] == progress(found)["delta"]["all"]
    assert told["q"]["all"] < stats.LEVEL
    assert (told["q"].drop("all") > stats.LEVEL).all()
    assert told["p_fwe"]["signs"] == 1.0


def test_the_p_of_a_claim_is_the_largest_and_its_q_is_corrected_over_claims(found):
    told, each = weakest(found), progress(found)
    assert progress(told)["p"]["all"] == max(each["p"]["all"], each["p"]["all~mean"])
    rows = told.drop_duplicates(["measure", "delta", "p", "lesioned", "intact"])
    wanted = stats.benjamini_hochberg(rows["p"].to_numpy())
    assert np.allclose(rows["q"], wanted)


def test_what_only_zero_shows_is_told_apart(found):
    rows = only_beyond(found)
    rows = rows[rows["measure"] == "progress"]
    assert list(zip(rows["lesion"], rows["kind"], rows["measure"], strict=True)) == [
        ("shock", "zero", "progress")
    ]


def test_one_kind_stays_as_it_was():
    own = effects(table({"hit": {"progress": -0.5}, "nothing": {}}), UNITS)
    told = weakest(own)
    assert told[list(own)].equals(own)
    assert progress(told)["holds"].to_dict() == {"hit": HOLDS, "nothing": NOTHING}


def test_kinds_beyond_range_carry_claims_where_no_other_was_run():
    """Zero alone is the published protocol."""
    frame = in_three({"hit": (-0.5, -0.5, -0.5)})
    zero = frame[frame["kind"] == "zero"].assign(lesion="hit")
    assert progress(weakest(zero))["holds"]["hit"] == HOLDS


def test_a_kind_without_a_number_lets_no_claim_hold():
    frame = in_three({"hit": (-0.5, -0.5, -0.5), "other": (0.0, 0.0, 0.0)})
    mean = (frame["lesion"] == "hit~mean") & (frame["measure"] == "progress")
    frame.loc[mean, ["delta", "p", "q", "p_fwe"]] = np.nan
    assert progress(weakest(frame))["holds"]["hit"] == DISAGREE


def test_only_what_was_confirmed_is_tested():
    first = effects(table({"hit": {"progress": -0.5}, "rest": {}}), UNITS)
    frame = merge(first.assign(kind="resample"), in_three({"hit": (-0.5, -0.5, -0.5)}, seed=1))
    told = weakest(frame)
    assert set(told["lesion"]) == {"hit", "rest"}
    assert (told.loc[told["lesion"] == "rest", "q"] == 1).all()
    assert set(told.loc[told["lesion"] == "hit", "stage"]) == {"confirmed"}
    kept = progress(told)["delta_discovery"]["hit"]
    assert kept == progress(first)["delta"]["hit"]


def test_false_claims_of_cuts_that_do_nothing_are_rare():
    """Nothing under one kind is enough for no claim, whatever the others do."""
    hits = 0
    for seed in range(60):
        frame = in_three({f"c{k}": (0.0, -0.6, -0.6) for k in range(4)}, seed=seed)
        hits += bool((progress(weakest(frame))["q"] < stats.LEVEL).any())
    assert hits <= 8  # 5 % of 60 is 3


def test_cuts_keep_a_kind_of_their_own():
    plan = Plan([
        Lesion(name="a", cut={"h0": (0,)}),
        Lesion(name="b", cut={"h0": (1,)}, kind="gain", strength=0.5),
    ])  # fmt: skip
    made = in_kinds(plan)
    assert made.names == ["intact", "a", "a~mean", "a~zero", "b"]
    assert [made[n].kind for n in made.names[1:]] == [*DEFAULT, "gain"]
    assert in_kinds(plan, ["zero"]).names == ["intact", "a", "b"]
    assert in_kinds(plan, ["zero"])["b"].kind == "zero"
