"""VIA's annotations in CSV: a row per region, with JSON in its cells."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from mtl.data.formats.base import Problem, Reading
from mtl.data.formats.documents import shown
from mtl.data.formats.text import decoded

COLUMNS = ("region_shape_attributes", "region_attributes", "file_attributes")


def is_via_table(data: bytes) -> bool:
    """Whether a CSV file is of VIA."""
    head = data[:4096]
    return b"filename" in head and b"region_shape_attributes" in head


def table_of(data: bytes, name: str, reading: Reading) -> list[dict[str, Any]]:
    """What the rows say of each file, as VIA's JSON has it.

    Raises:
        DataError: it is no text.
    """
    # VIA 1 and 3 put lines before the header that begin with a number sign; VIA 1 the header itself.
    lines = [line for line in decoded(data).splitlines() if not line.startswith("# ")]
    rows = csv.reader(io.StringIO("\n".join(line.removeprefix("#") for line in lines)))
    header = next(rows, [])
    found: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(rows, 2):
        cells = dict(zip(header, row, strict=False))
        try:
            shape, attributes, of_file = (_cell(cells.get(column)) for column in COLUMNS)
        except ValueError as error:
            reason = f"{name}, line {number}: a cell is not JSON; found: {shown(str(error))}"
            reading.problems.append(Problem(cells.get("filename", name), reason, loses="annotation"))
            continue
        item = found.setdefault(
            cells.get("filename", ""), {"filename": cells.get("filename"), "regions": [], "file_attributes": of_file}
        )
        if shape:
            item["regions"].append({"shape_attributes": shape, "region_attributes": attributes})
    return [*found.values()]


def _cell(text: str | None) -> dict[str, object]:
    try:
        found = json.loads(text or "{}")
    except RecursionError as error:
        raise ValueError("too deep") from error
    if not isinstance(found, dict):
        raise ValueError(f"not an object: {found!r}"[:80])
    return found
