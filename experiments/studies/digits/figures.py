"""What the digits' numbers say about each published direction, in a table, words and a figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_ablation.analysis.curves import areas
from rl_ablation.formats import number
from rl_ablation.lesions.lesion import INTACT
from rl_ablation.stats import LEVEL, benjamini_hochberg, interval, nested_bootstrap, permutation_p

SHUFFLES = 1999
LITTLE = 0.02
"""What counts as "costs little", fixed before the first run: less than 2 points of accuracy."""

_ORANGE, _PURPLE, _GREY = "#b35806", "#542788", "#9a9a9a"


def digits_of(conditions: pd.Index) -> np.ndarray:
    """The digit that each condition shows."""
    return np.array([int(c.partition("/")[0]) for c in conditions])


def halves(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What each cut lost of every image, image × lesion, on either half of the images."""
    lost = table.drop(columns=INTACT).rsub(table[INTACT], axis=0)
    odd = np.array([int(c.partition("/")[2]) % 2 for c in lost.index], bool)
    return lost[~odd], lost[odd]


def particular_losses(table: pd.DataFrame, network: int) -> pd.DataFrame:
    """Each unit's worst digit, chosen on one half; on the other its loss against all other digits.

    p is one-sided, from dealing the images' digits anew.
    """
    choose, confirm = halves(table)
    worst = choose.groupby(digits_of(choose.index)).mean().idxmax().to_numpy()
    digits, lost = digits_of(confirm.index), confirm.to_numpy()
    per_digit = confirm.groupby(digits).mean()
    here = per_digit.to_numpy()[worst, np.arange(len(worst))]
    rng = np.random.default_rng(network)
    each = int((digits == 0).sum())  # alike for all digits, so one set of shuffles does for all
    dealt = rng.permuted(np.tile(np.arange(len(digits)) < each, (SHUFFLES, 1)), axis=1)
    null = dealt.astype(float) @ lost / each
    p = (1 + (null >= here - 1e-9).sum(0)) / (1 + SHUFFLES)
    return pd.DataFrame(
        {
            "network": network,
            "unit": confirm.columns,
            "digit": worst,
            "worst_loss": here,
            "mean_loss": per_digit.mean().to_numpy(),
            "p": p,
            "q": benjamini_hochberg(p),
        }
    )


def chosen_gain(table: pd.DataFrame, network: int) -> dict[str, object]:
    """The unit × digit cell with the largest gain on one half, and its gain on the other."""
    choose, confirm = halves(table)
    gain = -choose.groupby(digits_of(choose.index)).mean()
    unit = gain.max().idxmax()
    digit = gain[unit].idxmax()
    fresh = 0.0 - confirm[unit][digits_of(confirm.index) == digit].mean()
    return {
        "network": network,
        "unit": unit,
        "digit": digit,
        "chosen": gain[unit].max(),
        "confirmed": fresh,
    }


def verdicts(
    losses: pd.DataFrame, gains: pd.DataFrame, falls: pd.DataFrame, steered: pd.DataFrame
) -> pd.DataFrame:
    """Published direction against measurement, a row for each check.

    ``agrees`` is "yes" where the whole 95 % interval (networks resampled first) lies on the
    published side of ``border``, "no" where it lies on the other, else "unclear".

    Args:
        losses: A row for each network × unit: ``network``, ``q``.
        gains: A row for each network: ``confirmed``.
        falls: Curves of `rl_ablation.analysis.curves.curves` with ``network`` and ``labels``.
        steered: A row for each network × ``alpha``: ``accuracy``.
    """
    rng = np.random.default_rng(0)
    particular = [(part["q"] < LEVEL).to_numpy(float) for _, part in losses.groupby("network")]
    confirmed = [np.array([g]) for g in gains["confirmed"]]
    true, dealt = (list(areas_of(falls, kind).values()) for kind in ("true", "dealt"))
    accuracy = {a: part.sort_values("network")["accuracy"].to_numpy()
                for a, part in steered.groupby("alpha")}  # fmt: skip
    most, least = max(steered["alpha"]), min(steered["alpha"])

    def gap(one: float, other: float) -> np.ndarray:
        return nested_bootstrap(list((accuracy[one] - accuracy[other])[:, None]), rng)

    rows = [
        ("units that hurt one digit more than the others, share of units",
         "Meyes 2019, Zhou 2018", "some: above 5 %",
         nested_bootstrap(particular, rng), LEVEL, 1),
        ("gain of the best unit × digit on fresh images, accuracy",
         "Meyes 2019", "some digit gains: above 0",
         nested_bootstrap(confirmed, rng), 0.0, 1),
        ("area under cumulative ablation, true − dealt-out labels",
         "Morcos 2018", "memorised falls faster: above 0",
         nested_bootstrap(true, rng) - nested_bootstrap(dealt, rng), 0.0, 1),
        (f"accuracy with selectivity rewarded, α = {most:+g} against 0",
         "Leavitt & Morcos 2020", "costs: below 0", gap(most, 0.0), 0.0, -1),
        (f"accuracy with selectivity punished, α = {least:+g} against 0",
         "Leavitt & Morcos 2020", f"costs less than {LITTLE:.0%}",
         gap(least, 0.0), -LITTLE, 1),
        (f"accuracy, α = {least:+g} against {most:+g}",
         "Leavitt & Morcos 2020", "less selective is better: above 0",
         gap(least, most), 0.0, 1),
    ]  # fmt: skip
    return pd.DataFrame([_row(*row) for row in rows])


