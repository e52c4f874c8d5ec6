"""Two maps compared: the right regions side by side, differences that are there and none else."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import CONDITIONS, HORIZON, random_mlp

import rl_ablation as rl
from rl_ablation.analysis.comparison import COLUMNS, compare
from rl_ablation.analysis.consistency import EFFECTS, NAME
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.lesions.variants import variants
from rl_ablation.mapping.claims import changes
from rl_ablation.mapping.evidence import REPORTED_EFFECT
from rl_ablation.policies.network import MLP
from rl_ablation.reports.comparison import comparison_figure, comparison_text, save_comparison

MEASURES = ["forward_speed.alive", "off_centre.alive", "left_turning.alive", "crash"]
PARTS = ((0, 1, 2), (4, 5, 6, 7, 8), (9, 10, 11))
LOUD = 1  # the part whose loss does most


def parts(name="part", units=PARTS, kind="zero"):
    cuts = [Lesion(name=f"h0/{name}-{k}", cut={"h0": u}, group="parts", kind=kind)
            for k, u in enumerate(units)]  # fmt: skip
    return Plan(cuts)


def shuffled(policy, order):
    """The same policy with the units of h0 in another order: unit k is now at order.index(k)."""
    (first, bias), (second, other), *rest = policy.network.layers
    layers = ((first[order], bias[order]), (second[:, order], other), *rest)
    return policy.with_network(MLP(layers, policy.network.activation))


@pytest.fixture(scope="module")
def robot(policy):
    """A robot that steers more than the usual small one, so that its units matter."""
    *rest, (weight, bias) = policy.network.layers
    return policy.with_network(MLP((*rest, (4 * weight, bias)), policy.network.activation))


@pytest.fixture(scope="module")
def hurt(robot):
    """The same, which has lost one part for good."""
    return robot.edited("h0", PARTS[LOUD])


@pytest.fixture(scope="module")
def swept(robot, tmp_path_factory):
    """``swept(name, plan, **changes)``: a sweep of 12 episodes in the four measures."""
    how = {"conditions": CONDITIONS, "horizon": HORIZON, "threads": 1, "progress": False}
    activity = rl.record_activity(robot, conditions=CONDITIONS, horizon=HORIZON, threads=1)
    how |= {"episodes": 12, "measures": MEASURES, "activity": activity, "seed": 0}

    def run(name, plan, agent=robot, **changes):
        folder = tmp_path_factory.mktemp("runs") / name
        return rl.sweep(agent, plan, folder=folder, **{**how, **changes})

    return run


@pytest.fixture(scope="module")
def whole(swept):
    return swept("whole", parts())


@pytest.fixture(scope="module")
def broken(swept, hurt):
    """The same cuts of the robot that has lost a part."""
    return swept("broken", parts(), hurt)


def test_the_same_cuts_are_compared_by_name(whole, broken):
    found = compare(whole, broken)
    assert found.paired
    assert not found.confirmed
    assert list(found.table) == list(COLUMNS)
    assert set(found.table["matched"]) == {NAME}
    assert (found.table["region_a"] == found.table["region_b"]).all()
    rows = found.table[found.table["region_a"] == f"h0/part-{LOUD}"].set_index("measure")
    # What is lost already cannot be lost again: the whole change is the difference.
    effects = whole.effects()
    effects = effects[(effects["condition"] == "all") & (effects["lesion"] == f"h0/part-{LOUD}")]
    delta = effects.set_index("measure")["delta"]
    for name in MEASURES[:3]:
        assert rows["change_a"][name] == pytest.approx(delta[name])
        assert rows["change_b"][name] == pytest.approx(0, abs=1e-6)
        assert rows["difference"][name] == pytest.approx(-delta[name], abs=1e-6)
    told = found.told[found.told["clear"]]
    assert f"h0/part-{LOUD}" in set(told["region_a"])
    for row in told.to_dict("records"):
        assert row["ci_low"] * row["ci_high"] > 0
        assert row["q"] < 0.05
    assert (found.table["q"] >= found.table["p"] - 1e-12).all()


def test_the_intact_robots_are_compared_too(whole, broken):
    found = compare(whole, broken)
    rows = found.intact.set_index("measure")
    for name in MEASURES:
        values = np.array([r.rows_of("intact")[name] for r in (whole, broken)])
        both = values[:, np.isfinite(values).all(0)]
        assert rows["n"][name] == both.shape[1]
        assert [rows["value_a"][name], rows["value_b"][name]] == pytest.approx(both.mean(1))
        assert rows["difference"][name] == pytest.approx(np.diff(both.mean(1))[0])
    assert rows["q"]["forward_speed.alive"] < 0.05
    assert rows["n"].max() == 12


def test_the_other_way_round_the_signs_are_turned(whole, broken):
    one, other = compare(whole, broken).table, compare(broken, whole).table
    np.testing.assert_allclose(one["difference"], -other["difference"])
    np.testing.assert_allclose(one["share"], -other["share"])
    np.testing.assert_array_equal(one["claim_a"], other["claim_b"])
    np.testing.assert_allclose(one["ci_low"], -other["ci_high"], rtol=0.3, atol=0.02)


def test_renamed_regions_are_found_by_what_their_loss_does(whole, swept, robot):
    order = np.random.default_rng(3).permutation(12).tolist()
    moved = [tuple(order.index(u) for u in units) for units in PARTS]
    again = [2, 0, 1]  # and their numbers say nothing
    plan = parts("piece", [moved[k] for k in again])
    other = swept("moved", plan, shuffled(robot, order), activity=None)
    found = compare(whole, other)
    pairs = found.table.drop_duplicates("region_a")
    assert set(pairs["matched"]) == {EFFECTS}
    matched = dict(zip(pairs["region_a"], pairs["region_b"], strict=True))
    assert matched == {f"h0/part-{k}": f"h0/piece-{again.index(k)}" for k in range(3)}
    assert found.similar["parts"].score > 0.999
    assert (found.table["difference"].abs() < 1e-4).all(), "it is the same robot"
    assert not found.told["clear"].any()
    assert compare(whole, other, by="name").table.empty


def test_a_region_that_does_nothing_has_no_counterpart(whole, swept):
    plan = parts("piece", [(3,), PARTS[LOUD]])  # unit 3 is dead
    found = compare(whole, swept("less", plan))
    pairs = found.table.drop_duplicates("region_a")
    assert pairs["region_b"].tolist() == ["h0/piece-1"]
    assert pairs["region_a"].tolist() == [f"h0/part-{LOUD}"]
    assert "Without a counterpart in less: h0/piece-0." in found.left_out
    assert "Without a counterpart in whole: h0/part-0, h0/part-2." in found.left_out


def test_by_effects_even_the_same_cuts_are_matched(whole, broken):
    found = compare(whole, broken, by="effects")
    assert set(found.table["matched"]) == {EFFECTS}
    with pytest.raises(rl.LabError, match="matched by name or by effects, not by 'luck'"):
        compare(whole, broken, by="luck")


def test_other_episodes_are_not_paired(whole, broken, swept, hurt):
    other = swept("elsewhere", parts(), hurt, seed=5)
    found = compare(whole, other)
    assert not found.paired
    name = f"h0/part-{LOUD}"
    tables = found.table, compare(whole, broken).table
    rows = [t[t["region_a"] == name].set_index("measure") for t in tables]
    one, other = (r.loc["forward_speed.alive"] for r in rows)
    assert one["difference"] == pytest.approx(other["difference"])  # it changes nothing in b
    assert one["ci_low"] < one["difference"] < one["ci_high"]
    assert one["q"] < 0.05
    assert "other episodes in each run" in comparison_text(found)
    again = compare(whole, found.b)
    pd.testing.assert_frame_equal(again.table, found.table)


def test_no_difference_is_claimed_between_two_halves_of_the_same(whole, swept):
    found = compare(whole, swept("again", parts(), seed=9))
    assert not found.paired
    assert not found.told["clear"].any()
    assert not (found.intact["q"] < 0.05).any()


def test_a_difference_holds_under_every_kind_within_the_range(whole, swept, hurt):
    kinds = ("mean", "zero")
    plan = variants(parts(), kinds)
    one = swept("two-kinds", plan)
    other = swept("two-kinds-b", plan, hurt)
    found = compare(one, other)
    assert found.kinds == kinds
    assert set(found.table["kind"]) == {"mean"}, "zero leaves the range and takes no part"
    assert len(found.table) == 3 * len(MEASURES)
    only = compare(whole, one)
    assert only.kinds == ("zero",)
    assert "Kinds of cut only in two-kinds: mean." in only.left_out
    assert "shock to the next layer" in comparison_text(only)


def test_what_cannot_be_compared_is_said(whole, swept, policy, tmp_path):
    fewer = swept(
        "fewer", parts()[f"h0/part-{LOUD}"] and Plan([parts()[f"h0/part-{LOUD}"]]),
        measures=["crash", "progress"], conditions=CONDITIONS[:1],
    )  # fmt: skip
    found = compare(whole, fewer)
    assert set(found.table["measure"]) == {"crash"}
    assert found.paired, "under the condition that both have"
    assert found.intact["n"].tolist() == [6]
    said = found.left_out
    assert f"Measured only in whole: {', '.join(MEASURES[:3])}." in said
    assert "Measured only in fewer: progress." in said
    assert f"Conditions only in whole: {CONDITIONS[1]}." in said
    assert all(line in comparison_text(found) for line in said)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"horizon": 40}, "up to 60 steps in .* and 40 in"),
        ({"conditions": ("random/cw",)}, "no condition in common"),
        ({"measures": ["progress"]}, "no measure in common"),
    ],
)
def test_runs_without_common_ground_are_refused_in_one_line(changes, line, whole, swept):
    other = swept("other", parts(), **changes)
    with pytest.raises(rl.LabError, match=line) as caught:
        compare(whole, other)
    assert "\n" not in str(caught.value)


def test_other_worlds_the_same_run_and_unfinished_ones_are_refused(whole, tmp_path):
    hopper = random_mlp((11, 12, 10, 3), "envs:Hopper-v5", name="hopper")
    other = rl.sweep(
        hopper, parts(), episodes=2, horizon=20, folder=tmp_path / "hop", progress=False
    )
    with pytest.raises(rl.LabError, match=r"is of rl_ablation/Lap-v0, .* of Hopper-v5"):
        compare(whole, other)
    again = rl.sweep(
        hopper, parts(), episodes=2, seed=1, horizon=20, folder=tmp_path / "hop2", progress=False
    )
    assert len(compare(other, again).table), "a world without conditions is one like others"
    with pytest.raises(rl.LabError, match="one and the same run"):
        compare(whole, whole.folder)
    with pytest.raises(rl.LabError, match="measure 'fall' was not taken in"):
        compare(whole, _copy(whole, tmp_path, seed=3), measures=["fall"])
    with pytest.raises(rl.LabError, match="is not finished"):
        compare(whole, _copy(whole, tmp_path, seed=4))
    with pytest.raises(rl.LabError, match="is no run folder"):
        compare(whole, tmp_path / "nowhere")


def _copy(run, folder, seed):
    """A run whose spec has another seed; with seed 3 its shards are still there."""
    path = shutil.copytree(run.folder, folder / f"copy-{seed}")
    spec = json.loads((path / "spec.json").read_text())
    (path / "spec.json").write_text(json.dumps(spec | {"seed": seed}))
    (path / "manifest.json").unlink()
    if seed == 4:
        shutil.rmtree(path / "shards")
    return path


@pytest.fixture(scope="module")
def maps(robot, policy, hurt, tmp_path_factory):
    """Small maps with confirmations: of the robot, a milder one, and one that has lost a part."""
    how = {"conditions": CONDITIONS, "horizon": HORIZON, "threads": 1, "progress": False}
    *rest, (weight, bias) = policy.network.layers
    milder = policy.with_network(MLP((*rest, (3 * weight, bias)), policy.network.activation))
    return {
        name: rl.lesion_map(
            agent, parts(), episodes=12, controls=0, measures=MEASURES, kinds=["zero"], **how,
            folder=tmp_path_factory.mktemp("maps") / name,
        )
        for name, agent in (("before", robot), ("milder", milder), ("hurt", hurt))
    }  # fmt: skip


def test_confirmed_numbers_are_compared_and_told_where_either_is_a_claim(maps):
    found = compare(maps["before"], maps["milder"])
    assert found.confirmed
    assert found.names == ("before", "milder")
    assert found.kinds == ("zero",)
    row = found.table.set_index(["region_a", "measure"]).loc[
        (f"h0/part-{LOUD}", "forward_speed.alive")
    ]
    for side, run in (("a", found.a), ("b", found.b)):
        effects = run.confirmation.own_effects()
        names = {x.name for x in run.confirmation.plan if x.kind == row["kind"]}
        mine = effects["lesion"].isin(names) & effects["lesion"].str.startswith(f"h0/part-{LOUD}")
        mine &= (effects["measure"] == "forward_speed.alive") & (effects["condition"] == "all")
        assert row[f"change_{side}"] == pytest.approx(effects[mine]["delta"].item())
    for side, run in (("a", found.a), ("b", found.b)):
        rows = changes(run)
        rows = rows[(rows["q"] < 0.05) & (rows["harm"].abs() > REPORTED_EFFECT)]
        claimed = set(zip(rows["lesion"], rows["measure"], strict=True))
        keys = zip(found.table[f"region_{side}"], found.table["measure"], strict=True)
        assert [key in claimed for key in keys] == found.table[f"claim_{side}"].tolist()
    assert len(found.told), "or nothing has been tested"
    assert len(found.told) < len(found.table)
    assert (found.told["claim_a"] | found.told["claim_b"]).all()
    assert "12 fresh episodes" in comparison_text(found)
    assert "candidate" not in comparison_text(found)


def test_what_one_did_not_confirm_is_not_compared(maps):
    found = compare(maps["before"], maps["hurt"])
    there = [set(run.confirmation.plan.names) for run in (found.a, found.b)]
    name = f"h0/part-{LOUD}"
    assert name in there[0] - there[1], "it does nothing there any more"
    assert name not in set(found.table["region_a"])
    said = next(
        line for line in found.left_out if line.startswith("Not confirmed") and "hurt" in line
    )
    assert name in said


def test_text_and_figure(whole, broken):
    found = compare(whole, broken)
    text = comparison_text(found)
    assert text.startswith("# whole and broken\n")
    assert "candidate" in text
    assert f"- h0/part-{LOUD} (5 units): " in text
    assert "3 of them by name" in text
    figure = comparison_figure(found)
    figure.canvas.draw()
    ticks = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert f"h0/part-{LOUD} (5 units)" in ticks
    assert len(figure.axes) <= 4


def test_nothing_to_tell_is_told(swept):
    dead = Plan([Lesion(name="dead", cut={"h0": (3,)}, group="parts")])
    one, other = swept("dead", dead), swept("dead-b", dead, seed=8)
    found = compare(one, other)
    assert "so there is nothing to compare" in comparison_text(found)
    assert comparison_figure(found) is None
    assert "dead" in found._repr_html_()


def test_it_is_written(whole, broken, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = compare(whole, broken)
    folder = save_comparison(found)
    assert folder.parent.name == "runs"
    assert (folder / "comparison.md").read_text() == comparison_text(found)
    table = pd.read_csv(folder / "comparison.csv")
    assert len(table) == len(found.table)
    assert (folder / "comparison.png").stat().st_size > 5000
    assert len(pd.read_csv(folder / "intact.csv")) == len(MEASURES)
