"""Words at boxes on an image: beside each other, never on top of each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

SIZE = 0.42
"""Of letters, 1 being some 22 pixels high."""
PAPER, INK = (20, 20, 20), (255, 255, 255)
Spot = tuple[int, int, int, int]
"""Pixels: x1, y1, x2, y2."""


def write_labels(canvas: np.ndarray, labels: Sequence[tuple[str, Spot]]) -> np.ndarray:
    """uint8 RGB [height, width, 3] → the same with a label at each box, the first ones' places chosen first. A label for which
    there is no room left is not written.
    """
    taken: list[Spot] = []
    for text, box in labels:
        (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, SIZE, 1)
        spot = next((s for s in _spots(box, width + 4, height + below + 2, canvas) if not _touches(s, taken)), None)
        if spot is None:
            continue
        taken.append(spot)
        x1, y1, x2, y2 = spot
        cv2.rectangle(canvas, (x1, y1), (x2 - 1, y2 - 1), PAPER, -1)
        origin = (x1 + 2, y2 - below - 1)
        cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, SIZE, INK, 1, cv2.LINE_AA)
    return canvas


def _spots(box: Spot, width: int, height: int, canvas: np.ndarray) -> Iterable[Spot]:
    """Where a label may stand, the best first: over its box, under it, in its upper corner, in its lower one."""
    x1, y1, x2, y2 = box
    rows, columns = canvas.shape[:2]
    for left, top in (
        (x1, y1 - height),
        (x1, y2),
        (x2 - width, y1 - height),
        (x2 - width, y2),
        (x1, y1),
        (x1, y2 - height),
    ):
        start = min(max(left, 0), max(columns - width, 0))
        if 0 <= top <= rows - height:
            yield start, top, start + width, top + height


def _touches(spot: Spot, taken: Iterable[Spot]) -> bool:
    x1, y1, x2, y2 = spot
    return any(x1 < right and left < x2 and y1 < below and above < y2 for left, above, right, below in taken)