def _row(
    check: str, paper: str, published: str, bootstrap: np.ndarray, border: float, side: int
) -> dict[str, object]:
    low, high = interval(bootstrap)
    agrees = "unclear"
    if low > border or high < border:
        agrees = "yes" if (low > border) == (side > 0) else "no"
    return {
        "check": check,
        "paper": paper,
        "published": published,
        "measured": float(bootstrap.mean()),
        "low": low,
        "high": high,
        "agrees": agrees,
    }


def areas_of(falls: pd.DataFrame, kind: str) -> dict[int, np.ndarray]:
    """Network → areas of its orders."""
    chosen = falls[falls["labels"] == kind]
    networks = chosen["network"].unique().tolist()
    return {n: areas(chosen[chosen["network"] == n]).to_numpy() for n in networks}


def told(
    checks: pd.DataFrame,
    losses: pd.DataFrame,
    gains: pd.DataFrame,
    falls: pd.DataFrame,
    steered: pd.DataFrame,
) -> str:
    """The findings in words."""
    count = checks["agrees"].value_counts()
    table = "\n".join(
        f"| {r['check']} | {r['published']} ({r['paper']}) | {_signed(r['measured'])} "
        f"[{_signed(r['low'])}, {_signed(r['high'])}] | {r['agrees']} |"
        for r in checks.to_dict("records")
    )
    clear = losses[losses["q"] < LEVEL]
    hurt = clear if len(clear) else losses
    true, dealt = (
        np.array([a.mean() for a in areas_of(falls, kind).values()]) for kind in ("true", "dealt")
    )
    learnt = falls[falls["dose"] == 0].groupby("labels")["lesioned"].mean()
    by_alpha = steered.groupby("alpha")[["selectivity", "accuracy"]].mean()
    lowest, plain, highest = by_alpha.iloc[0], by_alpha.loc[0.0], by_alpha.iloc[-1]
    networks = losses["network"].nunique()
    return "\n\n".join(
        [
            f"Of {len(checks)} published directions {count.get('yes', 0)} come out as published, "
            f"{count.get('no', 0)} the other way round, {count.get('unclear', 0)} unclear "
            f"({networks} networks; mean and 95 % interval, networks resampled first).",
            "| check | published | measured | agrees |\n|---|---|---|---|\n" + table,
            f"- {len(clear)} of {len(losses)} units hurt one digit more than the others; "
            f"{'those' if len(clear) else 'all units'} lose {hurt['worst_loss'].mean():.1%} of "
            f"that digit's images, against {hurt['mean_loss'].mean():.1%} of all.\n"
            f"- The best gains were {gains['chosen'].mean():.1%} on the images that chose them and "
            f"{gains['confirmed'].mean():.1%} on fresh ones; "
            f"{int((gains['confirmed'] > 0).sum())} of {len(gains)} stayed above 0.\n"
            f"- Area under cumulative ablation: {true.mean():.3f} with true labels, "
            f"{dealt.mean():.3f} with dealt-out ones (permutation p = "
            f"{permutation_p(true, dealt):.2g}; fitted "
            f"to {learnt['true']:.1%} and {learnt['dealt']:.1%} of their training images).\n"
            f"- Selectivity {lowest['selectivity']:.2f}, {plain['selectivity']:.2f} and "
            f"{highest['selectivity']:.2f} (α = {by_alpha.index[0]:+g}, 0, "
            f"{by_alpha.index[-1]:+g}) go with accuracies {lowest['accuracy']:.1%}, "
            f"{plain['accuracy']:.1%} and {highest['accuracy']:.1%}.",
            "All networks are examined on the same images, so the intervals speak of other "
            "networks, not of other images. Not checked: whether selectivity taken off the units "
            "was merely rotated off their "
            "axes (the paper looks with PWCCA).",
        ]
    )


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def four_panels(
    losses: pd.DataFrame,
    gains: pd.DataFrame,
    falls: pd.DataFrame,
    steered: pd.DataFrame,
    checks: pd.DataFrame,
) -> Figure:
    """One panel for each published finding; its title says whether it came out so."""
    figure = Figure(figsize=(11.5, 8.5), layout="constrained", dpi=150)
    panels = figure.subplots(2, 2)
    agrees = checks["agrees"].tolist()
    _particular(panels[0, 0], losses)
    _gained(panels[0, 1], gains)
    _fallen(panels[1, 0], falls)
    _steered(panels[1, 1], steered)
    heads = (
        f"Units hurt particular digits: {agrees[0]}",
        f"Cutting some unit helps some digit: {agrees[1]}",
        f"Memorised labels fall faster: {agrees[2]}",
        f"More selective is worse: {agrees[3]}; less costs little: {agrees[4]}",
    )
    for axes, head in zip(panels.flat, heads, strict=True):
        axes.set_title(head, loc="left", fontsize=11, fontweight="bold")
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        "Published findings on classifiers, tried with this instrument on handwritten digits",
        x=0.01, ha="left", fontsize=13, fontweight="bold",
    )  # fmt: skip
    return figure


