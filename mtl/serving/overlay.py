"""A row of predictions drawn on the image that it is about."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from mtl.tasks import Task
from mtl.tasks.answers import answer_of

SIDE = 320
"""Pixels of a small image's longer side, at least: text must be legible."""


def draw(image: np.ndarray, row: dict[str, Any], tasks: dict[str, Task]) -> np.ndarray:
    """uint8 RGB [height, width, 3] → the same with boxes and masks, enlarged if small, labels and values below it."""
    scale = max(1, round(SIDE / max(image.shape[:2])))
    size = (image.shape[1] * scale, image.shape[0] * scale)
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
    lines: list[str] = []
    answered = [(name, task, answer_of(task)) for name, task in tasks.items()]
    for name, task, answer in sorted(answered, key=lambda one: one[2].on_top):  # boxes lie on top of masks
        if line := answer.line(name, task, row):
            lines.append(line)
        if (prediction := answer.drawn(task, row[name])) is not None:
            canvas = task.draw(canvas, prediction, scale)
    below = np.full((18 * len(lines) + 6, canvas.shape[1], 3), 255, np.uint8)
    for i, line in enumerate(lines):
        cv2.putText(below, line, (4, 15 + 18 * i), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([canvas, below])
