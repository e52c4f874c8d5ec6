"""Twin robots are what they claim to be, and scores can fail."""

import numpy as np

import rl_ablation as rl
from experiments.validation.policies import ZERO
from experiments.validation.stimulation import (
    CONDITIONS,
    ROOM_LEFT,
    TWINS,
    by_role,
    steering_found,
    twin_steered,
    twins_told,
)
from rl_ablation.lesions.masks import Masks


def turning(planted, obs, activity, cut=None):
    """How much faster the right wheel is wanted to turn, on average."""
    lesion = rl.Lesion(name="intact") if cut is None else cut
    masks = Masks([lesion] * len(obs), range(len(obs)), planted.policy.sites, activity)
    actions = planted.policy.act(obs, masks.at(0, np.arange(len(obs))))
    return (actions[:, 1] - actions[:, 0]).mean()


def test_either_twin_is_enough_to_turn_and_both_are_needed():
    planted = twin_steered(4)
    how = {"conditions": CONDITIONS, "seed": 1, "horizon": 80}
    activity = rl.record_activity(planted.policy, threads=1, **how)
    moments = rl.moments(planted.policy, activity, ROOM_LEFT, threads=1, **how)
    obs = activity["obs"].samples[list(moments)]
    intact = turning(planted, obs, activity)
    assert intact > 0.1
    for way in TWINS:
        one = planted.cut("h0", way).model_copy(update={"kind": "mean"})
        assert turning(planted, obs, activity, one) > 0.5 * intact
    both = planted.cut("h0", *TWINS).model_copy(update={"kind": "mean"})
    assert turning(planted, obs, activity, both) < 0.3 * intact


def test_regions_are_roles_and_what_is_wired_to_nothing_is_one():
    planted = twin_steered(0)
    regions = by_role(planted)
    idle = regions["h0/idle"].cut["h0"]
    assert {planted.roles[f"h0/{u}"] for u in idle} <= set(ZERO)
    cut = sum(x.size for x in regions)
    assert cut == len(planted.roles)


def test_robots_are_judged_by_their_verdicts():
    none = {"sufficient": {}, "necessary": {}}
    assert steering_found(none) == [False, False]
    assert steering_found({"sufficient": {"h0/steering": "yes", "h1/steering": "no"}}) == [
        True,
        False,
    ]
    verdicts = {"h0/twin-a": "yes", "h0/twin-b": "yes"}
    needed = {"h0/twin-a": "no", "h0/twin-b": "unclear"}
    assert twins_told({"sufficient": verdicts, "necessary": needed}) == [True, False]
    assert twins_told(none) == [False, False]
