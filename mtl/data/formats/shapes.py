"""Annotated objects, from what a file says of them to targets in the picture's own pixels.

One place knows in which frame they were drawn (the picture as it is stored, as a viewer shows it, or in another size), what
reaches beyond the border, and what has no area. A frame's coordinates count from the corner of its first pixel.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import cv2
import numpy as np

from mtl.codecs.header import Header
from mtl.codecs.maps import encode_mask
from mtl.config.masks import IGNORE
from mtl.data.formats.base import Problem
from mtl.data.kinds import OfObjects
from mtl.data.kinds.base import PlacedObject
from mtl.data.kinds.box_table import as_rows
from mtl.data.spec import TargetSpec
from mtl.errors import DataError

Box = tuple[float, float, float, float]
Polygon = Sequence[float]

SAME_ASPECT = 0.01
"""By how much the aspect of a picture that was resized after it was annotated may differ, for rounding to whole pixels."""
_NOBODYS = np.iinfo(np.int32).max
LONGEST = 4_000_000
"""Pixels of an outline's length: the C code that draws it keeps forty bytes for each."""
INSIDE = 0.5
"""The share of a box's area that must lie in the picture: what is cut off beyond it is no error of a pixel or two."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One object.

    what: how to call it, e.g. `annotation 7`, `line 3`. label: the class's index. box: x1, y1, x2, y2; from the outline if there
    is none. polygons: each x1, y1, x2, y2, …; mask: draws uint8 [height, width] in the frame, where there are no polygons.
    kind: 0, or why it does not count (`mtl.data.kinds.box_table`).
    """

    what: str
    label: int
    box: Box | None = None
    polygons: Sequence[Polygon] = ()
    mask: Callable[[int, int], np.ndarray] | None = None
    kind: float = 0.0
    annotation: Mapping[str, object] = field(default_factory=dict[str, object])
    """As the file has it, for targets that are made of more than its box and its outline."""


class Frame(NamedTuple):
    """Width and height that annotations are given in; None: nothing is said, so the picture as a viewer shows it.
    relative: coordinates are shares of it.
    """

    width: float | None = None
    height: float | None = None
    relative: bool = False


class Targets(NamedTuple):
    """Names of the targets that objects become; None for none."""

    boxes: str | None
    masks: str | None
    more: Mapping[str, tuple[OfObjects, TargetSpec]] = {}
    """Further ones, with their kinds."""


@dataclass
class Settled:
    """Targets of one picture, what was left out of them, and what was changed."""

    targets: dict[str, Any]
    problems: list[Problem]
    notes: Counter[str]


def shown_size(header: Header) -> tuple[int, int]:
    """Width and height as a viewer shows the picture."""
    return (header.height, header.width) if header.orientation >= 5 else (header.width, header.height)


def placement(header: Header, frame: Frame, notes: Counter[str]) -> np.ndarray:
    """The affine map [2, 3] from a frame's coordinates to pixels of the picture as a viewer shows it.

    Raises:
        DataError: the picture has another shape than the annotation says.
    """
    width, height = shown_size(header)
    if frame.relative:
        return _scaling(width, height)
    if not frame.width or not frame.height or (frame.width, frame.height) == (width, height):
        return _scaling(1.0, 1.0)
    stored = (header.width, header.height)
    turned = header.orientation >= 5
    if turned and (frame.width, frame.height) == stored:
        notes["annotations of pictures as stored, turned with them"] += 1
        return _turn(header)
    for size, turn in ((shown_size(header), None), *([(stored, _turn(header))] if turned else [])):
        fx, fy = size[0] / frame.width, size[1] / frame.height
        # A pixel's rounding of the shorter side changes the aspect of a small picture by more than a hundredth.
        slack = max(SAME_ASPECT, 1.0 / min(*size, frame.width, frame.height))
        if abs(fx / fy - 1) <= slack:
            notes["pictures of another size than their annotation says, which was scaled"] += 1
            scaling = _scaling(fx, fy)
            return scaling if turn is None else _after(turn, scaling)
    raise DataError(
        f"its annotation is of a picture of {frame.width:g}×{frame.height:g} pixels",
        found=f"{width}×{height}",
        fix="the picture was cropped, turned or exchanged since: annotate this one, or bring that one back",
    )


