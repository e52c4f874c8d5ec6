"""The findings of the study trees in sentences, from its tables alone."""

from __future__ import annotations

import pandas as pd

from rl_ablation.formats import listed, number
from rl_ablation.measures.registry import MEASURES

TREE = "tree"


def totals(planted: pd.DataFrame) -> pd.DataFrame:
    """Of each family × method over its robots: ``share`` of the groups found, ``right``, the share
    of those named that are a group, the sums behind both, ``steps`` of a robot."""
    grouped = planted.groupby(["family", "method"], sort=False)
    sums = grouped[["roles", "found", "groups", "right", "false"]].sum()
    sums["share"] = sums["found"] / sums["roles"].where(sums["roles"] > 0)
    sums["precise"] = sums["right"] / sums["groups"].where(sums["groups"] > 0)
    return sums.assign(steps=grouped["steps"].mean()).reset_index()


def tell_planted(planted: pd.DataFrame) -> str:
    """What each method finds of the planted groups, and what it takes."""
    robots = planted.groupby("family", sort=False)["robot"].nunique()
    lines = ["Of the planted groups are found (of those named so many are one; control steps):", ""]
    for family, rows in totals(planted).groupby("family", sort=False):
        told = [
            f"{row['method']} {row['found']} ({row['right']} of {row['groups']}; "
            f"{number(row['steps'] / 1000)}k)"
            for row in rows.to_dict("records")
        ]
        groups = f"{rows['roles'].iloc[0]} groups in {robots[family]} robots"
        lines.append(f"- {family}, {groups}: {', '.join(told)}.")
    return "\n".join([*lines, "", _cheaper(totals(planted)), _idle(planted)])


def _cheaper(rows: pd.DataFrame) -> str:
    """In which families the tree finds as many groups as the best number of clusters, for less."""
    fewer, more, worse = [], [], []
    for family, part in rows.groupby("family", sort=False):
        tree, flat = part[part["method"] == TREE].iloc[0], part[part["method"] != TREE]
        best = flat[flat["found"] >= tree["found"]]
        if flat["found"].max() > tree["found"]:
            worse.append(str(family))
        elif best.empty or best["steps"].min() > tree["steps"]:
            fewer.append(str(family))
        else:
            more.append(str(family))
    cases = (
        ("it finds as many groups as any number of clusters, for fewer steps", fewer),
        ("it finds as many, for more steps than the cheapest number that does", more),
        ("it finds fewer than some number of clusters", worse),
    )
    told = [f"{what}: {listed(names) if names else 'no family'}" for what, names in cases]
    return f"The tree against the best number of clusters: {'; '.join(told)}."


def _idle(planted: pd.DataFrame) -> str:
    false = planted.groupby("method", sort=False)["false"].sum()
    told = ", ".join(f"{name} {count}" for name, count in false.items())
    return f"Named without any unit that is wired to matter: {told}."


def tell_zoo(zoo: pd.DataFrame, groups: pd.DataFrame) -> str:
    """What is named in the zoo's agents, and whether fresh episodes show it again."""
    lines = ["In networks whose groups nobody knows:", ""]
    for agent, rows in zoo.groupby("agent", sort=False):
        took = [
            f"{r['method']} {r['groups']} groups ({number(r['steps'] / 1000)}k steps, "
            f"{r['cuts']} cuts)"
            for r in rows.to_dict("records")
        ]
        own = groups[groups["agent"] == agent]
        seen = f"{int(own['seen'].sum())} of {len(own)} group × behaviour seen again"
        lines.append(f"- {agent}: {', '.join(took)}; {seen} on fresh episodes. {_sizes(own)}")
    return "\n".join(lines)


def _sizes(own: pd.DataFrame) -> str:
    """How large the groups of the tree are, by behaviour."""
    told = []
    for measure, rows in own.groupby("measure", sort=False):
        counts = rows[["site", "units"]].value_counts(sort=False).reset_index(name="count")
        sizes = [
            f"{r['count']} × {r['units']} units of {r['site']}"
            if r["count"] > 1
            else f"{r['units']} of {r['site']}"
            for r in counts.to_dict("records")
        ]
        told.append(f"{MEASURES[str(measure)].label}: {', '.join(sizes)}")
    return f"Its groups, by behaviour: {'; '.join(told)}." if told else "It names none."
