"""Disturbances from outside: sensors that rustle, sensors that fail, and the worst small lie.

Noise and failure are ordinary lesions at the site ``obs``, so a sweep runs them like any cut. The
worst lie is an attack on the network's input at every step: the policy comes back wrapped, and
everything that takes a policy takes the wrapped one. All sizes are in units of the normalised
observation, where 1 is a sensor's standard deviation during training.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.policies.policy import Policy

NOISE = (0.25, 0.5, 1.0)
DROPOUT = (0.1, 0.2, 0.4)


def sensor_noise(agent: Policy, strengths: Sequence[float] = NOISE) -> Plan:
    """Normal noise on all sensors at once, in multiples of each sensor's own s.d.

    Args:
        agent: The policy.
        strengths: Of the noise; a lesion is named ``noise/0.5``.
    """
    cut = {"obs": tuple(range(agent.obs_size))}
    return Plan(
        Lesion(name=f"noise/{s:g}", cut=cut, kind="noise", strength=s, group="noise")
        for s in strengths
    )


def sensor_dropout(
    agent: Policy,
    fractions: Sequence[float] = DROPOUT,
    *,
    draws: int = 3,
    seed: int = 0,
    kind: str = "zero",
) -> Plan:
    """Random sets of sensors that fail for the whole episode.

    Args:
        agent: The policy.
        fractions: Shares of the sensors, in (0, 1].
        draws: Sets of each share; a lesion is named ``dropout-1/0.2``, its group ``dropout-1``.
        seed: Draws the sets. They grow within a draw: what fails at 10 % also fails at 20 %.
        kind: Of the cut; ``zero`` makes a sensor read its mean over the training.
    """
    if not all(0 < f <= 1 for f in fractions) or draws < 1:
        raise LabError(
            "dropout needs fractions in (0, 1] and at least 1 draw, got "
            f"{', '.join(f'{f:g}' for f in fractions)} and {draws}"
        )
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(agent.obs_size).tolist() for _ in range(draws)]
    return Plan(
        Lesion(
            name=f"dropout-{k}/{f:g}",
            cut={"obs": tuple(sorted(order[: max(1, round(f * agent.obs_size))]))},
            kind=kind,
            group=f"dropout-{k}",
        )
        for k, order in enumerate(orders)
        for f in sorted(fractions)
    )
