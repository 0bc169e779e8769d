"""Shapes of CVAT's XML 1.1, in pixels of the picture from its corner: https://docs.cvat.ai/docs/other/xml_format"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from xml.etree.ElementTree import Element

import numpy as np

from mtl.config import DataError
from mtl.data.formats.runs import drawn
from mtl.data.formats.shapes import Box, Shape, box_of
from mtl.data.formats.xml_files import attribute_number
from mtl.data.header import MAX_PIXELS

PASSED_OVER = {
    "points": "keypoints",
    "polyline": "lines",
    "skeleton": "skeletons",
    "tag": "tags of whole images",
}
"""Elements that are no region, and what they are called."""
CORNERS_OF_ELLIPSE = 72
CUBOID = tuple(f"{axis}{corner}{face}" for face in (1, 2) for corner in ("tl", "bl", "tr", "br") for axis in ("x", "y"))


def read_shape(item: Element, what: str, label: int, notes: Counter[str]) -> Shape:
    """One element as a shape.

    Args:
        notes: gets what was passed over or changed.

    Raises:
        DataError: it is of no kind that is known, or a number is missing.
    """
    turned = item.tag in ("box", "ellipse") and bool(item.get("rotation")) and attribute_number(item, "rotation")
    if item.tag == "box":
        x1, y1, x2, y2 = (attribute_number(item, name) for name in ("xtl", "ytl", "xbr", "ybr"))
        if not turned:
            return Shape(what, label, (x1, y1, x2, y2))
        notes["rotated boxes, of which the upright box around is taken"] += 1
        centre = ((x1 + x2) / 2, (y1 + y2) / 2)
        return Shape(what, label, _around(_rotated([x1, y1, x2, y1, x2, y2, x1, y2], centre, turned)))
    if item.tag == "polygon":
        return Shape(what, label, polygons=(_points(item),))
    if item.tag == "mask":
        return _mask(item, what, label)
    if item.tag == "ellipse":
        return Shape(what, label, polygons=(_ellipse(item, turned),))
    if item.tag == "cuboid":
        notes["cuboids, of which the box around is taken"] += 1
        return Shape(what, label, _around([attribute_number(item, name) for name in CUBOID]))
    raise DataError(f"a {item.tag[:40]} is no shape of CVAT's that is known")


def _points(item: Element) -> list[float]:
    """`x1,y1;x2,y2;…`"""
    pairs = [pair.split(",") for pair in item.get("points", "").split(";")]
    try:
        found = [float(number) for pair in pairs for number in pair]
    except ValueError as error:
        raise DataError("points are no numbers", found=item.get("points", "")[:80]) from error
    if any(len(pair) != 2 for pair in pairs):
        raise DataError("points are not x,y;x,y;…", found=item.get("points", "")[:80])
    return found


def _ellipse(item: Element, turned: float) -> list[float]:
    cx, cy, rx, ry = (attribute_number(item, name) for name in ("cx", "cy", "rx", "ry"))
    angles = [2 * math.pi * step / CORNERS_OF_ELLIPSE for step in range(CORNERS_OF_ELLIPSE)]
    upright = [value for a in angles for value in (cx + rx * math.cos(a), cy + ry * math.sin(a))]
    return _rotated(upright, (cx, cy), turned)


def _rotated(points: Sequence[float], centre: tuple[float, float], degrees: float) -> list[float]:
    """Turned about a centre, clockwise as one sees it, for y points down."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    found: list[float] = []
    for x, y in zip(points[::2], points[1::2], strict=True):
        dx, dy = x - centre[0], y - centre[1]
        found += [centre[0] + dx * cosine - dy * sine, centre[1] + dx * sine + dy * cosine]
    return found


def _around(points: Sequence[float]) -> Box:
    return min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])


def _mask(item: Element, what: str, label: int) -> Shape:
    """Runs of a rectangle's pixels, row by row: the first is of pixels outside."""
    sides = [attribute_number(item, name) for name in ("left", "top", "width", "height")]
    left, top, width, height = (int(side) for side in sides)
    if [left, top, width, height] != sides or min(sides) < 0 or not 0 < width * height <= MAX_PIXELS:
        raise DataError("a mask has no place", found=str(sides))
    try:
        runs = [int(number) for number in item.get("rle", "").split(",")]
    except ValueError as error:
        raise DataError("a mask's rle is no numbers", found=item.get("rle", "")[:80]) from error
    if min(runs) < 0 or sum(runs) != width * height:
        raise DataError("a mask's rle is not as long as its rectangle", found=f"{sum(runs)} of {width * height}")
    x1, y1, x2, y2 = box_of(drawn(runs).reshape(height, width))
    box = (x1 + left, y1 + top, x2 + left, y2 + top)
    return Shape(what, label, box, mask=partial(_placed, runs, (height, width), left, top))


def _placed(runs: list[int], size: tuple[int, int], left: int, top: int, height: int, width: int) -> np.ndarray:
    """uint8 [height, width] with the region of this height and width at its place.

    Raises:
        DataError: it reaches beyond the picture.
    """
    if top + size[0] > height or left + size[1] > width:
        raise DataError("a mask reaches beyond its picture", found=f"{left}, {top}, {size[1]}×{size[0]}")
    canvas = np.zeros((height, width), np.uint8)
    canvas[top : top + size[0], left : left + size[1]] = drawn(runs).reshape(size)
    return canvas
