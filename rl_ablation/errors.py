"""The one exception for bad input: its message is one line that says what and how to mend it."""

from __future__ import annotations


def escaped(text: object) -> str:
    r"""Text with what cannot be printed as escapes, such as ``\n``, ``\x1b`` and ``\u202e``.

    Names and texts of files go to a terminal through this: there a control character could move
    the cursor, colour the screen, or make one line look like another.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


class LabError(ValueError):
    """Bad input from a person or a file; the command line prints it and exits with 2.

    Its message is shown `escaped`, and so is one line whatever it quotes.
    """

    def __str__(self) -> str:
        return escaped(super().__str__())
