"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


def absolute(overrides: list[str] | None) -> list[str]:
    """The files that overrides name, found from where the command was called."""
    from pathlib import Path

    return [f"@{Path(o[1:]).resolve()}" if o.startswith("@") else o for o in overrides or []]
