"""The findings of the study when in sentences, from its tables alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rl_ablation.analysis.reflex import ANSWERED, ASIDE, EARLY, FALL, LATENCY, REFLEX, REMAINING
from rl_ablation.formats import Estimate, listed, number, small
from rl_ablation.stats import LEVEL

LABELS = {
    "forward_speed": ("forward speed", "m/s"),
    "lateral_speed": ("speed to the left", "m/s"),
    "yaw_rate": ("turning left", "rad/s"),
    "clearance": ("distance from the wall", "m"),
    "ended": ("ending early", ""),
    LATENCY: ("latency", "s"),
    REFLEX: ("reflex", "s.d."),
    REMAINING: ("share of the reflex that is left", ""),
    ASIDE: ("how far it is pushed aside", "m"),
    FALL: ("falling", ""),
}
"""Signal → its name and unit."""
TOLD = 4  # rows of a sort that are told one by one


def told(value: float) -> str:
    """A number with three digits, since many changes are small."""
    return number(value, ".3f") if abs(value) < 1 else number(value)


def tell_lap(effects: pd.DataFrame, bend: pd.DataFrame, place: pd.DataFrame) -> str:
    """Whether it matters where on a lap the lap robot loses a region for 0.25 s."""
    head = "**Lap robot.** Cut for 0.25 s; changes are those of the second from the onset on."
    by_bend = tell_dependence(bend, "the bend ahead", lambda at: f"at a bend of {number(at)} 1/m")
    by_place = tell_dependence(place, "the place on the lap", _degrees)
    by_place = by_place[0].lower() + by_place[1:]
    return f"{head}\n\n{tell_changes(effects)}\n\n{by_bend}\n\nOne way round, {by_place}"


def tell_gait(
    lasting: float, effects: pd.DataFrame, phase: pd.DataFrame, covered: tuple[float, float]
) -> str:
    """Whether it matters in which phase of the gait a robot loses a region for a moment."""
    known, length = covered
    head = (
        f"Cut for {lasting:g} s ({number(known, '%')} of the moments have a phase; the mean "
        f"resultant of these is {number(length)}, where 0 is evenly spread). "
    )
    by_phase = tell_dependence(phase, "the phase of the gait", _degrees)
    return head + tell_changes(effects) + "\n\n" + by_phase


def tell_push(
    effects: pd.DataFrame, phase: pd.DataFrame, intact: pd.DataFrame, covered: tuple[float, float]
) -> str:
    """What regions have to do with the answer to a push, and whether the phase matters."""
    own = intact.set_index("signal")
    late = Estimate.of(own.loc[LATENCY], "delta", "ci_low", "ci_high")
    size = Estimate.of(own.loc[REFLEX], "delta", "ci_low", "ci_high")
    aside = Estimate.of(own.loc[ASIDE], "delta", "ci_low", "ci_high")
    depends = own[own["p_fwe"] < LEVEL]
    matters = "nothing of this clearly depends on the phase in which the push comes"
    if len(depends):
        parts = [
            f"{LABELS[str(name)][0]} (± {told(row['amplitude'])}{_unit(str(name))}, most "
            f"{_degrees(row['strongest'])})"
            for name, row in depends.iterrows()
        ]
        matters = f"by the phase in which the push comes {listed(parts)} differ"
    head = (
        f"Pushed, the intact robot's actions differ from its unpushed twin's by {ANSWERED} s.d. "
        f"after {late} s, by {size} s.d. in the mean of the first {EARLY} s, and it is {aside} m "
        f"aside after 1.5 s; {matters}. Without a region, from the push on: "
    )
    share = effects[effects["signal"] == REMAINING].sort_values("delta", kind="stable").iloc[0]
    rows = effects[effects["signal"] != REMAINING]
    least = (
        f"Least of the reflex is left without {share['region']}: {number(1 + share['delta'], '%')}."
    )
    cut = tell_dependence(phase, "push × cut × phase: the phase of the push", _degrees)
    scale = (
        "A cut that takes the same share of every answer changes the reflex most where the intact "
        "robot's is largest; the share that is left is free of that."
    )
    return f"{head}{tell_changes(rows)}\n\n{least}\n\n{scale}\n\n{cut}"


def tell_changes(effects: pd.DataFrame) -> str:
    """What brief cuts change at all, from the rows of `weakest`."""
    held = effects[effects["holds"]]
    regions = effects["region"].nunique()
    if held.empty:
        return f"No cut of {regions} regions clearly changes anything under both kinds."
    beyond = held[held["beyond"]]
    lines = [
        f"{held['region'].nunique()} of {regions} regions change something under both kinds "
        f"(family-wise p < {LEVEL:.0%}). Of these {len(held)} changes (region × behaviour) "
        f"{_beyond(held, len(effects))}."
    ]
    for signal, part in beyond.groupby("signal", sort=False):
        most = part.loc[part["delta"].abs().sort_values(ascending=False, kind="stable").index]
        some = [
            f"{row['region']} {told(row['delta'])} ({told(row['ci_low'])} to "
            f"{told(row['ci_high'])}; resampled {told(row['first'])}, random cuts "
            f"{told(row['random'])})"
            for row in most.head(TOLD).to_dict("records")
        ]
        rest = f" and {len(most) - TOLD} more" if len(most) > TOLD else ""
        name, _ = LABELS[str(signal)]
        before = f"intact {told(float(part['intact'].iloc[0]))}{_unit(str(signal))}"
        lines.append(f"- {name}, {before}: {', '.join(some)}{rest}.")
    return "\n".join(lines)


def tell_dependence(found: pd.DataFrame, of: str, where: object) -> str:
    """Which effects depend on a phase or a number, from the rows of `weakest`."""
    assert callable(where)
    tried = found[found["amplitude"] > 0]
    held = found[found["holds"]]
    could = tried.groupby("signal", sort=False)["smallest"].median()
    limits = ", ".join(
        f"{LABELS[str(s)][0]} ± {told(x)}{_unit(str(s))}"
        for s, x in could.items()
        if np.isfinite(x)
    )
    text = (
        f"{of}: of {len(tried)} effects (region × behaviour) that change at all, {len(held)} "
        f"depend on it under both kinds (family-wise p < {LEVEL:.0%})"
        + (f"; of these {_beyond(held, len(tried))}" if len(held) else "")
    )
    text += f". Found would have been (80 %, in the median) waves of {limits}." if limits else "."
    for row in held.sort_values(["beyond", "p_fwe"], ascending=[False, True]).head(
        2 * TOLD
    ).to_dict("records"):  # fmt: skip
        name, _ = LABELS[row["signal"]]
        than = (
            f"resampled ± {told(row['first'])}, random cuts ± {told(row['random'])}, "
            f"p = {small(row['p_random'])}"
            if row["draws"]
            else "no random cuts"
        )
        text += (
            f"\n- {row['region']}, {name}: ± {told(row['amplitude'])}{_unit(row['signal'])}, most "
            f"{where(row['strongest'])} ({told(row['there'])}); {than}."
        )
    return text[0].upper() + text[1:]


def _beyond(held: pd.DataFrame, tried: int) -> str:
    """How many of the rows go beyond random cuts, and how many of all tried ones would by chance.

    What holds was chosen for being large, so chance is reckoned over all that were tried.
    """
    draws = int(held["draws"].max())
    if not draws:
        return "none was held against random cuts"
    chance = np.floor(LEVEL * (draws + 1)) / (draws + 1) * tried
    return (
        f"{held['beyond'].sum()} go further than random cuts of the same size (p < {LEVEL:.0%}, "
        f"{draws} cuts, each by itself: of random regions up to {number(chance, '.1f')} would)"
    )


def _unit(signal: str) -> str:
    unit = LABELS[signal][1]
    return f" {unit}" if unit else ""


def _degrees(at: float) -> str:
    return f"at {round(np.rad2deg(at))}°"
