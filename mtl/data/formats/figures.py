"""Figures that tools draw and that are no polygons, as polygons: x, y, x, y, …; and objects of several parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from mtl.data.formats.shapes import Box, Shape, box_around, draw_polygons

CORNERS = 72
"""Of a circle: the polygon lies within a thousandth of its radius."""


def turned(box: Box, degrees: float, about: tuple[float, float] | None = None) -> list[float]:
    """The corners of a box that is turned clockwise, about its centre or another point."""
    x1, y1, x2, y2 = box
    corners = [x1, y1, x2, y1, x2, y2, x1, y2]
    return turned_points(corners, degrees, about or ((x1 + x2) / 2, (y1 + y2) / 2))


def turned_points(points: list[float], degrees: float, about: tuple[float, float]) -> list[float]:
    """Points turned clockwise as one sees them: y points down."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    found: list[float] = []
    for x, y in zip(points[::2], points[1::2], strict=True):
        dx, dy = x - about[0], y - about[1]
        found += [about[0] + dx * cosine - dy * sine, about[1] + dx * sine + dy * cosine]
    return found


def ellipse(x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0.0) -> list[float]:
    """An ellipse about x, y, turned clockwise."""
    angles = [2 * math.pi * corner / CORNERS for corner in range(CORNERS)]
    points = [v for a in angles for v in (x + radius_x * math.cos(a), y + radius_y * math.sin(a))]
    return turned_points(points, degrees, (x, y)) if degrees else points


def united(shapes: Sequence[Shape]) -> Shape:
    """One object of several parts: its box is around all; its outline is known if that of every part is."""
    if len(shapes) == 1:
        return shapes[0]
    what = ", ".join(shape.what for shape in shapes)
    label, kind = shapes[0].label, shapes[0].kind
    if all(shape.polygons for shape in shapes):
        return Shape(what, label, polygons=[polygon for shape in shapes for polygon in shape.polygons], kind=kind)
    if all(shape.polygons or shape.mask for shape in shapes):
        return Shape(what, label, mask=partial(_drawn, shapes), kind=kind)
    sides = [*zip(*(around(shape) for shape in shapes), strict=True)]
    return Shape(what, label, (min(sides[0]), min(sides[1]), max(sides[2]), max(sides[3])), kind=kind)


def outlined(shapes: Sequence[Shape]) -> list[Shape]:
    """Of an object that is drawn in several ways, those that say most: its outlines, else its boxes."""
    return [shape for shape in shapes if shape.polygons or shape.mask] or [*shapes]


def around(shape: Shape) -> Box:
    """The box of a shape, which has one or polygons."""
    if shape.box:
        return shape.box
    points = [value for polygon in shape.polygons for value in polygon]
    assert points, "a part has a box or polygons"
    return box_around(points)


def _drawn(shapes: Sequence[Shape], height: int, width: int) -> np.ndarray:
    """uint8 [height, width]."""
    found = np.zeros((height, width), np.uint8)
    for shape in shapes:
        part = shape.mask(height, width) if shape.mask else draw_polygons(shape.polygons, height, width)
        np.maximum(found, part, out=found)
    return found
