"""What is drawn in a file of VIA."""

from __future__ import annotations

import math
from collections import Counter

from mtl.data.formats.documents import number, numbers, shown, text
from mtl.data.formats.figures import ellipse
from mtl.data.formats.shapes import Shape
from mtl.errors import DataError

NO_AREA = ("point", "polyline", "line")


def shape_of(what: str, region: dict[str, object], notes: Counter[str]) -> Shape | None:
    """One region; None if it has no area.

    Raises:
        DataError: it is none.
    """
    kind = text(region.get("name"))
    if kind in NO_AREA:
        notes[f"regions without area, passed over: {kind}"] += 1
        return None
    if kind == "rect":
        x, y, width, height = _sides(region, "x", "y", "width", "height")
        return Shape(what, 0, (x, y, x + width, y + height))
    if kind == "circle":
        x, y, radius = _sides(region, "cx", "cy", "r")
        return Shape(what, 0, polygons=[ellipse(x, y, radius, radius)])
    if kind == "ellipse":
        x, y, radius_x, radius_y = _sides(region, "cx", "cy", "rx", "ry")
        angle = math.degrees(number(region.get("theta")) or 0.0)
        return Shape(what, 0, polygons=[ellipse(x, y, radius_x, radius_y, angle)])
    across, down = numbers(region.get("all_points_x")), numbers(region.get("all_points_y"))
    if kind != "polygon" or not across or not down or len(across) != len(down) or len(across) < 3:
        raise DataError(f"a region is no {kind or 'shape'}", found=shown(region))
    return Shape(what, 0, polygons=[[value for pair in zip(across, down, strict=True) for value in pair]])


def _sides(found: dict[str, object], *keys: str) -> list[float]:
    given = numbers([found.get(key) for key in keys])
    if given is None:
        raise DataError(f"a region is no {text(found.get('name'))}", found=shown(found))
    return given
