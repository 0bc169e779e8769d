"""A table's cells as targets: what is missing, what is a number, which labels there are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable
from typing import Any

from mtl.config.files import Column
from mtl.data.formats.text import plain
from mtl.errors import DataError

Cell = str | tuple[str, ...]
"""A cell without spaces around it; several texts where the file itself has a list."""

_WHOLE = re.compile(r"([+-]?\d+)\.0+")
_COMMA = re.compile(r"[+-]?\d+,\d+")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")


def as_cell(value: Any) -> Cell:
    """What a typed file has, as the cell of a text would be."""
    if value is None or value != value:
        return ""
    if isinstance(value, list | tuple):
        return tuple(part if isinstance(part := as_cell(item), str) else "|".join(part) for item in value)
    if isinstance(value, dict):
        return json.dumps(value, default=str)
    if isinstance(value, bytes):
        return plain(value.decode("utf-8", "replace"))
    return value.isoformat() if hasattr(value, "isoformat") else plain(str(value))


def number(text: str, what: str, comma: bool = False) -> float:
    """A finite number.

    Args:
        comma: whether decimals stand behind a comma.

    Raises:
        DataError: it is none.
    """
    try:
        if "_" in text or (comma and "." in text):
            raise ValueError
        value = float(text.replace(",", ".") if comma else text)
    except ValueError as error:
        fix = "write it without separators of thousands, or set `decimal`" if {",", "."} & {*text} else ""
        raise DataError(f"{what} is no number", found=repr(text), fix=fix) from error
    if not math.isfinite(value):
        raise DataError(f"{what} is not finite", found=repr(text), fix="leave the cell empty where it is unknown")
    return value


def has_decimal_commas(cells: Iterable[Cell], decimal: str = "") -> bool:
    """Whether numbers of a column have a comma before their decimals: `3,5`. 1,234 may be a thousand and more, so that a column
    of nothing else is refused by `number`, until `decimal` says what it is.
    """
    if decimal:
        return decimal == ","
    commas = [cell for cell in cells if isinstance(cell, str) and _COMMA.fullmatch(cell)]
    return any(not _THOUSANDS.fullmatch(cell) for cell in commas)


def whole(cell: Cell) -> Cell:
    """1.0 as 1: what becomes of whole numbers in a column with gaps."""
    found = _WHOLE.fullmatch(cell) if isinstance(cell, str) else None
    return found.group(1) if found else cell


def is_missing(cell: Cell, column: Column) -> bool:
    """Whether a cell says that nothing is known: -1.0 as -1."""
    return cell in column.unknown or (whole(cell) in column.unknown and cell not in column.classes)


def parts(cell: Cell, separator: str) -> list[str]:
    """The labels of a cell: of a list, of a text with separators, or of a list that was written as text."""
    if isinstance(cell, str):
        if len(cell) > 1 and cell[0] + cell[-1] in ("[]", "{}", "()"):
            return [plain(part.strip().strip("\"'")) for part in cell[1:-1].split(",") if part.strip()]
        cell = tuple(cell.split(separator))
    return [seen for part in cell if (seen := plain(part))]


def in_order(names: set[str]) -> tuple[str, ...]:
    """Sorted; numbers by their value."""

    def order(label: str) -> tuple[bool, int, str]:
        is_number = re.fullmatch(r"-?[0-9]{1,18}", label) is not None
        return not is_number, int(label) if is_number else 0, label

    return tuple(sorted(names, key=order))


def mark_of(cell: Cell, missing: Collection[Cell]) -> float | None:
    """What a column of 0 and 1 says: a number, or None if it is missing; not a number where it says something else."""
    if cell in missing or cell == "":
        return None
    try:
        return (
            {"true": 1.0, "false": 0.0}.get(str(cell).lower())
            if str(cell).lower() in ("true", "false")
            else float(str(cell))
        )
    except ValueError:
        return math.nan
