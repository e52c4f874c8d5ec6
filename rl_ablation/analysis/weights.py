"""What the weights alone say about a unit's importance, and whether they are right.

Meyes et al. 2019 ("Ablation Studies in Artificial Neural Networks") report that importance can be
read from weight structure alone. Every rule here gives each hidden unit a number, to be compared
within its layer only (Geiger et al. 2018), since layers differ in scale.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from rl_ablation.errors import LabError
from rl_ablation.policies.network import MLP
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.activity import Activity

RULES = {
    "outgoing L1": "Σ|w_out|",
    "outgoing L2": "√Σw_out²",
    "incoming L2": "√Σw_in²",
    "in × out": "√Σw_in² · √Σw_out²",
    "path to motors": "Σ over paths to all motors of the product of |w|",
    "activity × outgoing": "s.d. of the unit's activity · Σ|w_out|; needs activity",
    "activity × path": "s.d. of the unit's activity · path to motors; needs activity",
    "activity": "s.d. of the unit's activity; no weights, for comparison",
}
"""Name → formula. Those without activity read weights alone."""


def path_norms(policy: Policy) -> dict[str, np.ndarray]:
    """Site → path norm from each unit to each motor, (motors, H): Π|W| of the layers above.

    LabError where the policy is no MLP.
    """
    if not isinstance(policy.network, MLP):
        raise LabError(f"{policy.name!r} is no MLP; its weights cannot be read layer by layer")
    absolute = [np.abs(weight.numpy().astype(np.float64)) for weight, _ in policy.network.layers]
    found: dict[str, np.ndarray] = {}
    product = np.eye(policy.action_size)
    for k in range(len(absolute) - 2, -1, -1):
        product = product @ absolute[k + 1]
        found[f"h{k}"] = product
    return dict(reversed(found.items()))


def importance(policy: Policy, activity: Activity | None = None) -> pd.DataFrame:
    """Importance of every hidden unit by every rule: columns site, unit, and one for each rule.

    Without recorded ``activity`` the rules that need it are left out. LabError where the policy is
    no MLP.
    """
    paths = path_norms(policy)
    assert isinstance(policy.network, MLP)
    weights = [weight.numpy().astype(np.float64) for weight, _ in policy.network.layers]
    frames = []
    for (site, path), into, out in zip(paths.items(), weights[:-1], weights[1:], strict=True):
        incoming, outgoing = np.linalg.norm(into, axis=1), np.linalg.norm(out, axis=0)
        values = {
            "outgoing L1": np.abs(out).sum(0),
            "outgoing L2": outgoing,
            "incoming L2": incoming,
            "in × out": incoming * outgoing,
            "path to motors": path.sum(0),
        }
        if activity is not None:
            spread = activity[site].std.astype(np.float64)
            values["activity × outgoing"] = spread * values["outgoing L1"]
            values["activity × path"] = spread * values["path to motors"]
            values["activity"] = spread
        frames.append(pd.DataFrame({"site": site, "unit": np.arange(len(out.T)), **values}))
    return pd.concat(frames, ignore_index=True)
