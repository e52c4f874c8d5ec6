"""Reflexes: what a push changes in a robot, with a region and without it.

Each robot is run twice from the same start: pushed, and not pushed. Until the push the two are one
robot to the bit, so whatever differs afterwards is the push's doing. Both are run intact and with
each region cut from the push on; what a kind of cut draws is drawn alike for both. So the answer to
the push is one difference (pushed − not pushed), and what a region has to do with it the difference
of two such (without − with the region): the loss that the cut causes in an unpushed robot is in
neither. (Pushing and ablating at once is the design of Rush et al. 2024, "Neural dynamics of robust
legged robots"; the unpushed and the uncut twin, and random cuts of the same size, are ours.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from rl_ablation.analysis.moments import Brief, begun, gait, regions_of, tabulated
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import INTACT, Lesion, Plan
from rl_ablation.mapping.probe import STILL
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.activity import Activity
from rl_ablation.rollouts.episodes import Episode, Episodes
from rl_ablation.rollouts.recording import run_jobs
from rl_ablation.rollouts.rollout import Trace
from rl_ablation.rollouts.world import world_of
from rl_ablation.stats import finite_mean

LATENCY, REFLEX, REMAINING, ASIDE, FALL = "latency", "reflex", "reflex kept", "aside", "fall"
MEASURED = {LATENCY: "s", REFLEX: "s.d.", REMAINING: "", ASIDE: "m", FALL: ""}
"""What is taken of an answer to a push, and its unit; see `reflexes`."""
EARLY = 0.5
"""Seconds in which the size of the reflex is taken."""
ANSWERED = 0.5
"""Difference of the actions, in s.d., from which a robot has answered."""
NEVER = 1e6  # s: no episode lasts as long


@dataclass(frozen=True, eq=False)
class Reflexes:
    """Answers to pushes.

    ``table`` is described at `reflexes`. ``course`` has the mean difference of the actions, s.d.,
    for each lesion and step: columns ``lesion``, ``seconds`` since the push, ``apart``, and
    ``pushes``, the number that it is the mean of.
    """

    table: pd.DataFrame
    course: pd.DataFrame


@dataclass(frozen=True)
class Pushes:
    """How a world pushes.

    Attributes:
        steps: Control steps at which robots are pushed, from 1 on; each is a world of its own.
        condition: In which it pushes.
        argument: Of the world, that says when, in seconds.
        lasting: Seconds for which a push acts.
        feet: Of ``foot_contact``, the front feet, left and right. The phase of a push is that of
            the one to whose side it pushes, so that pushes from both sides can be put together.
    """

    steps: Sequence[int]
    condition: str = "push"
    argument: str = "push_at"
    lasting: float = 0.1
    feet: tuple[int, int] = (0, 1)

    def world(self, policy: Policy, seconds: float) -> Policy:
        """The policy in the world that pushes after so many seconds."""
        kwargs = {**policy.card.env_kwargs, self.argument: seconds}
        return replace(policy, card=policy.card.model_copy(update={"env_kwargs": kwargs}))


def reflexes(
    policy: Policy,
    plan: Plan,
    activity: Activity,
    episodes: Episodes,
    pushes: Pushes,
    *,
    window: float = 1.5,
    threads: int | None = None,
) -> Reflexes:
    """Push robots with and without each region of a plan, cut from the push to the window's end.

    Of the actions' difference (pushed − not pushed, each in the s.d. of the intact robot's action,
    root mean square over actions) and of the robots':

    * ``latency``: seconds from the push until the difference is 0.5 s.d. or more; the whole window
      where it never is.
    * ``reflex``: its mean over the first 0.5 s, s.d.
    * ``reflex kept``: the share of the intact robot's reflex that is left. Where the intact robot
      answers more in one phase than in another, a cut that takes a third of every answer takes more
      in that phase: ``reflex`` then depends on the phase, and this does not.
    * ``aside``: how far the push has moved the robot to the side in the window, m.
    * ``fall``: 1 where the pushed robot ended its episode within the window, and the other did not.

    Where one of the two robots, or of their intact twins, ended within the window, all but ``fall``
    are NaN; where it was one that was not pushed, ``fall`` is too.

    Returns:
        Mean courses, and a table as of `brief_cuts`: ``phase`` is the gait's at the push, ``side``
        1 where it pushes to the left and −1 to the right, ``intact`` the intact robot's answer,
        ``delta`` what changes without the region. Rows of the lesion ``intact`` hold its answer as
        ``delta``, and no ``kind``.

    Raises:
        LabError: Nothing to cut, a push before step 1, a window that ends after the time limit, or
            a world that cannot be told when to push.
    """
    lesions = [Lesion(name=INTACT), *regions_of(plan)]
    told = replace(episodes, conditions=(pushes.condition,))
    with world_of(pushes.world(policy, NEVER)) as world:
        asked, dt = world.settle(told), world.dt
    onsets = np.tile(np.array(pushes.steps, np.int64), (asked.count, 1))
    _, length = Brief(onsets, window, window).fits(asked, dt)
    twins = asked.jobs(lesions[0])
    shape = (len(lesions), *onsets.shape)
    values = {name: np.full(shape, np.nan) for name in (LATENCY, REFLEX, ASIDE, FALL)}
    places = {name: np.full(onsets.shape, np.nan) for name in ("phase", "side")}
    courses = []
    for slot, step in enumerate(onsets[0].tolist()):
        jobs = [
            Episode(begun(x, step, length) if x.size else x, twin.seed, twin.condition)
            for x in lesions
            for twin in twins
        ]
        pushed, calm = (
            run_jobs(
                pushes.world(policy, seconds), ["action", "lateral_speed", "foot_contact"], jobs,
                activity=activity, horizon=step + length, threads=threads,
            )
            for seconds in (step * dt, NEVER)
        )  # fmt: skip
        side = _side(pushed, calm, step, asked.count, max(1, round(pushes.lasting / dt)))
        apart = _apart(pushed, calm, step, asked.count)
        courses.append(apart.reshape(length, len(lesions), -1))
        answers = _answers(pushed, calm, apart, np.resize(side, len(jobs)))
        for name, found in answers.items():
            values[name][..., slot] = found.reshape(len(lesions), -1)
        feet = [gait(foot).of(calm)[step - 1, : asked.count] for foot in pushes.feet]
        places["phase"][:, slot] = np.where(side > 0, *feet)
        places["side"][:, slot] = side
    base, change = _without(values)
    table = tabulated(lesions, twins, onsets, places, change, base)
    table["kind"] = table["kind"].where(table["lesion"] != INTACT, "")
    return Reflexes(table, _course([x.name for x in lesions], np.concatenate(courses, -1), dt))


def _without(
    values: dict[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Of each measure, (L, E, M), the first lesion's, (E, M), and the changes of the others."""
    base, change = {}, {}
    for name in MEASURED:
        found = values[REFLEX if name == REMAINING else name]
        less = found[1:] / found[0] - 1 if name == REMAINING else found[1:] - found[0]
        one = found[0] / found[0] if name == REMAINING else found[0]
        base[name], change[name] = one, np.concatenate([one[None], less])
    return base, change


