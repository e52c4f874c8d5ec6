"""Lesions as plain data, the kinds of cut, and the masks that carry them out for many robots.

Every lesion is ``h' = scale·h + shift`` at some units of some sites, or the same of the code's
coordinates along some directions, so a whole sweep of different lesions is one batched forward
pass. Kinds that draw anew at each step get their numbers from a
counter-based stream keyed by (lesion, episode seed, step, unit): what a robot receives never
depends on which other robots run, nor on where a sweep was interrupted.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from rl_ablation.errors import LabError
from rl_ablation.files import digest
from rl_ablation.lesions.methods import KINDS
from rl_ablation.lesions.triggers import canonical
from rl_ablation.markup import shown

INTACT = "intact"
VARIANT = "~"
"""``h1/cluster-0~mean`` is the cut ``h1/cluster-0`` carried out as ``mean`` beside others."""
ARROW = "→"
"""``h0/cluster-1→h1/cluster-2`` is the cut of what the one tells the other."""

_Units = Annotated[tuple[int, ...], FailFast()]
_Direction = Annotated[tuple[float, ...], FailFast()]
_NEW = ("directions", "to", "moments", "when")
"""Fields that are not written where they are empty: what came before them keeps its digest."""
_MOST = 1 << 18
"""Numbers in the directions of a lesion at a site."""
_MOMENTS = 4096
"""Moments of a lesion at most; so many are recorded."""
_SQUARE = 1e-6
"""How far directions may be from orthonormal."""
_PARALLEL = 1e-6
"""The least of a vector's length that is at right angles to those before it."""


