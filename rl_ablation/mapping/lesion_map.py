"""A map that can be believed: discovery, confirmation on fresh seeds, and controls around both."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Unpack

import numpy as np
import pandas as pd

from rl_ablation.errors import LabError
from rl_ablation.files import digest, sha256, write_atomically
from rl_ablation.groupings.controls import random_divisions, random_groups
from rl_ablation.lesions.lesion import INTACT, VARIANT, Lesion, Plan
from rl_ablation.lesions.methods import KINDS
from rl_ablation.lesions.variants import doses
from rl_ablation.mapping import evidence
from rl_ablation.mapping.behaviour import Behaviour
from rl_ablation.mapping.claims import (
    changes,
    double_dissociations,
    headline_regions,
    improvements,
    own,
    worth_telling,
)
from rl_ablation.mapping.design import Execution, Fields, MapDesign, as_episodes, only, typed
from rl_ablation.mapping.divisions import HALF, divided, divisions
from rl_ablation.mapping.evidence import differences
from rl_ablation.mapping.filling import design_text, filling, place
from rl_ablation.mapping.kinds import in_first, in_kinds
from rl_ablation.mapping.manifest import (
    CONFIRMATION,
    CONTROLS,
    DESIGN,
    DISCOVERY,
    DOSES,
    MAX_SPEC,
    MORE,
    PROBE,
    seal,
)
from rl_ablation.mapping.map import Map
from rl_ablation.mapping.probe import probe
from rl_ablation.mapping.run import Run
from rl_ablation.mapping.spec import Spec
from rl_ablation.mapping.sweep import check_activity, filled, make_spec, recorded
from rl_ablation.policies.policy import Policy
from rl_ablation.progress import line, stage
from rl_ablation.rollouts.activity import Activity
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.rollouts.world import settled
from rl_ablation.stats import LEVEL

SAME = "A/A"
FEW = 6
"""Episodes of a first look, and of each random cut, where the world has fewer conditions."""

FIRST_DRAWS, _ROUND = 10, 30  # random cuts at once, before asking whether more can decide
_BYTES = 25  # of a number of a direction in a run's text, at most
NAMED = 3  # headlines that are held against all the random cuts, beside the best improvement
DOSED = 4  # regions whose cut is also given in doses
_OPEN, _CLEAR = 2.0, 4.0  # |t| of any cell from which a lesion is confirmed, if adaptive or not
_LEAST = 12  # episodes of a confirmation: with 6, no sign-flip p survives a correction
_SURE = 3.0  # |t| of every such cell that half the confirmation must promise to be enough


def checks(agent: Policy) -> Plan:
    """What every map holds besides its cuts: an A/A lesion, and robots without a brain.

    ``A/A`` multiplies every hidden unit by 1: it goes all the way through the machinery and must
    change nothing at all. The baselines take the policy's place by zeros, by its mean action, and
    by actions drawn from those it took, whatever the robot sees.
    """
    hidden = {site: tuple(range(n)) for site, n in agent.network.sizes.items()}
    motors = {"action": tuple(range(agent.action_size))}
    same = Lesion(name=SAME, cut=hidden, kind="gain", strength=1.0, group="checks")
    brainless = [
        Lesion(name=f"{name} action", cut=motors, kind=kind, group="baselines")
        for name, kind in (("zero", "zero"), ("mean", "mean"), ("random", "resample"))
    ]
    return Plan([same, *brainless])


def cuts_of(plan: Plan, episodes: Episodes, design: MapDesign) -> tuple[Plan, Plan]:
    """The cuts of a map in their first kind, and in all; a LabError if the design does not fit."""
    if (least := len(episodes.conditions or ())) > design.discovery:
        raise LabError(
            f"discovery must be at least {least}: {design.discovery} episodes cannot cover "
            f"{least} conditions"
        )
    every = in_kinds(plan, design.kinds, design.strength)
    return in_first(every), every


def base(lesion: Lesion) -> str:
    """The name of a cut without the mark of its kind."""
    return lesion.name.partition(VARIANT)[0]


def few_of(episodes: Episodes) -> int:
    """Episodes of a first look, and of each random cut."""
    return max(len(episodes.conditions or ()), min(FEW, episodes.count))


def lesion_map(
    agent: Policy,
    plan: Plan,
    episodes: Episodes | int = 24,
    design: MapDesign | None = None,
    execution: Execution | None = None,
    *,
    measures: Sequence[str] | None = None,
    activity: Activity | None = None,
    **given: Unpack[Fields],
) -> Map:
    """Map what a plan's cuts do, in two stages and with controls; resumable like `sweep`.

    1. *Discovery* runs every cut, an A/A lesion and brainless baselines, and selects those with a
       q below 10 % or a |t| of 4 in any behaviour: leniently, since confirmation decides. What may
       matter under one condition only is selected by the size of its change in that condition's own
       measure, since few episodes are of that condition. An adaptive map looks at few episodes, at
       one of a cut that changes no action in the states that the intact robot visits, and leaves
       what shows a |t| of 2 to confirmation.
    2. *Confirmation* runs what was selected on fresh seeds, in all kinds. Its numbers are the ones
       that `Map.effects` shows, tests and corrects, and claims are made of (see `weakest`). If
       adaptive, large effects get half the episodes, where there is one kind: how clear a claim of
       several will be, the discovery in one does not tell.
    3. *Controls*, in the first kind: random divisions of the layers that the plan divides, into
       parts of the same sizes, and random cuts of the size of other groups with a change worth
       telling; up to the design's number of them, in rounds that end as soon as nothing can stand
       out any more (Besag & Clifford 1991).
    4. *Doses* of the cuts that matter most, and a *probe* of every cut on the states that the
       intact robot visits.

    The episodes are those of the confirmation, or only how many; for the rest see `sweep`. Fields
    of `Episodes`, `MapDesign` and `Execution` may be given by name. The finished map is the
    discovery, with the other stages inside its folder.

    Raises:
        LabError: Something does not fit, or the A/A lesion changed something.
    """
    only(given, Episodes, MapDesign, Execution)
    design = typed(design or MapDesign(), given)
    execution = typed(execution or Execution(), given)
    asked = as_episodes(episodes, given)
    work = _Work(agent, settled(agent, asked), design, execution, measures, activity)
    with line(show=execution.progress):
        return _staged(work, plan, asked.count)


def _staged(work: _Work, plan: Plan, count: int) -> Map:
    """The stages, one after the other; ``count`` are the episodes that were asked for."""
    agent, design, execution = work.agent, work.design, work.execution
    (cuts, kinds), few = cuts_of(plan, work.episodes, design), few_of(work.episodes)
    every = cuts + checks(agent)
    stage(DISCOVERY)
    probed = probe(agent, kinds + checks(agent), work.recorded)
    first, once = design.discovery, set[str]()
    if design.adaptive:
        first, once = min(few, first), _idle(every, probed, work.agent.memory)
    spec = make_spec(agent, every, replace(work.episodes, count=first), work.measures, once)
    every_cut = digest([x.model_dump(mode="json") for x in kinds])
    asked = design_text({**asdict(design), "episodes": count, "cuts": every_cut})
    folder = execution.folder or place(agent.name, digest([spec.digest, asked]))
    with filling(folder, spec, asked) as finished:
        if finished:
            check_activity(Run(folder), work.recorded)
        else:
            _fill(work, folder, spec, plan, count)
            probe_text = probed.to_csv(index=False)
            write_atomically(folder / PROBE, probe_text)
            _seal(work, folder, {DESIGN: asked, PROBE: probe_text})
    return Map(folder)


def _fill(work: _Work, folder: Path, spec: Spec, plan: Plan, count: int) -> None:
    """Make the stages of a map in its folder, as far as they are not there."""
    (cuts, kinds), few = cuts_of(plan, work.episodes, work.design), few_of(work.episodes)
    run = work.stage(folder, spec)
    _same_is_same(run)
    t = _t(run).max(axis=1)
    # With few episodes no sign-flip p can be small, however clear the change.
    enough = _OPEN if work.design.adaptive else _CLEAR
    names = {*evidence.selected(run.own_effects()), *t.index[t >= enough]}
    names |= shown_in_a_condition(run)
    stage(CONFIRMATION, lambda: _so_far(cuts, names))
    confirmation = _confirm(work, run, Plan(x for x in kinds if base(x) in names))
    _same_is_same(confirmation)
    stage(CONTROLS, lambda: _so_far(cuts, _still(confirmation), ", on fresh seeds too"))
    if not any(x.group == "random" for x in plan):  # they are controls already
        _draw_controls(work, run, confirmation, min(few, count))
    stage(DOSES)
    _give_doses(work, run, confirmation, min(2 * few, count))


def _seal(work: _Work, folder: Path, texts: Mapping[str, str]) -> None:
    """Write the manifest, which says that the map is finished; the texts are files beside."""
    files = {name: sha256(text.encode()) for name, text in texts.items()}
    for run in work.made:
        where = run.folder.relative_to(folder)
        files |= {(where / name).as_posix(): sha for name, sha in run.listing().items()}
    seal(folder, files, work.made[0].versions)


@dataclass(frozen=True)
class _Work:
    """What all stages of a map share."""

    agent: Policy
    episodes: Episodes
    design: MapDesign
    execution: Execution
    measures: Sequence[str] | None
    activity: Activity | None
    made: list[Run] = field(default_factory=list)  # the stages so far

    @cached_property
    def recorded(self) -> Activity:
        """The intact activity, recorded once."""
        if self.activity is not None:
            return self.activity
        return recorded(self.agent, self.episodes, self.execution)

    def stage(self, folder: Path, spec: Spec) -> Map:
        """Run a stage, or what is missing of it."""
        run = filled(folder, spec, self.agent, self.recorded, self.execution)
        self.made.append(run)
        return run

    def sweep(self, plan: Plan, episodes: Episodes, folder: Path) -> Map:
        """`stage` for a plan."""
        return self.stage(folder, make_spec(self.agent, plan, episodes, self.measures))


def _same_is_same(run: Run) -> None:
    names = [*run.spec.measures, "steps"]
    one, other = (run.rows_of(lesion)[names].to_numpy() for lesion in (INTACT, SAME))
    if not np.array_equal(one, other, equal_nan=True):
        raise LabError(
            f"{run.folder}: the A/A lesion changed something, so this machine does not repeat "
            "itself and its maps mean nothing; is the environment deterministic for a seed?"
        )


def _t(run: Run) -> pd.DataFrame:
    """|t| of each lesion (row) in each measure (column); ∞ where all differences are alike."""
    columns = {}
    for measure, change in differences(run.behaviour(), run.spec.measures).items():
        n = change.count()
        spread = change.std().where(n > 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            d = (change.mean().abs() / spread).where(change.mean() != 0, 0.0)
        columns[measure] = d * np.sqrt(n)
    return pd.DataFrame(columns)


def shown_in_a_condition(run: Run) -> set[str]:
    """The cuts that change a condition's own measure by what is worth telling, in the mean of the
    condition's episodes, be there only one: over all conditions together it would be lost."""
    shown: set[str] = set()
    table = run.behaviour()
    for name, change in differences(table, run.own).items():
        mean = change.mean().abs()
        intact = float(table.values(name)[INTACT].mean())
        full = max(mean.max(), evidence.floor(name, intact))
        shown |= set(mean.index[mean >= evidence.REPORTED_EFFECT * full])
    return shown


