"""Objects of a Hugging Face data set: their classes, and what the four numbers of a box are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtl.config.files import HuggingFaceSet
from mtl.data.formats.base import ignores_marked
from mtl.data.formats.box_forms import Form, Sample, are_relative, find_form
from mtl.data.formats.cells import as_cell, in_order
from mtl.data.formats.hf_features import UNLABELLED
from mtl.data.formats.hf_fields import Fields
from mtl.data.formats.named_images import text
from mtl.data.formats.shapes import Shape
from mtl.data.kinds.box_table import CROWD
from mtl.data.spec import TargetSpec
from mtl.errors import DataError

LOOKED_AT = 20_000
"""Boxes of which it is found out what their numbers are."""


class Objects:
    """Values of a column of objects.

    Args:
        rows: the values of all rows, and the width and height that their boxes are measured in.

    Raises:
        DataError: what the numbers of a box are cannot be told.
    """

    def __init__(
        self,
        fields: Fields,
        rows: Sequence[tuple[object, tuple[float, float]]],
        settings: HuggingFaceSet,
        declared: tuple[str, ...],
    ) -> None:
        self.fields, self.notes = fields, Counter[str]()
        found = [one for value, _ in rows for one in _safely(fields, value)]
        names = fields.classes or in_order({label for one in found if (label := _label(fields, one))})
        classes = declared or names
        if not classes:
            raise DataError(f"no object of {fields.box} has a class", fix="declare `classes`")
        self.spec = TargetSpec(kind="boxes", classes=classes)
        self._index = {name: place for place, name in enumerate(classes)}
        self.form = _form(fields, rows, settings)
        marked = sum(bool(one.get(fields.crowd)) for one in found) if fields.crowd else 0
        self._ignores, notes = ignores_marked("iscrowd", marked, len(found), as_objects=False)
        self.notes += notes
        if found:
            self.notes[f"boxes read as {self.form.words}"] = len(found)

    def shapes(self, value: Any) -> tuple[list[Shape], list[DataError]]:
        """The objects of one image, and what is wrong with others.

        Raises:
            DataError: the lists of its fields have different lengths.
        """
        shapes: list[Shape] = []
        wrong: list[DataError] = []
        for number, one in enumerate(items_of(self.fields, value)):
            try:
                shape = self._shape(f"object {number}", one)
            except DataError as error:
                wrong.append(DataError(f"object {number}: {error.what}", found=error.found, fix=error.fix))
                continue
            if shape is not None:
                shapes.append(shape)
        return shapes, wrong

    def _shape(self, what: str, one: Mapping[str, object]) -> Shape | None:
        label = _label(self.fields, one) if self.fields.category else self.spec.classes[0]
        if not label:
            raise DataError("it has no class", found=repr(one.get(self.fields.category)))
        if label not in self._index:
            self.notes["boxes of classes that are not declared, passed over"] += 1
            return None
        kind = CROWD if self._ignores and one.get(self.fields.crowd) else 0.0
        return Shape(what, self._index[label], self.form.corners(_numbers(one[self.fields.box])), kind=kind)


def items_of(fields: Fields, value: Any) -> list[dict[str, Any]]:
    """Objects one by one, whether they are a list of structs or a struct of lists.

    Raises:
        DataError: its lists have different lengths.
    """
    if not value:
        return []
    if isinstance(value, list):
        return [one for one in value if one is not None]
    wanted = [n for n in (fields.box, fields.category, fields.area, fields.crowd) if n and value.get(n) is not None]
    lengths = {name: len(value[name]) for name in wanted}
    count = lengths.get(fields.box, 0)
    if any(lengths[name] != count for name in wanted) or (count and fields.category and fields.category not in wanted):
        raise DataError("boxes and classes are not as many", found=str(lengths))
    return [{name: value[name][place] for name in wanted} for place in range(count)]


def _safely(fields: Fields, value: object) -> list[dict[str, object]]:
    try:
        return items_of(fields, value)
    except DataError:
        return []


def _label(fields: Fields, one: Mapping[str, object]) -> str:
    """The name of an object's class; nothing if it is not known."""
    value = one.get(fields.category)
    if fields.classes and isinstance(value, int):
        return fields.classes[value] if 0 <= value < len(fields.classes) else ""
    return "" if value == UNLABELLED else text(as_cell(value))


def _numbers(box: object) -> list[float]:
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(v, int | float) for v in box):
        raise DataError("a box is not four numbers", found=str(box)[:80])
    return [float(side) for side in box]


def _form(fields: Fields, rows: Sequence[tuple[object, tuple[float, float]]], settings: HuggingFaceSet) -> Form:
    boxes: list[list[float]] = []
    sizes: list[tuple[float, float]] = []
    areas: list[float] = []
    for value, size in rows:
        for one in _safely(fields, value) if len(boxes) < LOOKED_AT else []:
            try:
                boxes.append(_numbers(one.get(fields.box)))
            except DataError:
                continue
            sizes.append(size)
            area = one.get(fields.area) if fields.area else None
            areas.append(float(area) if isinstance(area, int | float) else math.nan)
    if not boxes:
        return Form(settings.boxes or "xywh", bool(settings.relative))
    sample = Sample(np.array(boxes, float), np.array(sizes, float), np.array(areas) if fields.area else None)
    relative = are_relative(sample.boxes) if settings.relative is None else settings.relative
    try:
        return find_form(sample, settings.boxes, relative)
    except DataError as error:
        raise DataError(
            f"{fields.box}: {error.what}", found=error.found, fix="declare `boxes`: xywh, xyxy or cxcywh"
        ) from error
