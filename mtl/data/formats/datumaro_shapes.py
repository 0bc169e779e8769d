"""What is drawn in a file of Datumaro."""

from __future__ import annotations

from functools import partial

from mtl.data.formats.documents import numbers, section, shown
from mtl.data.formats.figures import turned
from mtl.data.formats.runs import draw_runs
from mtl.data.formats.shapes import Shape
from mtl.data.kinds.box_table import CROWD
from mtl.errors import DataError

NO_AREA = (
    "points",
    "polyline",
    "caption",
    "cuboid_3d",
    "cuboid_2d",
    "skeleton",
    "feature_vector",
    "tabular",
    "hash_key",
)


def shape_of(what: str, kind: str, annotation: dict[str, object]) -> Shape:
    """One annotation.

    Raises:
        DataError: it is none.
    """
    ignored = CROWD if section(annotation, "attributes").get("is_crowd") is True else 0.0
    if kind == "bbox":
        sides = numbers(annotation.get("bbox"), 4)
        if sides is not None:
            x, y, width, height = sides
            return Shape(what, 0, (x, y, x + width, y + height), kind=ignored)
    if kind == "rotated_bbox":
        sides = numbers(annotation.get("rotated_bbox") or annotation.get("bbox"), 5)
        if sides is not None:
            x, y, width, height, angle = sides
            box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            return Shape(what, 0, polygons=[turned(box, angle)], kind=ignored)
    if kind == "polygon":
        points = numbers(annotation.get("points"))
        if points is not None and len(points) >= 6:
            return Shape(what, 0, polygons=[points], kind=ignored)
    if kind == "mask" and section(annotation, "rle"):
        return Shape(what, 0, mask=partial(draw_runs, section(annotation, "rle")), kind=ignored)
    raise DataError(f"an annotation is no {kind or 'shape'}", found=shown(annotation))