def settle(
    image: str, shapes: Sequence[Shape], frame: Frame, header: Header, names: Targets, file: str = ""
) -> Settled:
    """What the objects of one picture are as targets.

    Args:
        found: the image's id.
        header: of its encoded bytes.
        file: of the annotations, for messages.

    Raises:
        DataError: the picture has another shape than its annotation says; or nothing of what it says of it can be used, which is
            not that there is nothing.
    """
    settled = Settled({}, [], Counter())
    place, size = placement(header, frame, settled.notes), shown_size(header)
    kept: list[tuple[Shape, Box]] = []
    rows: dict[str, list[Any]] = {name: [] for name in names.more}
    canvas = _Canvas(size) if names.masks else None
    for shape in shapes:
        try:
            box = _sound_box(shape, frame, place, size, settled.notes)
            mine = {name: _row(shape, box, place, size, *kind) for name, kind in names.more.items()}
        except DataError as error:
            settled.problems.append(_lost(image, error, shape, file))
            continue
        kept.append((shape, box))
        for name, row in mine.items():
            rows[name] += [] if row is None else [row]
        if canvas is not None:
            try:
                region = _region(shape, frame, place, size)
            except DataError as error:
                settled.problems.append(_lost(image, error, shape, file))
                region = None
            canvas.paint(*_pixels(shape, box, region, size, settled.notes))
    if shapes and not kept:
        raise DataError(f"none of its {len(shapes)} annotations can be used", found=settled.problems[0].reason)
    settled.targets |= rows
    if names.boxes:
        boxes = [[*box, float(shape.label)] for shape, box in kept]
        settled.targets[names.boxes] = as_rows(boxes, [shape.kind for shape, _ in kept])
    if names.masks and canvas is not None:
        settled.targets[names.masks] = encode_mask(canvas.mask)
    return settled


def _row(
    shape: Shape, box: Box, place: np.ndarray, size: tuple[int, int], kind: OfObjects, spec: TargetSpec
) -> list[float] | None:
    """An object as a row of a further target."""
    points = np.array(kind.points(shape.annotation, spec), np.float64).reshape(-1, 2)
    area = abs(float(np.linalg.det(place[:, :2])))
    placed = PlacedObject(box, str(shape.annotation.get("category", "")), shape.kind, area, size)
    return kind.row(shape.annotation, spec, placed, points @ place[:, :2].T + place[:, 2])


def _lost(found: str, error: DataError, shape: Shape, file: str) -> Problem:
    where = ", ".join(part for part in (file, shape.what) if part)
    return replace(Problem.of(found, error, where), loses="annotation")


def _sound_box(shape: Shape, frame: Frame, place: np.ndarray, size: tuple[int, int], notes: Counter[str]) -> Box:
    """A box in the picture, cut off at its border."""
    x1, y1, x2, y2 = shape.box or _around(shape, frame, size)
    if not all(math.isfinite(v) for v in (x1, y1, x2, y2)):
        raise DataError("a box is not finite", found=str([x1, y1, x2, y2]))
    if x2 <= x1 or y2 <= y1:
        raise DataError("a box has no area", found=_shown((x1, y1, x2, y2)))
    corners = place @ np.array([[x1, x2], [y1, y2], [1.0, 1.0]])
    (left, right), (top, bottom) = np.sort(corners[0]).tolist(), np.sort(corners[1]).tolist()
    width, height = size
    inside = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
    area = max(inside[2] - inside[0], 0.0) * max(inside[3] - inside[1], 0.0)
    if area < INSIDE * (right - left) * (bottom - top):
        raise DataError(f"a box lies outside the picture of {width}×{height}", found=_shown((left, top, right, bottom)))
    # A hundredth of a pixel is how a share with few digits is written, not a box that reaches beyond.
    if max(-left, -top, right - width, bottom - height) > 0.01:
        notes["boxes that reach beyond their picture, cut off at its border"] += 1
    return (float(inside[0]), float(inside[1]), float(inside[2]), float(inside[3]))


def box_around(points: Sequence[float]) -> Box:
    """The upright box around points x, y, x, y, …"""
    return min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])


def box_of(mask: np.ndarray, left: int = 0, top: int = 0) -> Box:
    """The box around an object's pixels, which are those that are not 0; left and top: the mask's corner in the picture.

    Raises:
        DataError: there are none.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise DataError("an object's mask is empty", found=f"{mask.shape[1]}×{mask.shape[0]} pixels")
    sides = (left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1)
    return float(sides[0]), float(sides[1]), float(sides[2]), float(sides[3])


def _around(shape: Shape, frame: Frame, size: tuple[int, int]) -> Box:
    """The box of an outline, in the frame."""
    if shape.polygons:
        return box_around([value for polygon in _paired(shape.polygons) for value in polygon])
    if shape.mask is None:
        raise DataError("an object has neither a box nor an outline")
    return box_of(shape.mask(int(frame.height or size[1]), int(frame.width or size[0])))


def _pixels(
    shape: Shape, box: Box, region: np.ndarray | None, size: tuple[int, int], notes: Counter[str]
) -> tuple[int, np.ndarray]:
    """What an object's pixels are in a mask, and which they are. Of one without an outline nobody knows: its whole box is 255."""
    if region is not None:
        return IGNORE if shape.kind else shape.label + 1, region
    notes["objects without an outline, whose boxes' pixels are not known"] += 1
    region = np.zeros(size[::-1], np.uint8)
    x1, y1, x2, y2 = math.floor(box[0]), math.floor(box[1]), math.ceil(box[2]), math.ceil(box[3])
    region[y1:y2, x1:x2] = 1
    return IGNORE, region


