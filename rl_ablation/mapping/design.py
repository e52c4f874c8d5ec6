"""How a map is made: its design, and how it is carried out. Typed options become these values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from rl_ablation import limits
from rl_ablation.errors import LabError
from rl_ablation.rollouts.episodes import Episodes

Value = TypeVar("Value")


@dataclass(frozen=True)
class MapDesign:
    """What surrounds the confirmed episodes of a map; those are `Episodes`.

    Attributes:
        discovery: Episodes of each cut in the discovery; adaptive maps take 6, or one a condition.
        controls: Random cuts of the size and layer of a confirmed group, at most; 0 draws none.
        kinds: How to cut. The first is that of the discovery and of random cuts; all confirm on
            the same episodes. Found is what holds under all that keep units within their range
            (mean, resample, conditional), or under all if there is none of these; by default
            resample, mean and zero. Zero alone is the published protocol.
        strength: Of the cut: noise in units of the unit's s.d., clamp's value, gain's factor; by
            default the kind's own.
        adaptive: Episodes are spent where they decide: one for a cut that changes no action, few
            in the discovery, and half of them to confirm a large effect of one kind; otherwise all
            cuts get the same. All looking is done on the discovery's seeds, so it cannot raise the
            error rates of the confirmation.
    """

    discovery: int = 12
    controls: int = 100
    kinds: tuple[str, ...] | None = None
    strength: float | None = None
    adaptive: bool = True

    def __post_init__(self) -> None:
        if self.kinds is not None:
            object.__setattr__(self, "kinds", tuple(self.kinds))
        limits.check_range("discovery", self.discovery, 1, limits.EPISODES)
        limits.check_range("controls", self.controls, 0, limits.DRAWS)
        if self.strength is not None and not abs(self.strength) <= limits.STRENGTH:
            most = f"finite and within ±{limits.STRENGTH:,.0f}"
            raise LabError(f"strength must be {most}, got {self.strength:g}")
        if self.strength is not None and len(self.kinds or ()) > 1:
            raise LabError(
                f"a strength belongs to one kind of cut, not to {', '.join(self.kinds or ())}"
            )


@dataclass(frozen=True)
class Execution:
    """Where and how a run is carried out; it never changes a number.

    Attributes:
        folder: Run folder; by default runs/AGENT-DIGEST.
        threads: C threads of the physics; by default every CPU.
        scheduler: Have the workers of a dask scheduler do the work: its address,
            tcp://HOST:8786, or local:N for N processes of this machine; in Python also a Client.
        progress: Say beforehand what a map comes to, and show progress bars when standard error is
            a terminal.
    """

    folder: Path | None = None
    threads: int | None = None
    scheduler: str | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        if self.folder is not None:
            object.__setattr__(self, "folder", Path(self.folder))
        if self.threads is not None:
            limits.check_range("threads", self.threads, 1, limits.THREADS)


@dataclass(frozen=True)
class Aim:
    """What a map shall be able to find.

    Attributes:
        effect: Change to be found, in standard deviations of the intact robot's episodes.
        power: Chance to find it.
        level: Family-wise error rate over all cuts × behaviours.
        pilot: Cuts to try, spread evenly over the plan.
    """

    effect: float = 1.0
    power: float = 0.8
    level: float = 0.05
    pilot: int = 24

    def __post_init__(self) -> None:
        if not 0 < self.effect <= limits.EFFECT:
            most = f"at most {limits.EFFECT:,}"
            raise LabError(f"the effect must be more than 0 and {most}, got {self.effect:g}")
        if not 0 < self.power < 1 or not 0 < self.level < 1:
            found = f"{self.power:g} and {self.level:g}"
            raise LabError(f"power and level lie between 0 and 1, got {found}")
        limits.check_range("pilot", self.pilot, 1, limits.DRAWS)


class Fields(TypedDict, total=False):
    """Fields of `Episodes` and of the values here by name, for people who type."""

    seed: int
    conditions: Sequence[str] | None
    horizon: int | None
    discovery: int
    controls: int
    kinds: Sequence[str] | None
    strength: float | None
    adaptive: bool
    folder: str | Path | None
    threads: int | None
    scheduler: Any
    progress: bool
    effect: float
    power: float
    level: float
    pilot: int


def typed(value: Value, given: Mapping[str, Any]) -> Value:
    """A value with those of the given fields that it has."""
    own = {f.name for f in fields(value)}  # type: ignore[arg-type]
    return replace(value, **{k: v for k, v in given.items() if k in own})  # type: ignore[type-var]


def as_episodes(asked: Episodes | int, given: Mapping[str, Any]) -> Episodes:
    """Episodes of a number or a value, with the given fields."""
    return typed(asked if isinstance(asked, Episodes) else Episodes(asked), given)


def only(given: Mapping[str, Any], *values: type) -> None:
    """Refuse fields that none of these values has.

    Raises:
        TypeError: As for any unknown argument.
    """
    known = {f.name for value in values for f in fields(value)}
    for name in given:
        if name not in known:
            raise TypeError(f"unexpected argument {name!r}; there are {', '.join(sorted(known))}")
