"""Patches, responses, shares and doses against plain formulas and rollouts."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import CONDITIONS, HORIZON, MUTE, turned

import rl_ablation as rl
from rl_ablation.analysis.dose_response import against_random, curve, slope, trend
from rl_ablation.analysis.responses import Responses, responses, under
from rl_ablation.analysis.sufficiency import (
    NO,
    UNCLEAR,
    YES,
    Way,
    evoked,
    lost,
    necessary_and_sufficient,
)
from rl_ablation.errors import LabError
from rl_ablation.groupings.patches import contrast, patched, patches, stimuli
from rl_ablation.lesions.lesion import INTACT, Lesion, Plan
from rl_ablation.rollouts.activity import record_activity
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.rollouts.recording import run_jobs

RECORDED = {"conditions": CONDITIONS, "episodes": 4, "horizon": HORIZON}
FAST, SLOW = "forward_speed > 0.4", "forward_speed <= 0.4"
REGIONS = Plan(
    [
        Lesion(name="half", cut={"h0": (0, 1, 2, 4, 5, 6)}),
        Lesion(name="mute", cut={"h0": (MUTE,)}),
        Lesion(name="flat", directions={"h1": turned(10, 2)}),
    ]
)


@pytest.fixture(scope="module")
def recorded(policy):
    return record_activity(policy, threads=1, **RECORDED)


def test_moments_are_those_at_which_a_lesion_of_that_condition_would_act(policy, recorded):
    """Against the trace: what the world said before the step, and the same moments to the bit."""
    fast = rl.moments(policy, recorded, FAST, threads=1, **RECORDED)
    slow = rl.moments(policy, recorded, SLOW, threads=1, **RECORDED)
    assert not {*fast} & {*slow}
    table = rl.activations(
        policy, episodes=4, conditions=CONDITIONS, horizon=HORIZON, signals=["forward_speed"]
    )
    before = table.groupby("episode")["forward_speed"].shift(1)
    seen = table[[c for c in table if c.startswith("obs[")]].to_numpy(np.float32)
    wanted = {row.tobytes() for row in seen[(before > 0.4).to_numpy()]}
    assert {recorded["obs"].samples[k].tobytes() for k in fast} == wanted
    firsts = 4  # first steps of episodes are none of either
    assert len(fast) + len(slow) == len(recorded["obs"].samples) - firsts


def test_moments_of_a_condition_and_of_what_the_robot_sees(policy, recorded):
    own = rl.moments(policy, recorded, CONDITIONS[1], **RECORDED)
    assert (recorded["obs"].conditions[list(own)] == 1).all()
    assert len(own) == (recorded["obs"].conditions == 1).sum()
    near = rl.moments(policy, recorded, "obs[7] < 0.3", threads=1, **RECORDED)
    assert (policy.normalise(np.full((1, 18), 0.3))[0, 7] > recorded["obs"].samples[near, 7]).all()


@pytest.mark.parametrize(
    ("where", "changes", "told"),
    [
        ("forward_speed > 99", {}, "no recorded moment"),
        (FAST, {"seed": 1}, "of other episodes"),
        ("uphill > 0", {}, "no signal 'uphill'"),
        ("uphill", {}, "cannot read the condition"),
    ],
)
def test_moments_that_are_not_there_are_refused(policy, recorded, where, changes, told):
    with pytest.raises(LabError, match=told):
        rl.moments(policy, recorded, where, threads=1, **{**RECORDED, **changes})


def test_a_plan_of_patches_has_each_region_with_its_controls(policy, recorded):
    plan = patches(policy, REGIONS, recorded, FAST, SLOW, draws=3, threads=1, **RECORDED)
    fast = rl.moments(policy, recorded, FAST, threads=1, **RECORDED)
    patch = plan["half~source mean"]
    assert (patch.kind, patch.moments, patch.when) == ("mean", fast, SLOW)
    assert plan["half~any mean"].moments == ()
    assert not {*plan["half~own resample"].moments} & {*fast}
    random = [x for x in plan if x.group == "random"]
    assert len(random) == 3, "for the one region of several units and not all"
    assert all(x.moments == fast and x.size == 6 for x in random)
    named = patches(policy, REGIONS, recorded, *CONDITIONS, threads=1, **RECORDED)
    assert named["half~source mean"].when is None


def test_responses_begin_with_the_condition_and_until_then_all_is_intact(policy, recorded):
    asked = Episodes(4, 3, CONDITIONS, HORIZON)
    plan = patched(REGIONS, "source", range(50), "mean")
    found = responses(policy, plan, recorded, asked, ["yaw_rate"], when=FAST, onset=8, seconds=0.25)
    signals = ["yaw_rate", "forward_speed"]
    intact = run_jobs(policy, signals, asked.jobs(Lesion(name=INTACT)), horizon=HORIZON)
    for k in range(4):
        holds = np.flatnonzero(intact["forward_speed"][7:-1, k] > 0.4) + 8
        begin = int(holds[0])
        late = plan["half~source mean"].model_copy(update={"onset": begin})
        job = [asked.job(late, k)]
        alone = run_jobs(policy, signals, job, activity=recorded, horizon=HORIZON)
        assert np.array_equal(alone["yaw_rate"][:begin, 0], intact["yaw_rate"][:begin, k])
        window = slice(begin, begin + 5)
        there = alone.alive[window, 0]
        wanted = alone["yaw_rate"][window, 0][there].mean(dtype=np.float64)
        assert found.of("yaw_rate", "half~source mean")[k] == pytest.approx(wanted, rel=1e-12)
        assert found.of("yaw_rate")[k] == pytest.approx(intact["yaw_rate"][window, k].mean(), 1e-5)
    assert np.array_equal(found.of("yaw_rate", "mute~source mean"), found.of("yaw_rate"))
    with pytest.raises(LabError, match="no intact episode comes to"):
        responses(policy, plan, recorded, asked, ["yaw_rate"], when="yaw_rate > 99")


def test_the_name_of_a_condition_chooses_episodes_and_anything_else_moments():
    asked = Episodes(4, 3)
    assert under(asked, "bends/ccw", CONDITIONS) == (Episodes(4, 3, ("bends/ccw",)), None)
    assert under(asked, FAST, CONDITIONS) == (asked, FAST)


def made(names, values, ended=None):
    """Responses of lesions in the signal ``v``, (E, L)."""
    lesions = [Lesion(name=x, cut={"h0": (0, 1)}) if x != INTACT else Lesion(name=x) for x in names]
    values = np.asarray(values, float)
    return Responses(Plan(lesions), {"v": values}, np.zeros(values.shape, bool))


def test_shares_are_ratios_of_means_and_their_intervals_hold_the_truth():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(60):
        target, source = rng.normal(0, 1, 24), rng.normal(3, 1, 24)
        source[:6] = np.nan  # episodes without a source
        here = Way("v", target, source)
        change = rng.normal(1.5, 0.8, (24, 1))
        share, low, high = here.share(change)
        wanted = change.mean() / (np.nanmean(source) - target.mean())
        assert share[0] == pytest.approx(wanted)
        held += low[0] < 0.5 < high[0]
    assert held >= 52
    nothing = here.share(np.zeros((24, 1)))
    assert [x[0] for x in nothing] == [0, 0, 0]
    assert here.clear
    assert not Way("v", target, target + rng.normal(0, 1, 24)).clear


def test_claims_need_more_than_both_controls_under_every_kind():
    rng = np.random.default_rng(1)
    t = rng.normal(0, 0.3, 24)
    noise = lambda: rng.normal(0, 0.1, 24)  # noqa: E731
    at = {INTACT: t}
    for region, source, any_ in (("true", 0.8, 0.2), ("shock", 0.5, 0.5), ("none", 0.0, 0.0)):
        for kind in ("resample", "mean"):
            at[f"{region}~source {kind}"] = t + source + noise()
            at[f"{region}~own {kind}"] = t + noise()
            at[f"{region}~any {kind}"] = t + any_ + noise()
    at["half~source resample"], at["half~source mean"] = t + 0.8 + noise(), t - 0.5 + noise()
    for what in ("own", "any"):
        for kind in ("resample", "mean"):
            at[f"half~{what} {kind}"] = t + noise()
    names = list(at)
    target = made(names, np.stack([at[x] for x in names], 1))
    s = rng.normal(1, 0.3, 24)
    cuts = ["true", "true~mean", "shock", "shock~mean", "none", "none~mean", "half", "half~mean"]
    source = made(
        [INTACT, *cuts],
        np.stack([s, *(s - (0.6 if "true" in x else 0) + noise() for x in cuts)], 1),
    )
    found = evoked(target, source, ["v"]).set_index("region")
    assert found.loc["true", "q"] < 0.01
    assert found.loc["true", "evoked"] == pytest.approx(0.8, abs=0.15)
    assert (found.loc[["shock", "none", "half"], "q"] > 0.05).all()
    regions = ["true", "shock", "none", "half"]
    gone = lost(source, target, regions, ["v"])
    both = necessary_and_sufficient(gone, found.reset_index()).set_index("region")
    assert both.loc["true", ["necessary", "sufficient"]].tolist() == [YES, YES]
    assert both.loc["none", ["necessary", "sufficient"]].tolist() == [NO, NO]
    assert both.loc["shock", "sufficient"] == UNCLEAR
    same = made([INTACT], t[:, None])
    assert evoked(target, same, ["v"]).empty, "there is no way to go"


def test_random_units_stand_beside_the_region_of_their_size():
    rng = np.random.default_rng(2)
    t, names = rng.normal(0, 0.3, 24), [INTACT]
    values = [t]
    for kind in ("resample", "mean"):
        for what, size in (("source", 0.9), ("own", 0.0), ("any", 0.0)):
            names.append(f"a~{what} {kind}")
            values.append(t + size + rng.normal(0, 0.1, 24))
    target = made(names, np.stack(values, 1))
    like = target.plan["a~source resample"]
    random = [like.model_copy(update={"name": f"h0/random-2-{k}", "group": "random"})
              for k in range(39)]  # fmt: skip
    more = np.stack([t + rng.normal(0.1, 0.1, 24) for _ in random], 1)
    plan = Plan([*target.plan, *random])
    target = Responses(plan, {"v": np.hstack([target.values["v"], more])},
                       np.zeros((24, len(plan)), bool))  # fmt: skip
    source = made([INTACT], rng.normal(1, 0.3, (24, 1)))
    row = evoked(target, source, ["v"]).iloc[0]
    assert row["draws"] == 39
    assert row["p_random"] == pytest.approx(2 / 40)
    assert row["random"] == pytest.approx(0.1, abs=0.1)


def test_the_contrast_is_the_difference_of_the_means(recorded):
    one, other = range(0, 40), range(60, 110)
    axis = np.array(contrast(recorded, one, other, ["h1"])["h1/contrast"].directions["h1"][0])
    samples = recorded["h1"].samples.astype(float)
    apart = samples[list(one)].mean(0) - samples[list(other)].mean(0)
    np.testing.assert_allclose(axis, apart / np.linalg.norm(apart), atol=1e-6)


def test_stimuli_are_doses_of_the_coordinate(policy, recorded):
    region = contrast(recorded, range(0, 40), range(60, 110), ["h1"])
    axes = np.array(region["h1/contrast"].directions["h1"])
    z = recorded["h1"].samples @ axes[0].astype(np.float32)
    plan = stimuli(region, recorded, (-1.0, 2.0)) + stimuli(region, recorded, (-1.0,), kind="clamp")
    assert plan["h1/contrast~stimulate 2"].strength == 2.0
    held = plan["h1/contrast~clamp -1"]
    assert held.strength == pytest.approx(z.mean() - z.std(), abs=1e-4)
    for bad in (REGIONS, Plan([REGIONS["flat"]])):
        with pytest.raises(LabError, match="one direction of one site"):
            stimuli(bad, recorded)


def test_trends_follow_the_dose_and_random_ones_do_not():
    rng = np.random.default_rng(3)
    doses = (-2.0, -1.0, 1.0, 2.0)
    t = rng.normal(0, 0.5, 16)
    at = {INTACT: t}
    at |= {f"x~stimulate {d:g}": t + 0.2 * d + rng.normal(0, 0.05, 16) for d in doses}
    at |= {f"y~stimulate {d:g}": t + rng.normal(0, 0.05, 16) for d in doses}
    at |= {f"z~stimulate {d:g}": t for d in doses}
    found = made(list(at), np.stack(list(at.values()), 1))
    here = Way("v", t, t + 1)
    rising, flat, dead = (trend(found, here, x, "stimulate", doses) for x in "xyz")
    assert rising["rho"] > 0.9
    assert rising["p"] < 0.001
    assert rising["slope_low"] < 0.2 < rising["slope_high"]
    assert flat["p"] > 0.05
    assert (dead["rho"], dead["slope"], dead["p"]) == (0, 0, 1)
    table = curve(found, here, "x", "stimulate", doses)
    assert table["dose"].tolist() == [-2, -1, 0, 1, 2]
    assert table["share"].iloc[2] == 0
    assert table["share"].iloc[4] == pytest.approx(0.4, abs=0.05)
    assert slope(found, "v", "x", 2.0) == pytest.approx(0.2, abs=0.02)
    assert against_random(0.5, {"a": 0.1, "b": -0.6, "c": 0.2}) == 0.5
