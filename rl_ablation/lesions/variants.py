"""The same cuts by other methods, and in doses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import VARIANT, Lesion, Plan


def variants(plan: Plan, kinds: Sequence[str], strength: float | None = None) -> Plan:
    """The same cuts in several kinds: under their own names in the first, else as ``name~kind``.

    No kind, one twice, or an unknown one is a LabError.
    """
    if not kinds or len(set(kinds)) != len(kinds):
        raise LabError(f"give one or more different kinds of cut, got {', '.join(kinds) or 'none'}")
    result = plan.with_kind(kinds[0], strength)
    for kind in kinds[1:]:
        result += Plan(_variant(x, kind) for x in plan if x.size).with_kind(kind)
    return result


def doses(plan: Plan, gains: Sequence[float] = (0.75, 0.5, 0.25, 0.0)) -> Plan:
    """Each cut in doses: its units multiplied by falling gains, from weakened to silent."""
    return Plan(
        _variant(x, f"gain {gain:g}", kind="gain", strength=gain, group="doses")
        for x in plan
        if x.size
        for gain in gains
    )


def _variant(cut: Lesion, name: str, **changed: Any) -> Lesion:
    return cut.model_copy(update={"name": f"{cut.name}{VARIANT}{name}", **changed})
