"""Train an agent with stable-baselines3's PPO, stage by stage, and export what it learned."""

from __future__ import annotations

import csv
import importlib.metadata
import platform
import tempfile
import time
import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

from agents.adapter import make_training_env, quiet_sequence, stage_seed
from agents.recipes import Recipe
from agents.selective_ppo import SelectivePPO
from rl_ablation import limits
from rl_ablation.errors import LabError
from rl_ablation.files import digest, one_line, write_atomically
from rl_ablation.policies.network import one_thread
from rl_ablation.policies.policy import Card, Policy
from rl_ablation.policies.storage import make_mlp
from rl_ablation.progress import bar

ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "elu": torch.nn.ELU}
Progress = Callable[[int, dict[str, float]], None]
"""Called with the steps done and the latest averages of the learning curve."""
Prepare = Callable[[PPO, VecNormalize], list[BaseCallback]]
"""Called with the new model before its first step; what it gives is called during learning."""


class _Curve(BaseCallback):
    """Writes a line of the learning curve after each rollout, and reports progress."""

    def __init__(self, path: Path, keys: tuple[str, ...], progress: Progress | None) -> None:
        super().__init__()
        self.path, self.keys, self.progress = path, keys, progress

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        episodes = list(self.model.ep_info_buffer or [])
        row = {"steps": float(self.num_timesteps)}
        for key, column in (("r", "return"), ("l", "length"), *((k, k) for k in self.keys)):
            row[column] = quiet_sequence([float(e[key]) for e in episodes])
        for key in self.keys:
            self.logger.record(f"rollout/{key}", row[key])
        fresh = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if fresh:
                writer.writeheader()
            writer.writerow({k: f"{v:.6g}" for k, v in row.items()})
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


@one_thread()
def train(
    recipe: Recipe,
    folder: str | Path,
    *,
    seed: int = 0,
    resume: bool = False,
    progress: Progress | None = None,
    device: str = "cpu",
    prepare: Prepare | None = None,
) -> Policy:
    """Train by a recipe and return the policy, its normaliser inside.

    ``folder`` receives ``curve.csv``, TensorBoard's files and, after each stage,
    ``checkpoint.safetensors``. The same recipe and seed give the same weights on the same machine,
    interrupted or not. Torch learns on one thread: that keeps the sums alike, and on two cores
    shared with other work two threads, waiting for each other, made 2,000 steps/s where one made
    7,000.

    Args:
        recipe: What to train.
        folder: Where the training lives.
        seed: Training seed.
        resume: Go on from the folder's checkpoint; without one, start.
        progress: Called after each rollout.
        device: Torch device of the training; the robots stay on the CPU.
        prepare: Changes the model before it learns, or before it is restored from a checkpoint,
            which knows nothing of this: what differs here needs a recipe of another name.

    Raises:
        LabError: The checkpoint is damaged or belongs to another recipe or seed, or a checkpoint
            is there and ``resume`` is not asked for; or there is no such device.
    """
    _check(seed, device)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.safetensors"
    if checkpoint.exists() and not resume:
        raise LabError(
            f"{folder} holds a training already; add --resume to go on, or choose another"
        )
    identity = digest({"recipe": recipe.model_dump(mode="json"), "seed": seed})
    model, env = _model(recipe, folder, stage_seed(seed, 0), device)
    callbacks = [] if prepare is None else prepare(model, env)
    stage = _restore(model, env, checkpoint, identity) if checkpoint.exists() else 0
    _trim_curve(folder / "curve.csv", model.num_timesteps)
    callbacks.append(_Curve(folder / "curve.csv", recipe.curve, progress))
    if recipe.final_log_std is not None:
        callbacks.append(_Noise(recipe.final_log_std, recipe.steps))
    began = time.monotonic()
    while model.num_timesteps < recipe.steps:
        set_random_seed(stage_seed(seed, stage))
        env.seed(stage_seed(seed, stage))
        model._last_obs = None  # makes learn() reset the robots, with those seeds
        steps = min(recipe.stage_steps, recipe.steps - model.num_timesteps)
        model.learn(steps, callback=callbacks, reset_num_timesteps=False)
        stage += 1
        _store(model, env, checkpoint, identity, stage)
    seconds = round(time.monotonic() - began, 1)
    policy = to_policy(model, env, recipe, seed, {"seconds": seconds})
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


