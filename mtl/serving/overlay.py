"""A row of predictions drawn on the image that it is about."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from mtl.data.inspect.tiles import Caption, captioned, enlarged
from mtl.package.predictor import Predictor
from mtl.tasks import Task
from mtl.tasks.answers import answer_of

CAPTION = Caption(step=18, left=4, first=15, room=6)
SIDE = 320
"""Pixels of a small image's longer side, at least: text must be legible."""


def draw(image: np.ndarray, row: dict[str, Any], tasks: dict[str, Task]) -> np.ndarray:
    """uint8 RGB [height, width, 3] → the same with boxes and masks, enlarged if small, labels and values below it."""
    canvas, scale = enlarged(image, SIDE)
    lines: list[str] = []
    answered = [(name, task, answer_of(task)) for name, task in tasks.items()]
    for name, task, answer in sorted(answered, key=lambda one: one[2].on_top):  # boxes lie on top of masks
        if line := answer.line(name, task, row):
            lines.append(line)
        if (prediction := answer.drawn(task, row[name])) is not None:
            canvas = task.draw(canvas, prediction, scale)
    return captioned(canvas, lines, CAPTION)


def drawn_as_png(predictor: Predictor, image: bytes, row: dict[str, Any]) -> bytes:
    """As `draw`, of an encoded image, encoded."""
    canvas = draw(predictor.shown(image), row, predictor.tasks)
    ok, data = cv2.imencode(".png", cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR))
    assert ok
    return data.tobytes()
