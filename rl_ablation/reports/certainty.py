"""How sure is a map? Sentences for the report, made from the run and nothing else."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from rl_ablation.formats import listed, number
from rl_ablation.groupings.stability import stabilities
from rl_ablation.lesions.lesion import Lesion
from rl_ablation.lesions.methods import KINDS
from rl_ablation.mapping.claims import (
    changes,
    dissociated,
    double_dissociations,
    improvements,
    overall,
    own,
    told_beyond,
    valued,
    worth_telling,
)
from rl_ablation.mapping.divisions import HALF, divisions
from rl_ablation.mapping.evidence import FAILURE, NO_CLAIMS, NONE, SPECIFIC, TELLING
from rl_ablation.mapping.kinds import DISAGREE
from rl_ablation.mapping.map import Map
from rl_ablation.measures.registry import ALIVE, MEASURES
from rl_ablation.reports.labels import labels
from rl_ablation.reports.words import change
from rl_ablation.stats import LEVEL

_Sides = tuple[str, str]  # what supports the map, and what limits it


def certainty(run: Map) -> list[str]:
    """What supports the map and what limits it, a sentence or two each, in plain words."""
    support, limits = sides(run)
    return [*support, *limits]


def sides(run: Map) -> tuple[list[str], list[str]]:
    """How the map was made sure of and what was found beside the findings; what it cannot say."""
    effects = run.effects()
    rows = overall(effects)
    if rows.empty:
        return [], []
    same = (
        "The A/A lesion, which goes through the whole machinery and cuts nothing, changed nothing, "
        "to the bit."
    )
    one = (
        "This is one network. Whether another training seed puts its functions into like regions "
        "is another question, which needs several of them."
    )
    told = [
        _stages(run, rows), (_corrections(rows), ""),
        (same * any(x.group == "checks" for x in run.plan), ""), (_luck(rows), ""),
        _kinds(run), _random(run), _some_kinds(run), _only_beyond(run), _local(run),
        _divided(run), (_classes(rows), ""), (_brainless(run, effects), ""),
        (_manipulation(run, rows), ""), _crossed(run), (_better(run), ""), _own(run), ("", one),
    ]  # fmt: skip
    support, limits = ([s for s in side if s] for side in zip(*told, strict=True))
    return support, limits


def _stages(run: Map, rows: pd.DataFrame) -> _Sides:
    total = rows["lesion"].nunique()
    if run.confirmation is None:
        return "", (
            f"All {total} cuts were measured once, on {run.spec.episodes} episodes, and nothing "
            "was confirmed on fresh seeds: treat the best of many as a candidate."
        )
    sure = rows[rows["stage"] == "confirmed"]
    n = int(sure["n"].max()) if len(sure) else 0
    return (
        f"{sure['lesion'].nunique()} of {total} cuts changed something in the discovery and went "
        f"on to confirmation, up to {n} episodes on fresh seeds. All numbers shown for them "
        "are from there; the other cuts carry no claim."
    ), ""


def _corrections(rows: pd.DataFrame) -> str:
    q, fwe = int((rows["q"] < LEVEL).sum()), int((rows["p_fwe"] < LEVEL).sum())
    passing = "change passes" if q == 1 else "changes pass"
    return (
        f"{q} {passing} a false discovery rate of {LEVEL:.0%}: about one in twenty of them may be "
        f"none. {fwe} pass{'es' * (fwe == 1)} the stricter family-wise test, under which a single "
        f"false one among all would be a {LEVEL:.0%} accident."
    )


def _luck(rows: pd.DataFrame) -> str:
    sure = rows[(rows["stage"] == "confirmed") & (rows["q"] < LEVEL)]
    ratio = (sure["delta"] / sure["delta_discovery"].replace(0, np.nan)).dropna()
    if len(ratio) < 10:
        return ""
    return (
        f"On fresh seeds the confirmed changes are {ratio.median():.0%} of what the discovery "
        f"showed (median), and {(ratio > 0).mean():.0%} have its sign."
    )


def _random(run: Map) -> _Sides:
    against = worth_telling(run).dropna(subset="draws")
    if against.empty:
        return "", ""
    groups = against["lesion"].nunique()
    beyond = against[against["p_random"] < LEVEL]["lesion"].unique()
    text = (
        f"{groups} cut{'s' * (groups > 1)} with a change worth telling, held against random cuts "
        f"of the same size in the same layer (up to {int(against['draws'].max())}): "
    )
    if not len(beyond):
        none = "none is shown to do more. It may be how many units go that matters, and not which."
        return "", text + none
    each = "each does" if len(beyond) > 1 else "does"
    regions = ", ".join(labels(run)[x] for x in beyond)
    return f"{text}{regions} {each} something that hardly any of them does.", ""


def _divided(run: Map) -> _Sides:
    found = stabilities(run.plan, run.activity)
    if not found:
        return "", ""
    each, real = [], []
    for site, (k, layer) in found.items():
        at = layer.numbers.index(k)
        value, chance = number(layer.value[at]), number(layer.chance[at])
        each.append(f"{value} in {site} ({k} clusters; its mixtures {chance})")
        if len(found) * layer.p < LEVEL:
            real.append(site)
    text = (
        "Clusters made from one half of the recorded moments and from the other agree by "
        f"{', '.join(each)} (adjusted Rand index: 1 is the same division; mixtures are the layer's "
        "activity turned at random, so that no unit has a role of its own)."
    )
    if real:
        return f"{text} More stable than mixtures are the groups of units of {listed(real)}.", ""
    return text, (
        "In no layer are groups of units shown to be more stable than those of mixtures, whatever "
        "their number: this is one division of many that might do as well."
    )


def _cut_by(run: Map) -> tuple[list[str], list[str]]:
    """The kinds of cut within the network's range, and those beyond it."""
    kinds = dict.fromkeys(x.kind for x in (run.confirmation or run).plan if _a_cut(x))
    within, far = ([k for k in kinds if KINDS[k].within is side] for side in (True, False))
    return within, far


