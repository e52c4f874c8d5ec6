"""What drives a unit or a group: the visited moments that do it most, and the best plausible input.

After feature visualisation in Olah et al. 2018 ("The Building Blocks of Interpretability"), for
robots: real moments, drawn as pictures of the robot, beside an input optimised by gradient ascent.
An input that is merely optimised is one that no robot will ever see; here it is held near the
visited ones by their Mahalanobis distance, and told how far out among them it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from scipy import stats
from sklearn.covariance import LedoitWolf

from rl_ablation.analysis.attribution import View, as_module
from rl_ablation.env_ids import find_spec
from rl_ablation.errors import LabError
from rl_ablation.files import one_line
from rl_ablation.lesions.lesion import INTACT, Lesion
from rl_ablation.lesions.methods import SiteStats
from rl_ablation.policies.network import one_thread
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.episodes import REFERENCE, card_env, episode_seed
from rl_ablation.rollouts.rollout import SITE, Job, Trace, rollout
from rl_ablation.rollouts.world import World, quiet

APART = 1.0  # s between two top moments of one episode
FARTHEST = 99.0  # percentile of visited distances beyond which no optimised input may lie
_STEPS, _RATE = 200, 0.2


@dataclass(frozen=True, eq=False)
class Drive:
    """What is to be driven: a weighted sum of a site's units."""

    name: str
    site: str
    weights: np.ndarray

    def of(self, activity: np.ndarray) -> np.ndarray:
        """Its values, (…), for the site's activity (…, H)."""
        return np.asarray(activity, np.float64) @ self.weights


def unit_drive(site: str, unit: int, units: int) -> Drive:
    """One unit of a site with ``units`` of them, driven up."""
    return Drive(f"{site}/{unit}", site, np.eye(units)[unit])


