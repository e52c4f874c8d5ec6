"""Connections: from part to part, their controls, and everything that reads of them in a map."""

from types import SimpleNamespace

import numpy as np
import pytest
from conftest import CONDITIONS, DEAD

import rl_ablation as rl
from rl_ablation.analysis.consistency import matched_regions
from rl_ablation.analysis.localisation import UNHARMED, region_locality
from rl_ablation.analysis.redundancy import coalition
from rl_ablation.errors import LabError
from rl_ablation.groupings import connections as room
from rl_ablation.groupings.connections import CONNECTIONS, blocks, connected, connections
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.mapping.claims import changes
from rl_ablation.mapping.divisions import divided
from rl_ablation.reports.figures import cut_of_units, heatmap, network
from rl_ablation.reports.figures_connections import connections as matrices
from rl_ablation.reports.figures_connections import ways
from rl_ablation.reports.labels import film_name, labels, named
from rl_ablation.reports.live_run import run_data
from rl_ablation.reports.page import Board
from rl_ablation.reports.report import report
from rl_ablation.reports.sentences import without


@pytest.fixture(scope="module")
def plan(policy, activity):
    return rl.clusters(policy, 2, activity) + rl.parse_groups(["connections:2"], policy, activity)


@pytest.fixture(scope="module")
def run(policy, activity, plan, tmp_path_factory):
    """A map of the clusters and of those connections that are not from sensors, but one; and of
    what nearly all of the last layer tells each wheel."""
    most = Plan([Lesion(name="h1/most", cut={"h1": tuple(range(8))})])
    few = connected(policy, most + rl.motors(policy)) + Plan(
        x for x in plan if "obs" not in x.cut or x.name.startswith("obs/0→")
    )
    return rl.lesion_map(
        policy, few, episodes=12, discovery=6, kinds=("zero",), conditions=CONDITIONS, horizon=40,
        controls=4,
        folder=tmp_path_factory.mktemp("connections") / "run", threads=1, activity=activity,
        progress=False, measures=("forward_speed", "yaw_rate", "survival"),
    )  # fmt: skip


def test_every_part_tells_every_part_of_the_next_layer(policy, plan):
    cuts = [x for x in plan if x.group == CONNECTIONS]
    assert len(cuts) == 18 * 2 + 2 * 2 + 2 * 2
    parts = {x.name: x.cut for x in plan if x.group == "clusters"}
    for lesion in cuts:
        sender, receiver = lesion.name.split("→")
        assert lesion.cut == parts.get(sender, lesion.cut)
        assert lesion.to == parts.get(receiver, lesion.to)
        lesion.check(policy.sites)
    assert plan["obs/3→h0/cluster-1"].cut == {"obs": (3,)}
    assert plan["h1/cluster-0→action/1"].to == {"action": (1,)}
    ends = {u for x in cuts for units in (x.cut.get("h0", ()), x.to.get("h0", ())) for u in units}
    assert ends == set(range(12)) - {DEAD}, "what never varies neither tells nor hears"
    shape = {(b.site, b.to): (len(b.senders), len(b.receivers)) for b in blocks(plan)}
    assert shape == {("obs", "h0"): (18, 2), ("h0", "h1"): (2, 2), ("h1", "action"): (2, 2)}


def test_many_sensors_are_divided_as_units_are(policy, activity, monkeypatch):
    monkeypatch.setattr(room, "MANY", 10)
    cuts = [x for x in connections(policy, 3, activity) if "obs" in x.cut]
    assert len(cuts) == 9
    assert {x.name.partition("→")[0] for x in cuts} == {f"obs/cluster-{k}" for k in range(3)}
    assert sorted(u for x in cuts[::3] for u in x.cut["obs"]) == list(range(18))


def test_parts_of_other_makings_can_be_connected(policy):
    parts = Plan([Lesion(name="eyes", cut={"obs": (0, 1)}, kind="mean")]) + rl.motors(policy)
    plan = connected(policy, parts)
    assert plan.names[1:] == ["eyes→action/0", "eyes→action/1"]
    assert plan["eyes→action/0"].kind == "mean"


@pytest.mark.parametrize(
    ("cuts", "told"),
    [
        ([{"cut": {"h0": (1,)}}], "two sites or more"),
        ([{"cut": {"h0": (1,), "h1": (1,)}}], "units of one site"),
        ([{"cut": {"h0": (1,)}, "to": {"h1": (1,)}}], "units of one site"),
    ],
)
def test_what_cannot_be_connected_is_refused(policy, cuts, told):
    with pytest.raises(LabError, match=told):
        connected(policy, Plan(Lesion(name=str(k), **how) for k, how in enumerate(cuts)))


def test_a_network_that_remembers_is_refused():
    with pytest.raises(LabError, match="remembers"):
        connections(SimpleNamespace(memory={"h0.cell": 4}, name="x"), 2, {})


