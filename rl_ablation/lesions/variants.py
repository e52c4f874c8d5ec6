"""The same cuts by other methods, and in doses."""

from __future__ import annotations

from collections.abc import Sequence

from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import VARIANT, Plan


def variants(plan: Plan, kinds: Sequence[str], strength: float | None = None) -> Plan:
    """The same cuts in several kinds: under their own names in the first, as ``name~kind`` in the
    others.

    Raises:
        LabError: No kind, one twice, or an unknown one.
    """
    if not kinds or len(set(kinds)) != len(kinds):
        raise LabError(f"give one or more different kinds of cut, got {', '.join(kinds) or 'none'}")
    result = plan.with_kind(kinds[0], strength)
    for kind in kinds[1:]:
        renamed = (
            x.model_copy(update={"name": f"{x.name}{VARIANT}{kind}"}) for x in plan if x.size
        )
        result = result + Plan(renamed).with_kind(kind)
    return result


def doses(plan: Plan, gains: Sequence[float] = (0.75, 0.5, 0.25, 0.0)) -> Plan:
    """Each cut in doses: its units multiplied by falling gains, from weakened to silent."""
    return Plan(
        x.model_copy(
            update={
                "name": f"{x.name}{VARIANT}gain {gain:g}",
                "kind": "gain",
                "strength": gain,
                "group": "doses",
            }
        )
        for x in plan
        if x.size
        for gain in gains
    )
