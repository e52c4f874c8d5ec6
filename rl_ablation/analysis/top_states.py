"""Top-activating states: the visited moments that are highest along a direction of activity.

After the dataset examples of Olah et al. 2018 ("The Building Blocks of Interpretability"), for
robots: moments drawn as pictures of the robot. `rl_ablation.analysis.maximisation` finds the input
that is highest of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from rl_ablation.env_ids import find_spec
from rl_ablation.errors import LabError
from rl_ablation.files import one_line
from rl_ablation.lesions.lesion import Lesion
from rl_ablation.lesions.methods import SiteStats
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.recording import Recording
from rl_ablation.rollouts.rollout import SITE
from rl_ablation.rollouts.world import card_env, quiet

APART = 1.0  # s between two top moments of one episode


@dataclass(frozen=True, eq=False)
class Direction:
    """A direction in a site's activity: a weighted sum of its units."""

    name: str
    site: str
    weights: np.ndarray

    def along(self, activity: np.ndarray) -> np.ndarray:
        """Values along it, (…), for the site's activity (…, H)."""
        return np.asarray(activity, np.float64) @ self.weights


def unit_direction(site: str, unit: int, units: int) -> Direction:
    """One unit of a site with ``units`` of them, upwards."""
    return Direction(f"{site}/{unit}", site, np.eye(units)[unit])


def group_direction(group: Lesion, stats_of: SiteStats) -> Direction:
    """The first principal direction of a group's activity, towards its longer tail.

    The rarer state is the one to show. ``stats_of`` is the visited activity of the group's site;
    LabError unless it has units of exactly one.
    """
    places = [(site, list(units)) for site, units in group.cut.items() if units]
    if len(places) != 1:
        raise LabError(f"group {group.name!r} must have units of exactly one site")
    ((site, units),) = places
    part = stats_of.samples[:, units].astype(np.float64)
    part -= part.mean(0)
    direction = np.linalg.svd(part, full_matrices=False)[2][0]
    tail = ((part @ direction) ** 3).mean()
    weights = np.zeros(stats_of.samples.shape[1])
    weights[units] = direction * (1.0 if tail >= 0 else -1.0)
    return Direction(group.name, site, weights)


@dataclass(frozen=True)
class Moment:
    """A step of an episode of a `Recording`, and the value along a direction there."""

    episode: int
    step: int
    value: float


def top_states(direction: Direction, recording: Recording, n: int = 3) -> list[Moment]:
    """The visited moments highest along a direction, spread out; the first is the highest of all.

    Moments of one episode are at least ``APART`` from each other, and no episode gives more than
    its share of the ``n`` (one each, if there are as many episodes). Fewer are returned where the
    episodes have no more.
    """
    trace = recording.trace
    value = np.where(trace.alive, direction.along(trace[SITE + direction.site]), -np.inf)
    episodes = value.shape[1]
    most, gap = -(-n // episodes), round(APART / trace.dt)
    taken: list[Moment] = []
    for flat in np.argsort(-value, axis=None, kind="stable"):
        step, episode = divmod(int(flat), episodes)
        if len(taken) == n or not trace.alive[step, episode]:
            break
        here = [m for m in taken if m.episode == episode]
        if len(here) < most and all(abs(m.step - step) >= gap for m in here):
            taken.append(Moment(episode, step, float(value[step, episode])))
    return taken


def frames(
    policy: Policy, recording: Recording, moments: Sequence[Moment], **render: Any
) -> list[np.ndarray]:
    """A picture (height, width, 3), uint8, of each moment.

    The episodes are run again from their seeds, up to the moment. ``render`` is for the
    environment, such as ``width``, ``height``, ``camera``.

    Raises:
        LabError: Nothing can be drawn on this machine, or the episode went another way when it was
            run again.
    """
    env_id = card_env(policy)
    spec = find_spec(env_id, policy.card.env_kwargs)
    kwargs = {**policy.card.env_kwargs, **render}
    pictures: dict[tuple[int, int], np.ndarray] = {}
    try:
        with quiet(), closing(gym.make(spec, render_mode="rgb_array", **kwargs)) as env:
            for episode in sorted({m.episode for m in moments}):
                wanted = {m.step for m in moments if m.episode == episode}
                pictures |= _replay(policy, recording, episode, wanted, env)
    except LabError:
        raise
    except Exception as error:  # a graphics library may raise anything
        raise LabError(f"cannot draw {env_id}: {one_line(error)}") from None
    return [pictures[m.episode, m.step] for m in moments]


def _replay(
    policy: Policy, recording: Recording, episode: int, wanted: set[int], env: gym.Env
) -> dict[tuple[int, int], np.ndarray]:
    """Run an episode again up to the last wanted step: (episode, step) → picture."""
    job, seen = recording.jobs[episode], recording.trace[SITE + "obs"][:, episode]
    pictures: dict[tuple[int, int], np.ndarray] = {}
    options = {"condition": job.condition} if job.condition else None
    obs, _ = env.reset(seed=job.seed, options=options)
    memory = policy.at_rest(1)
    for step in range(max(wanted) + 1):
        row = np.asarray(obs).reshape(1, -1)
        if step in wanted:
            if not np.allclose(policy.normalise(row)[0], seen[step], atol=1e-4):
                hint = "this environment does not repeat an episode from its seed"
                where = f"episode {episode} (seed {job.seed}) is not at step {step} where it was"
                raise LabError(f"{where}; {hint}")
            picture = env.render()
            if not isinstance(picture, np.ndarray):
                raise LabError("cannot draw: the environment gave no picture")
            pictures[episode, step] = picture
        action = policy.act(row, memory=memory)[0]
        if isinstance(env.action_space, gym.spaces.Box):
            action = action.reshape(env.action_space.shape).astype(env.action_space.dtype)
        obs = env.step(action)[0]
    return pictures
