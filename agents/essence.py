"""Essence networks: a policy whose every unit is a linear contrast between known samples.

After Blazek & Lin 2021 ("Explainable neural networks that simulate reasoning", Nature Computational
Science 1, 607–618). Nothing in the hidden layers is trained through the network: each unit is a
support vector machine of its own, so it can be said of every unit which samples made it.

* ``h0``, *differentia*: for every pair of subconcepts of different concepts, what tells them apart.
* ``h1``, *subconcepts*: each against all the others.
* ``h2``, *concepts*: each against all the others.

Concepts are classes of a teacher's actions, subconcepts are clusters of states within a class. The
states come from the teacher first and then, round by round, from the student itself (DAgger: Ross,
Gordon, Bagnell 2011).

Departure from the paper: it classifies, with a softmax over concept scores and its last layer
fine-tuned alone. A robot needs a continuous action, so here tanh squashes the scores and a linear
read-out of the concept units, fitted alone by ridge regression to the teacher's actions, takes the
place of Σ p·centroid. That makes the policy an ordinary tanh MLP, for which every lesion, file
format and figure of the lab works unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.svm import SVC
from torch.nn import functional as F

from rl_ablation.errors import LabError
from rl_ablation.files import one_line, write_atomically
from rl_ablation.policies.network import one_thread
from rl_ablation.policies.policy import Card, Policy
from rl_ablation.policies.storage import load_folder, make_mlp, save
from rl_ablation.rollouts.episodes import Episodes, episode_seed
from rl_ablation.rollouts.recording import record
from rl_ablation.rollouts.world import conditions_of

DIFFERENTIA_C, SUBCONCEPT_C, CONCEPT_C = 15.0, 1e4, 1.0
RIDGE = 1e-3  # relative to the number of samples; concept units are of size 1
OBS_CLIP = 10.0
MADE_FROM = "essence.safetensors"
Layer = tuple[np.ndarray, np.ndarray]
"""Weights (out, in) and bias (out,)."""
_STREAM = 7  # episodes of demonstrations are none of those that maps are measured on


@dataclass(frozen=True, eq=False)
class Demonstrations:
    """States and what the teacher does there: ``obs`` (S, D), ``action`` (S, A), float32."""

    obs: np.ndarray
    action: np.ndarray

    def __add__(self, other: Demonstrations) -> Demonstrations:
        return Demonstrations(
            np.concatenate([self.obs, other.obs]), np.concatenate([self.action, other.action])
        )


@dataclass(frozen=True, eq=False)
class Essence:
    """An essence policy and what made its units.

    Attributes:
        policy: An ordinary policy with sites h0 (differentia), h1 (subconcepts), h2 (concepts).
        data: All demonstrations; the read-out is fitted to them.
        chosen: Samples of ``data`` that the support vector machines saw, (n,) indices.
        subconcept: The subconcept of each of those, (n,).
        owner: The concept of each subconcept, (H1,).
        pull: How hard each chosen sample pulls at the weights of each differentia unit, (n, H0):
            the norm of its term in w = Σ αᵢ·yᵢ·xᵢ, which is the (sub)gradient of its loss. Above 0
            for support vectors, 0 for all others: without those the unit would be the same.
    """

    policy: Policy
    data: Demonstrations
    chosen: np.ndarray
    subconcept: np.ndarray
    owner: np.ndarray
    pull: np.ndarray

    @property
    def pairs(self) -> np.ndarray:
        """The two subconcepts that each differentia unit tells apart, (H0, 2)."""
        return pairs_of(self.owner)


def pairs_of(owner: np.ndarray) -> np.ndarray:
    """Pairs of subconcepts that belong to different concepts, (pairs, 2)."""
    pairs = [(i, j) for i, j in combinations(range(len(owner)), 2) if owner[i] != owner[j]]
    return np.array(pairs).reshape(-1, 2)


def demonstrate(
    teacher: Policy,
    driver: Policy | None = None,
    *,
    episodes: int = 24,
    seed: int = 0,
    horizon: int | None = None,
) -> Demonstrations:
    """Roll out ``driver``, or the teacher, and label every state it visits with the teacher.

    Args:
        teacher: With an environment on its card; all its conditions are visited in turn.
        driver: Who drives; None lets the teacher drive.
        episodes: Episodes to drive.
        seed: Of the episodes.
        horizon: Steps at most; None takes the world's time limit.
    """
    teacher.needs_no_memory("a copy of a teacher")
    conditions = tuple(conditions_of(teacher)) or ("",)
    asked = Episodes(episodes, seed, conditions, horizon, _STREAM)
    obs = record(driver or teacher, ["obs"], asked).moments()["obs"]
    return Demonstrations(obs, teacher.act(obs))


def dagger(
    teacher: Policy,
    *,
    rounds: int = 2,
    episodes: int = 24,
    concepts: int = 6,
    subconcepts: int = 4,
    samples: int = 1800,
    seed: int = 0,
    horizon: int | None = None,
) -> Essence:
    """Distil a teacher, then let the student drive and be corrected, ``rounds`` times.

    Args:
        teacher: A policy with continuous actions and an environment on its card.
        rounds: Rounds of correction; 0 learns from the teacher's own driving only.
        episodes: Driven each round.
        concepts: Classes of actions.
        subconcepts: Of each concept at most.
        samples: That the support vector machines see.
        seed: Of episodes and fits.
        horizon: Steps at most of an episode; None takes the world's time limit.
    """
    data = demonstrate(teacher, episodes=episodes, seed=seed, horizon=horizon)
    for turn in range(rounds + 1):
        essence = distil(teacher, data, concepts, subconcepts, samples=samples, seed=seed)
        if turn < rounds:
            own = episode_seed(seed, turn, stream=_STREAM)
            data = data + demonstrate(
                teacher, essence.policy, episodes=episodes, seed=own, horizon=horizon
            )
    return essence


def distil(
    teacher: Policy,
    data: Demonstrations,
    concepts: int = 6,
    subconcepts: int = 4,
    *,
    samples: int = 1800,
    seed: int = 0,
) -> Essence:
    """Build an essence policy from demonstrations.

    Args:
        teacher: Its environment and action limits are taken over.
        data: What it would do where.
        concepts: Classes of actions, by k-means.
        subconcepts: Clusters of states within a class, by Ward's criterion.
        samples: That the support vector machines see, the same number of each concept.
        seed: Of k-means and of the choice of samples.

    Raises:
        LabError: Discrete actions, fewer than 2 concepts, no subconcepts, too few distinct actions.
    """
    if teacher.card.squash == "argmax":
        raise LabError(f"policy {teacher.name!r} has discrete actions; distil a continuous one")
    if concepts < 2 or subconcepts < 1:
        raise LabError(f"at least 2 concepts of 1 subconcept, got {concepts} of {subconcepts}")
    if len(np.unique(data.action, axis=0)) < concepts:
        raise LabError(f"the teacher shows fewer than {concepts} distinct actions; ask for fewer")
    mean = data.obs.mean(0, dtype=np.float64)
    std = np.maximum(data.obs.std(0, dtype=np.float64), 1e-6)
    inputs = np.clip((data.obs - mean) / std, -OBS_CLIP, OBS_CLIP)
    concept = KMeans(concepts, n_init=4, random_state=seed).fit(data.action).labels_
    rng = np.random.default_rng(seed)
    members = [rng.permutation(np.flatnonzero(concept == c)) for c in range(concepts)]
    chosen = np.concatenate([m[: samples // concepts] for m in members])
    x = inputs[chosen]
    subconcept, owner = _divide(x, concept[chosen], subconcepts)

    layers, pulls, hidden = [], [], x
    everyone = np.full(len(x), True)
    contrasts = [
        (np.isin(subconcept, pair), subconcept == pair[0]) for pair in pairs_of(owner).tolist()
    ]
    rest = [(everyone, subconcept == i) for i in range(len(owner))]
    others = [(everyone, owner[subconcept] == c) for c in range(concepts)]
    for sides, c in ((contrasts, DIFFERENTIA_C), (rest, SUBCONCEPT_C), (others, CONCEPT_C)):
        layer, pull = _machines(hidden, sides, c)
        layers.append(layer)
        pulls.append(pull)
        hidden = _through(hidden, [layer])
    layers.append(_ridge(_through(inputs, layers), data.action.astype(np.float64)))
    recipe = {"concepts": concepts, "subconcepts": subconcepts, "samples": samples}
    policy = _policy(teacher, "essence", layers, mean, std, seed, recipe)
    return Essence(policy, data, chosen, subconcept, owner, pulls[0])


def _divide(x: np.ndarray, concept: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Split every concept into subconcepts; returns each sample's, and each one's concept."""
    subconcept = np.zeros(len(x), int)
    owner: list[int] = []
    for c in np.unique(concept).tolist():
        here = np.flatnonzero(concept == c)
        k = min(most, len(here))
        label = AgglomerativeClustering(k).fit_predict(x[here]) if k > 1 else 0
        subconcept[here] = len(owner) + label
        owner += [c] * k
    return subconcept, np.array(owner)


