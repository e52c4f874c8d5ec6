"""A trained network with a known answer: two heads, and a mask so that each serves one behaviour.

The lab's own lap agent is cloned (states that it visits, then also those that the clone visits,
labelled by it: Ross, Gordon, Bagnell 2011) into a network of two halves that share nothing but
what they see: one half can only add to both wheels, the other only to their difference.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import nn

from agents.zoo import find
from envs.lap import CONDITIONS
from experiments.validation.policies import Planted
from rl_ablation.policies.network import one_thread
from rl_ablation.policies.policy import Card, Policy
from rl_ablation.policies.storage import load_folder, make_mlp
from rl_ablation.rollouts.activity import record_activity

HALVES = ("speed", "steering")
HALF = 12  # hidden units of a half in a layer
_ROUNDS, _STEPS, _HORIZON = 2, 600, 200


class _Heads(nn.Module):
    """Both halves: tanh layers of their own, and one number each for the wheels."""

    def __init__(self, inputs: int, draw: torch.Generator) -> None:
        super().__init__()
        sizes = (inputs, HALF, HALF, 1)
        self.halves = [[nn.Linear(a, b) for a, b in pairwise(sizes)] for _ in HALVES]
        self.kept = nn.ModuleList(layer for half in self.halves for layer in half)
        for weights in self.parameters():
            wide = weights.shape[-1] ** -0.5
            nn.init.uniform_(weights, -wide, wide, generator=draw)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Wheels (N, 2) of inputs (N, D)."""
        both = []
        for first, second, out in self.halves:
            both.append(out(torch.tanh(second(torch.tanh(first(obs))))))
        speed, steering = both
        return torch.cat([speed - steering, speed + steering], 1)


def halves(seed: int) -> Planted:
    """The clone of a seed; its units have the role of their half."""
    teacher = load_folder(find("lap"))
    draw = torch.Generator().manual_seed(seed % 2**63)
    clone, heads, seen = teacher, _Heads(teacher.obs_size, draw), np.empty((0, teacher.obs_size))
    for number in range(_ROUNDS):
        visited = record_activity(
            clone, conditions=list(CONDITIONS), seed=seed + number, horizon=_HORIZON, threads=1
        )
        seen = np.concatenate([seen, visited["obs"].samples]).astype(np.float32)
        with one_thread():  # of tiny products; several only wait for each other
            _fit(heads, torch.from_numpy(seen), _wanted(teacher, seen), draw)
        clone, roles = _policy(heads, teacher, seed)
    return Planted(clone, roles)


def _wanted(teacher: Policy, inputs: np.ndarray) -> torch.Tensor:
    """What the teacher does, (N, 2), given its network's inputs (N, D)."""
    raw = inputs.astype(np.float64)
    if teacher.obs_mean is not None and teacher.obs_std is not None:
        raw = raw * teacher.obs_std + teacher.obs_mean
    return torch.from_numpy(teacher.act(raw))


def _fit(heads: _Heads, inputs: torch.Tensor, wanted: torch.Tensor, draw: torch.Generator) -> None:
    optimizer = torch.optim.Adam(heads.parameters(), 3e-3)
    for _ in range(_STEPS):
        rows = torch.randint(len(inputs), (256,), generator=draw)
        # A wheel that is wanted at its limit may be asked for more.
        loss = (heads(inputs[rows]).clamp(-1.2, 1.2) - wanted[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _policy(heads: _Heads, teacher: Policy, seed: int) -> tuple[Policy, dict[str, str]]:
    """The halves side by side as one network, their units shuffled."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x2EAD]))
    orders = [rng.permutation(2 * HALF) for _ in range(2)]
    one, other = ([(x.weight.detach().numpy(), x.bias.detach().numpy()) for x in half]
                  for half in heads.halves)  # fmt: skip
    first = np.vstack([one[0][0], other[0][0]])
    second = np.block([[one[1][0], np.zeros((HALF, HALF))], [np.zeros((HALF, HALF)), other[1][0]]])
    wheels = np.hstack([np.vstack([one[2][0]] * 2), np.vstack([-other[2][0], other[2][0]])])
    biases = [np.concatenate([one[k][1], other[k][1]]) for k in range(2)]
    a, b = orders
    shift = np.array([one[2][1][0] - other[2][1][0], one[2][1][0] + other[2][1][0]])
    weights = [(first[a], biases[0][a]), (second[b][:, a], biases[1][b]), (wheels[:, b], shift)]
    about = teacher.card
    card = Card(
        name=f"two-headed-{seed}", env_id=about.env_id, env_kwargs=about.env_kwargs,
        algorithm="cloned", activation="tanh", squash="clip", obs_clip=about.obs_clip, seed=seed,
    )  # fmt: skip
    arrays = {"obs_mean": teacher.obs_mean, "obs_std": teacher.obs_std}
    policy = make_mlp(weights, card, low=-np.ones(2), high=np.ones(2), **arrays)
    half = np.repeat(HALVES, HALF)
    roles = {f"h{k}/{u}": str(half[unit]) for k in range(2) for u, unit in enumerate(orders[k])}
    return policy, roles
