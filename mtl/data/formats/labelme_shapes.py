"""What is drawn in a file of LabelMe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mtl.data.formats.base import Problem, Reading
from mtl.data.formats.bitmaps import bitmap, from_base64
from mtl.data.formats.documents import numbers, shown, text
from mtl.data.formats.figures import ellipse, united
from mtl.data.formats.shapes import Shape, box_around
from mtl.errors import DataError

IGNORED = "__ignore__"
"""What LabelMe's own scripts take for the class of pixels that do not count."""
NO_AREA = ("point", "points", "line", "linestrip")
TURNED = ("rotation", "oriented_rectangle", "quadrilateral")


def shapes_of(name: str, given: Sequence[Any], reading: Reading) -> list[tuple[str, Shape]]:
    """Class and shape of every object; shapes of one class and one group are one object."""
    groups: dict[tuple[str, Any], list[Shape]] = {}
    for place, item in enumerate(given):
        what = f"shape {place}"
        try:
            found = _shape(what, item, reading)
        except DataError as error:
            reading.problems.append(Problem(name, f"{error.line}; in: {what}", loses="annotation"))
            continue
        if found is None:
            continue
        group = item.get("group_id")
        known = group if isinstance(group, int | str) and not isinstance(group, bool) else (place,)
        groups.setdefault((found[0], known), []).append(found[1])
    return [(label, united(shapes)) for (label, _), shapes in groups.items()]


def _shape(what: str, item: Any, reading: Reading) -> tuple[str, Shape] | None:
    """Class and shape of one item; None if it has no area.

    Raises:
        DataError: it is no shape.
    """
    label = text(item.get("label")) if isinstance(item, dict) else ""
    if not label:
        raise DataError("a shape has no label", found=shown(item))
    if label == IGNORED:
        reading.notes["shapes of __ignore__, passed over"] += 1
        return None
    kind = text(item.get("shape_type")) or "polygon"
    if kind in NO_AREA:
        reading.notes[f"shapes without area, passed over: {kind}"] += 1
        return None
    given = item.get("points")
    pairs = [numbers(pair, 2) for pair in given] if isinstance(given, list) else []
    points = [pair for pair in pairs if pair is not None]
    if len(points) < len(pairs) or not points:
        raise DataError("a shape's points are no numbers", found=shown(given))
    return label, _figure(what, kind, points, item)


def _figure(what: str, kind: str, points: list[list[float]], item: dict[str, object]) -> Shape:
    flat = [value for point in points for value in point]
    if kind == "rectangle" and len(points) in (2, 4):
        return Shape(what, 0, box_around(flat))
    if kind == "circle" and len(points) == 2:
        (x, y), (edge_x, edge_y) = points
        radius = math.hypot(edge_x - x, edge_y - y)
        return Shape(what, 0, polygons=[ellipse(x, y, radius, radius)])
    if kind == "mask" and len(points) == 2:
        left, top = (round(min(flat[axis::2])) for axis in (0, 1))
        return bitmap(what, from_base64(item.get("mask")), left, top)
    if kind in ("polygon", *TURNED) and len(points) >= 3:
        return Shape(what, 0, polygons=[flat])
    raise DataError(f"a shape is no {kind}", found=f"{len(points)} points")
