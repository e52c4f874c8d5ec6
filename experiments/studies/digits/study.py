"""Does the instrument find in a digit classifier what was published about classifiers?

A check with known answers that can fail. Twelve small networks (64-32-32-10, ReLU) learn 500 of
scikit-learn's handwritten digits; cuts are measured by the ordinary sweep on held-out images, each
shown once (`world`). Same class of protocol as the papers, on far smaller
networks and images, not a replication of any. Cuts set units to zero, as the papers did; for ReLU
that is off:

* single cuts hurt particular digits more than the rest (Meyes et al. 2019, Zhou et al. 2018): a
  unit's worst digit is chosen on half of the held-out images, and its loss there compared with the
  loss on all other digits on the other half;
* some digit's accuracy rises under some cut (Meyes et al. 2019): the best of all unit × digit
  cells is chosen on one half, its gain estimated on the other;
* networks fitted to shuffled labels fall faster under cumulative ablation (Morcos et al. 2018),
  each measured on the images that it was fitted to;
* less selectivity costs little, more costs a lot (Leavitt & Morcos 2020): α times the mean class
  selectivity is taken off the loss.

Expected picture: points above the diagonal; gains that mostly vanish on fresh images; the curve of
the shuffled labels below; accuracy flat for α < 0 and lower for α > 0. Under 3 minutes on 2 cores.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import rl_ablation as rl
from experiments.studies.digits.figures import four_panels
from experiments.studies.digits.words import areas_of, tell
from experiments.studies.digits.world import HELD_OUT, TRAINING, Subject, every, networks
from experiments.studies.registry import Answer
from rl_ablation.analysis.curves import curves
from rl_ablation.analysis.selectivity import class_selectivity
from rl_ablation.groupings.orders import random_orders
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.rollouts.recording import record
from rl_ablation.stats import LEVEL, benjamini_hochberg, interval, nested_bootstrap, smallest_effect

SHUFFLES = 1999
LITTLE = 0.02
"""What counts as "costs little", fixed before the first run: less than 2 points of accuracy."""


@dataclass(frozen=True)
class Size:
    """How much is done."""

    networks: int = 12
    updates: int = 1500
    orders: int = 10
    alphas: tuple[float, ...] = (-1.0, -0.2, -0.05, 0.0, 0.05, 0.2, 1.0)
    images: int = HELD_OUT // 2  # of each digit, in each half


QUICK = Size(networks=3, updates=400, orders=2, alphas=(-1.0, 0.0, 1.0), images=12)


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Train the networks, cut them, and compare with what was published."""
    size = QUICK if quick else Size()
    seeds = range(seed, seed + size.networks)
    steered = [Subject(s, alpha) for alpha in size.alphas for s in seeds]
    shuffled = [Subject(s, shuffled=True) for s in seeds]
    agents = networks([*steered, *shuffled], folder / "agents", size.updates)

    def right(subject: Subject, plan: rl.Plan, conditions: list[str]) -> rl.Map:
        return rl.sweep(
            agents[subject], plan, conditions=conditions, episodes=len(conditions), seed=seed,
            measures=["return"], folder=folder / f"{subject.name}-{len(plan)}", progress=False,
        )  # fmt: skip

    exam = every(TRAINING, TRAINING + 2 * size.images)
    singles = {s: answers(right(Subject(s), rl.singles(agents[Subject(s)]), exam)) for s in seeds}
    losses = pd.concat([particular_losses(table, s) for s, table in singles.items()])
    gains = pd.DataFrame([chosen_gain(table, s) for s, table in singles.items()])
    falls = []
    for subject in [*map(Subject, seeds), *shuffled]:
        plan = random_orders(agents[subject], orders=size.orders, seed=subject.seed)
        curve = curves(right(subject, plan, every(0, TRAINING)), "return")
        labels = "shuffled" if subject.shuffled else "true"
        falls.append(curve.assign(network=subject.seed, labels=labels))
    fallen = pd.concat(falls)
    rows = []
    for s in steered:
        share = answers(right(s, rl.Plan(), exam))[INTACT].mean()
        rows.append((s.alpha, s.seed, share, selectivity(agents[s], exam)))
    accuracy = pd.DataFrame(rows, columns=["alpha", "network", "accuracy", "selectivity"])
    checks = verdicts(losses, gains, fallen, accuracy)
    text = tell(checks, losses, gains, fallen, accuracy)
    tables = {"checks": checks, "losses": losses, "gains": gains, "falls": fallen}
    tables["selectivity"] = accuracy
    return Answer(text, {"checks": four_panels(tables)}, tables)


def selectivity(agent: rl.Policy, exam: list[str]) -> float:
    """Mean class selectivity over the layers, on the images of the exam."""
    signals = [f"@{site}" for site in agent.network.sizes]
    seen = record(agent, signals, rl.Episodes(len(exam), conditions=tuple(exam))).moments()
    classes = digits_of(pd.Index(exam))
    return float(np.mean([class_selectivity(seen[s], classes).mean() for s in signals]))


def answers(run: rl.Map) -> pd.DataFrame:
    """Right (1) or wrong (0): image × lesion."""
    return run.table().pivot(index="condition", columns="lesion", values="return")


def digits_of(conditions: pd.Index) -> np.ndarray:
    """The digit that each condition shows."""
    return np.array([int(c.partition("/")[0]) for c in conditions])


