"""What is drawn in a file of Supervisely.

What its SDK writes are whole pixels, the last of which is inside (`Rectangle.width` is right - left + 1, polygons are filled with
their border). What its labelling tool keeps are fractions of pixels, which end where they say.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import partial
from typing import Any

import cv2
import numpy as np

from mtl.data.formats.bitmaps import bitmap, from_base64, unpacked
from mtl.data.formats.documents import items, number, numbers, section, shown, text
from mtl.data.formats.figures import turned
from mtl.data.formats.shapes import Box, Shape
from mtl.errors import DataError

NO_AREA = ("point", "line", "graph", "cuboid", "cuboid_2d")
FAR = 1 << 20
"""Pixels beyond which no picture reaches."""

Part = tuple[np.ndarray, list[np.ndarray]]
"""A ring of x, y [n, 2], and those of its holes."""


def in_whole_pixels(objects: list[object]) -> bool:
    """Whether no corner is a fraction of a pixel."""
    corners = [corner for item in objects for corner in items_of(section(item, "points").get("exterior"))]
    return all(value.is_integer() for corner in corners for value in numbers(corner) or ())


def items_of(given: object) -> list[object]:
    """A list, or none."""
    return given if isinstance(given, list) else []


def shape_of(what: str, item: Any, whole: bool, notes: Counter[str]) -> tuple[str, Shape] | None:
    """Class and shape of an object; None if it has no area.

    Args:
        whole: whether the file's corners are whole pixels.

    Raises:
        DataError: it is no object.
    """
    label = text(item.get("classTitle")) if isinstance(item, dict) else ""
    if not label:
        raise DataError("an object has no class", found=shown(item))
    kind = text(item.get("geometryType")) or _kind(item)
    if kind in NO_AREA:
        notes[f"objects without area, passed over: {kind}"] += 1
        return None
    if kind in ("bitmap", "alpha_mask"):
        return label, _bitmap(what, section(item, kind) or section(item, "bitmap"))
    if kind == "oriented_bbox":
        angle = math.degrees(number(item.get("angle")) or 0.0)
        return label, Shape(what, 0, polygons=[turned(_around([_ring(item.get("points"), 2)], whole), angle)])
    if kind == "rectangle":
        return label, Shape(what, 0, _around([_ring(section(item, "points").get("exterior"), 2)], whole))
    if kind not in ("polygon", "multipolygon"):
        raise DataError("a geometry is not known", found=kind)
    given = items(item, "parts") if kind == "multipolygon" else [section(item, "points")]
    parts = [(_ring(p.get("exterior"), 3), [_ring(h, 3) for h in items_of(p.get("interior"))]) for p in given]
    return label, Shape(what, 0, _around([part[0] for part in parts], whole), mask=partial(_filled, parts))


def _kind(item: dict[str, object]) -> str:
    """Of files from before geometryType."""
    if section(item, "bitmap"):
        return "bitmap"
    return "rectangle" if len(items_of(section(item, "points").get("exterior"))) == 2 else "polygon"


def _bitmap(what: str, found: dict[str, object]) -> Shape:
    origin = numbers(found.get("origin"), 2)
    if origin is None or any(abs(v) > FAR for v in origin):
        raise DataError("a bitmap has no origin", found=shown(found.get("origin")))
    return bitmap(what, unpacked(from_base64(found.get("data"))), round(origin[0]), round(origin[1]))


def _ring(given: object, least: int) -> np.ndarray:
    """float [n, 2] of corners, as many as are needed at least."""
    pairs = [numbers(pair, 2) for pair in items_of(given)]
    points = [pair for pair in pairs if pair is not None and all(abs(v) <= FAR for v in pair)]
    if len(points) < max(len(pairs), least):
        raise DataError("an object's corners are no numbers, or too few", found=shown(given))
    return np.array(points)


def _around(rings: list[np.ndarray], whole: bool) -> Box:
    if not rings:
        raise DataError("an object has no parts")
    points = np.concatenate(rings)
    (left, top), (right, bottom) = points.min(0), points.max(0) + whole
    return float(left), float(top), float(right), float(bottom)


def _filled(parts: list[Part], height: int, width: int) -> np.ndarray:
    """uint8 [height, width], as Supervisely draws it: with its border, and without its holes."""
    found = np.zeros((height, width), np.uint8)
    for exterior, holes in parts:
        mask = np.zeros((height, width), np.uint8)
        cv2.fillPoly(mask, [np.floor(exterior).astype(np.int32)], 1)
        if holes:
            cv2.fillPoly(mask, [np.floor(hole).astype(np.int32) for hole in holes], 0)
        found |= mask
    return found
