"""Policies that remember: the same bytes in any company, memory per row, cuts of what it means."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.mapping.probe import probe
from rl_ablation.policies.graph import remembering
from rl_ablation.policies.policy import Card, Policy
from rl_ablation.rollouts.activity import activity_bytes, activity_of, record_activity
from rl_ablation.rollouts.episodes import Episode
from rl_ablation.rollouts.recording import run_jobs

UNITS = 6


def recurrent(kind: str = "lstm", env: str | None = None, obs: int = 4, actions: int = 2) -> Policy:
    """A random recurrent policy: memory, a hidden layer, actions."""
    torch.manual_seed(3)
    layer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind](obs, UNITS)
    head, last = torch.nn.Linear(UNITS, 5), torch.nn.Linear(5, actions)
    memory, *layers = ([p.detach().numpy() for p in x.parameters()] for x in (layer, head, last))
    graph = remembering(kind, [memory], [(3 * w, b) for w, b in layers], "tanh")
    one = np.ones(actions, np.float32)
    card = Card(name="remembers", env_id=env, activation="graph", squash="clip")
    return Policy(graph, obs_size=obs, action_size=actions, card=card, low=-one, high=one)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_sequence_is_that_of_torch(kind: str) -> None:
    policy, obs = recurrent(kind), np.random.default_rng(0).normal(size=(30, 7, 4))
    torch.manual_seed(3)
    layer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind](4, UNITS)
    wanted = layer(torch.tensor(obs, dtype=torch.float32))[0].detach().numpy()
    memory, seen = policy.at_rest(7), {"h0": np.empty((7, UNITS), np.float32)}
    for step, rows in enumerate(obs):
        policy.act(rows, record=seen, memory=memory)
        np.testing.assert_allclose(seen["h0"], wanted[step], atol=1e-6)


def test_a_row_is_the_same_in_any_company() -> None:
    policy, obs = recurrent(), np.random.default_rng(1).normal(size=(9, 300, 4))
    alone, all_of_them = policy.at_rest(1), policy.at_rest(300)
    for rows in obs:
        one = policy.act(rows[270:271], memory=alone)
        np.testing.assert_array_equal(one[0], policy.act(rows, memory=all_of_them)[270])
    for name in policy.memory:
        np.testing.assert_array_equal(alone[name][0], all_of_them[name][270])


def test_without_memory_given_each_step_is_a_first_one() -> None:
    policy, obs = recurrent(), np.random.default_rng(2).normal(size=(3, 4))
    np.testing.assert_array_equal(policy.act(obs), policy.act(obs))
    memory = policy.at_rest(3)
    np.testing.assert_array_equal(policy.act(obs), policy.act(obs, memory=memory))
    assert not np.array_equal(policy.act(obs), policy.act(obs, memory=memory))


def sequence(policy: Policy, obs: np.ndarray, site: str) -> tuple[np.ndarray, np.ndarray]:
    """Actions (T, A) and the memory of the output units, with a site's units at zero."""
    nothing = np.zeros((1, UNITS), np.float32)
    masks = {site: (nothing, nothing)} if site else {}
    memory, actions, states = policy.at_rest(1), [], []
    for row in obs:
        actions.append(policy.act(row[None], masks, memory=memory)[0])
        states.append(memory["h0.hidden"][0].copy())
    return np.array(actions), np.array(states)


def test_what_a_cut_of_output_hidden_and_cell_means() -> None:
    policy, obs = recurrent(), np.random.default_rng(4).normal(size=(12, 4))
    acts, states = sequence(policy, obs, "")
    out, kept = sequence(policy, obs, "h0")
    np.testing.assert_array_equal(kept, states)  # the memory is whole
    assert (out == out[0]).all()  # but nothing of it is heard
    hidden, none = sequence(policy, obs, "h0.hidden")
    np.testing.assert_array_equal(hidden[0], acts[0])  # the first step has nothing to remember
    assert not np.allclose(hidden[1:], acts[1:])
    assert not none.any()
    cell, silent = sequence(policy, obs, "h0.cell")
    assert (cell == out[0]).all()  # tanh(0) = 0: no memory, no output
    assert not silent.any()


ENV = "envs:rl_ablation/Lap-v0"


def test_rollouts_reset_the_memory_with_the_row() -> None:
    policy = recurrent(env=ENV, obs=18)
    cut = Lesion(name="cell", cut={"h0.cell": (0, 1)}, kind="resample")
    activity = record_activity(policy, episodes=2, horizon=30)
    jobs = [
        Episode(lesion, seed, "ring/ccw")
        for seed in (5, 6, 7)
        for lesion in (Lesion(name="intact"), cut)
    ]
    signals = ["action", "obs", "@h0.cell", "~h0.cell"]
    how = {"activity": activity, "horizon": 40}
    trace = run_jobs(policy, signals, jobs, threads=1, **how)
    for k in (1, 4):
        alone = run_jobs(policy, signals, [jobs[k]], **how)
        np.testing.assert_array_equal(alone["action"][:, 0], trace["action"][:, k])
    assert not trace["~h0.cell"][0].any()
    on = trace.alive[1:]
    np.testing.assert_array_equal(trace["~h0.cell"][1:][on], trace["@h0.cell"][:-1][on])
    memory = policy.at_rest(1)
    for step in range(int(trace.steps[0])):  # an independent loop
        acted = policy.act(trace["obs"][step, :1], memory=memory)
        np.testing.assert_array_equal(acted[0], trace["action"][step, 0])


def test_a_probe_replays_moments_with_their_memory() -> None:
    policy = recurrent(env=ENV, obs=18)
    activity = record_activity(policy, episodes=2, horizon=30)
    assert activity_of(activity_bytes(activity)).keys() == activity.keys()
    cuts = [
        Lesion(name="intact"),
        *(Lesion(name=s, cut={s: (0, 3)}, kind="mean") for s in ("h0", "h0.hidden", "h0.cell")),
    ]
    table = probe(policy, Plan(lesions=tuple(cuts)), activity, samples=40)
    assert (table.took < 1e-6).all()
    assert (table.direct[[0, 2]] > 0).all()
    assert table.direct[1] == 0  # what the next step will hear changes nothing at once


def test_what_looks_at_single_observations_says_so() -> None:
    with pytest.raises(LabError, match=r"remembers \(h0.hidden, h0.cell\), and drift looks"):
        recurrent().needs_no_memory("drift")