def _kinds(run: Map) -> _Sides:
    within, far = _cut_by(run)
    if not within:
        return "", (
            f"Cut by {listed(far)} only, as in the published studies. Such a cut can push the next "
            "layer out of its range, and what it does may then be that shock and not the loss of "
            "what the units compute: without --kind three kinds are run side by side."
        )
    text = f"Cuts were made by {listed([*within, *far])}"
    text += ", on the same episodes." if within[1:] or far else "."
    claim = (
        f" A claim is what holds, with one sign, under {'both ' * (len(within) == 2)}"
        f"{listed(within)}, which keep units at values that they also take, and is told with the "
        "weakest."
    )
    return text + claim * (len(within) > 1), ""


def _some_kinds(run: Map) -> _Sides:
    told = changes(run)
    split = int(((told["holds"] == DISAGREE) & told["measure"].isin(valued(run))).sum())
    if not split:
        return "", ""
    one = split == 1
    return "", (
        f"{split} change{'s' * (not one)} of some size show{'s' * one} under some kinds of cut "
        f"only; {'it is' if one else 'they are'} not told."
    )


def _only_beyond(run: Map) -> _Sides:
    """What only cuts beyond the network's range show, such as zero."""
    rows = told_beyond(run)
    if rows.empty:
        return "", ""
    _, far = _cut_by(run)
    best = rows.iloc[0].to_dict()
    one = len(rows) == 1
    return "", (
        f"{len(rows)} change{'s' * (not one)} show{'s' * one} only under {listed(far)}, where the "
        f"next layer leaves its usual range: most of all {labels(run)[best['lesion']]}, "
        f"{change(best)}, with that layer {number(best['off_manifold'])} times as far from its "
        "usual states as normally."
    )


def _a_cut(lesion: Lesion) -> bool:
    return bool(lesion.size) and lesion.group not in NO_CLAIMS


def _classes(rows: pd.DataFrame) -> str:
    count = Counter(rows.drop_duplicates("lesion")["class"])
    return (
        f"{count[NONE]} cuts have no effect of any size, {count[SPECIFIC]} a specific one, and "
        f"{count[FAILURE]} leave a robot that does nothing well, which says little about what the "
        "region is for."
    )


def _brainless(run: Map, effects: pd.DataFrame) -> str:
    rows = effects[(effects["group"] == "baselines") & (effects["condition"] == "all")]
    tasks = [m.name for m in run.measures if m.task and ALIVE not in m.name]
    main = tasks[0] if len(tasks) == 1 else "return"  # several are parts; the return is the whole
    rows = rows[rows["measure"] == main]
    if rows.empty:
        return ""
    pairs = zip(rows["lesion"], rows["lesioned"], strict=True)
    values = ", ".join(f"{name} {number(value)}" for name, value in pairs)
    intact = f"{number(rows['intact'].iloc[0])} {MEASURES[main].unit}".rstrip()
    return f"Without a brain the robot scores: {values}; intact {intact} ({MEASURES[main].label})."


