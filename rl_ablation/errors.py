"""The one exception for bad input: its message is a single line that says what and how to mend it."""


class LabError(ValueError):
    """Bad input from a person or a file; the command line prints it as one line and exits with 2."""
