"""A map that can be believed: discovery, confirmation on fresh seeds, and controls around both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rl_ablation.errors import LabError
from rl_ablation.files import write_atomically
from rl_ablation.groupings.controls import random_groups
from rl_ablation.lesions.lesion import INTACT, VARIANT, Lesion, Plan
from rl_ablation.lesions.variants import doses, variants
from rl_ablation.mapping import evidence
from rl_ablation.mapping.claims import headline_regions, improvements, overall, worth_telling
from rl_ablation.mapping.evidence import differences
from rl_ablation.mapping.probe import probe
from rl_ablation.mapping.run import MORE, Run
from rl_ablation.mapping.sweep import sweep
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.activity import Activity, record_activity
from rl_ablation.rollouts.episodes import conditions_of, fresh_seed
from rl_ablation.stats import LEVEL

EPISODES, DISCOVERY, DRAWS = 24, 12, 100
SAME = "A/A"
FEW = 6
"""Episodes of a first look, and of each random cut, where the world has fewer conditions."""

_FIRST_DRAWS, _ROUND = 10, 30  # random cuts at once, before asking whether more can decide
_NAMED = 3  # headlines that are held against all the random cuts, beside the best improvement
_DOSED = 4  # regions whose cut is also given in doses
_NOTHING, _CLEAR = 2.0, 4.0  # |t| of every cell below, or of one above: a look settles a lesion
_LARGE = 1.5  # paired standardised differences from which half the confirmation is enough


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


def lesion_map(
    agent: Policy,
    plan: Plan,
    *,
    episodes: int = EPISODES,
    discovery: int = DISCOVERY,
    controls: int = DRAWS,
    kinds: Sequence[str] | None = None,
    adaptive: bool = False,
    seed: int = 0,
    conditions: Sequence[str] | None = None,
    measures: Sequence[str] | None = None,
    folder: str | Path | None = None,
    horizon: int | None = None,
    threads: int | None = None,
    activity: Activity | None = None,
    progress: bool = True,
) -> Run:
    """Map what a plan's cuts do, in two stages and with controls; resumable like `sweep`.

    1. *Discovery* runs every cut, an A/A lesion and brainless baselines, and selects those with a
       q below 10 % or a |t| of 4 in any behaviour: leniently, since confirmation decides.
    2. *Confirmation* runs what was selected on fresh seeds. Its numbers are the ones that
       `Run.effects` shows, tests and corrects.
    3. *Controls*: for every confirmed group with a change worth telling a few random cuts of its
       size, layer and kind, and for those that the findings name up to ``controls`` of them, in
       rounds that end as soon as it cannot any more stand out (Besag & Clifford 1991).
    4. *Doses* of the cuts that matter most, and a *probe* of every cut on the states that the
       intact robot visits.

    Args:
        agent: The policy, with an environment on its card.
        plan: What to cut.
        episodes: Of the confirmation.
        discovery: Episodes of the discovery; with ``adaptive``, at most.
        controls: Random cuts at most, for each size, layer and kind; 0 draws none.
        kinds: Carry every cut out in each of these ways; None leaves the plan's own.
        adaptive: Look at the discovery after a few episodes and go on only with the lesions not
            yet settled; then confirm large effects with half the episodes. All looking is done on
            the discovery's seeds, so it cannot raise the error rates of the confirmation.
        seed: Of the map.
        conditions: Of the environment; None takes all that it names.
        measures: Names; None takes all that apply.
        folder: Run folder; None makes ``runs/<agent>-<digest>``.
        horizon: Control steps at most; None takes the environment's time limit.
        threads: C threads; None takes every CPU.
        activity: Recorded intact activity; None records it.
        progress: Show progress bars when standard error is a terminal.

    Returns:
        The finished run: the discovery, with the other stages inside its folder.

    Raises:
        LabError: Something does not fit, or the A/A lesion changed something.
    """
    taken = conditions_of(agent, conditions)
    for what, number in (("episodes", episodes), ("discovery", discovery)):
        if number < max(1, len(taken)):
            why = f": {number} episodes cannot cover {len(taken)} conditions" if number > 0 else ""
            raise LabError(f"{what} must be at least {max(1, len(taken))}{why}")
    if controls < 0:
        raise LabError(f"controls must be 0 or more, got {controls}")
    if activity is None:
        activity = record_activity(
            agent, conditions=taken or ("",), seed=seed, horizon=horizon, threads=threads
        )
    how: dict[str, Any] = {
        "conditions": conditions,
        "measures": measures,
        "horizon": horizon,
        "threads": threads,
        "activity": activity,
        "progress": progress,
    }
    cuts = plan if kinds is None else variants(plan, kinds)
    few = max(len(taken), min(FEW, episodes))
    first = few if adaptive else discovery
    run = sweep(agent, cuts + checks(agent), episodes=first, seed=seed, folder=folder, **how)
    _same_is_same(run)
    if adaptive:
        _look_again(agent, run, discovery, how)
    t, _ = _t(run.whole_table(), run.spec.measures)
    # With few episodes no sign-flip p can be small, however clear the change.
    names = {*evidence.selected(run.own_effects()), *t.index[t >= _CLEAR]}
    chosen = _with_variants(cuts, sorted(names))
    confirmation = _confirm(agent, run, chosen, episodes, adaptive, how)
    _same_is_same(confirmation)
    if not any(x.group == "random" for x in plan):  # they are controls already
        _draw_controls(agent, run, confirmation, controls, min(few, episodes), how)
    _give_doses(agent, run, confirmation, min(2 * few, episodes), how)
    table = probe(agent, run.plan, activity)
    write_atomically(run.folder / evidence.PROBE, table.to_csv(index=False))
    return Run(run.folder)


def _same_is_same(run: Run) -> None:
    rows = run.table()
    names = [*run.spec.measures, "steps"]
    one, other = (rows.loc[rows["lesion"] == name, names].to_numpy() for name in (INTACT, SAME))
    if not np.array_equal(one, other, equal_nan=True):
        raise LabError(
            f"{run.folder}: the A/A lesion changed something, so this machine does not repeat "
            "itself and its maps mean nothing; is the environment deterministic for a seed?"
        )


def _with_variants(plan: Plan, names: Sequence[str]) -> Plan:
    bases = {name.partition(VARIANT)[0] for name in names}
    return Plan(x for x in plan if x.size and x.name.partition(VARIANT)[0] in bases)


def _t(table: pd.DataFrame, measures: Sequence[str]) -> tuple[pd.Series, pd.Series]:
    """Largest |t| and largest paired |d| of each lesion over measures; ∞ where all differ alike."""
    largest_t, largest_d = [], []
    for change in differences(table, measures).values():
        n = change.count()
        spread = change.std().where(n > 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            d = (change.mean().abs() / spread).where(change.mean() != 0, 0.0)
        largest_d.append(d)
        largest_t.append(d * np.sqrt(n))
    return pd.concat(largest_t, axis=1).max(axis=1), pd.concat(largest_d, axis=1).max(axis=1)


def _look_again(agent: Policy, run: Run, most: int, how: dict[str, Any]) -> None:
    """Give the lesions that are not settled more episodes, a few at a time, up to ``most``."""
    few, done, look = run.spec.episodes, run.spec.episodes, 1
    while done + few <= most:
        t, _ = _t(run.whole_table(), run.spec.measures)
        open_ = t.index[(t >= _NOTHING) & (t < _CLEAR)]
        plan = Plan(x for x in run.plan if x.name in open_ and x.group != "baselines")
        if len(plan) == 1:
            return
        sweep(
            agent,
            plan,
            episodes=few,
            seed=fresh_seed(run.spec.seed, 0, look),
            folder=run.folder / f"{MORE}-{look}",
            **how,
        )
        done, look = done + few, look + 1


def _confirm(
    agent: Policy, run: Run, chosen: Plan, episodes: int, adaptive: bool, how: dict[str, Any]
) -> Run:
    same = Plan(x for x in checks(agent) if x.name == SAME)  # baselines claim nothing
    plan, seed = chosen + same, fresh_seed(run.spec.seed, 1)
    folder = run.folder / evidence.CONFIRMATION
    some = max(len(run.spec.conditions), episodes // 2)
    if not adaptive or some >= episodes:
        return sweep(agent, plan, episodes=episodes, seed=seed, folder=folder, **how)
    confirmation = sweep(agent, plan, episodes=some, seed=seed, folder=folder, **how)
    _, d = _t(run.whole_table(), run.spec.measures)  # the discovery's: no peeking here
    small = Plan(x for x in chosen if d.get(x.name, 0.0) < _LARGE)
    if len(small) > 1:
        sweep(
            agent,
            small,
            episodes=episodes - some,
            seed=fresh_seed(run.spec.seed, 1, 1),
            folder=folder / f"{MORE}-1",
            **how,
        )
    return confirmation


def _draw_controls(
    agent: Policy, run: Run, confirmation: Run, draws: int, episodes: int, how: dict[str, Any]
) -> None:
    """Draw random cuts: a few for each group with something to tell, then up to ``draws`` for those
    that the findings name, while they may still stand out from them."""
    so_far = Run(run.folder)
    rows = worth_telling(so_far, overall(so_far.effects()))
    rows = rows[rows["stage"] == "confirmed"]
    named = set(headline_regions(so_far, _NAMED)) | set(improvements(so_far)["lesion"][:1])
    open_ = Plan(x for x in confirmation.plan if x.name in set(rows["lesion"]))
    most = 0.5 * LEVEL * (1 + draws)  # (1 + k) above this cannot give p_random < 5 %
    held = (confirmation.plan, confirmation.whole_table())
    done: list[tuple[Plan, pd.DataFrame]] = []
    first, some = 0, min(_FIRST_DRAWS, draws)
    while some > 0:
        plan = random_groups(agent, open_, some, run.spec.seed, first=first)
        if len(plan) == 1:
            return
        drawn = sweep(
            agent,
            plan,
            episodes=episodes,
            seed=confirmation.spec.seed,
            folder=run.folder / f"{evidence.CONTROLS}-{len(done) + 1}",
            **how,
        )
        done.append((drawn.plan, drawn.table()))
        null = evidence.size_matched(rows, held, done, run.spec.measures)
        alive = null[0.5 * null["p_random"] * (1 + null["draws"]) <= most]
        open_ = Plan(x for x in open_ if x.name in named & set(alive["lesion"]))
        first += some
        some = min(_ROUND, draws - first)


def _give_doses(
    agent: Policy, run: Run, confirmation: Run, episodes: int, how: dict[str, Any]
) -> None:
    names = headline_regions(Run(run.folder), _DOSED)
    plan = doses(Plan(x for x in run.plan if x.name in names))
    if len(plan) > 1:
        folder = run.folder / evidence.DOSES
        sweep(agent, plan, episodes=episodes, seed=confirmation.spec.seed, folder=folder, **how)