def _manipulation(run: Map, rows: pd.DataFrame) -> str:
    each = rows.drop_duplicates("lesion")
    if each["took"].isna().all():
        return ""
    names = labels(run)
    took = "Every cut took: the cut units had exactly the values the cut gives them. "
    if failed := [names[x] for x in each[each["took"] != 0]["lesion"]]:
        took = f"Cuts that did not take exactly: {', '.join(failed[:5])}. "
    far = each.sort_values("off_manifold", ascending=False).iloc[0]
    return took + (
        "How far a cut drives the next layer off what it normally sees is "
        f"{number(each['off_manifold'].median())} in the median (1 is normal), most after "
        f"{names[far['lesion']]} ({number(far['off_manifold'])}); what such a cut does may be the "
        "shock as much as the loss."
    )


def _crossed(run: Map) -> _Sides:
    found, beyond = double_dissociations(run), dissociated(run)
    if not found:
        return "", "No two regions doubly dissociate any two behaviours."
    d, names = (beyond or found)[0], labels(run)
    pair = (
        f"{names[d.a]} is needed for {MEASURES[d.x].label} and not for {MEASURES[d.y].label}, "
        f"{names[d.b]} the other way round (least contrast {d.strength:.0%} of the reference effect"
    )
    if np.isnan(d.p_random):
        return "", (
            f"{names[d.a]} and {names[d.b]} cross over in {MEASURES[d.x].label} and "
            f"{MEASURES[d.y].label}, but were not held against random divisions: a candidate."
        )
    if not beyond:
        return "", (
            f"No double dissociation beyond chance: the strongest crossing, in which {pair}), is "
            f"found as strongly in {d.p_random:.0%} of random divisions of the layers."
        )
    return (
        f"Strongest of {len(beyond)} double dissociation{'s' * (len(beyond) > 1)}: {pair}; "
        f"{d.p_random:.1%} of random divisions of the layers show any as strong)."
    ), ""


def _local(run: Map) -> _Sides:
    """Which behaviours sit in one region, beyond what random divisions show."""
    null = divisions(run, own(run) or None)
    if null is None:
        return "", ""
    chosen = worth_telling(run)
    chosen = chosen[(chosen["harm"] < 0) & chosen["lesion"].isin(null.regions)]
    layer = dict(zip(null.regions, null.sites, strict=True))
    harmed = set(zip(chosen["measure"], chosen["lesion"].map(layer), strict=True))
    told, (shares, _), p_local = [], null.shares(), null.p_local()
    for k, site in enumerate(null.layers):
        for name, share, p in zip(null.measures, shares[k], p_local[k], strict=True):
            if (name, site) in harmed and share >= HALF and p < LEVEL:
                told.append(f"{MEASURES[name].label} in {site} ({share:.0%}, p = {p:.2f})")
    chance = f"{null.draws} random divisions of the same layers into parts of the same sizes"
    if not told:
        return "", (
            f"Held against {chance}, no behaviour is shown to be more local in these regions."
        )
    more = f"More local than in {chance}, with half or more of a layer's harm in one region"
    return f"{more}: {listed(told)}.", ""


def _own(run: Map) -> _Sides:
    if not run.own:
        return "", ""
    if own(run):
        return (
            "Each command is judged by its own measure, in its own episodes; averages over all "
            "commands are no findings here."
        ), ""
    return "", (
        "The commands have too few episodes to judge each by its own measure, so findings are "
        f"averages over all of them: ask for {TELLING * len(run.spec.conditions)} episodes."
    )


def _better(run: Map) -> str:
    found = improvements(run)
    if found.empty:
        return "No cut improves a behaviour in a way that fresh seeds confirm."
    best, count = found.iloc[0], found["lesion"].nunique()
    measure = MEASURES[best["measure"]]
    text = (
        f"{count} cut{'s improve' if count > 1 else ' improves'} a behaviour on fresh seeds, most "
        f"{labels(run)[best['lesion']]}: {measure.label} {number(best['intact'])} → "
        f"{number(best['lesioned'])} {measure.unit}"
    ).rstrip()
    if best["of"] > 1:
        text += f", better in {best['better_in']} of {best['of']} conditions"
    if np.isfinite(best["p_random"]):
        more = "more" if best["p_random"] < LEVEL else "not clearly more"
        text += f", {more} than pruning as many random units (p = {best['p_random']:.2g})"
    price = f"; its price is in {best['costs']}." if best["costs"] else ", at no clear price."
    return text + price
