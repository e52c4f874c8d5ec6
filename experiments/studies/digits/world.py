"""Handwritten digits as a world of one step, and small classifiers that learn them.

An episode: see an image, name its digit, done. It exists to run the instrument on a task whose
answers are published. The images, 1797 of 8 × 8 pixels, come with scikit-learn (Alpaydin & Kaynak
1998).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium.envs.registration import register
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from sklearn.datasets import load_digits
from torch.nn import functional as F

from rl_ablation.analysis.selectivity import TINY
from rl_ablation.policies.load import load
from rl_ablation.policies.network import one_thread
from rl_ablation.policies.policy import Card, Policy
from rl_ablation.policies.storage import make_mlp, save

ENV_ID = "experiments.studies.digits.world:rl_ablation/Digits-v0"
TRAINING, HELD_OUT = 50, 120  # images of each digit to learn from, and to be examined on
DIGITS, PIXELS = 10, 64
SIZES = (PIXELS, 32, 32, DIGITS)  # of the classifiers' layers
BATCH, RATE = 100, 3e-3


@cache
def images() -> np.ndarray:
    """Images by digit, (10, 170, 64) float32 in [0, 1], the first 50 of each for training."""
    data, target = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)  # mixed, since neighbours in the file come from one writer
    kept = [rng.permutation(data[target == d])[: TRAINING + HELD_OUT] for d in range(DIGITS)]
    return (np.stack(kept) / 16.0).astype(np.float32)


def labels(label_seed: int | None = None) -> np.ndarray:
    """What each image counts as, (10, 170); a seed shuffles the training images' labels."""
    truth = np.tile(np.arange(DIGITS)[:, None], TRAINING + HELD_OUT)
    if label_seed is not None:
        shuffled = np.random.default_rng(label_seed).permutation(truth[:, :TRAINING].ravel())
        truth[:, :TRAINING] = shuffled.reshape(DIGITS, TRAINING)
    return truth


def every(first: int, last: int) -> list[str]:
    """Conditions that show images ``first`` to ``last − 1`` of each digit."""
    return [f"{digit}/{image}" for digit in range(DIGITS) for image in range(first, last)]


CONDITIONS = [*map(str, range(DIGITS)), *every(0, TRAINING + HELD_OUT)]


class DigitsBatch(VectorEnv):
    """N examinees, an image each; reward 1 for the right name, and the episode is over.

    Observation (64,): pixels in [0, 1]. Action: the digit. Condition ``"3"`` is a held-out image
    of a 3, drawn by the seed; ``"3/17"`` is that very image, so that a sweep can show every one
    once; without a condition the digit is drawn as well. For ``label_seed`` see `labels`; there is
    one step, whatever ``max_episode_steps`` says, and ``nthread`` is not used.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": [],
        "render_fps": 1,
        "waits": True,
        "autoreset_mode": AutoresetMode.DISABLED,
        "conditions": {name: {} for name in CONDITIONS},
    }

    def __init__(
        self, num_envs: int = 1, label_seed: int | None = None, autoreset_mode: str = "Disabled",
        max_episode_steps: int = 1, nthread: int = 0,
    ) -> None:  # fmt: skip
        if AutoresetMode(autoreset_mode) != AutoresetMode.DISABLED:
            raise ValueError(f"digits are not reset by themselves; got {autoreset_mode!r}")
        self.num_envs = num_envs
        self.single_observation_space = gym.spaces.Box(0.0, 1.0, (PIXELS,), np.float32)
        self.single_action_space = gym.spaces.Discrete(DIGITS)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._labels = labels(label_seed)
        self._digit, self._image = np.zeros((2, num_envs), np.int64)
        self._over = np.ones(num_envs, bool)

    def reset(  # type: ignore[override]
        self, *, seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:  # fmt: skip
        """Show every row an image; ``options["condition"]`` names one for all, or for each row."""
        asked = (options or {}).get("condition")
        asked = [asked] * self.num_envs if asked is None or isinstance(asked, str) else asked
        if seed is None or isinstance(seed, int):
            seed = [None if seed is None else seed + row for row in range(self.num_envs)]
        for row, (condition, row_seed) in enumerate(zip(asked, seed, strict=True)):
            digit, _, image = (condition or "").partition("/")
            if not image:
                rng = np.random.default_rng(row_seed)
                digit = digit or rng.integers(DIGITS)
                image = TRAINING + rng.integers(HELD_OUT)
            self._digit[row], self._image[row] = int(digit), int(image)
        self._over[:] = False
        return images()[self._digit, self._image], {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Mark the answers; a row that has answered waits."""
        right = np.asarray(actions) == self._labels[self._digit, self._image]
        rewards = np.where(self._over, 0.0, right.astype(np.float64))
        self._over[:] = True
        never = np.zeros(self.num_envs, bool)
        return images()[self._digit, self._image], rewards, ~never, never, {}


