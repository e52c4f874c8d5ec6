"""Games with known answers: Shapley values, interactions, predictions; and a robot as a game."""

from itertools import combinations

import numpy as np
import pytest

import rl_ablation as rl
from rl_ablation.analysis import redundancy
from rl_ablation.analysis.prediction import predict_lesions
from rl_ablation.analysis.redundancy import (
    SweepGame,
    coalition,
    every,
    interactions,
    mean_value,
    shapley,
    single_cuts,
)
from rl_ablation.lesions.lesion import Lesion
from tests.conftest import CONDITIONS, HORIZON

ABC = list("abcdefghijklmnop")


def game(value, episodes=1, noise=0.0, measures=1):
    """A game of one number, the same in every episode but for noise that hangs on the coalition."""

    def play(coalitions):
        out = np.empty((len(coalitions), episodes, measures))
        for k, members in enumerate(coalitions):
            rng = np.random.default_rng(sum(1 << i for i in members))
            out[k] = value(members) + noise * rng.normal(size=(episodes, measures))
        return out

    return play


def gloves(members):
    """Two left gloves (0, 1), one right glove (2): a pair has the value 1."""
    return float(2 in members and bool(members & {0, 1}))


KNOWN = {
    "additive": (lambda s: 1.0 * (0 in s) + 2.0 * (1 in s) + 4.0 * (2 in s), [1, 2, 4]),
    "unanimity": (lambda s: float({0, 1} <= s), [0.5, 0.5, 0]),
    "majority": (lambda s: float(len(s) >= 2), [1 / 3, 1 / 3, 1 / 3]),
    "gloves": (gloves, [1 / 6, 1 / 6, 2 / 3]),
    "twins": (lambda s: float(bool(s & {0, 1})), [0.5, 0.5, 0]),
}


@pytest.mark.parametrize(("value", "expected"), KNOWN.values(), ids=KNOWN)
@pytest.mark.parametrize("exact", [8, 0], ids=["exact", "sampled"])
def test_known_shapley_values(value, expected, exact, monkeypatch):
    monkeypatch.setattr(redundancy, "EXACT", exact)
    monkeypatch.setattr(redundancy, "TOLERANCE", 1e-9)
    table = shapley(game(value), ABC[:3], ["x"], max_permutations=2000)
    slack = 1e-12 if exact else 0.04
    np.testing.assert_allclose(table["value"], expected, atol=slack)
    # Efficiency is exact in both ways: the shares add up to the value of all together.
    whole = value(frozenset({0, 1, 2})) - value(frozenset())
    assert table["value"].sum() == pytest.approx(whole, abs=1e-12)
    assert ((table["ci_low"] <= table["value"]) & (table["value"] <= table["ci_high"])).all()
    if exact:
        assert (table["permutations"] == 6).all()


def test_sampling_agrees_with_enumeration_within_its_intervals(monkeypatch):
    rng = np.random.default_rng(1)
    weights = {frozenset(c): rng.normal() for k in (1, 2, 3) for c in combinations(range(7), k)}
    play = game(lambda s: sum(w for c, w in weights.items() if c <= s))
    truth = shapley(play, ABC[:7], ["x"])["value"]
    for name, value in {"EXACT": 0, "ROUND": 64, "TOLERANCE": 1e-9}.items():
        monkeypatch.setattr(redundancy, name, value)
    inside, total = 0, 0
    for seed in range(12):
        table = shapley(play, ABC[:7], ["x"], max_permutations=64, seed=seed)
        inside += int(((table["ci_low"] <= truth) & (truth <= table["ci_high"])).sum())
        total += len(table)
    assert 0.85 < inside / total <= 1.0, f"{inside}/{total} of 95 % intervals hold the truth"


def test_stopping_obeys_the_tolerance_and_the_limit(monkeypatch):
    play = game(lambda s: float(len(s) >= 4) + 0.3 * (0 in s), measures=2)
    widths, spent = [], []
    for tolerance in (0.5, 0.2, 0.1):
        monkeypatch.setattr(redundancy, "TOLERANCE", tolerance)
        table = shapley(play, ABC[:9], ["x", "y"], max_permutations=4000, seed=3)
        widths.append((table["ci_high"] - table["ci_low"]).max() / 1.3)
        spent.append(int(table["permutations"].iloc[0]))
        assert widths[-1] <= tolerance
    assert spent[0] < spent[2] < 4000
    monkeypatch.setattr(redundancy, "TOLERANCE", 0.001)
    short = shapley(play, ABC[:9], ["x", "y"], max_permutations=36)
    assert (short["permutations"] == 36).all()
    assert (short["ci_high"] - short["ci_low"]).max() / 1.3 > 0.001


