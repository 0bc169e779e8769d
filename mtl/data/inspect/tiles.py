"""One image of a sheet: enlarged until its pixels can be seen, and lines of text below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Caption:
    """How lines of text stand, in pixels.

    Attributes:
        step: from one line to the next.
        left, first: where the first one begins, and where its letters stand.
        room: that is left over below the last one.
        size: of letters, 1 being some 22 pixels high.
    """

    step: int
    left: int
    first: int
    room: int
    size: float = 0.4


def enlarged(image: np.ndarray, side: int) -> tuple[np.ndarray, int]:
    """uint8 [height, width, channels] → each pixel as a square of so many that the longer side has about `side`; how many."""
    scale = max(1, round(side / max(image.shape[:2])))
    size = (image.shape[1] * scale, image.shape[0] * scale)
    return cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_NEAREST), scale


def captioned(canvas: np.ndarray, lines: Sequence[str], caption: Caption, rows: int | None = None) -> np.ndarray:
    """uint8 RGB [height, width, 3] → the same with lines below it, black on white.

    Args:
        rows: lines for which there is room; as many as there are if not said.
    """
    height = caption.step * (len(lines) if rows is None else rows) + caption.room
    text = np.full((height, canvas.shape[1], 3), 255, np.uint8)
    for row, line in enumerate(lines):
        place = (caption.left, caption.first + caption.step * row)
        cv2.putText(text, line, place, cv2.FONT_HERSHEY_SIMPLEX, caption.size, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([canvas, text])
