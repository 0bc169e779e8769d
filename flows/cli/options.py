"""Options that several commands have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pathlib import Path

Port = Annotated[int, typer.Option(min=1, max=65535, help="port to listen on")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


def absolute(overrides: list[str] | None) -> list[str]:
    """The files that overrides name, found from where the command was called."""
    from pathlib import Path

    return [f"@{Path(o[1:]).resolve()}" if o.startswith("@") else o for o in overrides or []]


def numbers(option: str, text: str) -> tuple[float, ...]:
    """Numbers of an option with commas between them."""
    try:
        return tuple(float(part) for part in text.split(",") if part)
    except ValueError as error:
        raise typer.BadParameter(f"{error}; write numbers with commas, as in 1e-3,3e-3", param_hint=option) from error


def page_file(given: str) -> Path:
    """The file that a page is to be written to; its folder is made.

    Raises:
        MtlError: it is a folder, or nothing can be written there.
    """
    from pathlib import Path

    from flows.checks import writable
    from mtl.errors import ConfigError

    path = Path(given)
    if path.is_dir():
        raise ConfigError("--html names a folder", found=given, fix=f"name a file: --html {path / 'page.html'}")
    writable(str(path.parent), "--html")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
