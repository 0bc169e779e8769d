"""What a column of a Hugging Face data set is a target of, by its type, and its values as targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mtl.config.files import Column
from mtl.data.formats.cells import Cell, as_cell
from mtl.data.formats.column_cells import Cells
from mtl.data.formats.text import plain
from mtl.data.spec import TargetSpec
from mtl.errors import DataError

UNLABELLED = -1
"""What `datasets` writes as a class for no label."""


def kind_of(feature: Any) -> str:
    """classes, text, whole, real, flag, image, bytes, struct, `list of …`, or other."""
    name = type(feature).__name__
    if isinstance(feature, dict):
        return "image" if {*feature} == {"bytes", "path"} else "struct"
    if name in ("List", "Sequence", "LargeList"):
        return f"list of {kind_of(feature.feature)}"
    if name in ("ClassLabel", "Image"):
        return {"ClassLabel": "classes", "Image": "image"}[name]
    if name != "Value":
        return "other"
    dtype: str = feature.dtype
    families = {"float": "real", "decimal": "real", "int": "whole", "uint": "whole", "bool": "flag", "string": "text"}
    families |= {"large_string": "text", "binary": "bytes", "large_binary": "bytes"}
    return next((kind for family, kind in families.items() if dtype.startswith(family)), "other")


def named_classes(feature: Any) -> tuple[str, ...]:
    """Those that a ClassLabel declares, also one in a list."""
    inner = getattr(feature, "feature", feature)
    return tuple(plain(name) for name in getattr(inner, "names", None) or ())


def column_of(name: str, feature: Any) -> Column:
    """A column that is named without its kind, as its type says.

    Raises:
        DataError: it can be no target, or must be declared as one.
    """
    kind = kind_of(feature)
    plain = {"text": "label", "flag": "label", "real": "value", "whole": "value", "classes": "label"}
    if kind in plain:
        return Column.model_validate({"column": name, "kind": plain[kind], "classes": named_classes(feature)})
    if kind in ("list of classes", "list of text", "list of whole"):
        return Column.model_validate({"column": name, "kind": "labels", "classes": named_classes(feature)})
    if kind == "image":
        fix = f"declare it: {{column: {name}, kind: mask, classes: [background, …]}}, or kind: depth with its scale"
        raise DataError(f"the column {name} has images", found="what their pixels mean is not said", fix=fix)
    raise DataError(
        f"the column {name} cannot be a target",
        found=str(feature)[:120],
        fix="ClassLabel, text, a list of them, a number, images declared as masks, or objects with boxes and classes",
    )


class Classes:
    """Values of a ClassLabel, or lists of them: indices already."""

    def __init__(self, column: Column, classes: tuple[str, ...]) -> None:
        self.column, self.notes = column, Counter[str]()
        chosen = column.classes or classes
        self._index = [chosen.index(name) if name in chosen else None for name in classes]
        self.spec = TargetSpec(kind=column.kind, classes=chosen)

    def of(self, value: Any) -> Any:
        """An index, or several; None if it is not known."""
        if value is None:
            return None
        if self.column.kind == "labels":
            if any(one is None or one == UNLABELLED for one in value):
                raise DataError(f"{self.column.column}: one of its labels is not known", found=str(value)[:80])
            found = {self._one(one) for one in value}
            return sorted(one for one in found if one is not None)
        if value == UNLABELLED:
            self.notes[f"labels −1 of {self.column.column}, which is no label"] += 1
            return None
        return self._one(value)

    def _one(self, value: int) -> int | None:
        if not 0 <= value < len(self._index):
            raise DataError(
                f"{self.column.column}: unknown class", found=str(value), fix=f"0 to {len(self._index) - 1}"
            )
        if self._index[value] is None:
            self.notes[f"labels of {self.column.column} that are no declared class, passed over"] += 1
        return self._index[value]


class Plain:
    """Texts and numbers: as a table's cells would be."""

    def __init__(self, column: Column, values: Sequence[Any], whole: bool) -> None:
        cells = [as_cell(value) for value in values]
        if whole and column.kind == "label" and not column.classes and _only_unlabelled(cells):
            column = column.model_copy(update={"also_missing": (*column.also_missing, str(UNLABELLED))})
        self._name = column.column
        self._cells = Cells(column, [{self._name: cell} for cell in cells])
        self.spec, self.notes = self._cells.spec, self._cells.notes

    def of(self, value: Any) -> Any:
        """As its kind says; None if it is not known."""
        return self._cells.of({self._name: as_cell(value)})


def _only_unlabelled(cells: Sequence[Cell]) -> bool:
    """Whether -1 is no class: the others are counted from 0."""
    return str(UNLABELLED) in cells and "0" in cells and not any(str(c).startswith("-") and c != "-1" for c in cells)


def target_of(column: Column, feature: Any, values: Sequence[Any]) -> Classes | Plain:
    """How the values of a column become targets.

    Args:
        values: all of them: a text's classes are those that occur.
    """
    classes = named_classes(feature)
    if classes and column.kind in ("label", "labels"):
        return Classes(column, classes)
    return Plain(column, values, whole=kind_of(feature) == "whole")
