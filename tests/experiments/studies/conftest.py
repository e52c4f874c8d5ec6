"""What the tests of the studies share."""

from collections.abc import Callable

import pytest

from experiments.studies.registry import Answer


@pytest.fixture(scope="session")
def complete() -> Callable[[Answer], bool]:
    """Whether every figure of an answer can be drawn and every table has rows."""

    def check(answer: Answer) -> bool:
        for figure in answer.figures.values():
            figure.canvas.draw()
        return all(len(table) for table in answer.tables.values())

    return check
