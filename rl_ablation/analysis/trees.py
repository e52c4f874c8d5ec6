"""Groups without an arbitrary number: a tree of each layer's units, cut from the root downwards.

The units of a layer are joined by Ward's criterion over their absolute correlations, as clusters
are, but the tree is not cut at any height. Its root, the whole layer, is lesioned. If that changes
a behaviour, its two parts are lesioned. Where one of them by itself makes at least half of the
change, in the same direction, the change lies in a part: whichever parts change anything are
followed. Where neither does, it is a matter of the whole, and the node is a group *found*. So a
function that hangs on no part of the layer ends at its root, one that hangs on one unit at a leaf.

**The error rate** holds for the whole search. A node's p is multiplied by units of the layer over
units of the node, by the number of layers and by the number of measures, and is made no smaller
than its parent's, so that only parts of what was rejected are tested (Meinshausen 2008,
"Hierarchical testing of variable importance", Biometrika 95). For a measure, take the true nulls
that have no true null above them. None lies inside another, so their shares of the layer add up to
at most 1; and no null at all is rejected without one of these. So in 95 % of searches and more none
of all the nodes × measures named is a null. This asks three things only:

* The tree is fixed before any cut is made: it comes from intact activity, of episodes of its own.
* Each node's own p is right. How the nodes depend on each other does not matter. So the same
  episodes may tell where to go on and be the test: each p is that of a cut that was laid down
  beforehand, whether it was looked at or not.
* Nothing has to be nested. A whole may be harmless where its parts are not (they cancel), and parts
  where the whole is not (they stand in for each other): that costs findings and makes no false one.

It holds for all rejected nodes together, so whichever of them one speaks of may be chosen at will.
Where the search ends is such a choice: half is where this lab calls a loss local, no test.

**The p of a node** is the largest over kinds of cut within the network's range, and 1 where they
differ in sign: an intersection-union test, as in `rl_ablation.mapping.kinds`. In each kind it is
the exact two-sided sign-flip p of the mean paired difference: of all 2ⁿ flips, counted by putting
two sorted halves together. It assumes differences that are symmetric about 0 under the null. More
than 24 episodes are flipped in 24 blocks, which is exact too and reaches 2⁻²³; 9,999 random flips,
as elsewhere, could not tell a unit of a wide layer.

**The cost** is that of each node tried × kinds × episodes, and of the intact robot once a round:
2 cuts for each node that was split, where flat clusters cost one each. What is not found may be
there: where two groups of a function are in different branches and either suffices, cutting one
shows nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import floor, log2
from typing import Unpack

import numpy as np
import pandas as pd

from rl_ablation.errors import LabError
from rl_ablation.files import digest
from rl_ablation.groupings.stability import correlations, joined
from rl_ablation.groupings.units import hidden_sites
from rl_ablation.lesions.lesion import INTACT, VARIANT, Lesion, Plan
from rl_ablation.lesions.methods import DEAD_STD
from rl_ablation.lesions.variants import variants
from rl_ablation.mapping.behaviour import Behaviour
from rl_ablation.mapping.design import Execution, Fields, as_episodes, only, typed
from rl_ablation.mapping.divisions import HALF
from rl_ablation.mapping.filling import place
from rl_ablation.mapping.sweep import make_spec, recorded, sweep
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.activity import Activity
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.rollouts.world import settled
from rl_ablation.stats import LEVEL, finite_mean

WITHIN = ("resample", "mean")
"""The kinds of cut of a search: the default ones that claims rest on."""
COLUMNS = {
    "name": "of the node: h0/tree-0 is the layer h0, h0/tree-0.0 and h0/tree-0.1 are its parts",
    "parent": "name of the node that it is a part of; none for a layer",
    "site": "layer",
    "units": "number of units",
    "measure": "behaviour measured",
    "kind": "kind of cut under which the change is smallest",
    "intact": "mean of the intact robot under this kind's pairs",
    "delta": "mean of the paired differences lesioned − intact under this kind",
    "effect": "delta / √((s²_intact + s²_lesioned)/2) under this kind",
    "p": "largest of the kinds' exact sign-flip p; 1 where they differ in sign",
    "p_adjusted": "p × units of the layer / units × layers × measures; at least the parent's",
    "rejected": "p_adjusted is below 5 %: cutting the node changes the measure",
    "found": "rejected and followed to, and neither part makes half of its change",
    "round": "in which it was tried",
}
_BLOCKS = 24  # sign flips of so many are counted exactly


@dataclass(frozen=True, eq=False, repr=False)
class Branch:
    """A set of units of a layer, in ascending order, and its parts: two, or none of a single unit.

    ``name`` and ``parent`` are given from the root downwards, see `Branch.named_parts`.
    """

    site: str
    units: tuple[int, ...]
    parts: tuple[Branch, ...] = ()
    name: str = ""
    parent: str = ""

    @property
    def lesion(self) -> Lesion:
        """The cut of its units."""
        return Lesion(name=self.name, cut={self.site: self.units}, group="tree")

    @property
    def named_parts(self) -> list[Branch]:
        """Its parts, the larger first, with their names."""
        return [
            replace(part, name=f"{self.name}.{k}", parent=self.name)
            for k, part in enumerate(self.parts)
        ]


Ask = Callable[[Sequence[Branch], int], tuple[np.ndarray, np.ndarray]]
"""(nodes, number of the round) → what the cut robots and the intact one did, (nodes, kinds,
measures, episodes) and (measures, episodes)."""


@dataclass(frozen=True, eq=False)
class Tree:
    """What a search found.

    Attributes:
        nodes: A row for each node tried × measure; see ``COLUMNS``.
        tried: The cuts of all nodes that were tried.
        steps: Control steps that it took, of intact robots too.
    """

    nodes: pd.DataFrame
    tried: Plan
    steps: int

    @property
    def found(self) -> pd.DataFrame:
        """The rows of the groups found."""
        return self.nodes[self.nodes["found"]].reset_index(drop=True)

    def plan(self) -> Plan:
        """The groups found, as cuts; `lesion_map` confirms them on fresh seeds."""
        names = set(self.found["name"])
        return Plan(x for x in self.tried if x.name in names)


def tree_search(
    agent: Policy,
    episodes: Episodes | int = 24,
    execution: Execution | None = None,
    *,
    measures: Sequence[str] | None = None,
    activity: Activity | None = None,
    sites: Sequence[str] | None = None,
    **given: Unpack[Fields],
) -> Tree:
    """Search the trees of the hidden layers, or of the named sites, for the groups that matter.

    Each round is one `sweep`, in a folder of its own: all open nodes of all layers, in all kinds.
    Called again with the same arguments it goes on where it stopped. Every measure, None takes all
    that apply, and every layer makes the test stricter, so name the few behaviours that are asked
    about. Units that never vary are left out: what they are replaced by is what they give. Fields
    of `Episodes` and `Execution` may be given by name, and ``kinds`` of cut instead of ``WITHIN``.
    For the error rate, the assumptions and the cost see `rl_ablation.analysis.trees`.

    Raises:
        LabError: Something does not fit, no unit varies, or the episodes are too few for a p value
            that could show a single unit.
    """
    kinds = tuple(given.pop("kinds", None) or WITHIN)
    only(given, Episodes, Execution)
    execution = typed(execution or Execution(), given)
    asked = settled(agent, as_episodes(episodes, given))
    activity = recorded(agent, asked, execution) if activity is None else activity
    chosen = hidden_sites(agent, sites)
    roots = [x for x in (root(s, activity[s].samples) for s in chosen) if x is not None]
    if not roots:
        raise LabError(f"no unit of {', '.join(chosen)} varies, so there is no tree to cut")
    first = make_spec(agent, variants(Plan(x.lesion for x in roots), kinds), asked, measures)
    check_episodes(asked.count, roots, len(first.measures))
    folder = execution.folder or place(agent.name, digest(["tree", first.digest]))
    steps = 0

    def ask(nodes: Sequence[Branch], number: int) -> tuple[np.ndarray, np.ndarray]:
        nonlocal steps
        plan = variants(Plan(x.lesion for x in nodes), kinds)
        how = replace(execution, folder=folder / f"round-{number}")
        run = sweep(agent, plan, asked, how, measures=first.measures, activity=activity)
        steps += int(run.table()["steps"].sum())
        return outcomes(run.behaviour(), [x.name for x in nodes], first.measures, kinds)

    nodes, tried = search(roots, ask, first.measures, kinds)
    return Tree(nodes, Plan(x.lesion for x in tried), steps)


def root(site: str, samples: np.ndarray) -> Branch | None:
    """The tree of a layer's units, from their activity (S, H); None where none varies."""
    samples = samples.astype(np.float64)
    live = np.flatnonzero(samples.std(0) > DEAD_STD).tolist()
    nodes = [Branch(site, (unit,)) for unit in live]
    for pair in joined(correlations(samples[:, live])):
        parts = sorted((nodes[k] for k in pair), key=lambda x: (-len(x.units), x.units))
        nodes.append(Branch(site, tuple(sorted(u for x in parts for u in x.units)), tuple(parts)))
    return replace(nodes[-1], name=f"{site}/tree-0") if nodes else None