def _machines(
    x: np.ndarray, sides: Sequence[tuple[np.ndarray, np.ndarray]], c: float
) -> tuple[Layer, np.ndarray]:
    """A balanced linear support vector machine for each unit of a layer.

    Args:
        x: Inputs of the layer, (n, W).
        sides: For each unit which samples it sees, (n,), and which of them are its own, (n,).
        c: Weight of the loss against the size of the weights.

    Returns:
        The layer, and how hard each sample pulls at each unit, (n, units); see `Essence.pull`.
    """
    weights, biases, pull = [], [], np.zeros((len(x), len(sides)), np.float32)
    length = np.linalg.norm(x, axis=1)
    for unit, (seen, own) in enumerate(sides):
        machine = SVC(C=c, kernel="linear", class_weight="balanced").fit(x[seen], own[seen])
        weights.append(machine.coef_[0])
        biases.append(machine.intercept_[0])
        support = np.flatnonzero(seen)[machine.support_]
        pull[support, unit] = np.abs(machine.dual_coef_[0]) * length[support]
    return (np.stack(weights), np.array(biases)), pull


def _through(x: np.ndarray, layers: Sequence[Layer]) -> np.ndarray:
    for weight, bias in layers:
        x = np.tanh(x @ weight.T + bias)
    return x