def group_drive(group: Lesion, stats_of: SiteStats) -> Drive:
    """What a group's units mostly do together: the first principal direction of their activity.

    It points to its longer tail: the rarer state is the one to show.

    Args:
        group: Units of one site.
        stats_of: The site's visited activity.

    Raises:
        LabError: The group has no units, or units of several sites.
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
    return Drive(group.name, site, weights)


@dataclass(frozen=True, eq=False)
class Visits:
    """Episodes of the intact policy to look into: what was run, and what was recorded."""

    jobs: tuple[Job, ...]
    trace: Trace


def visit(
    policy: Policy,
    *,
    conditions: Sequence[str] = ("",),
    episodes: int = 12,
    seed: int = 0,
    horizon: int | None = None,
    signals: Sequence[str] = (),
    threads: int | None = None,
) -> Visits:
    """Run the intact policy and keep all sites' activity, and ``signals``, at every step.

    The episodes are those that `record_activity` records with the same arguments.

    Args:
        policy: With an environment on its card.
        conditions: Episode k runs under ``conditions[k % len(conditions)]``.
        episodes: How many.
        seed: Of the episodes.
        horizon: Steps at most; None takes the world's time limit.
        signals: What to record besides.
        threads: C threads; None takes every CPU.
    """
    intact = Lesion(name=INTACT)
    jobs = tuple(
        Job(intact, episode_seed(seed, k, stream=REFERENCE), conditions[k % len(conditions)])
        for k in range(episodes)
    )
    world = World(card_env(policy), episodes, policy.card.env_kwargs, threads)
    try:
        kept = [*(SITE + site for site in policy.sites), *signals]
        return Visits(jobs, rollout(policy, world, jobs, signals=kept, horizon=horizon))
    finally:
        world.close()


@dataclass(frozen=True)
class Moment:
    """A step of an episode of `Visits`, and what was driven to there."""

    episode: int
    step: int
    value: float


def top_states(drive: Drive, visits: Visits, n: int = 3, apart: float = APART) -> list[Moment]:
    """The visited moments that drive it most, spread out; the first is the highest of all.

    Moments of one episode are at least ``apart`` seconds from each other, and no episode gives more
    than its share of them (one each, if there are as many episodes).

    Args:
        drive: What is driven.
        visits: Episodes that recorded its site.
        n: How many; fewer are returned where the episodes have no more.
        apart: Seconds.
    """
    trace = visits.trace
    value = np.where(trace.alive, drive.of(trace[SITE + drive.site]), -np.inf)
    episodes = value.shape[1]
    most, gap = -(-n // episodes), round(apart / trace.dt)
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
    policy: Policy, visits: Visits, moments: Sequence[Moment], **render: Any
) -> list[np.ndarray]:
    """Pictures of moments: the episodes are run again from their seeds, up to the moment.

    Args:
        policy: The policy that made the visits.
        visits: The episodes.
        moments: Which moments of them, in any order.
        **render: For the environment, e.g. ``width``, ``height``, ``camera``.

    Returns:
        A frame (height, width, 3), uint8, for each moment.

    Raises:
        LabError: Nothing can be drawn on this machine, or the episode went another way when it was
            run again.
    """
    env_id = card_env(policy)
    spec = find_spec(env_id)
    pictures: dict[tuple[int, int], np.ndarray] = {}
    try:
        with quiet():
            env = gym.make(spec, render_mode="rgb_array", **{**policy.card.env_kwargs, **render})
    except LabError:
        raise
    except Exception as error:  # a graphics library raises whatever it likes
        raise LabError(f"cannot draw {env_id}: {one_line(error)}") from None
    try:
        for episode in sorted({m.episode for m in moments}):
            wanted = {m.step for m in moments if m.episode == episode}
            for step, picture in _replay(policy, visits, episode, wanted, env).items():
                pictures[episode, step] = picture
    finally:
        env.close()
    return [pictures[m.episode, m.step] for m in moments]


def _replay(
    policy: Policy, visits: Visits, episode: int, wanted: set[int], env: gym.Env
) -> dict[int, np.ndarray]:
    job, seen = visits.jobs[episode], visits.trace[SITE + "obs"][:, episode]
    pictures: dict[int, np.ndarray] = {}
    obs, _ = env.reset(
        seed=job.seed, options={"condition": job.condition} if job.condition else None
    )
    for step in range(max(wanted) + 1):
        row = np.asarray(obs).reshape(1, -1)
        if step in wanted:
            if not np.allclose(policy.normalise(row)[0], seen[step], atol=1e-4):
                raise LabError(
                    f"episode {episode} (seed {job.seed}) is not at step {step} where it was; "
                    "this environment does not repeat an episode from its seed"
                )
            try:
                with quiet():
                    picture = env.render()
            except Exception as error:  # see above
                raise LabError(f"cannot draw: {one_line(error)}") from None
            if not isinstance(picture, np.ndarray):
                raise LabError("cannot draw: the environment gave no picture")
            pictures[step] = picture
        action = policy.act(row)[0]
        if isinstance(env.action_space, gym.spaces.Box):
            action = action.reshape(env.action_space.shape).astype(env.action_space.dtype)
        obs = env.step(action)[0]
    return pictures


@dataclass(frozen=True, eq=False)
class Cloud:
    """Where the visited inputs lie: a Gaussian with shrunk covariance (Ledoit & Wolf 2004), a box.

    Attributes:
        mean: (D,).
        covariance: (D, D).
        precision: Its inverse.
        low: Least visited value of each input, (D,).
        high: Greatest, (D,).
        distances: Mahalanobis distances of the visited inputs, (S,), rising.
    """

    mean: np.ndarray
    covariance: np.ndarray
    precision: np.ndarray
    low: np.ndarray
    high: np.ndarray
    distances: np.ndarray

    @staticmethod
    def of(inputs: np.ndarray) -> Cloud:
        """The cloud of visited network inputs (S, D)."""
        x = np.asarray(inputs, np.float64)
        fit = LedoitWolf().fit(x)
        distances = np.sort(_distance(x, fit.location_, fit.precision_))
        return Cloud(fit.location_, fit.covariance_, fit.precision_, x.min(0), x.max(0), distances)

    def distance(self, inputs: np.ndarray) -> np.ndarray:
        """Mahalanobis distances (N,) of inputs (N, D)."""
        return _distance(inputs, self.mean, self.precision)

    def percentile(self, inputs: np.ndarray) -> np.ndarray:
        """Per cent of the visited inputs that lie no farther out, (N,)."""
        return np.asarray(stats.percentileofscore(self.distances, self.distance(inputs), "weak"))

    def hold(self, inputs: np.ndarray, farthest: float) -> np.ndarray:
        """Bring inputs into the visited range and no farther out than a percentile of distances.

        The second is a step toward the mean, which does not leave the range again.
        """
        inside = np.clip(inputs, self.low, self.high)
        limit = np.percentile(self.distances, farthest)
        far = self.distance(inside)
        back = np.minimum(1.0, limit / np.maximum(far, 1e-12))[:, None]
        return np.where(back < 1.0, self.mean + back * (inside - self.mean), inside)


def _distance(inputs: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
    away = inputs - mean
    return np.sqrt(np.einsum("nd,de,ne->n", away, precision, away).clip(0))


@dataclass(frozen=True, eq=False)
class Optimum:
    """An optimised network input.

    Attributes:
        inputs: (D,).
        value: What it drives the drive to.
        visited: The highest value at a visited input.
        percentile: Per cent of the visited inputs that lie no farther out.
    """

    inputs: np.ndarray
    value: float
    visited: float
    percentile: float


def optimise(
    policy: Policy,
    drives: Sequence[Drive],
    inputs: np.ndarray,
    *,
    penalty: float = 1.0,
    farthest: float = FARTHEST,
    starts: int = 4,
) -> list[Optimum]:
    """The network inputs that drive each of these most while still plausible.

    Gradient ascent on ``drive / σ − penalty/2 · max(0, d − √D)²``, in the metric of the visited
    inputs, with σ the drive's standard deviation and d the Mahalanobis distance, whose root mean
    square over visited inputs is √D: only to be farther out than usual costs, since the mean input
    is not a usual one either. At a penalty of 1 the best input for a linear unit lies at √D + 1.
    Every step is brought back into the visited range and within a percentile of visited distances.

    Args:
        policy: An MLP.
        drives: What to drive.
        inputs: Visited network inputs, (S, D), S > D.
        penalty: On being unusual.
        farthest: Percentile of visited distances that no step may leave.
        starts: Ascents for each drive, from visited inputs that drive it high: the highest, the
            ninth highest and so on, since neighbours in rank are often neighbours in time.

    Raises:
        LabError: The policy is no MLP, or the inputs or a drive do not fit it.
    """
    module, cloud = as_module(policy), Cloud.of(inputs)
    if inputs.shape[1] != policy.obs_size:
        raise LabError(f"inputs have {inputs.shape[1]} numbers; expected {policy.obs_size}")
    found: dict[int, Optimum] = {}
    for site in dict.fromkeys(drive.site for drive in drives):
        same = [k for k, drive in enumerate(drives) if drive.site == site]
        weights = np.stack([drives[k].weights for k in same])
        with one_thread():
            visited, _ = _values_and_slopes(module, site, weights, inputs[:, None])
            first = np.argsort(-visited, axis=0, kind="stable")[: 8 * starts : 8]
            ascent = _ascend(module, site, weights, cloud, inputs[first], visited.std(0),
                             penalty, farthest)  # fmt: skip
            values, _ = _values_and_slopes(module, site, weights, ascent[None])
        for place, k in enumerate(same):
            percentile = cloud.percentile(ascent[place : place + 1])[0]
            found[k] = Optimum(
                ascent[place],
                float(values[0, place]),
                float(visited[:, place].max()),
                float(percentile),
            )
    return [found[k] for k in range(len(drives))]


def _ascend(
    module: View,
    site: str,
    weights: np.ndarray,
    cloud: Cloud,
    inputs: np.ndarray,
    sigma: np.ndarray,
    penalty: float,
    farthest: float,
) -> np.ndarray:
    """Climb from inputs (starts, G, D) for G drives at once; the best place met by each, (G, D)."""
    starts, count, size = inputs.shape
    x = cloud.hold(inputs.reshape(-1, size).astype(np.float64), farthest)
    sigma = np.maximum(sigma, 1e-12)
    best, top = x.copy(), np.full(len(x), -np.inf)
    for _ in range(_STEPS):
        value, slope = _values_and_slopes(module, site, weights, x.reshape(inputs.shape))
        far = cloud.distance(x)
        beyond = np.maximum(far - size**0.5, 0.0)
        score = (value / sigma).ravel() - penalty / 2 * beyond**2
        better = score > top
        best[better], top[better] = x[better], score[better]
        climb = (slope / sigma[:, None]).reshape(-1, size) @ cloud.covariance
        back = (penalty * beyond / np.maximum(far, 1e-12))[:, None] * (x - cloud.mean)
        x = cloud.hold(x + _RATE * (climb - back), farthest)
    chosen = top.reshape(starts, count).argmax(0)
    return best.reshape(inputs.shape)[chosen, np.arange(count)]


def _values_and_slopes(
    module: View, site: str, weights: np.ndarray, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Values (N, G) of G drives (weights (G, H)) at inputs (N, G or 1, D), and their slopes."""
    rows = torch.as_tensor(np.asarray(inputs, np.float64)).requires_grad_()
    values = (module.at(site, rows) * torch.as_tensor(weights)).sum(-1)
    (slopes,) = torch.autograd.grad(values.sum(), rows)
    return values.detach().numpy(), slopes.numpy()


def raw_observation(policy: Policy, inputs: np.ndarray) -> np.ndarray:
    """Undo `Policy.normalise`: the observations (N, D) behind network inputs (N, D)."""
    if policy.obs_mean is None or policy.obs_std is None:
        return np.asarray(inputs, np.float64)
    return np.asarray(inputs, np.float64) * policy.obs_std + policy.obs_mean
