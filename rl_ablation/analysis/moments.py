"""Brief cuts: does it matter when a robot loses a region?

A region is cut for a quarter of a second, at many moments of many episodes, and what the robot does
in the second after it is compared with what its intact twin does in that second. Until the onset
both are the same robot to the bit, so the twin is the exact control. The effects are then held
against the phase or the place of the onset: see `rl_ablation.analysis.dependence`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import INTACT, Lesion, Plan
from rl_ablation.measures.legs import gait_phase
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.activity import Activity
from rl_ablation.rollouts.episodes import Episode, Episodes
from rl_ablation.rollouts.recording import run_jobs
from rl_ablation.rollouts.rollout import Trace
from rl_ablation.rollouts.world import world_of

ENDED = "ended"
"""The signal that says whether a robot ended its episode within the window."""


@dataclass(frozen=True)
class Moment:
    """What is told of a moment: a phase, or a number.

    Attributes:
        name: Its column.
        reads: The signals that it is made of.
        of: ``Trace -> (T, N)``; entry t is what holds after step t. NaN where there is none.
        harmonics: It is an angle in rad, of which curves have so many waves; 0, a number.
    """

    name: str
    reads: tuple[str, ...]
    of: Callable[[Trace], np.ndarray]
    harmonics: int = 0


BEND = Moment("bend", ("bend",), lambda trace: trace["bend"])
"""How the track bends just ahead, 1/m; left is positive."""

PLACE = Moment("place", ("x", "y"), lambda t: np.arctan2(t["y"], t["x"]) % (2 * np.pi), 3)
"""Where a robot is on a lap, as the angle seen from the middle of the track. Three waves, since
the track with bends repeats itself three times."""


def gait(foot: int, name: str = "phase", harmonics: int = 2) -> Moment:
    """The phase of the gait by the contacts of a foot; see `gait_phase`."""

    def phase(trace: Trace) -> np.ndarray:
        return gait_phase(trace["foot_contact"][..., foot], trace.alive)

    return Moment(name, ("foot_contact",), phase, harmonics)


@dataclass(frozen=True, eq=False)
class Brief:
    """When robots are cut, for how long, and for how long they are watched.

    ``onsets`` (E, M) are control steps, from 1 on: M moments in each of E episodes. ``lasting`` and
    ``window`` are seconds from the onset.
    """

    onsets: np.ndarray
    lasting: float = 0.25
    window: float = 1.0

    def fits(self, episodes: Episodes, dt: float) -> tuple[int, int]:
        """Control steps of the cut and of the window, one at least, in a world of this ``dt``.

        Raises:
            LabError: Onsets before step 1 or for another number of episodes, no time, or a window
                that ends after the time limit of the episodes, which are settled.
        """
        onsets, horizon = self.onsets, episodes.horizon
        if onsets.ndim != 2 or len(onsets) != episodes.count or not onsets.size:
            raise LabError(
                f"onsets of the shape {onsets.shape} are not those of {episodes.count} episodes; "
                "give a row of them for each episode"
            )
        if not (0 < self.lasting < np.inf and 0 < self.window < np.inf):
            raise LabError("a brief cut and its window last longer than 0 s")
        cut, window = (max(1, round(x / dt)) for x in (self.lasting, self.window))
        if onsets.min() < 1 or (horizon is not None and onsets.max() + window > horizon):
            raise LabError(
                f"onsets from step {onsets.min()} to {onsets.max()} and {window} steps after them "
                f"do not fit into episodes of {horizon} steps, the first of which is never cut"
            )
        return cut, window


def spread(episodes: int, moments: int, first: int, last: int, seed: int = 0) -> np.ndarray:
    """Onsets (E, M): in each episode one drawn from each of M equal parts of [first, last).

    Raises:
        LabError: Onsets before step 1, or fewer steps than moments.
    """
    if first < 1 or moments < 1 or last - first < moments:
        raise LabError(
            f"{moments} moments cannot be spread over the steps from {first} to {last}; begin at "
            "step 1 or later, with a step for each at least"
        )
    ends = np.linspace(first, last, moments + 1)
    drawn = np.random.default_rng([seed, 0xB21F]).uniform(size=(episodes, moments))
    return np.floor(ends[:-1] + drawn * np.diff(ends)).astype(np.int64)


def brief_cuts(
    policy: Policy,
    plan: Plan,
    activity: Activity,
    episodes: Episodes,
    brief: Brief,
    signals: Sequence[str],
    moments: Sequence[Moment],
    threads: int | None = None,
) -> pd.DataFrame:
    """Cut each region of a plan briefly at each moment; see the module and `Brief`.

    A lesion's own onset, offset and condition do not count. A signal changes by the difference of
    its means over the window; one of several numbers, such as ``action``, by the root mean square
    of all its differences in the window. A robot that ends within the window has no change: NaN.
    That it ended is the signal ``ended``, 1 where it did and its twin did not. Where the twin ended
    there is nothing to compare, and where the physics diverged no number to be trusted: all NaN.

    Returns:
        See `tabulated`; ``intact`` is the twin's mean over the window, or its root mean square.

    Raises:
        LabError: Nothing to cut, or what `Brief.fits` says.
    """
    lesions = regions_of(plan)
    with world_of(policy) as world:
        asked, dt = world.settle(episodes), world.dt
    lasting, window = brief.fits(asked, dt)
    last = int(brief.onsets.max()) + window
    twins = asked.jobs(Lesion(name=INTACT))
    reads = [name for moment in moments for name in moment.reads]
    wanted = list(dict.fromkeys([*signals, *reads]))
    intact = run_jobs(policy, wanted, twins, horizon=last, threads=threads)
    told = told_of(intact, moments, brief.onsets)
    shape = (len(lesions), *brief.onsets.shape)
    values = {name: np.full(shape, np.nan) for name in (*signals, ENDED)}
    base = {name: np.full(shape[1:], np.nan) for name in values}
    for slot, onsets in enumerate(brief.onsets.T):
        jobs = [
            Episode(begun(x, int(onset), lasting), twin.seed, twin.condition)
            for x in lesions
            for twin, onset in zip(twins, onsets, strict=True)
        ]
        trace = run_jobs(
            policy, list(signals), jobs, activity=activity, threads=threads,
            horizon=int(onsets.max()) + window,
        )  # fmt: skip
        for name, (changes, before) in _changes(intact, trace, signals, onsets, window).items():
            values[name][..., slot] = changes.reshape(len(lesions), -1)
            base[name][..., slot] = before
    return tabulated(lesions, twins, brief.onsets, told, values, base)


def regions_of(plan: Plan) -> list[Lesion]:
    """All lesions of a plan but the intact policy; a LabError if there are none."""
    lesions = [x for x in plan if x.size]
    if not lesions:
        raise LabError("a plan of brief cuts needs a region at least")
    return lesions


def begun(lesion: Lesion, onset: int, lasting: int) -> Lesion:
    """The lesion from a step on, for so many steps, whatever it is."""
    how = {"onset": onset, "offset": onset + lasting, "when": None}
    return lesion.model_copy(update=how)


def told_of(intact: Trace, moments: Sequence[Moment], onsets: np.ndarray) -> dict[str, np.ndarray]:
    """What is told of each moment (E, M): what held after the step before it."""
    at, rows = onsets - 1, np.arange(len(onsets))[:, None]
    there = intact.alive[at, rows] & ~intact.unstable[:, None]
    return {x.name: np.where(there, x.of(intact)[at, rows], np.nan) for x in moments}


def _changes(
    intact: Trace, trace: Trace, signals: Sequence[str], onsets: np.ndarray, window: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Signal → its changes, (L·E,), and what its twins did, (E,)."""
    rows = np.arange(trace.alive.shape[1])
    twin = rows % len(onsets)
    steps = onsets[twin] + np.arange(window)[:, None]  # (W, L·E)
    there = intact.alive[steps[-1], twin] & ~intact.unstable[twin] & ~trace.unstable
    lasted = trace.alive[steps[-1], rows]
    ended = np.where(there, ~lasted, np.nan).astype(float)
    known = np.where(intact.alive[steps[-1], twin] & ~intact.unstable[twin], 0.0, np.nan)
    found = {ENDED: (ended, known[: len(onsets)])}
    for name in signals:
        before = intact[name][steps, twin].astype(np.float64)
        after = trace[name][steps, rows].astype(np.float64)
        if before.ndim == 2:
            change, base = (after - before).mean(0), before.mean(0)
        else:
            axes = (0, *range(2, before.ndim))
            change = np.sqrt(((after - before) ** 2).mean(axes))
            base = np.sqrt((before**2).mean(axes))
        found[name] = np.where(there & lasted, change, np.nan), (base + known)[: len(onsets)]
    return found