def check_episodes(episodes: int, roots: Sequence[Branch], measures: int) -> None:
    """Raise LabError where no p of so many episodes could reject a single unit."""
    widest = max(len(x.units) for x in roots)
    least = 1 + floor(log2(widest * len(roots) * measures / LEVEL)) + 1
    if episodes < least:
        raise LabError(
            f"with {episodes} episodes no single unit of {widest} could be shown to matter in one "
            f"of {measures} measures; take at least {least} episodes, or fewer measures or sites"
        )


def outcomes(
    found: Behaviour, cuts: Sequence[str], measures: Sequence[str], kinds: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """What cuts made in several kinds did, and the intact robot; shapes as of ``Ask``."""
    values = np.stack([found.numbers[m] for m in measures])  # (measures, episodes, lesions)
    at = found.about.index.get_indexer
    names = [[x if k == kinds[0] else f"{x}{VARIANT}{k}" for x in cuts] for k in kinds]
    cut = np.stack([values[:, :, at(pd.Index(x))] for x in names])
    return cut.transpose(3, 0, 1, 2), values[:, :, at(pd.Index([INTACT]))[0]]


def search(
    roots: Sequence[Branch], ask: Ask, measures: Sequence[str], kinds: Sequence[str]
) -> tuple[pd.DataFrame, list[Branch]]:
    """Follow what matters from the roots down; ``ask`` tells what cuts do.

    Gives the table of ``COLUMNS`` and all nodes that were tried.
    """
    whole = {x.site: len(x.units) * len(roots) * len(measures) for x in roots}
    above: dict[str, dict[str, np.ndarray]] = {}  # name → p_adjusted, delta, open of each measure
    frames: list[pd.DataFrame] = []
    tried: list[Branch] = []
    nodes = list(roots)
    while nodes:
        told = compare(*ask(nodes, len(frames) + 1))
        share = np.array([whole[x.site] / len(x.units) for x in nodes])
        p = np.minimum(told["p"] * share[:, None], 1.0)
        if above:
            p = np.maximum(p, np.stack([above[x.parent]["p_adjusted"] for x in nodes]))
        told |= {"p_adjusted": p, "kind": np.array(kinds)[told["kind"]]}
        told["rejected"] = p < LEVEL
        told["open"] = np.ones(p.shape, bool) if not above else _followed(nodes, told, above)
        above = {x.name: {k: v[i] for k, v in told.items()} for i, x in enumerate(nodes)}
        rows = [(x.name, x.parent, x.site, len(x.units), m) for x in nodes for m in measures]
        frame = pd.DataFrame(rows, columns=["name", "parent", "site", "units", "measure"])
        frame = frame.assign(**{name: each.ravel() for name, each in told.items()})
        frames.append(frame.assign(round=len(frames) + 1))
        tried += nodes
        some = (told["open"] & told["rejected"]).any(1)
        nodes = [part for x, matters in zip(nodes, some, strict=True) if matters
                 for part in x.named_parts]  # fmt: skip
    table = pd.concat(frames, ignore_index=True)
    split = set(table.loc[table["open"], ["parent", "measure"]].itertuples(index=False, name=None))
    here = table[["name", "measure"]].itertuples(index=False, name=None)
    end = np.array([x not in split for x in here])
    return table.assign(found=table["rejected"] & table["open"] & end)[list(COLUMNS)], tried


def _followed(
    parts: Sequence[Branch], told: dict[str, np.ndarray], above: dict[str, dict[str, np.ndarray]]
) -> np.ndarray:
    """Whether parts are followed, (parts, measures): one of the two keeps half of the change."""
    whole = {key: np.stack([above[x.parent][key] for x in parts]) for key in ("delta", "open")}
    share = np.divide(
        told["delta"], whole["delta"], where=whole["delta"] != 0, out=np.zeros_like(told["delta"])
    )
    keeps = told["rejected"] & (share >= HALF)
    pairs = [x.parent for x in parts]
    either = pd.DataFrame(keeps).groupby(pairs).transform("any").to_numpy()
    return whole["open"] & either


def compare(cut: np.ndarray, intact: np.ndarray) -> dict[str, np.ndarray]:
    """What nodes do under the kind in which each does least, all (nodes, measures).

    Of what cut robots (nodes, kinds, measures, episodes) and the intact one (measures, episodes)
    did: ``kind``, its number; ``intact``, ``delta``, ``effect``; ``p`` of all kinds together.
    """
    change = cut - intact
    delta = finite_mean(change, -1)
    there = np.isfinite(change)
    both = [np.where(there, x, np.nan) for x in (np.broadcast_to(intact, cut.shape), cut)]
    count = there.sum(-1)
    means = [finite_mean(x, -1) for x in both]
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = sum(
            np.where(there, (x - m[..., None]) ** 2, 0.0).sum(-1)
            / np.where(count > 1, count - 1, np.nan)
            for x, m in zip(both, means, strict=True)
        )
        effect = np.where(delta == 0, 0.0, delta / np.sqrt(spread / 2))
    p = flip_p(np.moveaxis(change, -1, 0).reshape(change.shape[-1], -1)).reshape(delta.shape)
    sign = np.sign(delta)
    one = np.isfinite(p).all(1) & (sign.min(1) == sign.max(1))
    least = np.abs(np.nan_to_num(delta)).argmin(1)
    pick = [np.take_along_axis(x, least[:, None], 1)[:, 0] for x in (means[0], delta, effect)]
    together = np.where(one, np.nan_to_num(p, nan=1.0).max(1), 1.0)
    return {"kind": least, "intact": pick[0], "delta": pick[1], "effect": pick[2], "p": together}


def flip_p(differences: np.ndarray) -> np.ndarray:
    """Exact two-sided sign-flip p of the mean of paired differences (E, C), column by column.

    Pairs without a number are left out; NaN where none has one. More than 24 episodes are flipped
    in 24 blocks, of episode k, k + 24, …: under the null sums of blocks are symmetric too.
    """
    there = np.isfinite(differences)
    values = np.where(there, differences, 0.0)
    blocks = np.stack([values[k::_BLOCKS].sum(0) for k in range(min(_BLOCKS, len(values)))])
    middle = (len(blocks) + 1) // 2
    one, other = (_signs(len(half)) @ half for half in (blocks[:middle], blocks[middle:]))
    other.sort(axis=0)
    bar = np.abs(values.sum(0)) - 1e-9 * np.abs(values).sum(0)
    p = np.ones(len(bar))
    for k in np.flatnonzero(bar > 0):
        # The upper tail is as large as the lower one.
        above = len(other) - np.searchsorted(other[:, k], bar[k] - one[:, k])
        p[k] = 2 * above.sum() / 2 ** len(blocks)
    return np.where(there.any(0), p, np.nan)


def _signs(count: int) -> np.ndarray:
    """All signs of so many numbers, (2ⁿ, n)."""
    codes = np.arange(2**count)
    return 1.0 - 2.0 * ((codes[:, None] >> np.arange(count)) & 1)