def halves(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What each cut lost of every image, image × lesion, on either half of the images."""
    lost = table.drop(columns=INTACT).rsub(table[INTACT], axis=0)
    odd = lost.index.str.partition("/").get_level_values(2).astype(int) % 2 == 1
    return lost[~odd], lost[odd]


def particular_losses(table: pd.DataFrame, network: int) -> pd.DataFrame:
    """Each unit's worst digit, chosen on one half; on the other its loss against all other digits.

    p is one-sided, from shuffling the images' digits.
    """
    choose, confirm = halves(table)
    worst = choose.groupby(digits_of(choose.index)).mean().idxmax().to_numpy()
    digits, lost = digits_of(confirm.index), confirm.to_numpy()
    per_digit = confirm.groupby(digits).mean()
    here = per_digit.to_numpy()[worst, np.arange(len(worst))]
    each = int((digits == 0).sum())  # alike for all digits, so one set of shuffles does for all
    own = np.tile(np.arange(len(digits)) < each, (SHUFFLES, 1))
    null = np.random.default_rng(network).permuted(own, axis=1).astype(float) @ lost / each
    p = (1 + (null >= here - 1e-9).sum(0)) / (1 + SHUFFLES)
    found = {"network": network, "unit": confirm.columns, "digit": worst, "worst_loss": here}
    found |= {"mean_loss": per_digit.mean().to_numpy(), "p": p, "q": benjamini_hochberg(p)}
    return pd.DataFrame(found)


def chosen_gain(table: pd.DataFrame, network: int) -> dict[str, object]:
    """The unit × digit cell with the largest gain on one half, and its gain on the other."""
    choose, confirm = halves(table)
    gain = -choose.groupby(digits_of(choose.index)).mean()
    unit = gain.max().idxmax()
    digit = gain[unit].idxmax()
    fresh = 0.0 - confirm[unit][digits_of(confirm.index) == digit].mean()
    found = {"network": network, "unit": unit, "digit": digit, "chosen": gain[unit].max()}
    return {**found, "confirmed": fresh}


def verdicts(
    losses: pd.DataFrame, gains: pd.DataFrame, falls: pd.DataFrame, steered: pd.DataFrame
) -> pd.DataFrame:
    """Published direction against measurement, a row for each check.

    ``agrees`` is "yes" where the whole 95 % interval (networks resampled first) lies on the
    published side of ``border``, "no" where it lies on the other, else "unclear". ``smallest`` is
    how far beyond the border an effect could have been found.
    """
    rng = np.random.default_rng(0)
    particular = [(part["q"] < LEVEL).to_numpy(float) for _, part in losses.groupby("network")]
    confirmed = list(gains["confirmed"].to_numpy(float)[:, None])
    true, shuffled = (areas_of(falls, kind) for kind in ("true", "shuffled"))
    accuracy = steered.pivot(index="network", columns="alpha", values="accuracy")
    most, least = max(steered["alpha"]), min(steered["alpha"])

    def gap(one: float, other: float) -> np.ndarray:
        return nested_bootstrap(list((accuracy[one] - accuracy[other]).to_numpy()[:, None]), rng)

    paper = "Leavitt & Morcos 2020"
    rows = [
        ("units that hurt one digit more than the others, share of units", "Meyes 2019, Zhou 2018",
         "some: above 5 %", nested_bootstrap(particular, rng), LEVEL, 1),
        ("gain of the best unit × digit on fresh images, accuracy", "Meyes 2019",
         "some digit gains: above 0", nested_bootstrap(confirmed, rng), 0.0, 1),
        ("area under cumulative ablation, true − shuffled labels",
         "Morcos 2018", "memorised falls faster: above 0",
         nested_bootstrap(true, rng) - nested_bootstrap(shuffled, rng), 0.0, 1),
        (f"accuracy with selectivity rewarded, α = {most:+g} against 0",
         paper, "costs: below 0", gap(most, 0.0), 0.0, -1),
        (f"accuracy with selectivity punished, α = {least:+g} against 0",
         paper, f"costs less than {LITTLE:.0%}", gap(least, 0.0), -LITTLE, 1),
        (f"accuracy, α = {least:+g} against {most:+g}",
         paper, "less selective is better: above 0", gap(least, most), 0.0, 1),
    ]  # fmt: skip
    columns = ["check", "paper", "published", "measured", "low", "high", "agrees"]
    table = pd.DataFrame([(*row[:3], *judge(*row[3:])) for row in rows], columns=columns)
    networks = [
        (means(particular),), (means(confirmed),), (means(true), means(shuffled)),
        (accuracy[most] - accuracy[0.0],), (accuracy[least] - accuracy[0.0],),
        (accuracy[least] - accuracy[most],),
    ]  # fmt: skip
    return table.assign(smallest=[smallest_effect(*sides) for sides in networks])


def means(values: list[np.ndarray]) -> np.ndarray:
    """Of each network's values, (N,)."""
    return np.array([np.mean(own) for own in values])


def judge(bootstrap: np.ndarray, border: float, side: int) -> tuple[float, float, float, str]:
    """The mean, its interval, and whether that is on the published side of the border."""
    low, high = interval(bootstrap)
    where = side * (int(low > border) - int(high < border))
    agrees = {1: "yes", 0: "unclear", -1: "no"}[where]
    return float(bootstrap.mean()), low, high, agrees
