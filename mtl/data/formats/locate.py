"""The image that a tool's export names: by a path of the tool's own server, in an address, or with letters put before it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from mtl.data.formats.base import Problem, Reading
from mtl.data.formats.mentions import Files
from mtl.errors import DataError

UPLOADED = re.compile(r"^(.*/)?[0-9a-f]{8}-(.+)$")
"""Label Studio puts eight digits before the name of every file that is uploaded."""


def locate(files: Files, mention: str, near: str = "") -> str:
    """The file that is meant.

    Args:
        near: the folder of the document.

    Raises:
        DataError: there is none, or nothing tells which; it says the mention as it was.
    """
    try:
        return files.find(mention, near)
    except DataError as error:
        for other in _others(mention):
            try:
                return files.find(other, near)
            except DataError:
                continue
        raise error from None


def _others(mention: str) -> Iterator[str]:
    """What the mention may have been before a tool changed it."""
    plain = unquote(mention.replace("\\", "/"))
    if plain != mention:
        yield plain
    found = UPLOADED.match(plain)
    if found:
        yield (found.group(1) or "") + found.group(2)


def lost(name: str, error: DataError, document: str, file: str = "") -> Problem:
    """An image that a document names and that cannot be found: one reason for all of a document.

    Args:
        file: of an annotation that is of this image alone, and not used for it.
    """
    return Problem(name, f"an image that {document} names cannot be found; {error.line}", file=file)


def unused(reading: Reading, name: str, problem: Problem) -> None:
    """Say that a document cannot be used, which was taken for one that can."""
    reading.documents.discard(name)
    reading.problems.append(problem)
