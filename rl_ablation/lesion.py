"""Lesions as plain data, the kinds of cut, and the masks that carry them out for many robots.

Every lesion is ``h' = scale·h + shift`` at some units of some sites, so a whole sweep of different
lesions is one batched forward pass. Kinds that draw anew at each step get their numbers from a
counter-based stream keyed by (lesion, episode seed, step, unit): what a robot receives never
depends on which other robots run, nor on where a sweep was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from rl_ablation.errors import LabError
from rl_ablation.gate import canonical
from rl_ablation.policy import digest

INTACT = "intact"
VARIANT = "~"
"""``h1/cluster-0~mean`` is the cut ``h1/cluster-0`` carried out as ``mean`` beside others."""


@dataclass(frozen=True, eq=False)
class SiteStats:
    """What a site does in the intact policy: values visited, (S, H) float32, evenly sampled."""

    samples: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean of each unit, (H,)."""
        return self.samples.mean(0, dtype=np.float64).astype(np.float32)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation of each unit, (H,)."""
        return self.samples.std(0, dtype=np.float64).astype(np.float32)


@dataclass(frozen=True)
class Kind:
    """A way to silence or disturb a unit.

    Attributes:
        make: (strength, intact statistics) -> (scale, shift), each a number or (H,).
        doc: One line for help texts.
        default: Strength when a lesion gives none; None if the kind takes no strength.
        draws: ``"sample"`` adds the site's values at another visited moment, the same moment for
            all cut units; ``"normal"`` adds ``shift`` times a standard normal number per unit.
        needs_activity: Whether ``make`` reads the statistics.
    """

    make: Callable[[float, SiteStats], tuple[float | np.ndarray, float | np.ndarray]]
    doc: str
    default: float | None = None
    draws: Literal["sample", "normal"] | None = None
    needs_activity: bool = False


KINDS: dict[str, Kind] = {
    "zero": Kind(lambda _, stats: (0.0, 0.0), "output 0 (Morcos et al. 2018); for tanh mid-range"),
    "mean": Kind(
        lambda _, stats: (0.0, stats.mean),
        "the unit's mean in the intact policy",
        needs_activity=True,
    ),
    "resample": Kind(
        lambda _, stats: (0.0, 0.0),
        "the units' joint values at a random other moment",
        draws="sample",
        needs_activity=True,
    ),
    "noise": Kind(
        lambda s, stats: (1.0, s * stats.std),
        "normal noise of strength × the unit's s.d. added",
        default=1.0,
        draws="normal",
        needs_activity=True,
    ),
    "clamp": Kind(lambda s, stats: (0.0, s), "held at the value given as strength", default=1.0),
    "gain": Kind(lambda s, stats: (s, 0.0), "multiplied by the strength; 1 is intact", default=0.5),
}


class Lesion(BaseModel):
    """One cut: which units, how, and when. Frozen and JSON-able.

    Until its onset a lesioned robot is the intact robot to the bit. So a cut with an onset is the
    same as one in an exact copy of a running robot, made at that step: state and past are shared.

    Attributes:
        name: Unique within a plan.
        cut: Site → unit indices; no units at all is the intact policy.
        kind: One of ``KINDS``.
        strength: Meaning by kind; None takes the kind's default.
        onset: First control step with the lesion.
        offset: First control step without it again; None never ends.
        group: What the lesion belongs to in figures, e.g. ``"clusters"``.
        when: Condition on what the world said last, e.g. ``"bend > 0.15"``; see `rl_ablation.gate`.
            Where it does not hold, the step is an intact one. None always holds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    cut: dict[str, tuple[int, ...]] = {}
    kind: str = "zero"
    strength: float | None = None
    onset: int = Field(default=0, ge=0)
    offset: int | None = Field(default=None, ge=0)
    group: str = ""
    when: str | None = None

    @field_validator("when")
    @classmethod
    def _one_spelling(cls, when: str | None) -> str | None:
        return None if when is None else canonical(when)

    @model_serializer(mode="wrap")
    def _dump(self, standard: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # No condition is not written: runs from before there were any keep their digests.
        return {k: v for k, v in standard(self).items() if k != "when" or v is not None}

    @model_validator(mode="after")
    def _check(self) -> Lesion:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r}; choose from {', '.join(KINDS)}")
        if self.strength is not None:
            if KINDS[self.kind].default is None:
                raise ValueError(f"kind {self.kind!r} takes no strength")
            if not np.isfinite(self.strength):
                raise ValueError("strength must be finite")
        for site, units in self.cut.items():
            if len(set(units)) != len(units) or any(u < 0 for u in units):
                raise ValueError(f"{site}: unit indices must be distinct and not negative")
        return self

    @property
    def size(self) -> int:
        """Units cut, over all sites."""
        return sum(len(units) for units in self.cut.values())

    @property
    def key(self) -> int:
        """64-bit key of the lesion's random stream; its name and group do not matter."""
        cut = {s: sorted(u) for s, u in sorted(self.cut.items()) if u}
        what = [cut, self.kind, self.strength, self.onset, self.offset]
        if self.when is not None:
            what.append(self.when)
        return int(digest(what)[:16], 16)

    @property
    def manner(self) -> str:
        """How and when it is cut, in short: ``zero``, ``gain 0.5 from step 20``."""
        words = [self.kind]
        if self.strength is not None:
            words.append(f"{self.strength:g}")
        if self.onset:
            words.append(f"from step {self.onset}")
        if self.offset is not None:
            words.append(f"until step {self.offset}")
        if self.when is not None:
            words.append(f"when {self.when}")
        return " ".join(words)

    @property
    def place(self) -> tuple[object, ...]:
        """What a random cut must share with this one to be its control."""
        return tuple(self.cut), self.size, self.manner

    def check(self, sites: Mapping[str, int]) -> None:
        """Raise LabError unless every site and unit exists in a policy with these sites."""
        for site, units in self.cut.items():
            if site not in sites:
                raise LabError(
                    f"lesion {self.name!r}: no site {site!r}; this policy has {', '.join(sites)}"
                )
            if units and max(units) >= sites[site]:
                raise LabError(
                    f"lesion {self.name!r}: {site} has units 0–{sites[site] - 1}, not {max(units)}"
                )


