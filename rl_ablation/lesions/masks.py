"""Masks: the lesions of many robots as scale and shift of every site at every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rl_ablation import limits
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion
from rl_ablation.lesions.methods import DRAWS, KINDS, Kind, SiteStats
from rl_ablation.lesions.streams import mix
from rl_ablation.lesions.visited import Visited
from rl_ablation.policies.cuts import Along, Cuts, project

Moments = tuple[int, ...]
"""Which of the recorded moments values are of; none is all."""


class Masks:
    """The lesions of N robots, as (scale, shift) for every site at every step.

    Lesions and episode seeds are those of each row, ``sites`` the policy's. A LabError says if a
    lesion does not fit the policy, or if its kind needs activity that is not there.
    """

    def __init__(
        self,
        lesions: Sequence[Lesion],
        seeds: Sequence[int],
        sites: Mapping[str, int],
        activity: Mapping[str, SiteStats] | None = None,
    ) -> None:
        rows = len(lesions)
        never = np.iinfo(np.int64).max
        self._onset = np.array([x.onset for x in lesions])
        self._offset = np.array([never if x.offset is None else x.offset for x in lesions])
        self._timed = bool((self._onset > 0).any() or (self._offset < never).any())
        keys = np.zeros(rows, np.uint64)
        # A sweep has each lesion in many rows; work out its mask once.
        made: dict[int, list[int]] = {}
        for row, lesion in enumerate(lesions):
            made.setdefault(id(lesion), []).append(row)
        known = _Known(activity or {}, sites)
        wide, narrow = _Pass(rows, known), _Pass(rows, known)
        self._receivers: dict[str, np.ndarray] = {}
        for where in made.values():
            lesion = lesions[where[0]]
            lesion.check(sites)
            keys[where] = lesion.key
            heard = {site: units for site, units in lesion.to.items() if units}
            (narrow if heard else wide).add(lesion, where)
            for site, units in heard.items():
                blank = np.zeros((rows, sites[site]), bool)
                self._receivers.setdefault(site, blank)[np.ix_(where, list(units))] = True
        self._wide, self._narrow = wide, narrow if self._receivers else None
        self._keys = mix(keys ^ mix(np.array([s & (2**64 - 1) for s in seeds], np.uint64)))

    @property
    def looks(self) -> bool:
        """Whether `at` has to be given what the robots see."""
        return self._wide.looks or (self._narrow is not None and self._narrow.looks)

    def at(
        self,
        step: int,
        rows: np.ndarray,
        off: np.ndarray | None = None,
        seen: np.ndarray | None = None,
    ) -> Cuts:
        """The masks of ``rows`` (n,) at a control step: site → (scale (n, H), shift (n, H)), and
        what is cut along directions, or for some units only.

        ``seen`` are their observations after normalisation, (n, D), for masks that `looks`. The
        masks are for reading: where nothing is drawn, they are the same arrays at every step. Rows
        that are ``off``, (n,) bool, are intact in this step, whatever their lesion says.
        """
        if self._timed:
            out_of_time = (step < self._onset[rows]) | (step >= self._offset[rows])
            off = out_of_time if off is None else off | out_of_time
        now = mix(self._keys[rows] ^ mix(np.array([step], np.uint64)))
        every = np.array_equal(rows, np.arange(len(self._keys)))
        cuts = self._wide.at(now, rows, every, off, seen)
        if self._narrow is not None:
            cuts.heard = self._narrow.at(now, rows, every, off, seen)
            cuts.receivers = {site: to[rows] for site, to in self._receivers.items()}
        return cuts


class _Known:
    """What is known of the intact policy's sites, of all moments or of some."""

    def __init__(self, activity: Mapping[str, SiteStats], sites: Mapping[str, int]) -> None:
        self._activity, self.sites = activity, sites
        self._some: dict[tuple[str, Moments], SiteStats] = {}
        self._visited: dict[Moments, Visited] = {}

    def of(self, site: str, moments: Moments = ()) -> SiteStats:
        """Statistics of a site; zeros where nothing was recorded."""
        if site not in self._activity:
            return SiteStats(np.zeros((1, self.sites[site]), np.float32))
        if not moments:
            return self._activity[site]
        if (site, moments) not in self._some:
            whole = self._activity[site]
            if max(moments) >= (have := len(whole.samples)):
                raise LabError(f"moment {max(moments)} was not recorded; there are 0–{have - 1}")
            self._some[site, moments] = whole.at(moments)
        return self._some[site, moments]

    def check(self, lesion: Lesion, site: str) -> None:
        """Raise a LabError if the lesion's kind needs activity that is not there."""
        if KINDS[lesion.kind].needs_activity and site not in self._activity:
            raise LabError(
                f"lesion {lesion.name!r}: kind {lesion.kind!r} needs recorded activity of {site!r}"
            )

    def visited(self, moments: Moments) -> Visited:
        """The moments, to be found again by what the robot sees."""
        if moments not in self._visited:
            if "obs" not in self._activity:
                raise LabError("a cut that draws moments like the present one needs those of obs")
            self._visited[moments] = Visited(self.of("obs", moments))
        return self._visited[moments]


