"""One way to load any policy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rl_ablation.errors import LabError
from rl_ablation.policies.policy import Policy
from rl_ablation.policies.sb3.algorithms import load_zip
from rl_ablation.policies.storage import load_folder


def load(
    path: str | Path,
    env: str | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    *,
    vecnormalize: str | Path | bool | None = None,
    env_wrapper: str | None = None,
) -> Policy:
    """Load a policy folder, or a stable-baselines3 zip; nothing in either is executed.

    Args:
        path: A folder with ``policy.safetensors`` and ``card.json``, or a stable-baselines3 or
            sb3-contrib zip with an MLP actor.
        env: Gymnasium id to run in, with a module prefix if one must be imported
            (``"envs:HalfCheetah-v5"`` runs on the native batch); None takes the card's.
        env_kwargs: For that environment.
        vecnormalize: For a zip, the ``vecnormalize.pkl`` that it was trained with; None looks for
            it where the SB3 Zoo keeps it, False does without.
        env_wrapper: For a zip, a wrapper that its observations need: ``"time-feature"``.

    Raises:
        LabError: There is no policy, it is damaged, or of a kind that is not supported.
    """
    path = Path(path)
    if not path.exists():
        raise LabError(f"no policy at {path}; give a policy folder or a stable-baselines3 zip")
    if not path.is_dir():
        return load_zip(
            path, env, env_kwargs=env_kwargs, vecnormalize=vecnormalize, env_wrapper=env_wrapper
        )
    if vecnormalize or env_wrapper:
        raise LabError(f"{path} is a policy folder: vecnormalize and env_wrapper are for zips")
    policy = load_folder(path)
    if env is not None:
        return policy.with_env(env, env_kwargs)
    if env_kwargs is not None:  # the environment stays the card's, and no more to be trusted
        return policy.with_card(policy.card.model_copy(update={"env_kwargs": dict(env_kwargs)}))
    return policy
