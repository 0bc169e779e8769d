"""Lines of YOLO's label files: boxes, outlines, oriented boxes, poses; and DOTA's, which stand in the same place."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from mtl.data.formats.shapes import Box
from mtl.errors import DataError

SLACK = 0.01
"""By how much a share may lie beyond the picture: Ultralytics takes as much."""
CENTRE = "class x y width height, in shares of the picture"


class Row(NamedTuple):
    """One line: the class's number or name, what follows, and DOTA's `difficult`, whose numbers are pixels."""

    number: int
    label: str
    values: tuple[float, ...]
    dota: bool = False
    difficult: bool = False


def read_row(number: int, line: str) -> Row:
    """A line in numbers.

    Raises:
        DataError: it is none of a label file's.
    """
    words = line.split()
    dota = len(words) in (9, 10) and not _is_number(words[8])
    numbers = words[:8] if dota else words[1:]
    try:
        values = tuple(float(word) for word in numbers)
    except ValueError as error:
        raise DataError("a line is not numbers", found=line[:80], fix=CENTRE) from error
    if len(values) < 4 or not all(math.isfinite(value) for value in values):
        raise DataError("a line is no box and no outline", found=line[:80], fix=CENTRE)
    if dota:
        return Row(number, words[8], values, dota=True, difficult=words[9:] == ["1"])
    return Row(number, words[0], values)


def class_number(label: str) -> int | None:
    """0 of `0`, `00` and `0.0`; None of a name."""
    return int(float(label)) if _is_number(label) and float(label).is_integer() else None


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


@dataclass
class Survey:
    """What all lines of a set have in common, without which one of them cannot be understood.

    keypoints: numbers that follow a pose's class, where data.yaml says so; 0 if it does not.
    """

    keypoints: int = 0
    lengths: Counter[int] = field(default_factory=Counter[int])
    numbers: Counter[int] = field(default_factory=Counter[int])
    names: Counter[str] = field(default_factory=Counter[str])
    visibilities: bool = True
    confidences: bool = True
    num_difficult: int = 0

    def add(self, row: Row) -> None:
        """Take a line into account."""
        number = None if row.dota else class_number(row.label)
        if number is None:
            self.names[row.label] += 1
        else:
            self.numbers[number] += 1
        self.num_difficult += row.difficult
        if row.dota:
            return
        length = len(row.values)
        self.lengths[length] += 1
        if length == 5:
            self.confidences &= 0 <= row.values[4] <= 1
        if length > 6:
            self.visibilities &= (length - 4) % 3 == 0 and all(v in (0.0, 1.0, 2.0) for v in row.values[6::3])

    def is_pose(self, row: Row) -> bool:
        """Whether a line is a box with keypoints: as declared; else by the third number of each, which says if it is seen."""
        length = len(row.values)
        if row.dota or length < 7:
            return False
        if self.keypoints:
            return length in (self.keypoints, self.keypoints + 1)
        return self.visibilities and len([n for n in self.lengths if n > 5]) == 1

    def box(self, row: Row, notes: Counter[str]) -> Box | None:
        """A line's box in shares; None of an outline.

        Raises:
            DataError: its fifth number is no confidence, or it is not in shares.
        """
        pose = self.is_pose(row)
        if len(row.values) > 5 and not pose:
            return None
        if pose:
            notes["poses, whose boxes are taken and whose keypoints are not"] += 1
        if len(row.values) == 5 and not self.confidences:
            fix = "boxes with an angle are not read: give the four corners, as Ultralytics does"
            raise DataError("a box has a sixth number, which is no confidence", found=str(row.values), fix=fix)
        if len(row.values) == 5:
            notes["boxes with a confidence, as predictions have, which is passed over"] += 1
        _refuse_pixels(row.values[:4])
        x, y, width, height = itertools.islice(row.values, 4)
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2

    def outline(self, row: Row, notes: Counter[str]) -> tuple[float, ...]:
        """The corners of a line that is no box: in pixels of DOTA's, else in shares.

        Raises:
            DataError: it is not in shares.
        """
        corners = row.values
        if len(corners) % 2:
            notes["outlines with a confidence, as predictions have, which is passed over"] += 1
            _refuse_pixels(corners[-1:])
            corners = corners[:-1]
        if not row.dota:
            _refuse_pixels(corners)
        return corners


def _refuse_pixels(values: tuple[float, ...]) -> None:
    if max(values) > 1 + SLACK:
        fix = f"divide by the picture's width and height: {CENTRE}"
        raise DataError("a line is in pixels, not in shares of the picture", found=str(values[:8]), fix=fix)
    if min(values) < -SLACK:
        raise DataError("a share of the picture is negative", found=str(values[:8]), fix=CENTRE)
