"""With what a command ends: the one place that says it. docs/how-to/errors.md has it for readers."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What whoever called it can tell from the number."""

    DONE = 0
    NO = 1
    """It did what it was asked, and the answer is no: not promoted, not identical, something is found; or a fault of the program
    (a traceback).
    """
    MEND = 2
    """Something that its user can mend: it says what, what was found, and how. Nothing half done counts."""
    SHIFTED = 3
    """`mtl monitor`: production images have shifted."""
    STOPPED = 130
    """Ctrl-C or SIGTERM: run it again to go on."""
