"""One object of COCO's, from its annotation to a shape, in all the ways in which tools write it."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import numpy as np

from mtl.data.formats.coco_lists import Item
from mtl.data.formats.documents import number, numbers, section, shown
from mtl.data.formats.figures import turned
from mtl.data.formats.runs import draw_runs
from mtl.data.formats.shapes import Box, Shape
from mtl.errors import DataError


def is_crowd(annotation: Item) -> bool:
    """Whether it is a region of many objects."""
    return annotation.get("iscrowd") in (1, "1", True)


def is_ignored(annotation: Item) -> bool:
    """Whether it is an object that is not to be counted, as sets of persons mark it."""
    return annotation.get("ignore") in (1, "1", True)


def shape_of(annotation: Item, what: str, label: int, kind: float, notes: Counter[str]) -> Shape:
    """One object.

    Raises:
        DataError: its box or outline is none.
    """
    box, outline = _box(annotation), _outline(annotation)
    angle = number(section(annotation, "attributes").get("rotation"))
    if box and angle and angle % 360 and not outline:  # CVAT: the box is that of before it was turned, clockwise
        notes["boxes that are turned: taken for what they cover"] += 1
        return Shape(what, label, polygons=[turned(box, angle)], kind=kind, annotation=annotation)
    if outline and box and (box[2] <= box[0] or box[3] <= box[1]):
        box = None
    return Shape(what, label, box, **outline, kind=kind, annotation=annotation)


def _box(annotation: Item) -> Box | None:
    sides = annotation.get("bbox")
    if sides is None or sides == []:
        return None
    found = numbers(sides, 4)
    if found is None:
        raise DataError("a box is not four numbers", found=shown(sides))
    x, y, width, height = found
    return x, y, x + width, y + height


def _outline(annotation: Item) -> dict[str, Any]:
    """The polygons or the run-length code of an object, as a Shape takes them."""
    found = annotation.get("segmentation")
    if not found:
        return {}
    if isinstance(found, dict):
        return {"mask": partial(draw_runs, found)}
    if isinstance(found, list) and all(isinstance(part, dict) for part in found):
        return {"mask": partial(_united, found)}
    if isinstance(found, list):
        flat = [found] if numbers(found) is not None else found  # VIA writes one polygon without a list around it
        polygons = [_points(part) for part in flat]
        if all(polygon is not None for polygon in polygons):
            return {"polygons": polygons}
    raise DataError("a segmentation is no polygons", found=shown(found), fix="lists of x, y, …, or a run-length code")


def _points(part: object) -> list[float] | None:
    """x, y, x, y … of a polygon, also of one that is written as pairs."""
    if isinstance(part, list) and part and all(isinstance(pair, list) for pair in part):
        pairs = [numbers(pair, 2) for pair in part]
        return None if None in pairs else [value for pair in pairs if pair for value in pair]
    return numbers(part)


def _united(codes: list[Item], height: int, width: int) -> np.ndarray:
    found = draw_runs(codes[0], height, width)
    for code in codes[1:]:
        np.maximum(found, draw_runs(code, height, width), out=found)
    return found
