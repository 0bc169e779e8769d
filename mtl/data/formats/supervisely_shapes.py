"""What is drawn in a file of Supervisely. Its coordinates are of pixels: the last one named is inside."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import cv2
import numpy as np

from mtl.config import DataError
from mtl.data.formats.bitmaps import bitmap, from_base64, unpacked
from mtl.data.formats.documents import numbers, section, shown, text
from mtl.data.formats.shapes import Shape

Ring = np.ndarray
"""int32 [n, 2] of x, y."""
NO_AREA = ("point", "line", "polyline", "graph", "cuboid", "keypoints")
FAR = 1 << 20
"""Pixels beyond which no picture reaches."""


def shape_of(what: str, item: Any, notes: Counter[str]) -> tuple[str, Shape] | None:
    """Class and shape of an object; None if it has no area.

    Raises:
        DataError: it is no object.
    """
    label = text(item.get("classTitle")) if isinstance(item, dict) else ""
    if not label:
        raise DataError("an object has no class", found=shown(item))
    kind = text(item.get("geometryType")) or text(item.get("type")) or _kind(item)
    if kind in NO_AREA:
        notes[f"objects without area, passed over: {kind}"] += 1
        return None
    if kind in ("bitmap", "alpha_mask"):
        return label, _bitmap(what, section(item, "bitmap") or section(item, "alpha_mask"))
    points = section(item, "points")
    exterior = _ring(points.get("exterior"))
    if kind == "rectangle" and len(exterior) == 2:
        (left, top), (right, bottom) = exterior.min(0), exterior.max(0) + 1
        return label, Shape(what, 0, (float(left), float(top), float(right), float(bottom)))
    if kind == "polygon" and len(exterior) >= 3:
        interior = points.get("interior")
        holes = [_ring(ring) for ring in interior] if isinstance(interior, list) else []
        (left, top), (right, bottom) = exterior.min(0), exterior.max(0) + 1
        box = (float(left), float(top), float(right), float(bottom))
        return label, Shape(what, 0, box, mask=partial(_filled, exterior, holes))
    raise DataError(f"an object is no {kind}", found=f"{len(exterior)} points")


def _kind(item: dict[str, Any]) -> str:
    """Of files from before geometryType."""
    if section(item, "bitmap"):
        return "bitmap"
    corners = section(item, "points").get("exterior")
    return "rectangle" if isinstance(corners, list) and len(corners) == 2 else "polygon"


def _bitmap(what: str, found: dict[str, Any]) -> Shape:
    origin = numbers(found.get("origin"), 2)
    if origin is None or any(abs(v) > FAR for v in origin):
        raise DataError("a bitmap has no origin", found=shown(found.get("origin")))
    return bitmap(what, unpacked(from_base64(found.get("data"))), round(origin[0]), round(origin[1]))


def _ring(given: Any) -> Ring:
    """The corners of a polygon."""
    pairs = [numbers(pair, 2) for pair in given] if isinstance(given, list) else []
    points = [pair for pair in pairs if pair is not None]
    if not points or len(points) < len(pairs) or any(abs(v) > FAR for pair in points for v in pair):
        raise DataError("an object's points are no numbers", found=shown(given))
    return np.array(points).round().astype(np.int32)


def _filled(exterior: Ring, holes: list[Ring], height: int, width: int) -> np.ndarray:
    """uint8 [height, width], as Supervisely draws it: with its border, and without its holes."""
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [exterior], 1)
    if holes:
        cv2.fillPoly(mask, holes, 0)
    return mask