def test_controls_are_between_random_units_of_the_same_layers(policy, plan):
    drawn = rl.random_groups(policy, plan, 3, seed=1)
    told = {x.stratum for x in plan if x.to and (x.size > 1 or len(*x.to.values()) > 1)}
    assert {x.stratum for x in drawn if x.to} == told
    of = [x for x in drawn if x.stratum == plan["h0/cluster-0→h1/cluster-0"].stratum]
    assert len({x.key for x in of}) == 3
    again = rl.random_groups(policy, plan, 1, seed=1, first=2)
    assert all(drawn[x.name].key == x.key for x in again)


def test_connections_divide_no_layer_and_colour_no_unit(run, plan):
    assert {x.group for x in divided(plan) if x.size} == {"clusters"}
    rows = changes(run)
    there = {name for names in cut_of_units(run, rows).values() for name in names if name}
    assert there <= {x.name for x in plan if x.group == "clusters"}
    only = rows[rows["group"] == CONNECTIONS]
    assert not any(n for names in cut_of_units(run, only).values() for n in names)
    found = region_locality(run, ["survival", "forward_speed"])
    assert all("→" not in str(x) for x in found.get("lesion", []))
    assert set(found["regions"]) == {sum(x.group == "clusters" for x in plan)}
    assert UNHARMED


def test_they_are_claimed_and_held_against_random_connections(run):
    rows = changes(run)
    told = rows[(rows["group"] == CONNECTIONS) & (rows["q"] < 0.05)]
    assert {"h1/most→action/0", "h1/most→action/1"} & set(told["lesion"])
    held = told[told["draws"].notna()]
    assert len(held)
    assert held["p_random"].between(0, 1).all()
    drawn = [x for stage in run.controls for x in stage.plan if x.group == "random" and x.to]
    assert {(len(x.cut["h1"]), len(x.to["action"])) for x in drawn if "h1" in x.cut} >= {(8, 1)}


def test_people_read_names_and_commands_find_them(run):
    told = labels(run)
    assert told["obs/0→h0/cluster-1"] == "lidar -105° → h0/cluster-1"
    assert told["h1/most→action/1"] == "h1/most → right wheel"
    for text in (
        "h1/cluster-0→action/1", "h1/cluster-0->action/1", "h1/cluster-0 → right wheel",
        "h1/cluster-0 -> right wheel",
    ):  # fmt: skip
        assert named(run, text).name == "h1/cluster-0→action/1"
    with pytest.raises(LabError, match="no lesion"):
        named(run, "h1/cluster-0→action/9")
    names = {film_name(x) for x in told}
    assert len(names) == len(told)
    assert all(name.isprintable() and "/" not in name and "→" not in name for name in names)


def test_sentences_say_who_tells_whom(run):
    one, other = (run.plan[x] for x in ("obs/0→h0/cluster-1", "h0/cluster-0→h1/cluster-1"))
    kinds = [one.model_copy(update={"kind": k}) for k in ("mean", "resample")]
    m = len(one.to["h0"])
    assert without(one, kinds, run) == (
        f"Without what its sensor “lidar -105°” tells these {m} units of layer h0"
    )
    n, m = len(other.cut["h0"]), len(other.to["h1"])
    assert without(other, kinds, run) == (
        f"Without what these {n} units of layer h0 tell these {m} units of layer h1"
    )


def test_figures_and_the_report_show_them(run, plan):
    for draw in (matrices, ways, heatmap, network):
        draw(run).canvas.draw()
    page = report(run, films=[], live=True).read_text()  # with a card of a connection, too
    assert '<section id="connections">' in page
    assert page.count('class="ties"') % 3 == 0
    assert "live.html#region=h0/cluster-0%E2%86%92" in page
    shown = run_data(run, run.activity)["regions"]
    assert {x["name"] for x in shown if "→" in x["name"]} == {
        x.name for x in run.plan if x.to and "~" not in x.name
    }


def test_a_map_without_connections_has_no_such_figure(small_sweep, policy, tmp_path):
    plain = small_sweep(rl.layers(policy), tmp_path / "run")
    assert matrices(plain) is None
    assert ways(plain) is None
    assert Board(plain).connections() == []


def test_a_connection_is_its_own_region_in_comparisons(run):
    pairs, _ = matched_regions(run, run, ["forward_speed", "survival"], by="name")
    assert all(x.a.name == x.b.name for x in pairs)
    assert any(x.a.to for x in pairs)


def test_joint_cuts_are_of_connections_to_the_same_units(plan):
    one, other, third = (
        plan[x] for x in
        ("h0/cluster-0→h1/cluster-0", "h0/cluster-1→h1/cluster-0", "h0/cluster-0→h1/cluster-1")
    )  # fmt: skip
    both = coalition([one, other], {0, 1})
    assert both.to == one.to
    assert set(both.cut["h0"]) == {*one.cut["h0"], *other.cut["h0"]}
    with pytest.raises(LabError, match="heard by the same units"):
        coalition([one, third], {0, 1})


def test_the_cut_takes_in_every_kind(policy, activity, plan):
    cuts = Plan(x for x in plan if x.to)
    for kind in ("zero", "mean", "resample"):
        table = rl.probe(policy, cuts.with_kind(kind), activity, samples=100)
        assert table["took"].max() < 1e-5
        assert np.isfinite(table["direct"]).all()