def test_an_additive_game_needs_one_round(monkeypatch):
    monkeypatch.setattr(redundancy, "ROUND", 4)
    asked = []

    def play(coalitions):
        asked.append(len(coalitions))
        return game(lambda s: float(sum(s)))(coalitions)

    table = shapley(play, ABC[:9], ["x"])
    np.testing.assert_allclose(table["value"], range(9), atol=1e-12)
    assert asked == [4 * 10]
    assert (table["permutations"] == 4).all()


def test_twins_look_useless_alone_and_are_found_as_a_pair():
    twins = game(lambda s: float(bool(s & {0, 1})) + (2 in s), episodes=8, noise=0.01)
    alone = single_cuts(twins, ABC[:4], ["x"]).set_index("group")
    assert alone.loc[["a", "b", "d"], "value"].abs().max() < 0.02
    assert alone.loc["c", "value"] == pytest.approx(1, abs=0.02)
    assert alone.loc["c", "q"] < 0.05
    pairs = interactions(twins, ABC[:4], ["x"], averaged=True).set_index(["a", "b"])
    assert pairs.loc[("a", "b"), "value"] == pytest.approx(1, abs=0.03)
    assert pairs.loc[("a", "b"), "kind"] == "redundant"
    assert pairs.loc[("a", "b"), "averaged"] == pytest.approx(1, abs=0.03)
    low, high = pairs.loc[("a", "b"), ["ci_low", "ci_high"]]
    assert low < pairs.loc[("a", "b"), "value"] < high
    assert pairs.drop(("a", "b"))["value"].abs().max() < 0.03


def test_partners_that_need_each_other_are_synergistic():
    both = game(lambda s: float({0, 1} <= s), episodes=8, noise=0.01)
    pairs = interactions(both, ABC[:3], ["x"], averaged=True).set_index(["a", "b"])
    assert pairs.loc[("a", "b"), "value"] == pytest.approx(-1, abs=0.03)
    assert pairs.loc[("a", "b"), "kind"] == "synergistic"
    assert pairs.loc[("a", "b"), "averaged"] == pytest.approx(-1, abs=0.03)


def test_averaged_interaction_is_keinans_difference_of_shapley_values():
    value = KNOWN["gloves"][0]
    pairs = interactions(game(value), ABC[:3], ["x"], averaged=True)["averaged"]

    def gamma(players, number):  # Shapley value in a game among merged or fewer players
        table = shapley(game(lambda s: value(frozenset().union(*(players[i] for i in s)))),
                        ABC[: len(players)], ["x"])  # fmt: skip
        return table["value"][number]

    for (i, j), found in zip(combinations(range(3), 2), pairs, strict=True):
        (k,) = {0, 1, 2} - {i, j}
        joint = gamma([{i, j}, {k}], 0)
        without = gamma([{i}, {k}], 0) + gamma([{j}, {k}], 0)
        assert found == pytest.approx(-(joint - without), abs=1e-12)


def test_no_number_is_left_out_or_refused():
    values = np.ones((2, 3, 1))
    values[0, 1, 0] = np.nan
    np.testing.assert_array_equal(mean_value(values, ["speed"]), [[1], [1]])
    values[0] = np.nan
    with pytest.raises(rl.LabError, match=r"'speed' has no number.*\.alive"):
        mean_value(values, ["speed"])


def test_senseless_sampling_is_refused():
    for players, orders in ((ABC[:3], 3), ((), 400)):
        with pytest.raises(rl.LabError, match="at least 1 player and 4 orders"):
            shapley(game(len), players, ["x"], max_permutations=orders)


