"""Selection, confirmation, controls and classes, on tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.lesions.variants import doses, variants
from rl_ablation.mapping.effects import effects
from rl_ablation.mapping.evidence import (
    FAILURE,
    NONE,
    SPECIFIC,
    classify,
    harm,
    merge,
    selected,
    size_matched,
)

UNITS = {"progress": "laps", "forward_speed.alive": "m/s", "left_turning.alive": "rad/s"}
UNITS |= {"right_turning.alive": "rad/s", "off_centre.alive": "m", "survival": "s"}
INTACT = dict.fromkeys(UNITS, 1.0) | {"off_centre.alive": 0.1, "survival": 30.0}


def table(changes, episodes=24, seed=0, group="g", noise=0.05):
    """A behaviour table: lesion → {measure: change}; every cell has its own noise."""
    rng = np.random.default_rng(seed)
    rows = []
    for name, change in {"intact": {}, **changes}.items():
        for episode in range(episodes):
            row = {
                "lesion": name,
                "group": "" if name == "intact" else group,
                "kind": "zero",
                "units": 4,
                "episode": episode,
                "condition": "",
                "unstable": False,
            }
            for m in UNITS:
                row[m] = INTACT[m] + change.get(m, 0.0) + noise * INTACT[m] * rng.normal()
            rows.append(row)
    return pd.DataFrame(rows)


def found(changes, **how):
    return effects(table(changes, **how), UNITS)


def rows(frame, lesion):
    return frame[frame["lesion"] == lesion].set_index("measure")


def test_discovery_selects_what_changes_and_confirmation_replaces_its_numbers():
    changes = {"hit": {"progress": -0.5}, **{f"nothing-{k}": {} for k in range(8)}}
    first = found(changes)
    assert selected(first)[0] == "hit"
    again = found({"hit": {"progress": -0.4}}, seed=1)
    both = merge(first, again)
    assert list(both["lesion"]) == list(first["lesion"])
    assert list(both["measure"]) == list(first["measure"])
    hit, rest = rows(both, "hit"), rows(both, "nothing-3")
    assert set(hit["stage"]) == {"confirmed"}
    assert hit["delta"]["progress"] == rows(again, "hit")["delta"]["progress"]
    assert hit["delta_discovery"]["progress"] == rows(first, "hit")["delta"]["progress"]
    assert set(rest["stage"]) == {"discovery"}
    assert (rest["q"] == 1).all()
    assert (rest["p_fwe"] == 1).all()


def test_without_confirmation_discovery_stands():
    both = merge(found({"hit": {"progress": -0.5}}), None)
    assert set(both["stage"]) == {"discovery"}
    assert rows(both, "hit")["q"]["progress"] < 0.05


def test_classes():
    dead = {"forward_speed.alive": -0.9, "left_turning.alive": -0.9, "right_turning.alive": -0.9}
    classes = classify(
        found(
            {
                "none": {},
                "turns": {"left_turning.alive": -0.6},
                "dead": {**dead, "off_centre.alive": 0.1, "progress": -0.9},
                "fell": {"survival": -25.0, "progress": -0.9},
                "better": {"off_centre.alive": -0.08},
            }
        )
    )
    assert dict(classes) == {
        "none": NONE,
        "turns": SPECIFIC,
        "dead": FAILURE,
        "fell": FAILURE,
        "better": SPECIFIC,
    }


def test_economy_counts_only_while_the_task_is_done(monkeypatch):
    units = {"progress": "laps", "jerkiness": "1/s", "return": "", "clearance": "m"}
    monkeypatch.setitem(UNITS, "jerkiness", "1/s")
    monkeypatch.setitem(UNITS, "return", "")
    monkeypatch.setitem(UNITS, "clearance", "m")
    for name in ("jerkiness", "return", "clearance"):
        monkeypatch.setitem(INTACT, name, 1.0)
    smooth = {"jerkiness": -0.8}
    made = table(
        {
            "stands": {**smooth, "clearance": 0.5, "progress": -0.9, "return": -0.9},
            "drives": smooth,
            "slower": {**smooth, "progress": -0.15},
            "jerks": {"jerkiness": 0.9, "progress": -0.9, "return": -0.9},
        }
    )

    def change(*measures):
        frame = effects(made, {m: units[m] for m in measures})
        return frame.assign(harm=harm(frame)).pivot(index="lesion", columns="measure")["harm"]

    told = change("progress", "jerkiness", "clearance")
    assert told["jerkiness"]["stands"] == 0
    assert told["jerkiness"]["drives"] > 0.8
    assert told["jerkiness"]["slower"] > 0.8, "a loss too small to be reported is none"
    assert told["jerkiness"]["jerks"] < -0.9, "a loss is a loss"
    assert told["clearance"]["stands"] > 0.9, "only economy is judged so"
    assert change("return", "jerkiness")["jerkiness"]["stands"] == 0, "the return is the task"
    assert change("jerkiness")["jerkiness"]["stands"] > 0.8, "nothing tells of a task"


def test_a_task_lost_under_one_condition_takes_no_economy_elsewhere():
    made = table({"a": {"progress": -0.9, "off_centre.alive": 0.0}, "b": {}})
    frame = effects(made, UNITS).assign(condition="left")
    other = effects(table({"a": {}, "b": {}}), UNITS).assign(condition="right")
    both = pd.concat([frame, other], ignore_index=True)
    both.loc[both["measure"] == "off_centre.alive", ["measure", "delta"]] = ["jerkiness", -0.5]
    told = both.assign(harm=harm(both)).query("measure == 'jerkiness' and lesion == 'a'")
    assert dict(zip(told["condition"], told["harm"] > 0, strict=True)) == {
        "left": False,
        "right": True,
    }


def cut(name, units, group="clusters"):
    return Lesion(name=name, cut={"h0": units}, group=group)


def controls(changes, count=19):
    """A region of three units and random cuts of three, four and of another layer."""
    names = [f"h0/random-3-{k}" for k in range(count)]
    plan = Plan(
        [cut(n, (k, k + 1, k + 2), "random") for k, n in enumerate(names)]
        + [cut("other-size", (0, 1, 2, 3), "random")]
    )
    values = {n: {"progress": c} for n, c in zip(names, changes, strict=True)}
    return plan, table({**values, "other-size": {"progress": -9.0}}, noise=0.0, group="random")


@pytest.mark.parametrize(("delta", "beyond"), [(-0.5, 2), (-1.0, 0), (0.3, 0), (-0.05, 19)])
def test_random_cuts_of_the_same_size_are_the_null(delta, beyond):
    plan = Plan([cut("region", (0, 4, 9))])
    own = table({"region": {"progress": delta}}, noise=0.0)
    drawn = controls([-0.6, -0.5, *[-0.1] * 17])
    told = size_matched(effects(own, UNITS), (plan, own), [drawn], ["progress"]).iloc[0]
    assert told["draws"] == 19
    assert told["random"] == pytest.approx(-0.1)
    assert told["p_random"] == pytest.approx(min(1.0, 2 * (1 + beyond) / 20))


def test_rounds_of_random_cuts_add_up_and_only_their_episodes_count():
    plan = Plan([cut("region", (0, 4, 9))])
    own = table({"region": {"progress": -0.5}}, noise=0.0)
    own.loc[(own["lesion"] == "region") & (own["episode"] >= 6), "progress"] = 99.0
    drawn_plan, drawn = controls([-0.1] * 19)
    short = (drawn_plan, drawn[drawn["episode"] < 6])
    told = size_matched(effects(own, UNITS), (plan, own), [short, short], ["progress"])
    # The region is far off upward on all episodes, but not on the six that the controls have.
    assert told["draws"].iloc[0] == 38
    assert told["p_random"].iloc[0] == 1.0


def test_variants_and_doses_keep_the_cut():
    plan = Plan([cut("a", (0, 1)), cut("b", (2,))])
    both = variants(plan, ["zero", "resample"])
    assert both.names == ["intact", "a", "b", "a~resample", "b~resample"]
    assert both["a~resample"].kind == "resample"
    assert both["a~resample"].cut == both["a"].cut
    dosed = doses(plan, (0.5, 0.0))
    assert dosed.names == ["intact", "a~gain 0.5", "a~gain 0", "b~gain 0.5", "b~gain 0"]
    assert dosed["a~gain 0.5"].strength == 0.5
    with pytest.raises(LabError, match="different kinds"):
        variants(plan, ["zero", "zero"])