def _ridge(hidden: np.ndarray, action: np.ndarray) -> Layer:
    """Linear read-out (A, H) with an unpenalised bias (A,)."""
    mean, target = hidden.mean(0), action.mean(0)
    centred = hidden - mean
    gram = centred.T @ centred + RIDGE * len(hidden) * np.eye(hidden.shape[1])
    weight = np.linalg.solve(gram, centred.T @ (action - target)).T
    return weight, target - weight @ mean


def _policy(
    teacher: Policy,
    name: str,
    layers: Sequence[Layer],
    mean: np.ndarray,
    std: np.ndarray,
    seed: int,
    recipe: Mapping[str, float],
) -> Policy:
    card = Card(
        name=name,
        env_id=teacher.card.env_id,
        env_kwargs=teacher.card.env_kwargs,
        algorithm=f"{name} of {teacher.name}",
        activation="tanh",
        squash="none" if teacher.low is None else "clip",
        obs_clip=OBS_CLIP,
        seed=seed,
        hyperparameters={"teacher": teacher.sha256, **recipe},
    )
    weights = [(w.astype(np.float32), b.astype(np.float32)) for w, b in layers]
    return make_mlp(weights, card, low=teacher.low, high=teacher.high, obs_mean=mean, obs_std=std)


def gradient_twin(
    essence: Essence, *, epochs: int = 20, batch: int = 512, rate: float = 2e-3, seed: int = 0
) -> Policy:
    """Train a network of the same sizes on the same demonstrations by gradient descent.

    Random start, Adam (Kingma & Ba 2015) with the rate falling to 0 (cosine), mean squared error of
    the outputs before they are clipped. How the weights came about is all that differs.

    Args:
        essence: Whose sizes, normaliser, limits and demonstrations are taken.
        epochs: Passes over the demonstrations.
        batch: Samples of a step.
        rate: Adam's at the start.
        seed: Of start and shuffling.
    """
    policy, data = essence.policy, essence.data
    generator = torch.Generator().manual_seed(seed)
    sizes = list(policy.sites.values())
    layers = []
    for width, out in pairwise(sizes):
        limit = (6 / (width + out)) ** 0.5  # Glorot & Bengio 2010, made for tanh
        weight = (torch.rand(out, width, generator=generator) * 2 - 1) * limit
        layers.append((weight.requires_grad_(), torch.zeros(out, requires_grad=True)))
    x, y = torch.from_numpy(policy.normalise(data.obs)), torch.from_numpy(data.action)
    adam = torch.optim.Adam([t for layer in layers for t in layer], lr=rate)
    steps = epochs * -(-len(x) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    with one_thread():
        for _ in range(epochs):
            for part in torch.randperm(len(x), generator=generator).split(batch):
                hidden = x[part]
                for weight, bias in layers[:-1]:
                    hidden = torch.tanh(F.linear(hidden, weight, bias))
                loss = F.mse_loss(F.linear(hidden, *layers[-1]), y[part])
                adam.zero_grad()
                loss.backward()
                adam.step()
                schedule.step()
    arrays = [(w.detach().numpy(), b.detach().numpy()) for w, b in layers]
    assert policy.obs_mean is not None
    assert policy.obs_std is not None
    recipe = {"epochs": epochs, "batch": batch, "rate": rate}
    return _policy(policy, "twin", arrays, policy.obs_mean, policy.obs_std, seed, recipe)


def save_essence(essence: Essence, folder: Path) -> None:
    """Write the policy as a policy folder, with ``essence.safetensors`` beside it."""
    save(essence.policy, folder)
    tensors = {
        "obs": essence.data.obs,
        "action": essence.data.action,
        "chosen": essence.chosen,
        "subconcept": essence.subconcept,
        "owner": essence.owner,
        "pull": essence.pull,
    }
    content = save_tensors({k: np.ascontiguousarray(v) for k, v in tensors.items()})
    write_atomically(folder / MADE_FROM, content)


def load_essence(folder: Path) -> Essence:
    """Read what `save_essence` wrote.

    Raises:
        LabError: A file is missing or damaged.
    """
    policy = load_folder(folder)
    path = folder / MADE_FROM
    try:
        tensors = load_tensors(path.read_bytes())
        data = Demonstrations(tensors["obs"], tensors["action"])
        return Essence(
            policy, data, *(tensors[k] for k in ("chosen", "subconcept", "owner", "pull"))
        )
    except FileNotFoundError:
        raise LabError(f"{folder}: no {MADE_FROM} beside card.json; distil again") from None
    except (SafetensorError, ValueError, KeyError) as error:
        raise LabError(f"{path}: damaged ({one_line(error)}); distil again") from None
