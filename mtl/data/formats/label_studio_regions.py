"""What one annotation of Label Studio says: regions, by shares of a hundred of the picture; and answers to whole pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mtl.data.formats.answers import Answer
from mtl.data.formats.brush import brush
from mtl.data.formats.documents import frame_of, number, numbers, section, shown, text
from mtl.data.formats.figures import ellipse, turned
from mtl.data.formats.label_studio_tasks import Result
from mtl.data.formats.shapes import Frame, Shape, box_around
from mtl.errors import DataError

Objects = list[tuple[str, Shape]]
SIDES = ("x", "y", "width", "height")


@dataclass
class Said:
    """Regions with their classes, in a frame; answers by control; and what could not be read."""

    frame: Frame = field(default_factory=Frame)
    objects: Objects = field(default_factory=list[tuple[str, Shape]])
    answers: dict[str, Answer] = field(default_factory=dict[str, Answer])
    faults: list[str] = field(default_factory=list[str])
    texts: set[str] = field(default_factory=set[str])
    """Controls whose answers were written, not chosen; in JSON-MIN that cannot be told."""


def said(results: Sequence[Result], notes: Counter[str]) -> Said:
    """What the results of one annotation say.

    Raises:
        DataError: they are of pictures of several sizes.
    """
    found = Said(_frame(results))
    regions = {text(r.get("id")) for r in results if _is_region(section(r, "value"))}
    labelled = {text(r.get("id")) for r in results if _labels(section(r, "value"))}
    for place, result in enumerate(results):
        value, what = section(result, "value"), f"region {text(result.get('id')) or place}"
        if not _is_region(value):
            if not text(result.get("id")) or text(result.get("id")) not in regions:
                _answer(found, text(result.get("from_name")), value)
            continue
        labels = _labels(value)
        if not labels:
            if text(result.get("id")) not in labelled:
                notes["regions without a label, passed over"] += 1
            continue
        try:
            shape = _shape(what, value, result, found.frame, notes)
        except DataError as error:
            found.faults.append(f"{error.line}; in: {what}")
            continue
        found.objects += [(label, shape) for label in labels] if shape else []
    return found


def _frame(results: Sequence[Result]) -> Frame:
    """The picture's size, which every region says; shares of it if none does."""
    regions = [result for result in results if _is_region(section(result, "value"))]
    sizes = {frame_of(region.get("original_width"), region.get("original_height")) for region in regions} - {Frame()}
    if len(sizes) > 1:
        found = ", ".join(f"{size.width:g}×{size.height:g}" for size in sizes)
        raise DataError("the regions of a task are of pictures of several sizes", found=found)
    return sizes.pop() if sizes else Frame(relative=True)


def _is_region(value: Mapping[str, object]) -> bool:
    return any(key in value for key in ("x", "points", "rle", "vertices", "format"))


def _labels(value: Mapping[str, object]) -> list[str]:
    """The classes of a region: of the control that has them, whatever kind of region it is for."""
    for key, given in value.items():
        if key.endswith("labels") and isinstance(given, list):
            return [label for one in given if (label := text(one))]
    return []


def _shape(what: str, value: Mapping[str, object], result: Result, frame: Frame, notes: Counter[str]) -> Shape | None:
    """One region, in the frame; None if it has no area.

    Raises:
        DataError: it is none, or was drawn on a picture that was turned.
    """
    if number(result.get("image_rotation")):
        fix = "turn the picture back in Label Studio, or turn the file"
        raise DataError("a region is drawn on a turned picture", found=shown(result.get("image_rotation")), fix=fix)
    across, down = (1.0, 1.0) if frame.relative else (frame.width or 1.0, frame.height or 1.0)
    if "rle" in value:
        if frame.relative:
            raise DataError("a brush's picture has no size", fix="export it with original_width and original_height")
        return brush(what, value["rle"], int(down), int(across))
    if "points" in value:
        given = value["points"]
        points = [numbers(pair, 2) for pair in given] if isinstance(given, list) else []
        flat = [v for pair in points if pair for v in (pair[0] / 100 * across, pair[1] / 100 * down)]
        if len(flat) < 6 or len(flat) < 2 * len(points):
            raise DataError("a region is no polygon", found=shown(given))
        return Shape(what, 0, polygons=[flat])
    radii = [number(value.get(key)) for key in ("radiusX", "radiusY")]
    if all(radii):
        return _ellipse(what, value, across, down, frame)
    if "vertices" in value or value.get("height") is None:
        notes["regions without area, passed over: points and lines"] += 1
        return None
    return _rectangle(what, value, across, down, frame)


def _rectangle(what: str, value: Mapping[str, object], across: float, down: float, frame: Frame) -> Shape:
    sides = numbers([value.get(side) for side in SIDES], 4)
    if sides is None:
        raise DataError("a region is no rectangle", found=shown(dict(value)))
    x, y = sides[0] / 100 * across, sides[1] / 100 * down
    box = (x, y, x + sides[2] / 100 * across, y + sides[3] / 100 * down)
    angle = _angle(value, frame)
    if not angle:
        return Shape(what, 0, box)
    corners = turned(box, angle, about=(x, y))  # about its first corner, clockwise
    return Shape(what, 0, box_around(corners))


def _ellipse(what: str, value: Mapping[str, object], across: float, down: float, frame: Frame) -> Shape:
    sides = numbers([value.get(key) for key in ("x", "y", "radiusX", "radiusY")], 4)
    if sides is None:
        raise DataError("a region is no ellipse", found=shown(dict(value)))
    x, y, radius_x, radius_y = (side / 100 * size for side, size in zip(sides, (across, down) * 2, strict=True))
    return Shape(what, 0, polygons=[ellipse(x, y, radius_x, radius_y, _angle(value, frame))])


def _angle(value: Mapping[str, object], frame: Frame) -> float:
    angle = (number(value.get("rotation")) or 0.0) % 360
    if angle and frame.relative:
        fix = "export it with original_width and original_height"
        raise DataError("a turned region's picture has no size", found=f"{angle:g} degrees", fix=fix)
    return angle


def _answer(found: Said, control: str, value: Mapping[str, object]) -> None:
    """Add what is said of the whole picture by one control."""
    answers = found.answers
    if "text" in value:
        found.texts.add(control)
    for key in ("choices", "taxonomy", "text"):
        given = value.get(key)
        if isinstance(given, list):
            names = ["/".join(map(text, one)) if isinstance(one, list) else text(one) for one in given]
            before = answers.get(control)
            answers[control] = [*(before if isinstance(before, list) else []), *(name for name in names if name)]
            return
    for key in ("number", "rating"):
        if (size := number(value.get(key))) is not None:
            answers[control] = size
