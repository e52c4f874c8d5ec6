"""The zoo: trained agents that ship with the lab, each a policy folder with curve and score."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

import envs  # noqa: F401  # makes Gymnasium's MuJoCo tasks run on native batches
from rl_ablation.errors import LabError
from rl_ablation.measures.registry import choose, evaluate
from rl_ablation.policies.load import load, located, offered
from rl_ablation.policies.policy import Policy
from rl_ablation.policies.storage import load_folder, save
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.rollouts.recording import record
from rl_ablation.rollouts.rollout import world_signals
from rl_ablation.rollouts.world import World, card_env

ZOO = Path(__file__).parent / "zoo"
SCORE_EPISODES = 32
SCORE_SEED = 12345  # no training or map uses the episodes of this seed


def folders() -> dict[str, Path]:
    """Agents in the zoo and their folders; how `rl_ablation.load` learns of them (pyproject)."""
    return {path.parent.name: path.parent for path in sorted(ZOO.glob("*/card.json"))}


def names() -> list[str]:
    """Agents in the zoo."""
    return list(folders())


def find(name: str) -> Path:
    """The folder of a zoo agent.

    Raises:
        LabError: There is no such agent.
    """
    if name not in names():
        known = ", ".join(names()) or "it is empty"
        raise LabError(f"no agent {name!r} in the zoo; choose from {known}, or give a path")
    return ZOO / name


def find_agent(name: str, env: str | None = None, **how: Any) -> Policy:
    """`load` for whoever has the zoo beside it, installed or not; ``how`` is for it.

    Raises:
        LabError: There is no such policy or agent.
    """
    return load(located(name, {**offered(), **folders()}), env, **how)


def score(policy: Policy, episodes: int = SCORE_EPISODES, seed: int = SCORE_SEED) -> dict[str, Any]:
    """Measure the intact policy on its card's environment, over all its conditions in turn.

    Returns:
        ``episodes``, ``seed``, and the mean of every measure that applies, with the standard
        deviation over episodes of the return.
    """
    world = World(card_env(policy), 1, policy.card.env_kwargs)
    try:
        conditions = tuple(world.conditions) or ("",)
        measures = choose(None, world_signals(world))
    finally:
        world.close()
    signals = list(dict.fromkeys(s for m in measures for s in m.signals))
    asked = Episodes(episodes, seed, conditions)
    values = evaluate(measures, record(policy, signals, asked).trace)
    means = {name: float(np.nanmean(v)) for name, v in values.items() if np.isfinite(v).any()}
    spread = float(np.std(values["return"], ddof=1)) if episodes > 1 else 0.0
    return {"episodes": episodes, "seed": seed, "return_sd": spread, **means}


def publish(policy: Policy, training: Path, folder: Path, command: str) -> Policy:
    """Write a trained policy with its score, command and learning curve as an agent of the zoo."""
    scores = {**policy.card.scores, **score(policy)}
    card = policy.card.model_copy(
        update={"scores": {k: round_score(v) for k, v in scores.items()}, "command": command}
    )
    published = policy.with_card(card)
    save(published, folder)
    shutil.copyfile(training / "curve.csv", folder / "curve.csv")
    return load_folder(folder)


def round_score(value: Any) -> Any:
    """Six significant digits: enough to hold a replay to, short enough to read."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
