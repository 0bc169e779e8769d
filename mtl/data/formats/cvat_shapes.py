"""Shapes of CVAT's XML 1.1, in pixels of the picture from its corner: https://docs.cvat.ai/docs/other/xml_format"""

from __future__ import annotations

from collections import Counter
from functools import partial
from xml.etree.ElementTree import Element

import numpy as np

from mtl.codecs.header import MAX_PIXELS
from mtl.data.formats.figures import ellipse, turned
from mtl.data.formats.runs import drawn
from mtl.data.formats.shapes import Shape, box_around, box_of
from mtl.data.formats.xml_files import attribute_number
from mtl.errors import DataError

PASSED_OVER = {
    "points": "keypoints",
    "polyline": "lines",
    "skeleton": "skeletons",
    "tag": "tags of whole images",
}
"""Elements that are no region, and what they are called."""
CUBOID = tuple(f"{axis}{corner}{face}" for face in (1, 2) for corner in ("tl", "bl", "tr", "br") for axis in ("x", "y"))


def read_shape(item: Element, what: str, label: int, notes: Counter[str]) -> Shape:
    """One element as a shape.

    Args:
        notes: gets what was passed over or changed.

    Raises:
        DataError: it is of no kind that is known, or a number is missing.
    """
    degrees = attribute_number(item, "rotation") if item.tag in ("box", "ellipse") and item.get("rotation") else 0.0
    if item.tag == "box":
        x1, y1, x2, y2 = (attribute_number(item, name) for name in ("xtl", "ytl", "xbr", "ybr"))
        if not degrees:
            return Shape(what, label, (x1, y1, x2, y2))
        notes["rotated boxes, of which the upright box around is taken"] += 1
        return Shape(what, label, box_around(turned((x1, y1, x2, y2), degrees)))
    if item.tag == "polygon":
        return Shape(what, label, polygons=(_points(item),))
    if item.tag == "mask":
        return _mask(item, what, label)
    if item.tag == "ellipse":
        cx, cy, rx, ry = (attribute_number(item, name) for name in ("cx", "cy", "rx", "ry"))
        return Shape(what, label, polygons=(ellipse(cx, cy, rx, ry, degrees),))
    if item.tag == "cuboid":
        notes["cuboids, of which the box around is taken"] += 1
        return Shape(what, label, box_around([attribute_number(item, name) for name in CUBOID]))
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
    region = drawn(runs).reshape(height, width)
    return Shape(what, label, box_of(region, left, top), mask=partial(_placed, runs, (height, width), left, top))


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
