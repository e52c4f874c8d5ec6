"""What does a robot's network look like in an fMRI scanner, and does what lights up matter?

Protocol: the next step that Lillian, Meyes, Meisen 2018 ("Ablation of a Robot's Brain") announce;
how they took it was not available to us. Each layer of the zoo's lap agent is laid out as a sheet
on which units that are active together are neighbours (`scan`). Mean activity in left
bends, on the straight and in right bends; contrasts left − right and bend − straight, tested over
24 subjects (seeds, each driven on 4 tracks) with family-wise error over all units of both layers
and both contrasts. On other episodes each unit is cut alone (zero; 12 paired episodes), and the
same sheet is coloured by what that changes. Rank correlations (Spearman) over the units of a layer
say whether a unit that responds to a behaviour is needed for it; 95 % percentile bootstrap
intervals over units. A scan without lesions of the zoo's quadruped: commands, and which of the
front feet stands.

Expected picture, if what lights up matters: outlined units of the contrasts are coloured in the
lesion maps too. Where a network's code is spread out, most units light up and few matter alone.

About 2 minutes on 2 quiet cores; ``rl-ablation study brain-scan``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from agents.zoo import find_agent
from experiments.studies.brain_scan.figures import (
    Block,
    contrast_block,
    mean_block,
    over_time,
    sheets,
)
from experiments.studies.registry import Answer
from rl_ablation.analysis.layout import unit_layout
from rl_ablation.analysis.scan import BENDS, Context, Scan, contrasts, scan
from rl_ablation.formats import number
from rl_ablation.groupings.units import singles
from rl_ablation.mapping.evidence import harm
from rl_ablation.mapping.sweep import sweep
from rl_ablation.measures.laps import BEND
from rl_ablation.measures.registry import MEASURES
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.rollouts.recording import record
from rl_ablation.rollouts.rollout import SITE, Trace
from rl_ablation.stats import LEVEL, benjamini_hochberg, rank_correlation

TRACKS = ("bends/ccw", "bends/cw", "random/ccw", "random/cw")  # they bend both ways
PAIRS = {
    "left −\nright bend": (["left bend"], ["right bend"]),
    "bend −\nstraight": (["left bend", "right bend"], ["straight"]),
}
SIDE, BENDING = PAIRS
EFFECTS = ("forward_speed.alive", "left_turning.alive", "right_turning.alive", "off_centre.alive")
SHOWN = EFFECTS[:3]

LEGS: dict[str, Context] = {
    "stand": lambda t: (t["command_vx"] == 0) & (t["command_yaw"] == 0) & (t["command_vy"] == 0),
    "forward": lambda t: t["command_vx"] > 0.1,
    "turn left": lambda t: t["command_yaw"] > 0.1,
    "turn right": lambda t: t["command_yaw"] < -0.1,
    "left front\nfoot stands": lambda t: _stands(t, 0, 1),
    "right front\nfoot stands": lambda t: _stands(t, 1, 0),
}
LEG_CONDITIONS = ("stand", "forward", "turn_left", "turn_right")
LEG_PAIRS = {
    "forward −\nstand": (["forward"], ["stand"]),
    "turn left −\nturn right": (["turn left"], ["turn right"]),
    "left − right\nfoot stands": (["left front\nfoot stands"], ["right front\nfoot stands"]),
}


def _stands(trace: Trace, down: int, up: int) -> np.ndarray:
    feet = trace["foot_contact"] > 0
    return np.asarray((trace["command_vx"] > 0.1) & feet[..., down] & ~feet[..., up])


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Scan, cut every unit, compare; then scan the quadruped."""
    agent = find_agent("lap")
    horizon = 200 if quick else None
    found = scan(
        agent,
        BENDS,
        ["bend"],
        Episodes(12 if quick else 24, seed, TRACKS[:2] if quick else TRACKS, horizon),
    )
    table = contrasts(found, PAIRS, seed)
    cuts = sweep(
        agent,
        singles(agent, ["h1"] if quick else None),
        episodes=12,
        seed=seed,
        measures=EFFECTS,
        horizon=horizon,
        folder=folder / "singles",
    )
    cells = {site: unit_layout(samples) for site, samples in found.samples.items()}
    rows = cuts.effects()
    rows = rows[rows["condition"] == "all"]
    damage = unit_effects(rows, found)
    ranks = agreement(table, damage, found, seed)
    figures = {
        "lap": draw(agent, found, table, rows, cells),
        "time": along(agent, found, table, cells, seed, horizon or 300),
    }
    tables = {"contrasts": table, "effects": rows, "agreement": ranks}
    text = [tell_contrasts(table), tell_damage(rows), tell_agreement(ranks)]
    if not quick:
        legs = find_agent("quadruped")
        signals = ["command_vx", "command_vy", "command_yaw", "foot_contact"]
        walked = scan(legs, LEGS, signals, Episodes(16, seed, LEG_CONDITIONS))
        tables["quadruped"] = contrasts(walked, LEG_PAIRS, seed)
        places = {site: unit_layout(samples) for site, samples in walked.samples.items()}
        figures["quadruped"] = sheets(
            f"{legs.name}: mean activity and its contrasts (outlined: family-wise p < 5 %)",
            places,
            [mean_block(walked), contrast_block(walked, tables["quadruped"])],
        )
        text.append(f"Quadruped: {tell_contrasts(tables['quadruped'])}")
    return Answer("\n\n".join(text), figures, tables)


