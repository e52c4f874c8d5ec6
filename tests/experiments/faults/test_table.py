"""The table of what was tried, the forks that trials run in, and mutants."""

import ast
import os
import signal
import time

import pytest

from experiments.faults import mutants, table
from experiments.faults.forks import RAISED, in_fork
from experiments.faults.tally import Tally
from rl_ablation.errors import LabError


@pytest.fixture
def tried(monkeypatch):
    """One kind that fails for every third trial."""

    def kind(seed, count):
        return Tally("odd things", count, tuple(f"{seed}.{k} | fell" for k in range(0, count, 3)))

    monkeypatch.setattr(table, "KINDS", {"odd": (kind, 6, "it stands")})


def test_pieces_with_seeds_of_their_own_add_up(tried, tmp_path, capsys):
    assert table.main("odd", out=tmp_path) == 1
    assert "odd things: 4 of 6 held" in capsys.readouterr().out
    assert table.main("odd", count=1000, seed=1, out=tmp_path) == 1
    assert table.main("odd", count=1000, seed=1, out=tmp_path) == 1, "the same piece counts once"
    text = table.table(tmp_path)
    assert "| odd things | it stands | 1,006 | 670 |" in text
    assert "`0.0 | fell`" in text


def test_the_page_keeps_what_stands_around_the_table(tried, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n{table.BEGIN}\nstale\n{table.END}\nafter\n")
    table.main("odd", out=tmp_path)
    for _ in range(2):
        table.write_table(tmp_path, page)
        text = page.read_text()
        assert text.startswith(f"# Before\n{table.BEGIN}\n| tried |")
        assert text.endswith(f"\n{table.END}\nafter\n")
        assert "stale" not in text
    page.write_text("nothing")
    with pytest.raises(LabError, match="lacks the lines"):
        table.write_table(tmp_path, page)


def test_unknown_kinds_and_counts_are_refused(tmp_path):
    for how in ({"kinds": "sorcery"}, {"count": 0}, {"seed": -1}):
        with pytest.raises(LabError):
            table.main(**{"kinds": "calls", "out": tmp_path, **how})
    assert table.PAGE.read_text().count(table.BEGIN) == 1


def test_a_call_in_a_fork_cannot_take_us_along(capsys):
    with capsys.disabled():  # what a fork prints goes to the file that its parent reads
        done = in_fork(lambda: print("here") or 3)
        failed = in_fork(lambda: 1 // 0)
        died = in_fork(lambda: os.kill(os.getpid(), signal.SIGTERM))
        busy = in_fork(lambda: max(time.process_time() for _ in iter(int, 1)), seconds=1)
    assert (done.code, done.last, done.ended) == (3, "here", "")
    assert failed.code == RAISED
    assert failed.last.startswith("ZeroDivisionError")
    assert died.ended == "ended by SIGTERM"
    assert busy.ended == "took more than 1 s"


def test_mutants_are_other_programs_that_can_be_read():
    path = "rl_ablation/policies/sb3/time_feature.py"
    found = mutants.mutants(path)
    sound = ast.unparse(ast.parse((mutants.HOUSE / path).read_text()))
    assert len(found) > 20
    texts = [mutant.text for mutant in found]
    assert len({*texts, sound}) == len(found) + 1
    for text in texts:
        compile(text, path, "exec")
    assert mutants.sample(3, 5) == mutants.sample(3, 5)
    assert mutants.sample(3, 5) != mutants.sample(4, 5)


def test_tests_of_mutants_are_there():
    for path, tests in mutants.TARGETS.items():
        assert (mutants.HOUSE / path).exists()
        for test in tests:
            file = test.partition("::")[0]
            assert file.startswith("-") or (mutants.HOUSE / file).exists(), file