_Draw = tuple[str, str, Moments]
"""Site, draw mode, and moments that a draw is of."""


class _Pass:
    """What is cut in one pass through the network."""

    def __init__(self, rows: int, known: _Known) -> None:
        self._rows, self._known = rows, known
        self._scale: dict[str, np.ndarray] = {}
        self._shift: dict[str, np.ndarray] = {}
        self._cut: dict[str, np.ndarray] = {}
        self._draws: dict[_Draw, np.ndarray] = {}  # → rows that do
        self._along: dict[str, _Directions] = {}
        self.looks = False

    def add(self, lesion: Lesion, rows: list[int]) -> None:
        """Cut a lesion in some rows."""
        for site, units in lesion.cut.items():
            if units:
                self._set(site, list(units), lesion, rows)
        for site, axes in lesion.directions.items():
            if axes:
                self._turn(site, np.array(axes), lesion, rows)

    def _made(self, lesion: Lesion, site: str, stats: SiteStats) -> tuple[np.ndarray, np.ndarray]:
        self._known.check(lesion, site)
        kind = KINDS[lesion.kind]
        strength = kind.default if lesion.strength is None else lesion.strength
        scale, shift = kind.make(0.0 if strength is None else strength, stats)
        full = np.zeros(stats.samples.shape[1], np.float32)
        return full + scale, full + shift

    def _set(self, site: str, units: list[int], lesion: Lesion, rows: list[int]) -> None:
        size = self._known.sites[site]
        if site not in self._scale:
            self._scale[site] = np.ones((self._rows, size), np.float32)
            self._shift[site] = np.zeros((self._rows, size), np.float32)
            self._cut[site] = np.zeros((self._rows, size), bool)
        scale, shift = self._made(lesion, site, self._known.of(site, lesion.moments))
        where = np.ix_(rows, units)
        self._scale[site][where] = scale[units]
        self._shift[site][where] = shift[units]
        self._cut[site][where] = True
        self._drawing(self._draws, site, lesion, rows)

    def _turn(self, site: str, axes: np.ndarray, lesion: Lesion, rows: list[int]) -> None:
        along = self._along.setdefault(site, _Directions(self._rows))
        stats = self._known.of(site, lesion.moments).along(axes)
        along.add(axes, *self._made(lesion, site, stats), rows)
        self._drawing(along.draws, site, lesion, rows)

    def _drawing(
        self, draws: dict[_Draw, np.ndarray], site: str, lesion: Lesion, rows: list[int]
    ) -> None:
        kind: Kind = KINDS[lesion.kind]
        if kind.draws is None:
            return
        place = (site, kind.draws, lesion.moments)
        draws.setdefault(place, np.zeros(self._rows, bool))[rows] = True
        if DRAWS[kind.draws].alike:
            self._known.visited(lesion.moments)  # says in time if it cannot be
            self.looks = True

    def at(
        self,
        now: np.ndarray,
        rows: np.ndarray,
        every: bool,
        off: np.ndarray | None,
        seen: np.ndarray | None,
    ) -> Cuts:
        """The masks of some rows, with ``now`` the keys of their streams at this step."""
        cuts = Cuts()
        for site in self._scale:
            scale, shift = self._scale[site], self._shift[site]
            if off is not None or not every:
                scale, shift = scale[rows], shift[rows]
            elif any(where == site for where, *_ in self._draws):
                shift = shift.copy()
            for here, _, drawn in self._drawn(self._draws, site, now, rows, shift, seen):
                shift[here] = np.where(self._cut[site][rows[here]], drawn, 0.0)
            if off is not None:
                scale[off], shift[off] = 1.0, 0.0
            cuts[site] = (scale, shift)
        for site, turned in self._along.items():
            along = turned.at(rows)
            for here, mode, drawn in self._drawn(turned.draws, site, now, rows, along.shift, seen):
                values = DRAWS[mode].values
                along.shift[here] = turned.coordinates(rows[here], drawn) if values else drawn
            if off is not None:
                along.which[off] = -1
            cuts.along[site] = along
        return cuts

    def _drawn(
        self,
        draws: Mapping[_Draw, np.ndarray],
        site: str,
        now: np.ndarray,
        rows: np.ndarray,
        shift: np.ndarray,
        seen: np.ndarray | None,
    ) -> list[tuple[np.ndarray, str, np.ndarray]]:
        """What is drawn at a site: which of the rows (m,), by which mode, and what they get."""
        found = []
        for (where, mode, moments), drawing in draws.items():
            if where != site or not (here := np.flatnonzero(drawing[rows])).size:
                continue
            more: tuple[np.ndarray, ...] = ()
            if DRAWS[mode].alike:
                assert seen is not None, "this mask looks at what the robots see"
                more = (self._known.visited(moments).alike(seen[here]),)
            stats = self._known.of(site, moments)
            drawn = DRAWS[mode].function(now[here], site, shift[here], stats, *more)
            found.append((here, mode, drawn))
        return found


