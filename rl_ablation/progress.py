"""Progress bars that know when nobody is looking, and one line for work of several stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from rich import progress as columns
from rich.console import Console
from rich.table import Column
from rich.text import Text

from rl_ablation.errors import escaped
from rl_ablation.formats import duration

console = Console(stderr=True)


@contextmanager
def bar(
    what: str, total: float, unit: str = "", *, show: bool = True, parts: str = ""
) -> Iterator[Callable[[float], None]]:
    """Show a progress bar on standard error if it is a terminal; yields ``advance(by)``.

    Inside `line` it is that line which moves on; the parts, such as "40 cuts", are counted there.
    """
    if not show or not console.is_terminal:
        yield lambda by: None
        return
    if (current := _current.get()) is not None:
        yield current.measured(total, parts)
        return
    shown = (
        columns.TextColumn(f"{what:<14}"),
        columns.BarColumn(),
        columns.TaskProgressColumn(),
        columns.TextColumn("{task.fields[rate]}"),
        columns.TimeElapsedColumn(),
        columns.TextColumn("left"),
        columns.TimeRemainingColumn(),
    )
    with columns.Progress(*shown, console=console, refresh_per_second=4) as progress:
        task = progress.add_task(what, total=total, rate="")

        def advance(by: float) -> None:
            speed = progress.tasks[0].speed
            rate = f"{speed:,.0f} {unit}/s" if speed and unit else ""
            progress.update(task, advance=by, rate=rate)

        yield advance


@contextmanager
def line(expected: Mapping[str, float] | None = None, *, show: bool = True) -> Iterator[None]:
    """Show one line while work of several stages goes on, if standard error is a terminal.

    It tells the stage, how far it is, the time left, and what has been found so far; see `stage`.
    ``expected`` are the seconds that each stage is expected to take, in order; without them the
    time left is that of the stage. A line inside a line changes nothing.
    """
    if not show or not console.is_terminal or _current.get() is not None:
        yield
        return
    shown = _Line(expected)
    token = _current.set(shown)
    try:
        with shown.progress:
            yield
    finally:
        _current.reset(token)


def stage(name: str, found: Callable[[], str] | None = None) -> None:
    """Tell the `line`, if there is one, that a stage begins, and what has been found by now."""
    if (current := _current.get()) is not None:
        current.begin(name, found)


class _Line:
    """The line: a single task of rich's, whose fields are its words."""

    def __init__(self, expected: Mapping[str, float] | None) -> None:
        self.expected = expected
        self.progress = columns.Progress(
            columns.TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            columns.BarColumn(8),
            _Words(_parts, Column(no_wrap=True)),
            _Words(_left, Column(no_wrap=True)),
            # What is found takes the room that is left, so that it all stays one line.
            _Words(_found, Column(no_wrap=True, overflow="ellipsis", ratio=1)),
            console=console, expand=True, transient=True, refresh_per_second=4,
        )  # fmt: skip
        self.name, self.found = "", ""
        self.after: float | None = None  # seconds of the stages after this one
        self.task: columns.TaskID | None = None

    def begin(self, name: str, found: Callable[[], str] | None) -> None:
        """A stage begins."""
        self.name = name
        self.found = self.found if found is None else found()
        if self.expected is not None:
            names = list(self.expected)
            later = names[names.index(name) + 1 :] if name in names else []
            self.after = sum(self.expected[n] for n in later)
        self.measured(None)

    def measured(self, total: float | None, parts: str = "") -> Callable[[float], None]:
        """The stage has so much to do, in so many parts; gives ``advance(by)``."""
        if self.task is not None:
            self.progress.remove_task(self.task)  # its speed says nothing about the next one
        task = self.task = self.progress.add_task(
            f"{self.name:<12}", total=total, parts=parts, after=self.after, found=self.found
        )
        return lambda by: self.progress.update(task, advance=by)


class _Words(columns.ProgressColumn):
    """A column of words about the task."""

    def __init__(self, words: Callable[[columns.Task], str], column: Column) -> None:
        super().__init__(table_column=column)
        self.words = words

    def render(self, task: columns.Task) -> Text:
        """The words."""
        return Text(escaped(self.words(task)))


def _parts(task: columns.Task) -> str:
    """``12 of 40 cuts``: of work that is done side by side, as many as the share that is done."""
    number, _, what = task.fields["parts"].partition(" ")
    return f"{int(task.percentage / 100 * int(number))} of {number} {what}" if number else ""


def _left(task: columns.Task) -> str:
    left, after = task.time_remaining, task.fields["after"]
    if left is None:
        return ""
    if after is None:
        return f"{duration(left)} left in this stage"
    return f"{duration(left + after)} left"


def _found(task: columns.Task) -> str:
    return str(task.fields["found"])


_current: ContextVar[_Line | None] = ContextVar("line", default=None)