def unit_effects(rows: pd.DataFrame, found: Scan) -> dict[str, np.ndarray]:
    """Measure → harm of each unit's cut, (units of all sites,); NaN where it was not cut."""
    names = [f"{site}/{unit}" for site, size in found.sites.items() for unit in range(size)]
    wide = rows.assign(harm=harm(rows)).pivot(index="lesion", columns="measure", values="harm")
    return {m: wide[m].reindex(names).to_numpy() for m in EFFECTS}


def agreement(
    table: pd.DataFrame, damage: Mapping[str, np.ndarray], found: Scan, seed: int
) -> pd.DataFrame:
    """Rank correlation of a unit's response with what its cut changes, within each layer."""
    both = np.stack([damage[m] for m in EFFECTS])
    left, right = damage["left_turning.alive"], damage["right_turning.alive"]
    needed = {
        (SIDE, "one side's turning more than the other's"): np.abs(left - right),
        (SIDE, "anything"): np.sqrt((both**2).mean(0)),
        (BENDING, "turning"): np.sqrt((left**2 + right**2) / 2),
        (BENDING, "anything"): np.sqrt((both**2).mean(0)),
    }
    told = []
    for (contrast, what), effect in needed.items():
        strength = table[table["contrast"] == contrast]["strength"].abs().to_numpy()
        for site, values in found.split(effect).items():
            told.append(
                (contrast, what, site, *rank_correlation(found.split(strength)[site], values, seed))
            )
    names = ["contrast", "needed for", "site", "rho", "low", "high", "p"]
    frame = pd.DataFrame(told, columns=names).dropna()
    return frame.assign(q=benjamini_hochberg(frame["p"].to_numpy()))


