"""Does the instrument find in a digit classifier what was published about classifiers?

A check with known answers that can fail. Ten small networks (64-32-32-10, ReLU) learn 500 of
scikit-learn's handwritten digits; cuts are measured by the ordinary sweep on held-out images, each
shown once (`world`). Same class of protocol as the papers, on far smaller
networks and images, not a replication of any:

* single cuts hurt particular digits more than the rest (Meyes et al. 2019, Zhou et al. 2018): a
  unit's worst digit is chosen on half of the held-out images, and its loss there compared with the
  loss on all other digits on the other half;
* some digit's accuracy rises under some cut (Meyes et al. 2019): the best of all unit × digit
  cells is chosen on one half, its gain estimated on the other;
* networks fitted to dealt-out labels fall faster under cumulative ablation (Morcos et al. 2018),
  each measured on the images that it was fitted to;
* less selectivity costs little, more costs a lot (Leavitt & Morcos 2020): α times the mean class
  selectivity is taken off the loss.

Expected picture: points above the diagonal; gains that mostly vanish on fresh images; the curve of
the dealt-out labels below; accuracy flat for α < 0 and lower for α > 0. Under 3 minutes on 2 cores.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

import rl_ablation as rl
from experiments.studies.digits.figures import (
    chosen_gain,
    digits_of,
    four_panels,
    particular_losses,
    told,
    verdicts,
)
from experiments.studies.digits.world import (
    DIGITS,
    ENV_ID,
    HELD_OUT,
    PIXELS,
    TRAINING,
    every,
    images,
    labels,
)
from experiments.studies.registry import Answer
from rl_ablation.analysis.curves import curves
from rl_ablation.analysis.selectivity import TINY, class_selectivity
from rl_ablation.groupings.orders import random_orders
from rl_ablation.lesions.lesion import INTACT, Plan
from rl_ablation.policies.load import load
from rl_ablation.policies.network import one_thread
from rl_ablation.policies.policy import Card, Policy
from rl_ablation.policies.storage import make_mlp
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.rollouts.recording import record

SIZES = (PIXELS, 32, 32, DIGITS)
ALPHAS = (-1.0, -0.2, -0.05, 0.0, 0.05, 0.2, 1.0)
BATCH, RATE = 100, 3e-3


@dataclass(frozen=True)
class Size:
    """How much is done."""

    networks: int
    updates: int
    orders: int
    alphas: tuple[float, ...]
    images: int  # of each digit, in each half


FULL = Size(networks=10, updates=1500, orders=10, alphas=ALPHAS, images=HELD_OUT // 2)
QUICK = Size(networks=3, updates=400, orders=2, alphas=(-1.0, 0.0, 1.0), images=12)


@dataclass(frozen=True)
class Subject:
    """A network to train: its seed, the weight of selectivity, and whether labels are dealt out."""

    seed: int
    alpha: float = 0.0
    dealt: bool = False

    @property
    def name(self) -> str:
        """Of its folders."""
        return f"{'dealt' if self.dealt else f'alpha{self.alpha:g}'}-{self.seed}"


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Train the networks, cut them, and compare with what was published."""
    size = QUICK if quick else FULL
    seeds = range(seed, seed + size.networks)
    steered = [Subject(s, alpha) for alpha in size.alphas for s in seeds]
    dealt = [Subject(s, dealt=True) for s in seeds]
    agents = networks([*steered, *dealt], folder / "agents", size.updates)

    def right(subject: Subject, plan: Plan, conditions: list[str]) -> rl.Run:
        return rl.sweep(
            agents[subject],
            plan,
            conditions=conditions,
            episodes=len(conditions),
            measures=["return"],
            seed=seed,
            folder=folder / f"{subject.name}-{len(plan)}",
            progress=False,
        )

    exam = every(TRAINING, TRAINING + 2 * size.images)
    singles = {s: answers(right(Subject(s), rl.singles(agents[Subject(s)]), exam)) for s in seeds}
    losses = pd.concat([particular_losses(table, s) for s, table in singles.items()])
    gains = pd.DataFrame([chosen_gain(table, s) for s, table in singles.items()])
    falls = []
    for subject in [*map(Subject, seeds), *dealt]:
        plan = random_orders(agents[subject], orders=size.orders, seed=subject.seed)
        curve = curves(right(subject, plan, every(0, TRAINING)), "return")
        falls.append(
            curve.assign(network=subject.seed, labels="dealt" if subject.dealt else "true")
        )
    fallen = pd.concat(falls)
    accuracy = pd.DataFrame(
        {
            "alpha": subject.alpha,
            "network": subject.seed,
            "accuracy": answers(right(subject, Plan(), exam))[INTACT].mean(),
            "selectivity": selectivity(agents[subject], exam),
        }
        for subject in steered
    )
    checks = verdicts(losses, gains, fallen, accuracy)
    tables = {"checks": checks, "losses": losses, "gains": gains, "falls": fallen}
    figure = four_panels(losses, gains, fallen, accuracy, checks)
    text = told(checks, losses, gains, fallen, accuracy)
    return Answer(text, {"checks": figure}, {**tables, "selectivity": accuracy})


