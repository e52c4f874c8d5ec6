"""One way to load any policy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rl_ablation.errors import LabError
from rl_ablation.policy import Policy, load_folder


def load(
    path: str | Path, env: str | None = None, env_kwargs: Mapping[str, Any] | None = None
) -> Policy:
    """Load a policy folder, or a stable-baselines3 zip; nothing in either is executed.

    Args:
        path: A folder with ``policy.safetensors`` and ``card.json``.
        env: Gymnasium id to use instead of the one on the card.
        env_kwargs: For that environment.

    Raises:
        LabError: There is no policy, or it is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise LabError(f"no policy at {path}; give a policy folder")
    policy = load_folder(path)
    if env is not None or env_kwargs is not None:
        return policy.with_env(env or policy.card.env_id or "", env_kwargs)
    return policy
