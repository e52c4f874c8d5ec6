"""The line that tells how a map gets on: one line, honest, and only where somebody can see it."""

import io
import re
import time

import pytest
from conftest import CONDITIONS, HORIZON
from rich.console import Console

import rl_ablation as rl
from rl_ablation import progress
from rl_ablation.mapping import forecast
from rl_ablation.reports import pipeline

WIDE = 80


def screen(monkeypatch, terminal=True):
    """What standard error receives from now on."""
    out = io.StringIO()
    shown = Console(file=out, force_terminal=terminal, width=WIDE, color_system=None)
    monkeypatch.setattr(progress, "console", shown)
    monkeypatch.setattr(pipeline, "console", shown)
    return out


def frames(out):
    """The states of the line, without those that repeat."""
    text = re.sub(r"\x1b\[[0-9;?]*[lhmJ]", "", out.getvalue())
    found = (part.rstrip() for part in re.split(r"\r|\x1b\[\d?[KA]|\n", text))
    return list(dict.fromkeys(part for part in found if part))


@pytest.fixture
def mapped(policy, activity, tmp_path, monkeypatch):
    monkeypatch.setattr(forecast, "MANY", 0.1)
    monkeypatch.setattr(forecast, "SOME", 0.1)

    def run(**how):
        return pipeline.make_map(
            policy, "layers,clusters:3", rl.Episodes(12, 0, CONDITIONS, HORIZON),
            rl.MapDesign(controls=4, kinds=("zero",)),
            rl.Execution(tmp_path / "run", threads=1, **how), films=0, measures=["forward_speed"],
        )  # fmt: skip

    return run


def test_a_map_tells_stage_cuts_time_and_what_it_looks_like(mapped, monkeypatch):
    out = screen(monkeypatch)
    run = mapped()
    first, *shown = frames(out)
    assert first.startswith("14 lesions, at most ")
    assert max(map(len, shown)) <= WIDE
    # Whatever moves the cursor up has drawn more than one line; at the end the line goes away.
    assert out.getvalue().count("\x1b[1A") <= 2
    stages = list(dict.fromkeys(line.split()[0] for line in shown if line.split()[0].isalpha()))
    assert stages == ["discovery", "confirmation", "controls", "doses", "films", "report"]
    assert any(re.search(r"discovery .* \d+ of 13 cuts", line) for line in shown)
    count = len(run.confirmation.plan) - 2  # neither intact nor A/A
    assert count >= 1
    told = [line for line in shown if line.startswith("confirmation")]
    assert all(f" {count} of 9 look as if they change" in line for line in told)
    assert not re.search("found|claim|significant", " ".join(shown)), "nothing is claimed yet"


@pytest.mark.parametrize(("terminal", "show"), [(False, True), (True, False)])
def test_nobody_is_told_who_cannot_or_will_not_see_it(terminal, show, mapped, monkeypatch):
    out = screen(monkeypatch, terminal)
    mapped(progress=show)
    lines = out.getvalue().splitlines()
    assert len(lines) == show
    assert "\x1b" not in out.getvalue()


def test_the_time_left_is_that_of_all_stages_if_it_is_foretold(monkeypatch):
    for expected, told in (
        (None, "left in this stage"),
        ({"one": 5, "two": 3600}, "1 h left"),
    ):
        out = screen(monkeypatch)
        with progress.line(expected):
            progress.stage("one")
            with progress.bar("work", 10, parts="4 cuts") as advance:
                for _ in range(6):
                    advance(1)
                    time.sleep(0.1)
        assert told in out.getvalue()
        assert "2 of 4 cuts" in out.getvalue()


def test_what_is_found_is_only_worked_out_for_somebody(monkeypatch):
    def never():
        raise AssertionError("it was")

    screen(monkeypatch, terminal=False)
    with progress.line():
        progress.stage("one", never)
    progress.stage("two", never)  # there is no line
    out = screen(monkeypatch)
    with progress.line():
        progress.stage("one", lambda: "[b]3 of 4[/b]")
        time.sleep(0.3)
    assert "[b]3 of 4[/b]" in out.getvalue(), "words are no markup"


def test_a_line_ends_with_its_work_however_that_ends(monkeypatch):
    out = screen(monkeypatch)

    def interrupted():
        with progress.line():
            progress.stage("one")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert progress._current.get() is None
    assert out.getvalue().endswith("\x1b[2K"), "it is wiped"
    with progress.bar("alone", 2) as advance:  # is a bar of its own again
        advance(2)
    assert "alone" in out.getvalue()