class _Canvas:
    """A mask that is painted object by object, none of which stays in memory: a file of 10 KB can declare a thousand."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.mask = np.zeros(size[::-1], np.uint8)
        """0 is background, smaller objects above larger ones, all above what is ignored; of equal ones, the last."""
        self._areas = np.full(size[::-1], _NOBODYS, np.int32)
        """Pixels of the object that a pixel shows."""

    def paint(self, label: int, region: np.ndarray) -> None:
        """Paint one object's pixels."""
        left, top, width, height = cv2.boundingRect(region)
        place = slice(top, top + height), slice(left, left + width)
        part, areas = region[place] > 0, self._areas[place]
        area = _NOBODYS if label == IGNORE else int(part.sum())
        part &= areas >= area
        self.mask[place][part] = label
        areas[part] = area


def _region(shape: Shape, frame: Frame, place: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
    """uint8 [height, width] of the picture."""
    width, height = size
    if shape.polygons:
        moved = [
            (place @ np.vstack([np.reshape(p, (-1, 2)).T, np.ones(len(p) // 2)])).T.ravel()
            for p in _paired(shape.polygons)
        ]
        return draw_polygons([polygon.tolist() for polygon in moved], height, width)
    if shape.mask is None:
        return None
    region = shape.mask(int(frame.height or height), int(frame.width or width))
    if np.array_equal(place, _scaling(1.0, 1.0)):
        return region
    # From centres of pixels to corners and back: an affine map of OpenCV's is of centres.
    centred = place.copy()
    centred[:, 2] += place[:, :2] @ np.array([0.5, 0.5]) - 0.5
    return cv2.warpAffine(region, centred, (width, height), flags=cv2.INTER_NEAREST)


def _paired(polygons: Sequence[Polygon]) -> Sequence[Polygon]:
    """Polygons that are points at least.

    Raises:
        DataError: one is not.
    """
    for polygon in polygons:
        if len(polygon) < 2 or len(polygon) % 2:
            raise DataError("an outline is no polygon", found=str(list(polygon))[:80], fix="x and y of every corner")
    return polygons


def draw_polygons(polygons: Sequence[Polygon], height: int, width: int) -> np.ndarray:
    """uint8 [height, width] of polygons' union, by pycocotools' own C code.

    Raises:
        DataError: one has less than three corners, is not finite or lies far away.
    """
    from faster_coco_eval.core import mask

    rle: Any = mask  # its types leave out what it takes
    far = 4 * max(height, width)  # the C code draws whatever it is told to, however far away
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2 or not all(math.isfinite(v) and abs(v) <= far for v in polygon):
            fix = "three corners at least, in pixels of the picture"
            raise DataError("an outline is no polygon", found=str(list(polygon))[:80], fix=fix)
        corners = np.reshape(polygon, (-1, 2))
        length = float(np.abs(np.diff(corners, axis=0)).max(1).sum())
        if length > LONGEST:
            raise DataError("an outline is too long", found=f"{length:.0f} pixels; {LONGEST} are allowed")
    return rle.decode(rle.merge(rle.frPyObjects([list(polygon) for polygon in polygons], height, width)))


def _scaling(fx: float, fy: float) -> np.ndarray:
    return np.array([[fx, 0.0, 0.0], [0.0, fy, 0.0]])


def _after(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The map that does `first`, then `second`."""
    return second @ np.vstack([first, [0.0, 0.0, 1.0]])


def _turn(header: Header) -> np.ndarray:
    """From the stored picture to the one that a viewer shows, as EXIF's orientation says."""
    width, height = header.width, header.height
    matrix = {
        1: [[1, 0, 0], [0, 1, 0]],
        2: [[-1, 0, width], [0, 1, 0]],
        3: [[-1, 0, width], [0, -1, height]],
        4: [[1, 0, 0], [0, -1, height]],
        5: [[0, 1, 0], [1, 0, 0]],
        6: [[0, -1, height], [1, 0, 0]],
        7: [[0, -1, height], [-1, 0, width]],
        8: [[0, 1, 0], [-1, 0, width]],
    }[header.orientation]
    return np.array(matrix, float)


def _shown(box: Sequence[float]) -> str:
    return str([round(float(v), 2) for v in box])