def test_prediction_recovers_a_planted_game_and_nothing_from_noise():
    rng = np.random.default_rng(0)
    single, pair = rng.normal(size=7), np.triu(rng.normal(size=(7, 7)), 1)
    left = np.array([[i in c for i in range(7)] for c in every(7)], float)
    planted = left @ single + np.einsum("ki,ij,kj->k", left, pair, left)
    values = np.stack([planted, np.tanh(left @ single), rng.normal(size=128)], axis=1)
    found = predict_lesions(every(7), values, ABC[:7], ["pairs", "bent", "noise"])
    scores = found.scores.set_index("measure")
    assert scores.loc["pairs", "r2"] > 0.99
    assert "pairs" in scores.loc["pairs", "model"]
    assert scores.loc["pairs", "additive_r2"] < 0.95
    assert scores.loc["bent", "r2"] > scores.loc["bent", "additive_r2"]
    assert scores.loc["noise", "r2"] < 0.2
    assert scores.loc["noise", "low"] < 0
    assert (scores["low"] <= scores["r2"]).all()
    assert (scores["r2"] <= scores["high"]).all()
    assert found.lesions["groups"].min() >= 2
    # No held-out lesion may have trained: scrambling their values changes no prediction.
    held = set(found.lesions["cut"])
    names = [" + ".join(x for i, x in enumerate(ABC[:7]) if i not in c) for c in every(7)]
    scrambled = values.copy()
    scrambled[[k for k, name in enumerate(names) if name in held]] += 100.0
    again = predict_lesions(every(7), scrambled, ABC[:7], ["pairs", "bent", "noise"])
    np.testing.assert_array_equal(again.lesions["predicted"], found.lesions["predicted"])


def test_prediction_does_not_hang_on_the_order_of_lesions():
    rng = np.random.default_rng(0)
    values, shuffle = rng.normal(size=(64, 1)), rng.permutation(64)
    one = predict_lesions(every(6), values, ABC[:6], ["x"])
    cut = [every(6)[k] for k in shuffle]
    other = predict_lesions(cut, values[shuffle], ABC[:6], ["x"])
    assert one.scores.equals(other.scores)
    with pytest.raises(rl.LabError, match="too few"):
        predict_lesions(every(3), values[:8], ABC[:3], ["x"])


def test_joint_cuts_are_unions():
    players = [
        Lesion(name="a", cut={"h0": (3, 1)}, kind="mean"),
        Lesion(name="b", cut={"h0": (0,), "h1": (5,)}, kind="mean"),
    ]
    both = coalition(players, {0, 1})
    assert both.cut == {"h0": (0, 1, 3), "h1": (5,)}
    assert both.kind == "mean"
    assert coalition(players, {0}).key == players[0].key
    assert coalition(players, set()).size == 0
    with pytest.raises(rl.LabError, match="share a unit"):
        coalition([players[0], Lesion(name="c", cut={"h0": (1,)}, kind="mean")], {0, 1})
    with pytest.raises(rl.LabError, match="one way"):
        coalition([players[0], Lesion(name="c", cut={"h0": (0,)})], {0})


def test_joint_cuts_last_while_those_of_their_players_do():
    how = {"kind": "gain", "strength": 0.0, "onset": 3, "offset": 9, "when": "bend > 0.15"}
    players = [Lesion(name=n, cut={"h0": (k,)}, **how) for k, n in enumerate("ab")]
    both = coalition(players, {0, 1})
    assert both.model_dump(exclude={"name", "cut", "group"}) == how
    assert coalition(players, {0}).key == players[0].key
    always = Lesion(name="c", cut={"h0": (2,)}, **{**how, "when": None})
    with pytest.raises(rl.LabError, match="one way"):
        coalition([*players, always], {0})


def test_a_robot_is_a_game(policy, activity, tmp_path):
    plan = rl.clusters(policy, 2, activity, ["h0"])
    players = [x for x in plan if x.size]
    assert [x.name for x in players] == ["h0/dead", "h0/cluster-0", "h0/cluster-1"]
    measures = ["forward_speed", "off_centre"]
    options = {
        "episodes": 2, "conditions": CONDITIONS, "horizon": HORIZON,
        "threads": 1, "activity": activity, "progress": False,
    }  # fmt: skip
    play = SweepGame(policy, players, measures, tmp_path, options)
    values = play(every(3))
    assert values.shape == (8, 2, 2)
    run = rl.sweep(policy, plan, measures=measures, **options, folder=tmp_path / "plain")
    table = run.table().set_index("lesion")
    for i, player in enumerate(players):
        alone = table.loc[player.name, measures].to_numpy() * [1, -1]  # less off centre is better
        np.testing.assert_array_equal(play([frozenset({0, 1, 2} - {i})])[0], alone)
    assert len(list(tmp_path.glob("coalitions-*"))) == 1, "what is known is not rolled out again"
    found = shapley(play, play.names, measures).set_index(["group", "measure"])["value"]
    assert found["h0/dead"].abs().max() == 0.0, "a dead unit contributes exactly nothing"
    again = SweepGame(policy, players, measures, tmp_path, options)
    np.testing.assert_array_equal(again(every(3)), values)