class Lesion(BaseModel):
    """One cut: which units, how, and when. Frozen and JSON-able.

    Until its onset a lesioned robot is the intact robot to the bit. So a cut with an onset is the
    same as one in an exact copy of a running robot, made at that step: state and past are shared.

    Attributes:
        name: Unique within a plan.
        cut: Site → unit indices; no units at all is the intact policy.
        directions: Site → orthonormal directions (K, H) in the space of its units. Along each of
            them the code is cut as if it were a unit: for ``mean``, h' = h − V·Vᵀ(h − mean); what
            is orthogonal to them stays. See `orthonormal`. Kept as float32, in files as the base64
            of their little-endian bytes, a text for each.
        to: Site → units that alone hear of the cut; all others hear the site whole. It is a cut of
            the connections from what is cut to these units, through all that lies between. None of
            them: everybody hears of it.
        moments: Which of the recorded moments of the intact robot the kind takes its values from,
            such as those in left bends; none of them takes all.
        kind: One of ``KINDS``.
        strength: Meaning by kind; None takes the kind's default.
        onset: First control step with the lesion.
        offset: First control step without it again; None never ends.
        group: What the lesion belongs to in figures, e.g. ``"clusters"``.
        when: Condition on what the world said last, e.g. ``"bend > 0.15"``; see `triggers`.
            Where it does not hold, the step is an intact one. None always holds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    cut: dict[str, _Units] = {}
    directions: dict[str, Annotated[tuple[_Direction, ...], FailFast()]] = {}
    to: dict[str, _Units] = {}
    moments: _Units = ()
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

    @field_validator("directions", mode="before")
    @classmethod
    def _unpacked(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {site: _axes_of(axes) for site, axes in given.items()}

    @model_serializer(mode="wrap")
    def _dump(
        self, standard: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        kept = {k: v for k, v in standard(self).items() if k not in _NEW or v}
        if info.mode == "json" and "directions" in kept:
            kept["directions"] = {s: [*map(_packed, x)] for s, x in self.directions.items()}
        return kept

    @model_validator(mode="after")
    def _check(self) -> Lesion:
        for text in (self.name, self.group):
            if not text.isprintable():
                raise ValueError(f"the name {text!r} has characters that cannot be printed")
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r}; choose from {', '.join(KINDS)}")
        if self.strength is not None:
            if KINDS[self.kind].default is None:
                raise ValueError(f"kind {self.kind!r} takes no strength")
            if not np.isfinite(self.strength):
                raise ValueError("strength must be finite")
        for site, units in [*self.cut.items(), *self.to.items()]:
            if len(set(units)) != len(units) or any(u < 0 for u in units):
                raise ValueError(f"{site}: unit indices must be distinct and not negative")
        if self.moments and (min(self.moments) < 0 or len(set(self.moments)) < len(self.moments)):
            raise ValueError("moments must be distinct and not negative")
        if len(self.moments) > _MOMENTS:
            raise ValueError(f"more than {_MOMENTS:,} moments")
        if self.moments and not KINDS[self.kind].needs_activity:
            raise ValueError(f"kind {self.kind!r} takes no values of moments")
        for site, axes in self.directions.items():
            _check_directions(site, axes)
        return self

    @property
    def sites(self) -> tuple[str, ...]:
        """Where it cuts: the sites of its units, then those of its directions."""
        return tuple(dict.fromkeys([*self.cut, *self.directions]))

    @property
    def size(self) -> int:
        """Units and directions cut, over all sites."""
        return sum(len(cut) for cut in (*self.cut.values(), *self.directions.values()))

    @property
    def extent(self) -> str:
        """Its size in words: ``1 unit``, ``26 units``, ``3 directions``."""
        units = sum(map(len, self.cut.values()))
        parts = ((units, "unit"), (self.size - units, "direction"))
        told = [f"{n} {what}{'s' * (n != 1)}" for n, what in parts if n or not self.directions]
        return " and ".join(told if self.directions else told[:1])

    @property
    def key(self) -> int:
        """64-bit key of the lesion's random stream; its name and group do not matter."""
        cut = {s: sorted(u) for s, u in sorted(self.cut.items()) if u}
        when = [] if self.when is None else [self.when]
        what = [cut, self.kind, self.strength, self.onset, self.offset, *when, *self.more]
        return int(digest(what)[:16], 16)

    @property
    def more(self) -> list[str]:
        """A digest of its directions, receivers and moments, if it has any."""
        to = {s: sorted(u) for s, u in sorted(self.to.items()) if u}
        axes = {s: v for s, v in sorted(self.directions.items()) if v}
        return [digest([axes, to, self.moments])] if axes or to or self.moments else []

    @property
    def manner(self) -> str:
        """How and when it is cut, in short: ``zero``, ``gain 0.5 from step 20``."""
        words = [
            self.kind,
            "" if self.strength is None else f"{self.strength:g}",
            f"of {len(self.moments)} moments" if self.moments else "",
            f"from step {self.onset}" if self.onset else "",
            "" if self.offset is None else f"until step {self.offset}",
            "" if self.when is None else f"when {self.when}",
        ]
        return " ".join(filter(None, words))

    @property
    def stratum(self) -> tuple[object, ...]:
        """What a random cut must share with this one to be its control.

        Directions have controls of their own, since these share their variance.
        """
        more: list[object] = [(s, len(units)) for s, units in self.to.items()]
        if self.moments:
            more.append(self.moments)
        if self.directions:
            more += [tuple(self.directions), self.name.partition(VARIANT)[0]]
        return tuple(self.cut), self.size, self.manner, *more

    def check(self, sites: Mapping[str, int]) -> None:
        """Raise LabError unless every site and unit exists in a policy with these sites."""
        where = f"lesion {self.name!r}:"
        for site, units in [*self.cut.items(), *self.to.items()]:
            if site not in sites:
                raise LabError(f"{where} no site {site!r}; this policy has {', '.join(sites)}")
            if units and max(units) >= sites[site]:
                raise LabError(f"{where} {site} has units 0–{sites[site] - 1}, not {max(units)}")
        for site, axes in self.directions.items():
            if site not in sites:
                raise LabError(f"{where} no site {site!r}; this policy has {', '.join(sites)}")
            if axes and len(axes[0]) != sites[site]:
                raise LabError(
                    f"{where} its directions have {len(axes[0])} numbers, and {site} has "
                    f"{sites[site]} units"
                )
        order = {site: place for place, site in enumerate(sites)}
        last = max((order[site] for site in self.sites), default=0)
        if early := [site for site, units in self.to.items() if units and order[site] <= last]:
            raise LabError(f"{where} {early[0]} does not come after what is cut, so hears nothing")


