"""Cells of the tables that we write: a spreadsheet that opens them computes nothing that somebody else wrote."""

from __future__ import annotations

import re
from typing import Any

_COMPUTED = re.compile(r"'*\s*[=+\-@\t\r\n＝＋－＠]")


def as_cell(value: Any) -> Any:
    """A cell of a CSV: a text that a spreadsheet would compute gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and _COMPUTED.match(value) else value


def from_cell(text: str) -> str:
    """What `as_cell` was given."""
    return text[1:] if text.startswith("'") and _COMPUTED.match(text) else text
