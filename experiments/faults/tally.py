"""What came of one kind of trial."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tally:
    """How many were tried and what did not hold.

    Attributes:
        name: Of the kind of trial.
        tried: How many.
        failures: A line for each that did not hold.
        told: What else there is to say of them, for the table.
    """

    name: str
    tried: int
    failures: tuple[str, ...]
    told: str = ""

    @property
    def held(self) -> int:
        """How many held."""
        return self.tried - len(self.failures)
