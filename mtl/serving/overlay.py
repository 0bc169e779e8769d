"""A row of predictions drawn on the image that it is about."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np

from mtl.tasks import Task

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
    for name, task in sorted(tasks.items(), key=lambda one: one[1].serves == "boxes"):  # boxes lie on top of masks
        if task.serves == "label":
            lines.append(f"{name}: {row[name]} {row[f'{name}_score']:.2f}")
        elif task.serves == "labels":
            lines.append(f"{name}: {', '.join(row[name]) or 'none'}")
        elif task.serves == "value":
            lines.append(f"{name}: {row[name]:.2f} {task.target.unit}")
        elif task.serves == "boxes":
            canvas = task.draw(canvas, _as_prediction(row[name], task), scale)
        elif task.kind == "mask":
            canvas = task.draw(canvas, {"mask": decode_picture(row[name])}, scale)
    below = np.full((18 * len(lines) + 6, canvas.shape[1], 3), 255, np.uint8)
    for i, line in enumerate(lines):
        cv2.putText(below, line, (4, 15 + 18 * i), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([canvas, below])


def _as_prediction(boxes: list[dict[str, object]], task: Task) -> dict[str, np.ndarray]:
    """Boxes of a row as the task itself predicts them, in pixels of the row's image."""
    corners = [[box[key] for key in ("x1", "y1", "x2", "y2")] for box in boxes]
    return {
        "boxes": np.array(corners).reshape(-1, 4),
        "labels": np.array([task.target.classes.index(box["label"]) for box in boxes], int),
        "scores": np.array([box["score"] for box in boxes]),
    }
