"""The study of trees runs in its quick version, and its words follow its tables."""

import pandas as pd
import pytest

from experiments.studies.trees import study as trees
from experiments.studies.trees.words import TREE, tell_planted, tell_zoo, totals


def test_the_quick_study_runs(tmp_path, complete):
    answer = trees.study(tmp_path, quick=True, seed=0)
    assert complete(answer)
    planted, zoo, groups = (answer.tables[k] for k in ("planted", "zoo", "groups"))
    assert list(planted["method"]) == [TREE, "2 clusters", "6 clusters"]
    assert (planted["found"] <= planted["roles"]).all()
    assert (planted["false"] == 0).all()
    assert list(zoo["method"]) == [TREE, "6 clusters"]
    assert set(groups["agent"]) <= {"lap"}
    seen = f"{int(groups['seen'].sum())} of {len(groups)} group × behaviour seen again"
    assert seen in answer.text
    nodes = answer.tables["nodes"]
    assert (nodes["agent"] == "lap").all()
    assert int(nodes["found"].sum()) == len(groups)


def methods(tree: tuple[int, int], flat: tuple[int, int]) -> pd.DataFrame:
    """Two robots of 4 groups; found by each method, and its steps."""
    rows = [
        {"family": "two functions", "robot": robot, "roles": 4, "method": name, "found": found,
         "groups": 5, "right": found, "false": 0, "steps": steps, "cuts": 9}
        for robot in range(2)
        for name, (found, steps) in ((TREE, tree), ("6 clusters", flat))
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("tree", "flat", "case"),
    [
        ((4, 5000), (3, 9000), "for fewer steps: two functions"),
        ((4, 9000), (3, 5000), "for fewer steps: two functions"),
        ((4, 5000), (4, 9000), "for fewer steps: two functions"),
        ((4, 9000), (4, 5000), "than the cheapest number that does: two functions"),
        ((3, 5000), (4, 9000), "it finds fewer than some number of clusters: two functions"),
    ],
)
def test_the_verdict_follows_groups_and_steps(tree, flat, case):
    text = tell_planted(methods(tree, flat))
    assert case in text
    assert text.count("two functions") == 2
    assert f"tree {2 * tree[0]} ({2 * tree[0]} of 10; {tree[1] // 1000}.00k)" in text


def test_totals_are_sums_over_robots():
    rows = totals(methods((4, 5000), (0, 9000))).set_index("method")
    assert rows.loc[TREE, "share"] == 1
    assert rows.loc[TREE, "precise"] == 8 / 10
    assert rows.loc["6 clusters", "share"] == 0
    none = totals(methods((0, 1), (0, 1)).assign(roles=0, groups=0))
    assert none[["share", "precise"]].isna().all(axis=None)


def test_an_agent_without_groups_is_told():
    zoo = pd.DataFrame([{"agent": "lap", "method": TREE, "groups": 0, "steps": 5000, "cuts": 2}])
    columns = ["agent", "site", "units", "measure", "seen"]
    assert "It names none." in tell_zoo(zoo, pd.DataFrame(columns=columns))
    rows = [("lap", "h0", 3, "progress", True), ("lap", "h0", 3, "progress", False)]
    text = tell_zoo(zoo, pd.DataFrame(rows, columns=columns))
    assert "1 of 2 group × behaviour" in text
    assert "progress: 2 × 3 units of h0" in text
