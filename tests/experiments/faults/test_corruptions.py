"""Damage to small maps and trainings, a little of that of `make faults`."""

import numpy as np
import pytest

from experiments.faults import corruptions as module
from experiments.faults.corruptions import DAMAGES, corruptions, differing, files
from rl_ablation.errors import LabError


def test_nothing_is_silently_different():
    tally = corruptions(seed=5, count=10)
    assert tally.failures == ()
    assert (tally.tried, tally.held) == (10, 10)


def test_a_difference_without_a_word_does_not_hold(monkeypatch):
    """The trials above would hold for a lab that never answers otherwise than it is asked to."""

    def answers(asked):
        found = {name: question() for name, question in asked}
        return found | {"effects": str(np.random.default_rng().random())}

    monkeypatch.setattr(module, "damage", lambda draw, root: "nothing")
    monkeypatch.setattr(module, "answers", answers)
    (failure,) = corruptions(seed=5, count=1).failures
    assert failure == "0: map nothing: effects differs without a word"
    assert differing({"a": 1, "b": LabError("damaged")}, {"a": 1, "b": 2}) == ""


@pytest.mark.parametrize("how", DAMAGES, ids=lambda how: how.__name__)
def test_each_kind_of_damage_changes_files(how, tmp_path):
    for root in (tmp_path / "map", tmp_path / "whole"):
        (root / "inside").mkdir(parents=True)
        for name in ("a.json", "b.json", "inside/c.json"):
            (root / name).write_text(f"{name} 1")
    draw = np.random.default_rng(0)
    path = files(tmp_path / "map")[0]
    assert how(draw, path)
    names = [p.relative_to(tmp_path / "whole") for p in files(tmp_path / "whole")]
    assert any(
        not (tmp_path / "map" / n).exists()
        or (tmp_path / "map" / n).read_bytes() != (tmp_path / "whole" / n).read_bytes()
        for n in names
    )