def draw(
    agent: Policy,
    found: Scan,
    table: pd.DataFrame,
    rows: pd.DataFrame,
    cells: Mapping[str, np.ndarray],
) -> Figure:
    """Mean maps, contrasts and lesion effects of every unit on its sheet."""
    names = [f"{site}/{unit}" for site, size in found.sites.items() for unit in range(size)]
    wide = rows.pivot(index="lesion", columns="measure", values="q").reindex(names)
    titles = {m: f"cut:\n{MEASURES[m].label.removesuffix(' (alive)')}" for m in SHOWN}
    share = rows.assign(
        value=rows["measure"].map(lambda m: MEASURES[m].better) * rows["delta"] / rows["intact"]
    ).pivot(index="lesion", columns="measure", values="value")
    shown = share.reindex(names)
    most = max(0.01, float(np.nanmax(np.abs(shown[list(SHOWN)]))))
    lesions = Block(
        "change when the unit is cut, of the intact value; outlined: q < 5 %",
        "PuOr",
        (-most, most),
        {-most: f"{most:.0%} worse", 0.0: "0", most: f"{most:.0%} better"},
        {titles[m]: found.split(shown[m].to_numpy()) for m in SHOWN},
        {titles[m]: found.split((wide[m] < LEVEL).to_numpy()) for m in SHOWN},
    )
    title = f"{agent.name}: what each unit does (left, middle) and what its loss changes (right)"
    return sheets(title, cells, [mean_block(found), contrast_block(found, table), lesions])


def along(
    agent: Policy,
    found: Scan,
    table: pd.DataFrame,
    cells: Mapping[str, np.ndarray],
    seed: int,
    steps: int,
) -> Figure:
    """Activity along one episode of the track with three bends each way."""
    signals = ["bend", *(SITE + site for site in found.sites)]
    trace = record(agent, signals, Episodes(1, seed, TRACKS[:1], steps)).trace
    ran = int(trace.steps[0])
    # A tanh unit's sign means nothing: each is turned so that it is positive in left bends.
    side = table[table["contrast"] == SIDE]["strength"].to_numpy()
    turn = found.split(np.where(side < 0, -1.0, 1.0))
    shown = {}
    for site, samples in found.samples.items():
        spread = np.where(samples.std(0) > 0, samples.std(0), 1.0)
        shown[site] = turn[site] * (trace[SITE + site][:ran, 0] - samples.mean(0)) / spread
    title = "Activity along a lap, each unit signed so that it is purple in left bends on average"
    time = np.arange(ran) * trace.dt
    return over_time(title, time, trace["bend"][:ran, 0], BEND, shown, cells)


def tell_contrasts(table: pd.DataFrame) -> str:
    """How many units of each layer respond to each contrast."""
    told = []
    for (contrast, site), part in table.groupby(["contrast", "site"], sort=False):
        sure = int((part["p_fwe"] < LEVEL).sum())
        top = part.iloc[int(part["strength"].abs().to_numpy().argmax())]
        told.append(
            f"{str(contrast).replace(chr(10), ' ')} in {sure} of {len(part)} units of {site} "
            f"(most in {site}/{top['unit']}, {number(float(top['strength']))} s.d.)"
        )
    n = int(table["n"].max())
    return f"Contrasts that pass family-wise correction over {n} subjects: {'; '.join(told)}."


def tell_damage(rows: pd.DataFrame) -> str:
    """How many units' cuts change each behaviour by themselves."""
    cut = rows["lesion"].nunique()
    told = [
        f"{MEASURES[m].label} {int((rows[rows['measure'] == m]['q'] < LEVEL).sum())}"
        for m in EFFECTS
    ]
    return f"Units, of {cut} cut one at a time, whose loss changes (q < 5 %): {', '.join(told)}."


def tell_agreement(ranks: pd.DataFrame) -> str:
    """Whether units that respond are needed."""
    lines = [
        f"- {row['contrast'].replace(chr(10), ' ')} against need for {row['needed for']}, "
        f"{row['site']}: ρ = {number(row['rho'])} (95 % CI {number(row['low'])} to "
        f"{number(row['high'])}; q = {row['q']:.3f})"
        for row in ranks.to_dict("records")
    ]
    sure = ranks[ranks["q"] < LEVEL]
    up, down = int((sure["rho"] > 0).sum()), int((sure["rho"] < 0).sum())
    head = (
        f"Does what responds matter? Of {len(ranks)} rank correlations between a unit's response "
        f"and what its loss changes, {up} are clearly positive and {down} clearly negative:"
    )
    return "\n".join([head, "", *lines])