def _null_of(lesion: Lesion) -> str:
    """What a random cut shares with the region whose control it is, but for when and how."""
    return repr(lesion.model_copy(update={"kind": "zero", "strength": None, "onset": 0,
                                          "offset": None, "when": None}).stratum)  # fmt: skip


def tabulated(
    lesions: Sequence[Lesion],
    twins: Sequence[Episode],
    onsets: np.ndarray,
    told: Mapping[str, np.ndarray],
    values: Mapping[str, np.ndarray],
    base: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """A row for each lesion × episode × moment × signal.

    Columns ``lesion``, ``kind``, ``group``, ``site`` (sites joined by +), ``units``, ``null``
    (what a random cut shares with the region whose control it is), ``episode``, ``condition``,
    ``slot`` (number of the moment in the episode), ``onset``, one for each of ``told`` (E, M),
    ``signal``, ``intact`` (of ``base``, (E, M)), ``delta`` (of ``values``, (L, E, M)).
    """
    cut, episode, slot = (x.ravel() for x in np.indices((len(lesions), *onsets.shape)))
    of = pd.DataFrame(
        [(x.name, x.kind, x.group, "+".join(x.sites), x.size, _null_of(x)) for x in lesions],
        columns=["lesion", "kind", "group", "site", "units", "null"],
    )
    rows = of.iloc[cut].reset_index(drop=True).assign(
        episode=episode,
        condition=np.array([x.condition for x in twins], object)[episode],
        slot=slot,
        onset=onsets[episode, slot],
        **{name: found[episode, slot] for name, found in told.items()},
    )  # fmt: skip
    parts = [
        rows.assign(signal=name, intact=base[name][episode, slot], delta=found.ravel())
        for name, found in values.items()
    ]
    return pd.concat(parts, ignore_index=True)