@dataclass(frozen=True)
class Plan:
    """An ordered list of lesions with distinct names; the first is always the intact policy.

    Plans add up: ``singles(agent) + layers(agent)``.
    """

    lesions: tuple[Lesion, ...]

    def __init__(self, lesions: Iterable[Lesion] = ()) -> None:
        kept = {INTACT: Lesion(name=INTACT)}
        for lesion in lesions:
            before = kept.setdefault(lesion.name, lesion)
            if before.key != lesion.key:
                raise LabError(f"two different lesions are named {lesion.name!r}; rename one")
        object.__setattr__(self, "lesions", tuple(kept.values()))

    def __add__(self, other: Plan) -> Plan:
        return Plan((*self.lesions, *other.lesions))

    def __len__(self) -> int:
        return len(self.lesions)

    def __iter__(self) -> Iterator[Lesion]:
        return iter(self.lesions)

    def __getitem__(self, name: str) -> Lesion:
        for lesion in self.lesions:
            if lesion.name == name:
                return lesion
        raise LabError(f"no lesion {name!r} in this plan; it has {summary(self.names)}")

    @property
    def names(self) -> list[str]:
        """Names in order."""
        return [lesion.name for lesion in self.lesions]

    def with_kind(self, kind: str, strength: float | None = None) -> Plan:
        """The same cuts carried out in another way.

        Raises:
            LabError: There is no such kind, or it takes no such strength.
        """
        try:
            return Plan(
                Lesion(**{**dict(x), "kind": kind, "strength": strength})
                for x in self.lesions
                if x.size
            )
        except ValidationError as error:
            raise LabError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def variants(plan: Plan, kinds: Sequence[str]) -> Plan:
    """The same cuts in several kinds: under their own names in the first, as ``name~kind`` in the
    others.

    Raises:
        LabError: No kind, one twice, or an unknown one.
    """
    if not kinds or len(set(kinds)) != len(kinds):
        raise LabError(f"give one or more different kinds of cut, got {', '.join(kinds) or 'none'}")
    result = plan.with_kind(kinds[0])
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


def summary(names: Sequence[str], most: int = 12) -> str:
    """Names for an error message, cut short."""
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")


# Counter-based random numbers (SplitMix64's finaliser; Steele, Lea, Flood 2014): numpy's own
# generators cannot draw one number for each of many keys at once.