def _packed(axis: Sequence[float]) -> str:
    return base64.b64encode(np.array(axis, "<f4").tobytes()).decode()


def _axes_of(axes: Any) -> Any:
    """Directions as they are given or kept; what is none of both is left for pydantic to refuse."""
    if not isinstance(axes, Sequence) or isinstance(axes, str):
        return axes
    try:
        with np.errstate(over="ignore"):  # what is infinite is refused below
            return [
                np.frombuffer(base64.b64decode(axis, validate=True), "<f4").tolist()
                if isinstance(axis, str)
                else np.array(axis, np.float32).tolist()
                for axis in axes
            ]
    except (ValueError, TypeError, OverflowError):
        raise ValueError("directions are lists of numbers, or the base64 of float32") from None


def _check_directions(site: str, axes: tuple[tuple[float, ...], ...]) -> None:
    if not axes:
        return
    units = len(axes[0])
    if any(len(axis) != units for axis in axes) or not 0 < len(axes) <= units:
        raise ValueError(f"{site}: directions must be of one length, and no more than units")
    if len(axes) * units > _MOST:
        raise ValueError(f"{site}: directions of more than {_MOST:,} numbers")
    values = np.array(axes)
    # NaN is not close to anything.
    if not np.abs(values @ values.T - np.eye(len(axes))).max() <= _SQUARE:
        raise ValueError(f"{site}: directions must be of length 1 and at right angles")


def orthonormal(vectors: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """Directions for a `Lesion` that span the same as vectors (K, H), the first along the first.

    Raises:
        LabError: A vector is none, or hardly any, of a direction of its own.
    """
    values = np.atleast_2d(np.asarray(vectors, np.float64))
    lengths = np.linalg.norm(values, axis=1)
    if len(values) > values.shape[1] or not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise LabError("directions need vectors that are finite and not zero, no more than units")
    q, r = np.linalg.qr((values / lengths[:, None]).T)
    if np.abs(np.diag(r)).min() < _PARALLEL:
        raise LabError("directions need vectors that do not lie in the span of the others")
    axes = (q * np.sign(np.diag(r))).T
    return tuple(tuple(axis) for axis in axes.astype(np.float32).tolist())


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

    def _repr_html_(self) -> str:
        rows = [
            {"cut": x.name, "units": x.size, "of": _places(x), "how": x.manner, "group": x.group}
            for x in self
            if x.size
        ]
        count = f"of {len(rows)} cut{'s' * (len(rows) != 1)}, each beside the intact policy"
        return shown("Plan", count, rows)

    def with_kind(self, kind: str, strength: float | None = None) -> Plan:
        """The same cuts in another way; a LabError if the kind or its strength does not exist."""
        how = {"kind": kind, "strength": strength}
        try:
            return Plan(Lesion(**{**dict(x), **how}) for x in self.lesions if x.size)
        except ValidationError as error:
            raise LabError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def _places(lesion: Lesion, most: int = 8) -> str:
    """The units that are cut, such as ``h0: 1, 2; action: 0``, and who hears of it."""
    places = [*_listed(lesion.cut, most)]
    for site, axes in lesion.directions.items():
        places.append(f"{site}: {len(axes)} direction{'s' * (len(axes) != 1)}")
    heard = "; ".join(_listed(lesion.to, most))
    return "; ".join(places) + (f" → {heard}" if heard else "")


def _listed(cut: Mapping[str, Sequence[int]], most: int) -> list[str]:
    return [
        f"{site}: {', '.join(map(str, units[:most]))}{', …' * (len(units) > most)}"
        for site, units in cut.items()
        if units
    ]


def summary(names: Sequence[str], most: int = 12) -> str:
    """Names for an error message, cut short."""
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")
