"""What others wrote, in Markdown that we write: it stays text, and loads nothing."""

from __future__ import annotations

import re

from mtl.output.terminal import plain

_MARKUP = re.compile(r"[\\`*\[\]<>|~&@$^{}!]|:(?=//)|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=[wW])\.")
"""What begins emphasis, code, links (also bare ones and addresses), images, HTML, a cell, strikethrough, an entity, a formula."""
_LINE_START = re.compile(r"^(?:([#+=-])(?=[\s#=-]|$)|(\d+)([.)])(?=\s|$))")
"""What makes a heading, a list or a rule where it begins a line."""


def as_text(value: object) -> str:
    """Text of one line. Only what could be read as markup gets a backslash: figures and names stay as they are."""
    line = " ".join(plain(str(value)).split())
    return _LINE_START.sub(_quoted_start, _MARKUP.sub(r"\\\g<0>", line))


def as_paragraphs(value: object) -> str:
    """Text of several paragraphs, with blank lines between them."""
    return "\n\n".join(as_text(part) for part in re.split(r"\n\s*\n", str(value)) if part.strip())


def as_code(value: object) -> str:
    """Text in a code span, where a backslash would be shown."""
    line = " ".join(plain(str(value)).split())
    return f"`{line.replace('`', chr(39)).replace('|', '¦')}`" if line else ""


def _quoted_start(found: re.Match[str]) -> str:
    mark, number, dot = found.groups()
    return f"\\{mark}" if mark else f"{number}\\{dot}"
