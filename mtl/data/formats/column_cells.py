"""A column's cells as targets: what one means depends on the others of its column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mtl.config.files import Column
from mtl.data.formats.cells import Cell, has_decimal_commas, in_order, is_missing, mark_of, number, parts, whole
from mtl.data.spec import TargetSpec
from mtl.errors import DataError


def column_spec(column: Column, cells: Sequence[Cell]) -> TargetSpec:
    """The target of a column; its classes are those declared, or all that its cells hold."""
    classes = column.classes or column.columns
    known = [cell for cell in cells if not is_missing(cell, column)]
    if not classes and column.kind == "label":
        classes = in_order({cell for cell in _labels(known) if isinstance(cell, str)})
    elif not classes and column.kind == "labels":
        classes = in_order({part for cell in known for part in parts(cell, column.separator)} - column.unknown)
    if column.kind in ("label", "labels", "mask") and not classes:
        raise DataError(
            f"the column {column.column} has no classes",
            found="no cell has a value" if column.kind != "mask" else "a mask's classes are not in the table",
            fix="declare `classes`",
        )
    return TargetSpec(
        kind=column.kind,
        classes=classes,
        unit=column.unit,
        scale=column.scale,
        values=column.values,
        ignored=column.ignored,
    )


def _labels(cells: Sequence[Cell]) -> Sequence[Cell]:
    """Whole numbers without `.0`, if the column has no others."""
    numbers = [whole(cell) for cell in cells]
    return numbers if all(isinstance(n, str) and re.fullmatch(r"[+-]?\d+", n) for n in numbers) else cells


class Cells:
    """The cells of one target: what they mean depends on the others of their column.

    Args:
        rows: all rows, each a cell by column.

    Raises:
        DataError: no class is declared, and none found.
    """

    def __init__(self, column: Column, rows: Sequence[Mapping[str, Cell]], decimal: str = "") -> None:
        self.column = column
        cells = [row[column.column] for row in rows] if column.column else []
        self.spec = column_spec(column, cells)
        self._comma = column.kind == "value" and has_decimal_commas(cells, decimal)
        self._absent = self._mark_of_nothing(rows)
        self._index = {name: place for place, name in enumerate(self.spec.classes)}
        self.notes: Counter[str] = self._said(cells)

    def of(self, row: Mapping[str, Cell]) -> Any:
        """The target that a row has; None if it is not known. Masks and depths: the cell's text, a file's name.

        Raises:
            DataError: it is no class or no number.
        """
        if self.column.columns:
            return self._marked([row[name] for name in self.column.columns])
        cell = row[self.column.column]
        if is_missing(cell, self.column):
            return None
        if self.column.kind == "labels":
            return self._indices(cell)
        if not isinstance(cell, str):
            raise DataError(f"{self.column.column} is a list", found=str(cell)[:80], fix="kind: labels")
        if self.column.kind == "value":
            return number(cell, self.column.column, self._comma)
        return self._one(cell) if self.column.kind == "label" else cell

    def _one(self, cell: str) -> int:
        found = self._index.get(cell, self._index.get(str(whole(cell))))
        if found is None:
            raise DataError(f"{self.column.column}: unknown class", found=repr(cell), fix="add it to `classes`")
        return found

    def _indices(self, cell: Cell) -> list[int]:
        if isinstance(cell, str) and cell in self._index:
            return [self._index[cell]]
        labels = parts(cell, self.column.separator)
        unknown = [label for label in labels if is_missing(label, self.column)]
        if unknown:
            raise DataError(f"{self.column.column}: one of its labels is not known", found=str(labels)[:80])
        return sorted({self._one(label) for label in labels})

    def _marked(self, cells: Sequence[Cell]) -> Any:
        """The classes whose columns are 1, or the one; None if any is not known."""
        marks = [
            0.0 if mark == self._absent else mark for mark in (mark_of(cell, self.column.unknown) for cell in cells)
        ]
        for name, cell, mark in zip(self.column.columns, cells, marks, strict=True):
            if mark is not None and mark not in (-1, 0, 1):
                raise DataError(f"{name} is neither 0 nor 1", found=repr(cell))
        if any(mark is None or mark < 0 for mark in marks):
            if any(mark is not None for mark in marks):
                self.notes[
                    "images of which one class at least is uncertain or not said, so that their labels are not known"
                ] += 1
            return None
        found = [place for place, mark in enumerate(marks) if mark]
        if self.column.kind == "labels":
            return found
        if len(found) != 1:
            raise DataError("an image has one label", found=f"{len(found)} of its columns are 1", fix="kind: labels")
        return found[0]

    def _mark_of_nothing(self, rows: Sequence[Mapping[str, Cell]]) -> float:
        """What columns of marks have where the image does not show the class: 0, or −1 if there is no 0, as CelebA has it."""
        marks = (mark_of(row[name], self.column.unknown) for row in rows for name in self.column.columns)
        return 0.0 if any(mark == 0 for mark in marks) else -1.0

    def _said(self, cells: Sequence[Cell]) -> Counter[str]:
        """What a person may take otherwise: words that stand for nothing, labels that differ in their case."""
        name, notes = self.column.column, Counter[str]()
        for cell in cells:
            if cell and is_missing(cell, self.column):
                notes[f"cells {cell} of {name}, taken as not known (a class, if it is declared as one)"] += 1
        variants: dict[str, list[str]] = {}
        for label in self.spec.classes if self.column.kind in ("label", "labels") else ():
            variants.setdefault(label.casefold(), []).append(label)
        for labels in (found for found in variants.values() if len(found) > 1):
            notes[f"classes of {name} that differ in their case alone, kept apart ({', '.join(labels)})"] = len(labels)
        return notes