def _particular(axes: Axes, losses: pd.DataFrame) -> None:
    clear = losses["q"] < LEVEL
    for rows, colour, name in (
        (losses[~clear], _GREY, "not clear"),
        (losses[clear], _ORANGE, f"clear (false discovery rate {LEVEL:.0%})"),
    ):
        label = f"{name}: {len(rows)} units"
        axes.scatter(rows["mean_loss"], rows["worst_loss"], s=12, c=colour, alpha=0.6, label=label)
    axes.axline((0, 0), slope=1, color="black", lw=0.8, ls=":", label="all digits alike")
    axes.set(
        xlabel="accuracy lost over all digits",
        ylabel="accuracy lost on its worst digit\n(chosen on other images)",
    )
    axes.legend(frameon=False, fontsize=9, loc="upper left")


def _gained(axes: Axes, gains: pd.DataFrame) -> None:
    for chosen, confirmed in zip(gains["chosen"], gains["confirmed"], strict=True):
        axes.plot([0, 1], [chosen, confirmed], color=_GREY, lw=1, marker="o", ms=4)
    rng = np.random.default_rng(0)
    for x, column in enumerate(("chosen", "confirmed")):
        networks = [np.array([g]) for g in gains[column]]
        low, high = interval(nested_bootstrap(networks, rng))
        mean = gains[column].mean()
        error = [[mean - low], [high - mean]]
        axes.errorbar(x, mean, error, color=_PURPLE, marker="D", capsize=5, lw=2, zorder=5)
        label = f"{mean:+.1%}".replace("-", "−")
        axes.annotate(label, (x, mean), (10, 6), textcoords="offset points", color=_PURPLE)
    axes.axhline(0, color="black", lw=0.8, ls=":")
    axes.set_xlim(-0.4, 1.5)
    axes.set_xticks([0, 1], ["on the images\nthat chose it", "on fresh images"])
    axes.set_ylabel("gain of the best unit × digit cell\n(one line a network)")


def _fallen(axes: Axes, falls: pd.DataFrame) -> None:
    for kind, colour in (("true", _PURPLE), ("dealt", _ORANGE)):
        part = falls[falls["labels"] == kind]
        per_network = part.groupby(["network", "dose"])["lesioned"].mean().unstack()
        area = np.mean([a.mean() for a in areas_of(falls, kind).values()])
        name = {"true": "true labels", "dealt": "labels dealt out at random"}[kind]
        for values in per_network.to_numpy():
            axes.plot(per_network.columns, values, color=colour, lw=0.6, alpha=0.35)
        label = f"{name}, area {number(area)}"
        axes.plot(per_network.columns, per_network.mean(), color=colour, lw=2.5, label=label)
    axes.axhline(0.1, color="black", lw=0.8, ls=":")
    axes.text(0.02, 0.11, "guessing", fontsize=8)
    axes.set(
        xlabel="share of hidden units cut, in random order",
        ylabel="accuracy on own training images",
    )
    axes.legend(frameon=False, fontsize=9)


def _steered(axes: Axes, steered: pd.DataFrame) -> None:
    wide = steered.pivot(index="network", columns="alpha", values="accuracy")
    reached = steered.groupby("alpha")["selectivity"].mean()
    alphas = reached.index.tolist()
    places = np.arange(len(alphas))
    for values in wide.to_numpy():
        axes.plot(places, values, color=_GREY, lw=0.6, alpha=0.6)
    axes.plot(places, wide.mean(), color=_PURPLE, lw=2.5, marker="o")
    axes.axvline(alphas.index(0.0), color="black", lw=0.8, ls=":")
    ticks = [
        f"{a:+g}\n{number(si)}".replace("+0\n", "0\n")
        for a, si in zip(alphas, reached, strict=True)
    ]
    axes.set_xticks(places, [t.replace("-", "−") for t in ticks])
    axes.set(
        xlabel="α: weight of selectivity in training; below it the selectivity reached",
        ylabel="accuracy on held-out images",
    )
