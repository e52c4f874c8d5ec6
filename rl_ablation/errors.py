"""The one exception for bad input: its message is one line that says what and how to mend it."""

from __future__ import annotations


class LabError(ValueError):
    """Bad input from a person or a file; the command line prints it and exits with 2."""
