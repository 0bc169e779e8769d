"""A command that was not understood, said as every other error: what, what was found, how to mend it."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import typer

from mtl.errors import MtlError


def explain(error: typer.TyperException) -> MtlError | None:
    """Typer's error as ours, with the nearest names; None: there was no command, and the help was shown in its place."""
    said = error.format_message()
    if not said:
        return None
    context: Any = getattr(error, "ctx", None)
    words = context.command_path.split() if context is not None else []
    path = " ".join(["mtl", *words[3 if words[:2] == ["python", "-m"] else 1 :]])
    what, asked, guess = said.rstrip(".").partition(" Did you mean ")
    fix = f"{path} --help lists what there is"
    return MtlError(
        what.rstrip("."),
        found=shlex.join(["mtl", *sys.argv[1:]]),
        fix=f"did you mean {guess} {fix}" if asked else fix,
    )