def _so_far(cuts: Plan, names: Collection[str], fresh: str = "") -> str:
    """What looks like a finding before anything has been tested; claims come at the end."""
    count = sum(x.name in names for x in cuts)
    return f"{count} of {len(cuts) - 1} look as if they change something{fresh}"


def _still(confirmation: Run) -> set[str]:
    """The cuts with a large |t| under every kind within the network's range, if there is one."""
    t = _t(confirmation).max(axis=1)
    within = [x.name for x in confirmation.plan if x.size and KINDS[x.kind].within]
    t = t[within or list(t.index)]
    least = t.groupby(t.index.str.partition(VARIANT).get_level_values(0)).min()
    return set(least.index[least >= _CLEAR])


def _idle(plan: Plan, probed: pd.DataFrame, memory: Container[str]) -> set[str]:
    """The cuts that change nothing in any state that the intact robot visits.

    What is cut in a memory may show in the next action only, so such a cut is never idle.
    """
    still = set(probed.loc[probed["direct"] == 0, "lesion"])
    return {
        x.name
        for x in plan
        if x.name in still
        and x.group not in evidence.NO_CLAIMS
        and not any(site in memory for site in (*x.sites, *x.to))
    }


def _confirm(work: _Work, run: Map, chosen: Plan) -> Map:
    same = Plan(x for x in checks(work.agent) if x.name == SAME)  # baselines claim nothing
    plan, fresh = chosen + same, work.episodes.stage(1)
    folder, episodes = run.folder / CONFIRMATION, fresh.count
    conditions = len(run.spec.conditions)
    each = evidence.TELLING * conditions  # so many that every condition can be told of
    some = max(conditions, _LEAST, episodes // 2, each if run.own and each <= episodes else 0)
    several = any(VARIANT in x.name for x in chosen)
    if not work.design.adaptive or several or some >= episodes:
        return work.sweep(plan, fresh, folder)
    confirmation = work.sweep(plan, replace(fresh, count=some), folder)
    t = _t(run)  # the discovery's: no peeking here
    foreseen = t.where(t >= _OPEN).min(axis=1) * np.sqrt(some / run.spec.episodes)
    small = Plan(x for x in chosen if not foreseen.get(x.name, 0.0) >= _SURE)
    if len(small) > 1:
        more = work.episodes.stage(1, 1, episodes - some)
        work.sweep(small, more, folder / f"{MORE}-1")
    return confirmation


def _draw_controls(work: _Work, run: Map, confirmation: Run, episodes: int) -> None:
    """Draw random cuts in rounds, while they can still decide: divisions of the layers that the
    map divides, and for other groups with something to tell cuts of their size. After the first
    round only what the findings name, and what may be local, is looked at: where no division can
    stand out any more, single cuts of the named regions' sizes are drawn, not whole divisions."""
    so_far, draws = Map(run.folder, begun=True), work.design.controls
    rows = worth_telling(so_far)
    rows = rows[rows["stage"] == "confirmed"]
    named = {*headline_regions(so_far, NAMED), *improvements(so_far)["lesion"][:1]}
    told = set(rows["lesion"])
    parts = divided(run.plan)
    if not told.intersection(parts.names):
        parts = Plan()
    loose = Plan(x for x in run.plan if x.name in told and x.name not in parts.names)
    most = 0.5 * LEVEL * (1 + draws)  # (1 + k) above this cannot give p_random < 5 %
    few = replace(confirmation.episodes, count=episodes)
    held = (confirmation.plan, confirmation.behaviour())
    done: list[tuple[Plan, pd.DataFrame | Behaviour]] = []
    first, until = 0, min(FIRST_DRAWS, draws)
    while first < until:
        some = min(until - first, _most_at_once(loose))
        plan = random_groups(
            work.agent, loose, some, run.spec.seed, first=first, activity=work.recorded
        )
        if len(parts) > 1:
            drawn_parts = random_divisions(parts, some, run.spec.seed, first=first)
            plan = sum(drawn_parts, start=plan)
        if len(plan) == 1:
            return
        drawn = work.sweep(plan, few, run.folder / f"{CONTROLS}-{len(done) + 1}")
        done.append((drawn.plan, drawn.behaviour()))
        first += some
        if first < until:
            continue
        names = [*run.spec.measures, *run.own]
        null = evidence.size_matched(_of_first_kind(rows), held, done, names)
        alive = null[0.5 * null["p_random"] * (1 + null["draws"]) <= most]
        open_ = named & set(alive["lesion"])
        loose = Plan(x for x in loose if x.name in open_)
        if len(parts) > 1 and not _may_stand_out(so_far, draws, len(done)):
            loose += Plan(x for x in parts if x.name in open_)
            parts = Plan()
        until = min(first + _ROUND, draws)


def _most_at_once(loose: Plan) -> int:
    """So many random cuts of each that a run can hold: random directions take a number a unit."""
    numbers = sum(len(axis) for x in loose for axes in x.directions.values() for axis in axes)
    return max(1, MAX_SPEC // (2 * _BYTES * max(1, numbers)))


def _of_first_kind(rows: pd.DataFrame) -> pd.DataFrame:
    """Claims with their change under the first kind, which is that of the random cuts."""
    return rows.assign(delta=rows["first"])


def _may_stand_out(run: Map, draws: int, rounds: int) -> bool:
    """Whether more random divisions than those of some rounds can still show a behaviour to be
    local, or two regions to be dissociated. Later rounds, there from before a kill, do not count.
    """
    found = divisions(run, own(run) or None, rounds)
    if found is None or not found.draws:
        return False
    most = LEVEL * (1 + draws) / (1 + found.draws)
    unit = evidence.reference_effect(changes(run))[list(found.measures)].to_numpy(np.float64)
    crossed = double_dissociations(run)[:1]
    crossing = any(found.p_crossing(d.strength, unit) <= most for d in crossed)
    return crossing or bool(((found.shares()[0] >= HALF) & (found.p_local() <= most)).any())


def _give_doses(work: _Work, run: Map, confirmation: Run, episodes: int) -> None:
    names = headline_regions(Map(run.folder, begun=True), DOSED)
    plan = doses(Plan(x for x in run.plan if x.name in names))
    if len(plan) > 1:
        work.sweep(plan, replace(confirmation.episodes, count=episodes), run.folder / DOSES)
