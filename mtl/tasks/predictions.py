"""What tasks predict of one sample, in pixels of the model's image: a class for each form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np


class OneLabel(TypedDict):
    """One class; scores: a probability for each class."""

    label: str
    index: int
    scores: list[float]


class ManyLabels(TypedDict):
    """Any number of classes; scores: a probability for each class."""

    labels: list[str]
    scores: Sequence[float] | np.ndarray


class Number(TypedDict):
    """One number, in the target's unit."""

    value: float


class NumberMap(TypedDict):
    """float32 [height, width], in the target's unit."""

    map: np.ndarray


class NormalMap(TypedDict):
    """float32 [height, width, 3] of unit vectors."""

    normals: np.ndarray


class ClassMask(TypedDict):
    """uint8 [height, width] of class indices."""

    mask: np.ndarray


class Pixels(TypedDict):
    """uint8 [height, width, channels]."""

    pixels: np.ndarray


class Objects(TypedDict):
    """boxes float32 [objects, 4] x1, y1, x2, y2; labels int64 [objects]; scores float32 [objects]."""

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


class ObjectsWithPoints(Objects):
    """points float32 [objects, points, 3]: x, y, score."""

    points: np.ndarray