class _Directions:
    """What is cut along directions at a site, by lesion and row."""

    def __init__(self, rows: int) -> None:
        self._axes: list[np.ndarray] = []
        self._scale: list[np.ndarray] = []
        self._shift: list[np.ndarray] = []
        self._which = np.full(rows, -1)
        self._stacked: Along | None = None
        self.draws: dict[_Draw, np.ndarray] = {}

    def add(self, axes: np.ndarray, scale: np.ndarray, shift: np.ndarray, rows: list[int]) -> None:
        """Directions (K, H) of a lesion, with scale and shift along each, (K,)."""
        self._which[rows] = len(self._axes)
        self._axes.append(axes)
        self._scale.append(scale.astype(np.float64))
        self._shift.append(shift.astype(np.float64))

    def at(self, rows: np.ndarray) -> Along:
        """Those of some rows."""
        if self._stacked is None:
            most = max(len(axes) for axes in self._axes)
            units = self._axes[0].shape[1]
            limits.check_memory(
                f"{len(self._axes):,} cuts along up to {most:,} directions",
                2 * 8 * len(self._axes) * most * units, "cuts along fewer directions",
            )  # fmt: skip
            axes = np.stack([_longer(x, most, 0.0) for x in self._axes])
            scale = np.stack([_longer(x, most, 1.0) for x in self._scale])
            shift = np.stack([_longer(x, most, 0.0) for x in self._shift])
            self._stacked = Along(axes, self._which, scale, shift)
        axes, which, scale, shift = self._stacked
        mine = which[rows]
        return Along(axes, mine, scale[mine], shift[mine])

    def coordinates(self, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
        """The coordinates (m, K) of values (m, H) along the directions of rows (m,)."""
        assert self._stacked is not None
        axes = self._stacked.axes[self._which[rows]]
        return project(values[:, None, :], axes)


def _longer(values: np.ndarray, most: int, fill: float) -> np.ndarray:
    """Values (K, …) with rows of ``fill`` behind them, (most, …)."""
    more = np.full((most - len(values), *values.shape[1:]), fill)
    return np.concatenate([values, more])