def _model(recipe: Recipe, folder: Path, seed: int, device: str) -> tuple[PPO, VecNormalize]:
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
        model = (
            PPO("MlpPolicy", env, **ppo)
            if recipe.selectivity == 0
            else SelectivePPO(env, selectivity=recipe.selectivity, **ppo)
        )
    model.set_logger(configure(str(folder / "tensorboard"), ["tensorboard"]))
    fall = recipe.learning_rate - recipe.final_learning_rate
    # SB3's own schedules count within one learn() call; ours counts over all stages.
    model.lr_schedule = lambda _: (
        recipe.learning_rate - fall * min(1.0, model.num_timesteps / recipe.steps)
    )
    return model, env


def _store(model: PPO, env: VecNormalize, path: Path, identity: str, stage: int) -> None:
    tensors: dict[str, torch.Tensor] = {}
    for name, value in model.policy.state_dict().items():
        tensors[f"policy.{name}"] = value.detach().cpu().contiguous()
    for k, state in model.policy.optimizer.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimizer.{k}.{name}"] = torch.as_tensor(value).cpu().contiguous()
    for name, rms in (("obs", env.obs_rms), ("ret", env.ret_rms)):
        tensors[f"{name}.mean"] = torch.as_tensor(np.array(rms.mean))
        tensors[f"{name}.var"] = torch.as_tensor(np.array(rms.var))
        tensors[f"{name}.count"] = torch.tensor(rms.count, dtype=torch.float64)
    # The latest episodes, that the learning curve averages over.
    episodes = list(model.ep_info_buffer or [])
    for key in episodes[0] if episodes else ():
        values = [float(episode[key]) for episode in episodes]
        tensors[f"episodes.{key}"] = torch.tensor(values, dtype=torch.float64)
    meta = {"identity": identity, "stage": str(stage), "steps": str(model.num_timesteps)}
    write_atomically(path, save(tensors, meta))


def _restore(model: PPO, env: VecNormalize, path: Path, identity: str) -> int:
    """Load a checkpoint into the model; returns the stage to go on with."""
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as file:
            meta = file.metadata() or {}
        tensors = load_file(path)
    except SafetensorError as error:
        raise LabError(f"{path}: damaged checkpoint ({one_line(error)}); delete it") from None
    if meta.get("identity") != identity:
        raise LabError(f"{path} belongs to another recipe or seed; choose another folder")
    model.policy.load_state_dict(
        {n.removeprefix("policy."): t for n, t in tensors.items() if n.startswith("policy.")}
    )
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, k, key = name.split(".")
            state.setdefault(int(k), {})[key] = tensor
    optimizer = model.policy.optimizer
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    for name in ("obs", "ret"):
        rms = RunningMeanStd(shape=tuple(tensors[f"{name}.mean"].shape))
        rms.mean, rms.var = tensors[f"{name}.mean"].numpy(), tensors[f"{name}.var"].numpy()
        rms.count = tensors[f"{name}.count"].item()
        setattr(env, f"{name}_rms", rms)
    latest = {
        name.removeprefix("episodes."): values.tolist()
        for name, values in tensors.items()
        if name.startswith("episodes.")
    }
    model.ep_info_buffer = deque(
        (dict(zip(latest, row, strict=True)) for row in zip(*latest.values(), strict=True)),
        maxlen=model._stats_window_size,
    )
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)  # SB3 makes both or none
    model.num_timesteps = int(meta["steps"])
    return int(meta["stage"])


def _trim_curve(path: Path, steps: int) -> None:
    """Drop the curve's lines past the checkpoint: that stage is run again."""
    if not path.exists():
        return
    try:
        lines = path.read_text().splitlines(keepends=True)
        kept = [line for line in lines[1:] if float(line.split(",")[0]) <= steps]
    except ValueError as error:
        how = "delete it, and only its earlier lines are lost"
        raise LabError(f"{path}: damaged ({one_line(error)}); {how}") from None
    if kept:
        write_atomically(path, "".join(lines[:1] + kept))
    else:
        path.unlink()


def to_policy(
    model: PPO, env: VecNormalize, recipe: Recipe, seed: int, scores: dict[str, Any]
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
    packages = ("mujoco", "gymnasium", "stable-baselines3", "torch", "numpy")
    card = Card(
        name=recipe.name,
        env_id=recipe.env_id,
        env_kwargs=recipe.env_kwargs,
        algorithm="PPO",
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
    return make_mlp(
        weights,
        card,
        low=space.low,
        high=space.high,
        obs_mean=env.obs_rms.mean,
        obs_std=np.sqrt(env.obs_rms.var + env.epsilon),
    )
