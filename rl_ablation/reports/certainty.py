"""How sure is a map? Sentences for the report, made from the run and nothing else."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from rl_ablation.formats import number
from rl_ablation.mapping.claims import double_dissociations, improvements, overall, worth_telling
from rl_ablation.mapping.evidence import FAILURE, NONE, SPECIFIC
from rl_ablation.mapping.map import Map
from rl_ablation.measures.registry import ALIVE, MEASURES
from rl_ablation.reports.labels import labels
from rl_ablation.stats import LEVEL


def certainty(run: Map) -> list[str]:
    """What supports the map and what limits it, a sentence or two each, in plain words."""
    effects = run.effects()
    rows = overall(effects)
    if rows.empty:
        return []
    same = (
        "The A/A lesion, which goes through the whole machinery and cuts nothing, changed nothing, "
        "to the bit."
    )
    one = (
        "This is one network. Whether another training seed puts its functions into like regions "
        "is another question, which needs several of them."
    )
    sentences = [
        _stages(run, rows), _corrections(rows), same * any(x.group == "checks" for x in run.plan),
        _luck(rows), _random(run), _kinds(rows), _classes(rows), _brainless(run, effects),
        _manipulation(run, rows), _crossed(run), _better(run), one,
    ]  # fmt: skip
    return [s for s in sentences if s]


def _stages(run: Map, rows: pd.DataFrame) -> str:
    total = rows["lesion"].nunique()
    if run.confirmation is None:
        return (
            f"All {total} cuts were measured once, on {run.spec.episodes} episodes, and nothing "
            "was confirmed on fresh seeds: treat the best of many as a candidate."
        )
    sure = rows[rows["stage"] == "confirmed"]
    n = int(sure["n"].max()) if len(sure) else 0
    return (
        f"{sure['lesion'].nunique()} of {total} cuts changed something in the discovery and went "
        f"on to confirmation, up to {n} episodes on fresh seeds. All numbers shown for them "
        "are from there; the other cuts carry no claim."
    )


def _corrections(rows: pd.DataFrame) -> str:
    q, fwe = int((rows["q"] < LEVEL).sum()), int((rows["p_fwe"] < LEVEL).sum())
    return (
        f"{q} changes pass a false discovery rate of {LEVEL:.0%}: about one in twenty of them may "
        f"be none. {fwe} pass the stricter family-wise test, under which a single false one among "
        f"all would be a {LEVEL:.0%} accident."
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


def _random(run: Map) -> str:
    against = worth_telling(run).dropna(subset="draws")
    if against.empty:
        return ""
    groups = against["lesion"].nunique()
    beyond = against[against["p_random"] < LEVEL]["lesion"].unique()
    text = (
        f"{groups} cuts with a change worth telling were held against random cuts of their size "
        f"in their layer (up to {int(against['draws'].max())}): "
    )
    if not len(beyond):
        return text + "none does more than such a cut does; it is how many units go that matters."
    each = "each does" if len(beyond) > 1 else "does"
    regions = ", ".join(labels(run)[x] for x in beyond)
    return text + f"{regions} {each} something that hardly any of them does."


def _kinds(rows: pd.DataFrame) -> str:
    asked = rows[rows["q"] < LEVEL].dropna(subset="robust")
    if asked.empty:
        return (
            "Only one kind of cut was run. What a unit is replaced by can decide the answer: "
            "--kind zero,mean,resample runs three side by side."
        )
    robust = int(asked["robust"].astype(bool).sum())
    return (
        f"{robust} of {len(asked)} significant changes keep their sign under every kind of cut "
        "that was run, and are called robust."
    )


def _classes(rows: pd.DataFrame) -> str:
    count = Counter(rows.drop_duplicates("lesion")["class"])
    return (
        f"{count[NONE]} cuts have no effect of any size, {count[SPECIFIC]} a specific one, and "
        f"{count[FAILURE]} leave a robot that does nothing well, which says little about what the "
        "region is for."
    )


def _brainless(run: Map, effects: pd.DataFrame) -> str:
    rows = effects[(effects["group"] == "baselines") & (effects["condition"] == "all")]
    main = next((m.name for m in run.measures if m.task and ALIVE not in m.name), "return")
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


def _crossed(run: Map) -> str:
    found = double_dissociations(run)
    if not found:
        return "No two regions doubly dissociate any two behaviours."
    d, names, chance = found[0], labels(run), ""
    if not np.isnan(d.p_random):
        chance = f"; {d.p_random:.1%} of pairs of random cuts do as much"
    return (
        f"Strongest of {len(found)} double dissociation{'s' * (len(found) > 1)}: {names[d.a]} is "
        f"needed for {MEASURES[d.x].label} and not for {MEASURES[d.y].label}, {names[d.b]} the "
        f"other way round (least contrast {d.strength:.0%} of the reference effect{chance})."
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