def mix(x: np.ndarray) -> np.ndarray:
    """Scramble uint64 values, elementwise."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def uniforms(keys: np.ndarray) -> np.ndarray:
    """Uniform numbers in (0, 1), one for each uint64 key."""
    return ((mix(keys) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normals(keys: np.ndarray) -> np.ndarray:
    """Standard normal numbers, one for each uint64 key (Box & Muller 1958)."""
    with np.errstate(over="ignore"):
        angle = uniforms(mix(keys) ^ np.uint64(0xD1B54A32D192ED03))
    return np.sqrt(-2.0 * np.log(uniforms(keys))) * np.cos(2 * np.pi * angle)


class Masks:
    """The lesions of N robots, as (scale, shift) for every site at every step.

    Args:
        lesions: The lesion of each row.
        seeds: The episode seed of each row.
        sites: Units of each site of the policy.
        activity: Site → what the intact policy does there; needed by kinds that read it.

    Raises:
        LabError: A lesion does not fit the policy, or its kind needs activity that is not there.
    """

    def __init__(
        self,
        lesions: Sequence[Lesion],
        seeds: Sequence[int],
        sites: Mapping[str, int],
        activity: Mapping[str, SiteStats] | None = None,
    ) -> None:
        rows = len(lesions)
        self._stats = dict(activity or {})
        self._sites = {s: n for s, n in sites.items() if any(x.cut.get(s) for x in lesions)}
        self._scale = {s: np.ones((rows, n), np.float32) for s, n in self._sites.items()}
        self._shift = {s: np.zeros((rows, n), np.float32) for s, n in self._sites.items()}
        self._cut = {s: np.zeros((rows, n), bool) for s, n in self._sites.items()}
        self._draws = {s: np.full(rows, "", dtype="<U6") for s in self._sites}
        self._onset = np.array([x.onset for x in lesions])
        self._offset = np.array(
            [np.iinfo(np.int64).max if x.offset is None else x.offset for x in lesions]
        )
        self._timed = bool((self._onset > 0).any() or any(x.offset is not None for x in lesions))
        keys = np.zeros(rows, np.uint64)
        # A sweep has each lesion in many rows; work out its mask once.
        made: dict[int, list[int]] = {}
        for row, lesion in enumerate(lesions):
            made.setdefault(id(lesion), []).append(row)
        for where in made.values():
            lesion = lesions[where[0]]
            lesion.check(sites)
            keys[where] = lesion.key
            for site, units in lesion.cut.items():
                if units:
                    self._set(site, list(units), lesion, where)
        self._keys = mix(keys ^ mix(np.array([s & (2**64 - 1) for s in seeds], np.uint64)))

    def _set(self, site: str, units: list[int], lesion: Lesion, rows: list[int]) -> None:
        kind = KINDS[lesion.kind]
        if kind.needs_activity and site not in self._stats:
            raise LabError(
                f"lesion {lesion.name!r}: kind {lesion.kind!r} needs recorded activity of {site!r}"
            )
        stats = self._stats.get(site, SiteStats(np.zeros((1, self._sites[site]), np.float32)))
        strength = lesion.strength if lesion.strength is not None else kind.default
        scale, shift = kind.make(strength if strength is not None else 0.0, stats)
        full = np.zeros(self._sites[site], np.float32)
        where = np.ix_(rows, units)
        self._scale[site][where] = (full + scale)[units]
        self._shift[site][where] = (full + shift)[units]
        self._cut[site][where] = True
        self._draws[site][rows] = kind.draws or ""

    def at(
        self, step: int, rows: np.ndarray, off: np.ndarray | None = None
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The masks of ``rows`` (n,) at a control step: site → (scale (n, H), shift (n, H)).

        Args:
            step: The step.
            rows: The rows.
            off: Which of them are intact in this step, whatever their lesion says, (n,) bool.
        """
        if self._timed:
            out_of_time = (step < self._onset[rows]) | (step >= self._offset[rows])
            off = out_of_time if off is None else off | out_of_time
        masks = {}
        for site in self._sites:
            scale, shift = self._scale[site][rows], self._shift[site][rows]
            self._draw(site, step, rows, shift)
            if off is not None:
                scale[off], shift[off] = 1.0, 0.0
            masks[site] = (scale, shift)
        return masks

    def _draw(self, site: str, step: int, rows: np.ndarray, shift: np.ndarray) -> None:
        kinds = self._draws[site][rows]
        now = mix(self._keys[rows] ^ mix(np.array([step], np.uint64)))
        if (here := np.flatnonzero(kinds == "sample")).size:
            samples = self._stats[site].samples
            moment = (uniforms(now[here]) * len(samples)).astype(np.int64)
            shift[here] = np.where(self._cut[site][rows[here]], samples[moment], 0.0)
        if (here := np.flatnonzero(kinds == "normal")).size:
            unit = np.arange(shift.shape[1], dtype=np.uint64)
            # The site's name keeps equal units of two sites from sharing their noise.
            place = np.uint64(int(digest(site)[:16], 16))
            shift[here] *= normals(mix(now[here, None] ^ mix(unit ^ place))).astype(np.float32)