def _course(names: Sequence[str], apart: np.ndarray, dt: float) -> pd.DataFrame:
    """The mean courses of (W, L, P): steps, lesions, pushes."""
    step, lesion = (x.ravel() for x in np.indices(apart.shape[:2]))
    return pd.DataFrame(
        {
            "lesion": np.array(names, object)[lesion],
            "seconds": step * dt,
            "apart": finite_mean(apart, 2).ravel(),
            "pushes": np.isfinite(apart).sum(2).ravel(),
        }
    )


def _side(pushed: Trace, calm: Trace, step: int, count: int, lasting: int) -> np.ndarray:
    """To which side each of the intact robots is pushed, (E,): 1 left, −1 right."""
    during = slice(step, step + lasting)
    moved = pushed["lateral_speed"][during, :count] - calm["lateral_speed"][during, :count]
    if not moved.any():
        raise LabError("no robot was pushed; the world's condition and argument have to push it")
    return np.where(moved.mean(0) < 0, -1.0, 1.0)


def _apart(pushed: Trace, calm: Trace, step: int, count: int) -> np.ndarray:
    """How far the actions of a pushed robot are from those of the other, s.d., (W, L·E).

    NaN where one of the two did not last, or is not to be trusted. The s.d. is that of the intact
    robots that are not pushed, which are the first ``count``.
    """
    action = calm["action"].astype(np.float64)
    seen = action[step:, :count][calm.alive[step:, :count]]
    spread = seen.std(0) if len(seen) else np.ones(action.shape[-1])
    spread = np.where(spread > STILL, spread, 1.0)  # as in a probe
    apart = np.sqrt((((pushed["action"] - action)[step:] / spread) ** 2).mean(-1))
    both = pushed.alive[-1] & calm.alive[-1] & ~pushed.unstable & ~calm.unstable
    return np.where(both, apart, np.nan)


def _answers(
    pushed: Trace, calm: Trace, apart: np.ndarray, side: np.ndarray
) -> dict[str, np.ndarray]:
    """What is measured of each row, (L·E,)."""
    dt, length = calm.dt, len(apart)
    there = apart >= ANSWERED
    late = np.where(there.any(0), there.argmax(0), length) * dt
    moved = (pushed["lateral_speed"] - calm["lateral_speed"].astype(np.float64))[-length:]
    trusted = calm.alive[-1] & ~pushed.unstable & ~calm.unstable
    known = np.where(np.isfinite(apart[-1]), 0.0, np.nan)
    return {
        LATENCY: late + known,
        REFLEX: apart[: max(1, round(EARLY / dt))].mean(0),
        ASIDE: moved.sum(0) * dt * side + known,
        FALL: np.where(trusted, ~pushed.alive[-1], np.nan).astype(float),
    }
