"""Progress bars that know when nobody is looking."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import progress as columns
from rich.console import Console

console = Console(stderr=True)


@contextmanager
def bar(
    what: str, total: float, unit: str = "", *, show: bool = True
) -> Iterator[Callable[[float], None]]:
    """Show a progress bar on standard error if it is a terminal; yields ``advance(by)``."""
    if not show or not console.is_terminal:
        yield lambda by: None
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
