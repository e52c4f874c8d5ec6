"""Train an agent with stable-baselines3's PPO, stage by stage, and export what it learned."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

from agents.adapter import make_training_env, quiet_sequence, stage_seed
from agents.checkpoint import Done, made_with, restore, store
from agents.recipes import Recipe
from agents.selective_ppo import SelectivePPO
from rl_ablation import limits
from rl_ablation.errors import LabError
from rl_ablation.files import (
    digest,
    locked,
    naming,
    one_line,
    sweep_temporaries,
    write_atomically,
)
from rl_ablation.policies.graph import remembering
from rl_ablation.policies.network import one_thread
from rl_ablation.policies.policy import Card, Policy
from rl_ablation.policies.storage import load_folder, make_graph, make_mlp, save
from rl_ablation.progress import bar

ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "elu": torch.nn.ELU}
Progress = Callable[[int, dict[str, float]], None]
"""Called with the steps done and the latest averages of the learning curve."""
Prepare = Callable[[PPO, VecNormalize], list[BaseCallback]]
"""Called with the new model before its first step; what it gives is called during learning."""

_LSTM = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
CURVE, CHECKPOINT = "curve.csv", "checkpoint.safetensors"


class _Curve(BaseCallback):
    """Writes a line of the learning curve after each rollout, and reports progress.

    It begins with the lines there are in ``text``, whatever the file holds.
    """

    def __init__(
        self, path: Path, text: str, keys: tuple[str, ...], progress: Progress | None
    ) -> None:
        super().__init__()
        self.path, self.text, self.keys, self.progress = path, text, keys, progress
        write_atomically(path, text)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        episodes = list(self.model.ep_info_buffer or [])
        row = {"steps": float(self.num_timesteps)}
        for key, column in (("r", "return"), ("l", "length"), *((k, k) for k in self.keys)):
            row[column] = quiet_sequence([float(e[key]) for e in episodes])
        for key in self.keys:
            self.logger.record(f"rollout/{key}", row[key])
        lines = io.StringIO()
        writer = csv.DictWriter(lines, row, lineterminator="\n")
        if not self.text:
            writer.writeheader()
        writer.writerow({k: f"{v:.0f}" if k == "steps" else f"{v:.6g}" for k, v in row.items()})
        self.text += lines.getvalue()
        with naming(self.path), self.path.open("a", newline="") as file:
            file.write(lines.getvalue())
        if self.progress is not None:
            self.progress(self.num_timesteps, row)


class _Noise(BaseCallback):
    """Leads the log standard deviation of the exploration noise to ``final`` over the training."""

    def __init__(self, final: float, steps: int) -> None:
        super().__init__()
        self.final, self.steps = final, steps

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        policy = self.model.policy
        done = min(1.0, self.num_timesteps / self.steps)
        policy.log_std.requires_grad_(False)  # the optimizer leaves it alone
        policy.log_std.fill_(policy.log_std_init + done * (self.final - policy.log_std_init))


class _Keep(BaseCallback):
    """Saves the policy at ``marks``, numbers of steps, whenever a rollout begins there.

    Nothing that changes with the hour is in it, so it has the same bytes after a resume.
    """

    def __init__(
        self, folder: Path, marks: Sequence[int], env: VecNormalize, recipe: Recipe, seed: int
    ) -> None:
        super().__init__()
        self.folder, self.marks, self.env = folder, frozenset(marks), env
        self.recipe, self.seed = recipe, seed

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if done := self.model.num_timesteps:  # at 0 a reset has told the normaliser something
            self.keep(self.model, done)

    def keep(self, model: PPO, done: int) -> None:
        """Save the policy if these are steps of a mark."""
        if done in self.marks:
            policy = to_policy(model, self.env, self.recipe, self.seed, {})
            save(policy, kept_at(self.folder, done))

    def check(self, done: int) -> None:
        """See that a training that goes on after so many steps has kept what it passed."""
        for mark in sorted(mark for mark in self.marks if mark < done):
            path = kept_at(self.folder, mark)
            try:
                card = load_folder(path).card
            except LabError as error:
                raise LabError(
                    f"the training is past step {mark} and its policy of then is not there "
                    f"({error}); choose another folder"
                ) from None
            told = self.recipe.model_dump(mode="json")
            if (card.hyperparameters, card.seed, card.steps) != (told, self.seed, mark):
                raise LabError(f"{path} is of another training; choose another folder")


def kept_at(folder: str | Path, steps: int) -> Path:
    """Where a training keeps the policy that it had after so many steps."""
    return Path(folder) / f"at-{steps}"


@one_thread()
def train(
    recipe: Recipe,
    folder: str | Path,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    device: str = "cpu",
    prepare: Prepare | None = None,
    keep: Sequence[int] = (),
) -> Policy:
    """Train by a recipe and return the policy, its normaliser inside.

    ``folder`` receives ``curve.csv``, TensorBoard's files and, after each stage,
    ``checkpoint.safetensors``. Where a checkpoint is there the training goes on from it. The same
    recipe and seed give the same weights on the same machine, interrupted or not. Torch learns on
    one thread: that keeps the sums alike, and on two cores shared with other work two threads,
    waiting for each other, made 2,000 steps/s where one made 7,000.

    With ``keep`` the folder also receives ``at-<steps>/``, the policy as it was then; the training
    stays the same, to the byte. It is taken as the next rollout begins, at 0 before any step.

    Args:
        recipe: What to train.
        folder: Where the training lives.
        seed: Training seed.
        progress: Called after each rollout.
        device: Torch device of the training; the robots stay on the CPU.
        prepare: Changes the model before it learns, or before it is restored from a checkpoint,
            which knows nothing of this: what differs here needs a recipe of another name.
        keep: Steps after which to keep the policy, each a whole number of rollouts.

    Raises:
        LabError: The checkpoint is damaged, of an earlier version, or of another recipe, seed,
            device or version of a package; there is no such device; no rollout ends at a step of
            ``keep``; or the training is past it and has not kept that policy.
    """
    _check(seed, device)
    _check_marks(recipe, keep)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        sweep_temporaries(folder)
        return _trained(recipe, folder, seed, progress, device, prepare, keep)


def _trained(
    recipe: Recipe,
    folder: Path,
    seed: int,
    progress: Progress | None,
    device: str,
    prepare: Prepare | None,
    keep: Sequence[int],
) -> Policy:
    checkpoint = folder / CHECKPOINT
    identity = digest({"recipe": recipe.model_dump(mode="json"), "seed": seed})
    model, env = _model(recipe, folder, stage_seed(seed, 0), device)
    callbacks = [] if prepare is None else prepare(model, env)
    done = restore(model, env, checkpoint, identity) if checkpoint.exists() else Done()
    if done.stage and model.num_timesteps < recipe.steps:
        done.check(checkpoint, device)
    kept = _Keep(folder, keep, env, recipe, seed)
    kept.check(model.num_timesteps)
    if not done.stage:
        kept.keep(model, 0)
    curve = _Curve(folder / CURVE, done.curve, recipe.curve, progress)
    callbacks += [curve, kept]
    if recipe.final_log_std is not None:
        callbacks.append(_Noise(recipe.final_log_std, recipe.steps))
    while model.num_timesteps < recipe.steps:
        began = time.monotonic()
        set_random_seed(stage_seed(seed, done.stage))
        env.seed(stage_seed(seed, done.stage))
        model._last_obs = None  # makes learn() reset the robots, with those seeds
        steps = min(recipe.stage_steps, recipe.steps - model.num_timesteps)
        model.learn(steps, callback=callbacks, reset_num_timesteps=False)
        seconds = done.seconds + time.monotonic() - began
        done = Done(done.stage + 1, seconds, curve.text, made_with(device))
        store(model, env, checkpoint, identity, done)
    kept.keep(model, model.num_timesteps)
    policy = to_policy(model, env, recipe, seed, {"seconds": round(done.seconds, 1)})
    env.close()
    return policy


def train_shown(recipe: Recipe, folder: Path, what: str = "training", **how: Any) -> Policy:
    """`train` with a progress bar named ``what``."""
    done = 0
    with bar(what, recipe.steps, "steps") as advance:

        def progress(now: int, row: dict[str, float]) -> None:
            nonlocal done
            advance(now - done)
            done = now

        return train(recipe, folder, progress=progress, **how)


def untrained(recipe: Recipe, seed: int = 0, like: Policy | None = None) -> Policy:
    """The policy that a training by this recipe and seed starts from.

    It has yet to see an observation and so normalises none. To be shown what another policy visits
    as that one sees it, it takes the observation normaliser of ``like``.
    """
    with tempfile.TemporaryDirectory() as folder:
        model, env = _model(recipe, Path(folder), stage_seed(seed, 0), "cpu")
        policy = to_policy(model, env, recipe, seed, {})
        env.close()
    if like is None:
        return policy
    return replace(policy, obs_mean=like.obs_mean, obs_std=like.obs_std)


def _check(seed: int, device: str) -> None:
    limits.check_range("seed", seed, 0, limits.SEED)
    try:
        # A sum that is read shows that numbers are kept there; "meta" keeps none.
        float(torch.zeros(1, device=device).sum())
    except Exception as error:  # a backend that is not there raises whatever its import does
        raise LabError(f"no device {device!r} here: {one_line(error)}") from None


def marks(recipe: Recipe, shares: Sequence[float]) -> list[int]:
    """The steps nearest to these shares of a training after which it can keep its policy."""
    rollout = _rollout(recipe)
    return sorted({round(share * recipe.steps / rollout) * rollout for share in shares})


def _rollout(recipe: Recipe) -> int:
    """Steps of a rollout, after which the policy changes."""
    return recipe.num_envs * int(recipe.ppo.get("n_steps", 2048))  # SB3's own number


def _check_marks(recipe: Recipe, keep: Sequence[int]) -> None:
    rollout = _rollout(recipe)
    for mark in keep:
        if not 0 <= mark <= recipe.steps or mark % rollout:
            raise LabError(
                f"cannot keep the policy of step {mark}: recipe {recipe.name!r} can at multiples "
                f"of {rollout} up to {recipe.steps}"
            )


def foretold(recipe: Recipe, seed: int, device: str = "cpu", probe: float = 2.0) -> float:
    """Seconds that a training will take, from a probe of so many seconds."""
    _check(seed, device)
    with tempfile.TemporaryDirectory() as folder:
        model, env = _model(recipe, Path(folder), stage_seed(seed, 0), device)
        took: list[float] = []
        while sum(took) < probe or len(took) < 2:
            began = time.monotonic()
            model.learn(model.n_steps * recipe.num_envs, reset_num_timesteps=False)
            took.append(time.monotonic() - began)
        steps = model.num_timesteps / len(took)
        env.close()
    return float(np.mean(took[1:])) * recipe.steps / steps  # the first one warms up


def _model(recipe: Recipe, folder: Path, seed: int, device: str) -> tuple[Any, VecNormalize]:
    """A new model by a recipe, and the robots that it learns from."""
    env = VecNormalize(
        VecMonitor(
            make_training_env(
                recipe.env_id, recipe.num_envs, recipe.env_kwargs, stagger=recipe.stagger
            ),
            info_keywords=recipe.curve,
        ),
        gamma=recipe.ppo.get("gamma", 0.99),
        clip_obs=recipe.obs_clip,
    )
    set_random_seed(seed)
    ppo = dict(recipe.ppo)
    arch = list(recipe.net_arch)
    policy_kwargs = {
        "net_arch": {"pi": arch, "vf": arch},
        "activation_fn": ACTIVATIONS[recipe.activation],
        **ppo.pop("policy_kwargs", {}),
    }
    ppo |= {"policy_kwargs": policy_kwargs, "device": device}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are trying to run PPO on the GPU")
        if recipe.memory:
            policy_kwargs["lstm_hidden_size"] = recipe.memory
            model = RecurrentPPO("MlpLstmPolicy", env, **ppo)
        elif recipe.selectivity:
            model = SelectivePPO(env, selectivity=recipe.selectivity, **ppo)
        else:
            model = PPO("MlpPolicy", env, **ppo)
    model.set_logger(configure(str(folder / "tensorboard"), ["tensorboard"]))
    fall = recipe.learning_rate - recipe.final_learning_rate
    # SB3's own schedules count within one learn() call; ours counts over all stages.
    model.lr_schedule = lambda _: (
        recipe.learning_rate - fall * min(1.0, model.num_timesteps / recipe.steps)
    )
    return model, env


def to_policy(
    model: Any, env: VecNormalize, recipe: Recipe, seed: int, scores: dict[str, Any]
) -> Policy:
    """Take the deterministic actor out of a trained PPO, with the observation normaliser inside."""
    state = {k: v.detach().cpu().numpy() for k, v in model.policy.state_dict().items()}
    weights = [
        (
            state[f"mlp_extractor.policy_net.{2 * k}.weight"],
            state[f"mlp_extractor.policy_net.{2 * k}.bias"],
        )
        for k in range(len(recipe.net_arch))
    ]
    weights.append((state["action_net.weight"], state["action_net.bias"]))
    memory = [state[f"lstm_actor.{name}_l0"] for name in _LSTM] if recipe.memory else []
    packages = ("mujoco", "gymnasium", "stable-baselines3", "torch", "numpy")
    card = Card(
        name=recipe.name,
        env_id=recipe.env_id,
        env_kwargs=recipe.env_kwargs,
        algorithm="RecurrentPPO" if recipe.memory else "PPO",
        activation=recipe.activation,
        squash="clip",
        obs_clip=recipe.obs_clip,
        seed=seed,
        steps=model.num_timesteps,
        hyperparameters=recipe.model_dump(mode="json"),
        scores=scores,
        versions={
            "python": platform.python_version(),
            **{p: importlib.metadata.version(p) for p in packages},
        },
    )
    space = env.action_space
    arrays = {
        "low": space.low,
        "high": space.high,
        "obs_mean": env.obs_rms.mean,
        "obs_std": np.sqrt(env.obs_rms.var + env.epsilon),
    }
    if not memory:
        return make_mlp(weights, card, **arrays)
    network = remembering("lstm", [memory], weights, recipe.activation)
    return make_graph(network, card, obs_size=memory[0].shape[1], **arrays)
