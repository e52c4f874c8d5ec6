"""What does a robot's network look like in an fMRI scanner, and does what lights up matter?

Protocol: the next step that Lillian, Meyes, Meisen 2018 ("Ablation of a Robot's Brain") announce;
how they took it was not available to us. Each layer of the zoo's lap agent is drawn as a layout
in which units that are active together are neighbours (`scan`). Mean activity in left
bends, on the straight and in right bends; contrasts left − right and bend − straight, tested over
24 subjects (seeds, each driven on 4 tracks) with family-wise error over all units of both layers
and both contrasts. The same in 40 untrained networks that are shown what the trained robot saw, in
12 that drive themselves, and in the trained network with the behaviours of a subject's runs
shuffled. On other episodes each unit is cut alone (held at its mean, as a draw at each step would
drown the little that one unit does; 12 paired episodes), and the same layout
is coloured by what that changes. Rank correlations (Spearman) over the units of a layer say whether
a unit that responds to a behaviour is needed for it; 95 % percentile bootstrap intervals over
units. A scan without lesions of the zoo's quadruped: commands, and which of the front feet
stands.

Expected picture, if what lights up matters: outlined units of the contrasts are coloured in the
lesion maps too. Where a network's code is spread out, most units light up and few matter alone. If
training makes units tell behaviours apart, fewer do so in untrained networks.

About 3 minutes on 2 quiet cores; ``rl-ablation study brain-scan``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import rl_ablation as rl
from agents.recipes import RECIPES
from agents.train import untrained
from agents.zoo import find_agent
from experiments.studies.brain_scan import figures as draw
from experiments.studies.brain_scan.chance import SHUFFLED, Asked, Size, chance
from experiments.studies.brain_scan.words import (
    HOW,
    tell_agreement,
    tell_chance,
    tell_contrasts,
    tell_damage,
)
from experiments.studies.registry import DRIVING, Answer
from rl_ablation.analysis.layout import unit_layout
from rl_ablation.analysis.scan import BENDS, Context, Scan, scanned, visits
from rl_ablation.mapping.claims import overall
from rl_ablation.mapping.evidence import harm
from rl_ablation.rollouts.activity import activity_at
from rl_ablation.rollouts.recording import record
from rl_ablation.rollouts.rollout import Trace
from rl_ablation.stats import benjamini_hochberg, rank_correlation

TRACKS = ("bends/ccw", "bends/cw", "random/ccw", "random/cw")  # they bend both ways
KIND = "mean"  # of cuts
PAIRS = {
    "left −\nright bend": (["left bend"], ["right bend"]),
    "bend −\nstraight": (["left bend", "right bend"], ["straight"]),
}
SIDE, BENDING = PAIRS

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
    agent, recipe = find_agent("lap"), RECIPES["lap"]
    horizon = 200 if quick else None
    how: dict[str, Any] = {"seed": seed, "horizon": horizon}
    tracks, subjects = (TRACKS[:2], 12) if quick else (TRACKS, 24)
    asked, drive = Asked(BENDS, ["bend"], PAIRS, seed), rl.Episodes(subjects, seed, tracks, horizon)
    seen = visits(agent, BENDS, ["bend"], drive)
    found = scanned(seen)
    table = asked.contrasts(found)
    size = Size(4, 1, 3) if quick else Size(40, 12, 20)
    chances = chance(seen, agent, recipe, asked, size, drive)
    plan = rl.singles(agent, ["h1"] if quick else None).with_kind(KIND)
    cuts = rl.sweep(agent, plan, episodes=12, measures=DRIVING, folder=folder / "singles", **how)
    rows = overall(cuts.effects())
    ranks = agreement(table, rows, found, seed)
    cells = places(found)
    title = f"{agent.name}: what each unit does (left, middle) and what its loss changes (right)"
    blocks = [draw.mean_block(found), draw.contrast_block(found, table, level(chances))]
    blocks.append(draw.lesion_block(found, rows, DRIVING[:3]))
    figures = {"lap": draw.unit_layouts(title, cells, blocks)}
    figures["chance"] = draw.chances(f"{agent.name}: contrasts, and what chance gives", chances)
    naive = untrained(recipe, 0, agent)
    other = scanned(seen, naive)
    plain = asked.contrasts(other)
    title = f"{agent.name}, untrained, shown what the trained robot saw"
    blocks = [draw.mean_block(other), draw.contrast_block(other, plain, level(chances))]
    figures["untrained"] = draw.unit_layouts(title, places(other), blocks)
    lap = record(agent, ["obs", "bend"], rl.Episodes(1, seed, TRACKS[:1], horizon or 300)).trace
    bend = pd.Series(lap["bend"][lap.alive], np.arange(lap.steps[0]) * lap.dt)
    activity = {
        **signed(lap, found, table, agent),
        **signed(lap, other, plain, naive, "untrained "),
    }
    figures["time"] = draw.over_time(bend, activity)
    tables = {"contrasts": table, "chance": chances, "effects": rows, "agreement": ranks}
    text = [tell_contrasts(table), f"{HOW}\n\n{tell_chance(chances)}", tell_damage(rows)]
    text.append(tell_agreement(ranks))
    if not quick:
        legs = quadruped(seed)
        text.append(legs.text)
        figures.update(legs.figures)
        tables.update(legs.tables)
    return Answer("\n\n".join(text), figures, tables)


def quadruped(seed: int) -> Answer:
    """The scan of the quadruped, and what chance gives."""
    agent = find_agent("quadruped")
    signals = ["command_vx", "command_vy", "command_yaw", "foot_contact"]
    asked, drive = Asked(LEGS, signals, LEG_PAIRS, seed), rl.Episodes(16, seed, LEG_CONDITIONS)
    seen = visits(agent, LEGS, signals, drive)
    found = scanned(seen)
    table = asked.contrasts(found)
    chances = chance(seen, agent, RECIPES["quadruped"], asked, Size(12, 3, 10), drive)
    blocks = [draw.mean_block(found), draw.contrast_block(found, table, level(chances))]
    title = f"{agent.name}: mean activity and its contrasts (outlined: family-wise p < 5 %)"
    figures = {"quadruped": draw.unit_layouts(title, places(found), blocks)}
    title = f"{agent.name}: contrasts, and what chance gives"
    figures["quadruped-chance"] = draw.chances(title, chances)
    text = f"Quadruped: {tell_contrasts(table)}\n\n{tell_chance(chances)}"
    return Answer(text, figures, {"quadruped": table, "quadruped-chance": chances})


def places(found: Scan) -> dict[str, np.ndarray]:
    """Layer → the place of each unit."""
    return {site: unit_layout(samples) for site, samples in found.samples.items()}


def level(chances: pd.DataFrame) -> float:
    """The size of a contrast that 19 of 20 units stay below when behaviours are shuffled, s.d."""
    return float(chances[chances["who"] == SHUFFLED]["most"].mean())


def agreement(table: pd.DataFrame, rows: pd.DataFrame, found: Scan, seed: int) -> pd.DataFrame:
    """Rank correlation of a unit's response with what its cut changes, within each layer."""
    names = [f"{site}/{unit}" for site, size in found.sites.items() for unit in range(size)]
    wide = rows.assign(harm=harm(rows)).pivot(index="lesion", columns="measure", values="harm")
    damage = np.stack([wide[m].reindex(names) for m in DRIVING])  # NaN where a unit was not cut
    anything, (_, left, right, _) = np.sqrt((damage**2).mean(0)), damage
    needed = {
        (SIDE, "one side's turning more than the other's"): np.abs(left - right),
        (SIDE, "anything"): anything,
        (BENDING, "turning"): np.sqrt((left**2 + right**2) / 2),
        (BENDING, "anything"): anything,
    }
    ranks = []
    for (contrast, what), effect in needed.items():
        strength = table[table["contrast"] == contrast]["strength"].abs().to_numpy()
        responses = found.split(strength)
        for site, values in found.split(effect).items():
            known = int(np.isfinite(values).sum())
            rho = rank_correlation(responses[site], values, seed)
            ranks.append((contrast, what, site, known, *rho))
    names = ["contrast", "needed for", "site", "units", "rho", "low", "high", "p"]
    frame = pd.DataFrame(ranks, columns=names).dropna()
    return frame.assign(q=benjamini_hochberg(frame["p"].to_numpy()))


def signed(
    trace: Trace, found: Scan, table: pd.DataFrame, policy: rl.Policy, word: str = ""
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What a network does along one episode.

    Layer, after a word → places of its units, and their activity in s.d. from the mean, (T, H).
    Each unit is signed to be positive in left bends on average: a tanh unit's own sign means
    nothing.
    """
    side = table[table["contrast"] == SIDE]["strength"].to_numpy()
    sign, cells = found.split(np.where(side < 0, -1.0, 1.0)), places(found)
    shown = {}
    for site, values in activity_at(policy, trace["obs"][trace.alive]).items():
        samples = found.samples[site]
        spread = np.where(samples.std(0) > 0, samples.std(0), 1.0)
        shown[word + site] = cells[site], sign[site] * (values - samples.mean(0)) / spread
    return shown
