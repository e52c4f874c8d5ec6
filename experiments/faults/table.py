"""All kinds of faults, tried and counted: the table of ``make faults``.

Each kind is a function of a seed and a count that gives a `Tally`. What was tried is kept by kind
and seed, so that a big count can be run in pieces with seeds of their own, and the table adds up.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import tyro

from experiments.faults.tally import Tally
from experiments.studies.registry import DOCS, RUNS
from rl_ablation.errors import LabError
from rl_ablation.files import write_atomically

PAGE = DOCS / "reference" / "faults.md"
BEGIN, END = "<!-- The table is written by `make faults`. -->", "<!-- Its end. -->"
EXAMPLES = 20  # failures that are printed
ON_PAGE = 3


# Imported by each kind alone: forks should have no threads that another kind's libraries started.


def _kills(seed: int, count: int) -> Tally:
    from experiments.faults.kills import kills

    return kills(seed, count)


def _corruptions(seed: int, count: int) -> Tally:
    from experiments.faults.corruptions import corruptions

    return corruptions(seed, count)


def _calls(seed: int, count: int) -> Tally:
    from experiments.faults.calls import fuzzed_calls

    return fuzzed_calls(seed, count)


def _files(seed: int, count: int) -> Tally:
    from experiments.faults.files import hostile_files

    return hostile_files(seed, count)


def _worlds(seed: int, count: int) -> Tally:
    from experiments.faults.worlds import failing_worlds

    return failing_worlds(seed, count)


KINDS: dict[str, tuple[Callable[[int, int], Tally], int, str]] = {
    "kills": (
        _kills, 60,
        "maps and trainings killed up to three times each: the same bytes in the end",
    ),
    "corruptions": (
        _corruptions, 1000,
        "a bit, digit, end, place or whole file of a map or training changed: the same answers, or "
        "a line that says so; and the same command mends it",
    ),
    "calls": (
        _calls, 1000,
        "command lines by chance: an exit code that is documented, wrong usage in at most 4 lines, "
        "no traceback, no warning of a library, in a minute of processor time",
    ),
    "files": (
        _files, 500,
        "policies, zips, files of robots and run folders made to run, hang or fill: nothing run "
        "or written, 5 s and 1 GB at most, read as what they say or refused in a line",
    ),
    "worlds": (
        _worlds, 200,
        "environments that raise, give no numbers, change their spaces or do not repeat: refused "
        "in a line, or the row flagged and all other numbers the same",
    ),
}  # fmt: skip
"""Kind → what tries it, how often by default, and what is asked."""


def main(
    kinds: Annotated[str, tyro.conf.arg(help="Which, with commas.")] = ",".join(KINDS),
    count: Annotated[int | None, tyro.conf.arg(help="How many of each; else the full.")] = None,
    seed: Annotated[int, tyro.conf.arg(help="Other seeds are added up with this one.")] = 0,
    out: Annotated[Path, tyro.conf.arg(help="Folder of what was tried.")] = RUNS / "faults",
    docs: Annotated[bool, tyro.conf.arg(help="Also write the table into docs/.")] = False,
) -> int:
    """Damage files, kill processes, and give the lab hostile input; count what holds.

    Returns:
        1 where something did not hold, else 0.
    """
    asked = [name.strip() for name in kinds.split(",") if name.strip()]
    if unknown := [name for name in asked if name not in KINDS]:
        raise LabError(f"no kind of fault {unknown[0]!r}; choose from {', '.join(KINDS)}")
    if seed < 0 or (count is not None and count < 1):
        raise LabError("the seed must be at least 0 and the count at least 1")
    bad = 0
    for name in asked:
        try_, full, _ = KINDS[name]
        tally = try_(seed, full if count is None else count)
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / f"{name}-{seed}.json", json.dumps(asdict(tally), indent=1))
        bad += len(tally.failures)
        print(f"{tally.name}: {tally.held:,} of {tally.tried:,} held", tally.told, flush=True)
        for line in tally.failures[:EXAMPLES]:
            print(f"  {line}", flush=True)
    if docs:
        write_table(out)
    return int(bad > 0)


def write_table(out: Path, page: Path = PAGE) -> None:
    """Put the table of all that was tried between its marks in a page.

    Raises:
        LabError: The page lacks the marks.
    """
    text = page.read_text("utf-8")
    if BEGIN not in text or END not in text:
        raise LabError(f"{page} lacks the lines {BEGIN!r} and {END!r} around its table")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    write_atomically(page, f"{before}{BEGIN}\n{table(out)}{END}{after}")


def table(out: Path) -> str:
    """What was tried and held of each kind, as Markdown, with examples of what did not hold."""
    lines = ["| tried | what must hold | tries | held |", "|---|---|---|---|"]
    failures = []
    for name, (_, _, wanted) in KINDS.items():
        found = [Tally(**json.loads(p.read_text())) for p in sorted(out.glob(f"{name}-*.json"))]
        if not found:
            continue
        tried, held = sum(t.tried for t in found), sum(t.held for t in found)
        lines.append(f"| {found[0].name} | {wanted} | {tried:,} | {held:,} |")
        failures += [f"- {t.name}: `{line}`" for t in found for line in t.failures[:ON_PAGE]]
    told = ["", "What did not hold, for example:", "", *failures] if failures else []
    return "\n".join([*lines, *told, ""])
