"""Rows of boxes, by the images that they name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from mtl.config.files import BoxTableSet
from mtl.data.formats.base import Entry, Problem, Reading
from mtl.data.formats.box_columns import BoxColumns, box_columns
from mtl.data.formats.cells import Cell, has_decimal_commas, number
from mtl.data.formats.named_images import Named, facts_columns, text, unite_facts
from mtl.data.formats.shapes import Frame
from mtl.data.formats.sheet import Sheet
from mtl.errors import DataError

RETINANET = BoxColumns(("2", "3", "4", "5"), "xyxy", image="1", label="6")
"""Columns by their places: path, x1, y1, x2, y2, class."""
AUTOML = BoxColumns(("4", "5", "8", "9"), "xyxy", image="2", label="3")
"""Google's, which says the split first, and of a box two corners among four."""
ONLY = "object"
"""The class of boxes that nothing says the class of."""


class Row(NamedTuple):
    """One box. where: line of the table; numbers: as they are written."""

    where: str
    numbers: tuple[float, ...]
    label: str
    crowd: bool


@dataclass
class Listed:
    """One image that rows name, what the first of them says of it, and the boxes."""

    entry: Entry
    frame: Frame
    rows: list[Row] = field(default_factory=list[Row])


def columns_of(settings: BoxTableSet, sheet: Sheet) -> BoxColumns:
    """The columns that are declared; others by their names, or by RetinaNet's order where they have none.

    Raises:
        DataError: nothing says which columns the image and the box are.
    """
    sheet.require(settings.box)
    found = box_columns(sheet.columns, settings.box)
    if not settings.header and not settings.box:
        if len(sheet.columns) != 6:
            fix = "path, x1, y1, x2, y2, class; or declare image, box and label as 1, 2, 3 …"
            raise DataError(f"{sheet.file} has {len(sheet.columns)} columns without names", fix=fix)
        found = RETINANET
    if len(found.box) == 1 and any("'width'" in str(cell).replace('"', "'") for cell in sheet.cells(found.box[0])):
        found = replace(found, form="xywh")
    image, label = settings.image or found.image, settings.label or found.label
    chosen = replace(
        found, image=image, label=label, crowd=settings.crowd or found.crowd, size=settings.size or found.size
    )
    if "regionshapeattributes" in {name.replace("_", "") for name in sheet.columns}:
        raise DataError(f"{sheet.file} is VGG Image Annotator's CSV", fix="format: via reads it")
    if not image or len(chosen.box) not in (1, 4):
        what = "box" if image else "image"
        raise DataError(
            f"which columns of {sheet.file} are the {what}, their names do not say",
            found=f"it has {sheet.columns}",
            fix=f"declare `{what}`" + (": four columns, or one of a list" if what == "box" else ""),
        )
    return chosen


def listed_boxes(
    settings: BoxTableSet, sheet: Sheet, columns: BoxColumns, named: Named, reading: Reading
) -> dict[str, Listed]:
    """File of an image → what its rows say; the same row twice is one."""
    commas = {
        name: has_decimal_commas(sheet.cells(name), settings.decimal) for name in columns.box if len(columns.box) == 4
    }
    only = settings.classes[0] if settings.classes else ONLY
    says_more = bool(facts_columns(settings))
    listed: dict[str, Listed] = {}
    seen: set[tuple[str, tuple[float, ...], str]] = set()
    for row in sheet.rows:
        file = named.of(row.number, row.cells)
        if file is None:
            continue
        where = named.where(row.number)
        if file not in listed:
            listed[file] = Listed(named.entry(file, row.cells), _frame(columns, row.cells))
        elif says_more:
            unite_facts(listed[file].entry, named.entry(file, row.cells), where, reading)
        try:
            boxes = _numbers(columns, row.cells, commas)
        except DataError as error:
            reading.problems.append(Problem(named.ids[file], f"{error.line}; in: {where}", loses="annotation"))
            continue
        label = text(row.cells[columns.label]) if columns.label else only
        crowd = bool(columns.crowd) and str(row.cells[columns.crowd]).lower() in ("1", "1.0", "true")
        for box in boxes:
            if (file, box, label) in seen:
                reading.notes["boxes that are listed twice, taken once"] += 1
                continue
            seen.add((file, box, label))
            listed[file].rows.append(Row(where, box, label, crowd))
    return listed


def _frame(columns: BoxColumns, cells: Mapping[str, Cell]) -> Frame:
    try:
        width, height = (number(text(cells[name]), name) for name in columns.size)
    except (DataError, ValueError):
        return Frame()
    return Frame(width, height) if width > 0 and height > 0 else Frame()


def _numbers(columns: BoxColumns, cells: Mapping[str, Cell], commas: Mapping[str, bool]) -> list[tuple[float, ...]]:
    """The boxes of a row: none where its cells are empty, or all 0, as DeepForest says that an image has no objects."""
    if len(columns.box) == 1:
        return _in_list(cells[columns.box[0]], columns.box[0])
    texts = [text(cells[name]) for name in columns.box]
    if not any(texts):
        return []
    if not all(texts):
        raise DataError("a box lacks a side", found=", ".join(texts))
    box = tuple(number(found, name, commas[name]) for found, name in zip(texts, columns.box, strict=True))
    return [box] if any(box) else []


def _in_list(cell: Cell, name: str) -> list[tuple[float, ...]]:
    """`[x, y, w, h]`, several of them, or the same with names as JSON has them."""
    words = cell if isinstance(cell, str) else " ".join(cell)
    if not re.search(r"\d", words):
        return []
    order: list[str] = re.findall(r"['\"](\w+)['\"]\s*:", words)
    if order and (len(order) % 4 or order[:4] != ["x", "y", "width", "height"]):
        raise DataError(f"{name} is no list of four numbers", found=words[:80])
    found = re.findall(r"[^\s,;:\[\](){}'\"]+", re.sub(r"['\"]\w+['\"]\s*:", " ", words))
    numbers = [number(word, name) for word in found]
    if len(numbers) % 4:
        raise DataError(f"{name} is no list of four numbers", found=words[:80])
    return [tuple(numbers[start : start + 4]) for start in range(0, len(numbers), 4)]
