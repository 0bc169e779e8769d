"""JSON documents as tools leave them: what they are is read, whatever is in them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson

from mtl.codecs.header import MAX_PIXELS
from mtl.data.formats.base import Problem, Reading
from mtl.data.formats.shapes import Frame
from mtl.data.formats.text import decoded, plain
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

AHEAD = 16
"""Documents that are read at a time."""


def read_json(tree: FileTree, name: str) -> object:
    """A JSON document; NaN, a byte order mark and UTF-16 are taken, which JSON itself has not.

    Raises:
        DataError: it is not there, or no JSON.
    """
    data = tree.read(name)
    try:
        return orjson.loads(data)
    except ValueError:
        return _lenient(data, name)


def _lenient(data: bytes, name: str) -> object:
    try:
        return json.loads(decoded(data))
    except DataError as error:
        raise DataError(f"{name} is not JSON", found=error.line) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is not JSON", found=str(error) or type(error).__name__) from error


def number(value: object) -> float | None:
    """A finite number, whether it is written 1, 1.5 or "1.5"; None if it is none."""
    if isinstance(value, str) and len(value) < 32:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def numbers(value: object, count: int | None = None) -> list[float] | None:
    """A list of finite numbers, of this length; None if it is none."""
    if not isinstance(value, list) or (count is not None and len(value) != count):
        return None
    if {*map(type, value)} <= {float}:  # the usual case of millions of corners: looked at all at once
        return value if math.isfinite(sum(value)) or all(map(math.isfinite, value)) else None
    found = [number(item) for item in value]
    return None if any(item is None for item in found) else [item for item in found if item is not None]


def frame_of(width: object, height: object) -> Frame:
    """The frame of a size that a document says; of one that no picture has, and of none, the picture as it is shown."""
    across, down = number(width), number(height)
    if across is None or down is None or min(across, down) < 1 or across * down > MAX_PIXELS:
        return Frame()
    return Frame(across, down)


def identity(value: object) -> str | None:
    """An id, whether it is written 1, 1.0, "1" or "1.0"; None if it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else None
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    whole, dot, rest = text.partition(".")
    return whole if dot and whole.isdecimal() and rest and not rest.strip("0") else text


def items(document: object, key: str) -> list[dict[str, object]]:
    """The objects in a list of a document; none if it has no such list."""
    found = document.get(key) if isinstance(document, dict) else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def section(document: object, key: str) -> dict[str, object]:
    """An object in a document; an empty one if it has none of that name."""
    found = document.get(key) if isinstance(document, dict) else None
    return found if isinstance(found, dict) else {}


def text(value: object) -> str:
    """A name without spaces around it; nothing if it is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return plain(str(value))


def shown(value: object) -> str:
    """The beginning of a value, for messages."""
    return repr(value)[:80]


def documents_of(
    tree: FileTree, annotations: str, fits: Callable[[object], bool], what: str, reading: Reading
) -> Iterator[tuple[str, Any]]:
    """Name and document of all JSON files of one format, in order; their names go into the reading.

    Args:
        annotations: the file; or the folder, in which files of other formats may lie too.
        fits: whether a document is of the format.

    Raises:
        DataError: the file that is named is none; or there is none at all.
    """
    if annotations in tree:
        document = read_json(tree, annotations)
        if not fits(document):
            raise DataError(f"{annotations} is not {what}", found=shown(document))
        reading.documents.add(annotations)
        yield annotations, document
        return
    some = False
    for name, document in _read(tree, tree.names(annotations, (".json",))):
        if isinstance(document, DataError):
            reading.problems.append(Problem(name, document.line, loses="annotation", file=name))
        elif fits(document):
            some = True
            reading.documents.add(name)
            yield name, document
    if not some:
        raise DataError(f"{tree.path} has no {what}", found=f"none in {annotations or 'it'}", fix="name the file")


def _read(tree: FileTree, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Documents, or why they are none, in order; some are read at a time, for a bucket answers slowly."""

    def one(name: str) -> object:
        try:
            return read_json(tree, name)
        except DataError as error:
            return error

    with ThreadPoolExecutor(AHEAD) as pool:
        for start in range(0, len(names), AHEAD):
            some = names[start : start + AHEAD]
            yield from zip(some, pool.map(one, some), strict=True)
