"""Drift: two robots side by side, and the difference of their actions taken apart exactly."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import CONDITIONS, MUTE, random_mlp

from rl_ablation.analysis.drift import drift, size
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.rollouts.recording import run_jobs

ONSET, STEPS, EPISODES = 5, 12, 4
RUN = Episodes(EPISODES, 0, CONDITIONS, ONSET + STEPS)
PLAN = Plan(
    [
        Lesion(name="cut", cut={"h0": (0, 2, 5)}),
        Lesion(name="mute", cut={"h0": (MUTE,)}),
        Lesion(name="noisy", cut={"h1": (0, 1)}, kind="noise"),
        Lesion(name="brief", cut={"h0": (0, 2, 5)}, onset=40, offset=42, when="bend > 99"),
    ]
)


@pytest.fixture(scope="module")
def apart(policy, activity):
    return drift(policy, PLAN, activity, RUN, onset=ONSET, threads=1)


def played(policy, activity, lesion):
    return run_jobs(
        policy, ["action", "obs"], RUN.jobs(lesion), activity=activity, horizon=RUN.horizon
    )


def test_at_the_cut_all_is_direct_and_later_it_is_not(apart):
    cut = apart.lesions.index("cut")
    assert not apart.away[0][np.isfinite(apart.away[0])].any(), "the states are still the same"
    np.testing.assert_array_equal(apart.open[0], apart.here[0])
    assert np.nanmin(size(apart.open[0, cut])) > 0
    assert np.nanmax(np.abs(apart.away[1:, cut])) > 0
    assert not np.array_equal(apart.open[1:, cut], apart.here[1:, cut])


@pytest.mark.parametrize("name", ["cut", "noisy"])
def test_the_parts_add_up_to_the_difference_of_two_rollouts(policy, activity, apart, name):
    late = PLAN[name].model_copy(update={"onset": ONSET})
    intact = played(policy, activity, Lesion(name="intact"))
    damaged = played(policy, activity, late)
    both = (intact.alive & damaged.alive)[ONSET:]
    spread = intact["action"][ONSET:][intact.alive[ONSET:]].std(0, dtype=float)
    wanted = (damaged["action"].astype(float) - intact["action"])[ONSET:] / spread
    closed = apart.closed[:, apart.lesions.index(name)]
    np.testing.assert_allclose(closed[both], wanted[both], rtol=1e-5, atol=1e-6)
    assert np.array_equal(np.isfinite(closed).all(-1), both)
    assert both.any(1).all()


def test_the_open_loop_is_the_damaged_network_in_the_intact_robots_states(policy, activity, apart):
    intact = played(policy, activity, Lesion(name="intact"))
    spread = intact["action"][ONSET:][intact.alive[ONSET:]].std(0, dtype=float)
    edited, shown = policy.edited("h0", (0, 2, 5)), apart.open[:, apart.lesions.index("cut")]
    for t in (0, 3, STEPS - 1):
        seen = intact["obs"][ONSET + t]
        wanted = (edited.act(seen).astype(float) - policy.act(seen)) / spread
        there = np.isfinite(shown[t]).all(-1)
        np.testing.assert_allclose(shown[t][there], wanted[there], rtol=1e-5, atol=1e-6)


def test_a_cut_that_changes_nothing_drifts_nowhere(apart):
    mute = apart.lesions.index("mute")
    for part in (apart.open, apart.here, apart.away):
        assert not part[:, mute][np.isfinite(part[:, mute])].any()
    row = apart.table().set_index("lesion").loc["mute"]
    assert (row["open"], row["closed"]) == (0, 0)
    assert np.isnan(row["drift_share"])


def test_a_brief_cut_is_brief_and_leaves_drift(apart):
    """It keeps its two steps, counted from the onset, and no condition."""
    brief, cut = apart.lesions.index("brief"), apart.lesions.index("cut")
    np.testing.assert_array_equal(apart.here[:2, brief], apart.here[:2, cut])
    assert not np.nansum(np.abs(apart.here[2:, brief]))
    assert np.nansum(np.abs(apart.away[2:, brief]))


def test_the_share_is_that_of_the_squared_difference(apart):
    table = apart.table().set_index("lesion")
    cut = apart.lesions.index("cut")
    here, away = apart.here[:, cut], apart.away[:, cut]
    there = np.isfinite(here)
    closed = (here + away)[there]
    shares = [(part[there] * closed).sum() / (closed**2).sum() for part in (here, away)]
    assert sum(shares) == pytest.approx(1)
    assert table.loc["cut", "drift_share"] == pytest.approx(shares[1])
    assert table.loc["cut", "ci_low"] <= shares[1] <= table.loc["cut", "ci_high"]
    assert table.loc["cut", "closed"] == pytest.approx(np.nanmean(size(apart.closed)[:, cut]))
    assert table["episodes"].tolist() == [EPISODES] * 4


def test_lesions_do_not_depend_on_the_plan(policy, activity, apart):
    alone = drift(policy, Plan([PLAN["noisy"]]), activity, RUN, onset=ONSET, threads=2)
    noisy = apart.lesions.index("noisy")
    for part in ("open", "here", "away"):
        assert getattr(alone, part)[:, 0].tobytes() == getattr(apart, part)[:, noisy].tobytes()


def test_what_cannot_be_compared_is_refused(policy, activity):
    with pytest.raises(LabError, match="needs a lesion and an episode"):
        drift(policy, Plan(), activity, RUN)
    with pytest.raises(LabError, match="ends before the onset at step 500; cut earlier"):
        drift(policy, PLAN, activity, Episodes(2, 0, CONDITIONS, 505), onset=500)
    with pytest.raises(LabError, match="ends before the onset at step 30; cut earlier"):
        drift(policy, PLAN, activity, Episodes(2, 0, CONDITIONS, 20), onset=30)
    chooser = random_mlp((4, 12, 10, 2), "CartPole-v1", squash="argmax")
    with pytest.raises(LabError, match="discrete actions, which have no differences"):
        drift(chooser, PLAN, {}, RUN)