register(
    "rl_ablation/Digits-v0", entry_point=None, max_episode_steps=1,
    vector_entry_point="experiments.studies.digits.world:DigitsBatch",
)  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """A network to train: its seed, its weight of selectivity, whether its labels are shuffled."""

    seed: int
    alpha: float = 0.0
    shuffled: bool = False

    @property
    def name(self) -> str:
        """Of its folders."""
        return f"{'shuffled' if self.shuffled else f'alpha{self.alpha:g}'}-{self.seed}"


def networks(subjects: list[Subject], folder: Path, updates: int) -> dict[Subject, Policy]:
    """The subjects as policies, trained side by side unless the folder holds them all."""
    if not all((folder / s.name / "card.json").exists() for s in subjects):
        layers = train(subjects, updates)
        for k, s in enumerate(subjects):
            kwargs = {"label_seed": s.seed} if s.shuffled else {}
            how: dict[str, Any] = {"activation": "relu", "squash": "argmax"}
            card = Card(name=s.name, env_id=ENV_ID, env_kwargs=kwargs, **how)
            save(make_mlp([(w[k], b[k, 0]) for w, b in layers], card), folder / s.name)
    return {s: load(folder / s.name) for s in subjects}


@one_thread()
def train(subjects: list[Subject], updates: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Fit all networks at once with Adam, each on its own minibatches.

    The loss is cross-entropy − α·(mean over layers of the units' mean SI in the minibatch), after
    Leavitt & Morcos 2020. Networks of one seed share start and minibatches, whatever their α.
    Returns weights (N, out, in) and biases (N, 1, out) of each layer.
    """
    x = torch.from_numpy(images()[:, :TRAINING].reshape(-1, PIXELS))
    known = [labels(s.seed if s.shuffled else None)[:, :TRAINING].ravel() for s in subjects]
    y = torch.from_numpy(np.stack(known))
    alpha = torch.tensor([s.alpha for s in subjects])
    draws = {s.seed: np.random.default_rng(s.seed) for s in subjects}
    layers = []
    for width, out in pairwise(SIZES):
        start = {n: rng.normal(size=(out, width)) * (2 / width) ** 0.5 for n, rng in draws.items()}
        stack = np.stack([start[s.seed] for s in subjects]).astype(np.float32)
        bias = torch.zeros(len(subjects), 1, out, requires_grad=True)
        layers.append((torch.from_numpy(stack).requires_grad_(True), bias))
    optimizer = torch.optim.Adam([p for layer in layers for p in layer], RATE)
    for _ in range(updates):
        batch = {n: rng.permutation(len(x))[:BATCH] for n, rng in draws.items()}
        index = torch.from_numpy(np.stack([batch[s.seed] for s in subjects]))
        target, h = y.gather(1, index), x[index]
        steer = torch.zeros(len(subjects))
        for weight, bias in layers[:-1]:
            h = torch.relu(torch.baddbmm(bias, h, weight.transpose(1, 2)))
            steer = steer + minibatch_selectivity(h, target) / (len(layers) - 1)
        scores = torch.baddbmm(layers[-1][1], h, layers[-1][0].transpose(1, 2))
        loss = F.cross_entropy(scores.transpose(1, 2), target, reduction="none").mean(1)
        optimizer.zero_grad()
        (loss - alpha * steer).sum().backward()
        optimizer.step()
    return [(w.detach().numpy(), b.detach().numpy()) for w, b in layers]


def minibatch_selectivity(h: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean class selectivity of each network's units, differentiable: (N, B, H), (N, B) -> (N,)."""
    member = F.one_hot(target, DIGITS).float()
    count = member.sum(1)[..., None]
    means = torch.einsum("nbc,nbh->nch", member, h) / count.clamp(min=1)
    absent = count == 0
    largest = means.masked_fill(absent, -1.0).amax(1)
    rest = (means.sum(1) - largest) / ((~absent).sum(1) - 1)
    return ((largest - rest) / (largest + rest + TINY)).mean(1)
