"""Two-stage maps: fresh seeds, checks that can fail, controls, and adaptive spending."""

import importlib
import re
import shutil

import numpy as np
import pytest
from conftest import CONDITIONS, DEAD, HORIZON, MUTE

import rl_ablation as rl
from rl_ablation.errors import LabError
from rl_ablation.mapping.claims import overall
from rl_ablation.mapping.divisions import divisions
from rl_ablation.mapping.evidence import EVIDENCE_COLUMNS
from rl_ablation.mapping.lesion_map import SAME, checks, lesion_map
from rl_ablation.mapping.manifest import CONFIRMATION, CONTROLS, DOSES, manifest_of
from rl_ablation.reports.certainty import certainty
from rl_ablation.reports.figures import draw_all
from rl_ablation.reports.report import report
from rl_ablation.rollouts.episodes import fresh_seed


@pytest.fixture(scope="module")
def small_map(policy, activity):
    def make(plan, folder, **changes):
        options = {
            "episodes": 12,
            "discovery": 8,
            "controls": 40,
            "adaptive": False,
            "kinds": ("zero",),  # only such cuts harm a policy of random weights
            "conditions": CONDITIONS,
            "horizon": HORIZON,
            "threads": 1,
            "activity": activity,
            "progress": False,
        }
        return lesion_map(policy, plan, folder=folder, **{**options, **changes})

    return make


@pytest.fixture(scope="module")
def plan(policy, activity):
    return rl.layers(policy) + rl.clusters(policy, k=3, activity=activity) + rl.singles(policy)


@pytest.fixture(scope="module")
def mapped(small_map, plan, tmp_path_factory):
    return small_map(plan, tmp_path_factory.mktemp("map") / "run")


def test_confirmation_rests_on_seeds_that_selected_nothing(mapped):
    confirmed = mapped.confirmation
    assert not set(confirmed.table()["seed"]) & set(mapped.table()["seed"])
    effects = mapped.effects()
    stages = effects.groupby("lesion")["stage"].unique()
    went_on = {x.name for x in confirmed.plan if x.size}
    assert {name for name, stage in stages.items() if "confirmed" in stage} == went_on
    assert 4 < len(went_on) < len(mapped.plan)
    own = confirmed.own_effects().set_index(["lesion", "condition", "measure"])
    shown = effects.set_index(["lesion", "condition", "measure"])
    one = ("h1", "all", "return")
    assert shown.loc[one, "delta"] == own.loc[one, "delta"] != shown.loc[one, "delta_discovery"]


def test_the_table_has_all_columns_and_the_probe(mapped):
    effects = mapped.effects()
    assert list(effects) == list(EVIDENCE_COLUMNS)
    each = effects.drop_duplicates("lesion").set_index("lesion")
    assert (each["took"].dropna() == 0).all()
    assert each.loc[f"h0/{DEAD}", "direct"] == each.loc[f"h0/{MUTE}", "direct"] == 0
    assert each.loc["h0", "direct"] > each.loc["h0/0", "direct"] > 0
    assert each.loc[f"h0/{DEAD}", "class"] == "no effect"


def test_dead_and_mute_units_are_never_claimed(mapped):
    rows = mapped.effects()
    silent = rows[rows["lesion"].isin([f"h0/{DEAD}", f"h0/{MUTE}"])]
    assert (silent["delta"].dropna() == 0).all()
    assert (silent["q"].dropna() == 1).all()


def test_controls_and_doses_are_those_of_the_told(mapped):
    (first, *_) = mapped.controls
    assert first.spec.seed == mapped.confirmation.spec.seed
    assert {x.group for x in first.plan if x.size} == {"random"}
    effects = mapped.effects()
    controlled = effects[effects["draws"].notna() & (effects["group"] == "clusters")]
    assert controlled["p_random"].between(0, 1).all()
    assert len(controlled)
    dosed = mapped.doses
    assert {x.kind for x in dosed.plan if x.size} == {"gain"}
    last = next(x for x in dosed.plan if x.size and x.strength == 0.0)
    whole = mapped.confirmation.table()
    name = last.name.partition("~")[0]
    own = dosed.table()
    few = own["episode"].max() + 1
    whole = whole[(whole["lesion"] == name) & (whole["episode"] < few)]
    # Gain 0 is the cut to zero.
    assert np.array_equal(own[own["lesion"] == last.name]["return"], whole["return"])


