"""The registered groupings, and plans made from words like ``"layers,clusters:6,random:100"``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from rl_ablation.errors import LabError
from rl_ablation.formats import whole
from rl_ablation.groupings.controls import RANDOM, random_groups
from rl_ablation.lesions.lesion import Plan

if TYPE_CHECKING:  # help lists the groupings, and should not wait for torch
    from rl_ablation.policies.policy import Policy
    from rl_ablation.rollouts.activity import Activity

Function = TypeVar("Function", bound=Callable[..., Plan])

RANDOM_DRAWS = 100


@dataclass(frozen=True)
class Grouping:
    """A registered grouping, named as in ``--groups``.

    Its function is ``(policy) -> Plan``; ``(policy, number) -> Plan`` if it takes a number, as in
    ``clusters:6``, of which ``number`` is a usual one. Without it the function's own default holds.
    With an argument ``activity`` it is given the recorded intact activity.
    """

    name: str
    function: Callable[..., Plan]
    doc: str
    number: int | None = None

    @property
    def usage(self) -> str:
        """How it is written, and what it divides into."""
        return self.doc if self.number is None else f"{self.name}:{self.number}, {self.doc}"

    def __call__(self, agent: Policy, number: int | None, activity: Activity | None) -> Plan:
        """Make the plan; LabError where it takes no number, or not this one."""
        if self.number is None and number is not None:
            raise LabError(f"grouping {self.name!r} takes no number; write {self.name}")
        numbers = () if number is None else (number,)
        takes = inspect.signature(self.function).parameters
        given = {"activity": activity} if "activity" in takes else {}
        return self.function(agent, *numbers, **given)


GROUPINGS: dict[str, Grouping] = {}


def grouping(doc: str, *, number: int | None = None) -> Callable[[Function], Function]:
    """Register a function as the grouping of its name; see `Grouping`."""

    def register(function: Function) -> Function:
        name = function.__name__
        if name in GROUPINGS or name == RANDOM:
            raise ValueError(f"a grouping named {name!r} exists already")
        GROUPINGS[name] = Grouping(name, function, doc, number)
        return function

    return register


def usages() -> dict[str, str]:
    """Every word that `parse_groups` knows, and what it means."""
    known = {name: known.usage for name, known in GROUPINGS.items()}
    return {**known, RANDOM: f"random:{RANDOM_DRAWS}, random cuts of the sizes of the other groups"}


def parse_groups(
    text: str | Iterable[str], agent: Policy, activity: Activity | None = None, seed: int = 0
) -> Plan:
    """Make a plan from words like ``"layers,clusters:6,random:100"``; others raise LabError."""
    words = [w.strip() for w in text.split(",")] if isinstance(text, str) else list(text)
    plan, draws = Plan(), None
    for word in words:
        name, colon, number = word.partition(":")
        try:
            count = whole(number) if colon else None
        except ValueError:
            how = f"after the colon comes a whole number, as in {name}:6"
            raise LabError(f"grouping {word!r}: {how}") from None
        if name == RANDOM:
            draws = RANDOM_DRAWS if count is None else count
        elif name in GROUPINGS:
            plan = plan + GROUPINGS[name](agent, count, activity)
        else:
            raise LabError(f"unknown grouping {name!r}; choose from {', '.join(usages())}")
    return (
        plan if draws is None else plan + random_groups(agent, plan, draws, seed, activity=activity)
    )
