"""Progress bars that know when nobody is looking."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(stderr=True)


@contextmanager
def bar(
    what: str, total: float, unit: str = "", *, show: bool = True
) -> Iterator[Callable[[float], None]]:
    """Show a progress bar on standard error if it is a terminal; yields ``advance(by)``."""
    if not show or not console.is_terminal:
        yield lambda by: None
        return
    columns = (
        TextColumn(f"{what:<14}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        task = progress.add_task(what, total=total, rate="")

        def advance(by: float) -> None:
            speed = progress.tasks[0].speed
            rate = f"{speed:,.0f} {unit}/s" if speed and unit else ""
            progress.update(task, advance=by, rate=rate)

        yield advance
