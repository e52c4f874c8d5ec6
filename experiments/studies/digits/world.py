"""Handwritten digits as a world of one step: see an image, name its digit, done.

It exists to run the instrument on a task whose answers are published. The images are the 1797 of
8 × 8 pixels that come with scikit-learn (Alpaydin & Kaynak 1998).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import register
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from sklearn.datasets import load_digits

ENV_ID = "experiments.studies.digits.world:rl_ablation/Digits-v0"
DIGITS = 10
TRAINING = 50  # images of each digit to learn from
HELD_OUT = 120  # images of each digit to be examined on
PIXELS = 64


@cache
def images() -> np.ndarray:
    """Images by digit, (10, 170, 64) float32 in [0, 1], the first 50 of each for training.

    Mixed once and for all, since neighbours in the file come from one writer.
    """
    data, target = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    kept = [rng.permutation(data[target == d])[: TRAINING + HELD_OUT] for d in range(DIGITS)]
    return (np.stack(kept) / 16.0).astype(np.float32)


def labels(label_seed: int | None = None) -> np.ndarray:
    """What each image counts as, (10, 170); a seed deals the training images' labels anew."""
    truth = np.tile(np.arange(DIGITS)[:, None], TRAINING + HELD_OUT)
    if label_seed is not None:
        dealt = np.random.default_rng(label_seed).permutation(truth[:, :TRAINING].ravel())
        truth[:, :TRAINING] = dealt.reshape(DIGITS, TRAINING)
    return truth


def every(first: int, last: int, step: int = 1) -> list[str]:
    """Conditions that show images ``first``, ``first + step``, … before ``last`` of each digit."""
    return [f"{digit}/{image}" for digit in range(DIGITS) for image in range(first, last, step)]


CONDITIONS = [*map(str, range(DIGITS)), *every(0, TRAINING + HELD_OUT)]


class DigitsBatch(VectorEnv):
    """N examinees, an image each; reward 1 for the right name, and the episode is over.

    Observation (64,): pixels in [0, 1]. Action: the digit. Condition ``"3"`` is a held-out image
    of a 3, drawn by the seed; ``"3/17"`` is that very image, so that a sweep can show every one
    once; without a condition the digit is drawn as well.

    Args:
        num_envs: Examinees.
        label_seed: Deals the labels of the training images anew; None leaves the true ones.
        autoreset_mode: Only "Disabled".
        max_episode_steps: There is one step, whatever this says.
        nthread: Not used.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": [],
        "render_fps": 1,
        "waits": True,
        "autoreset_mode": AutoresetMode.DISABLED,
        "conditions": {name: {} for name in CONDITIONS},
    }

    def __init__(
        self,
        num_envs: int = 1,
        label_seed: int | None = None,
        autoreset_mode: str = "Disabled",
        max_episode_steps: int = 1,
        nthread: int = 0,
    ) -> None:
        if AutoresetMode(autoreset_mode) != AutoresetMode.DISABLED:
            raise ValueError(f"digits are not reset by themselves; got {autoreset_mode!r}")
        self.num_envs = num_envs
        self.single_observation_space = gym.spaces.Box(0.0, 1.0, (PIXELS,), np.float32)
        self.single_action_space = gym.spaces.Discrete(DIGITS)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._labels = labels(label_seed)
        self._digit = np.zeros(num_envs, np.int64)
        self._image = np.zeros(num_envs, np.int64)
        self._over = np.ones(num_envs, bool)

    def reset(  # type: ignore[override]
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
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
    id="rl_ablation/Digits-v0",
    entry_point=None,
    vector_entry_point="experiments.studies.digits.world:DigitsBatch",
    max_episode_steps=1,
)
