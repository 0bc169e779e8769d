"""Boxes as frames."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from mtl.data.drawn.colours import IGNORED, colour_of
from mtl.data.kinds.box_table import kinds
from mtl.data.spec import TargetSpec


def draw(canvas: np.ndarray, value: Any, target: TargetSpec, scale: int) -> np.ndarray:
    """A frame per box, in its class's colour."""
    for (x1, y1, x2, y2), label, kind in zip(value[:, :4] * scale, value[:, 4], kinds(value), strict=True):
        colour = colour_of(int(label)) if kind == 0 else IGNORED
        cv2.rectangle(canvas, (round(x1), round(y1)), (round(x2) - 1, round(y2) - 1), colour, 1)
    return canvas
