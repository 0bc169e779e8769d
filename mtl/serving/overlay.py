"""A row of predictions drawn on the image that it is about."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np

from mtl.tasks import Task
from mtl.tasks.segmentation import COLOURS

MIN_SCORE = 0.4
"""Of the boxes that are drawn."""
SIDE = 320
"""Pixels of a small image's longer side, at least: text must be legible."""


def decode_picture(text: str) -> np.ndarray:
    """A picture of a row (PNG in base64) as an array."""
    image = cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image


def draw(image: np.ndarray, row: dict[str, Any], tasks: dict[str, Task]) -> np.ndarray:
    """uint8 RGB [height, width, 3] → the same with boxes and masks, enlarged if small, labels and values below it."""
    scale = max(1, round(SIDE / max(image.shape[:2])))
    size = (image.shape[1] * scale, image.shape[0] * scale)
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
    lines: list[str] = []
    for name, task in tasks.items():
        if task.serves == "label":
            lines.append(f"{name}: {row[name]} {row[f'{name}_score']:.2f}")
        elif task.serves == "labels":
            lines.append(f"{name}: {', '.join(row[name]) or 'none'}")
        elif task.serves == "value":
            lines.append(f"{name}: {row[name]:.2f} {task.target.unit}")
        elif task.kind == "mask":
            mask = cv2.resize(decode_picture(row[name]), size, interpolation=cv2.INTER_NEAREST)
            colour = COLOURS[mask % len(COLOURS)]
            mixed = (canvas * 0.5 + colour * 0.5).astype(np.uint8)
            canvas = np.where((mask > 0)[..., None], mixed, canvas)
    canvas = np.ascontiguousarray(canvas)
    for name, task in tasks.items():
        for box in row[name] if task.serves == "boxes" else ():
            if box["score"] >= MIN_SCORE:
                corners = [round(box[key] * scale) for key in ("x1", "y1", "x2", "y2")]
                cv2.rectangle(canvas, (corners[0], corners[1]), (corners[2], corners[3]), (80, 255, 80), 1)
                where = (corners[0] + 2, corners[1] + 11)
                _write(canvas, f"{box['label']} {box['score']:.2f}", where, (255, 255, 255), (0, 0, 0))
    below = np.full((18 * len(lines) + 6, canvas.shape[1], 3), 255, np.uint8)
    for i, line in enumerate(lines):
        _write(below, line, (4, 15 + 18 * i), (0, 0, 0), None)
    return np.vstack([canvas, below])


def _write(
    canvas: np.ndarray,
    text: str,
    where: tuple[int, int],
    colour: tuple[int, int, int],
    outline: tuple[int, int, int] | None,
) -> None:
    if outline is not None:
        cv2.putText(canvas, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.4, outline, 3, cv2.LINE_AA)
    cv2.putText(canvas, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)