def networks(subjects: list[Subject], folder: Path, updates: int) -> dict[Subject, Policy]:
    """The subjects as policies, trained side by side unless the folder holds them all."""
    if not all((folder / s.name / "card.json").exists() for s in subjects):
        layers = train(subjects, updates)
        for k, s in enumerate(subjects):
            kwargs = {"label_seed": s.seed} if s.dealt else {}
            card = Card(
                name=s.name, env_id=ENV_ID, env_kwargs=kwargs, activation="relu", squash="argmax"
            )
            rl.save(make_mlp([(w[k], b[k, 0]) for w, b in layers], card), folder / s.name)
    return {s: load(folder / s.name) for s in subjects}


@one_thread()
def train(subjects: list[Subject], updates: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Fit all networks at once with Adam, each on its own minibatches.

    The loss is cross-entropy − α·(mean over layers of the units' mean SI in the minibatch), after
    Leavitt & Morcos 2020. Networks of one seed share start and minibatches, whatever their α.

    Returns:
        Weights (N, out, in) and biases (N, 1, out) of each layer.
    """
    x = torch.from_numpy(images()[:, :TRAINING].reshape(-1, PIXELS))
    known = [labels(s.seed if s.dealt else None)[:, :TRAINING].ravel() for s in subjects]
    y = torch.from_numpy(np.stack(known))
    alpha = torch.tensor([s.alpha for s in subjects])
    draws = {s.seed: np.random.default_rng(s.seed) for s in subjects}
    layers = []
    for width, out in pairwise(SIZES):
        start = {n: rng.normal(size=(out, width)) * (2 / width) ** 0.5 for n, rng in draws.items()}
        stack = np.stack([start[s.seed] for s in subjects]).astype(np.float32)
        bias = torch.zeros(len(subjects), 1, out, requires_grad=True)
        layers.append((torch.from_numpy(stack).requires_grad_(True), bias))
    optimizer = torch.optim.Adam([p for layer in layers for p in layer], RATE)
    for _ in range(updates):
        batch = {n: rng.permutation(len(x))[:BATCH] for n, rng in draws.items()}
        index = torch.from_numpy(np.stack([batch[s.seed] for s in subjects]))
        target, h = y.gather(1, index), x[index]
        steer = torch.zeros(len(subjects))
        for weight, bias in layers[:-1]:
            h = torch.relu(torch.baddbmm(bias, h, weight.transpose(1, 2)))
            steer = steer + minibatch_selectivity(h, target) / (len(layers) - 1)
        scores = torch.baddbmm(layers[-1][1], h, layers[-1][0].transpose(1, 2))
        loss = F.cross_entropy(scores.transpose(1, 2), target, reduction="none").mean(1)
        optimizer.zero_grad()
        (loss - alpha * steer).sum().backward()
        optimizer.step()
    return [(w.detach().numpy(), b.detach().numpy()) for w, b in layers]


def minibatch_selectivity(h: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean class selectivity of each network's units, differentiable: (N, B, H), (N, B) -> (N,)."""
    member = F.one_hot(target, DIGITS).float()
    count = member.sum(1)
    means = torch.einsum("nbc,nbh->nch", member, h) / count.clamp(min=1)[..., None]
    absent = (count == 0)[..., None]
    largest = means.masked_fill(absent, -1.0).amax(1)
    rest = (means.sum(1) - largest) / ((~absent).sum(1) - 1)
    return ((largest - rest) / (largest + rest + TINY)).mean(1)


def selectivity(agent: Policy, exam: list[str]) -> float:
    """Mean class selectivity over the layers, on the images of the exam."""
    sites = list(agent.network.sizes)
    seen = record(
        agent, [f"@{s}" for s in sites], Episodes(len(exam), conditions=tuple(exam))
    ).moments()
    classes = digits_of(pd.Index(exam))
    return float(np.mean([class_selectivity(seen[f"@{s}"], classes).mean() for s in sites]))


def answers(run: rl.Run) -> pd.DataFrame:
    """Right (1) or wrong (0): image × lesion."""
    return run.table().pivot(index="condition", columns="lesion", values="return")