def test_baselines_are_shown_but_are_no_claims(mapped):
    rows = mapped.effects()
    base = rows[rows["group"] == "baselines"]
    assert set(base["lesion"]) == {"zero action", "mean action", "random action"}
    assert base["q"].isna().all()
    assert (base["lesioned"] != base["intact"]).any()


def test_again_it_rolls_nothing_out(mapped, small_map, plan, monkeypatch):
    monkeypatch.setattr(
        importlib.import_module("rl_ablation.mapping.shards"),
        "Rollout",
        lambda *a, **k: pytest.fail("rolled out"),
    )
    again = small_map(plan, mapped.folder)
    assert again.effects().equals(mapped.effects())


@pytest.mark.parametrize("stage", [CONFIRMATION, f"{CONTROLS}-1", DOSES])
def test_a_map_broken_off_in_any_stage_goes_on(mapped, small_map, plan, tmp_path, stage):
    folder = tmp_path / "run"
    drawn = shutil.ignore_patterns("effects.csv", "claims.csv", "figures", "report.html")
    shutil.copytree(mapped.folder, folder, ignore=drawn)
    for shard in (folder / stage / "shards").iterdir():
        shard.unlink()
    with pytest.raises(LabError, match=r"missing.*; run the same map command again"):
        report(rl.Map(folder))
    (folder / "manifest.json").unlink()
    with pytest.raises(LabError, match="not finished"):
        report(rl.Map(folder))
    assert not (folder / "effects.csv").exists()
    assert len(rl.Map(folder, begun=True).effects()), "what is there can be looked at"
    again = small_map(plan, folder)
    assert again.effects().equals(mapped.effects())
    for name in manifest_of(mapped.folder).files:
        assert (folder / name).read_bytes() == (mapped.folder / name).read_bytes()


def test_a_machine_that_does_not_repeat_itself_is_found_out(
    small_map, policy, tmp_path, monkeypatch
):
    shards = importlib.import_module("rl_ablation.mapping.shards")

    class Shaky(shards.Rollout):
        def of(self, jobs, take):
            rows = [k for k, job in enumerate(jobs) if job.lesion.name == SAME]

            def shaken(trace):
                trace.signals["reward"][0, rows] += 1e-9
                return take(trace)

            return super().of(jobs, shaken)

    monkeypatch.setattr(shards, "Rollout", Shaky)
    with pytest.raises(LabError, match="does not repeat itself"):
        small_map(rl.layers(policy), tmp_path / "run")


def test_adaptive_spends_less_and_looks_only_at_the_discovery(small_map, plan, mapped, tmp_path):
    run = small_map(plan, tmp_path / "run", adaptive=True, discovery=24, episodes=24, controls=0)
    confirmed = run.confirmation
    assert (run.spec.episodes, confirmed.spec.episodes) == (6, 12)
    seeds = [set(part.table()["seed"]) for part in (run, confirmed, *confirmed.looks)]
    assert len(set().union(*seeds)) == sum(map(len, seeds)), "two stages share an episode"
    effects = run.effects()
    n = effects.groupby("lesion")["n"].max()
    assert f"h0/{DEAD}" in run.spec.once
    assert set(n[list(run.spec.once)]) == {1}
    assert (effects.set_index("lesion").loc[list(run.spec.once), "direct"] == 0).all()
    assert not {x.name for x in run.plan if x.group == "checks"} & set(run.spec.once)
    assert len(confirmed.looks[0].plan) < len(confirmed.plan), "large effects got half"
    spent = len(run.whole_table()) + len(confirmed.whole_table())
    assert spent < 0.6 * (24 + 24) * len(plan)
    strong = {x for x, stage in effects.groupby("lesion")["stage"].first().items()
              if stage == "confirmed"}  # fmt: skip
    before = mapped.effects()
    sure = before[
        (before["q"] < 0.01) & (before["effect"].abs() > 1) & (before["condition"] == "all")
    ]
    assert set(sure["lesion"]) <= strong, "a clear effect was lost"


