"""Masks: the lesions of many robots as scale and shift of every site at every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion
from rl_ablation.lesions.methods import DRAWS, KINDS, SiteStats
from rl_ablation.lesions.streams import mix
from rl_ablation.lesions.visited import Visited


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
        self._stats = dict(activity or {})
        self._sites = {s: n for s, n in sites.items() if any(x.cut.get(s) for x in lesions)}
        self._scale = {s: np.ones((rows, n), np.float32) for s, n in self._sites.items()}
        self._shift = {s: np.zeros((rows, n), np.float32) for s, n in self._sites.items()}
        self._cut = {s: np.zeros((rows, n), bool) for s, n in self._sites.items()}
        self._draws: dict[tuple[str, str], np.ndarray] = {}  # (site, draw mode) → rows that do
        never = np.iinfo(np.int64).max
        self._onset = np.array([x.onset for x in lesions])
        self._offset = np.array([never if x.offset is None else x.offset for x in lesions])
        self._timed = bool((self._onset > 0).any() or (self._offset < never).any())
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
        self._visited: Visited | None = None
        if any(DRAWS[mode].alike for _, mode in self._draws):
            if "obs" not in self._stats:
                raise LabError("a cut that draws moments like the present one needs those of obs")
            self._visited = Visited(self._stats["obs"])
        self._keys = mix(keys ^ mix(np.array([s & (2**64 - 1) for s in seeds], np.uint64)))

    def _set(self, site: str, units: list[int], lesion: Lesion, rows: list[int]) -> None:
        kind = KINDS[lesion.kind]
        if kind.needs_activity and site not in self._stats:
            raise LabError(
                f"lesion {lesion.name!r}: kind {lesion.kind!r} needs recorded activity of {site!r}"
            )
        strength = kind.default if lesion.strength is None else lesion.strength
        scale, shift = kind.make(0.0 if strength is None else strength, self._known(site))
        full = np.zeros(self._sites[site], np.float32)
        where = np.ix_(rows, units)
        self._scale[site][where] = (full + scale)[units]
        self._shift[site][where] = (full + shift)[units]
        self._cut[site][where] = True
        if kind.draws is not None:
            drawing = np.zeros(len(self._onset), bool)
            self._draws.setdefault((site, kind.draws), drawing)[rows] = True

    def _known(self, site: str) -> SiteStats:
        silent = np.zeros((1, self._sites[site]), np.float32)
        return self._stats.get(site, SiteStats(silent))

    @property
    def looks(self) -> bool:
        """Whether `at` has to be given what the robots see."""
        return self._visited is not None

    def at(
        self,
        step: int,
        rows: np.ndarray,
        off: np.ndarray | None = None,
        seen: np.ndarray | None = None,
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The masks of ``rows`` (n,) at a control step: site → (scale (n, H), shift (n, H)).

        ``seen`` are their observations after normalisation, (n, D), for masks that `looks`. The
        masks are for reading: where nothing is drawn, they are the same arrays at every step. Rows
        that are ``off``, (n,) bool, are intact in this step, whatever their lesion says.
        """
        if self._timed:
            out_of_time = (step < self._onset[rows]) | (step >= self._offset[rows])
            off = out_of_time if off is None else off | out_of_time
        masks = {}
        for site in self._sites:
            scale, shift = self._scale[site], self._shift[site]
            if off is not None or not self._everyone(rows):
                scale, shift = scale[rows], shift[rows]
            elif any(where == site for where, _ in self._draws):
                shift = shift.copy()
            self._draw(site, step, rows, shift, seen)
            if off is not None:
                scale[off], shift[off] = 1.0, 0.0
            masks[site] = (scale, shift)
        return masks

    def _everyone(self, rows: np.ndarray) -> bool:
        return np.array_equal(rows, np.arange(len(self._keys)))

    def _draw(
        self, site: str, step: int, rows: np.ndarray, shift: np.ndarray, seen: np.ndarray | None
    ) -> None:
        now = mix(self._keys[rows] ^ mix(np.array([step], np.uint64)))
        for (where, mode), drawing in self._draws.items():
            if where != site or not (here := np.flatnonzero(drawing[rows])).size:
                continue
            more: tuple[np.ndarray, ...] = ()
            if DRAWS[mode].alike:
                assert self._visited is not None
                assert seen is not None, "this mask looks at what the robots see"
                more = (self._visited.alike(seen[here]),)
            known = self._known(site)
            drawn = DRAWS[mode].function(now[here], site, shift[here], known, *more)
            shift[here] = np.where(self._cut[site][rows[here]], drawn, 0.0)
