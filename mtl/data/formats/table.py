"""A table with a row an image."""

from __future__ import annotations

import io
import math
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from mtl.config import DataError
from mtl.config.files import Column, TableSet
from mtl.data.formats.base import Entry, Problem, Reading, image_id, split_of
from mtl.data.place import Place
from mtl.data.raw import FileRef
from mtl.data.spec import TargetSpec


def read_table(settings: TableSet, place: Place) -> Reading:
    """Every row an image; columns are targets.

    Raises:
        DataError: the table is missing, cannot be read or lacks a column.
    """
    rows = _rows(settings, place)
    specs = {
        name: column_spec(column, [row[column.column] for row in rows]) for name, column in settings.targets.items()
    }
    entries: list[Entry] = []
    problems: list[Problem] = []
    for number, row in enumerate(rows):
        name = row[settings.image].removeprefix("./")
        if not name:
            problems.append(Problem(f"row {number + 1}", f"the column {settings.image} is empty"))
            continue
        targets: dict[str, Any] = {}
        try:
            for target, column in settings.targets.items():
                value = cell(row[column.column], column, specs[target], place)
                if value is not None:
                    targets[target] = value
        except DataError as error:
            problems.append(Problem.of(image_id(name), error))
            continue
        entries.append(
            Entry(
                image_id(name),
                FileRef(name),
                targets,
                split=split_of(row[settings.split]) if settings.split else None,
                group=row[settings.group] or None if settings.group else None,
                time=row[settings.time] or None if settings.time else None,
                slices={column: row[column] for column in settings.slices},
            )
        )
    return Reading(specs, entries, problems, settings.slices)


def _rows(settings: TableSet, place: Place) -> list[dict[str, str]]:
    data = place.read(settings.table)
    try:
        if settings.table.lower().endswith((".parquet", ".pq")):
            table = pq.read_table(io.BytesIO(data))
        else:
            # As text: 007 is a name, not 7, and what a column is, params.yaml says.
            text = pc.ConvertOptions(strings_can_be_null=False, column_types=_texts(data))
            table = pc.read_csv(io.BytesIO(data), convert_options=text)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{settings.table} cannot be read", found=str(error), fix="CSV or Parquet") from error
    extra = [c for c in (settings.split, settings.group, settings.time) if c]
    wanted = [settings.image, *(c.column for c in settings.targets.values()), *extra, *settings.slices]
    missing = sorted(set(wanted) - set(table.column_names))
    if missing:
        raise DataError(
            f"{settings.table} lacks columns", found=f"no {missing}; it has {table.column_names}", fix="name others"
        )
    return [
        {key: _text(value) for key, value in row.items()}
        for row in table.select(list(dict.fromkeys(wanted))).to_pylist()
    ]


def _texts(data: bytes) -> dict[str, Any]:
    header = pc.open_csv(io.BytesIO(data)).schema.names
    return dict.fromkeys(header, pa.string())


def _text(value: Any) -> str:
    if value is None or value != value:
        return ""
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def column_spec(column: Column, cells: list[str]) -> TargetSpec:
    """The target of a column; its classes are those declared, or all that its cells hold."""
    classes = column.classes
    if not classes and column.kind == "label":
        classes = _in_order({c for c in cells if c})
    elif not classes and column.kind == "labels":
        classes = _in_order({part for c in cells for part in _parts(c, column)})
    if column.kind in ("label", "labels", "mask") and not classes:
        raise DataError(
            f"the column {column.column} has no classes",
            found="no cell has a value" if column.kind != "mask" else "a mask's classes are not in the table",
            fix="declare `classes`",
        )
    return TargetSpec(kind=column.kind, classes=classes, unit=column.unit, scale=column.scale)


def _in_order(found: set[str]) -> tuple[str, ...]:
    """Sorted; numbers by their value."""
    return tuple(sorted(found, key=lambda c: (int(c), c) if c.isdecimal() else (-1, c)))


def cell(text: str, column: Column, spec: TargetSpec, place: Place) -> Any:
    """A cell's target; None where it is empty.

    Raises:
        DataError: it is no class, no number or no file.
    """
    if not text:
        return None
    if column.kind in ("mask", "depth"):
        if text not in place:
            raise DataError(f"{column.column}: the file {text} is not there")
        return FileRef(text)
    if column.kind == "value":
        return number(text, column.column)
    return labels_of(text, column, spec)


def labels_of(text: str, column: Column, spec: TargetSpec) -> int | list[int]:
    """The index of a label, or the sorted indices of several.

    Raises:
        DataError: one is no class.
    """
    labels = [text] if column.kind == "label" else _parts(text, column)
    unknown = [label for label in labels if label not in spec.classes]
    if unknown:
        raise DataError(f"{column.column}: unknown class", found=repr(unknown[0]), fix="add it to `classes`")
    found = sorted(spec.classes.index(label) for label in labels)
    return found[0] if column.kind == "label" else found


def number(text: str, what: str) -> float:
    """A finite number.

    Raises:
        DataError: it is none.
    """
    try:
        value = float(text)
    except ValueError as error:
        raise DataError(f"{what} is no number", found=repr(text)) from error
    if not math.isfinite(value):
        raise DataError(f"{what} is not finite", found=repr(text), fix="leave the cell empty where it is unknown")
    return value


def _parts(text: str, column: Column) -> list[str]:
    return [part.strip() for part in text.split(column.separator) if part.strip()]