def test_several_kinds_are_paired(small_map, policy, tmp_path):
    run = small_map(
        rl.layers(policy), tmp_path / "run", kinds=("zero", "mean"), controls=0, discovery=8
    )
    assert {"h0", "h1"} <= set(run.plan.names), "the discovery is in the first kind"
    assert not {"h0~mean", "h1~mean"} & set(run.plan.names)
    assert {"h0", "h0~mean", "h1", "h1~mean"} <= set(run.confirmation.plan.names)
    table = run.confirmation.table()
    seeds = table.groupby("lesion")["seed"].agg(list)
    assert seeds["h0"] == seeds["h0~mean"] == seeds["intact"]
    rows = run.effects()
    assert rows.loc[rows["lesion"] == "h0~mean", "delta_discovery"].isna().all()
    told = overall(rows).set_index(["lesion", "measure"])
    assert told.loc["h0", "kind"].tolist() == ["mean"] * len(told.loc["h0"]), "of zero no claims"


def test_wide_random_directions_are_drawn_few_at_a_time(
    small_map, policy, activity, tmp_path, monkeypatch
):
    plan = rl.components(policy, 4, activity, ["h1"])
    whole = small_map(plan, tmp_path / "whole")
    module = importlib.import_module("rl_ablation.mapping.lesion_map")
    told = (len(whole.controls[0].plan) - 1) // module.FIRST_DRAWS
    monkeypatch.setattr(module, "MAX_SPEC", 2 * 25 * 16 * told * 6)  # room for 6 draws
    parted = small_map(plan, tmp_path / "parted")
    assert len(whole.controls) < len(parted.controls)
    assert parted.effects().equals(whole.effects())


def test_random_divisions_stand_beside_the_regions(mapped):
    found = divisions(mapped)
    assert found.draws == sum(len(x.plan) - 1 for x in mapped.controls) // len(found.regions)
    assert set(found.regions) == {x.name for x in mapped.plan if x.group == "clusters"}
    assert ((found.shares()[0] >= 0) & (found.shares()[0] <= 1)).all()


def test_fresh_seeds_differ_by_stage_look_and_seed():
    seeds = [fresh_seed(s, k, j) for s in (0, 1) for k in (0, 1) for j in (0, 1, 2)]
    assert len(set(seeds)) == len(seeds)


def test_checks_fit_any_policy(policy):
    plan = checks(policy)
    for lesion in plan:
        lesion.check(policy.sites)
    assert plan[SAME].size == sum(policy.network.sizes.values())


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("discovery must be at least 2: 1 episodes cannot cover 2", {"discovery": 1}),
        ("episodes must be at least 1", {"episodes": 0}),
        ("controls must be at least 0", {"controls": -1}),
    ],
)
def test_refusals(text, options, small_map, plan, tmp_path):
    with pytest.raises(LabError, match=text):
        small_map(plan, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_the_report_says_how_sure_it_is(mapped):
    sentences = certainty(mapped)
    text = " ".join(sentences)
    assert "went on to confirmation" in text
    assert "A/A lesion" in text
    assert "Without a brain" in text
    assert "This is one network" in text
    assert re.search(r"agree by \S+ in h0 \(3 clusters; its mixtures \S+\), \S+ in h1 \(3 ", text)
    page = report(mapped).read_text()
    assert "How sure are we?" in page
    assert not re.search(r">nan<|\bnan\b", page.partition('<table id="effects">')[2])
    assert {"heatmap", "network", "intervals", "random_cuts"} <= set(draw_all(mapped))
