"""Where are walking, turning and standing in the networks that real robots walk with?

The policies are as their authors published them, in bodies of our own after published figures:
Google's joystick policy of the Unitree Go1 (an MLP of 512, 256 and 128 swish units), and Unitree's
of the legs of its G1 (an LSTM of 64 units, then 32 ELU units). Beside them stands the zoo's own
quadruped. Are the behaviours of the published ones more, or less, in one place?

Protocol: each robot under its battery of commands (stand, forward, backward, sidesteps, turns, a
push). Cuts of layers and functional clusters, 6 a layer; discovery on a few paired episodes,
confirmation on 64 fresh ones, 8 a command, as resample, mean and zero; up to 40 random divisions of
the layers into the same sizes. Of the G1's memory the output, the hidden state and the cell state
are cut apart: a cut of the output leaves what is remembered, a cut of a state takes it.

The policies are no part of this project. They are looked for in ``runs/robots``:
``go1_policy.onnx`` of google-deepmind/mujoco_playground (experimental/sim2sim/onnx) and
``motion.pt`` of unitreerobotics/unitree_rl_gym (deploy/pre_train/g1).

Expected picture, if functions are local: dark bars beyond the dotted line. About 20 minutes on 2
quiet cores; ``rl-ablation study real-robots``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

import rl_ablation as rl
from agents.zoo import find_agent
from experiments.studies.regions import Size, film_still, map_regions, tell, tell_memory
from experiments.studies.regions_figure import shares
from experiments.studies.registry import RUNS, Answer, drawn
from rl_ablation.analysis.localisation import LOCAL, UNHARMED, region_locality
from rl_ablation.reports.figures import by_condition, heatmap, intervals, network

POLICIES = RUNS / "robots"
MEASURES = (
    "stand: drift", "forward: vx_error", "backward: vx_error", "left: vy_error",
    "right: vy_error", "turn_left: yaw_error", "turn_right: yaw_error", "push: push_recovery",
    "fall",
)  # fmt: skip
FULL = Size(k=6, discovery=16, episodes=64, controls=40)
QUICK = Size(k=2, discovery=8, episodes=8, controls=2, horizon=120)


@dataclass(frozen=True)
class Robot:
    """A published policy: the file in `POLICIES`, and the world that it is driven in."""

    file: str
    env: str

    @property
    def there(self) -> bool:
        """Whether the file is there."""
        return (POLICIES / self.file).exists()

    def find(self) -> rl.Policy:
        """The policy in its world."""
        return rl.load(POLICIES / self.file, env=self.env)


PUBLISHED = {
    "Go1": Robot("go1_policy.onnx", "envs:rl_ablation/Go1-v0"),
    "G1": Robot("motion.pt", "envs:rl_ablation/G1-v0"),
}


def study(folder: Path, *, quick: bool, seed: int) -> Answer:
    """Map each robot, and find where its behaviours are."""
    texts: list[str] = []
    figures: dict[str, Figure] = {}
    pictures: dict[str, Path] = {}
    where, tables = dict[str, pd.DataFrame](), dict[str, pd.DataFrame]()
    for name, find in robots().items():
        agent = find()
        run = map_regions(agent, folder / name.lower(), QUICK if quick else FULL, seed)
        where[name] = region_locality(run, MEASURES, seed)
        texts.append(f"**{name}**: {_kind(agent)}\n\n{tell(run, MEASURES, where[name])}")
        if agent.memory:
            texts.append(tell_memory(run, MEASURES))
        shown = by_condition(run) or heatmap(run)
        figures |= drawn({f"{name}_heatmap": shown, f"{name}_network": network(run)})
        figures[f"{name}_intervals"] = intervals(run, MEASURES)
        tables[f"{name}_effects"] = run.effects()
        if not quick and (still := film_still(run)) is not None:
            pictures[f"{name}_film"] = still
    tables["locality"] = pd.concat([t.assign(network=n) for n, t in where.items()])
    text = "\n\n".join([tell_robots(where), *texts])
    return Answer(text, {"shares": shares(where), **figures}, tables, pictures)


def walkers() -> dict[str, Callable[[], rl.Policy]]:
    """Name → what loads a robot on legs; the published one if its file is there."""
    own: dict[str, Callable[[], rl.Policy]] = {"quadruped": lambda: find_agent("quadruped")}
    return {**own, "Go1": PUBLISHED["Go1"].find} if PUBLISHED["Go1"].there else own


def robots() -> dict[str, Callable[[], rl.Policy]]:
    """Name → what loads the robot's policy; a LabError names the first file that is not there."""
    for name, robot in PUBLISHED.items():
        if not robot.there:
            raise rl.LabError(
                f"no {POLICIES / robot.file}: put the published policy of the {name} there (the "
                "study's docstring says from where)"
            )
    published = {name: robot.find for name, robot in PUBLISHED.items()}
    return {**published, "quadruped": lambda: find_agent("quadruped")}


def _kind(agent: rl.Policy) -> str:
    sizes = ", ".join(f"{site} {units}" for site, units in agent.network.sizes.items())
    return f"{agent.card.algorithm}, units {sizes}."


def tell_robots(where: Mapping[str, pd.DataFrame]) -> str:
    """How many of its behaviours are local in each robot, and how much the worst region does."""
    lines = []
    for name, table in where.items():
        harmed = table[table["verdict"] != UNHARMED]
        local = harmed[harmed["verdict"] == LOCAL]
        told = ", ".join(rl.MEASURES[m].label for m in local["measure"]) or "none"
        some = (
            ""
            if harmed.empty
            else (
                f" (the worst region's share of the harm: {harmed['share'].min():.0%} to "
                f"{harmed['share'].max():.0%})"
            )
        )
        lines.append(
            f"- **{name}**: of {len(table)} behaviours {len(harmed)} are clearly harmed by some "
            f"region's loss{some}; local: {told}."
        )
    return "\n".join(lines)
