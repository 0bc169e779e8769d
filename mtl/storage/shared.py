"""Whether another process, on another machine maybe, has the same folder: a path alone does not say it."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Generator
from pathlib import Path


@contextlib.contextmanager
def marked(folder: Path) -> Generator[Path]:
    """A file in the folder whose name nobody has had before, while the block lasts: who sees it sees this folder."""
    mark = folder.absolute() / f".seen-{secrets.token_hex(8)}.tmp"
    mark.touch()
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)


def sees(mark: Path) -> bool:
    """Whether this process has the marked folder, and may write to it."""
    return mark.exists() and os.access(mark.parent, os.W_OK)
